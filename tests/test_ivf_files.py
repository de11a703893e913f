"""faiss's files of inverted files: what else they may hold, and what they must not."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist as sl

D = 8
FORMS = ["Flat", "SQ8", "SQ4", "SQfp16", "PQ4x4", "PQ4x4fs", "PQ4x4fsr"]


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, D)).astype(np.float32)


X = rows(400)


def theirs_of(faiss: object, form: str, metric: int = sl.METRIC_L2) -> object:
    index = faiss.index_factory(D, f"IVF7,{form}", metric)
    index.cp.min_points_per_centroid = 1
    index.train(X)
    index.nprobe = 7
    return index


@pytest.fixture(autouse=True)
def one_thread(faiss):
    """Training is small, and faiss's threads wait for each other where cores are few."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("metric", [sl.METRIC_L2, sl.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("form", FORMS)
def test_names_searches_and_codes_are_faiss_s(faiss, form, metric):
    """Ids of one's own, some of them gone: the same lists, codes and answers."""
    theirs = theirs_of(faiss, form, metric)
    theirs.add_with_ids(X, np.arange(400) * 10**15 + 7)
    if "fs" not in form:
        theirs.remove_ids(np.arange(0, 400, 3) * 10**15 + 7)
    ours = sl.deserialize_index(faiss.serialize_index(theirs))
    assert ours.ntotal == theirs.ntotal
    np.testing.assert_array_equal(sl.serialize_index(ours), faiss.serialize_index(theirs))
    for l in range(7):
        n = theirs.invlists.list_size(l)
        ids = faiss.rev_swig_ptr(theirs.invlists.get_ids(l), n)
        np.testing.assert_array_equal(ours.invlists.get_ids(l), ids)
        if "fs" not in form:
            codes = faiss.rev_swig_ptr(theirs.invlists.get_codes(l), n * theirs.code_size)
            np.testing.assert_array_equal(ours.invlists.get_codes(l).ravel(), codes)
    (D1, I1), (D2, I2) = ours.search(X[:80], 5), theirs.search(X[:80], 5)
    if "fs" in form:  # faiss rounds its tables
        np.testing.assert_allclose(D1, D2, rtol=0.1, atol=0.3)
        assert np.mean([len(set(a) & set(b)) for a, b in zip(I1, I2, strict=True)]) > 4
    else:
        np.testing.assert_allclose(D1, D2, atol=1e-3)
        apart = np.abs(np.diff(D2, axis=1)).min(1) > 1e-3  # no ties
        np.testing.assert_array_equal(I1[apart, :4], I2[apart, :4])


@pytest.mark.parametrize("form", ["SQ8_direct_signed", "SQ8", "SQ6", "PQ4x4", "PQ4x4fs"])
def test_codes_of_their_own_are_faiss_s(faiss, form):
    """sa_encode gives a list's number and faiss's bytes."""
    if form == "SQ8_direct_signed":
        quantizer = faiss.IndexFlatL2(D)
        theirs = faiss.IndexIVFScalarQuantizer(
            quantizer, D, 7, faiss.ScalarQuantizer.QT_8bit_direct_signed
        )
        theirs.by_residual = False
        x = np.random.default_rng(1).integers(-90, 90, (300, D)).astype(np.float32)
    else:
        theirs, x = theirs_of(faiss, form), X
    theirs.train(x)
    theirs.add(x)
    ours = sl.deserialize_index(faiss.serialize_index(theirs))
    assert ours.code_size == theirs.code_size
    codes = theirs.sa_encode(x)
    np.testing.assert_array_equal(ours.sa_encode(x), codes)
    back = theirs.sa_decode(codes) if "fs" not in form else ours.reconstruct_n()
    np.testing.assert_allclose(ours.sa_decode(codes), back, atol=1e-5)


