"""What an opened index on disk reads for a recall, between two numbers of postings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.disk.worker import Worker

PROBES = (
    *(1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96),
    *(128, 192, 256, 384, 512, 768),
)


def reached(
    worker: Worker,
    queries: int,
    recall: Callable[[list[list[int]]], float],
    wanted: float,
    **setting: Any,
) -> dict[str, float] | None:
    """Counts a query at the wanted recall of its first queries; None if no nprobe reaches it."""
    before = None
    for nprobe in PROBES:
        how = {"nprobe": nprobe, "epsilon": None, **setting}
        answer = worker.ask("search", begin=0, end=queries, setting=how)
        point = {
            "recall": recall(answer["ids"]),
            "nprobe": nprobe,
            "ms": 1000 * float(np.median(answer["seconds"])),
            "cpu_ms": 1000 * answer["cpu_seconds"] / queries,
            **answer["counts"],
        }
        if point["recall"] >= wanted:
            before = before or point
            step = point["recall"] - before["recall"]
            part = (wanted - before["recall"]) / step if step > 0 else 0.0
            return {name: before[name] + part * (point[name] - before[name]) for name in point}
        before = point
    return None
