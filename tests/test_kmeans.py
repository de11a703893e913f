"""k-means against Lloyd's iterations in numpy, and faiss's classes around it."""

from __future__ import annotations

import dataclasses
import logging

import faiss
import numpy as np
import pytest
import shortlist
from hypothesis import given
from hypothesis import strategies as st
from shortlist._core import _cluster, _kernels

LIMIT = 30.0  # seconds; reached only by a hang
DTYPES = ("float32", "float16", "uint8", "int8")


@pytest.fixture
def level(isa):
    """Runs the test on every instruction set."""
    before = shortlist.simd_level()
    _kernels.set_level(isa)
    yield isa
    _kernels.set_level(before)


def scores(x: np.ndarray, centroids: np.ndarray, ip: bool = False) -> np.ndarray:
    """Smaller is nearer, in float64."""
    x, c = np.asarray(x, np.float64), np.asarray(centroids, np.float64)
    if ip:
        return -(x @ c.T)
    return ((x[:, None] - c) ** 2).sum(2)


def lloyd(
    x, centroids, niter, weights=None, spherical=False, frozen=0, whole=False
) -> tuple[np.ndarray, list[float]]:
    """The oracle; no cluster may be empty."""
    weights = np.ones(len(x)) if weights is None else weights
    x, centroids = x.astype(np.float64), np.array(centroids, np.float64)
    objectives = []

    def finish(rows):
        if spherical:
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        if whole:
            rows[:] = np.round(rows)

    finish(centroids)
    for _ in range(niter):
        every = scores(x, centroids, spherical)
        nearest = every.argmin(1)
        objectives.append((every.min(1) * weights).sum() * (-1 if spherical else 1))
        for c in range(frozen, len(centroids)):
            mine = nearest == c
            assert mine.any()
            centroids[c] = np.average(x[mine], axis=0, weights=weights[mine])
        finish(centroids[frozen:])
    return centroids, objectives


def blobs(rng, n=600, d=13, k=9, spread=0.5, dtype="float32") -> np.ndarray:
    x = rng.normal(size=(k, d))[rng.integers(k, size=n)] + spread * rng.normal(size=(n, d))
    if dtype in ("uint8", "int8"):
        x = np.clip(x * 30 + (120 if dtype == "uint8" else 0), -128 if dtype == "int8" else 0, 127)
    return x.astype(dtype)


def check_assignment(x, centroids, metric) -> None:
    D, I = _cluster.assign(x, centroids, metric)
    ip = metric == shortlist.METRIC_INNER_PRODUCT
    every = scores(x, centroids, ip)
    size = np.abs(x.astype(np.float64)).max(1) * np.abs(centroids.astype(np.float64)).max()
    slack = 1e-5 * every.min(1) if not ip else 1e-5 * size * x.shape[1]
    chosen = np.take_along_axis(every, I[:, None], 1)[:, 0]
    assert D.dtype == np.float32
    assert I.dtype == np.int64
    assert (chosen <= every.min(1) + slack + 1e-44).all()
    np.testing.assert_array_less(abs((-D if ip else D) - chosen), slack + 1e-43)


# The assignment


