"""How much is found for how many postings: a table, by queries whose true neighbours are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._core import _disk
from ..datasets import Vectors
from ._assign import Array
from ._index import opened
from ._work import Progress, Work, stored

_QUERIES = 256
_DEPTHS = (1, 10, 100)
_PROBES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_EPSILONS = (0.2, 0.3, 0.5, None)
# Where postings hold codes there is one thing more to choose, and less is tried of the others.
_CODED_QUERIES = 128
_CODED_DEPTHS = (10, 100)
_CODED_PROBES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
_CODED_EPSILONS = (0.3, None)
_FACTORS = (2.0, 5.0, 10.0, 20.0, 40.0)
_GAIN = 0.002  # recall that a larger factor must gain for the next to be tried
_TOGETHER = 8  # queries of a search
_ROUNDING = 1e-5  # of distances, which two kernels may tell
_ENOUGH = 0.998  # recall beyond which more probes are not tried
_READ_COSTS = 10 << 10  # bytes that could be read in the time of one more request


def calibrate(
    work: Work,
    manifest: dict[str, Any],
    vectors: Vectors,
    ids: Array | None,
    queries: Any,
    say: Progress,
) -> list[dict[str, Any]]:
    """Rows of nprobe, epsilon, k_factor and what they found (recall by k) and read (a query).

    Queries that are vectors of the index count without themselves.
    """
    plan = work.plan
    rng = np.random.default_rng(plan.seed + 1)
    most_queries = _CODED_QUERIES if plan.coded else _QUERIES
    if queries is None:
        rows = np.sort(rng.choice(len(vectors), min(most_queries, len(vectors)), replace=False))
        asked = np.concatenate([vectors.read(int(r), int(r) + 1) for r in rows])
        own = rows if ids is None else ids[rows]
    else:
        some = np.sort(rng.choice(len(queries), min(most_queries, len(queries)), replace=False))
        asked, own = np.asarray(queries)[some], None
    if plan.metric == "cosine":
        asked = stored(asked, plan)
    at_most = len(vectors) - (own is not None)
    depths = [k for k in (_CODED_DEPTHS if plan.coded else _DEPTHS) if k <= at_most]
    if not depths:
        return []
    most = depths[-1]
    limits = _limits(plan, vectors, asked, own, ids, most, say)
    index = opened(work.out, manifest)
    out = []
    probes, epsilons = (_CODED_PROBES, _CODED_EPSILONS) if plan.coded else (_PROBES, _EPSILONS)
    tried = [p for p in probes if p < plan.postings] + [min(plan.postings, 2 * probes[-1])]
    for number, nprobe in enumerate(tried):
        best = 0.0
        for epsilon in epsilons if nprobe > 4 else (None,):
            before = -1.0
            for factor in _FACTORS if plan.coded else (1.0,):
                _disk.release_freed()
                row = _row(index, asked, own, limits, depths, nprobe, epsilon, factor)
                out.append(row)
                found = min(row["recall"].values())
                best = max(best, found)
                if found < before + _GAIN:
                    break
                before = found
        say("calibrate", number + 1, len(tried))
        if best >= _ENOUGH:
            break
    say("calibrate", len(tried), len(tried))
    return _frontier(out)


def _limits(
    plan: Any,
    vectors: Vectors,
    asked: Array,
    own: Array | None,
    ids: Array | None,
    most: int,
    say: Progress,
) -> Array:
    """Of each query how far its 1st to most-th true neighbours are."""
    width = most + (own is not None)
    best = np.empty((len(asked), 0), np.float32)
    known = np.empty((len(asked), 0), np.int64)
    sign = 1 if plan.number == _core.METRIC_L2 else -1
    rows = max(1024, (1 << 20) // plan.row_bytes)
    for start in range(0, len(vectors), rows):
        some = stored(vectors.read(start, min(start + rows, len(vectors))), plan)
        flat = _core.IndexFlat(plan.d, plan.number, dtype=plan.dtype)
        flat.add(some)
        near, labels = flat.search(asked, min(width, len(some)))
        labels = labels + start if ids is None else ids[labels + start]
        best, known = np.concatenate([best, sign * near], 1), np.concatenate([known, labels], 1)
        order = np.argsort(best, 1, kind="stable")[:, :width]
        best, known = np.take_along_axis(best, order, 1), np.take_along_axis(known, order, 1)
        say("truth", min(start + rows, len(vectors)), len(vectors))
    return _without(best, known, own)[:, :most]


def _without(near: Array, labels: Array, own: Array | None) -> Array:
    """Distances of all but the query's own vector, the others moved up."""
    if own is None:
        return near
    near = np.where(labels == own[:, None], np.inf, near)
    return np.sort(near, 1)


def _row(
    index: Any,
    asked: Array,
    own: Array | None,
    limits: Array,
    depths: list[int],
    nprobe: int,
    epsilon: float | None,
    factor: float,
) -> dict[str, Any]:
    params = _core.SearchParametersSPANN(
        nprobe=nprobe, epsilon=np.inf if epsilon is None else epsilon, k_factor=factor
    )
    sign = 1 if index.metric_type == _core.METRIC_L2 else -1
    before = index.stats
    recall = {}
    # What is compared again depends on k, but the nearest of whole vectors do not.
    searches = 0
    for k in depths:
        if not searches or index.reranks:
            width = (k if index.reranks else depths[-1]) + (own is not None)
            near, labels = _ask(index, asked, width, params)
            near = _without(np.where(labels < 0, np.inf, sign * near), labels, own)
            searches += 1
        farthest = limits[:, k - 1 : k]
        enough = near[:, :k] <= farthest + _ROUNDING * np.abs(farthest)
        recall[str(k)] = round(float(enough.mean()), 5)
    after = index.stats
    asked_for = len(asked) * searches
    reads = (
        after["probes"] - before["probes"] + after["compared"] - before["compared"]
    ) / asked_for
    bytes_ = (after["probe_bytes"] - before["probe_bytes"]) / asked_for
    probes = (after["probes"] - before["probes"]) / asked_for
    cost = bytes_ + reads * _READ_COSTS
    return {
        "nprobe": nprobe,
        "epsilon": epsilon,
        "k_factor": factor,
        "recall": recall,
        "probes": round(probes, 2),
        "bytes": round(bytes_),
        "cost": round(cost),
    }


def _ask(index: Any, asked: Array, k: int, params: Any) -> tuple[Array, Array]:
    """A search of a few queries at a time: candidates of all would not fit a small memory."""
    parts = [
        _disk.IndexSPANN.search(index, asked[at : at + _TOGETHER], k, params=params)
        for at in range(0, len(asked), _TOGETHER)
    ]
    near, labels = (np.concatenate(some) for some in zip(*parts, strict=True))
    return near, labels


def _frontier(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that no cheaper one equals in all recalls."""
    out: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda r: (r["cost"], r["nprobe"])):
        if not any(
            all(kept["recall"][k] >= row["recall"][k] for k in row["recall"]) for kept in out
        ):
            out.append(row)
    return out
