"""Odd-integer codes: the rotation, RaBitQ's code and its bound, blocks of 32 and query tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import shortlist
from shortlist._core import _kernels, _oddint

DIMS = [1, 3, 64, 100, 128, 200, 384, 768, 1536]
ODD_DIMS = [65, 192, 320, 448, 960, 1984]  # multiples of 64 made of several powers of two


def rotated_size(d: int) -> int:
    return -(-d // 64) * 64


def normals(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


# --- the rotation ----------------------------------------------------------------------------


def mix64(x: int) -> int:
    mask = 2**64 - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def hadamard(x: np.ndarray) -> np.ndarray:
    if len(x) == 1:
        return x
    a, b = (hadamard(half) for half in np.split(x, 2))
    return np.concatenate([a + b, a - b]) / np.sqrt(2)


def rotate(x: np.ndarray, seed: int) -> np.ndarray:
    """The oracle: columns of x, in float64."""
    m = rotated_size(len(x))
    y = np.concatenate([x.astype(np.float64), np.zeros((m - len(x), x.shape[1]))])
    powers = [1 << i for i in range(m.bit_length()) if m >> i & 1]
    for turn in range(4):
        words = [mix64(mix64(seed) ^ (turn * m // 64 + i)) for i in range(m // 64)]
        bits = np.array([word >> i & 1 for word in words for i in range(64)])
        y *= (2 * bits - 1)[:, None]
        ends = np.cumsum(powers if turn % 2 else powers[::-1])
        y = np.concatenate([hadamard(part) for part in np.split(y, ends[:-1])])
        if len(powers) > 1:
            a, b = np.split(y, 2)
            y = np.concatenate([a + b, a - b]) / np.sqrt(2)
    return y


@pytest.mark.parametrize("d", DIMS + ODD_DIMS)
def test_the_rotation_is_that_of_its_seed(d: int, rng: np.random.Generator) -> None:
    x = normals(rng, 5, d)
    for seed in (0, 1, 2**64 - 1):
        rotation = _oddint.Rotation(d, seed)
        assert (rotation.d, rotation.m) == (d, rotated_size(d))
        np.testing.assert_allclose(rotation.apply(x), rotate(x.T, seed).T, atol=3e-6)


@pytest.mark.parametrize("d", DIMS + ODD_DIMS)
def test_the_rotation_is_the_same_to_the_bit_on_every_level(
    d: int, rng: np.random.Generator
) -> None:
    rotation, x, before = _oddint.Rotation(d, 3), normals(rng, 4, d), shortlist.simd_level()
    try:
        found = []
        for isa in shortlist.simd_levels():
            _kernels.set_level(isa)
            y = rotation.apply(x)
            found.append(y.tobytes() + rotation.apply_inverse(y).tobytes())
    finally:
        _kernels.set_level(before)
    assert len(set(found)) == 1


@pytest.mark.parametrize("d", DIMS + ODD_DIMS)
def test_norms_and_inner_products_are_kept(d: int, rng: np.random.Generator) -> None:
    rotation = _oddint.Rotation(d, 11)
    for x in (normals(rng, 50, d), np.eye(d, dtype=np.float32)):
        size = np.linalg.norm(x, axis=1)
        y = rotation.apply(x).astype(np.float64)
        error = abs(y @ y.T - x.astype(np.float64) @ x.T) / np.outer(size, size)
        assert error.max() < 1e-5


@pytest.mark.parametrize("d", DIMS + ODD_DIMS)
def test_the_inverse_inverts(d: int, rng: np.random.Generator) -> None:
    rotation = _oddint.Rotation(d, 5)
    x, m = normals(rng, 20, d), rotated_size(d)
    back = rotation.apply_inverse(rotation.apply(x))
    np.testing.assert_allclose(back, np.pad(x, ((0, 0), (0, m - d))), atol=1e-5)
    if m == d:
        np.testing.assert_allclose(rotation.apply(rotation.apply_inverse(x)), x, atol=1e-5)


@pytest.mark.parametrize("d", DIMS + ODD_DIMS)
def test_a_basis_vector_is_spread_as_by_any_rotation(d: int) -> None:
    # The largest of n normal variables is about sqrt(2 log n).
    for seed in range(3):
        y = _oddint.Rotation(d, seed).apply(np.eye(d, dtype=np.float32))
        m = y.shape[1]
        assert abs(y).max() * np.sqrt(m) < 1.25 * np.sqrt(2 * np.log(2 * m * d))
        # What RaBitQ lives on: the cosine between a vector and its signs, sqrt(2 / pi) on average.
        cosine = abs(y).sum(1) / np.sqrt(m)
        assert cosine.min() > 0.6
        if d >= 64:
            assert abs(cosine.mean() - np.sqrt(2 / np.pi)) < 0.02


def test_seeds_give_rotations_of_their_own(rng: np.random.Generator) -> None:
    x = normals(rng, 1, 128)
    same, other = _oddint.Rotation(128, 1), _oddint.Rotation(128, 2)
    np.testing.assert_array_equal(_oddint.Rotation(128, 1).apply(x), same.apply(x))
    turned = same.apply(x)[0] @ other.apply(x)[0] / (x[0] @ x[0])
    assert abs(turned) < 0.4


# --- RaBitQ ----------------------------------------------------------------------------------


def signs_of(bits: np.ndarray) -> np.ndarray:
    return np.unpackbits(bits, axis=1, bitorder="little").astype(np.float64) - 0.5


@pytest.mark.parametrize("l2", [True, False])
@pytest.mark.parametrize("m", [64, 128, 192, 1536])
def test_bits_and_factors_are_the_papers(m: int, l2: bool, rng: np.random.Generator) -> None:
    r, centre = normals(rng, 9, m), normals(rng, m)
    r[0] = 0
    r[1] *= 1e-3
    r[2] = abs(r[2])
    r[3, ::2] = 0
    wide, c = r.astype(np.float64), centre.astype(np.float64)
    square, size = (wide**2).sum(1), abs(wide).sum(1)
    f = np.divide(square, size / 2, out=np.zeros(9), where=size > 0)
    cosine = np.divide(size, np.sqrt(m * square), out=np.ones(9), where=size > 0)
    error = np.sqrt(square * (1 - cosine**2) / cosine**2 / (m - 1))
    for middle in (None, centre):
        bits, factors = _oddint.rabitq_encode(r, middle, l2=l2)
        b = signs_of(bits)
        np.testing.assert_array_equal(b > 0, wide > 0)
        of_c = b @ c * f if middle is not None else np.zeros(9)
        if l2:
            want = np.stack([square + 2 * of_c, -2 * f, 2 * error], 1)
        else:
            exact = wide @ c if middle is not None else 0
            want = np.stack([of_c - exact, -f, error], 1)
        np.testing.assert_allclose(factors, want, rtol=1e-4, atol=1e-4)
        assert factors[0].tolist() == [0, 0, 0]


@dataclass(frozen=True)
class Pairs:
    """Vectors o near centres c, queries q, and what one rotation makes of them."""

    o: np.ndarray
    c: np.ndarray
    q: np.ndarray

    def errors(self, seed: int, *, l2: bool, centred: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Estimate less true distance of each pair, and the bound at epsilon = 1."""
        rotation = _oddint.Rotation(self.o.shape[1], seed)
        ro, rc, rq = (rotation.apply(x) for x in (self.o, self.c, self.q))
        estimate, unit = np.empty(len(ro)), np.empty(len(ro))
        o, c, q = (x.astype(np.float64) for x in (self.o, self.c, self.q))
        near = ((q - c) ** 2).sum(1) if l2 else -(q * c).sum(1)
        true = ((q - o) ** 2).sum(1) if l2 else -(q * o).sum(1)
        spread = np.linalg.norm(q - c if centred else q, axis=1)
        for i in range(len(ro)):
            bits, factors = _oddint.rabitq_encode(
                ro[i : i + 1] - rc[i], rc[i] if centred else None, l2=l2
            )
            add, rescale, error = factors[0].astype(np.float64)
            estimate[i] = near[i] + add + rescale * (signs_of(bits)[0] @ rq[i])
            unit[i] = error * spread[i]
        return estimate - true, unit


