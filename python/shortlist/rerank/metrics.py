"""How good a ranking is, by trec_eval's definitions, on ragged lists.

All take `ranked`, whose lists are read best score first (equal scores in list order), and
`relevant`, the judged ids of the same queries with grades for scores: above 0 is relevant, 0 or
below is not. k says how many of each list to look at, None for all. They return the mean over the
queries that have a relevant document, or with per_query=True a (queries,) float64 tensor on the
CPU, NaN for the other queries. Relevant documents that are not in the list count as not found; an
empty list has 0.

Raises ValueError for another number of queries, k below 1, an id twice in one list, scores that
are NaN, grades that are not finite, and for a mean where no query has a relevant document.
"""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from .candidates import Candidates, places, ragged_order

__all__ = ["average_precision", "mrr", "ndcg", "recall"]


@overload
def ndcg(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: Literal[False] = ...
) -> float: ...
@overload
def ndcg(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: Literal[True]
) -> Tensor: ...
def ndcg(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: bool = False
) -> float | Tensor:
    """nDCG@k: graded relevance, worth less the later it comes, as a share of the best order.

    sum of grade / log2(1 + rank), divided by the same of all judged documents sorted by grade
    (linear gains; Jarvelin and Kekalainen 2002, as in trec_eval). 0 to 1.
    """
    found, judged = _graded(ranked, relevant, k)
    return _result(_dcg(found) / _dcg(judged.sorted(k)), judged, per_query)


@overload
def mrr(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: Literal[False] = ...
) -> float: ...
@overload
def mrr(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: Literal[True]
) -> Tensor: ...
def mrr(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: bool = False
) -> float | Tensor:
    """Reciprocal rank: 1 / rank of the first relevant document, 0 if none is in the first k."""
    found, judged = _graded(ranked, relevant, k)
    reciprocal = (found.scores > 0) / _ranks(found)
    best = reciprocal.new_zeros(len(found)).scatter_reduce(0, found.query_index, reciprocal, "amax")
    return _result(best, judged, per_query)


@overload
def recall(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: Literal[False] = ...
) -> float: ...
@overload
def recall(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: Literal[True]
) -> Tensor: ...
def recall(
    ranked: Candidates, relevant: Candidates, k: int | None = 10, *, per_query: bool = False
) -> float | Tensor:
    """The share of a query's relevant documents that is in the first k."""
    found, judged = _graded(ranked, relevant, k)
    return _result(_count(found) / _count(judged), judged, per_query)


@overload
def average_precision(
    ranked: Candidates,
    relevant: Candidates,
    k: int | None = None,
    *,
    per_query: Literal[False] = ...,
) -> float: ...
@overload
def average_precision(
    ranked: Candidates, relevant: Candidates, k: int | None = None, *, per_query: Literal[True]
) -> Tensor: ...
def average_precision(
    ranked: Candidates, relevant: Candidates, k: int | None = None, *, per_query: bool = False
) -> float | Tensor:
    """Average precision; its mean over queries is MAP.

    The sum over relevant documents in the first k of the precision at their ranks, divided by the
    number of all relevant documents.
    """
    found, judged = _graded(ranked, relevant, k)
    hit = (found.scores > 0).to(torch.int64)
    total = hit.cumsum(0)
    before = (total - hit)[found.offsets[:-1][found.query_index]]  # hits of the lists before
    precision = (total - before) / _ranks(found)
    return _result(_sum(found, hit * precision) / _count(judged), judged, per_query)


def _graded(
    ranked: Candidates, relevant: Candidates, k: int | None
) -> tuple[Candidates, Candidates]:
    """The first k of each list, and all judged documents, both with grades of at least 0."""
    if k is not None and k < 1:
        raise ValueError(f"k is {k}; expected at least 1, or None for whole lists")
    if bool(ranked.scores.isnan().any()):
        raise ValueError("scores of ranked are NaN, so they have no order")
    if not bool(relevant.scores.isfinite().all()):
        raise ValueError("grades of relevant are infinite or NaN; expected finite numbers")
    _check_distinct(ranked, "ranked")
    _check_distinct(relevant, "relevant")
    # float64 is not on every device, and judgements are often on another one than the results
    found, judged = ranked.sorted(k).to("cpu"), relevant.to("cpu")
    judged = judged.rescored(judged.scores.double().clamp(min=0), "similarity")
    found = found.rescored(found.scores.double(), "similarity")  # labels come in this dtype
    return found.rescored(found.labels(judged), "similarity"), judged


def _check_distinct(lists: Candidates, name: str) -> None:
    ids, queries = lists.ids[ragged_order(lists.ids, lists.offsets)], lists.query_index
    same = ((ids.diff() == 0) & (queries.diff() == 0)).nonzero()[:, 0]
    if len(same):
        at = int(same[0])
        raise ValueError(
            f"{name} has id {int(ids[at])} twice in the list of query {int(queries[at])}; "
            "expected each id once"
        )


def _result(values: Tensor, judged: Candidates, per_query: bool) -> float | Tensor:
    answerable = _count(judged) > 0
    if per_query:
        return values.masked_fill(~answerable, torch.nan)
    if not bool(answerable.any()):
        raise ValueError("relevant has no document with a grade above 0, of any query")
    return float(values[answerable].mean())


def _dcg(lists: Candidates) -> Tensor:
    return _sum(lists, lists.scores / (1 + _ranks(lists)).log2())


def _count(lists: Candidates) -> Tensor:
    """(queries,): the relevant documents of each."""
    return _sum(lists, lists.scores > 0)


def _sum(lists: Candidates, values: Tensor) -> Tensor:
    total = torch.zeros(len(lists), dtype=torch.float64)
    return total.index_add(0, lists.query_index, values.double())


def _ranks(lists: Candidates) -> Tensor:
    """(nnz,): 1 for the first of each list, 2 for the second, ..."""
    return (places(lists.offsets) + 1).double()
