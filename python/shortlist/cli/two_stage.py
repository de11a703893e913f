"""The second half of the demo: candidates before and after a reranker."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from shortlist.datasets import Dataset, sample_path

CANDIDATES = 100
HIDDEN = 32  # of the scorer that ships with the texts


@dataclass
class Stage:
    """An order of the candidates and what it is worth; seconds are for all queries together."""

    order: str
    ndcg: float
    mrr: float
    search_seconds: float
    rerank_seconds: float


def missing() -> str | None:
    """What to install first, if anything."""
    if find_spec("torch"):
        return None
    return "two-stage search: needs torch: pip install 'shortlist[rerank]'"


def two_stage(data: Dataset, graph: Any) -> list[Stage]:
    """The graph's own order, and that of a scorer trained on other queries of the same kind."""
    import torch

    from shortlist.rerank import MLP, Candidates, Reranker, TwoStage, metrics

    scorer = MLP(data.base.dim, HIDDEN)
    with np.load(sample_path("texts") / "scorer.npz") as weights:
        scorer.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    search = TwoStage(graph, Reranker(scorer, np.asarray(data.base)), CANDIDATES)
    queries = np.asarray(data.queries)
    relevant = Candidates.from_lists(data.relevant)
    for _ in range(2):  # the first time warms up
        started = time.perf_counter()
        found = search.first_stage(queries)
        between = time.perf_counter()
        ranked = search.reranker.rank_many(queries, found)
        ended = time.perf_counter()
    searched, reranked = between - started, ended - between
    return [
        Stage(name, metrics.ndcg(lists, relevant), metrics.mrr(lists, relevant), searched, seconds)
        for name, lists, seconds in (("graph", found, 0.0), ("MLP", ranked, reranked))
    ]


def show(stages: list[Stage], queries: int) -> None:
    table = Table("order of", "nDCG@10", "MRR@10", "search ms", "rerank ms")
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in stages:
        times = (1e3 * s / queries for s in (stage.search_seconds, stage.rerank_seconds))
        table.add_row(
            stage.order, f"{stage.ndcg:.4f}", f"{stage.mrr:.4f}", *(f"{ms:.3f}" for ms in times)
        )
    Console().print(table)
    print(
        f"two-stage search: the graph's {CANDIDATES} nearest of each query, reordered by a network "
        "trained on\nother queries; times are per query, of all in one call."
    )
