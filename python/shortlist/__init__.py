"""The candidate stage of search: find a few hundred near vectors out of millions, quickly.

The names are faiss's, so `import shortlist as faiss` runs faiss programs. `Index.save`, `open`,
`evaluate`, `sweep` and `datasets` go beyond it. Importing pulls in numpy and nothing else.
"""

from __future__ import annotations

import logging as _logging
from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from ._core import *  # noqa: F403
from ._core import __version__ as __version__
from ._ivflib import check_compatible_for_merge as check_compatible_for_merge
from ._ivflib import extract_index_ivf as extract_index_ivf
from ._ivflib import merge_into as merge_into
from ._ivflib import range_search_with_parameters as range_search_with_parameters
from ._ivflib import search_with_parameters as search_with_parameters
from ._ivflib import try_extract_index_ivf as try_extract_index_ivf
from ._open import open as open
from ._parameters import ParameterSpace as ParameterSpace
from ._random import rand as rand
from ._random import randint as randint
from ._random import randn as randn
from ._simd import SIMDConfig as SIMDConfig
from ._simd import SIMDLevel_ARM_NEON as SIMDLevel_ARM_NEON
from ._simd import SIMDLevel_ARM_SVE as SIMDLevel_ARM_SVE
from ._simd import SIMDLevel_AVX2 as SIMDLevel_AVX2
from ._simd import SIMDLevel_AVX512 as SIMDLevel_AVX512
from ._simd import SIMDLevel_AVX512_SPR as SIMDLevel_AVX512_SPR
from ._simd import SIMDLevel_NONE as SIMDLevel_NONE
from ._simd import SIMDLevel_RISCV_RVV as SIMDLevel_RISCV_RVV
from ._swig import copy_array_to_vector as copy_array_to_vector
from ._swig import downcast_index as downcast_index
from ._swig import downcast_IndexBinary as downcast_IndexBinary
from ._swig import downcast_InvertedLists as downcast_InvertedLists
from ._swig import rev_swig_ptr as rev_swig_ptr
from ._swig import swig_ptr as swig_ptr
from ._swig import vector_float_to_array as vector_float_to_array
from ._swig import vector_to_array as vector_to_array
from .factory import index_binary_factory as index_binary_factory
from .factory import index_factory as index_factory

if TYPE_CHECKING:
    from . import binary as binary
    from . import datasets as datasets
    from . import gpu as gpu
    from . import kv as kv
    from . import rerank as rerank
    from . import spann as spann
    from ._doctor import doctor as doctor
    from ._evaluate import Evaluation as Evaluation
    from ._evaluate import Frontier as Frontier
    from ._evaluate import Point as Point
    from ._evaluate import evaluate as evaluate
    from ._evaluate import recall_at_k as recall_at_k
    from ._evaluate import sweep as sweep
    from ._kmeans import Clustering as Clustering
    from ._kmeans import ClusteringInitMethod_AFK_MC2 as ClusteringInitMethod_AFK_MC2
    from ._kmeans import (
        ClusteringInitMethod_KMEANS_PLUS_PLUS as ClusteringInitMethod_KMEANS_PLUS_PLUS,
    )
    from ._kmeans import ClusteringInitMethod_RANDOM as ClusteringInitMethod_RANDOM
    from ._kmeans import ClusteringIterationStats as ClusteringIterationStats
    from ._kmeans import ClusteringParameters as ClusteringParameters
    from ._kmeans import Kmeans as Kmeans
    from ._kmeans import hierarchical_kmeans as hierarchical_kmeans
    from ._kmeans import kmeans_clustering as kmeans_clustering
    from ._lid import lid as lid
    from ._plot import plot as plot
    from ._tune import Tuning as Tuning
    from .gpu import GpuClonerOptions as GpuClonerOptions
    from .gpu import GpuIndex as GpuIndex
    from .gpu import GpuIndexConfig as GpuIndexConfig
    from .gpu import GpuIndexFlat as GpuIndexFlat
    from .gpu import GpuIndexFlatConfig as GpuIndexFlatConfig
    from .gpu import GpuIndexFlatIP as GpuIndexFlatIP
    from .gpu import GpuIndexFlatL2 as GpuIndexFlatL2
    from .gpu import GpuIndexHNSWFlat as GpuIndexHNSWFlat
    from .gpu import GpuIndexIVF as GpuIndexIVF
    from .gpu import GpuIndexIVFConfig as GpuIndexIVFConfig
    from .gpu import GpuIndexIVFFlat as GpuIndexIVFFlat
    from .gpu import GpuIndexIVFFlatConfig as GpuIndexIVFFlatConfig
    from .gpu import GpuIndexIVFPQ as GpuIndexIVFPQ
    from .gpu import GpuIndexIVFPQConfig as GpuIndexIVFPQConfig
    from .gpu import GpuIndexSDC as GpuIndexSDC
    from .gpu import GpuMultipleClonerOptions as GpuMultipleClonerOptions
    from .gpu import IndexReplicas as IndexReplicas
    from .gpu import SearchParametersGpuFlat as SearchParametersGpuFlat
    from .gpu import StandardGpuResources as StandardGpuResources
    from .gpu import get_num_gpus as get_num_gpus
    from .gpu import index_cpu_to_all_gpus as index_cpu_to_all_gpus
    from .gpu import index_cpu_to_gpu as index_cpu_to_gpu
    from .gpu import index_cpu_to_gpu_multiple_py as index_cpu_to_gpu_multiple_py
    from .gpu import index_cpu_to_gpus_list as index_cpu_to_gpus_list
    from .gpu import index_gpu_to_cpu as index_gpu_to_cpu
    from .gpu import knn_gpu as knn_gpu
    from .spann import IndexSPANN as IndexSPANN
    from .spann import build as build


