"""faiss's data sets, as far as they are made and not downloaded; files are read by
shortlist.datasets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core

__all__ = ["Dataset", "SyntheticDataset"]

Floats = npt.NDArray[np.float32]
_METRICS = {"L2": _core.METRIC_L2, "IP": _core.METRIC_INNER_PRODUCT}


class Dataset:
    """Vectors to search among, queries, vectors to train on, and what a search should find.

    Derived classes set d (dimensions), metric ("L2" or "IP"), and nq, nb and nt, the numbers of
    queries, of vectors to search among and of those to train on; and offer the get_* methods.
    """

    d: int = -1
    metric: str = "L2"
    nq: int = -1
    nb: int = -1
    nt: int = -1

    def get_queries(self) -> npt.NDArray[Any]:
        """(nq, d)."""
        raise NotImplementedError(f"{type(self).__name__} has no get_queries")

    def get_train(self, maxtrain: int | None = None) -> npt.NDArray[Any]:
        """(nt, d), or the first maxtrain of them."""
        raise NotImplementedError(f"{type(self).__name__} has no get_train")

    def get_database(self) -> npt.NDArray[Any]:
        """(nb, d)."""
        raise NotImplementedError(f"{type(self).__name__} has no get_database")

    def get_groundtruth(self, k: int | None = None) -> npt.NDArray[np.integer[Any]]:
        """The rows of get_database() nearest to each query, (nq, k)."""
        raise NotImplementedError(f"{type(self).__name__} has no get_groundtruth")

    def get_groundtruth_range(self, thresh: float | None = None) -> Any:
        """(lims, D, I) of a range_search that finds everything nearer than thresh."""
        raise NotImplementedError(f"{type(self).__name__} has no get_groundtruth_range")

    def database_iterator(
        self, bs: int = 128, split: tuple[int, int] = (1, 0)
    ) -> Iterator[npt.NDArray[Any]]:
        """The rows of get_database(), bs at a time.

        split: (of how many parts, which one of them) is gone over, as of a job on several machines.
        Raises ArgumentError for a bs below 1 and for a part that is not there.
        """
        parts, part = split
        if bs < 1:
            raise _core.ArgumentError(f"bs = {bs} rows at a time; it must be at least 1")
        if not 0 <= part < parts:
            raise _core.ArgumentError(
                f"part {part} of {parts}; parts are 0 to {parts - 1}: pass (parts, part)"
            )
        return self._pieces(self.nb * part // parts, self.nb * (part + 1) // parts, bs)

    def _pieces(self, begin: int, end: int, bs: int) -> Iterator[npt.NDArray[Any]]:
        rows = self.get_database()
        for at in range(begin, end, bs):
            yield rows[at : min(at + bs, end)]

    def check_sizes(self) -> None:
        """Raises DimensionError where an array has not the shape that nq, nb, nt and d tell."""
        k = min(13, self.nb)
        some = min(123, self.nt)
        arrays = {
            "get_queries()": (self.get_queries(), (self.nq, self.d)),
            "get_database()": (self.get_database(), (self.nb, self.d)),
        }
        if some > 0:
            arrays[f"get_train({some})"] = self.get_train(some), (some, self.d)
        if k > 0:
            arrays[f"get_groundtruth({k})"] = self.get_groundtruth(k), (self.nq, k)
        for name, (array, expected) in arrays.items():
            if array.shape != expected:
                raise _core.DimensionError(
                    f"{name} has shape {array.shape}; {expected} was expected"
                )

    def __str__(self) -> str:
        return (
            f"{type(self).__name__}: {self.nb} vectors of {self.d} dimensions, {self.nq} queries, "
            f"{self.nt} to train on, metric {self.metric}"
        )


class SyntheticDataset(Dataset):
    """Random vectors that are neither uniform nor easy: about 10 dimensions, bent into d.

    d, nt, nb, nq, metric: as of Dataset. seed: one seed gives the vectors that faiss's class of
    this name gives. Raises ArgumentError for another metric, sizes below 0 and d below 1.
    """

    def __init__(
        self, d: int, nt: int, nb: int, nq: int, metric: str = "L2", seed: int = 1338
    ) -> None:
        if metric not in _METRICS:
            raise _core.ArgumentError(f"metric = {metric!r}; choose 'L2' or 'IP'")
        if d < 1 or min(nt, nb, nq) < 0:
            raise _core.ArgumentError(
                f"d = {d}, nt = {nt}, nb = {nb}, nq = {nq}; d is at least 1 and the others 0"
            )
        self.d, self.nt, self.nb, self.nq, self.metric = d, nt, nb, nq, metric
        hidden = 10
        random = np.random.RandomState(seed)
        points = random.normal(size=(nt + nb + nq, hidden)) @ random.rand(hidden, d)
        frequencies = 0.1 + 4 * random.rand(d)
        rows = np.sin(points * frequencies).astype(np.float32)
        self.xt, self.xb, self.xq = np.split(rows, [nt, nt + nb])

    def get_queries(self) -> Floats:
        return self.xq

    def get_train(self, maxtrain: int | None = None) -> Floats:
        return self.xt[:maxtrain]

    def get_database(self) -> Floats:
        return self.xb

    def get_groundtruth(self, k: int | None = 100) -> npt.NDArray[np.int64]:
        """By exact search; k is 100 where it is None."""
        k = 100 if k is None else k
        found: npt.NDArray[np.int64] = _core.knn(self.xq, self.xb, k, _METRICS[self.metric])[1]
        return found
