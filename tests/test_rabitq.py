"""IndexRaBitQ and IndexRaBitQFastScan: faiss's bytes, their distances by definition, and faiss."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
import shortlist as sl
from conftest import Oracle
from hypothesis import given
from hypothesis import strategies as st
from shortlist._core import _kernels

L2, IP = sl.METRIC_L2, sl.METRIC_INNER_PRODUCT
BITS = range(1, 9)


def vectors(rng, n, d):
    return (rng.normal(size=(n, d)) + rng.normal(size=d)).astype(np.float32)


def built(x, bits=1, metric=L2, make=sl.IndexRaBitQ):
    index = make(x.shape[1], metric, nb_bits=bits)
    index.train(x)
    index.add(x)
    return index


def make_faiss(faiss, x, bits, metric, bbs=None, n=None):
    d = x.shape[1]
    index = (
        faiss.IndexRaBitQFastScan(d, metric, bbs, bits)
        if bbs
        else faiss.IndexRaBitQ(d, metric, bits)
    )
    index.train(x)
    if n != 0:  # faiss aborts where its fast scan is given nothing to add
        index.add(x[:n])
    return index


def read_codes(codes, d, bits):
    """Signs (n, d) of +-1/2, u (n, d), and the factors, from faiss's bytes."""
    signs, lower = -(-d // 8), -(-d * (bits - 1) // 8)
    at = np.cumsum([0, signs, 8, *([4, lower, 8] if bits > 1 else [])])
    part = [np.ascontiguousarray(codes[:, a:b]) for a, b in pairwise(at)]
    assert at[-1] == codes.shape[1]
    high = np.unpackbits(part[0], axis=1, bitorder="little")[:, :d].astype(np.float64)
    square, multiplier = part[1].view(np.float32).astype(np.float64).T
    if bits == 1:
        return high - 0.5, high - 0.5, square, multiplier, None, None, None
    flat = np.unpackbits(part[3], axis=1, bitorder="little")[:, : d * (bits - 1)]
    low = (flat.reshape(len(codes), d, bits - 1) << np.arange(bits - 1)).sum(2)
    add, rescale = part[4].view(np.float32).astype(np.float64).T
    u = high * 2 ** (bits - 1) + low - (2**bits - 1) / 2
    return high - 0.5, u, square, multiplier, part[2].view(np.float32)[:, 0], add, rescale


REACH = [0.79688, 1.49375, 2.05078, 2.50938, 2.9125, 3.26406, 3.59844, 3.91016]


def on_grid(r, qb, centered):
    """What faiss rounds to qb bits: values of rows of r (..., d)."""
    if qb == 0:
        return r
    length = np.sqrt((r**2).sum(-1, keepdims=True))
    low, high = r.min(-1, keepdims=True), r.max(-1, keepdims=True)
    if centered:
        high = REACH[qb - 1] * length / np.sqrt(r.shape[-1])
        low = -high
    most = 2**qb - 1
    step = np.where(high > low, (high - low) / most, 1)
    code = np.clip(np.round((r - low) / step), 0, most)
    if not centered:
        return low + step * code
    odd = 2 * code - most
    return odd * length / np.sqrt((odd**2).sum(-1, keepdims=True))


def estimates(index, codes, q, exact=False):
    """What faiss's formulas make of its bytes, in the user's signs; exact: of queries as they are.

    Without the rounding of fast scans' tables.
    """
    d, bits, metric = index.d, index.rabitq.nb_bits, index.metric_type
    signs, u, square, multiplier, _, add, rescale = read_codes(codes, d, bits)
    c, q = index.center.astype(np.float64), q.astype(np.float64)
    r = q - c
    near = (r**2).sum(1)[:, None]
    if bits > 1:
        if metric == L2:
            return np.maximum(near + add + rescale * (r @ u.T), 0)
        return (q @ c)[:, None] + add + rescale * (r @ u.T)
    if not exact:
        r = on_grid(r, index.qb, index.centered)
    before = near + square - 4 * multiplier / np.sqrt(d) * (r @ signs.T)
    return np.maximum(before, 0) if metric == L2 else -0.5 * (before - (q**2).sum(1)[:, None])


# --- codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", BITS)
def test_codes_are_what_faiss_makes_or_as_near(rng, faiss, bits, metric):
    for d in (1, 7, 8, 33, 100):
        x = vectors(rng, 60, d)
        theirs = make_faiss(faiss, x, bits, metric)
        ours = sl.deserialize_index(faiss.serialize_index(theirs))  # the same center
        got, want = ours.sa_encode(x), theirs.sa_encode(x)
        assert got.shape == want.shape == (60, ours.code_size)
        if bits == 1:
            np.testing.assert_array_equal(got, want)
            np.testing.assert_allclose(ours.sa_decode(got), theirs.sa_decode(want), atol=1e-5)
            continue
        signs = -(-d // 8) + 8
        np.testing.assert_array_equal(got[:, :signs], want[:, :signs])
        _, u, *_, error, add, rescale = read_codes(got, d, bits)
        _, v, *_, their_error, their_add, their_rescale = read_codes(want, d, bits)
        np.testing.assert_allclose(error, their_error, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(add, their_add, rtol=1e-4, atol=1e-4)
        r = x - ours.center

        def cosine(w, r=r):
            return (r * w).sum(1) / np.sqrt((r**2).sum(1) * (w**2).sum(1))

        assert (1 - cosine(u)).mean() <= (1 - cosine(v)).mean() * 1.02 + 1e-9
        sign = -2 if metric == L2 else 1  # f makes <r, f u> = |r|^2
        np.testing.assert_allclose(rescale / sign * (r * u).sum(1), (r**2).sum(1), rtol=1e-3)
        assert (np.sign(rescale) == np.sign(their_rescale)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("metric", [L2, IP])
def test_decoding_uses_all_bits(rng, bits, metric):
    for d in (1, 3, 64, 100):
        x = vectors(rng, 300, d)
        index = built(x, bits, metric)
        back = index.reconstruct_n()
        np.testing.assert_array_equal(back, index.sa_decode(index.sa_encode(x)))
        np.testing.assert_array_equal(back[17], index.reconstruct(17))
        loss = ((x - back) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
        assert loss < {1: 0.65, 2: 0.16, 4: 0.015, 8: 1e-4}[bits]


# --- searches --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sl.IndexRaBitQ, sl.IndexRaBitQFastScan])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", BITS)
def test_searches_find_the_least_estimates(rng, threads, bits, metric, make):
    for n, d in [(1, 5), (31, 64), (32, 1), (33, 100), (2000, 40)]:
        x, q = vectors(rng, n, d), vectors(rng, 30, d)
        index = built(x, bits, metric, make)
        assert (index.ntotal, index.rabitq.nb_bits) == (n, bits)
        want = estimates(index, index.sa_encode(x), q)
        sign, size, k = (1 if metric == L2 else -1), abs(want).max(), min(n, 10)
        coarse = 100 if bits == 1 and make is sl.IndexRaBitQFastScan else 1  # tables of bytes
        best = np.sort(sign * want, axis=1)[:, :k]
        for count in (1, 2):
            threads(count)
            D, I = index.search(q, 10)
            np.testing.assert_allclose(
                D[:, :k], np.take_along_axis(want, I[:, :k], 1), atol=1e-4 * size * coarse
            )
            assert (I[:, k:] == -1).all()
            assert (np.diff(sign * D, axis=1) >= 0).all()
            missed = (sign * D[:, :k] > best + 2e-4 * size * coarse).mean()
            assert missed <= (0.001 if bits == 1 else 0.02)
            D, I = index.search_exact(q, 10)
            exact = np.sort(sign * estimates(index, index.sa_encode(x), q, True), axis=1)[:, :k]
            np.testing.assert_allclose(sign * D[:, :k], exact, atol=2e-4 * size)
        if metric == L2:
            assert (index.search(x, k)[0] >= 0).all()
            assert index.range_search(x, 0)[0][-1] == 0


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 3])
def test_ranges_and_selections(rng, bits, metric):
    x, q = vectors(rng, 600, 32), vectors(rng, 20, 32)
    index = built(x, bits, metric)
    index.qb = 0
    want = estimates(index, index.sa_encode(x), q)
    sign, size = (1 if metric == L2 else -1), abs(want).max()
    radius = float(np.quantile(want, 0.1 if metric == L2 else 0.9))
    lims, D, I = index.range_search(q, radius)
    for i in range(len(q)):
        found = I[lims[i] : lims[i + 1]]
        np.testing.assert_allclose(D[lims[i] : lims[i + 1]], want[i, found], atol=1e-4 * size)
        inside = set(np.flatnonzero(sign * want[i] < sign * radius - 1e-4 * size))
        assert len(inside - set(found)) <= 0.03 * len(inside) + 1
        assert not set(found) - set(np.flatnonzero(sign * want[i] < sign * radius + 1e-4 * size))
    for sel in (sl.IDSelectorRange(50, 90), sl.IDSelectorBatch([3, 5, 599])):
        ids = [i for i in range(600) if sel.is_member(i)]
        for params in (
            sl.SearchParameters(sel=sel),
            sl.RaBitQSearchParameters(sel=sel, qb=0, centered=True),
        ):
            D, I = index.search(q, 3, params=params)
            assert set(I.ravel()) <= set(ids)
            nearest = np.sort(sign * want[:, ids], axis=1)[:, 0]
            assert (sign * D[:, 0] <= nearest + 1e-4 * size).mean() > 0.9


def test_every_level_finds_the_same(rng):
    x, q = vectors(rng, 3000, 72), vectors(rng, 30, 72)
    before = sl.simd_level()
    for bits in (1, 4):
        index, found = built(x, bits, IP), []
        try:
            for isa in sl.simd_levels():
                _kernels.set_level(isa)
                found.append(index.search(q, 10)[1])
        finally:
            _kernels.set_level(before)
        for other in found[1:]:
            assert (found[0] == other).mean() > 0.99


def test_vectors_at_the_center_and_far_away():
    x = np.concatenate([np.zeros((4, 8)), 1e6 * np.eye(8), -1e6 * np.eye(8)]).astype(np.float32)
    for bits in BITS:
        index = built(x, bits)
        D, I = index.search(x, 4)
        assert np.isfinite(D).all()
        assert set(I[0]) == {0, 1, 2, 3}
        np.testing.assert_array_equal(index.reconstruct(0), np.zeros(8))
        tiny = built(x * np.float32(1e-30), bits)
        assert np.isfinite(tiny.search(x, 4)[0]).all()


@pytest.mark.parametrize("bits", [1, 4])
def test_rows_with_nan_are_kept_and_never_found(rng, bits):
    x = vectors(rng, 50, 16)
    x[7, 3] = np.nan
    index = sl.IndexRaBitQ(16, L2, bits)
    index.train(x[:7])
    with pytest.raises(ValueError, match="NaN"):
        index.add(x)
    index.add(x, allow_nan=True)
    for one in (index, sl.deserialize_index(sl.serialize_index(index)), sl.clone_index(index)):
        assert one.ntotal == 50
        _, I = one.search(x[:5], 50)
        assert 7 not in I
        assert (I[:, -1] == -1).all()
        assert 7 not in one.search_exact(x[:5], 50)[1]


def test_faiss_finds_no_more(rng, faiss):
    """On vectors that were rotated, as both expect."""
    d = 64
    base = rng.normal(size=(4200, d)) * np.geomspace(3, 0.3, d)
    x = (base @ np.linalg.qr(rng.normal(size=(d, d)))[0]).astype(np.float32)
    x, q = x[200:], x[:200]
    for metric in (L2, IP):
        oracle = Oracle(metric)
        for bits in (1, 2, 4):
            for bbs in (None, 32):
                theirs = make_faiss(faiss, x, bits, metric, bbs)
                make = sl.IndexRaBitQFastScan if bbs else sl.IndexRaBitQ
                ours = built(x, bits, metric, make)
                mine = oracle.recall(ours.search(q, 10)[1], q, x)
                assert mine >= oracle.recall(theirs.search(q, 10)[1], q, x) - 0.015
                assert mine > {1: 0.35, 2: 0.65, 4: 0.87}[bits]


# --- changes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sl.IndexRaBitQ, sl.IndexRaBitQFastScan])
@pytest.mark.parametrize("bits", [1, 5])
def test_changes_and_copies(rng, bits, make):
    x, q = vectors(rng, 200, 20), vectors(rng, 10, 20)
    index = built(x, bits, IP, make)
    index.qb, index.centered = 3, True
    for again in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), sl.clone_index(index)):
        assert type(again) is make
        assert (again.rabitq.nb_bits, again.qb, again.centered) == (bits, 3, True)
        np.testing.assert_array_equal(again.center, index.center)
        for a, b in zip(again.search(q, 5), index.search(q, 5), strict=True):
            np.testing.assert_array_equal(a, b)
    other, codes = pickle.loads(pickle.dumps(index)), index.sa_encode(x)
    assert index.remove_ids(np.arange(0, 200, 2)) == 100
    np.testing.assert_array_equal(index.reconstruct_n(), index.sa_decode(codes[1::2]))
    index.check_compatible_for_merge(other)
    index.merge_from(other)
    assert (index.ntotal, other.ntotal) == (300, 0)
    np.testing.assert_array_equal(
        index.reconstruct_n(), index.sa_decode(np.concatenate([codes[1::2], codes]))
    )
    with pytest.raises(ValueError, match="training"):
        index.merge_from(built(x[:50], bits, IP, make))
    with pytest.raises(ValueError, match="train before add"):
        index.train(x)
    index.reset()
    assert index.ntotal == 0
    index.add(x)
    np.testing.assert_array_equal(index.reconstruct_n(), index.sa_decode(codes))
    named = sl.IndexIDMap2(make(20, nb_bits=bits))
    named.train(x)
    named.add_with_ids(x, np.arange(200) * 3 + 1)
    assert (named.search(x, 5)[1] % 3 == 1).all()
    refined = sl.IndexRefineFlat(make(20, nb_bits=bits))
    refined.train(x)
    refined.add(x)
    refined.k_factor = 10
    assert (refined.search(x, 1)[1][:, 0] == np.arange(200)).mean() > 0.98


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 3])
def test_a_fast_scan_index_of_another(rng, bits, metric):
    x, q = vectors(rng, 70, 12), vectors(rng, 5, 12)
    plain = built(x, bits, metric)
    fast = sl.IndexRaBitQFastScan(plain, 64)
    assert (fast.bbs, fast.qb, fast.rabitq.nb_bits) == (64, 4, bits)
    assert (fast.ntotal, fast.metric_type, plain.ntotal) == (70, metric, 70)
    (D, I), (D2, I2) = plain.search(q, 9), fast.search(q, 9)
    if bits > 1:
        np.testing.assert_array_equal(I, I2)
        np.testing.assert_array_equal(D, D2)
    else:  # tables of bytes
        assert np.mean([len(set(a) & set(b)) / 9 for a, b in zip(I, I2, strict=True)]) > 0.9
        np.testing.assert_allclose(D, D2, atol=0.02 * abs(D).max())
    plain.qb = 0
    assert sl.IndexRaBitQFastScan(plain).qb == 8
    assert not sl.IndexRaBitQFastScan(sl.IndexRaBitQ(4)).is_trained


