"""IndexBinaryIVF beside brute force and faiss, and faiss's files of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import shortlist as sl
from hypothesis import given
from hypothesis import strategies as st


def bits(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Around some centres, a tenth of the bits flipped."""
    centres = np.random.default_rng(7).integers(0, 256, (25, size), dtype=np.uint8)
    flips = np.packbits(rng.random((n, 8 * size)) < 0.1, axis=1)
    return centres[rng.integers(25, size=n)] ^ flips


def built(x: np.ndarray, nlist: int = 12, nprobe: int | None = None) -> sl.IndexBinaryIVF:
    d = 8 * x.shape[1]
    index = sl.IndexBinaryIVF(sl.IndexBinaryFlat(d), d, nlist)
    index.cp.min_points_per_centroid = 1
    assert not index.is_trained
    index.train(x)
    index.add(x)
    index.nprobe = nprobe or nlist
    return index


def hamming(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.unpackbits(q[:, None] ^ x, axis=2).sum(2, dtype=np.int32)


def lists_of(index: sl.IndexBinaryIVF) -> np.ndarray:
    lists = np.full(index.ntotal, -1)
    for l in range(index.nlist):
        lists[index.invlists.get_ids(l)] = l
    return lists


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("size", [1, 3, 8, 32, 100])
def test_searches_are_exact_in_the_lists_looked_at(rng, threads, size, graph):
    x, q = bits(rng, 700, size), bits(rng, 40, size)
    d = 8 * size
    quantizer = sl.IndexBinaryHNSW(d, 8) if graph else sl.IndexBinaryFlat(d)
    index = sl.IndexBinaryIVF(quantizer, d, 9)
    index.train(x)
    index.add(x)
    assert (index.is_trained, index.ntotal, quantizer.ntotal) == (True, 700, 9)
    lists, every = lists_of(index), hamming(q, x)
    centroids = quantizer.reconstruct_n()
    if not graph:
        near = hamming(x, centroids)
        np.testing.assert_array_equal(near[np.arange(700), lists], near.min(1))
    for nprobe in (1, 4, 9):
        index.nprobe = nprobe
        _, probed = quantizer.search(q, nprobe)
        inside = np.array([np.isin(lists, row) for row in probed])
        for count in (1, 2):
            threads(count)
            D, I = index.search(q, 15)
            want = np.where(inside, every, 2**31 - 1)
            np.testing.assert_array_equal(D, np.sort(want, axis=1)[:, :15])
            assert D.dtype == np.int32
            there = I >= 0
            np.testing.assert_array_equal(there, D < 2**31 - 1)
            told = np.take_along_axis(every, np.maximum(I, 0), 1)
            np.testing.assert_array_equal(D[there], told[there])
            assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in I)
        radius = int(np.median(every)) - 1
        lims, D, I = index.range_search(q, radius)
        for i, row in enumerate(np.split(I, lims[1:-1])):
            assert set(row) == set(np.flatnonzero(inside[i] & (every[i] < radius)))
    np.testing.assert_array_equal(index.search_exact(q, 5)[0], np.sort(every, axis=1)[:, :5])
    one = [index.search(row[None], 15)[0] for row in q]
    np.testing.assert_array_equal(np.concatenate(one), index.search(q, 15)[0])


def test_training_finds_the_centres(rng):
    x = bits(rng, 3000, 16)
    index = built(x, 25)
    error = hamming(x, index.quantizer.reconstruct_n()).min(1).mean()
    assert error < 0.2 * 128
    again = built(x, 25)
    np.testing.assert_array_equal(index.quantizer.reconstruct_n(), again.quantizer.reconstruct_n())
    sampled = sl.IndexBinaryIVF(sl.IndexBinaryFlat(128), 128, 4)
    sampled.cp.max_points_per_centroid = 39
    sampled.train(x)
    assert sampled.quantizer.ntotal == 4


def test_a_quantizer_with_centroids_needs_no_training(rng):
    x = bits(rng, 200, 4)
    flat = sl.IndexBinaryFlat(32)
    flat.add(x[:5])
    index = sl.IndexBinaryIVF(flat, 32, 5)
    assert index.is_trained
    index.add(x)
    np.testing.assert_array_equal(flat.reconstruct_n(), x[:5])
    assert index.quantizer is flat


