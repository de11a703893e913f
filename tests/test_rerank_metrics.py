from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from shortlist.rerank.candidates import Candidates
from shortlist.rerank.metrics import average_precision, mrr, ndcg, recall

METRICS = {"ndcg": ndcg, "mrr": mrr, "recall": recall, "average_precision": average_precision}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def best_first(*ids):
    """Lists in this order, whatever the ids."""
    return Candidates.from_lists(ids, [range(len(one), 0, -1) for one in ids])


@st.composite
def judged_rankings(draw):
    """Per query: ids with scores that all differ, in any order, and some ids with grades."""
    rankings, grades = [], []
    for _ in range(draw(st.integers(1, 5))):
        ids = draw(st.lists(st.integers(-9, 9), unique=True, max_size=12))
        scores = draw(st.permutations(range(-3, len(ids) - 3)))
        rankings.append(dict(zip(ids, scores, strict=True)))
        grades.append(draw(st.dictionaries(st.integers(-9, 9), st.integers(-1, 4), max_size=8)))
    return rankings, grades


def as_candidates(lists):
    return Candidates.from_lists([[*one] for one in lists], [[*one.values()] for one in lists])


@given(judged_rankings(), st.integers(1, 14))
def test_values_are_those_of_ir_measures(data, k):
    ir_measures = pytest.importorskip("ir_measures")
    rankings, grades = data
    ranked, relevant = as_candidates(rankings), as_candidates(grades)
    answerable = [q for q, one in enumerate(grades) if any(g > 0 for g in one.values())]
    run = {str(q): {str(i): s for i, s in one.items()} for q, one in enumerate(rankings) if one}
    judged = {str(q): {str(i): g for i, g in grades[q].items()} for q in answerable}
    names = {"nDCG": ndcg, "RR": mrr, "R": recall, "AP": average_precision}
    measures = {ir_measures.parse_measure(f"{name}@{k}"): (name, k) for name in names}
    measures |= {ir_measures.parse_measure(name): (name, None) for name in ("nDCG", "RR", "AP")}
    theirs = {key: torch.full((len(grades),), torch.nan).double() for key in measures.values()}
    if judged:
        for value in ir_measures.iter_calc([*measures], judged, run):
            theirs[measures[value.measure]][int(value.query_id)] = value.value
    for (name, cut), wanted in theirs.items():
        got = names[name](ranked, relevant, cut, per_query=True)
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12, equal_nan=True)
        if judged:
            mean = names[name](ranked, relevant, cut)
            assert isinstance(mean, float)
            assert mean == pytest.approx(got[answerable].mean().item())
    if judged:
        theirs_mean = ir_measures.calc_aggregate([*measures], judged, run)
        for measure, (name, cut) in measures.items():
            assert names[name](ranked, relevant, cut) == pytest.approx(theirs_mean[measure])


@every_metric
@given(judged_rankings(), st.sampled_from([1, 3, None]))
def test_order_of_queries_and_of_items_does_not_matter(metric, data, k):
    rankings, grades = data
    before = metric(as_candidates(rankings), as_candidates(grades), k, per_query=True)
    turned = [[dict(reversed(one.items())) for one in reversed(lists)] for lists in data]
    after = metric(*map(as_candidates, turned), k, per_query=True)
    torch.testing.assert_close(after, before.flip(0), rtol=1e-12, atol=0, equal_nan=True)
    assert ((before >= 0) & (before <= 1 + 1e-12) | before.isnan()).all()


@every_metric
@given(judged_rankings())
def test_no_k_is_a_large_k(metric, data):
    ranked, relevant = map(as_candidates, data)
    everything = metric(ranked, relevant, None, per_query=True)
    assert torch.equal(
        metric(ranked, relevant, 99, per_query=True).nan_to_num(-1), everything.nan_to_num(-1)
    )


def test_by_hand():
    # the second and the fourth of five are relevant, a third document was not found
    ranked = best_first([10, 11, 12, 13, 14])
    relevant = Candidates.from_lists([[13, 11, 99, 12]], [[1.0, 3.0, 2.0, 0.0]])
    discounts = [1 / math.log2(rank + 1) for rank in range(1, 6)]
    ideal = [3 * discounts[0], 2 * discounts[1], 1 * discounts[2]]
    found = 3 * discounts[1] + 1 * discounts[3]
    assert ndcg(ranked, relevant) == pytest.approx(found / sum(ideal))
    assert ndcg(ranked, relevant, 3) == pytest.approx(3 * discounts[1] / sum(ideal))
    assert ndcg(ranked, relevant, 2) == pytest.approx(3 * discounts[1] / sum(ideal[:2]))
    assert mrr(ranked, relevant) == 1 / 2
    assert mrr(ranked, relevant, 1) == 0
    assert recall(ranked, relevant) == pytest.approx(2 / 3)
    assert recall(ranked, relevant, 3) == pytest.approx(1 / 3)
    assert average_precision(ranked, relevant) == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert average_precision(ranked, relevant, 3) == pytest.approx(1 / 2 / 3)


