"""Centroids on a GPU, and which of them are near to rows.

Rows go there all at once or, where they do not fit, a part at a time. Tensor cores multiply both,
rounded; where more than the nearest is asked for, what they find is compared again.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .resources import Work
from .store import GROUP, put_rows, store_bytes, units_of, width_of

__all__ = ["PRECISIONS", "Search"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

PRECISIONS = ("tfloat32", "bfloat16", "float32")
"""What products of rows and centroids are of. Sums are float32 in all."""

_NUMBERS = ("float32", "float16", "uint8", "int8")  # that rows may be of as they are
_SHARE = 0.6  # of the device's free memory, for rows
_HOST_BYTES = 1 << 30  # likewise, where there is no device
_ROOM_BYTES = 256 << 20  # of a call of scan_many
_COPY_BYTES = 8 << 20  # of rows that are made float32 at a time
_MOST_QUERIES = 65535 // GROUP * GROUP  # of a call
_MOST_KEPT = 2048  # of a query


def as_numbers(x: Any) -> Array:
    """Rows of numbers that can be read as they are."""
    rows: Array = np.ascontiguousarray(x)
    return rows if rows.dtype.name in _NUMBERS else rows.astype(np.float32)


def check_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise _core.ArgumentError(
            f"precision = {precision!r}; choose {', '.join(map(repr, PRECISIONS))}"
        )


def mean_of(x: Array) -> Floats:
    total = np.zeros(x.shape[1])
    step = max(1, _COPY_BYTES // (8 * x.shape[1]))
    for at in range(0, len(x), step):
        total += x[at : at + step].sum(0, dtype=np.float64)
    return (total / len(x)).astype(np.float32)


@dataclass(frozen=True)
class Form:
    """How rows of d numbers are on the device: as float32, and as tensor cores multiply them."""

    d: int
    precision: str

    @property
    def floats(self) -> int:
        """Numbers of a row, with zeros up to a unit of 16 bytes."""
        return -(-self.d // 4) * 4

    @property
    def halves(self) -> bool:
        return self.precision == "bfloat16"

    @property
    def units(self) -> int:
        """Of a stored row, 16 bytes each."""
        return units_of(width_of(4 * self.floats, self.conversion))

    @property
    def conversion(self) -> str:
        return "f32_to_bf16" if self.halves else "f32_to_tf32"

    def kind(self, metric: int) -> str:
        name = "l2" if metric == _core.METRIC_L2 else "ip"
        return f"{name}_{'bf16' if self.halves else 'f32'}"

    def stored_bytes(self, n: int) -> int:
        return store_bytes(n, self.units)

    def store(self, work: Work, raw: Any, n: int, stored: Any) -> None:
        bytes = 4 * self.floats
        put_rows(work, raw.place, n, bytes, bytes, self.conversion, stored.place)

    def padded(self, x: Array) -> Floats:
        out = np.zeros((len(x), self.floats), np.float32)
        out[:, : self.d] = x
        return out


@dataclass(frozen=True)
class Part:
    """Rows begin to begin + n, on the device."""

    begin: int
    n: int
    raw: Any
    stored: Any


class Rows:
    """Rows that go through the device in as few parts as fit, and stay there if that is one.

    squares: of each row, less the centre, its squared length.
    """

    def __init__(
        self, work: Work, form: Form, x: Array, centre: Floats | float, memory: int | None
    ) -> None:
        self.work, self.form, self.x, self.centre = work, form, x, centre
        self.squares = np.empty(len(x), np.float32)
        if memory is None:
            memory = int(_SHARE * work.engine.free) or _HOST_BYTES
        each = 4 * form.floats + 16 * form.units
        self.most = min(len(x), max(GROUP, memory // each // GROUP * GROUP))
        self._raw = work.memory(4 * form.floats * self.most)
        self._stored = work.memory(form.stored_bytes(self.most))
        self._there = -1  # the part that was put there last

    def replace(self, x: Array) -> None:
        """Others in their place, of as many dimensions."""
        self.x, self._there = x, -1
        self.squares = np.empty(len(x), np.float32)

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[Part]:
        for begin in range(0, len(self), self.most):
            n = min(self.most, len(self) - begin)
            part = Part(begin, n, self._raw, self._stored)
            if begin != self._there:
                self._there = -1
                self._put(part)
                self._there = begin
            yield part

    def _put(self, part: Part) -> None:
        bytes = 4 * self.form.floats
        step = max(1, _COPY_BYTES // bytes)
        for at in range(0, part.n, step):
            begin = part.begin + at
            end = min(begin + step, part.begin + part.n)
            some = self.form.padded(self.x[begin:end] - self.centre)
            np.einsum("ij,ij->i", some, some, out=self.squares[begin:end])
            if not np.isfinite(self.squares[begin:end]).all():
                bad = begin + int(np.flatnonzero(~np.isfinite(self.squares[begin:end]))[0])
                raise _core.ArgumentError(
                    f"row {bad} has NaN, Inf or values whose squares float32 does not hold; leave "
                    "it out, or scale the vectors down"
                )
            self.work.write(part.raw.place + at * bytes, some)
        self.form.store(self.work, part.raw, part.n, part.stored)


class Centroids:
    """k centroids on the device, and which of them are near its rows."""

    def __init__(self, work: Work, form: Form, k: int, metric: int) -> None:
        self.work, self.form, self.k, self.metric = work, form, k, metric
        self.raw = work.memory(4 * form.floats * k)
        self._stored = work.memory(form.stored_bytes(k))
        self._squares, self._half = work.memory(4 * k), work.memory(4 * k)
        self._calls: dict[int, int] = {}  # of how many are kept, queries at a time
        self._kept: tuple[Any, ...] | None = None

    @property
    def l2(self) -> bool:
        return self.metric == _core.METRIC_L2

    @property
    def rows(self) -> Part:
        """The centroids as rows, whose nearest centroids may be asked for."""
        return Part(0, self.k, self.raw, self._stored)

    def first(self, k: int) -> Centroids:
        """The first k of them, where these are."""
        out = copy(self)
        out.k, out._calls = k, {}
        return out

    def set(self, centroids: Floats) -> None:
        """centroids: (k, d), less what rows are less."""
        rows = self.form.padded(centroids)
        self.work.write(self.raw.place, rows)
        self.form.store(self.work, self.raw, self.k, self._stored)
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64) * self.l2
        self.work.write(self._squares.place, squares.astype(np.float32))
        self.work.write(self._half.place, (squares / 2).astype(np.float32))

    def nearest(self, part: Part, labels: int, distances: int) -> None:
        """Puts the nearest of each row at labels, int64, and what `scaled` takes at distances."""
        if self.form.precision != "float32":
            return self._search(part, 0, part.n, 1, labels, distances)
        self.work.run(
            "assign",
            rows=part.raw,
            n=part.n,
            centroids=self.raw,
            k=self.k,
            d=self.form.floats,
            bias=self._half,
            labels=labels,
            scores=distances,
        )

    def scaled(self, told: Floats, squares: Floats) -> Floats:
        """Distances, smaller is nearer, of what `nearest` tells. Raises ArgumentError."""
        if self.l2:
            scale = np.float32(2 if self.form.precision == "float32" else 1)
            told = np.maximum(scale * told + squares, 0)
        if not (np.abs(told) < np.finfo(np.float32).max).all():
            raise _core.ArgumentError(
                "a vector is too far from every centroid: the distance is more than float32 holds; "
                "scale the vectors down"
            )
        return told

    def near(self, part: Part, begin: int, end: int, n: int) -> tuple[Floats, Array]:
        """Of the part's rows [begin, end) the n nearest, and their distances, smaller is nearer."""
        least, best = self.near_there(part, begin, end, n)
        shape = end - begin, n
        get = self.work.get
        return get(least.place, shape, np.float32), get(best.place, shape, np.int64)

    def near_there(self, part: Part, begin: int, end: int, n: int) -> tuple[Any, Any]:
        """As near, in memory of the device.

        They are compared again by the rows themselves, unless there is nothing to be gained.
        """
        kept = min(self.k, _MOST_KEPT, n * (4 if self.form.halves else 2))
        rows = end - begin
        numbers, distances, least, best = self._memory(
            rows * kept * 8, rows * kept * 4, rows * n * 4, rows * n * 8
        )
        self._search(part, begin, end, kept, numbers.place, distances.place)
        bytes = 4 * self.form.floats
        self.work.run(
            "rescore",
            kind="l2_f32" if self.l2 else "ip_f32",
            rows=self.raw,
            n=self.k,
            stride=bytes,
            bytes=bytes,
            queries=part.raw.place + begin * bytes,
            queries_n=rows,
            candidates=numbers,
            candidates_n=rows * kept,
            distances=distances,
        )
        self.work.run(
            "select",
            distances=distances,
            rows_n=rows,
            n=kept,
            names=numbers,
            k=n,
            least=least,
            numbers=best,
        )
        return least, best

    def _memory(self, *bytes: int) -> tuple[Any, ...]:
        """For what one call hands to the next, as large as any needed."""
        if self._kept is None or any(m.bytes < b for m, b in zip(self._kept, bytes, strict=True)):
            self._kept = None
            self._kept = tuple(map(self.work.memory, bytes))
        return self._kept

    def _search(
        self, part: Part, begin: int, end: int, n: int, numbers: int, distances: int
    ) -> None:
        """begin is a multiple of 32."""
        job: dict[str, Any] = {
            "kind": self.form.kind(self.metric),
            "rows": self._stored,
            "n": self.k,
            "units_per_row": self.form.units,
            "k": n,
            "bias": self._squares,
        }
        if n not in self._calls:
            few = 128
            room = self.work.room(
                "scan_many",
                **job,
                queries=part.stored,
                queries_n=few,
                numbers=numbers,
                distances=distances,
            )
            most = _ROOM_BYTES * few // room // GROUP * GROUP
            self._calls[n] = max(GROUP, min(_MOST_QUERIES, most))
        for at in range(begin, end, self._calls[n]):
            self.work.run_in_room(
                "scan_many",
                **job,
                queries=part.stored.place + at * self.form.units * 16,
                queries_n=min(self._calls[n], end - at),
                numbers=numbers + (at - begin) * n * 8,
                distances=distances + (at - begin) * n * 4,
            )


