"""Builds every contender, sweeps efSearch, then times all points in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.frontier.contenders import CONTENDERS, Spec
from bench.frontier.dataset import Dataset
from bench.frontier.worker import Built, Cache, Worker

MODES = ("single", "batch")
CEILING = 0.995  # recall at which a sweep may stop: beyond every target
FEWEST = 100  # queries of a measurement, however slow they are


@dataclass(frozen=True)
class Settings:
    libs: tuple[str, ...]
    storages: tuple[str, ...]
    M: int
    ef_construction: int
    efs: tuple[int, ...]  # increasing
    rounds: int
    threads_build: int
    seconds_per_point: float
    core: int


@dataclass
class Point:
    """One contender at one efSearch, called in one mode. Lists have a number per round."""

    mode: str
    ef: int
    recall: float
    queries: int  # per measurement
    qps: list[float] = field(default_factory=list)  # by CPU time
    qps_wall: list[float] = field(default_factory=list)


@dataclass
class Curve:
    """All that was found out about one contender."""

    library: str
    storage: str
    name: str
    build: Built
    points: list[Point] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def choose(settings: Settings, data: Dataset) -> list[Spec]:
    """Each library at each asked-for storage it has; one with none of them, at its smallest.

    A uint8 storage is for uint8 vectors only: for others it would be a lossy code.
    """
    specs = []
    for library in settings.libs:
        has = [
            storage
            for storage in CONTENDERS[library].storages(data.metric)
            if storage != "uint8" or data.base.dtype == "uint8"
        ]
        for storage in [s for s in settings.storages if s in has] or has[:1]:
            specs.append(
                Spec(
                    library=library,
                    storage=storage,
                    d=data.base.shape[1],
                    metric=data.metric,
                    M=settings.M,
                    ef_construction=settings.ef_construction,
                    k=data.k,
                )
            )
    return specs


def run(
    data: Dataset,
    settings: Settings,
    cache_for: Callable[[Spec], Cache],
    tell: Callable[[str], None],
) -> list[Curve]:
    """Measures all contenders; `cache_for` tells what a contender may keep from run to run."""
    return measure([(spec, data) for spec in choose(settings, data)], settings, cache_for, tell)


def measure(
    entries: list[tuple[Spec, Dataset]],
    settings: Settings,
    cache_for: Callable[[Spec], Cache],
    tell: Callable[[str], None],
) -> list[Curve]:
    """Measures contenders, each on its own data, taking turns."""
    workers: list[Worker] = []
    try:
        curves = []
        for spec, data in entries:
            worker = Worker(spec)
            workers.append(worker)
            built = worker.prepare(
                data.base_file,
                len(data.base),
                data.fingerprint(),
                settings.threads_build,
                cache_for(spec),
            )
            worker.take_queries(data.queries, settings.core)
            curves.append(Curve(spec.library, spec.storage, worker.name, built))
            tell(
                f"{worker.name}: {'built' if built.origin == 'built' else 'from cache, built'} in "
                f"{built.wall_seconds:.1f} s ({built.cpu_seconds:.1f} s of CPU), "
                f"{built.memory_bytes / 2**20:.0f} MiB"
            )
        cost: dict[tuple[str, int], float] = {}
        for worker, curve, (_, data) in zip(workers, curves, entries, strict=True):
            for point, seconds in _sweep(worker, data, settings.efs):
                curve.points.append(point)
                cost[point.mode, point.ef] = max(seconds, cost.get((point.mode, point.ef), 0.0))
            tell(f"{worker.name}: {_range_of_recall(curve.points)}")
        for curve, (_, data) in zip(curves, entries, strict=True):
            for point in curve.points:
                # As many queries as the slowest contender has time for: all answer the same ones.
                affordable = int(settings.seconds_per_point / cost[point.mode, point.ef])
                point.queries = min(len(data.queries), max(FEWEST, affordable))
        for number in range(settings.rounds):
            _one_round(workers, curves, number)
            tell(f"round {number + 1} of {settings.rounds} done")
        return curves
    finally:
        for worker in workers:
            worker.close()


def _sweep(worker: Worker, data: Dataset, efs: Iterable[int]) -> list[tuple[Point, float]]:
    """Points with their recall, still untimed, and about how long a query takes."""
    points = []
    for ef in efs:
        recalls = []
        for mode in MODES:
            ids, seconds = worker.answers(mode, ef)
            recalls.append(data.recall(ids))
            points.append((Point(mode, ef, recalls[-1], len(ids)), seconds))
        if min(recalls) >= CEILING:
            break
    return points


def _one_round(workers: list[Worker], curves: list[Curve], number: int) -> None:
    """Every point once: contenders take turns at each ef, so that drift hits all alike."""
    pairs = list(zip(workers, curves, strict=True))
    first = number % len(pairs)
    pairs = pairs[first:] + pairs[:first]  # nobody always follows the same neighbour's start
    longest = max((curve.points for curve in curves), key=len)  # sweeps share their beginning
    for step in range(len(longest)):
        for worker, curve in pairs:
            if step < len(curve.points):
                point = curve.points[step]
                cpu, wall = worker.measure(point.mode, point.ef, point.queries)
                point.qps.append(point.queries / cpu)
                point.qps_wall.append(point.queries / wall)


def _range_of_recall(points: list[Point]) -> str:
    ends = (points[0], points[-1])
    return " to ".join(f"recall {p.recall:.4f} at ef {p.ef}" for p in ends)
