"""GpuIndexSDC against IndexSDC; on the host always, on a GPU with -m gpu."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from gpu_cases import host

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def res(request):
    if request.param == "cuda-host":
        return shortlist.StandardGpuResources._over(host(seed=3, lanes=64, chunks=2))
    request.getfixturevalue("cuda_plugin")
    return shortlist.StandardGpuResources()


def vectors(d: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(d)
    return rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(20, d)).astype(np.float32)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("d", [9, 130])
def test_queries_by_their_codes_tell_what_the_cpu_tells(res, metric, bits, d):
    x, q = vectors(d)
    index = shortlist.GpuIndexSDC(res, d, bits, metric)
    cpu = shortlist.IndexSDC(d, bits, metric)
    for one in (index, cpu):
        one.train(x)
        one.symmetric = True
    for part in (x[:150], x[150:]):
        index.add(part)
    cpu.add(x)
    assert (index.ntotal, index.bits, index.code_dim) == (400, bits, cpu.code_dim)
    for n in (1, 20):  # plane by plane, and by tensor cores
        for k in (1, 10, 500):
            for got, want in zip(index.search(q[:n], k), cpu.search(q[:n], k), strict=True):
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_rounded_queries_find_nearly_what_whole_ones_find(res, metric, bits):
    x, q = vectors(100)
    cpu = shortlist.IndexSDC(100, bits, metric)
    cpu.train(x)
    cpu.add(x)
    index = shortlist.index_cpu_to_gpu(res, 0, cpu)
    D, I = index.search(q, 10)
    want, right = cpu.search(q, 10)
    np.testing.assert_allclose(D, want, rtol=0.03, atol=0.4)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(I, right, strict=True)]) > 9
    for few in range(0, 20, 4):  # the same, however many there are
        told, numbers = index.search(q[few : few + 4], 10)
        np.testing.assert_array_equal(numbers, I[few : few + 4])
        np.testing.assert_array_equal(told, D[few : few + 4])


def test_filters_nan_and_what_is_kept(res):
    x, q = vectors(64)
    index = shortlist.GpuIndexSDC(res, 64, 2)
    with pytest.raises(shortlist.NotTrainedError, match="train"):
        index.add(x)
    index.train(x)
    D, I = index.search(q, 3)
    assert np.all(I == -1)
    assert np.all(np.finfo(np.float32).max == D)
    index.add(x)
    params = shortlist.SearchParameters(sel=shortlist.IDSelectorRange(100, 105))
    q[3, 0] = np.nan
    for queries in (q[:5], q):
        I = index.search(queries, 6, params=params)[1]
        assert set(I[0]) == {100, 101, 102, 103, 104, -1}
        assert np.all(I[3] == -1)
    back = shortlist.index_gpu_to_cpu(index)
    assert isinstance(back, shortlist.IndexSDC)
    np.testing.assert_array_equal(back.search(q, 5)[1], index._cpu.search(q, 5)[1])
    index.reset()
    assert (index.ntotal, back.ntotal) == (0, 400)
    with pytest.raises(shortlist.DimensionError, match="63"):
        index.add(x[:, :63])


def test_trained_encoders(res):
    torch = pytest.importorskip("torch")
    from shortlist import binary

    x, q = vectors(32)
    torch.manual_seed(0)
    binarizer = binary.RecurrentBinarizer(32, bits=2)
    binarizer.fit(x, queries=q, rounds=2, steps=5)
    encoder = binarizer.export()
    index = shortlist.GpuIndexSDC(res, 32, None, IP, encoder=encoder)
    cpu = shortlist.IndexSDC(32, None, IP, encoder=encoder)
    for one in (index, cpu):
        one.train(x)
        one.add(x)
        one.symmetric = True
    np.testing.assert_array_equal(index.search(q, 5)[1], cpu.search(q, 5)[1])
    tensors = index.search(torch.from_numpy(q), 5)
    assert all(isinstance(t, torch.Tensor) for t in tensors)
