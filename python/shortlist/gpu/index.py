"""What all indexes on GPUs share: arrays in and out, batches, filters, streams."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import (
    METRIC_INNER_PRODUCT,
    METRIC_L2,
    ArgumentError,
    DimensionError,
    NotTrainedError,
    SearchParameters,
    UnsupportedError,
    _gpu,
)
from .arrays import Array, Stream, as_floats, empty, in_kind, look, stream_of, to_numpy
from .resources import StandardGpuResources, Work
from .store import put_rows

__all__ = ["MOST_NEAREST", "GpuIndex", "GpuIndexConfig", "Queries", "check_finite"]

MOST_NEAREST = 2048  # k
_MOST_QUERIES = 65_535  # of a job
_PART = 64 << 20  # bytes that are copied from the host at a time
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(slots=True)
class GpuIndexConfig:
    """Of all indexes on GPUs. device: which GPU."""

    device: int = 0


class _Order:
    """What was last written and read of an index on which stream, so that another one waits."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._written: dict[int, Stream] = {}
        self._read: dict[int, Stream] = {}

    def reading(self, stream: Stream) -> None:
        self._wait(self._written, stream)
        self._read[stream.handle] = stream

    def writing(self, stream: Stream) -> None:
        self._wait({**self._written, **self._read}, stream)
        self._written, self._read = {stream.handle: stream}, {}

    def _wait(self, others: dict[int, Stream], stream: Stream) -> None:
        for handle in others:
            if handle != stream.handle:
                self._engine.synchronize(handle)


