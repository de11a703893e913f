"""IndexIVFRaBitQ and its fast-scan form: faiss's bytes and files, distances by definition."""

from __future__ import annotations

import io

import numpy as np
import pytest
import shortlist as sl
from fast_scan_oracle import rabitq_told
from hypothesis import given
from hypothesis import strategies as st
from test_rabitq import on_grid, read_codes

L2, IP = sl.METRIC_L2, sl.METRIC_INNER_PRODUCT
NLIST = 9


def clustered(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    centres = np.random.default_rng(5).normal(size=(20, d)) * 1.5
    return (centres[rng.integers(20, size=n)] + rng.normal(size=(n, d)) + 1).astype(np.float32)


def built(x, bits=1, metric=L2, nlist=NLIST, make=sl.IndexIVFRaBitQ, nprobe=None):
    d = x.shape[1]
    index = make(sl.IndexFlat(d, metric), d, nlist, metric, nb_bits=bits)
    index.cp.min_points_per_centroid = 1
    index.train(x)
    index.add(x)
    index.nprobe = nprobe or nlist
    return index


def estimates(index, codes, lists, q, exact=False):
    """What faiss's formulas make of its bytes, each relative to its list, in the user's signs.

    Where all lists are looked at; exact: of queries as they are."""
    d, bits, metric = index.d, index.rabitq.nb_bits, index.metric_type
    signs, u, square, multiplier, _, add, rescale = read_codes(codes, d, bits)
    c = index.quantizer.reconstruct_n()[lists].astype(np.float64)
    q = q.astype(np.float64)
    r = q[:, None] - c  # queries x vectors x d
    near = (r**2).sum(2)
    if bits > 1:
        product = (r * u).sum(2)
        if metric == L2:
            return np.maximum(near + add + rescale * product, 0)
        return q @ c.T + add + rescale * product
    if isinstance(index, sl.IndexIVFRaBitQFastScan) and not exact:
        told = rabitq_told(
            q.astype(np.float32), index.quantizer.reconstruct_n(), lists, signs, index.qb
        )
    else:
        told = 2 / np.sqrt(d) * ((r if exact else on_grid(r, index.qb, False)) * signs).sum(2)
    before = near + square - 2 * multiplier * told
    return np.maximum(before, 0) if metric == L2 else -0.5 * (before - (q**2).sum(1)[:, None])


def stored(index):
    """Codes in faiss's bytes by id, and the list of each."""
    codes = np.zeros((index.ntotal, index.code_size), np.uint8)
    lists = np.zeros(index.ntotal, int)
    for l in range(index.nlist):
        ids = index.invlists.get_ids(l)
        codes[ids], lists[ids] = index.invlists.get_codes(l), l
    return codes, lists


@pytest.mark.parametrize("make", [sl.IndexIVFRaBitQ, sl.IndexIVFRaBitQFastScan])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_searches_find_the_least_estimates(rng, threads, bits, metric, make):
    for n, d, nlist in [(1, 5, 1), (40, 64, 3), (33, 1, 2), (300, 33, 9), (900, 40, 9)]:
        x, q = clustered(rng, n, d), clustered(rng, 20, d)
        index = built(x, bits, metric, nlist, make)
        codes, lists = stored(index)
        np.testing.assert_array_equal(index.sa_encode(x)[:, int(nlist > 1) :], codes)
        want = estimates(index, codes, lists, q)
        sign, size, k = (1 if metric == L2 else -1), abs(want).max(), min(n, 10)
        best = np.sort(sign * want, axis=1)[:, :k]
        for count in (1, 2):
            threads(count)
            D, I = index.search(q, 10)
            np.testing.assert_allclose(
                D[:, :k], np.take_along_axis(want, I[:, :k], 1), atol=1e-4 * size
            )
            assert (I[:, k:] == -1).all()
            assert (np.diff(sign * D, axis=1) >= 0).all()
            missed = (sign * D[:, :k] > best + 2e-4 * size).mean()
            assert missed <= (0.001 if bits == 1 else 0.03)
        radius = float(np.median(sign * best[:, -1]) * sign)
        _, D, I = index.range_search(q, radius)
        inside = sign * want < sign * radius
        assert abs(len(I) - inside.sum()) <= 0.02 * inside.sum() + 2
        assert (sign * D < sign * radius).all()
        assert metric == IP or (D >= 0).all()
        want = np.sort(sign * estimates(index, codes, lists, q, True), axis=1)[:, :k]
        D = sign * index.search_exact(q, k)[0]
        assert (abs(D - want) > 2e-4 * size).mean() <= (0.001 if bits == 1 else 0.03)


@pytest.mark.parametrize("metric", [L2, IP])
def test_queries_are_rounded_as_faiss_rounds_them(rng, faiss, metric):
    x, q = clustered(rng, 800, 40), clustered(rng, 30, 40)
    theirs = theirs_of(faiss, x, 1, metric)
    ours = sl.deserialize_index(faiss.serialize_index(theirs))
    for nprobe in (1, 5):
        theirs.nprobe = ours.nprobe = nprobe
        for qb in range(9):
            theirs.qb = ours.qb = qb
            (D, I), (D2, I2) = ours.search(q, 10), theirs.search(q, 10)
            # Of one bit tables hold few values, whose roundings go one way.
            np.testing.assert_allclose(D, D2, atol=(3e-4 if qb == 1 else 1e-4) * abs(D2).max())
            assert (I == I2)[D2 != 0].mean() > 0.98  # which of many at no distance, is open
            ours.qb = 0
            params = sl.IVFRaBitQSearchParameters(qb=qb, nprobe=nprobe)
            for a, b in zip(ours.search(q, 10, params=params), (D, I), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("d", [40, 33])
def test_fast_scans_have_faiss_tables_of_bytes(rng, faiss, d, metric):
    x, q = clustered(rng, 800, d), clustered(rng, 30, d)
    theirs = theirs_of(faiss, x, 1, metric, 32)
    ours = sl.deserialize_index(faiss.serialize_index(theirs))
    for nprobe in (1, 5, NLIST):
        theirs.nprobe = ours.nprobe = nprobe
        for qb in (8, 4, 2):
            theirs.qb = ours.qb = qb
            (D, I), (D2, I2) = ours.search(q, 10), theirs.search(q, 10)
            assert (I == I2).mean() > (0.99 if qb == 8 else 0.97)
            # The fewer values, the more halves, which faiss's ISAs round either way.
            same = (I == I2) & (abs(D - D2) <= 1e-4 * abs(D2).max())
            assert same.mean() > (0.99 if qb == 8 else 0.9)
            np.testing.assert_allclose(np.sort(D), np.sort(D2), atol=0.01 * abs(D2).max())
            ours.qb = 8
            params = sl.IVFRaBitQSearchParameters(qb=qb, nprobe=nprobe)
            for a, b in zip(ours.search(q, 10, params=params), (D, I), strict=True):
                np.testing.assert_array_equal(a, b)
    theirs.qb = ours.qb = 8
    theirs.centered = ours.centered = True
    (D, I), (D2, I2) = ours.search(q, 10), theirs.search(q, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(I, I2, strict=True)]) > 0.97
    np.testing.assert_allclose(np.sort(D), np.sort(D2), atol=0.01 * abs(D2).max())


def test_probing_fewer_lists_looks_at_those_alone(rng):
    x, q = clustered(rng, 400, 24), clustered(rng, 15, 24)
    index = built(x, 4, nprobe=2)
    _, lists = stored(index)
    _, nearest = index.quantizer.search(q, 2)
    _, I = index.search(q, 20)
    for row, probed in zip(I, nearest, strict=True):
        assert set(lists[row[row >= 0]]) <= set(probed)
    params = sl.IVFRaBitQSearchParameters(nprobe=NLIST, qb=0, sel=sl.IDSelectorRange(100, 120))
    _, I = index.search(q, 30, params=params)
    assert (np.sort(I[:, :20]) == np.arange(100, 120)).all()
    assert (I[:, 20:] == -1).all()
    np.testing.assert_array_equal(
        index.search(q, 9, params=sl.SearchParametersIVF(nprobe=5))[1],
        index.search(q, 9, params=sl.IVFRaBitQSearchParameters(nprobe=5))[1],
    )


@pytest.mark.parametrize("metric", [L2, IP])
def test_estimates_sharpen_with_bits(rng, metric):
    x, q = clustered(rng, 1500, 48), clustered(rng, 40, 48)
    D = q @ x.T if metric == IP else -((q[:, None] - x) ** 2).sum(2)
    wanted, last = np.argsort(-D, axis=1)[:, :10], np.inf
    for bits, recall in {1: 0.3, 2: 0.5, 4: 0.8, 8: 0.95}.items():
        index = built(x, bits, metric)
        found = index.search(q, 10)[1]
        share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, wanted, strict=True)])
        assert share > recall
        loss = ((index.reconstruct_n() - x) ** 2).mean()
        assert loss < 0.45 * last
        last = loss


