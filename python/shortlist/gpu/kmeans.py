"""k-means on a GPU: what grows with rows times centroids is done there, the rest on the host.

Rows are on the device, all of them or a part at a time, and with them their centroids; tensor cores
tell which is nearest, and rows sorted by their centroids are added up in one order. What decides
the rest (where iterations begin, clusters of like sizes, clusters without rows) is the CPU's own
code, so that both devices train by the same rules. The same rows and seed give the same bytes.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._core import _cluster
from .nearest import (
    Array,
    Centroids,
    Floats,
    Form,
    Part,
    Rows,
    as_numbers,
    check_precision,
    mean_of,
)
from .resources import Work
from .store import GROUP

__all__ = ["assign", "cut", "kmeans"]

Stats = tuple[float, float, float, float, int]


def _share_out(
    near: Centroids, balance: Any, part: Part, weights: Floats | None
) -> Iterator[tuple[int, Array, Floats]]:
    """Rows of a part to clusters of like sizes, a batch at a time: the first row's number, labels
    and distances."""
    width = min(near.k, balance.candidates)
    batches = -(-part.n // balance.batch_rows(near.k))
    step = -(-part.n // batches // GROUP) * GROUP
    for begin in range(0, part.n, step):
        end = min(begin + step, part.n)
        first = part.begin + begin
        distances, numbers = near.near(part, begin, end, width)
        own = None if weights is None else weights[first : part.begin + end]
        yield first, *balance.share_out(numbers, distances, own)


class _Lloyd:
    def __init__(
        self,
        work: Work,
        x: Array,
        weights: Floats | None,
        k: int,
        metric: int,
        precision: str,
        memory: int | None,
    ) -> None:
        n, d = x.shape
        self.work, self.k, self.weights = work, k, weights
        form = Form(d, precision)
        self.near = Centroids(work, form, k, metric)
        # Rows that are far from the origin and near to each other differ in their last bits only.
        self.centre: Floats | float = mean_of(x) if self.near.l2 else 0.0
        self.rows = Rows(work, form, x, self.centre, memory)
        self._labels, self._distances = work.memory(8 * n), work.memory(4 * self.rows.most)
        self._weights = None if weights is None else work.keep(weights)
        self._counts, self._totals = work.memory(8 * k), work.memory(8 * k)
        self._moved = work.memory(4 * form.floats * k)

    def run(
        self,
        centroids: Floats,
        *,
        niter: int,
        balanced: float,
        spherical: bool,
        int_centroids: bool,
        frozen: int,
        threshold: float,
        seed: int,
        report: Callable[[Stats], object],
    ) -> tuple[Floats, list[Stats]]:
        centroids = centroids.copy()
        balance = _cluster.Balance(self.k, balanced) if balanced > 0 else None
        stats: list[Stats] = []
        start, searching = time.perf_counter(), 0.0
        for _ in range(niter):
            self.near.set(centroids - self.centre)
            sums, totals = np.zeros(centroids.shape), np.zeros(self.k)
            points = np.zeros(self.k, np.int64)
            objective = 0.0
            for part in self.rows:
                before = time.perf_counter()
                objective += self._assign(part, balance)
                searching += time.perf_counter() - before
                means, counts, weight = self._means(part)
                there = weight > 0
                sums[there] += means[there] * weight[there, None]
                points += counts
                totals += weight
            moved = np.flatnonzero(totals > 0)
            moved = moved[moved >= frozen]
            centroids[moved] = sums[moved] / totals[moved, None] + self.centre
            splits = self._split(centroids, points, totals, frozen, seed)
            _finish(centroids[frozen:], spherical, int_centroids)
            share = points / len(self.rows)
            now = (
                objective if self.near.l2 else -objective,
                time.perf_counter() - start,
                searching,
                float((share * share).sum() * self.k),
                splits,
            )
            stats.append(now)
            report(now)
            if len(stats) > 1 and abs(stats[-2][0] - now[0]) <= threshold * abs(stats[-2][0]):
                break
        return centroids, stats

    def _assign(self, part: Part, balance: Any) -> float:
        """Labels of the part's rows, on the device; the sum of their distances."""
        own = slice(part.begin, part.begin + part.n)
        labels = self._labels.place + 8 * part.begin
        if balance is None:
            self.near.nearest(part, labels, self._distances.place)
            told = self.work.get(self._distances.place, (part.n,), np.float32)
            distances = self.near.scaled(told, self.rows.squares[own])
        else:
            distances = np.empty(part.n, np.float32)
            for first, some, far in _share_out(self.near, balance, part, self.weights):
                self.work.write(self._labels.place + 8 * first, some)
                distances[first - part.begin :][: len(far)] = far
        weights = 1 if self.weights is None else self.weights[own]
        return float((distances.astype(np.float64) * weights).sum())

    def _means(self, part: Part) -> tuple[Array, Array, Array]:
        """Of each cluster the mean of its rows of the part, how many they are and their weight."""
        k, floats = self.k, self.near.form.floats
        self.work.run_in_room(
            "update",
            rows=part.raw,
            n=part.n,
            labels=self._labels.place + 8 * part.begin,
            weights=self._weights and self._weights.place + 4 * part.begin,
            k=k,
            d=floats,
            centroids=self._moved,
            counts=self._counts,
            totals=self._totals,
        )
        return (
            self.work.get(self._moved.place, (k, floats), np.float32)[:, : self.near.form.d],
            self.work.get(self._counts.place, (k,), np.int64),
            self.work.get(self._totals.place, (k,), np.float64),
        )

    def _split(
        self, centroids: Floats, points: Array, totals: Array, frozen: int, seed: int
    ) -> int:
        """Clusters without rows take halves of those with the greatest spread; how many did."""
        if (totals[frozen:] > 0).all():
            return 0
        labels = self.work.get(self._labels.place, (len(self.rows),), np.int64)
        squares = self.rows.squares.astype(np.float64)
        if self.weights is not None:
            squares *= self.weights
        # Of squared distances from a mean: the sum of squares, less that of the mean.
        spread = np.bincount(labels, squares, self.k)
        away = (centroids - self.centre).astype(np.float64)
        spread -= totals * np.einsum("ij,ij->i", away, away)
        return _cluster.split(centroids, points, totals, np.maximum(spread, 0), frozen, seed)


