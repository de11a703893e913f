"""Losses to train a scorer with, on ragged lists: no padding, no loop over the lists.

All take `scores, labels, offsets`: list i is `scores[offsets[i]:offsets[i + 1]]`, and `labels`
likewise, which `Candidates.labels` makes of judgements. All return the mean over the lists that
say something about order. The others (empty, or without the pairs a loss compares) count for
nothing, and if there are only such the loss is 0, with a gradient of zeros.

scores: (nnz,) floats, more is better; half precision is computed in float32. labels: (nnz,)
numbers of any dtype, more is better; no gradient goes to them. offsets: (lists + 1,) int64.
Raises ValueError for other shapes, and for scores or labels that are not finite: ragged lists
need no -inf as padding, and one that is left would turn every gradient into NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .candidates import check_offsets, places, query_index, ragged_order, ragged_rows

__all__ = ["infonce", "lambda_loss", "listnet", "margin_mse", "ranknet"]


def listnet(
    scores: Tensor,
    labels: Tensor,
    offsets: Tensor,
    target: Literal["softmax", "normalised"] = "softmax",
) -> Tensor:
    """Cross entropy between two distributions over a list: one of the labels, one of the scores.

    -sum_i P(i) log softmax(s)_i, with P = softmax(y) as in Cao et al. 2007, "Learning to Rank:
    From Pairwise Approach to Listwise Approach" (top one); with a teacher's scores as labels this
    distils them. target="normalised": P = y / sum(y), labels below 0 as 0; take this for few
    relevant among many, where softmax(y) is close to uniform.
    """
    scores, labels = _checked(scores, labels, offsets)
    if target not in ("softmax", "normalised"):
        raise ValueError(f"target is {target!r}; expected 'softmax' or 'normalised'")
    if target == "normalised":
        labels = labels.clamp(min=0)
    lists = _lists(scores, labels, offsets)
    if target == "normalised":
        share = lists.labels / lists.sum(lists.labels)[lists.rows]
    else:
        share = (lists.labels - lists.logsumexp(lists.labels)[lists.rows]).exp()
    terms = -share * (lists.scores - lists.logsumexp(lists.scores)[lists.rows])
    return terms.sum() / max(len(lists), 1)


def ranknet(scores: Tensor, labels: Tensor, offsets: Tensor) -> Tensor:
    """Each pair of different labels as a classification: which of the two is better?

    The mean over pairs with y_i > y_j of log(1 + exp(-(s_i - s_j))); Burges et al. 2005, "Learning
    to Rank using Gradient Descent".
    """
    lists = _lists(*_checked(scores, labels, offsets), offsets)
    better, worse = lists.pairs()
    return lists.mean(-logsigmoid(lists.scores[better] - lists.scores[worse]), better)


def lambda_loss(
    scores: Tensor, labels: Tensor, offsets: Tensor, k: int | None = None, sigma: float = 1.0
) -> Tensor:
    """RankNet's pairs, each weighted by what swapping the two would change in nDCG@k.

    The sum over pairs with y_i > y_j of |dnDCG(i, j)| log2(1 + exp(-sigma (s_i - s_j))), where
    |dnDCG(i, j)| = |G_i - G_j| |1/D_i - 1/D_j|, G = (2^y - 1) / maxDCG@k and
    1/D = 1 / log2(1 + rank), 0 for ranks beyond k. This is LambdaRank's loss in Wang et al. 2018,
    "The LambdaLoss Framework for Ranking Metric Optimization". The ranks are those of the scores
    as they are (equal ones in list order), and get no gradient. Labels below 0 count as 0. For
    the linear gains of `metrics.ndcg` pass log2(1 + labels).

    Raises ValueError for k below 1 or sigma not above 0.
    """
    scores, labels = _checked(scores, labels, offsets)
    if k is not None and k < 1:
        raise ValueError(f"k is {k}; expected at least 1, or None for whole lists")
    _check_positive(sigma, "sigma")
    lists = _lists(scores, labels.clamp(min=0), offsets)
    top = _extreme(lists.labels, lists.rows, len(lists), "amax")
    # (2^y - 1) / 2^top: the factor cancels in the next step, and no label overflows
    gains = -(-_LOG_2 * lists.labels).expm1() * (lists.labels - top[lists.rows]).exp2()
    ideal = lists.sum(gains * _discounts(lists.labels, lists, k))
    gains = gains / ideal[lists.rows]
    discounts = _discounts(lists.scores.detach(), lists, k)
    better, worse = lists.pairs()
    weights = (gains[better] - gains[worse]) * (discounts[better] - discounts[worse]).abs()
    costs = -logsigmoid(sigma * (lists.scores[better] - lists.scores[worse])) / _LOG_2
    return (weights * costs).sum() / max(len(lists), 1)


def infonce(scores: Tensor, labels: Tensor, offsets: Tensor, temperature: float = 1.0) -> Tensor:
    """Each relevant item (label above 0) picked out from among it and all that are not relevant.

    The mean over the relevant of -log(exp(s+/t) / (exp(s+/t) + sum_j exp(s_j/t))), j over the
    items of the list with label 0 or below; van den Oord et al. 2018, "Representation Learning
    with Contrastive Predictive Coding". The relevant do not compete with each other.

    Raises ValueError for a temperature not above 0.
    """
    scores, labels = _checked(scores, labels, offsets)
    _check_positive(temperature, "temperature")
    lists = _lists(scores / temperature, labels > 0, offsets)
    relevant = lists.labels > 0
    others = lists.logsumexp(lists.scores, ~relevant)
    rows = lists.rows[relevant]
    return lists.mean(-logsigmoid(lists.scores[relevant] - others[rows]), relevant)


def margin_mse(scores: Tensor, labels: Tensor, offsets: Tensor, teacher: Tensor) -> Tensor:
    """Distillation: the scores are to be as far apart as the teacher's, wherever they lie.

    The mean over pairs of a relevant (label above 0) and another item of a list of
    ((s+ - s-) - (t+ - t-))^2; Hofstaetter et al. 2020, "Improving Efficient Neural Ranking Models
    with Cross-Architecture Knowledge Distillation". teacher: (nnz,) finite floats, no gradient
    goes to them.
    """
    scores, labels = _checked(scores, labels, offsets)
    _check_values(teacher, "teacher", scores)
    lists = _lists(scores - teacher.detach().to(scores.dtype), labels > 0, offsets)
    better, worse = lists.pairs()
    return lists.mean((lists.scores[better] - lists.scores[worse]).square(), better)


_LOG_2 = 0.6931471805599453


@dataclass(frozen=True, eq=False)
class _Lists:
    """The lists whose labels differ; so none is empty, and each has at least one pair."""

    scores: Tensor
    labels: Tensor
    offsets: Tensor
    rows: Tensor  # the list of each item

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def sum(self, values: Tensor) -> Tensor:
        """(lists,): of values of all items."""
        return values.new_zeros(len(self)).index_add(0, self.rows, values)

    def mean(self, values: Tensor, items: Tensor) -> Tensor:
        """Over the values of a list, one for each of `items`, then over the lists."""
        rows = self.rows[items]
        counts = rows.bincount(minlength=len(self))
        return (values / counts[rows]).sum() / max(len(self), 1)

    def logsumexp(self, values: Tensor, among: Tensor | None = None) -> Tensor:
        """(lists,): of values of all items, or of those `among`."""
        rows = self.rows
        if among is not None:
            values, rows = values[among], rows[among]
        top = _extreme(values.detach(), rows, len(self), "amax")
        total = values.new_zeros(len(self)).index_add(0, rows, (values - top[rows]).exp())
        return total.log() + top

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Positions of all pairs with labels that differ, the better first.

        Only items above the lowest label of their list are paired with it, so a long list with
        few relevant items has few pairs to look through.
        """
        low = _extreme(self.labels, self.rows, len(self), "amin")
        first = (self.labels > low[self.rows]).nonzero()[:, 0]
        second, bounds = ragged_rows(self.offsets, self.rows[first])
        first = first[query_index(bounds)]
        differ = self.labels[first] > self.labels[second]
        return first[differ], second[differ]


