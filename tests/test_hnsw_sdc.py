"""HNSW over odd-integer codes: it finds what a scan of the codes finds, and lives like others."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import shortlist
from test_sdc import exported

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
D = 48


def clustered(rng: np.random.Generator, n: int, d: int = D) -> np.ndarray:
    centres = rng.normal(size=(30, d)) * 2
    return (centres[rng.integers(30, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


def filled(x: np.ndarray, bits: int, metric: int = L2, **options) -> shortlist.IndexHNSWSDC:
    index = shortlist.IndexHNSWSDC(x.shape[1], bits, 16, metric, **options)
    index.hnsw.efConstruction, index.hnsw.efSearch = 80, 200
    index.train(x)
    index.add(x)
    return index


def shared(found: np.ndarray, wanted: np.ndarray) -> float:
    return np.mean([len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True)]) / len(
        wanted[0]
    )


def megabytes(index: shortlist.Index) -> float:
    return float(re.search(r"([0-9.]+) MB", repr(index))[1])


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 2, 5])
@pytest.mark.parametrize("symmetric", [False, True], ids=["asymmetric", "symmetric"])
def test_finds_what_a_scan_of_the_codes_finds(rng, bits, metric, symmetric):
    x, q = clustered(rng, 2500), clustered(rng, 60)
    scan = shortlist.IndexSDC(D, bits, metric)
    scan.train(x)
    scan.add(x)
    graph = filled(x, bits, metric)
    scan.symmetric = graph.storage.symmetric = symmetric
    wanted = scan.search_exact(q, len(x))
    np.testing.assert_array_equal(graph.sa_encode(x[:50]), scan.sa_encode(x[:50]))
    distances, found = graph.search(q, 10)
    assert shared(found, wanted[1][:, :10]) > 0.95
    by_id = np.take_along_axis(wanted[0], np.argsort(wanted[1], 1), 1)
    exact = (q @ x.T) if metric == IP else ((q[:, None] - x) ** 2).sum(2)
    for told, ids in ((distances, found), graph.search_exact(q, 10)):
        estimate = np.take_along_axis(by_id, ids, 1)
        if symmetric:
            np.testing.assert_allclose(told, estimate, rtol=2e-3, atol=2e-2)
        else:  # queries are rounded, which does next to nothing beside the codes
            of_codes = np.std(estimate - np.take_along_axis(exact, ids, 1))
            assert np.std(told - estimate) < 0.25 * of_codes
    for one in range(3):
        np.testing.assert_array_equal(graph.search(q[one : one + 1], 10)[1][0], found[one])


def test_a_refined_graph_finds_the_true_neighbours(oracle, rng):
    x, q = clustered(rng, 3000), clustered(rng, 60)
    index = shortlist.index_factory(D, "HNSW16,SDC2,Refine(Flat)", oracle.metric)
    assert type(index.base_index) is shortlist.IndexHNSWSDC
    assert type(index.base_index.storage) is shortlist.IndexSDCRows
    index.train(x)
    index.add(x)
    index.base_index.hnsw.efSearch, index.k_factor = 300, 24
    distances, found = index.search(q, 10)
    assert oracle.recall(found, q, x) > 0.95
    exact = np.take_along_axis(oracle.distances(q, x), found, 1)
    np.testing.assert_allclose(distances, exact, rtol=1e-4, atol=1e-2)


def test_codes_of_a_trained_encoder(rng):
    x, q = clustered(rng, 1500, 24), clustered(rng, 40, 24)
    encoder = exported(rng, 24, 40, 2, 0, 2)
    scan = shortlist.IndexSDC(24, metric=IP, encoder=encoder)
    scan.add(x)
    graph = filled(x, 2, IP, encoder=encoder)
    assert (graph.storage.bits, graph.storage.code_dim) == (2, 40)
    assert shared(graph.search(q, 10)[1], scan.search(q, 10)[1]) > 0.95
    again = shortlist.clone_index(graph)
    np.testing.assert_array_equal(again.search(q, 10)[1], graph.search(q, 10)[1])


@pytest.mark.parametrize("released", [False, True])
def test_small_additions_leave_the_floats_for_the_next(rng, threads, released):
    threads(1)
    x, q = clustered(rng, 2000), clustered(rng, 50)
    whole, index = filled(x, 2), filled(x[:1900], 2)
    small = megabytes(index)
    for at in range(1900, 2000, 10):
        index.add(x[at : at + 10])
        assert megabytes(index) > small + 4e-6 * D * 1900
        if released:
            before = megabytes(index)
            index.release_building_vectors()
            assert megabytes(index) < before - 3e-6 * D * 1900
    assert shared(index.search(q, 10)[1], whole.search(q, 10)[1]) > 0.9
    index.add(x)  # not few
    assert megabytes(index) < 3 * small


def test_vectors_change_and_go(rng):
    x, q = clustered(rng, 2000), clustered(rng, 50)
    index = filled(x, 4)
    index.remove_ids(np.arange(0, 1000))
    assert index.search(q, 10)[1].min() >= 1000
    fresh = clustered(rng, 200)
    index.update_vectors(np.arange(1000, 1200), fresh)
    index.add_with_ids(x[:500], np.arange(5000, 5500))
    names = np.r_[1000:2000, 5000:5500]
    now = np.concatenate([fresh, x[1200:], x[:500]])
    scan = shortlist.IndexSDC(D, 4)
    scan.train(x)
    scan.add(now)
    assert shared(index.search(q, 10)[1], names[scan.search(q, 10)[1]]) > 0.95
    chosen = np.arange(5000, 5400, 2)
    params = shortlist.SearchParametersHNSW(sel=shortlist.IDSelectorBatch(chosen), efSearch=100)
    found = index.search(q, 10, params=params)[1]
    assert set(found.ravel()) <= set(chosen)


def test_merged_codes_are_copied_not_made_again(rng):
    x = clustered(rng, 600)
    first, second = filled(x[:300], 2), shortlist.IndexHNSWSDC(D, 2, 16)
    second.train(x[:300])
    second.add(x[300:])
    codes = second.search_exact(x, 3)
    first.merge_from(second)
    assert (first.ntotal, second.ntotal) == (600, 0)
    within = shortlist.SearchParametersHNSW(sel=shortlist.IDSelectorRange(300, 600), efSearch=600)
    distances, _ = first.search(x, 3, params=within)
    np.testing.assert_allclose(distances, codes[0], rtol=1e-5, atol=1e-3)
    other = shortlist.IndexHNSWSDC(D, 2, 16)
    other.train(x)
    other.add(x)
    with pytest.raises(shortlist.ArgumentError, match="codes mean different things"):
        first.merge_from(other)


def test_range_search(rng):
    x = clustered(rng, 800)
    index = filled(x, 4)
    distances, found = index.search_exact(x[:20], 30)
    radius = float(np.median(distances[:, -1]))
    limits, _, labels = index.range_search(x[:20], radius)
    for i in range(20):
        wanted = found[i][distances[i] < radius]
        assert set(wanted) <= set(labels[limits[i] : limits[i + 1]])


def test_a_file_gives_back_the_same_index(rng, tmp_path: Path):
    x, q = clustered(rng, 500), clustered(rng, 20)
    index = filled(x, 3, IP)
    index.remove_ids(np.arange(40))
    index.save(tmp_path / "saved")
    again = shortlist.open(tmp_path / "saved")
    assert type(again) is shortlist.IndexHNSWSDC
    for a, b in zip(again.search(q, 10), index.search(q, 10), strict=True):
        np.testing.assert_array_equal(a, b)
    for one in (index, again):
        one.add(x[:40])
    assert shared(again.search(q, 10)[1], index.search(q, 10)[1]) > 0.9


def test_what_it_refuses(rng):
    index = shortlist.IndexHNSWSDC(D)
    with pytest.raises(shortlist.NotTrainedError, match="must be trained before it can add"):
        index.add(clustered(rng, 5))
    index = filled(clustered(rng, 100), 1)
    with pytest.raises(shortlist.ArgumentError, match="train before add"):
        index.train(clustered(rng, 100))
    with pytest.raises(RuntimeError, match="neighbor_blocks is not made for 1 bits x 64"):
        index.neighbor_blocks = True
    with pytest.raises(RuntimeError, match="int8_traversal is not made for 1 bits x 64"):
        index.int8_traversal = True
    index.neighbor_blocks = index.int8_traversal = False
    with pytest.raises(shortlist.DimensionError):
        index.add(clustered(rng, 3, D + 1))
    with pytest.raises(ValueError, match="NaN"):
        index.add(np.full((1, D), np.nan, np.float32))
    with pytest.raises(RuntimeError, match="IndexHNSWSDC"):
        shortlist.serialize_index(index)
    for arguments in ({"bits": 9}, {"bits": 0}, {"M": 1}, {"code_dim": 40}):
        with pytest.raises(shortlist.ArgumentError):
            shortlist.IndexHNSWSDC(D, **arguments)
    with pytest.raises(shortlist.FactoryError, match="'QG' at position 12"):
        shortlist.index_factory(D, "HNSW16,SDC2,QG")
