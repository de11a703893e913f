"""Inverted files on a GPU: whole vectors, and product-quantised codes."""

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
    METRIC_L2,
    ArgumentError,
    DimensionError,
    IdError,
    IndexFlat,
    IndexIVF,
    IndexIVFFlat,
    IndexIVFPQ,
    SearchParameters,
    SearchParametersIVF,
    UnsupportedError,
    _gpu,
    clone_index,
)
from .convert import GpuClonerOptions, register
from .flat import GpuIndexFlat, GpuIndexFlatConfig
from .index import _MOST_QUERIES, MOST_NEAREST, GpuIndex, GpuIndexConfig, Queries, _part
from .kmeans import kmeans
from .lists import Lists
from .resources import StandardGpuResources, Work

__all__ = [
    "GpuIndexIVF",
    "GpuIndexIVFConfig",
    "GpuIndexIVFFlat",
    "GpuIndexIVFFlatConfig",
    "GpuIndexIVFPQ",
    "GpuIndexIVFPQConfig",
]

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


@dataclass(slots=True)
class GpuIndexIVFFlatConfig(GpuIndexIVFConfig):
    """Of GpuIndexIVFFlat. useFloat16: vectors are stored as float16."""

    useFloat16: bool = False


@dataclass(slots=True)
class GpuIndexIVFPQConfig(GpuIndexIVFConfig):
    """Of GpuIndexIVFPQ."""


class GpuIndexIVF(GpuIndex):
    """An inverted file on a GPU: a vector is kept in the list of the nearest of nlist centroids,
    and a search looks at the nprobe nearest lists.

    Centroids are found and vectors assigned on the GPU; add waits for it, as where rows go is
    reckoned on the host. quantizer: the GpuIndexFlat of the centroids. cp: how train finds them, as
    of the CPU's index; set its fields. An index on the CPU whose quantizer is not flat is searched
    here by all of its centroids.
    """

    def __init__(
        self,
        resources: StandardGpuResources,
        cpu: Any,
        width: int,
        config: GpuIndexIVFConfig | None,
    ) -> None:
        super().__init__(resources, cpu.d, cpu.metric_type, config)
        assert isinstance(self._config, GpuIndexIVFConfig)
        self._cpu = cpu  # without vectors: it keeps what was trained
        self._nprobe = 1
        self._lists = Lists(cpu.nlist, width)
        flat = replace(self._config.flatConfig, device=self._config.device)
        self.quantizer = GpuIndexFlat(resources, self.d, self.metric_type, flat)
        self._trained()

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


def _check_once(index: Any) -> None:
    if index.soar_lambda > 0:
        raise UnsupportedError(
            "vectors in two lists (soar_lambda) are not for a GPU; build one with soar_lambda = 0"
        )


class GpuIndexIVFFlat(GpuIndexIVF):
    """GpuIndexIVF of whole vectors: exact among those in the lists looked at.

    GpuIndexIVFFlat(resources, d, nlist, metric, config), or (resources, index, config) of an
    IndexIVFFlat of the CPU, of float32 or float16 vectors. Raises UnsupportedError for others.
    """

    _config: GpuIndexIVFFlatConfig

    def __init__(
        self,
        resources: StandardGpuResources,
        d: Any,
        nlist: Any = None,
        metric: int = METRIC_L2,
        config: GpuIndexIVFFlatConfig | None = None,
    ) -> None:
        if isinstance(d, IndexIVF):
            index, config = d, config or nlist
            dtype = self._check_source(index)
            if config and config.useFloat16:
                dtype = "float16"
            quantizer = clone_index(index.quantizer)
            cpu = IndexIVFFlat(quantizer, index.d, index.nlist, index.metric_type, dtype=dtype)
        else:
            index, dtype = None, "float16" if config and config.useFloat16 else "float32"
            cpu = IndexIVFFlat(IndexFlat(d, metric), d, nlist, metric, dtype=dtype)
        self._kind = "f16" if dtype == "float16" else "f32"
        super().__init__(resources, cpu, cpu.code_size, config)
        if index is not None:
            self._take(index)

    @staticmethod
    def _check_source(index: Any) -> str:
        if type(index) is not IndexIVFFlat:
            raise UnsupportedError(
                f"{type(index).__name__} is not for a GPU; expected IndexIVFFlat"
            )
        if index.dtype not in ("float32", "float16"):
            raise UnsupportedError(
                f"vectors of {index.dtype} are not for a GPU's inverted file; build one of float32 "
                "or float16"
            )
        _check_once(index)
        return str(index.dtype)

    @staticmethod
    def _default_config() -> GpuIndexIVFFlatConfig:
        return GpuIndexIVFFlatConfig()

    @property
    def _halves(self) -> bool:
        return self._kind == "f16"

    def _append(self, work: Work, rows: Queries, labels: Any, ids: Any) -> None:
        place, stride = rows.rows()
        conversion = "f32_to_f16" if self._halves else "as_they_are"
        self._lists.add(work, place, stride, labels, ids, bytes=4 * self.d, conversion=conversion)

    def _job(self, queries: Queries | None) -> dict[str, Any]:
        floats = self._lists.units * (8 if self._halves else 4)
        return {
            "kind": f"{'l2' if self._l2 else 'ip'}_{self._kind}",
            "queries": queries.padded(floats) if queries else None,
        }


