"""Inverted lists on a device: where their rows lie, and how rows come in."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._core import _gpu

_GROUP = 32  # rows that a store has side by side
_UNIT = 16  # bytes
_MOST = (1 << 32) - 2  # rows of a store


class Lists:
    """A store in which each list begins at a multiple of 32 rows, with room behind its last row.

    width: bytes of a row as it is stored. Sizes and ids (8 bytes a row) are kept on the host too,
    so that where a row goes is known without asking the device. When a list is full all are laid
    out anew with half as much again for each; the first rows get what they need.
    """

    def __init__(self, engine: Any, nlist: int, width: int) -> None:
        self.engine, self.width = engine, width
        self.units = -(-width // _UNIT)
        self.sizes = np.zeros(nlist, np.int64)
        self._empty()

    def _empty(self) -> None:
        self.sizes[:] = 0
        self.starts = np.zeros(len(self.sizes) + 1, np.int64)  # and where the last one ends
        self.ids = np.empty(0, np.int64)
        self.rows: Any = None
        self._told: tuple[Any, ...] | None = None  # starts, sizes and ids as the device has them

    def clear(self) -> None:
        """Gives all memory back."""
        self._empty()

    def __len__(self) -> int:
        return int(self.sizes.sum())

    @property
    def room(self) -> int:
        """Rows there is room for, those between lists included."""
        return int(self.starts[-1])

    def reserve(self, sizes: np.ndarray, stream: int = 0) -> None:
        """Lays lists out anew, with room for so many rows of each; not fewer than there are."""
        whole = -(-np.maximum(sizes, self.sizes) // _GROUP) * _GROUP
        starts = np.concatenate([[0], whole.cumsum()])
        if starts[-1] > _MOST:
            raise _core.ArgumentError(
                f"{starts[-1]} rows are more than the 2^32 - 2 of one index on a GPU; split them"
            )
        rows = _gpu.Memory(self.engine, int(starts[-1]) * self.units * _UNIT)
        held, ids = self._places(), np.empty(int(starts[-1]), np.int64)
        if len(held):
            # Of every place its new one; room stays behind.
            moves = np.full(self.room, -1, np.int64)
            moves[held] = held + np.repeat(starts[:-1] - self.starts[:-1], self.sizes)
            ids[moves[held]] = self.ids[held]
            self._store(rows, self.rows.place, self.room, 0, self.width, moves, stream)
        self.starts, self.rows, self.ids, self._told = starts, rows, ids, None

    def _places(self) -> np.ndarray:
        """Of all rows, list after list."""
        before = self.sizes.cumsum() - self.sizes
        return np.arange(len(self)) + np.repeat(self.starts[:-1] - before, self.sizes)

    def add(
        self,
        rows: int,
        stride: int,
        bytes: int,
        labels: np.ndarray,
        ids: np.ndarray,
        conversion: str = "as_they_are",
        stream: int = 0,
    ) -> None:
        """Rows at an address of the device, `stride` bytes apart, behind those of their lists."""
        if not len(labels):
            return
        counts = np.bincount(labels, minlength=len(self.sizes))
        sizes = self.sizes + counts
        if np.any(sizes > np.diff(self.starts)):
            self.reserve(sizes + (sizes // 2 if len(self) else 0), stream)
        order = np.argsort(labels, kind="stable")
        places = np.empty(len(labels), np.int64)
        first = self.starts[:-1] + self.sizes - (counts.cumsum() - counts)
        places[order] = np.arange(len(labels)) + np.repeat(first, counts)
        self._store(self.rows, rows, len(labels), stride, bytes, places, stream, conversion)
        self.ids[places] = ids
        self.sizes, self._told = sizes, None

    def _store(
        self,
        to: Any,
        rows: int,
        n: int,
        stride: int,
        bytes: int,
        places: np.ndarray,
        stream: int,
        conversion: str = "as_they_are",
    ) -> None:
        where = self._put(places, stream)
        self.engine.store(
            **{"from": rows},
            stream=stream,
            conversion=conversion,
            n=n,
            stride=stride,
            bytes=bytes,
            rows=to,
            places=where,
        )
        self.engine.synchronize(stream)  # before the places go

    def _put(self, x: np.ndarray, stream: int) -> Any:
        out = _gpu.Memory(self.engine, x.nbytes)
        self.engine.copy(out.place, x.ctypes.data, x.nbytes, stream)
        return out

    def job(self, stream: int = 0) -> dict[str, Any]:
        """What a job scan_lists takes of the lists."""
        if self._told is None:
            self._told = tuple(
                self._put(x, stream)
                for x in (
                    self.starts[:-1].astype(np.uint64),
                    self.sizes.astype(np.uint32),
                    self.ids,
                )
            )
            self.engine.synchronize(stream)  # other streams may be next
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

    def ids_of(self, number: int) -> np.ndarray:
        """A copy of a list's ids."""
        first = self.starts[number]
        return self.ids[first : first + self.sizes[number]].copy()

    def codes_of(self, number: int) -> np.ndarray:
        """A copy of a list's rows: uint8 (size, width)."""
        size, unit = int(self.sizes[number]), self.units * _UNIT
        out = np.empty((-(-size // _GROUP), self.units, _GROUP, _UNIT), np.uint8)
        if size:
            self.engine.synchronize()
            place = self.rows.place + int(self.starts[number]) * unit
            self.engine.copy(out.ctypes.data, place, out.nbytes)
            self.engine.synchronize()
        return out.transpose(0, 2, 1, 3).reshape(-1, unit)[:size, : self.width]
