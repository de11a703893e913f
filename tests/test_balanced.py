"""Clusters of like sizes: against Sinkhorn in plain numpy, and what must hold of any clusters."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import shortlist
from hypothesis import given
from hypothesis import strategies as st
from shortlist._core import _cluster

LIMIT = 30.0  # seconds; reached only by a hang
L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT


def skewed(rng, n=4000, d=12) -> np.ndarray:
    """Four fifths of the rows lie close together."""
    x = rng.normal(size=(n, d))
    x[: n * 4 // 5] *= 0.2
    return rng.permutation(x).astype(np.float32)


def imbalance(labels: np.ndarray, k: int, weights: np.ndarray | None = None) -> float:
    sizes = np.bincount(labels, weights, minlength=k)
    return k * (sizes**2).sum() / sizes.sum() ** 2


def distances(x: np.ndarray, centroids: np.ndarray, metric: int = L2) -> np.ndarray:
    """Smaller is nearer, in float64."""
    x, c = x.astype(np.float64), centroids.astype(np.float64)
    return -(x @ c.T) if metric == IP else ((x[:, None] - c) ** 2).sum(2)


def softness_of(costs: np.ndarray) -> float:
    """A twentieth of how much farther centroids are than the nearest, on average."""
    return 0.05 * (costs.mean(1) - costs.min(1)).mean()


def plan_of(costs: np.ndarray, prices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    logits = (-costs - prices) / softness_of(costs)
    plan = np.exp(logits - logits.max(1, keepdims=True))
    return plan * (weights / plan.sum(1))[:, None]


def sinkhorn(costs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Prices of the plan of least cost, less entropy, among those that give all columns as much."""
    prices = np.zeros(costs.shape[1])
    for _ in range(300):
        shares = plan_of(costs, prices, weights).sum(0) * costs.shape[1] / weights.sum()
        prices += softness_of(costs) * np.log(shares)
    np.testing.assert_allclose(shares, 1, rtol=1e-3)
    return prices - prices.mean()


# The assignment


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_go_where_the_plan_has_most_of_them(rng, metric, weighted):
    """With as many candidates as centroids nothing is left out of the transport problem."""
    x = rng.normal(size=(1500, 6)).astype(np.float32)
    x[:, 0] = np.abs(x[:, 0])
    c = rng.normal(size=(12, 6)).astype(np.float32)
    weights = rng.random(len(x)) + 0.5 if weighted else np.ones(len(x))
    costs = distances(x, c, metric)
    D, I, prices = _cluster.balance(x, c, metric, weights=weights if weighted else None)
    # The marginals: all of each row by making, and of columns the share of each.
    shares = plan_of(costs, prices, weights).sum(0) * 12 / weights.sum()
    np.testing.assert_allclose(shares, 1, atol=0.1)
    assert (shares**2).mean() < 1.0011
    wanted = sinkhorn(costs, weights)
    np.testing.assert_allclose(prices, wanted, atol=0.05 * np.ptp(wanted))
    assert ((costs + prices).argmin(1) == I).mean() > 0.999
    assert ((costs + wanted).argmin(1) == I).mean() > 0.95
    assert imbalance(costs.argmin(1), 12, weights) > 1.2
    assert imbalance(I, 12, weights) < 1.02
    told = np.take_along_axis(costs, I[:, None], 1)[:, 0]
    np.testing.assert_allclose(D, told, rtol=1e-4, atol=1e-4)


def test_half_the_price_is_half_the_way(rng):
    x, c = rng.normal(size=(1500, 6)).astype(np.float32), rng.normal(size=(12, 6))
    costs = distances(x, c)
    *_, prices = _cluster.balance(x, c, L2)
    for strength in (0.0, 0.5, 1.0):
        _, I, same = _cluster.balance(x, c, L2, strength=strength)
        np.testing.assert_array_equal(same, prices)
        right = (costs + strength * prices).argmin(1) == I
        assert right.mean() > 0.999