_logging.getLogger("shortlist").addHandler(_logging.NullHandler())

# Loaded when first asked for.
_LAZY = {
    "binary": "binary",
    "datasets": "datasets",
    "doctor": "_doctor",
    "Evaluation": "_evaluate",
    "Frontier": "_evaluate",
    "Point": "_evaluate",
    "evaluate": "_evaluate",
    "recall_at_k": "_evaluate",
    "sweep": "_evaluate",
    **dict.fromkeys(
        (
            "Clustering",
            "ClusteringInitMethod_AFK_MC2",
            "ClusteringInitMethod_KMEANS_PLUS_PLUS",
            "ClusteringInitMethod_RANDOM",
            "ClusteringIterationStats",
            "ClusteringParameters",
            "Kmeans",
            "hierarchical_kmeans",
            "kmeans_clustering",
        ),
        "_kmeans",
    ),
    **dict.fromkeys(
        (
            "GpuClonerOptions",
            "GpuIndex",
            "GpuIndexConfig",
            "GpuIndexFlat",
            "GpuIndexFlatConfig",
            "GpuIndexFlatIP",
            "GpuIndexFlatL2",
            "GpuIndexSDC",
            "GpuIndexIVF",
            "GpuIndexIVFConfig",
            "GpuIndexIVFFlat",
            "GpuIndexIVFFlatConfig",
            "GpuIndexIVFPQ",
            "GpuIndexIVFPQConfig",
            "GpuIndexHNSWFlat",
            "GpuMultipleClonerOptions",
            "IndexReplicas",
            "SearchParametersGpuFlat",
            "StandardGpuResources",
            "get_num_gpus",
            "index_cpu_to_all_gpus",
            "index_cpu_to_gpu",
            "index_cpu_to_gpu_multiple_py",
            "index_cpu_to_gpus_list",
            "index_gpu_to_cpu",
            "knn_gpu",
        ),
        "gpu",
    ),
    "gpu": "gpu",
    "kv": "kv",
    "lid": "_lid",
    "plot": "_plot",
    "rerank": "rerank",
    "spann": "spann",
    "build": "spann",
    "IndexSPANN": "spann",
    "Tuning": "_tune",
}


class _Method:
    """A function of another module as a method; imported, and put in this place, when used."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __get__(self, instance: Any, owner: type) -> Any:
        function = getattr(_import_module(self._module, __name__), self._name)
        setattr(Index, self._name, function)  # noqa: F405
        return function.__get__(instance, owner)


setattr(Index, "tune", _Method("._tune", "tune"))  # noqa: B010, F405


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(f".{_LAZY[name]}", __name__)
    value = module if name == _LAZY[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
