"""Reranker: the same scores however the candidates are listed, batched and halved."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank_cases import CASES, DIM, DOCS, case
from shortlist.rerank import MLP, Candidates, Dot, MaxSim, Reranker, Scorer, Tokens
from torch import nn

LARGE = 10**9  # a budget that nothing exceeds
every_case = pytest.mark.parametrize("name", CASES)
# ids may come twice; with one score for a document of a query there are always ties then
ragged = st.lists(st.lists(st.integers(0, DOCS - 1), max_size=6), max_size=5)


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def same_answer(got, wanted):
    """The same scores in the same order, and ids that have those scores."""
    assert got.offsets.tolist() == wanted.offsets.tolist()
    assert got.score_kind == wanted.score_kind
    close(got.scores, wanted.scores)
    for (ids, scores), (other, values) in zip(got, wanted, strict=True):
        assert Counter(ids.tolist()) == Counter(other.tolist())
        known = dict(zip(other.tolist(), values.tolist(), strict=True))
        close(scores, [known[i] for i in ids.tolist()])


# What the scores do not depend on


@every_case
@settings(max_examples=15)
@given(lists=ragged, budget=st.integers(1, 60))
def test_each_list_is_its_candidates_by_the_score_of_the_pair(name, lists, budget):
    """The contract in full: no budget, no company and no order changes a score."""
    one = case(name)
    given_ = Candidates.from_lists(lists)
    best = Reranker(one.scorer, one.docs, token_budget=budget).rank_many(
        one.queries(len(lists)), given_
    )
    assert len(best) == len(lists)
    assert best.score_kind == one.scorer.score_kind
    assert best.scores.dtype == torch.float32
    for q, (ids, scores) in enumerate(best):
        assert Counter(ids.tolist()) == Counter(lists[q])
        close(scores, [one.score(q, i) for i in ids.tolist()])
        worse = 1 if best.score_kind == "distance" else -1
        assert ((scores.diff() * worse) >= 0).all()
    assert given_.ids.tolist() == [i for ids in lists for i in ids]


@every_case
@settings(max_examples=10)
@given(lists=ragged)
def test_ragged_lists_score_as_padded_ones(name, lists):
    one = case(name)
    width = max(map(len, lists), default=0)
    reranker = Reranker(one.scorer, one.docs)
    queries = one.queries(len(lists))
    padded = reranker.rank_many(
        queries, Candidates.from_lists([ids + [0] * (width - len(ids)) for ids in lists])
    )
    for ids, (got, scores), (others, values) in zip(
        lists, reranker.rank_many(queries, Candidates.from_lists(lists)), padded, strict=True
    ):
        known = dict(zip(others.tolist(), values.tolist(), strict=True))
        close(scores, [known[i] for i in got.tolist()])
        assert len(got) == len(ids)


@every_case
@settings(max_examples=10)
@given(lists=ragged, random=st.randoms())
def test_the_order_within_a_list_and_among_queries_does_not_matter(name, lists, random):
    one = case(name)
    reranker = Reranker(one.scorer, one.docs, token_budget=17)
    n = len(lists)
    wanted = reranker.rank_many(one.queries(n), Candidates.from_lists(lists))
    order = random.sample(range(n), n)
    shuffled = Candidates.from_lists([random.sample(lists[q], len(lists[q])) for q in order])
    queries = one.queries(n)
    if isinstance(queries, list):
        queries = [queries[q] for q in order]
    else:
        at = torch.tensor(order, dtype=torch.int64)
        queries = queries.select(at) if isinstance(queries, Tokens) else queries[at]
    same_answer(reranker.rank_many(queries, shuffled), wanted.select(order))


@every_case
@pytest.mark.parametrize("top_k", [1, 3, 100])
def test_top_k_is_the_beginning_of_all(name, top_k):
    one = case(name)
    lists = Candidates.from_lists([range(9), [], range(4, 6), range(DOCS)])
    reranker = Reranker(one.scorer, one.docs)
    every = reranker.rank_many(one.queries(4), lists)
    best = reranker.rank_many(one.queries(4), lists, top_k)
    for (ids, scores), (all_ids, all_scores) in zip(best, every, strict=True):
        assert ids.tolist() == all_ids[:top_k].tolist()
        close(scores, all_scores[:top_k])


def test_equal_scores_keep_the_order_they_came_in():
    reranker = Reranker(Dot(), torch.ones(DOCS, DIM), token_budget=2)
    best = reranker.rank_many(torch.ones(2, DIM), Candidates.from_lists([[7, 3, 9, 3], [5, 1]]))
    assert best.ids.tolist() == [7, 3, 9, 3, 5, 1]


@every_case
@pytest.mark.parametrize("lists", [[], [[]], [[], [], []]])
def test_nothing_to_rank(name, lists):
    one = case(name)
    best = Reranker(one.scorer, one.docs).rank_many(
        one.queries(len(lists)), Candidates.from_lists(lists), 3
    )
    assert best.offsets.tolist() == [0] * (len(lists) + 1)
    assert best.ids.tolist() == []


def test_no_queries_in_lists():
    """There is nothing to tell a dimension from."""
    nothing = Candidates.from_lists([])
    tokens = Tokens.from_list([np.ones((2, DIM), np.float32)])
    assert len(Reranker(MaxSim(), tokens).rank_many([], nothing)) == 0
    assert len(Reranker(case("CrossEncoder").scorer, ["text"]).rank_many([], nothing)) == 0


# Scorers and stores that do not do as they should


class Broken(Scorer):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, queries, candidates):
        return self.change(candidates.ids.float())


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        (lambda scores: scores[:-1], "(2,)"),
        (lambda scores: scores[:, None], "(3, 1)"),
        (torch.sum, "()"),
    ],
)
def test_scores_of_another_shape_are_refused(change, shape):
    said = f"Broken returned scores of shape {shape}; expected (3,), one for each candidate"
    with pytest.raises(ValueError, match=re.escape(said)):
        Reranker(Broken(change), torch.ones(9, DIM)).rank_many(
            torch.ones(2, DIM), Candidates.from_lists([[4, 5], [6]])
        )


def test_scores_that_are_nan_are_refused_by_name():
    rows = torch.ones(9, DIM)
    rows[7] = torch.nan
    lists = Candidates.from_lists([[4, 5], [6, 7, 8]])
    with pytest.raises(ValueError, match="Dot gave the candidate with id 7 the score NaN"):
        Reranker(Dot(), rows, token_budget=2).rank_many(torch.ones(2, DIM), lists)
    rows[7] = torch.inf
    assert Reranker(Dot(), rows).rank_many(torch.ones(2, DIM), lists)[1][0].tolist() == [7, 6, 8]


def test_scores_of_any_number_type_are_taken():
    for dtype in (torch.float16, torch.float64, torch.int32):
        best = Reranker(Broken(lambda s, dtype=dtype: s.to(dtype)), torch.ones(9, DIM)).rank_many(
            torch.ones(1, DIM), Candidates.from_lists([[4, 6, 5]])
        )
        assert best.scores.tolist() == [6, 5, 4]
        assert best.scores.dtype == torch.float32


STORES = {"vectors": torch.ones(3, DIM), "tokens": Tokens.from_list([np.ones((1, DIM))] * 3)}
STORES["texts"] = ["a", "b", "c"]


@pytest.mark.parametrize("held", STORES)
@pytest.mark.parametrize("name", ["Dot ip", "MaxSim", "CrossEncoder"])
def test_a_store_of_what_the_scorer_does_not_read_is_refused(name, held):
    one = case(name)
    reranker = Reranker(one.scorer, STORES[held])
    lists = Candidates.from_lists([[0, 2]])
    if one.scorer.reads == held:
        assert len(reranker.rank_many(one.queries(1), lists).ids) == 2
        return
    gave = type(STORES[held]).__name__
    said = f"{type(one.scorer).__name__} reads {one.scorer.reads}; the store gave a {gave}"
    with pytest.raises(TypeError, match=said):
        reranker.rank_many(one.queries(1), lists)


def test_a_store_that_loses_documents_is_noticed():
    class Loses:
        def gather(self, ids):
            return torch.ones(1, DIM)

        def lengths(self, ids):
            return torch.ones_like(ids)

    with pytest.raises(ValueError, match="the store gave 1 documents for 3 ids"):
        Reranker(Dot(), Loses()).rank_many(torch.ones(1, DIM), Candidates.from_lists([[4, 5, 6]]))


@pytest.mark.parametrize("held", STORES)
def test_an_id_that_the_store_does_not_know_is_named(held):
    name = {"vectors": "MLP", "tokens": "MaxSim", "texts": "CrossEncoder"}[held]
    one = case(name)
    with pytest.raises(KeyError, match="id 3 is not in the store"):
        Reranker(one.scorer, STORES[held]).rank_many(
            one.queries(1), Candidates.from_lists([[0, 3, 1]])
        )


def test_a_reranker_without_a_store_cannot_look_up_ids():
    with pytest.raises(ValueError, match="no store to find candidates in; pass store="):
        Reranker(Dot()).rank_many(torch.ones(1, DIM), Candidates.from_lists([[1]]))


@every_case
@pytest.mark.parametrize("queries", [0, 2, 4])
def test_another_number_of_queries_is_refused(name, queries):
    one = case(name)
    said = f"there are {queries} queries and candidates of 3; expected as many"
    with pytest.raises(ValueError, match=said):
        Reranker(one.scorer, one.docs).rank_many(
            one.queries(queries), Candidates.from_lists([[1], [2], [3]])
        )


@pytest.mark.parametrize(
    ("name", "queries", "said"),
    [
        ("Dot ip", np.ones(DIM), r"queries have shape \(6,\); expected \(queries, d\)"),
        ("Dot ip", np.ones((1, 2, DIM)), r"queries have shape \(1, 2, 6\)"),
        ("MaxSim", np.ones((1, DIM)), r"text 0 is \(6,\) of torch.float64; expected \(tokens, d\)"),
        ("CrossEncoder", "q", "expected queries as a list of str"),
        ("CrossEncoder", [b"q"], "expected queries as a list of str"),
        ("CrossEncoder", torch.ones(1, DIM), "expected queries as a list of str"),
    ],
)
def test_queries_of_another_form_are_refused(name, queries, said):
    one = case(name)
    with pytest.raises(ValueError, match=said):
        Reranker(one.scorer, one.docs).rank_many(queries, Candidates.from_lists([[1]]))


# What it leaves behind


class Caching(Scorer):
    """Keeps a table from its first call, as models do with the angles of rotary positions."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(DIM, 1), nn.Dropout(0.5))
        self.modes, self.cache = [], None

    def forward(self, queries, candidates):
        self.modes.append((self.training, self.inner[1].training, torch.is_grad_enabled()))
        if self.cache is None:
            self.cache = torch.ones(1) + 1
        return self.inner(candidates.docs)[:, 0] * self.cache


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("inner", [True, False])
def test_modes_and_gradients_are_as_before(training, inner):
    scorer = Caching().train(training)
    scorer.inner.train(inner)  # a part may be frozen
    rows = torch.ones(9, DIM, requires_grad=True)
    lists = Candidates.from_lists([[4, 5], [6]])
    best = Reranker(scorer, rows, token_budget=1).rank_many(torch.ones(2, DIM), lists)
    assert scorer.modes == [(False, False, False)] * 3
    modes = [module.training for module in scorer.modules()]
    assert modes == [training, inner, inner, inner]
    assert torch.is_grad_enabled()
    assert not best.scores.requires_grad

    # what was made in passing is of use in training
    scorer(torch.ones(1, DIM), Candidates(*_one(), docs=torch.ones(1, DIM))).sum().backward()
    assert scorer.inner[0].weight.grad is not None