def test_attributes():
    index = sl.IndexRaBitQ(20, IP, 3)
    assert (index.qb, index.centered, index.is_trained) == (4, False, False)
    assert index.center.shape == (0,)
    rabitq = index.rabitq
    assert (rabitq.d, rabitq.nb_bits, rabitq.metric_type) == (20, 3, IP)
    assert rabitq.code_size == index.code_size == 3 + 12 + 5 + 8
    assert sl.IndexRaBitQ(20).code_size == 3 + 8
    fast = sl.IndexRaBitQFastScan(20)
    assert (fast.qb, fast.bbs, fast.rabitq.nb_bits) == (8, 32, 1)
    assert isinstance(sl.RaBitQSearchParameters(qb=2), sl.SearchParameters)
    assert sl.RaBitQSearchParameters().qb == 4


def test_bad_input():
    for make in (sl.IndexRaBitQ, sl.IndexRaBitQFastScan):
        for bits in (0, -1, 10):
            with pytest.raises(sl.ArgumentError, match=f"nb_bits = {bits}; .*from 1 to 8"):
                make(8, nb_bits=bits)
        with pytest.raises(sl.ArgumentError, match=r"nb_bits = 9; .*not available yet"):
            make(8, nb_bits=9)
        with pytest.raises(NotImplementedError, match="metric"):
            make(8, 3)
        with pytest.raises(ValueError, match="d = 0"):
            make(0)
        index = make(8)
        for call in (index.add, lambda x, i=index: i.search(x, 1), index.sa_encode):
            with pytest.raises(sl.NotTrainedError, match="must be trained"):
                call(np.zeros((2, 8), np.float32))
        with pytest.raises(ValueError, match="no vectors to train on"):
            index.train(np.zeros((0, 8), np.float32))
        with pytest.raises(ValueError, match="qb = 9; it must be from"):
            index.qb = 9
    with pytest.raises(ValueError, match="qb = 0; it must be from 1 to 8"):
        sl.IndexRaBitQFastScan(8).qb = 0
    with pytest.raises(ValueError, match="qb = -1; it must be from 0 to 8"):
        sl.RaBitQSearchParameters(qb=-1)
    for bbs in (0, -32, 33, 1 << 21):
        with pytest.raises(ValueError, match=f"bbs = {bbs}; it must be a multiple of 32"):
            sl.IndexRaBitQFastScan(8, bbs=bbs)