@pytest.mark.parametrize("kind", ["NoMap", "Array", "Hashtable"])
@pytest.mark.parametrize("form", ["Flat", "PQ4x4"])
def test_direct_maps(faiss, form, kind):
    """We find out where ids are when asked, and leave the map out."""
    theirs = theirs_of(faiss, form)
    theirs.set_direct_map_type(getattr(faiss.DirectMap, kind))
    theirs.add(X)
    data = faiss.serialize_index(theirs)
    ours = sl.deserialize_index(data)
    plain = theirs_of(faiss, form)
    plain.add(X)
    np.testing.assert_array_equal(sl.serialize_index(ours), faiss.serialize_index(plain))
    plain.make_direct_map()
    np.testing.assert_allclose(ours.reconstruct_n(), plain.reconstruct_n(0, 400), atol=1e-5)
    if kind != "NoMap":  # a map whose length is no length
        at = data.tobytes().index((400).to_bytes(8, "little"), 100)
        data[at : at + 8] = 255
        with pytest.raises(sl.CorruptIndexError):
            sl.deserialize_index(data)


def test_rows_that_faiss_counts_but_keeps_in_no_list(faiss):
    theirs = theirs_of(faiss, "Flat")
    x = X[:50].copy()
    x[[3, 30]] = np.nan
    theirs.add(x)
    ours = sl.deserialize_index(faiss.serialize_index(theirs))
    assert (theirs.ntotal, ours.ntotal) == (50, 48)
    np.testing.assert_array_equal(ours.search(X[:9], 3)[1], theirs.search(X[:9], 3)[1])
    ours.add(X[50:52])
    np.testing.assert_array_equal(ours.search(X[50:52], 1)[1].ravel(), [50, 51])


def test_numbering_goes_on_behind_the_ids():
    index = sl.index_factory(D, "IVF3,Flat")
    index.train(X)
    index.add(X)
    index.remove_ids(np.arange(300))
    again = sl.deserialize_index(sl.serialize_index(index))
    again.add(X[:2])  # faiss would give ids that are taken
    np.testing.assert_array_equal(again.search(X[:2], 1)[1].ravel(), [400, 401])
    index.reset()
    index.add_with_ids(X[:3], np.array([2**63 - 1, 2**62, -(2**63)]))  # hashes
    again = sl.deserialize_index(sl.serialize_index(index))
    again.add(X[3:5])
    np.testing.assert_array_equal(again.search(X[3:5], 1)[1].ravel(), [3, 4])
    np.testing.assert_array_equal(again.search(X[:1], 1)[1], [[2**63 - 1]])


def test_what_a_damaged_file_claims_costs_nothing():
    index = sl.index_factory(D, "IVF3,Flat")
    data = bytearray(sl.serialize_index(index))
    at = 4 + 4 + 8 + 16 + 1 + 4
    assert int.from_bytes(data[at : at + 8], "little") == 3
    for nlist in (2**25, 2**40, 0):
        data[at : at + 8] = nlist.to_bytes(8, "little")
        with pytest.raises(sl.CorruptIndexError, match="lists"):
            sl.deserialize_index(data)
    index.train(X)
    index.add_with_ids(X[:4], np.arange(4) + 77)
    data = bytearray(sl.serialize_index(index))
    at = data.index((77).to_bytes(8, "little"))
    data[at : at + 8] = b"\xff" * 8
    with pytest.raises(sl.CorruptIndexError, match="the id -1"):
        sl.deserialize_index(data)


def test_lists_elsewhere_are_refused(faiss, tmp_path):
    theirs = theirs_of(faiss, "Flat")
    lists = faiss.OnDiskInvertedLists(7, theirs.code_size, str(tmp_path / "lists"))
    theirs.replace_invlists(lists)
    with pytest.raises(NotImplementedError, match="lists on disk"):
        sl.deserialize_index(faiss.serialize_index(theirs))


def test_odd_integer_codes_have_no_form_there():
    index = sl.index_factory(D, "IVF3,SDC2")
    with pytest.raises(NotImplementedError, match="IndexIVFSDC has no form in faiss's files"):
        sl.serialize_index(index)
