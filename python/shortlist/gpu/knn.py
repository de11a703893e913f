"""The nearest of some vectors among others, on a GPU, without keeping an index."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .._core import METRIC_L2, ArgumentError, DimensionError, UnsupportedError
from .arrays import Array, in_kind, look, to_numpy
from .flat import GpuIndexFlat, GpuIndexFlatConfig
from .resources import StandardGpuResources

__all__ = ["knn_gpu"]


def knn_gpu(
    res: StandardGpuResources,
    xq: Any,
    xb: Any,
    k: int,
    D: Any = None,
    I: Any = None,
    metric: int = METRIC_L2,
    device: int = -1,
    use_cuvs: bool = False,
    vectorsMemoryLimit: int = 0,
    queriesMemoryLimit: int = 0,
) -> tuple[Any, Any]:
    """The k nearest rows of xb (n, d) to each row of xq (m, d): (D, I) as GpuIndexFlat.search.

    Both are float32 or float16, in any layout, in host memory or on the GPU. xb is copied into an
    index, in its type; sums are float32. I may be int32 or int64. device: the GPU, by default that
    of the arrays, else 0. vectorsMemoryLimit and queriesMemoryLimit: bytes of xb and xq in host
    memory that go to the GPU at a time; 0 is all of them.

    Raises ArgumentError for limits and devices that cannot be, TypeError for other dtypes,
    UnsupportedError for use_cuvs; else as GpuIndexFlat does.
    """
    if use_cuvs:
        raise UnsupportedError("use_cuvs = True is not available; leave it at False")
    queries, vectors = look(xq, "xq"), look(xb, "xb")
    for x, name in ((queries, "xq"), (vectors, "xb")):
        if x.dtype not in ("float32", "float16"):
            raise TypeError(f"{name} has dtype {x.dtype}; expected float32 or float16")
        if len(x.shape) != 2:
            raise DimensionError(f"{name} has shape {x.shape}; expected 2 dimensions (n, d)")
    if queries.shape[1] != vectors.shape[1]:
        raise DimensionError(
            f"xq has {queries.shape[1]} dimensions and xb {vectors.shape[1]}; expected as many"
        )
    config = GpuIndexFlatConfig(
        device=_device(device, queries, vectors), useFloat16=vectors.dtype == "float16"
    )
    index = GpuIndexFlat(res, queries.shape[1], metric, config)
    wanted = None if I is None else look(I, "I")
    narrow = wanted is not None and wanted.dtype == "int32"
    if narrow and wanted is not None and wanted.shape != (queries.shape[0], k):
        raise DimensionError(f"I has shape {wanted.shape}; expected {(queries.shape[0], k)}")
    ids = None if narrow else I
    rows = _rows_within(vectorsMemoryLimit, "vectorsMemoryLimit", vectors)
    asked = _rows_within(queriesMemoryLimit, "queriesMemoryLimit", queries)
    if rows >= vectors.shape[0] and asked >= queries.shape[0]:
        index.add(xb)
        near, found = index.search(xq, k, D=D, I=ids)
    else:
        near, found = _in_parts(index, queries, vectors, k, rows, asked, D, ids)
    if not narrow:
        return near, found
    I[...] = found  # torch, CuPy and numpy narrow them
    return near, I


def _device(asked: int, queries: Array, vectors: Array) -> int:
    """The GPU asked for, or where the arrays are."""
    if asked != -1:
        return operator.index(asked)
    return next((x.device for x in (vectors, queries) if x.device is not None), 0)


def _rows_within(limit: int, name: str, x: Array) -> int:
    """How many rows of x go to the GPU at a time."""
    if limit < 0:
        raise ArgumentError(f"{name} = {limit}; expected 0 for no limit, or bytes")
    n, d = x.shape
    if limit == 0 or x.device is not None:
        return n
    row = d * np.dtype(x.dtype).itemsize
    if limit < row:
        raise ArgumentError(f"{name} = {limit}; a row takes {row} bytes")
    return limit // row


def _in_parts(
    index: GpuIndexFlat,
    queries: Array,
    vectors: Array,
    k: int,
    rows: int,
    asked: int,
    D: Any,
    I: Any,
) -> tuple[Any, Any]:
    """Parts of xb one after the other, and of xq for each; their nearest are merged on the host."""
    xq, xb = to_numpy(queries), to_numpy(vectors)
    worst = np.finfo(np.float32).max * (1 if index.metric_type == METRIC_L2 else -1)
    n = xq.shape[0]
    near, found = np.full((n, k), worst, np.float32), np.full((n, k), -1, np.int64)
    for begin in range(0, xb.shape[0], rows):
        index.reset()
        index.add(xb[begin : begin + rows])
        for first in range(0, n, asked):
            own = slice(first, first + asked)
            told, ids = index.search(xq[own], k)
            both = np.concatenate([near[own], told], 1)
            names = np.concatenate([found[own], np.where(ids < 0, -1, ids + begin)], 1)
            order = np.lexsort((both if worst > 0 else -both, names < 0))[:, :k]
            near[own] = np.take_along_axis(both, order, 1)
            found[own] = np.take_along_axis(names, order, 1)
    return _handed(near, D, queries), _handed(found, I, queries)


def _handed(made: Any, wanted: Any, like: Array) -> Any:
    made = in_kind(like, made)
    if wanted is None:
        return made
    wanted[...] = made
    return wanted
