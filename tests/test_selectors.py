"""IDSelector*: what they contain, and searches and removals that obey them."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from hypothesis import given
from hypothesis import strategies as st

N, D = 1500, 10


def bits(ids: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[ids] = True
    return np.packbits(mask, bitorder="little")


KINDS = {
    "Array": shortlist.IDSelectorArray,
    "Batch": shortlist.IDSelectorBatch,
    "Range": lambda ids: shortlist.IDSelectorRange(int(ids.min()), int(ids.max()) + 1),
    "Bitmap": lambda ids: shortlist.IDSelectorBitmap(bits(ids, ids.max() + 1)),
    "Not": lambda ids: shortlist.IDSelectorNot(
        shortlist.IDSelectorBatch(np.setdiff1d(np.arange(ids.max() + 2 * N), ids))
    ),
    "And": lambda ids: shortlist.IDSelectorAnd(
        shortlist.IDSelectorBatch(ids), shortlist.IDSelectorAll()
    ),
    "Or": lambda ids: shortlist.IDSelectorOr(
        shortlist.IDSelectorArray(ids[::2]), shortlist.IDSelectorBatch(ids[1::2])
    ),
    "XOr": lambda ids: shortlist.IDSelectorXOr(
        shortlist.IDSelectorAll(), shortlist.IDSelectorNot(shortlist.IDSelectorBatch(ids))
    ),
    "Callback": lambda ids: shortlist.PyCallbackIDSelector(set(ids.tolist()).__contains__),
}


def graph():
    index = shortlist.IndexHNSWFlat(D, 8)
    index.hnsw.efSearch = 64
    return index


def holes(index, x):
    """The last N of 2 N vectors, so that graphs have names and freed slots; others renumber."""
    index.add(np.concatenate([x + 5, x]))
    index.remove_ids(np.arange(N))
    return index


def named(index, x):
    index = shortlist.IndexIDMap2(index)
    index.add_with_ids(x, np.arange(N) * 2 + 1)
    return index


def plain(index, x):
    index.add(x)
    return index


INDEXES = {
    "Flat": lambda x: (plain(shortlist.IndexFlatL2(D), x), np.arange(N)),
    "HNSW": lambda x: (plain(graph(), x), np.arange(N)),
    "HNSW with holes": lambda x: (holes(graph(), x), np.arange(N, 2 * N)),
    "IDMap2,Flat": lambda x: (named(shortlist.IndexFlatL2(D), x), np.arange(N) * 2 + 1),
    "IDMap2,HNSW": lambda x: (named(graph(), x), np.arange(N) * 2 + 1),
    "Refine,HNSW": lambda x: (
        plain(shortlist.IndexRefineFlat(graph()), x),
        np.arange(N),
    ),
}


@pytest.fixture(params=INDEXES)
def searched(request, rng):
    """An index, its vectors and their ids."""
    x = rng.normal(size=(N, D)).astype(np.float32)
    return (*INDEXES[request.param](x), x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [1 / N, 0.004, 0.1, 0.5, 1.0])
def test_results_pass_the_filter_and_none_is_missing(searched, l2, rng, kind, share):
    index, ids, x = searched
    chosen = rng.choice(N, round(share * N), replace=False)
    if kind == "Range":
        chosen = np.arange(len(chosen)) + (N - len(chosen)) // 3
    sel = KINDS[kind](ids[chosen])
    q = rng.normal(size=(20, D)).astype(np.float32)
    distances, found = index.search(q, 15, params=shortlist.SearchParameters(sel=sel))
    allowed = ids[chosen]
    least = min(15, len(allowed))
    assert np.isin(found[:, :least], allowed).all()
    assert (found[:, least:] == -1).all()
    assert all(len(set(row)) == least for row in found[:, :least].tolist())
    order = np.sort(chosen)
    wanted, _ = l2.search(q, x[order], least)
    assert np.isclose(distances[:, :least], wanted, rtol=1e-4, atol=1e-4).mean() > 0.9
    lims, _, inside = index.range_search(q, 8.0, params=shortlist.SearchParameters(sel=sel))
    assert np.isin(inside, allowed).all()
    assert lims[-1] == len(inside)


@pytest.mark.parametrize("make", ["HNSW", "IDMap2,HNSW"])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"Callback"}))
def test_a_selector_follows_the_indexes_it_is_used_with(rng, make, kind):
    """Kept from call to call, it must see ids come, go and move, and not mix indexes up."""
    x = rng.normal(size=(N, D)).astype(np.float32)
    every = np.arange(4 * N)
    chosen = np.arange(300, 3000) if kind == "Range" else rng.choice(every, 800, replace=False)
    sel = KINDS[kind](np.sort(chosen))
    params = shortlist.SearchParametersHNSW(sel=sel, efSearch=200)
    first, second = (INDEXES[make](x) for _ in range(2))
    second[0].remove_ids(second[1][::2])

    def check(index, ids):
        """All that pass are found, as k is large enough."""
        wanted = np.intersect1d(ids, chosen)
        _, found = index.search(x[:2], N, params=params)
        for row in found:
            np.testing.assert_array_equal(np.sort(row[row >= 0]), wanted)

    index, ids = first
    for _ in range(2):
        check(index, ids)
        check(second[0], second[1][1::2])
    index.remove_ids(ids[:700])
    check(index, ids[700:])
    fresh = np.arange(3 * N, 3 * N + 700)
    index.add_with_ids(x[:700], fresh)
    ids = np.r_[ids[700:], fresh]
    check(index, ids)
    if make == "HNSW":
        index.update_vectors(ids[::3], x[: len(ids[::3])])
        check(index, ids)
    index.reset()
    check(index, [])


def test_a_callback_is_asked_anew(rng):
    x = rng.normal(size=(N, D)).astype(np.float32)
    index, _ = INDEXES["HNSW"](x)
    passing = {3, 4}
    sel = shortlist.PyCallbackIDSelector(passing.__contains__)
    for made in (sel, shortlist.IDSelectorAnd(sel, shortlist.IDSelectorAll())):
        params = shortlist.SearchParameters(sel=made)
        passing.add(7)
        assert set(index.search(x[:1], 5, params=params)[1][0]) == {3, 4, 7, -1}
        passing.remove(7)
        assert set(index.search(x[:1], 5, params=params)[1][0]) == {3, 4, -1}


def test_an_empty_selection_finds_nothing(searched):
    index, _, x = searched
    for sel in (
        shortlist.IDSelectorBatch([]),
        shortlist.IDSelectorArray(np.empty(0, np.int64)),
        shortlist.IDSelectorRange(50, 10),
        shortlist.IDSelectorBitmap(np.empty(0, np.uint8)),
        shortlist.IDSelectorNot(shortlist.IDSelectorAll()),
        shortlist.IDSelectorRange(-100, 0),
    ):
        params = shortlist.SearchParameters(sel=sel)
        assert (index.search(x[:5], 3, params=params)[1] == -1).all()
        assert index.range_search(x[:5], 1e9, params=params)[0][-1] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", ["Flat", "HNSW", "IDMap2,Flat", "IDMap2,HNSW"])
def test_removal_obeys_selectors(rng, make, kind):
    x = rng.normal(size=(N, D)).astype(np.float32)
    index, ids = INDEXES[make](x)
    gone = np.arange(100, 500) if kind == "Range" else rng.choice(N, 400, replace=False)
    assert index.remove_ids(KINDS[kind](ids[gone])) == 400
    assert index.ntotal == N - 400
    _, found = index.search(x[gone], 1)
    if make != "Flat":  # which renumbers
        assert not np.isin(found, ids[gone]).any()
    assert (index.search(np.delete(x, gone, axis=0), 1)[0] < 1e-4).mean() > 0.98


@given(
    members=st.sets(st.integers(0, 300)),
    other=st.sets(st.integers(0, 300)),
    low=st.integers(-10, 310),
    high=st.integers(-10, 310),
)
def test_membership(members, other, low, high):
    a, b = shortlist.IDSelectorBatch(sorted(members)), shortlist.IDSelectorArray(sorted(other))
    ids = range(-12, 320)
    sets = {
        a: members,
        b: other,
        shortlist.IDSelectorRange(low, high): set(range(low, high)),
        shortlist.IDSelectorBitmap(bits(sorted(members), 301)): members,
        shortlist.IDSelectorNot(a): set(ids) - members,
        shortlist.IDSelectorAnd(a, b): members & other,
        shortlist.IDSelectorOr(a, b): members | other,
        shortlist.IDSelectorXOr(a, b): members ^ other,
        shortlist.IDSelectorAll(): set(ids),
    }
    for sel, wanted in sets.items():
        assert {i for i in ids if sel.is_member(i)} == {i for i in ids if i in wanted}


def test_large_and_negative_ids_are_ordinary():
    sel = shortlist.IDSelectorBatch([2**62, -5])
    assert sel.is_member(2**62)
    assert sel.is_member(-5)
    assert not sel.is_member(5)
    assert not shortlist.IDSelectorBitmap(np.full(4, 255, np.uint8)).is_member(-1)


@pytest.mark.parametrize("mask", [np.ones(16, bool), np.ones(2), np.ones(2, np.int64)])
def test_a_bitmap_is_bytes(mask):
    """A bool mask read as bytes would select something else without a word."""
    with pytest.raises(TypeError, match="uint8"):
        shortlist.IDSelectorBitmap(mask)


def test_exceptions_of_a_callback_reach_the_caller(searched):
    index, _, x = searched

    class Odd(Exception):
        pass

    def ask(i):
        raise Odd(i)

    sel = shortlist.PyCallbackIDSelector(ask)
    params = shortlist.SearchParameters(sel=sel)
    with pytest.raises(Odd):
        index.search(x[:3], 3, params=params)
    with pytest.raises(Odd):
        index.range_search(x[:3], 3, params=params)
    with pytest.raises(Odd):
        sel.is_member(1)
    if not isinstance(index, shortlist.IndexRefine):
        with pytest.raises(Odd):
            index.remove_ids(sel)
    assert index.ntotal == N
    assert (index.search(x, 1)[0] < 1e-4).mean() > 0.98


def test_a_callback_may_drop_its_own_selector(python):
    """A search goes on with the parameters it was called with."""
    python("""
import numpy as np, shortlist
index = shortlist.IndexFlatL2(2)
index.add(np.random.default_rng(0).random((1000, 2), dtype=np.float32))
params = shortlist.SearchParameters()
def ask(i):
    params.sel = None
    ballast = [bytes(64) for _ in range(100)]
    return i < 3
params.sel = shortlist.PyCallbackIDSelector(ask)
del ask
found = index.search(np.zeros((1, 2), np.float32), 5, params=params)[1][0]
assert sorted(found) == [-1, -1, 0, 1, 2]
""")


@pytest.mark.parametrize("wrong", ["all", 5, [1, 2], {3}])
def test_only_selectors_select(wrong):
    with pytest.raises(TypeError):
        shortlist.SearchParameters(sel=wrong)


@pytest.mark.parametrize(
    "make", ["IDSelectorNot", "IDSelectorAnd", "IDSelectorOr", "IDSelectorXOr"]
)
def test_none_is_no_selector(make):
    parts = [None] if make == "IDSelectorNot" else [shortlist.IDSelectorAll(), None]
    with pytest.raises(TypeError):
        getattr(shortlist, make)(*parts)
