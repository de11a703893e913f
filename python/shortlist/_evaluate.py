"""Recall, throughput and latency of an index, and how they trade.

`evaluate` measures one setting; `sweep` measures several values of the index's knob, efSearch say,
and gives the Frontier. Any index with faiss's `search(x, k) -> (D, I)` can be measured.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._knobs import knobs, setting

__all__ = ["Evaluation", "Frontier", "Point", "evaluate", "recall_at_k", "sweep"]

_MAX_SINGLES = 1000
_MIN_SECONDS = 0.1  # short calls are timed more often than asked
_GATHER_BYTES = 64 << 20


@dataclass(frozen=True)
class Evaluation:
    """One measurement: quality, throughput (queries per second), latency (milliseconds)."""

    recall: float
    qps: float  # all queries in one call, median of the repeats
    qps_single: float  # one query per call, one call at a time
    p50_ms: float  # of the single calls
    p99_ms: float
    n: int  # queries
    k: int
    threads: int  # of the batch calls
    ties: str  # how a returned id was judged: "distances" (exact, ties count) or "ids"

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        judged = "ties count" if self.ties == "distances" else "by id"
        return (
            f"recall@{self.k} {self.recall:.4f} ({judged}); "
            f"{self.qps:,.0f} QPS in a batch, {self.qps_single:,.0f} one by one; "
            f"latency p50 {self.p50_ms:.3f} ms, p99 {self.p99_ms:.3f} ms; "
            f"{self.n} queries, {self.threads} threads"
        )


@dataclass(frozen=True)
class Point:
    """One setting of the knobs, by name, and what it gave."""

    params: dict[str, float]
    recall: float
    qps: float


@dataclass(frozen=True)
class Frontier:
    """Recall against QPS, one point per setting of the index's knobs."""

    points: tuple[Point, ...]
    k: int
    threads: int
    label: str = ""

    def pareto(self) -> tuple[Point, ...]:
        """The points no other beats in both recall and QPS, by rising recall."""
        best: list[Point] = []
        for point in sorted(self.points, key=lambda p: (-p.recall, -p.qps)):
            if not best or point.qps > best[-1].qps:
                best.append(point)
        return tuple(reversed(best))

    def qps_at(self, recall: float) -> float | None:
        """QPS at a recall, log-linear between neighbours; None where no point reaches it."""
        points = self.pareto()
        for left, right in zip((None, *points), points, strict=False):
            if right.recall >= recall:
                if left is None:
                    return right.qps
                share = (recall - left.recall) / (right.recall - left.recall)
                return math.exp((1 - share) * math.log(left.qps) + share * math.log(right.qps))
        return None

    def at(self, recall: float) -> Point | None:
        """The fastest point that reached a recall; None where none did."""
        reached = [point for point in self.points if point.recall >= recall]
        return max(reached, key=lambda point: point.qps, default=None)

    def plot(self, path: str | os.PathLike[str], *, title: str = "") -> Path:
        """Draw it, see `shortlist.plot`. Returns the path."""
        from ._plot import plot

        return plot(self, path, title=title)

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Frontier:
        """What `to_dict` gave. Raises ValueError where a field is missing or cannot be."""
        try:
            points = tuple(
                Point(
                    {str(name): float(value) for name, value in point["params"].items()},
                    float(point["recall"]),
                    float(point["qps"]),
                )
                for point in values["points"]
            )
            for point in points:
                if not (0 <= point.recall <= 1 and 0 < point.qps < math.inf):
                    raise ValueError(f"{point}; expected a recall of 0 to 1 and QPS above 0")
            k, threads = int(values["k"]), int(values["threads"])
            return cls(points, k, threads, str(values.get("label", "")))
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"not a frontier: {error!r}") from None


def evaluate(
    index: Any,
    queries: Any,
    truth: Any,
    k: int = 10,
    *,
    params: Any = None,
    base: Any = None,
    distances: Any = None,
    repeats: int = 3,
) -> Evaluation:
    """Search all queries together, then one by one, and compare with the true neighbours.

    queries: (n, d). truth: (n, at least k) ids, nearest first, -1 where there are fewer.
    params: passed to `search`. repeats: batch calls that are timed, after one that is not.
    base: the indexed vectors, row i having id i; or distances: those of `truth`. Either makes
    recall tie-aware: an id counts when its exact distance is at most the k-th true one. Without
    them an id counts when it is among the k true ids.
    Raises ValueError for shapes that do not fit together.
    """
    queries = matrix(queries, "queries")
    truth = true_ids(truth, k)
    if len(truth) != len(queries):
        raise ValueError(f"truth has {len(truth)} rows; expected {len(queries)}, one per query")
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; expected at least 1")
    (_, found), seconds = timed_batches(index, queries, k, params, repeats)
    metric = getattr(index, "metric_type", 1)
    recall, ties = _recall(found, truth, k, base, queries, distances, int(metric))
    singles = _timed_singles(index, queries[:_MAX_SINGLES], k, params)
    return Evaluation(
        recall=recall,
        qps=len(queries) / seconds,
        qps_single=1 / float(np.mean(singles)),
        p50_ms=float(np.percentile(singles, 50)) * 1e3,
        p99_ms=float(np.percentile(singles, 99)) * 1e3,
        n=len(queries),
        k=k,
        threads=threads_of(index),
        ties=ties,
    )