def _finish(centroids: Floats, spherical: bool, int_centroids: bool) -> None:
    """What centroids must be besides means."""
    if spherical:
        lengths = np.sqrt(np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64))
        centroids /= np.where(lengths > 0, lengths, 1)[:, None]
    if int_centroids:
        np.copyto(centroids, np.trunc(centroids + np.copysign(np.float32(0.5), centroids)))


def kmeans(
    engine: Any,
    x: Any,
    k: int,
    *,
    metric: int,
    weights: Floats | None = None,
    initial: Floats | None = None,
    niter: int = 25,
    nredo: int = 1,
    spherical: bool = False,
    int_centroids: bool = False,
    frozen_centroids: bool = False,
    min_points_per_centroid: int = 39,
    max_points_per_centroid: int = 256,
    seed: int = 1234,
    init_method: int = 0,
    early_stop_threshold: float = 0.0,
    balanced: float = 0.0,
    batch_size: int = 0,
    precision: str = "tfloat32",
    memory: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    report: Callable[[Stats], object] | None = None,
) -> tuple[Floats, list[Stats]]:
    """Lloyd's iterations on an engine, as shortlist.Clustering makes them on the CPU.

    x: (n, d). precision: "tfloat32" and "bfloat16" multiply on tensor cores; "float32" does not.
    memory: bytes of the device that rows may take; default: most of what is free. Rows that do not
    fit are sent there anew in each iteration. The rest are fields of ClusteringParameters.

    Returns (centroids, stats): (k, d) float32, and of each iteration objective, seconds, seconds of
    assigning, imbalance and splits. Raises what Clustering.train raises, and UnsupportedError for
    a batch_size.
    """
    check_precision(precision)
    if batch_size:
        raise _core.UnsupportedError(
            f"batch_size = {batch_size}: on a GPU all rows are in each iteration; leave it at 0"
        )
    if seed < 0:
        seed = int.from_bytes(os.urandom(7), "little")
    how: dict[str, Any] = {
        "initial": initial,
        "metric": metric,
        "niter": 0,
        "spherical": spherical,
        "int_centroids": int_centroids,
        "frozen_centroids": frozen_centroids,
        "max_points_per_centroid": max_points_per_centroid,
        "init_method": init_method,
        "early_stop_threshold": early_stop_threshold,
        "balanced": balanced,
        "batch_size": 0,
    }

    # Without iterations: what is wrong is told, and where they begin.
    def begin(rows: Any, own: Floats | None, seed: int, least: int) -> tuple[Floats, list[Stats]]:
        return _cluster.kmeans(
            rows,
            k,
            weights=own,
            nredo=min(nredo, 1),
            seed=seed,
            min_points_per_centroid=least,
            **how,
        )

    if niter < 0:
        raise _core.ArgumentError(f"niter = {niter}; it cannot be negative")
    first, stats = begin(x, weights, seed, min_points_per_centroid)
    rows = as_numbers(x)
    if stats:  # as many rows as clusters
        return first, stats
    most = max_points_per_centroid * k
    if len(rows) > most:
        chosen = _cluster.sample(len(rows), most, seed)
        rows, weights = rows[chosen], None if weights is None else weights[chosen]
    lloyd = _Lloyd(Work.alone(engine), rows, weights, k, metric, precision, memory)
    done = 0

    def tell(now: Stats) -> None:
        nonlocal done
        done += 1
        if report:
            report(now)
        if progress:
            progress(done, nredo * niter)

    best: tuple[Floats, list[Stats]] | None = None
    for redo in range(nredo):
        done = redo * niter
        start = begin(rows, weights, seed + redo, 0)[0] if redo else first
        found = lloyd.run(
            start,
            niter=niter,
            balanced=balanced,
            spherical=spherical,
            int_centroids=int_centroids,
            frozen=len(initial) if frozen_centroids and initial is not None else 0,
            threshold=early_stop_threshold,
            seed=seed,
            report=tell,
        )
        if best is None or _better(found[1], best[1], metric):
            best = found
    assert best is not None  # nredo was checked
    return best