def random_pairs(rng: np.random.Generator, n: int, d: int) -> Pairs:
    return Pairs(normals(rng, n, d), normals(rng, n, d) / 4, normals(rng, n, d))


def clustered_pairs(rng: np.random.Generator, n: int, d: int) -> Pairs:
    """Neighbours in tight clusters far from the origin with a few heavy coordinates."""
    scale = np.exp(1.5 * normals(rng, d))
    middle = 5 * normals(rng, 8, d)[rng.integers(0, 8, n)]
    return Pairs(*(((middle + normals(rng, n, d)) * scale).astype(np.float32) for _ in range(3)))


KINDS = pytest.mark.parametrize("make", [random_pairs, clustered_pairs])
METRICS = pytest.mark.parametrize(
    ("l2", "centred"), [(True, True), (False, True), (False, False)], ids=["l2", "ip", "ip_plain"]
)


@KINDS
@METRICS
@pytest.mark.parametrize("d", DIMS)
def test_estimates_are_unbiased(
    d: int, l2: bool, centred: bool, make: type, rng: np.random.Generator
) -> None:
    pairs, seeds = make(rng, 16, d), 150
    errors, units = zip(
        *(pairs.errors(s, l2=l2, centred=centred) for s in range(seeds)), strict=True
    )
    unit = np.mean(units, 0) + 1e-6 * abs(pairs.q * pairs.o).sum(1)
    means = np.mean(errors, 0) / unit  # of each pair over all rotations: about N(0, 1 / seeds)
    assert abs(means).max() < 4 / np.sqrt(seeds)
    assert abs(means.mean()) < 4 / np.sqrt(seeds * len(means))


