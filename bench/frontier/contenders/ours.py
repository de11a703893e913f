"""shortlist's IndexHNSWFlat, storing float32, float16 or uint8."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.frontier.contenders.base import Contender, Spec


class Ours(Contender):
    module = "shortlist"
    title = "shortlist"

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.lib.omp_set_num_threads(1)

    @classmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        return ("uint8", "float16", "float32")

    def build(self, base: np.ndarray, threads: int) -> None:
        s, lib = self.spec, self.lib
        metric = lib.METRIC_L2 if s.metric == "l2" else lib.METRIC_INNER_PRODUCT
        self.index = lib.IndexHNSWFlat(s.d, s.M, metric, dtype=s.storage)
        self.index.hnsw.efConstruction = s.ef_construction
        lib.omp_set_num_threads(threads)
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
