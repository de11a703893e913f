"""IndexSDC: codes on their grid, estimates by their definition, and searches against both."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shortlist
from conftest import Oracle
from hypothesis import given
from hypothesis import strategies as st
from shortlist import binary
from shortlist._core import _kernels, _oddint

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
BITS = range(1, 9)


def built(x: np.ndarray, bits: int, metric: int = L2, **options) -> shortlist.IndexSDC:
    index = shortlist.IndexSDC(x.shape[1], bits, metric, **options)
    index.train(x)
    index.add(x)
    return index


def vectors(rng: np.random.Generator, n: int, d: int, spread: float = 1) -> np.ndarray:
    return (rng.normal(size=(n, d)) * spread + rng.normal(size=d)).astype(np.float32)


# --- codes, read from their bytes ------------------------------------------------------------


@dataclass
class Codes:
    """Codes as sa_encode gives them: values (n, m) in 0 .. 2^bits - 1, and float64 factors."""

    values: np.ndarray
    add: np.ndarray
    rescale: np.ndarray

    def distances(self, near: np.ndarray, turned: np.ndarray, bits: int) -> np.ndarray:
        """near + add + rescale * <u, q'>, u = c - (2^bits - 1) / 2."""
        u = self.values - (2**bits - 1) / 2
        return near[:, None] + self.add + self.rescale * (turned @ u.T)