@KINDS
@METRICS
@pytest.mark.parametrize("d", DIMS)
def test_the_bound_holds_for_the_share_it_says(
    d: int, l2: bool, centred: bool, make: type, rng: np.random.Generator
) -> None:
    errors, bounds = [], []
    for seed in range(60):
        pairs = make(rng, 40, d)
        error, unit = pairs.errors(seed, l2=l2, centred=centred)
        rounding = 3e-6 * (abs(pairs.q) + abs(pairs.o) + abs(pairs.c)).astype(np.float64) ** 2
        errors.append(error)
        bounds.append(_oddint.epsilon * unit + rounding.sum(1))
    error, bound = np.concatenate(errors), np.concatenate(bounds)
    # A search drops what cannot be near enough: no nearer than the estimate less the bound.
    assert (error <= bound).mean() >= 0.96
    assert (abs(error) <= bound).mean() >= 0.93


@METRICS
@pytest.mark.parametrize("d", [64, 100, 384])
def test_a_query_along_the_residual_is_exact(
    d: int, l2: bool, centred: bool, rng: np.random.Generator
) -> None:
    o, c = normals(rng, 10, d), normals(rng, 10, d)
    q = c + 0.7 * (o - c) if centred else 0.7 * (o - c)
    error, _ = Pairs(o, c, q).errors(1, l2=l2, centred=centred)
    np.testing.assert_allclose(error, 0, atol=2e-4)


def test_a_vector_at_its_centre_is_exact(rng: np.random.Generator) -> None:
    o, q = normals(rng, 10, 100), normals(rng, 10, 100)
    for l2 in (True, False):
        error, unit = Pairs(o, o, q).errors(1, l2=l2)
        np.testing.assert_allclose(error, 0, atol=1e-4)
        assert (unit == 0).all()


def test_a_centre_helps_inner_products_of_near_queries(rng: np.random.Generator) -> None:
    c = 5 * normals(rng, 200, 128)
    pairs = Pairs(c + normals(rng, 200, 128), c, c + normals(rng, 200, 128))
    with_centre, plain = (pairs.errors(1, l2=False, centred=x)[0] for x in (True, False))
    assert with_centre.std() < 0.4 * plain.std()


# --- blocks of 32 ----------------------------------------------------------------------------