class GpuIndexIVFPQ(GpuIndexIVF):
    """GpuIndexIVF of product-quantised codes of a byte for each of M parts, of residuals unless
    by_residual is set to False before train.

    GpuIndexIVFPQ(resources, d, nlist, M, nbits, metric, config), or (resources, index, config) of
    an IndexIVFPQ of the CPU. nbits must be 8; M divides d, and M KiB must fit the GPU's shared
    memory with what k needs (about 200 on an H100). Codes are made by the CPU, and add waits for
    it. Raises UnsupportedError for other nbits.
    """

    _config: GpuIndexIVFPQConfig

    def __init__(
        self,
        resources: StandardGpuResources,
        d: Any,
        nlist: Any = None,
        M: Any = None,
        nbits: int = 8,
        metric: int = METRIC_L2,
        config: GpuIndexIVFPQConfig | None = None,
    ) -> None:
        if isinstance(d, IndexIVF):
            index, config = d, config or nlist
            self._check_source(index)
            cpu: Any = clone_index(index)
            cpu.reset()
        else:
            if nbits != 8:
                raise UnsupportedError(f"nbits = {nbits}; on a GPU codes have 8 bits a part")
            index, cpu = None, IndexIVFPQ(IndexFlat(d, metric), d, nlist, M, nbits, metric)
        self._codewords: Any = None
        self._centroids: Any = None
        super().__init__(resources, cpu, cpu.code_size, config)
        if index is not None:
            self._take(index)

    @staticmethod
    def _check_source(index: Any) -> None:
        if type(index) is not IndexIVFPQ:
            raise UnsupportedError(f"{type(index).__name__} is not for a GPU; expected IndexIVFPQ")
        if index.pq.nbits != 8:
            raise UnsupportedError(f"nbits = {index.pq.nbits}; on a GPU codes have 8 bits a part")
        _check_once(index)

    @staticmethod
    def _default_config() -> GpuIndexIVFPQConfig:
        return GpuIndexIVFPQConfig()

    @property
    def pq(self) -> Any:
        """The ProductQuantizer, on the CPU; train it by the index."""
        return self._cpu.pq

    @property
    def by_residual(self) -> bool:
        """Whether codes are of what the centroid leaves of a vector; set it before train."""
        return bool(self._cpu.by_residual)

    @by_residual.setter
    def by_residual(self, value: bool) -> None:
        self._cpu.by_residual = value

    def getNumSubQuantizers(self) -> int:
        """M: parts of a vector."""
        return int(self.pq.M)

    def getBitsPerCode(self) -> int:
        """Bits of a part."""
        return int(self.pq.nbits)

    def getCentroidsPerSubQuantizer(self) -> int:
        """Codewords of a part."""
        return int(self.pq.ksub)

    def _trained(self) -> None:
        super()._trained()
        if self.is_trained:
            self._means = self._cpu.quantizer.reconstruct_n(0, self.nlist)
            with self._writing() as work:
                self._codewords = _on_device(work, self.pq.centroids)
                self._centroids = _on_device(work, self._means) if self.by_residual else None

    def _append(self, work: Work, rows: Queries, labels: Any, ids: Any) -> None:
        x = rows.host()
        codes = self.pq.compute_codes(x - self._means[labels] if self.by_residual else x)
        self._lists.add(work, work.put(codes), self.code_size, labels, ids)

    def _job(self, queries: Queries | None) -> dict[str, Any]:
        return {
            "kind": "tables",
            "queries": queries.padded(-(-self.d // 4) * 4) if queries else None,
            "inner_product": int(not self._l2),
            "d": self.d,
            "m": self.pq.M,
            "codewords": self._codewords,
            "centroids": self._centroids,
        }


def _on_device(work: Work, x: npt.NDArray[np.float32]) -> Any:
    """A copy that stays."""
    out = _gpu.Memory(work.engine, x.nbytes)
    work.copy(out.place, x.ctypes.data, x.nbytes)
    work.synchronize()
    return out


def _flat_to_gpu(
    resources: StandardGpuResources, device: int, index: Any, options: GpuClonerOptions
) -> GpuIndexIVFFlat:
    config = GpuIndexIVFFlatConfig(device=device, useFloat16=options.useFloat16)
    return GpuIndexIVFFlat(resources, index, config=config)


def _pq_to_gpu(
    resources: StandardGpuResources, device: int, index: Any, options: GpuClonerOptions
) -> GpuIndexIVFPQ:
    return GpuIndexIVFPQ(resources, index, config=GpuIndexIVFPQConfig(device=device))


register(IndexIVFFlat, GpuIndexIVFFlat, _flat_to_gpu, GpuIndexIVFFlat._to_cpu)
register(IndexIVFPQ, GpuIndexIVFPQ, _pq_to_gpu, GpuIndexIVFPQ._to_cpu)
