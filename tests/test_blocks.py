"""Neighbour blocks: the same index, searched another way."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import shortlist
from native_file import join, split
from shortlist._knobs import graph_of

DTYPES = ("float32", "float16", "uint8", "int8")


def vectors(rng, n, d, dtype):
    """Around the same centres each time: queries are like what is searched."""
    centres = np.random.default_rng(d).standard_normal((20, d))
    x = centres[rng.integers(0, 20, n)] + 0.5 * rng.standard_normal((n, d))
    if dtype == "uint8":
        return np.clip(128 + 30 * x, 0, 255).astype(np.uint8)
    if dtype == "int8":
        return np.clip(30 * x, -128, 127).astype(np.int8)
    return x.astype(dtype)


def build(x, metric=shortlist.METRIC_L2, M=16, ef=96, blocks=True):
    index = shortlist.IndexHNSWFlat(x.shape[1], M, metric, dtype=x.dtype.name)
    index.hnsw.efSearch = ef
    index.neighbor_blocks = blocks
    index.add(x)
    return index


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [3, 64, 100, 200])
def test_finds_the_nearest_with_exact_distances(rng, oracle, dtype, d):
    x, q = vectors(rng, 3000, d, dtype), vectors(rng, 60, d, dtype)
    index = build(x, oracle.metric)
    D, I = index.search(q, 10)
    # Inner products of vectors without negative values are hard for the graph itself.
    hard = dtype == "uint8" and oracle.metric == shortlist.METRIC_INNER_PRODUCT
    assert oracle.recall(I, q, x) > (0.6 if hard else 0.97)
    every = oracle.distances(q, x)
    np.testing.assert_allclose(D, np.take_along_axis(every, I, 1), rtol=1e-4, atol=1e-3)
    assert (np.diff(oracle.sign * D, axis=1) >= 0).all()
    assert all(len(set(row)) == 10 for row in I.tolist())


@pytest.mark.parametrize("M", [4, 16, 20, 48])
def test_any_number_of_links(rng, l2, M):
    x, q = vectors(rng, 1500, 24, "float32"), vectors(rng, 40, 24, "float32")
    index = build(x, M=M, ef=200)
    plain = build(x, M=M, ef=200, blocks=False)
    ours, theirs = (l2.recall(i.search(q, 10)[1], q, x) for i in (index, plain))
    assert ours > theirs - 0.03


@pytest.mark.parametrize("kind", ["HNSW16,SQ8,QG", "IDMap2,HNSW16,QG", "HNSW16,QG,RFlat"])
def test_with_other_codecs_and_wrappers(rng, l2, kind):
    x, q = vectors(rng, 2000, 32, "float32"), vectors(rng, 40, 32, "float32")
    index = shortlist.index_factory(32, kind)
    index.train(x)
    if kind.startswith("IDMap"):
        index.add_with_ids(x, np.arange(2000) + 7000)
    else:
        index.add(x)
    graph_of(index).efSearch = 128
    I = index.search(q, 10)[1] - (7000 if kind.startswith("IDMap") else 0)
    assert l2.recall(I, q, x) > 0.9


def test_turning_blocks_on_and_off(rng):
    x, q = vectors(rng, 2000, 48, "float32"), vectors(rng, 50, 48, "float32")
    index = build(x, blocks=False)
    before = index.search(q, 10)
    assert index.neighbor_blocks is False
    index.neighbor_blocks = True
    assert index.neighbor_blocks is True
    with_blocks = index.search(q, 10)
    index.neighbor_blocks = False
    after = index.search(q, 10)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    index.neighbor_blocks = True
    for a, b in zip(with_blocks, index.search(q, 10), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_by_one_and_together_agree(rng):
    x, q = vectors(rng, 2000, 40, "float32"), vectors(rng, 50, 40, "float32")
    index = build(x)
    D, I = index.search(q, 10)
    for i in range(len(q)):
        d, ids = index.search(q[i : i + 1], 10)
        np.testing.assert_array_equal(ids[0], I[i])
        np.testing.assert_array_equal(d[0], D[i])


def test_grows_shrinks_and_changes_with_the_index(rng, l2):
    x, q = vectors(rng, 3000, 32, "float32"), vectors(rng, 60, 32, "float32")
    index = build(x[:500])
    for i in range(500, 600):
        index.add(x[i : i + 1])
    index.add(x[600:])
    assert l2.recall(index.search(q, 10)[1], q, x) > 0.97

    gone = np.arange(0, 3000, 2)
    index.remove_ids(gone)
    D, I = index.search(q, 10)
    assert not np.isin(I, gone).any()
    assert (I >= 0).all()
    assert l2.recall(I // 2, q, x[1::2]) > 0.96

    moved = np.arange(1, 3000, 6)
    new = vectors(rng, len(moved), 32, "float32")
    index.update_vectors(moved, new)
    now = x.copy()
    now[moved] = new
    D, I = index.search(q, 10)
    assert l2.recall(I // 2, q, now[1::2]) > 0.95
    np.testing.assert_allclose(
        D, np.take_along_axis(l2.distances(q, now), I, 1), rtol=1e-4, atol=1e-3
    )

    more = index.hnsw.efSearch
    index.reset()
    assert (index.neighbor_blocks, index.ntotal, index.hnsw.efSearch) == (True, 0, more)
    index.add(x)
    assert l2.recall(index.search(q, 10)[1], q, x) > 0.97


@pytest.mark.parametrize("share", [0.5, 0.05, 0.002])
def test_filters(rng, l2, share):
    x, q = vectors(rng, 3000, 32, "float32"), vectors(rng, 40, 32, "float32")
    index = build(x)
    allowed = np.sort(rng.choice(3000, max(5, int(share * 3000)), replace=False))
    params = shortlist.SearchParametersHNSW(sel=shortlist.IDSelectorBatch(allowed), efSearch=96)
    I = index.search(q, 5, params=params)[1]
    assert np.isin(I, allowed).all()
    assert l2.recall(np.searchsorted(allowed, I), q, x[allowed]) > 0.95


@pytest.mark.parametrize("n", [0, 1, 2, 5, 40])
def test_few_vectors_and_large_k(rng, l2, n):
    x, q = vectors(rng, max(n, 1), 16, "float32")[:n], vectors(rng, 6, 16, "float32")
    index = build(x, ef=10) if n else build(np.empty((0, 16), np.float32))
    D, I = index.search(q, 50)
    if n:
        want_D, want_I = l2.search(q, x, 50)
        np.testing.assert_array_equal(I, want_I)
        np.testing.assert_allclose(D[:, :n], want_D[:, :n], rtol=1e-4)
    assert (I[:, n:] == -1).all()


def test_equal_vectors_and_zeros(rng):
    x = np.repeat(rng.standard_normal((3, 20)).astype(np.float32), 200, axis=0)
    x[:200] = 0
    index = build(x)
    D, I = index.search(x[::200], 20)
    assert (D == 0).all()
    assert (np.arange(3)[:, None] == (I // 200)).all()


def test_nan_queries_and_stored_nan(rng):
    x = vectors(rng, 500, 16, "float32")
    x[7] = np.nan
    index = shortlist.IndexHNSWFlat(16, 16)
    index.neighbor_blocks = True
    index.add(x, allow_nan=True)
    q = x[:3].copy()
    q[1, 0] = np.nan
    I = index.search(q, 5)[1]
    assert (I[1] == -1).all()
    assert (I[[0, 2], 0] == [0, 2]).all()
    assert not (index.search(x[10:60], 400)[1] == 7).any()


@pytest.mark.parametrize("way", ["file", "pickle", "copy", "faiss"])
def test_saved_and_copied(rng, tmp_path, way):
    x, q = vectors(rng, 1500, 32, "uint8"), vectors(rng, 30, 32, "uint8")
    index = build(x)
    if way != "faiss":  # which has no place for gaps, nor for the setting
        index.remove_ids(np.arange(0, 100))
    if way == "file":
        index.save(tmp_path / "i")
        other = shortlist.open(tmp_path / "i")
    elif way == "faiss":
        shortlist.write_index(index, str(tmp_path / "i"))
        other = shortlist.read_index(str(tmp_path / "i"))
        assert not other.neighbor_blocks
        other.neighbor_blocks = True
    else:
        other = pickle.loads(pickle.dumps(index)) if way == "pickle" else copy.deepcopy(index)
    assert other.neighbor_blocks
    assert other.ntotal == index.ntotal
    D, I = other.search(q, 10)
    assert (np.diff(D, axis=1) >= 0).all()
    if way != "faiss":
        assert (I >= 100).all()
        np.testing.assert_array_equal(index.search(q, 10), (D, I))
    assert np.mean(index.search(q, 10)[0] == D) > 0.95


@pytest.mark.parametrize("bad", [1500, 2**32 - 2])
def test_a_file_whose_blocks_lead_nowhere(rng, tmp_path, bad):
    build(vectors(rng, 1500, 32, "uint8")).save(tmp_path / "i")
    sections = split((tmp_path / "i").read_bytes())
    at = next(i for i, (name, _) in enumerate(sections) if name.endswith("/block_links"))
    links = np.frombuffer(sections[at][1], np.uint32).copy()
    links[12345] = bad
    sections[at] = (sections[at][0], links.tobytes())
    (tmp_path / "i").write_bytes(join(sections))
    with pytest.raises(shortlist.CorruptIndexError, match="neighbour block links to"):
        shortlist.open(tmp_path / "i")


@pytest.mark.parametrize("text", ["QG", "Flat,QG", "SQ8,QG", "QG,HNSW32"])
def test_descriptions_where_blocks_do_not_fit(text):
    with pytest.raises(shortlist.FactoryError, match="QG"):
        shortlist.index_factory(16, text)


def test_an_interrupted_add_keeps_a_usable_index(rng, threads):
    threads(1)
    x = vectors(rng, 4000, 32, "float32")
    index = build(x[:500])

    def stop(done, total):
        if done > 300:
            raise KeyError("enough")

    with pytest.raises(KeyError):
        index.add(x[500:], progress=stop)
    kept = index.ntotal
    assert 500 <= kept < 4000
    assert index.neighbor_blocks

    def found(rows):
        return np.mean(index.search(x[rows], 1)[0] == 0)

    assert found(np.arange(0, kept, 7)) > 0.98  # without blocks, which were not made again
    index.remove_ids(np.arange(0, kept, 2))  # many enough to be routed around
    assert found(np.arange(1, kept, 8)) > 0.98
    index.add(x[kept:])
    assert found(np.arange(1, kept, 8)) > 0.98
    assert found(np.arange(kept, 4000, 9)) > 0.98


def test_tuning(rng):
    x, q = vectors(rng, 3000, 24, "float32"), vectors(rng, 600, 24, "float32")
    index = build(x)
    tuning = index.tune(q, 10, 0.9)
    assert tuning.reached
    assert tuning.low <= tuning.recall <= tuning.high
    assert index.hnsw.efSearch == tuning.params["efSearch"]
