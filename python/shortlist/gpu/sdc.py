"""Codes of a few bits a dimension on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import (
    METRIC_L2,
    ArgumentError,
    DimensionError,
    IDSelectorRange,
    IndexSDC,
    SearchParameters,
    _gpu,
    clone_index,
)
from .convert import GpuClonerOptions, register
from .index import GpuIndex, GpuIndexConfig, Queries
from .resources import StandardGpuResources, Work
from .store import Growing, Store, passing_store

__all__ = ["GpuIndexSDC"]

_PLANE = 128  # values whose bits are a unit of 16 bytes
_FEW = 8  # queries, up to which each by itself is as fast
_BYTE = 8  # bits of a query's values that tensor cores multiply
_COPIED = 1 << 18  # codes that are laid out for the GPU at a time


class GpuIndexSDC(GpuIndex):
    """IndexSDC on a GPU: few queries count bits of planes, more of them multiply bytes by tensor
    cores, and both tell the same distances.

    Vectors and queries are encoded on the CPU, by an IndexSDC that keeps the codes too: queries as
    whole numbers of 8 bits, or, with `symmetric`, by codes of their own, which tells what IndexSDC
    tells. Sources: BEBR (arXiv 2302.08714), RaBitQ (arXiv 2405.12497).

    d: dimensions, or an IndexSDC that is copied. bits, metric, code_dim, encoder: as of IndexSDC,
    which says what is raised; so does GpuIndex.
    """

    def __init__(
        self,
        resources: StandardGpuResources,
        d: int | IndexSDC,
        bits: int | None = None,
        metric: int = METRIC_L2,
        config: GpuIndexConfig | None = None,
        *,
        code_dim: int | None = None,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(d, IndexSDC):
            if bits is not None or code_dim is not None or encoder is not None:
                raise ArgumentError("bits, code_dim and encoder are the index's; leave them out")
            cpu: Any = clone_index(d)
        else:
            cpu = IndexSDC(d, bits, metric, code_dim=code_dim, encoder=encoder)
        super().__init__(resources, cpu.d, cpu.metric_type, config)
        self._take(cpu)

    def _take(self, cpu: Any) -> None:
        self._cpu = cpu
        self.is_trained = cpu.is_trained
        self._plane: int = -(-cpu.code_dim // _PLANE)
        self._clear()
        at = self._resources._default_stream(self._config.device)
        with self._resources._work(self._config.device, at) as work:
            self._order.writing(at)
            self._put(work, int(cpu.ntotal))
            work.synchronize()
        self.ntotal = int(cpu.ntotal)

    def _clear(self) -> None:
        self._rows = Store(self._engine, self.bits * self._plane * _PLANE // 8)
        self._addends = Growing(self._engine, 4)
        self._rescales = Growing(self._engine, 4)
        self.ntotal = 0

    @property
    def bits(self) -> int:
        """Bits a dimension."""
        return int(self._cpu.bits)

    @property
    def code_dim(self) -> int:
        """Dimensions of a code."""
        return int(self._cpu.code_dim)

    @property
    def symmetric(self) -> bool:
        """Whether queries are compared by codes of their own; False at first."""
        return bool(self._cpu.symmetric)

    @symmetric.setter
    def symmetric(self, value: bool) -> None:
        self._cpu.symmetric = value

    def reset(self) -> None:
        """Removes every vector; what was trained stays."""
        with self._resources._lock:
            self._cpu.reset()
            self._clear()

    def train(self, x: Any, *, stream: Any = None) -> None:
        """As IndexSDC.train, on the CPU."""
        asked, at, here = self._given(x, stream)
        with self._resources._work(self._config.device, at) as work:
            self._cpu.train(Queries(work, asked, here).host())
        self.is_trained = True

    def _add(self, work: Work, queries: Queries, ids: npt.NDArray[np.int64] | None) -> None:
        if self._cpu.ntotal > self.ntotal:  # an add before this one failed on the GPU
            self._cpu.remove_ids(IDSelectorRange(self.ntotal, self._cpu.ntotal))
        self._cpu.add(queries.host(), allow_nan=True)
        self._put(work, self.ntotal + queries.n)

    def _put(self, work: Work, total: int) -> None:
        """Codes from ntotal on that the CPU has."""
        self._rows.n = self.ntotal
        for growing in (self._addends, self._rescales):
            growing.reserve(work, self.ntotal, total)
        for begin in range(self.ntotal, total, _COPIED):
            end = min(begin + _COPIED, total)
            planes, factors = _gpu.sdc_codes(self._cpu, begin, end)
            with work.passing():
                bytes = planes.shape[1]
                self._rows.append(work, work.put(planes), end - begin, bytes)
            for place, of in ((self._addends.place, 0), (self._rescales.place, 1)):
                work.copy(place + 4 * begin, factors[of].ctypes.data, factors[of].nbytes)
            work.synchronize()  # before what is copied goes

    def _many(self, n: int) -> bool:
        """Whether tensor cores take n queries; their own codes may need one bit too many."""
        return n > _FEW and not (self.symmetric and self.bits >= _BYTE)

    def _job(self, n: int, k: int) -> dict[str, Any]:
        return {
            "kind": "planes",
            "rows": self._rows.rows,
            "n": self.ntotal,
            "units_per_row": self._rows.units,
            "queries_n": n,
            "k": k,
            "plane": self._plane,
            "bits": self.bits,
            "query_bits": self.bits + 1 if self.symmetric else _BYTE,
        }

    def _bytes_for(self, work: Work, n: int, k: int, params: SearchParameters | None) -> int:
        many = self._many(n)
        room: int = work.room("scan_many" if many else "scan", **self._job(n, k))
        return room + n * ((2 * _BYTE + 1) * self._plane * _PLANE // 8 + 16)

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
        many = self._many(queries.n)
        values, bits, terms, offsets = _gpu.sdc_queries(self._cpu, queries.host(), many)
        place, width = work.put(values), values.shape[1]
        if many:
            place = passing_store(work, place, queries.n, width, width, "as_they_are")
        near = work.put(terms)
        work.run_in_room(
            "scan_many" if many else "scan",
            **{**self._job(queries.n, k), "query_bits": bits},
            queries=place,
            allowed=allowed,
            add=self._addends.place,
            rescale=self._rescales.place,
            near=near,
            scale=near + 4 * queries.n,
            offset=work.put(offsets),
            least=-np.inf,
            negate=not self._l2,
            distances=distances,
            numbers=ids,
        )

    def copyFrom(self, index: IndexSDC) -> None:
        """Takes a copy of an IndexSDC, encoder and all, in place of what was there."""
        if not isinstance(index, IndexSDC):
            raise TypeError(f"index is a {type(index).__name__}; expected an IndexSDC")
        if (index.d, index.metric_type) != (self.d, self.metric_type):
            raise DimensionError(
                f"index has {index.d} dimensions and metric {index.metric_type}; expected {self.d} "
                f"and {self.metric_type}"
            )
        with self._resources._lock:
            self._take(clone_index(index))


def _sdc_to_gpu(
    resources: StandardGpuResources, device: int, index: IndexSDC, options: GpuClonerOptions
) -> GpuIndexSDC:
    return GpuIndexSDC(resources, index, config=GpuIndexConfig(device=device))


def _sdc_to_cpu(index: GpuIndexSDC) -> Any:
    return clone_index(index._cpu)


register(IndexSDC, GpuIndexSDC, _sdc_to_gpu, _sdc_to_cpu)
