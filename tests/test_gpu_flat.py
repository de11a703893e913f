"""GpuIndexFlat, its conversion and knn_gpu against numpy; on the host always, on a GPU with -m
gpu."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import shortlist
from gpu_cases import host
from hypothesis import given
from hypothesis import strategies as st
from shortlist import (
    METRIC_INNER_PRODUCT,
    METRIC_L2,
    GpuIndexFlat,
    GpuIndexFlatConfig,
    SearchParametersGpuFlat,
    StandardGpuResources,
    knn_gpu,
)
from shortlist._core import _gpu

MAX = np.finfo(np.float32).max


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def resources(request):
    if request.param == "cuda":
        request.getfixturevalue("cuda_plugin")
        return StandardGpuResources()
    return StandardGpuResources._over(host(3, chunks=2))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def vectors(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.normal(size=(n, d)).astype(np.float32)


def clusters(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Far from the origin and near to each other: what bfloat16 cannot tell apart."""
    return (100 + 0.05 * rng.normal(size=(n, d))).astype(np.float32)


def on_device(index: GpuIndexFlat, x: np.ndarray, torch):
    """A tensor where the index's jobs find it."""
    tensor = torch.from_numpy(x)
    return tensor if index._engine.host else tensor.cuda(index.getDevice())


def check(oracle, got, queries, base, k):
    """Distances and ids, where ties and rounding may choose."""
    D, I = (np.asarray(x.cpu()) if hasattr(x, "cpu") else x for x in got)
    want, _ = oracle.search(queries, base, k)
    assert D.dtype == np.float32
    assert I.dtype == np.int64
    np.testing.assert_allclose(D, want, rtol=2e-5, atol=2e-5 * max(1, np.abs(base).max() ** 2))
    found = min(k, len(base))
    assert np.all(I[:, found:] == -1)
    assert all(len(set(row)) == found for row in I[:, :found])
    own = np.take_along_axis(oracle.distances(queries, base), np.maximum(I, 0), 1)[:, :found]
    np.testing.assert_allclose(own, D[:, :found], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("n", "d", "queries"), [(1, 1, 1), (33, 7, 5), (300, 12, 3), (150, 33, 9)])
