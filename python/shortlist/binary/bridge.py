"""How queries of a new model read the codes of an old one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from .descent import solve

if TYPE_CHECKING:
    from .data import Data

_STEPS, _QUERIES, _RATE, _TEMPERATURE = 300, 64, 0.02, 0.05
_GAUGED, _RANKED = 1000, 10  # queries, and how many of the nearest of each, that tell the gain


def learn_reading(data: Data, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(A, b, gain): queries read old codes as A (q - query_mean) + b, (m, dim) and (m,).

    First the least squares decoder of old codes to new vectors, and the b that stands for the
    difference between the old addends and the new; then both are taught to order old codes as
    the new embeddings order their vectors, by the divergence of softmax(scores) over the true
    neighbours of training queries. Old codes and what is stored with them stay as they are.
    Last the gain (g, h), by which g s + h is what the exact scores are of those whose score s is
    among the best for a query: less certain scores are less extreme.
    """
    assert data.old is not None
    assert data.old_rows is not None
    assert data.old_codes is not None
    old, device = data.old, data.sample.device
    with torch.no_grad():
        f = data.sample - data.mean
        inputs = data.old_codes * data.old_scale[:, None]
        reading = solve(inputs, f)
        missing = f @ data.query_mean - data.old_addend
        shift = solve(inputs, missing[:, None])[:, 0]
        found = data.nearest
        if found is None or len(found) == 0:
            return reading, shift, torch.tensor([1.0, 0.0])
        named, places = torch.unique(found[:, 1:], return_inverse=True)
        vectors = data.old_rows[named.to(data.old_rows.device)].to(old.mean)
        integers = old.integers(vectors, int(old.sweeps))
        scale, addend = (part.to(device) for part in old.factors(vectors, integers))
        codes = integers.to(device) * scale[:, None]
    known = data.right[named.to(data.right.device)].to(device, torch.float32)
    asked = data.left[found[:, 0].to(data.left.device)].to(device, torch.float32)
    unit = float(known.square().sum(1).mean())
    reading, shift = reading.requires_grad_(), shift.requires_grad_()
    sharpness = torch.zeros((), device=device, requires_grad=True)
    typical = float(reading.detach().abs().mean())
    optimiser = torch.optim.Adam([{"params": [reading, shift]}, {"params": [sharpness]}])
    generator = torch.Generator().manual_seed(seed)
    for step in range(_STEPS):
        for group, rate in zip(optimiser.param_groups, (_RATE * typical, _RATE), strict=True):
            group["lr"] = rate * (1 - step / _STEPS)
        some = torch.randint(len(found), (min(_QUERIES, len(found)),), generator=generator)
        among = torch.unique(places[some]).to(device)
        q = asked[some.to(device)]
        exact = q @ known[among].T
        if data.metric == "l2":
            exact = exact - known[among].square().sum(1) / 2
        scores = ((q - data.query_mean) @ reading.T + shift) @ codes[among].T + addend[among]
        loss = kl_div(
            log_softmax(scores * sharpness.exp() / (unit * _TEMPERATURE), 1),
            log_softmax(exact / (unit * _TEMPERATURE), 1),
            log_target=True,
            reduction="batchmean",
        )
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    reading, shift = reading.detach(), shift.detach()
    with torch.no_grad():
        q = asked[torch.randperm(len(asked), generator=generator)[:_GAUGED].to(device)]
        scores = ((q - data.query_mean) @ reading.T + shift) @ codes.T + addend
        best, at = scores.topk(min(_RANKED, len(codes)), dim=1)
        exact = torch.einsum("qd,qkd->qk", q, known[at])
        s = (best + (q @ data.mean)[:, None]).double().flatten()
        e = exact.double().flatten()
        spread = s - s.mean()
        slope = (spread * e).sum() / spread.square().sum().clamp(min=1e-30)
        if not slope > 0:  # nothing to tell it by
            slope = torch.ones_like(slope)
        gain = torch.stack([slope, e.mean() - slope * s.mean()]).float()
    return reading, shift, gain
