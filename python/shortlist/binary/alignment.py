"""Compatibility without training: new embeddings turned so that they meet the old ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Alignment:
    """An affine map from new embeddings to old: `(x - new_mean) @ matrix + old_mean`.

    matrix: (new_dim, old_dim) float32, rows or columns orthonormal.
    error: ||aligned new - old||^2 as a share of the old's variance, over the rows it was made of.
    """

    matrix: NDArray[np.float32]
    new_mean: NDArray[np.float32]
    old_mean: NDArray[np.float32]
    error: float

    def __call__(self, x: Any) -> NDArray[np.float32]:
        """(n, new_dim) floats, such as new queries, to (n, old_dim) float32."""
        vectors = np.asarray(x, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != len(self.matrix):
            raise ValueError(
                f"vectors have shape {vectors.shape}; expected (n, {len(self.matrix)})"
            )
        aligned = (vectors - self.new_mean) @ self.matrix + self.old_mean
        return np.asarray(aligned, np.float32)


def align(new: Any, old: Any, *, centre: bool = True) -> Alignment:
    """The rotation that brings new embeddings nearest to old ones of the same items.

    Orthogonal Procrustes (Schoenemann 1966): with new' old = U S V', the matrix is U V'. Where
    dims differ the narrower is padded with zeros, which leaves the first rows or columns of it.

    new: (n, new_dim), old: (n, old_dim), row i of both of the same item; floats.
    centre: take the means off first, and keep them in the result.
    Raises ValueError unless there are as many rows of both, all finite.
    """
    a, b = _matrix(new, "new"), _matrix(old, "old")
    if len(a) != len(b):
        raise ValueError(
            f"new has {len(a)} rows and old {len(b)}; expected the same items in the same order"
        )
    if len(a) == 0:
        raise ValueError("new and old have no rows; expected at least 1, better some thousands")
    a_mean, b_mean = a.mean(0) * centre, b.mean(0) * centre
    a, b = a - a_mean, b - b_mean
    left, _, right = np.linalg.svd(a.T @ b, full_matrices=False)
    matrix = left @ right
    error = float(((a @ matrix - b) ** 2).sum() / max(float((b**2).sum()), 1e-30))
    return Alignment(
        matrix.astype(np.float32), a_mean.astype(np.float32), b_mean.astype(np.float32), error
    )


def _matrix(x: Any, name: str) -> NDArray[np.float64]:
    rows = np.asarray(x, np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"{name} has shape {rows.shape}; expected (n, dim)")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds NaN or infinities; expected finite numbers")
    return rows
