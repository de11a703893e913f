"""hnswlib, which stores float32 only."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from bench.frontier.contenders.base import Contender


class Hnswlib(Contender):
    module = "hnswlib"
    title = "hnswlib"

    @classmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        return ("float32",)

    def build(self, base: np.ndarray, threads: int) -> None:
        s = self.spec
        self.index = self.lib.Index(space=s.metric, dim=s.d)
        self.index.init_index(max_elements=len(base), M=s.M, ef_construction=s.ef_construction)
        self.index.add_items(base, num_threads=threads)

    def set_ef(self, ef: int) -> None:
        self.index.set_ef(ef)

    def search1(self, query: np.ndarray) -> np.ndarray:
        return self.index.knn_query(query, k=self.spec.k, num_threads=1)[0]

    def search_batch(self, queries: np.ndarray) -> np.ndarray:
        return self.index.knn_query(queries, k=self.spec.k, num_threads=1)[0]

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))

    def load(self, path: Path) -> None:
        self.index = self.lib.Index(space=self.spec.metric, dim=self.spec.d)
        self.index.load_index(str(path))

    def version(self) -> str:
        return version("hnswlib")
