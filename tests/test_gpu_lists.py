"""Inverted lists and tables of codes as the GPU scans them, against numpy and the CPU's indexes; on
the host always, on a GPU with -m gpu."""

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
    rows_of,
    scan,
    scan_lists,
    tables,
    truth,
)
from shortlist._core import _gpu

KINDS = [kind for kind in _gpu.kinds if kind not in ("planes", "tables")]
MAX = np.finfo(np.float32).max


def listed(rows, labels, lists_n):
    """Rows of each list, with their numbers for ids."""
    return [(np.flatnonzero(labels == c), rows[labels == c]) for c in range(lists_n)]


def seen(distances, labels, probes):
    """NaN where a query does not look."""
    looked = np.stack([np.isin(labels, own) for own in probes])
    return np.where(looked, distances, np.nan)


def check_found(got, want, k):
    """Distances as they should be, of rows that have them."""
    told, numbers = got
    right, _ = nearest(want, k)
    np.testing.assert_allclose(told, right, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(numbers == -1, right == MAX)
    for row, own, found in zip(want, numbers, told, strict=True):
        there = own[own >= 0]
        assert len(set(there)) == len(there)
        np.testing.assert_allclose(row[there], found[: len(there)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [3, 16, 65])
def test_the_nearest_of_lists(engine, kind, d):
    rng = np.random.default_rng(d)
    rows, queries = rows_of(rng, kind, 400, d), query_rows(rng, kind, 3, d)
    labels = rng.choice(7, 400, p=[0, 0.5, 0.3, 0.1, 0.05, 0.05, 0])  # two are empty
    labels[:2] = 5
    probes = np.stack([rng.permutation(7) for _ in queries])[:, :4]
    probes[0, 1], probes[1, 2] = -1, 7  # no lists
    want = seen(truth(kind, rows, queries), labels, probes)
    for k, lanes, chunks in ((1, 32, 1), (10, 64, 3), (300, 128, 9)):
        got = scan_lists(
            engine(seed=k, lanes=lanes, chunks=chunks),
            kind,
            listed(as_bytes(rows), labels, 7),
            queries_for(kind, rows, queries),
            probes,
            k,
        )
        check_found(got, want, k)


def test_products_are_told_in_faiss_sign(engine):
    rows, queries = np.eye(3, dtype=np.float32), np.full((1, 4), 2, np.float32)
    told, numbers = scan_lists(
        engine(seed=0), "ip_f32", [([7, 8, 9], as_bytes(rows))], as_bytes(queries),
        np.zeros((1, 1)), 4, negate=1,
    )  # fmt: skip
    assert told.tolist() == [[2, 2, 2, -MAX]]
    assert numbers.tolist() == [[7, 8, 9, -1]]


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_ties_filters_and_ids(engine, share):
    """Of equal distances the row that is stored first; here ids ascend as rows do."""
    rng = np.random.default_rng(1)
    rows, queries = rng.integers(0, 3, (500, 4)).astype(np.uint8), np.ones((4, 4), np.uint8)
    labels, allowed = np.sort(rng.integers(0, 5, 500)), rng.random(500) < share
    probes = np.array([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, -1, -1, -1, 0], [-1] * 5])
    want = seen(truth("l2_u8", rows, queries), labels, probes)
    want[:, ~allowed] = np.nan
    for lanes, chunks in ((32, 1), (64, 4), (256, 17)):
        got = scan_lists(
            engine(seed=lanes, lanes=lanes, chunks=chunks),
            "l2_u8",
            listed(rows, labels, 5),
            queries_for("l2_u8", rows, queries),
            probes,
            200,
            allowed,
        )
        for told, right in zip(got, nearest(want, 200), strict=True):
            np.testing.assert_array_equal(told, right)


def test_nan_is_in_no_list(engine):
    rows = np.ones((40, 4), np.float32)
    rows[::2, 1] = np.nan
    rows[1] = np.inf
    queries = np.array([[1, 1, 1, 1], [np.nan, 0, 0, 0]], np.float32)
    told, numbers = scan_lists(
        engine(seed=0),
        "l2_f32",
        listed(as_bytes(rows), np.zeros(40, int), 1),
        as_bytes(queries),
        np.zeros((2, 1)),
        30,
    )
    assert numbers[0].tolist() == [*range(3, 40, 2), 1, *[-1] * 10]
    assert told[0].tolist() == [0.0] * 19 + [np.inf] + [MAX] * 10
    assert np.all(numbers[1] == -1)


def looked_up(distances, codes):
    """Sums of (queries, m, 256) distances over (n, m) codes, in float64."""
    parts = np.arange(codes.shape[1])
    return distances.astype(float)[:, parts[None], codes].sum(2)


def tables_truth(vectors, codewords, inner_product):
    m, _, length = codewords.shape
    parts, words = vectors.reshape(len(vectors), m, 1, length).astype(float), codewords[None]
    return -(parts * words).sum(3) if inner_product else ((parts - words) ** 2).sum(3)


@pytest.mark.parametrize("inner_product", [False, True])
@pytest.mark.parametrize(("m", "length"), [(1, 1), (3, 5), (16, 4), (17, 8)])
def test_tables(engine, m, length, inner_product):
    rng = np.random.default_rng(m)
    codewords = rng.normal(size=(m, 256, length)).astype(np.float32)
    queries = rng.normal(size=(3, m * length)).astype(np.float32)
    told = tables(engine(seed=m, lanes=64), queries, codewords, inner_product)
    want = tables_truth(queries, codewords, inner_product)
    np.testing.assert_allclose(told[:, :m], want, rtol=1e-5, atol=1e-5)
    assert not told[:, m:].any()
    # A scan takes them for queries.
    codes = rng.integers(0, 256, (200, m)).astype(np.uint8)
    got = scan(engine(seed=0, lanes=64, chunks=2), "tables", codes, as_bytes(told), 20)
    check_found(got, looked_up(want, codes), 20)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("inner_product", [False, True])
@pytest.mark.parametrize(("m", "length"), [(1, 3), (8, 4), (20, 2)])
def test_lists_of_codes(engine, m, length, inner_product, residual):
    rng = np.random.default_rng(m)
    d = m * length
    codewords = rng.normal(size=(m, 256, length)).astype(np.float32)
    codes, labels = rng.integers(0, 256, (300, m)).astype(np.uint8), rng.integers(0, 4, 300)
    centroids = rng.normal(size=(4, d)).astype(np.float32)
    queries = rng.normal(size=(3, d)).astype(np.float32)
    decoded = codewords[np.arange(m), codes].reshape(300, d).astype(float)
    decoded += centroids[labels] if residual else 0
    kind = "ip_f32" if inner_product else "l2_f32"
    probes = np.array([[0, 1, 2], [3, -1, 0], [2, 3, 1]])
    want = seen(truth(kind, decoded, queries), labels, probes)
    for k, lanes, chunks in ((1, 32, 1), (10, 64, 2), (100, 256, 7)):
        got = scan_lists(
            engine(seed=k, lanes=lanes, chunks=chunks),
            "tables",
            listed(codes, labels, 4),
            queries_for("ip_f32", queries, queries),
            probes,
            k,
            d=d,
            m=m,
            codewords=codewords,
            centroids=centroids if residual else None,
            inner_product=int(inner_product),
        )
        check_found(got, want, k)


METRICS = [shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT]


def lists_of(index):
    """Pairs of ids and codes of an inverted file."""
    return [
        (
            index.invlists.get_ids(c),
            index.invlists.get_codes(c).reshape(-1, index.code_size),
        )
        for c in range(index.nlist)
    ]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["IVF6,Flat", "IVF6,PQ4x8", "IVF6,PQ3x8"])
