"""What the GPU runs, against plain numpy; on the host always, on a GPU with -m gpu."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from gpu_cases import (
    as_bytes,
    assign,
    host,
    max_sim,
    nearest,
    planes_of,
    queries_for,
    query_rows,
    rescore,
    rows_of,
    scan,
    select,
    truth,
    update,
    wide,
)
from hypothesis import given
from hypothesis import strategies as st
from shortlist import gpu
from shortlist._core import _gpu

KINDS = [kind for kind in _gpu.kinds if kind not in ("planes", "tables")]
MAX = np.finfo(np.float32).max


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (31, 3), (33, 16), (100, 17), (257, 128), (70, 385)])
def test_a_scan_finds_the_nearest(engine, kind, n, d):
    rng = np.random.default_rng(n + d)
    rows, queries = rows_of(rng, kind, n, d), query_rows(rng, kind, 3, d)
    want = truth(kind, rows, queries)
    for k, lanes, chunks in ((1, 32, 1), (10, 64, 3), (300, 256, 2)):
        told, numbers = scan(
            engine(seed=k, lanes=lanes, chunks=chunks),
            kind,
            as_bytes(rows),
            queries_for(kind, rows, queries),
            k,
        )
        found = min(k, n)
        assert np.all(numbers[:, found:] == -1)
        assert np.all(told[:, found:] == MAX)
        for q in range(len(queries)):
            assert len(set(numbers[q, :found])) == found
            got = want[q, numbers[q, :found]]
            np.testing.assert_allclose(told[q, :found], got, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(got, np.sort(want[q])[:found], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["l2_u8", "ip_i8", "hamming"])
def test_integers_are_exact_and_ties_go_by_number(engine, kind):
    rng = np.random.default_rng(0)
    rows, queries = rows_of(rng, kind, 500, 5) & 3, query_rows(rng, kind, 4, 5) & 3
    want = nearest(truth(kind, rows, queries), 60)
    for lanes, chunks in ((32, 1), (32, 7), (128, 2), (256, 4)):
        got = scan(
            engine(seed=lanes, lanes=lanes, chunks=chunks),
            kind,
            as_bytes(rows),
            queries_for(kind, rows, queries),
            60,
        )
        np.testing.assert_array_equal(got[1], want[1])
        np.testing.assert_array_equal(got[0], want[0])


@pytest.mark.parametrize("kind", ["l2_u8", "l2_i8", "ip_u8", "ip_i8"])
def test_the_largest_bytes(engine, kind):
    low, high = (0, 255) if kind.endswith("u8") else (-128, 127)
    rows = np.array([[low] * 4000, [high] * 4000]).astype("u1" if low == 0 else "i1")
    told, numbers = scan(engine(seed=0), kind, as_bytes(rows), queries_for(kind, rows, rows), 2)
    want = nearest(truth(kind, rows, rows), 2)
    np.testing.assert_array_equal(numbers, want[1])
    np.testing.assert_array_equal(told, want[0])


def test_nan_is_never_found(engine):
    rows = np.ones((40, 4), np.float32)
    rows[::2, 1] = np.nan
    rows[1] = np.inf
    queries = np.array([[1, 1, 1, 1], [np.nan, 0, 0, 0]], np.float32)
    told, numbers = scan(
        engine(seed=0), "l2_f32", as_bytes(rows), queries_for("l2_f32", rows, queries), 30
    )
    assert numbers[0].tolist() == [*range(3, 40, 2), 1, *[-1] * 10]
    assert told[0].tolist() == [0.0] * 19 + [np.inf] + [MAX] * 10
    assert np.all(numbers[1] == -1)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_filtered_scans(engine, share):
    rng = np.random.default_rng(3)
    rows, queries = rows_of(rng, "l2_u8", 300, 12), query_rows(rng, "l2_u8", 3, 12)
    allowed = rng.random(300) < share
    distances = truth("l2_u8", rows, queries)
    distances[:, ~allowed] = np.nan
    got = scan(
        engine(seed=1, lanes=64, chunks=3),
        "l2_u8",
        as_bytes(rows),
        queries_for("l2_u8", rows, queries),
        20,
        allowed,
    )
    want = nearest(distances, 20)
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_array_equal(got[0], want[0])


def test_rows_may_lie_apart(engine):
    rng = np.random.default_rng(4)
    whole = rng.integers(0, 256, (50, 40)).astype(np.uint8)
    rows, queries = whole[:, 3:24], query_rows(rng, "hamming", 2, 21)
    got = scan(engine(seed=0), "hamming", rows, queries_for("hamming", rows, queries), 7)
    want = nearest(truth("hamming", rows, queries), 7)
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_array_equal(got[0], want[0])


@pytest.mark.parametrize(("bits", "query_bits"), [(1, 1), (1, 9), (2, 5), (4, 8), (8, 9)])
def test_bit_planes(engine, bits, query_bits):
    """Against the products of the values themselves; what the CPU's kernel bit_planes computes."""
    rng = np.random.default_rng(bits + query_bits)
    n, m = 90, 256
    codes = rng.integers(0, 1 << bits, (n, m))
    low = -(1 << (query_bits - 1))
    values = rng.integers(low, -low if query_bits > 1 else 1, (3, m))
    codes[0], values[0] = (1 << bits) - 1, low  # the extremes
    product = values @ codes.T
    factors = rng.normal(size=(2, n)).astype(np.float32)
    terms = rng.normal(size=(2, 3)).astype(np.float32)
    near, scale = terms[:, :, None].astype(float)
    offsets = ((1 << bits) - 1) * values.sum(1)
    distances = near + factors[0] + factors[1] * scale * (product - offsets[:, None] / 2)
    told, numbers = scan(
        engine(seed=9, lanes=64, chunks=2),
        "planes",
        planes_of(codes, bits),
        planes_of(values, query_bits),
        n,
        bits=bits,
        query_bits=query_bits,
        factors=factors,
        terms=terms,
        offsets=offsets,
        least=-1e30,
    )
    size = np.abs(distances).max()
    for q in range(3):
        assert sorted(numbers[q]) == list(range(n))
        np.testing.assert_allclose(told[q], distances[q, numbers[q]], atol=size * 1e-5)
        assert np.all(np.diff(told[q]) >= 0)


