"""Inverted files of product-quantised codes on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._core import (
    METRIC_L2,
    IndexFlat,
    IndexIVFPQ,
    UnsupportedError,
    clone_index,
)
from .convert import GpuClonerOptions, register
from .index import Queries
from .ivf import GpuIndexIVF, GpuIndexIVFConfig, check_once
from .resources import StandardGpuResources, Work

__all__ = ["GpuIndexIVFPQ", "GpuIndexIVFPQConfig"]


@dataclass(slots=True)
class GpuIndexIVFPQConfig(GpuIndexIVFConfig):
    """Of GpuIndexIVFPQ."""


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
        index, config = self._arguments(d, nlist, config)
        if index is None:
            _check_bits(nbits)
            cpu: Any = IndexIVFPQ(IndexFlat(d, metric), d, nlist, M, nbits, metric)
        else:
            self._check_source(index)
            cpu = clone_index(index)
            cpu.reset()
        self._codewords: Any = None
        self._centroids: Any = None
        super().__init__(resources, cpu, cpu.code_size, config)
        if index is not None:
            self._take(index)

    @staticmethod
    def _check_source(index: Any) -> None:
        if type(index) is not IndexIVFPQ:
            raise UnsupportedError(f"{type(index).__name__} is not for a GPU; expected IndexIVFPQ")
        _check_bits(index.pq.nbits)
        check_once(index)

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
                self._codewords = work.keep(self.pq.centroids)
                self._centroids = work.keep(self._means) if self.by_residual else None

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


def _check_bits(nbits: int) -> None:
    if nbits != 8:
        raise UnsupportedError(f"nbits = {nbits}; on a GPU codes have 8 bits a part")


def _pq_to_gpu(
    resources: StandardGpuResources, device: int, index: Any, options: GpuClonerOptions
) -> GpuIndexIVFPQ:
    return GpuIndexIVFPQ(resources, index, config=GpuIndexIVFPQConfig(device=device))


register(IndexIVFPQ, GpuIndexIVFPQ, _pq_to_gpu, GpuIndexIVFPQ._to_cpu)
