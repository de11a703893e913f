"""Tuning: the recall it promises, what it sets, and what it says."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import shortlist
from conftest import Oracle
from shortlist import _evaluate, _tune
from shortlist._evaluate import Frontier
from shortlist._knobs import knobs

QT = shortlist.ScalarQuantizer
L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
K = 10
# Six standard deviations of what 3,000 unseen queries say of all, and then some for rounding.
MARGIN = 0.012


@pytest.fixture(autouse=True)
def _once(monkeypatch):
    """Each search is timed once: no test looks at the times."""
    monkeypatch.setattr(_evaluate, "_MIN_SECONDS", 0)


@pytest.fixture
def priced(monkeypatch):
    """Replaces the clock by a price of the setting."""

    def replace(price):
        def timed(index, queries, k, params, repeats):
            return index.search(queries, k), len(queries) * price(index)

        monkeypatch.setattr(_tune, "timed_batches", timed)

    return replace


def gaussian(seed: int, n: int, d: int) -> np.ndarray:
    """Hard: no structure for a graph to use."""
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def one_thread(build):
    """The same graph each time."""
    before = shortlist.omp_get_max_threads()
    shortlist.omp_set_num_threads(1)
    try:
        return build()
    finally:
        shortlist.omp_set_num_threads(before)


def graph_over(x: np.ndarray, metric: int = L2, m: int = 8):
    index = shortlist.IndexHNSWFlat(x.shape[1], m, metric)
    one_thread(lambda: index.add(x))
    return index


def tuned(index, queries, k=K, recall=0.9, **options):
    """Also where the recall is out of reach, which the caller looks at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return index.tune(queries, k, recall, **options)


def brute(queries: np.ndarray, x: np.ndarray, k: int, metric: int = L2) -> np.ndarray:
    return Oracle(metric).search(queries, x, k)[1]


@pytest.fixture(scope="module")
def small():
    """A graph over 1,500 vectors, and 400 queries."""
    x = gaussian(1, 1500, 24)
    return graph_over(x), x, gaussian(2, 400, 24)


# The promise


@pytest.fixture(scope="module", params=[(L2, 40, 8), (IP, 32, 8)], ids=["L2", "IP"])
def hard(request):
    metric, d, m = request.param
    x, unseen = gaussian(3, 2500, d), gaussian(4, 3000, d)
    return graph_over(x, metric, m), Oracle(metric), x, gaussian(5, 1200, d), unseen


@pytest.mark.parametrize("target", [0.9, 0.95, 0.99])
def test_unseen_queries_have_the_recall(hard, priced, target):
    priced(lambda index: index.hnsw.efSearch)
    index, oracle, x, queries, unseen = hard
    index.hnsw.efSearch = 3
    tuning = index.tune(queries, K, target)
    assert tuning.reached
    assert index.hnsw.efSearch == tuning.params["efSearch"] > K
    recall = oracle.recall(index.search(unseen, K)[1], unseen, x)
    assert recall > target - MARGIN
    assert tuning.low - MARGIN < recall < tuning.high + MARGIN
    assert recall < target + (1 - target) * 0.8  # not by searching for much more than needed
    assert tuning.low < tuning.recall < tuning.high
    assert tuning.high - tuning.low < 0.03
    assert (tuning.target, tuning.k, tuning.queries, tuning.confidence) == (target, K, 1200, 0.99)


def test_the_chosen_setting_is_one_that_was_measured(hard, priced):
    priced(lambda index: index.hnsw.efSearch)
    index, _, _, queries, _ = hard
    tuning = index.tune(queries, K, 0.95)
    at = {point.params["efSearch"]: point for point in tuning.frontier.points}
    assert len(at) == len(tuning.frontier.points)  # none twice
    chosen = tuning.params["efSearch"]
    assert at[chosen].recall >= 0.95
    below = max(ef for ef in at if ef < chosen)
    assert chosen <= 1.05 * below + 1
    assert at[below].recall < at[chosen].recall
    assert tuning.frontier.label == "IndexHNSWFlat"
    assert tuning.frontier.threads == shortlist.omp_get_max_threads()
    assert tuning.qps > 0