def test_bit_planes_are_not_told_below_the_least(engine):
    codes = np.arange(128)[None] % 2 * np.ones((40, 1), int)
    told, _ = scan(
        engine(seed=0),
        "planes",
        planes_of(codes, 1),
        planes_of(np.ones((1, 128), int), 2),
        5,
        bits=1,
        query_bits=2,
        factors=np.full((2, 40), -1, np.float32),
        terms=np.ones((2, 1), np.float32),
        offsets=np.zeros(1, np.int64),
        least=-3.5,
    )
    assert told.tolist() == [[-3.5] * 5]


@pytest.fixture(scope="module")
def gpu_engine():
    """As `engine`, for tests that hypothesis calls."""
    try:
        plugin = gpu.plugin()
        plugin.devices()
    except shortlist.UnsupportedError:
        return None
    return lambda: _gpu.Engine(plugin, 0)


@given(st.data())
def test_select(gpu_engine, data):
    n = data.draw(st.integers(0, 400))
    k = data.draw(st.sampled_from([1, 2, 31, 32, 33, 100, 513]))
    values = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, 3e38, 2.5])
    rows = np.array(data.draw(st.lists(values, min_size=2 * n, max_size=2 * n)), np.float32)
    rows = rows.reshape(2, n)
    own = host(data.draw(st.integers(0, 99)), data.draw(st.sampled_from([1, 32, 256])))
    for engine in (own, gpu_engine()) if gpu_engine else (own,):
        _check_select(engine, rows, k)


def _check_select(engine, rows, k):
    told, numbers = select(engine, rows, k)
    # -0 is before 0, as for the CPU's hits
    bits = rows.view(np.int32).astype(np.int64)
    order = np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits).astype(float)
    order[np.isnan(rows)] = np.nan
    want = nearest(order, k)[1]
    np.testing.assert_array_equal(numbers, want)
    for row in range(2):
        there = want[row] >= 0
        np.testing.assert_array_equal(told[row, there], rows[row, want[row, there]])
        assert np.all(told[row, ~there] == MAX)


