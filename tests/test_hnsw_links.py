"""Graphs whose lowest level comes from elsewhere: IndexHNSW.add_with_links and links."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from conftest import Oracle
from gpu_cases import reached
from test_hnsw import STORES, D, bytes_of, clustered


def near(x: np.ndarray, metric: int, width: int) -> np.ndarray:
    """The nearest other rows of each, and in a quarter of the places any."""
    found = shortlist.IndexFlat(x.shape[1], metric)
    found.add(x)
    rows = found.search(x, width + 1)[1]
    links = np.array([[j for j in row if j != i][:width] for i, row in enumerate(rows)])
    links[:, -(width // 4) :] = np.random.default_rng(1).integers(0, len(x), (len(x), width // 4))
    return links


@pytest.mark.parametrize("store", ["float32", "uint8", "SQ8"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_known_graph_serves_as_one_that_was_added(oracle: Oracle, rng, store, deterministic):
    every = bytes_of(clustered(rng, 2100), store)
    x, q = every[:2000], every[2000:]
    index = STORES[store](D, oracle.metric)
    index.hnsw.deterministic = deterministic
    index.train(x)
    index.add_with_links(x, near(x, oracle.metric, 32))
    assert index.ntotal == 2000
    assert reached(index.links(), index.hnsw.entry_point).all()
    index.hnsw.efSearch = 100
    assert index.hnsw.max_level > 0
    assert oracle.recall(index.search(q, 10)[1], q, index.reconstruct_n()) > 0.95


def test_links_are_kept(rng):
    x = clustered(rng, 500)
    links = near(x, shortlist.METRIC_L2, 32)
    links[::3, 20:] = -1
    links[5, 3] = 5  # itself
    index = shortlist.IndexHNSWFlat(D, 16)
    index.add_with_links(x, links)
    got = index.links()
    assert (got.dtype, got.shape) == (np.int32, (500, 32))
    for row, (want, have) in enumerate(zip(links, got, strict=True)):
        # one or two may have given way to rows that nothing led to
        want = set(want[(want >= 0) & (want != row)].tolist())
        assert len(want - set(have.tolist())) <= 2
    np.testing.assert_array_equal(got[0, 20:][got[0, 20:] < 0], -1)


@pytest.mark.parametrize("case", ["none", "rings", "one", "itself"])
def test_every_row_can_be_reached(rng, case):
    n, M = 600, 2
    x = clustered(rng, n)
    links = np.full((n, 2 * M), -1)
    if case == "rings":  # of ten rows each, with full rows of links
        own = np.arange(n) // 10 * 10
        for j in range(2 * M):
            links[:, j] = own + (np.arange(n) + j + 1) % 10
    elif case == "one":
        links[:] = 7
    elif case == "itself":
        links[:] = np.arange(n)[:, None]
    index = shortlist.IndexHNSWFlat(D, M)
    index.add_with_links(x, links)
    assert reached(index.links(), index.hnsw.entry_point).all()
    index.hnsw.efSearch = n
    assert sorted(index.search(x[:1], n)[1][0]) == list(range(n))


def test_equal_vectors_can_be_reached():
    x = np.ones((300, D), np.float32)
    index = shortlist.IndexHNSWFlat(D, 4)
    index.add_with_links(x, near(x, shortlist.METRIC_L2, 8))
    assert reached(index.links(), index.hnsw.entry_point).all()


def test_changes_files_and_copies_go_on(rng, tmp_path):
    every = clustered(rng, 1550)
    x, q = every[:1500], every[1500:]
    index = shortlist.IndexHNSWFlat(D, 16)
    index.add_with_links(x[:1000], near(x[:1000], shortlist.METRIC_L2, 32))
    index.hnsw.efSearch = 100
    shortlist.write_index(index, str(tmp_path / "faiss"))
    index.save(tmp_path / "own")
    want = index.search(q, 10)
    for again in (shortlist.read_index(str(tmp_path / "faiss")), shortlist.open(tmp_path / "own")):
        again.hnsw.efSearch = 100
        np.testing.assert_array_equal(again.search(q, 10)[1], want[1])
        np.testing.assert_array_equal(again.links(), index.links())
    index.add(x[1000:])
    gone = np.arange(0, 1500, 3)
    assert index.remove_ids(gone) == 500
    left = np.setdiff1d(np.arange(1500), gone)
    oracle = Oracle(shortlist.METRIC_L2)
    found = index.search(q, 10)[1]
    assert np.isin(found, left).all()
    assert oracle.recall(np.searchsorted(left, found), q, x[left]) > 0.95
    with pytest.raises(shortlist.UnsupportedError, match="removed"):
        index.links()


def test_vectors_that_cannot_be_compared_are_not_linked(rng):
    x = clustered(rng, 200)
    x[7] = 3e38
    index = shortlist.IndexHNSWFlat(D, 8, shortlist.METRIC_INNER_PRODUCT)
    index.add_with_links(x, np.roll(near(x, shortlist.METRIC_L2, 16), 1, 0))
    assert not (index.links() == 7).any()
    there = reached(index.links(), index.hnsw.entry_point)
    assert np.flatnonzero(~there).tolist() == [7]


def test_neighbour_blocks_and_few_vectors(rng):
    x = clustered(rng, 300)
    index = shortlist.IndexHNSWFlat(D, 16)
    index.neighbor_blocks = True
    index.add_with_links(x, near(x, shortlist.METRIC_L2, 32))
    assert (index.search(x, 1)[1][:, 0] == np.arange(300)).mean() > 0.95
    for n in (0, 1, 2):
        few = shortlist.IndexHNSWFlat(D, 16)
        few.add_with_links(x[:n], np.full((n, 32), -1))
        assert few.search(x[:1], 3)[1][0].tolist() == [*range(n), *[-1] * (3 - n)]


@pytest.mark.parametrize("bad", [500, -2, 2**40, -(2**40)])
def test_bad_links_are_refused(rng, bad):
    x, links = clustered(rng, 500), np.full((500, 32), -1)
    links[17, 3] = bad
    index = shortlist.IndexHNSWFlat(D, 16)
    with pytest.raises(shortlist.ArgumentError, match=rf"links\[17, 3\] = {bad} .*0 to 499"):
        index.add_with_links(x, links)
    assert index.ntotal == 0
    index.add(x)
    with pytest.raises(shortlist.ArgumentError, match="holds 500 vectors"):
        index.add_with_links(x, np.full((500, 32), -1))


def test_bad_arrays_are_refused(rng):
    x = clustered(rng, 10)
    index = shortlist.IndexHNSWFlat(D, 16)
    with pytest.raises(shortlist.DimensionError):
        index.add_with_links(x, np.zeros((10, 31), int))
    with pytest.raises(shortlist.DimensionError):
        index.add_with_links(x[:, 1:], np.full((10, 32), -1))
    with pytest.raises(TypeError):
        index.add_with_links(x, np.zeros((10, 32)))
    x[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        index.add_with_links(x, np.full((10, 32), -1))
    assert index.ntotal == 0