def assign(
    engine: Any, x: Any, centroids: Floats, metric: int, *, memory: int | None = None
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Of each row of x (n, d) the distance to its nearest centroid, in faiss's sign, (n,) float32,
    and that centroid's number, (n,) int64, by float32 products."""
    x = as_numbers(x)
    if x.ndim != 2 or x.shape[1] != centroids.shape[1]:
        raise _core.DimensionError(
            f"x has shape {x.shape}; the centroids have {centroids.shape[1]} dimensions"
        )
    work, form = Work.alone(engine), Form(x.shape[1], "float32")
    near = Centroids(work, form, len(centroids), metric)
    centre = mean_of(centroids) if near.l2 else 0.0
    near.set(centroids - centre)
    rows = Rows(work, form, x, centre, memory)
    labels, told = work.memory(8 * rows.most), work.memory(4 * rows.most)
    distances, numbers = np.empty(len(x), np.float32), np.empty(len(x), np.int64)
    for part in rows:
        own = slice(part.begin, part.begin + part.n)
        near.nearest(part, labels.place, told.place)
        numbers[own] = work.get(labels.place, (part.n,), np.int64)
        some = work.get(told.place, (part.n,), np.float32)
        distances[own] = near.scaled(some, rows.squares[own])
    return (distances if near.l2 else -distances), numbers


def _better(a: list[Stats], b: list[Stats], metric: int) -> bool:
    x, y = a[-1][0] if a else math.nan, b[-1][0] if b else math.nan
    return x < y if metric == _core.METRIC_L2 else x > y


def cut(
    engine: Any,
    x: Array,
    k: int,
    seed: int,
    *,
    metric: int,
    niter: int,
    spherical: bool,
    precision: str = "tfloat32",
    memory: int | None = None,
) -> npt.NDArray[np.int64]:
    """Of each row of x which of k clusters of like sizes it goes to: a split of
    hierarchical_kmeans."""
    centroids, _ = kmeans(
        engine,
        x,
        k,
        metric=metric,
        niter=niter,
        spherical=spherical,
        seed=seed & (2**63 - 1),
        balanced=1.0,
        min_points_per_centroid=1,
        precision=precision,
        memory=memory,
    )
    work, form = Work.alone(engine), Form(x.shape[1], precision)
    near = Centroids(work, form, k, metric)
    centre = mean_of(x) if near.l2 else 0.0
    near.set(centroids - centre)
    balance = _cluster.Balance(k, 1.0)
    labels = np.empty(len(x), np.int64)
    for part in Rows(work, form, x, centre, memory):
        for first, some, _ in _share_out(near, balance, part, None):
            labels[first : first + len(some)] = some
    return labels
