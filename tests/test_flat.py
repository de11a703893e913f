"""IndexFlat and IndexScalarQuantizer: exact for the codes they store, and equal to faiss."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from conftest import Oracle
from hypothesis import given
from hypothesis import strategies as st

QT = shortlist.ScalarQuantizer
DTYPES = ["float32", "float16", "uint8", "int8"]
METRICS = [shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT]


def whole_numbers(rng: np.random.Generator, n: int, d: int, dtype: str) -> np.ndarray:
    """Small integers: every dtype stores them and float32 sums them exactly, with many ties."""
    return rng.integers(0 if dtype == "uint8" else -4, 5, (n, d)).astype(dtype)


@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
    metric=st.sampled_from(METRICS),
    n=st.integers(0, 300),
    d=st.integers(1, 70),
    nq=st.integers(0, 40),
    k=st.integers(1, 40),
)
def test_search_is_exact_with_ties_by_id(seed, dtype, metric, n, d, nq, k):
    rng = np.random.default_rng(seed)
    x, q = whole_numbers(rng, n, d, dtype), whole_numbers(rng, nq, d, dtype)
    index = shortlist.IndexFlat(d, metric, dtype=dtype)
    index.add(x)
    D, I = index.search(q, k)
    wanted = Oracle(metric).search(q, x, k)
    np.testing.assert_array_equal(I, wanted[1])
    np.testing.assert_array_equal(D, wanted[0])
    assert (D.dtype, I.dtype, D.shape) == (np.float32, np.int64, (nq, k))
    exact = index.search_exact(q, k)
    np.testing.assert_array_equal(exact, wanted)
    assert (exact[0].dtype, exact[1].dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 3, 17, 128, 255])
def test_real_queries_match_float64(oracle, rng, dtype, d):
    stored = (rng.normal(size=(2000, d)) * 20 + 100).clip(0, 120).astype(dtype)
    index = shortlist.IndexFlat(d, oracle.metric, dtype=dtype)
    index.add(stored)
    queries = rng.normal(size=(37, d)).astype(np.float32) * 20 + 100
    D, I = index.search(queries, 10)
    wanted, _ = oracle.search(queries, stored, 10)
    scale = (queries.astype(np.float64) ** 2).sum(1).max()  # L2 cancels: errors scale with norms
    np.testing.assert_allclose(D, wanted, rtol=1e-5, atol=1e-6 * scale)
    exact = np.take_along_axis(oracle.distances(queries, stored), I, 1)
    np.testing.assert_allclose(D, exact, rtol=1e-5, atol=1e-6 * scale)
    assert len(set(I[0])) == 10


@pytest.mark.parametrize(
    "make",
    [
        *(lambda d, m, t=t: shortlist.IndexFlat(d, m, dtype=t) for t in DTYPES),
        *(
            lambda d, m, t=t: shortlist.IndexScalarQuantizer(d, t, m)
            for t in (QT.QT_8bit, QT.QT_8bit_uniform, QT.QT_fp16, QT.QT_8bit_direct_signed)
        ),
    ],
    ids=[*DTYPES, "8bit", "8bit_uniform", "fp16", "8bit_direct_signed"],
)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 50.0])
def test_a_batch_returns_what_single_queries_return(oracle, rng, threads, make, scale):
    """To the last bit, whichever kernel, grouping and thread count each takes."""
    x = (rng.normal(size=(9000, 19)) * scale).astype(np.float32)
    x[5000:5010] = x[0]
    index = make(19, oracle.metric)
    source = np.abs(x) if getattr(index, "dtype", "") == "uint8" else x
    index.train(source)
    index.add(source)
    queries = np.concatenate([source[:20], (rng.normal(size=(20, 19)) * scale).astype(np.float32)])
    D, I = index.search(queries, 15)
    for count in (1, 2):
        threads(count)
        for again in (index.search(queries, 15), index.search_exact(queries, 15)):
            np.testing.assert_array_equal(I, again[1])
            np.testing.assert_array_equal(D, again[0])
    for i in range(len(queries)):
        single = index.search(queries[i : i + 1], 15)
        np.testing.assert_array_equal(D[i], single[0][0])
        np.testing.assert_array_equal(I[i], single[1][0])


def test_tiny_negative_queries_of_int8_storage_round_alike():
    """A query a hair below 0 is 0, alone or in a batch."""
    index = shortlist.IndexFlat(2, dtype="int8")
    index.add(np.array([[0, 0], [-1, -1], [1, 1]], np.int8))
    queries = np.full((8, 2), -1e-6, np.float32)
    alone, batch = index.search(queries[:1], 3)[0], index.search(queries, 3)[0]
    np.testing.assert_allclose(alone[0], [0, 2, 2], atol=1e-4)
    np.testing.assert_array_equal(batch[0], alone[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_query_without_finite_values_finds_nothing(oracle, rng, bad):
    index = shortlist.IndexFlat(5, oracle.metric)
    index.add(rng.random((50, 5), dtype=np.float32))
    queries = rng.random((9, 5), dtype=np.float32)
    queries[[0, 4], 2] = bad
    for rows in (queries, queries[:1]):
        for D, I in (index.search(rows, 3), index.search_exact(rows, 3)):
            assert (I[0] == -1).all()
            assert (D[0] == oracle.missing).all()
    for _, I in (index.search(queries, 3), index.search_exact(queries, 3)):
        assert (I[4] == -1).all()
        assert (I[1] >= 0).all()
    lims, _, _ = index.range_search(queries[:1], oracle.sign * 1e30)
    assert lims.tolist() == [0, 0]


def test_nan_rows_are_stored_and_never_found(rng):
    x = rng.random((10, 4), dtype=np.float32)
    x[3] = np.nan
    index = shortlist.IndexFlatL2(4)
    index.add(x, allow_nan=True)
    for nq in (1, 8):
        _, I = index.search(x[np.r_[0:3, 4:9]][:nq], 10)
        assert (np.sort(I)[:, 0] == -1).all()
        assert 3 not in I
    assert np.isnan(index.reconstruct(3)).all()


def test_no_rows_in_no_rows_out(oracle):
    index = shortlist.IndexFlat(7, oracle.metric)
    for search in (index.search, index.search_exact):
        D, I = search(np.ones((2, 7), np.float32), 3)
        assert (I == -1).all()
        assert (oracle.missing == D).all()
        assert search(np.empty((0, 7), np.float32), 3)[0].shape == (0, 3)
    index.add(np.empty((0, 7), np.float32))
    assert index.ntotal == len(index) == 0
    assert index.search(np.empty((0, 7), np.float32), 3)[0].shape == (0, 3)
    assert index.reconstruct_n().shape == (0, 7)
    assert [a.size for a in index.range_search(np.empty((0, 7), np.float32), 1.0)] == [1, 0, 0]


def test_remove_ids_moves_the_rows_behind_up(rng):
    x = rng.random((100, 3), dtype=np.float32)
    index = shortlist.IndexFlatL2(3)
    index.add(x)
    gone = [0, 5, 5, 99, 1234, -7]
    assert index.remove_ids(np.array(gone)) == 3
    kept = np.delete(x, [0, 5, 99], axis=0)
    assert index.ntotal == 97
    np.testing.assert_array_equal(index.reconstruct_n(), kept)
    np.testing.assert_array_equal(index.search(kept, 1)[1][:, 0], np.arange(97))
    assert index.remove_ids(shortlist.IDSelectorRange(90, 1000)) == 7
    assert index.remove_ids(np.empty(0, np.int64)) == 0
    assert index.ntotal == 90


def test_merge_from_moves_rows_and_empties_the_other(rng):
    x = rng.random((30, 3), dtype=np.float32)
    left, right = shortlist.IndexFlatL2(3), shortlist.IndexFlatL2(3)
    left.add(x[:10])
    right.add(x[10:])
    left.check_compatible_for_merge(right)
    left.merge_from(right)
    assert (left.ntotal, right.ntotal) == (30, 0)
    np.testing.assert_array_equal(left.reconstruct_n(), x)
    right.add(x[:1])
    assert right.ntotal == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_reconstruct_gives_stored_rows(rng, dtype):
    x = whole_numbers(rng, 20, 9, dtype)
    index = shortlist.IndexFlat(9, dtype=dtype)
    index.add(x)
    np.testing.assert_array_equal(index.reconstruct(7), x[7])
    np.testing.assert_array_equal(index.reconstruct_n(5, 10), x[5:15])
    np.testing.assert_array_equal(index.reconstruct_n(5), x[5:])
    np.testing.assert_array_equal(index.reconstruct_batch([3, 3, 19]), x[[3, 3, 19]])
    out = np.empty(9, np.float32)
    assert index.reconstruct(2, out) is out
    np.testing.assert_array_equal(out, x[2])


def test_search_and_reconstruct(rng):
    x = rng.random((5, 3), dtype=np.float32)
    index = shortlist.IndexFlatL2(3)
    index.add(x)
    D, I, R = index.search_and_reconstruct(x[:2], 7)
    np.testing.assert_array_equal((D, I), index.search(x[:2], 7))
    np.testing.assert_array_equal(R[:, :5], x[I[:, :5]])
    assert np.isnan(R[:, 5:]).all()


@given(seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(METRICS), radius=st.integers(-20, 90))
def test_range_search_is_exact(seed, metric, radius):
    rng = np.random.default_rng(seed)
    x, q = whole_numbers(rng, 200, 6, "float32"), whole_numbers(rng, 7, 6, "float32")
    index = shortlist.IndexFlat(6, metric)
    index.add(x)
    lims, D, I = index.range_search(q, radius)
    oracle = Oracle(metric)
    every = oracle.distances(q, x)
    inside = oracle.sign * every < oracle.sign * radius
    np.testing.assert_array_equal(lims, np.r_[0, inside.sum(1).cumsum()])
    rows = np.repeat(np.arange(7), inside.sum(1))
    np.testing.assert_array_equal(D, every[rows, I])
    assert {*zip(rows.tolist(), I.tolist(), strict=True)} == {
        *zip(*map(list, inside.nonzero()), strict=True)
    }


@pytest.mark.parametrize(
    ("x", "k", "error", "words"),
    [
        (
            np.ones((2, 5)),
            3,
            shortlist.DimensionError,
            "5 dimensions but this IndexFlatL2 has d = 4",
        ),
        (np.ones(4), 3, shortlist.DimensionError, r"expected 2 dimensions \(n, d\)"),
        (np.ones((2, 4)), 0, shortlist.ArgumentError, "k must be at least 1"),
        (np.ones((2, 4)), -2, shortlist.ArgumentError, "k = -2"),
        (np.ones((2, 4)), 2**62, MemoryError, "the result of search"),
        (np.ones((2, 4)), 2.5, TypeError, "incompatible"),
        (np.array([["a"] * 4]), 3, TypeError, "expected float32"),
    ],
)
def test_exact_search_refuses_what_search_refuses(rng, x, k, error, words):
    index = shortlist.IndexFlatL2(4)
    index.add(rng.random((20, 4), dtype=np.float32))
    for search in (index.search, index.search_exact):
        with pytest.raises(error, match=words):
            search(x, k)


def test_exact_search_needs_a_trained_index():
    index = shortlist.IndexScalarQuantizer(4, QT.QT_8bit)
    with pytest.raises(shortlist.NotTrainedError):
        index.search_exact(np.ones((2, 4), np.float32), 3)


def test_exact_search_of_tensors_gives_tensors(rng):
    torch = pytest.importorskip("torch")
    x = rng.random((20, 4), dtype=np.float32)
    index = shortlist.IndexFlatL2(4)
    index.add(x)
    D, I = index.search_exact(torch.from_numpy(x), 2)
    assert (type(D), type(I)) == (torch.Tensor, torch.Tensor)
    assert (D.dtype, I.dtype) == (torch.float32, torch.int64)
    np.testing.assert_array_equal(I.numpy(), index.search(x, 2)[1])


def test_outputs_may_be_given(rng):
    index = shortlist.IndexFlatL2(4)
    index.add(rng.random((20, 4), dtype=np.float32))
    D, I = np.empty((3, 5), np.float32), np.empty((3, 5), np.int64)
    q = rng.random((3, 4), dtype=np.float32)
    got = index.search(q, 5, D=D, I=I)
    assert got[0] is D
    assert got[1] is I
    np.testing.assert_array_equal((D, I), index.search(q, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"D": np.empty((3, 4), np.float32)},
        {"I": np.empty((3, 5, 1), np.int64)},
        {"D": np.empty((5, 3), np.float32).T},
        {"D": np.empty((3, 10), np.float32)[:, ::2]},
    ],
)
def test_outputs_of_another_shape_are_refused(wrong):
    index = shortlist.IndexFlatL2(4)
    with pytest.raises(shortlist.DimensionError, match=r"expected .*\(3, 5\)|expected .*\[3, 5\]"):
        index.search(np.ones((3, 4), np.float32), 5, **wrong)


def test_read_only_and_mistyped_outputs_are_refused():
    index = shortlist.IndexFlatL2(4)
    locked = np.empty((3, 5), np.float32)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        index.search(np.ones((3, 4), np.float32), 5, D=locked)
    with pytest.raises(TypeError, match="float32"):
        index.search(np.ones((3, 4), np.float32), 5, D=np.empty((3, 5)))
    with pytest.raises(TypeError, match="int64"):
        index.search(np.ones((3, 4), np.float32), 5, I=np.empty((3, 5), np.int32))


def test_reset_keeps_what_was_trained(rng):
    x = rng.random((100, 4), dtype=np.float32)
    index = shortlist.IndexScalarQuantizer(4, QT.QT_8bit)
    index.train(x)
    trained = index.sq.trained.copy()
    index.add(x)
    index.reset()
    assert index.ntotal == 0
    assert index.is_trained
    np.testing.assert_array_equal(index.sq.trained, trained)
    index.add(x[:1])
    assert index.search(x[:1], 1)[1] == 0


def test_progress_is_told_the_end(rng):
    told = []
    index = shortlist.IndexFlatL2(4)
    index.add(rng.random((5000, 4), dtype=np.float32), progress=lambda *at: told.append(at))
    assert told
    assert told[-1] == (5000, 5000)


def test_half_precision_refuses_values_it_cannot_hold():
    """65520 and up would become Inf, which no search returns."""
    index = shortlist.IndexFlat(2, dtype="float16")
    with pytest.raises(ValueError, match=r"float16|65504"):
        index.add(np.array([[1e6, 0]], np.float32))


def test_scalar_quantizer_formula(rng):
    """x ~ vmin + (c + 0.5) / 255 * vdiff, clipped to the trained range."""
    x = rng.normal(size=(500, 6)).astype(np.float32)
    index = shortlist.IndexScalarQuantizer(6, QT.QT_8bit)
    index.train(x)
    vmin, vdiff = index.sq.trained.reshape(2, 6)
    np.testing.assert_array_equal(vmin, x.min(0))
    np.testing.assert_allclose(vdiff, x.max(0) - x.min(0), rtol=1e-6)
    outside = np.concatenate([x, x * 3])
    codes = index.sa_encode(outside)
    unit = ((outside - vmin) / vdiff).clip(0, 1).astype(np.float32)
    np.testing.assert_array_equal(codes, (unit * np.float32(255)).astype(np.uint8))
    np.testing.assert_allclose(
        index.sa_decode(codes), vmin + (codes + 0.5) / 255 * vdiff, rtol=1e-5, atol=1e-6
    )
    assert codes.shape[1] == index.sa_code_size() == index.code_size == index.sq.code_size == 6


# Beside faiss: same numbers, same ids.

SQ_TYPES = ["QT_8bit", "QT_8bit_uniform", "QT_fp16", "QT_8bit_direct", "QT_8bit_direct_signed"]


def data_for(rng: np.random.Generator, qtype: str, n: int, d: int) -> np.ndarray:
    if qtype == "QT_8bit_direct":
        return rng.integers(0, 256, (n, d)).astype(np.float32)
    if qtype == "QT_8bit_direct_signed":
        return rng.integers(-128, 128, (n, d)).astype(np.float32)
    return rng.normal(size=(n, d)).astype(np.float32)


def assert_same_results(ours, theirs, rtol=2e-5):
    (D, I), (FD, FI) = ours, theirs
    np.testing.assert_allclose(D, FD, rtol=rtol, atol=rtol * np.abs(FD).max())
    differing = I != FI  # only where distances are equal up to rounding
    assert differing.mean() < 0.01
    np.testing.assert_allclose(D[differing], FD[differing], rtol=rtol, atol=rtol * np.abs(FD).max())


@pytest.mark.parametrize("d", [7, 64])
def test_flat_equals_faiss(faiss, oracle, rng, d):
    x = rng.normal(size=(3000, d)).astype(np.float32)
    q = rng.normal(size=(50, d)).astype(np.float32)
    ours, theirs = shortlist.IndexFlat(d, oracle.metric), faiss.IndexFlat(d, oracle.metric)
    for index in (ours, theirs):
        index.add(x)
    assert_same_results(ours.search(q, 20), theirs.search(q, 20))
    radius = float(theirs.search(q, 20)[0][:, -1].mean())
    lims, _, I = ours.range_search(q, radius)
    flims, _, FI = theirs.range_search(q, radius)
    np.testing.assert_array_equal(lims, flims)
    np.testing.assert_array_equal(np.sort(I), np.sort(FI))


@pytest.mark.parametrize("qtype", SQ_TYPES)
@pytest.mark.parametrize("d", [7, 64])
def test_scalar_quantizer_equals_faiss(faiss, oracle, rng, qtype, d):
    x, q = data_for(rng, qtype, 3000, d), data_for(rng, qtype, 50, d)
    ours = shortlist.IndexScalarQuantizer(d, getattr(QT, qtype), oracle.metric)
    theirs = faiss.IndexScalarQuantizer(d, getattr(faiss.ScalarQuantizer, qtype), oracle.metric)
    for index in (ours, theirs):
        index.train(x)
        index.add(x)
    np.testing.assert_allclose(ours.sq.trained, faiss.vector_to_array(theirs.sq.trained), rtol=1e-6)
    assert ours.sa_code_size() == theirs.sa_code_size()
    codes, wanted = ours.sa_encode(x), theirs.sa_encode(x)
    apart = np.abs(codes.astype(int) - wanted.astype(int)) > 0
    assert apart.mean() < 1e-3  # a multiplication by 1 / vdiff may round the other way
    np.testing.assert_allclose(
        ours.sa_decode(wanted), theirs.sa_decode(wanted), rtol=1e-5, atol=1e-5
    )
    assert_same_results(ours.search(q, 20), theirs.search(q, 20), rtol=1e-4)


@pytest.mark.parametrize(
    ("stat", "arg"),
    [("RS_minmax", 0), ("RS_minmax", 0.05), ("RS_meanstd", 1.5)],
)
@pytest.mark.parametrize("qtype", ["QT_8bit", "QT_8bit_uniform"])
def test_ranges_are_found_as_faiss_finds_them(faiss, rng, stat, arg, qtype):
    x = rng.normal(size=(1001, 5)).astype(np.float32)
    ours = shortlist.IndexScalarQuantizer(5, getattr(QT, qtype))
    theirs = faiss.IndexScalarQuantizer(5, getattr(faiss.ScalarQuantizer, qtype))
    for index, names in ((ours, QT), (theirs, faiss.ScalarQuantizer)):
        index.sq.rangestat = getattr(names, stat)
        index.sq.rangestat_arg = arg
        index.train(x)
    wanted = faiss.vector_to_array(theirs.sq.trained)
    np.testing.assert_allclose(ours.sq.trained, wanted, rtol=1e-3, atol=1e-3)  # float32 sums


@pytest.mark.parametrize("arg", [0, 0.05, 0.3])
def test_quantile_ranges_leave_the_ends_out(rng, arg):
    x = rng.normal(size=(1001, 5)).astype(np.float32)
    index = shortlist.IndexScalarQuantizer(5, QT.QT_8bit)
    index.sq.rangestat, index.sq.rangestat_arg = QT.RS_quantiles, arg
    index.train(x)
    cut, ordered = int(arg * 1001), np.sort(x, axis=0)
    low, high = ordered[cut], ordered[-1 - cut]
    np.testing.assert_allclose(index.sq.trained, np.r_[low, high - low], rtol=1e-6)
