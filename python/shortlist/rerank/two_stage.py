"""The whole way: an index finds candidates, a reranker orders them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .candidates import Candidates, ScoreKind
from .reranker import Reranker

__all__ = ["TwoStage"]


class TwoStage:
    """Searches an index for more than is wanted and returns the best k by the reranker.

    index: any with faiss's `search(x, k)`. reranker: its store knows the index's ids.
    candidates: how many the index is asked for, per query.
    encode: turns what `search` is given, texts say, into vectors (queries, d) for the index; by
    default it is given vectors. A scorer that reads vectors gets those, others what was given.
    """

    def __init__(
        self, index: Any, reranker: Reranker, candidates: int = 100, *, encode: Any = None
    ) -> None:
        if candidates < 1:
            raise ValueError(f"candidates is {candidates}; expected at least 1")
        self.index = index
        self.reranker = reranker
        self.candidates = candidates
        self.encode = encode

    def search(self, queries: Any, k: int, *, rerank_queries: Any = None) -> tuple[Any, Any]:
        """The k best of each query: D (queries, k), the scorer's scores, and I, the ids.

        queries: vectors (queries, d), or what `encode` takes. rerank_queries: what the scorer is
        given instead, token matrices say.
        Rows go from best to worst; missing results have id -1 and the worst score, -FLT_MAX (or
        FLT_MAX for distances). numpy arrays, or tensors for queries in a tensor.
        Raises ValueError if k is above `candidates`, or as `rank_many` and the index do.
        """
        if not 1 <= k <= self.candidates:
            raise ValueError(f"k is {k}; expected 1 to {self.candidates}, the candidates")
        vectors = queries if self.encode is None else self.encode(queries)
        if rerank_queries is None:
            rerank_queries = vectors if self.reranker.scorer.reads == "vectors" else queries
        found = self.first_stage(vectors)
        D, I = self.reranker.rank_many(rerank_queries, found, k).to_search(k)
        return (D, I) if isinstance(queries, Tensor) else (D.cpu().numpy(), I.cpu().numpy())

    def first_stage(self, vectors: Any) -> Candidates:
        """The index's own candidates for vectors (queries, d), nearest first."""
        D, I = self.index.search(vectors, self.candidates)
        metric = getattr(self.index, "metric_type", None)
        kind: ScoreKind | None = None
        if metric is not None:
            kind = "similarity" if int(metric) == 0 else "distance"
        return Candidates.from_search(D, I, kind)