def test_scans_of_many_rows(engine):
    """Of which a GPU makes several parts; and more shared memory than is there unasked."""
    rng = np.random.default_rng(8)
    rows, queries = rows_of(rng, "l2_u8", 20_000, 4), query_rows(rng, "l2_u8", 2, 4)
    want = truth("l2_u8", rows, queries)
    for k in (1, 2048):
        got = scan(
            engine(seed=k, lanes=256, chunks=5),
            "l2_u8",
            as_bytes(rows),
            queries_for("l2_u8", rows, queries),
            k,
        )
        for told, right in zip(got, nearest(want, k), strict=True):
            np.testing.assert_array_equal(told, right)
    rows, queries = rows_of(rng, "ip_f32", 40, 6000), query_rows(rng, "ip_f32", 1, 6000)
    told, numbers = scan(
        engine(seed=0), "ip_f32", as_bytes(rows), queries_for("ip_f32", rows, queries), 2048
    )
    want = truth("ip_f32", rows, queries)[0]
    np.testing.assert_array_equal(numbers[0, :40], np.argsort(want))
    np.testing.assert_allclose(told[0, :40], np.sort(want), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("n", "queries"), [(0, 2), (5, 0), (0, 0)])
def test_scans_of_nothing(engine, n, queries):
    told, numbers = scan(
        engine(seed=0), "hamming", np.zeros((n, 16), np.uint8), np.zeros((queries, 16), np.uint8), 3
    )
    assert told.shape == numbers.shape == (queries, 3)
    assert n or np.all(numbers == -1)


def test_select_of_many(engine):
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 5000, (3, 20_000)).astype(np.float32)
    for k in (1, 100, 2048):
        got, want = select(engine(seed=k, lanes=256), rows, k), nearest(rows, k)
        np.testing.assert_array_equal(got[1], want[1])
        np.testing.assert_array_equal(got[0], want[0])


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 16, 33, 384])
def test_candidates_are_compared_again(engine, kind, d, stored):
    rng = np.random.default_rng(d)
    rows, queries = rows_of(rng, kind, 60, d), query_rows(rng, kind, 4, d)
    candidates = rng.integers(-2, 62, 50)
    offsets = np.array([0, 20, 20, 21, 50])  # one query has none
    asked = engine(seed=0), kind, as_bytes(rows), queries_for(kind, rows, queries)
    got = rescore(*asked, candidates, offsets, stored)
    want = truth(kind, rows, queries)[np.repeat(np.arange(4), np.diff(offsets)), candidates % 60]
    absent = (candidates < 0) | (candidates >= 60)
    np.testing.assert_allclose(got, np.where(absent, MAX, want), rtol=1e-4, atol=1e-4)
    again = rescore(*asked, candidates[:48], None, stored)  # 12 of each
    want = truth(kind, rows, queries)[np.repeat(np.arange(4), 12), candidates[:48] % 60]
    np.testing.assert_allclose(again, np.where(absent[:48], MAX, want), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["ip_f32", "ip_f16", "ip_bf16"])
@pytest.mark.parametrize("d", [1, 8, 100, 128])
def test_max_sim(engine, kind, d):
    rng = np.random.default_rng(d)
    tokens, questions = rows_of(rng, kind, 200, d), query_rows(rng, kind, 24, d)
    documents = np.array([0, 1, 1, 70, 200])  # one is empty
    spans = np.array([0, 1, 9, 24])
    candidates, offsets = np.array([0, 1, 2, 3, 3, 2, -1, 4]), np.array([0, 4, 5, 8])
    got = max_sim(
        engine(seed=2),
        kind,
        as_bytes(tokens),
        documents,
        queries_for(kind, tokens, questions),
        spans,
        candidates,
        offsets,
    )
    x = wide(kind, tokens)
    for c, (document, told) in enumerate(zip(candidates, got, strict=True)):
        q = int(np.searchsorted(offsets, c, "right")) - 1
        own = questions[spans[q] : spans[q + 1]].astype(float)
        inside = x[documents[document] : documents[document + 1]] if 0 <= document < 4 else x[:0]
        want = (own @ inside.T).max(1).sum() if len(inside) else 0.0
        assert told == pytest.approx(want, rel=1e-4, abs=1e-4)