def test_searches_find_the_nearest(resources, oracle, library, half, n, d, queries, torch):
    rng = np.random.default_rng(n + d)
    x, q = vectors(rng, n, d), vectors(rng, queries, d)
    index = GpuIndexFlat(resources, d, oracle.metric, GpuIndexFlatConfig(useFloat16=half))
    put = (lambda a: a) if library == "numpy" else lambda a: on_device(index, a, torch)
    index.add(put(x[: n // 3]))
    index.search(put(q), 1)  # the coarse rows are kept up from here on
    index.add(put(x[n // 3 :]))
    assert index.ntotal == len(index) == n
    stored = x.astype(np.float16).astype(np.float32) if half else x
    for precision in ("bfloat16", "tfloat32", "float32"):
        for exact in (False, True):
            params = SearchParametersGpuFlat(precision=precision, exact=exact)
            for k in (1, 10, n + 3):
                got = index.search(put(q), k, params=params)
                assert type(got[0]) is type(put(q))
                check(oracle, got, q, stored, k)
    np.testing.assert_array_equal(index.reconstruct_n(), stored)
    np.testing.assert_array_equal(index.assign(put(q), 2), index.search(put(q), 2)[1])


@pytest.mark.parametrize("half", [False, True])
def test_exact_searches_are(resources, oracle, half):
    """What coarse distances hide is found all the same."""
    rng = np.random.default_rng(5)
    x, q = clusters(rng, 500, 12), clusters(rng, 8, 12)
    index = GpuIndexFlat(resources, 12, oracle.metric, GpuIndexFlatConfig(useFloat16=half))
    index.add(x)
    index.exact = True
    stored = index.reconstruct_n()
    D, I = index.search(q, 5)
    assert oracle.recall(I, q, stored) == 1
    want, _ = index.search(q, 5, params=SearchParametersGpuFlat(precision="float32"))
    np.testing.assert_allclose(D, want, rtol=1e-6)


def test_without_exact_neighbours_can_hide(resources, l2):
    """That the test before would fail without its work."""
    rng = np.random.default_rng(5)
    x, q = clusters(rng, 500, 12), clusters(rng, 8, 12)
    index = GpuIndexFlat(resources, 12)
    index.add(x)
    assert l2.recall(index.search(q, 5)[1], q, x) < 1


def test_products_that_overflow_are_searched_again(resources):
    """A query beyond float16 has no coarse distances at all."""
    rng = np.random.default_rng(6)
    x, q = vectors(rng, 90, 8), vectors(rng, 5, 8)
    q[2, 3] = 1e6
    config = GpuIndexFlatConfig(useFloat16=True, exact=True)
    index = GpuIndexFlat(resources, 8, METRIC_INNER_PRODUCT, config)
    index.add(x)
    stored = index.reconstruct_n().astype(float)
    _, I = index.search(q, 3)
    np.testing.assert_array_equal(I, np.argsort(-(q @ stored.T), 1)[:, :3])


@given(st.data())
def test_any_sizes(data):
    n, d = data.draw(st.integers(0, 70)), data.draw(st.integers(1, 20))
    queries, k = data.draw(st.integers(0, 12)), data.draw(st.integers(1, 80))
    metric = data.draw(st.sampled_from([METRIC_L2, METRIC_INNER_PRODUCT]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x, q = (rng.integers(-3, 4, (m, d)).astype(np.float32) for m in (n, queries))
    index = GpuIndexFlat(StandardGpuResources._over(host(1)), d, metric)
    cut = data.draw(st.integers(0, n))
    index.add(x[:cut])
    index.add(x[cut:])
    allowed = rng.random(n) < data.draw(st.sampled_from([0.1, 0.9]))
    sel = shortlist.IDSelectorBatch(np.flatnonzero(allowed))
    own = shortlist.IndexFlat(d, metric)
    own.add(x)
    for params in (None, shortlist.SearchParameters(sel=sel)):
        want, got = own.search(q, k, params=params), index.search(q, k, params=params)
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1] < 0, want[1] < 0)


@pytest.mark.parametrize("queries", [2, 6])
def test_selectors(resources, queries):
    rng = np.random.default_rng(7)
    x, q = vectors(rng, 200, 6), vectors(rng, queries, 6)
    index, own = GpuIndexFlat(resources, 6), shortlist.IndexFlatL2(6)
    index.add(x)
    own.add(x)
    odd = shortlist.PyCallbackIDSelector(lambda i: i % 2 == 1)
    for sel in (
        shortlist.IDSelectorRange(20, 60),
        shortlist.IDSelectorBatch([3, 500, -4]),
        shortlist.IDSelectorNot(shortlist.IDSelectorArray([1, 2])),
        odd,
        shortlist.IDSelectorBatch([]),
    ):
        params = SearchParametersGpuFlat(sel=sel, exact=True)
        got = index.search(q, 10, params=params)
        want = own.search(q, 10, params=shortlist.SearchParameters(sel=sel))
        np.testing.assert_array_equal(got[1], want[1])
        np.testing.assert_allclose(got[0], want[0], rtol=1e-4)


@pytest.mark.parametrize("temp", [0, 1 << 20, 1 << 30])
def test_batches_and_temporary_memory(resources, l2, temp, monkeypatch):
    monkeypatch.setattr("shortlist.gpu.resources._LEAST_BATCH", 1 << 20)
    rng = np.random.default_rng(8)
    x, q = vectors(rng, 100, 5), vectors(rng, 150, 5)
    resources.setTempMemory(temp) if temp else resources.noTempMemory()
    index = GpuIndexFlat(resources, 5)
    index.add(x)
    for _ in range(3):
        check(l2, index.search(q, 4), q, x, 4)
    kept = [scratch._size for scratch in resources._scratch.values()]
    assert all(size <= temp for size in kept)
    assert temp == 0 or sum(kept) > 0


def test_memory_that_was_not_there_is_not_asked_for_again(l2, monkeypatch):
    resources = StandardGpuResources._over(host(1))
    rng = np.random.default_rng(8)
    x, q = vectors(rng, 100, 5), vectors(rng, 50, 5)
    index = GpuIndexFlat(resources, 5)
    index.add(x)
    memory = _gpu.Memory

    def little(engine, bytes):
        if bytes > 1 << 17:
            raise MemoryError(bytes)
        return memory(engine, bytes)

    monkeypatch.setattr(_gpu, "Memory", little)
    for _ in range(2):
        with pytest.raises(MemoryError):
            index.search(q, 4)
        check(l2, index.search(q[:2], 4), q[:2], x, 4)


def test_results_in_the_arrays_that_are_given(resources, torch):
    rng = np.random.default_rng(9)
    index = GpuIndexFlat(resources, 4)
    index.add(vectors(rng, 50, 4))
    q = vectors(rng, 3, 4)
    want = index.search(q, 2)
    D, I = np.empty((3, 2), np.float32), np.empty((3, 2), np.int64)
    got = index.search(q, 2, D=D, I=I)
    assert got[0] is D
    assert got[1] is I
    there = on_device(index, q, torch)
    D2, I2 = torch.empty_like(on_device(index, D, torch)), on_device(index, I * 0, torch)
    assert index.search(there, 2, D=D2, I=I2)[0] is D2
    for a, b in zip((D, I, D2.cpu(), I2.cpu()), (*want, *want), strict=True):
        np.testing.assert_array_equal(a, b)
    for bad, error in (
        ({"D": np.empty((3, 2))}, TypeError),
        ({"I": np.empty((3, 2), np.int32)}, TypeError),
        ({"D": np.empty((2, 3), np.float32)}, shortlist.DimensionError),
        ({"D": np.empty((3, 4), np.float32)[:, ::2]}, shortlist.DimensionError),
        ({"D": np.broadcast_to(np.float32(0), (3, 2))}, shortlist.DimensionError),
        ({"D": D2}, shortlist.ArgumentError),
    ):
        with pytest.raises(error, match=next(iter(bad))):
            index.search(q, 2, **bad)


def test_bad_input(resources):
    index = GpuIndexFlat(resources, 4)
    x = np.zeros((2, 4), np.float32)
    index.add(x)
    nan = np.array([[0, np.nan, 0, 0]], np.float32)
    for call, error, said in (
        (lambda: index.add(x[:, :3]), shortlist.DimensionError, "d = 4"),
        (lambda: index.add(x[0]), shortlist.DimensionError, r"x\[None, :\]"),
        (lambda: index.add(nan), shortlist.ArgumentError, "row 0, column 1 is nan"),
        (lambda: index.add(x.astype(complex)), TypeError, "complex128"),
        (lambda: index.add([["a"]]), TypeError, "real dtype"),
        (lambda: index.search(x, 0), shortlist.ArgumentError, "k = 0"),
        (lambda: index.search(x, 2049), shortlist.ArgumentError, "2048"),
        (lambda: index.search(x, 1.5), TypeError, "float"),
        (lambda: index.search(x, 1, params=3), TypeError, "params is a int"),
        (lambda: index.search(x, 1, stream="s"), TypeError, "stream is a str"),
        (lambda: index.range_search(x, 1.0), shortlist.UnsupportedError, "range_search"),
        (lambda: index.remove_ids([0]), shortlist.UnsupportedError, "remove_ids"),
        (lambda: index.add_with_ids(x, [1, 2]), shortlist.UnsupportedError, "ids"),
        (lambda: index.reconstruct(2), shortlist.IdError, "there are 0 to 1"),
        (lambda: index.reconstruct_n(1, 2), shortlist.IdError, "there are 0 to 1"),
        (lambda: index.reconstruct_batch([-1]), shortlist.IdError, "id -1"),
        (lambda: GpuIndexFlat(resources, 0), shortlist.ArgumentError, "d = 0"),
        (lambda: GpuIndexFlat(resources, 4, 23), shortlist.UnsupportedError, "metric 23"),
        (lambda: GpuIndexFlat(None, 4), TypeError, "StandardGpuResources"),
        (lambda: GpuIndexFlat(resources, 4, 1, 7), TypeError, "GpuIndexFlatConfig"),
        (
            lambda: GpuIndexFlat(resources, 4, 1, GpuIndexFlatConfig(precision="half")),
            shortlist.ArgumentError,
            "'half'",
        ),
        (lambda: resources.setTempMemory(-1), shortlist.ArgumentError, "-1"),
        (lambda: index.copyFrom(shortlist.IndexFlatL2(5)), shortlist.ArgumentError, "d = 5"),
        (lambda: index.copyTo(shortlist.IndexFlatIP(4)), shortlist.ArgumentError, "metric 0"),
        (
            lambda: shortlist.index_cpu_to_gpu(resources, 0, shortlist.IndexLSH(4, 8)),
            shortlist.UnsupportedError,
            "IndexLSH cannot be put on a GPU",
        ),
        (
            lambda: shortlist.GpuIndexFlatL2(resources, shortlist.IndexFlatIP(4)),
            shortlist.ArgumentError,
            "another metric",
        ),
    ):
        with pytest.raises(error, match=said):
            call()
    with pytest.raises(AttributeError):
        GpuIndexFlatConfig().useFloat32 = True
    assert index.ntotal == 2


def test_queries_with_nan_find_nothing(resources):
    rng = np.random.default_rng(10)
    x = vectors(rng, 40, 4)
    for metric, worst in ((METRIC_L2, MAX), (METRIC_INNER_PRODUCT, -MAX)):
        index = GpuIndexFlat(resources, 4, metric)
        index.add(x)
        for n in (1, 6):
            q = x[:n].copy()
            q[0, 1] = np.nan
            for exact in (False, True):
                D, I = index.search(q, 3, params=SearchParametersGpuFlat(exact=exact))
                assert np.all(I[0] == -1)
                assert np.all(D[0] == worst)
                assert np.all(I[1:] >= 0)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", ">f4"])
def test_other_dtypes_and_layouts(resources, dtype):
    rng = np.random.default_rng(11)
    x = rng.integers(0, 50, (60, 6)).astype(dtype)
    index = GpuIndexFlat(resources, 6)
    index.add(x)
    np.testing.assert_array_equal(index.reconstruct_n(), x.astype(np.float32))
    want = index.search(x[:5].astype(np.float32), 3)
    for q in (x[:5], np.asfortranarray(x[:5]), x[4::-1][::-1], x[:5].tolist()):
        for a, b in zip(index.search(q, 3), want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_tensors_of_other_dtypes_and_layouts(resources, torch):
    rng = np.random.default_rng(12)
    x = rng.integers(0, 50, (60, 6)).astype(np.float32)
    index = GpuIndexFlat(resources, 6)
    index.add(x)
    want = index.search(x[:9], 3)
    wide = on_device(index, np.pad(x[:9], ((0, 0), (1, 4))), torch)[:, 1:7]
    there = on_device(index, x[:9], torch)
    for q in (
        wide,
        there.bfloat16(),
        there.half(),
        there.double(),
        there.T.contiguous().T,
        there.int(),
        there.clone().requires_grad_(),
    ):
        got = index.search(q, 3)
        assert got[0].device == there.device
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a.cpu(), b)


def test_vectors_that_are_gathered(resources, torch):
    rng = np.random.default_rng(13)
    x = vectors(rng, 70, 9)
    for half in (False, True):
        index = GpuIndexFlat(resources, 9, METRIC_L2, GpuIndexFlatConfig(useFloat16=half))
        index.add(x)
        stored = index.reconstruct_n()
        ids = np.array([69, 0, 33, 33])
        np.testing.assert_array_equal(index.reconstruct_batch(ids), stored[ids])
        np.testing.assert_array_equal(index.reconstruct_batch(ids.tolist()), stored[ids])
        np.testing.assert_array_equal(index.reconstruct(5), stored[5])
        np.testing.assert_array_equal(index.reconstruct_n(40, 7), stored[40:47])
        there = on_device(index, np.array([69, -1, 33, 70]), torch)
        got = index.reconstruct_batch(there)
        assert got.device == there.device
        assert got.dtype == torch.float32
        np.testing.assert_array_equal(got.cpu(), stored[[69, 0, 33, 0]] * [[1], [0], [1], [0]])


def test_there_and_back(resources, oracle):
    rng = np.random.default_rng(14)
    x, q = vectors(rng, 120, 10), vectors(rng, 6, 10)
    own = shortlist.IndexFlat(10, oracle.metric)
    own.add(x)
    for half in (False, True):
        options = shortlist.GpuClonerOptions(useFloat16=half)
        index = shortlist.index_cpu_to_gpu(resources, 0, own, options)
        assert type(index) is GpuIndexFlat
        assert (index.d, index.ntotal, index.metric_type) == (10, 120, oracle.metric)
        stored = x.astype(np.float16).astype(np.float32) if half else x
        check(oracle, index.search(q, 5), q, stored, 5)
        back = shortlist.index_gpu_to_cpu(index)
        assert type(back) is shortlist.IndexFlat
        np.testing.assert_array_equal(back.reconstruct_n(), stored)
    index.copyFrom(own)
    assert index.ntotal == 120
    index.reset()
    assert index.ntotal == 0
    assert np.all(index.search(q, 2)[1] == -1)
    index.add(x[:3])
    check(oracle, index.search(q, 2), q, index.reconstruct_n(), 2)
    named = shortlist.GpuIndexFlatL2 if oracle.sign == 1 else shortlist.GpuIndexFlatIP
    check(oracle, named(resources, own).search(q, 5), q, x, 5)
    assert named(resources, 10).metric_type == oracle.metric


def test_several_gpus():
    """Each has all vectors and a part of the queries."""
    rng = np.random.default_rng(15)
    x, q = vectors(rng, 60, 4), vectors(rng, 11, 4)
    own = shortlist.IndexFlatL2(4)
    own.add(x[:50])
    each = [StandardGpuResources._over(host(i)) for i in range(3)]
    index = shortlist.index_cpu_to_gpu_multiple_py(each, own, gpus=[0, 0, 0])
    assert isinstance(index, shortlist.IndexReplicas)
    assert (index.count(), index.d, index.ntotal) == (3, 4, 50)
    index.add(x[50:])
    own.add(x[50:])
    D, I = np.empty((11, 3), np.float32), np.empty((11, 3), np.int64)
    assert index.search(q, 3, D=D, I=I)[1] is I
    want = own.search(q, 3)
    np.testing.assert_array_equal(I, want[1])
    np.testing.assert_allclose(D, want[0], rtol=1e-4)
    assert index.search(q[:1], 3)[1].tolist() == want[1][:1].tolist()
    assert shortlist.index_gpu_to_cpu(index).ntotal == 60
    with pytest.raises(shortlist.DimensionError, match="2 dimensions"):
        index.search(q[0], 3)
    sharded = shortlist.GpuMultipleClonerOptions(shard=True)
    with pytest.raises(shortlist.UnsupportedError, match="shard"):
        shortlist.index_cpu_to_gpu_multiple_py(each, own, sharded, [0, 0, 0])
    with pytest.raises(shortlist.ArgumentError, match="3 resources for 1"):
        shortlist.index_cpu_to_gpu_multiple_py(each, own, gpus=[0])
    one = shortlist.index_cpu_to_gpu_multiple_py(each[:1], own)
    assert isinstance(one, GpuIndexFlat)


def test_without_a_plugin(monkeypatch):
    monkeypatch.setenv("SHORTLIST_CUDA", "0")
    own = shortlist.IndexFlatL2(4)
    for call in (
        lambda: GpuIndexFlat(StandardGpuResources(), 4),
        lambda: shortlist.index_cpu_to_gpu(StandardGpuResources(), 0, own),
        lambda: shortlist.index_cpu_to_all_gpus(own),
        lambda: knn_gpu(StandardGpuResources(), np.eye(3, dtype="f4"), np.eye(3, dtype="f4"), 1),
    ):
        with pytest.raises(shortlist.UnsupportedError, match="SHORTLIST_CUDA"):
            call()


def test_many_threads(resources, l2):
    rng = np.random.default_rng(16)
    x = [vectors(rng, 80, 4) for _ in range(3)]
    indexes = [GpuIndexFlat(resources, 4) for _ in x]
    failed = []

    def go(i):
        try:
            indexes[i].add(x[i])
            for n in (1, 5, 2, 9):
                q = x[i][:n] + 0.01
                check(l2, indexes[i].search(q, 3), q, x[i], 3)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=go, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("types", [("f4", "f4"), ("f2", "f2"), ("f2", "f4")])
def test_knn(resources, oracle, library, types, torch):
    rng = np.random.default_rng(17)
    x, q = vectors(rng, 90, 6).astype(types[0]), vectors(rng, 7, 6).astype(types[1])
    index = GpuIndexFlat(resources, 6)
    put = (lambda a: a) if library == "numpy" else lambda a: on_device(index, a, torch)
    for k in (1, 5, 100):
        got = knn_gpu(resources, put(q), put(x), k, metric=oracle.metric)
        assert type(got[1]) is type(put(q))
        check(oracle, got, q, x, k)
    want = knn_gpu(resources, q, x, 5, metric=oracle.metric)
    in_columns = knn_gpu(resources, put(q.T.copy()).T, put(x.T.copy()).T, 5, metric=oracle.metric)
    narrow, D = put(np.empty((7, 5), np.int32)), put(np.empty((7, 5), np.float32))
    got = knn_gpu(resources, put(q), put(x), 5, D, narrow, oracle.metric)
    assert got[0] is D
    assert got[1] is narrow
    for one in (in_columns, got):
        for a, b in zip(one, want, strict=True):
            np.testing.assert_array_equal(a.cpu() if library == "torch" else a, b)


@pytest.mark.parametrize(("rows", "asked"), [(100, 0), (0, 60), (250, 24), (1, 1)])
def test_knn_in_parts(resources, oracle, rows, asked):
    rng = np.random.default_rng(18)
    x, q = vectors(rng, 21, 6), vectors(rng, 7, 6)
    limits = {
        "vectorsMemoryLimit": max(rows, 24) if rows else 0,
        "queriesMemoryLimit": max(asked, 24) if asked else 0,
    }
    for k in (1, 4, 30):
        check(oracle, knn_gpu(resources, q, x, k, metric=oracle.metric, **limits), q, x, k)
    D, I = np.empty((7, 2), np.float32), np.empty((7, 2), np.int32)
    got = knn_gpu(resources, q, x, 2, D, I, metric=oracle.metric, **limits)
    assert got[0] is D
    assert got[1] is I
    np.testing.assert_array_equal(I, knn_gpu(resources, q, x, 2, metric=oracle.metric)[1])


def test_what_knn_refuses(resources):
    x = np.zeros((3, 4), np.float32)
    for call, error, said in (
        (lambda: knn_gpu(resources, x.astype(int), x, 1), TypeError, "xq has dtype int64"),
        (lambda: knn_gpu(resources, x, x.astype(float), 1), TypeError, "xb has dtype float64"),
        (lambda: knn_gpu(resources, x, x[:, :3], 1), shortlist.DimensionError, "xb 3"),
        (lambda: knn_gpu(resources, x[0], x, 1), shortlist.DimensionError, "xq has shape"),
        (
            lambda: knn_gpu(resources, x, x, 1, vectorsMemoryLimit=15),
            shortlist.ArgumentError,
            "a row takes 16",
        ),
        (
            lambda: knn_gpu(resources, x, x, 1, queriesMemoryLimit=-1),
            shortlist.ArgumentError,
            "queriesMemoryLimit = -1",
        ),
        (lambda: knn_gpu(resources, x, x, 1, metric=4), shortlist.UnsupportedError, "metric 4"),
        (lambda: knn_gpu(resources, x, x, 1, use_cuvs=True), shortlist.UnsupportedError, "cuvs"),
        (
            lambda: knn_gpu(resources, x, x, 1, I=np.empty((2, 1), np.int32)),
            shortlist.DimensionError,
            "I has shape",
        ),
        (lambda: knn_gpu(resources, x, x, 4000), shortlist.ArgumentError, "k = 4000"),
    ):
        with pytest.raises(error, match=said):
            call()


def test_streams_are_told(resources):
    assert resources.getDefaultStream(0) == 0
    resources.setDefaultStream(0, 7)
    assert resources.getDefaultStream(0) == 7
    resources.setDefaultNullStreamAllDevices()
    assert resources.getDefaultStream(0) == 0
    resources.syncDefaultStream(0)