@every_metric
def test_ten_is_the_default_cut_but_for_average_precision(metric):
    ranked, relevant = best_first([*range(11)]), Candidates.from_lists([[10]])
    assert metric(ranked, relevant) == (1 / 11 if metric is average_precision else 0)
    assert metric(ranked, relevant, 10) == 0
    assert metric(ranked, relevant, 11) > 0


@every_metric
def test_queries_without_relevant_documents_do_not_count(metric):
    ranked = best_first([1, 2], [3], [4], [], [])
    relevant = Candidates.from_lists([[1], [3], [], [5], []], [[1.0], [0.0], [], [1.0], []])
    values = metric(ranked, relevant, per_query=True)
    assert values.dtype == torch.float64
    assert values.isnan().tolist() == [False, True, True, False, True]
    assert values[[0, 3]].tolist() == [1, 0]
    assert metric(ranked, relevant) == 0.5


@every_metric
@pytest.mark.parametrize("lists", [[], [[]], [[1], [2]]])
def test_no_relevant_document_at_all_has_no_mean(metric, lists):
    ranked = best_first(*lists)
    relevant = Candidates.from_lists(lists, [[0.0] * len(one) for one in lists])
    assert metric(ranked, relevant, per_query=True).isnan().tolist() == [True] * len(lists)
    with pytest.raises(ValueError, match="no document with a grade above 0"):
        metric(ranked, relevant)


@every_metric
def test_best_first_whatever_the_kind_of_score(metric):
    relevant = Candidates.from_lists([[2]])
    scores = [[5.0, 1.0, 3.0]]
    near = Candidates.from_lists([[1, 2, 3]], scores, "distance")
    assert metric(near, relevant, 1) == 1
    assert metric(Candidates.from_lists([[1, 2, 3]], scores, "logit"), relevant, 2) == 0


def test_equal_scores_stay_in_list_order():
    relevant = Candidates.from_lists([[5]])
    for place in range(40):
        ids = [100 + i for i in range(40)]
        ids[place] = 5
        assert mrr(Candidates.from_lists([ids]), relevant, None) == pytest.approx(1 / (place + 1))


def test_grades_are_not_rounded_to_the_scores():
    ranked = best_first([1, 2])
    ranked = ranked.rescored(ranked.scores.bfloat16(), "similarity")
    relevant = Candidates.from_lists([[1, 2]], [[0.3, 0.1]])
    assert ndcg(ranked, relevant) == pytest.approx(1, abs=1e-12)


def test_grades_may_be_called_anything():
    ranked = best_first([1, 2])
    relevant = Candidates.from_lists([[1, 2]], [[3.0, 1.0]], "distance")
    assert ndcg(ranked, relevant, 1) == 1


def test_the_arguments_are_not_changed():
    ranked, relevant = Candidates.from_lists([[1, 2]], [[1.0, 2.0]]), best_first([2, 3])
    before = [x.clone() for one in (ranked, relevant) for x in (one.ids, one.scores, one.offsets)]
    for metric in METRICS.values():
        metric(ranked, relevant)
    after = [x for one in (ranked, relevant) for x in (one.ids, one.scores, one.offsets)]
    assert all(map(torch.equal, before, after))


@every_metric
@pytest.mark.parametrize(
    ("ranked", "relevant", "k", "words"),
    [
        (
            best_first([1]),
            Candidates.from_lists([[1], [2]]),
            10,
            "relevant has 2 queries; expected 1",
        ),
        (best_first([1]), Candidates.from_lists([[1]]), 0, "^k is 0; expected at least 1"),
        (best_first([1]), Candidates.from_lists([[1]]), -1, "^k is -1; expected at least 1"),
        (
            best_first([1, 7], [7, 2, 7]),
            Candidates.from_lists([[1], [7]]),
            1,  # the second 7 is beyond it
            "ranked has id 7 twice in the list of query 1",
        ),
        (
            best_first([3], [1]),
            Candidates.from_lists([[4, 5, 4], [4]], [[1.0, 1, 0], [1.0]]),
            10,
            "relevant has id 4 twice in the list of query 0",
        ),
        (
            Candidates.from_lists([[1, 2]], [[1.0, math.nan]]),
            Candidates.from_lists([[1]]),
            10,
            "scores of ranked are NaN",
        ),
        (
            best_first([1]),
            Candidates.from_lists([[1]], [[math.inf]]),
            10,
            "grades of relevant are infinite or NaN",
        ),
    ],
)
def test_what_does_not_fit_is_refused(metric, ranked, relevant, k, words):
    for per_query in (False, True):
        with pytest.raises(ValueError, match=words):
            metric(ranked, relevant, k, per_query=per_query)


def test_one_id_may_be_in_the_lists_of_many_queries():
    same = best_first([1, 2], [1, 2], [2, 1])
    assert recall(same, same) == 1
