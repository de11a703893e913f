"""IndexIDMap, IndexIDMap2 and IndexRefineFlat: names and second opinions around an index."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shortlist

D = 12
INNER = {
    "Flat": lambda m=shortlist.METRIC_L2: shortlist.IndexFlat(D, m),
    "HNSW": lambda m=shortlist.METRIC_L2: shortlist.IndexHNSWFlat(D, 16, m),
}
IDMAPS = [shortlist.IndexIDMap, shortlist.IndexIDMap2]


@pytest.fixture(params=INNER)
def inner(request):
    return INNER[request.param]


@pytest.fixture
def x(rng):
    return rng.normal(size=(600, D)).astype(np.float32)


@pytest.fixture
def ids(rng):
    return rng.permutation(10**12 + np.arange(600) * 7)


@pytest.fixture
def named(inner, x, ids):
    """An IndexIDMap2 that holds x under ids."""
    index = shortlist.IndexIDMap2(inner())
    index.add_with_ids(x, ids)
    return index


@pytest.mark.parametrize("idmap", IDMAPS)
def test_results_carry_the_users_ids(idmap, inner, oracle, x, ids):
    index = idmap(inner(oracle.metric))
    index.add_with_ids(x[:400], ids[:400])
    index.add_with_ids(x[400:], ids[400:])
    assert index.ntotal == 600
    np.testing.assert_array_equal(index.id_map, ids)
    wide = shortlist.SearchParametersHNSW(efSearch=600)
    D_, I = index.search(x[:50], 5, params=wide)
    wanted = oracle.search(x[:50], x, 5, ids)
    assert (wanted[1] == I).mean() > 0.99
    np.testing.assert_allclose(D_, wanted[0], rtol=1e-4, atol=1e-4)
    lims, _, found = index.range_search(x[:1], oracle.sign * 0.5)
    assert np.isin(found, ids).all()
    assert lims[-1] == len(found)


@pytest.mark.parametrize("idmap", IDMAPS)
def test_exact_search_carries_the_users_ids(idmap, inner, oracle, rng, ids):
    x = rng.integers(-2, 3, (600, D)).astype(np.float32)  # with ties, which go by row
    q = rng.integers(-2, 3, (40, D)).astype(np.float32)
    index = idmap(inner(oracle.metric))
    index.add_with_ids(x, ids)
    np.testing.assert_array_equal(index.search_exact(q, 30), oracle.search(q, x, 30, ids))
    index.remove_ids(ids[::4])
    kept, names = np.delete(x, np.s_[::4], axis=0), np.delete(ids, np.s_[::4])
    np.testing.assert_array_equal(index.search_exact(q, 30), oracle.search(q, kept, 30, names))
    np.testing.assert_array_equal(index.search_exact(q, 500), oracle.search(q, kept, 500, names))
    q[3, 0] = np.nan
    assert (index.search_exact(q, 2)[1][3] == -1).all()


def test_reconstruct_by_id(named, x, ids):
    np.testing.assert_array_equal(named.reconstruct(int(ids[17])), x[17])
    np.testing.assert_array_equal(named.reconstruct_batch(ids[::-1]), x[::-1])
    with pytest.raises(shortlist.IdError, match="id 3 is not in this IndexIDMap2"):
        named.reconstruct(3)


def test_plain_idmap_cannot_reconstruct(inner, x, ids):
    index = shortlist.IndexIDMap(inner())
    index.add_with_ids(x, ids)
    with pytest.raises(shortlist.UnsupportedError, match="IndexIDMap2"):
        index.reconstruct(int(ids[0]))


def test_remove_and_give_again(named, x, ids):
    gone, kept = ids[::3], np.delete(ids, np.s_[::3])
    assert named.remove_ids(gone) == 200
    assert named.ntotal == 400
    np.testing.assert_array_equal(named.reconstruct_batch(kept), np.delete(x, np.s_[::3], axis=0))
    assert not np.isin(named.search(x, 3)[1], gone).any()
    with pytest.raises(shortlist.IdError):
        named.reconstruct(int(gone[0]))
    named.add_with_ids(x[::3] + 40, gone)
    np.testing.assert_array_equal(named.reconstruct_batch(gone), x[::3] + 40)
    np.testing.assert_array_equal(named.search(x[::3] + 40, 1)[1][:, 0], gone)


def test_an_id_may_name_several_vectors(inner, x):
    index = shortlist.IndexIDMap2(inner())
    index.add_with_ids(x[:10], [4] * 5 + [9] * 5)
    assert sorted(index.search(x[:1], 10)[1][0]) == [4] * 5 + [9] * 5
    assert sorted(index.search_exact(x[:1], 10)[1][0]) == [4] * 5 + [9] * 5
    np.testing.assert_array_equal(index.reconstruct(4), x[4])  # the latest, as in faiss
    assert index.remove_ids([4]) == 5
    assert index.search(x[:1], 10)[1][0].tolist() == [9] * 5 + [-1] * 5


def test_removal_asks_a_selector_once_per_vector(named, x, ids):
    """A selector that changes its mind must not leave names and vectors apart."""
    answers = itertools.cycle([True, False, False])
    asked = []
    sel = shortlist.PyCallbackIDSelector(lambda i: asked.append(i) or next(answers))
    assert named.remove_ids(sel) == 200
    assert sorted(asked) == sorted(ids.tolist())
    left = named.id_map[named.id_map >= 0]
    assert len(left) == 400
    rows = {i: row for row, i in enumerate(ids.tolist())}
    np.testing.assert_array_equal(
        named.reconstruct_batch(left), x[[rows[i] for i in left.tolist()]]
    )


def test_reset_and_reuse(named, x):
    named.reset()
    assert (named.ntotal, len(named.id_map)) == (0, 0)
    named.add_with_ids(x[:5], np.arange(5))
    assert named.search(x[:5], 1)[1][:, 0].tolist() == list(range(5))


def test_an_emptied_index_can_be_wrapped(inner, x):
    """Its next ids do not start at 0, but it is empty."""
    index = inner()
    index.add(x[:50])
    index.remove_ids(np.arange(50))
    named = shortlist.IndexIDMap2(index)
    named.add_with_ids(x[:50], np.arange(100, 150))
    assert named.search(x[:50], 1)[1][:, 0].tolist() == list(range(100, 150))
    np.testing.assert_array_equal(named.reconstruct(100), x[0])


def test_merge_from(x, ids):
    left, right = (shortlist.IndexIDMap2(INNER["Flat"]()) for _ in range(2))
    left.add_with_ids(x[:200], ids[:200])
    right.add_with_ids(x[200:], ids[200:] - 5)
    left.merge_from(right, 5)
    assert (left.ntotal, right.ntotal) == (600, 0)
    np.testing.assert_array_equal(left.reconstruct_batch(ids), x)


def test_add_needs_ids(named, x):
    with pytest.raises(shortlist.UnsupportedError, match="add_with_ids"):
        named.add(x)


def test_only_an_empty_index_can_be_wrapped(inner, x):
    index = inner()
    index.add(x)
    for wrap in (*IDMAPS, shortlist.IndexRefineFlat):
        with pytest.raises(shortlist.ArgumentError, match="600 vectors"):
            wrap(index)


@pytest.mark.parametrize("change", ["add", "remove", "reset"])
def test_changing_the_wrapped_index_from_outside_is_noticed(named, x, ids, change):
    """By the next call that would give wrong answers for it; never a crash."""
    if change == "add":
        named.index.add(x + 9)
    elif change == "remove":
        named.index.remove_ids(np.arange(100))
    else:
        named.index.reset()
    graph_keeps_ids = change == "remove" and isinstance(named.index, shortlist.IndexHNSW)
    calls = [
        lambda: named.search(x, 4),
        lambda: named.search_exact(x, 4),
        lambda: named.reconstruct_batch(ids[-3:]),
        lambda: named.add_with_ids(x[:2], [1, 2]),
    ]
    for call in calls:
        if graph_keeps_ids:
            continue
        with pytest.raises(ValueError, match=r"through the IndexIDMap2|is not in this"):
            call()
    if graph_keeps_ids:
        assert not np.isin(named.search(x, 4)[1], ids[:100]).any()
        assert not np.isin(named.search_exact(x, 4)[1], ids[:100]).any()


# IndexRefineFlat


def coarse(kind: str, metric: int):
    qt = shortlist.ScalarQuantizer.QT_8bit_uniform
    if kind == "Flat":
        return shortlist.IndexScalarQuantizer(D, qt, metric)
    return shortlist.IndexHNSWSQ(D, qt, 16, metric)


@pytest.mark.parametrize("kind", INNER)
def test_refined_distances_are_exact(kind, oracle, rng, x):
    wild = x * np.geomspace(1, 300, D).astype(np.float32)  # most dimensions share one code
    index = shortlist.IndexRefineFlat(coarse(kind, oracle.metric))
    index.train(wild)
    index.add(wild)
    q = rng.normal(size=(40, D)).astype(np.float32) * np.geomspace(300, 1, D).astype(np.float32)
    recalls = []
    for factor in (1, 10, 60):
        index.k_factor = factor
        distances, found = index.search(q, 10)
        exact = np.take_along_axis(oracle.distances(q, wild), found, 1)
        np.testing.assert_allclose(distances, exact, rtol=1e-4, atol=1)
        assert (oracle.sign * np.diff(distances, axis=1) >= 0).all()
        recalls.append(oracle.recall(found, q, wild))
    assert recalls == sorted(recalls)
    assert recalls[-1] > 0.99
    own = shortlist.IndexRefineSearchParameters(k_factor=60)
    index.k_factor = 1
    np.testing.assert_array_equal(index.search(q, 10, params=own)[1], found)
    np.testing.assert_array_equal(index.reconstruct(5), wild[5])
    assert index.ntotal == index.base_index.ntotal == index.refine_index.ntotal == 600


@pytest.mark.parametrize("kind", INNER)
def test_exact_search_of_a_refined_index_is_the_refining_ones(kind, oracle, rng):
    x = rng.integers(-2, 3, (600, D)).astype(np.float32)
    q = rng.integers(-2, 3, (40, D)).astype(np.float32)
    index = shortlist.IndexRefineFlat(coarse(kind, oracle.metric))
    index.train(x * 40)  # all of x shares a code or two
    index.add(x)
    wanted = oracle.search(q, x, 30)
    assert (index.search(q, 30)[0] != wanted[0]).any()
    np.testing.assert_array_equal(index.search_exact(q, 30), wanted)
    np.testing.assert_array_equal(index.search_exact(q, 700), oracle.search(q, x, 700))
    index.k_factor = 20  # all are candidates
    if kind == "Flat":
        np.testing.assert_array_equal(index.search(q, 30), wanted)


def test_exact_search_below_two_wrappers(oracle, x, ids):
    index = shortlist.IndexIDMap2(shortlist.IndexRefineFlat(INNER["HNSW"](oracle.metric)))
    index.add_with_ids(x, ids)
    distances, found = index.search_exact(x[:50], 5)
    wanted = oracle.search(x[:50], x, 5, ids)
    np.testing.assert_array_equal(found, wanted[1])
    np.testing.assert_allclose(distances, wanted[0], rtol=1e-4, atol=1e-4)


def test_exact_search_of_a_refined_index_notices_what_its_base_lost(x):
    index = shortlist.IndexRefineFlat(INNER["HNSW"]())
    index.add(x)
    index.base_index.remove_ids(np.arange(100))  # a graph keeps its other ids
    assert not np.isin(index.search(x, 3)[1], np.arange(100)).any()
    with pytest.raises(shortlist.UnsupportedError, match="500 vectors and the refining index 600"):
        index.search_exact(x, 3)


def test_refine_passes_parameters_and_filters_on(x):
    index = shortlist.IndexRefineFlat(INNER["HNSW"]())
    index.add(x)
    even = shortlist.IDSelectorBatch(np.arange(0, 600, 2))
    low = shortlist.IDSelectorRange(0, 300)
    params = shortlist.IndexRefineSearchParameters(
        sel=even,
        k_factor=3,
        base_index_params=shortlist.SearchParametersHNSW(sel=low, efSearch=100),
    )
    _, found = index.search(x[:20], 5, params=params)
    assert (found % 2 == 0).all()  # both filters hold
    assert (found < 300).all()
    params.sel = None
    assert (index.search(x[:20], 5, params=params)[1] < 300).all()
    params.base_index_params = None
    params.sel = even
    assert (index.search(x[:20], 5, params=params)[1] % 2 == 0).all()
    _, found = index.search(x[:20], 5, params=shortlist.SearchParameters(sel=low))
    assert (found < 300).all()


def test_refine_does_not_drop_the_graphs_parameters(x):
    index = shortlist.IndexRefineFlat(INNER["HNSW"]())
    index.add(x)
    with pytest.raises(ValueError, match="efSearch"):
        index.search(x[:1], 5, params=shortlist.SearchParametersHNSW(efSearch=0))


def test_filters_below_a_refined_idmap_speak_the_users_ids(x, ids):
    index = shortlist.IndexIDMap2(shortlist.IndexRefineFlat(INNER["HNSW"]()))
    index.add_with_ids(x, ids)
    wanted = shortlist.IDSelectorBatch(ids[:300])
    inner = shortlist.SearchParametersHNSW(sel=wanted, efSearch=100)
    for params in (
        shortlist.IndexRefineSearchParameters(sel=wanted, k_factor=2),
        shortlist.IndexRefineSearchParameters(k_factor=2, base_index_params=inner),
    ):
        _, found = index.search(x[:20], 5, params=params)
        assert np.isin(found, ids[:300]).all()


def test_refined_range_search_is_inside_the_radius(x):
    index = shortlist.IndexRefineFlat(coarse("Flat", shortlist.METRIC_L2))
    index.train(x)
    index.add(x)
    for radius in (5.0, 10.0, 15.0):
        _, distances, _ = index.range_search(x[:100], radius)
        assert (distances < radius).all()


def test_refine_refuses_one_index_in_both_parts(x):
    flat = INNER["Flat"]()
    with pytest.raises(ValueError, match="same"):
        shortlist.IndexRefine(flat, flat)


@pytest.mark.parametrize("part", ["base_index", "refine_index"])
def test_changing_a_part_from_outside_is_noticed(x, part):
    index = shortlist.IndexRefineFlat(INNER["Flat"]())
    index.add(x)
    getattr(index, part).remove_ids(np.arange(300))
    for search in (index.search, index.search_exact):
        with pytest.raises(ValueError, match="through the IndexRefineFlat"):
            search(x, 3)


@pytest.mark.parametrize("factor", [0.5, -1, 1001, float("nan")])
def test_k_factor_out_of_range(x, factor):
    index = shortlist.IndexRefineFlat(INNER["Flat"]())
    index.add(x)
    with pytest.raises(shortlist.ArgumentError, match=r"k_factor = .*between 1 and 1000"):
        index.k_factor = factor
    with pytest.raises(shortlist.ArgumentError, match=r"k_factor = .*between 1 and 1000"):
        index.search(x[:1], 1, params=shortlist.IndexRefineSearchParameters(k_factor=factor))


# Parts handed out outlive the whole.


@pytest.mark.parametrize(
    ("make", "part", "use"),
    [
        (INNER["HNSW"], "hnsw", lambda h: setattr(h, "efSearch", 9)),
        (INNER["HNSW"], "storage", lambda s: s.ntotal),
        (lambda: coarse("Flat", 1), "sq", lambda q: q.trained),
        (lambda: shortlist.IndexIDMap2(INNER["HNSW"]()), "index", lambda i: i.hnsw.M),
        (lambda: shortlist.IndexRefineFlat(INNER["Flat"]()), "base_index", lambda i: i.ntotal),
        (
            lambda: shortlist.IndexRefineFlat(INNER["Flat"]()),
            "refine_index",
            lambda i: i.reconstruct_n(),
        ),
    ],
    ids=["hnsw", "storage", "sq", "index", "base_index", "refine_index"],
)
def test_parts_are_live_aliases_that_outlive_their_owner(make, part, use):
    import gc

    owner = make()
    alias = getattr(owner, part)
    use(alias)
    assert type(getattr(owner, part)) is type(alias)
    del owner
    gc.collect()
    use(alias)


def test_an_alias_changes_its_owner(x):
    index = INNER["HNSW"]()
    alias = index.hnsw
    alias.efSearch = 77
    assert index.hnsw.efSearch == 77
    assert "efSearch=77" in repr(index)


def test_changing_a_graphs_storage_from_outside_is_noticed(x):
    index = INNER["HNSW"]()
    index.add(x)
    index.storage.add(x[:3])
    for call in (
        lambda: index.search(x[:1], 1),
        lambda: index.search_exact(x[:1], 1),
        lambda: index.range_search(x[:1], 1.0),
        lambda: index.add(x),
        lambda: index.remove_ids([1]),
        lambda: index.reconstruct(1),
    ):
        with pytest.raises(shortlist.ArgumentError, match=r"600 nodes but its storage has 603"):
            call()