def _lists(scores: Tensor, labels: Tensor, offsets: Tensor) -> _Lists:
    labels = labels.to(scores.dtype)
    rows = query_index(offsets)
    low, high = (_extreme(labels, rows, len(offsets) - 1, end) for end in ("amin", "amax"))
    positions, kept = ragged_rows(offsets, (high > low).nonzero()[:, 0])
    return _Lists(scores[positions], labels[positions], kept, query_index(kept))


def _extreme(values: Tensor, rows: Tensor, lists: int, end: str) -> Tensor:
    """(lists,): the least ("amin") or greatest ("amax") of each; of nothing, plus or minus inf."""
    start = values.new_full((lists,), torch.inf if end == "amin" else -torch.inf)
    return start.scatter_reduce(0, rows, values, end)


def _discounts(values: Tensor, lists: _Lists, k: int | None) -> Tensor:
    """1 / log2(1 + rank) of each item when its list is sorted by values, 0 beyond rank k."""
    order, place = ragged_order(values, lists.offsets, descending=True), places(lists.offsets)
    discounts = (place.to(values.dtype) + 2).log2().reciprocal()
    if k is not None:
        discounts = discounts.masked_fill(place >= k, 0)
    return torch.empty_like(discounts).index_copy(0, order, discounts)


def _checked(scores: Tensor, labels: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The scores and labels in the dtype to compute in."""
    if scores.ndim != 1 or not scores.is_floating_point():
        raise ValueError(
            f"scores are {tuple(scores.shape)} of {scores.dtype}; expected (nnz,) floats"
        )
    check_offsets(offsets, len(scores))
    _check_values(scores, "scores", scores)
    _check_values(labels, "labels", scores)
    if scores.dtype != torch.float64:
        scores = scores.float()
    return scores, labels.detach().to(scores.dtype)


def _check_values(values: Tensor, name: str, scores: Tensor) -> None:
    if values.shape != scores.shape:
        raise ValueError(
            f"{name} have shape {tuple(values.shape)}; expected {tuple(scores.shape)} as the scores"
        )
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} hold infinities or NaN; expected finite numbers")


def _check_positive(value: float, name: str) -> None:
    if not value > 0:
        raise ValueError(f"{name} is {value}; expected more than 0")
