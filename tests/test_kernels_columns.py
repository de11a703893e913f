"""Distances of upright rows, on every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import LEVELS
from shortlist._core import _kernels

EPS = 2.0**-24
COUNTS = [*range(40), 63, 64, 65, 127, 128, 129, 143, 256]


def check(isa: str, family: str, query: np.ndarray, columns: np.ndarray) -> None:
    q, x = query.astype(np.float64)[:, None], columns.astype(np.float64)
    terms = (q - x) ** 2 if family == "l2" else q * x
    size = ((abs(q) + abs(x)) ** 2 if family == "l2" else abs(q * x)).sum(0)
    got = _kernels.columns(isa, family, query, columns)
    assert got.shape == (columns.shape[1],)
    assert (abs(got - terms.sum(0)) <= (len(query) + 3) * EPS * size + 1e-40).all()


@pytest.mark.parametrize("family", ["l2", "ip"])
def test_every_number_of_rows(isa: str, family: str, rng: np.random.Generator) -> None:
    for n in COUNTS:
        for d in (0, 1, 2, 3, 8, 17):
            query = rng.normal(size=d).astype(np.float32)
            check(isa, family, query, rng.normal(size=(d, n)).astype(np.float32))


@given(data=st.data())
def test_any_shape_and_scale(data: st.DataObject) -> None:
    isa = data.draw(st.sampled_from(LEVELS))
    n, d = data.draw(st.integers(0, 300)), data.draw(st.integers(0, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    query, columns = (
        (rng.normal(size=shape) * 10.0 ** rng.integers(-15, 15)).astype(np.float32)
        for shape in (d, (d, n))
    )
    check(isa, data.draw(st.sampled_from(["l2", "ip"])), query, columns)


def test_whole_numbers_are_exact(isa: str, rng: np.random.Generator) -> None:
    query, columns = (rng.integers(-99, 99, shape).astype(np.float32) for shape in (9, (9, 70)))
    np.testing.assert_array_equal(
        _kernels.columns(isa, "l2", query, columns), ((query[:, None] - columns) ** 2).sum(0)
    )
    np.testing.assert_array_equal(_kernels.columns(isa, "ip", query, columns), query @ columns)


@pytest.mark.parametrize("family", ["l2", "ip"])
def test_what_is_no_number_stays_in_its_row(isa: str, family: str) -> None:
    columns = np.ones((3, 40), np.float32)
    columns[1, 7], columns[2, 39] = np.nan, np.inf
    got = _kernels.columns(isa, family, np.ones(3, np.float32), columns)
    assert np.isnan(got[7])
    assert np.isinf(got[39])
    assert np.isfinite(np.delete(got, [7, 39])).all()
