"""Searches in lists that were chosen elsewhere, and subsets of inverted files."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from shortlist.contrib import inspect_tools, ivf_tools

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
D, NLIST, NPROBE = 24, 12, 4
FORMS = ["Flat", "SQ8", "PQ6x6", "PQ12x4fs", "PQ12x4fsr", "SDC1", "RaBitQ", "RaBitQfs", "RaBitQ3"]


def filled(rng, form="Flat", metric=L2):
    x = rng.normal(size=(1500, D)).astype(np.float32)
    index = shortlist.index_factory(D, f"IVF{NLIST},{form}", metric)
    index.train(x)
    index.add(x)
    index.nprobe = NPROBE
    return index, rng.normal(size=(40, D)).astype(np.float32)


def of_bits(rng):
    x = rng.integers(256, size=(1500, D // 8), dtype=np.uint8)
    index = shortlist.index_binary_factory(D, f"BIVF{NLIST}")
    index.train(x)
    index.add(x)
    index.nprobe = NPROBE
    return index, rng.integers(256, size=(40, D // 8), dtype=np.uint8)


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("form", FORMS)
def test_the_quantizers_lists_give_what_search_gives(rng, threads, form, metric):
    index, q = filled(rng, form, metric)
    near, lists = index.quantizer.search(q, NPROBE)
    wanted, ids = index.search(q, 7)
    for given_near in (near, None):
        d, found = index.search_preassigned(q, 7, lists, given_near)
        np.testing.assert_array_equal(found, ids)
        np.testing.assert_allclose(d, wanted, rtol=1e-5, atol=1e-5)
    radius = float(np.median(wanted[:, 3]))
    lims, d, found = index.range_search_preassigned(q, radius, lists, near)
    same((lims, found), index.range_search(q, radius)[::2])
    same(ivf_tools.search_preassigned(index, q, 7, lists), index.search_preassigned(q, 7, lists))
    same(
        ivf_tools.range_search_preassigned(index, q, radius, lists, near),
        (lims, d, found),
    )


def test_bits_are_searched_in_given_lists(rng, threads):
    index, q = of_bits(rng)
    near, lists = index.quantizer.search(q, NPROBE)
    same(index.search_preassigned(q, 7, lists, near), index.search(q, 7))
    same(index.search_preassigned(q, 7, lists, None), index.search(q, 7))
    same(index.range_search_preassigned(q, 8, lists, near), index.range_search(q, 8))
    assert index.search_preassigned(q, 7, lists)[0].dtype == np.int32


def test_only_given_lists_are_looked_at_and_none_where_there_is_minus_one(rng):
    index, q = filled(rng)
    lists = np.full((len(q), NPROBE), -1)
    lists[:, 2] = np.arange(len(q)) % NLIST
    _, ids = index.search_preassigned(q, 2000, lists)
    for i, row in enumerate(ids):
        held = index.invlists.get_ids(i % NLIST)
        assert set(row[row >= 0]) == set(held)
    lists[:] = -1
    d, ids = index.search_preassigned(q, 3, lists)
    assert (ids == -1).all()
    assert (d == np.float32(3.4028235e38)).all()
    assert index.range_search_preassigned(q, 1e9, lists)[0][-1] == 0


def test_parameters_tell_how_many_lists_and_which_ids(rng):
    index, q = filled(rng)
    near, lists = index.quantizer.search(q, 2)
    params = shortlist.SearchParametersIVF(nprobe=2, sel=shortlist.IDSelectorRange(0, 700))
    found = index.search_preassigned(q, 5, lists, near, params=params)
    same(found, index.search(q, 5, params=params))
    filled_in = np.empty((len(q), 5), np.float32), np.empty((len(q), 5), np.int64)
    index.search_preassigned(q, 5, lists, params=params, D=filled_in[0], I=filled_in[1])
    np.testing.assert_array_equal(filled_in[1], found[1])


@pytest.mark.parametrize("make", [filled, of_bits])
def test_lists_that_cannot_be_are_refused(rng, make):
    index, q = make(rng)
    near, lists = index.quantizer.search(q, NPROBE)
    for bad in (-2, NLIST, 2**40):
        wrong = lists.copy()
        wrong[3, 1] = bad
        with pytest.raises(shortlist.IdError, match=f"query 3 is to look at list {bad}"):
            index.search_preassigned(q, 3, wrong, near)
        with pytest.raises(shortlist.IdError):
            index.range_search_preassigned(q, 3, wrong, near)
    for shape in (lists[:, :3], lists[:5], lists.ravel()):
        with pytest.raises(shortlist.DimensionError, match="Iq has shape"):
            index.search_preassigned(q, 3, shape, near)
    with pytest.raises(shortlist.DimensionError, match="Dq has shape"):
        index.search_preassigned(q, 3, lists, near[:, :2])
    with pytest.raises(TypeError):
        index.search_preassigned(q, 3, lists.astype(float), near)
    bad = near.astype(np.float32)
    bad[0, 0] = np.nan
    with pytest.raises(shortlist.ArgumentError, match="distance of query 0"):
        index.search_preassigned(q, 3, lists, bad)
    with pytest.raises(shortlist.DimensionError):
        index.search_preassigned(q[:, :-1], 3, lists, near)
    with pytest.raises(shortlist.ArgumentError):
        index.search_preassigned(q, 0, lists, near)


def test_an_untrained_index_is_not_searched():
    index = shortlist.IndexIVFFlat(shortlist.IndexFlatL2(D), D, NLIST)
    with pytest.raises(shortlist.NotTrainedError):
        index.search_preassigned(np.zeros((1, D), np.float32), 1, [[0]])


def test_lists_are_searched_behind_transforms(rng):
    x, q = (rng.normal(size=(n, D)).astype(np.float32) for n in (900, 20))
    index = shortlist.index_factory(D, f"PCA12,IVF{NLIST},Flat")
    index.train(x)
    index.add(x)
    inner = shortlist.extract_index_ivf(index)
    inner.nprobe = NPROBE
    near, lists = inner.quantizer.search(index.apply_chain(q), NPROBE)
    wanted = index.search(q, 5)
    same(ivf_tools.search_preassigned(index, q, 5, lists, near), wanted)
    radius = float(np.median(wanted[0]))
    same(
        ivf_tools.range_search_preassigned(index, q, radius, lists, near),
        index.range_search(q, radius),
    )


def test_query_aware_transforms_are_refused():
    index = shortlist.index_factory(D, "QA,IVF4,PQ6", IP)
    with pytest.raises(shortlist.UnsupportedError, match="use search"):
        ivf_tools.search_preassigned(index, np.zeros((1, D), np.float32), 1, [[0]])


@pytest.mark.parametrize("form", ["Flat", "PQ6x6", "PQ12x4fs", "RaBitQ3"])
@pytest.mark.parametrize("kind", range(5))
def test_subsets_make_up_the_whole(rng, form, kind):
    index, q = filled(rng, form)
    parts = 3
    found = []
    for i in range(parts):
        part = shortlist.clone_index(index)
        part.reset()
        total = {0: index.ntotal, 2: index.ntotal, 4: NLIST}.get(kind)
        numbers = (parts, i) if total is None else (total * i // parts, total * (i + 1) // parts)
        index.copy_subset_to(part, kind, *numbers)
        sizes = inspect_tools.get_invlist_sizes(part.invlists)
        if kind in (2, 3):
            whole = inspect_tools.get_invlist_sizes(index.invlists)
            assert (np.abs(sizes - whole / parts) <= 1).all()
        found.append(part.search(q, 7))
    d, ids = (np.concatenate(what, axis=1) for what in zip(*found, strict=True))
    assert len(np.unique(ids[0][ids[0] >= 0])) == (ids[0] >= 0).sum()
    order = np.argsort(d, axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(np.take_along_axis(d, order, 1), index.search(q, 7)[0])


def test_subsets_that_make_no_sense_are_refused(rng):
    index, _ = filled(rng)
    part = shortlist.clone_index(index)
    part.reset()
    for kind, a1, a2 in [(1, 0, 0), (1, 3, 3), (3, -1, 0), (2, 5, 2), (2, 0, 1501), (5, 0, 1)]:
        with pytest.raises(shortlist.ArgumentError):
            index.copy_subset_to(part, kind, a1, a2)
    assert part.ntotal == 0
    with pytest.raises(shortlist.ArgumentError, match="into itself"):
        index.copy_subset_to(index, 1, 2, 0)
    with pytest.raises(shortlist.ArgumentError):
        index.copy_subset_to(filled(rng)[0], 1, 2, 0)
