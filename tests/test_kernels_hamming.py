"""Which rows of bits are near a query, on every instruction set. test_kernels.py has distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import LEVELS, placed
from shortlist._core import _kernels

SIZES = [*range(1, 70), 95, 96, 97, 127, 128, 129, 192, 1000]


def check(isa: str, query: np.ndarray, base: np.ndarray, limit: int) -> None:
    near = _kernels.near_bits(isa, query, base, limit)
    got = np.unpackbits(near.view(np.uint8), bitorder="little")
    want = np.unpackbits(query ^ base, axis=1).sum(1) < limit
    np.testing.assert_array_equal(got[: len(base)], want)
    assert not got[len(base) :].any()


@pytest.mark.parametrize("n", [0, 1, 3, 8, 31, 63, 64, 65, 128, 200])
def test_every_size(isa: str, n: int, rng: np.random.Generator) -> None:
    for bytes_ in SIZES:
        base = rng.integers(0, 256, (n, bytes_), np.uint8)
        query = rng.integers(0, 256, bytes_, np.uint8)
        for limit in (4 * bytes_, 4 * bytes_ + 1):
            check(isa, query, base, limit)


def test_limits_at_the_edges(isa: str, rng: np.random.Generator) -> None:
    for bytes_ in (1, 16, 32, 48, 64, 96, 128, 200):
        query = rng.integers(0, 256, bytes_, np.uint8)
        base = np.stack([query, ~query, query ^ 1] * 30)
        for limit in (
            0,
            1,
            bytes_,
            bytes_ + 1,
            8 * bytes_,
            8 * bytes_ + 1,
            65535,
            65536,
            2**32 - 1,
        ):
            check(isa, query, base, limit)


@pytest.mark.parametrize("bytes_", [4095, 4096, 8191, 8192, 8193, 40000])
def test_counts_that_outgrow_16_bits(isa: str, bytes_: int) -> None:
    query = np.zeros(bytes_, np.uint8)
    base = np.repeat(np.array([[0], [255], [1]], np.uint8), bytes_, axis=1)[np.arange(70) % 3]
    for limit in (1, bytes_, bytes_ + 1, 8 * bytes_, 8 * bytes_ + 1):
        check(isa, query, base, limit)


@given(data=st.data())
def test_any_shape_and_place(data: st.DataObject) -> None:
    isa = data.draw(st.sampled_from(LEVELS))
    n, bytes_ = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    base = placed(rng.integers(0, 256, (n, bytes_), np.uint8), data.draw(st.integers(0, 64)), 0)
    query = base[rng.integers(n)] ^ rng.integers(0, 2, bytes_, np.uint8)
    check(isa, query, base, data.draw(st.integers(0, 8 * bytes_ + 2)))
