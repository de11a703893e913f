"""k-means beside faiss's, in one run: CPU and wall seconds, and how good the centroids are.

    python bench/kmeans.py DATA_DIR
    python bench/kmeans.py DATA_DIR --n 65536 --k 1024 --threads 2 --json kmeans.json
    python bench/kmeans.py DATA_DIR --n 1000000 --k 1024 --batch-size 65536

DATA_DIR holds base.*.npy, whose first rows are clustered as float32. The contenders take turns,
round after round. In a round both Kmeans begin with the same rows; faiss's SuperKmeans, which
prunes by statistics, takes no beginning and draws its own. With --batch-size ours takes part a
second time, with a first batch of so many rows. The objective is that of the final centroids, told
by faiss's exact search.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Threads that wait for work must not count as working. Read when faiss loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import faiss
import numpy as np
import shortlist

OURS = "shortlist"


@dataclass(frozen=True)
class Run:
    contender: str
    round: int
    cpu_seconds: float
    wall_seconds: float
    objective: float


def contenders(k: int, niter: int, batch_size: int) -> dict[str, Callable[[np.ndarray, int], Any]]:
    """How each is trained on the rows of x from a seed; returns what holds the centroids."""

    def kmeans(library: Any, **parameters: Any) -> Callable[[np.ndarray, int], Any]:
        def train(x: np.ndarray, seed: int) -> Any:
            first = x[np.random.default_rng(seed).choice(len(x), k, replace=False)]
            trained = library.Kmeans(
                x.shape[1], k, niter=niter, min_points_per_centroid=1,
                max_points_per_centroid=len(x), **parameters,
            )  # fmt: skip
            trained.train(x, init_centroids=first)
            return trained

        return train

    def super_kmeans(x: np.ndarray, seed: int) -> Any:
        trained = faiss.SuperKmeans(x.shape[1], k, niter=niter, seed=seed)
        trained.train(x)
        return trained

    found = {OURS: kmeans(shortlist), "faiss": kmeans(faiss)}
    if batch_size:
        found["ours, batches"] = kmeans(shortlist, batch_size=batch_size)
    if hasattr(faiss, "SuperKmeans"):
        found["faiss Super"] = super_kmeans
    return found


def objective(x: np.ndarray, centroids: np.ndarray) -> float:
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(centroids)
    return float(index.search(x, 1)[0].sum(dtype=np.float64))


def measure(x: np.ndarray, k: int, niter: int, rounds: int, batch_size: int) -> list[Run]:
    runs = []
    for turn in range(rounds):
        for name, train in contenders(k, niter, batch_size).items():
            cpu, wall = time.process_time(), time.perf_counter()
            trained = train(x, turn)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            runs.append(Run(name, turn, cpu, wall, objective(x, trained.centroids)))
            print(
                f"round {turn}: {name:<12} {cpu:8.2f} CPU s {wall:8.2f} s "
                f"objective {runs[-1].objective:.6g}",
                flush=True,
            )
    return runs


def summary(runs: list[Run]) -> dict[str, Any]:
    """Of each contender the medians, and its ratios to ours within a round: median, min, max."""
    by = {name: [r for r in runs if r.contender == name] for name in {r.contender: 0 for r in runs}}
    out = {}
    for name, theirs in by.items():
        out[name] = {
            field: statistics.median(getattr(r, field) for r in theirs)
            for field in ("cpu_seconds", "wall_seconds", "objective")
        }
        for field in ("cpu_seconds", "wall_seconds", "objective"):
            ratios = [
                getattr(r, field) / getattr(ours, field)
                for r, ours in zip(theirs, by[OURS], strict=True)
            ]
            out[name][f"{field}_over_ours"] = (
                statistics.median(ratios),
                min(ratios),
                max(ratios),
            )
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--n", type=int, default=1 << 18, help="rows")
    parser.add_argument("--k", type=int, default=4096)
    parser.add_argument("--niter", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=0, help="rows of a first batch of ours")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where every measurement goes")
    args = parser.parse_args()
    for library in (shortlist, faiss):
        library.omp_set_num_threads(args.threads)
    base = shortlist.datasets.load(args.data).base
    x = base.read(0, min(args.n, len(base))).astype(np.float32)
    setting = {
        "data": args.data.name, "n": len(x), "d": x.shape[1], "k": args.k, "niter": args.niter,
        "threads": args.threads, "simd": shortlist.simd_level(), "faiss": faiss.__version__,
        "shortlist": shortlist.__version__,
    }  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    runs = measure(x, args.k, args.niter, args.rounds, args.batch_size)
    means = summary(runs)
    for name, row in means.items():
        line = f"{name:<12} {row['cpu_seconds']:8.2f} CPU s {row['wall_seconds']:8.2f} s"
        if name != OURS:
            for field in ("cpu_seconds", "wall_seconds", "objective"):
                middle, low, high = row[f"{field}_over_ours"]
                what = field.removesuffix("_seconds")
                line += f"; {what} {middle:.4g} x ours ({low:.4g} to {high:.4g})"
        print(line)
    if args.json:
        document = {"setting": setting, "runs": [asdict(r) for r in runs], "summary": means}
        args.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