def test_more_confidence_asks_for_more(small, priced):
    priced(lambda index: index.hnsw.efSearch)
    index, _, queries = small
    efs, widths = [], []
    for confidence in (0.5, 0.9, 0.999):
        tuning = index.tune(queries, K, 0.9, confidence=confidence)
        efs.append(tuning.params["efSearch"])
        widths.append(tuning.high - tuning.low)
    assert efs[0] < efs[1] < efs[2]
    assert widths[0] < widths[1] < widths[2]


def test_equally_near_vectors_count(priced):
    priced(lambda index: index.hnsw.efSearch)
    rng = np.random.default_rng(6)
    x, queries = (rng.integers(0, 3, (n, 8)).astype(np.float32) for n in (1500, 400))
    index = graph_over(x, m=16)
    others = len(x) - 1 - brute(queries, x[::-1], K)  # of the equally near, the last ones
    assert index.tune(queries, K, 0.95).recall > 0.95
    assert index.tune(queries, K, 0.95, truth=others, base=x).recall > 0.95
    assert tuned(index, queries, recall=0.95, truth=others).recall < 0.9


def test_vectors_that_are_gone_are_not_missed(priced, l2):
    priced(lambda index: index.hnsw.efSearch)
    x, queries = gaussian(8, 2000, 16), gaussian(9, 600, 16)
    index = graph_over(x)
    index.remove_ids(np.arange(0, 2000, 2))
    tuning = index.tune(queries, K, 0.95)
    assert tuning.reached
    found = index.search(queries, K)[1]
    assert l2.recall(found // 2, queries, x[1::2]) > 0.95 - MARGIN
    with pytest.raises(ValueError, match="k is 1001; expected 1 to 1000"):
        index.tune(queries, 1001)


def test_stored_nan_rows_are_not_missed(priced):
    priced(lambda index: index.hnsw.efSearch)
    x = gaussian(10, 30, 6)
    x[::2] = np.nan
    index = shortlist.IndexHNSWFlat(6, 8)
    index.add(x, allow_nan=True)
    queries = gaussian(11, 1000, 6)
    assert index.tune(queries, 20, 0.9).recall == 1  # there are 15 to find
    index.reset()
    index.add(np.full((30, 6), np.nan, np.float32), allow_nan=True)
    with pytest.raises(ValueError, match="no query has a neighbour"):
        index.tune(queries, 5)


# Wrappers, quantised vectors, and other truths


def skewed(seed: int, n: int) -> np.ndarray:
    """Most dimensions share one code of a uniform quantiser."""
    return gaussian(seed, n, 12) * np.geomspace(1, 300, 12).astype(np.float32)


def coarse(x: np.ndarray, graph: bool = True):
    qtype = QT.QT_8bit_uniform
    d = x.shape[1]
    index = (
        shortlist.IndexHNSWSQ(d, qtype, 8) if graph else shortlist.IndexScalarQuantizer(d, qtype)
    )
    index.train(x)
    return index


def flattened(seed: int, n: int) -> np.ndarray:
    """Queries whose large dimensions are all but equal, so that the small ones decide."""
    return gaussian(seed, n, 12) * np.geomspace(1, 30, 12).astype(np.float32)


@pytest.mark.parametrize("cheap", ["efSearch", "k_factor"])
def test_a_refined_graph_gets_both_knobs(priced, l2, cheap):
    def price(index):
        ef = index.base_index.hnsw.efSearch
        return ef + 1e6 * index.k_factor if cheap == "efSearch" else 1e6 * ef - index.k_factor

    priced(price)
    x = skewed(12, 2000)
    index = shortlist.IndexRefineFlat(coarse(x))
    one_thread(lambda: index.add(x))
    tuning = index.tune(skewed(13, 1200), K, 0.98)
    assert tuning.reached
    assert index.k_factor == tuning.params["k_factor"]
    assert index.base_index.hnsw.efSearch == tuning.params["efSearch"]
    unseen = skewed(14, 2000)
    assert l2.recall(index.search(unseen, K)[1], unseen, x) > 0.98 - MARGIN
    tried = [point.params for point in tuning.frontier.points]
    assert {params["k_factor"] for params in tried} == {1, 2, 4, 8}
    assert max(p.recall for p in tuning.frontier.points if p.params["k_factor"] == 1) < 0.98
    if cheap == "efSearch":
        assert tuning.params["k_factor"] == 2
    else:
        assert tuning.params["k_factor"] > 2
    assert tuning.params in tried


def test_a_refined_scan_has_a_knob_too(priced):
    priced(lambda index: index.k_factor)
    x = skewed(12, 2000)
    index = shortlist.IndexRefineFlat(coarse(x, graph=False))
    index.add(x)
    tuning = index.tune(skewed(13, 1200), K, 0.98)
    assert tuning.params == {"k_factor": 2}
    assert index.k_factor == 2
    assert [point.params["k_factor"] for point in tuning.frontier.points] == [1, 2, 4, 8]


@pytest.mark.parametrize("idmap", [shortlist.IndexIDMap, shortlist.IndexIDMap2])
def test_an_idmap_is_tuned_inside(small, priced, idmap):
    plain, x, queries = small
    ids = np.random.default_rng(0).permutation(10**12 + 7 * np.arange(len(x)))
    index = idmap(shortlist.IndexHNSWFlat(x.shape[1], 8))
    one_thread(lambda: index.add_with_ids(x, ids))
    priced(lambda index: 1)
    tuning = index.tune(queries, K, 0.9)
    assert index.index.hnsw.efSearch == tuning.params["efSearch"]
    assert tuning.params == plain.tune(queries, K, 0.9).params
    named = index.tune(queries, K, 0.9, truth=ids[brute(queries, x, K)])
    assert (named.params, named.recall) == (tuning.params, tuning.recall)


def test_knobs_are_found_below_two_wrappers(priced):
    priced(lambda index: 1)
    x = gaussian(15, 1000, 12)
    inner = shortlist.IndexRefineFlat(shortlist.IndexHNSWFlat(12, 8))
    index = shortlist.IndexIDMap2(inner)
    index.add_with_ids(x, np.arange(5000, 6000))
    tuning = index.tune(gaussian(16, 500, 12), K, 0.9)
    assert tuning.reached
    assert inner.k_factor == tuning.params["k_factor"]
    assert inner.base_index.hnsw.efSearch == tuning.params["efSearch"]


def test_base_judges_a_quantised_graph_by_the_original_vectors(priced, l2):
    priced(lambda index: index.hnsw.efSearch)
    x, queries, unseen = skewed(17, 2000), skewed(18, 1200), skewed(19, 2000)
    index = coarse(x)
    one_thread(lambda: index.add(x))
    own = index.tune(queries, K, 0.99)
    assert own.reached
    lost = l2.recall(index.search(unseen, K)[1], unseen, x)
    assert lost < 0.97  # of the originals: this is why base is there
    with_base = index.tune(queries, K, 0.9, base=x)
    recall = l2.recall(index.search(unseen, K)[1], unseen, x)
    assert recall > 0.9 - MARGIN
    assert with_base.low - MARGIN < recall < with_base.high + MARGIN
    with pytest.warns(RuntimeWarning, match="reached recall 0.99"):
        assert not index.tune(queries, K, 0.99, base=x).reached


def test_given_truth_is_used(small, priced):
    priced(lambda index: index.hnsw.efSearch)
    index, x, queries = small
    truth = brute(queries, x, 3 * K)
    given_ = index.tune(queries, K, 0.9, truth=truth)
    assert given_ == index.tune(queries, K, 0.9)  # no two vectors are equally near
    assert given_ == index.tune(queries, K, 0.9, truth=truth.tolist())
    wrong = tuned(index, queries, truth=(truth + 1) % len(x))
    assert wrong.recall < 0.1
    truth[::2] = -1  # these say nothing
    assert index.tune(queries, K, 0.9, truth=truth).reached


@pytest.mark.parametrize(
    "form",
    [
        lambda q: q.astype(np.float64),
        lambda q: q.tolist(),
        np.asfortranarray,
        lambda q: pytest.importorskip("torch").from_numpy(q),
    ],
    ids=["float64", "lists", "Fortran", "torch"],
)
def test_queries_in_any_form(small, priced, form):
    priced(lambda index: index.hnsw.efSearch)
    index, _, queries = small
    assert index.tune(form(queries), K, 0.9) == index.tune(queries, K, 0.9)


def test_bytes_are_tuned_with_bytes(priced):
    priced(lambda index: index.hnsw.efSearch)
    rng = np.random.default_rng(20)
    x, queries = (rng.integers(0, 256, (n, 16)).astype(np.uint8) for n in (1000, 400))
    index = shortlist.IndexHNSWFlat(16, 8, dtype="uint8")
    one_thread(lambda: index.add(x))
    assert index.tune(queries, K, 0.9) == index.tune(queries.astype(np.float32), K, 0.9)


# What there is nothing to choose for, and what is out of reach


@pytest.mark.parametrize("target", [0.5, 1.0])
@pytest.mark.parametrize("queries", [20, 400])
@pytest.mark.parametrize(
    "make",
    [
        lambda: shortlist.IndexFlat(24),
        lambda: shortlist.IndexFlat(24, IP, dtype="float16"),
        lambda: shortlist.IndexScalarQuantizer(24, QT.QT_8bit),
        lambda: shortlist.IndexIDMap2(shortlist.IndexFlat(24)),
    ],
    ids=["Flat", "Flat f16", "SQ8", "IDMap2"],
)
def test_an_exhaustive_search_has_all_of_it(small, make, queries, target):
    _, x, q = small
    index = make()
    index.train(x)
    if isinstance(index, shortlist.IndexIDMap2):
        index.add_with_ids(x, np.arange(len(x)) + 7)
    else:
        index.add(x)
    tuning = index.tune(q[:queries], K, target)
    assert (tuning.params, tuning.recall, tuning.high, tuning.reached) == ({}, 1, 1, True)
    assert [point.params for point in tuning.frontier.points] == [{}]
    assert str(tuning).startswith("exhaustive: recall@10 1.0000 [")


def test_an_exhaustive_search_of_lossy_codes_may_fall_short():
    x, queries = skewed(17, 2000), skewed(18, 600)
    index = coarse(x, graph=False)
    index.add(x)
    with pytest.warns(RuntimeWarning, match="Build the index with less quantisation") as caught:
        tuning = index.tune(queries, K, 0.999, base=x)
    assert caught[0].filename == __file__
    assert not tuning.reached
    assert tuning.params == {}
    assert 0.5 < tuning.recall < 0.999


def test_out_of_reach_warns_and_sets_the_best(small, priced):
    priced(lambda index: index.hnsw.efSearch)
    index, _, queries = small
    index.hnsw.efSearch = 3
    with pytest.warns(
        RuntimeWarning, match="no setting of IndexHNSWFlat reached recall 1;"
    ) as caught:
        tuning = index.tune(queries, K, 1.0)
    assert caught[0].filename == __file__
    assert not tuning.reached
    assert "(the target 1 was not reached)" in str(tuning)
    points = tuning.frontier.points
    assert points[-1].params["efSearch"] == len(small[1])  # wider is no different
    best = max(points, key=lambda point: point.recall)  # the first of equals
    assert tuning.params == best.params
    assert index.hnsw.efSearch == best.params["efSearch"] < len(small[1])
    assert tuning.recall > 0.99


def test_all_found_is_as_sure_as_one_missed(priced):
    """An easy index finds all that a few queries ask for, and that is enough."""
    priced(lambda index: index.hnsw.efSearch)
    index = graph_over(gaussian(21, 300, 2), m=32)
    tuning = index.tune(gaussian(22, 500, 2), K, 0.99)
    assert [point.recall for point in tuning.frontier.points] == [1.0]
    assert tuning.reached
    assert tuning.low > 0.99


def test_few_queries_ask_for_more(small, priced):
    """Of 20 queries 10 choose: they can be sure of little."""
    priced(lambda index: index.hnsw.efSearch)
    index, _, queries = small
    few, many = tuned(index, queries[:20], recall=0.9), index.tune(queries, K, 0.9)
    assert few.high - few.low > 2 * (many.high - many.low)
    assert few.params["efSearch"] > many.params["efSearch"]
    assert few.queries == 20


# What is told and what is kept


def test_progress_is_told_every_point(small):
    index, _, queries = small
    told = []
    tuning = index.tune(queries, K, 0.9, progress=told.append)
    assert tuple(told) == tuning.frontier.points
    assert len(told) > 3


def test_the_seed_decides(small, priced):
    index, _, queries = small
    first, again = (index.tune(queries, K, 0.9, seed=5) for _ in range(2))  # by the clock
    assert first.params == again.params
    assert (first.recall, first.low, first.high) == (again.recall, again.low, again.high)
    assert [p.recall for p in first.frontier.points] == [p.recall for p in again.frontier.points]
    priced(lambda index: index.hnsw.efSearch)
    assert index.tune(queries, K, 0.9, seed=5) == index.tune(queries, K, 0.9, seed=5)
    others = {index.tune(queries, K, 0.9, seed=seed).recall for seed in range(4)}
    assert len(others) > 1


def test_the_sample_limits_the_queries(small, priced):
    index, _, queries = small
    sizes = []

    def timed(index, queries, k, params, repeats):
        sizes.append(len(queries))
        return index.search(queries, k), 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_tune, "timed_batches", timed)
        assert tuned(index, queries, sample=101).queries == 101
    assert set(sizes[:-1]) == {50}
    assert sizes[-1] == 51


