"""Inverted files beside brute force: what lists hold, what searches of them find, how they live."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import shortlist
from fast_scan_oracle import numbers, told
from hypothesis import given, settings
from hypothesis import strategies as st

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
D, NLIST = 24, 12
# Codes of several bits are ruled out by their first, which is wrong of one in a hundred.
ROUGH = ["SDC2", "SDC5", "RaBitQ3", "RaBitQfs4"]
EXACT = ["Flat", "SQ8", "SQfp16", "PQ6x6"]  # as told of decoded vectors
FAST = ["PQ12x4fs", "PQ12x4fsr"]  # as told by rounded tables
FORMS = [*EXACT, *FAST, "SDC1", "RaBitQ", "RaBitQfs_64", *ROUGH]


def clustered(rng: np.random.Generator, n: int, d: int = D) -> np.ndarray:
    centres = np.random.default_rng(3).normal(size=(30, d)) * 2
    return (centres[rng.integers(30, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


def filled(x: np.ndarray, form: str, metric: int = L2, nprobe: int = NLIST) -> shortlist.IndexIVF:
    index = shortlist.index_factory(x.shape[1], f"IVF{NLIST},{form}", metric)
    index.train(x)
    index.add(x)
    index.nprobe = nprobe
    return index


def decoded(index: shortlist.IndexIVF, ids: np.ndarray) -> np.ndarray:
    return np.stack([index.reconstruct(int(i)) for i in ids])


def distances(q: np.ndarray, x: np.ndarray, metric: int) -> np.ndarray:
    q, x = q.astype(np.float64), x.astype(np.float64)
    return q @ x.T if metric == IP else ((q[:, None] - x) ** 2).sum(2)


def best(d: np.ndarray, k: int, metric: int) -> np.ndarray:
    return np.argsort(-d if metric == IP else d, axis=1, kind="stable")[:, :k]


def shared(found: np.ndarray, wanted: np.ndarray) -> float:
    return np.mean([len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True)]) / len(
        wanted[0]
    )


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("form", EXACT)
def test_all_lists_give_what_a_scan_of_the_codes_gives(rng, threads, form, metric):
    x, q = clustered(rng, 1500), clustered(rng, 40)
    index = filled(x, form, metric)
    d = distances(q, decoded(index, np.arange(len(x))), metric)
    for found, ids in (index.search(q, 7), index.search_exact(q, 7)):
        np.testing.assert_allclose(found, np.take_along_axis(d, ids, 1), rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(
            found, np.take_along_axis(d, best(d, 7, metric), 1), rtol=1e-4, atol=1e-3
        )


@pytest.mark.parametrize("n", [1, 5, 30, 90, 180])
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("form", EXACT)
def test_lists_of_few_vectors_give_the_same(rng, form, metric, n):
    """Some are decoded, others looked up in tables; filters hold in both."""
    x, q = clustered(rng, 700), clustered(rng, 30)
    index = filled(x, form, metric)
    index.remove_ids(shortlist.IDSelectorRange(n, 700))
    d = distances(q, decoded(index, np.arange(n)), metric)
    found, ids = index.search(q, n)
    np.testing.assert_allclose(found, np.take_along_axis(d, ids, 1), rtol=1e-4, atol=1e-3)
    odd = shortlist.SearchParametersIVF(
        sel=shortlist.IDSelectorBatch(np.arange(1, n, 2)), nprobe=NLIST
    )
    ids = index.search(q, n, params=odd)[1]
    assert all(sorted(row[row >= 0]) == list(range(1, n, 2)) for row in ids)
    for i in range(0, 30, 7):
        np.testing.assert_array_equal(index.search(q[i : i + 1], n)[0][0], found[i])


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("form", FAST)
def test_fast_scans_tell_what_rounded_tables_tell(rng, threads, form, metric):
    x, q = clustered(rng, 1500), clustered(rng, 40)
    index = filled(x, form, metric)
    codes = index.sa_encode(x)
    named, centroids = numbers(codes[:, 1:], 12, 4), index.pq.centroids
    d = np.empty((len(q), len(x)))
    for number, centroid in enumerate(index.quantizer.reconstruct_n()):
        of = codes[:, 0] == number
        moved = q - centroid if index.by_residual and metric == L2 else q
        d[:, of] = told(moved, centroids, named[of], metric == IP)
        if index.by_residual and metric == IP:
            d[:, of] -= (q @ centroid)[:, None]
    if metric == IP:
        d = -d
    for found, ids in (index.search(q, 7), index.search_exact(q, 7)):
        near = np.take_along_axis(d, ids, 1)
        np.testing.assert_allclose(found, near, rtol=1e-4, atol=0.02)  # a step, of a value at 0.5
        wanted = np.take_along_axis(d, best(d, 7, metric), 1)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=0.02)


@pytest.mark.parametrize("metric", [L2, IP])
def test_odd_integer_codes_are_unbiased_estimates_that_sharpen_with_bits(rng, metric):
    x, q = clustered(rng, 2000, 64), clustered(rng, 50, 64)
    true = distances(q, x, metric)
    wanted, last = best(true, 10, metric), np.inf
    for bits, recall in {1: 0.35, 2: 0.55, 4: 0.8, 8: 0.97}.items():
        index = shortlist.index_factory(64, f"IVF{NLIST},SDC{bits}", metric)
        index.train(x)
        index.add(x)
        index.nprobe = NLIST
        found, ids = index.search(q, len(x))
        error = found - np.take_along_axis(true, np.maximum(ids, 0), 1)
        error = error[ids >= 0]
        assert len(error) > 0.98 * true.size
        size = np.sqrt((error**2).mean())
        assert abs(error.mean()) < 0.1 * size
        assert size < 0.6 * last
        assert shared(ids[:, :10], wanted) > recall
        last = size


@pytest.mark.parametrize("metric", [L2, IP])
def test_codes_relative_to_centroids_beat_those_relative_to_a_mean(rng, metric):
    x, q = clustered(rng, 3000, 64), clustered(rng, 60, 64)
    wanted = best(distances(q, x, metric), 10, metric)
    recall = []
    for description in ("SDC2", f"IVF{NLIST},SDC2"):
        index = shortlist.index_factory(64, description, metric)
        index.train(x)
        index.add(x)
        if description.startswith("IVF"):
            index.nprobe = NLIST
        recall.append(shared(index.search(q, 10)[1], wanted))
    assert recall[1] > recall[0] + 0.02


@pytest.mark.parametrize("form", FORMS)
def test_a_query_alone_finds_what_it_finds_among_many(rng, form):
    x, q = clustered(rng, 1200), clustered(rng, 50)
    index = filled(x, form, nprobe=5)
    together = index.search(q, 9)
    for i in range(0, 50, 7):
        for alone, of_many in zip(index.search(q[i : i + 1], 9), together, strict=True):
            np.testing.assert_array_equal(alone[0], of_many[i])


@pytest.mark.parametrize("metric", [L2, IP])
def test_only_the_nearest_lists_are_looked_at(rng, metric):
    x, q = clustered(rng, 1500), clustered(rng, 30)
    index = filled(x, "Flat", metric, nprobe=3)
    centroids = decoded_centroids(index)
    looked_at = best(distances(q, centroids, metric), 3, metric)
    lists = [index.invlists.get_ids(i) for i in range(NLIST)]
    d = distances(q, x, metric)
    for row, found in enumerate(index.search(q, 5)[1]):
        allowed = np.concatenate([lists[i] for i in looked_at[row]])
        wanted = allowed[best(d[row][None, allowed], 5, metric)[0]]
        assert set(found) == set(wanted)


def decoded_centroids(index: shortlist.IndexIVF) -> np.ndarray:
    return np.stack([index.quantizer.reconstruct(i) for i in range(index.nlist)])


@pytest.mark.parametrize("metric", [L2, IP])
def test_a_vector_is_in_the_list_of_its_nearest_centroid(rng, metric):
    x = clustered(rng, 700)
    index = filled(x, "SQ8", metric)
    nearest = best(distances(x, decoded_centroids(index), metric), 1, metric)[:, 0]
    for i in range(NLIST):
        np.testing.assert_array_equal(index.invlists.get_ids(i), np.flatnonzero(nearest == i))
        assert index.get_list_size(i) == (nearest == i).sum()
        assert index.invlists.get_codes(i).shape == ((nearest == i).sum(), D)
    sizes = np.bincount(nearest, minlength=NLIST)
    want = NLIST * (sizes**2).sum() / sizes.sum() ** 2
    assert index.invlists.imbalance_factor() == pytest.approx(want)


@pytest.mark.parametrize("form", FORMS)
def test_filters_and_ranges(rng, form):
    x, q = clustered(rng, 900), clustered(rng, 20)
    index = filled(x, form)
    whole = index.search(q, 900)
    chosen = np.arange(0, 900, 7)
    params = shortlist.SearchParametersIVF(sel=shortlist.IDSelectorBatch(chosen), nprobe=NLIST)
    found = index.search(q, 15, params=params)[1]
    for row, ids in enumerate(found):
        wanted = [i for i in whole[1][row] if i % 7 == 0][:15]
        if form in ROUGH:
            assert shared(ids[None], [wanted]) > 0.9
        else:
            np.testing.assert_array_equal(ids, wanted)
    radius = float(np.median(whole[0]))
    lims, d, ids = index.range_search(q, radius)
    for row in range(len(q)):
        inside = whole[0][row] < radius
        got = ids[lims[row] : lims[row + 1]]
        want = set(whole[1][row][inside])
        assert set(got) <= want
        assert len(got) >= (0.97 * len(want) if form in ROUGH else len(want))
        assert (d[lims[row] : lims[row + 1]] < radius).all()
    lims, _, ids = index.range_search(q, radius, params=params)
    assert (ids % 7 == 0).all()
    assert 0 < lims[-1] < len(index.range_search(q, radius)[2])


@pytest.mark.parametrize("form", FORMS)
def test_ids_stay_when_others_go(rng, form):
    x, q = clustered(rng, 1000), clustered(rng, 20)
    index = shortlist.index_factory(D, f"IVF{NLIST},{form}")
    index.train(x)
    names = rng.permutation(10**6)[:1000]
    index.add_with_ids(x, names)
    index.nprobe = NLIST
    before = index.search(q, 1000)
    gone = set(names[::3].tolist())
    assert index.remove_ids(names[::3]) == len(gone)
    assert index.ntotal == 1000 - len(gone)
    distance, ids = index.search(q, 100)
    for row in range(len(q)):
        kept = [j for j, i in enumerate(before[1][row]) if i not in gone][:100]
        if form in ROUGH:
            assert shared(ids[row][None], before[1][row][kept][None]) > 0.9
        else:
            np.testing.assert_array_equal(ids[row], before[1][row][kept])
            np.testing.assert_array_equal(distance[row], before[0][row][kept])
    with pytest.raises(shortlist.IdError, match="is not in this index"):
        index.reconstruct(int(names[0]))
    index.add(x[:5])
    assert set(index.search(x[:5], 1)[1].ravel()) & set(range(1000, 1005))
    index.reset()
    assert index.ntotal == 0
    assert (index.search(q, 3)[1] == -1).all()
    index.add(x)
    np.testing.assert_allclose(index.search(q, 1000)[0], before[0])


@pytest.mark.parametrize("form", FORMS)
def test_merging_two_halves_gives_the_whole(rng, form):
    x, q = clustered(rng, 800), clustered(rng, 20)
    whole = filled(x, form)
    first = shortlist.index_factory(D, f"IVF{NLIST},{form}")
    first.train(x)
    second = shortlist.clone_index(first)
    first.add(x[:300])
    second.add(x[300:])
    first.merge_from(second, 300)
    assert (first.ntotal, second.ntotal) == (800, 0)
    first.nprobe = NLIST
    for a, b in zip(first.search(q, 20), whole.search(q, 20), strict=True):
        np.testing.assert_array_equal(a, b)
    other = shortlist.index_factory(D, f"IVF{NLIST},{form}")
    other.train(x + 1)
    with pytest.raises(ValueError, match="cannot merge indexes with other lists"):
        first.merge_from(other)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_gives_back_the_same_index(rng, tmp_path: Path, form):
    x, q = clustered(rng, 600), clustered(rng, 20)
    index = filled(x, form, IP, nprobe=4)
    index.remove_ids(np.arange(50))
    index.max_codes = 10_000
    index.save(tmp_path / "saved")
    again = shortlist.open(tmp_path / "saved")
    assert type(again) is type(index)
    assert (again.nprobe, again.max_codes, again.by_residual) == (4, 10_000, index.by_residual)
    for one in (again, shortlist.clone_index(index)):
        for a, b in zip(one.search(q, 10), index.search(q, 10), strict=True):
            np.testing.assert_array_equal(a, b)
    for one in (index, again):
        one.add(x[:50])
    for a, b in zip(again.search(q, 10), index.search(q, 10), strict=True):
        np.testing.assert_array_equal(a, b)
    index.save(tmp_path / "one")
    again.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_untrained_index_can_be_saved(tmp_path: Path):
    shortlist.index_factory(D, f"IVF{NLIST},PQ6").save(tmp_path / "saved")
    assert not shortlist.open(tmp_path / "saved").is_trained


def test_a_graph_finds_the_lists(rng):
    x, q = clustered(rng, 2000), clustered(rng, 50)
    index = shortlist.index_factory(D, f"IVF{NLIST}_HNSW8,Flat")
    assert type(index.quantizer) is shortlist.IndexHNSWFlat
    index.train(x)
    index.add(x)
    index.nprobe = 4
    flat = shortlist.IndexIVFFlat(shortlist.IndexFlatL2(D), D, NLIST)
    flat.quantizer.add(decoded_centroids(index))
    assert not flat.is_trained
    flat.train(x)  # keeps the centroids that are there
    np.testing.assert_array_equal(decoded_centroids(flat), decoded_centroids(index))
    flat.add(x)
    flat.nprobe = 4
    assert shared(index.search(q, 10)[1], flat.search(q, 10)[1]) > 0.97


def test_refined_results_are_exact(rng):
    x, q = clustered(rng, 2000), clustered(rng, 50)
    index = shortlist.index_factory(D, f"IVF{NLIST},SDC1,RFlat")
    index.train(x)
    index.add(x)
    index.base_index.nprobe, index.k_factor = NLIST, 20
    found, ids = index.search(q, 10)
    d = distances(q, x, L2)
    np.testing.assert_allclose(found, np.take_along_axis(d, ids, 1), rtol=1e-4)
    assert shared(ids, best(d, 10, L2)) > 0.97


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float16"])
def test_vectors_stored_in_their_own_type(rng, dtype):
    x = (clustered(rng, 800) * 10 + 100 * (dtype == "uint8")).clip(
        -128 if dtype == "int8" else 0, 127
    )
    x = x.astype(dtype)
    index = shortlist.IndexIVFFlat(shortlist.IndexFlatL2(D), D, NLIST, dtype=dtype)
    index.train(x)
    index.add(x)
    index.nprobe = NLIST
    assert (index.dtype, index.code_size) == (dtype, D * x.itemsize)
    np.testing.assert_array_equal(index.reconstruct(5), x[5].astype(np.float32))
    d = distances(x[:30].astype(np.float32), x.astype(np.float32), L2)
    got, _ = index.search(x[:30], 5)
    np.testing.assert_allclose(got, np.sort(d, 1)[:, :5], rtol=1e-5)


def test_max_codes_bounds_what_is_looked_at(rng):
    x, q = clustered(rng, 1200), clustered(rng, 20)
    index = filled(x, "Flat")
    few = shortlist.SearchParametersIVF(nprobe=NLIST, max_codes=1)
    index.nprobe = 1
    np.testing.assert_array_equal(index.search(q, 5, params=few)[1], index.search(q, 5)[1])


def test_codes_outside_the_index(rng):
    x = clustered(rng, 500)
    for form in FORMS:
        index = filled(x, form)
        codes = index.sa_encode(x[:40])
        assert codes.shape == (40, index.code_size + 1)
        nearest = best(distances(x[:40], decoded_centroids(index), L2), 1, L2)[:, 0]
        np.testing.assert_array_equal(codes[:, 0], nearest)
        np.testing.assert_allclose(index.sa_decode(codes), decoded(index, np.arange(40)), rtol=1e-6)


def test_codes_are_added_as_they_are(rng):
    x, q = clustered(rng, 500), clustered(rng, 20)
    for form in FORMS:
        index = filled(x, form)
        other = shortlist.clone_index(index)
        other.reset()
        codes = index.sa_encode(x)
        other.add_sa_codes(codes[:200])
        other.add_sa_codes(codes[200:], np.arange(200, 500))
        for got, want in zip(other.search(q, 7), index.search(q, 7), strict=True):
            np.testing.assert_array_equal(got, want)
        other.add(x[:1])
        assert other.invlists.get_ids(int(codes[0, 0]))[-1] == 500
    bad = codes[:2].copy()
    bad[1, 0] = 200
    for call, error, said in (
        (lambda: other.add_sa_codes(bad), ValueError, "code 1 is of list 200"),
        (lambda: other.add_sa_codes(codes[:2], [1, -1]), shortlist.IdError, "ids.1. = -1"),
        (lambda: other.add_sa_codes(codes[:, 1:]), shortlist.DimensionError, "shape"),
    ):
        with pytest.raises(error, match=said):
            call()
    assert other.ntotal == 501
    other.reset()
    other.soar_lambda = 1
    with pytest.raises(shortlist.UnsupportedError, match="soar_lambda"):
        other.add_sa_codes(codes)


def test_residuals_are_a_choice_before_training(rng):
    x, q = clustered(rng, 1500), clustered(rng, 40)
    recall = {}
    for by_residual in (False, True):
        index = shortlist.index_factory(D, f"IVF{NLIST},PQ6")
        assert index.by_residual
        index.by_residual = by_residual
        index.train(x)
        index.add(x)
        index.nprobe = NLIST
        recall[by_residual] = shared(index.search(q, 10)[1], best(distances(q, x, L2), 10, L2))
    assert recall[True] > recall[False]
    with pytest.raises(ValueError, match="by_residual cannot change once the codes are trained"):
        index.by_residual = False
    for form in ("Flat", "SDC2", "RaBitQ", "RaBitQfs4"):
        index = shortlist.index_factory(D, f"IVF{NLIST},{form}")
        with pytest.raises(ValueError, match="have the choice"):
            index.by_residual = not index.by_residual


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32))
def test_any_numbers_of_vectors_lists_and_results(n, nlist, k, seed):
    rng = np.random.default_rng(seed)
    x, q = rng.integers(-3, 4, (n, 5)).astype(np.float32), rng.normal(size=(4, 5))
    index = shortlist.IndexIVFFlat(shortlist.IndexFlatL2(5), 5, min(nlist, n))
    index.train(x)
    index.add(x)
    index.nprobe = nlist
    found, ids = index.search(q.astype(np.float32), k)
    d = np.sort(distances(q.astype(np.float32), x, L2), 1)
    some = min(k, n)
    np.testing.assert_allclose(found[:, :some], d[:, :some], rtol=1e-5, atol=1e-5)
    assert (ids[:, some:] == -1).all()


def test_bad_queries_find_nothing(rng):
    x, q = clustered(rng, 500), clustered(rng, 4)
    q[1, 3], q[2, 0] = np.nan, np.inf
    for form in FORMS:
        ids = filled(x, form).search(q, 3)[1]
        assert (ids[[1, 2]] == -1).all()
        assert (ids[[0, 3]] >= 0).all()


def test_what_it_refuses(rng):
    x = clustered(rng, 300)
    flat = shortlist.IndexFlatL2
    with pytest.raises(ValueError, match="nlist"):
        shortlist.IndexIVFFlat(flat(D), D, 0)
    with pytest.raises(shortlist.DimensionError, match="the quantizer has d = 5"):
        shortlist.IndexIVFFlat(flat(5), D, 4)
    with pytest.raises(ValueError, match="4 bits a part"):
        shortlist.IndexIVFPQFastScan(flat(D), D, 4, 6, 8)
    index = shortlist.IndexIVFFlat(flat(D), D, 4)
    with pytest.raises(shortlist.NotTrainedError, match="must be trained before it can add"):
        index.add(x)
    index.train(x)
    with pytest.raises(ValueError, match="NaN"):
        index.add(np.full((1, D), np.nan, np.float32))
    with pytest.raises(shortlist.DimensionError):
        index.search(x[:, :5], 3)
    with pytest.raises(ValueError, match="nprobe"):
        index.nprobe = 0
    with pytest.raises(ValueError, match="nprobe"):
        shortlist.SearchParametersIVF(nprobe=0)
    with pytest.raises(shortlist.IdError, match=r"ids\[1\] = -1"):
        index.add_with_ids(x[:3], [4, -1, 5])
    assert index.ntotal == 0
    index.add(x)
    with pytest.raises(ValueError, match="train before add"):
        index.train(x)
    with pytest.raises(shortlist.IdError, match="list 4 is not there"):
        index.invlists.list_size(4)
    codes = index.sa_encode(x[:2])
    codes[1, 0] = 200
    with pytest.raises(ValueError, match="code 1 is of list 200"):
        index.sa_decode(codes)
    with pytest.raises(ValueError, match="400"):
        shortlist.IndexIVFFlat(flat(D), D, 400).train(x)  # fewer vectors than lists


def test_says_what_it_is(rng):
    index = filled(clustered(rng, 300), "SQ8", nprobe=3)
    assert re.search(r"12 lists, nprobe 3, 24 bytes a vector; IndexFlat", repr(index))
