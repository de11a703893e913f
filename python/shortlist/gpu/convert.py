"""Indexes from the CPU to GPUs and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .._core import (
    ArgumentError,
    Index,
    IndexFlat,
    IndexHNSWFlat,
    SearchParameters,
    UnsupportedError,
)
from .flat import GpuIndexFlat, GpuIndexFlatConfig
from .graph import GpuIndexHNSWFlat
from .index import GpuIndex, GpuIndexConfig
from .plugin import devices
from .resources import StandardGpuResources

__all__ = [
    "GpuClonerOptions",
    "GpuMultipleClonerOptions",
    "IndexReplicas",
    "index_cpu_to_all_gpus",
    "index_cpu_to_gpu",
    "index_cpu_to_gpu_multiple_py",
    "index_cpu_to_gpus_list",
    "index_gpu_to_cpu",
    "register",
]


@dataclass(slots=True)
class GpuClonerOptions:
    """How an index is put on a GPU. useFloat16: vectors are stored as float16."""

    useFloat16: bool = False


@dataclass(slots=True)
class GpuMultipleClonerOptions(GpuClonerOptions):
    """How an index is put on several GPUs. shard must be False: each gets all vectors, and a part
    of the queries."""

    shard: bool = False


ToGpu = Callable[[StandardGpuResources, int, Any, GpuClonerOptions], GpuIndex]
ToCpu = Callable[[Any], Index]
_to_gpu: dict[type, ToGpu] = {}
_to_cpu: dict[type, ToCpu] = {}


def register(cpu: type, gpu: type, to_gpu: ToGpu, to_cpu: ToCpu) -> None:
    """Enters classes, and with them those derived from them that are not entered themselves.

    to_gpu(resources, device, index, options) and to_cpu(index) make the other one.
    """
    _to_gpu[cpu] = to_gpu
    _to_cpu[gpu] = to_cpu


def _found(table: dict[type, Any], index: Any, where: str) -> Any:
    for kind in type(index).__mro__:
        if kind in table:
            return table[kind]
    known = ", ".join(sorted(kind.__name__ for kind in table))
    raise UnsupportedError(f"{type(index).__name__} cannot be put on {where}; expected {known}")


def index_cpu_to_gpu(
    resources: StandardGpuResources,
    device: int,
    index: Any,
    options: GpuClonerOptions | None = None,
) -> GpuIndex:
    """The index with its vectors copied to a GPU. Raises UnsupportedError for classes that GPUs do
    not have, and without the plugin or a GPU."""
    make = _found(_to_gpu, index, "a GPU")
    made: GpuIndex = make(resources, device, index, options or GpuClonerOptions())
    return made


def index_gpu_to_cpu(index: Any) -> Index:
    """The index with its vectors copied to the CPU; of IndexReplicas the first."""
    if isinstance(index, IndexReplicas):
        index = index.at(0)
    made: Index = _found(_to_cpu, index, "the CPU")(index)
    return made


def index_cpu_to_gpu_multiple_py(
    resources: Sequence[StandardGpuResources],
    index: Any,
    co: GpuMultipleClonerOptions | None = None,
    gpus: Sequence[int] | None = None,
) -> Any:
    """The index on several GPUs, one of `resources` for each of `gpus` (by default 0, 1, ...):
    IndexReplicas, or of one GPU its index."""
    devices_ = list(range(len(resources)) if gpus is None else gpus)
    if not devices_ or len(devices_) != len(resources):
        raise ArgumentError(
            f"{len(resources)} resources for {len(devices_)} GPUs; expected one of each GPU"
        )
    if isinstance(co, GpuMultipleClonerOptions) and co.shard:
        raise UnsupportedError("shard = True is not available; with False each GPU has all vectors")
    each = zip(resources, devices_, strict=True)
    made = [index_cpu_to_gpu(one, device, index, co) for one, device in each]
    return made[0] if len(made) == 1 else IndexReplicas(made)


def index_cpu_to_all_gpus(
    index: Any, co: GpuMultipleClonerOptions | None = None, ngpu: int = -1
) -> Any:
    """The index on all GPUs, or the first `ngpu`. Raises UnsupportedError where there is none."""
    return index_cpu_to_gpus_list(index, co, None, ngpu)


def index_cpu_to_gpus_list(
    index: Any,
    co: GpuMultipleClonerOptions | None = None,
    gpus: Sequence[int] | None = None,
    ngpu: int = -1,
) -> Any:
    """The index on the GPUs listed; by default on all, or the first `ngpu`."""
    if gpus is None:
        there = len(devices())
        if ngpu != -1 and not 1 <= ngpu <= there:
            raise ArgumentError(f"ngpu = {ngpu}; there are {there} GPUs")
        gpus = range(there if ngpu == -1 else ngpu)
    return index_cpu_to_gpu_multiple_py([StandardGpuResources() for _ in gpus], index, co, gpus)


class IndexReplicas:
    """Indexes with the same vectors, each of which takes a part of the queries of a search.

    Arrays are in host memory, or can be read there.
    """

    def __init__(self, indexes: Sequence[GpuIndex]) -> None:
        if not indexes:
            raise ArgumentError("there are no indexes; expected at least one")
        first = indexes[0]
        for other in indexes:
            if (other.d, other.metric_type, other.ntotal) != (
                first.d,
                first.metric_type,
                first.ntotal,
            ):
                raise ArgumentError(f"{other} is not like {first}; expected the same vectors")
        self._indexes = list(indexes)
        self._pool = ThreadPoolExecutor(len(self._indexes), "shortlist-gpu")

    def at(self, i: int) -> GpuIndex:
        """The i-th of them."""
        return self._indexes[i]

    def count(self) -> int:
        """How many there are."""
        return len(self._indexes)

    @property
    def d(self) -> int:
        return self._indexes[0].d

    @property
    def ntotal(self) -> int:
        return self._indexes[0].ntotal

    @property
    def metric_type(self) -> int:
        return self._indexes[0].metric_type

    @property
    def is_trained(self) -> bool:
        return self._indexes[0].is_trained

    def add(self, x: Any) -> None:
        """Stores the rows of x (n, d) in each; raises as GpuIndex.add."""
        list(self._pool.map(lambda one: one.add(x), self._indexes))

    def reset(self) -> None:
        """Removes every vector."""
        for one in self._indexes:
            one.reset()

    def search(
        self,
        x: Any,
        k: int,
        *,
        params: SearchParameters | None = None,
        D: Any = None,
        I: Any = None,
    ) -> tuple[Any, Any]:
        """As GpuIndex.search; results are numpy arrays."""
        x = np.asarray(x)
        if x.ndim != 2:
            return self._indexes[0].search(x, k, params=params, D=D, I=I)  # says what is wrong
        bounds = np.linspace(0, len(x), len(self._indexes) + 1).astype(int)
        parts = [x[a:b] for a, b in pairwise(bounds)]
        found = list(
            self._pool.map(
                lambda one, part: one.search(part, k, params=params), self._indexes, parts
            )
        )
        near = np.concatenate([d for d, _ in found], out=D)
        return near, np.concatenate([i for _, i in found], out=I)


def _flat_to_gpu(
    resources: StandardGpuResources, device: int, index: IndexFlat, options: GpuClonerOptions
) -> GpuIndexFlat:
    config = GpuIndexFlatConfig(device=device, useFloat16=options.useFloat16)
    return GpuIndexFlat(resources, index, config=config)


def _flat_to_cpu(index: GpuIndexFlat) -> IndexFlat:
    made = IndexFlat(index.d, index.metric_type)
    index.copyTo(made)
    return made


register(IndexFlat, GpuIndexFlat, _flat_to_gpu, _flat_to_cpu)


def _graph_to_gpu(
    resources: StandardGpuResources, device: int, index: IndexHNSWFlat, options: GpuClonerOptions
) -> GpuIndexHNSWFlat:
    if options.useFloat16:
        raise UnsupportedError("useFloat16 = True: graphs on a GPU are of float32; leave it False")
    config = GpuIndexConfig(device=device)
    made = GpuIndexHNSWFlat(resources, index.d, index.hnsw.M, index.metric_type, config)
    made.copyFrom(index)
    return made


def _graph_to_cpu(index: GpuIndexHNSWFlat) -> IndexHNSWFlat:
    made = IndexHNSWFlat(index.d, index.M, index.metric_type)
    index.copyTo(made)
    return made


register(IndexHNSWFlat, GpuIndexHNSWFlat, _graph_to_gpu, _graph_to_cpu)