def test_chosen_knobs_outlive_files(small, tmp_path, priced):
    priced(lambda index: 1)
    x, queries = small[1], small[2]
    plain = graph_over(x)
    refined = shortlist.IndexRefineFlat(graph_over(x[:0]))
    refined.add(x)
    mapped = shortlist.IndexIDMap2(graph_over(x[:0]))
    mapped.add_with_ids(x, np.arange(len(x)))
    for index in (plain, refined, mapped):
        tuning = index.tune(queries, K, 0.93)
        assert tuning.params["efSearch"] != shortlist.IndexHNSWFlat(4).hnsw.efSearch
        index.save(tmp_path / "own")
        shortlist.write_index(index, str(tmp_path / "theirs"))
        for again in (
            shortlist.open(tmp_path / "own"),
            shortlist.read_index(str(tmp_path / "theirs")),
            shortlist.clone_index(index),
        ):
            assert {knob.name: knob.value for knob in knobs(again)} == tuning.params
            np.testing.assert_array_equal(again.search(queries, K), index.search(queries, K))


def test_a_tuning_is_a_value(small, priced):
    priced(lambda index: index.hnsw.efSearch)
    index, _, queries = small
    tuning = index.tune(queries, K, 0.9, confidence=0.999)
    said = json.loads(json.dumps(tuning.to_dict(), allow_nan=False))
    assert said["params"] == tuning.params
    assert (said["reached"], said["target"], said["k"]) == (True, 0.9, K)
    assert Frontier.from_dict(said["frontier"]) == tuning.frontier
    assert str(tuning).startswith(f"efSearch={tuning.params['efSearch']}: recall@10 0.9")
    assert "at 99.9% confidence; " in str(tuning)
    assert isinstance(tuning, shortlist.Tuning)
    with pytest.raises(AttributeError):
        tuning.recall = 1