def test_halves_are_widened_exactly(engine):
    halves = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    for kind, values in (("ip_f16", halves.view(np.float16)), ("ip_bf16", halves)):
        got = rescore(
            engine(seed=0),
            kind,
            as_bytes(values[:, None]),
            queries_for(kind, values[:1, None], np.full((1, 1), -1, np.float32)),
            np.arange(1 << 16),
            np.array([0, 1 << 16]),
        )
        with np.errstate(invalid="ignore"):
            want = wide(kind, values).astype(np.float32)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("n", "k", "d"), [(1, 1, 1), (63, 65, 15), (64, 64, 16), (200, 3, 33), (130, 150, 100)]
)
def test_rows_go_to_the_nearest_centroid(engine, n, k, d):
    rng = np.random.default_rng(n)
    rows = rng.normal(size=(n, d)).astype(np.float32)
    centroids = rng.normal(size=(k, d)).astype(np.float32)
    dearer = rng.random(k).astype(np.float32)
    bias = ((centroids.astype(float) ** 2).sum(1) / 2 + dearer).astype(np.float32)
    labels, scores = assign(engine(seed=k), rows, centroids, bias)
    want = bias.astype(float) - rows.astype(float) @ centroids.astype(float).T
    np.testing.assert_allclose(scores, want.min(1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(want[np.arange(n), labels], want.min(1), rtol=1e-4, atol=1e-4)


def test_equal_centroids_and_rows_with_nan(engine):
    rows = np.ones((70, 20), np.float32)
    rows[3, 7] = np.nan
    labels, scores = assign(
        engine(seed=3), rows, np.ones((100, 20), np.float32), np.r_[5, [1] * 99].astype(np.float32)
    )
    assert labels.tolist() == [1, 1, 1, 0, *[1] * 66]
    assert np.isnan(scores[3])
    np.testing.assert_array_equal(np.delete(scores, 3), -19)


@pytest.mark.parametrize(("n", "k", "d"), [(0, 3, 2), (1, 1, 1), (500, 7, 33), (300, 400, 130)])
def test_centroids_move_to_the_means(engine, n, k, d):
    rng = np.random.default_rng(n + k)
    rows = rng.normal(size=(n, d)).astype(np.float32)
    labels, before = rng.integers(0, k, n), np.full((k, d), 7, np.float32)
    labels[::9] = rng.choice([-1, k, 2**32], len(labels[::9]))  # of none
    there = (labels >= 0) & (labels < k)
    weights = np.where(rng.random(n) < 0.2, 0, rng.random(n)).astype(np.float32)
    for own in (None, weights):
        got, counts, totals = update(engine(seed=1, lanes=64), rows, labels, before, own)
        again, _, _ = update(engine(seed=2, lanes=256), rows, labels, before, own)
        np.testing.assert_array_equal(got, again)
        np.testing.assert_array_equal(counts, np.bincount(labels[there], minlength=k))
        w = np.ones(n) if own is None else own.astype(float)
        np.testing.assert_allclose(totals, np.bincount(labels[there], w[there], k), rtol=1e-12)
        for c in range(k):
            mine = labels == c
            want = np.average(rows[mine], 0, w[mine]) if totals[c] > 0 else 7
            np.testing.assert_allclose(got[c], want, rtol=1e-6, atol=1e-6)


def test_what_is_refused(engine):
    rows, query = np.zeros((4, 16), np.uint8), np.zeros((1, 16), np.uint8)
    for call, said in (
        (lambda: scan(engine(0), "l3", rows, query, 1), "'l3'"),
        (lambda: scan(engine(0), "hamming", rows, query, 0), "from 1 to 2048"),
        (lambda: scan(engine(0), "hamming", rows, query, 2049), "from 1 to 2048"),
        (lambda: scan(engine(0), "planes", rows, query, 1, bits=3, query_bits=1), "planes"),
        (lambda: scan(engine(0), "hamming", rows, query, 1, depth=3), "no 'depth'"),
        (lambda: rescore(engine(0), "planes", rows, query, np.array([1]), None), "codes"),
        (lambda: _gpu.Engine(lanes=48), "power of two"),
    ):
        with pytest.raises(shortlist.ArgumentError, match=said):
            call()
