"""Which postings vectors go to, and the entries that they have there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._core import _disk
from ._plan import Plan

Array = npt.NDArray[Any]

_CHUNK = 4096  # rows whose postings are looked for at a time
_CHUNK_ON_DEVICE = 1 << 14  # likewise on a GPU
_FACTORS, _HALVINGS = (0.25, 64.0), 12  # among which that of the RNG rule is found
_HEAD = np.dtype(
    [("id", "<i8"), ("posting", "<u4"), ("distance", "<f4"), ("rank", "<u4"), ("zero", "<u4")]
)


def bytes_of_rows(rows: Array) -> npt.NDArray[np.uint8]:
    return rows.view(np.uint8).reshape(len(rows), -1)


@dataclass
class Assigner:
    """Centroids and a rule: vectors to postings, nearest first, and replicas as the rule says."""

    plan: Plan
    graph: Any
    codec: Any
    """An IVF index without vectors, whose lists' form postings have."""
    rng_factor: float = 1.0
    parents: Array = field(default_factory=lambda: np.empty(0, np.int64))
    """Of the last postings: relative to whose centroid their codes are."""
    near: Callable[[Array, int], tuple[Array, Array]] | None = None
    """Who finds the postings near rows, as search does; None: the graph."""

    @property
    def code_size(self) -> int:
        """Bytes of an entry of a posting, besides its id."""
        return _disk.code_size(self.codec) + (8 if self.plan.coded else 0)

    @cached_property
    def squares(self) -> npt.NDArray[np.float32]:
        """The squared length of each centroid."""
        out = np.empty(self.graph.ntotal, np.float32)
        for at in range(0, len(out), _CHUNK):
            some = self.graph.reconstruct_n(at, min(_CHUNK, len(out) - at))
            out[at : at + _CHUNK] = np.einsum("ij,ij->i", some, some)
        return out

    def fit(self, rows: Array) -> None:
        """Find the factor of the RNG rule that gives vectors as many postings as the plan says.

        Where dimensions are many, centroids are nearer to each other than vectors to them, and a
        factor of 1 lets no replica through.
        """
        near, lists = self._candidates(rows)
        low, high = _FACTORS
        for _ in range(_HALVINGS):
            middle = (low * high) ** 0.5
            kept = self._chosen(rows, near, lists, middle)
            if (kept >= 0).sum(1).mean() < self.plan.mean_replicas:
                low = middle
            else:
                high = middle
        self.rng_factor = round(high, 3)

    def postings(self, rows: Array) -> tuple[Array, Array]:
        """Of each row the postings it goes to, nearest first, -1 behind the last; and how far."""
        shape = len(rows), self.plan.replicas
        postings, distances = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
        step = _CHUNK if self.near is None else _CHUNK_ON_DEVICE
        for at in range(0, len(rows), step):
            some = slice(at, at + step)
            near, lists = self._candidates(rows[some])
            kept = self._chosen(rows[some], near, lists, self.rng_factor)
            at_kept = np.maximum(kept, 0)
            postings[some] = np.where(kept >= 0, np.take_along_axis(lists, at_kept, 1), -1)
            distances[some] = np.sqrt(np.maximum(np.take_along_axis(near, at_kept, 1), 0))
        return postings, distances

    def write_run(
        self, path: Path, rows: Array, ids: Array, first: int, bounds: list[int], build: int
    ) -> None:
        """Write the entries of rows, the first of which is `first` among the whole vectors."""
        postings, distances = self.postings(rows)
        row, rank = np.nonzero(postings >= 0)
        heads = np.zeros(len(row), _HEAD)
        heads["id"] = ids[row]
        heads["posting"] = postings[row, rank]
        heads["distance"] = distances[row, rank]
        heads["rank"] = rank
        del postings, distances, rank
        order = np.argsort(heads["posting"], kind="stable")
        heads, row = heads[order], row[order].astype(np.uint32)
        codes = bytes_of_rows(rows)
        if self.plan.coded:
            codes, row = self._codes(rows, first, heads["posting"], row), np.arange(len(row))
        _disk.write_run(str(path), bounds, bytes_of_rows(heads), codes, row, build)

    def roots(self, postings: Array) -> Array:
        """The postings relative to whose centroids the codes of these are."""
        if not len(self.parents):
            return postings
        with_parents = self.graph.ntotal - len(self.parents)
        own = np.maximum(postings - with_parents, 0)
        return np.where(postings < with_parents, postings, self.parents[own])

    def _codes(self, rows: Array, first: int, postings: Array, row: Array) -> Array:
        """The row number and the code of each entry."""
        out = np.empty((len(row), self.code_size), np.uint8)
        postings = self.roots(postings.astype(np.int64))
        for at in range(0, len(row), _CHUNK):
            some = slice(at, at + _CHUNK)
            out[some, :8] = (row[some].astype("<u8") + first).view(np.uint8).reshape(-1, 8)
            centroids = self.graph.reconstruct_batch(postings[some])
            out[some, 8:] = _disk.encode(self.codec, rows[row[some]], centroids)
        return out

    def _chosen(self, rows: Array, near: Array, lists: Array, rng_factor: float) -> Array:
        """The places among its candidates of the postings that each row goes to."""
        plan = self.plan
        if plan.assignment == "soar":
            return _disk.spill(self.graph, rows, lists, plan.replicas, plan.soar_lambda)
        return _disk.closure(self.graph, lists, near, plan.replicas, rng_factor)

    def _candidates(self, rows: Array) -> tuple[Array, Array]:
        """The postings near each row, nearest first, and their squared distances."""
        if self.near is not None:
            near, lists = self.near(rows, self.plan.candidates)
        else:
            ask = _core.SearchParametersHNSW(efSearch=max(self.plan.candidates, 32))
            near, lists = self.graph.search(rows, self.plan.candidates, params=ask)
        if self.plan.number == _core.METRIC_L2:
            return near, lists
        # |x - c|^2 = |x|^2 + |c|^2 - 2 <x, c>
        floats = rows.astype(np.float32)
        near[lists < 0] = 0
        squares = np.einsum("ij,ij->i", floats, floats)[:, None] - 2 * near
        squares += self.squares[np.maximum(lists, 0)]
        squares[lists < 0] = np.inf
        order = np.argsort(squares, 1, kind="stable")
        return np.take_along_axis(squares, order, 1), np.take_along_axis(lists, order, 1)
