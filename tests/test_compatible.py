"""faiss's pointers, vectors and parameter names, as programs use them."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from shortlist.contrib import inspect_tools

D = 16


@pytest.fixture
def x(rng):
    return rng.normal(size=(600, D)).astype(np.float32)


def test_arrays_stand_where_faiss_has_vectors_and_pointers(x):
    flat = shortlist.IndexFlatL2(D)
    flat.add(x)
    np.testing.assert_array_equal(shortlist.rev_swig_ptr(flat.get_xb(), 5 * D), x[:5].ravel())
    codes = shortlist.vector_to_array(flat.codes)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes.view(np.float32).reshape(-1, D), x)
    np.testing.assert_array_equal(inspect_tools.get_flat_data(flat), x)
    pq = shortlist.index_factory(D, "PQ4x4")
    pq.train(x)
    assert shortlist.vector_to_array(pq.pq.centroids).shape == (4 * 16 * D // 4,)
    pca = shortlist.PCAMatrix(D, 4)
    pca.train(x)
    np.testing.assert_array_equal(shortlist.vector_float_to_array(pca.A), pca.A.ravel())
    assert shortlist.swig_ptr(x) is x
    assert shortlist.downcast_index(flat) is flat


@pytest.mark.parametrize("form", ["SQ8", "SQfp16", "PQ4x4", "SQ8_direct_signed"])
def test_codes_are_those_of_sa_encode(x, form):
    index = shortlist.index_factory(D, form)
    index.train(x)
    assert index.codes.shape == (0,)
    index.add(x)
    np.testing.assert_array_equal(inspect_tools.get_flat_codes(index), index.sa_encode(x))


def test_vectors_of_other_dtypes_are_floats(x):
    index = shortlist.IndexFlatL2(D, dtype="float16")
    assert index.get_xb().shape == (0,)
    index.add(x)
    np.testing.assert_array_equal(
        index.get_xb().reshape(-1, D), x.astype(np.float16).astype(np.float32)
    )


def test_what_is_no_such_array_is_refused(x):
    with pytest.raises(TypeError):
        shortlist.swig_ptr([1, 2])
    with pytest.raises(ValueError, match="C-contiguous"):
        shortlist.swig_ptr(x[:, ::2])
    with pytest.raises(shortlist.ArgumentError, match=r"n = 17 .* of 16"):
        shortlist.rev_swig_ptr(x[0], 17)
    with pytest.raises(TypeError):
        shortlist.vector_to_array(3)
    with pytest.raises(shortlist.UnsupportedError, match=r"transform\.A = a"):
        shortlist.copy_array_to_vector(x[0], shortlist.LinearTransform(D, 1).A)


def test_selectors_take_a_count_and_a_pointer():
    ids = np.array([3, 5, 9])
    for kind in (shortlist.IDSelectorBatch, shortlist.IDSelectorArray):
        sel = kind(2, shortlist.swig_ptr(ids))
        assert [sel.is_member(i) for i in (3, 5, 9)] == [True, True, False]
        with pytest.raises(shortlist.ArgumentError):
            kind(4, ids)
    bits = np.packbits([1] * 16, bitorder="little")
    sel = shortlist.IDSelectorBitmap(1, bits)
    assert sel.is_member(7)
    assert not sel.is_member(8)


def test_a_matrix_becomes_a_transform(x):
    A, b = x[:3], x[3, :3]
    transform = inspect_tools.make_LinearTransform_matrix(A, b)
    np.testing.assert_allclose(transform.apply(x), x @ A.T + b, rtol=1e-4, atol=1e-4)
    for got, wanted in zip(
        inspect_tools.get_LinearTransform_matrix(transform), (A, b), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    "form", ["IVF8,Flat", "PCA8,IVF8,SQ8", "IDMap,IVF8,Flat", "IVF8,SQ8,RFlat"]
)
def test_the_inverted_file_inside_is_found(form):
    index = shortlist.index_factory(D, form)
    assert isinstance(shortlist.extract_index_ivf(index), shortlist.IndexIVF)
    shortlist.ParameterSpace().set_index_parameter(index, "nprobe", 5)
    assert shortlist.extract_index_ivf(index).nprobe == 5


def test_where_there_is_none_it_says_so():
    index = shortlist.IndexFlatL2(D)
    assert shortlist.try_extract_index_ivf(index) is None
    with pytest.raises(RuntimeError, match="no IndexIVF"):
        shortlist.extract_index_ivf(index)


def test_parameters_are_set_by_name():
    space = shortlist.ParameterSpace()
    index = shortlist.index_factory(D, "PCA8,IVF8_HNSW16,SQ8,RFlat")
    ivf = shortlist.extract_index_ivf(index)
    space.set_index_parameters(index, "nprobe=3, quantizer_efSearch=77 k_factor_rf=2.5,max_codes=9")
    assert (ivf.nprobe, ivf.quantizer.hnsw.efSearch, index.k_factor) == (3, 77, 2.5)
    assert ivf.max_codes == 9
    space.set_index_parameter(index, "efSearch", 33)
    assert ivf.quantizer.hnsw.efSearch == 33
    space.set_index_parameter(index, "verbose", 1)
    assert ivf.verbose
    refined = shortlist.index_factory(D, "IVF8,PQ4+4,RFlat")
    space.set_index_parameters(refined, "k_factor=3 k_factor_rf=5")
    assert (refined.base_index.k_factor, refined.k_factor) == (3, 5)
    graph = shortlist.IndexHNSWFlat(D, 8)
    space.set_index_parameter(graph, "efConstruction", 50)
    assert graph.hnsw.efConstruction == 50
    for name, value in [
        ("nprobe", 2),
        ("k_factor_rf", 2),
        ("k_factor", 2),
        ("ht", 3),
        ("quantizer_nprobe", 1),
    ]:
        with pytest.raises(RuntimeError, match="no parameter"):
            space.set_index_parameter(graph, name, value)
    with pytest.raises(shortlist.ArgumentError, match="whole"):
        space.set_index_parameter(index, "nprobe", 2.5)
    with pytest.raises(shortlist.ArgumentError):
        space.set_index_parameter(index, "nprobe", 0)
    for bad in ("nprobe", "nprobe=x", "=3"):
        with pytest.raises(shortlist.ArgumentError):
            space.set_index_parameters(index, bad)


def test_indexes_are_merged_and_searched_as_in_faiss(x):
    index = shortlist.index_factory(D, "PCA8,IVF8,Flat")
    index.train(x)
    parts = [shortlist.clone_index(index) for _ in range(2)]
    parts[0].add(x[:400])
    parts[1].add(x[400:])
    index.add(x)
    a, b = (part.index for part in parts)
    shortlist.check_compatible_for_merge(a, b)
    shortlist.merge_into(a, b, shift_ids=True)
    params = shortlist.SearchParametersIVF(nprobe=4)
    found = shortlist.search_with_parameters(parts[0], x[:9], 3, params)
    index.index.nprobe = 4
    for got, wanted in zip(found, index.search(x[:9], 3), strict=True):
        np.testing.assert_array_equal(got, wanted)
    found = shortlist.range_search_with_parameters(parts[0], x[:9], 5.0, params)
    for got, wanted in zip(found, index.range_search(x[:9], 5.0), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_the_level_in_use_is_the_only_one():
    config = shortlist.SIMDConfig
    level = config.get_level()
    named = {"reference": "NONE", "neon": "ARM_NEON"}.get(
        shortlist.simd_level(), shortlist.simd_level().upper()
    )
    assert level == getattr(shortlist, f"SIMDLevel_{named}") == config.get_dispatched_level()
    assert [i for i in range(7) if config.is_simd_level_available(i)] == [level]
    config.set_level(level)
    with pytest.raises(shortlist.UnsupportedError, match="SHORTLIST_ISA"):
        config.set_level((level + 1) % 7)


def test_random_arrays_have_the_shape_and_follow_the_seed():
    for make, dtype in (
        (shortlist.rand, np.float32),
        (shortlist.randn, np.float32),
        (shortlist.randint, np.int64),
    ):
        a = make((30, 4), 7)
        assert a.shape == (30, 4)
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, make((30, 4), seed=7))
        assert (a != make((30, 4), 8)).any()
        assert make(5).shape == (5,)
    assert set(shortlist.randint(1000, 1, vmax=3)) == {0, 1, 2}
    assert abs(shortlist.randn(10000).std() - 1) < 0.05
    assert 0 <= shortlist.rand(10000).min() < shortlist.rand(10000).max() <= 1


def test_assigning_is_searching_for_ids(x):
    index = shortlist.IndexFlatL2(D)
    index.add(x)
    np.testing.assert_array_equal(index.assign(x[:7], 3), index.search(x[:7], 3)[1])
    out = np.empty((7, 3), np.int64)
    assert index.assign(x[:7], 3, out) is out
