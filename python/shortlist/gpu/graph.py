"""Graphs made on a GPU in bulk: near rows of all rows, and links chosen among them both ways.

The links are those of HNSW's lowest level, so the CPU can take such a graph on
(IndexHNSW.add_with_links), and a GPU that of an IndexHNSWFlat.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _core
from .nearest import GROUP, Centroids, Floats, Form, Jobs, mean_of

__all__ = ["MOST_M", "make_links"]

MOST_M = 64
"""Links of a row that are chosen, of which there are twice as many in all."""

_NEAR = 4  # candidates for each link that is chosen
_TURNED = 3  # rows linking to a row, for each of its links, that are candidates
_KEPT = 4  # of what tensor cores find, for each that is asked for
_BATCH_BYTES = 256 << 20  # of the candidates of a batch of rows


def make_links(jobs: Jobs, x: Floats, M: int, metric: int) -> Any:
    """Links of the rows of x (n, d) float32: (n, 2 M) uint32 in memory of the device, 2^32 - 1 where
    there are fewer.

    Each row chooses M of its near rows, so that none is nearer to another than to the row (HNSW's
    heuristic: Malkov and Yashunin, arXiv 1603.09320); then 2 M of those and of the rows that have
    chosen it, nearer ones first, as CAGRA ranks them (Ootomo et al., arXiv 2308.15136).
    """
    if not 2 <= M <= MOST_M:
        raise _core.ArgumentError(f"M = {M}; a GPU makes graphs of 2 to {MOST_M} links")
    n, d = x.shape
    near = Centroids(jobs, Form(d, "bfloat16"), n, metric)
    near.set(x - mean_of(x) if near.l2 else x)
    return _Links(near, M).make()


class _Links:
    def __init__(self, near: Centroids, M: int) -> None:
        self.near, self.jobs, self.n, self.M = near, near.jobs, near.k, M
        self.bytes = 4 * near.form.floats
        self.rows: dict[str, Any] = {
            "kind": "l2_f32" if near.l2 else "ip_f32",
            "rows": near.raw,
            "stride": self.bytes,
            "bytes": self.bytes,
        }

    def make(self) -> Any:
        n, M = self.n, self.M
        chosen = self.jobs.memory(4 * n * M)
        width = min(n, _NEAR * M)
        for begin, end in self._batches(_KEPT * width):
            least, best = self.near.near_there(self.near.rows, begin, end, width)
            self._prune(begin, end, best, least, width, M, chosen)
        width = (1 + _TURNED) * M
        both = self.jobs.memory(8 * n * width)
        self.jobs.run("reverse", links=chosen, n=n, degree=M, most=_TURNED * M, candidates=both)
        links = self.jobs.memory(4 * n * 2 * M)
        for begin, end in self._batches(width):
            least, best = self._sorted(begin, end, both.place + 8 * begin * width, width)
            self._prune(begin, end, best, least, width, 2 * M, links)
        return links

    def _batches(self, candidates: int) -> Iterator[tuple[int, int]]:
        step = max(1, _BATCH_BYTES // (12 * candidates) // GROUP) * GROUP
        for begin in range(0, self.n, step):
            yield begin, min(begin + step, self.n)

    def _sorted(self, begin: int, end: int, candidates: int, width: int) -> tuple[Any, Any]:
        """Distances and numbers of the candidates of rows [begin, end), nearest first."""
        n = end - begin
        distances = self.jobs.memory(4 * n * width)
        self.jobs.run(
            "rescore",
            **self.rows,
            n=self.n,
            queries=self.near.raw.place + begin * self.bytes,
            queries_n=n,
            candidates=candidates,
            candidates_n=n * width,
            distances=distances,
        )
        least, best = self.jobs.memory(4 * n * width), self.jobs.memory(8 * n * width)
        self.jobs.run(
            "select",
            distances=distances,
            rows_n=n,
            n=width,
            names=candidates,
            k=width,
            least=least,
            numbers=best,
        )
        return least, best

    def _prune(
        self, begin: int, end: int, best: Any, least: Any, width: int, degree: int, links: Any
    ) -> None:
        self.jobs.run(
            "prune",
            **self.rows,
            rows_n=self.n,
            first=begin,
            n=end - begin,
            candidates=best,
            distances=least,
            candidates_n=width,
            degree=degree,
            links=links,
        )