def test_living(rng):
    x = clustered(rng, 300, 17)
    index, other = built(x, 2), built(x, 2)
    assert index.remove_ids(np.arange(0, 300, 3)) == 100
    assert index.ntotal == 200
    assert not set(index.search(x, 5)[1].ravel()) & set(range(0, 300, 3))
    np.testing.assert_allclose(index.reconstruct(7), other.reconstruct(7))
    index.add_with_ids(x[:5], np.arange(5) + 10**12)
    np.testing.assert_allclose(index.reconstruct(10**12 + 2), other.reconstruct(2))
    index.merge_from(other, 1000)
    assert (index.ntotal, other.ntotal) == (505, 0)
    np.testing.assert_allclose(index.reconstruct(1007), index.reconstruct(7))
    index.reset()
    assert (index.search(x[:2], 3)[1] == -1).all()


def test_a_fast_scan_is_made_of_another(rng):
    x = clustered(rng, 200, 20)
    index = built(x, 3, nprobe=4)
    index.qb = 0
    fast = sl.IndexIVFRaBitQFastScan(index, 64)
    assert (fast.bbs, fast.qb, fast.nprobe, fast.ntotal) == (64, 8, 4, 200)
    for a, b in zip(fast.search(x, 5), index.search(x, 5), strict=True):
        np.testing.assert_array_equal(a, b)
    index.reset()
    assert fast.ntotal == 200


