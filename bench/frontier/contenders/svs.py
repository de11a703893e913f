"""SVS (scalable-vs): a Vamana graph over float32, float16 or uint8 vectors.

Its compressed vectors (LVQ, LeanVec) are for Intel's processors only and take no part.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from bench.frontier.contenders.base import Contender

PARTS = ("config", "graph", "data")  # folders of a saved index


class Svs(Contender):
    module = "svs"
    title = "SVS"

    @classmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        return ("uint8", "float16", "float32")

    def build(self, base: np.ndarray, threads: int) -> None:
        s, lib = self.spec, self.lib
        parameters = lib.VamanaBuildParameters(
            graph_max_degree=2 * s.M,  # as many as HNSW's lowest layer
            window_size=s.ef_construction,
            alpha=1.2 if s.metric == "l2" else 0.95,
        )
        self.index = lib.Vamana.build(parameters, base, self._distance(), num_threads=threads)
        self.index.num_threads = 1

    def set_ef(self, ef: int) -> None:
        self.index.search_window_size = max(ef, self.spec.k)

    def search1(self, query: np.ndarray) -> np.ndarray:
        return self.index.search(query, self.spec.k)[0]

    def search_batch(self, queries: np.ndarray) -> np.ndarray:
        return self.index.search(queries, self.spec.k)[0]

    def save(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.index.save(*(str(path / part) for part in PARTS))

    def load(self, path: Path) -> None:
        lib = self.lib
        config, graph, data = (str(path / part) for part in PARTS)
        dtype = getattr(lib, self.spec.storage)
        self.index = lib.Vamana(
            config,
            lib.GraphLoader(graph),
            lib.VectorDataLoader(data, dtype),
            self._distance(),
            query_type=dtype,
            num_threads=1,
        )

    def version(self) -> str:
        return version("scalable-vs")

    def _distance(self) -> object:
        kinds = self.lib.DistanceType
        return kinds.L2 if self.spec.metric == "l2" else kinds.MIP
