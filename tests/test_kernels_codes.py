"""The kernels of compressed codes on every instruction set, against the scalar ones and numpy."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import LEVELS, placed
from shortlist._core import _kernels

# --- tables of 16 bytes ----------------------------------------------------------------------


def lut32_oracle(codes: np.ndarray, table: np.ndarray) -> np.ndarray:
    runs, entries = codes.reshape(-1, 16), table.reshape(-1, 16).astype(np.uint32)
    indices = np.concatenate([runs & 15, runs >> 4], axis=1)
    return np.take_along_axis(entries, indices.astype(np.int64), 1).sum(0, dtype=np.uint32)


def check_lut32(isa: str, codes: np.ndarray, table: np.ndarray) -> None:
    got = _kernels.lut32(isa, codes, table)
    np.testing.assert_array_equal(got, lut32_oracle(codes, table))
    np.testing.assert_array_equal(got, _kernels.lut32("reference", codes, table))
    entries = np.minimum(table, 63)  # the small form tells one at a time whether a sum is below
    sums = lut32_oracle(codes, entries)
    for limit in {int(sums[0]), int(sums[31]) + 1}:
        _, below = _kernels.estimate(
            isa, codes[None], entries, 0, 0, 1, limit, factors=False, small=True, keep=False
        )
        np.testing.assert_array_equal(below[0] >> np.arange(32) & 1, sums < limit)


def test_tables_of_every_number_of_groups(isa: str, rng: np.random.Generator) -> None:
    for groups in [*range(301), 511, 512, 513, 515, 769, 3000]:
        codes, table = rng.integers(0, 256, (2, 16 * groups), np.uint8)
        check_lut32(isa, codes, table)


@pytest.mark.parametrize("groups", [1, 3, 128, 255, 256, 257, 258, 259, 300, 600, 70_000])
def test_extreme_tables_and_codes(isa: str, groups: int, rng: np.random.Generator) -> None:
    size = 16 * groups
    for entry in (0, 1, 127, 128, 255):
        for code in (0x00, 0x0F, 0xF0, 0xFF, 0x80, 0x08):
            check_lut32(isa, np.full(size, code, np.uint8), np.full(size, entry, np.uint8))
    check_lut32(
        isa, rng.choice([0x00, 0x0F, 0xF0, 0xFF], size).astype(np.uint8),
        rng.choice([0, 255], size).astype(np.uint8),
    )  # fmt: skip


def test_each_vector_has_its_own_sum(isa: str) -> None:
    table = np.tile(np.arange(16, dtype=np.uint8) > 0, 7).astype(np.uint8)
    for v in range(32):
        for group in range(7):
            codes = np.zeros((7, 16), np.uint8)
            codes[group, v % 16] = 5 << (v // 16 * 4)
            want = np.arange(32) == v
            np.testing.assert_array_equal(_kernels.lut32(isa, codes.ravel(), table), want)


@given(data=st.data())
def test_tables_and_codes_at_any_address(data: st.DataObject) -> None:
    isa, groups = data.draw(st.sampled_from(LEVELS)), data.draw(st.integers(0, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    codes, table = (
        placed(x[None], data.draw(st.integers(0, 64)), 0)[0]
        for x in rng.integers(0, 256, (2, 16 * groups), np.uint8)
    )
    check_lut32(isa, codes, table)


QUERIES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "positive": lambda rng, n: rng.random(n),
    "negative": lambda rng, n: -rng.random(n),
    "ties": lambda rng, n: rng.integers(-8, 9, n) / 2,
    "zeros": lambda rng, n: np.zeros(n) * rng.choice([-1, 1], n),
}


@pytest.mark.parametrize("kind", QUERIES)
def test_tables_of_a_query(isa: str, kind: str, rng: np.random.Generator) -> None:
    for groups in range(40):
        q = QUERIES[kind](rng, 4 * groups).astype(np.float32)
        widest = abs(q.reshape(-1, 4)).sum(1).max(initial=1e-9)
        scale = 1 if kind == "ties" else np.float32(255 / widest)
        table = _kernels.lut_tables(isa, q, scale)
        np.testing.assert_array_equal(table, _kernels.lut_tables("reference", q, scale))
        sums = q.reshape(-1, 4).astype(np.float64) @ (np.arange(16)[:, None] >> np.arange(4) & 1).T
        want = scale * (sums - sums.min(1, keepdims=True))
        if kind == "ties":
            np.testing.assert_array_equal(table, np.rint(want).ravel())
        else:
            assert abs(table - want.ravel()).max(initial=0) <= 0.5 + 1e-4


# --- signs and their sums --------------------------------------------------------------------


def folded(terms: np.ndarray) -> np.float32:
    """The sum of float32 terms in the order that kernels.h gives."""
    lanes = np.zeros(16, np.float32)
    for step in terms.reshape(-1, 16):
        lanes += step
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


@pytest.mark.parametrize("n", [*range(0, 400, 16), 768, 1024, 1536, 4096])
def test_signs_and_their_sums(isa: str, n: int, rng: np.random.Generator) -> None:
    r, c = rng.normal(size=(2, n)).astype(np.float32)
    r[::7], r[3::11], c[5::13] = 0, -0.0, -0.0
    for there, centre in ((r, c), (placed(r[None], 3, 0)[0], placed(c[None], 29, 0)[0])):
        bits, *sums = _kernels.signs(isa, there, centre)
        np.testing.assert_array_equal(np.unpackbits(bits, bitorder="little"), r > 0)
        assert sums == [folded(x) for x in (abs(r), r * r, r * c, np.where(r > 0, c, -c))]
        alone, *sums = _kernels.signs(isa, there, None)
        np.testing.assert_array_equal(alone, bits)
        assert sums == [folded(abs(r)), folded(r * r), 0, 0]


def test_signs_of_what_is_no_number(isa: str) -> None:
    r = np.array([np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1, 0, -0.0] * 4, np.float32)
    bits, size, square, *_ = _kernels.signs(isa, r, None)
    np.testing.assert_array_equal(bits, [0b00101010] * 4)
    assert np.isnan([size, square]).all()


# --- planes of bits --------------------------------------------------------------------------


def planes_oracle(q: np.ndarray, codes: np.ndarray, bits: int) -> np.ndarray:
    planes = codes[:, : bits * len(q) // 8].reshape(len(codes), bits, len(q) // 8)
    values = np.unpackbits(planes, axis=2, bitorder="little").astype(np.float64)
    return (values * 2.0 ** np.arange(bits)[::-1, None] * q).sum((1, 2))


@pytest.mark.parametrize("bits", range(1, 9))
def test_planes_of_whole_numbers_are_exact(isa: str, bits: int, rng: np.random.Generator) -> None:
    for m in [0, 16, 32, 48, 112, 128, 384, 400, 1040, 20_000]:
        q = rng.integers(-255, 256, m).astype(np.float32) / 2
        size, n = bits * m // 8, 9
        codes = rng.integers(0, 256, (n, size + 5), np.uint8)
        codes[0], codes[1] = 0, 255
        there = placed(codes[:, :size], 3, 7)
        want = planes_oracle(q, codes, bits)
        np.testing.assert_array_equal(_kernels.planes(isa, q, there, bits), want)
        rows = rng.integers(0, n, 23).astype(np.uint32)
        np.testing.assert_array_equal(_kernels.planes(isa, q, there, bits, rows), want[rows])


def test_planes_of_floats(isa: str, rng: np.random.Generator) -> None:
    for m in range(0, 800, 16):
        q = placed(rng.normal(size=(1, m)).astype(np.float32), 4, 0)[0]
        codes = rng.integers(0, 256, (5, m // 2), np.uint8)
        got, want = _kernels.planes(isa, q, codes, 4), planes_oracle(q, codes, 4)
        assert abs(got - want).max() <= 15 * abs(q).sum() * 1e-6


def twos_complement(q: np.ndarray, bits: int) -> np.ndarray:
    """Planes of whole numbers, the sign first."""
    return np.packbits(q >> np.arange(bits)[::-1, None] & 1, axis=1, bitorder="little")


@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_planes_are_exact(isa: str, bits: int, rng: np.random.Generator) -> None:
    for m, query_bits in itertools.product([0, 16, 32, 112, 256, 384, 528, 70_000], range(1, 10)):
        least, most = -(1 << (query_bits - 1)), (1 << (query_bits - 1)) - 1
        q = rng.integers(least, most + 1, m)
        size, n = bits * m // 8, 6
        codes = rng.integers(0, 256, (n, size + 5), np.uint8)
        codes[0], codes[1] = 0, 255
        there = placed(codes[:, :size], 3, 7)
        query, want = twos_complement(q, query_bits), planes_oracle(q, codes, bits)
        np.testing.assert_array_equal(_kernels.bit_planes(isa, query, there, bits), want)
        rows = rng.integers(0, n, 23).astype(np.uint32)
        np.testing.assert_array_equal(
            _kernels.bit_planes(isa, query, there, bits, rows), want[rows]
        )


@pytest.mark.parametrize("sign", [-1, 1])
def test_bit_planes_of_extremes_do_not_overflow(isa: str, sign: int) -> None:
    m = 1 << 20
    q = np.full(m, -256 if sign < 0 else 255)
    codes = np.full((1, m), 255, np.uint8)
    got = _kernels.bit_planes(isa, twos_complement(q, 9), codes, 8)
    assert got == [m * 255 * int(q[0])]


def test_symmetric_products_follow_the_identity(isa: str, rng: np.random.Generator) -> None:
    # 4^U <x, y> = 4 sum c e - 2 L (sum c + sum e) + m L^2, BEBR's sum of odd integers.
    m = 208
    for bits in range(1, 9):
        most = (1 << bits) - 1
        c, e = rng.integers(0, most + 1, (2, m))
        odd = twos_complement(2 * e - most, bits + 1)
        code = np.packbits(c >> np.arange(bits)[::-1, None] & 1, axis=1, bitorder="little")
        got = _kernels.bit_planes(isa, odd, code.reshape(1, -1), bits)[0]
        want = 4 * (c * e).sum() - 2 * most * (c.sum() + e.sum()) + m * most**2
        by_odd = ((2 * c - most) * (2 * e - most)).sum()
        assert 2 * got - most * (2 * e - most).sum() == want == by_odd


# --- the Hadamard transform ------------------------------------------------------------------

SIZES = [2**i for i in range(6, 14)]


def hadamard(isa: str, x: np.ndarray, factors: np.ndarray | None = None) -> np.ndarray:
    out = x.copy()
    _kernels.hadamard(isa, factors, out)
    return out


@pytest.mark.parametrize("n", SIZES)
def test_hadamard_is_sylvesters_matrix(isa: str, n: int, rng: np.random.Generator) -> None:
    # Entry (i, j) is the parity of the bits that i and j share; integers come out exactly.
    parity = np.array([bin(i).count("1") & 1 for i in range(n)])
    i = np.arange(n)
    x = rng.integers(-50, 51, n).astype(np.float32)
    for row in {0, 1, 5, n // 2, n - 1, *rng.integers(0, n, 20)}:
        signs = 1 - 2 * parity[i & row]
        assert hadamard(isa, x)[row] == signs @ x


@pytest.mark.parametrize("n", SIZES)
def test_hadamard_is_the_same_to_the_bit_on_every_level(
    isa: str, n: int, rng: np.random.Generator
) -> None:
    x, factors = rng.normal(size=(2, n)).astype(np.float32)
    for f in (None, factors):
        got, want = hadamard(isa, x, f), hadamard("reference", x, f)
        np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize("n", SIZES)
def test_hadamard_squared_is_n_times_the_identity(
    isa: str, n: int, rng: np.random.Generator
) -> None:
    x = rng.normal(size=n).astype(np.float32)
    factors = (rng.integers(0, 2, n) * 2 - 1).astype(np.float32) / np.float32(n)
    np.testing.assert_allclose(hadamard(isa, hadamard(isa, x, factors)), x * factors * n, atol=1e-5)


def test_hadamard_needs_no_alignment(isa: str, rng: np.random.Generator) -> None:
    x, factors = rng.normal(size=(2, 256)).astype(np.float32)
    for offset in range(0, 64, 4):
        there, by = (placed(a[None], offset, 0)[0] for a in (x, factors))
        _kernels.hadamard(isa, by, there)
        np.testing.assert_array_equal(there, hadamard(isa, x, factors))


def test_nothing_past_the_end_is_touched(isa: str, python: Callable[..., str]) -> None:
    code = f"""
