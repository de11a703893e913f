"""Exact distances of queries to a base, and tie-aware recall under any filter."""

from __future__ import annotations

import numpy as np


class Truth:
    """Smaller is nearer. Integers below 2^24 stay exact in float32; of floats, the same rounded
    distance decides on both sides, so a tie is a tie."""

    def __init__(self, base: np.ndarray, queries: np.ndarray, metric: str, k: int) -> None:
        x, q = base.astype(np.float32), queries.astype(np.float32)
        self.k = k
        self.distances = q @ x.T
        self.distances *= -2 if metric == "l2" else -1
        if metric == "l2":
            self.distances += np.einsum("ij,ij->i", x, x)

    def recall(
        self, found: np.ndarray, admitted: np.ndarray, rows: slice | np.ndarray = slice(None)
    ) -> float:
        """Mean share of the k nearest that are in `found` (rows, k) among `admitted` (n,) ids."""
        distances = self.distances[rows]
        inside = distances[:, admitted]
        k = min(self.k, inside.shape[1])
        kth = np.partition(inside, k - 1, axis=1)[:, k - 1 : k]
        ids = np.sort(found, axis=1)
        fresh = (np.diff(ids, axis=1, prepend=-1) > 0) & admitted[ids]
        near = np.take_along_axis(distances, ids, axis=1) <= kth
        return float((fresh & near).sum() / (len(found) * k))
