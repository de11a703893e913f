"""GPUs: faiss's indexes on them, and a plugin that is looked for when a GPU is asked for."""

from .convert import (
    GpuClonerOptions,
    GpuMultipleClonerOptions,
    IndexReplicas,
    index_cpu_to_all_gpus,
    index_cpu_to_gpu,
    index_cpu_to_gpu_multiple_py,
    index_cpu_to_gpus_list,
    index_gpu_to_cpu,
)
from .flat import (
    GpuIndexFlat,
    GpuIndexFlatConfig,
    GpuIndexFlatIP,
    GpuIndexFlatL2,
    SearchParametersGpuFlat,
)
from .graph import GpuIndexHNSWFlat
from .index import GpuIndex, GpuIndexConfig
from .ivf import GpuIndexIVF, GpuIndexIVFConfig
from .ivf_flat import GpuIndexIVFFlat, GpuIndexIVFFlatConfig
from .ivf_pq import GpuIndexIVFPQ, GpuIndexIVFPQConfig
from .knn import knn_gpu
from .plugin import Device, devices, engine, get_num_gpus, plugin, plugin_path
from .resources import StandardGpuResources
from .sdc import GpuIndexSDC

__all__ = [
    "Device",
    "GpuClonerOptions",
    "GpuIndex",
    "GpuIndexConfig",
    "GpuIndexFlat",
    "GpuIndexFlatConfig",
    "GpuIndexFlatIP",
    "GpuIndexFlatL2",
    "GpuIndexHNSWFlat",
    "GpuIndexIVF",
    "GpuIndexIVFConfig",
    "GpuIndexIVFFlat",
    "GpuIndexIVFFlatConfig",
    "GpuIndexIVFPQ",
    "GpuIndexIVFPQConfig",
    "GpuIndexSDC",
    "GpuMultipleClonerOptions",
    "IndexReplicas",
    "SearchParametersGpuFlat",
    "StandardGpuResources",
    "devices",
    "engine",
    "get_num_gpus",
    "index_cpu_to_all_gpus",
    "index_cpu_to_gpu",
    "index_cpu_to_gpu_multiple_py",
    "index_cpu_to_gpus_list",
    "index_gpu_to_cpu",
    "knn_gpu",
    "plugin",
    "plugin_path",
]
