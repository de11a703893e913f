"""Does `index.tune` keep its promise? Recall on queries it has not seen, beside what it reported.

    python bench/tune.py [DATA_DIR ...]

Each DATA_DIR holds base.*.npy, query.*.npy and gt.*.npy. A synthetic hard set, Gaussian vectors of
48 dimensions without clusters, is measured too. Half of the queries tune, the others are unseen.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import shortlist

M, EF_CONSTRUCTION, K = 16, 200, 10
RECALLS = (0.90, 0.95, 0.99)


def hard(n: int = 200_000, queries: int = 8000, d: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return (
        rng.standard_normal((n, d), np.float32),
        rng.standard_normal((queries, d), np.float32),
    )


def measure(name: str, base: np.ndarray, queries: np.ndarray, metric: int) -> bool:
    dtype = base.dtype.name
    index = shortlist.IndexHNSWFlat(base.shape[1], M, metric, dtype=dtype)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    started = time.perf_counter()
    index.add(base)
    print(f"{name}: {len(base):,} vectors, built in {time.perf_counter() - started:.0f} s")
    known, unseen = queries[: len(queries) // 2], queries[len(queries) // 2 :]
    exact = index.search_exact(unseen, K)[0][:, -1:]
    kept = True
    for recall in RECALLS:
        started = time.perf_counter()
        tuning = index.tune(known, K, recall)
        seconds = time.perf_counter() - started
        D, _ = index.search(unseen, K)
        sign = 1 if metric == shortlist.METRIC_L2 else -1
        got = float(np.mean(sign * (D - exact) <= 0))
        inside = tuning.low <= got <= tuning.high
        kept &= inside
        print(
            f"  wanted {recall:.2f}: {tuning}; unseen {got:.4f} {'inside' if inside else 'OUTSIDE'}"
            f"; {len(tuning.frontier.points)} settings in {seconds:.1f} s",
            flush=True,
        )
    return kept


def main() -> int:
    kept = measure("gaussian", *hard(), shortlist.METRIC_L2)
    for folder in map(Path, sys.argv[1:]):
        data = shortlist.datasets.load(folder)
        metric = shortlist.METRIC_L2 if data.metric == "l2" else shortlist.METRIC_INNER_PRODUCT
        kept &= measure(data.name, np.asarray(data.base), np.asarray(data.queries), metric)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
