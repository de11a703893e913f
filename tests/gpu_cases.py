"""What the tests of the GPU's kernels share: engines, rows as bytes, and queries as jobs take them.

The same source runs in two engines: compiled for this process, lane by lane in an order that
changes from step to step, and on a GPU where there is one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from shortlist._core import _gpu

TYPES = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16, "u8": np.uint8, "i8": np.int8}
PER_UNIT = {"f32": 4, "f16": 8, "bf16": 8}  # numbers in 16 bytes


def to_bf16(x: np.ndarray) -> np.ndarray:
    """Rounded to nearest even; no NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.uint32) << 16).view(np.float32)


def rows_of(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    number = kind.split("_")[-1]
    if number in ("u8", "hamming"):
        return rng.integers(0, 256, (n, d)).astype(np.uint8)
    if number == "i8":
        return rng.integers(-128, 128, (n, d)).astype(np.int8)
    x = rng.normal(size=(n, d)).astype(np.float32)
    return {"f32": lambda: x, "f16": lambda: x.astype(np.float16), "bf16": lambda: to_bf16(x)}[
        number
    ]()


def wide(kind: str, x: np.ndarray) -> np.ndarray:
    """As float64."""
    return (from_bf16(x) if kind.endswith("bf16") and x.dtype == np.uint16 else x).astype(float)


def as_bytes(rows: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(rows)
    return rows.view(np.uint8).reshape(len(rows), -1)


def queries_for(kind: str, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Bytes of queries, with zeros up to the length that rows have in units."""
    units = -(-as_bytes(rows).shape[1] // 16)
    number = kind.split("_")[-1]
    if number in PER_UNIT:
        out = np.zeros((len(queries), units * PER_UNIT[number]), np.float32)
    else:
        out = np.zeros((len(queries), units * 16), queries.dtype)
    out[:, : queries.shape[1]] = queries
    out = as_bytes(out)
    assert out.shape[1] == _gpu.query_bytes(kind, units)
    return out


def truth(kind: str, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Distances in float64, as jobs tell them."""
    if kind == "hamming":
        differ = np.bitwise_xor(queries[:, None], rows[None])
        return np.unpackbits(differ, axis=2).sum(2).astype(float)
    x, q = wide(kind, rows), queries.astype(float)
    if kind.startswith("ip"):
        return -(q @ x.T)
    return ((q[:, None] - x[None]) ** 2).sum(2)


def query_rows(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    if kind.split("_")[-1] in PER_UNIT:
        return rng.normal(size=(n, d)).astype(np.float32)
    return rows_of(rng, kind, n, d)


def nearest(distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """faiss's shape, ties by number, NaN nowhere."""
    told = np.full((len(distances), k), np.finfo(np.float32).max, np.float32)
    numbers = np.full((len(distances), k), -1, np.int64)
    for row, (found, at) in enumerate(zip(distances, numbers, strict=True)):
        kept = np.flatnonzero(~np.isnan(found))
        order = kept[np.lexsort((kept, found[kept]))][:k]
        told[row, : len(order)], at[: len(order)] = found[order], order
    return told, numbers


def planes_of(values: np.ndarray, bits: int) -> np.ndarray:
    """Whole numbers (n, m) as `bits` planes, high bits first, m a multiple of 128; a negative one
    as two's complement."""
    held = values.astype(np.int64) & ((1 << bits) - 1)
    planes = [np.packbits(held >> b & 1, axis=1, bitorder="little") for b in reversed(range(bits))]
    return np.concatenate(planes, 1).astype(np.uint8)


def host(seed: int, lanes: int = 32, chunks: int = 1) -> Any:
    return _gpu.host_engine(lanes, chunks, seed)
