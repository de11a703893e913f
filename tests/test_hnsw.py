"""The HNSW indexes: recall, and vectors that come, change and go."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from conftest import Oracle

QT = shortlist.ScalarQuantizer
L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
STORES = {
    "float32": lambda d, m: shortlist.IndexHNSWFlat(d, 16, m),
    "float16": lambda d, m: shortlist.IndexHNSWFlat(d, 16, m, dtype="float16"),
    "uint8": lambda d, m: shortlist.IndexHNSWFlat(d, 16, m, dtype="uint8"),
    "int8": lambda d, m: shortlist.IndexHNSWFlat(d, 16, m, dtype="int8"),
    "SQ8": lambda d, m: shortlist.IndexHNSWSQ(d, QT.QT_8bit, 16, m),
    "SQ8uniform": lambda d, m: shortlist.IndexHNSWSQ(d, QT.QT_8bit_uniform, 16, m),
    "SQfp16": lambda d, m: shortlist.IndexHNSWSQ(d, QT.QT_fp16, 16, m),
    "SQ8_direct": lambda d, m: shortlist.IndexHNSWSQ(d, QT.QT_8bit_direct, 16, m),
    "SQ8_direct_signed": lambda d, m: shortlist.IndexHNSWSQ(d, QT.QT_8bit_direct_signed, 16, m),
}
D = 23


def clustered(rng: np.random.Generator, n: int, d: int = D) -> np.ndarray:
    centres = rng.normal(size=(40, d)) * 2
    x = centres[rng.integers(40, size=n)] + rng.normal(size=(n, d))
    return x.astype(np.float32)


def bytes_of(x: np.ndarray, store: str) -> np.ndarray:
    """The data in the range that byte stores keep."""
    if store in ("uint8", "SQ8_direct"):
        return (x * 12 + 128).clip(0, 255).round()
    return (x * 12).clip(-128, 127).round() if store in ("int8", "SQ8_direct_signed") else x


@pytest.fixture
def graph(rng):
    """A float32 graph over 2,000 vectors, with the vectors."""
    x = clustered(rng, 2000)
    index = shortlist.IndexHNSWFlat(D, 16)
    index.add(x)
    index.hnsw.efSearch = 100
    return index, x


@pytest.mark.parametrize("store", STORES)
def test_recall(oracle, rng, store):
    x, q = bytes_of(clustered(rng, 3000), store), bytes_of(clustered(rng, 100), store)
    index = STORES[store](D, oracle.metric)
    index.hnsw.efConstruction = 80
    index.train(x)
    index.add(x)
    index.hnsw.efSearch = 100
    distances, found = index.search(q, 10)
    stored = index.reconstruct_n()
    assert oracle.recall(found, q, stored) > 0.95
    exact = np.take_along_axis(oracle.distances(q, stored), found, 1)
    np.testing.assert_allclose(distances, exact, rtol=1e-4, atol=1e-2)
    assert (oracle.sign * np.diff(distances, axis=1) >= 0).all()


def test_recall_of_inner_products_with_unequal_norms(rng):
    oracle = Oracle(IP)
    x = clustered(rng, 4000)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x *= np.geomspace(1, 10, len(x))[rng.permutation(len(x))][:, None].astype(np.float32)
    q = clustered(rng, 100)
    index = shortlist.IndexHNSWFlat(D, 32, IP)
    index.add(x)
    index.hnsw.efSearch = 128
    assert oracle.recall(index.search(q, 10)[1], q, x) > 0.95


def test_cosine_is_inner_product_of_normalised_vectors(rng):
    x, q = clustered(rng, 3000), clustered(rng, 100)
    for rows in (x, q):
        shortlist.normalize_L2(rows)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    index = shortlist.IndexHNSWFlat(D, 16, IP)
    index.add(x)
    index.hnsw.efSearch = 100
    assert Oracle(IP).recall(index.search(q, 10)[1], q, x) > 0.95


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("batch", [1, 7, 1000, 2000])
def test_recall_does_not_depend_on_batches_and_threads(l2, rng, threads, count, batch):
    threads(count)
    x, q = clustered(rng, 2000), clustered(rng, 50)
    index = shortlist.IndexHNSWFlat(D, 16)
    for at in range(0, len(x), batch):
        index.add(x[at : at + batch])
    index.hnsw.efSearch = 64
    assert l2.recall(index.search(q, 10)[1], q, x) > 0.97


@pytest.mark.parametrize("int8", [False, True])
def test_one_thread_builds_the_same_graph_again(rng, threads, int8):
    threads(1)
    x, q = clustered(rng, 1500), clustered(rng, 200)
    results = []
    for batches in (1, 1, 1 if int8 else 5):  # the grid of codes is that of the vectors seen
        index = shortlist.IndexHNSWFlat(D, 4)  # few links: another graph would answer otherwise
        index.int8_traversal = int8
        for part in np.array_split(x, batches):
            index.add(part)
        results.append((index.search(q, 10), index.hnsw.entry_point, index.hnsw.max_level))
    for other in results[1:]:
        np.testing.assert_array_equal(other[0], results[0][0])
        assert other[1:] == results[0][1:]


@pytest.mark.parametrize("order", ["any", "sorted", "equal"])
def test_deterministic_graphs_do_not_depend_on_threads(l2, rng, threads, order):
    x, q = clustered(rng, 3000), clustered(rng, 100)
    if order == "sorted":
        x = x[np.argsort(x[:, 0])]
    if order == "equal":
        x[500:2000] = x[0]
    results = []
    for count in (1, 2, 3, 2):
        threads(count)
        index = shortlist.IndexHNSWFlat(D, 8)
        index.hnsw.deterministic = True
        index.add(x[:2000])
        index.remove_ids(np.arange(0, 2000, 3))
        index.add(x[2000:2900])
        for row in x[2900:]:
            index.add(row[None])
        results.append(shortlist.serialize_index(index))
        index.hnsw.efSearch = 64
        kept = np.r_[np.delete(np.arange(2000), np.s_[::3]), 2000:3000]
        found = index.search(q, 10)[1]
        assert l2.recall(np.searchsorted(kept, found), q, x[kept]) > 0.95
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("store", STORES)
def test_exact_search_whatever_the_graph_knows(oracle, rng, store):
    """Before and after vectors go and change; to the last bit what a search wide enough finds."""
    x, q = bytes_of(clustered(rng, 1500), store), bytes_of(clustered(rng, 40), store)
    q = (q + rng.normal(size=q.shape) * 0.01).astype(np.float32)  # unequal distances
    index = STORES[store](D, oracle.metric)
    index.train(x)
    index.add(x)
    names = np.arange(len(x))

    def check():
        stored = index.reconstruct_batch(names)
        wanted = oracle.distances(q, stored)
        index.hnsw.efSearch = 1  # says nothing to an exact search
        for rows in (q, q[:1]):
            distances, found = index.search_exact(rows, 12)
            at = np.searchsorted(names, found)
            np.testing.assert_array_equal(names[at], found)
            near = np.sort(oracle.sign * wanted[: len(rows)], axis=1)[:, :12]
            tolerance = {"rtol": 1e-4, "atol": 1e-2}
            np.testing.assert_allclose(oracle.sign * distances, near, **tolerance)
            exact = np.take_along_axis(wanted[: len(rows)], at, 1)
            np.testing.assert_allclose(distances, exact, **tolerance)
            assert all(len(set(row)) == 12 for row in found)
        index.hnsw.efSearch = 1500
        alike = index.search(q, 12)[0] == index.search_exact(q, 12)[0]
        assert alike.mean() > 0.99  # the graph may miss one; the distances are the same

    check()
    gone = rng.choice(len(x), 400, replace=False)
    index.remove_ids(gone)
    names = np.delete(names, gone)
    check()
    index.update_vectors(names[::3], bytes_of(clustered(rng, len(names[::3])), store))
    check()
    index.add(bytes_of(clustered(rng, 100), store))  # into slots that were free
    names = np.r_[names, len(x) : len(x) + 100]
    check()
    index.remove_ids(names[30:])  # so few are left that they are listed, not scanned
    names = names[:30]
    check()


def test_exact_search_finds_what_no_link_leads_to(l2, rng):
    x, q = rng.normal(size=(800, D)).astype(np.float32), clustered(rng, 30)
    index = shortlist.IndexHNSWFlat(D, 2)
    index.hnsw.efConstruction = 2
    index.add(x)
    index.hnsw.efSearch = 800
    assert l2.recall(index.search(q, 100)[1], q, x) < 0.99
    assert l2.recall(index.search_exact(q, 100)[1], q, x) == 1
    np.testing.assert_array_equal(np.sort(index.search_exact(q, 800)[1]), [np.arange(800)] * 30)


def test_exact_search_orders_equal_distances_by_id(oracle, rng):
    x = rng.integers(-2, 3, (900, D)).astype(np.float32)
    q = rng.integers(-2, 3, (40, D)).astype(np.float32)
    index = shortlist.IndexHNSWFlat(D, 8, oracle.metric)
    index.add(x)
    np.testing.assert_array_equal(index.search_exact(q, 60), oracle.search(q, x, 60))
    gone = np.arange(0, 900, 7)
    index.remove_ids(gone)
    kept = np.delete(np.arange(900), gone)
    wanted = oracle.search(q, x[kept], 60, kept)
    np.testing.assert_array_equal(index.search_exact(q, 60), wanted)
    for single, row in zip(q, zip(*wanted, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(index.search_exact(single[None], 60)), row)


@pytest.mark.parametrize("where", ["first", "last", "mixed"])
def test_many_equal_vectors_do_not_hide_the_others(l2, rng, where):
    others, q = clustered(rng, 1000), clustered(rng, 100)
    same = np.repeat(others[:1], 1000, axis=0)
    x = np.concatenate([others, same] if where == "last" else [same, others])
    if where == "mixed":
        x = x[rng.permutation(len(x))]
    index = shortlist.IndexHNSWFlat(D, 16)
    index.add(x)
    index.hnsw.efSearch = 64
    assert l2.recall(index.search(q, 10)[1], q, x) > 0.75  # a pool of 64 fills with equal ones
    distances, found = index.search(same[:1], 500)
    assert len(set(found[0])) == 500
    assert (distances < 1e-3).mean() > 0.95


def test_k_beyond_the_live_vectors_pads(oracle, rng):
    x = clustered(rng, 20)
    index = shortlist.IndexHNSWFlat(D, 8, oracle.metric)
    index.add(x)
    index.remove_ids([3, 4])
    for distances, found in (index.search(x[:5], 25), index.search_exact(x[:5], 25)):
        assert (np.sort(found[:, :18]) == np.delete(np.arange(20), [3, 4])).all()
        assert (found[:, 18:] == -1).all()
        assert (distances[:, 18:] == oracle.missing).all()


def test_queries_without_finite_values_find_nothing(graph):
    index, x = graph
    q = x[:3].copy()
    q[1, 0] = np.nan
    for _, found in (index.search(q, 4), index.search_exact(q, 4)):
        assert (found[1] == -1).all()
        assert found[[0, 2], 0].tolist() == [0, 2]
    assert np.diff(index.range_search(q, 1e9)[0])[1] == 0


def test_search_parameters_replace_the_setting_for_one_call(graph, l2, rng):
    index, x = graph
    q = clustered(rng, 100)
    index.hnsw.efSearch = 1
    low = l2.recall(index.search(q, 1)[1], q, x)
    wide = shortlist.SearchParametersHNSW(efSearch=200)
    assert l2.recall(index.search(q, 1, params=wide)[1], q, x) > max(0.98, low)
    assert index.hnsw.efSearch == 1


# Vectors come and go.


def test_removed_ids_stay_away_and_the_others_keep_theirs(graph, l2, rng):
    index, x = graph
    alive = np.ones(len(x), bool)
    q = clustered(rng, 50)
    for _ in range(6):
        gone = rng.choice(np.flatnonzero(alive), 250, replace=False)
        assert index.remove_ids(np.r_[gone, gone[:3], -1, 10**12]) == 250
        alive[gone] = False
        assert index.ntotal == alive.sum()
        _, found = index.search(q, 10)
        assert alive[found].all()
        masked = np.where(alive[:, None], x, np.float32(1e4))  # far away: not among the true ones
        assert l2.recall(found, q, masked) > 0.97
        kept = np.flatnonzero(alive)
        np.testing.assert_array_equal(index.reconstruct_batch(kept), x[kept])
        with pytest.raises(shortlist.IdError, match=f"id {gone[0]} is not in this"):
            index.reconstruct(int(gone[0]))


def test_ids_are_never_issued_again(graph):
    index, x = graph
    index.remove_ids(np.arange(1000, 2000))
    index.add(x[:500])
    _, found = index.search(x[:500], 2)
    np.testing.assert_array_equal(np.sort(found), np.c_[np.arange(500), np.arange(2000, 2500)])
    assert index.ntotal == 1500


def test_a_removed_id_can_be_given_again(graph):
    index, x = graph
    index.remove_ids([7])
    index.add_with_ids(x[8:9] + 30, [7])
    np.testing.assert_array_equal(index.reconstruct(7), x[8] + 30)
    assert index.search(x[8:9] + 30, 1)[1] == 7
    assert index.ntotal == 2000


def test_everything_can_go_and_come_back(graph, l2):
    index, x = graph
    for round_ in range(3):
        assert index.remove_ids(shortlist.IDSelectorAll()) == 2000
        assert index.ntotal == 0
        assert (index.search(x[:3], 2)[1] == -1).all()
        assert (index.search_exact(x[:3], 2)[1] == -1).all()
        assert index.range_search(x[:3], 1e9)[0].tolist() == [0] * 4
        index.add(x)
        first = 2000 * (round_ + 1)
        _, found = index.search(x[:100], 5)
        assert l2.recall(found - first, x[:100], x) > 0.98
    index.reset()
    assert (index.ntotal, index.hnsw.entry_point, index.hnsw.max_level) == (0, -1, -1)
    index.add(x)
    assert l2.recall(index.search(x[:100], 5)[1], x[:100], x) > 0.98


def test_the_entry_point_can_go(rng, l2, threads):
    threads(1)
    x = clustered(rng, 1000)
    index = shortlist.IndexHNSWFlat(D, 8)
    index.add(x)
    alive = np.ones(1000, bool)
    for _ in range(30):
        at = index.hnsw.entry_point  # nothing was added since, so a row is an id
        if alive[at]:
            alive[at] = False
            assert index.remove_ids([at]) == 1
        more = np.flatnonzero(alive)[:20]
        alive[more] = False
        index.remove_ids(more)
        kept = np.flatnonzero(alive)
        assert index.search(x[kept], 1)[1][:, 0].tolist() == kept.tolist()


def test_recall_survives_turning_the_whole_set_over(l2, rng):
    """Each vector is replaced about three times, by removing and adding and by updating."""
    index = shortlist.IndexHNSWFlat(D, 16)
    index.hnsw.efSearch = 64
    index.add(clustered(rng, 2000))
    vectors = dict(enumerate(index.reconstruct_n()))
    issued = 2000
    for _ in range(12):
        gone = rng.choice(list(vectors), 250, replace=False)
        fresh = clustered(rng, 250)
        index.remove_ids(gone)
        index.add(fresh)
        for old, new, row in zip(gone, range(issued, issued + 250), fresh, strict=True):
            del vectors[old]
            vectors[new] = row
        issued += 250
        keys, rows = rng.choice(list(vectors), 250, replace=False), clustered(rng, 250)
        index.update_vectors(keys, rows)
        vectors.update(zip(keys.tolist(), rows, strict=True))
    assert index.ntotal == 2000
    names, q = np.array(sorted(vectors)), clustered(rng, 100)
    base = np.stack([vectors[i] for i in names])
    np.testing.assert_array_equal(index.reconstruct_batch(names), base)
    _, found = index.search(q, 10)
    assert l2.recall(np.searchsorted(names, found), q, base) > 0.95


def test_update_vectors(graph):
    index, x = graph
    keys = np.arange(0, 2000, 4)
    index.update_vectors(keys, x[keys] + 50)
    assert index.ntotal == 2000
    np.testing.assert_array_equal(index.reconstruct_batch(keys), x[keys] + 50)
    assert (index.search(x[keys] + 50, 1)[1][:, 0] == keys).all()
    assert not np.isin(index.search(x[keys], 5)[1], keys).any()


@pytest.mark.parametrize(
    ("keys", "message"),
    [([5000], "id 5000 is not in this"), ([3, 3], "id 3 is given twice"), ([-1], "id -1 is not")],
)
def test_update_vectors_refuses(graph, keys, message):
    index, x = graph
    with pytest.raises(shortlist.IdError, match=message):
        index.update_vectors(keys, x[: len(keys)])
    np.testing.assert_array_equal(index.reconstruct_n(), x)


@pytest.mark.parametrize(
    ("ids", "message"),
    [([5], "id 5 is already"), ([9000, 9000], "id 9000 is given twice"), ([-2], "id -2")],
)
def test_add_with_ids_refuses(graph, ids, message):
    index, x = graph
    with pytest.raises(shortlist.IdError, match=message):
        index.add_with_ids(x[: len(ids)], ids)
    assert index.ntotal == 2000


def test_add_with_ids_sets_where_add_goes_on(rng):
    x = clustered(rng, 30)
    index = shortlist.IndexHNSWFlat(D)
    index.add_with_ids(x[:10], np.arange(100, 110))
    index.add(x[10:20])
    index.add_with_ids(x[20:], np.arange(10))
    wanted = np.r_[100:120, :10]
    assert index.search(x, 1)[1][:, 0].tolist() == wanted.tolist()


def test_the_last_id_is_not_issued_twice(rng):
    x = clustered(rng, 4)
    index = shortlist.IndexHNSWFlat(D)
    index.add_with_ids(x[:1], [2**63 - 3])
    index.add(x[1:2])
    with pytest.raises(shortlist.IdError, match="run out"):
        index.add(x[2:3])
    with pytest.raises(shortlist.IdError, match="out of range"):
        index.add_with_ids(x[2:3], [2**63 - 1])
    np.testing.assert_array_equal(index.reconstruct(2**63 - 2), x[1])


@pytest.mark.parametrize("removed", [0, 300])
def test_range_search(graph, oracle, rng, removed):
    x = graph[1]
    index = shortlist.IndexHNSWFlat(D, 16, oracle.metric)
    index.add(x)
    index.remove_ids(np.arange(removed))
    index.hnsw.efSearch = 64
    q = clustered(rng, 50)
    every = oracle.distances(q, x)[:, removed:]
    radius = float(np.median(np.sort(oracle.sign * every, axis=1)[:, 30])) * oracle.sign
    lims, distances, found = index.range_search(q, radius)
    assert (oracle.sign * distances < oracle.sign * radius).all()
    rows = np.repeat(np.arange(50), np.diff(lims).astype(int))
    np.testing.assert_allclose(distances, every[rows, found - removed], rtol=1e-4, atol=1e-3)
    assert len({*zip(rows, found, strict=True)}) == len(found)
    true = (oracle.sign * every < oracle.sign * radius).sum()
    assert len(found) > 0.9 * true


@pytest.mark.parametrize("removed", [0, 100])
def test_merge_from(graph, l2, rng, removed):
    index, x = graph
    other = shortlist.IndexHNSWFlat(D, 16)
    more = clustered(rng, 500)
    other.add(more)
    other.remove_ids(np.arange(removed))
    index.merge_from(other, 2000)
    assert (index.ntotal, other.ntotal) == (2500 - removed, 0)
    ids = 2000 + np.arange(removed, 500)
    np.testing.assert_array_equal(index.reconstruct_batch(ids), more[removed:])
    assert l2.recall(index.search(x[:50], 10)[1], x[:50], np.concatenate([x, more])) > 0.8
    assert (index.search(more[removed:], 1)[1][:, 0] == ids).mean() > 0.98
    other.add(more)
    assert other.ntotal == 500


def test_merge_from_refuses_ids_that_are_taken(graph, rng):
    index, _ = graph
    other = shortlist.IndexHNSWFlat(D, 16)
    other.add_with_ids(clustered(rng, 2), [5, 6000])
    with pytest.raises(shortlist.IdError, match="id 5 of the other index"):
        index.merge_from(other)
    assert (index.ntotal, other.ntotal) == (2000, 2)


# Hostile values.


def test_distances_that_overflow_do_not_corrupt_the_graph(python):
    python("""
