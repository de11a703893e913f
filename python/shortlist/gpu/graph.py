"""Graphs on a GPU: made in bulk, from near rows of all rows and links chosen among them both ways;
and walked there. Experimental.

The links are those of HNSW's lowest level, so an IndexHNSWFlat can take such a graph on and serve
it on the CPU (copyTo), and a GPU the graph of an IndexHNSWFlat (copyFrom).
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._core import _gpu
from .nearest import GROUP, Array, Centroids, Floats, Form, Jobs, mean_of

__all__ = ["MOST_M", "GpuIndexHNSWFlat", "make_links"]

MOST_M = 64
"""Links of a row that are chosen, of which there are twice as many in all."""

_NEAR = 4  # candidates for each link that is chosen
_TURNED = 3  # rows linking to a row, for each of its links, that are candidates
_STEP = 16  # rows of which a smaller sample has one
_LEAST_SAMPLE = 32
_MOST_CANDIDATES = 256  # of a row
_SEED = 0x5EED
_NO_ROW = np.uint32(0xFFFFFFFF)
_KEPT = 4  # of what tensor cores find, for each that is asked for
_BATCH_BYTES = 256 << 20  # of the candidates of a batch of rows
_MOST_WALKED = 1024  # efSearch
_FOLLOWED = 64  # links that a step of a search follows, about
_ENTRIES = 128  # rows that every search begins at
_QUERIES = 65536  # of a call


def make_links(jobs: Jobs, x: Floats, M: int, metric: int) -> npt.NDArray[np.uint32]:
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
    near = Centroids(jobs, Form(d, "bfloat16"), n, metric)
    near.set((x - mean_of(x) if near.l2 else x)[order])
    found = jobs.get(_Links(near, M).make(), (n, 2 * M), np.uint32)
    del near
    links = np.empty_like(found)
    links[order] = np.where(found < n, order[np.minimum(found, n - 1)], _NO_ROW)
    return links


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
        """In memory of the device."""
        n, M = self.n, self.M
        samples = []
        while n > _LEAST_SAMPLE * _STEP ** (len(samples) + 1):
            samples.append(n // _STEP ** (len(samples) + 1))
        few = min(M, (_MOST_CANDIDATES - 2 * M) // max(1, len(samples)))
        wide = M + few * len(samples)
        chosen = self.jobs.memory(4 * n * wide)
        self._choose(n, M, chosen.place, wide)
        for i, sample in enumerate(samples):
            self._choose(sample, few, chosen.place + 4 * (M + i * few), wide)
        turned = min(_TURNED * M, _MOST_CANDIDATES - wide)
        width = wide + turned
        both = self.jobs.memory(8 * n * width)
        self.jobs.run("reverse", links=chosen, n=n, degree=wide, most=turned, candidates=both)
        links = self.jobs.memory(4 * n * 2 * M)
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
            apart=apart,
            links=links,
        )


class GpuIndexHNSWFlat:
    """Approximate search by a graph of 2 M links for each vector, made and walked on a GPU.
    Experimental.

    The graph has one level, and searches begin at rows from all over it. To serve it on the CPU,
    copyTo an empty IndexHNSWFlat. Arrays are numpy's or what numpy reads; one thread at a time
    uses the GPU.

    engine: as shortlist.gpu.engine(device) makes. d: dimensions. M: links that each vector chooses,
    2 to 64. metric: METRIC_L2 or METRIC_INNER_PRODUCT.

    Source: HNSW's choice of links (arXiv 1603.09320) in a graph of fixed degree that is made in
    bulk, as CAGRA (arXiv 2308.15136).
    """

    is_trained = True

    def __init__(self, engine: Any, d: int, M: int = 32, metric: int = _core.METRIC_L2) -> None:
        if not 2 <= M <= MOST_M:
            raise _core.ArgumentError(
                f"M = {M} links per vector is out of range; a GPU's graphs have 2 to {MOST_M}"
            )
        # Checks d and metric as the CPU does.
        self.metric_type = _core.IndexFlat(d, metric).metric_type
        self.d, self.M, self.ntotal = d, M, 0
        self._form = Form(d, "float32")
        self._jobs, self._lock = Jobs(engine), Lock()
        self._efSearch = 16
        self._rows = self._links = self._entries = None
        self._entries_n = 0

    def __repr__(self) -> str:
        metric = "L2" if self._l2 else "IP"
        return (
            f"GpuIndexHNSWFlat(d={self.d}, M={self.M}, {metric}, ntotal={self.ntotal}, "
            f"efSearch={self.efSearch})"
        )

    def __len__(self) -> int:
        return self.ntotal

    @property
    def efSearch(self) -> int:
        """Candidates kept while searching, 1 to 1024: more is slower and finds more. Raised to k
        where k is larger."""
        return self._efSearch

    @efSearch.setter
    def efSearch(self, value: int) -> None:
        self._efSearch = _width(value, "efSearch")

    def add(self, x: Any) -> None:
        """Stores the rows of x (n, d) under the next ids, and makes the graph of all vectors anew:
        add them at once.

        Raises DimensionError for another d, ArgumentError for NaN or Inf.
        """
        own = self._vectors(x)
        if not np.isfinite(own).all():
            bad = int(np.flatnonzero(~np.isfinite(own).all(1))[0])
            raise _core.ArgumentError(f"row {bad} of x has NaN or Inf; leave it out")
        if not len(own):
            return
        with self._lock:
            rows = np.concatenate([self._fetched(), own]) if self.ntotal else own
            self._set(rows, make_links(self._jobs, rows, self.M, self.metric_type), 0)

    def search(self, x: Any, k: int, *, params: Any = None) -> tuple[Floats, npt.NDArray[np.int64]]:
        """The k nearest vectors found of each row of x (n, d): distances (n, k) float32 and ids
        (n, k) int64, nearest first, -1 and +-3.4e38 behind the last.

        Distances are squared L2, or inner products (largest first). k is up to 1024. params: a
        SearchParametersHNSW, whose efSearch and sel count here: what sel leaves out is walked
        through and not returned. A query with NaN or Inf finds nothing.
        """
        queries = self._vectors(x)
        ef, sel = self.efSearch, None
        if params is not None:
            sel = params.sel
            if isinstance(params, _core.SearchParametersHNSW):
                ef = _width(params.efSearch, "efSearch")
        ef = max(ef, _width(k, "k"))
        told = np.full((len(queries), k), np.finfo(np.float32).max, np.float32)
        numbers = np.full((len(queries), k), -1, np.int64)
        with self._lock:
            if self.ntotal:
                allowed = None
                if sel is not None:
                    allowed = self._jobs.put(_gpu.selected(sel, n=self.ntotal))
                for at in range(0, len(queries), _QUERIES):
                    part = slice(at, at + _QUERIES)
                    told[part], numbers[part] = self._walk(queries[part], k, ef, allowed)
        return (told if self._l2 else -told), numbers

    def reset(self) -> None:
        """Removes every vector."""
        with self._lock:
            self._rows = self._links = self._entries = None
            self.ntotal = self._entries_n = 0

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> Floats:
        """The vectors (ni, d) of ids n0 to n0 + ni - 1; ni = -1 means up to ntotal."""
        end = self.ntotal if ni < 0 else n0 + ni
        if not 0 <= n0 <= end <= self.ntotal:
            raise _core.IdError(f"ids {n0} to {end - 1} are not all there; ntotal is {self.ntotal}")
        with self._lock:
            return self._fetched()[n0:end]

    def copyTo(self, index: Any) -> None:
        """Makes an empty IndexHNSWFlat hold the vectors and the graph; the levels above are made
        there. Raises ArgumentError for one with another d, M or metric, or with vectors."""
        self._check_like(index)
        with self._lock:
            if self.ntotal:
                shape = self.ntotal, 2 * self.M
                links = self._jobs.get(self._links, shape, np.uint32).view(np.int32)
                index.add_with_links(self._fetched(), links)
        index.hnsw.efSearch = self.efSearch

    def copyFrom(self, index: Any) -> None:
        """Takes the vectors, as float32, and the lowest level of an IndexHNSWFlat in place of what
        is held. Raises ArgumentError for another d, M or metric, UnsupportedError where vectors
        were removed, replaced or added under ids of their own."""
        self._check_like(index)
        links = index.links().view(np.uint32)
        if not len(links):
            return self.reset()
        with self._lock:
            self._set(index.reconstruct_n(), links, index.hnsw.entry_point)
        self.efSearch = min(index.hnsw.efSearch, _MOST_WALKED)

    @property
    def _l2(self) -> bool:
        return bool(self.metric_type == _core.METRIC_L2)

    def _vectors(self, x: Any) -> Floats:
        rows = np.ascontiguousarray(x, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.d:
            raise _core.DimensionError(f"x has shape {rows.shape}; expected (n, {self.d})")
        return rows

    def _check_like(self, index: Any) -> None:
        if not isinstance(index, _core.IndexHNSWFlat):
            raise _core.UnsupportedError(
                f"a {type(index).__name__} does not take this graph; use an IndexHNSWFlat"
            )
        theirs = index.d, index.hnsw.M, index.metric_type
        if theirs != (self.d, self.M, self.metric_type):
            raise _core.ArgumentError(
                f"the IndexHNSWFlat has d, M and metric {theirs}; this index has "
                f"{(self.d, self.M, self.metric_type)}"
            )

    def _set(self, rows: Floats, links: npt.NDArray[np.uint32], entry: int) -> None:
        _gpu.connect(links, entry)
        n = len(rows)
        spread = np.linspace(0, n - 1, min(n, _ENTRIES)).astype(np.uint32)
        entries = np.unique(np.append(spread, np.uint32(entry)))
        put = self._jobs.put
        self._rows, self._links, self._entries = map(put, (self._form.padded(rows), links, entries))
        self.ntotal, self._entries_n = n, len(entries)

    def _fetched(self) -> Floats:
        if not self.ntotal:
            return np.empty((0, self.d), np.float32)
        shape = self.ntotal, self._form.floats
        return np.ascontiguousarray(self._jobs.get(self._rows, shape, np.float32)[:, : self.d])

    def _walk(self, queries: Floats, k: int, ef: int, allowed: Any) -> tuple[Array, Array]:
        padded, n = self._form.padded(queries), len(queries)
        padded[~np.isfinite(padded).all(1)] = np.nan
        bytes, degree = 4 * self._form.floats, 2 * self.M
        told, numbers = self._jobs.memory(4 * n * k), self._jobs.memory(8 * n * k)
        self._jobs.run(
            "graph",
            kind="l2_f32" if self._l2 else "ip_f32",
            rows=self._rows,
            n=self.ntotal,
            stride=bytes,
            bytes=bytes,
            links=self._links,
            degree=degree,
            queries=self._jobs.put(padded),
            queries_n=n,
            entries=self._entries,
            entries_n=self._entries_n,
            allowed=allowed,
            ef=ef,
            k=k,
            width=max(1, _FOLLOWED // degree),
            steps=self.ntotal,
            distances=told,
            numbers=numbers,
        )
        return self._jobs.get(told, (n, k), np.float32), self._jobs.get(numbers, (n, k), np.int64)


def _width(value: int, name: str) -> int:
    if not 1 <= value <= _MOST_WALKED:
        raise _core.ArgumentError(
            f"{name} = {value}; a GPU's graphs are searched with 1 to {_MOST_WALKED}"
        )
    return int(value)
