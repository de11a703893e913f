"""Bad input: which exception, and that its text names the value, the expectation and the fix."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist

D = 8
QT = shortlist.ScalarQuantizer

INDEXES = {
    "Flat": lambda: shortlist.IndexFlatL2(D),
    "SQ": lambda: shortlist.IndexScalarQuantizer(D, QT.QT_fp16),
    "HNSW": lambda: shortlist.IndexHNSWFlat(D, 8),
    "HNSWSQ": lambda: shortlist.IndexHNSWSQ(D, QT.QT_8bit_direct_signed, 8),
    "IDMap2": lambda: shortlist.IndexIDMap2(shortlist.IndexFlatL2(D)),
    "Refine": lambda: shortlist.IndexRefineFlat(shortlist.IndexHNSWFlat(D, 8)),
}


@pytest.fixture(params=INDEXES)
def index(request, rng):
    """Every kind of index, over 30 vectors."""
    made = INDEXES[request.param]()
    x = rng.random((30, D), dtype=np.float32)
    if request.param == "IDMap2":
        made.add_with_ids(x, np.arange(30))
    else:
        made.add(x)
    return made


def add(index, x):
    if isinstance(index, shortlist.IndexIDMap):
        index.add_with_ids(x, np.arange(100, 100 + len(x)))
    else:
        index.add(x)


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        ("ArgumentError", (ValueError, RuntimeError, AssertionError)),
        ("DimensionError", (shortlist.ArgumentError,)),
        ("IdError", (shortlist.ArgumentError, IndexError)),
        ("FactoryError", (ValueError, RuntimeError)),
        ("NotTrainedError", (RuntimeError,)),
        ("UnsupportedError", (NotImplementedError, RuntimeError)),
        ("BusyError", (RuntimeError,)),
        ("CorruptIndexError", (OSError, RuntimeError)),
    ],
)
def test_what_faiss_programs_catch(error, bases):
    kind = getattr(shortlist, error)
    assert all(issubclass(kind, base) for base in bases)
    assert (kind.__module__, kind.__name__) == ("shortlist", error)
    assert kind.__doc__


def test_wrong_dimension(index):
    for call in (
        lambda x: add(index, x),
        index.train,
        lambda x: index.search(x, 1),
        lambda x: index.range_search(x, 1.0),
        index.sa_encode,
    ):
        with pytest.raises(
            shortlist.DimensionError, match=r"have 9 dimensions .* d = 8; .*\(n, 8\)"
        ):
            call(np.zeros((2, 9), np.float32))
    assert index.ntotal == 30


@pytest.mark.parametrize("k", [0, -1, -(2**40)])
def test_k_must_be_positive(index, k):
    with pytest.raises(shortlist.ArgumentError, match=f"k = {k} .*at least 1"):
        index.search(np.zeros((1, D), np.float32), k)


@pytest.mark.parametrize("k", [1.0, "3", None, np.float32(2)])
def test_k_must_be_an_integer(index, k):
    with pytest.raises(TypeError):
        index.search(np.zeros((1, D), np.float32), k)


def test_k_may_be_numpys(index):
    for k in (np.int64(3), np.uint8(3), np.array(3)):
        assert index.search(np.zeros((1, D), np.float32), k)[1].shape == (1, 3)


@pytest.mark.parametrize("k", [2**40, 2**61, 2**62, 2**63 - 1])
def test_an_absurd_k_is_out_of_memory(index, k):
    q = np.zeros((3, D), np.float32)
    with pytest.raises(MemoryError, match="ask for fewer neighbours"):
        index.search(q, k)
    with pytest.raises(MemoryError):
        index.search_and_reconstruct(q, k)
    with pytest.raises((MemoryError, ValueError)):
        index.search(q[:0], 2**63 - 1)
    with pytest.raises(TypeError):
        index.search(q, 2**64)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_values_that_are_not_finite(index, bad, dtype):
    x = np.zeros((1500, D), dtype)
    x[1234, 5] = bad
    shown = str(abs(float(bad)))
    for call in (lambda x: add(index, x), index.train):
        with pytest.raises(shortlist.ArgumentError, match=f"row 1234, column 5 is -?{shown}"):
            call(x)
    assert index.ntotal == 30


@pytest.mark.parametrize("key", [-1, 30, 2**40, -(2**63), 2**63 - 1])
def test_reconstruct_out_of_range(index, key):
    with pytest.raises(shortlist.IdError, match=f"id {key} is not in this"):
        index.reconstruct(key)
    with pytest.raises(IndexError):
        index.reconstruct_batch([0, key])
    with pytest.raises(shortlist.IdError):
        index.reconstruct_n(key, 2)


def test_reconstruct_n_out_of_range(index):
    with pytest.raises(shortlist.IdError, match="ntotal is 30"):
        index.reconstruct_n(0, 31)
    with pytest.raises(shortlist.IdError):
        index.reconstruct_n(25, 10)
    assert index.reconstruct_n(30, 0).shape == (0, D)


def test_remove_wants_integers_or_a_selector(index):
    if isinstance(index, shortlist.IndexRefine):
        with pytest.raises(shortlist.UnsupportedError, match="remove_ids"):
            index.remove_ids([1])
        return
    for junk in (np.array([1.0]), [0.5], "1", None):
        with pytest.raises(TypeError, match="expected integers"):
            index.remove_ids(junk)
    with pytest.raises(shortlist.DimensionError, match="one dimension"):
        index.remove_ids([[1]])
    assert index.ntotal == 30


@pytest.mark.parametrize("radius", [float("nan")])
def test_radius_must_be_a_number(index, radius):
    with pytest.raises(shortlist.ArgumentError, match="radius is NaN"):
        index.range_search(np.zeros((1, D), np.float32), radius)


def test_codes_of_another_width(index):
    width = index.sa_code_size()
    with pytest.raises(shortlist.DimensionError, match=rf"\(n, {width}\)"):
        index.sa_decode(np.zeros((2, width + 1), np.uint8))
    with pytest.raises(TypeError):
        index.sa_decode(np.zeros((2, width), np.float32))


# Construction


@pytest.mark.parametrize(
    "make",
    [
        shortlist.IndexFlat,
        shortlist.IndexFlatL2,
        shortlist.IndexFlatIP,
        shortlist.IndexHNSWFlat,
        lambda d: shortlist.IndexHNSWSQ(d, QT.QT_8bit),
        lambda d: shortlist.IndexScalarQuantizer(d, QT.QT_8bit),
    ],
)
@pytest.mark.parametrize("d", [0, -4, 2**20 + 1, 2**62])
def test_dimension_out_of_range(make, d):
    with pytest.raises(shortlist.ArgumentError, match=f"d = {d}"):
        make(d)


def test_the_largest_dimension_works():
    d = 2**20
    index = shortlist.IndexFlatL2(d)
    index.add(np.eye(2, d, dtype=np.float32))
    assert index.search(np.zeros((1, d), np.float32), 2)[0].tolist() == [[1, 1]]


@pytest.mark.parametrize("m", [1, 0, -3, 4097, 2**40])
def test_links_out_of_range(m):
    with pytest.raises(shortlist.ArgumentError, match=rf"M = {m}\b.*(2 to 4096|at least)"):
        shortlist.IndexHNSWFlat(D, m)


@pytest.mark.parametrize("metric", [2, 22, -1])
def test_unknown_metric(metric):
    for make in (shortlist.IndexFlat, lambda d, m: shortlist.IndexHNSWFlat(d, 8, m)):
        with pytest.raises(shortlist.UnsupportedError, match=f"metric {metric} .*METRIC_L2"):
            make(D, metric)


@pytest.mark.parametrize("dtype", ["float64", "bogus", "int32", ">f4", object()])
def test_unknown_storage_dtype(dtype):
    with pytest.raises((ValueError, TypeError), match="float32, float16, uint8 or int8"):
        shortlist.IndexFlat(D, dtype=dtype)


@pytest.mark.parametrize("qtype", [9, 26, 99, -1])
def test_quantizer_types_that_are_not_built_in(qtype):
    with pytest.raises(shortlist.UnsupportedError, match="choose QT_8bit"):
        shortlist.IndexScalarQuantizer(D, qtype)


@pytest.mark.parametrize(
    "make",
    [
        shortlist.IndexIDMap,
        shortlist.IndexIDMap2,
        shortlist.IndexRefineFlat,
        shortlist.IndexHNSW,
        lambda none: shortlist.IndexRefine(shortlist.IndexFlatL2(D), none),
        lambda none: shortlist.IndexRefine(none, shortlist.IndexFlatL2(D)),
        lambda none: shortlist.IndexFlatL2(D).merge_from(none),
    ],
)
@pytest.mark.parametrize("junk", [None, 3, "Flat"])
def test_an_index_is_wanted(make, junk):
    with pytest.raises(TypeError):
        make(junk)


def test_abstract_classes_cannot_be_made():
    for kind in (shortlist.Index, shortlist.IndexFlatCodes, shortlist.HNSW, shortlist.IDSelector):
        with pytest.raises(TypeError):
            kind()


# Parameters


@pytest.mark.parametrize("ef", [0, -1])
def test_ef_must_be_positive(ef):
    index = shortlist.IndexHNSWFlat(D)
    index.add(np.zeros((3, D), np.float32))
    for name in ("efSearch", "efConstruction"):
        with pytest.raises(shortlist.ArgumentError, match=f"{name} = {ef}; it must be at least 1"):
            setattr(index.hnsw, name, ef)
    params = shortlist.SearchParametersHNSW(efSearch=ef)
    for call in (
        lambda: index.search(np.zeros((1, D), np.float32), 1, params=params),
        lambda: index.range_search(np.zeros((1, D), np.float32), 1.0, params=params),
    ):
        with pytest.raises(shortlist.ArgumentError, match=f"efSearch = {ef}; it must be"):
            call()


@pytest.mark.parametrize("n", [0, -1])
def test_threads_must_be_positive(n):
    with pytest.raises(shortlist.ArgumentError, match=f"n = {n} threads"):
        shortlist.omp_set_num_threads(n)


def test_misspelt_parameters_are_refused():
    with pytest.raises(TypeError):
        shortlist.SearchParametersHNSW(efsearch=5)
    with pytest.raises(AttributeError):
        shortlist.IndexHNSWFlat(D).hnsw.efsearch = 5


# Training


@pytest.mark.parametrize(
    "make",
    [
        lambda: shortlist.IndexScalarQuantizer(D, QT.QT_8bit),
        lambda: shortlist.IndexHNSWSQ(D, QT.QT_8bit_uniform),
        lambda: shortlist.IndexIDMap2(shortlist.IndexScalarQuantizer(D, QT.QT_8bit)),
        lambda: shortlist.IndexRefineFlat(shortlist.IndexScalarQuantizer(D, QT.QT_8bit)),
    ],
)
def test_untrained(make, rng):
    index, x = make(), rng.random((20, D), dtype=np.float32)
    assert not index.is_trained
    assert "not trained" in repr(index)
    for call in (
        lambda: add(index, x),
        lambda: index.search(x, 1),
        lambda: index.range_search(x, 1),
    ):
        with pytest.raises(shortlist.NotTrainedError, match=r"must be trained .* call train\(x\)"):
            call()
    with pytest.raises(shortlist.ArgumentError, match="at least 1"):
        index.train(x[:0])
    index.train(x)
    add(index, x)
    assert index.ntotal == 20


def test_optim_range_is_not_available(rng):
    index = shortlist.IndexScalarQuantizer(D, QT.QT_8bit)
    index.sq.rangestat = QT.RS_optim
    with pytest.raises(shortlist.UnsupportedError, match="RS_minmax"):
        index.train(rng.random((9, D), dtype=np.float32))
    with pytest.raises(shortlist.ArgumentError, match="rangestat = 7"):
        index.sq.rangestat = 7


# Merging


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (lambda: shortlist.IndexFlatL2(8), lambda: shortlist.IndexFlatL2(9), "d = 9"),
        (lambda: shortlist.IndexFlat(8, 1), lambda: shortlist.IndexFlat(8, 0), "inner"),
        (lambda: shortlist.IndexFlatL2(8), lambda: shortlist.IndexHNSWFlat(8), "IndexHNSWFlat"),
        (
            lambda: shortlist.IndexFlat(8),
            lambda: shortlist.IndexFlat(8, dtype="float16"),
            "must share dtype",
        ),
    ],
)
def test_what_cannot_be_merged(left, right, message):
    a, b = left(), right()
    b.add(np.ones((3, b.d), np.float32))
    with pytest.raises(shortlist.ArgumentError, match=message):
        a.check_compatible_for_merge(b)
    with pytest.raises(shortlist.ArgumentError, match=message):
        a.merge_from(b)
    assert (a.ntotal, b.ntotal) == (0, 3)


def test_an_index_is_not_merged_into_itself(index):
    with pytest.raises(shortlist.ArgumentError, match="into itself"):
        index.merge_from(index)
    assert index.ntotal == 30


def test_flat_has_no_ids_of_its_own():
    with pytest.raises(shortlist.UnsupportedError, match=r"IndexIDMap2\(index\)"):
        shortlist.IndexFlatL2(D).add_with_ids(np.zeros((1, D), np.float32), [5])