def test_filters_and_bounds(rng):
    x, q = bits(rng, 500, 8), bits(rng, 20, 8)
    index = built(x)
    params = sl.SearchParametersIVF(sel=sl.IDSelectorRange(50, 70), nprobe=12)
    D, I = index.search(q, 25, params=params)
    np.testing.assert_array_equal(np.sort(I[:, :20]), np.tile(np.arange(50, 70), (20, 1)))
    np.testing.assert_array_equal(D[:, :20], np.sort(hamming(q, x[50:70]), axis=1))
    assert (I[:, 20:] == -1).all()
    first = index.search(q, 500, params=sl.SearchParametersIVF(nprobe=12, max_codes=1))[1]
    assert (
        (first >= 0).sum(1) == [index.get_list_size(l) for l in index.quantizer.assign(q, 1)[:, 0]]
    ).all()


def test_living(rng):
    x = bits(rng, 300, 5)
    index, other = built(x), built(x)
    assert index.remove_ids(np.arange(0, 300, 3)) == 100
    assert index.ntotal == 200
    assert not set(index.search(x, 5)[1].ravel()) & set(range(0, 300, 3))
    np.testing.assert_array_equal(index.reconstruct(7), x[7])
    index.add_with_ids(x[:5], np.arange(5) + 10**12)
    np.testing.assert_array_equal(index.reconstruct(10**12 + 2), x[2])
    index.merge_from(other, 1000)
    assert (index.ntotal, other.ntotal) == (505, 0)
    np.testing.assert_array_equal(index.reconstruct_batch([1007, 1008]), x[[7, 8]])
    index.reset()
    assert (index.search(x[:2], 3)[1] == -1).all()
    wrapped = sl.IndexBinaryIDMap2(sl.IndexBinaryIVF(sl.IndexBinaryFlat(40), 40, 3))
    wrapped.train(x)
    wrapped.add_with_ids(x, np.arange(300) * 2)
    np.testing.assert_array_equal(wrapped.reconstruct(42), x[21])


def test_bad_input(rng):
    flat = sl.IndexBinaryFlat(32)
    with pytest.raises(sl.DimensionError, match="the quantizer has d = 32 bits"):
        sl.IndexBinaryIVF(flat, 40, 4)
    with pytest.raises(ValueError, match="nlist"):
        sl.IndexBinaryIVF(flat, 32, 0)
    with pytest.raises(TypeError):
        sl.IndexBinaryIVF(sl.IndexFlatL2(4), 32, 4)
    with pytest.raises(NotImplementedError, match="own_invlists"):
        sl.IndexBinaryIVF(flat, 32, 4, False)
    index = sl.IndexBinaryIVF(flat, 32, 4)
    x = bits(rng, 50, 4)
    with pytest.raises(sl.NotTrainedError):
        index.add(x)
    with pytest.raises(sl.NotTrainedError):
        index.search(x, 1)
    with pytest.raises(ValueError, match="clusters"):
        index.train(x[:3])
    assert not index.is_trained
    with pytest.raises(TypeError):
        index.train(x.astype(np.float32))
    with pytest.raises(sl.DimensionError):
        index.train(x[:, :3])
    index.train(x)
    index.add(x)
    with pytest.raises(ValueError, match="training now"):
        index.train(x)
    with pytest.raises(ValueError, match="nprobe"):
        index.nprobe = 0
    for l in (-1, 4):
        with pytest.raises(sl.IdError, match="list"):
            index.get_list_size(l)
    with pytest.raises(sl.IdError):
        index.reconstruct(50)
    other = sl.IndexBinaryIVF(sl.IndexBinaryFlat(32), 32, 4)
    other.train(bits(np.random.default_rng(99), 60, 4))
    with pytest.raises(ValueError, match="other lists"):
        index.merge_from(other)


