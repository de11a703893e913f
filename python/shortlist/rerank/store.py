"""Where a reranker finds what its scorer reads: the documents behind ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from .candidates import Tokens, as_tensor

_BYTES_PER_TOKEN = 3  # English has more, scripts without spaces about as many


@runtime_checkable
class Store(Protocol):
    """Documents by id. Any object with these two methods will do."""

    def gather(self, ids: Tensor) -> Any:
        """The documents of ids (n,), in their order: a tensor (n, d), Tokens, or a list of str."""

    def lengths(self, ids: Tensor) -> Tensor:
        """(n,) int64: how many tokens each document has, or about; 1 for a vector."""


def as_store(docs: Any) -> Store:
    """What a Reranker accepts as its store.

    An array or tensor (n, d), whose row is the id, on disk too (numpy.memmap); Tokens; a list of
    texts, or a mapping from id to text; an index, whose vectors are reconstructed (on its GPU, for
    ids that are there); or a Store.
    Raises TypeError for anything else.
    """
    if isinstance(docs, Store):
        return docs
    if isinstance(docs, Tokens):
        return _TokenStore(docs)
    if hasattr(docs, "reconstruct_batch"):
        return _GpuIndexStore(docs) if hasattr(docs, "getDevice") else _IndexStore(docs)
    if isinstance(docs, Mapping) or (
        isinstance(docs, Sequence) and not isinstance(docs, str) and all_texts(docs)
    ):
        return _TextStore(docs)
    if isinstance(docs, Tensor) or hasattr(docs, "__array__") or hasattr(docs, "__dlpack__"):
        if not isinstance(docs, np.ndarray):
            docs = as_tensor(docs)
        if docs.ndim != 2:
            raise ValueError(f"the store has shape {tuple(docs.shape)}; expected (n, d)")
        return _VectorStore(docs)
    raise TypeError(
        f"a store cannot be made of {type(docs).__name__}; expected an (n, d) array or tensor, "
        "Tokens, texts, a mapping from id to text, an index, or an object with gather and lengths"
    )


def all_texts(docs: Sequence[Any]) -> bool:
    return all(isinstance(one, str) for one in docs)


def check_ids(ids: Tensor, count: int) -> None:
    """Raises KeyError unless 0 <= id < count for all ids."""
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < count:
        wrong = ids[(ids < 0) | (ids >= count)][0]
        raise KeyError(f"id {int(wrong)} is not in the store, which has {count} rows")


class _VectorStore:
    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def gather(self, ids: Tensor) -> Tensor:
        check_ids(ids, len(self._rows))
        if isinstance(self._rows, Tensor):
            return self._rows[ids.to(self._rows.device)]
        return as_tensor(np.asarray(self._rows[ids.cpu().numpy()]))

    def lengths(self, ids: Tensor) -> Tensor:
        return torch.ones_like(ids)


class _IndexStore:
    def __init__(self, index: Any) -> None:
        self._index = index

    def gather(self, ids: Tensor) -> Tensor:
        try:
            return as_tensor(self._index.reconstruct_batch(ids.cpu().numpy()))
        except IndexError as error:
            raise KeyError(str(error)) from error

    def lengths(self, ids: Tensor) -> Tensor:
        return torch.ones_like(ids)


class _GpuIndexStore(_IndexStore):
    def gather(self, ids: Tensor) -> Tensor:
        check_ids(ids, self._index.ntotal)
        return as_tensor(self._index.reconstruct_batch(ids))


class _TokenStore:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def gather(self, ids: Tensor) -> Tokens:
        check_ids(ids, len(self._tokens))
        return self._tokens.select(ids.to(self._tokens.offsets.device))

    def lengths(self, ids: Tensor) -> Tensor:
        check_ids(ids, len(self._tokens))
        return self._tokens.lengths[ids.to(self._tokens.offsets.device)].to(ids.device)


class _TextStore:
    def __init__(self, texts: Sequence[str] | Mapping[int, str]) -> None:
        self._texts = texts

    def gather(self, ids: Tensor) -> list[str]:
        return list(self._each(ids))

    def lengths(self, ids: Tensor) -> Tensor:
        return token_counts(self._each(ids)).to(ids.device)

    def _each(self, ids: Tensor) -> Iterator[str]:
        if not isinstance(self._texts, Mapping):
            check_ids(ids, len(self._texts))
        for i in ids.tolist():
            try:
                text = self._texts[i]
            except KeyError:
                raise KeyError(f"id {i} is not in the store") from None
            if not isinstance(text, str):
                raise TypeError(f"id {i} is a {type(text).__name__} in the store; expected a text")
            yield text


def token_counts(texts: Iterable[str]) -> Tensor:
    """About how many tokens each text makes, told from its bytes; tokenising would cost more."""
    counts = [len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + 1 for text in texts]
    return torch.tensor(counts, dtype=torch.int64)