@given(data=st.data())
def test_assignments_of_anything(data):
    """Whatever the sizes, every row goes to one of its 16 nearest, at the distance told."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, k, d = (data.draw(st.integers(1, m)) for m in (210, 90, 40))
    size = 10.0 ** data.draw(st.integers(-15, 15))
    x = np.round(rng.normal(size=(n, d)) * 2) * size
    c = np.round(rng.normal(size=(k, d)) * 2) * size
    x[rng.random(n) < 0.2] = 0
    D, I, prices = _cluster.balance(x.astype(np.float32), c.astype(np.float32), L2)
    every = distances(x.astype(np.float32), c.astype(np.float32))
    told = np.take_along_axis(every, I[:, None], 1)[:, 0]
    np.testing.assert_allclose(D, told, rtol=1e-5)
    assert (told <= np.sort(every, 1)[:, min(k, 16) - 1] * (1 + 1e-5)).all()
    assert np.isfinite(prices).all()


def test_zeros_and_copies():
    x = np.zeros((300, 4), np.float32)
    D, I, prices = _cluster.balance(x, x[:5], L2)
    assert not D.any()
    assert not prices.any()
    assert set(I) <= set(range(5))
    with pytest.raises(ValueError, match="scale the vectors down"):
        _cluster.balance(x + 1e30, x[:5], L2)


# k-means


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_clusters_are_of_like_sizes(rng, dtype, spherical):
    """While training, and by far the most of it among the nearest afterwards."""
    x = skewed(rng) + (1.5 if spherical else 0)
    if dtype == "uint8":
        x = np.clip(x * 40 + 120, 0, 255).astype(np.uint8)
    found = {}
    for balanced in (0, 0.5, 1):
        kmeans = shortlist.Kmeans(12, 40, niter=15, balanced=balanced, spherical=spherical)
        kmeans.train(x)
        found[balanced] = (
            kmeans.iteration_stats[-1]["imbalance_factor"],
            imbalance(kmeans.assign(x)[1], 40),
            kmeans.obj[-1] * (-1 if spherical else 1),
        )
    assert found[0][1] > 1.5
    assert found[0][0] > found[0.5][0] > found[1][0]
    assert found[1][0] < 1.15
    excess = [found[balanced][1] - 1 for balanced in (0, 0.5, 1)]
    assert excess[0] > 1.5 * excess[1]
    assert excess[0] > 2 * excess[2]
    assert found[0][2] < found[0.5][2] < found[1][2]


def test_weights_are_what_is_balanced(rng):
    x = rng.normal(size=(4000, 8)).astype(np.float32)
    weights = np.where(x[:, 0] > 1, 9.0, 1.0)
    kmeans = shortlist.Kmeans(8, 16, niter=12, balanced=1, max_points_per_centroid=1000)
    kmeans.train(x, weights)
    _, I, _ = _cluster.balance(x, kmeans.centroids, L2, weights=weights)
    assert imbalance(I, 16, weights) < 1.01 < imbalance(I, 16)


def test_frozen_centroids_stay_where_they_are(rng):
    x = skewed(rng)
    kmeans = shortlist.Kmeans(12, 20, niter=5, balanced=1, frozen_centroids=True)
    kmeans.train(x, init_centroids=x[:7])
    np.testing.assert_array_equal(kmeans.centroids[:7], x[:7])


@pytest.mark.parametrize("options", [{"balanced": 0.7}, {"batch_size": 100}], ids=str)
def test_the_same_bytes_whatever_the_threads(rng, threads, options):
    x, weights = skewed(rng), np.arange(4000) % 7
    runs = set()
    for n in (1, 2, 5):
        threads(n)
        kmeans = shortlist.Kmeans(12, 40, niter=8, nredo=2, **options)
        kmeans.train(x, weights)
        runs.add((kmeans.centroids.tobytes(), kmeans.obj.tobytes()))
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"balanced": -0.1}, "balanced = -0.1; it must be from 0"),
        ({"balanced": 1.5}, "balanced = 1.5"),
        ({"balanced": float("nan")}, "balanced = nan"),
        ({"batch_size": -1}, "batch_size = -1"),
        ({"batch_size": 4}, "batch_size = 4 rows for k = 5"),
    ],
    ids=str,
)
def test_refusals(rng, options, says):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        shortlist.Kmeans(4, 5, **options).train(rng.normal(size=(200, 4)))
    assert says in str(raised.value)


# Batches


@pytest.mark.parametrize("spherical", [False, True])
def test_batches_end_where_all_rows_do(rng, spherical):
    x = rng.normal(size=(6000, 10)).astype(np.float32)
    objectives = []
    for size in (0, 50, 400, 6000, 10**9):
        kmeans = shortlist.Kmeans(10, 25, niter=40, batch_size=size, spherical=spherical)
        kmeans.train(x)
        D, _ = kmeans.assign(x)
        objectives.append(D.sum(dtype=np.float64))
        # Of the last batch, which holds all: what was told is true.
        assert kmeans.obj[-1] == pytest.approx(objectives[-1], rel=2e-3)
    np.testing.assert_allclose(objectives, objectives[0], rtol=0.01)
    assert objectives[3] == objectives[4] == objectives[0]


def test_the_first_iterations_look_at_a_batch(rng):
    """Rows at distance 1 from a frozen centroid: the batch's objective is told as if of all."""
    x = np.eye(60, dtype=np.float32)
    weights = np.arange(60) % 3 + 1.0
    kmeans = shortlist.Kmeans(60, 1, niter=9, batch_size=7, frozen_centroids=True)
    kmeans.train(x, weights, init_centroids=np.zeros((1, 60)))
    np.testing.assert_allclose(kmeans.obj, weights.sum(), rtol=1e-6)
    assert 4 <= len(kmeans.obj) < 9  # 7, 14, 28, 60, and once more
    # 7 rows can make a mean of 7 rows only.
    once = shortlist.Kmeans(60, 1, niter=1, batch_size=7)
    once.train(x)
    assert np.count_nonzero(once.centroids) == 7
    np.testing.assert_allclose(once.centroids[once.centroids > 0], 1 / 7)