class Queries:
    """A batch of queries, in the forms that jobs take; each is made once, when asked for."""

    def __init__(self, work: Work, x: Array, here: bool) -> None:
        self._work, self._x, self._here = work, x, here
        self.n, self.d = x.shape
        self._padded: dict[int, int] = {}

    def host(self) -> npt.NDArray[np.float32]:
        """(n, d) on the host; waits for what a device holds."""
        if not self._here:
            return to_numpy(self._x)
        floats = -(-self.d // 4) * 4
        rows = self._work.get(self.padded(floats), (self.n, floats), np.float32)
        return rows[:, : self.d]

    def padded(self, floats: int) -> int:
        """As queries of `scan`: `floats` numbers of each, a multiple of 4, zeros behind the
        last."""
        if floats not in self._padded:
            self._padded[floats] = self._pad(floats)
        return self._padded[floats]

    def _pad(self, floats: int) -> int:
        if not self._here:
            rows = np.zeros((self.n, floats), np.float32)
            rows[:, : self.d] = to_numpy(self._x)
            return self._work.put(rows)
        place, stride = self._x.place, _stride(self._x)
        if floats == self.d and stride == 4 * floats and place % 16 == 0:
            return place
        units, wanted = -(-self.d // 4), floats // 4
        out = self._in_rows(place, self.n, stride, 4 * self.d)
        if units == wanted:
            return out
        # A unit more behind each row.
        zeros = self._work.put(np.zeros((self.n, floats), np.float32))
        places = np.arange(self.n)[:, None] * wanted + np.arange(units)
        return self._in_rows(out, places.size, 16, 16, zeros, places)

    def _in_rows(
        self,
        place: int,
        n: int,
        stride: int,
        bytes: int,
        to: int | None = None,
        places: npt.NDArray[np.int64] | None = None,
    ) -> int:
        out = to if to is not None else self._work.take(-(-bytes // 16) * 16 * n)
        put_rows(
            self._work,
            place,
            n,
            stride,
            bytes,
            "as_they_are",
            out,
            places=None if places is None else self._work.put(places),
            in_rows=1,
        )
        return out

    def rows(self) -> tuple[int, int]:
        """float32 rows on the device: the first one's place, and bytes from one to the next."""
        if self._here:
            return self._x.place, _stride(self._x)
        floats = -(-self.d // 4) * 4
        return self.padded(floats), 4 * floats


def _stride(x: Array) -> int:
    n, d = x.shape
    return x.strides[0] if n > 1 else 4 * d


class GpuIndex(ABC):
    """An index whose vectors are on a GPU. Ids are 64-bit integers, vectors are rows of d values.

    x of a call is in host memory (numpy, lists), is copied, and results come back there; or it is
    on the index's GPU (torch, CuPy, DLPack, the CUDA array interface), and is used there: results
    are torch's or CuPy's, and the call returns before they are there. (Other libraries get numpy,
    and are waited for.) Work is put on the current stream of x's library, or on `stream=`.

    Vectors on the device are not looked at before they are stored: one with NaN is never found.
    """

    def __init__(
        self,
        resources: StandardGpuResources,
        d: int,
        metric: int = METRIC_L2,
        config: GpuIndexConfig | None = None,
    ) -> None:
        if not isinstance(resources, StandardGpuResources):
            raise TypeError(
                f"resources is a {type(resources).__name__}; expected StandardGpuResources()"
            )
        d = operator.index(d)
        if d < 1:
            raise ArgumentError(f"d = {d}; it must be at least 1")
        if metric not in (METRIC_L2, METRIC_INNER_PRODUCT):
            raise UnsupportedError(
                f"metric {metric} is not available; choose METRIC_L2 (1) or METRIC_INNER_PRODUCT "
                "(0)"
            )
        self.d = d
        self.metric_type = int(metric)
        self.ntotal = 0
        self.is_trained = True
        self.verbose = False
        default = self._default_config()
        if config is not None and not isinstance(config, type(default)):
            raise TypeError(
                f"config is a {type(config).__name__}; expected {type(default).__name__}"
            )
        self._config = config if config is not None else default
        self._resources = resources
        self._engine = resources._engine(self._config.device)
        self._order = _Order(self._engine)

    @staticmethod
    def _default_config() -> GpuIndexConfig:
        return GpuIndexConfig()

    # What a class of index writes.

    _at_once = False  # whether what is added must not be cut in parts

    @abstractmethod
    def _add(self, work: Work, queries: Queries, ids: npt.NDArray[np.int64] | None) -> None:
        """Stores the rows of a batch behind those that are there."""

    @abstractmethod
    def _search(
        self,
        work: Work,
        queries: Queries,
        k: int,
        params: SearchParameters | None,
        allowed: int | None,
        distances: int,
        ids: int,
    ) -> None:
        """Writes (n, k) float32 and int64 on the device: in faiss's sign, best first, -1 and the
        worst distance behind the last. allowed: bits of the rows that may be found."""

    @abstractmethod
    def _bytes_for(self, work: Work, n: int, k: int, params: SearchParameters | None) -> int:
        """Memory that _search takes for n queries."""

    def _row_ids(self) -> npt.NDArray[np.int64] | None:
        """Ids of the rows, where they are not their numbers."""
        return None

    @abstractmethod
    def reset(self) -> None:
        """Removes every vector; what was trained stays."""

    # What they share.

    def train(self, x: Any, *, stream: Any = None) -> None:  # noqa: B027
        """There is nothing to be learnt."""

    def add(self, x: Any, *, stream: Any = None) -> None:
        """Stores the rows of x (n, d) under the next ids.

        Raises DimensionError for another d, ArgumentError for NaN or Inf in host memory and for
        another GPU's arrays, NotTrainedError before train, MemoryError if they do not fit.
        """
        self._store(x, None, stream)

    def add_with_ids(self, x: Any, ids: Any, *, stream: Any = None) -> None:
        """Raises UnsupportedError: ids are the rows' numbers."""
        raise UnsupportedError(
            f"{type(self).__name__} has no ids of its own; add(x) gives the next ones"
        )

    def search(
        self,
        x: Any,
        k: int,
        *,
        params: SearchParameters | None = None,
        D: Any = None,
        I: Any = None,
        stream: Any = None,
    ) -> tuple[Any, Any]:
        """The k nearest of each row of x (n, d): distances (n, k) float32 and ids (n, k) int64.

        Distances are squared L2, or inner products (largest first). Missing results are id -1 with
        distance +-3.4e38, which is also what a query with NaN gets. k is at most 2048. D and I are
        filled where given. params may name the ids to search among (sel).

        Raises DimensionError for another d, ArgumentError for k out of range and for arrays of
        another GPU, TypeError for D and I of other dtypes.
        """
        k = operator.index(k)
        if not 1 <= k <= MOST_NEAREST:
            raise ArgumentError(
                f"k = {k} neighbours were asked for; on a GPU k must be from 1 to {MOST_NEAREST}"
            )
        if params is not None and not isinstance(params, SearchParameters):
            raise TypeError(f"params is a {type(params).__name__}; expected SearchParameters")
        self._check_trained()
        asked, at, here = self._given(x, stream)
        n = asked.shape[0]
        told = self._output(asked, here, D, "D", (n, k), "float32", at)
        ids = self._output(asked, here, I, "I", (n, k), "int64", at)
        direct = self._is_here(told, "D")
        if self._is_here(ids, "I") != direct:
            raise ArgumentError("D and I are not both on the device or both on the host")
        with self._resources._work(self._config.device, at) as work:
            self._order.reading(at)
            row = 8 * self.d + 12 * k
            step = work.batch(
                n, _MOST_QUERIES, lambda m: m * row + self._bytes_for(work, m, k, params)
            )
            allowed = self._allowed(work, params)
            for begin in range(0, n, step):
                queries = Queries(work, _part(asked, begin, min(begin + step, n)), here)
                place, named = told.place + 4 * k * begin, ids.place + 8 * k * begin
                size = k * queries.n
                with work.passing():
                    if direct:
                        self._search(work, queries, k, params, allowed, place, named)
                        continue
                    near, numbers = work.take(4 * size), work.take(8 * size)
                    self._search(work, queries, k, params, allowed, near, numbers)
                    work.copy(place, near, 4 * size)
                    work.copy(named, numbers, 8 * size)
            if not (here and direct and asked.library):
                work.synchronize()
        return self._result(asked, told, D), self._result(asked, ids, I)

    def assign(self, x: Any, k: int = 1, labels: Any = None, *, stream: Any = None) -> Any:
        """The ids of search, without the distances."""
        return self.search(x, k, I=labels, stream=stream)[1]

    def range_search(self, x: Any, thresh: float, *, params: Any = None) -> Any:
        """Raises UnsupportedError, as faiss's indexes on GPUs do."""
        raise UnsupportedError(
            f"{type(self).__name__} has no range_search; index_gpu_to_cpu(index) has"
        )

    def remove_ids(self, x: Any) -> int:
        """Raises UnsupportedError, as faiss's indexes on GPUs do."""
        raise UnsupportedError(
            f"{type(self).__name__} has no remove_ids; make it anew, or search with a selector"
        )

    def getDevice(self) -> int:
        """Which GPU the vectors are on."""
        return self._config.device

    def getResources(self) -> StandardGpuResources:
        """What it works with."""
        return self._resources

    def __len__(self) -> int:
        return self.ntotal

    def __repr__(self) -> str:
        metric = "L2" if self.metric_type == METRIC_L2 else "IP"
        return (
            f"{type(self).__name__}(d={self.d}, metric={metric}, ntotal={self.ntotal}, "
            f"device={self._config.device})"
        )

    @property
    def _l2(self) -> bool:
        return self.metric_type == METRIC_L2

    @property
    def _halves(self) -> bool:
        """Whether vectors are rounded to float16 before they are stored."""
        return False

    def _check_like(self, index: Any) -> None:
        """Whether an index of the CPU can be copied from or to this one."""
        if index.d != self.d or index.metric_type != self.metric_type:
            raise ArgumentError(
                f"the index has d = {index.d} and metric {int(index.metric_type)}; expected "
                f"{self.d} and {self.metric_type}"
            )

    def _check_trained(self) -> None:
        if not self.is_trained:
            raise NotTrainedError(f"this {type(self).__name__} is not trained; call train(x) first")

    def _is_here(self, x: Array, name: str) -> bool:
        """Whether jobs can use x where it is."""
        if self._engine.host:
            if x.device is not None:
                raise ArgumentError(f"{name} is on GPU {x.device}; the index is on the host")
            return x.library != "numpy"
        if x.device not in (None, -1, self._config.device):
            raise ArgumentError(
                f"{name} is on GPU {x.device}; the index is on GPU {self._config.device}"
            )
        return x.device is not None

    def _given(
        self, x: Any, stream: Any, name: str = "x", halves: bool = False
    ) -> tuple[Array, Stream, bool]:
        """Vectors (n, d) of a call as float32, its stream, and whether they can be used there."""
        default = self._resources._default_stream(self._config.device)
        wanted = stream_of(None, stream, default)
        seen = look(x, name, wanted.handle)
        at = stream_of(seen, stream, default)
        here = self._is_here(seen, name)
        if seen.after is not None and seen.after != at.handle:
            self._engine.synchronize(seen.after)
        asked = as_floats(seen, name, at, halves=halves)
        if asked.shape[1] != self.d:
            raise DimensionError(
                f"the vectors have {asked.shape[1]} dimensions but this {type(self).__name__} has "
                f"d = {self.d}; pass an array of shape (n, {self.d})"
            )
        return asked, at, here

    def _output(
        self,
        asked: Array,
        here: bool,
        wanted: Any,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        stream: Stream,
    ) -> Array:
        """Where results go: what the caller brought, checked, or fresh memory."""
        if wanted is None:
            return empty(asked, shape, dtype, stream) if here else look(np.empty(shape, dtype))
        out = look(wanted, name, stream.handle)
        if out.dtype != dtype:
            raise TypeError(f"{name} has dtype {out.dtype}; expected {dtype}")
        if out.shape != shape or not out.contiguous or out.read_only:
            raise DimensionError(
                f"{name} has shape {out.shape}; expected a writable C-contiguous array of shape "
                f"{shape}"
            )
        return out

    def _result(self, asked: Array, made: Array, wanted: Any) -> Any:
        if wanted is not None:
            return wanted
        return made.given if made.library != "numpy" else in_kind(asked, made.given)

    def _store(self, x: Any, ids: npt.NDArray[np.int64] | None, stream: Any) -> None:
        self._check_trained()
        rows, at, here = self._given(x, stream, halves=self._halves)
        n = rows.shape[0]
        if not here:
            check_finite(to_numpy(rows))
        step = n if here or self._at_once else max(1, _PART // (4 * self.d))
        with self._resources._work(self._config.device, at) as work:
            self._order.writing(at)
            for begin in range(0, n, max(step, 1)):
                end = min(begin + step, n)
                with work.passing():
                    part = Queries(work, _part(rows, begin, end), here)
                    self._add(work, part, None if ids is None else ids[begin:end])
                self.ntotal += end - begin
            if not (here and rows.library):
                work.synchronize()

    def _allowed(self, work: Work, params: SearchParameters | None) -> int | None:
        """A bit for each row that may be found: those whose ids are in params.sel."""
        if params is None or params.sel is None:
            return None
        return work.put(_gpu.selected(params.sel, self._row_ids(), self.ntotal))

    @contextmanager
    def _reading(self) -> Iterator[Work]:
        """To read what is stored, on the default stream."""
        at = self._resources._default_stream(self._config.device)
        with self._resources._work(self._config.device, at) as work:
            self._order.reading(at)
            yield work


def _part(x: Array, begin: int, end: int) -> Array:
    """Rows of x."""
    if begin == 0 and end == x.shape[0]:
        return x
    changed = {
        "place": x.place + begin * x.strides[0],
        "shape": (end - begin, *x.shape[1:]),
        "keep": x,
    }
    given = {} if x.library != "numpy" else {"given": x.given[begin:end]}
    return Array(**{**vars(x), **changed, **given})


def check_finite(x: npt.NDArray[np.float32]) -> None:
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise ArgumentError(
            f"cannot add vectors with NaN or Inf: row {row}, column {column} is {x[row, column]}; "
            "drop or clean such rows first"
        )