def _one():
    one = Candidates.from_lists([[0]])
    return one.ids, one.offsets, one.scores


def test_modes_are_as_before_after_an_error():
    scorer = MLP(DIM)
    scorer.layers.eval()
    with pytest.raises(ValueError, match="dimensions"):
        Reranker(scorer, torch.ones(9, DIM + 1)).rank_many(
            torch.ones(1, DIM), Candidates.from_lists([[1]])
        )
    assert scorer.training
    assert not any(module.training for module in scorer.layers.modules())
    assert torch.is_grad_enabled()


# One query and its documents


@every_case
def test_rank_is_rank_many_of_one_query(name):
    one = case(name)
    queries = one.queries(1)
    wanted = Reranker(one.scorer, one.docs).rank_many(queries, Candidates.from_lists([range(DOCS)]))
    reranker = Reranker(one.scorer)
    results = reranker.rank(queries[0], one.docs)
    assert [result.id for result in results] == wanted.ids.tolist()
    assert [result.rank for result in results] == [*range(1, DOCS + 1)]
    close([result.score for result in results], wanted.scores)
    for result in results:
        same = one.docs[result.id]
        assert result.doc == same if isinstance(same, str) else torch.equal(result.doc, same)

    # lists of documents, other names for them
    docs = list(one.docs)
    names = [("page", i) for i in range(DOCS)]
    for top_k in (1, 4, 99):
        best = reranker.rank(queries[0], docs, names, top_k)
        assert [result.id for result in best] == [("page", r.id) for r in results[:top_k]]
        close([result.score for result in best], [r.score for r in results[:top_k]])