def read_codes(index: shortlist.IndexSDC, x: np.ndarray, m: int | None = None) -> Codes:
    raw = index.sa_encode(x)
    bits, m = index.bits, m or index.code_dim
    planes = np.unpackbits(
        raw[:, : bits * m // 8].reshape(len(raw), bits, -1), axis=2, bitorder="little"
    )
    values = (planes.astype(np.int64) << np.arange(bits)[::-1, None]).sum(1)
    rest = np.ascontiguousarray(raw[:, bits * m // 8 :])
    coarse = (rest[:, :4].copy().view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    fine = coarse if bits == 1 else rest[:, 4:].copy().view(np.float32)
    return Codes(values, *fine.astype(np.float64).T)


def rotated(x: np.ndarray, index: shortlist.IndexSDC) -> np.ndarray:
    wide = np.zeros((len(x), index.code_dim), np.float32)
    wide[:, : x.shape[1]] = x
    return _oddint.Rotation(index.code_dim, 0x5DC).apply(wide).astype(np.float64)


def estimates(
    index: shortlist.IndexSDC, x: np.ndarray, q: np.ndarray, symmetric: bool = False
) -> np.ndarray:
    """Distances as the index defines them, in the user's signs."""
    centre = x.astype(np.float64).mean(0)
    near = ((q - centre) ** 2).sum(1) if index.metric_type == L2 else -(q @ centre)
    turned = rotated((q - centre.astype(np.float32)), index)
    if symmetric:
        u = read_codes(index, q).values - (2**index.bits - 1) / 2
        turned = ((turned * u).sum(1) / (u * u).sum(1))[:, None] * u
    out = read_codes(index, x).distances(near, turned, index.bits)
    return out if index.metric_type == L2 else -out


# --- the encoder -----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", BITS)
def test_a_code_is_nearly_the_best_in_angle(rng, bits):
    x = vectors(rng, 20, 64)
    index = built(x, bits)
    r = rotated(x - x.astype(np.float64).mean(0).astype(np.float32), index)
    values = read_codes(index, x).values
    assert values.min() >= 0
    assert values.max() <= 2**bits - 1

    def cosine(u, y):
        return (u * y).sum() / np.sqrt((u**2).sum() * (y**2).sum())

    for c, y in zip(values, r, strict=True):
        best = 0.0
        for t in np.geomspace(1e-3, 1e4, 4000):
            u = np.sign(y) * (np.minimum(np.floor(abs(y) * t), 2 ** (bits - 1) - 1) + 0.5)
            best = max(best, cosine(u, y))
        got = cosine(c - (2**bits - 1) / 2, y)
        assert 1 - got <= (1 - best) * 1.1 + 1e-6


@pytest.mark.parametrize("metric", [L2, IP])
def test_estimates_are_unbiased_and_sharpen_with_bits(rng, metric):
    x, q = vectors(rng, 500, 100), vectors(rng, 100, 100)
    true = Oracle(metric).distances(q, x)
    spreads = []
    for bits in BITS:
        error = estimates(built(x, bits, metric), x, q) - true
        spreads.append(error.std())
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(x)) + 0.005 * abs(true).mean()
    assert all(b < 0.7 * a for a, b in pairwise(spreads))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("d", [1, 3, 64, 100])
def test_decoding_gives_back_what_the_bits_can(rng, bits, d):
    x = vectors(rng, 300, d)
    index = built(x, bits)
    back = index.reconstruct_n()
    np.testing.assert_array_equal(back, index.sa_decode(index.sa_encode(x)))
    np.testing.assert_array_equal(back[17], index.reconstruct(17))
    r = x - x.mean(0)
    loss = ((x - back) ** 2).sum() / (r**2).sum()
    assert loss < {1: 0.65, 2: 0.16, 4: 0.015, 8: 1e-4}[bits]


def test_vectors_at_the_centre_and_far_away(rng):
    x = np.concatenate([np.zeros((4, 8)), 1e6 * np.eye(8), -1e6 * np.eye(8)]).astype(np.float32)
    for bits in BITS:
        index = built(x, bits)
        D, I = index.search(x, 4)
        assert np.isfinite(D).all()
        assert set(I[0]) == {0, 1, 2, 3}
        np.testing.assert_array_equal(index.reconstruct(0), np.zeros(8))


# --- searches --------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [False, True], ids=["asymmetric", "symmetric"])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", BITS)
def test_searches_find_the_least_estimates(rng, threads, bits, metric, symmetric):
    for n, d in [(1, 5), (31, 64), (32, 1), (33, 100), (3000, 40)]:
        x, q = vectors(rng, n, d), vectors(rng, 40, d)
        index = built(x, bits, metric)
        index.symmetric = symmetric
        want = estimates(index, x, q, symmetric)
        size = abs(want).max()
        sign = 1 if metric == L2 else -1
        for count in (1, 2):
            threads(count)
            for asked in (q, q[:1]):
                D, I = index.search(asked, 10)
                k = min(n, 10)
                rows = np.arange(len(asked))[:, None]
                np.testing.assert_allclose(D[:, :k], want[rows, I[:, :k]], atol=1e-4 * size)
                assert (I[:, k:] == -1).all()
                assert (np.diff(sign * D, axis=1) >= 0).all()
                best = np.sort(sign * want[: len(asked)], axis=1)[:, :k]
                missed = (sign * D[:, :k] > best + 2e-4 * size).mean()
                assert missed <= (0.02 if len(asked) > 1 else 0.2)


@pytest.mark.parametrize("bits", BITS)
def test_symmetric_distances_are_whole_numbers_times_factors(rng, bits):
    """4 <u, v> = 4 sum c e - 2 L (sum c + sum e) + m L^2, whatever the ISA."""
    x = vectors(rng, 300, 700)
    index = built(x, bits, IP)
    index.symmetric = True
    codes, m, top = read_codes(index, x), index.code_dim, 2**bits - 1
    c = codes.values
    sums = c.sum(1)
    four = 4 * (c @ c.T) - 2 * top * (sums[:, None] + sums) + m * top**2
    centre = x.astype(np.float64).mean(0)
    u = c - top / 2
    scale = (rotated(x - centre.astype(np.float32), index) * u).sum(1) / (u * u).sum(1)
    want = -(x @ centre)[:, None] + codes.add + codes.rescale * scale[:, None] * four / 4
    before = shortlist.simd_level()
    try:
        for isa in shortlist.simd_levels():
            _kernels.set_level(isa)
            D, I = index.search(x, 300)
            got = np.take_along_axis(-want, I, 1)
            np.testing.assert_allclose(D, got, rtol=2e-6, atol=1e-5 * abs(want).max())
    finally:
        _kernels.set_level(before)


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_every_level_finds_the_same(rng, bits):
    x, q = vectors(rng, 4000, 96), vectors(rng, 50, 96)
    index, before, found = built(x, bits), shortlist.simd_level(), []
    try:
        for isa in shortlist.simd_levels():
            _kernels.set_level(isa)
            found.append((index.sa_encode(x[:100]).tobytes(), index.search(q, 10)[1]))
    finally:
        _kernels.set_level(before)
    for codes, I in found:
        assert codes == found[0][0]
        assert (found[0][1] == I).mean() > 0.99


@given(data=st.data())
def test_selected_ids(data: st.DataObject):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    n, bits = data.draw(st.integers(1, 200)), data.draw(st.sampled_from([1, 3]))
    x, q = vectors(rng, n, 12), vectors(rng, 3, 12)
    chosen = np.flatnonzero(rng.random(n) < data.draw(st.sampled_from([0, 0.05, 0.6, 1])))
    params = shortlist.SearchParameters(sel=shortlist.IDSelectorBatch(chosen))
    index = built(x, bits)
    D, I = index.search(q, n, params=params)
    every_D, every_I = index.search(q, n)
    for row, D_row, all_row, all_D in zip(I, D, every_I, every_D, strict=True):
        keep = np.isin(all_row, chosen)
        np.testing.assert_array_equal(row[: len(chosen)], all_row[keep])
        np.testing.assert_array_equal(D_row[: len(chosen)], all_D[keep])
        assert (row[len(chosen) :] == -1).all()


@pytest.mark.parametrize("bits", [1, 4])
@pytest.mark.parametrize("metric", [L2, IP])
def test_range_search(rng, bits, metric):
    x, q = vectors(rng, 700, 30), vectors(rng, 5, 30)
    index = built(x, bits, metric)
    every, I = index.search(q, 700)
    radius = float(np.median(every[:, 100]))
    lims, D, ids = index.range_search(q, radius)
    sign = 1 if metric == L2 else -1
    for i in range(5):
        inside = I[i][sign * every[i] < sign * radius]
        got = ids[lims[i] : lims[i + 1]]
        assert np.isin(got, inside).all()
        assert len(got) >= 0.98 * len(inside)
        assert (sign * D[lims[i] : lims[i + 1]] < sign * radius).all()


def test_refined_results_are_exact(rng, l2):
    x, q = vectors(rng, 3000, 48), vectors(rng, 50, 48)
    index = shortlist.index_factory(48, "SDC2,RFlat")
    index.train(x)
    index.add(x)
    index.k_factor = 10
    D, I = index.search(q, 10)
    assert l2.recall(I, q, x) > 0.99
    np.testing.assert_allclose(D, np.take_along_axis(l2.distances(q, x), I, 1), rtol=1e-5)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_refining_stops_where_the_rest_are_too_far(rng, bits, metric):
    """What is left out would have changed next to nothing."""
    x, q = vectors(rng, 3000, 96), vectors(rng, 200, 96)
    base = built(x, bits, metric)
    stopping = shortlist.IndexRefine(
        shortlist.IndexSDC(96, bits, metric), shortlist.IndexFlat(96, metric)
    )
    stopping.train(x)
    stopping.add(x)
    stopping.k_factor = 30
    found = stopping.search(q, 10)[1]
    candidates = base.search(q, 300)[1]
    products = np.einsum("qd,qkd->qk", q, x[candidates])
    far = -products if metric == IP else (x[candidates] ** 2).sum(2) - 2 * products
    best = np.take_along_axis(candidates, np.argsort(far, axis=1)[:, :10], 1)
    same = np.mean([len(set(a) & set(b)) for a, b in zip(found, best, strict=True)]) / 10
    assert same > 0.998
    again = pickle.loads(pickle.dumps(stopping))
    np.testing.assert_array_equal(again.search(q, 10)[1], found)


# --- changes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 3])
def test_rows_come_in_any_parts_and_go(rng, bits):
    x = vectors(rng, 500, 20)
    whole = built(x, bits)
    index = shortlist.IndexSDC(20, bits)
    index.train(x)
    for part in np.split(x, [1, 2, 31, 33, 64, 64, 300]):
        index.add(part)
    kept = np.ones(500, bool)
    np.testing.assert_array_equal(index.reconstruct_n(), whole.reconstruct_n())
    for gone in ([499], [0], [5, 40, 41], range(100, 250), range(0)):
        ids = np.flatnonzero(kept)[list(gone)]
        assert index.remove_ids(np.array(gone, np.int64)) == len(ids)
        kept[ids] = False
        np.testing.assert_array_equal(index.reconstruct_n(), whole.reconstruct_n()[kept])
    other = built(x, bits)
    index.merge_from(other)
    assert other.ntotal == 0
    again = np.concatenate([x[kept], x])
    assert index.ntotal == len(again)
    fresh = shortlist.IndexSDC(20, bits)
    fresh.train(x)
    fresh.add(again)
    for one, two in zip(index.search(x, 5), fresh.search(x, 5), strict=True):
        np.testing.assert_array_equal(one, two)
    index.reset()
    assert index.ntotal == 0
    assert (index.search(x[:2], 3)[1] == -1).all()


@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("metric", [L2, IP])
def test_a_file_gives_back_the_same_index(rng, tmp_path: Path, bits, metric):
    x = vectors(rng, 1500, 70)
    index = built(x, bits, metric, code_dim=192)
    index.symmetric = True
    index.save(tmp_path / "a.shortlist")
    for again in (shortlist.open(tmp_path / "a.shortlist"), pickle.loads(pickle.dumps(index))):
        assert isinstance(again, shortlist.IndexSDC)
        assert (again.bits, again.code_dim, again.symmetric) == (bits, 192, True)
        for one, two in zip(index.search(x[:50], 9), again.search(x[:50], 9), strict=True):
            np.testing.assert_array_equal(one, two)
        again.add(x[:3])
        assert again.ntotal == 1503
    untrained = pickle.loads(pickle.dumps(shortlist.IndexSDC(9, bits)))
    assert not untrained.is_trained


def test_faiss_has_no_file_for_it(rng, tmp_path: Path):
    with pytest.raises(shortlist.UnsupportedError, match="save"):
        shortlist.write_index(built(vectors(rng, 9, 8), 2), str(tmp_path / "a.index"))
    assert not list(tmp_path.iterdir())


# --- trained encoders ------------------------------------------------------------------------


def exported(rng, d: int, m: int, bits: int, hidden: int, sweeps: int) -> dict[str, np.ndarray]:
    """Weights as RecurrentBinarizer.export gives them, of a module that learnt nothing."""

    def floats(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

    out = {"bits": np.array(bits), "sweeps": np.array(sweeps), "query": floats(m, d)}
    out["mean"], out["query_mean"] = floats(d), floats(d)
    for i in range(2 * bits - 1):
        name = "W" if i == 0 else f"{'RB'[i % 2]}{(i - 1) // 2}"
        ins, outs = (m, d) if name[0] == "B" else (d, m)
        out[f"{name}.skip"], out[f"{name}.bias"] = floats(outs, ins), floats(outs) / 4
        if hidden:
            out[f"{name}.hidden"], out[f"{name}.hidden_bias"] = floats(hidden, ins), floats(hidden)
            out[f"{name}.out"] = floats(outs, hidden)
    return out


@pytest.mark.parametrize("hidden", [0, 9])
@pytest.mark.parametrize("sweeps", [0, 3])
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_codes_of_a_trained_encoder(rng, bits, sweeps, hidden):
    """As shortlist.binary.encode defines them, and so are factors and scores."""
    d, m = 24, 37
    encoder, x, q = (
        exported(rng, d, m, bits, hidden, sweeps),
        vectors(rng, 500, d),
        rng.normal(size=(20, d)),
    )
    for metric in (L2, IP):
        index = shortlist.IndexSDC(d, metric=metric, encoder=encoder)
        assert index.is_trained
        assert (index.bits, index.code_dim) == (bits, m)
        index.add(x)
        want = binary.encode(encoder, x)
        got = read_codes(index, x, -(-m // 16) * 16).values
        assert (got[:, m:] == 0).all()
        same = (got[:, :m] == want).all(1)
        assert same.mean() > 0.98  # a sum next to zero may be rounded to either side
        scale, addend = binary.factors(encoder, x, want, "ip" if metric == IP else "l2")
        odd = binary.odd_integers(encoder, want)
        scores = (
            scale * (binary.read_query(encoder, q) @ odd.T)
            + addend
            + (q @ encoder["mean"])[:, None]
        )
        true = scores if metric == IP else (q**2).sum(1)[:, None] - 2 * scores
        D, I = index.search_exact(q, 500)
        size = abs(true).max()
        near = abs(D - np.take_along_axis(true, I, 1)) <= (0.01 if bits in (1, 8) else 2e-3) * size
        assert near[np.take_along_axis(np.broadcast_to(same, true.shape), I, 1)].all()


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_file_keeps_the_encoder(rng, hidden):
    x = vectors(rng, 300, 12)
    index = shortlist.IndexSDC(12, metric=IP, encoder=exported(rng, 12, 20, 3, hidden, 2))
    index.train(x)  # keeps the encoder's centres
    index.add(x)
    again = pickle.loads(pickle.dumps(index))
    for one, two in zip(index.search(x[:9], 9), again.search(x[:9], 9), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(index.sa_encode(x), again.sa_encode(x))
    again.merge_from(index)
    assert again.ntotal == 600
    other = shortlist.IndexSDC(12, metric=IP, encoder=exported(rng, 12, 20, 3, hidden, 2))
    with pytest.raises(ValueError, match="encoder"):
        again.merge_from(other)


def test_bad_encoders(rng):
    good = exported(rng, 12, 20, 2, 4, 1)
    with pytest.raises(ValueError, match="encoder makes codes of 2"):
        shortlist.IndexSDC(12, 3, encoder=good)
    with pytest.raises(shortlist.DimensionError, match="12 dimensions, not d = 13"):
        shortlist.IndexSDC(13, encoder=good)
    with pytest.raises(ValueError, match="leave it out"):
        shortlist.IndexSDC(12, encoder=good, code_dim=64)
    for name in good:
        if not name.endswith((".hidden", ".hidden_bias", ".out")):
            with pytest.raises(ValueError, match=f"no '{name}'"):
                shortlist.IndexSDC(12, encoder={k: v for k, v in good.items() if k != name})
        if good[name].size > 1:
            with pytest.raises(ValueError, match=r"should be|dimensions"):
                shortlist.IndexSDC(12, encoder={**good, name: good[name].ravel()[:-1]})
            bad = good[name].copy()
            bad.flat[0] = np.nan
            with pytest.raises(ValueError, match=r"NaN|numbers"):
                shortlist.IndexSDC(12, encoder={**good, name: bad})
    for name, values in (("bits", (0, 9)), ("sweeps", (-1, 1001))):
        for value in values:
            with pytest.raises(ValueError, match=name):
                shortlist.IndexSDC(12, encoder={**good, name: np.array(value)})


# --- bad input -------------------------------------------------------------------------------


def test_bad_arguments():
    for bits in (0, 9, -1):
        with pytest.raises(ValueError, match="from 1 to 8"):
            shortlist.IndexSDC(8, bits)
    for dims in (0, 63, 100, -64):
        with pytest.raises(ValueError, match="multiple of 64"):
            shortlist.IndexSDC(65, 2, code_dim=dims)
    for d in (2**21, 2**60):
        with pytest.raises(shortlist.DimensionError):
            shortlist.IndexSDC(d)
    with pytest.raises(ValueError, match="at least 1"):
        shortlist.IndexSDC(0)


def test_bad_calls(rng):
    x = vectors(rng, 50, 8)
    index = shortlist.IndexSDC(8)
    with pytest.raises(shortlist.NotTrainedError):
        index.add(x)
    with pytest.raises(ValueError, match="no vectors"):
        index.train(x[:0])
    with pytest.raises(ValueError, match="NaN"):
        index.train(np.full((2, 8), np.nan, np.float32))
    index.train(x)
    index.add(x)
    with pytest.raises(ValueError, match="train before add"):
        index.train(x)
    with pytest.raises(shortlist.IdError):
        index.reconstruct(50)
    with pytest.raises(ValueError, match="mean different things"):
        index.merge_from(built(x, 3))
    with pytest.raises(ValueError, match="mean different things"):
        index.merge_from(built(x + 1, 2))


@pytest.mark.parametrize("bits", [1, 2])
def test_what_is_no_number_is_not_found(rng, bits):
    x = vectors(rng, 70, 8)
    index = built(x, bits)
    bad = x[:3].copy()
    bad[0, 3], bad[1, 0], bad[2, 7] = np.nan, np.inf, -np.inf
    with pytest.raises(ValueError, match="NaN"):
        index.add(bad)
    index.add(bad, allow_nan=True)
    assert index.ntotal == 73
    assert index.search(x, 73)[1].max() == 69
    I = index.search(bad, 2)[1]
    assert (I == -1).all()
    assert len(index.range_search(bad, 1e30)[2]) == 0
