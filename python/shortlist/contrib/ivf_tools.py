"""Searches of inverted files whose lists were chosen elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core

__all__ = ["range_search_preassigned", "search_preassigned"]


def search_preassigned(
    index_ivf: Any,
    xq: npt.NDArray[Any],
    k: int,
    list_nos: npt.NDArray[np.integer[Any]],
    coarse_dis: npt.NDArray[Any] | None = None,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """index_ivf.search_preassigned, behind the transforms of an IndexPreTransform, too.

    list_nos: the lists to look at, integers (n, nprobe), -1 for none. coarse_dis: distances to
    their centroids, of that shape; computed where it is None.
    """
    index_ivf, xq = _behind(index_ivf, xq)
    D, I = index_ivf.search_preassigned(xq, k, list_nos, coarse_dis)
    return D, I


def range_search_preassigned(
    index_ivf: Any,
    x: npt.NDArray[Any],
    radius: float,
    list_nos: npt.NDArray[np.integer[Any]],
    coarse_dis: npt.NDArray[Any] | None = None,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[Any], npt.NDArray[np.int64]]:
    """index_ivf.range_search_preassigned; arguments, and transforms, as of search_preassigned."""
    index_ivf, x = _behind(index_ivf, x)
    lims, D, I = index_ivf.range_search_preassigned(x, radius, list_nos, coarse_dis)
    return lims, D, I


def _behind(index: Any, x: npt.NDArray[Any]) -> tuple[Any, npt.NDArray[Any]]:
    """The index behind transforms, and what they make of x."""
    if not isinstance(index, _core.IndexPreTransform):
        return index, x
    parts = (index.chain.at(i) for i in range(index.chain.size()))
    if any(isinstance(part, _core.QueryAwareTransform) for part in parts):
        raise _core.UnsupportedError(
            "a QueryAwareTransform makes of queries something else than of vectors; use search"
        )
    return index.index, index.apply_chain(x)
