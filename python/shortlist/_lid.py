"""Local intrinsic dimension: how hard a data set is to search, point by point."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._core import METRIC_L2, knn
from ._evaluate import matrix

__all__ = ["lid"]


def lid(x: Any, k: int = 100, base: Any = None) -> np.ndarray:
    """How many dimensions the data seem to have around each row of x, told from its k neighbours.

    Among d even dimensions the k-th neighbour is only k ** (1 / d) times as far as the first; the
    less the distances differ, the higher the figure, and the more an approximate search must look
    at. Means of 10 to 15 are easy, above 25 hard.

    x: (n, d). base: (m, d) whose rows are the neighbours; by default the other rows of x.
    Returns (n,) float64: the maximum likelihood estimate under Euclidean distances r_1 <= ... <=
    r_k, -1 / mean(ln(r_i / r_k)) (Levina and Bickel 2004; Amsaleg et al. 2015). Neighbours at
    distance 0 are left out; 0 where no other is left, inf where all are equally far.
    Raises ValueError for k below 2 or above the neighbours there are, or for NaN or Inf.
    """
    rows = matrix(x, "x")
    others = rows if base is None else matrix(base, "base")
    there = len(others) - (base is None)
    if not 2 <= k <= there:
        raise ValueError(f"k is {k}; expected 2 to {there}, the neighbours of a row")
    for name, values in (("x", rows), ("base", others)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{name} has NaN or Inf; drop or clean such rows first")
    D, I = knn(rows, others, k + (base is None), metric=METRIC_L2)
    if base is None:
        own = np.arange(len(rows))[:, None] == I
        own[~own.any(1), -1] = True  # among more equal rows than k it may not be found itself
        D = D[~own].reshape(len(rows), k)
    squared = np.maximum(D, 0).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(squared > 0, np.log(squared / squared[:, -1:]) / 2, 0)
        estimate: np.ndarray = -(squared > 0).sum(1) / logs.sum(1)
    return np.where(squared[:, -1] > 0, estimate, 0.0)
