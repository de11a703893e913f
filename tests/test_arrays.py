"""Which arrays go in, and what they become."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import shortlist

N, D = 40, 6


class OnlyDLPack:
    """An array of a library that numpy knows nothing of."""

    def __init__(self, a):
        self._a = a

    def __dlpack__(self, **kwargs):
        return self._a.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._a.__dlpack_device__()


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    raw = np.empty(a.nbytes + 1, np.uint8)
    out = raw[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    assert not out.flags.aligned
    return out


FORMS = {
    "float32": lambda a: a,
    "float64": lambda a: a.astype(np.float64),
    "longdouble": lambda a: a.astype(np.longdouble),
    "float16": lambda a: a.astype(np.float16),
    "uint8": lambda a: a.astype(np.uint8),
    "int8": lambda a: a.astype(np.int8),
    "int64": lambda a: a.astype(np.int64),
    "uint32": lambda a: a.astype(np.uint32),
    "strided rows": lambda a: np.repeat(a, 2, axis=0)[::2],
    "strided columns": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "Fortran": np.asfortranarray,
    "float16 Fortran": lambda a: np.asfortranarray(a.astype(np.float16)),
    "big-endian": lambda a: a.astype(">f4"),
    "big-endian float16": lambda a: a.astype(">f2"),
    "read-only": read_only,
    "unaligned": unaligned,
    "lists": lambda a: a.tolist(),
    "lists of arrays": list,
    "DLPack": OnlyDLPack,
}


@pytest.fixture
def x(rng):
    """Small integers, which every dtype holds."""
    return rng.integers(0, 100, (N, D)).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_one_set_of_vectors_in_any_form(x, form):
    given, before = FORMS[form](x), x.copy()
    index = shortlist.IndexFlatL2(D)
    index.add(given)
    np.testing.assert_array_equal(index.reconstruct_n(), x)
    distances, found = index.search(given, 3)
    plain = shortlist.IndexFlatL2(D)
    plain.add(x)
    np.testing.assert_array_equal((distances, found), plain.search(x, 3))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("form", FORMS)
def test_training_takes_the_same_forms(x, form):
    index = shortlist.IndexScalarQuantizer(D, shortlist.ScalarQuantizer.QT_8bit)
    index.train(FORMS[form](x))
    np.testing.assert_array_equal(index.sq.trained, np.r_[x.min(0), np.ptp(x, axis=0)])


def test_bool_is_zero_and_one():
    index = shortlist.IndexFlatL2(2)
    index.add(np.array([[True, False]]))
    np.testing.assert_array_equal(index.reconstruct_n(), [[1, 0]])


def test_the_caller_may_change_its_array_afterwards(x):
    index = shortlist.IndexFlatL2(D)
    mine = x.copy()
    index.add(mine)
    mine[:] = 0
    np.testing.assert_array_equal(index.reconstruct_n(), x)


@pytest.mark.parametrize("name", ["complex64", "U5", "S3", "object", "datetime64[s]", "V8"])
def test_what_is_not_a_real_number_is_refused(name):
    index = shortlist.IndexFlatL2(D)
    with pytest.raises(TypeError, match="expected float32"):
        index.add(np.zeros((2, D), name))
    with pytest.raises(TypeError, match="expected float32"):
        index.search(np.zeros((2, D), name), 1)
    assert index.ntotal == 0


@pytest.mark.parametrize("junk", [None, "text", object(), {"a": 1}, [[1, 2], [3]], [["a"] * D]])
def test_what_is_no_array_is_refused(junk):
    with pytest.raises(TypeError):
        shortlist.IndexFlatL2(D).add(junk)


@pytest.mark.parametrize("shape", [(), (D,), (1, 1, D)])
def test_two_dimensions_are_needed(shape):
    index = shortlist.IndexFlatL2(D)
    for call in (index.add, index.train, lambda a: index.search(a, 1)):
        with pytest.raises(shortlist.DimensionError, match=r"expected 2 dimensions \(n, d\)"):
            call(np.zeros(shape, np.float32))


def test_a_single_vector_is_told_how():
    with pytest.raises(shortlist.DimensionError, match=r"pass x\[None, :\]"):
        shortlist.IndexFlatL2(D).search(np.zeros(D, np.float32), 1)


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16", "uint8"])
def test_empty_arrays_are_fine(dtype):
    index = shortlist.IndexFlatL2(D)
    index.add(np.empty((0, D), dtype))
    assert index.search(np.empty((0, D), dtype), 2)[1].shape == (0, 2)
    with pytest.raises(shortlist.DimensionError):
        index.add(np.empty((0, D + 1), dtype))


def test_conversion_is_logged_once(python):
    said = python("""
