"""Graphs on the GPU: their search and the choice of links, against the same in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from gpu_cases import (
    Job,
    as_bytes,
    nearest,
    queries_for,
    query_rows,
    reached,
    rows_of,
    truth,
    words_of,
)
from shortlist import datasets
from shortlist._core import _gpu

KINDS = [kind for kind in _gpu.kinds if kind not in ("planes", "tables")]
MAX = np.finfo(np.float32).max
NO_ROW = 0xFFFFFFFF


def walk(engine, kind, rows, links, queries, entries, k, ef, allowed=None, width=1, steps=10**6):
    """Rows and queries are bytes, as `as_bytes` and `queries_for` make them."""
    job = Job(engine)
    return job.found(
        "graph",
        len(queries),
        k,
        kind=kind,
        rows=job.put(rows),
        n=len(rows),
        stride=rows.shape[1],
        bytes=rows.shape[1],
        links=job.put(links, np.uint32),
        degree=links.shape[1],
        queries=job.put(queries),
        entries=job.put(np.asarray(entries), np.uint32),
        entries_n=len(entries),
        allowed=None if allowed is None else job.put(words_of(allowed)),
        ef=ef,
        width=width,
        steps=steps,
    )


def walked(distances, links, entries, ef, width=1, steps=10**6):
    """Of one query: the rows that a best-first search meets, and those it keeps, in order."""
    n, met, followed, kept = len(distances), set(), set(), []

    def meet(numbers):
        fresh = {int(x) for x in numbers if x < n} - met
        met.update(fresh)
        near = [(distances[x], x) for x in fresh if not np.isnan(distances[x])]
        return sorted(kept + near)[:ef]

    kept = meet(entries)
    while steps:
        parents = [x for _, x in kept if x not in followed][: min(width, steps)]
        if not parents:
            break
        steps -= len(parents)
        followed.update(parents)
        kept = meet(links[parents].ravel())
    return met, [x for _, x in kept]


def random_links(rng, n, degree):
    """Of some rows fewer than `degree`, and numbers that are no row between them."""
    links = rng.integers(0, n, (n, degree)).astype(np.uint32)
    links[rng.random(links.shape) < 0.2] = NO_ROW
    links[rng.random(links.shape) < 0.05] = n
    return links


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 33, 200])
def test_a_walk_finds_what_a_plain_one_finds(engine, kind, d):
    rng = np.random.default_rng(d)
    rows, queries = rows_of(rng, kind, 120, d), query_rows(rng, kind, 3, d)
    want = truth(kind, rows, queries)
    links = random_links(rng, 120, 9)
    told, numbers = walk(
        engine(seed=d, lanes=32), kind, as_bytes(rows), links, queries_for(kind, rows, queries),
        [5, 77, 5, 119], 10, 16,
    )  # fmt: skip
    for q in range(3):
        # What is asked for are the distances themselves: of equal ones any, as sums are rounded.
        kept = walked(want[q], links, [5, 77, 119], 16)[1][:10]
        found = numbers[q][numbers[q] >= 0]
        assert len(found) == len(set(found)) == len(kept)
        np.testing.assert_allclose(told[q, : len(kept)], want[q, found], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(want[q, found], want[q, kept], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("degree", "width", "ef", "k", "steps"),
    [
        (1, 1, 1, 1, 10**6),
        (3, 1, 40, 7, 10**6),
        (17, 4, 33, 33, 10**6),
        (128, 8, 10, 3, 10**6),
        (7, 2, 100, 60, 5),
        (5, 3, 1024, 1000, 10**6),
        (4, 1, 8, 2, 0),
    ],
)
@pytest.mark.parametrize("lanes", [1, 64, 256])
def test_ties_go_by_number_and_lanes_do_not_matter(engine, degree, width, ef, k, steps, lanes):
    rng = np.random.default_rng(degree)
    n = 700
    rows, queries = rows_of(rng, "l2_u8", n, 5) & 3, query_rows(rng, "l2_u8", 2, 5) & 3
    links, entries = random_links(rng, n, degree), rng.integers(0, n, 3)
    want = truth("l2_u8", rows, queries)
    told, numbers = walk(
        engine(seed=lanes, lanes=lanes), "l2_u8", as_bytes(rows), links,
        queries_for("l2_u8", rows, queries), entries, k, ef, width=width, steps=steps,
    )  # fmt: skip
    for q in range(2):
        kept = walked(want[q], links, entries, ef, width, steps)[1][:k]
        np.testing.assert_array_equal(numbers[q, : len(kept)], kept)
        np.testing.assert_array_equal(told[q, : len(kept)], want[q, kept])
        assert np.all(numbers[q, len(kept) :] == -1)
        assert np.all(told[q, len(kept) :] == MAX)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_what_is_not_allowed_is_walked_through(engine, share):
    rng = np.random.default_rng(1)
    n, k, ef = 400, 12, 20
    rows, queries = rows_of(rng, "l2_u8", n, 6) & 7, query_rows(rng, "l2_u8", 3, 6) & 7
    links, allowed = random_links(rng, n, 6), rng.random(n) < share
    want = truth("l2_u8", rows, queries)
    told, numbers = walk(
        engine(seed=3, lanes=64), "l2_u8", as_bytes(rows), links,
        queries_for("l2_u8", rows, queries), [0], k, ef, allowed,
    )  # fmt: skip
    for q in range(3):
        met = walked(want[q], links, [0], ef)[0]
        there = allowed & np.isin(np.arange(n), list(met))
        right = nearest(np.where(there, want[q], np.nan)[None], k)
        np.testing.assert_array_equal(numbers[q], right[1][0])
        np.testing.assert_array_equal(told[q], right[0][0])


def test_rows_that_were_forgotten_are_not_found_twice(engine):
    """More rows are met than the table of those met has room for."""
    rng = np.random.default_rng(2)
    n, degree = 12_000, 96
    rows, queries = rows_of(rng, "l2_u8", n, 4), query_rows(rng, "l2_u8", 1, 4)
    links = rng.integers(0, n, (n, degree)).astype(np.uint32)
    want, allowed = truth("l2_u8", rows, queries)[0], rng.random(n) < 0.3
    asked = "l2_u8", as_bytes(rows), links, queries_for("l2_u8", rows, queries), [7]
    met, kept = walked(want, links, [7], 256)
    assert len(met) > 8192
    _, numbers = walk(engine(seed=0, lanes=128), *asked, 256, 256)
    np.testing.assert_array_equal(numbers[0], kept)
    _, numbers = walk(engine(seed=0, lanes=128), *asked, 200, 256, allowed)
    there = allowed & np.isin(np.arange(n), list(met))
    np.testing.assert_array_equal(numbers, nearest(np.where(there, want, np.nan)[None], 200)[1])


def test_what_is_not_linked_is_not_found(engine):
    rows = np.arange(40, dtype=np.uint8)[:, None]
    links = np.full((40, 2), NO_ROW)
    links[:20, 0] = (np.arange(20) + 1) % 20
    queries = queries_for("l2_u8", rows, np.array([[30]], np.uint8))
    told, numbers = walk(engine(seed=0), "l2_u8", rows, links, queries, [4], 30, 64)
    assert numbers[0].tolist() == [*range(19, -1, -1), *[-1] * 10]
    assert told[0, :20].tolist() == [(30 - x) ** 2 for x in range(19, -1, -1)]
    told, numbers = walk(engine(seed=0), "l2_u8", rows, links, queries, [40, NO_ROW], 3, 64)
    assert numbers.tolist() == [[-1] * 3]
    told, numbers = walk(engine(seed=0), "l2_u8", rows, links, queries[:0], [4], 3, 64)
    assert told.shape == (0, 3)


def test_nan_is_never_found(engine):
    rows = np.arange(60, dtype=np.float32).reshape(20, 3)
    rows[3, 1] = np.nan
    links = np.stack([np.arange(1, 21), np.arange(2, 22)], 1)
    queries = queries_for("l2_f32", rows, np.array([[0, 1, 2], [np.nan, 0, 0]], np.float32))
    _, numbers = walk(engine(seed=0), "l2_f32", as_bytes(rows), links, queries, [0], 20, 64)
    assert numbers[0].tolist() == [0, 1, 2, *range(4, 20), -1]
    assert np.all(numbers[1] == -1)


def prune(engine, kind, rows, candidates, distances, degree, first=0, apart=None):
    job, n, apart = Job(engine), len(rows), apart or degree
    out = job.put(np.full((n, apart), 12345), np.uint32)
    job.run(
        "prune",
        kind=kind,
        rows=job.put(rows),
        rows_n=n,
        stride=rows.shape[1],
        bytes=rows.shape[1],
        first=first,
        n=len(candidates),
        candidates=job.put(candidates, np.int64),
        distances=job.put(distances, np.float32),
        candidates_n=candidates.shape[1],
        degree=degree,
        apart=apart,
        links=out,
    )
    return job.get(out, (n, apart), np.uint32)


def pruned(row, candidates, to_row, between, degree):
    """HNSW's heuristic for one row."""
    taken, left, ties = [], [], 0
    for i, (c, own) in enumerate(zip(candidates, to_row, strict=True)):
        if not 0 <= c < len(between) or c == row or (i and candidates[i - 1] == c):
            continue
        if len(taken) == degree:
            break
        least = min((between[c, t] for t in taken), default=np.inf)
        ties += least == own
        if least < own or (least == own and ties > degree // 2):
            left.append(c)
        else:
            taken.append(c)
    taken += left[: degree - len(taken)]
    return taken + [NO_ROW] * (degree - len(taken))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d", "m", "degree"), [(20, 2, 5, 3), (70, 17, 33, 8), (150, 100, 128, 7), (40, 3, 60, 64)]
)
def test_links_are_those_of_the_heuristic(engine, kind, n, d, m, degree):
    rng = np.random.default_rng(n)
    rows = rows_of(rng, kind, n, d)
    if kind.endswith(("u8", "i8", "hamming")):
        rows &= 3  # with ties
    elif kind.endswith("bf16"):  # whole numbers, whose sums are exact
        rows = (rng.integers(-4, 5, (n, d)).astype(np.float32).view(np.uint32) >> 16).astype("u2")
    else:
        rows = rng.integers(-4, 5, (n, d)).astype(rows.dtype)
    wide = (rows.astype(np.uint32) << 16).view(np.float32) if kind.endswith("bf16") else rows
    between = truth(kind, rows, wide)
    first = 3
    distances, candidates = nearest(between[first : n - 2], m)
    candidates[0, 1] = candidates[0, 0]  # stands twice
    distances[0, 1] = distances[0, 0]
    links = prune(
        engine(seed=m, lanes=64), kind, as_bytes(rows), candidates, distances, degree, 3, degree + 2
    )
    assert np.all(links[:, degree:] == 12345)
    links = links[:, :degree]
    assert np.all(links[:first] == 12345)
    assert np.all(links[n - 2 :] == 12345)
    for i, (own, to_row) in enumerate(zip(candidates, distances, strict=True)):
        want = pruned(first + i, own, to_row, between, degree)
        np.testing.assert_array_equal(links[first + i], want)


