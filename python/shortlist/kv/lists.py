"""Arrays of heads, and lists of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist import ArgumentError, DimensionError

FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def as_floats(x: Any, name: str, wanted: str, shape: tuple[int | None, ...] = ()) -> Tensor:
    """x, numpy or torch, as a tensor of floats on its own device; float64 becomes float32.

    shape: what its dimensions must be, None where any will do, and () for any shape; `wanted`
    says it in words. Raises DimensionError for another shape, TypeError for no floats.
    """
    if isinstance(x, Tensor):
        tensor = x.detach()
    else:
        array = np.asarray(x)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{name} has dtype {array.dtype}; expected floats")
        if array.dtype not in (np.float16, np.float32):
            array = array.astype(np.float32)
        # torch warns of arrays that cannot be written to, though nothing here writes to them.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if tensor.dtype not in FLOATS:
        if tensor.is_complex() or tensor.dtype == torch.bool:
            raise TypeError(f"{name} has dtype {tensor.dtype}; expected floats")
        tensor = tensor.float()
    fits = len(shape) == tensor.ndim and all(
        s is None or s == t for s, t in zip(shape, tensor.shape, strict=True)
    )
    if shape and not fits:
        raise DimensionError(f"{name} has shape {tuple(tensor.shape)}; expected {wanted}")
    return tensor


def check_finite(x: Tensor, name: str) -> None:
    """Raises ArgumentError, a ValueError, where there are NaN or infinities."""
    if not bool(x.isfinite().all()):
        bad = (~x.isfinite()).nonzero()[0].tolist()
        raise ArgumentError(
            f"{name}[{', '.join(map(str, bad))}] is {x[tuple(bad)].item()}; expected finite numbers"
        )


def in_kind(out: Tensor, like: Any) -> Any:
    """`out` on the device of a tensor `like`, else as numpy."""
    return out.to(like.device) if isinstance(like, Tensor) else out.numpy()


@dataclass(frozen=True)
class TokenLists:
    """For each head and token a list of the tokens to attend to, one after another.

    ids: (nnz,) int64, positions in the sequence, ascending within a list.
    offsets: (lists + 1,) int64; list i is ids[offsets[i] : offsets[i + 1]]. Lists go by head, then
        by token: those of head 0, one of each query token, then those of head 1.

    Tensors on the device of the queries, or numpy arrays if those were.
    """

    ids: Any
    offsets: Any

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Any:
        """The ids of list i."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"list {i} is not there; there are {len(self)}")
        i %= len(self)
        return self.ids[int(self.offsets[i]) : int(self.offsets[i + 1])]

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids and offsets as numpy."""
        return _integers(self.ids, "ids"), _integers(self.offsets, "offsets")

    @staticmethod
    def of(ids: Any, heads: tuple[int, int], tokens: int) -> TokenLists:
        """Lists as they are, or from rows padded with -1, (heads, m) or (heads, tokens, m).

        heads: the numbers of KV heads and of query heads, one of which the rows are for. Raises
        DimensionError for other shapes, TypeError for no integers.
        """
        if isinstance(ids, TokenLists):
            if len(ids) not in (heads[0] * tokens, heads[1] * tokens):
                raise DimensionError(
                    f"ids has {len(ids)} lists; expected {heads[0] * tokens}, one of each KV head "
                    f"and query token, or {heads[1] * tokens}, one of each query head and token"
                )
            return ids
        rows = _integers(ids, "ids")
        if rows.ndim == 2 and tokens == 1:
            rows = rows[:, None]
        if rows.ndim != 3 or rows.shape[0] not in heads or rows.shape[1] != tokens:
            raise DimensionError(
                f"ids has shape {tuple(np.shape(ids))}; expected TokenLists or integers "
                f"({heads[0]}, {tokens}, m) or ({heads[1]}, {tokens}, m), padded with -1"
            )
        there = rows != -1
        offsets = np.zeros(rows.shape[0] * tokens + 1, np.int64)
        np.cumsum(there.sum(2).ravel(), out=offsets[1:])
        return TokenLists(rows[there], offsets)


def _integers(x: Any, name: str) -> NDArray[np.int64]:
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}; expected integers")
    return array.astype(np.int64, copy=False)