@pytest.mark.parametrize("ids", [["a", "b"], [None, 1.5], (b"x", frozenset()), np.array([7, 8])])
def test_ids_of_any_type_come_back(ids):
    rows = np.array([[1.0, 0.0], [3.0, 0.0]])
    best = Reranker(Dot()).rank([1.0, 0.0], rows, ids)
    assert [(result.id, result.score, result.rank) for result in best] == [
        (ids[1], 3.0, 1),
        (ids[0], 1.0, 2),
    ]


@every_case
def test_rank_nothing(name):
    one = case(name)
    reranker = Reranker(one.scorer)
    assert reranker.rank(one.queries(1)[0], []) == []
    assert reranker.rank(one.queries(1)[0], [], ids=[]) == []


def test_rank_refuses_what_does_not_fit():
    reranker, docs = Reranker(Dot()), np.ones((3, 2))
    with pytest.raises(ValueError, match="there are 2 ids for 3 documents"):
        reranker.rank([1.0, 0.0], docs, ["a", "b"])
    with pytest.raises(ValueError, match="top_k is 0"):
        reranker.rank([1.0, 0.0], docs, top_k=0)
    with pytest.raises(ValueError, match="queries have 3 dimensions and the documents 2"):
        reranker.rank([1.0, 0.0, 0.0], docs)
    with pytest.raises(ValueError, match=r"queries have shape \(1, 1, 2\)"):
        reranker.rank([[1.0, 0.0]], docs)
    with pytest.raises(TypeError, match="expected numbers, got a list of <U4"):
        reranker.rank([1.0, 0.0], ["one", "text"])


def test_without_torch_the_missing_extra_is_named(python):
    said = python("""
import sys
sys.modules["torch"] = None
try:
    import shortlist.rerank
except ImportError as error:
    print(error)
""")
    assert said == "shortlist.rerank needs torch: pip install 'shortlist[rerank]'\n"