@pytest.mark.parametrize(
    ("n", "degree", "most"), [(1, 1, 1), (50, 3, 4), (33, 20, 100), (20, 2, 0)]
)
def test_candidates_of_links_both_ways(engine, n, degree, most):
    rng = np.random.default_rng(n)
    links = random_links(rng, n, degree)
    job = Job(engine(seed=1))
    out = job.memory(n * (degree + most) * 8)
    job.run("reverse", links=job.put(links), n=n, degree=degree, most=most, candidates=out)
    got = job.get(out, (n, degree + most), np.int64)
    np.testing.assert_array_equal(got[:, :degree], np.where(links < n, links.astype(int), -1))
    for row in range(n):
        # by rank among the links of the other, then by its number
        want = [int(i) for rank in range(degree) for i in np.flatnonzero(links[:, rank] == row)]
        want = want[:most] + [-1] * (most - len(want))
        assert got[row, degree:].tolist() == want


def test_what_is_refused(engine):
    rows, links = np.zeros((4, 16), np.uint8), np.zeros((4, 2), np.uint32)
    asked = rows, links, rows[:1], [0]
    near = np.zeros((4, 2), np.int64), np.zeros((4, 2), np.float32)
    for call, said in (
        (lambda: walk(engine(0), "planes", *asked, 1, 1), "codes"),
        (lambda: walk(engine(0), "hamming", *asked, 0, 5), "k = 0"),
        (lambda: walk(engine(0), "hamming", *asked, 6, 5), "ef = 5"),
        (lambda: walk(engine(0), "hamming", *asked, 1, 1025), "ef = 1025"),
        (lambda: walk(engine(0), "hamming", *asked, 1, 5, width=0), "width = 0"),
        (lambda: walk(engine(0), "hamming", *asked, 1, 5, width=513), "width = 513"),
        (lambda: walk(engine(0), "hamming", rows, np.zeros((4, 129)), *asked[2:], 1, 5), "129"),
        (lambda: prune(engine(0), "tables", rows, *near, 2), "codes"),
        (lambda: prune(engine(0), "hamming", rows, *near, 0), "degree = 0"),
        (lambda: prune(engine(0), "hamming", rows, *near, 2, first=1), "not there"),
        (lambda: prune(engine(0), "hamming", rows, *near, 2, apart=1), "over each other"),
        (
            lambda: prune(
                engine(0), "hamming", rows, *(np.zeros((4, 257), t) for t in ("i8", "f4")), 2
            ),
            "257 candidates",
        ),
    ):
        with pytest.raises(shortlist.ArgumentError, match=said):
            call()


