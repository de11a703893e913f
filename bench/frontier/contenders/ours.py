"""shortlist's IndexHNSWFlat, storing float32, float16 or uint8; the rest goes by faiss's names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.frontier.contenders.base import Contender
from bench.frontier.contenders.faiss import Faiss


class Ours(Faiss):
    module = "shortlist"
    title = "shortlist"

    def prepare(self, x: np.ndarray) -> np.ndarray:
        return Contender.prepare(self, x)  # it takes what it stores

    def build(self, base: np.ndarray, threads: int) -> None:
        s, lib = self.spec, self.lib
        metric = lib.METRIC_L2 if s.metric == "l2" else lib.METRIC_INNER_PRODUCT
        self.index = lib.IndexHNSWFlat(s.d, s.M, metric, dtype=s.storage)
        self.index.hnsw.efConstruction = s.ef_construction
        self._walk_by_int8()
        lib.omp_set_num_threads(threads)
        self.index.add(base)
        lib.omp_set_num_threads(1)

    def load(self, path: Path) -> None:
        super().load(path)
        self._walk_by_int8()  # the file is faiss's, which has no place for it

    def _walk_by_int8(self) -> None:
        self.index.int8_traversal = self.spec.storage.startswith("float")  # float16 has to ask

    def details(self) -> str:
        return str(self.lib.simd_level())


class OursBlocks(Ours):
    """With neighbour blocks."""

    title = "shortlist QG"

    def build(self, base: np.ndarray, threads: int) -> None:
        super().build(base, threads)
        self.lib.omp_set_num_threads(threads)
        self.index.neighbor_blocks = True
        self.lib.omp_set_num_threads(1)

    def load(self, path: Path) -> None:
        super().load(path)
        self.index.neighbor_blocks = True


class OursLists(Ours):
    """IVF of one-bit codes, the best of which are compared again by the vectors as they are stored.

    Not a graph: it has a list for every 490 vectors or so, and efSearch stands for two numbers, how
    many codes are compared again and, a third of it, how many lists are searched. A sweep of both
    set their proportion.
    """

    title = "shortlist IVF,SDC1"

    def build(self, base: np.ndarray, threads: int) -> None:
        s, lib = self.spec, self.lib
        lib.omp_set_num_threads(threads)
        lists = 1 << max(len(base) // 490, 1).bit_length() - 1
        metric = lib.METRIC_L2 if s.metric == "l2" else lib.METRIC_INNER_PRODUCT
        coarse = lib.IndexFlat(s.d, metric)
        exact = lib.IndexFlat(s.d, metric, dtype=s.storage)
        self.index = lib.IndexRefine(lib.IndexIVFSDC(coarse, s.d, lists, 1, metric), exact)
        self.index.train(base)
        self.index.add(base)
        lib.omp_set_num_threads(1)

    def save(self, path: Path) -> None:
        self.index.save(path)

    def load(self, path: Path) -> None:
        self.index = self.lib.open(path)

    def set_ef(self, ef: int) -> None:
        self.index.base_index.nprobe = max(ef // 3, 1)
        self.index.k_factor = max(ef / self.spec.k, 1)