def test_answers_are_those_of_the_cpu(engine, name, metric):
    rng = np.random.default_rng(3)
    x, queries = (rng.normal(size=(n, 12)).astype(np.float32) for n in (600, 5))
    index = shortlist.index_factory(12, name, metric)
    index.train(x)
    index.add_with_ids(x, np.arange(600) * 10)
    index.nprobe = 3
    want, ids = index.search(queries, 20)
    _, probes = index.quantizer.search(queries, 3)
    ip = metric == shortlist.METRIC_INNER_PRODUCT
    codes = {}
    if "PQ" in name:
        codes = {"d": 12, "m": index.pq.M, "codewords": index.pq.centroids}
        codes |= {"centroids": index.quantizer.reconstruct_n(0, 6), "inner_product": int(ip)}
    kind = "tables" if codes else "ip_f32" if ip else "l2_f32"
    got, numbers = scan_lists(
        engine(seed=1, lanes=64, chunks=5),
        kind,
        lists_of(index),
        as_bytes(queries),
        probes,
        20,
        **codes,
    )
    np.testing.assert_allclose(-got if ip else got, want, rtol=1e-4, atol=1e-4)
    assert np.mean(numbers == ids) > 0.98  # others change places with their equals


@pytest.mark.parametrize("metric", METRICS)
def test_flat_codes_are_those_of_the_cpu(engine, metric):
    rng = np.random.default_rng(4)
    x, queries = (rng.normal(size=(n, 12)).astype(np.float32) for n in (400, 5))
    index = shortlist.IndexPQ(12, 4, 8, metric)
    index.train(x)
    index.add(x)
    want, ids = index.search(queries, 20)
    ip = metric == shortlist.METRIC_INNER_PRODUCT
    own = engine(seed=1, lanes=64, chunks=3)
    told = tables(own, queries, index.pq.centroids, ip)
    got, numbers = scan(own, "tables", index.pq.compute_codes(x), as_bytes(told), 20)
    np.testing.assert_allclose(-got if ip else got, want, rtol=1e-4, atol=1e-4)
    assert np.mean(numbers == ids) > 0.98


