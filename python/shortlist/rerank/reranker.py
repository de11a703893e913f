"""Candidates in, the same candidates in a better order out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .candidates import Candidates, Tokens, as_tensor
from .scorers import Reads, Scorer
from .store import Store, all_texts, as_store, token_counts

__all__ = ["Ranked", "Reranker"]

_FORMS: dict[Reads, type[Any]] = {"vectors": Tensor, "tokens": Tokens, "texts": list}


class Ranked(NamedTuple):
    """One result of `rank`: rank counts from 1, id is the caller's or the position in docs."""

    id: Any
    score: float
    rank: int
    doc: Any


class Reranker:
    """Scores candidates with a Scorer, in batches that fit in memory, and puts the best first.

    scorer: what says how good a candidate is. store: where its documents are, see `as_store`;
    may be None if only `rank` is used, which is given the documents.
    token_budget: tokens of queries and documents in one batch; a vector counts as one. Pairs of a
    scorer that pads are batched by length. A batch that does not fit in memory is halved.

    The scores are the scorer's own; their kind is on the result. A reranker is used by one thread
    at a time.
    """

    def __init__(self, scorer: Scorer, store: Any = None, *, token_budget: int = 1 << 14) -> None:
        if token_budget < 1:
            raise ValueError(f"token_budget is {token_budget}; expected at least 1")
        self.scorer = scorer
        self.store: Store | None = None if store is None else as_store(store)
        self.token_budget = token_budget

    def rank(
        self, query: Any, docs: Any, ids: Sequence[Any] | None = None, top_k: int | None = None
    ) -> list[Ranked]:
        """The documents for one query, best first.

        query and docs, by what the scorer reads: a vector (d,) and (n, d); tokens (t, d) and
        Tokens or a list of such matrices; a str and a list of them.
        ids: a name for each document, of any type; by default its position.
        top_k: how many to return; all by default. Raises ValueError for shapes that do not fit.
        """
        if self.scorer.reads == "tokens" and not isinstance(docs, Tokens):
            docs = Tokens.from_list(docs)
        count = len(docs)
        if ids is not None and len(ids) != count:
            raise ValueError(f"there are {len(ids)} ids for {count} documents; expected as many")
        if count == 0:
            return []
        if self.scorer.reads == "vectors":
            docs = as_tensor(docs)
        queries = as_tensor(query)[None] if self.scorer.reads == "vectors" else [query]
        candidates = Candidates.from_lists([range(count)])
        ordered = self._rank(queries, candidates, as_store(docs)).sorted(top_k)
        return [
            Ranked(i if ids is None else ids[i], score, rank, docs[i])
            for rank, (i, score) in enumerate(
                zip(ordered.ids.tolist(), ordered.scores.tolist(), strict=True), 1
            )
        ]

    def rank_many(
        self, queries: Any, candidates: Candidates, top_k: int | None = None
    ) -> Candidates:
        """The candidates of every query, best first, with the scorer's scores.

        queries: (queries, d), Tokens, or a list of str, by what the scorer reads.
        top_k: how many to keep of each list; all by default.
        Raises ValueError for another number of queries or for scores that are NaN, KeyError for
        an id that is not in the store, MemoryError when even one pair does not fit.
        """
        if self.store is None:
            raise ValueError("this Reranker has no store to find candidates in; pass store=")
        return self._rank(queries, candidates, self.store).sorted(top_k)

    def _rank(self, queries: Any, candidates: Candidates, store: Store) -> Candidates:
        queries = as_queries(queries, self.scorer.reads, len(candidates))
        scores = candidates.scores.new_empty(len(candidates.ids), dtype=torch.float32)
        lengths = store.lengths(candidates.ids).to(scores.device)
        cost = lengths + _lengths(queries).to(scores.device)[candidates.query_index]
        with _inference(self.scorer):
            for batch in self._batches(cost):
                part = candidates.take(batch)
                scores[batch] = self._score(queries, *part, store).to(scores)
        if bool(scores.isnan().any()):
            bad = int(candidates.ids[scores.isnan()][0])
            raise ValueError(
                f"{type(self.scorer).__name__} gave the candidate with id {bad} the score NaN; "
                "look for NaN or Inf in its weights, the query and the document"
            )
        return candidates.rescored(scores, self.scorer.score_kind)

    def _score(self, queries: Any, part: Candidates, rows: Tensor, store: Store) -> Tensor:
        """Scores of one batch, halved until it fits."""
        try:
            return score_once(self.scorer, queries, part, rows, store)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if len(part.ids) == 1:
                raise MemoryError(f"one candidate does not fit in memory: {error}") from error
        # Outside the handler, whose traceback would keep the failed batch alive.
        halves = torch.arange(len(part.ids), device=part.ids.device).tensor_split(2)
        scores = []
        for half in halves:
            smaller, of = part.take(half)
            scores.append(self._score(queries, smaller, rows[of], store))
        return torch.cat(scores)

    def _batches(self, cost: Tensor) -> Iterator[Tensor]:
        """Positions of the candidates of each batch, ascending."""
        if self.scorer.padded:
            order = cost.argsort(descending=True, stable=True)
            begin = 0
            while begin < len(order):
                size = max(1, self.token_budget // max(1, int(cost[order[begin]])))
                yield order[begin : begin + size].sort().values
                begin += size
            return
        total = cost.cumsum(0)
        begin, spent = 0, 0
        while begin < len(cost):
            end = int(torch.searchsorted(total, spent + self.token_budget, right=True))
            end = max(end, begin + 1)
            yield torch.arange(begin, end, device=cost.device)
            begin, spent = end, int(total[end - 1])


def score_once(
    scorer: Scorer, queries: Any, part: Candidates, rows: Tensor, store: Store
) -> Tensor:
    """A scorer's scores of candidates whose list i is of query rows[i], in one batch.

    Raises TypeError where the store has not what the scorer reads, and ValueError unless there is
    one document and one score for each candidate.
    """
    docs = store.gather(part.ids)
    if not isinstance(docs, _FORMS[scorer.reads]):
        raise TypeError(
            f"{type(scorer).__name__} reads {scorer.reads}; the store gave a "
            f"{type(docs).__name__}, expected a {_FORMS[scorer.reads].__name__}"
        )
    if len(docs) != len(part.ids):
        raise ValueError(f"the store gave {len(docs)} documents for {len(part.ids)} ids")
    device = next((p.device for p in scorer.parameters()), part.ids.device)
    read = replace(part.to(device), docs=_on(docs, device))
    scores: Tensor = scorer(_on(select(queries, rows), device), read)
    if scores.shape != part.ids.shape:
        raise ValueError(
            f"{type(scorer).__name__} returned scores of shape {tuple(scores.shape)}; "
            f"expected {tuple(part.ids.shape)}, one for each candidate"
        )
    return scores


@contextmanager
def modes_restored(scorer: Scorer) -> Iterator[None]:
    """Leaves each module in training or evaluation mode as it was."""
    modes = [(module, module.training) for module in scorer.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _inference(scorer: Scorer) -> Iterator[None]:
    # Not inference_mode: what a module or a store caches under it is of no use in training.
    with modes_restored(scorer), torch.no_grad():
        scorer.eval()
        yield


def _out_of_memory(error: BaseException) -> bool:
    """torch raises a class of its own on a GPU and a plain RuntimeError on the CPU."""
    said = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        or "can't allocate memory" in said
        or "out of memory" in said
    )


def as_queries(queries: Any, reads: Reads, count: int) -> Any:
    """Queries in the form a scorer reads. Raises ValueError for another form or number."""
    queries = _as_queries(queries, reads)
    if len(queries) != count:
        raise ValueError(
            f"there are {len(queries)} queries and candidates of {count}; expected as many"
        )
    return queries


def _as_queries(queries: Any, reads: Reads) -> Any:
    if reads == "tokens":
        return queries if isinstance(queries, Tokens) else Tokens.from_list(queries)
    if reads == "texts":
        if isinstance(queries, str) or not all_texts(queries):
            raise ValueError("the scorer reads texts; expected queries as a list of str")
        return list(queries)
    rows = as_tensor(queries)
    if rows.ndim != 2:
        raise ValueError(f"queries have shape {tuple(rows.shape)}; expected (queries, d)")
    return rows


def _lengths(queries: Any) -> Tensor:
    if isinstance(queries, Tokens):
        return queries.lengths
    if isinstance(queries, Tensor):
        return torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    return token_counts(queries)


def select(queries: Any, rows: Tensor) -> Any:
    """Some of the queries, whatever their form."""
    if isinstance(queries, Tokens):
        return queries.select(rows.to(queries.offsets.device))
    if isinstance(queries, Tensor):
        return queries[rows.to(queries.device)]
    return [queries[i] for i in rows.tolist()]


def _on(x: Any, device: Any) -> Any:
    return x.to(device) if isinstance(x, Tensor | Tokens) else x
