"""What trained codes are to be good at: telling pairs from the rest, or ordering as floats do."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize

__all__ = ["contrast", "distill"]


def contrast(
    x: Tensor,
    y: Tensor,
    same: Tensor,
    temperature: float,
    hard_negatives: int = 0,
    more: Tensor | None = None,
    same_more: Tensor | None = None,
) -> Tensor:
    """Symmetric InfoNCE of pairs (x_i, y_i) by the cosine of their codes.

    x, y: (n, m). same: (n, n) bool, where x_i and y_j are no negatives (the diagonal is ignored).
    hard_negatives: each positive competes with only so many of its nearest negatives; 0 for all.
    more: (k, m) further negatives of x, such as a queue, without gradient; same_more: (n, k).
    """
    x, y = normalize(x, dim=1), normalize(y, dim=1)
    pairs = x @ y.T / temperature
    positive = pairs.diagonal()
    off = same | torch.eye(len(x), dtype=torch.bool, device=x.device)
    negatives = pairs.masked_fill(off, -torch.inf)
    of_y = negatives.T
    if more is not None:
        further = x @ normalize(more, dim=1).T / temperature
        if same_more is not None:
            further = further.masked_fill(same_more, -torch.inf)
        negatives = torch.cat([negatives, further], 1)
    return (
        _picked(positive, negatives, hard_negatives) + _picked(positive, of_y, hard_negatives)
    ) / 2


def distill(x: Tensor, y: Tensor, exact: Tensor, temperature: float) -> Tensor:
    """KL divergence of softmax(cosine of codes) from softmax(exact scores), over y for each x.

    x: (n, m), y: (k, m), exact: (n, k).
    """
    scores = normalize(x, dim=1) @ normalize(y, dim=1).T
    return kl_div(
        log_softmax(scores / temperature, 1),
        log_softmax(exact / temperature, 1),
        log_target=True,
        reduction="batchmean",
    )


def _picked(positive: Tensor, negatives: Tensor, hard: int) -> Tensor:
    """Cross entropy of the positive among it and the negatives, -inf for those that are none."""
    if 0 < hard < negatives.shape[1]:
        negatives = negatives.topk(hard, dim=1).values
    logits = torch.cat([positive[:, None], negatives], 1)
    return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))
