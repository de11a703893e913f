"""What clusters of like sizes are worth, in lists and in codes, and second lists: claims, measured.

    python bench/balance.py DATA_DIR
    python bench/balance.py DATA_DIR --limit 50000 --nlist 256 --json balance.json

DATA_DIR holds base.*.npy and query.*.npy; vectors of unit length are compared by inner product,
others by squared L2 distance. The first --limit vectors are indexed, and training sees them too.

lists: IVF<nlist>,Flat with cp.balanced of 0, 0.5 and 1 (RepCONC), and with soar_lambda of 1.5,
which puts each vector into a second list. Told are the imbalance of the lists
(nlist * sum n^2 / (sum n)^2, 1 at best), the longest list, CPU seconds of training, recall@10 at
equal nprobe with the vectors that were looked at, and recall@10 at equal numbers of those.
codes: IndexPQ, scanned whole, with pq.cp.balanced of 0, 0.5 and 1: recall@10, recall of its 100
nearest for the true 10, the entropy of a part's codes in bits, and the mean squared error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import shortlist

STRENGTHS = (0.0, 0.5, 1.0)
SOAR = 1.5
PROBES = (1, 2, 4, 8, 16, 32, 64)
BUDGETS = (0.005, 0.01, 0.02, 0.04, 0.08)  # shares of the vectors


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(
        np.mean([len(np.intersect1d(f, t)) for f, t in zip(found, true, strict=True)]) / 10
    )


def lists(
    x: np.ndarray,
    q: np.ndarray,
    true: np.ndarray,
    metric: int,
    nlist: int,
    strength: float,
    soar_lambda: float,
) -> dict[str, Any]:
    index = shortlist.index_factory(x.shape[1], f"IVF{nlist},Flat", metric)
    index.cp.balanced = strength
    index.soar_lambda = soar_lambda
    start = time.process_time()
    index.train(x)
    seconds = time.process_time() - start
    index.add(x)
    sizes = np.array([index.get_list_size(i) for i in range(nlist)])
    # Lists in the order a query looks at them, and the vectors seen after each.
    order = index.quantizer.search(q, nlist)[1]
    seen = sizes[order].cumsum(1)
    probes = []
    for nprobe in (p for p in PROBES if p <= nlist):
        index.nprobe = nprobe
        found = index.search(q, 10)[1]
        probes.append((nprobe, recall(found, true), float(seen[:, nprobe - 1].mean())))
    # Recall as a function of vectors looked at, between whole numbers of lists.
    homes = np.full((len(x), 2), -1)
    for i in range(nlist):
        ids = index.invlists.get_ids(i)
        homes[ids[homes[ids, 0] >= 0], 1] = i
        homes[ids[homes[ids, 0] < 0], 0] = i
    homes[:, 1] = np.where(homes[:, 1] < 0, homes[:, 0], homes[:, 1])
    rank = np.argsort(order, 1)
    at = np.minimum(*(np.take_along_axis(rank, home[true], 1) for home in homes.T))
    curve = (at[:, :, None] <= np.arange(nlist)).mean((0, 1))
    budgets = [(share, float(np.interp(share * len(x), seen.mean(0), curve))) for share in BUDGETS]
    return {
        "strength": strength,
        "soar_lambda": soar_lambda,
        "imbalance": index.invlists.imbalance_factor(),
        "longest": int(sizes.max()),
        "train_cpu_seconds": seconds,
        "probes": probes,
        "budgets": budgets,
    }


def codes(
    x: np.ndarray, q: np.ndarray, true: np.ndarray, metric: int, M: int, nbits: int, strength: float
) -> dict[str, Any]:
    index = shortlist.IndexPQ(x.shape[1], M, nbits, metric)
    index.pq.cp.balanced = strength
    start = time.process_time()
    index.train(x)
    seconds = time.process_time() - start
    index.add(x)
    packed = index.pq.compute_codes(x)
    parts = packed if nbits == 8 else np.stack([packed & 15, packed >> 4], 2).reshape(len(x), -1)
    entropy = []
    for m in range(M):
        p = np.bincount(parts[:, m], minlength=1 << nbits) / len(x)
        entropy.append(-(p[p > 0] * np.log2(p[p > 0])).sum())
    found = index.search(q, 100)[1]
    return {
        "strength": strength,
        "entropy_bits": float(np.mean(entropy)),
        "mse": float(((x - index.pq.decode(packed)) ** 2).sum(1).mean()),
        "recall_at_10": recall(found[:, :10], true),
        "recall_10_at_100": recall(found, true),
        "train_cpu_seconds": seconds,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=200_000, help="vectors")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--nlist", type=int, default=1024)
    parser.add_argument("--pq", default="", help="M of the codes, comma-separated; default d / 8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where every measurement goes")
    args = parser.parse_args()
    shortlist.omp_set_num_threads(args.threads)
    data = shortlist.datasets.load(args.data)
    x = data.base.read(0, min(args.limit, len(data.base))).astype(np.float32)
    q = data.queries.read(0, min(args.queries, len(data.queries))).astype(np.float32)
    unit = bool(np.allclose(np.linalg.norm(x[:1000], axis=1), 1, atol=1e-2))
    metric = shortlist.METRIC_INNER_PRODUCT if unit else shortlist.METRIC_L2
    true = shortlist.knn(q, x, 10, metric=metric)[1]
    print(
        f"{args.data.name}: {x.shape[0]} x {x.shape[1]}, {len(q)} queries, {shortlist.simd_level()}"
    )
    results: dict[str, Any] = {"lists": [], "codes": []}
    for strength, soar_lambda in [*((s, 0.0) for s in STRENGTHS), (0.0, SOAR)]:
        row = lists(x, q, true, metric, args.nlist, strength, soar_lambda)
        results["lists"].append(row)
        print(
            f"IVF{args.nlist} balanced {strength}, soar_lambda {soar_lambda}: "
            f"imbalance {row['imbalance']:.3f}, longest {row['longest']}, "
            f"training {row['train_cpu_seconds']:.1f} CPU s"
        )
        print("  nprobe", "  ".join(f"{p}: {r:.3f} ({n:.0f})" for p, r, n in row["probes"]))
        print("  share ", "  ".join(f"{s:g}: {r:.3f}" for s, r in row["budgets"]), flush=True)
    for M in [int(m) for m in args.pq.split(",") if m] or [x.shape[1] // 8]:
        for nbits in (8, 4):
            for strength in STRENGTHS:
                row = codes(x, q, true, metric, M, nbits, strength)
                results["codes"].append({"M": M, "nbits": nbits, **row})
                print(
                    f"PQ{M}x{nbits} balanced {strength}: entropy {row['entropy_bits']:.3f} bits, "
                    f"mse {row['mse']:.5g}, recall@10 {row['recall_at_10']:.3f}, "
                    f"10@100 {row['recall_10_at_100']:.3f}, "
                    f"training {row['train_cpu_seconds']:.1f} CPU s",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps({"data": args.data.name, **results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