@pytest.mark.parametrize("metric", [shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT])
@given(data=st.data())
def test_assignment_of_anything(metric, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, k, d = (data.draw(st.integers(1, m)) for m in (210, 150, 70))
    size = 10.0 ** data.draw(st.integers(-25, 15))
    x = rng.normal(size=(n, d)) * rng.choice([1, 1e-3, 1e3], d) + data.draw(
        st.sampled_from([0, 50])
    )
    c = x[rng.integers(n, size=k)] + rng.choice([0, 0.1, 3], (k, 1)) * rng.normal(size=(k, d))
    x, c = (x * size).astype(np.float32), (c * size).astype(np.float32)
    x[rng.random(n) < 0.1] = 0
    before = shortlist.simd_level()
    _kernels.set_level(data.draw(st.sampled_from(shortlist.simd_levels())))
    try:
        check_assignment(x, c, metric)
    finally:
        _kernels.set_level(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", [shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT])
def test_ties_go_to_the_first(level, rng, dtype, metric):
    """Whole numbers leave no room for rounding, and few of them, many ties."""
    for d in (1, 3, 16, 37):
        x = rng.integers(0, 4, (300, d)).astype(dtype)
        c = rng.integers(0, 4, (131, d)).astype(np.float32)
        every = scores(x, c, metric == shortlist.METRIC_INNER_PRODUCT)
        D, I = _cluster.assign(x, c, metric)
        np.testing.assert_array_equal(I, every.argmin(1))
        np.testing.assert_array_equal(D, abs(every.min(1)))


def test_rows_that_one_value_dominates(level, rng):
    """Their other values are lost in the codes, not in the result."""
    x = rng.normal(size=(400, 40)).astype(np.float32)
    x[:, 7] *= 1e5
    x[::3, 9] = 3e4
    for metric in (shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT):
        check_assignment(x, x[:200], metric)


# Lloyd's iterations


@pytest.mark.parametrize("dtype", DTYPES)
def test_iterations_are_lloyds(level, rng, dtype):
    x = blobs(rng, spread=1, dtype=dtype)
    kmeans = shortlist.Kmeans(13, 12, niter=4)
    last = kmeans.train(x, init_centroids=x[:12])
    centroids, objectives = lloyd(x, x[:12], 4)
    np.testing.assert_allclose(kmeans.centroids, centroids, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(kmeans.obj, objectives, rtol=1e-5)
    assert last == kmeans.obj[-1]
    assert kmeans.centroids.dtype == np.float32


@pytest.mark.parametrize(
    "options", [{}, {"spherical": True}, {"whole": True}, {"frozen": 5}], ids=str
)
@pytest.mark.parametrize("weighted", [False, True])
def test_iterations_with_options(rng, options, weighted):
    x = blobs(rng, spread=1) * (20 if "whole" in options else 1)
    weights = rng.random(len(x)) * 3 if weighted else None
    kmeans = shortlist.Kmeans(
        13, 12, niter=3, spherical="spherical" in options, int_centroids="whole" in options,
        frozen_centroids="frozen" in options, seed=7,
    )  # fmt: skip
    first = x[: options.get("frozen", 12)]
    if "frozen" in options:  # the others begin where the seed says
        start = shortlist.Kmeans(13, 12, niter=0, seed=7)
        start.train(x, init_centroids=first)
    kmeans.train(x, weights, init_centroids=first)
    if "frozen" in options:
        np.testing.assert_array_equal(kmeans.centroids[:5], first)
        first = start.centroids
    centroids, objectives = lloyd(x, first, 3, weights, **options)
    np.testing.assert_allclose(kmeans.centroids, centroids, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(kmeans.obj, objectives, rtol=1e-5)


def test_a_weight_is_as_good_as_copies(rng):
    x, times = blobs(rng, n=200), rng.integers(0, 4, 200)
    a, b = (shortlist.Kmeans(13, 6, niter=5) for _ in range(2))
    a.train(x, times, init_centroids=x[:6])
    b.train(np.repeat(x, times, axis=0), init_centroids=x[:6])
    np.testing.assert_allclose(a.centroids, b.centroids, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(a.obj, b.obj, rtol=1e-6)


@pytest.mark.parametrize("spherical", [False, True])
def test_as_good_as_faiss(rng, spherical):
    x = blobs(rng, n=5000, d=24, k=60, spread=0.8)
    ours, theirs = (lib.Kmeans(24, 64, niter=12, spherical=spherical) for lib in (shortlist, faiss))
    for kmeans in (ours, theirs):
        kmeans.train(x, init_centroids=x[:64])
    np.testing.assert_allclose(ours.obj, theirs.obj, rtol=1e-3)
    np.testing.assert_allclose(ours.centroids, theirs.centroids, atol=0.1)
    D, I = ours.assign(x)
    wanted_D, wanted_I = ours.index.search(x, 1)
    np.testing.assert_allclose(D, wanted_D[:, 0], rtol=1e-5, atol=1e-5)
    assert (wanted_I[:, 0] == I).mean() > 0.999


@pytest.mark.parametrize("init", [0, 1], ids=["random", "k-means++"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_the_same_bytes_whatever_the_threads(rng, threads, init, dtype):
    x = blobs(rng, n=5000, dtype=dtype)
    runs = []
    for n in (1, 2, 5):
        threads(n)
        kmeans = shortlist.Kmeans(
            13, 40, niter=4, nredo=2, init_method=init, max_points_per_centroid=100
        )
        kmeans.train(x, np.arange(len(x)) % 7)
        runs.append((kmeans.centroids.tobytes(), kmeans.obj.tobytes()))
    assert len(set(runs)) == 1
    kmeans.cp.seed = 5
    kmeans.train(x, np.arange(len(x)) % 7)
    assert kmeans.centroids.tobytes() != runs[0][0]


def test_the_best_of_several_runs(rng):
    x = blobs(rng, n=400, k=30)
    seen = []
    kmeans = shortlist.Kmeans(13, 30, niter=3, nredo=6, min_points_per_centroid=1)
    kmeans.train(x, progress=lambda done, total: seen.append((done, total)))
    once = shortlist.Kmeans(13, 30, niter=3, min_points_per_centroid=1)
    once.train(x)
    assert kmeans.obj[-1] < once.obj[-1]
    assert seen == [(i + 1, 18) for i in range(18)]
    assert len(kmeans.obj) == 3
    spherical = [
        shortlist.Kmeans(13, 30, niter=3, nredo=n, spherical=True, min_points_per_centroid=1)
        for n in (1, 6)
    ]
    assert spherical[1].train(x) > spherical[0].train(x)


def test_it_ends_when_the_objective_stays(rng):
    x = blobs(rng, n=300, k=3, spread=0.01)
    kmeans = shortlist.Kmeans(13, 3, niter=50, init_method=1)
    kmeans.train(x)
    assert len(kmeans.obj) < 10
    assert kmeans.obj[-1] == kmeans.obj[-2]
    kmeans = shortlist.Kmeans(13, 3, niter=50, init_method=1, early_stop_threshold=1.0)
    kmeans.train(x)
    assert len(kmeans.obj) == 2


# Beginnings


@pytest.mark.parametrize("init", [0, 1], ids=["random", "k-means++"])
def test_first_centroids_are_different_rows(rng, init):
    x = blobs(rng, n=200)
    kmeans = shortlist.Kmeans(13, 50, niter=0, init_method=init, min_points_per_centroid=1)
    assert kmeans.train(x) == 0.0
    rows = (kmeans.centroids[:, None] == x).all(2).argmax(1)
    np.testing.assert_array_equal(kmeans.centroids, x[rows])
    assert len(set(rows)) == 50


def test_random_rows_come_from_everywhere(rng):
    x = np.arange(1000, dtype=np.float32)[:, None]
    chosen = np.zeros(1000)
    for seed in range(300):
        kmeans = shortlist.Kmeans(1, 20, niter=0, seed=seed, min_points_per_centroid=1)
        kmeans.train(x)
        chosen[kmeans.centroids[:, 0].astype(int)] += 1
    parts = chosen.reshape(10, 100).sum(1)
    assert parts.sum() == 6000
    assert abs(parts - 600).max() < 100


def test_kmeans_plus_plus_finds_far_clusters(rng):
    centres = rng.normal(size=(20, 8)) * 100
    x = (centres[np.repeat(np.arange(20), 50)] + rng.normal(size=(1000, 8))).astype(np.float32)
    kmeans = shortlist.Kmeans(8, 20, niter=0, init_method=1)
    kmeans.train(x)
    assert len(set(scores(kmeans.centroids, centres).argmin(1))) == 20
    kmeans.train(x, init_centroids=x[:500:50])
    np.testing.assert_array_equal(kmeans.centroids[:10], x[:500:50])
    assert len(set(scores(kmeans.centroids, centres).argmin(1))) == 20


def test_kmeans_plus_plus_leaves_out_points_without_weight(rng):
    x = blobs(rng, n=200)
    kmeans = shortlist.Kmeans(13, 40, niter=0, init_method=1, min_points_per_centroid=1)
    kmeans.train(x, np.arange(200) >= 100)
    assert (kmeans.centroids[:, None] == x[100:]).all(2).any(1).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sample_of_many_points(weighted):
    """Of points at distance 1 from a frozen centroid, the objective counts those that were used."""
    x = np.eye(50, dtype=np.float32)
    kmeans = shortlist.Kmeans(50, 1, niter=1, max_points_per_centroid=20, frozen_centroids=True)
    weights = np.full(50, 3.0) if weighted else None
    objective = kmeans.train(x, weights, init_centroids=np.zeros((1, 50)))
    assert objective == (60 if weighted else 20)


# Clusters that are empty, and other edges


def test_empty_clusters_take_half_of_another(rng):
    x = blobs(rng, n=4000, k=100)
    first = np.concatenate([x[:40], np.full((60, 13), 1e3, np.float32)])
    ours, theirs = (lib.Kmeans(13, 100, niter=15) for lib in (shortlist, faiss))
    for kmeans in (ours, theirs):
        kmeans.train(x, init_centroids=first)
    assert ours.iteration_stats[0]["nsplit"] == 60
    assert len(np.unique(ours.assign(x)[1])) == 100
    assert ours.obj[-1] < theirs.obj[-1]


def test_an_empty_cluster_leaves_frozen_ones_alone(rng):
    x = blobs(rng, n=300)
    first = np.concatenate([x[:1], np.full((1, 13), 1e3, np.float32)])
    kmeans = shortlist.Kmeans(13, 4, niter=5, frozen_centroids=True)
    kmeans.train(x, init_centroids=first)
    np.testing.assert_array_equal(kmeans.centroids[:2], first)


def test_fewer_different_points_than_clusters():
    x = np.repeat(np.eye(3, dtype=np.float32), 40, axis=0)
    kmeans = shortlist.Kmeans(3, 8, niter=6, min_points_per_centroid=1)
    assert kmeans.train(x) == 0.0
    assert np.isfinite(kmeans.centroids).all()
    assert {tuple(c) for c in kmeans.centroids} >= {tuple(c) for c in np.eye(3)}


@pytest.mark.parametrize("spherical", [False, True])
def test_zero_vectors(spherical):
    kmeans = shortlist.Kmeans(5, 3, niter=3, spherical=spherical, min_points_per_centroid=1)
    assert kmeans.train(np.zeros((50, 5), np.float32)) == 0.0
    assert not kmeans.centroids.any()


def test_a_split_does_not_depend_on_where_zero_is(rng):
    """Two copies of a centroid at the origin must come apart too."""
    x = np.concatenate([np.full((50, 4), v, np.float32) for v in (-1, 1)])
    x[:, 1:3] *= -1
    kmeans = shortlist.Kmeans(4, 2, niter=8)
    assert kmeans.train(x, init_centroids=[[0] * 4, [9e3] * 4]) == 0.0


def test_one_cluster_is_the_mean(rng):
    x = blobs(rng)
    kmeans = shortlist.Kmeans(13, 1, niter=2, max_points_per_centroid=1000)
    kmeans.train(x)
    np.testing.assert_allclose(kmeans.centroids[0], x.mean(0, dtype=np.float64), rtol=1e-5)
    assert kmeans.iteration_stats[0]["imbalance_factor"] == 1.0


def test_as_many_clusters_as_points(rng):
    x = rng.integers(0, 255, (30, 6)).astype(np.uint8)
    kmeans = shortlist.Kmeans(6, 30)
    assert kmeans.train(x) == 0.0
    np.testing.assert_array_equal(kmeans.centroids, x)
    assert kmeans.assign(x)[1].tolist() == list(range(30))


def test_imbalance(rng):
    x = np.concatenate([np.zeros((90, 2)), np.ones((10, 2))]).astype(np.float32)
    kmeans = shortlist.Kmeans(2, 2, niter=1)
    kmeans.train(x, init_centroids=x[[0, -1]])
    assert kmeans.iteration_stats[0]["imbalance_factor"] == pytest.approx(2 * (0.81 + 0.01))


# Errors, warnings, stopping


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"x": np.zeros((3, 4), np.float32)}, ValueError, "3 training points for k = 5"),
        ({"x": np.zeros((50, 3), np.float32)}, shortlist.DimensionError, "d = 4"),
        ({"x": np.zeros(50, np.float32)}, shortlist.DimensionError, "d = 4"),
        ({"x": np.full((50, 4), np.nan, np.float32)}, ValueError, "row 0, column 0 is nan"),
        ({"x": np.full((50, 4), np.inf, np.float32)}, ValueError, "NaN or Inf"),
        ({"x": np.array([["a"] * 4] * 50)}, TypeError, "dtype"),
        ({"x": 1e30 * np.eye(50, 4, dtype=np.float32)}, ValueError, "scale the vectors down"),
        ({"weights": np.ones(3)}, shortlist.DimensionError, "one per vector"),
        ({"weights": np.full(50, -1.0)}, ValueError, "weight 0 is -1"),
        ({"weights": np.full(50, np.nan)}, ValueError, "weight 0 is nan"),
        ({"weights": np.zeros(50)}, ValueError, "all weights are 0"),
        ({"init_centroids": np.zeros((2, 3))}, shortlist.DimensionError, "(up to 5, 4)"),
        ({"init_centroids": np.zeros((6, 4))}, ValueError, "6 initial centroids"),
        ({"init_centroids": np.full((5, 4), np.nan)}, ValueError, "NaN"),
        ({"k": 0}, ValueError, "k = 0"),
        ({"k": -1}, ValueError, "k = -1"),
        ({"niter": -1}, ValueError, "niter = -1"),
        ({"nredo": 0}, ValueError, "nredo = 0"),
        ({"max_points_per_centroid": 0}, ValueError, "max_points_per_centroid = 0"),
        ({"init_method": 2}, NotImplementedError, "init_method 2"),
        ({"iterations": 3}, AttributeError, "'iterations'"),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, dict) else "",
)
def test_refusals(rng, change, error, says):
    call = {"x": rng.normal(size=(50, 4)).astype(np.float32)}
    call |= {name: change[name] for name in change if name in ("x", "weights", "init_centroids")}
    options = {name: change[name] for name in change if name not in call}
    k = options.pop("k", 5)
    with pytest.raises(error) as raised:
        shortlist.Kmeans(4, k, **options).train(**call)
    assert says in str(raised.value)


def test_refused_assignments(rng):
    kmeans = shortlist.Kmeans(4, 3)
    with pytest.raises(shortlist.NotTrainedError, match="train"):
        kmeans.assign(np.zeros((1, 4)))
    kmeans.train(rng.normal(size=(200, 4)).astype(np.float32))
    with pytest.raises(shortlist.DimensionError, match="3 dimensions"):
        kmeans.assign(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        kmeans.assign(np.full((1, 4), np.nan, np.float32))
    assert [len(a) for a in kmeans.assign(np.zeros((0, 4), np.float32))] == [0, 0]


def test_too_many_dimensions():
    x = np.ones((3, 2**18 + 1), np.uint8)
    with pytest.raises(shortlist.DimensionError, match="takes 1 to 262144"):
        shortlist.Kmeans(x.shape[1], 2).train(x)
    x = np.ones((2, 2**18), np.float32)
    x[1] = -1
    assert _cluster.assign(-x, x, shortlist.METRIC_L2)[1].tolist() == [1, 0]


def test_few_points_are_warned_of(rng, caplog):
    x = rng.normal(size=(100, 4)).astype(np.float32)
    with caplog.at_level(logging.WARNING, "shortlist"):
        shortlist.Kmeans(4, 5, min_points_per_centroid=20).train(x)
        assert not caplog.records
        shortlist.Kmeans(4, 5, min_points_per_centroid=21).train(x)
    assert "100 points into 5 clusters; 105 or more" in caplog.text


def test_progress_may_stop_it(rng):
    x = blobs(rng)
    kmeans = shortlist.Kmeans(13, 4)
    kmeans.train(x)
    before = kmeans.centroids.copy()
    with pytest.raises(ZeroDivisionError):
        kmeans.train(-x, progress=lambda done, total: 1 / (done - 2))
    np.testing.assert_array_equal(kmeans.centroids, before)
    np.testing.assert_array_equal(kmeans.index.reconstruct_n(0, 4), before)
    kmeans.train(x)
    np.testing.assert_array_equal(kmeans.centroids, before)


@pytest.mark.parametrize("init", [0, 1], ids=["random", "k-means++"])
def test_ctrl_c_leaves_it_usable(python, init):
    said = python(
        f"""
import os, signal, threading
import numpy as np, shortlist
x = np.random.default_rng(0).normal(size=(100_000, 64)).astype(np.float32)
kmeans = shortlist.Kmeans(64, 20_000, niter=1000, init_method={init}, min_points_per_centroid=1)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    kmeans.train(x)  # minutes, if nothing stops it
except KeyboardInterrupt:
    print("stopped")
assert kmeans.centroids is None
kmeans.reset(5)
kmeans.cp.niter = 2
kmeans.train(x[:1000])
assert kmeans.centroids.shape == (5, 64)
""",
        timeout=LIMIT,
    )
    assert said == "stopped\n"


# faiss's names


def test_parameters_are_faisss():
    ours, theirs = shortlist.ClusteringParameters(), faiss.ClusteringParameters()
    own = {"balanced", "batch_size"}
    for field in dataclasses.fields(ours):
        if field.name not in own:
            assert getattr(ours, field.name) == getattr(theirs, field.name), field.name
    assert not any(getattr(ours, name) for name in own)
    for name in ("RANDOM", "KMEANS_PLUS_PLUS", "AFK_MC2"):
        name = f"ClusteringInitMethod_{name}"
        assert getattr(shortlist, name) == getattr(faiss, name)


def test_the_attributes_of_kmeans(rng, capsys):
    x = blobs(rng)
    kmeans = shortlist.Kmeans(13, 4, niter=3, verbose=True)
    assert (kmeans.d, kmeans.k, kmeans.cp.niter) == (13, 4, 3)
    assert (kmeans.centroids, kmeans.obj, kmeans.iteration_stats) == (None, None, None)
    kmeans.train(x)
    assert capsys.readouterr().out.count("objective=") == 3
    theirs = faiss.Kmeans(13, 4, niter=3)
    theirs.train(x)
    for name in ("centroids", "obj"):
        assert getattr(kmeans, name).shape == getattr(theirs, name).shape
    for ours, wanted in zip(kmeans.iteration_stats, theirs.iteration_stats, strict=True):
        assert ours.keys() == wanted.keys()
        assert 0 < ours["time_search"] < ours["time"]
    assert kmeans.index.ntotal == 4
    kmeans.reset(6)
    assert kmeans.k == 6
    assert kmeans.centroids is None
    kmeans.train(x)
    assert kmeans.centroids.shape == (6, 13)


def test_centroids_of_ones_own_are_assigned_to(rng):
    x = blobs(rng)
    kmeans = shortlist.Kmeans(13, 4)
    kmeans.train(x)
    kmeans.centroids = x[:3]
    np.testing.assert_array_equal(kmeans.assign(x[:3])[1], np.arange(3))


def test_clustering_over_an_index(rng):
    x = blobs(rng, spread=1)
    cp = shortlist.ClusteringParameters()
    cp.niter = 2
    for make, spherical in ((shortlist.IndexFlatL2, False), (shortlist.IndexFlatIP, True)):
        cp.spherical = spherical
        clustering, index = shortlist.Clustering(13, 5, cp), make(13)
        index.add(x)
        clustering.centroids = x[:5].ravel()
        clustering.train(x, index)
        wanted, objectives = lloyd(x, x[:5], 2, spherical=spherical)
        np.testing.assert_allclose(clustering.centroids, wanted.ravel(), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(index.reconstruct_n(0, 5).ravel(), clustering.centroids)
        assert index.ntotal == 5
        stats = clustering.iteration_stats
        assert stats.size() == 2
        assert stats.at(1).obj == pytest.approx(objectives[1], rel=1e-5)
    with pytest.raises(NotImplementedError, match="IndexHNSWFlat"):
        clustering.train(x, shortlist.IndexHNSWFlat(13, 8))
    with pytest.raises(shortlist.DimensionError, match="the index has 12"):
        clustering.train(x, shortlist.IndexFlatL2(12))
    clustering.centroids = np.zeros(14, np.float32)
    with pytest.raises(shortlist.DimensionError, match="14 values"):
        clustering.train(x, index)


def test_kmeans_clustering(rng):
    x, centroids = blobs(rng), np.zeros((7, 13), np.float32)
    objective = shortlist.kmeans_clustering(13, len(x), 7, x, centroids)
    assert objective == pytest.approx(scores(x, centroids).min(1).sum(), rel=0.01)
    with pytest.raises(shortlist.DimensionError, match="x has shape"):
        shortlist.kmeans_clustering(13, 5, 7, x, centroids)
    with pytest.raises(shortlist.DimensionError, match="centroids has shape"):
        shortlist.kmeans_clustering(13, len(x), 6, x, centroids)
