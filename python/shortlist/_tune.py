"""Choosing the knobs of an index for a wanted recall.

Half of the queries choose, the other half judge: what is reported of the chosen setting comes from
queries that had no part in choosing it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np

from ._evaluate import (
    Frontier,
    Point,
    matrix,
    recall_shares,
    threads_of,
    timed_batches,
    true_ids,
)
from ._knobs import Knob, knobs, setting

__all__ = ["Tuning", "tune"]

_MOST = 1 << 14  # of a main knob; beyond it an exhaustive search is faster
_CLOSE = 1.05  # neighbouring values whose difference does not pay for another measurement


@dataclass(frozen=True)
class Tuning:
    """What `tune` chose and how sure it is."""

    params: dict[str, float]  # the chosen knobs, now set in the index
    recall: float  # of the judging queries, with `params`
    low: float  # bounds of the recall of all such queries, at `confidence`
    high: float
    confidence: float
    target: float
    reached: bool  # whether any setting reached the target
    qps: float
    k: int
    queries: int  # choosing and judging
    frontier: Frontier

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        chosen = ", ".join(f"{name}={value:g}" for name, value in self.params.items())
        met = "" if self.reached else f" (the target {self.target:g} was not reached)"
        return (
            f"{chosen or 'exhaustive'}: recall@{self.k} {self.recall:.4f} "
            f"[{self.low:.4f}, {self.high:.4f}] at {100 * self.confidence:g}% confidence{met}; "
            f"{self.qps:,.0f} QPS"
        )


def tune(
    index: Any,
    queries: Any,
    k: int = 10,
    recall: float = 0.95,
    *,
    truth: Any = None,
    base: Any = None,
    confidence: float = 0.99,
    sample: int = 4000,
    seed: int = 0,
    progress: Callable[[Point], None] | None = None,
) -> Tuning:
    """Set the index to the fastest setting whose recall@k is at least `recall`, and say so.

    The promise holds for searches of this k whose queries are like these. The setting is kept in
    the index, and in the files it is saved to. Of the queries a random half chooses: the fastest
    setting whose recall, less the error of so few queries, is still enough. The other half judges.

    queries: (n, d), n at least 20, better thousands; `sample` of them are used.
    truth: (n, at least k) true ids; by default every stored vector is compared with each query, so
    for quantised vectors give the originals, base, row i having id i: then base is searched.
    confidence: that the recall of all such queries is within the bounds told.
    progress: called with each point that was measured.

    Warns (RuntimeWarning) when no setting reaches the target; then the best found is set.
    Raises ValueError for numbers out of range, NaN or Inf in the queries, or shapes that do not
    fit together; the knobs are then as before.
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall is {recall}; expected a share above 0, at most 1")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a share between 0 and 1")
    if not index.ntotal:
        raise ValueError(f"the {type(index).__name__} is empty; add the vectors, then tune")
    if k < 1 or k > index.ntotal:
        raise ValueError(f"k is {k}; expected 1 to {index.ntotal}, the vectors in the index")
    rows = matrix(queries, "queries")
    if min(len(rows), sample) < 20:
        raise ValueError(
            f"{min(len(rows), sample)} queries cannot tell a recall; expected at least 20, "
            "better thousands"
        )
    chosen = np.random.default_rng(seed).permutation(len(rows))[:sample]
    _check_finite(rows, chosen)
    half = len(chosen) // 2
    chooser = _Judge(index, rows, chosen[:half], k, truth, base)
    judge = _Judge(index, rows, chosen[half:], k, truth, base)
    points: list[Point] = []

    def measure(params: dict[str, float]) -> tuple[Point, float]:
        """The point, and what its recall is at least."""
        shares, qps = chooser(params)
        points.append(Point(params, float(shares.mean()), qps))
        if progress:
            progress(points[-1])
        one_sided = max(0.0, 2 * confidence - 1)
        return points[-1], recall_bounds(shares, one_sided, k)[0]

    there = knobs(index)
    best, reached = _fastest(there, k, index.ntotal, recall, measure)
    shares, qps = judge(best.params)
    low, high = recall_bounds(shares, confidence, k)
    for knob in there:
        knob.set(best.params[knob.name])
    if not reached:
        remedy = "more links or less quantisation" if there else "less quantisation"
        warnings.warn(
            f"no setting of {type(index).__name__} reached recall {recall:g}; the best found has "
            f"{float(shares.mean()):.4f}. Build the index with {remedy}, "
            "or give more queries to be surer of it",
            RuntimeWarning,
            stacklevel=2,
        )
    frontier = Frontier(tuple(points), k, threads_of(index), type(index).__name__)
    return Tuning(
        params=best.params,
        recall=float(shares.mean()),
        low=low,
        high=high,
        confidence=confidence,
        target=recall,
        reached=reached,
        qps=qps,
        k=k,
        queries=len(chosen),
        frontier=frontier,
    )