import logging, numpy as np, shortlist
logging.basicConfig(format="%(name)s %(levelname)s %(message)s")
logging.getLogger().handlers[0].stream = __import__("sys").stdout
index = shortlist.IndexFlatL2(3)
for _ in range(3):
    index.add(np.zeros((2, 3)))
    index.add(np.zeros((3, 3), np.float32).T)
""")
    assert said.count("converted to float32") == said.count("C-contiguous") == 1
    assert said.startswith("shortlist WARNING")


def test_values_too_large_for_float32_are_infinite():
    index = shortlist.IndexFlatL2(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(shortlist.ArgumentError, match="Inf"):
            index.add(np.full((3, 2), 1e300))


def test_a_warning_made_an_error_reaches_the_caller():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="overflow"):
            shortlist.IndexFlatL2(2).add(np.full((3, 2), 1e300))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint64, ">i8"])
def test_ids_of_any_integer_type(x, dtype):
    index = shortlist.IndexIDMap2(shortlist.IndexFlatL2(D))
    index.add_with_ids(x, np.arange(N)[::-1].astype(dtype))
    assert index.search(x[:1], 1)[1] == N - 1
    assert index.remove_ids(np.array([3, 4], dtype)) == 2
    index.remove_ids([5])
    assert index.ntotal == N - 3


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.arange(N, dtype=np.float32), TypeError, "expected integers"),
        (np.ones(N, bool), TypeError, "expected integers"),
        (["a"] * N, TypeError, "expected integers"),
        (np.arange(N - 1), shortlist.DimensionError, r"expected \(40,\), one per vector"),
        (np.arange(N)[None], shortlist.DimensionError, "one per vector"),
        (np.full(N, 2**63, np.uint64), shortlist.IdError, "signed 64-bit"),
    ],
)
def test_ids_that_are_refused(x, ids, error, message):
    index = shortlist.IndexIDMap2(shortlist.IndexFlatL2(D))
    with pytest.raises(error, match=message):
        index.add_with_ids(x, ids)
    assert index.ntotal == 0


def test_normalize_works_in_place_or_not_at_all(rng):
    x = rng.normal(size=(30, 5)).astype(np.float32)
    x[7] = 0
    wanted = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
    shortlist.normalize_L2(x)
    np.testing.assert_allclose(x, wanted, rtol=1e-5)
    for wrong, error in [
        (x.astype(np.float64), TypeError),
        (x.tolist(), TypeError),
        (x[:, ::2], ValueError),
        (x[0], ValueError),
        (read_only(x), ValueError),
    ]:
        with pytest.raises(error, match="works in place"):
            shortlist.normalize_L2(wrong)


def test_knn_is_a_search_without_an_index(oracle, rng):
    x = rng.integers(-5, 6, (100, 4)).astype(np.float32)
    got = shortlist.knn(x[:9], x, 7, oracle.metric)
    np.testing.assert_array_equal(got, oracle.search(x[:9], x, 7))


def test_torch_in_torch_out(x):
    torch = pytest.importorskip("torch")
    index = shortlist.IndexFlatL2(D)
    index.add(torch.from_numpy(x).requires_grad_())
    distances, found = index.search(torch.from_numpy(x), 2)
    assert (type(distances), type(found)) == (torch.Tensor, torch.Tensor)
    assert (distances.dtype, found.dtype) == (torch.float32, torch.int64)
    np.testing.assert_array_equal(found.numpy(), index.search(x, 2)[1])
