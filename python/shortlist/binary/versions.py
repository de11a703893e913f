"""Indexes that outlive the model their codes were made by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import shortlist

from .reference import Export


def upgrade(index: Any, encoder: Export, older: Sequence[Export] = ()) -> Any:
    """An index of the same codes that is searched, and added to, by a newer model's embeddings.

    Nothing is encoded again: old codes stay, and new queries read them (`compatible_with=` of
    `RecurrentBinarizer.fit` has learnt how).

    index: an IndexSDC with a trained encoder, or an IndexSDCVersions, by inner product; or an
        IndexIDMap or IndexIDMap2 around one, whose ids are kept. It shares its codes with the
        result: use it no more.
    encoder: what `export` gives of a module fit compatible_with the encoder of `index` (of its
        newest version).
    older: for an IndexSDCVersions, the same for each of its older versions, oldest first.

    Returns an IndexSDCVersions, with an index map around it where there was one. Raises TypeError
    for other indexes, ValueError for an encoder that knows no older one or does not fit.
    """
    if isinstance(index, shortlist.IndexIDMap):
        wrapper = type(index)
        return wrapper(upgrade(index.index, encoder, older), id_map=index.id_map)
    if isinstance(index, shortlist.IndexSDCVersions):
        parts = [*index.older, index.newest]
    elif isinstance(index, shortlist.IndexSDC):
        parts = [index]
    else:
        raise TypeError(
            f"cannot upgrade a {type(index).__name__}; expected an IndexSDC or IndexSDCVersions, "
            "or an IndexIDMap around one"
        )
    if len(older) != len(parts) - 1:
        raise ValueError(
            f"older has {len(older)} encoders; expected {len(parts) - 1}, one for each version "
            "but the newest"
        )
    if any("old_query" not in one for one in (*older, encoder)):
        raise ValueError("an encoder knows no older one; fit it with compatible_with=")
    newest = shortlist.IndexSDC(
        len(encoder["mean"]), metric=shortlist.METRIC_INNER_PRODUCT, encoder=encoder
    )
    return shortlist.IndexSDCVersions(newest, parts, [*older, encoder])