def test_bad_input(rng):
    flat = sl.IndexFlatL2(8)
    for bits in (0, 9):
        with pytest.raises(ValueError, match="nb_bits"):
            sl.IndexIVFRaBitQ(flat, 8, 4, nb_bits=bits)
    with pytest.raises(NotImplementedError, match="own_invlists"):
        sl.IndexIVFRaBitQ(flat, 8, 4, L2, False)
    with pytest.raises(TypeError):
        sl.IndexIVFRaBitQ(flat, 8, 4, L2, 2)  # own_invlists is no number
    with pytest.raises(sl.DimensionError):
        sl.IndexIVFRaBitQ(flat, 9, 4)
    with pytest.raises(ValueError, match="bbs"):
        sl.IndexIVFRaBitQFastScan(flat, 8, 4, bbs=48)
    index = sl.IndexIVFRaBitQ(flat, 8, 4)
    with pytest.raises(sl.NotTrainedError):
        index.add(np.zeros((1, 8), np.float32))
    for bad in (-1, 9):
        with pytest.raises(ValueError, match="qb"):
            index.qb = bad
    with pytest.raises(ValueError, match="qb"):
        sl.IndexIVFRaBitQFastScan(flat, 8, 4).qb = 0
    with pytest.raises(ValueError, match="max_codes"):
        sl.IVFRaBitQSearchParameters(max_codes=-1)
    index.train(clustered(rng, 50, 8))
    with pytest.raises(ValueError, match="NaN"):
        index.add(np.full((1, 8), np.nan, np.float32))


# --- faiss's files -----------------------------------------------------------------------------


def theirs_of(faiss, x, bits, metric, bbs=None, n=None):
    d = x.shape[1]
    flat = faiss.IndexFlat(d, metric)
    if bbs:
        index = faiss.IndexIVFRaBitQFastScan(flat, d, NLIST, metric, bbs, True, bits)
    else:
        index = faiss.IndexIVFRaBitQ(flat, d, NLIST, metric, True, bits)
        index.qb = 0
    index.cp.min_points_per_centroid = 1
    index.train(x)
    index.nprobe = 4
    if n != 0:
        index.add_with_ids(x[:n], np.arange(len(x[:n])) * 3 + 1)
    return index


@pytest.mark.parametrize("bbs", [None, 32, 64])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_ours_reads_faiss_and_writes_the_same(rng, faiss, bits, metric, bbs):
    for n, d in [(0, 8), (1, 12), (150, 33), (400, 64)]:
        x = clustered(rng, 400, d)
        theirs = theirs_of(faiss, x, bits, metric, bbs, n)
        data = faiss.serialize_index(theirs)
        ours = sl.deserialize_index(data)
        assert type(ours).__name__ == type(theirs).__name__
        assert (ours.ntotal, ours.qb, ours.nprobe) == (n, theirs.qb, 4)
        np.testing.assert_array_equal(sl.serialize_index(ours), data)
        if not n:
            continue
        if bits == 1:
            np.testing.assert_array_equal(ours.sa_encode(x), theirs.sa_encode(x))
        if bbs:  # faiss rounds queries
            continue
        k = min(n, 10)
        (D1, I1), (D2, I2) = ours.search(x[:50], k), theirs.search(x[:50], k)
        size = abs(D2[I2 >= 0]).max()
        assert (I1 == I2).mean() > 0.98
        same = (I1 == I2) & (I1 >= 0)
        np.testing.assert_allclose(D1[same], D2[same], atol=1e-4 * size)


