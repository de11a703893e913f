"""Inverted files on a GPU, against the CPU's with the same centroids and codebooks; over the host's
engine always, on a GPU with -m gpu."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from gpu_cases import host
from shortlist.gpu.arrays import Stream
from shortlist.gpu.lists import Lists
from shortlist.gpu.resources import StandardGpuResources

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
D, NLIST = 12, 8


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def res(request):
    if request.param == "cuda-host":
        return StandardGpuResources._over(host(seed=1, lanes=64, chunks=3))
    request.getfixturevalue("cuda_plugin")
    return StandardGpuResources()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def floats(rng, n, d=D):
    return rng.normal(size=(n, d)).astype(np.float32)


def filled(rng, name, metric, n=600, d=D):
    """A CPU index, ids that are tens, and one list without vectors."""
    index = shortlist.index_factory(d, name, metric)
    x = floats(rng, n, d)
    index.train(x)
    labels = index.quantizer.search(x, 1)[1][:, 0]
    x = x[labels != 3]
    index.add_with_ids(x, 10 * np.arange(len(x)))
    return index


def check_same(got, want, near=1e-4):
    """Distances, and ids but for those of equals."""
    np.testing.assert_allclose(got[0], want[0], rtol=near, atol=near)
    assert np.mean(got[1] == want[1]) > 0.98


@pytest.mark.parametrize("width", [3, 16, 40])
def test_lists_grow(res, width):
    rng = np.random.default_rng(width)
    lists = Lists(7, width)
    rows, labels = np.zeros((0, width), np.uint8), np.zeros(0, int)
    with res._work(0, Stream(0)) as work:
        for n in (0, 50, 1, 200, 3, 500):
            more = rng.integers(0, 256, (n, width)).astype(np.uint8)
            where = rng.choice(7, n, p=[0, 0.5, 0.3, 0.1, 0.05, 0.05, 0])
            ids = 3 * np.arange(len(rows), len(rows) + n)
            lists.add(work, work.put(more), width, where, ids)
            rows, labels = np.concatenate([rows, more]), np.concatenate([labels, where])
            for number in range(7):
                own = np.flatnonzero(labels == number)
                np.testing.assert_array_equal(lists.codes_of(work, number), rows[own])
                np.testing.assert_array_equal(lists.ids_of(number), 3 * own)
        assert len(lists) == len(rows)
        assert lists.room > len(rows) * 1.2
        lists.reserve(work, lists.sizes)
        assert lists.room == (-(-np.bincount(labels, minlength=7) // 32) * 32).sum()
        np.testing.assert_array_equal(lists.codes_of(work, 1), rows[labels == 1])
        lists.clear()
        assert len(lists) == lists.room == 0
        assert lists.codes_of(work, 1).shape == (0, width)
        with pytest.raises(shortlist.ArgumentError, match=r"2\^32"):
            lists.reserve(work, np.full(7, 1 << 31))


FORMS = ["Flat", "FlatFP16", "PQ4x8", "PQ3x8"]


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("form", FORMS)
def test_there_and_back(res, rng, form, metric):
    if form == "FlatFP16":
        x = floats(rng, 500)
        cpu = shortlist.IndexIVFFlat(shortlist.IndexFlat(D, metric), D, NLIST, metric, dtype="f2")
        cpu.train(x)
        cpu.add(x)
    else:
        cpu = filled(rng, f"IVF{NLIST},{form}", metric)
    cpu.nprobe = 3
    q = floats(rng, 9)
    gpu = shortlist.index_cpu_to_gpu(res, 0, cpu)
    assert (gpu.ntotal, gpu.nlist, gpu.nprobe) == (cpu.ntotal, NLIST, 3)
    assert (gpu.is_trained, gpu.metric_type) == (True, metric)
    for k in (1, 10, 700):
        check_same(gpu.search(q, k), cpu.search(q, k))
    gpu.nprobe = 100  # there are fewer
    cpu.nprobe = NLIST
    check_same(gpu.search(q, 10), cpu.search(q, 10))
    back = shortlist.index_gpu_to_cpu(gpu)
    assert type(back) is type(cpu)
    assert back.nprobe == gpu.nprobe
    for number in range(NLIST):
        for a, b in (
            (back.invlists.get_ids(number), cpu.invlists.get_ids(number)),
            (back.invlists.get_codes(number), cpu.invlists.get_codes(number)),
            (gpu.getListIndices(number), cpu.invlists.get_ids(number)),
            (gpu.getListVectorData(number), cpu.invlists.get_codes(number).ravel()),
        ):
            np.testing.assert_array_equal(a, b)
        assert gpu.getListLength(number) == cpu.get_list_size(number)
    for got, want in zip(back.search(q, 10), cpu.search(q, 10), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("form", ["Flat", "PQ4x8"])
def test_it_is_trained_and_filled_there(res, rng, form, metric):
    x, q = floats(rng, 700), floats(rng, 12)
    if form == "Flat":
        gpu = shortlist.GpuIndexIVFFlat(res, D, NLIST, metric)
    else:
        gpu = shortlist.GpuIndexIVFPQ(res, D, NLIST, 4, 8, metric)
    assert not gpu.is_trained
    with pytest.raises(shortlist.NotTrainedError):
        gpu.add(x)
    with pytest.raises(shortlist.NotTrainedError):
        gpu.search(q, 3)
    gpu.train(x)
    assert gpu.is_trained
    cpu = shortlist.index_gpu_to_cpu(gpu)
    assert cpu.is_trained
    assert cpu.ntotal == 0
    for part in (x[:300], x[300:301], x[301:301], x[301:]):
        gpu.add(part)
        cpu.add(part)
    gpu.add_with_ids(x[:5], np.arange(5) + (1 << 40))
    cpu.add_with_ids(x[:5], np.arange(5) + (1 << 40))
    assert gpu.ntotal == 705
    gpu.nprobe = cpu.nprobe = 4
    check_same(gpu.search(q, 9), cpu.search(q, 9))
    # As good as the CPU's own training.
    own = shortlist.index_factory(D, f"IVF{NLIST},{form}", metric)
    own.train(x)
    own.add(x)
    own.nprobe = 4
    truth = shortlist.knn(q, x, 10, metric=metric)[1]
    hits = [
        np.mean([np.isin(a, b).mean() for a, b in zip(truth, index.search(q, 10)[1], strict=True)])
        for index in (gpu, own)
    ]
    assert hits[0] > hits[1] - 0.15
    gpu.reset()
    assert gpu.ntotal == 0
    assert np.all(gpu.search(q, 2)[1] == -1)
    gpu.add(x[:1])
    assert gpu.search(x[:1], 1)[1] == 0


def test_searches_of_other_parameters(res, rng):
    cpu = filled(rng, f"IVF{NLIST},Flat", L2)
    gpu, q = shortlist.index_cpu_to_gpu(res, 0, cpu), floats(rng, 5)
    chosen = shortlist.IDSelectorBatch(np.arange(0, 3000, 20))
    for sel in (chosen, shortlist.IDSelectorNot(chosen), shortlist.IDSelectorRange(100, 900)):
        for nprobe in (1, 5):
            params = shortlist.SearchParametersIVF(nprobe=nprobe, sel=sel)
            check_same(gpu.search(q, 8, params=params), cpu.search(q, 8, params=params))
    assert gpu.nprobe == 1
    for params, said in (
        (shortlist.SearchParametersIVF(max_codes=10), "max_codes"),
        (shortlist.SearchParametersHNSW(), "SearchParametersIVF"),
    ):
        with pytest.raises((shortlist.UnsupportedError, TypeError), match=said):
            gpu.search(q, 3, params=params)


@pytest.mark.parametrize("form", ["Flat", "PQ4x8"])
def test_copies(res, rng, form):
    cpu, q = filled(rng, f"IVF{NLIST},{form}", L2), floats(rng, 4)
    other = filled(np.random.default_rng(1), f"IVF{NLIST},{form}", L2)
    gpu = shortlist.index_cpu_to_gpu(res, 0, other)
    gpu.copyFrom(cpu)
    check_same(gpu.search(q, 5), cpu.search(q, 5))
    same = shortlist.clone_index(cpu)
    gpu.copyTo(same)
    for got, want in zip(same.search(q, 5), cpu.search(q, 5), strict=True):
        np.testing.assert_array_equal(got, want)
    if form == "Flat":
        gpu.copyTo(other)  # which takes over the centroids
        np.testing.assert_array_equal(other.search(q, 5)[1], cpu.search(q, 5)[1])
    else:
        with pytest.raises(shortlist.ArgumentError, match="index_gpu_to_cpu"):
            gpu.copyTo(other)


@pytest.mark.parametrize("form", ["Flat", "PQ4x8"])
def test_tensors_stay_where_they_are(res, rng, form):
    torch = pytest.importorskip("torch")
    cpu = filled(rng, f"IVF{NLIST},{form}", L2)
    gpu = shortlist.index_cpu_to_gpu(res, 0, cpu)
    device = "cpu" if gpu._engine.host else "cuda"
    x, q = (torch.from_numpy(floats(rng, n)).to(device) for n in (70, 6))
    wide = torch.zeros((70, 2 * D), device=device)
    wide[:, 5 : 5 + D] = x
    gpu.add(wide[:, 5 : 5 + D])
    cpu.add_with_ids(x.cpu().numpy(), np.arange(cpu.ntotal, cpu.ntotal + 70))
    got = gpu.search(q, 9)
    assert all(isinstance(out, torch.Tensor) and out.device.type == device for out in got)
    check_same([out.cpu().numpy() for out in got], cpu.search(q.cpu().numpy(), 9))
    x[3, 2] = float("nan")
    with pytest.raises(shortlist.ArgumentError, match="row 3"):
        gpu.add(x)
    assert gpu.ntotal == cpu.ntotal
    check_same([out.cpu().numpy() for out in gpu.search(q, 9)], cpu.search(q.cpu().numpy(), 9))


def test_half_the_memory(res, rng):
    cpu, q = filled(rng, f"IVF{NLIST},Flat", IP), floats(rng, 5)
    options = shortlist.GpuClonerOptions()
    options.useFloat16 = True
    gpu = shortlist.index_cpu_to_gpu(res, 0, cpu, options)
    assert gpu.code_size == 2 * D
    back = shortlist.index_gpu_to_cpu(gpu)
    assert back.dtype == "float16"
    check_same(gpu.search(q, 5), back.search(q, 5))
    check_same(gpu.search(q, 5), cpu.search(q, 5), near=0.02)


@pytest.mark.parametrize("by_residual", [False, True])
def test_codes_need_not_be_of_residuals(res, rng, by_residual):
    x, q = floats(rng, 400), floats(rng, 5)
    gpu = shortlist.GpuIndexIVFPQ(res, D, NLIST, 4, 8)
    gpu.by_residual = by_residual
    gpu.train(x)
    gpu.add(x)
    gpu.nprobe = 3
    check_same(gpu.search(q, 9), shortlist.index_gpu_to_cpu(gpu).search(q, 9))


def test_vectors_are_read_back(res, rng):
    cpu = filled(rng, f"IVF{NLIST},PQ4x8", L2)
    gpu = shortlist.index_cpu_to_gpu(res, 0, cpu)
    np.testing.assert_array_equal(gpu.reconstruct(20), cpu.reconstruct(20))
    gpu.add_with_ids(cpu.reconstruct(20)[None], [1])
    assert gpu.reconstruct_n(0, 2).shape == (2, D)
    with pytest.raises(shortlist.IdError, match="id 2 is"):
        gpu.reconstruct_n(0, 3)
    with pytest.raises(shortlist.IdError, match="21"):
        gpu.reconstruct(21)


def test_memory_between_lists_is_given_back(res, rng):
    x = floats(rng, 900)
    gpu = shortlist.GpuIndexIVFFlat(res, D, NLIST)
    gpu.train(x)
    gpu.add(x[:100])
    gpu.add(x[100:])
    want = gpu.search(x[:9], 4)
    assert gpu.reclaimMemory() > 0
    assert gpu.reclaimMemory() == 0
    for a, b in zip(gpu.search(x[:9], 4), want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_refused(res, rng):
    x = floats(rng, 300)
    flat = shortlist.IndexFlat(D)
    soar = shortlist.IndexIVFFlat(flat, D, NLIST)
    soar.soar_lambda = 1.0
    twice = shortlist.index_factory(D, f"IVF{NLIST},PQ4+4")
    bits = shortlist.IndexIVFPQ(shortlist.IndexFlat(D), D, NLIST, 4, 6)
    bytes_ = shortlist.IndexIVFFlat(shortlist.IndexFlat(D), D, NLIST, dtype="uint8")
    gpu = shortlist.GpuIndexIVFFlat(res, D, NLIST)
    gpu.train(x)
    gpu.add(x)
    for call, error, said in (
        (lambda: shortlist.GpuIndexIVFPQ(res, D, NLIST, 4, 6), "Unsupported", "nbits"),
        (lambda: shortlist.GpuIndexIVFPQ(res, D, NLIST, 5, 8), "Argument", "5"),
        (lambda: shortlist.GpuIndexIVFFlat(res, D, 0), "Argument", "nlist"),
        (lambda: shortlist.index_cpu_to_gpu(res, 0, soar), "Unsupported", "soar_lambda"),
        (lambda: shortlist.index_cpu_to_gpu(res, 0, bytes_), "Unsupported", "uint8"),
        (lambda: shortlist.index_cpu_to_gpu(res, 0, twice), "Unsupported", "IndexIVFPQR"),
        (lambda: shortlist.index_cpu_to_gpu(res, 0, bits), "Unsupported", "nbits"),
        (lambda: shortlist.GpuIndexIVFFlat(res, flat), "Type", "d is a IndexFlat"),
        (
            lambda: shortlist.GpuIndexIVFFlat(res, D, NLIST, L2, shortlist.GpuIndexConfig()),
            "Type",
            "GpuIndexIVFFlatConfig",
        ),
        (lambda: setattr(gpu, "nprobe", 0), "Argument", "nprobe"),
        (lambda: gpu.search(x[:2, :5], 3), "Dimension", "12"),
        (lambda: gpu.search(x[:2], 2049), "Argument", "2048"),
        (lambda: gpu.add_with_ids(x[:2], [1, -1]), "Id", "-1"),
        (lambda: gpu.add_with_ids(x[:2], [1]), "Dimension", "ids"),
        (lambda: gpu.add(np.full((1, D), np.nan)), "Argument", "NaN"),
        (lambda: gpu.train(x), "Argument", "reset"),
        (lambda: gpu.getListLength(NLIST), "Id", "list 8"),
        (lambda: gpu.copyFrom(flat), "Type", "IndexIVFFlat"),
    ):
        with pytest.raises(getattr(shortlist, f"{error}Error", TypeError), match=said):
            call()