def index_on(engine, *args) -> shortlist.GpuIndexHNSWFlat:
    return shortlist.GpuIndexHNSWFlat(shortlist.StandardGpuResources._over(engine), *args)


def blobs(rng, n: int, d: int = 19, centres: int = 12) -> np.ndarray:
    x = 2 * rng.normal(size=(centres, d))[rng.integers(centres, size=n)] + rng.normal(size=(n, d))
    return x.astype(np.float32)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len({*a} & {*b}) / len(b) for a, b in zip(found, truth, strict=True)]))


def test_a_graph_made_in_bulk_serves_on_the_cpu(engine, tmp_path):
    """As well as one that the CPU has made by itself."""
    sample = datasets.sample("sift")
    x = np.asarray(sample.base, np.float32)[:2000]
    q = np.asarray(sample.queries, np.float32)[:200]
    made = index_on(engine(seed=1), 128, 16)
    made.add(x)
    index, added = shortlist.index_gpu_to_cpu(made), shortlist.IndexHNSWFlat(128, 16)
    added.add(x)
    np.testing.assert_array_equal(index.reconstruct_n(), x)
    assert reached(index.links(), index.hnsw.entry_point).all()
    true = index.search_exact(q, 10)[1]
    for ef in (10, 40, 100):
        index.hnsw.efSearch = added.hnsw.efSearch = made.efSearch = ef
        least = recall(added.search(q, 10)[1], true) - 0.01
        assert recall(index.search(q, 10)[1], true) >= least
        assert recall(made.search(q, 10)[1], true) >= least - 0.01  # which has no levels
    index.save(tmp_path / "index")
    again = shortlist.open(tmp_path / "index")
    np.testing.assert_array_equal(again.search(q, 10)[1], index.search(q, 10)[1])
    assert index.remove_ids(np.arange(1000)) == 1000
    index.add(x[:1000])
    found = index.search(x[:100], 1)[1][:, 0]
    assert (found == np.arange(2000, 2100)).mean() > 0.95


