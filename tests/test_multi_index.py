"""MultiIndexQuantizer beside brute force over all cells, beside faiss, and in inverted files."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import shortlist
from hypothesis import given, settings
from hypothesis import strategies as st

L2 = shortlist.METRIC_L2
FAR = np.finfo(np.float32).max


def cells(d: int, M: int, nbits: int, rows: np.ndarray) -> shortlist.MultiIndexQuantizer:
    """With exactly these 2^nbits rows (ksub, d) for centroids, cut into parts."""
    index = shortlist.MultiIndexQuantizer(d, M, nbits)
    index.train(rows)
    return index


def all_centroids(index: shortlist.MultiIndexQuantizer) -> np.ndarray:
    number = np.arange(index.ntotal)
    parts = [
        index.pq.centroids[m][number >> m * index.pq.nbits & index.pq.ksub - 1]
        for m in range(index.pq.M)
    ]
    return np.concatenate(parts, axis=1)


@settings(max_examples=60)
@given(
    shape=st.sampled_from([(1, 1), (1, 4), (2, 1), (2, 3), (2, 4), (3, 2), (4, 2), (5, 1), (6, 2)]),
    dsub=st.integers(1, 3),
    k=st.integers(1, 70),
    spread=st.sampled_from([2, 5, 100]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_nearest_cells_are_found_in_order(shape, dsub, k, spread, seed):
    """Whole numbers: many ties, and distances that are exact."""
    M, nbits = shape
    rng = np.random.default_rng(seed)
    d, ksub = M * dsub, 1 << nbits
    rows = np.repeat(rng.permutation(3 * ksub)[:ksub, None], d, 1).astype(np.float32)  # distinct
    index = cells(d, M, nbits, rows)
    q = rng.integers(-spread, spread + 1, (7, d)).astype(np.float32)
    every = ((q[:, None] - all_centroids(index)) ** 2).sum(2)
    D, I = index.search(q, k)
    kept = min(k, index.ntotal)
    np.testing.assert_array_equal(D[:, :kept], np.sort(every, 1)[:, :kept])
    np.testing.assert_array_equal(D[:, :kept], np.take_along_axis(every, I[:, :kept], 1))
    assert (D[:, kept:] == FAR).all()
    assert (I[:, kept:] == -1).all()
    for distances, labels in zip(D[:, :kept].tolist(), I[:, :kept].tolist(), strict=True):
        found = list(zip(distances, labels, strict=True))
        assert found == sorted(set(found))
    np.testing.assert_array_equal(index.search_exact(q, k)[1], I)


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (2, 8)])
def test_faiss_finds_the_same(rng, faiss, threads, shape):
    M, nbits = shape
    x = rng.normal(size=(600, 12)).astype(np.float32)
    ours = shortlist.MultiIndexQuantizer(12, M, nbits)
    ours.train(x)
    data = shortlist.serialize_index(ours)
    theirs = faiss.deserialize_index(data)
    assert type(theirs).__name__ == "MultiIndexQuantizer"
    np.testing.assert_array_equal(faiss.serialize_index(theirs), data)
    assert ours.ntotal == theirs.ntotal == 1 << M * nbits
    for k in (1, 2, 33, 250):  # faiss crashes where k is more than there are
        (D1, I1), (D2, I2) = ours.search(x[:40], k), theirs.search(x[:40], k)
        once = np.array([len(set(row)) == k for row in I2])  # it may give a cell twice
        assert once.mean() > 0.9
        np.testing.assert_allclose(D1[once], D2[once], rtol=1e-4, atol=1e-5)
        assert (I1 == I2)[once].mean() > 0.99
    for cell in (0, 5, ours.ntotal - 1):
        np.testing.assert_array_equal(ours.reconstruct(cell), theirs.reconstruct(cell))
    np.testing.assert_array_equal(ours.reconstruct_n(0, 60), all_centroids(ours)[:60])


@pytest.mark.parametrize("form", ["Flat", "PQ4x4", "SQ8", "SDC2", "RaBitQ", "PQ4x4fsr"])
def test_lists_are_those_of_a_flat_quantizer_of_all_cells(rng, threads, form):
    d, n = 12, 1500
    x, q = (rng.normal(size=(m, d)).astype(np.float32) for m in (n, 40))
    index = shortlist.index_factory(d, f"IMI2x3,{form}")
    assert (index.nlist, index.quantizer.pq.M, index.quantizer.pq.nbits) == (64, 2, 3)
    assert index.quantizer_trains_alone == 1
    index.train(x)
    flat = shortlist.IndexFlatL2(d)
    flat.add(all_centroids(index.quantizer))
    plain = shortlist.index_factory(d, f"IVF64,{form}")
    plain.quantizer.add(flat.reconstruct_n())
    plain.train(x)
    for each in (index, plain):
        each.add(x)
        each.nprobe = 7
    for l in range(64):
        np.testing.assert_array_equal(index.invlists.get_ids(l), plain.invlists.get_ids(l))
    (D1, I1), (D2, I2) = index.search(q, 9), plain.search(q, 9)
    np.testing.assert_allclose(D1, D2, rtol=1e-3, atol=1e-3)
    assert (I1 == I2).mean() > 0.99
    index.remove_ids(np.arange(0, n, 2))
    again = pickle.loads(pickle.dumps(index))
    for other in (again, shortlist.clone_index(index)):
        assert type(other.quantizer) is shortlist.MultiIndexQuantizer
        np.testing.assert_array_equal(other.search(q, 9)[1], index.search(q, 9)[1])
        other.merge_from(shortlist.clone_index(index), 5000)
        assert other.ntotal == n


def test_an_index_trains_a_quantizer_that_was_made_by_hand(rng):
    x = rng.normal(size=(800, 8)).astype(np.float32)
    index = shortlist.IndexIVFFlat(shortlist.MultiIndexQuantizer(8, 2, 3), 8, 64)
    index.train(x)
    index.add(x)
    index.nprobe = 64
    np.testing.assert_array_equal(index.search(x, 1)[1].ravel(), np.arange(800))
    other = shortlist.IndexIVFFlat(shortlist.MultiIndexQuantizer(8, 2, 3), 8, 60)
    with pytest.raises(
        shortlist.ArgumentError, match="holds 64 vectors; it should hold nlist = 60"
    ):
        other.train(x)
    done = shortlist.MultiIndexQuantizer(8, 2, 2)
    done.train(x)
    assert shortlist.IndexIVFFlat(done, 8, 16).is_trained


def test_one_that_is_alone_is_saved_and_opened(rng, tmp_path):
    index = shortlist.MultiIndexQuantizer(8, 4, 2)
    for trained in (False, True):
        if trained:
            index.train(rng.normal(size=(200, 8)).astype(np.float32))
        index.save(tmp_path / "saved")
        shortlist.write_index(index, str(tmp_path / "faiss"))
        for again in (
            shortlist.open(tmp_path / "saved"),
            shortlist.read_index(str(tmp_path / "faiss")),
            pickle.loads(pickle.dumps(index)),
            shortlist.clone_index(index),
        ):
            assert (type(again), again.d) == (shortlist.MultiIndexQuantizer, 8)
            assert (again.ntotal, again.is_trained) == (256 * trained, trained)
            np.testing.assert_array_equal(again.pq.centroids, index.pq.centroids)


def test_it_is_no_place_to_add_to(rng):
    x = rng.normal(size=(100, 6)).astype(np.float32)
    index = shortlist.MultiIndexQuantizer(6, 2, 2)
    for use in (lambda: index.search(x, 1), lambda: index.add(x)):
        with pytest.raises(shortlist.NotTrainedError):
            use()
    assert index.ntotal == 0
    index.train(x)
    with pytest.raises(NotImplementedError, match="add"):
        index.add(x)
    with pytest.raises(NotImplementedError, match="reset"):
        index.reset()
    with pytest.raises(NotImplementedError, match="remove_ids"):
        index.remove_ids(np.array([1]))
    with pytest.raises(NotImplementedError, match="range_search"):
        index.range_search(x, 1.0)
    with pytest.raises(NotImplementedError, match="filtered"):
        index.search(x, 1, params=shortlist.SearchParameters(sel=shortlist.IDSelectorRange(0, 3)))
    for bad in (-1, 16, 2**40):
        with pytest.raises(shortlist.IdError, match="0 to ntotal - 1 = 15"):
            index.reconstruct(bad)
    odd = x[:2].copy()
    odd[0, 1] = np.nan
    D, I = index.search(odd, 3)
    assert (I[0] == -1).all()
    assert (D[0] == FAR).all()
    np.testing.assert_array_equal(I[1], index.search(x[1:2], 3)[1][0])
    with pytest.raises(shortlist.DimensionError):
        index.search(x[:, :5], 1)


def test_what_cannot_be_is_refused():
    for d, M, nbits, why in [(6, 4, 2, "M = 4"), (6, 2, 9, "nbits = 9"), (8, 8, 8, "2^64 cells")]:
        with pytest.raises(shortlist.ArgumentError, match=re.escape(why)):
            shortlist.MultiIndexQuantizer(d, M, nbits)
    for d, text, metric, why in [
        (8, "IMI2x3,Flat", shortlist.METRIC_INNER_PRODUCT, "METRIC_L2"),
        (7, "IMI2x3,Flat", L2, "halves"),
        (8, "IMI2x9,Flat", L2, "bits = 9"),
        (8, "IMI2x0,Flat", L2, "bits = 0"),
        (8, "IMI2x3", L2, "without the codes"),
        (8, "IMI3x3,Flat", L2, "not understood"),
        (8, "HNSW8,IMI2x3", L2, "does not fit"),
    ]:
        with pytest.raises(shortlist.FactoryError, match=re.escape(why)):
            shortlist.index_factory(d, text, metric)


def test_files_that_lie_are_refused(rng):
    index = shortlist.MultiIndexQuantizer(6, 2, 2)
    index.train(rng.normal(size=(100, 6)).astype(np.float32))
    data = bytearray(shortlist.serialize_index(index))
    data[8:16] = (17).to_bytes(8, "little")
    with pytest.raises(shortlist.CorruptIndexError, match="claims 17 cells"):
        shortlist.deserialize_index(data)
    many = shortlist.MultiIndexQuantizer(6, 6, 4)  # of a few numbers, 2^24 lists
    many.train(rng.normal(size=(100, 6)).astype(np.float32))
    lists = shortlist.index_factory(6, "IMI2x1,Flat")
    lists.train(rng.normal(size=(100, 6)).astype(np.float32))
    data = bytes(shortlist.serialize_index(lists))
    inner = bytes(shortlist.serialize_index(lists.quantizer))
    data = data.replace(inner, bytes(shortlist.serialize_index(many)))
    at = 4 + 4 + 8 + 16 + 1 + 4
    data = data[:at] + (2**24).to_bytes(8, "little") + data[at + 8 :]
    with pytest.raises(shortlist.UnsupportedError, match="16777216 lists"):
        shortlist.deserialize_index(data)