@pytest.mark.parametrize("m", [64, 128, 192, 1536])
def test_a_block_survives_a_round_trip(m: int, rng: np.random.Generator) -> None:
    for n in range(33):
        bits = rng.integers(0, 256, (n, m // 8), np.uint8)
        block = _oddint.pack32(bits)
        assert block.size == m * 4
        np.testing.assert_array_equal(_oddint.unpack32(block, n), bits)
        every = _oddint.unpack32(block)
        np.testing.assert_array_equal(every[:n], bits)
        assert not every[n:].any()


def test_a_block_is_what_the_kernel_reads(rng: np.random.Generator) -> None:
    bits = rng.integers(0, 256, (32, 16), np.uint8)
    dims = np.unpackbits(bits, axis=1, bitorder="little").reshape(32, -1, 4)
    index = dims @ np.array([1, 2, 4, 8])
    runs = _oddint.pack32(bits).reshape(-1, 16)
    np.testing.assert_array_equal(runs & 15, index[:16].T)
    np.testing.assert_array_equal(runs >> 4, index[16:].T)


# --- query tables ----------------------------------------------------------------------------


def table_queries(rng: np.random.Generator, m: int) -> list[np.ndarray]:
    lone = np.zeros(m, np.float32)
    lone[m // 3] = -7
    return [
        normals(rng, m),
        normals(rng, m) * np.float32(1e-20),
        normals(rng, m) * np.float32(1e15),
        abs(normals(rng, m)),
        -abs(normals(rng, m)),
        (rng.integers(-2, 3, m) / 2).astype(np.float32),
        (normals(rng, m) ** 9).astype(np.float32),
        np.full(m, 0.5 / 255, np.float32),
        lone,
    ]


@pytest.mark.parametrize("m", [16, 64, 128, 384, 1536])
def test_tables_are_rounded_partial_sums(m: int, rng: np.random.Generator) -> None:
    for q in table_queries(rng, m):
        entries, step, offset = _oddint.query_table(q)
        masks = np.arange(16)[:, None] >> np.arange(4) & 1
        partial = q.reshape(-1, 4).astype(np.float64) @ masks.T
        above = partial - partial.min(1, keepdims=True)
        assert step == pytest.approx(above.max() / 255, rel=1e-6)
        assert offset == pytest.approx(
            partial.min(1).sum() - q.astype(np.float64).sum() / 2, rel=1e-5
        )
        assert entries.max() == 255
        assert abs(entries.reshape(-1, 16) - above / step).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("m", [64, 128, 384, 1536])
def test_table_sums_are_within_half_a_step_a_group(
    m: int, isa: str, rng: np.random.Generator
) -> None:
    for q in table_queries(rng, m):
        entries, step, offset = _oddint.query_table(q)
        bits = rng.integers(0, 256, (32, m // 8), np.uint8)
        bits[0], bits[1] = 0, 255
        sums = _kernels.lut32(isa, _oddint.pack32(bits), entries)
        want = signs_of(bits) @ q.astype(np.float64)
        assert abs(offset + step * sums - want).max() <= m / 4 * step / 2 * (1 + 1e-3)


def test_tables_of_zero_and_of_what_is_no_number() -> None:
    for q in (np.zeros(64), np.full(64, 1e-45), np.full(64, np.nan), np.full(64, np.inf)):
        for at in (0, 63):
            x = q.astype(np.float32)
            x[at] = q[0]
            entries, step, offset = _oddint.query_table(x)
            assert not entries.any()
            assert step == 0
            assert offset == pytest.approx(-abs(x).sum() / 2, abs=1e-38, nan_ok=True)
    some = np.ones(64, np.float32)
    some[17] = np.nan
    assert np.isnan(_oddint.query_table(some)[2])


@METRICS
def test_from_vectors_to_distances(l2: bool, centred: bool, rng: np.random.Generator) -> None:
    d = 200
    base, c, q = normals(rng, 29, d), normals(rng, 1, d) / 2, normals(rng, 1, d)
    rotation = _oddint.Rotation(d, 9)
    rc, rq = rotation.apply(c)[0], rotation.apply(q)[0]
    bits, factors = _oddint.rabitq_encode(rotation.apply(base) - rc, rc if centred else None, l2=l2)
    entries, step, offset = _oddint.query_table(rq)
    sums = _kernels.lut32(shortlist.simd_level(), _oddint.pack32(bits), entries)[:29]
    near = ((q - c) ** 2).sum() if l2 else -(q * c).sum()
    add, rescale, error = factors.T
    estimate = near + add + rescale * (offset + step * sums)
    true = ((q - base) ** 2).sum(1) if l2 else -(base @ q[0])
    spread = np.linalg.norm(q - c if centred else q)
    bound = _oddint.epsilon * error * spread + abs(rescale) * len(entries) / 32 * step
    assert (abs(estimate - true) <= bound).mean() > 0.9
    assert np.corrcoef(estimate, true)[0, 1] > 0.6  # 0.8 is usual
