"""Graphs on a GPU: made in bulk, from near rows of all rows and links chosen among them both ways;
and walked there. Experimental.

The links are those of HNSW's lowest level, so an IndexHNSWFlat can take such a graph on and serve
it on the CPU (copyTo), and a GPU the graph of an IndexHNSWFlat (copyFrom).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._core import _gpu
from .index import GpuIndex, GpuIndexConfig, Queries, check_finite
from .nearest import Centroids, Floats, Form, mean_of
from .resources import StandardGpuResources, Work
from .store import GROUP

__all__ = ["MOST_M", "GpuIndexHNSWFlat", "make_links"]

MOST_M = 64
"""Links of a row that are chosen, of which there are twice as many in all."""

_NEAR = 4  # candidates for each link that is chosen
_TURNED = 3  # rows linking to a row, for each of its links, that are candidates
_STEP = 8  # rows of which a smaller sample has one
_LEAST_SAMPLE = 16
_MOST_CANDIDATES = 256  # of a row
_SEED = 0x5EED
_NO_ROW = np.uint32(0xFFFFFFFF)
_KEPT = 4  # of what tensor cores find, for each that is asked for
_BATCH_BYTES = 256 << 20  # of the candidates of a batch of rows
_MOST_WALKED = 1024  # efSearch
_FOLLOWED = 64  # links that a step of a search follows, about
_ENTRIES = 128  # rows that every search begins at


def make_links(work: Work, x: Floats, M: int, metric: int) -> npt.NDArray[np.uint32]:
    """Links of the rows of x (n, d) float32: (n, 2 M) uint32, 2^32 - 1 where there are
    fewer.

    Each row chooses M of its near rows, so that none is nearer to another than to the row (HNSW's
    heuristic: Malkov and Yashunin, arXiv 1603.09320), and a few more of its near ones in each of
    ever smaller samples, as HNSW's first vectors are linked far and wide; then 2 M of those and of
    the rows that have chosen it, nearer ones first, as CAGRA ranks them (Ootomo et al., arXiv
    2308.15136).
    """
    n, d = x.shape
    # Samples are the first of the rows, which are therefore in no order.
    order = np.random.default_rng(_SEED).permutation(n)
    near = Centroids(work, Form(d, "bfloat16"), n, metric)
    near.set((x - mean_of(x) if near.l2 else x)[order])
    made = _Links(near, M).make()
    found = work.get(made.place, (n, 2 * M), np.uint32)
    del near, made
    links = np.empty_like(found)
    links[order] = np.where(found < n, order[np.minimum(found, n - 1)], _NO_ROW)
    return links


class _Links:
    def __init__(self, near: Centroids, M: int) -> None:
        self.near, self.work, self.n, self.M = near, near.work, near.k, M
        self.bytes = 4 * near.form.floats
        self.rows: dict[str, Any] = {
            "kind": "l2_f32" if near.l2 else "ip_f32",
            "rows": near.raw,
            "stride": self.bytes,
            "bytes": self.bytes,
        }

    def make(self) -> Any:
        """In memory of the device."""
        n, M = self.n, self.M
        samples: list[int] = []
        while n > _LEAST_SAMPLE * _STEP ** (len(samples) + 1):
            samples.append(n // _STEP ** (len(samples) + 1))
        few = min(M, (_MOST_CANDIDATES - 2 * M) // max(1, len(samples)))
        wide = M + few * len(samples)
        chosen = self.work.memory(4 * n * wide)
        self._choose(n, M, chosen.place, wide)
        for i, sample in enumerate(samples):
            self._choose(sample, few, chosen.place + 4 * (M + i * few), wide)
        turned = min(_TURNED * M, _MOST_CANDIDATES - wide)
        width = wide + turned
        both = self.work.memory(8 * n * width)
        self.work.run_in_room(
            "reverse", links=chosen, n=n, degree=wide, most=turned, candidates=both
        )
        links = self.work.memory(4 * n * 2 * M)
        for begin, end in self._batches(width):
            least, best = self._sorted(begin, end, both.place + 8 * begin * width, width)
            self._prune(begin, end, best, least, width, 2 * M, links, 2 * M)
        return links

    def _choose(self, sample: int, degree: int, links: int, apart: int) -> None:
        """Links of all rows to the first `sample` rows."""
        width = min(sample, _NEAR * degree)
        near = self.near.first(sample)
        for begin, end in self._batches(_KEPT * width):
            least, best = near.near_there(self.near.rows, begin, end, width)
            self._prune(begin, end, best, least, width, degree, links, apart)

    def _batches(self, candidates: int) -> Iterator[tuple[int, int]]:
        step = max(1, _BATCH_BYTES // (12 * candidates) // GROUP) * GROUP
        for begin in range(0, self.n, step):
            yield begin, min(begin + step, self.n)

    def _sorted(self, begin: int, end: int, candidates: int, width: int) -> tuple[Any, Any]:
        """Distances and numbers of the candidates of rows [begin, end), nearest first."""
        n = end - begin
        distances = self.work.memory(4 * n * width)
        self.work.run(
            "rescore",
            **self.rows,
            n=self.n,
            queries=self.near.raw.place + begin * self.bytes,
            queries_n=n,
            candidates=candidates,
            candidates_n=n * width,
            distances=distances,
        )
        least, best = self.work.memory(4 * n * width), self.work.memory(8 * n * width)
        self.work.run(
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
        self,
        begin: int,
        end: int,
        best: Any,
        least: Any,
        width: int,
        degree: int,
        links: Any,
        apart: int,
    ) -> None:
        self.work.run(
            "prune",
            **self.rows,
            rows_n=self.n,
            first=begin,
            n=end - begin,
            candidates=best,
            distances=least,
            candidates_n=width,
            degree=degree,
            apart=apart,
            links=links,
        )


class GpuIndexHNSWFlat(GpuIndex):
    """Approximate search by a graph of 2 M links for each vector, made and walked on a GPU.
    Experimental.

    The graph has one level, and searches begin at rows from all over it. To serve it on the CPU,
    copy it to an IndexHNSWFlat: copyTo, or index_gpu_to_cpu. efSearch and k are at most 1024.

    d: dimensions. M: links that each vector chooses, 2 to 64. metric: METRIC_L2 or
    METRIC_INNER_PRODUCT.

    Raises UnsupportedError without the plugin or a GPU.

    Source: HNSW's choice of links (arXiv 1603.09320) in a graph of fixed degree that is made in
    bulk, as CAGRA (arXiv 2308.15136).
    """

    _at_once = True

    def __init__(
        self,
        resources: StandardGpuResources,
        d: int,
        M: int = 32,
        metric: int = _core.METRIC_L2,
        config: GpuIndexConfig | None = None,
    ) -> None:
        super().__init__(resources, d, metric, config)
        if not 2 <= M <= MOST_M:
            raise _core.ArgumentError(
                f"M = {M} links per vector is out of range; a GPU's graphs have 2 to {MOST_M}"
            )
        self.M = M
        self._form = Form(self.d, "float32")
        self._efSearch = 16
        self._clear()

    @property
    def efSearch(self) -> int:
        """Candidates kept while searching, 1 to 1024: more is slower and finds more. Raised to k
        where k is larger."""
        return self._efSearch

    @efSearch.setter
    def efSearch(self, value: int) -> None:
        self._efSearch = _width(value, "efSearch")

    def reset(self) -> None:
        """Removes every vector."""
        with self._resources._lock:
            self._clear()

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> Floats:
        """The vectors (ni, d) of ids n0 to n0 + ni - 1, on the host; ni = -1 means up to ntotal.
        Raises IdError for ids that are not there."""
        if ni == -1:
            ni = self.ntotal - n0
        if n0 < 0 or ni < 0 or n0 + ni > self.ntotal:
            raise _core.IdError(
                f"ids {n0} to {n0 + ni - 1} were asked for; there are 0 to {self.ntotal - 1}"
            )
        with self._reading() as work:
            return self._fetched(work, n0, ni)

    def copyTo(self, index: _core.IndexHNSWFlat) -> None:
        """Puts the vectors and the graph into an IndexHNSWFlat, whose own vectors go; the levels
        above are made there. Raises ArgumentError for another d, M or metric."""
        self._check_like(index)
        with self._reading() as work:
            rows, links = self._fetched(work, 0, self.ntotal), self._fetched_links(work)
        index.reset()
        index.add_with_links(rows, links.view(np.int32))
        index.hnsw.efSearch = self.efSearch

    def copyFrom(self, index: _core.IndexHNSWFlat) -> None:
        """Takes the vectors, as float32, and the lowest level of an IndexHNSWFlat instead of its
        own, which go. Raises ArgumentError for another d, M or metric, UnsupportedError where
        vectors were removed, replaced or added under ids of their own."""
        self._check_like(index)
        links, rows = index.links().view(np.uint32), index.reconstruct_n()
        self.reset()
        if len(rows):
            at = self._resources._default_stream(self._config.device)
            with self._resources._work(self._config.device, at) as work:
                self._order.writing(at)
                self._put(work, rows, links, index.hnsw.entry_point)
            self.ntotal = len(rows)
        self.efSearch = min(index.hnsw.efSearch, _MOST_WALKED)

    def _check_like(self, index: Any) -> None:
        if not isinstance(index, _core.IndexHNSWFlat):
            raise TypeError(f"index is a {type(index).__name__}; expected an IndexHNSWFlat")
        super()._check_like(index)
        if index.hnsw.M != self.M:
            raise _core.ArgumentError(f"the index has M = {index.hnsw.M}; expected {self.M}")

    def _clear(self) -> None:
        self._rows: Any = None
        self._links: Any = None
        self._entries: Any = None
        self.ntotal = self._entries_n = 0

    def _add(self, work: Work, queries: Queries, ids: npt.NDArray[np.int64] | None) -> None:
        """Makes the graph of all vectors anew."""
        rows = queries.host()
        check_finite(rows)
        if self.ntotal:
            rows = np.concatenate([self._fetched(work, 0, self.ntotal), rows])
        links = make_links(Work.alone(self._engine), rows, self.M, self.metric_type)
        self._put(work, rows, links, 0)

    def _put(self, work: Work, rows: Floats, links: npt.NDArray[np.uint32], entry: int) -> None:
        _gpu.connect(links, entry)
        n = len(rows)
        spread = np.linspace(0, n - 1, min(n, _ENTRIES)).astype(np.uint32)
        entries = np.unique(np.append(spread, np.uint32(entry)))
        made = map(work.keep, (self._form.padded(rows), links, entries))
        self._rows, self._links, self._entries = made
        self._entries_n = len(entries)

    def _fetched(self, work: Work, n0: int, n: int) -> Floats:
        if not n:
            return np.empty((0, self.d), np.float32)
        floats = self._form.floats
        rows = work.get(self._rows.place + 4 * floats * n0, (n, floats), np.float32)
        return np.ascontiguousarray(rows[:, : self.d])

    def _fetched_links(self, work: Work) -> npt.NDArray[np.uint32]:
        shape = self.ntotal, 2 * self.M
        if not self.ntotal:
            return np.empty(shape, np.uint32)
        return work.get(self._links.place, shape, np.uint32)

    def _bytes_for(self, work: Work, n: int, k: int, params: _core.SearchParameters | None) -> int:
        self._ef(k, params)
        return 4 * n * self._form.floats

    def _ef(self, k: int, params: _core.SearchParameters | None) -> int:
        ef = self.efSearch
        if isinstance(params, _core.SearchParametersHNSW):
            ef = _width(params.efSearch, "efSearch")
        return max(ef, _width(k, "k"))

    def _search(
        self,
        work: Work,
        queries: Queries,
        k: int,
        params: _core.SearchParameters | None,
        allowed: int | None,
        distances: int,
        ids: int,
    ) -> None:
        bytes, degree = 4 * self._form.floats, 2 * self.M
        work.run(
            "graph",
            kind="l2_f32" if self._l2 else "ip_f32",
            rows=self._rows,
            n=self.ntotal,
            stride=bytes,
            bytes=bytes,
            links=self._links,
            degree=degree,
            queries=queries.padded(self._form.floats),
            queries_n=queries.n,
            entries=self._entries,
            entries_n=self._entries_n,
            allowed=allowed,
            ef=self._ef(k, params),
            k=k,
            width=max(1, _FOLLOWED // degree),
            steps=self.ntotal,
            negate=not self._l2,
            distances=distances,
            numbers=ids,
        )


def _width(value: int, name: str) -> int:
    if not 1 <= value <= _MOST_WALKED:
        raise _core.ArgumentError(
            f"{name} = {value}; a GPU's graphs are searched with 1 to {_MOST_WALKED}"
        )
    return int(value)
