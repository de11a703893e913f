"""Arrays of vectors that users pass, as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist import DimensionError

_BLOCK = 16384  # rows checked at a time


def as_rows(x: Any, dim: int | None, name: str) -> Tensor:
    """(n, dim) floats, numpy or torch, as a tensor on its own device; half precision stays so.

    Raises DimensionError for another shape, TypeError for no numbers, ValueError for NaN.
    """
    rows = x.detach() if isinstance(x, Tensor) else torch.from_numpy(_numbers(x, name))
    if rows.ndim != 2 or (dim is not None and rows.shape[1] != dim):
        wanted = "dim" if dim is None else dim
        raise DimensionError(f"{name} has shape {tuple(rows.shape)}; expected (n, {wanted})")
    if rows.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        rows = rows.float()
    for begin in range(0, len(rows), _BLOCK):
        if not bool(rows[begin : begin + _BLOCK].isfinite().all()):
            raise ValueError(f"{name} holds NaN or infinities; expected finite numbers")
    return rows


def _numbers(x: Any, name: str) -> NDArray[Any]:
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} is {array.dtype}; expected floats")
    if array.dtype not in (np.float16, np.float32):
        array = array.astype(np.float32)
    writable: NDArray[Any] = np.require(array, requirements=["C", "W"])
    return writable