def recall_at_k(
    ids: Any,
    truth: Any,
    k: int = 10,
    *,
    base: Any = None,
    queries: Any = None,
    distances: Any = None,
    metric: int = 1,
) -> float:
    """Share of the k true neighbours that are among the first k of ids, averaged over queries.

    ids: (n, at least k) returned ids, -1 for none; an id returned twice counts once.
    truth, base, distances: as in `evaluate`; base also needs the queries, and the metric:
    1 (L2, default) or 0 (inner product). Raises ValueError for shapes that do not fit together.
    """
    ids = matrix(ids, "ids")
    truth = true_ids(truth, k)
    if len(ids) != len(truth):
        raise ValueError(f"ids has {len(ids)} rows and truth {len(truth)}; expected as many")
    if ids.shape[1] < k:
        raise ValueError(f"ids has {ids.shape[1]} columns; expected at least k = {k}")
    if base is not None and queries is None:
        raise ValueError("base was given without queries; exact distances need both")
    return _recall(ids, truth, k, base, queries, distances, metric)[0]


def sweep(
    index: Any,
    queries: Any,
    truth: Any,
    k: int = 10,
    values: Sequence[float] | None = None,
    *,
    base: Any = None,
    distances: Any = None,
    repeats: int = 3,
    label: str = "",
) -> Frontier:
    """Measure recall and batch QPS at each value of the main knob; the index keeps what it had.

    values: of the knob (efSearch in a graph), each at least 1; by default usual ones. The rest as
    in `evaluate`. Raises ValueError for an index without a knob, such as an exhaustive one.
    """
    there = knobs(index)
    if not there or not there[0].main:
        raise ValueError(f"{type(index).__name__} searches exhaustively; it has no knob to sweep")
    knob = there[0]
    numbers = np.asarray(knob.values if values is None else values).tolist()
    if not numbers or not all(number >= 1 for number in numbers):
        raise ValueError(f"values is {numbers}; expected {knob.name} of at least 1")
    queries = matrix(queries, "queries")
    truth = true_ids(truth, k)
    if len(truth) != len(queries):
        raise ValueError(f"truth has {len(truth)} rows; expected {len(queries)}, one per query")
    metric = int(getattr(index, "metric_type", 1))
    points = []
    for value in numbers:
        with setting(index, {knob.name: value}):
            (_, found), seconds = timed_batches(index, queries, k, None, repeats)
        recall, _ = _recall(found, truth, k, base, queries, distances, metric)
        points.append(Point({knob.name: value}, recall, len(queries) / seconds))
    return Frontier(tuple(points), k, threads_of(index), label or type(index).__name__)