class Search:
    """Centroids that stay on a device: which are near to rows, by tensor cores, compared again.

    centroids: (k, d) float32. metric: METRIC_L2 or METRIC_INNER_PRODUCT.
    """

    def __init__(
        self, engine: Any, centroids: Floats, metric: int, precision: str = "tfloat32"
    ) -> None:
        check_precision(precision)
        self._work, self._form = Work.alone(engine), Form(centroids.shape[1], precision)
        self._near = Centroids(self._work, self._form, len(centroids), metric)
        self._centre: Floats | float = mean_of(centroids) if self._near.l2 else 0.0
        self._near.set(centroids - self._centre)
        self._rows: Rows | None = None

    def search(self, x: Any, n: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """The n nearest of each row of x: distances (len(x), n) in faiss's signs, and numbers.

        What is told of each is exact but for float32; that none is nearer is not proven.
        """
        if self._rows is None:
            self._rows = Rows(self._work, self._form, as_numbers(x), self._centre, None)
        else:
            self._rows.replace(as_numbers(x))
        rows = self._rows
        distances = np.empty((len(rows), n), np.float32)
        numbers = np.empty((len(rows), n), np.int64)
        for part in rows:
            for begin in range(0, part.n, _MOST_QUERIES):
                end = min(begin + _MOST_QUERIES, part.n)
                own = slice(part.begin + begin, part.begin + end)
                distances[own], numbers[own] = self._near.near(part, begin, end, n)
        return (distances if self._near.l2 else -distances), numbers
