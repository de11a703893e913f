"""QPS at a given recall, and the ratio of ours to each peer, round by round."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from bench.frontier.runner import MODES, Curve

TARGETS = (0.90, 0.95, 0.99)
FASTEST_PEER = "fastest peer"


@dataclass(frozen=True)
class AtRecall:
    """What a contender does at a target recall. `sign` is "≥" where even its smallest ef is
    beyond the target, so that it could be faster still; "" where the QPS is interpolated."""

    name: str
    mode: str
    target: float
    sign: str
    qps: list[float]  # per round; empty: the target was not reached


@dataclass(frozen=True)
class Ratio:
    """QPS of ours over a peer's: median, min and max over rounds. `sign` is "≥" or "≤" where one
    side is only bounded, "≈" where both are."""

    ours: str
    peer: str
    mode: str
    target: float
    sign: str
    median: float
    min: float
    max: float


@dataclass(frozen=True)
class Summary:
    at_recall: list[AtRecall]
    ratios: list[Ratio]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def interpolate(recalls: list[float], qps: list[float], target: float) -> float | None:
    """QPS at `target`: log QPS is taken as linear in recall between neighbouring points.

    Points come by rising ef. Below the first point, that point's QPS; None above the last.
    """
    if recalls[0] >= target:
        return qps[0]
    for (r0, q0), (r1, q1) in pairwise(zip(recalls, qps, strict=True)):
        if r0 < target <= r1:
            share = (target - r0) / (r1 - r0)
            return math.exp((1 - share) * math.log(q0) + share * math.log(q1))
    return None


def at_recall(curve: Curve, mode: str, target: float) -> AtRecall:
    points = [point for point in curve.points if point.mode == mode]
    recalls = [point.recall for point in points]
    rounds = zip(*(point.qps for point in points), strict=True)
    found = [interpolate(recalls, list(qps), target) for qps in rounds]
    reached = [qps for qps in found if qps is not None]
    return AtRecall(curve.name, mode, target, "≥" if recalls[0] > target else "", reached)


def summarise(curves: list[Curve]) -> Summary:
    names = [curve.name for curve in curves]
    mine = [curve.name for curve in curves if curve.library.startswith("ours")]
    lines: list[AtRecall] = []
    ratios: list[Ratio] = []
    for mode in MODES:
        for target in TARGETS:
            here = {curve.name: at_recall(curve, mode, target) for curve in curves}
            lines += here.values()
            reached = [here[name] for name in names if name not in mine and here[name].qps]
            peers = [*reached, *_fastest(reached)]
            for ours in (here[name] for name in mine if here[name].qps):
                ratios += [ratio(ours, peer) for peer in peers]
    return Summary(lines, ratios)


def _fastest(peers: list[AtRecall]) -> list[AtRecall]:
    """In each round the fastest peer of that round; nothing where there is no choice."""
    if len(peers) < 2:
        return []
    best = [max(qps) for qps in zip(*(peer.qps for peer in peers), strict=True)]
    sign = "≥" if any(peer.sign for peer in peers) else ""
    return [AtRecall(FASTEST_PEER, peers[0].mode, peers[0].target, sign, best)]


def ratio(ours: AtRecall, peer: AtRecall) -> Ratio:
    sign = {("", ""): "", ("≥", ""): "≥", ("", "≥"): "≤", ("≥", "≥"): "≈"}[ours.sign, peer.sign]
    rounds = [a / b for a, b in zip(ours.qps, peer.qps, strict=True)]
    return Ratio(
        ours.name,
        peer.name,
        ours.mode,
        ours.target,
        sign,
        median(rounds),
        min(rounds),
        max(rounds),
    )
