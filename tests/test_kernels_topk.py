"""The kernels behind the k nearest, on every instruction set, against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import LEVELS
from shortlist._core import _kernels


def check_kept(isa: str, x: np.ndarray, k: int) -> int:
    beside = np.arange(len(x), dtype=np.uint32)[::-1].copy()
    kept, numbers, bound = _kernels.keep_nearest(isa, x, beside, k)
    assert bound >= np.sort(x)[k - 1]
    near = x <= bound
    if len(kept) == len(x):  # nothing could be told apart, or all is within the bound
        near[:] = True
    np.testing.assert_array_equal(kept, x[near])
    np.testing.assert_array_equal(numbers, beside[near])
    assert len(kept) >= k
    return len(kept)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, 166, 500])
def test_the_nearest_stay(isa: str, n: int, rng: np.random.Generator) -> None:
    for k in {1, 2, n // 3, n - 1, n} & set(range(1, n + 1)):
        for spread in (1e-3, 1, 1e30):
            check_kept(isa, (rng.normal(size=n) * spread).astype("f4"), k)


def test_few_others_stay(isa: str, rng: np.random.Generator) -> None:
    for k in (10, 70, 200):
        for x in (
            rng.normal(size=4 * k),
            rng.exponential(size=4 * k),
            np.r_[rng.normal(size=4 * k - 1), 1e6],
            np.sort(rng.normal(size=4 * k) ** 3),
        ):
            assert check_kept(isa, x.astype("f4"), k) < 2 * k


def test_ties_and_extremes(isa: str) -> None:
    inf, most = np.float32(np.inf), np.finfo(np.float32).max
    for x in (
        np.zeros(50, "f4"),
        np.tile(np.float32([0, -0.0]), 20),
        np.repeat(np.float32([1, 2]), 30),
        np.float32([-inf] * 3 + [0] * 30),
        np.float32([-most, most] * 20),
        np.float32([-most, 0, most, 1e-45] * 9),
        np.nextafter(np.full(40, 1, "f4"), np.float32(2), dtype="f4"),
    ):
        for k in (1, 2, 20, len(x)):
            check_kept(isa, x, min(k, len(x)))


@given(data=st.data())
def test_any_distances(data: st.DataObject) -> None:
    isa = data.draw(st.sampled_from(LEVELS))
    x = np.float32(data.draw(st.lists(st.floats(width=32, allow_nan=False), min_size=1)))
    check_kept(isa, x[x < np.inf] if (x < np.inf).any() else np.zeros(1, "f4"), 1)
    finite = x[np.isfinite(x)]
    if len(finite):
        check_kept(isa, finite, data.draw(st.integers(1, len(finite))))


@pytest.mark.parametrize("blocks", [0, 1, 2, 5, 8])
def test_marked_distances_are_taken_in_order(
    isa: str, blocks: int, rng: np.random.Generator
) -> None:
    for chance in (0.0, 0.02, 0.5, 1.0):
        for first in (0, 64, 2**32 - 32 * max(blocks, 1)):
            x = rng.normal(size=32 * blocks).astype("f4")
            marks = rng.random((blocks, 32)) < chance
            masks = np.packbits(marks, axis=1, bitorder="little").view(np.uint32).ravel()
            got, numbers = _kernels.take_marked(isa, x, masks, first)
            want = np.flatnonzero(marks)
            np.testing.assert_array_equal(got, x[want])
            np.testing.assert_array_equal(numbers, first + want)


def test_calls_that_make_no_sense_are_refused(isa: str) -> None:
    x, beside = np.zeros(4, "f4"), np.zeros(4, "u4")
    for k in (0, 5):
        with pytest.raises(ValueError, match="k must be"):
            _kernels.keep_nearest(isa, x, beside, k)
    with pytest.raises(ValueError, match="as many"):
        _kernels.keep_nearest(isa, x, beside[:3], 1)
    with pytest.raises(ValueError, match="32 distances"):
        _kernels.take_marked(isa, x, np.zeros(1, "u4"), 0)
