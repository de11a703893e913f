"""faiss-cpu: IndexHNSWFlat for float32, IndexHNSWSQ for uint8 (8bit_direct) and float16."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.frontier.contenders.base import Contender, Spec


class Faiss(Contender):
    module = "faiss"
    title = "faiss"

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.lib.omp_set_num_threads(1)

    @classmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        return ("uint8", "float16", "float32")

    def prepare(self, x: np.ndarray) -> np.ndarray:
        return np.array(x, dtype=np.float32, order="C")  # whatever it stores, it takes float32

    def build(self, base: np.ndarray, threads: int) -> None:
        s, lib = self.spec, self.lib
        metric = lib.METRIC_L2 if s.metric == "l2" else lib.METRIC_INNER_PRODUCT
        if s.storage == "float32":
            self.index = lib.IndexHNSWFlat(s.d, s.M, metric)
        else:
            quantizer = lib.ScalarQuantizer
            qtype = quantizer.QT_fp16 if s.storage == "float16" else quantizer.QT_8bit_direct
            self.index = lib.IndexHNSWSQ(s.d, qtype, s.M, metric)
        self.index.hnsw.efConstruction = s.ef_construction
        lib.omp_set_num_threads(threads)
        self.index.train(base)  # learns nothing with these quantizers
        self.index.add(base)
        lib.omp_set_num_threads(1)

    def set_ef(self, ef: int) -> None:
        self.index.hnsw.efSearch = ef

    def search1(self, query: np.ndarray) -> np.ndarray:
        return self.index.search(query, self.spec.k)[1]

    def search_batch(self, queries: np.ndarray) -> np.ndarray:
        return self.index.search(queries, self.spec.k)[1]

    def save(self, path: Path) -> None:
        self.lib.write_index(self.index, str(path))

    def load(self, path: Path) -> None:
        self.index = self.lib.read_index(str(path))

    def details(self) -> str:
        return str(self.lib.get_compile_options()).strip()


class FaissLists(Faiss):
    """IVF of 4-bit product-quantised codes in fast-scan blocks, and a refinement by float32.

    Not a graph: lists as shortlist's, parts of two dimensions (four past 128), and efSearch
    stands for two numbers, how many codes are compared again and, two fifths of it, how many lists
    are searched. A sweep of all of these set them.
    """

    title = "faiss IVF,PQfs"

    @classmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        return ("float32",)

    def build(self, base: np.ndarray, threads: int) -> None:
        s, lib = self.spec, self.lib
        lib.omp_set_num_threads(threads)
        lists = 1 << max(len(base) // 490, 1).bit_length() - 1
        metric = lib.METRIC_L2 if s.metric == "l2" else lib.METRIC_INNER_PRODUCT
        parts = s.d // (2 if s.d <= 128 else 4)
        self.index = lib.index_factory(s.d, f"IVF{lists},PQ{parts}x4fs,RFlat", metric)
        self.index.train(base)
        self.index.add(base)
        lib.omp_set_num_threads(1)

    def load(self, path: Path) -> None:
        super().load(path)
        self.owner = self.index  # what downcast_index gives does not keep it alive
        self.index = self.lib.downcast_index(self.owner)

    def set_ef(self, ef: int) -> None:
        lists = self.lib.downcast_index(self.index.base_index)
        lists.nprobe = max(ef * 2 // 5, 1)
        self.index.k_factor = max(ef / self.spec.k, 1)
