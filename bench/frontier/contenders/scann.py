"""ScaNN: lists of 4-bit codes, the best of which are compared again as float32.

Not a graph, so M and efConstruction say nothing to it: it has its own build parameters, those its
authors advise, and efSearch stands for two numbers: how many lists are searched, and how many of
the codes found there are compared again. A sweep of both set their proportion: from 0.90 to 0.99
recall it was the fastest or nearly so, on image descriptors (L2) and on texts (inner product).
"""

from __future__ import annotations

from importlib.metadata import version
from math import isqrt
from pathlib import Path

import numpy as np

from bench.frontier.contenders.base import Contender


class Scann(Contender):
    module = "scann.scann_ops.py.scann_ops_pybind"  # of the package, the part without TensorFlow
    title = "ScaNN"

    @classmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        return ("float32",)

    def build(self, base: np.ndarray, threads: int) -> None:
        k, rows, inner = self.spec.k, len(base), self.spec.metric == "ip"
        builder = self.lib.builder(base, k, "dot_product" if inner else "squared_l2")
        builder.set_n_training_threads(threads)
        lists = 2 * isqrt(rows)
        builder.tree(
            num_leaves=lists,
            num_leaves_to_search=lists,  # each search says its own
            training_sample_size=rows,
            soar_lambda=1.5 if inner else None,  # a second list per vector; for this metric only
        )
        builder.score_ah(2, anisotropic_quantization_threshold=0.2)
        builder.reorder(k)  # each search says its own
        self.index = builder.build()

    def set_ef(self, ef: int) -> None:
        # Under inner product the codes are of residuals, so exact enough to check fewer of them.
        lists, reorder = (ef, ef // 2) if self.spec.metric == "ip" else (ef // 2, ef)
        self.effort = (self.spec.k, max(reorder, self.spec.k), max(lists, 1))

    def search1(self, query: np.ndarray) -> np.ndarray:
        return self.index.search(query[0], *self.effort)[0]

    def search_batch(self, queries: np.ndarray) -> np.ndarray:
        return self.index.search_batched(queries, *self.effort)[0]

    def save(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.index.serialize(str(path), relative_path=True)

    def load(self, path: Path) -> None:
        self.index = self.lib.load_searcher(str(path))

    def version(self) -> str:
        return version("scann")
