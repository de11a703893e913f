"""Vectors in a list column of a Parquet file, decoded one row group at a time."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ._vector_files import check_dim
from .datasets import Vectors


class ParquetVectors(Vectors):
    def __init__(self, path: str | os.PathLike[str], column: str | None) -> None:
        self.name = str(path)
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path}: not a Parquet file: {error}") from None
        schema = self._file.schema_arrow
        self._column = self._choose(schema, column)
        kind = schema.field(self._column).type
        try:
            self.dtype = np.dtype(kind.value_type.to_pandas_dtype())
        except NotImplementedError:
            self.dtype = np.dtype(object)
        if self.dtype.name not in ("float16", "float32", "float64", "uint8", "int8"):
            raise ValueError(
                f"{self.name}: column {self._column!r} holds {kind.value_type}; "
                "expected float, halffloat, double, uint8 or int8"
            )
        groups = self._file.metadata
        counts = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
        self._ends = np.cumsum([0, *counts])
        self._rows, self._count = None, int(self._ends[-1])
        self._group, self._decoded = -1, np.empty((0, 0))
        if pa.types.is_fixed_size_list(kind):
            self.dim = kind.list_size
        else:
            self.dim = self._first_width()
        check_dim(self.name, self.dim)

    def read(self, start: int, stop: int) -> np.ndarray:
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"{self.name}: rows {start}..{stop} of {len(self)}")
        out = np.empty((stop - start, self.dim), self.dtype)
        at = start
        while at < stop:
            group = int(np.searchsorted(self._ends, at, side="right")) - 1
            begin, end = int(self._ends[group]), int(self._ends[group + 1])
            take = min(stop, end)
            out[at - start : take - start] = self._decode(group)[at - begin : take - begin]
            at = take
        return out

    def _decode(self, group: int) -> np.ndarray:
        if group != self._group:  # chunks come in order: the last group is often asked for again
            parts, row = [], int(self._ends[group])
            for part in self._lists(group):
                parts.append(self._matrix(part, row))
                row += len(part)
            self._decoded, self._group = np.concatenate(parts), group
        return self._decoded

    def _lists(self, group: int) -> list[Any]:
        try:
            return list(self._file.read_row_group(group, columns=[self._column])[0].chunks)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{self.name}: row group {group} is damaged: {error}") from None

    def _matrix(self, part: Any, first_row: int) -> np.ndarray:
        if part.null_count:
            row = first_row + int(np.flatnonzero(part.is_null().to_numpy(False))[0])
            raise ValueError(f"{self.name}: row {row} of {self._column!r} is null")
        if not pa.types.is_fixed_size_list(part.type):
            widths = part.value_lengths().to_numpy(zero_copy_only=False)
            if (wrong := np.flatnonzero(widths != self.dim)).size:
                raise ValueError(
                    f"{self.name}: row {first_row + wrong[0]} of {self._column!r} is "
                    f"{widths[wrong[0]]} wide; expected {self.dim}"
                )
        values = part.flatten()  # .values would ignore the slice
        if values.null_count:
            raise ValueError(f"{self.name}: {self._column!r} has null values inside its rows")
        matrix: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(-1, self.dim)
        return matrix

    def _first_width(self) -> int:
        for part in self._lists(0) if len(self) else []:
            if len(part) and part[0].is_valid:
                return len(part[0])
        raise ValueError(
            f"{self.name}: column {self._column!r} has no first row to take the width from"
        )

    def _choose(self, schema: Any, column: str | None) -> str:
        kinds = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)
        lists = [f.name for f in schema if any(is_kind(f.type) for is_kind in kinds)]
        if column is None and len(lists) == 1:
            return str(lists[0])
        if column is None:
            raise ValueError(
                f"{self.name}: list columns {lists or 'none'}; "
                "name the one with the vectors: column=..."
            )
        if column not in lists:
            raise ValueError(
                f"{self.name}: no list column {column!r}; "
                f"it has {', '.join(map(repr, lists)) or 'none'}"
            )
        return column