import ctypes, mmap
import numpy as np
from shortlist._core import _kernels

def at_the_end(size, dtype):
    # the last byte lies before a page that cannot be touched
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, pages + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    assert protect(ctypes.c_void_p(start + pages), mmap.PAGESIZE, 0) == 0
    return np.frombuffer(memory, dtype, size // np.dtype(dtype).itemsize, pages - size)

for groups in (1, 2, 3, 4, 5, 6, 7, 31, 257, 258, 259):
    codes, table = at_the_end(16 * groups, np.uint8), at_the_end(16 * groups, np.uint8)
    _kernels.lut32({isa!r}, codes, table)
    _kernels.lut_tables({isa!r}, at_the_end(16 * groups, np.float32), 1)
    r, c = at_the_end(64 * groups, np.float32), at_the_end(64 * groups, np.float32)
    _kernels.signs({isa!r}, r, c)
for n in (64, 128, 256, 1024, 2048):
    _kernels.hadamard({isa!r}, at_the_end(4 * n, np.float32), at_the_end(4 * n, np.float32))
print("done")
"""
    assert python(code) == "done\n"


# --- estimates of blocks of 32 distances -----------------------------------------------------


def bfloat16(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def widened(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def block(codes: np.ndarray, *factors: np.ndarray) -> np.ndarray:
    return np.concatenate([codes, *(f.view(np.uint8) for f in factors)])


@pytest.mark.parametrize("factors", [True, False])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_estimates_and_which_are_below(
    isa: str, n: int, factors: bool, rng: np.random.Generator
) -> None:
    for groups in [1, 2, 3, 4, 17, 24, 96, 300]:
        codes = rng.integers(0, 256, (n, 16 * groups), np.uint8)
        table = rng.integers(0, 64, 16 * groups, np.uint8)
        add, rescale = (bfloat16(rng.normal(size=(n, 32)) * scale) for scale in (1e4, 10))
        near, offset, step = (np.float32(x) for x in (rng.random() * 1e5, -rng.random(), 1e-3))
        sums = np.array([lut32_oracle(c, table) for c in codes]).reshape(n, 32)
        terms = float(offset) + float(step) * sums
        if factors:
            terms = widened(add) + widened(rescale) * terms
        terms += float(near)
        limit = np.float32(np.median(terms)) if n else np.float32(0)
        blocks = [block(codes[i], *((add[i], rescale[i]) if factors else ())) for i in range(n)]
        size = 16 * groups + 128 * factors
        there = placed(np.array(blocks, np.uint8).reshape(n, size), 2, 6)
        got, below = _kernels.estimate(
            isa, there, table, near, offset, step, limit, factors=factors
        )
        np.testing.assert_allclose(got.reshape(n, 32), terms, rtol=1e-5, atol=1e-2)
        bits = below[:, None] >> np.arange(32) & 1
        np.testing.assert_array_equal(bits, got.reshape(n, 32) < limit)
        for small, keep in itertools.product([False, True], repeat=2):
            again, same = _kernels.estimate(
                isa, there, table, near, offset, step, limit, factors, small, keep
            )
            np.testing.assert_array_equal(same, below)
            np.testing.assert_array_equal(again, got if keep else [])


@pytest.mark.parametrize("small", [True, False])
def test_no_estimate_of_a_missing_vector_is_below(isa: str, small: bool) -> None:
    add, rescale = bfloat16(np.full(32, np.inf)), bfloat16(np.zeros(32))
    blocks = block(np.zeros(48, np.uint8), add, rescale)[None]
    table = np.full(48, 60, np.uint8)
    _, below = _kernels.estimate(isa, blocks, table, 1, -2, 0.5, np.inf, small=small)
    assert below == 0
