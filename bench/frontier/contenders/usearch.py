"""usearch: float32, float16, and uint8 as its int8.

It reads uint8 arrays as packed bits, so they are given as int8 less 128: L2 distances are
unchanged, and int8 has its fastest kernels. The shift does not keep inner products.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from bench.frontier.contenders.base import Contender

DTYPES = {"uint8": "i8", "float16": "f16", "float32": "f32"}


class Usearch(Contender):
    module = "usearch.index"
    title = "usearch"

    @classmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        return ("uint8", "float16", "float32") if metric == "l2" else ("float16", "float32")

    def prepare(self, x: np.ndarray) -> np.ndarray:
        if self.spec.storage == "uint8":
            return (np.ascontiguousarray(x) ^ np.uint8(128)).view(np.int8)
        return super().prepare(x)

    def build(self, base: np.ndarray, threads: int) -> None:
        s = self.spec
        self.index = self.lib.Index(
            ndim=s.d,
            metric="l2sq" if s.metric == "l2" else "ip",
            dtype=DTYPES[s.storage],
            connectivity=s.M,
            expansion_add=s.ef_construction,
        )
        self.index.add(np.arange(len(base)), base, threads=threads)

    def set_ef(self, ef: int) -> None:
        self.index.expansion_search = ef

    def search1(self, query: np.ndarray) -> np.ndarray:
        return self.index.search(query, self.spec.k, threads=1).keys

    def search_batch(self, queries: np.ndarray) -> np.ndarray:
        return self.index.search(queries, self.spec.k, threads=1).keys

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path) -> None:
        self.index = self.lib.Index.restore(str(path))

    def version(self) -> str:
        return version("usearch")

    def details(self) -> str:
        return "" if self.index is None else str(self.index.hardware_acceleration)
