"""int8 traversal: floats walked by codes must find what floats walked as floats find."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
import shortlist
from conftest import Oracle
from shortlist.datasets import sample

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT


def build(x, metric=L2, int8=True, batches=1, **kwargs):
    index = shortlist.IndexHNSWFlat(x.shape[1], 12, metric, **kwargs)
    index.int8_traversal = int8
    for part in np.array_split(x, batches):
        index.add(part)
    return index


def walks_codes(index):
    return "walked as int8" in repr(index)


def megabytes(index):
    return float(re.search(r"([\d.]+) MB", repr(index))[1])


def clustered(rng, n, d, spread=0.5):
    centres = np.random.default_rng(d).standard_normal((20, d))
    x = centres[rng.integers(0, 20, n)] + spread * rng.standard_normal((n, d))
    return x.astype(np.float32)


def data(kind, rng):
    if kind in ("sift", "texts"):
        found = sample(kind)
        base, queries = (np.asarray(part, np.float32) for part in (found.base, found.queries))
        return base[:4000], queries[:200]
    x = {
        "gaussian": lambda n: rng.standard_normal((n, 24)),
        "positive": lambda n: rng.random((n, 32)),
        "offset": lambda n: 1000 + clustered(rng, n, 32),
        "uneven": lambda n: clustered(rng, n, 32) * np.linspace(0.3, 3, 32),
        "heavy tails": lambda n: rng.standard_t(3, (n, 16)),
    }[kind]
    return x(4000).astype(np.float32), x(200).astype(np.float32)


KINDS = ("sift", "texts", "gaussian", "positive", "offset", "uneven", "heavy tails")
HARD = {(L2, "heavy tails"), (IP, "heavy tails"), (IP, "offset")}  # for a grid of 255 steps


@pytest.mark.parametrize("kind", KINDS)
def test_recall_at_equal_efSearch_does_not_drop(rng, oracle, kind):
    x, q = data(kind, rng)
    plain, coded = (build(x, oracle.metric, int8) for int8 in (False, True))
    assert not walks_codes(plain)
    assert walks_codes(coded) is ((oracle.metric, kind) not in HARD)
    if not walks_codes(coded):
        return
    change = []
    for k, ef in ((10, 10), (10, 16), (10, 64), (1, 8), (50, 50)):
        got = []
        for index in (plain, coded):
            index.hnsw.efSearch = ef
            D, I = index.search(q, k)
            got.append(oracle.recall(I, q, x))
            every = oracle.distances(q, x)
            np.testing.assert_allclose(D, np.take_along_axis(every, I, 1), rtol=2e-4, atol=1e-3)
            assert (np.diff(oracle.sign * D, axis=1) >= 0).all()
        change.append(got[1] - got[0])
    assert min(change) > -0.05, change
    assert np.mean(change) > -0.005, change


def test_same_answers_to_the_bit_where_all_is_found(rng, oracle):
    """The distances are those of the vectors, not of their codes."""
    x, q = clustered(rng, 2000, 40), clustered(rng, 50, 40)
    plain, coded = (build(x, oracle.metric, int8) for int8 in (False, True))
    for index in (plain, coded):
        index.hnsw.efSearch = 1500
    for a, b in zip(plain.search(q, 10), coded.search(q, 10), strict=True):
        np.testing.assert_array_equal(a, b)


def tight_clusters(rng):
    centres = 100 * rng.standard_normal((6, 8))
    return centres[rng.integers(0, 6, 3000)] + 1e-3 * rng.standard_normal((3000, 8))


def one_far_away(rng):
    x = rng.standard_normal((3000, 8))
    x[1234] = 1e7
    return x


def one_too_large_to_compare(rng):
    x = rng.standard_normal((3000, 8))
    x[1234] = 1e30
    return x


@pytest.mark.parametrize("make", [tight_clusters, one_far_away, one_too_large_to_compare])
def test_not_used_where_codes_cannot_tell_neighbours_apart(rng, l2, make):
    x = make(rng).astype(np.float32)
    q = (x[rng.integers(0, 3000, 100)] + np.float32(1e-4)).astype(np.float32)
    coded, plain = build(x), build(x, int8=False)
    assert coded.int8_traversal
    assert not walks_codes(coded)
    for index in (coded, plain):
        index.hnsw.efSearch = 128
    ours, theirs = (l2.recall(i.search(q, 10)[1], q, x) for i in (coded, plain))
    assert ours > theirs - 0.02


def test_vectors_that_are_not_finite_are_never_found(rng):
    x = clustered(rng, 2000, 16)
    x[7, 3], x[8, 0] = np.nan, np.inf
    late = clustered(rng, 500, 16)
    late[11] = np.nan
    index = shortlist.IndexHNSWFlat(16, 8)
    index.add(x[100:])
    assert walks_codes(index)
    index.add(late, allow_nan=True)
    assert not walks_codes(index)
    index.add(x[:100], allow_nan=True)
    index.hnsw.efSearch = 400
    _, found = index.search(x[100:300], 50)
    gone = {1900 + 11, 2400 + 7, 2400 + 8}
    assert not gone & set(found.ravel().tolist())
    assert (found[:, 0] == np.arange(200)).all()


@pytest.mark.parametrize("blocks", [False, True])
def test_a_range_that_grows_from_batch_to_batch(rng, l2, blocks):
    x = np.concatenate([clustered(rng, 60, 24) * scale for scale in np.linspace(1, 20, 60)])
    q = x[rng.integers(0, len(x), 100)] + 0.1 * clustered(rng, 100, 24)
    index = shortlist.IndexHNSWFlat(24, 12)
    index.neighbor_blocks = blocks
    for part in np.array_split(x, 60):
        index.add(part)
    plain = build(x, int8=False, batches=60)
    assert walks_codes(index)
    for i in (index, plain):
        i.hnsw.efSearch = 128
    ours, theirs = (l2.recall(i.search(q, 10)[1], q, x) for i in (index, plain))
    assert ours > theirs - (0.05 if blocks else 0.01)


@pytest.mark.parametrize("far", [3, 50])
def test_queries_outside_the_grid(rng, oracle, far):
    x, q = clustered(rng, 3000, 16), far * clustered(rng, 100, 16)
    plain, coded = (build(x, oracle.metric, int8) for int8 in (False, True))
    for index in (plain, coded):
        index.hnsw.efSearch = 64
    ours, theirs = (oracle.recall(i.search(q, 10)[1], q, x) for i in (coded, plain))
    assert ours > theirs - 0.03


def test_queries_with_one_dominant_value(rng):
    """Rounding such a query would lose the other values: it is compared as floats."""
    ip = Oracle(IP)
    x, q = clustered(rng, 3000, 64), 0.01 * clustered(rng, 100, 64)
    q[:, 0] = 5
    coded = build(x, IP)
    assert walks_codes(coded)
    coded.hnsw.efSearch = 128
    plain = build(x, IP, int8=False)
    plain.hnsw.efSearch = 128
    ours, theirs = (ip.recall(i.search(q, 10)[1], q, x) for i in (coded, plain))
    assert ours > theirs - 0.02


def test_the_switch(rng, l2):
    x, q = clustered(rng, 6000, 128), clustered(rng, 60, 128)
    for dtype, on in (("float32", True), ("float16", False), ("uint8", False), ("int8", False)):
        assert shortlist.IndexHNSWFlat(32, 8, dtype=dtype).int8_traversal is on
    index = build(x, int8=False)
    index.hnsw.efSearch = 64
    before = index.search(q, 10)
    small = megabytes(index)
    index.int8_traversal = True
    assert walks_codes(index)
    assert small < megabytes(index) < 1.3 * small
    assert l2.recall(index.search(q, 10)[1], q, x) > l2.recall(before[1], q, x) - 0.01
    index.neighbor_blocks = True
    assert l2.recall(index.search(q, 10)[1], q, x) > 0.9
    index.int8_traversal = False
    assert l2.recall(index.search(q, 10)[1], q, x) > 0.9
    index.neighbor_blocks = False
    assert not walks_codes(index)
    for a, b in zip(index.search(q, 10), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_float16_and_SQ8_vectors_may_have_codes_too(rng, l2):
    x, q = clustered(rng, 3000, 48), clustered(rng, 60, 48)
    half = build(x, dtype="float16")
    sq = shortlist.IndexHNSWSQ(48, shortlist.ScalarQuantizer.QT_8bit, 12)
    sq.int8_traversal = True
    sq.train(x)
    sq.add(x)
    for index in (half, sq):
        assert walks_codes(index)
        index.hnsw.efSearch = 64
        assert l2.recall(index.search(q, 10)[1], q, x) > 0.9


def test_filters_ranges_and_changes(rng, l2):
    x, q = clustered(rng, 3000, 24), clustered(rng, 40, 24)
    index = build(x)
    index.hnsw.efSearch = 96
    odd = np.arange(1, 3000, 2)
    params = shortlist.SearchParametersHNSW(sel=shortlist.IDSelectorBatch(odd), efSearch=96)
    _, I = index.search(q, 10, params=params)
    assert (I % 2 == 1).all()
    assert l2.recall(odd.searchsorted(I), q, x[odd]) > 0.95
    every = l2.distances(q, x)
    radius = float(np.sort(every, axis=1)[:, 20].mean())
    lims, distances, ids = index.range_search(q, radius)
    assert lims[-1] == len(ids)
    assert (distances < radius).all()
    np.testing.assert_allclose(
        distances, every[np.repeat(np.arange(40), np.diff(lims.astype(int))), ids], rtol=1e-4
    )
    moved = np.arange(0, 3000, 3)
    x[moved] = clustered(rng, 1000, 24)
    index.update_vectors(moved, x[moved])
    index.remove_ids(np.arange(1500))
    kept = np.arange(1500, 3000)
    assert walks_codes(index)
    _, I = index.search(q, 10)
    assert l2.recall(I - 1500, q, x[kept]) > 0.95
    index.reset()
    assert not walks_codes(index)
    index.add(x)
    assert walks_codes(index)
    assert l2.recall(index.search(q, 10)[1], q, x) > 0.95


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_saved_and_copied(rng, tmp_path, int8, dtype):
    x, q = clustered(rng, 1200, 24), clustered(rng, 40, 24)
    index = build(x, int8=int8, dtype=dtype)
    want = index.search(q, 10)
    index.save(tmp_path / "i.shortlist")
    shortlist.write_index(index, str(tmp_path / "i.faiss"))
    native = (shortlist.open(tmp_path / "i.shortlist"), pickle.loads(pickle.dumps(index)))
    for other in (*native, copy.deepcopy(index), shortlist.clone_index(index)):
        assert (other.int8_traversal, walks_codes(other)) == (int8, int8)
        for a, b in zip(other.search(q, 10), want, strict=True):
            np.testing.assert_array_equal(a, b)
    other = shortlist.read_index(str(tmp_path / "i.faiss"))
    assert walks_codes(other) is (dtype == "float32")
