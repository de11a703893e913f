"""The binary indexes: exact for bits, equal to faiss, and clear about what they refuse."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import shortlist
from hypothesis import given
from hypothesis import strategies as st
from shortlist._core import _kernels

MISSING = 2**31 - 1
EMPTY = np.empty((0, 4), np.uint8)


def bits(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    return rng.integers(0, 256, (n, size), np.uint8)


def clustered(rng: np.random.Generator, n: int, size: int, centres: np.ndarray) -> np.ndarray:
    flips = np.packbits(rng.random((n, 8 * size)) < 0.15, axis=1)
    return centres[rng.integers(len(centres), size=n)] ^ flips


def distances(queries: np.ndarray, base: np.ndarray) -> np.ndarray:
    return np.unpackbits(queries[:, None] ^ base, axis=2).sum(2, dtype=np.int32)


def nearest(
    queries: np.ndarray, base: np.ndarray, k: int, ids: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Brute force: ties by row, padded as search pads."""
    names = np.arange(len(base)) if ids is None else ids
    every = distances(queries, base)
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    D = np.full((len(queries), k), MISSING, np.int32)
    I = np.full((len(queries), k), -1, np.int64)
    D[:, : order.shape[1]] = np.take_along_axis(every, order, 1)
    I[:, : order.shape[1]] = names[order]
    return D, I


def assert_found(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> None:
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want)
        assert got.dtype == want.dtype


