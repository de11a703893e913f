"""Inverted files on a GPU: what those of all codes share."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import (
    ArgumentError,
    DimensionError,
    IdError,
    IndexIVF,
    IndexIVFFlat,
    SearchParameters,
    SearchParametersIVF,
    UnsupportedError,
    clone_index,
)
from .flat import GpuIndexFlat, GpuIndexFlatConfig
from .index import _MOST_QUERIES, MOST_NEAREST, GpuIndex, GpuIndexConfig, Queries, _part
from .kmeans import kmeans
from .lists import Lists
from .resources import StandardGpuResources, Work

__all__ = ["GpuIndexIVF", "GpuIndexIVFConfig", "check_once"]

_PART = 64 << 20  # bytes of codes that go back to the CPU at a time
_CLUSTERING = (
    "niter",
    "nredo",
    "seed",
    "spherical",
    "int_centroids",
    "min_points_per_centroid",
    "max_points_per_centroid",
    "balanced",
    "batch_size",
)


@dataclass(slots=True)
class GpuIndexIVFConfig(GpuIndexConfig):
    """Of inverted files. flatConfig: of the centroids' index."""

    flatConfig: GpuIndexFlatConfig = field(default_factory=GpuIndexFlatConfig)


class GpuIndexIVF(GpuIndex):
    """An inverted file on a GPU: a vector is kept in the list of the nearest of nlist centroids,
    and a search looks at the nprobe nearest lists.

    Centroids are found and vectors assigned on the GPU; add waits for it, as where rows go is
    reckoned on the host. quantizer: the GpuIndexFlat of the centroids. cp: how train finds them, as
    of the CPU's index; set its fields. An index on the CPU whose quantizer is not flat is searched
    here by all of its centroids.

    search takes SearchParametersIVF: sel, and nprobe instead of the index's. It raises
    UnsupportedError for the others of their fields, TypeError for parameters of other indexes.
    """

    def __init__(
        self,
        resources: StandardGpuResources,
        cpu: Any,
        width: int,
        config: GpuIndexIVFConfig,
    ) -> None:
        super().__init__(resources, cpu.d, cpu.metric_type, config)
        self._cpu = cpu  # without vectors: it keeps what was trained
        self._nprobe = 1
        self._lists = Lists(cpu.nlist, width)
        flat = replace(self._config.flatConfig, device=self._config.device)
        self.quantizer = GpuIndexFlat(resources, self.d, self.metric_type, flat)
        self._trained()

    _config: GpuIndexIVFConfig

    @classmethod
    def _arguments(cls, d: Any, nlist: Any, config: Any) -> tuple[Any, Any]:
        """The index of the CPU that is to be copied, or None, and the config. faiss has both
        (resources, d, nlist, ..., config) and (resources, index, config)."""
        source = isinstance(d, IndexIVF)
        if not source and not hasattr(d, "__index__"):
            raise TypeError(
                f"d is a {type(d).__name__}; expected a number of dimensions, or an inverted file"
            )
        if source and config is None:
            config = nlist
        default = cls._default_config()
        if config is not None and not isinstance(config, type(default)):
            raise TypeError(
                f"config is a {type(config).__name__}; expected {type(default).__name__}"
            )
        return (d if source else None), (default if config is None else config)

    # What a class of inverted file writes.

    @abstractmethod
    def _append(self, work: Work, rows: Queries, labels: Any, ids: Any) -> None:
        """Rows behind those of their lists."""

    @abstractmethod
    def _job(self, queries: Queries | None) -> dict[str, Any]:
        """What a job scan_lists takes for these queries, or without any for room."""

    # What they share.

    @property
    def nlist(self) -> int:
        """How many lists there are."""
        return int(self._cpu.nlist)

    @property
    def nprobe(self) -> int:
        """Lists that a search looks at, 1 at first: more is slower and finds more. At most 2048
        are, which is what the GPU can choose."""
        return self._nprobe

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        value = operator.index(value)
        if value < 1:
            raise ArgumentError(f"nprobe = {value}; it must be at least 1")
        self._nprobe = value

    @property
    def cp(self) -> Any:
        """How train finds centroids; set its fields."""
        return self._cpu.cp

    @property
    def code_size(self) -> int:
        """Bytes of one vector's code."""
        return self._lists.width

    def getNumLists(self) -> int:
        """How many lists there are."""
        return self.nlist

    def getListLength(self, listId: int) -> int:
        """How many vectors a list holds. Raises IdError for one that is not there."""
        return int(self._lists.sizes[self._number(listId)])

    def getListIndices(self, listId: int) -> npt.NDArray[np.int64]:
        """A copy of a list's ids, int64."""
        return self._lists.ids_of(self._number(listId))

    def getListVectorData(self, listId: int) -> npt.NDArray[np.uint8]:
        """A copy of a list's codes, one behind the other: uint8 (list length * code_size,)."""
        with self._reading() as work:
            return self._lists.codes_of(work, self._number(listId)).ravel()

    def _number(self, listId: int) -> int:
        number = operator.index(listId)
        if not 0 <= number < self.nlist:
            raise IdError(
                f"list {number} is not there; lists are 0 to nlist - 1 = {self.nlist - 1}"
            )
        return number

    def train(self, x: Any, *, stream: Any = None) -> None:
        """Finds centroids by k-means on the GPU, in rows of x (n, d), n at least nlist; what codes
        need besides is trained on the CPU.

        Raises ArgumentError for NaN, Inf, too few rows, and once there are vectors.
        """
        if self.ntotal:
            raise ArgumentError(f"{self.ntotal} vectors are stored; reset() first, or train before")
        asked, at, here = self._given(x, stream)
        with self._resources._work(self._config.device, at) as work:
            rows = Queries(work, asked, here).host()
        quantizer = self._cpu.quantizer
        if self.is_trained or quantizer.ntotal != self.nlist:
            centroids, _ = kmeans(
                self._engine,
                rows,
                self.nlist,
                metric=self.metric_type,
                **{name: getattr(self.cp, name) for name in _CLUSTERING},
            )
            quantizer.reset()
            quantizer.add(centroids)
        self._cpu.train(rows)
        self._trained()

    def _trained(self) -> None:
        """Takes over what the CPU's index has learnt."""
        self.is_trained = bool(self._cpu.is_trained)
        self.quantizer.reset()
        if self.is_trained:
            self.quantizer.add(self._cpu.quantizer.reconstruct_n(0, self.nlist))

    def add_with_ids(self, x: Any, ids: Any, *, stream: Any = None) -> None:
        """Stores the rows of x (n, d) under ids (n,), any integers but -1, in host memory.

        Raises DimensionError for another number of ids, IdError for -1; otherwise as add.
        """
        names = np.asarray(ids)
        if names.ndim != 1 or names.dtype.kind not in "iu":
            raise DimensionError(
                f"ids has shape {names.shape} and dtype {names.dtype}; expected (n,) integers"
            )
        if len(names) != len(x):
            raise DimensionError(f"there are {len(names)} ids for {len(x)} vectors")
        if (names == -1).any():
            raise IdError(
                f"ids[{int(np.argmax(names == -1))}] = -1, which searches return for no result; "
                "choose another"
            )
        self._store(x, names.astype(np.int64), stream)

    def _add(self, work: Work, queries: Queries, ids: npt.NDArray[np.int64] | None) -> None:
        if ids is None:
            ids = np.arange(self.ntotal, self.ntotal + queries.n)
        labels = self._nearest(work, queries)
        if (labels < 0).any():
            raise ArgumentError(
                f"cannot add vectors with NaN: row {int(np.argmax(labels < 0))} has one; drop or "
                "clean such rows first"
            )
        self._append(work, queries, labels, ids)

    def _nearest(self, work: Work, queries: Queries) -> npt.NDArray[np.int64]:
        """The list of each row, on the host; -1 of one with NaN."""
        out = np.empty(queries.n, np.int64)
        step = work.batch(
            queries.n,
            _MOST_QUERIES,
            lambda m: 12 * m + self.quantizer._bytes_for(work, m, 1, None),
        )
        for begin in range(0, queries.n, step):
            with work.passing():
                part = Queries(
                    work, _part(queries._x, begin, min(begin + step, queries.n)), queries._here
                )
                near, numbers = work.take(4 * part.n), work.take(8 * part.n)
                self.quantizer._search(work, part, 1, None, None, near, numbers)
                out[begin : begin + part.n] = work.get(numbers, (part.n,), np.int64)
        return out

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
        nprobe = self._probes(params)
        job = self._job(queries)  # before what comes and goes, as it keeps queries
        near, probes = work.take(4 * queries.n * nprobe), work.take(8 * queries.n * nprobe)
        with work.passing():
            self.quantizer._search(work, queries, nprobe, None, None, near, probes)
        work.run_in_room(
            "scan_lists",
            **self._lists.job(work),
            **job,
            queries_n=queries.n,
            probes=probes,
            nprobe=nprobe,
            allowed=allowed,
            k=k,
            distances=distances,
            numbers=ids,
            negate=int(not self._l2),
        )

    def _bytes_for(self, work: Work, n: int, k: int, params: SearchParameters | None) -> int:
        nprobe = self._probes(params)
        room = work.room(
            "scan_lists",
            **self._lists.job(work),
            **self._job(None),
            queries_n=n,
            nprobe=nprobe,
            k=k,
        )
        coarse = self.quantizer._bytes_for(work, n, nprobe, None)
        return n * (12 * nprobe + 4 * (self.d + 8)) + max(room, coarse)

    def _row_ids(self) -> npt.NDArray[np.int64]:
        return self._lists.ids

    @contextmanager
    def _writing(self) -> Iterator[Work]:
        """To change what is stored, on the default stream."""
        at = self._resources._default_stream(self._config.device)
        with self._resources._work(self._config.device, at) as work:
            self._order.writing(at)
            yield work

    def _probes(self, params: SearchParameters | None) -> int:
        """How many lists a search looks at."""
        wanted = self._nprobe
        if isinstance(params, SearchParametersIVF):
            if params.max_codes or params.quantizer_params is not None:
                raise UnsupportedError(
                    "max_codes and quantizer_params are not for indexes on a GPU; set nprobe"
                )
            wanted = params.nprobe
        elif params is not None and type(params) is not SearchParameters:
            raise TypeError(f"params is a {type(params).__name__}; expected SearchParametersIVF")
        if min(wanted, self.nlist) > MOST_NEAREST:
            raise ArgumentError(f"nprobe = {wanted}; on a GPU it is at most {MOST_NEAREST}")
        return min(wanted, self.nlist)

    def reset(self) -> None:
        """Removes every vector; what was trained stays."""
        with self._resources._lock:
            self._lists.clear()
            self.ntotal = 0

    def reclaimMemory(self) -> int:
        """Lays the lists out anew without room to grow; how many bytes that gives back."""
        before = self._lists.room
        with self._writing() as work:
            self._lists.reserve(work, np.zeros_like(self._lists.sizes))
        return (before - self._lists.room) * (16 * self._lists.units + 8)

    def reconstruct(self, key: int) -> npt.NDArray[np.float32]:
        """The vector of an id, as its code has it: float32 (d,). Raises IdError."""
        vector: npt.NDArray[np.float32] = self.reconstruct_n(key, 1)[0]
        return vector

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> npt.NDArray[np.float32]:
        """Vectors of ids n0 to n0 + ni, or all from n0 on for -1: float32 (ni, d). Raises IdError
        for one that is not there."""
        n0, ni = operator.index(n0), operator.index(ni)
        ni = self.ntotal - n0 if ni == -1 else ni
        names = self._lists.ids
        places = np.flatnonzero((names >= max(n0, 0)) & (names < n0 + ni))
        missing = np.setdiff1d(np.arange(n0, n0 + ni), names[places])
        if len(missing):
            raise IdError(f"id {missing[0]} is not in the index")
        out = np.empty((max(ni, 0), self.d), np.float32)
        of = np.searchsorted(self._lists.starts, places, "right") - 1
        with self._reading() as work:
            for number in np.unique(of):
                own = places[of == number]
                codes = self._lists.codes_of(work, number)[own - self._lists.starts[number]]
                out[names[own] - n0] = self._cpu.sa_decode(self._coded(number, codes))
        return out

    def _coded(self, number: int, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Codes of a list as sa_encode makes them: with the list's number before them."""
        coarse = self._cpu.sa_code_size() - self.code_size
        out = np.empty((len(codes), coarse + self.code_size), np.uint8)
        out[:, :coarse] = np.frombuffer(int(number).to_bytes(coarse, "little"), np.uint8)
        out[:, coarse:] = codes
        return out

    def copyTo(self, index: Any) -> None:
        """Makes an index on the CPU hold the vectors of this one, instead of its own.

        Raises TypeError for another class, DimensionError and ArgumentError for one that does not
        fit: of codes it must have been trained as this one was.
        """
        self._check_class(index)
        if (index.d, index.nlist) != (self.d, self.nlist):
            raise DimensionError(
                f"the index has {index.nlist} lists of {index.d} dimensions; expected "
                f"{self.nlist} of {self.d}"
            )
        held = self._to_cpu()
        index.reset()
        if isinstance(index, IndexIVFFlat) and self.is_trained:
            index.quantizer.reset()
            centroids = self._cpu.quantizer.reconstruct_n(0, self.nlist)
            index.quantizer.add(centroids)
            index.train(centroids)
        try:
            index.merge_from(held)
        except ValueError as error:
            raise ArgumentError(f"{error}; or take index_gpu_to_cpu(index)") from None
        index.nprobe = self._nprobe

    def copyFrom(self, index: Any) -> None:
        """Takes over an index of the CPU, in place of all that is here. Raises TypeError for
        another class, and what a constructor raises."""
        self._check_class(index)
        make: Any = type(self)
        self.__dict__.update(make(self._resources, index, self._config).__dict__)

    def _check_class(self, index: Any) -> None:
        if type(index) is not type(self._cpu):
            raise TypeError(
                f"index is a {type(index).__name__}; expected {type(self._cpu).__name__}"
            )

    def _take(self, index: Any) -> None:
        """The vectors of an index of the CPU, of whose class and training _cpu is."""
        self._nprobe = index.nprobe
        if not index.ntotal:
            return
        lists = self._lists
        sizes = np.array([index.get_list_size(i) for i in range(self.nlist)])
        how: dict[str, Any] = {"bytes": index.code_size}
        if index.code_size != self.code_size:
            how["conversion"] = "f32_to_f16"
        with self._writing() as work:
            lists.reserve(work, sizes)
            for numbers in self._turns(sizes):
                codes = np.concatenate([index.invlists.get_codes(i) for i in numbers])
                ids = np.concatenate([index.invlists.get_ids(i) for i in numbers])
                labels = np.repeat(numbers, sizes[numbers])
                with work.passing():
                    lists.add(work, work.put(codes), index.code_size, labels, ids, **how)
        self.ntotal = len(lists)

    def _turns(self, sizes: Any) -> Iterator[npt.NDArray[np.int64]]:
        """Numbers of lists, of about as many bytes in each turn."""
        turn = sizes.cumsum() * self.code_size // _PART
        for own in np.unique(turn):
            yield np.flatnonzero(turn == own)

    def _to_cpu(self) -> Any:
        """An index of the CPU with the same answers."""
        out: Any = clone_index(self._cpu)
        out.nprobe = self._nprobe
        with self._reading() as work:
            for numbers in self._turns(self._lists.sizes):
                codes = [self._coded(i, self._lists.codes_of(work, i)) for i in numbers]
                ids = [self._lists.ids_of(i) for i in numbers]
                if sum(map(len, ids)):
                    out.add_sa_codes(np.concatenate(codes), np.concatenate(ids))
        return out


def check_once(index: Any) -> None:
    if index.soar_lambda > 0:
        raise UnsupportedError(
            "vectors in two lists (soar_lambda) are not for a GPU; build one with soar_lambda = 0"
        )