# --- faiss's files -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 3, 500])
@pytest.mark.parametrize("graph", [False, True])
def test_ours_reads_faiss_and_writes_the_same(rng, faiss, n, graph):
    x = bits(rng, 500, 9)
    quantizer = faiss.IndexBinaryHNSW(72, 4) if graph else faiss.IndexBinaryFlat(72)
    theirs = faiss.IndexBinaryIVF(quantizer, 72, 11)
    theirs.cp.min_points_per_centroid = 1
    theirs.train(x)
    theirs.nprobe = 3
    if n:
        theirs.add_with_ids(x[:n], np.arange(n) * 5 + 3)
    data = faiss.serialize_index_binary(theirs)
    ours = sl.deserialize_index_binary(data)
    assert type(ours).__name__ == "IndexBinaryIVF"
    assert type(ours.quantizer).__name__ == type(quantizer).__name__
    assert (ours.ntotal, ours.d, ours.nlist, ours.nprobe, ours.is_trained) == (n, 72, 11, 3, True)
    np.testing.assert_array_equal(sl.serialize_index_binary(ours), data)
    D, I = ours.search(x[:60], 5)
    want, ids = theirs.search(x[:60], 5)
    if n == 500 and not graph:  # of lists that are equally near either may be searched
        near = np.sort(hamming(x[:60], ours.quantizer.reconstruct_n()), axis=1)
        sure = near[:, 2] < near[:, 3]
        assert sure.mean() > 0.5
        np.testing.assert_array_equal(D[sure], want[sure])
        for told, a, b in zip(want[sure], I[sure], ids[sure], strict=True):
            nearer = told < told[-1]  # of those as far as the last either may be named
            assert set(a[nearer]) == set(b[nearer])
    ours.add(x[:2])
    assert ours.search(x[:1], 1)[0][0, 0] == 0


def test_faiss_reads_ours(rng, faiss):
    x, q = bits(rng, 800, 16), bits(rng, 50, 16)
    index = built(x, nprobe=12)
    index.remove_ids(np.arange(0, 800, 7))
    data = sl.serialize_index_binary(index)
    theirs = faiss.deserialize_index_binary(data)
    assert (theirs.ntotal, theirs.nprobe, theirs.nlist) == (index.ntotal, 12, 12)
    np.testing.assert_array_equal(faiss.serialize_index_binary(theirs), data)
    np.testing.assert_array_equal(theirs.search(q, 10)[0], index.search(q, 10)[0])
    again = sl.deserialize_index_binary(data)
    for a, b in zip(again.search(q, 10), index.search(q, 10), strict=True):
        np.testing.assert_array_equal(a, b)
    untrained = sl.IndexBinaryIVF(sl.IndexBinaryFlat(16), 16, 3)
    again = sl.deserialize_index_binary(sl.serialize_index_binary(untrained))
    assert (again.is_trained, again.ntotal, again.nlist) == (False, 0, 3)
    wrapped = sl.IndexBinaryIDMap2(sl.IndexBinaryIVF(sl.IndexBinaryFlat(128), 128, 3))
    wrapped.train(x)
    wrapped.add_with_ids(x[:9], np.arange(9) + 100)
    data = sl.serialize_index_binary(wrapped)
    np.testing.assert_array_equal(
        faiss.serialize_index_binary(faiss.deserialize_index_binary(data)), data
    )
    again = sl.deserialize_index_binary(data)
    assert type(again).__name__ == "IndexBinaryIDMap2"
    np.testing.assert_array_equal(again.reconstruct(104), x[4])


def test_damaged_files(rng):
    x = bits(rng, 30, 4)
    index = built(x, 2)
    index.remove_ids(np.arange(6, 30))
    data = bytearray(sl.serialize_index_binary(index))
    for n in range(len(data)):
        with pytest.raises(sl.CorruptIndexError):
            sl.deserialize_index_binary(bytes(data[:n]))
        with pytest.raises(sl.CorruptIndexError):
            sl.read_index_binary(io.BytesIO(data[:n]))
    refused = 0
    for at in range(len(data)):
        for bit in (at % 8, 7):
            data[at] ^= 1 << bit
            try:
                again = sl.deserialize_index_binary(bytes(data))
                again.search(np.zeros((2, again.code_size), np.uint8), 5)
            except (sl.CorruptIndexError, NotImplementedError, ValueError):
                refused += 1
            data[at] ^= 1 << bit
    assert refused > 50


@given(
    n=st.integers(1, 150),
    size=st.integers(1, 20),
    nlist=st.integers(1, 9),
    nprobe=st.integers(1, 9),
    k=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_any_shape(n, size, nlist, nprobe, k, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, (max(n, nlist), size), dtype=np.uint8)  # many are equal
    index = built(x, nlist, nprobe)
    lists, every = lists_of(index), hamming(x, x)
    _, probed = index.quantizer.search(x, min(nprobe, nlist))
    inside = np.array([np.isin(lists, row) for row in probed])
    want = np.sort(np.where(inside, every, 2**31 - 1), axis=1)[:, :k]
    D, _ = index.search(x, k)
    np.testing.assert_array_equal(D[:, : want.shape[1]], want)
    again = sl.deserialize_index_binary(sl.serialize_index_binary(index))
    np.testing.assert_array_equal(again.search(x, k)[0], D)