# --- faiss's files ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 100])
@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bbs", [None, 32, 64, 96])
def test_files_of_faiss(rng, faiss, bbs, metric, bits, n):
    for d in (1, 9, 24):
        x = vectors(rng, 100, d)
        theirs = make_faiss(faiss, x, bits, metric, bbs, n)
        data = faiss.serialize_index(theirs)
        ours = sl.deserialize_index(data)
        assert type(ours).__name__ == type(theirs).__name__
        assert (ours.ntotal, ours.qb, ours.rabitq.nb_bits) == (n, theirs.qb, bits)
        assert getattr(ours, "bbs", None) == bbs
        np.testing.assert_array_equal(ours.center, faiss.vector_to_array(theirs.center))
        np.testing.assert_array_equal(sl.serialize_index(ours), data)
        if n == 0 or d == 1:
            continue
        codes = _their_codes(faiss, theirs, x[:n], bbs)
        if codes is not None:
            np.testing.assert_array_equal(ours.reconstruct_n(), ours.sa_decode(codes))
        want = estimates(ours, codes if codes is not None else ours.sa_encode(x[:n]), x)
        D, I = ours.search(x, n)
        got = np.take_along_axis(want, I, 1) if codes is not None else D
        coarse = 100 if bits == 1 and bbs else 1
        np.testing.assert_allclose(D, got, atol=1e-4 * abs(want).max() * coarse)
        if bbs is None:
            D2, I2 = theirs.search(x, n)
            order, order2 = I.argsort(axis=1), I2.argsort(axis=1)
            np.testing.assert_allclose(
                np.take_along_axis(D, order, 1),
                np.take_along_axis(D2, order2, 1),
                atol=1e-4 * abs(D2).max(),
            )


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bbs", [None, 32])
def test_queries_are_rounded_as_faiss_rounds_them(rng, faiss, bbs, metric):
    x, q = vectors(rng, 500, 40), vectors(rng, 30, 40)
    q[3] = 1  # one value
    theirs = make_faiss(faiss, x, 1, metric, bbs)
    ours = sl.deserialize_index(faiss.serialize_index(theirs))
    for centered in (False, True):
        for qb in range(1 if bbs else 0, 9):
            for index in (ours, theirs):
                index.qb, index.centered = qb, centered
            (D, I), (D2, I2) = ours.search(q, 10), theirs.search(q, 10)
            row = np.arange(30) != 3  # faiss divides by the range
            same = np.mean(
                [len(set(a) & set(b)) / 10 for a, b in zip(I[row], I2[row], strict=True)]
            )
            off = abs(D - D2)[row] / abs(D2[row]).max()
            if bbs is None:
                assert same > 0.98
                assert off.max() < 1e-4
            elif centered:  # faiss rounds tables of bits that differ, we of products
                assert same > 0.9
                assert off.max() < 0.08
            else:  # an entry may be one more or less
                assert same > 0.98
                assert off.max() < 0.02
                assert (off > 1e-4).mean() < 0.2
            if bbs is None:
                ours.qb, ours.centered = 0, False
                params = sl.RaBitQSearchParameters(qb=qb, centered=centered)
                for a, b in zip(ours.search(q, 10, params=params), (D, I), strict=True):
                    np.testing.assert_array_equal(a, b)


