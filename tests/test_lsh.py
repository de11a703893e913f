"""IndexLSH: signs by their definition, Hamming distances by brute force, and faiss beside it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import shortlist as sl
from hypothesis import given
from hypothesis import strategies as st

# d, nbits, rotate_data, train_thresholds
SHAPES = [
    (20, 20, False, False),
    (20, 13, False, True),
    (24, 24, True, False),
    (20, 50, True, True),
    (70, 9, True, True),
    (3, 1, True, False),
]


def vectors(rng, n, d):
    return (rng.normal(size=(n, d)) + rng.normal(size=d)).astype(np.float32)


def built(x, nbits, rotate=True, train=False):
    index = sl.IndexLSH(x.shape[1], nbits, rotate, train)
    index.train(x)
    index.add(x)
    return index


def projected(index, x):
    y = x.astype(np.float64)
    return y @ index.rrot.A.T.astype(np.float64) if index.rotate_data else y[:, : index.nbits]


def unpacked(codes, nbits):
    return np.unpackbits(codes, axis=1, bitorder="little")[:, :nbits]


def hamming(index, q, x):
    """By the codes that the index itself makes."""
    a, b = (unpacked(index.sa_encode(v), index.nbits).astype(int) for v in (q, x))
    return (a[:, None] != b[None]).sum(2)


@pytest.mark.parametrize(("d", "nbits", "rotate", "train"), SHAPES)
def test_bits_are_the_signs_of_what_is_left_of_thresholds(rng, d, nbits, rotate, train):
    x = vectors(rng, 301, d)
    index = built(x, nbits, rotate, train)
    y = projected(index, x)
    if train:
        np.testing.assert_allclose(index.thresholds, np.median(y, axis=0), atol=1e-5)
        y = y - index.thresholds
    else:
        assert index.thresholds.size == 0
    got = unpacked(index.sa_encode(x), nbits)
    clear = abs(y) > 1e-4
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(got[clear], (y >= 0)[clear])
    assert index.code_size == -(-nbits // 8)
    assert not np.unpackbits(index.sa_encode(x), axis=1, bitorder="little")[:, nbits:].any()


@pytest.mark.parametrize(("d", "nbits"), [(5, 5), (40, 7), (7, 40), (130, 129), (1, 3)])
def test_the_fewer_of_rows_and_columns_are_orthonormal(d, nbits):
    rrot = sl.IndexLSH(d, nbits).rrot
    assert (rrot.d_in, rrot.d_out, rrot.A.shape) == (d, nbits, (nbits, d))
    assert (rrot.is_trained, rrot.have_bias, rrot.b.size) == (True, False, 0)
    A = rrot.A.astype(np.float64)
    square = A @ A.T if nbits <= d else A.T @ A
    np.testing.assert_allclose(square, np.eye(min(d, nbits)), atol=1e-5)
    assert not sl.IndexLSH(d, min(d, nbits), rotate_data=False).rrot.is_trained


@pytest.mark.parametrize(("d", "nbits", "rotate", "train"), SHAPES)
def test_searches_count_differing_bits(rng, d, nbits, rotate, train):
    x, q = vectors(rng, 700, d), vectors(rng, 40, d)
    index = built(x, nbits, rotate, train)
    every = hamming(index, q, x)
    want = np.sort(every, axis=1)[:, :10]
    for D, I in (index.search(q, 10), index.search_exact(q, 10)):
        assert D.dtype == np.float32
        np.testing.assert_array_equal(D, want)
        np.testing.assert_array_equal(np.take_along_axis(every, I, 1), want)
    np.testing.assert_array_equal(index.search(q[:1], 10)[0], want[:1])
    lims, D, I = index.range_search(q, nbits / 2)
    for i in range(len(q)):
        inside = np.flatnonzero(every[i] < nbits / 2)
        np.testing.assert_array_equal(I[lims[i] : lims[i + 1]], inside)
        np.testing.assert_array_equal(D[lims[i] : lims[i + 1]], every[i, inside])
    sel = sl.SearchParameters(sel=sl.IDSelectorRange(100, 200))
    D, I = index.search(q, 10, params=sel)
    assert ((I >= 100) & (I < 200)).all()
    np.testing.assert_array_equal(D, np.sort(every[:, 100:200], axis=1)[:, :10])


@pytest.mark.parametrize(("d", "nbits", "rotate", "train"), SHAPES)
def test_decoded_vectors_have_the_codes_they_come_from(rng, d, nbits, rotate, train):
    x = vectors(rng, 50, d)
    index = built(x, nbits, rotate, train)
    codes = index.sa_encode(x)
    back = index.sa_decode(codes)
    np.testing.assert_array_equal(back, index.reconstruct_n())
    if not rotate or nbits <= d:
        y = projected(index, back) - (index.thresholds if train else 0)
        np.testing.assert_allclose(y, 2.0 * unpacked(codes, nbits) - 1, atol=1e-4)
    if not rotate:
        assert not back[:, nbits:].any()


def test_changes_and_copies(rng):
    x, q = vectors(rng, 200, 16), vectors(rng, 10, 16)
    index = built(x, 40, train=True)
    for again in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), sl.clone_index(index)):
        assert type(again) is sl.IndexLSH
        assert (again.nbits, again.rotate_data, again.train_thresholds) == (40, True, True)
        np.testing.assert_array_equal(again.rrot.A, index.rrot.A)
        np.testing.assert_array_equal(again.thresholds, index.thresholds)
        np.testing.assert_array_equal(again.search(q, 5)[1], index.search(q, 5)[1])
    other = pickle.loads(pickle.dumps(index))
    codes = index.sa_encode(x)
    assert index.remove_ids(np.arange(0, 200, 2)) == 100
    np.testing.assert_array_equal(index.reconstruct_n(), index.sa_decode(codes[1::2].copy()))
    index.merge_from(other)
    assert (index.ntotal, other.ntotal) == (300, 0)
    np.testing.assert_array_equal(index.search(x[:1], 300)[0].min(), 0)
    with pytest.raises(ValueError, match="codes mean different things"):
        index.merge_from(sl.IndexLSH(16, 40))
    with pytest.raises(ValueError, match="train before add"):
        index.train(x)
    index.reset()
    assert index.ntotal == 0
    index.add(x)
    np.testing.assert_array_equal(index.sa_encode(x), codes)
    named = sl.IndexIDMap2(sl.IndexLSH(16, 16, False))
    named.add_with_ids(x, np.arange(200) * 3)
    assert (named.search(x, 1)[0] == 0).all()
    refined = sl.index_factory(16, "LSHr,RFlat")
    refined.k_factor = 20
    refined.add(x)
    assert (refined.search(x, 1)[1][:, 0] == np.arange(200)).all()


def test_bad_input():
    with pytest.raises(sl.ArgumentError, match=r"nbits = 9 but vectors have only d = 8 .*rotate"):
        sl.IndexLSH(8, 9, rotate_data=False)
    with pytest.raises(sl.ArgumentError, match="nbits = 0; it must be at least 1"):
        sl.IndexLSH(8, 0)
    with pytest.raises(sl.ArgumentError, match="nbits = 2000000; it must be from 1 to 1048576"):
        sl.IndexLSH(8, 2_000_000)
    with pytest.raises(sl.ArgumentError, match=r"more than a GiB; .*rotate_data=False"):
        sl.IndexLSH(1 << 20, 1 << 20)
    with pytest.raises(sl.DimensionError, match="1 to 1048576"):
        sl.IndexLSH(1 << 21, 8, rotate_data=False)
    index = sl.IndexLSH(8, 8, True, True)
    assert not index.is_trained
    for call in (index.add, lambda x: index.search(x, 1), index.sa_encode):
        with pytest.raises(sl.NotTrainedError, match="IndexLSH must be trained"):
            call(np.zeros((2, 8), np.float32))
    with pytest.raises(ValueError, match="no vectors to train on"):
        index.train(np.zeros((0, 8), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        index.train(np.full((2, 8), np.nan, np.float32))


# --- beside faiss ----------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "nbits", "rotate", "train"), SHAPES)
def test_faiss_codes_searches_and_files(rng, faiss, d, nbits, rotate, train):
    x, q = vectors(rng, 300, d), vectors(rng, 30, d)
    theirs = faiss.IndexLSH(d, nbits, rotate, train)
    theirs.train(x)
    theirs.add(x)
    data = faiss.serialize_index(theirs)
    ours = sl.deserialize_index(data)
    assert type(ours) is sl.IndexLSH
    assert (ours.nbits, ours.rotate_data, ours.train_thresholds) == (nbits, rotate, train)
    np.testing.assert_array_equal(ours.rrot.A.ravel(), faiss.vector_to_array(theirs.rrot.A))
    np.testing.assert_array_equal(ours.thresholds, faiss.vector_to_array(theirs.thresholds))
    np.testing.assert_array_equal(sl.serialize_index(ours), data)
    same = unpacked(ours.sa_encode(q), nbits) == unpacked(theirs.sa_encode(q), nbits)
    assert same.mean() > 0.999  # sums in another order
    q = q[same.all(1)]
    np.testing.assert_array_equal(ours.search(q, 7)[0], theirs.search(q, 7)[0])
    np.testing.assert_allclose(ours.reconstruct_n(), _decoded(theirs, ours, x), atol=1e-5)
    # A file of ours, which has a rotation of its own.
    mine = built(x, nbits, rotate, train)
    again = faiss.deserialize_index(sl.serialize_index(mine))
    assert type(again) is faiss.IndexLSH
    np.testing.assert_array_equal(faiss.serialize_index(again), sl.serialize_index(mine))
    q = q[(mine.sa_encode(q) == again.sa_encode(q)).all(1)]
    assert len(q) > 20
    np.testing.assert_array_equal(again.search(q, 7)[0], mine.search(q, 7)[0])


def _decoded(theirs, ours, x):
    codes = theirs.sa_encode(x)
    if theirs.rotate_data and theirs.nbits > theirs.d:
        return ours.sa_decode(codes)  # where faiss has no way back
    out = theirs.sa_decode(codes)
    if not theirs.rotate_data:
        out[:, theirs.nbits :] = 0  # which faiss leaves as they were
    return out


def test_a_rotation_with_a_bias_is_kept(rng, faiss):
    """Nothing in faiss makes one, but its files can hold it."""
    x = vectors(rng, 50, 6)
    theirs = faiss.IndexLSH(6, 5)
    theirs.rrot.have_bias = True
    bias = np.array([1, -1, 0.5, 0, 2], np.float32)
    faiss.copy_array_to_vector(bias, theirs.rrot.b)
    theirs.add(x)
    data = faiss.serialize_index(theirs)
    ours = sl.deserialize_index(data)
    np.testing.assert_array_equal(ours.rrot.b, bias)
    np.testing.assert_array_equal(ours.sa_encode(x), theirs.sa_encode(x))
    np.testing.assert_array_equal(sl.serialize_index(ours), data)
    np.testing.assert_allclose(
        ours.sa_decode(ours.sa_encode(x)), theirs.sa_decode(theirs.sa_encode(x)), atol=1e-5
    )
    np.testing.assert_array_equal(sl.clone_index(ours).sa_encode(x), ours.sa_encode(x))


@given(st.integers(1, 30), st.integers(1, 60), st.booleans(), st.booleans(), st.integers(0, 9))
def test_any_shape_finds_its_own_vectors(d, nbits, rotate, train, seed):
    rng = np.random.default_rng(seed)
    x = vectors(rng, 40, d)
    index = built(x, nbits if rotate else min(nbits, d), rotate, train)
    D, I = index.search(x, 1)
    assert (D == 0).all()
    assert (index.sa_encode(x) == index.sa_encode(x[I[:, 0]])).all()
    again = sl.deserialize_index(sl.serialize_index(index))
    np.testing.assert_array_equal(again.search(x, 3)[0], index.search(x, 3)[0])