def test_clusters_that_are_far_apart_are_linked(engine, oracle):
    """What a query between clusters finds."""
    rng = np.random.default_rng(5)
    x, q = blobs(rng, 1300, centres=20), blobs(rng, 60, centres=60)
    made = index_on(engine(seed=2), 19, 8, oracle.metric)
    added = shortlist.IndexHNSWFlat(19, 8, oracle.metric)
    made.add(x)
    added.add(x)
    index = shortlist.IndexHNSWFlat(19, 8, oracle.metric)
    made.copyTo(index)
    made.efSearch = added.hnsw.efSearch = index.hnsw.efSearch = 64
    least = oracle.recall(added.search(q, 10)[1], q, x) - 0.05
    assert oracle.recall(made.search(q, 10)[1], q, x) >= least
    assert oracle.recall(index.search(q, 10)[1], q, x) >= least


@pytest.mark.parametrize("lanes", [32, 128])
def test_the_same_vectors_make_the_same_graph(engine, lanes):
    x = blobs(np.random.default_rng(6), 700)
    first = shortlist.IndexHNSWFlat(19, 4)
    for seed in (1, 2):
        made = index_on(engine(seed=seed, lanes=lanes * seed), 19, 4)
        made.add(x[:300])
        made.add(x[300:])  # as if at once
        index = shortlist.IndexHNSWFlat(19, 4)
        made.copyTo(index)
        if seed == 1:
            first = index
    np.testing.assert_array_equal(first.links(), index.links())


