"""Recall while vectors are replaced round by round, beside an index built anew at the end."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import shortlist

from bench.frontier.dataset import Dataset
from bench.living.truth import Truth

Change = Callable[[shortlist.IndexHNSW, np.ndarray, np.ndarray], None]


def _update(index: shortlist.IndexHNSW, ids: np.ndarray, x: np.ndarray) -> None:
    index.update_vectors(ids, x)


def _remove_and_add(index: shortlist.IndexHNSW, ids: np.ndarray, x: np.ndarray) -> None:
    index.remove_ids(ids)
    index.add_with_ids(x, ids)


CHANGES: dict[str, Change] = {"update": _update, "remove and add": _remove_and_add}


def run(
    data: Dataset,
    make: Callable[[], shortlist.IndexHNSW],
    efs: tuple[int, ...],
    rounds: int,
    share: float,
) -> str:
    """A table for each way to replace vectors and each order in which they go.

    Two thirds of the base are indexed; what comes is taken from the rest. Vectors go at `random`,
    or `nearest`: each round those around one of them, so that regions empty out.
    """
    n = len(data.base) * 2 // 3
    each = int(n * share)
    if n + rounds * each > len(data.base):
        raise ValueError(f"{rounds} rounds of {share:.0%} need more than {len(data.base)} vectors")
    parts = []
    for order in ("random", "nearest"):
        for name, change in CHANGES.items():
            rows = [f"{data.name}, {n:,} vectors, {name}, {order} ones go: recall@{data.k}"]
            rows.append("| |" + "".join(f" efSearch {ef} |" for ef in efs) + " seconds |")
            rows.append("|---|" + "---:|" * (len(efs) + 1))
            rng = np.random.default_rng(0)
            x = np.array(data.base[:n])
            index = make()
            seconds = _timed(lambda: index.add(x))  # noqa: B023
            rows.append(_row("before", index, data, x, efs, seconds))
            left = np.arange(n)  # those of the first vectors that are still there
            for turn in range(rounds):
                ids = _chosen(order, rng, x, left, each)
                left = np.setdiff1d(left, ids)
                x[ids] = data.base[n + turn * each : n + (turn + 1) * each]
                seconds = _timed(lambda: change(index, ids, x[ids]))  # noqa: B023
                rows.append(_row(f"round {turn + 1}", index, data, x, efs, seconds))
            fresh = make()
            seconds = _timed(lambda: fresh.add(x))  # noqa: B023
            rows.append(_row("built anew", fresh, data, x, efs, seconds))
            parts.append("\n".join(rows))
            print(parts[-1], "\n", flush=True)
    return "\n\n".join(parts)


def _chosen(
    order: str, rng: np.random.Generator, x: np.ndarray, left: np.ndarray, each: int
) -> np.ndarray:
    if order == "random":
        return rng.choice(left, each, replace=False)
    around = x[left].astype(np.float32)
    distance = ((around - around[rng.integers(len(left))]) ** 2).sum(axis=1)
    return left[np.argpartition(distance, each)[:each]]


def _timed(call: Callable[[], None]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _row(
    name: str,
    index: shortlist.IndexHNSW,
    data: Dataset,
    x: np.ndarray,
    efs: tuple[int, ...],
    seconds: float,
) -> str:
    truth = Truth(x, data.queries, data.metric, data.k)
    every = np.ones(len(x), bool)
    cells = []
    for ef in efs:
        params = shortlist.SearchParametersHNSW(efSearch=ef)
        found = index.search(data.queries, data.k, params=params)[1]
        cells.append(f" {truth.recall(found, every):.4f} |")
    return f"| {name} |" + "".join(cells) + f" {seconds:.1f} |"
