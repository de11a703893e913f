"""Scorers: modules that say how well candidates answer queries.

A Scorer reads queries and candidates whose `docs` are filled in, and gives each candidate a score.
Candidates are scored one by one: a score does not depend on the company it is computed in.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .candidates import Candidates, ScoreKind, Tokens, offsets_of, query_index

__all__ = ["MLP", "CrossEncoder", "Dot", "MaxSim", "Scorer"]

Reads = Literal["vectors", "tokens", "texts"]


class Scorer(nn.Module):
    """Base class: derive, set `reads` and `score_kind`, and write `forward`."""

    reads: ClassVar[Reads] = "vectors"  # what queries and docs are
    score_kind: ScoreKind = "logit"  # what the scores are
    padded: ClassVar[bool] = False  # whether a batch costs its longest pair times its size

    def forward(self, queries: Any, candidates: Candidates) -> Tensor:
        """(nnz,): a score for each candidate.

        queries and candidates.docs, by `reads`: tensors (queries, d) and (nnz, d) for "vectors",
        Tokens for "tokens", lists of str for "texts".
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward(queries, candidates)")


class Dot(Scorer):
    """Exact scores of stored vectors: what a search by codes only estimates.

    metric: "ip" (inner product), "cosine", or "l2" (squared distance; less is better).
    Raises ValueError for another metric.
    """

    _KINDS: ClassVar[dict[str, ScoreKind]] = {
        "ip": "similarity",
        "cosine": "similarity",
        "l2": "distance",
    }

    def __init__(self, metric: str = "ip") -> None:
        super().__init__()
        if metric not in self._KINDS:
            raise ValueError(f"metric is {metric!r}; expected one of {', '.join(self._KINDS)}")
        self.metric = metric
        self.score_kind = self._KINDS[metric]

    def forward(self, queries: Tensor, candidates: Candidates) -> Tensor:
        q, x = _pairs(queries, candidates)
        if self.metric == "l2":
            return (q - x).square().sum(1)
        if self.metric == "cosine":
            return functional.cosine_similarity(q, x)
        return (q * x).sum(1)


class MLP(Scorer):
    """A small network over a pair of embeddings, added to their scaled inner product.

    It reads [q, x, q * x, |q - x|]. Its last layer starts at zero, so an untrained MLP ranks by
    inner product, and training moves on from there.

    dim: of the embeddings. hidden: width of its two layers. dropout: share of them dropped while
    training. scale: of the inner product, learnt from this value.
    """

    def __init__(
        self, dim: int, hidden: int = 256, *, dropout: float = 0.1, scale: float = 20.0
    ) -> None:
        super().__init__()
        self.dim = dim
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.layers = nn.Sequential(
            nn.Linear(4 * dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, queries: Tensor, candidates: Candidates) -> Tensor:
        q, x = _pairs(queries, candidates)
        if q.shape[1] != self.dim:
            raise ValueError(f"the vectors have {q.shape[1]} dimensions; this MLP has {self.dim}")
        products = q * x
        features = torch.cat([q, x, products, (q - x).abs()], dim=1)
        score: Tensor = self.head(self.layers(features.to(self.head.weight.dtype))).squeeze(1)
        return self.log_scale.exp() * products.sum(1) + score


class MaxSim(Scorer):
    """Late interaction: for each token of a query its best match among a text's, summed.

    Texts are ragged and stay so; nothing is padded. A text without tokens scores 0.
    Source: ColBERT (Khattab and Zaharia, arXiv 2004.12832), equation 3.
    """

    reads: ClassVar[Reads] = "tokens"
    score_kind: ScoreKind = "similarity"

    def forward(self, queries: Tokens, candidates: Candidates) -> Tensor:
        docs: Tokens = candidates.docs
        _check_widths(queries.values, docs.values)
        wide = _wide(queries.values, docs.values)
        scores = []
        ends = candidates.offsets.tolist()
        for i, (begin, end) in enumerate(pairwise(ends)):
            first, last = int(docs.offsets[begin]), int(docs.offsets[end])
            # the tokens of all texts of this query
            dots = docs.values[first:last].to(wide) @ queries[i].to(wide).T
            scores.append(_best_of_each(dots, docs.offsets[begin : end + 1].diff()).sum(1))
        return torch.cat(scores) if scores else docs.values.new_zeros(0, dtype=wide)


def _best_of_each(dots: Tensor, counts: Tensor) -> Tensor:
    """(texts, query tokens): maxima over the rows of each text; zeros for a text without any."""
    text = query_index(offsets_of(counts))
    best = dots.new_zeros(len(counts), dots.shape[1])
    return best.scatter_reduce(0, text[:, None].expand_as(dots), dots, "amax", include_self=False)


class CrossEncoder(Scorer):
    """A Hugging Face sequence classifier that reads query and text together.

    model: a module whose call returns an object with `logits` (pairs, 1), or (pairs, 2), of which
    the second class means relevant; tokenizer: its tokenizer. Both are used as they are; nothing
    is downloaded. max_length: tokens of a pair; the longer of its two texts is cut to that.
    The score is the logit, or the log odds of two classes.
    """

    reads: ClassVar[Reads] = "texts"
    padded: ClassVar[bool] = True

    def __init__(self, model: nn.Module, tokenizer: Any, *, max_length: int = 512) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length

    def forward(self, queries: list[str], candidates: Candidates) -> Tensor:
        if not len(candidates.ids):
            return candidates.scores.new_zeros(0)
        asked = [queries[i] for i in candidates.query_index.tolist()]
        tokens = self.tokenizer(
            asked,
            list(candidates.docs),
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        device = next(self.model.parameters()).device
        logits: Tensor = self.model(**{name: x.to(device) for name, x in tokens.items()}).logits
        if logits.ndim != 2 or logits.shape[1] not in (1, 2):
            raise ValueError(
                f"the model's logits have shape {tuple(logits.shape)}; expected (pairs, 1), or "
                "(pairs, 2) with the second class for relevant: set num_labels=1"
            )
        return logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


def _pairs(queries: Tensor, candidates: Candidates) -> tuple[Tensor, Tensor]:
    """Each candidate's query and its vector, in one float type."""
    docs: Tensor = candidates.docs
    _check_widths(queries, docs)
    wide = _wide(queries, docs)
    return queries.to(wide)[candidates.query_index], docs.to(wide)


def _wide(queries: Tensor, docs: Tensor) -> torch.dtype:
    """What to compute in: float32 also for half precision and integers."""
    wide = torch.promote_types(queries.dtype, docs.dtype)
    return wide if wide.is_floating_point and wide.itemsize >= 4 else torch.float32


def _check_widths(queries: Tensor, docs: Tensor) -> None:
    if queries.shape[1] != docs.shape[1]:
        raise ValueError(
            f"the queries have {queries.shape[1]} dimensions and the documents {docs.shape[1]}"
        )