@pytest.mark.parametrize("bbs", [None, 32])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 4])
def test_faiss_reads_ours_and_finds_as_much(rng, faiss, bits, metric, bbs):
    x, q = clustered(rng, 2000, 64), clustered(rng, 100, 64)
    make = sl.IndexIVFRaBitQFastScan if bbs else sl.IndexIVFRaBitQ
    ours = built(x, bits, metric, make=make, nprobe=4)
    data = sl.serialize_index(ours)
    theirs = faiss.deserialize_index(data)
    np.testing.assert_array_equal(faiss.serialize_index(theirs), data)
    assert (theirs.ntotal, theirs.qb, theirs.nprobe) == (2000, ours.qb, 4)
    if not bbs:
        theirs.qb = 0
    D = q @ x.T if metric == IP else -((q[:, None] - x) ** 2).sum(2)
    wanted = np.argsort(-D, axis=1)[:, :10]
    share = [
        np.mean(
            [len(set(a) & set(b)) / 10 for a, b in zip(i.search(q, 10)[1], wanted, strict=True)]
        )
        for i in (ours, theirs)
    ]
    assert abs(share[0] - share[1]) < 0.03


def test_faiss_codes_of_old_meaning_are_refused(rng, faiss):
    x = clustered(rng, 100, 8)
    theirs = theirs_of(faiss, x, 2, IP)
    data = faiss.serialize_index(theirs)
    code = sl.deserialize_index(data).invlists.get_codes(0)[:1]
    at = data.tobytes().index(code.tobytes()) + code.size - 1
    data[at] ^= 0x80  # the sign of the last factor
    with pytest.raises(NotImplementedError, match=r"faiss 1\.13"):
        sl.deserialize_index(data)


@pytest.mark.parametrize("make", [sl.IndexIVFRaBitQ, sl.IndexIVFRaBitQFastScan])
@pytest.mark.parametrize("bits", [1, 3])
def test_damaged_files(rng, bits, make):
    x = clustered(rng, 30, 8)
    index = built(x, bits, nlist=2, make=make)
    index.remove_ids(np.arange(6, 30))
    data = bytearray(sl.serialize_index(index))
    for n in range(len(data)):
        with pytest.raises(sl.CorruptIndexError):
            sl.deserialize_index(bytes(data[:n]))
    with pytest.raises(sl.CorruptIndexError):
        sl.read_index(sl.PyCallbackIOReader(io.BytesIO(data[: len(data) // 2]).read))
    refused = 0
    for at in range(len(data)):
        for bit in (at % 8, 7):
            data[at] ^= 1 << bit
            try:
                sl.deserialize_index(bytes(data)).search(x[:2], 5)
            except (sl.CorruptIndexError, NotImplementedError, ValueError):
                refused += 1
            data[at] ^= 1 << bit
    assert refused > 50


@given(
    n=st.integers(1, 200),
    d=st.integers(1, 70),
    bits=st.integers(1, 8),
    nlist=st.integers(1, 9),
    metric=st.sampled_from([L2, IP]),
    bbs=st.sampled_from([None, 32, 96]),
    seed=st.integers(0, 99),
)
def test_round_trips(n, d, bits, nlist, metric, bbs, seed):
    x = clustered(np.random.default_rng(seed), max(n, nlist), d)
    make = sl.IndexIVFRaBitQ
    if bbs:

        def make(*args, **kwargs):
            return sl.IndexIVFRaBitQFastScan(*args, bbs=bbs, **kwargs)

    index = built(x, bits, metric, nlist, make)
    data = sl.serialize_index(index)
    again = sl.deserialize_index(data)
    np.testing.assert_array_equal(sl.serialize_index(again), data)
    assert again.is_trained
    D1, D2 = (i.search_exact(x[:5], 3)[0] for i in (index, again))
    if bits == 1:
        np.testing.assert_array_equal(D1, D2)
    again.add(x)
    assert again.ntotal == 2 * index.ntotal
    np.testing.assert_array_equal(again.reconstruct_n(0, len(x)), again.reconstruct_n(len(x)))
