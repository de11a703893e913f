"""Inverted lists on a device: where their rows lie, and how rows come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .resources import Work
from .store import GROUP, UNIT, units_of

__all__ = ["Lists"]

Integers = npt.NDArray[np.int64]

_MOST = (1 << 32) - 2  # rows of a store


class Lists:
    """A store in which each list begins at a multiple of 32 rows, with room behind its last row.

    width: bytes of a row as it is stored. Sizes and ids (8 bytes a row) are kept on the host too,
    so that where a row goes is known without asking the device. When a list is full all are laid
    out anew with half as much again for each; the first rows get what they need.
    """

    def __init__(self, nlist: int, width: int) -> None:
        self.width = width
        self.units = units_of(width)
        self.sizes = np.zeros(nlist, np.int64)
        self.clear()

    def clear(self) -> None:
        """Gives all memory back."""
        self.sizes = np.zeros_like(self.sizes)
        self.starts = np.zeros(len(self.sizes) + 1, np.int64)  # and where the last one ends
        self.ids = np.empty(0, np.int64)  # -1 where there is no row
        self.rows: Any = None
        self._told: tuple[Any, ...] | None = None  # starts, sizes and ids as the device has them

    def __len__(self) -> int:
        return int(self.sizes.sum())

    @property
    def room(self) -> int:
        """Rows there is room for, those between lists included."""
        return int(self.starts[-1])

    def reserve(self, work: Work, sizes: Integers) -> None:
        """Lays lists out anew, with room for so many rows of each; not fewer than there are."""
        whole = -(-np.maximum(sizes, self.sizes) // GROUP) * GROUP
        starts = np.concatenate([[0], whole.cumsum()])
        if starts[-1] > _MOST:
            raise _core.ArgumentError(
                f"{starts[-1]} rows are more than the 2^32 - 2 of one index on a GPU; split them"
            )
        rows = work.memory(int(starts[-1]) * self.units * UNIT)
        held, ids = self._places(), np.full(int(starts[-1]), -1, np.int64)
        if len(held):
            # Of every place its new one; room stays behind.
            moves = np.full(self.room, -1, np.int64)
            moves[held] = held + np.repeat(starts[:-1] - self.starts[:-1], self.sizes)
            ids[moves[held]] = self.ids[held]
            with work.passing():
                work.run(
                    "store",
                    **{"from": self.rows},
                    n=self.room,
                    stride=0,
                    bytes=self.width,
                    rows=rows,
                    places=work.put(moves),
                )
                work.synchronize()  # before the old ones go
        self.starts, self.rows, self.ids, self._told = starts, rows, ids, None

    def _places(self) -> Integers:
        """Of all rows, list after list."""
        before = self.sizes.cumsum() - self.sizes
        out: Integers = np.arange(len(self)) + np.repeat(self.starts[:-1] - before, self.sizes)
        return out

    def add(
        self, work: Work, rows: int, stride: int, labels: Integers, ids: Integers, **how: Any
    ) -> None:
        """Rows on the device, `stride` bytes apart, behind those of their lists.

        how: what else a job `store` takes; bytes and conversion of rows that are not stored as they
        are.
        """
        if not len(labels):
            return
        counts = np.bincount(labels, minlength=len(self.sizes))
        sizes = self.sizes + counts
        if np.any(sizes > np.diff(self.starts)):
            self.reserve(work, sizes + (sizes // 2 if len(self) else 0))
        order = np.argsort(labels, kind="stable")
        places = np.empty(len(labels), np.int64)
        first = self.starts[:-1] + self.sizes - (counts.cumsum() - counts)
        places[order] = np.arange(len(labels)) + np.repeat(first, counts)
        with work.passing():
            job = {"from": rows, "n": len(labels), "stride": stride, "bytes": self.width} | how
            work.run("store", **job, rows=self.rows, places=work.put(places))
            work.synchronize()  # another stream may be next
        self.ids[places] = ids
        self.sizes, self._told = sizes, None

    def job(self, work: Work) -> dict[str, Any]:
        """What a job scan_lists takes of the lists."""
        if self._told is None:
            told: Any = self.starts[:-1].astype(np.uint64), self.sizes.astype(np.uint32), self.ids
            self._told = tuple(map(work.keep, told))
        starts, sizes, ids = self._told
        return {
            "rows": self.rows,
            "n": self.room,
            "units_per_row": self.units,
            "starts": starts,
            "sizes": sizes,
            "lists_n": len(self.sizes),
            "ids": ids,
        }

    def ids_of(self, number: int) -> Integers:
        """A copy of a list's ids."""
        first = self.starts[number]
        return self.ids[first : first + self.sizes[number]].copy()

    def codes_of(self, work: Work, number: int) -> npt.NDArray[np.uint8]:
        """A copy of a list's rows: uint8 (size, width)."""
        size, unit = int(self.sizes[number]), self.units * UNIT
        shape = (-(-size // GROUP), self.units, GROUP, UNIT)
        if not size:
            return np.empty((0, self.width), np.uint8)
        stored = work.get(self.rows.place + int(self.starts[number]) * unit, shape, np.uint8)
        return stored.transpose(0, 2, 1, 3).reshape(-1, unit)[:size, : self.width]