def recall(D: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.less_equal(D, wanted[:, -1:]).mean())


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.one_of(st.sampled_from([1, 2, 16, 32, 48, 64, 96, 128]), st.integers(1, 140)),
    n=st.integers(0, 700),
    nq=st.integers(0, 40),
    k=st.integers(1, 60),
    share=st.none() | st.floats(0, 1),
)
def test_search_is_exact_with_ties_by_id(seed, size, n, nq, k, share):
    rng = np.random.default_rng(seed)
    x, q = bits(rng, n, size), bits(rng, nq, size)
    x[n // 2 :] = x[: n - n // 2]  # each twice, far apart
    index = shortlist.IndexBinaryFlat(8 * size)
    index.add(x)
    chosen, params = np.arange(n), None
    if share is not None:
        chosen = np.flatnonzero(rng.random(n) < share)
        params = shortlist.SearchParameters(sel=shortlist.IDSelectorBatch(chosen))
    wanted = nearest(q, x[chosen], k, chosen)
    assert_found(index.search(q, k, params=params), wanted)
    if params is None:
        assert_found(index.search_exact(q, k), wanted)
    np.testing.assert_array_equal(index.assign(q, k), index.search(q, k)[1])


@pytest.mark.parametrize("size", [5, 16, 32, 48, 128])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_large_searches_on_every_level_and_thread_count(isa, rng, threads, size, k):
    """Blocks, splits between threads, and long runs of equal distances."""
    x = bits(rng, 9000, size)
    x[4000:] &= 1  # many ties
    q = bits(rng, 12, size)
    index = shortlist.IndexBinaryFlat(8 * size)
    index.add(x)
    wanted = nearest(q, x, k)
    before = shortlist.simd_level()
    try:
        _kernels.set_level(isa)
        for count in (1, 3):
            threads(count)
            assert_found(index.search(q, k), wanted)
            for few in (1, 3):
                assert_found(index.search(q[:few], k), [w[:few] for w in wanted])
    finally:
        _kernels.set_level(before)


@pytest.mark.parametrize("size", [4, 32, 48, 128])
def test_distances_are_those_of_faiss(rng, size):
    faiss = pytest.importorskip("faiss")
    x, q = bits(rng, 3000, size), bits(rng, 50, size)
    ours, theirs = shortlist.IndexBinaryFlat(8 * size), faiss.IndexBinaryFlat(8 * size)
    for index in (ours, theirs):
        index.add(x)
    for k in (1, 10, 3100):
        found, wanted = ours.search(q, k), theirs.search(q, k)
        np.testing.assert_array_equal(found[0], wanted[0])
        assert found[0].dtype == wanted[0].dtype == np.int32
        np.testing.assert_array_equal((found[1] >= 0).sum(1), (wanted[1] >= 0).sum(1))
    radius = 4 * size - 5
    lims, D, I = ours.range_search(q, radius)
    theirs_lims, theirs_D, theirs_I = theirs.range_search(q, radius)
    np.testing.assert_array_equal(lims, theirs_lims)
    assert (D.dtype, I.dtype, lims.dtype) == (theirs_D.dtype, theirs_I.dtype, theirs_lims.dtype)
    for a, b in pairwise(lims):
        assert dict(zip(I[a:b], D[a:b], strict=True)) == dict(
            zip(theirs_I[a:b], theirs_D[a:b], strict=True)
        )


@pytest.mark.parametrize("radius", [0, 1, 14, 1000])
def test_range_search_finds_what_is_nearer(rng, radius):
    x, q = bits(rng, 300, 4), bits(rng, 9, 4)
    x[7] = q[3]
    index = shortlist.IndexBinaryFlat(32)
    index.add(x)
    lims, D, I = index.range_search(q, radius)
    inside = distances(q, x) < radius
    np.testing.assert_array_equal(lims, np.r_[0, inside.sum(1).cumsum()])
    np.testing.assert_array_equal(I, inside.nonzero()[1])
    np.testing.assert_array_equal(D, distances(q, x)[inside])
    only = shortlist.SearchParameters(sel=shortlist.IDSelectorRange(5, 8))
    assert set(index.range_search(q, radius, params=only)[2]) <= {5, 6, 7}


@pytest.mark.parametrize("size", [8, 32, 96])
def test_graph_finds_most_and_tells_exact_distances(rng, size):
    centres = bits(rng, 50, size)
    x, q = clustered(rng, 4000, size, centres), clustered(rng, 100, size, centres)
    index = shortlist.IndexBinaryHNSW(8 * size, 16)
    index.add(x)
    index.hnsw.efSearch = 100
    D, I = index.search(q, 10)
    wanted, _ = nearest(q, x, 10)
    np.testing.assert_array_equal(D, np.take_along_axis(distances(q, x), I, 1))
    assert recall(D, wanted) > 0.95
    assert_found(index.search_exact(q, 10), nearest(q, x, 10))
    few = shortlist.SearchParametersHNSW(sel=shortlist.IDSelectorRange(100, 130), efSearch=50)
    assert_found(index.search(q, 40, params=few), nearest(q, x[100:130], 40, np.arange(100, 130)))
    half = shortlist.SearchParametersHNSW(sel=shortlist.IDSelectorRange(0, 2000), efSearch=100)
    D, I = index.search(q, 10, params=half)
    assert I.max() < 2000
    assert recall(D, nearest(q, x[:2000], 10)[0]) > 0.95
    D1 = index.search(q, 10, params=shortlist.SearchParametersHNSW(efSearch=10))[0]
    assert D1.sum() > index.search(q, 10)[0].sum()


def test_graph_keeps_ids_through_removal(rng):
    x = bits(rng, 500, 6)
    index = shortlist.IndexBinaryHNSW(shortlist.IndexBinaryFlat(48), 8)
    index.add(x)
    assert index.remove_ids(np.arange(0, 500, 3)) == 167
    index.add_with_ids(x[:2], [1000, 2000])
    kept = np.r_[np.setdiff1d(np.arange(500), np.arange(0, 500, 3)), 1000, 2000]
    assert (index.ntotal, len(index), index.storage.d, index.hnsw.M) == (335, 335, 48, 8)
    index.hnsw.efSearch = 400
    _, I = index.search(x[:20], 2)
    assert set(I.ravel()) <= set(kept.tolist())
    np.testing.assert_array_equal(index.reconstruct(2000), x[1])
    np.testing.assert_array_equal(index.reconstruct_batch(kept[:9]), x[kept[:9]])
    with pytest.raises(shortlist.IdError, match="id 3 is not in this IndexBinaryHNSW"):
        index.reconstruct(3)
    with pytest.raises(shortlist.IdError, match="already in this"):
        index.add_with_ids(x[:1], [1000])
    index.update_vectors([1, 2000], x[[5, 9]])
    np.testing.assert_array_equal(index.reconstruct_batch([1, 2000]), x[[5, 9]])
    index.reset()
    assert (index.ntotal, index.search(x[:1], 1)[0].item()) == (0, MISSING)


def test_flat_rows_move_up_when_some_are_removed(rng):
    x = bits(rng, 100, 3)
    index = shortlist.IndexBinaryFlat(24)
    index.add(x)
    assert index.remove_ids(np.array([0, 5, 5, 99, 1234, -7])) == 3
    kept = np.delete(x, [0, 5, 99], axis=0)
    np.testing.assert_array_equal(index.reconstruct_n(), kept)
    np.testing.assert_array_equal(index.reconstruct_n(5, 10), kept[5:15])
    out = np.empty(3, np.uint8)
    assert index.reconstruct(2, out) is out
    np.testing.assert_array_equal(out, kept[2])
    assert index.remove_ids(shortlist.IDSelectorRange(90, 1000)) == 7
    assert index.ntotal == 90


def test_merge_moves_rows(rng):
    x = bits(rng, 30, 3)
    for make in (shortlist.IndexBinaryFlat, shortlist.IndexBinaryHNSW):
        left, right = make(24), make(24)
        left.add(x[:10])
        right.add(x[10:])
        left.check_compatible_for_merge(right)
        left.merge_from(right)
        assert (left.ntotal, right.ntotal) == (30, 0)
        np.testing.assert_array_equal(left.reconstruct_n(), x)
        with pytest.raises(shortlist.DimensionError, match="cannot merge"):
            left.merge_from(make(32))


@pytest.mark.parametrize("inner", [shortlist.IndexBinaryFlat, shortlist.IndexBinaryHNSW])
@pytest.mark.parametrize("wrapper", [shortlist.IndexBinaryIDMap, shortlist.IndexBinaryIDMap2])
def test_id_maps_name_rows(rng, inner, wrapper):
    x, names = bits(rng, 200, 4), np.arange(200) * 7 + 3
    index = wrapper(inner(32))
    index.add_with_ids(x, names)
    assert type(index.index) is inner
    np.testing.assert_array_equal(index.id_map, names)
    D, I = index.search(x, 1)
    assert not D.any()
    assert (distances(x, x[(I[:, 0] - 3) // 7]).diagonal() == 0).all()
    only = shortlist.SearchParameters(sel=shortlist.IDSelectorBatch([10, 17]))
    assert set(index.search(x, 3, params=only)[1].ravel()) == {10, 17, -1}
    assert index.remove_ids([10, 11]) == 1
    assert 10 not in index.search(x[1:2], 200)[1]
    with pytest.raises(NotImplementedError, match="needs an id for each vector"):
        index.add(x)
    if wrapper is shortlist.IndexBinaryIDMap2:
        np.testing.assert_array_equal(index.reconstruct(17), x[2])
    else:
        with pytest.raises(NotImplementedError, match="use IndexBinaryIDMap2"):
            index.reconstruct(17)


def test_no_rows_in_no_rows_out():
    for index in (shortlist.IndexBinaryFlat(32), shortlist.IndexBinaryHNSW(32)):
        D, I = index.search(np.ones((2, 4), np.uint8), 3)
        assert (D == MISSING).all()
        assert (I == -1).all()
        index.add(EMPTY)
        index.train(EMPTY)
        assert (len(index), index.is_trained, index.d, index.code_size) == (0, True, 32, 4)
        assert index.search(EMPTY, 3)[0].shape == (0, 3)
        assert index.reconstruct_n().shape == (0, 4)
        assert [a.size for a in index.range_search(EMPTY, 9)] == [1, 0, 0]


def test_outputs_may_be_given_and_arrays_may_be_strided(rng):
    x = bits(rng, 40, 8)
    index = shortlist.IndexBinaryFlat(32)
    index.add(x[:, ::2])
    np.testing.assert_array_equal(index.reconstruct_n(), x[:, ::2])
    D, I = np.empty((40, 2), np.int32), np.empty((40, 2), np.int64)
    found = index.search(np.asfortranarray(x[:, ::2]), 2, D=D, I=I)
    assert found[0] is D
    assert found[1] is I
    np.testing.assert_array_equal(I[:, 0], np.arange(40))
    with pytest.raises(TypeError, match="D must be a numpy array of dtype int32"):
        index.search(x[:, :4], 2, D=np.empty((40, 2), np.float32))


def test_tensors_give_tensors(rng):
    torch = pytest.importorskip("torch")
    x = bits(rng, 20, 4)
    index = shortlist.IndexBinaryFlat(32)
    index.add(torch.from_numpy(x))
    D, I = index.search(torch.from_numpy(x), 2)
    assert (D.dtype, I.dtype) == (torch.int32, torch.int64)
    assert_found((D.numpy(), I.numpy()), nearest(x, x, 2))


@pytest.mark.parametrize("d", [0, -8, 7, 33, 2**20 + 8, 2**60])
def test_dimensions_are_whole_bytes(d):
    for make in (shortlist.IndexBinaryFlat, shortlist.IndexBinaryHNSW):
        with pytest.raises(ValueError, match=f"d = {d}"):
            make(d)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.ones((2, 5), np.uint8), shortlist.DimensionError, r"\(2, 5\) but this .* d = 32 bits"),
        (np.ones(4, np.uint8), shortlist.DimensionError, r"pass uint8 of shape \(n, 4\)"),
        (np.ones((2, 4), np.float32), TypeError, r"dtype float32; expected uint8.*np\.packbits"),
        (np.ones((2, 4), np.int8), TypeError, "dtype int8; expected uint8"),
        (np.ones((2, 32), bool), TypeError, "dtype bool; expected uint8"),
        (np.array([["a"] * 4]), TypeError, "expected uint8"),
        ([[1, 2, 3, 4]], TypeError, "dtype int64; expected uint8"),
    ],
)
def test_other_arrays_are_refused(x, error, words):
    for index in (shortlist.IndexBinaryFlat(32), shortlist.IndexBinaryHNSW(32)):
        for call in (index.add, index.train):
            with pytest.raises(error, match=words):
                call(x)
        for call in (index.search, index.search_exact, index.range_search, index.assign):
            with pytest.raises(error, match=words):
                call(x, 1)
        assert index.ntotal == 0


def test_other_mistakes_are_named(rng):
    index = shortlist.IndexBinaryFlat(32)
    index.add(bits(rng, 5, 4))
    q = bits(rng, 2, 4)
    for k, error, words in (
        (0, ValueError, "k = 0"),
        (-2, ValueError, "k = -2"),
        (2**62, MemoryError, "the result of search"),
        (2.5, TypeError, "incompatible"),
    ):
        with pytest.raises(error, match=words):
            index.search(q, k)
    for key in (-1, 5, 2**62):
        with pytest.raises(shortlist.IdError, match=f"id {key} is not in this IndexBinaryFlat"):
            index.reconstruct(key)
    with pytest.raises(NotImplementedError, match=r"wrap it: IndexBinaryIDMap2\(index\)"):
        index.add_with_ids(q, [1, 2])
    with pytest.raises(shortlist.DimensionError, match=r"ids has shape"):
        shortlist.IndexBinaryIDMap(shortlist.IndexBinaryFlat(32)).add_with_ids(q, [1])
    with pytest.raises(ValueError, match="wrap it while it is empty"):
        shortlist.IndexBinaryIDMap(index)
    with pytest.raises(ValueError, match="pass an empty one"):
        shortlist.IndexBinaryHNSW(index, 8)
    graph = shortlist.IndexBinaryHNSW(32)
    graph.storage.add(q)
    with pytest.raises(ValueError, match="add and remove through the"):
        graph.search(q, 1)
    for wrong in (shortlist.IndexIDMap, shortlist.IndexRefineFlat, shortlist.write_index):
        with pytest.raises(TypeError, match="incompatible"):
            wrong(index)
    with pytest.raises(TypeError, match="incompatible"):
        shortlist.IndexBinaryIDMap(shortlist.IndexFlatL2(4))


def test_searches_go_on_while_others_add(rng):
    x = bits(rng, 20000, 16)
    index = shortlist.IndexBinaryFlat(128)
    index.add(x[:100])
    stop, failures = threading.Event(), []

    def search():
        while not stop.is_set():
            D, I = index.search(x[:5], 1)
            if D.any() or (I[:, 0] != np.arange(5)).any():
                failures.append((D, I))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for t in threads:
        t.start()
    for at in range(100, 20000, 1990):
        index.add(x[at : at + 1990])
    stop.set()
    for t in threads:
        t.join()
    assert not failures
    assert index.ntotal == 20000


def test_aliases_outlive_the_index(rng):
    index = shortlist.IndexBinaryIDMap2(shortlist.IndexBinaryHNSW(32, 8))
    index.add_with_ids(bits(rng, 50, 4), np.arange(50))
    graph, storage, links = index.index, index.index.storage, index.index.hnsw
    assert isinstance(graph, shortlist.IndexBinary)
    del index
    assert (graph.ntotal, storage.ntotal, links.M) == (50, 50, 8)
    del graph
    assert repr(storage) == "IndexBinaryFlat(d=32, ntotal=50, bits, 0.0 MB)"


def test_factory_builds_what_faiss_builds():
    faiss = pytest.importorskip("faiss")
    for description in (
        "BFlat",
        "BHNSW16",
        "BIVF8",
        "BIVF8_HNSW16",
        "IDMap2,BIVF8_HNSW32",
        "IDMap,BFlat",
        "IDMap2,BFlat",
        "BFlat,IDMap2",
        "BHNSW8,IDMap",
    ):
        ours = shortlist.index_binary_factory(64, description)
        theirs = faiss.index_binary_factory(64, description)
        assert type(ours).__name__ == type(theirs).__name__
        assert (ours.d, ours.metric_type) == (theirs.d, theirs.metric_type)
    assert shortlist.index_binary_factory(64, "BHNSW7").hnsw.M == 7
    lists = shortlist.index_binary_factory(64, "BIVF9_HNSW7")
    assert (lists.nlist, lists.quantizer.hnsw.M, lists.is_trained) == (9, 7, False)
    assert type(shortlist.index_binary_factory(64, "BIVF9").quantizer).__name__ == (
        "IndexBinaryFlat"
    )
    assert type(shortlist.index_binary_factory(64, "IDMap2,BHNSW").index).__name__ == (
        "IndexBinaryHNSW"
    )


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("Flat", "is of no binary index. Known forms: BFlat, BHNSW<M>"),
        ("BIVF", "is of no binary index"),
        ("BIVF8k", "is of no binary index"),
        ("BIVF8_HNSW", "is of no binary index"),
        ("BIVF0", "lists = 0"),
        ("BIVF8_HNSW1", "M = 1"),
        ("BFlat,BFlat", "is of no binary index"),
        ("", "is of no binary index"),
        ("IDMap", "is of no binary index"),
        ("BHNSW1", "M = 1"),
        ("BHNSW32)", "without a"),
    ],
)
def test_factory_refuses(description, words):
    with pytest.raises(shortlist.FactoryError, match=words):
        shortlist.index_binary_factory(64, description)
    with pytest.raises(TypeError, match="is a string"):
        shortlist.index_binary_factory(64, 3)
    with pytest.raises(shortlist.DimensionError, match="d = 12 bits"):
        shortlist.index_binary_factory(12, "BFlat")
    with pytest.raises(shortlist.FactoryError, match="index_binary_factory builds it"):
        shortlist.index_factory(64, "BHNSW32")


def test_popcount64():
    assert [shortlist.popcount64(x) for x in (0, 1, 255, 2**64 - 1)] == [0, 1, 8, 64]
