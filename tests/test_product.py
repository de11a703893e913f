"""Product quantisation: codes, distances, and the indexes over them."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from fast_scan_oracle import numbers, told
from shortlist._core import _kernels

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT


def vectors(rng: np.random.Generator, n: int, d: int = 24) -> np.ndarray:
    centres = rng.normal(size=(20, d)) * 2
    return (centres[rng.integers(20, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


def trained(x: np.ndarray, M: int, nbits: int) -> shortlist.ProductQuantizer:
    pq = shortlist.ProductQuantizer(x.shape[1], M, nbits)
    pq.train(x)
    return pq


@pytest.mark.parametrize("nbits", range(1, 9))
@pytest.mark.parametrize("M", [1, 3, 8, 24])
def test_codes_name_the_nearest_centroids(rng, M, nbits):
    x = vectors(rng, 600)
    pq = trained(x, M, nbits)
    assert (pq.d, pq.M, pq.nbits, pq.ksub, pq.dsub) == (24, M, nbits, 2**nbits, 24 // M)
    codes = pq.compute_codes(x)
    assert codes.shape == (600, pq.code_size)
    assert pq.code_size == -(-M * nbits // 8)
    parts = x.reshape(600, M, pq.dsub)
    far = ((parts[:, :, None] - pq.centroids) ** 2).sum(3)
    named = numbers(codes, M, nbits)
    chosen = np.take_along_axis(far, named[:, :, None], 2)[:, :, 0]
    np.testing.assert_allclose(chosen, far.min(2), rtol=1e-4, atol=1e-4)
    decoded = pq.centroids[np.arange(M), named].reshape(600, 24)
    np.testing.assert_array_equal(pq.decode(codes), decoded)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize(("M", "nbits"), [(6, 8), (12, 4), (8, 5), (24, 1)])
def test_distances_are_those_to_decoded_vectors(oracle, rng, M, nbits, metric):
    x, q = vectors(rng, 700), vectors(rng, 30)
    index = shortlist.IndexPQ(24, M, nbits, metric)
    index.train(x)
    index.add(x)
    decoded = index.reconstruct_n()
    wanted = q @ decoded.T if metric == IP else ((q[:, None] - decoded) ** 2).sum(2)
    order = np.sort(-wanted if metric == IP else wanted, axis=1)[:, :15]
    for rows in (q, q[:1]):
        distances, found = index.search(rows, 15)
        told = np.take_along_axis(wanted[: len(rows)], found, 1)
        np.testing.assert_allclose(distances, told, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(
            -distances if metric == IP else distances, order[: len(rows)], rtol=1e-4, atol=1e-3
        )
    chosen = rng.permutation(700)[:200]
    params = shortlist.SearchParameters(sel=shortlist.IDSelectorBatch(chosen))
    assert np.isin(index.search(q, 15, params=params)[1], chosen).all()
    radius = float(np.median(wanted))
    limits, _, labels = index.range_search(q, radius)
    inside = wanted[3] > radius + 1e-2 if metric == IP else wanted[3] < radius - 1e-2
    assert set(np.flatnonzero(inside)) <= set(labels[limits[3] : limits[4]])


@pytest.mark.parametrize(("M", "nbits"), [(6, 8), (12, 4)])
def test_codes_are_as_near_as_those_of_faiss(rng, faiss, M, nbits):
    x = vectors(rng, 5000)
    theirs = faiss.ProductQuantizer(24, M, nbits)
    theirs.train(x)
    ours = trained(x, M, nbits)

    def lost(pq) -> float:
        return float(((pq.decode(pq.compute_codes(x)) - x) ** 2).sum())

    assert lost(ours) < 1.02 * lost(theirs)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("nbits", [4, 8])
def test_a_file_of_faiss_gives_its_answers(rng, faiss, nbits, metric):
    x, q = vectors(rng, 800), vectors(rng, 20)
    theirs = faiss.IndexPQ(24, 6, nbits, metric)
    theirs.train(x)
    theirs.add(x)
    ours = shortlist.deserialize_index(faiss.serialize_index(theirs))
    np.testing.assert_array_equal(ours.sa_encode(x), theirs.sa_encode(x))
    distances, _ = theirs.search(q, 10)
    np.testing.assert_allclose(ours.search(q, 10)[0], distances, rtol=1e-4, atol=1e-3)
    back = faiss.deserialize_index(shortlist.serialize_index(ours))
    np.testing.assert_allclose(back.search(q, 10)[0], distances, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("M", [1, 3, 8, 24])
def test_a_fast_scan_tells_what_rounded_tables_tell(rng, M, metric):
    x, q = vectors(rng, 1501), vectors(rng, 40)
    plain = shortlist.IndexPQ(24, M, 4, metric)
    plain.train(x)
    plain.add(x)
    fast = shortlist.IndexPQFastScan(plain)
    assert (fast.ntotal, fast.code_size) == (1501, plain.code_size)
    sign = -1 if metric == IP else 1

    def wanted(x):
        named = numbers(plain.sa_encode(x), M, 4)
        return sign * told(q, fast.pq.centroids, named, metric == IP)

    for rows in (q, q[:1]):
        found, ids = fast.search(rows, 20)
        near = np.take_along_axis(wanted(x)[: len(rows)], ids, 1)
        np.testing.assert_allclose(found, near, rtol=1e-4, atol=0.02)  # a step, of a value at 0.5
        best = sign * np.sort(sign * wanted(x)[: len(rows)], axis=1)[:, :20]
        np.testing.assert_allclose(found, best, rtol=1e-4, atol=0.02)
    np.testing.assert_array_equal(fast.reconstruct_n(), plain.reconstruct_n())
    np.testing.assert_array_equal(fast.sa_encode(x), plain.sa_encode(x))
    radius = float(np.median(plain.search_exact(q, 700)[0][:, -1]))
    within = (sign * wanted(x) < sign * radius).sum()
    assert fast.range_search(q, radius)[0][-1] == pytest.approx(within, rel=0.02)
    gone = rng.permutation(1501)[:900]
    for index in (plain, fast):
        index.remove_ids(gone)
        index.add(x[:33])
    np.testing.assert_array_equal(fast.reconstruct_n(), plain.reconstruct_n())
    chosen = shortlist.SearchParameters(sel=shortlist.IDSelectorRange(100, 400))
    best = sign * np.sort(sign * wanted(fast.reconstruct_n())[:, 100:400], axis=1)[:, :5]
    np.testing.assert_allclose(fast.search(q, 5, params=chosen)[0], best, rtol=1e-4, atol=0.02)


def test_every_level_scans_the_same(rng):
    x, q = vectors(rng, 900), vectors(rng, 20)
    index = shortlist.IndexPQFastScan(24, 12)
    index.train(x)
    index.add(x)
    before, found = shortlist.simd_level(), []
    try:
        for isa in shortlist.simd_levels():
            _kernels.set_level(isa)
            found.append(index.search(q, 10)[0])
    finally:
        _kernels.set_level(before)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-4, atol=1e-4)


def test_extreme_queries_of_a_fast_scan(rng):
    x = vectors(rng, 300)
    index = shortlist.IndexPQFastScan(24, 12)
    index.train(x)
    index.add(x)
    for value in (1e18, 1e30, 0, -1e-30):
        q = np.full((2, 24), value, np.float32)
        q[1] += x[0]
        assert (index.search(q, 3)[1][1] >= 0).all() or value >= 1e18
    assert (index.search(np.full((1, 24), np.nan, np.float32), 3)[1] == -1).all()


def test_a_graph_over_codes_finds_what_a_scan_finds(oracle, rng):
    x, q = vectors(rng, 2500), vectors(rng, 50)
    scan = shortlist.IndexPQ(24, 8, 8, oracle.metric)
    graph = shortlist.IndexHNSWPQ(24, 8, 16, 8, oracle.metric)
    for index in (scan, graph):
        index.train(x)
        index.add(x)
    graph.hnsw.efSearch = 200
    far = scan.search(q, 10)[0]
    near = graph.search(q, 10)[0]
    assert np.isclose(near, far, rtol=1e-4, atol=1e-3).mean() > 0.95
    graph.remove_ids(np.arange(0, 2500, 2))
    assert (graph.search(q, 10)[1] % 2 == 1).all()
    refined = shortlist.index_factory(24, "HNSW16,PQ8,Refine(Flat)", oracle.metric)
    refined.train(x)
    refined.add(x)
    refined.base_index.hnsw.efSearch, refined.k_factor = 300, 20
    assert oracle.recall(refined.search(q, 10)[1], q, x) > 0.95


def test_what_it_refuses(rng):
    x = vectors(rng, 300)
    with pytest.raises(shortlist.ArgumentError, match="M = 7 parts do not divide the d = 24"):
        shortlist.IndexPQ(24, 7)
    for nbits in (0, 9, -1):
        with pytest.raises(shortlist.ArgumentError, match=f"nbits = {nbits}; it must be from 1"):
            shortlist.ProductQuantizer(24, 6, nbits)
    pq = shortlist.ProductQuantizer(24, 6)
    with pytest.raises(shortlist.NotTrainedError):
        pq.compute_codes(x)
    with pytest.raises(shortlist.NotTrainedError):
        pq.decode(np.zeros((1, 6), np.uint8))
    with pytest.raises(shortlist.ArgumentError, match="training on 200 vectors; 8 bits need"):
        pq.train(x[:200])
    with pytest.raises(ValueError, match="NaN"):
        pq.train(np.full((300, 24), np.nan, np.float32))
    with pytest.raises(shortlist.DimensionError):
        pq.train(x[:, :20])
    pq.train(x)
    with pytest.raises(shortlist.DimensionError):
        pq.decode(np.zeros((1, 5), np.uint8))
    assert pq.compute_codes(x[:0]).shape == (0, 6)
    index = shortlist.IndexPQ(24, 6, 4)
    with pytest.raises(shortlist.NotTrainedError):
        index.add(x)
    index.train(x)
    index.add(x)
    with pytest.raises(shortlist.ArgumentError, match="train before add"):
        index.train(x)
    other = shortlist.IndexPQ(24, 6, 4)
    other.train(x + 1)
    other.add(x)
    with pytest.raises(shortlist.ArgumentError, match="mean different things"):
        index.merge_from(other)
    with pytest.raises(shortlist.ArgumentError, match="nbits = 8; a fast scan looks up parts of 4"):
        shortlist.IndexPQFastScan(24, 6, 8)
    for bbs in (0, 31, 48, 1 << 21):
        with pytest.raises(shortlist.ArgumentError, match=f"bbs = {bbs}; it must be a multiple"):
            shortlist.IndexPQFastScan(24, 6, bbs=bbs)
    with pytest.raises(shortlist.FactoryError, match="'PQ5' cannot cut vectors of 24 dimensions"):
        shortlist.index_factory(24, "PQ5")