import numpy as np, shortlist
shortlist.omp_set_num_threads(1)
large = shortlist.IndexHNSWFlat(2, 256)  # its walk leaves slots behind that the small one lacks
large.hnsw.efConstruction = 4
large.add(np.random.default_rng(0).random((30000, 2), dtype=np.float32))
small = shortlist.IndexHNSWFlat(2, 256)
x = np.random.default_rng(1).random((50, 2), dtype=np.float32)
small.add(x * np.float32(1e30))
small.add(x)
assert small.search(x, 1)[1][:, 0].tolist() == list(range(50, 100))
""")


@pytest.mark.parametrize("m", [4, 32])
def test_nan_rows_are_kept_out_of_the_way(python, m):
    python(f"""
import numpy as np, shortlist
rng = np.random.default_rng(0)
x = rng.random((3000, 8), dtype=np.float32)
bad = rng.random(3000) < 0.5
bad[0] = True
x[bad] = np.nan
index = shortlist.IndexHNSWFlat(8, {m})
index.add(x, allow_nan=True)
index.hnsw.efSearch = 100
good = np.flatnonzero(~bad)
found = index.search(x[good], 2)[1]
assert not bad[found].any()
assert (found[:, 0] == good).mean() > 0.97
assert (index.search_exact(x[good], 1)[1][:, 0] == good).all()
assert np.setdiff1d(index.search_exact(x[good[:1]], 3000)[1], good).tolist() == [-1]
""")


@pytest.mark.parametrize("call", ["range_search", "add"])
def test_an_enormous_ef_costs_no_more_than_the_graph(python, call):
    python(f"""
import resource, numpy as np, shortlist
x = np.random.default_rng(0).random((200, 4), dtype=np.float32)
index = shortlist.IndexHNSWFlat(4, 8)
index.add(x)
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
index.hnsw.efSearch = index.hnsw.efConstruction = 2**31 - 1
index.{call}(*((x, 1.0) if {call!r} == "range_search" else (x,)))
""")
