"""Every kernel on every instruction set of this machine, against the scalar one and numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import shortlist
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import LEVELS, placed
from shortlist._core import _kernels

SMALL = [*range(71), 127, 128, 129, 384, 1000]
LONG = [32767, 32768, 32769, 33026, 70000]  # beyond what a 32-bit sum of byte products holds
EPS = 2.0**-24


@dataclass(frozen=True)
class Op:
    """A rows kernel: its arithmetic, and the types of its query and rows."""

    name: str

    @property
    def squares(self) -> bool:
        return self.name.startswith("l2")

    @property
    def scaled(self) -> bool:
        return self.name == "l2_scaled"

    @property
    def bits(self) -> bool:
        return self.name == "hamming_bits"

    @property
    def exact(self) -> bool:
        return self.bits or self.name.endswith(("_u8", "_i8"))

    @property
    def row(self) -> np.dtype:
        if self.scaled or self.bits:
            return np.dtype(np.uint8)
        for suffix, dtype in (("u8", "u1"), ("i8", "i1"), ("f16", "f2"), ("f32", "f4")):
            if self.name.endswith(suffix):
                return np.dtype(dtype)
        raise ValueError(self.name)

    @property
    def query(self) -> np.dtype:
        return self.row if self.exact else np.dtype(np.float32)

    def oracle(self, query: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The true values, and the error that the header's contract allows for each."""
        if self.bits:
            value = np.unpackbits(query ^ rows, axis=1).sum(1).astype(np.float32)
            return value, np.zeros(len(rows))
        wide = np.int64 if self.exact else np.float64
        q, x = query.astype(wide), rows.astype(wide)
        if self.scaled:
            a, s = np.split(q, 2)
            terms, size = (a - s * x) ** 2, (abs(a) + abs(s * x)) ** 2
        elif self.squares:
            terms, size = (q - x) ** 2, (abs(q) + abs(x)) ** 2
        else:
            terms, size = q * x, abs(q * x)
        if self.exact:
            value = terms.sum(1).astype(np.float32)
            return value, np.zeros(len(rows))
        return terms.sum(1), (rows.shape[1] + 3) * EPS * size.sum(1) + 1e-40


OPS = [Op(name) for name in _kernels.rows_ops]


@pytest.fixture(params=OPS, ids=lambda op: op.name)
def op(request: pytest.FixtureRequest) -> Op:
    return request.param


