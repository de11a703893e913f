"""Rows on a device, in the layout that scans take; with room for more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import _gpu
from .resources import Work

__all__ = [
    "GROUP",
    "UNIT",
    "Growing",
    "Store",
    "passing_store",
    "put_rows",
    "store_bytes",
    "units_of",
    "width_of",
]

GROUP = 32  # rows that lie side by side
UNIT = 16  # bytes
_PART = 64 << 20  # bytes that are read back at a time


def units_of(bytes: int) -> int:
    return -(-bytes // UNIT)


def width_of(bytes: int, conversion: str) -> int:
    """Bytes of a row that is stored."""
    return bytes // 2 if conversion.endswith("16") else bytes


def store_bytes(n: int, units: int) -> int:
    """Of n rows that are stored."""
    return -(-n // GROUP) * GROUP * units * UNIT


def put_rows(
    work: Work,
    place: int,
    n: int,
    stride: int,
    bytes: int,
    conversion: str,
    to: int,
    first: int = 0,
    **more: Any,
) -> None:
    """The job `store`."""
    work.run(
        "store",
        **{"from": place},
        conversion=conversion,
        n=n,
        stride=stride,
        bytes=bytes,
        rows=to,
        first=first,
        **more,
    )


def passing_store(
    work: Work, place: int, n: int, stride: int, bytes: int, conversion: str, **measures: Any
) -> int:
    """A store in memory of the call."""
    to = work.take(store_bytes(n, units_of(width_of(bytes, conversion))))
    put_rows(work, place, n, stride, bytes, conversion, to, **measures)
    return to


class Growing:
    """`each` bytes for each of ever more things; at least doubled when there is no room."""

    def __init__(self, engine: Any, each: int) -> None:
        self._engine, self._each = engine, each
        self._memory: Any = None
        self.capacity = 0

    @property
    def place(self) -> int:
        return self._memory.place if self._memory is not None else 0

    def reserve(self, work: Work, used: int, n: int) -> None:
        """Room for n, of which the first `used` are there."""
        if n <= self.capacity:
            return
        capacity = max(n, 2 * self.capacity)
        larger = _gpu.Memory(self._engine, capacity * self._each)
        if used:
            work.copy(larger.place, self.place, used * self._each)
        # What goes is freed when the device is done with it.
        self._memory, self.capacity = larger, capacity


class Store:
    """A store of cuda/plugin.h that grows. conversion: what becomes of float32 rows in it.

    bytes: of a row that is appended.
    """

    def __init__(self, engine: Any, bytes: int, conversion: str = "as_they_are") -> None:
        self.bytes, self.conversion = bytes, conversion
        self.width = width_of(bytes, conversion)
        self.units = units_of(self.width)
        self._groups = Growing(engine, store_bytes(GROUP, self.units))
        self.n = 0

    @property
    def rows(self) -> int:
        """The address of the rows."""
        return self._groups.place

    def reserve(self, work: Work, n: int) -> None:
        self._groups.reserve(work, -(-self.n // GROUP), -(-n // GROUP))

    def append(self, work: Work, place: int, n: int, stride: int, **measures: Any) -> None:
        """n rows from `place`, `stride` bytes apart; of stride 0, from another store. measures:
        squares, errors, most_square and most_error of the job."""
        self.reserve(work, self.n + n)
        put_rows(work, place, n, stride, self.bytes, self.conversion, self.rows, self.n, **measures)
        self.n += n

    def gather(self, work: Work, numbers: int, n: int, to: int) -> None:
        """Rows of n numbers (int64, on the device), one after the other in whole units; zeros for
        numbers that are none."""
        put_rows(
            work,
            self.rows,
            n,
            0,
            self.width,
            "as_they_are",
            to,
            gather=numbers,
            gather_n=self.n,
            in_rows=1,
        )

    def read(self, work: Work, first: int, n: int) -> npt.NDArray[np.uint8]:
        """Rows first to first + n: (n, width) bytes, on the host."""
        out = np.empty((n, self.width), np.uint8)
        row = self.units * UNIT
        step = max(1, _PART // row)
        for at in range(0, n, step):
            part = min(step, n - at)
            with work.passing():
                numbers = work.put(np.arange(first + at, first + at + part))
                rows = work.take(part * row)
                self.gather(work, numbers, part, rows)
                out[at : at + part] = work.get(rows, (part, row), np.uint8)[:, : self.width]
        return out

    def clear(self) -> None:
        self._groups = Growing(self._groups._engine, self._groups._each)
        self.n = 0
