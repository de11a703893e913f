"""Fitting a scorer to relevance judgements."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .candidates import Candidates
from .losses import infonce
from .metrics import ndcg
from .reranker import Reranker, as_queries, modes_restored, score_once, select
from .scorers import Scorer
from .store import as_store

__all__ = ["Epoch", "fit"]

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training queries; `epoch` 0 is the scorer before any."""

    epoch: int
    loss: float  # mean over the batches; NaN for epoch 0
    ndcg: float  # nDCG@10 of the validation queries


def fit(
    scorer: Scorer,
    queries: Any,
    candidates: Candidates,
    relevant: Candidates,
    store: Any,
    *,
    loss: Loss = infonce,
    epochs: int = 10,
    batch: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    validation: float = 0.15,
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train a scorer to put the relevant candidates first; it ends with its best epoch's weights.

    queries: what the scorer reads, one for each list of `candidates`. relevant: for each query the
    ids that answer it, graded by their scores. store: see `as_store`.
    loss: called with scores, labels and offsets, as those in `shortlist.rerank.losses`.
    batch: queries in one step. validation: share of the queries that are not trained on; they say
    which epoch is best, and the untrained scorer is one of them, so that fitting does no harm.
    Queries without a relevant candidate are left out. Same seed, same data, same weights.

    Returns the epochs. Raises ValueError where nothing can be learnt, or on a loss that is NaN;
    the scorer then has the best weights up to there.
    """
    if not 0 < validation < 1:
        raise ValueError(f"validation is {validation}; expected a share between 0 and 1")
    if epochs < 1 or batch < 1:
        raise ValueError(f"epochs is {epochs} and batch {batch}; expected at least 1")
    weights = [p for p in scorer.parameters() if p.requires_grad]
    if not weights:
        raise ValueError(f"{type(scorer).__name__} has no parameters to train")
    queries, store = as_queries(queries, scorer.reads, len(candidates)), as_store(store)
    labels = candidates.labels(relevant)
    answered = torch.zeros(len(candidates), dtype=torch.bool, device=labels.device)
    answered[candidates.query_index[labels > 0]] = True
    generator = torch.Generator().manual_seed(seed)
    usable = answered.nonzero().squeeze(1).cpu()
    if len(usable) < 2:
        raise ValueError(
            f"{len(usable)} queries have a relevant candidate; expected at least 2, better hundreds"
        )
    usable = usable[torch.randperm(len(usable), generator=generator)]
    held = min(max(1, round(validation * len(usable))), len(usable) - 1)
    trained, held_out = usable[held:], usable[:held].sort().values
    judge = Reranker(scorer, store)
    held_queries, held_lists = select(queries, held_out), candidates.select(held_out)
    held_relevant = relevant.select(held_out)
    optimiser = torch.optim.AdamW(weights, lr=lr, weight_decay=weight_decay)
    steps = epochs * -(-len(trained) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    history: list[Epoch] = []

    def quality() -> float:
        return float(ndcg(judge.rank_many(held_queries, held_lists), held_relevant, 10))

    def step(some: Tensor) -> float:
        part = candidates.select(some)
        scores = score_once(scorer, queries, part, some, store)
        grades = part.labels(relevant.select(some))
        value = loss(scores, grades.to(scores.device), part.offsets.to(scores.device))
        number = float(value.detach())
        if not math.isfinite(number):
            raise ValueError(f"the loss became {number} in epoch {len(history)}; lower lr")
        optimiser.zero_grad()
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        return number

    best = copy.deepcopy(scorer.state_dict())
    cards = range(torch.cuda.device_count())  # all of them, as manual_seed seeds all
    try:
        with modes_restored(scorer), torch.random.fork_rng(cards):
            torch.manual_seed(seed)
            history.append(Epoch(0, float("nan"), quality()))
            for epoch in range(1, epochs + 1):
                scorer.train()
                order = trained[torch.randperm(len(trained), generator=generator)]
                losses = [step(some) for some in torch.split(order, batch)]
                now = Epoch(epoch, sum(losses) / len(losses), quality())
                if now.ndcg > max(before.ndcg for before in history):
                    best = copy.deepcopy(scorer.state_dict())
                history.append(now)
                if progress:
                    progress(now)
    finally:
        scorer.load_state_dict(best)
    return history