def only(wanted: Callable[[Op], bool]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("op", [op for op in OPS if wanted(op)], ids=lambda op: op.name)


def values(rng: np.random.Generator, shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def query_for(rng: np.random.Generator, op: Op, d: int) -> np.ndarray:
    return values(rng, 2 * d if op.scaled else d, op.query)


def check(isa: str, op: Op, query: np.ndarray, base: np.ndarray, ids: np.ndarray | None) -> None:
    got = _kernels.rows(isa, op.name, query, base, ids)
    want, error = op.oracle(query, base if ids is None else base[ids])
    assert got.shape == want.shape
    assert np.all(abs(got - want) <= error), (op.name, base.shape, got, want)
    reference = _kernels.rows("reference", op.name, query, base, ids)
    assert np.all(abs(got.astype(np.float64) - reference) <= 2 * error)


# --- rows ------------------------------------------------------------------------------------


def test_every_dimension(isa: str, op: Op, rng: np.random.Generator) -> None:
    for d in SMALL:
        base, query = values(rng, (9, d), op.row), query_for(rng, op, d)
        check(isa, op, query, base, None)
        check(isa, op, query, base, rng.integers(0, 9, 7, np.uint32))


@pytest.mark.parametrize("n", range(14))
def test_every_number_of_rows(isa: str, op: Op, n: int, rng: np.random.Generator) -> None:
    base, query = values(rng, (n, 37), op.row), query_for(rng, op, 37)
    check(isa, op, query, base, None)
    check(isa, op, query, base, np.arange(n, dtype=np.uint32)[::-1].copy())
    check(isa, op, query, values(rng, (20, 37), op.row), rng.integers(0, 20, n, np.uint32))


@pytest.mark.parametrize("n", [31, 32, 33, 100, 1000])
def test_long_lists_of_ids(isa: str, op: Op, n: int, rng: np.random.Generator) -> None:
    base, query = values(rng, (300, 24), op.row), query_for(rng, op, 24)
    check(isa, op, query, base, rng.integers(0, 300, n, np.uint32))


def test_no_alignment_is_needed(isa: str, op: Op, rng: np.random.Generator) -> None:
    for d in (1, 7, 16, 33, 100):
        for offset, gap in ((1, 0), (3, 1), (2, 5), (63, 64)):
            base = placed(values(rng, (6, d), op.row), offset, gap)
            query = placed(query_for(rng, op, d)[None], offset, 0)[0]
            check(isa, op, query, base, None)
            check(isa, op, query, base, np.array([5, 0, 0, 3, 1, 5, 4], np.uint32))


def test_repeated_rows_tie_exactly(isa: str, op: Op, rng: np.random.Generator) -> None:
    # Rows of one call go through different code (blocks of four, then singles), so equality holds
    # within each kind for floats, and everywhere for integers.
    base, query = values(rng, (2, 75), op.row), query_for(rng, op, 75)
    got = _kernels.rows(isa, op.name, query, base, np.zeros(11, np.uint32))
    assert np.unique(got[:8]).size == 1
    assert np.unique(got[8:]).size == 1
    if op.exact:
        assert got[0] == got[8]


def test_a_row_is_at_distance_zero_from_itself(isa: str, rng: np.random.Generator) -> None:
    for name, dtype in (("l2_f32", "f4"), ("l2_u8", "u1"), ("l2_i8", "i1"), ("hamming_bits", "u1")):
        base = values(rng, (5, 101), np.dtype(dtype))
        assert _kernels.rows(isa, name, base[3], base)[3] == 0


@only(lambda op: op.exact)
@pytest.mark.parametrize("d", LONG)
def test_integers_are_exact_however_long(isa: str, op: Op, d: int) -> None:
    low, high = np.iinfo(op.row).min, np.iinfo(op.row).max
    base = np.stack([np.full(d, low), np.full(d, high), np.arange(d) % 2 * (high - low) + low] * 2)
    for fill in (low, high):
        check(isa, op, np.full(d, fill, op.row), base.astype(op.row), None)


@only(lambda op: op.row.kind != "f")
def test_extreme_bytes(isa: str, op: Op, rng: np.random.Generator) -> None:
    info = np.iinfo(op.row)
    for d in (1, 15, 16, 31, 32, 33, 63, 64, 65, 200):
        base = rng.choice(np.array([info.min, info.max], op.row), (8, d))
        base[0], base[1] = info.min, info.max
        for fill in (info.min, info.max, 0):
            query = np.full(2 * d if op.scaled else d, fill).astype(op.query)
            check(isa, op, query, base, None)


def test_zeros(isa: str, op: Op) -> None:
    base = np.zeros((6, 45), op.row)
    query = np.zeros(90 if op.scaled else 45, op.query)
    assert np.all(_kernels.rows(isa, op.name, query, base) == 0)


@only(lambda op: op.row.kind == "f")
@pytest.mark.parametrize("d", [1, 5, 8, 16, 19, 64, 100])
def test_infinities_and_nan_follow_ieee(isa: str, op: Op, d: int) -> None:
    for at in {0, d // 2, d - 1}:
        base = np.ones((6, d), op.row)
        base[:5, at] = [np.inf, -np.inf, np.nan, 1, np.inf]
        got = _kernels.rows(isa, op.name, np.full(d, 2, np.float32), base)
        inf = np.inf if op.squares else -np.inf
        finite = d if op.squares else 2 * d
        np.testing.assert_array_equal(got, [np.inf, inf, np.nan, finite, np.inf, finite])


@only(lambda op: not op.exact)
def test_a_query_with_nan_or_infinity(isa: str, op: Op) -> None:
    for bad in (np.nan, np.inf):
        query = np.ones(2 * 21 if op.scaled else 21, np.float32)
        query[20] = bad
        got = _kernels.rows(isa, op.name, query, np.full((7, 21), 3, op.row))
        np.testing.assert_array_equal(got, np.full(7, bad))


def test_huge_floats_overflow_to_infinity_only(isa: str) -> None:
    big = np.full((5, 40), 3e38, np.float32)
    assert np.all(_kernels.rows(isa, "l2_f32", -big[0], big) == np.inf)
    assert np.all(_kernels.rows(isa, "ip_f32", -big[0], big) == -np.inf)


def test_subnormal_and_largest_halves(isa: str) -> None:
    bits = np.array([0x0001, 0x03FF, 0x0400, 0x8001, 0x83FF, 0x7BFF, 0xFBFF, 0, 0x8000], np.uint16)
    base = np.tile(bits.view(np.float16), (5, 3))
    for name in ("l2_f16", "ip_f16"):
        check(isa, Op(name), np.ones(27, np.float32), base, None)
    tiny = np.full((4, 9), bits[0], np.uint16).view(np.float16)
    assert np.all(_kernels.rows(isa, "ip_f16", np.ones(9, np.float32), tiny) == 9 * 2.0**-24)


@given(data=st.data())
def test_any_shape(data: st.DataObject) -> None:
    isa, op = data.draw(st.sampled_from(LEVELS)), data.draw(st.sampled_from(OPS))
    n, d = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    base = placed(
        values(rng, (n, d), op.row), data.draw(st.integers(0, 64)), data.draw(st.integers(0, 70))
    )
    ids = data.draw(st.none() | st.lists(st.integers(0, n - 1), max_size=50))
    check(isa, op, query_for(rng, op, d), base, None if ids is None else np.array(ids, np.uint32))


# --- gemm ------------------------------------------------------------------------------------


def check_dots(isa: str, a: np.ndarray, b: np.ndarray) -> None:
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    error = (a.shape[1] + 3) * EPS * (abs(wide_a) @ abs(wide_b).T) + 1e-40
    assert np.all(abs(_kernels.dot_f32(isa, a, b) - wide_a @ wide_b.T) <= error)


def check_dots_s16(isa: str, a: np.ndarray, b: np.ndarray) -> None:
    want = a.astype(np.int64) @ b.astype(np.int64).T
    np.testing.assert_array_equal(_kernels.dot_s16(isa, a, b), want)


def test_dots_of_every_shape(isa: str, rng: np.random.Generator) -> None:
    for d in (0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 384, 1000):
        for na in range(10):
            for nb in (0, 1, 2, 3, 4, 5, 7, 8, 9, 13):
                a, b = (rng.normal(size=(n, d)).astype(np.float32) for n in (na, nb))
                check_dots(isa, a, b)
                a, b = (rng.integers(-255, 256, (n, d), np.int16) for n in (na, nb))
                check_dots_s16(isa, a, b)


@pytest.mark.parametrize(("x", "y"), [(255, 255), (255, -255), (-128, -128), (-128, 127)])
def test_dots_at_the_limit_of_their_sums(isa: str, x: int, y: int) -> None:
    d = (2**31 - 1) // abs(x * y)
    check_dots_s16(isa, np.full((5, d), x, np.int16), np.full((5, d), y, np.int16))


@given(data=st.data())
def test_dots_with_any_leading_dimension(data: st.DataObject) -> None:
    isa = data.draw(st.sampled_from(LEVELS))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    d = data.draw(st.integers(0, 200))
    shapes = [(data.draw(st.integers(0, 12)), d) for _ in range(2)]
    pads = [data.draw(st.integers(0, 9)) for _ in range(2)]
    a, b = (
        placed(values(rng, s, np.dtype(np.float32)), 0, 4 * p)
        for s, p in zip(shapes, pads, strict=True)
    )
    check_dots(isa, a, b)
    a, b = (
        placed(rng.integers(-255, 256, s, np.int16), 0, 2 * p)
        for s, p in zip(shapes, pads, strict=True)
    )
    check_dots_s16(isa, a, b)


# --- half precision --------------------------------------------------------------------------

ALL_HALVES = np.arange(2**16, dtype=np.uint16)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 2**16 - 3, 2**16])
def test_halves_widen_as_numpy_does(isa: str, n: int) -> None:
    halves = ALL_HALVES[::-1][:n].copy()
    want = halves.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(_kernels.widen_f16(isa, halves), want)


def test_halves_widen_alike_to_the_bit(isa: str) -> None:
    got = _kernels.widen_f16(isa, ALL_HALVES).view(np.uint32)
    want = _kernels.widen_f16("reference", ALL_HALVES).view(np.uint32)
    np.testing.assert_array_equal(got, want)


def test_every_half_survives_a_round_trip(isa: str) -> None:
    back = _kernels.narrow_f16(isa, _kernels.widen_f16(isa, ALL_HALVES))
    nan = np.isnan(ALL_HALVES.view(np.float16))
    np.testing.assert_array_equal(back[~nan], ALL_HALVES[~nan])
    assert np.isnan(back[nan].view(np.float16)).all()


def test_floats_narrow_to_the_nearest_even_half(isa: str, rng: np.random.Generator) -> None:
    exact = _kernels.widen_f16("reference", ALL_HALVES)
    finite = np.sort(exact[np.isfinite(exact)])
    ties = ((finite[:-1].astype(np.float64) + finite[1:]) / 2).astype(np.float32)
    edges = np.array(
        [65504, 65519.996, 65520, 65536, 3e38, np.inf, -np.inf, np.nan, 2.0**-25, 2.0**-24, 1e-45],
        np.float32,
    )
    anything = rng.integers(0, 2**32, 100_000, np.uint32).view(np.float32)
    up, down = np.float32(np.inf), np.float32(-np.inf)
    for x in (ties, np.nextafter(ties, up), np.nextafter(ties, down), edges, -edges, anything):
        with np.errstate(all="ignore"):
            want = x.astype(np.float16)
        got = _kernels.narrow_f16(isa, x)
        np.testing.assert_array_equal(got.view(np.float16), want)
        np.testing.assert_array_equal(got, _kernels.narrow_f16("reference", x))
        number = ~np.isnan(x)
        np.testing.assert_array_equal(got[number], want.view(np.uint16)[number])


# --- the choice of a level -------------------------------------------------------------------


def test_reference_is_always_there() -> None:
    assert "reference" in LEVELS
    assert set(LEVELS) <= set(_kernels.compiled())
    assert shortlist.simd_level() in LEVELS


def test_each_level_can_be_selected(isa: str) -> None:
    before = shortlist.simd_level()
    try:
        _kernels.set_level(isa)
        assert shortlist.simd_level() == isa
    finally:
        _kernels.set_level(before)


def test_each_level_answers_searches(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 21)).astype(np.float32)
    before = shortlist.simd_level()
    try:
        _kernels.set_level(isa)
        index = shortlist.IndexFlatL2(21)
        index.add(x)
        assert np.array_equal(index.search(x, 1)[1][:, 0], np.arange(60))
    finally:
        _kernels.set_level(before)


def test_the_environment_chooses_the_level(isa: str, python: Callable[..., str]) -> None:
    code = f"""
import os
os.environ["SHORTLIST_ISA"] = {isa!r}
import shortlist
print(shortlist.simd_level())
"""
    assert python(code).strip() == isa


def test_an_unknown_level_in_the_environment_is_refused(python: Callable[..., str]) -> None:
    code = """
import os
os.environ["SHORTLIST_ISA"] = "mmx"
try:
    import shortlist
except ImportError as error:
    print(error)
"""
    message = python(code)
    assert "SHORTLIST_ISA" in message
    assert "'mmx'" in message
    assert "choose one of: " + ", ".join(LEVELS) in message


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="'mmx' is not available here; choose one of: reference"):
        _kernels.set_level("mmx")
