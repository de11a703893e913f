"""Time of every kernel on every instruction set of this machine, one core.

    pip install "shortlist[bench,test]"
    pytest bench/micro

`cached` takes 32 rows that stay in the first-level cache; `gather` takes random rows out of a
million, 32 at a time, as a search of a graph does. `-k "gather and l2_u8"` picks some.
The kernels of compressed codes take what one vector, one query or one block of 32 has of them.
"""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from shortlist._core import _kernels

LEVELS = shortlist.simd_levels()
D = 128
ROWS = 1_000_000
GATHERED = 64_000


def row_type(op: str) -> np.dtype:
    if op in ("l2_scaled", "hamming_bits"):
        return np.dtype(np.uint8)
    types = {"32": np.float32, "16": np.float16, "u8": np.uint8, "i8": np.int8}
    return np.dtype(types[op[-2:]])


def query_for(op: str) -> np.ndarray:
    if op == "l2_scaled":
        return np.ones(2 * D, np.float32)
    return np.ones(D, row_type(op) if op.endswith(("_u8", "_i8", "_bits")) else np.float32)


@pytest.fixture(scope="module")
def million() -> np.ndarray:
    """Bytes for a million rows of the widest type; their values do not matter to the time."""
    return np.ones(ROWS * D * 4, np.uint8)


@pytest.fixture(scope="module")
def anywhere() -> np.ndarray:
    return np.random.default_rng(0).integers(0, ROWS, GATHERED, np.uint32)


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("op", _kernels.rows_ops)
def test_cached(measure, op: str, isa: str) -> None:
    dtype, repeat = row_type(op), 100
    base, query = np.ones((32, D), dtype), query_for(op)
    measure(
        lambda: _kernels.rows(isa, op, query, base, None, repeat),
        32 * repeat, "row", D * dtype.itemsize, "GB/s",
    )  # fmt: skip


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("op", _kernels.rows_ops)
def test_gather(measure, million: np.ndarray, anywhere: np.ndarray, op: str, isa: str) -> None:
    dtype = row_type(op)
    base = million[: ROWS * D * dtype.itemsize].view(dtype).reshape(ROWS, D)
    query = query_for(op)
    measure(
        lambda: _kernels.rows(isa, op, query, base, anywhere),
        GATHERED, "row", D * dtype.itemsize, "GB/s",
    )  # fmt: skip


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("kind", ["f32", "s16"])
def test_dots(measure, kind: str, isa: str) -> None:
    dot = _kernels.dot_f32 if kind == "f32" else _kernels.dot_s16
    dtype = np.float32 if kind == "f32" else np.int16
    a, b, repeat = np.ones((48, D), dtype), np.ones((64, D), dtype), 10
    measure(lambda: dot(isa, a, b, repeat), 48 * 64 * repeat, "pair", D, "multiply-adds/ns")


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("to", ["widen", "narrow"])
def test_halves(measure, to: str, isa: str) -> None:
    n = 8192
    if to == "widen":
        halves = np.ones(n, np.float16).view(np.uint16)
        measure(lambda: _kernels.widen_f16(isa, halves), n, "value", 2, "GB/s")
    else:
        floats = np.ones(n, np.float32)
        measure(lambda: _kernels.narrow_f16(isa, floats), n, "value", 4, "GB/s")


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("groups", [32, 96, 192])
def test_lut32(measure, groups: int, isa: str) -> None:
    rng, repeat = np.random.default_rng(0), 1000
    codes, table = rng.integers(0, 256, (2, 16 * groups), np.uint8)
    measure(
        lambda: _kernels.lut32(isa, codes, table, repeat),
        repeat, "32 vectors", 16 * groups, "GB/s",
    )  # fmt: skip


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("bits", [256, 384, 1024])
def test_near_bits(measure, bits: int, isa: str) -> None:
    base, repeat = np.ones((128, bits // 8), np.uint8), 100
    measure(
        lambda: _kernels.near_bits(isa, base[0], base, 0, repeat),
        128 * repeat, "row", bits // 8, "GB/s",
    )  # fmt: skip


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("m", [128, 384, 1024])
def test_lut_tables(measure, m: int, isa: str) -> None:
    q, repeat = np.ones(m, np.float32), 1000
    measure(lambda: _kernels.lut_tables(isa, q, 1, repeat), repeat, "query", m, "values/ns")


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("m", [128, 384, 1024])
def test_signs(measure, m: int, isa: str) -> None:
    r, repeat = np.ones(m, np.float32), 1000
    measure(lambda: _kernels.signs(isa, r, r, repeat), repeat, "vector", 8 * m, "GB/s")


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("n", [128, 1024])
def test_hadamard(measure, n: int, isa: str) -> None:
    x, factors, repeat = np.ones(n, np.float32), np.full(n, n**-0.5, np.float32), 1000
    measure(
        lambda: _kernels.hadamard(isa, factors, x, repeat),
        repeat, "transform", n * (n.bit_length() - 1), "additions/ns",
    )  # fmt: skip


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("d", [2, 8, 16])
def test_columns(measure, d: int, isa: str) -> None:
    """A part of a table of product-quantised codes of 8 bits."""
    query, columns, repeat = np.ones(d, np.float32), np.ones((d, 256), np.float32), 1000
    measure(
        lambda: _kernels.columns(isa, "l2", query, columns, repeat),
        256 * repeat, "row", 4 * d, "GB/s",
    )  # fmt: skip
