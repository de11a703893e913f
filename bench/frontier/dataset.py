"""A folder of vectors, and tie-aware recall against exact distances."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK = 128  # queries compared with the whole base at once


@dataclass(frozen=True)
class Dataset:
    """Base and query vectors, and for each query the exact distance of its k-th neighbour.

    Smaller is nearer: an inner product counts negated. Distances are int64 for integer vectors
    and float64 otherwise, so a tie is a tie.
    """

    name: str
    base_file: Path
    base: np.ndarray  # (n, d), mapped from the file
    queries: np.ndarray  # (nq, d)
    metric: str  # "l2" or "ip"
    k: int
    kth: np.ndarray  # (nq,)

    def fingerprint(self) -> str:
        """Changes with the base vectors, and so with any index built on them."""
        return f"{zlib.crc32(np.ascontiguousarray(self.base).data):08x}"

    def recall(self, ids: np.ndarray) -> float:
        """Mean share of the k answers that are at most as far as the k-th true neighbour.

        `ids` is (m, k) for the first m queries. Ids below 0 and repeated ids count for nothing.
        """
        ids = np.sort(ids, axis=1)
        new = np.diff(ids, axis=1, prepend=-1) > 0
        distance = exact_distances(self.base, self.queries[: len(ids)], ids, self.metric)
        return float((new & (distance <= self.kth[: len(ids), None])).sum() / (len(ids) * self.k))


def exact_distances(
    base: np.ndarray, queries: np.ndarray, ids: np.ndarray, metric: str
) -> np.ndarray:
    """Distances of queries[i] to base[ids[i, j]]; an id below 0 stands for any vector."""
    wide = np.int64 if np.issubdtype(base.dtype, np.integer) else np.float64
    out = np.empty(ids.shape, wide)
    for i, row in enumerate(ids):
        x = base[np.maximum(row, 0)].astype(wide)
        q = queries[i].astype(wide)
        # Summed row by row, so that equal vectors get equal distances wherever they stand.
        out[i] = ((x - q) ** 2).sum(axis=1) if metric == "l2" else -(x * q).sum(axis=1)
    return out


def load(folder: Path, k: int, limit: int | None, queries: int, metric: str | None) -> Dataset:
    """Reads base.*.npy, query.*.npy and, unless `limit` cuts the base short, gt.i32.npy.

    Without `metric`, vectors of unit length are compared by inner product, others by L2.
    Raises FileNotFoundError or ValueError where the folder is not in that format.
    """
    base_file = _the_file(folder, "base.*.npy")
    whole = np.load(base_file, mmap_mode="r")
    base = whole[:limit]
    query = np.load(_the_file(folder, "query.*.npy"))[:queries]
    if base.ndim != 2 or query.ndim != 2 or base.shape[1] != query.shape[1]:
        raise ValueError(
            f"{folder}: base is {base.shape} and query is {query.shape}; "
            "both must be matrices with the same number of columns"
        )
    if len(base) < k:
        raise ValueError(f"{folder}: {len(base)} base vectors; at least k = {k} are needed")
    metric = metric or _infer_metric(base)
    if len(base) == len(whole):
        truth = np.load(_the_file(folder, "gt.i32.npy"))[: len(query)]
        if truth.shape[0] != len(query) or truth.shape[1] < k:
            raise ValueError(
                f"{folder}/gt.i32.npy is {truth.shape}; "
                f"expected a row per query ({len(query)}) of at least {k} neighbours"
            )
    else:
        truth = _nearest(base, query, metric, min(2 * k, len(base)))
    # Sorted again, as the file's float32 order may swap neighbours that are nearly tied.
    kth = np.sort(exact_distances(base, query, truth, metric), axis=1)[:, k - 1]
    return Dataset(folder.resolve().name, base_file, base, query, metric, k, kth)


def _the_file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise FileNotFoundError(
            f"{folder}: {len(found)} files match {pattern}; expected exactly one"
        )
    return found[0]


def _infer_metric(base: np.ndarray) -> str:
    norms = np.linalg.norm(base[:1000].astype(np.float64), axis=1)
    return "ip" if np.abs(norms - 1).max() < 0.01 else "l2"


def _nearest(base: np.ndarray, queries: np.ndarray, metric: str, m: int) -> np.ndarray:
    """About the m nearest of each query: float32 may misplace near ties at the far end."""
    x = base.astype(np.float32)
    norms = np.einsum("ij,ij->i", x, x) if metric == "l2" else np.float32(0)
    out = np.empty((len(queries), m), np.int64)
    for begin in range(0, len(queries), BLOCK):
        q = queries[begin : begin + BLOCK].astype(np.float32)
        distance = norms - (2 if metric == "l2" else 1) * (q @ x.T)
        out[begin : begin + BLOCK] = np.argpartition(distance, m - 1, axis=1)[:, :m]
    return out