def _check_finite(queries: np.ndarray, chosen: np.ndarray) -> None:
    """Such queries find nothing, and would pass for a low recall."""
    if queries.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(queries[chosen].astype(np.float32)).all(1)
    if not finite.all():
        row = chosen[~finite].min()
        raise ValueError(f"row {row} of queries has NaN or Inf; drop or clean such rows first")


class _Judge:
    """Some of the queries with their truth: what recall and QPS does a setting give?"""

    def __init__(
        self, index: Any, queries: np.ndarray, rows: np.ndarray, k: int, truth: Any, base: Any
    ) -> None:
        self.index, self.k, self.base = index, k, base
        self.queries = np.ascontiguousarray(queries[rows])
        self.metric = int(getattr(index, "metric_type", 1))
        self.distances = None
        if truth is not None:
            ids = true_ids(truth, k)
            if len(ids) != len(queries):
                raise ValueError(
                    f"truth has {len(ids)} rows; expected {len(queries)}, one per query"
                )
            self.truth = ids[rows]
        elif base is not None:
            from . import knn

            self.truth = knn(self.queries, np.asarray(base), k, metric=self.metric)[1]
        else:
            self.distances, self.truth = index.search_exact(self.queries, k)
            self.true_count = (self.truth >= 0).sum(1)
            if not self.true_count.any():
                raise ValueError("no query has a neighbour in the index; are its vectors all NaN?")

    def __call__(self, params: dict[str, float]) -> tuple[np.ndarray, float]:
        """Each query's share of true neighbours found, and queries per second."""
        with setting(self.index, params):
            (D, I), seconds = timed_batches(self.index, self.queries, self.k, None, 1)
        if self.distances is None:
            shares, _ = recall_shares(I, self.truth, self.k, self.base, self.queries, self.metric)
        else:  # both compared the same codes, so ties can be seen in the distances found
            far = -1 if self.metric == 0 else 1
            kth = far * self.distances[:, -1:]
            counted = self.true_count > 0
            hits = ((far * D <= kth) & (I >= 0)).sum(1)
            shares = hits[counted] / self.true_count[counted]
        return shares, len(self.queries) / seconds


def _fastest(
    there: list[Knob],
    k: int,
    most: int,
    recall: float,
    measure: Callable[[dict[str, float]], tuple[Point, float]],
) -> tuple[Point, bool]:
    """The fastest point that surely has the recall; or the one nearest to it, and False.

    For each setting of the other knobs the main one is doubled until it is enough, then the least
    that is enough is closed in on. Where there is nothing to choose, nothing can be chosen by
    luck, and the recall measured is enough.
    """
    if not there:
        point, _ = measure({})
        return point, point.recall >= recall
    main = next((knob for knob in there if knob.main), None)
    others = [knob for knob in there if not knob.main]
    enough: list[Point] = []
    short: list[tuple[float, Point]] = []

    def least(rest: dict[str, float]) -> Point | None:
        def sufficing(value: int) -> Point | None:
            point, at_least = measure({main.name: value, **rest} if main else rest)
            if at_least >= recall:
                return point
            short.append((at_least, point))
            return None

        low, high = 0, max(k, 8)
        limit = max(high, min(most, _MOST)) if main else high
        while (best := sufficing(high)) is None and high < limit:
            low, high = high, min(2 * high, limit)
        while best and low and high > max(low * _CLOSE, low + 1):
            middle = min(max(round((low * high) ** 0.5), low + 1), high - 1)
            if point := sufficing(middle):
                best, high = point, middle
            else:
                low = middle
        return best

    for values in product(*(knob.values for knob in others)):
        rest = {knob.name: value for knob, value in zip(others, values, strict=True)}
        if best := least(rest):
            enough.append(best)
    if enough:
        return max(enough, key=lambda point: point.qps), True
    return max(short, key=lambda pair: pair[0])[1], False


def recall_bounds(shares: np.ndarray, confidence: float, k: int) -> tuple[float, float]:
    """Bounds of the mean share of all queries, told from those of some; each is a share of k.

    Wilson's interval (1927) for as many independent trials as would vary like these shares do
    (Korn and Graubard, 1998); unlike the normal one it does not vanish when all shares are 1.
    Where none varies, each of the k counts as a trial: as it would, had one of them been missed.
    """
    n, mean = len(shares), float(shares.mean())
    variance = float(shares.var(ddof=1)) / n if n > 1 else 0.0
    trials = min(mean * (1 - mean) / variance, 1e12) if variance > 0 else n * k
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (mean + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials) * (mean * (1 - mean) / trials + (z / (2 * trials)) ** 2) ** 0.5
    # The mean lies between; rounding must not say otherwise.
    return max(0.0, min(mean, centre - reach)), min(1.0, max(mean, centre + reach))
