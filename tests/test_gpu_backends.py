"""The same cases of whole indexes on every backend: the CPU, what a GPU runs on the host, and, with
-m gpu, a GPU. All against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from gpu_cases import host

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
D = 20


@pytest.fixture(params=["cpu", "cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def backend(request):
    """backend(index) is the index there, trained and filled as it is."""
    if request.param == "cpu":
        return lambda index: index
    if request.param == "cuda":
        request.getfixturevalue("cuda_plugin")
        res = shortlist.StandardGpuResources()
    else:
        res = shortlist.StandardGpuResources._over(host(seed=7, lanes=64, chunks=2))
    return lambda index: shortlist.index_cpu_to_gpu(res, 0, index)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    # Small whole numbers: distances are exact everywhere, and there are ties.
    x, q = (rng.integers(-9, 10, (n, D)).astype(np.float32) for n in (600, 30))
    x[300:310] = x[:10]
    return x, q


@pytest.mark.parametrize("queries", [1, 30])
@pytest.mark.parametrize("k", [1, 10, 700])
def test_flat(backend, oracle, data, queries, k):
    x, q = data[0], data[1][:queries]
    index = backend(_filled(shortlist.IndexFlat(D, oracle.metric), x))
    assert (index.ntotal, index.d, index.metric_type) == (600, D, oracle.metric)
    told, found = index.search(q, k)
    want, right = oracle.search(q, x, k)
    np.testing.assert_array_equal(told, want)
    np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("queries", [1, 30])
def test_filters(backend, oracle, data, queries):
    x, q = data[0], data[1][:queries]
    index = backend(_filled(shortlist.IndexFlat(D, oracle.metric), x))
    ids = np.arange(3, 600, 7)
    params = shortlist.SearchParameters(sel=shortlist.IDSelectorBatch(ids))
    found = index.search(q, 100, params=params)[1]
    np.testing.assert_array_equal(found, oracle.search(q, x[ids], 100, ids)[1])


@pytest.mark.parametrize("kind", ["flat", "pq"])
def test_all_lists_are_all_vectors(backend, oracle, data, kind):
    x, q = data
    quantizer = shortlist.IndexFlat(D, oracle.metric)
    index = (
        shortlist.IndexIVFFlat(quantizer, D, 9, oracle.metric)
        if kind == "flat"
        else shortlist.IndexIVFPQ(quantizer, D, 9, 5, 8, oracle.metric)
    )
    index.train(x)
    ids = np.arange(600) * 3 + 1_000_000_000_000
    index.add_with_ids(x, ids)
    index.nprobe = 9
    # Codes are searched as what they stand for is.
    base = x if kind == "flat" else index.reconstruct_batch(ids)
    there = backend(index)
    there.nprobe = 9
    told, found = there.search(q, 20)
    want = oracle.search(q, base, 20)[0]
    np.testing.assert_allclose(told, want, rtol=1e-3, atol=1e-3)
    own = np.take_along_axis(oracle.distances(q, base), (found - ids[0]) // 3, 1)
    np.testing.assert_allclose(told, own, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bits", [1, 4])
def test_codes(backend, oracle, data, bits):
    x, q = data
    index = shortlist.IndexSDC(D, bits, oracle.metric)
    index.train(x)
    there = backend(_filled(index, x))
    for queries in (q[:1], q):
        found = there.search(queries, 60)[1]
        assert oracle.recall(found[:, :10], queries, x) > (0.2 if bits == 1 else 0.85)
        near = oracle.search(queries, x, 10)[1]
        kept = np.mean([len(set(a) & set(b)) for a, b in zip(found, near, strict=True)]) / 10
        assert kept > (0.6 if bits == 1 else 0.99)


def test_graphs(backend, oracle, data):
    x, q = data
    there = backend(_filled(shortlist.IndexHNSWFlat(D, 16, oracle.metric), x))
    params = shortlist.SearchParametersHNSW(efSearch=200)
    told, found = there.search(q, 10, params=params)
    assert oracle.recall(found, q, x) > 0.97
    np.testing.assert_allclose(
        told, np.take_along_axis(oracle.distances(q, x), found, 1), rtol=1e-4, atol=1e-4
    )


def _filled(index, x):
    index.add(x)
    return index