def timed_batches(
    index: Any, queries: np.ndarray, k: int, params: Any, repeats: int
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """What a search of all queries finds, D and I, and the median seconds it takes."""
    D, I = _search(index, queries, k, params)
    seconds: list[float] = []
    while len(seconds) < repeats or (sum(seconds) < _MIN_SECONDS and len(seconds) < 100):
        start = time.perf_counter()
        _search(index, queries, k, params)
        seconds.append(time.perf_counter() - start)
    return (np.asarray(D), np.asarray(I)), max(float(np.median(seconds)), 1e-9)


def _timed_singles(index: Any, queries: np.ndarray, k: int, params: Any) -> np.ndarray:
    seconds = np.empty(len(queries))
    for i in range(len(queries)):
        query = queries[i : i + 1]
        start = time.perf_counter()
        _search(index, query, k, params)
        seconds[i] = time.perf_counter() - start
    return np.maximum(seconds, 1e-9)


def _search(index: Any, queries: np.ndarray, k: int, params: Any) -> Any:
    return index.search(queries, k) if params is None else index.search(queries, k, params=params)


def _recall(
    found: np.ndarray,
    truth: np.ndarray,
    k: int,
    base: Any,
    queries: Any,
    distances: Any,
    metric: int,
) -> tuple[float, str]:
    shares, ties = recall_shares(found, truth, k, base, queries, metric, distances)
    return float(shares.mean()), ties


def recall_shares(
    found: np.ndarray,
    truth: np.ndarray,
    k: int,
    base: Any,
    queries: Any,
    metric: int,
    distances: Any = None,
) -> tuple[np.ndarray, str]:
    """The share of its true neighbours found, for each query that has any, and how it was told."""
    found = _without_repeats(found[:, :k])
    if base is not None:
        hits = _within_kth_distance(found, truth[:, :k], base, np.asarray(queries), metric)
    elif distances is not None:
        hits = _among_tied(found, truth, k, distances, metric)
    else:
        hits = _member(found, truth[:, :k])
    true_count = (truth[:, :k] >= 0).sum(1)
    counted = true_count > 0  # a query without any neighbour says nothing
    if not counted.any():
        raise ValueError("truth has no neighbour of any query; all its ids are -1")
    shares: np.ndarray = np.minimum(hits, true_count)[counted] / true_count[counted]
    return shares, "ids" if base is None and distances is None else "distances"


def _member(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    hits: np.ndarray = np.zeros(len(found), np.int64)
    for column in found.T:  # k passes over an (n, k) array, instead of one over (n, k, k)
        hits += (column >= 0) & (truth == column[:, None]).any(1)
    return hits


def _among_tied(
    found: np.ndarray, truth: np.ndarray, k: int, distances: Any, metric: int
) -> np.ndarray:
    """Ties can be seen as far as the truth goes beyond k."""
    distances = matrix(distances, "distances")
    if distances.shape != truth.shape:
        raise ValueError(
            f"distances have shape {distances.shape}; expected {truth.shape} as the truth"
        )
    far = -distances if metric == 0 else distances
    kth = np.where(truth[:, :k] >= 0, far[:, :k], -np.inf).max(1)
    return _member(found, np.where(far <= kth[:, None], truth, -1))


def _within_kth_distance(
    found: np.ndarray, truth: np.ndarray, base: Any, queries: np.ndarray, metric: int
) -> np.ndarray:
    top = int(max(found.max(initial=-1), truth.max(initial=-1)))
    if top >= len(base):
        raise ValueError(
            f"id {top} is not a row of base ({len(base)} rows); "
            "leave base out for an index with ids of its own"
        )
    base = np.asarray(base)
    if base.ndim != 2 or base.shape[1] != queries.shape[1]:
        raise ValueError(
            f"base has shape {base.shape}; expected {queries.shape[1]} columns as the queries"
        )
    hits: np.ndarray = np.empty(len(found), np.int64)
    step = max(1, _GATHER_BYTES // (8 * base.shape[1] * found.shape[1]))
    for start in range(0, len(found), step):
        part = slice(start, start + step)
        ours = _exact(base, queries[part], found[part], metric)
        theirs = _exact(base, queries[part], truth[part], metric)
        kth = np.where(truth[part] >= 0, theirs, -np.inf).max(1)
        hits[part] = ((found[part] >= 0) & (ours <= kth[:, None])).sum(1)
    return hits


def _exact(base: np.ndarray, queries: np.ndarray, ids: np.ndarray, metric: int) -> np.ndarray:
    """Distances in float64, smaller is nearer; those of id -1 mean nothing."""
    rows: np.ndarray = base[np.maximum(ids, 0)].astype(np.float64)
    wide = queries.astype(np.float64)[:, None, :]
    far: np.ndarray = ((rows - wide) ** 2).sum(2) if metric == 1 else -(rows * wide).sum(2)
    return far


def _without_repeats(found: np.ndarray) -> np.ndarray:
    order = np.argsort(found, axis=1, kind="stable")
    ordered: np.ndarray = np.take_along_axis(found, order, 1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = -1
    return ordered


def true_ids(truth: Any, k: int) -> np.ndarray:
    """`truth` as int64 ids. Raises ValueError for other types, or fewer columns than k."""
    truth = matrix(truth, "truth")
    if k < 1:
        raise ValueError(f"k is {k}; expected at least 1")
    if truth.shape[1] < k:
        raise ValueError(f"truth has {truth.shape[1]} columns; expected at least k = {k}")
    if truth.dtype.kind not in "iu":
        raise ValueError(f"truth holds {truth.dtype}; expected integer ids")
    ids: np.ndarray = truth.astype(np.int64)
    return ids


def matrix(x: Any, name: str) -> np.ndarray:
    """`x` as an array of two dimensions. Raises ValueError for others, or without rows."""
    rows: np.ndarray = np.asarray(x)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"{name} has shape {rows.shape}; expected 2 dimensions and at least a row")
    return rows


def threads_of(index: Any) -> int:
    """How many threads the index's package searches with."""
    package = sys.modules.get(type(index).__module__.partition(".")[0])
    count = getattr(package, "omp_get_max_threads", None)
    return int(count()) if count else 1