# The hierarchy


@given(data=st.data())
def test_hierarchies_of_anything(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, d = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 9))
    most, branching = data.draw(st.integers(1, 60)), data.draw(st.integers(2, 9))
    x = np.round(rng.normal(size=(n, d)) * data.draw(st.sampled_from([0.2, 1, 100])))
    x = (x * 10.0 ** data.draw(st.integers(-12, 12))).astype(np.float32)
    centroids, labels = shortlist.hierarchical_kmeans(x, most, branching=branching, niter=3)
    sizes = np.bincount(labels, minlength=len(centroids))
    assert (centroids.dtype, labels.dtype, labels.shape) == (np.float32, np.int64, (n,))
    assert sizes.min() >= 1
    assert sizes.max() <= most
    for c in range(len(centroids)):
        mean = x[labels == c].mean(0, dtype=np.float64)
        np.testing.assert_allclose(centroids[c], mean, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
@pytest.mark.parametrize("branching", [4, 32])
def test_hierarchies_are_full_and_tight(rng, dtype, branching):
    x = np.clip(skewed(rng, n=6000) * 25 + 60, 0, 127).astype(dtype)
    centroids, labels = shortlist.hierarchical_kmeans(x, 50, branching=branching)
    k = len(centroids)
    assert 120 <= k < 190  # at best 120
    assert imbalance(labels, k) < 1.1
    flat = shortlist.Kmeans(12, k, niter=10, min_points_per_centroid=1)
    flat.train(x)
    spread = ((x.astype(np.float64) - centroids[labels]) ** 2).sum()
    assert spread < 1.4 * flat.obj[-1]


def test_spherical_hierarchies(rng):
    x = skewed(rng, n=1500) + np.float32(0.5)
    shortlist.normalize_L2(x)
    centroids, labels = shortlist.hierarchical_kmeans(x, 40, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-5)
    at_random = rng.permutation(labels)
    assert (x * centroids[labels]).sum() > 1.1 * (x * centroids[at_random]).sum()


def test_siblings_are_neighbours(rng):
    centroids, _ = shortlist.hierarchical_kmeans(rng.random((3000, 3)), 15, branching=8)
    apart = distances(centroids, centroids)
    assert np.diagonal(apart, 1).mean() < 0.5 * apart.mean()


def test_copies_are_cut(rng):
    x = np.zeros((5000, 3), np.float32)
    x[:3] = rng.normal(size=(3, 3))
    centroids, labels = shortlist.hierarchical_kmeans(x, 64)
    assert np.bincount(labels).max() <= 64
    assert len(centroids) < 130
    one, labels = shortlist.hierarchical_kmeans(x, 5000)
    assert one.shape == (1, 3)
    assert not labels.any()


def test_the_same_hierarchy_whatever_the_threads(rng, threads):
    x = skewed(rng, n=17_000, d=4)  # large enough for one part after the other, then side by side
    runs = set()
    for n in (1, 2, 5):
        threads(n)
        centroids, labels = shortlist.hierarchical_kmeans(x, 300, branching=5, niter=2)
        runs.add((centroids.tobytes(), labels.tobytes()))
    assert len(runs) == 1
    other, _ = shortlist.hierarchical_kmeans(x, 300, branching=5, niter=2, seed=5)
    assert other.tobytes() != centroids.tobytes()


def test_progress_of_a_hierarchy(rng):
    x, seen = skewed(rng), []
    shortlist.hierarchical_kmeans(x, 30, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (4000, 4000)
    assert seen == sorted(seen)
    with pytest.raises(ZeroDivisionError):
        shortlist.hierarchical_kmeans(x, 30, progress=lambda done, of: 1 / (done - of))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"max_size": 0}, ValueError, "max_size = 0"),
        ({"max_size": -3}, ValueError, "max_size = -3"),
        ({"branching": 1}, ValueError, "branching = 1"),
        ({"niter": -1}, ValueError, "niter = -1"),
        ({"seed": -1}, ValueError, "seed = -1"),
        ({"x": np.zeros((0, 4), np.float32)}, ValueError, "no rows"),
        ({"x": np.full((9, 4), np.nan)}, ValueError, "row 0, column 0 is nan"),
        ({"x": np.zeros(9, np.float32)}, shortlist.DimensionError, "2"),
        ({"x": 1e30 * np.eye(9, 4, dtype=np.float32)}, ValueError, "scale the vectors down"),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, dict) else "",
)
def test_refused_hierarchies(rng, change, error, says):
    call = {"x": rng.normal(size=(50, 4)), "max_size": 5} | change
    with pytest.raises(error) as raised:
        shortlist.hierarchical_kmeans(**call)
    assert says in str(raised.value)


