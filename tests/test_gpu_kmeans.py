"""k-means and nearest centroids over a GPU's jobs beside the CPU's; on the host always, on a GPU
with -m gpu."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shortlist
import spann_cases
from gpu_cases import host
from shortlist import gpu
from shortlist._core import _cluster
from shortlist.gpu import kmeans as on_device
from shortlist.gpu.nearest import PRECISIONS, Search

METRICS = [shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT]


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def engine(request, monkeypatch) -> Any:
    """What gpu=True means in these tests."""
    if request.param == "cuda":
        request.getfixturevalue("cuda_plugin")
        return gpu.engine()
    made = host(seed=5, lanes=64, chunks=2)
    monkeypatch.setattr(gpu, "engine", lambda device=0: made)
    return made


def blobs(n=700, d=13, k=12, spread=0.3, offset=4.0, dtype="float32") -> np.ndarray:
    rng = np.random.default_rng(n + d)
    x = rng.normal(size=(k, d))[rng.integers(k, size=n)] + spread * rng.normal(size=(n, d))
    x += offset
    if dtype == "uint8":
        x = np.clip(20 * x, 0, 255)
    return x.astype(dtype)


def squared(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((x.astype(float)[:, None] - centroids.astype(float)) ** 2).sum(2)


def objective(x: np.ndarray, centroids: np.ndarray, spherical: bool) -> float:
    if spherical:
        return -float((x.astype(float) @ centroids.T.astype(float)).max(1).sum())
    return float(squared(x, centroids).min(1).sum())


@pytest.mark.parametrize("options", [{}, {"spherical": True}, {"int_centroids": True}])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_float32_trains_as_the_cpu_does(engine, dtype, options):
    x = blobs(dtype=dtype)
    options |= {"niter": 6, "nredo": 1, "seed": 7, "min_points_per_centroid": 1}
    cpu, there = shortlist.Kmeans(13, 12, **options), None
    cpu.train(x)
    there = shortlist.Kmeans(13, 12, gpu=True, precision="float32", **options)
    told = there.train(x)
    np.testing.assert_allclose(there.centroids, cpu.centroids, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(there.obj, cpu.obj, rtol=1e-5)
    assert told == there.obj[-1]
    assert [s["nsplit"] for s in there.iteration_stats] == [0] * 6
    np.testing.assert_allclose(
        there.iteration_stats[-1]["imbalance_factor"], cpu.iteration_stats[-1]["imbalance_factor"]
    )
    for a, b in zip(there.assign(x), cpu.assign(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("spherical", [False, True])
def test_every_precision_ends_about_where_the_cpu_does(engine, precision, spherical):
    x = blobs(n=900, d=20)
    options = {"niter": 8, "seed": 3, "spherical": spherical, "min_points_per_centroid": 1}
    cpu = shortlist.Kmeans(20, 12, **options)
    cpu.train(x)
    there = shortlist.Kmeans(20, 12, gpu=1, precision=precision, **options)
    there.train(x)
    want = objective(x, cpu.centroids, spherical)
    assert objective(x, there.centroids, spherical) <= want + 0.03 * abs(want)
    again = shortlist.Kmeans(20, 12, gpu=1, precision=precision, **options)
    again.train(x)
    np.testing.assert_array_equal(again.centroids, there.centroids)
    np.testing.assert_array_equal(again.obj, there.obj)


@pytest.mark.parametrize("metric", METRICS)
def test_clusters_of_like_sizes(engine, metric):
    x = blobs(n=1000, d=9, k=4)
    how: dict[str, Any] = {
        "metric": metric,
        "niter": 6,
        "nredo": 1,
        "spherical": metric == 0,
        "int_centroids": False,
        "batch_size": 0,
    }
    how |= {"frozen_centroids": False, "min_points_per_centroid": 1, "max_points_per_centroid": 256}
    how |= {"seed": 4, "init_method": 0, "early_stop_threshold": 0.0}
    plain = _cluster.kmeans(x, 20, balanced=0.0, **how)[1]
    for strength in (0.5, 1.0):
        want, cpu = _cluster.kmeans(x, 20, balanced=strength, **how)
        got, stats = on_device.kmeans(engine, x, 20, balanced=strength, **how)
        np.testing.assert_allclose(got, want, atol=0.02)
        np.testing.assert_allclose(stats[-1][0], cpu[-1][0], rtol=1e-3)
        assert stats[-1][3] < plain[-1][3]
    assert stats[-1][3] < 1.1


@pytest.mark.parametrize("balanced", [0.0, 1.0])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_that_do_not_fit_go_through_in_parts(engine, precision, balanced):
    x, k = blobs(n=333, d=6), 5
    weights = np.random.default_rng(2).random(333).astype(np.float32)
    how: dict[str, Any] = {
        "metric": shortlist.METRIC_L2,
        "niter": 5,
        "precision": precision,
        "seed": 1,
    }
    how |= {"weights": weights, "min_points_per_centroid": 1}
    whole, _ = on_device.kmeans(engine, x, k, **how)
    parts, stats = on_device.kmeans(engine, x, k, memory=6000, balanced=balanced, **how)
    again, _ = on_device.kmeans(engine, x, k, memory=6000, balanced=balanced, **how)
    np.testing.assert_array_equal(parts, again)
    if balanced:  # shared out a part at a time
        assert stats[-1][3] < 1.2
    else:
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)


def test_weights_frozen_centroids_and_redos(engine):
    x, rng = blobs(n=500, d=5), np.random.default_rng(1)
    weights = np.where(rng.random(500) < 0.3, 0, rng.random(500)).astype(np.float32)
    first = x[[3, 77]] + 0.001
    options: dict[str, Any] = {"niter": 5, "nredo": 3, "seed": 9, "min_points_per_centroid": 1}
    there = shortlist.Kmeans(5, 8, gpu=True, frozen_centroids=True, precision="float32", **options)
    there.train(x, weights, init_centroids=first)
    np.testing.assert_array_equal(there.centroids[:2], first)
    _, labels = there.assign(x)
    # The mean of what goes to a centroid, once nothing moves.
    more = shortlist.Kmeans(
        5, 8, gpu=True, precision="float32", niter=60, min_points_per_centroid=1
    )
    more.train(x, weights, init_centroids=there.centroids)
    _, labels = more.assign(x)
    for c in range(8):
        own = labels == c
        np.testing.assert_allclose(
            more.centroids[c], np.average(x[own], 0, weights[own]), rtol=1e-4, atol=1e-4
        )
    ones = [
        shortlist.Kmeans(5, 8, gpu=True, niter=5, seed=9 + r, min_points_per_centroid=1)
        for r in range(3)
    ]
    options |= {"niter": 5, "nredo": 3}
    best = shortlist.Kmeans(5, 8, gpu=True, **options)
    assert best.train(x) == min(one.train(x) for one in ones)


def test_a_sample_is_drawn_as_the_cpu_draws_it(engine):
    x = blobs(n=600, d=4)
    options: dict[str, Any] = {"niter": 3, "max_points_per_centroid": 20, "seed": 5}
    cpu, there = (
        shortlist.Kmeans(4, 6, min_points_per_centroid=1, **options, **more)
        for more in ({}, {"gpu": True, "precision": "float32"})
    )
    for one in (cpu, there):
        one.train(x)
    np.testing.assert_allclose(there.centroids, cpu.centroids, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_empty_clusters_take_halves_as_on_the_cpu(engine, weighted):
    rng = np.random.default_rng(3)
    x = np.repeat(rng.normal(size=(6, 3)).astype(np.float32), 60, axis=0)
    x[:200] += rng.normal(size=(200, 3)).astype(np.float32)
    weights = rng.random(360).astype(np.float32) if weighted else None
    first = np.repeat(x[:1], 9, axis=0)
    cpu, there = (
        shortlist.Kmeans(3, 9, niter=4, seed=2, min_points_per_centroid=1, **more)
        for more in ({}, {"gpu": True, "precision": "float32"})
    )
    for one in (cpu, there):
        one.train(x, weights, init_centroids=first)
    assert there.iteration_stats[0]["nsplit"] == 8
    assert [s["nsplit"] for s in there.iteration_stats] == [
        s["nsplit"] for s in cpu.iteration_stats
    ]
    np.testing.assert_allclose(there.centroids, cpu.centroids, rtol=1e-3, atol=1e-3)


def test_few_rows_and_an_early_end(engine):
    x = blobs(n=9, d=4)
    for k in (1, 9):
        there = shortlist.Kmeans(4, k, gpu=True, min_points_per_centroid=1)
        there.train(x)
        want = x if k == 9 else x.mean(0, keepdims=True)
        np.testing.assert_allclose(there.centroids, want, rtol=1e-6)
    early = shortlist.Kmeans(4, 2, gpu=True, niter=50, min_points_per_centroid=1)
    early.train(x)
    assert len(early.obj) < 50
    none = shortlist.Kmeans(4, 2, gpu=True, niter=0, min_points_per_centroid=1)
    assert none.train(x) == 0
    assert none.centroids.shape == (2, 4)


def test_progress_is_told_and_ends_it(engine):
    x, told = blobs(n=100, d=3), []
    there = shortlist.Kmeans(3, 4, gpu=True, niter=3, nredo=2, min_points_per_centroid=1)
    there.train(x, progress=lambda done, total: told.append((done, total)))
    assert all(total == 6 for _, total in told)
    assert [done for done, _ in told] == sorted(done for done, _ in told)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    fresh = shortlist.Kmeans(3, 4, gpu=True, min_points_per_centroid=1)
    with pytest.raises(KeyboardInterrupt):
        fresh.train(x, progress=stop)
    assert fresh.centroids is None


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("k", "n"), [(1, 1), (70, 5), (300, 64)])
def test_centroids_near_to_rows(engine, metric, precision, k, n):
    rng = np.random.default_rng(k)
    x, c = (rng.normal(size=(m, 18)).astype(np.float32) + 3 for m in (75, k))
    distances, numbers = Search(engine, c, metric, precision).search(x, n)
    if metric == shortlist.METRIC_L2:
        every = squared(x, c)
    else:
        every = -(x.astype(float) @ c.T.astype(float))
        distances = -distances
    np.testing.assert_allclose(np.take_along_axis(every, numbers, 1), distances, rtol=1e-4)
    np.testing.assert_allclose(distances, np.sort(every, 1)[:, :n], rtol=1e-3)
    assert (np.diff(distances, axis=1) >= 0).all()


def test_hierarchical(engine):
    x = blobs(n=17000, d=4, k=40)
    calls = []
    centroids, labels = shortlist.hierarchical_kmeans(
        x, 900, branching=6, niter=2, gpu=True, progress=lambda *told: calls.append(told)
    )
    sizes = np.bincount(labels, minlength=len(centroids))
    assert 0 < sizes.min() <= sizes.max() <= 900
    assert calls[-1] == (17000, 17000)
    means = np.stack([np.bincount(labels, x[:, t]) / sizes for t in range(4)], 1)
    np.testing.assert_allclose(centroids, means, rtol=1e-4, atol=1e-5)
    cpu = shortlist.hierarchical_kmeans(x, 900, branching=6, niter=2)[0]
    assert abs(len(cpu) - len(centroids)) <= len(cpu) // 4
    assert objective(x, centroids, False) <= 1.1 * objective(x, cpu, False)


def test_what_is_refused(engine):
    x = blobs(n=50, d=3)
    nan = x.copy()
    nan[4, 1] = np.nan
    small: dict[str, Any] = {"min_points_per_centroid": 1}
    trained = shortlist.Kmeans(3, 2, gpu=True, **small)
    trained.train(x)
    for call, error, said in (
        (lambda: shortlist.Kmeans(3, 2, gpu=4), shortlist.UnsupportedError, "one GPU"),
        (
            lambda: shortlist.Kmeans(3, 2, gpu=True, precision="half").train(x),
            shortlist.ArgumentError,
            "'tfloat32', 'bfloat16', 'float32'",
        ),
        (
            lambda: shortlist.Kmeans(3, 2, gpu=True, batch_size=10).train(x),
            shortlist.UnsupportedError,
            "batch_size = 10",
        ),
        (
            lambda: shortlist.Kmeans(3, 2, gpu=True, niter=-1).train(x),
            shortlist.ArgumentError,
            "niter = -1",
        ),
        (lambda: shortlist.Kmeans(3, 2, gpu=True).train(nan), ValueError, "NaN"),
        (lambda: shortlist.Kmeans(3, 60, gpu=True).train(x), ValueError, "50 training points"),
        (lambda: shortlist.Kmeans(3, 2, gpu=True, nredo=0).train(x), ValueError, "nredo"),
        (lambda: trained.assign(nan), ValueError, "row 4"),
        (lambda: trained.assign(x[:, :2]), shortlist.DimensionError, "3 dimensions"),
        (lambda: trained.assign(x * 1e30), ValueError, "scale the vectors down"),
    ):
        with pytest.raises(error, match=said):
            call()


def test_without_a_gpu():
    if shortlist.get_num_gpus():
        pytest.skip("there is a GPU")
    with pytest.raises(shortlist.UnsupportedError):
        shortlist.Kmeans(3, 2, gpu=True)
    with pytest.raises(shortlist.UnsupportedError):
        shortlist.hierarchical_kmeans(np.zeros((4, 3), np.float32), 2, gpu=True)


def shared(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(found, true, strict=True)]))


def test_building_on_disk(engine, tmp_path, monkeypatch):
    """What is published holds its recall, the same bytes each time, and needs no GPU afterwards."""
    x, queries = spann_cases.vectors(1500), spann_cases.vectors(40, seed=1)
    how: dict[str, Any] = {"description": "SPANN60", "shard_rows": 800}
    cpu = spann_cases.build(tmp_path / "cpu", x, **how)
    there = spann_cases.build(tmp_path / "there", x, device="cuda", **how)
    again = spann_cases.build(tmp_path / "again", x, device="cuda", **how)
    assert spann_cases.contents(tmp_path / "there") == spann_cases.contents(tmp_path / "again")
    assert there.plan.device == "cuda"
    assert there.manifest["key"] != cpu.manifest["key"]
    there.verify()
    true = np.argsort(squared(queries, x), axis=1)[:, :10]
    recalls = [shared(index.search(queries, 10)[1], true) for index in (cpu, there)]
    assert recalls[1] >= recalls[0] - 0.02

    def gone(device: int = 0) -> Any:
        raise shortlist.UnsupportedError("no GPU")

    monkeypatch.setattr(gpu, "engine", gone)
    again.add(queries)
    assert again.compact().search(queries[:1], 1)[1][0, 0] == 1500
    with pytest.raises(shortlist.UnsupportedError):
        spann_cases.build(tmp_path / "none", x, device="cuda", **how)
    assert not (tmp_path / "none").exists()
    with pytest.raises(shortlist.ArgumentError, match="'tpu'"):
        spann_cases.build(tmp_path / "none", x, device="tpu")


@pytest.mark.parametrize(("metric", "description"), [("ip", "SPANN50,SDC1"), ("cosine", "SPANN50")])
def test_building_on_disk_by_inner_product(engine, tmp_path, metric, description):
    x, queries = spann_cases.vectors(1200), spann_cases.vectors(30, seed=1)
    index = spann_cases.build(tmp_path, x, description, metric=metric, device="cuda")
    if metric == "cosine":
        x, queries = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, queries))
    true = np.argsort(-queries @ x.T, axis=1)[:, :10]
    assert shared(index.search(queries, 10)[1], true) > 0.8
