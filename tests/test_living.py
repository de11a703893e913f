"""Graphs that live: recall through replacement and removal, and under filters of every kind; and
searches while vectors come."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import shortlist
from conftest import Oracle

K = 10


def clustered(rng: np.random.Generator, n: int, d: int = 16) -> np.ndarray:
    centres = rng.normal(size=(60, d)) * 1.5
    return (centres[rng.integers(60, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


def built(x: np.ndarray, ef: int, blocks: bool) -> shortlist.IndexHNSWFlat:
    index = shortlist.IndexHNSWFlat(x.shape[1], 8)
    index.hnsw.efConstruction, index.hnsw.efSearch = 80, ef
    index.neighbor_blocks = blocks
    index.add(x)
    return index


def nearest_to(x: np.ndarray, centre: np.ndarray, n: int) -> np.ndarray:
    return np.argsort(((x - centre) ** 2).sum(axis=1))[:n]


# Replacement


def update(index, ids, x):
    index.update_vectors(ids, x)


def remove_and_add(index, ids, x):
    index.remove_ids(ids)
    index.add_with_ids(x, ids)


@pytest.mark.parametrize(
    ("change", "blocks"), [(update, False), (remove_and_add, False), (update, True)]
)
@pytest.mark.parametrize("order", ["random", "nearest"])
def test_recall_after_half_was_replaced(rng, l2, threads, order, change, blocks):
    """As before and as in an index of the same vectors, at an efSearch that leaves some to lose."""
    threads(1)
    n, each = 4000, 200
    every, q = clustered(rng, n + 10 * each), clustered(rng, 500)
    x, coming = every[:n].copy(), every[n:]
    index = built(x, 24, blocks)
    before = l2.recall(index.search(q, K)[1], q, x)
    left = np.arange(n)
    for turn in range(10):
        ids = rng.choice(left, each, replace=False)
        if order == "nearest":
            ids = left[nearest_to(x[left], x[ids[0]], each)]
        left = np.setdiff1d(left, ids)
        x[ids] = coming[turn * each : (turn + 1) * each]
        change(index, ids, x[ids])
    np.testing.assert_array_equal(index.reconstruct_n(), x)
    after = l2.recall(index.search(q, K)[1], q, x)
    anew = l2.recall(built(x, 24, blocks).search(q, K)[1], q, x)
    assert before < 0.95
    assert after > max(before, anew) - 0.015


@pytest.mark.parametrize("order", ["random", "nearest"])
def test_recall_among_the_few_that_are_left(rng, l2, order):
    """Where 49 of 50 go at once, links must be found past many that are gone."""
    x, q = clustered(rng, 20000), clustered(rng, 300)
    index = built(x, 16, False)
    gone = rng.choice(len(x), 19600, replace=False)
    if order == "nearest":
        gone = nearest_to(x, x[0], 19600)
    index.remove_ids(gone)
    kept = np.setdiff1d(np.arange(len(x)), gone)
    found = np.searchsorted(kept, index.search(q, K)[1])
    anew = l2.recall(built(x[kept], 16, False).search(q, K)[1], q, x[kept])
    assert l2.recall(found, q, x[kept]) > anew - 0.02


# Filters

N, EF = 20000, 24
SHARES = (0.5, 0.1, 0.01, 0.001)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "blocks"])
def searched(request):
    """A graph, its vectors, and queries."""
    rng = np.random.default_rng(3)
    x = clustered(rng, N, 7)
    return built(x, EF, request.param), x, clustered(rng, 160, 7)


def filters(kind: str, share: float, x: np.ndarray, q: np.ndarray) -> list[tuple]:
    """(ids that pass, queries that ask for them): the same for all queries, or the ids nearest to
    one of 8 anchors for the queries to which it is the nearest, or the farthest."""
    rng = np.random.default_rng(4)
    count = round(share * len(x))
    if kind == "random":
        return [(rng.choice(len(x), count, replace=False), q)]
    anchors = x[rng.choice(len(x), 8, replace=False)]
    if kind == "islands":
        apart = np.concatenate([nearest_to(x, anchor, count // 8 + 1) for anchor in anchors])
        return [(np.unique(apart)[:count], q)]
    to = ((q[:, None] - anchors) ** 2).sum(axis=2)
    owner = to.argmin(axis=1) if kind == "near" else to.argmax(axis=1)
    return [(nearest_to(x, anchors[a], count), q[owner == a]) for a in np.unique(owner)]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", ["random", "near", "far", "islands"])
def test_recall_under_filters(searched, kind, share):
    """At the efSearch that serves without a filter; exact where few pass."""
    index, x, q = searched
    oracle = Oracle(shortlist.METRIC_L2)
    recalls, weights = [], []
    for passing, asking in filters(kind, share, x, q):
        passing = np.sort(passing)
        params = shortlist.SearchParametersHNSW(sel=shortlist.IDSelectorBatch(passing), efSearch=EF)
        _, found = index.search(asking, K, params=params)
        assert np.isin(found, passing).all()
        recalls.append(oracle.recall(np.searchsorted(passing, found), asking, x[passing]))
        weights.append(len(asking))
    assert np.average(recalls, weights=weights) >= (1 if share <= 0.01 else 0.95)


def test_filters_beside_removed_ids(rng, l2):
    """Ids pass that are gone, before and after their slots are used again."""
    x, q = clustered(rng, 8000, 7), clustered(rng, 100, 7)
    index = built(x, EF, False)
    sel = shortlist.IDSelectorRange(1000, 7000)
    params = shortlist.SearchParametersHNSW(sel=sel, efSearch=EF)
    alive = np.ones(len(x), bool)
    for turn in range(4):
        gone = rng.choice(np.flatnonzero(alive), 700, replace=False)
        alive[gone] = False
        index.remove_ids(gone)
        _, found = index.search(q, K, params=params)
        kept = np.flatnonzero(alive)
        kept = kept[(kept >= 1000) & (kept < 7000)]
        assert np.isin(found, kept).all()
        assert l2.recall(np.searchsorted(kept, found), q, x[kept]) > 0.95, turn


# Searches during an add

LIMIT = 30.0  # seconds; reached only by a hang
WRAPS = {
    "plain": lambda graph: graph,
    "IDMap2": shortlist.IndexIDMap2,
    "Refine": shortlist.IndexRefineFlat,
}


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("wrap", WRAPS)
def test_searches_get_in_while_a_long_add_runs(rng, wrap, blocks):
    """Each finds a prefix of the rows, and some of them neither none nor all."""
    x = clustered(rng, 5000, 8)
    graph = shortlist.IndexHNSWFlat(8, 8)
    graph.neighbor_blocks = blocks
    index = WRAPS[wrap](graph)
    asking, done = threading.Event(), threading.Event()

    def wait(*_):  # for a search to be on its way, which the pause behind this part lets in
        asking.wait(LIMIT)

    def add():
        try:
            if wrap == "IDMap2":
                index.add_with_ids(x, np.arange(len(x)), progress=wait)
            else:
                index.add(x, progress=wait)
        finally:
            done.set()

    prefixes = set()
    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(add)
        while not done.is_set():
            asking.set()
            found = index.search_exact(x[:1], len(x))[1][0]
            asking.clear()
            found = np.sort(found[found >= 0])
            np.testing.assert_array_equal(found, np.arange(len(found)))
            prefixes.add(len(found))
        asking.set()
        adding.result(LIMIT)
    assert index.ntotal == len(x)
    assert prefixes - {0, len(x)}
