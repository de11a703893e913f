"""Exhaustive Hamming search beside faiss's, in one run: CPU time of single queries and of batches.

    python bench/hamming.py
    python bench/hamming.py --n 1000000 --bits 512 --k 100 --json hamming.json
    python bench/hamming.py DATA_DIR

Without DATA_DIR, bits are random. With it they are those of its base.*.npy and query.*.npy: whether
a value is above the median of its dimension. The contenders take turns, round after round, each on
one thread: single queries, one call for each, then all of them in one call. Both must give the same
distances.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Threads that wait for work must not count as working. Read when faiss loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import faiss
import numpy as np
import shortlist

LIBRARIES = {"shortlist": shortlist, "faiss": faiss}
MEDIAN_OF = 10_000  # rows


@dataclass(frozen=True)
class Run:
    bits: int
    queries: int  # in one call
    contender: str
    round: int
    cpu_ns_per_code: float


def random_bits(n: int, queries: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(bits)
    base, wanted = (rng.integers(0, 256, (m, bits // 8), np.uint8) for m in (n, queries))
    return base, wanted


def bits_of(folder: Path, n: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    data = shortlist.datasets.load(folder)
    base = data.base.read(0, min(n, len(data.base))).astype(np.float32)
    wanted = np.asarray(data.queries)[:queries].astype(np.float32)
    kept = base.shape[1] // 8 * 8
    middle = np.median(base[:MEDIAN_OF, :kept], axis=0)
    return tuple(np.packbits(x[:, :kept] > middle, axis=1) for x in (base, wanted))


def measure(base: np.ndarray, queries: np.ndarray, k: int, rounds: int) -> list[Run]:
    bits = 8 * base.shape[1]
    indexes = {}
    for name, library in LIBRARIES.items():
        indexes[name] = library.IndexBinaryFlat(bits)
        indexes[name].add(base)
    distances = [index.search(queries, k)[0] for index in indexes.values()]
    if not all(np.array_equal(d, distances[0]) for d in distances):
        sys.exit("the contenders' distances differ")
    runs = []
    for size in (1, len(queries)):
        calls = [queries[at : at + size] for at in range(0, len(queries), size)]
        for turn in range(rounds):
            for name, index in indexes.items():
                cpu = time.process_time()
                for x in calls:
                    index.search(x, k)
                cpu = time.process_time() - cpu
                runs.append(Run(bits, size, name, turn, cpu * 1e9 / len(queries) / len(base)))
    return runs


def summary(runs: list[Run]) -> list[dict[str, Any]]:
    """Of each setting the medians, and how many times ours faiss takes: median, min, max."""
    out = []
    for bits, queries in dict.fromkeys((r.bits, r.queries) for r in runs):
        times = {
            name: [
                r.cpu_ns_per_code
                for r in runs
                if (r.bits, r.queries, r.contender) == (bits, queries, name)
            ]
            for name in LIBRARIES
        }
        ratios = [f / s for s, f in zip(times["shortlist"], times["faiss"], strict=True)]
        out.append(
            {
                "bits": bits,
                "queries": queries,
                **{name: statistics.median(t) for name, t in times.items()},
                "faiss_over_ours": (statistics.median(ratios), min(ratios), max(ratios)),
            }
        )
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--n", type=int, default=200_000, help="codes")
    parser.add_argument("--bits", default="256,384,1024", help="where they are random")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where every measurement goes")
    args = parser.parse_args()
    for library in LIBRARIES.values():
        library.omp_set_num_threads(1)
    if args.data:
        sets = [bits_of(args.data, args.n, args.queries)]
    else:
        sets = [random_bits(args.n, args.queries, int(d)) for d in args.bits.split(",")]
    setting = {
        "data": args.data.name if args.data else "random", "n": len(sets[0][0]),
        "queries": args.queries, "k": args.k, "simd": shortlist.simd_level(),
        "faiss": faiss.__version__, "shortlist": shortlist.__version__,
    }  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    runs = [run for x in sets for run in measure(*x, args.k, args.rounds)]
    rows = summary(runs)
    for row in rows:
        middle, low, high = row["faiss_over_ours"]
        print(
            f"{row['bits']:5} bits, {row['queries']:3} a call: {row['shortlist']:6.3f} ns a code, "
            f"faiss {row['faiss']:6.3f}; {middle:.2f} x ours ({low:.2f} to {high:.2f})"
        )
    if args.json:
        document = {"setting": setting, "runs": [asdict(r) for r in runs], "summary": rows}
        args.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