def test_tune_is_imported_when_used(python):
    said = python("""
import sys, shortlist
assert "shortlist._tune" not in sys.modules
assert shortlist.IndexFlat.tune is shortlist.IndexHNSWFlat.tune is shortlist.Index.tune
assert "shortlist._tune" in sys.modules
print(shortlist.IndexFlatL2.tune.__doc__)
""")
    assert said.startswith("Set the index to the fastest setting")


# Errors leave the knobs alone


class Planned(Exception):
    pass


def test_knobs_are_as_before_when_measuring_fails(small, monkeypatch):
    index, _, queries = small
    index.hnsw.efSearch = 33

    def refuse(point):
        raise Planned

    with pytest.raises(Planned):
        index.tune(queries, K, 0.9, progress=refuse)
    assert index.hnsw.efSearch == 33
    with pytest.raises(ValueError, match="truth has 2 rows; expected 400"):
        index.tune(queries, K, 0.9, truth=[[0] * K] * 2)
    with pytest.raises(ValueError, match=r"id \d+ is not a row of base"):
        index.tune(queries, K, 0.9, base=small[1][:500])
    assert index.hnsw.efSearch == 33

    def timed(index, queries, k, params, repeats):
        if len(queries) == 21:  # those that judge
            raise Planned
        return index.search(queries, k), 1.0

    monkeypatch.setattr(_tune, "timed_batches", timed)
    with pytest.raises(Planned):
        index.tune(queries[:41], K, 0.5)
    assert index.hnsw.efSearch == 33


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recall": 0}, "recall is 0; expected a share above 0, at most 1"),
        ({"recall": 1.01}, "recall is 1.01; expected"),
        ({"recall": 95}, "recall is 95; expected"),
        ({"recall": float("nan")}, "recall is nan; expected"),
        ({"confidence": 0}, "confidence is 0; expected a share between 0 and 1"),
        ({"confidence": 1}, "confidence is 1; expected"),
        ({"confidence": float("nan")}, "confidence is nan; expected"),
        ({"k": 0}, "k is 0; expected 1 to 1500, the vectors in the index"),
        ({"k": -3}, "k is -3; expected 1 to 1500"),
        ({"k": 1501}, "k is 1501; expected 1 to 1500"),
        ({"queries": np.zeros((19, 24))}, "19 queries cannot tell a recall; expected at least 20"),
        ({"sample": 19}, "19 queries cannot tell a recall"),
        ({"queries": np.zeros((0, 24))}, r"queries has shape \(0, 24\); expected 2 dimensions"),
        ({"queries": np.zeros(24)}, r"queries has shape \(24,\); expected 2 dimensions"),
        ({"queries": np.zeros((20, 23))}, "23 dimensions but this IndexHNSWFlat has d = 24"),
        ({"truth": np.zeros((400, 9), int)}, "truth has 9 columns; expected at least k = 10"),
        ({"truth": np.zeros((399, 10), int)}, "truth has 399 rows; expected 400"),
        ({"truth": np.zeros((400, 10))}, "truth holds float64; expected integer ids"),
        ({"truth": np.full((400, 10), -1)}, "no neighbour of any query"),
        ({"base": np.zeros((1500, 23), np.float32)}, "23"),
        ({"base": np.zeros(24, np.float32)}, "expected 2 dimensions"),
    ],
)
def test_bad_arguments(small, options, words):
    index, _, queries = small
    index.hnsw.efSearch = 33
    with pytest.raises(ValueError, match=words):
        index.tune(**{"queries": queries, **options})
    assert index.hnsw.efSearch == 33


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_queries_without_finite_values_are_refused(small, bad):
    """They find nothing, and would pass for a low recall."""
    index, x, queries = small
    for dtype in (np.float32, np.float64, np.float16):
        rows = queries.astype(dtype)
        rows[[123, 77], 5] = bad
        for truth in (None, brute(queries, x, K)):
            with pytest.raises(ValueError, match="row 77 of queries has NaN or Inf; drop or clean"):
                index.tune(rows, K, truth=truth)
    rows[:] = bad
    with pytest.raises(ValueError, match="row 0 of queries has NaN or Inf"):
        index.tune(rows, K)


def test_queries_beyond_float32_are_refused(small):
    index, _, queries = small
    rows = queries.astype(np.float64)
    rows[3] = 1e300
    with pytest.raises(ValueError, match="row 3 of queries has NaN or Inf"):
        index.tune(rows, K)


def test_an_index_without_vectors_says_so():
    with pytest.raises(ValueError, match="the IndexHNSWFlat is empty; add the vectors"):
        shortlist.IndexHNSWFlat(4).tune(np.zeros((20, 4)))
    with pytest.raises(ValueError, match="the IndexScalarQuantizer is empty"):
        shortlist.IndexScalarQuantizer(4, QT.QT_8bit).tune(np.zeros((20, 4)))