def test_rows_are_stored_where_they_are_told(engine):
    """Into places, and from one store into another."""
    rng = np.random.default_rng(5)
    job, rows = Job(engine(seed=0)), rng.normal(size=(50, 5)).astype(np.float32)
    places = rng.permutation(100)[:50]
    places[7] = -1
    first, second = job.memory(128 * 32), job.memory(64 * 16)
    squares = job.put(np.full(100, 9, np.float32))
    job.run(
        "store",
        **{"from": job.put(rows)},
        n=50,
        stride=20,
        bytes=20,
        rows=first,
        places=job.put(places, np.int64),
        squares=squares,
    )
    units = job.get(first, (4, 2, 32, 4), np.float32)
    stored = units.transpose(0, 2, 1, 3).reshape(128, 8)[:100]
    there = np.delete(places, 7)
    np.testing.assert_array_equal(stored[there, :5], np.delete(rows, 7, 0))
    assert not stored[there, 5:].any()
    assert np.isnan(np.delete(stored, there, 0)).all()  # untouched
    told = job.get(squares, (100,), np.float32)
    np.testing.assert_allclose(told[there], (np.delete(rows, 7, 0) ** 2).sum(1), rtol=1e-5)
    assert np.all(np.delete(told, there) == 9)
    back = np.full(100, -1)
    back[places[places >= 0]] = np.delete(np.arange(50), 7)
    job.run(
        "store",
        **{"from": first},
        n=100,
        stride=0,
        bytes=20,
        conversion="f32_to_f16",
        rows=second,
        places=job.put(back, np.int64),
    )
    halves = job.get(second, (2, 1, 32, 8), np.float16).transpose(0, 2, 1, 3).reshape(64, 8)
    np.testing.assert_array_equal(
        np.delete(halves[:50, :5], 7, 0), np.delete(rows, 7, 0).astype("f2")
    )


def test_scans_of_no_lists(engine):
    told, numbers = scan_lists(
        engine(seed=0), "hamming", [([], np.zeros((0, 5), np.uint8))], np.zeros((2, 16), np.uint8),
        np.zeros((2, 3)), 4,
    )  # fmt: skip
    assert np.all(numbers == -1)
    assert np.all(told == MAX)
    assert tables(engine(seed=0), np.zeros((0, 4)), np.zeros((2, 256, 2)), False).shape[0] == 0


def test_what_is_refused(engine):
    lists, query = [([0], np.zeros((1, 16), np.uint8))], np.zeros((1, 16), np.uint8)
    probes, words = np.zeros((1, 1)), np.zeros((3, 256, 2), np.float32)
    call = lambda kind, k=1, own=probes, **codes: scan_lists(  # noqa: E731
        engine(0), kind, lists, query, own, k, **codes
    )
    for work, said in (
        (lambda: call("planes"), "planes are not kept in lists"),
        (lambda: call("hamming", 2049), "from 1 to 2048"),
        (lambda: call("hamming", own=probes[:, :0]), "nprobe"),
        (lambda: call("tables", d=7, m=3, codewords=words), "3 parts for 7 dimensions"),
        (lambda: call("tables", d=40, m=20, codewords=words), "do not fit"),
        (lambda: tables(engine(0), np.zeros((1, 7)), words, False), "3 parts for 7 dimensions"),
    ):
        with pytest.raises(shortlist.ArgumentError, match=said):
            work()