def test_what_a_search_tells(engine, oracle):
    rng = np.random.default_rng(7)
    x, q = blobs(rng, 600), blobs(rng, 9)
    index = index_on(engine(seed=3), 19, 8, oracle.metric)
    index.add(x)
    assert (index.ntotal, len(index), index.d, index.metric_type) == (600, 600, 19, oracle.metric)
    np.testing.assert_array_equal(index.reconstruct_n(), x)
    np.testing.assert_array_equal(index.reconstruct_n(5, 10), x[5:15])
    index.efSearch = 200
    q[4, 2] = np.nan
    D, I = index.search(q, 30)
    assert (I[4] == -1).all()
    assert (D[4] == oracle.missing).all()
    there = [0, 1, 2, 3, 5, 6, 7, 8]
    want = oracle.search(q[there], x, 30)
    assert recall(I[there], want[1]) > 0.97
    exact = np.take_along_axis(oracle.distances(q[there], x), I[there], 1)
    np.testing.assert_allclose(D[there], exact, rtol=1e-4, atol=1e-4)
    even = shortlist.SearchParametersHNSW(
        efSearch=300, sel=shortlist.IDSelectorBatch(np.arange(0, 600, 2))
    )
    found = index.search(q[there], 5, params=even)[1]
    assert (found % 2 == 0).all()
    assert recall(found, 2 * oracle.search(q[there], x[::2], 5)[1]) > 0.9
    D, I = index.search(q[:2], 700)
    assert (np.sort(I[:, :600]) == np.arange(600)).all()  # all can be reached
    assert (I[:, 600:] == -1).all()
    assert (D[:, 600:] == oracle.missing).all()
    index.reset()
    assert index.ntotal == 0
    assert (index.search(q, 3)[1] == -1).all()


@pytest.mark.parametrize("n", [0, 1, 2, 33])
def test_few_vectors(engine, n):
    x = blobs(np.random.default_rng(8), 40)
    index, copy = index_on(engine(0), 19, 16), shortlist.IndexHNSWFlat(19, 16)
    index.add(x[:n])
    want = [*np.argsort(((x[:n] - x[39]) ** 2).sum(1)), *[-1] * 40][:40]
    assert index.search(x[39:], 40)[1][0].tolist() == want
    index.copyTo(copy)
    assert copy.ntotal == n
    copy.hnsw.efSearch = 40
    assert copy.search(x[39:], 40)[1][0].tolist() == want


