"""Inverted files of whole vectors on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._core import (
    METRIC_L2,
    IndexFlat,
    IndexIVFFlat,
    UnsupportedError,
    clone_index,
)
from .convert import GpuClonerOptions, register
from .index import Queries
from .ivf import GpuIndexIVF, GpuIndexIVFConfig, check_once
from .resources import StandardGpuResources, Work

__all__ = ["GpuIndexIVFFlat", "GpuIndexIVFFlatConfig"]


@dataclass(slots=True)
class GpuIndexIVFFlatConfig(GpuIndexIVFConfig):
    """Of GpuIndexIVFFlat. useFloat16: vectors are stored as float16."""

    useFloat16: bool = False


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
        index, config = self._arguments(d, nlist, config)
        if index is None:
            quantizer: Any = IndexFlat(d, metric)
            dtype = "float32"
        else:
            quantizer, dtype = clone_index(index.quantizer), self._check_source(index)
            d, nlist, metric = index.d, index.nlist, index.metric_type
        dtype = "float16" if config.useFloat16 else dtype
        cpu = IndexIVFFlat(quantizer, d, nlist, metric, dtype=dtype)
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
        check_once(index)
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


def _flat_to_gpu(
    resources: StandardGpuResources, device: int, index: Any, options: GpuClonerOptions
) -> GpuIndexIVFFlat:
    config = GpuIndexIVFFlatConfig(device=device, useFloat16=options.useFloat16)
    return GpuIndexIVFFlat(resources, index, config=config)


register(IndexIVFFlat, GpuIndexIVFFlat, _flat_to_gpu, GpuIndexIVFFlat._to_cpu)
