"""What the tests of kernels share."""

from __future__ import annotations

import numpy as np
import shortlist

LEVELS = shortlist.simd_levels()


def placed(rows: np.ndarray, offset: int, gap: int) -> np.ndarray:
    """The same rows `gap` bytes apart, at an address that nothing is aligned to. Between them 0xff:
    NaN for floats, so that a value read from there shows."""
    n, d = rows.shape
    stride = d * rows.itemsize + gap
    buffer = np.full(offset + n * stride, 0xFF, np.uint8)
    out = np.ndarray((n, d), rows.dtype, buffer, offset, (stride, rows.itemsize))
    out[:] = rows
    return out