def test_equal_vectors_are_all_found(engine):
    index = index_on(engine(0), 19, 4)
    index.add(np.ones((300, 19)))
    assert sorted(index.search(np.ones((1, 19)), 300)[1][0]) == list(range(300))


def test_a_graph_of_the_cpu_is_walked_there(engine, oracle):
    rng = np.random.default_rng(9)
    x, q = blobs(rng, 800), blobs(rng, 20)
    index = shortlist.IndexHNSWFlat(19, 16, oracle.metric)
    index.add(x)
    index.hnsw.efSearch = 90
    resources = shortlist.StandardGpuResources._over(engine(0))
    there = shortlist.index_cpu_to_gpu(resources, 0, index)
    there.copyFrom(index)  # instead of what is there
    assert (there.ntotal, there.efSearch) == (800, 90)
    D, I = there.search(q, 10)
    assert oracle.recall(I, q, x) > 0.98
    exact = np.take_along_axis(oracle.distances(q, x), I, 1)
    np.testing.assert_allclose(D, exact, rtol=1e-4, atol=1e-4)
    back = shortlist.IndexHNSWFlat(19, 16, oracle.metric)
    there.copyTo(back)
    assert reached(back.links(), back.hnsw.entry_point).all()
    there.copyFrom(shortlist.IndexHNSWFlat(19, 16, oracle.metric))
    assert there.ntotal == 0


def test_what_an_index_refuses(engine):
    x = blobs(np.random.default_rng(10), 20)
    index = index_on(engine(0), 19, 8)
    index.add(x)
    removed = shortlist.IndexHNSWFlat(19, 8)
    removed.add(x)
    removed.remove_ids(np.arange(3))
    bad = x.copy()
    bad[3, 4] = np.nan
    for call, error, said in (
        (lambda: index_on(engine(0), 19, 65), shortlist.ArgumentError, "M = 65"),
        (lambda: index_on(engine(0), 0, 8), shortlist.ArgumentError, "d = 0"),
        (lambda: index_on(engine(0), 19, 8, 3), shortlist.UnsupportedError, "metric 3"),
        (lambda: index.add(x[:, 1:]), shortlist.DimensionError, "18"),
        (lambda: index.add(bad), shortlist.ArgumentError, "row 3"),
        (lambda: index.search(x[0], 3), shortlist.DimensionError, "n, d"),
        (lambda: index.search(x, 0), shortlist.ArgumentError, "k = 0"),
        (lambda: index.search(x, 1025), shortlist.ArgumentError, "k = 1025"),
        (lambda: setattr(index, "efSearch", 0), shortlist.ArgumentError, "efSearch = 0"),
        (lambda: index.reconstruct_n(15, 6), shortlist.IdError, "0 to 19"),
        (lambda: index.copyFrom(removed), shortlist.UnsupportedError, "removed"),
        (lambda: index.copyTo(shortlist.IndexHNSWFlat(19, 9)), shortlist.ArgumentError, "9"),
        (lambda: index.copyTo(shortlist.IndexFlatL2(19)), TypeError, "IndexFlat"),
    ):
        with pytest.raises(error, match=said):
            call()
    assert index.ntotal == 20


def test_tensors_of_torch(engine):
    torch = pytest.importorskip("torch")
    x = blobs(np.random.default_rng(11), 300)
    index = index_on(engine(1), 19, 8)
    if not index._engine.host:
        pytest.skip("of the host")
    index.add(torch.from_numpy(x))
    index.efSearch = 50
    _, I = index.search(torch.from_numpy(x[:5]), 3)
    assert isinstance(I, torch.Tensor)
    assert I[:, 0].tolist() == list(range(5))
    np.testing.assert_array_equal(I.numpy(), index.search(x[:5], 3)[1])
    with pytest.raises(shortlist.ArgumentError, match="NaN"):
        index.add(torch.full((1, 19), torch.nan))
    assert index.ntotal == 300
