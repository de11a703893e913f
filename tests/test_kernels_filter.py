"""Rows as whole numbers, and bounds from their products, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import LEVELS, placed
from shortlist._core import _kernels

SIZES = [*range(1, 70), 95, 96, 97, 127, 128, 129, 300, 771]


@pytest.mark.parametrize("levels", [1, 63, 127])
def test_codes_and_what_they_leave(isa: str, levels: int, rng: np.random.Generator) -> None:
    for d in SIZES:
        x, centre = rng.normal(size=(2, d)).astype(np.float32)
        codes, scale, square, error = _kernels.quantize(isa, x, centre, levels)
        v = x - centre
        assert scale == np.float32(abs(v).max()) / np.float32(levels)
        assert abs(codes).max() == levels
        assert not codes[d:].any()
        rest = v - np.float64(scale) * codes[:d]
        assert abs(rest).max() <= scale * 0.50001
        wanted = [(v**2).sum(), (rest**2).sum()]
        np.testing.assert_allclose([square, error], wanted, rtol=1e-4, atol=1e-9 * square)
        reference = _kernels.quantize("reference", x, centre, levels)
        np.testing.assert_array_equal(codes, reference[0])


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 1e-30, 1e18])
def test_codes_of_tiny_and_large_rows(isa: str, size: float) -> None:
    x = np.full(37, size, np.float32) * np.where(np.arange(37) % 3, 1, -1).astype(np.float32)
    codes, scale, square, error = _kernels.quantize(isa, x, np.zeros(37, np.float32), 127)
    rest = x.astype(np.float64) - np.float64(scale) * codes[:37]
    assert np.isfinite([scale, square, error]).all()
    np.testing.assert_allclose(error, (rest**2).sum(), rtol=1e-5, atol=1e-9 * square + 1e-43)


def a_block(rng: np.random.Generator, n: int, d: int) -> dict[str, np.ndarray]:
    return {
        "a": rng.integers(-127, 128, (n, d), np.int8),
        "rows": rng.random((n, 3)).astype(np.float32),
        "offsets": rng.integers(-8000, 8000, n).astype(np.int32),
        "codes": rng.integers(0, 128, 64 * d, np.uint8),
        "scale": rng.random(64).astype(np.float32),
        "bias": rng.normal(size=64).astype(np.float32) * 1000,
        "error": rng.random(64).astype(np.float32) * 100,
    }


def bounds(block: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of all pairs in float64, and how far rounding to float32 may move them."""
    d = block["a"].shape[1]
    unpacked = block["codes"].reshape(d // 4, 64, 4).transpose(1, 0, 2).reshape(64, d)
    sums = block["offsets"][:, None] + block["a"].astype(np.int64) @ unpacked.T.astype(np.int64)
    scale, size, _ = block["rows"].astype(np.float64).T[:, :, None]
    terms = (block["bias"], size * block["error"], scale * block["scale"] * sums)
    return terms[0] - terms[1] - terms[2], 4e-7 * sum(map(np.abs, terms))


def bits(passing: np.ndarray) -> np.ndarray:
    return np.unpackbits(passing.view(np.uint8), bitorder="little").reshape(-1, 64).astype(bool)


def check_filter(isa: str, block: dict[str, np.ndarray]) -> None:
    passing = bits(_kernels.filter(isa, **block))
    bound, slack = bounds(block)
    limit = block["rows"][:, 2:]
    assert passing[bound <= limit - slack].all()
    assert not passing[bound > limit + slack].any()


@given(data=st.data())
def test_bounds_of_all_pairs(data: st.DataObject) -> None:
    isa, n = data.draw(st.sampled_from(LEVELS)), data.draw(st.integers(0, 14))
    d = 4 * data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    block = a_block(rng, n, d)
    block["rows"][:, 2] = np.quantile(bounds(block)[0], rng.random(n), axis=1).diagonal()
    gap = 4 * data.draw(st.integers(0, 3))
    block["a"] = placed(block["a"], data.draw(st.integers(0, 64)), gap)
    check_filter(isa, block)


def test_extreme_codes_are_summed_exactly(isa: str, rng: np.random.Generator) -> None:
    for d in (4, 128, 1024, 65536):
        block = a_block(rng, 7, d)
        block["a"][:] = rng.choice([-127, 127], (7, 1))
        block["codes"][:] = rng.choice([0, 127], 64 * d)
        block["rows"][:, 0] = block["scale"][:] = 1
        block["rows"][:, 1] = block["error"][:] = block["bias"][:] = 0
        block["rows"][:, 2] = np.median(bounds(block)[0], axis=1)
        check_filter(isa, block)


def test_limits_that_all_or_none_pass(isa: str, rng: np.random.Generator) -> None:
    block = a_block(rng, 9, 8)
    for limit, bits in ((np.inf, 2**64 - 1), (np.nan, 2**64 - 1), (-np.inf, 0)):
        block["rows"][:, 2] = limit
        assert (_kernels.filter(isa, **block) == bits).all()


@given(data=st.data())
def test_bounds_of_floats(data: st.DataObject) -> None:
    isa, n = data.draw(st.sampled_from(LEVELS)), data.draw(st.integers(0, 14))
    d, gap = data.draw(st.integers(1, 20)), 4 * data.draw(st.integers(0, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((n, d), (d, 64)))
    bias = rng.normal(size=64).astype(np.float32)
    bound = bias - a.astype(np.float64) @ b
    slack = 2e-6 * (abs(bias) + abs(a) @ abs(b))
    limits = np.quantile(bound, rng.random(n), axis=1).diagonal().astype(np.float32)
    a = placed(a, 4 * data.draw(st.integers(0, 16)), gap)
    passing = bits(_kernels.filter_f32(isa, a, limits, b, bias))
    assert passing[bound <= limits[:, None] - slack].all()
    assert not passing[bound > limits[:, None] + slack].any()
    for limit, wanted in ((np.inf, True), (np.nan, True), (-np.inf, False)):
        every = bits(_kernels.filter_f32(isa, a, np.full(n, limit, np.float32), b, bias))
        assert (every == wanted).all()
