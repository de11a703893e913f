"""OPQMatrix: the rotation that suits a product quantiser, faiss's beside it, and its files."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import shortlist as sl

D = 24


@pytest.fixture(scope="module")
def x():
    """Correlated values, so that a rotation has something to find."""
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0]
    return ((rng.normal(size=(2000, D)) * np.geomspace(5, 0.2, D)) @ turn + 2).astype(np.float32)


def opq_of(library, M=4, d2=-1, nbits=4, niter=15):
    opq = library.OPQMatrix(D, M, d2)
    opq.niter = niter
    opq.pq = library.ProductQuantizer(opq.d_out, M, nbits)
    return opq


def lost(x, opq, M, nbits):
    """Mean squared error of x through the rotation, a product quantiser trained there, and back."""
    y = opq.apply(x)
    pq = sl.ProductQuantizer(opq.d_out, M, nbits)
    pq.train(y)
    back = pq.decode(pq.compute_codes(y)) @ opq.A
    return ((x - back - (x - back).mean(0)) ** 2).sum(1).mean()


@pytest.mark.parametrize(("M", "d2"), [(4, -1), (1, -1), (24, -1), (4, 8), (3, 36)])
def test_it_loses_no_more_than_faiss(x, faiss, M, d2):
    ours, theirs = opq_of(sl, M, d2), opq_of(faiss, M, d2)
    ours.train(x)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # its threads wait for each other, long where cores are shared
    theirs.train(x)
    faiss.omp_set_num_threads(before)
    as_ours = sl.LinearTransform(D, ours.d_out)
    as_ours.A = faiss.vector_to_array(theirs.A).reshape(ours.d_out, D)
    as_ours.is_trained = True
    assert lost(x, ours, M, 4) < 1.03 * lost(x, as_ours, M, 4)
    rows = ours.A if ours.d_out <= D else ours.A.T
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-5)
    if ours.d_out >= D:
        np.testing.assert_allclose(ours.reverse_transform(ours.apply(x)), x, atol=1e-4)


def test_it_loses_less_than_any_rotation(x):
    opq, plain = opq_of(sl), sl.RandomRotationMatrix(D, D)
    opq.train(x)
    plain.init(3)
    assert lost(x, opq, 4, 4) < 0.9 * lost(x, plain, 4, 4)
    more = opq_of(sl, niter=0)
    more.train(x)
    assert lost(x, opq, 4, 4) < lost(x, more, 4, 4)
    assert more.is_orthonormal


def test_the_same_rotation_whatever_the_threads(x, threads):
    made = []
    for n in (1, 3):
        threads(n)
        opq = opq_of(sl, niter=3)
        opq.train(x)
        made.append(opq.A)
    np.testing.assert_array_equal(*made)


def test_vectors_along_few_directions():
    """The products then say nothing of the other directions, but the rotation stays one."""
    rng = np.random.default_rng(1)
    for few in (np.zeros((100, D)), rng.normal(size=(100, 2)) @ rng.normal(size=(2, D))):
        opq = opq_of(sl, niter=3)
        opq.train(few.astype(np.float32))
        np.testing.assert_allclose(opq.A @ opq.A.T, np.eye(D), atol=1e-5)


def test_bad_input_is_explained(x):
    for args, words in (((24, 5), "M = 5 parts do not divide"), ((24, 0), "M"), ((24, 4, 6), "M")):
        with pytest.raises(sl.ArgumentError, match=words):
            sl.OPQMatrix(*args)
    opq = sl.OPQMatrix(D, 4)
    with pytest.raises(sl.NotTrainedError):
        opq.apply(x)
    with pytest.raises(sl.ArgumentError, match=r"8 bits a part was given 255 .* at least 256"):
        opq.train(x[:255])
    opq.max_train_points = 100
    with pytest.raises(sl.ArgumentError, match="max_train_points = 100"):
        opq.train(x)
    with pytest.raises(sl.DimensionError):
        opq.train(x[:, 1:])
    with pytest.raises(sl.ArgumentError, match="NaN"):
        opq.train(np.full((300, D), np.nan))
    opq.pq = sl.ProductQuantizer(D, 3, 4)
    with pytest.raises(sl.ArgumentError, match=r"PQ3x4 .*pass one like these"):
        opq.train(x)
    opq = opq_of(sl)
    opq.niter_pq = 0
    with pytest.raises(sl.ArgumentError, match="niter_pq = 0"):
        opq.train(x)
    assert not opq.is_trained


def test_files(x, faiss):
    opq = opq_of(sl, 4, 8, niter=2)
    opq.niter_pq, opq.niter_pq_0, opq.max_train_points = 3, 5, 1900
    for trained in (False, True):
        if trained:
            opq.train(x)
        again = pickle.loads(pickle.dumps(opq))
        assert type(again) is sl.OPQMatrix
        assert (again.M, again.niter, again.niter_pq, again.niter_pq_0) == (4, 2, 3, 5)
        assert (again.max_train_points, again.pq.nbits, again.d_out) == (1900, 4, 8)
        assert again.is_trained == trained
        np.testing.assert_array_equal(again.A, opq.A)
    out = io.BytesIO()
    sl.write_VectorTransform(opq, out)  # as faiss writes it: the matrix only
    theirs = faiss.read_VectorTransform(faiss.PyCallbackIOReader(io.BytesIO(out.getvalue()).read))
    np.testing.assert_allclose(theirs.apply(x), opq.apply(x), rtol=1e-4, atol=1e-4)
    out.seek(0)
    back = sl.read_VectorTransform(out)
    assert type(back) is sl.LinearTransform
    np.testing.assert_array_equal(back.A, opq.A)


@pytest.mark.parametrize("form", ["OPQ4,PQ4x4", "OPQ4_8,PQ4x4fs", "OPQ8_16,HNSW8,PQ4x4"])
def test_indexes_behind_it(x, faiss, form, tmp_path):
    index = sl.index_factory(D, form)
    opq = index.chain.at(0)
    opq.niter = 3
    assert (type(opq), opq.pq.nbits) == (sl.OPQMatrix, 4)
    index.train(x)
    index.add(x)
    found = index.search(x[:50], 10)
    index.save(tmp_path / "i")
    again = sl.open(tmp_path / "i")
    assert type(again.chain.at(0)) is sl.OPQMatrix
    for one, two in zip(found, again.search(x[:50], 10), strict=True):
        np.testing.assert_array_equal(one, two)
    sl.write_index(index, str(tmp_path / "f"))
    theirs = faiss.read_index(str(tmp_path / "f"))
    faiss.write_index(theirs, str(tmp_path / "g"))
    assert (tmp_path / "f").read_bytes() == (tmp_path / "g").read_bytes()
    again = sl.read_index(str(tmp_path / "f"))
    np.testing.assert_array_equal(again.search(x[:50], 10)[1], found[1])


def test_descriptions():
    assert sl.index_factory(64, "OPQ16,PQ16").chain.at(0).pq.nbits == 8
    assert sl.index_factory(64, "OPQ4,IVF9,PQ4x5").chain.at(0).pq.nbits == 5
    for other in ("SQ8", "LSH"):
        assert sl.index_factory(64, f"OPQ4_8,{other}").chain.at(0).pq is None
    for form, words in (
        ("OPQ5,PQ4", "OPQ5'.*64 dimensions into 5"),
        ("OPQ4_6,PQ2", "6 dimensions"),
    ):
        with pytest.raises(sl.FactoryError, match=words):
            sl.index_factory(64, form)
