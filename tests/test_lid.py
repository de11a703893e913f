"""Local intrinsic dimension, and that the order of insertion by it does not matter."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from shortlist import lid


def by_definition(x, k, base=None):
    others = x if base is None else base
    out = []
    for i, row in enumerate(x.astype(np.float64)):
        far = np.sqrt(((others.astype(np.float64) - row) ** 2).sum(1))
        if base is None:
            far = np.delete(far, i)
        near = np.sort(far)[:k]
        near = near[near > 0]
        out.append(-1 / np.mean(np.log(near / near[-1])) if len(near) else 0.0)
    return np.array(out)


@pytest.mark.parametrize("k", [2, 10, 50])
def test_is_the_maximum_likelihood_estimate(rng, k):
    x, base = rng.random((80, 6), np.float32), rng.random((90, 6), np.float32)
    np.testing.assert_allclose(lid(x, k), by_definition(x, k), rtol=1e-3)
    np.testing.assert_allclose(lid(x, k, base), by_definition(x, k, base), rtol=1e-3)


@pytest.mark.parametrize("d", [2, 8])
def test_finds_the_dimension_of_even_data_in_any_embedding(rng, d):
    inner = rng.random((6000, d), np.float32)
    turned = np.linalg.qr(rng.standard_normal((32, 32)))[0][:d].astype(np.float32)
    found = np.median(lid(inner @ turned, 50))  # d dimensions in 32
    assert 0.75 * d < found < 1.1 * d


def test_integer_and_half_rows(rng):
    x = rng.integers(0, 256, (200, 16), np.uint8)
    np.testing.assert_allclose(lid(x, 20), by_definition(x, 20), rtol=1e-3)
    np.testing.assert_allclose(
        lid(x.astype(np.float16), 20), lid(x.astype(np.float32), 20), rtol=1e-3
    )


def test_equal_rows(rng):
    x = np.repeat(rng.random((10, 4), np.float32), 20, axis=0)
    assert (lid(x, 5) == 0).all()  # all neighbours are at distance 0
    np.testing.assert_allclose(lid(x, 60), by_definition(x, 60), rtol=1e-2)
    corners = np.eye(8, dtype=np.float32)
    assert np.isinf(lid(corners, 7)).all()  # all equally far


@pytest.mark.parametrize("k", [1, 0, -1, 10])
def test_k_out_of_range(rng, k):
    with pytest.raises(ValueError, match=f"k is {k}; expected 2 to 9"):
        lid(rng.random((10, 3), np.float32), k)


def test_values_that_cannot_be_compared(rng):
    x = rng.random((10, 3), np.float32)
    x[4, 1] = np.nan
    with pytest.raises(ValueError, match="x has NaN"):
        lid(x, 3)
    with pytest.raises(ValueError, match="base has NaN"):
        lid(np.ones((2, 3), np.float32), 3, x)


def spread(base, queries, metric, ef_construction, ef=32):
    """Points of recall@10 between the best and the worst order of insertion."""
    hardness = lid(base, 50)
    category = shortlist.knn(base, base[:16], 1, metric=metric)[1][:, 0]
    orders = {
        "by chance": np.random.default_rng(0).permutation(len(base)),
        "easy first": np.argsort(hardness),
        "hard first": np.argsort(-hardness),
        "by category": np.argsort(category, kind="stable"),
    }
    sign = 1 if metric == shortlist.METRIC_L2 else -1
    kth = sign * shortlist.knn(queries, base, 10, metric=metric)[0][:, -1:]
    recalls = {}
    for name, order in orders.items():
        index = shortlist.IndexHNSWFlat(base.shape[1], 16, metric)
        index.hnsw.efConstruction = ef_construction
        index.hnsw.efSearch = ef
        index.add(base[order])
        recalls[name] = 100 * float((sign * index.search(queries, 10)[0] <= kth).mean())
    return max(recalls.values()) - min(recalls.values()), recalls


@pytest.mark.parametrize("name", ["sift", "texts"])
def test_the_order_of_insertion_costs_at_most_a_point_of_recall(name, threads):
    threads(1)
    data = shortlist.datasets.sample(name)
    metric = shortlist.METRIC_L2 if name == "sift" else shortlist.METRIC_INNER_PRODUCT
    base = np.asarray(data.base)[:4000].astype(np.float32)
    points, recalls = spread(base, np.asarray(data.queries).astype(np.float32), metric, 200)
    assert points <= 1, recalls
