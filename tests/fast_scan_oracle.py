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


def sums_of_signs(r: np.ndarray, qb: int) -> tuple[np.ndarray, np.ndarray]:
    """Of residuals r (lists, d) of a query, rounded to qb bits: tables (lists, M, 16) of
    2 / sqrt(d) times the sums over set bits, and what the same over half of each value comes to.

    In float32 step by step, since what rounds up or down hangs on the last bit."""
    f = np.float32
    lists, d = r.shape
    low, high = r.min(1, keepdims=True), r.max(1, keepdims=True)
    step = (high - low) / f(2**qb - 1)
    code = np.floor((r - low) * (f(1) / np.where(step > 0, step, f(1))) + f(0.5))
    inverse = f(1) / np.sqrt(f(d))
    v = np.zeros((lists, -(-d // 4) * 4), f)
    v[:, :d] = f(2) * step * inverse * code + f(2) * low * inverse
    tables = np.zeros((lists, v.shape[1] // 4, 16), f)
    for i, values in enumerate(np.moveaxis(v.reshape(lists, -1, 4), 2, 0)):
        tables[:, :, np.arange(16) >> i & 1 == 1] += values[:, :, None]
    return tables, v.sum(1) / 2


def rabitq_told(
    q: np.ndarray, centroids: np.ndarray, lists: np.ndarray, signs: np.ndarray, qb: int
) -> np.ndarray:
    """2 / sqrt(d) <signs, r> (nq, n) for signs (n, d) of +-1/2 in `lists`, by tables of bytes that
    have one scale for all centroids, as where all lists are looked at."""
    f = np.float32
    n, d = signs.shape
    bits = np.zeros((n, -(-d // 4) * 4), int)
    bits[:, :d] = signs > 0
    named = (bits.reshape(n, -1, 4) << np.arange(4)).sum(2)
    out = []
    for row in q:
        tables, half = sums_of_signs(row - centroids, qb)
        least, spread = tables.min(2), np.ptp(tables, axis=2)
        begin = np.add.accumulate(least, axis=1)[:, -1]
        with np.errstate(divide="ignore"):
            scale = min(f(255) / spread.max(), f(65535) / spread.sum(1).max())
        scale = scale if np.isfinite(scale) else f(0)
        rounded = np.floor(scale * (tables - least[:, :, None]) + f(0.5))
        sums = rounded[lists[:, None], np.arange(tables.shape[1]), named].sum(1)
        sums = sums + np.floor(scale * (begin - begin.min()) + f(0.5))[lists]
        out.append(sums / max(scale, f(1e-30)) + begin.min() - half[lists])
    return np.array(out)