def _their_codes(faiss, theirs, x, bbs):
    """What stands in the index; faiss's fast scan gives no codes of its own, but makes the same."""
    if bbs is None:
        return faiss.vector_to_array(theirs.codes).reshape(len(x), -1)
    codes = np.zeros((len(x), theirs.code_size), np.uint8)
    theirs.compute_codes(faiss.swig_ptr(codes), len(x), faiss.swig_ptr(np.ascontiguousarray(x)))
    return codes


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bbs", [None, 32, 64])
def test_faiss_reads_ours(rng, faiss, bbs, metric, bits):
    x, q = vectors(rng, 300, 32), vectors(rng, 50, 32)
    ours = (
        sl.IndexRaBitQFastScan(32, metric, bbs, bits) if bbs else sl.IndexRaBitQ(32, metric, bits)
    )
    untrained = faiss.deserialize_index(sl.serialize_index(ours))
    assert not untrained.is_trained
    np.testing.assert_array_equal(faiss.serialize_index(untrained), sl.serialize_index(ours))
    ours.train(x)
    ours.add(x)
    ours.remove_ids(np.arange(10, 30))
    if not bbs:
        ours.qb = 0
    data = sl.serialize_index(ours)
    theirs = faiss.deserialize_index(data)
    assert type(theirs).__name__ == type(ours).__name__
    assert (theirs.ntotal, theirs.is_trained, theirs.qb) == (280, True, ours.qb)
    np.testing.assert_array_equal(faiss.serialize_index(theirs), data)
    if bbs == 64 and bits > 1:
        return  # faiss looks up signs as in blocks of 32, whatever their size
    (D, I), (D2, I2) = ours.search(q, 10), theirs.search(q, 10)
    if bbs is None and bits == 1:
        np.testing.assert_allclose(D, D2, atol=1e-4 * abs(D).max())
    same = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(I, I2, strict=True)])
    assert same > (0.85 if bits == 1 and bbs else 0.93)


