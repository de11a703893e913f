"""faiss's functions for random arrays; a seed gives other numbers than faiss's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["rand", "randint", "randn"]

Shape = int | tuple[int, ...]


def rand(n: Shape, seed: int = 12345) -> npt.NDArray[np.float32]:
    """Floats from 0 to 1, float32 of shape n (an int or a tuple)."""
    return np.random.default_rng(seed).random(n, dtype=np.float32)


def randn(n: Shape, seed: int = 12345) -> npt.NDArray[np.float32]:
    """Normally distributed float32 of shape n (an int or a tuple)."""
    return np.random.default_rng(seed).standard_normal(n, dtype=np.float32)


def randint(n: Shape, seed: int = 12345, vmax: int | None = None) -> npt.NDArray[np.int64]:
    """Integers from 0 to vmax - 1, or 2^63 - 1, int64 of shape n (an int or a tuple)."""
    most = 2**63 - 1 if vmax is None else vmax
    return np.random.default_rng(seed).integers(most, size=n, dtype=np.int64)
