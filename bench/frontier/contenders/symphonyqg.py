"""SymphonyQG, from rabitqlib: float32 rows with 1-bit codes of the neighbours beside them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from bench.frontier.contenders.base import Contender


class SymphonyQG(Contender):
    module = "rabitqlib"
    title = "SymphonyQG"

    @classmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        return ("float32",)

    def build(self, base: np.ndarray, threads: int) -> None:
        s = self.spec
        self.index = self.lib.SymqgIndex(s.d, max(32, 2 * s.M), s.metric)
        self.index.build(base, s.ef_construction, threads)

    def set_ef(self, ef: int) -> None:
        self.ef = max(ef, self.spec.k)

    def search1(self, query: np.ndarray) -> np.ndarray:
        return _ids(self.index.search(query, self.spec.k, self.ef, 1))

    def search_batch(self, queries: np.ndarray) -> np.ndarray:
        return _ids(self.index.search_batch(queries, self.spec.k, self.ef, 1))

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path) -> None:
        self.index = self.lib.SymqgIndex.load(str(path))

    def version(self) -> str:
        return version("rabitqlib")


def _ids(found: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """It gives ids and distances, in an order that releases have changed."""
    return next(x for x in found if np.issubdtype(x.dtype, np.integer)).astype(np.int64)