@pytest.mark.parametrize("bits", [1, 4])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bbs", [32, 64])
def test_fast_scan_files_of_older_faiss(rng, faiss, bbs, metric, bits):
    """Up to 1.13 the factors stood apart from the blocks."""
    n, d = 100, 20
    x = vectors(rng, n, d)
    theirs = make_faiss(faiss, x, bits, metric, bbs)
    new = faiss.serialize_index(theirs)
    codes = _their_codes(faiss, theirs, x, bbs)
    signs = -(-d // 8)
    rest = codes[:, signs:]
    head = 4 + 33 + 28 + 8 + 4 * d + 1  # up to qb, behind which the factors stood
    tail = head + 4 + 24  # up to the blocks
    stride = bbs * (signs + rest.shape[1])
    blocks = new[tail + 8 :].reshape(-1, stride)[:, : bbs * signs]
    parts = [
        np.frombuffer(b"Irfs", np.uint8),
        new[4:head],
        np.array([rest.size], np.uint64).view(np.uint8),
        rest.ravel(),
        new[head:tail],
        np.array([blocks.size], np.uint64).view(np.uint8),
        blocks.ravel(),
    ]
    old = np.concatenate(parts)
    ours = sl.deserialize_index(old)
    assert type(ours) is sl.IndexRaBitQFastScan
    assert faiss.deserialize_index(old).ntotal == n  # it is such a file
    np.testing.assert_array_equal(sl.serialize_index(ours), new)
    for cut in range(head, len(old), 37):
        with pytest.raises(sl.CorruptIndexError):
            sl.deserialize_index(old[:cut])


def test_products_by_faiss_1_13_are_refused(rng):
    """Their last factor had the other sign; faiss 1.15 reads them and finds the farthest."""
    for bits in (2, 3):
        index = built(vectors(rng, 40, 8), bits, IP)
        data = sl.serialize_index(index)
        codes = 4 + 33 + 28 + 8
        data[codes + index.code_size - 1] ^= 128
        with pytest.raises(NotImplementedError, match=r"faiss 1\.13, which later .* build the"):
            sl.deserialize_index(data)


def test_damaged_files_are_refused(rng):
    x = vectors(rng, 40, 9)
    for make in (sl.IndexRaBitQ, sl.IndexRaBitQFastScan):
        for bits in (1, 3):
            data = sl.serialize_index(built(x, bits, IP, make))
            assert sl.deserialize_index(data).ntotal == 40
            head = 4 + 33  # fourcc and header, then d, code_size, metric, nb_bits
            for at, value, match in [
                (head, 10, "d = 10"),
                (head + 8, 77, "bytes"),
                (head + 16, 1, "metric 1"),
            ]:
                bad = data.copy()
                bad[at] = value
                with pytest.raises(sl.CorruptIndexError, match=match):
                    sl.deserialize_index(bad)
            if bits == 1 and make is sl.IndexRaBitQ:
                continue  # does not say how many
            for value, error in [(9, NotImplementedError), (0, OSError), (10, OSError)]:
                bad = data.copy()
                bad[head + 20] = value
                with pytest.raises(error):
                    sl.deserialize_index(bad)


@given(
    st.integers(1, 70),
    st.integers(0, 70),
    st.sampled_from(BITS),
    st.sampled_from([L2, IP]),
    st.sampled_from([None, 32, 64]),
    st.integers(0, 99),
)
def test_any_file_comes_back(d, n, bits, metric, bbs, seed):
    rng = np.random.default_rng(seed)
    x = vectors(rng, max(n, 1), d)
    index = sl.IndexRaBitQFastScan(d, metric, bbs, bits) if bbs else sl.IndexRaBitQ(d, metric, bits)
    index.train(x)
    index.add(x[:n])
    data = sl.serialize_index(index)
    again = sl.deserialize_index(data)
    np.testing.assert_array_equal(sl.serialize_index(again), data)
    np.testing.assert_array_equal(again.reconstruct_n(), index.reconstruct_n())
    for a, b in zip(again.search_exact(x, 5), index.search_exact(x, 5), strict=True):
        np.testing.assert_array_equal(a, b)
