"""Indexes on disk: what searches find, and how much they read for it."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from conftest import Oracle
from spann_cases import D, build, vectors


@pytest.mark.parametrize("dtype", ["f4", "f2", "u1"])
@pytest.mark.parametrize("description", ["SPANN,Flat", "SPANN,SDC2", "SPANN64,SQ8"])
def test_all_postings_give_the_true_neighbours(tmp_path, description, dtype, oracle):
    x = vectors(1500, dtype=dtype)
    metric = "l2" if oracle.metric == shortlist.METRIC_L2 else "ip"
    index = build(tmp_path, x, description, metric=metric)
    q = vectors(30, seed=1, dtype=dtype)
    assert (index.ntotal, index.d, index.reranks) == (1500, D, "Flat" not in description)
    everything = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=20)
    near, found = index.search(q, 10, params=everything)
    assert oracle.recall(found, q, x) >= 0.99
    assert all(len(set(row)) == 10 for row in found.tolist())  # replicas come once
    flat = shortlist.IndexFlat(D, index.metric_type, dtype=str(x.dtype))
    flat.add(x)
    np.testing.assert_allclose(near, flat.search(q, 10)[0], rtol=1e-3)
    _, ids = index.search_exact(q, 5)
    assert oracle.recall(ids, q, x) >= 0.99


def test_cosine(tmp_path):
    x = vectors(900) * np.random.default_rng(5).uniform(0.1, 9, (900, 1)).astype("f4")
    index = build(tmp_path, x, metric="cosine")
    index.add(5 * x[:1] + 0.01)
    all_ = np.concatenate([x, 5 * x[:1] + 0.01])
    q = 100 * vectors(20, seed=1)
    unit, units = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (q, all_))
    for opened in (index, shortlist.open(tmp_path)):
        everything = shortlist.SearchParametersSPANN(nprobe=10**6)
        near, found = opened.search(q, 5, params=everything)
        assert Oracle(shortlist.METRIC_INNER_PRODUCT).recall(found, unit, units) == 1
        np.testing.assert_allclose(
            near, np.take_along_axis(unit @ units.T, found, 1), rtol=1e-4, atol=1e-5
        )


def test_every_vector_finds_itself(spann_folder, spann_vectors):
    index = shortlist.open(spann_folder)
    _, found = index.search(spann_vectors, 1, params=shortlist.SearchParametersSPANN(nprobe=4))
    np.testing.assert_array_equal(found[:, 0], np.arange(len(spann_vectors)))


@pytest.mark.parametrize(
    "way", [("io_uring", "direct"), ("pread", "direct"), ("pread", "buffered")]
)
def test_ways_of_reading_agree(spann_folder, way, threads):
    q = vectors(50, seed=2)
    here, there = (
        shortlist.open(spann_folder),
        shortlist.open(spann_folder, io_backend=way[0], caching=way[1]),
    )
    for count in (1, 2):
        threads(count)
        for n in (1, 7, 50):
            for a, b in zip(here.search(q[:n], 10), there.search(q[:n], 10), strict=True):
                np.testing.assert_array_equal(a, b)


def test_what_was_read_lately_is_not_read_again(spann_folder):
    index, q = shortlist.open(spann_folder), vectors(40, seed=2)
    want = index.search(q, 10)
    for bytes_ in (10**7, 20_000, 500, 0):
        index.cache_bytes = bytes_
        before = index.stats
        for _ in range(3):
            for i in range(40):
                _, found = index.search(q[i : i + 1], 10)
                np.testing.assert_array_equal(found[0], want[1][i])
        after = index.stats
        cached, reads = (after[name] - before[name] for name in ("cached", "reads"))
        if bytes_ == 10**7:
            assert cached >= 2 * reads
        elif bytes_ < 1000:
            assert cached == 0
        assert index.memory < 4 * 10**6 + bytes_
    with pytest.raises(shortlist.ArgumentError, match="negative"):
        index.cache_bytes = -1


def test_recall_is_kept(spann_folder, spann_vectors, l2):
    index = shortlist.open(spann_folder)
    q = vectors(200, seed=3)
    probes = []
    for target in (0.5, 0.8, 0.99):
        _, found = index.search(q, 10, recall=target)
        assert l2.recall(found, q, spann_vectors) >= target - 0.03
        probes.append(index.parameters_for(target).nprobe)
    assert probes == sorted(probes), index.manifest["calibration"]
    assert probes[0] < probes[-1]
    for bad in (0, 1, -1, float("nan")):
        with pytest.raises(shortlist.ArgumentError, match="between 0 and 1"):
            index.search(q, 10, recall=bad)
    with pytest.raises(shortlist.ArgumentError, match="not both"):
        index.search(q, 10, recall=0.9, params=shortlist.SearchParametersSPANN())


def test_filters(spann_folder, spann_vectors, l2):
    index = shortlist.open(spann_folder)
    q, even = vectors(20, seed=4), np.arange(0, len(spann_vectors), 2)
    _, want = l2.search(q, spann_vectors[even], 10, even)
    for sel in (shortlist.IDSelectorBatch(even), shortlist.IDSelectorArray(even)):
        _, found = index.search(q, 10, params=shortlist.SearchParametersSPANN(nprobe=500, sel=sel))
        np.testing.assert_array_equal(found, want)
    none = shortlist.SearchParametersSPANN(sel=shortlist.IDSelectorRange(-5, 0))
    near, found = index.search(q, 3, params=none)
    assert (found == -1).all()
    assert (near > 1e38).all()
    np.testing.assert_array_equal(index.members(shortlist.IDSelectorRange(7, 12)), np.arange(7, 12))


def test_odd_requests(spann_folder):
    index = shortlist.open(spann_folder)
    _, found = index.search(vectors(3, seed=5), 4000)
    assert (np.sort(found[:, :500], 1)[:, 1:] != np.sort(found[:, :500], 1)[:, :-1]).all()
    q = vectors(3, seed=5)
    q[1, 3] = np.nan
    _, found = index.search(q, 2)
    assert (found[1] == -1).all()
    assert (found[[0, 2]] >= 0).all()
    assert index.search(np.empty((0, D), "f4"), 3)[1].shape == (0, 3)
    with pytest.raises(shortlist.DimensionError):
        index.search(np.zeros((1, D + 1), "f4"), 1)
    with pytest.raises(shortlist.ArgumentError, match="nprobe"):
        shortlist.SearchParametersSPANN(nprobe=0)
    with pytest.raises(shortlist.ArgumentError, match="epsilon"):
        index.epsilon = float("nan")
    with pytest.raises(shortlist.ArgumentError, match="SearchParametersSPANN"):
        index.search(q, 1, params=shortlist.SearchParametersIVF())


def test_ids_of_your_own(tmp_path):
    x = vectors(800)
    ids = np.random.default_rng(0).permutation(800) + 2**40
    index = build(tmp_path, x, ids=ids)
    _, found = index.search(x, 1)
    np.testing.assert_array_equal(found[:, 0], ids)
    assert index.next_id == 2**40 + 800


@pytest.mark.parametrize("n", [1, 2, 17])
def test_few_vectors(tmp_path, n):
    x = vectors(n)
    for description in ("SPANN", "SPANN,SDC1"):
        index = build(tmp_path / description, x, description)
        _, found = index.search(x, 3)
        np.testing.assert_array_equal(found[:, 0], np.arange(n))
        assert (found[:, n:] == -1).all()


def test_equal_vectors_are_split(tmp_path):
    x = np.concatenate([np.ones((500, D), "f4"), vectors(300)])
    index = build(tmp_path, x, "SPANN20", limit=30)
    assert index.postings > 500 // 30
    everything = shortlist.SearchParametersSPANN(nprobe=10**6)
    found = index.search(np.ones((1, D), "f4"), 500, params=everything)[1]
    np.testing.assert_array_equal(np.sort(found[0]), np.arange(500))
    coded = build(tmp_path / "coded", x, "SPANN20,SDC2", limit=30)
    everything = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=2)
    found = coded.search(np.ones((1, D), "f4"), 500, params=everything)[1]
    np.testing.assert_array_equal(np.sort(found[0]), np.arange(500))
