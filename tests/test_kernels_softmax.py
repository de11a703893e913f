"""Exponentials and weighted sums of rows, on every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import LEVELS, placed
from shortlist._core import _kernels

EPS = 2.0**-24
SIZES = [*range(71), 127, 128, 129, 200, 256, 384]


@pytest.mark.parametrize("n", SIZES)
def test_exponentials(isa: str, n: int, rng: np.random.Generator) -> None:
    x = rng.uniform(-87, 0, n).astype(np.float32) + np.float32(3)
    shift = np.float32(3)
    got, total = _kernels.exps(isa, x, shift)
    want = np.exp((x - shift).astype(np.float64))
    np.testing.assert_allclose(got, want, rtol=2.0**-21)
    np.testing.assert_allclose(total, want.sum(), rtol=2.0**-20)


def test_exponentials_at_the_edges(isa: str) -> None:
    x = np.array([0, -0.0, 80, -87, -88, -200, -1e30, -np.inf, np.nan] * 5, np.float32)
    got, total = _kernels.exps(isa, x, 0.0)
    assert np.isnan(total)
    assert np.isnan(got[8::9]).all()
    assert (got[0::9] == 1).all()
    assert (got[1::9] == 1).all()
    np.testing.assert_allclose(got[2::9], np.exp(80.0), rtol=2.0**-21)
    np.testing.assert_allclose(got[3::9], np.exp(-87.0), rtol=2.0**-21)
    for i in range(4, 8):
        assert (got[i::9] >= 0).all()
        assert (got[i::9] <= 2.0**-125).all()


def check_sum(
    isa: str, weights: np.ndarray, base: np.ndarray, rows: np.ndarray | None, out: np.ndarray
) -> None:
    listed = (base if rows is None else base[rows]).astype(np.float64)
    want = out + weights.astype(np.float64) @ listed
    size = abs(out) + abs(weights).astype(np.float64) @ abs(listed)
    got = out.copy()
    _kernels.weighted_sum(isa, weights, base, rows, got)
    assert (abs(got - want) <= (len(weights) + 3) * EPS * size + 1e-40).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_dimension(isa: str, dtype: type, rng: np.random.Generator) -> None:
    for d in SIZES:
        base = rng.normal(size=(9, d)).astype(dtype)
        out = rng.normal(size=d).astype(np.float32)
        for rows in (None, rng.integers(0, 9, 40, np.uint32), np.empty(0, np.uint32)):
            weights = rng.normal(size=9 if rows is None else len(rows)).astype(np.float32)
            check_sum(isa, weights, base, rows, out)


@given(data=st.data())
def test_any_shape_and_place(data: st.DataObject) -> None:
    isa = data.draw(st.sampled_from(LEVELS))
    dtype = np.dtype(data.draw(st.sampled_from([np.float32, np.float16])))
    n, d = data.draw(st.integers(1, 20)), data.draw(st.integers(0, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = rng.normal(size=(n, d)).astype(dtype)
    gap = data.draw(st.integers(0, 9)) * dtype.itemsize
    base = placed(rows, data.draw(st.integers(0, 7)), gap)
    listed = rng.integers(0, n, data.draw(st.integers(0, 99)), np.uint32)
    check_sum(isa, rng.random(len(listed), np.float32), base, listed, np.zeros(d, np.float32))