def test_ctrl_c_ends_a_hierarchy(python):
    said = python(
        """
import os, signal, threading
import numpy as np, shortlist
x = np.random.default_rng(0).normal(size=(60_000, 32)).astype(np.float32)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    shortlist.hierarchical_kmeans(x, 10, niter=100_000)  # minutes, if nothing stops it
except KeyboardInterrupt:
    print("stopped")
""",
        timeout=LIMIT,
    )
    assert said == "stopped\n"


# Indexes


def test_lists_of_an_inverted_file(rng):
    x = skewed(rng)
    found = []
    for balanced in (0, 1):
        index = shortlist.index_factory(12, "IVF40,Flat")
        index.cp.balanced = balanced
        index.train(x)
        index.add(x)
        found.append(index.invlists.imbalance_factor())
    assert found[0] - 1 > 2 * (found[1] - 1)
    index = shortlist.index_factory(12, "IVF40,Flat")
    index.cp.balanced = 2
    with pytest.raises(ValueError, match="balanced = 2"):
        index.train(x)
    assert not index.is_trained
    index.cp.balanced, index.cp.batch_size = 0, 200
    index.train(x)


@pytest.mark.parametrize("make", ["PQ3", "PQ3x4fs", "IVF10,PQ3x6", "HNSW8,PQ3x5"])
def test_codes_of_a_product_quantizer(rng, make):
    """All numbers of a part are used about as often: the entropy of its codes grows."""
    x = skewed(rng)
    entropy = []
    for balanced in (0, 1):
        index = shortlist.index_factory(12, make)
        pq = index.pq if hasattr(index, "pq") else index.storage.pq
        pq.cp.balanced = balanced
        index.train(x)
        parts = x.reshape(-1, 3, 4) if "IVF" not in make else None
        if parts is None:
            parts = x - index.quantizer.reconstruct_batch(index.quantizer.search(x, 1)[1][:, 0])
            parts = parts.reshape(-1, 3, 4)
        shares = [
            np.bincount(distances(parts[:, m], pq.centroids[m]).argmin(1), minlength=pq.ksub)
            / len(x)
            for m in range(3)
        ]
        entropy.append(np.mean([-(p[p > 0] * np.log2(p[p > 0])).sum() for p in shares]))
    assert entropy[0] + 0.02 < entropy[1] <= np.log2(pq.ksub)


def test_the_options_of_a_product_quantizer(rng, caplog):
    x = skewed(rng)
    pq = shortlist.ProductQuantizer(12, 3, 4)
    assert (pq.cp.niter, pq.cp.balanced, pq.cp.batch_size) == (25, 0.0, 0)
    with caplog.at_level(logging.WARNING, "shortlist"):
        pq.train(x[:20])
    assert not caplog.records
    pq.cp.niter = 0
    pq.train(x)
    first = pq.centroids
    assert (first[:, :, None] == x.reshape(-1, 1, 3, 4).transpose(2, 1, 0, 3)).all(3).any(2).all()
    pq.cp.seed = 7
    pq.train(x)
    assert (pq.centroids != first).any()
    cp = pq.cp
    del pq
    assert cp.seed == 7
