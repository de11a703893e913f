"""What fast scans of 4-bit codes tell, by the definition."""

from __future__ import annotations

import numpy as np


def numbers(codes: np.ndarray, M: int, nbits: int) -> np.ndarray:
    """The centroid numbers (n, M) in codes, by the definition of a string of bits."""
    bits = np.unpackbits(codes, axis=1, bitorder="little")[:, : M * nbits]
    return (bits.reshape(len(codes), M, nbits) << np.arange(nbits)).sum(2)


def told(q: np.ndarray, centroids: np.ndarray, named: np.ndarray, product: bool) -> np.ndarray:
    """Distances, or negated products, (nq, n) of queries and codes of numbers (n, M), by tables
    rounded to bytes."""
    M, _, dsub = centroids.shape
    parts = q.reshape(len(q), M, 1, dsub).astype(np.float64)
    tables = -(parts * centroids).sum(3) if product else ((parts - centroids) ** 2).sum(3)
    least, spread = tables.min(2), np.ptp(tables, axis=2)
    scale = np.minimum(255 / spread.max(1), 65535 / spread.sum(1))[:, None, None]
    rounded = np.floor((tables - least[:, :, None]) * scale + 0.5) / scale
    return least.sum(1)[:, None] + rounded[:, np.arange(M), named].sum(2)
