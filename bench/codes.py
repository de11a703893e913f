"""Compressed codes side by side in one run: bytes, recall alone and reranked, scans a second.

    python bench/codes.py DATA_DIR
    python bench/codes.py DATA_DIR --train      # with encoders trained here, which needs torch
    python bench/codes.py DATA_DIR --limit 200000 --only SDC1,SDC2,RaBitQ --json codes.json

DATA_DIR is as of bench.frontier. Every contender compares each query with all codes, one query a
call, on one thread and one core; bytes are those of a code with all its factors. Contenders take
turns, round after round; queries a second are by CPU time. Recall@10 is tie-aware: of the scan
alone, of its 100 nearest compared again by the vectors, and of these compared by the vectors as
SQ8, with the bytes of a vector that the code and the SQ8 take together. "symmetric" compares the
query's own code; everything else the query as it is. Where DATA_DIR has qrels.tsv, nDCG@10 of the
results reranked by SQ8 is told too, as a share of the exact results'. Encoders learn from the base
and, where there is one, from train_query.*.npy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import faiss
import numpy as np
import shortlist

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.frontier import dataset
from bench.relevance import judged, ndcg

K, CANDIDATES = 10, 100


@dataclass
class Contender:
    name: str
    index: Any
    code_size: int
    build_seconds: float
    symmetric: bool = False
    recall: float = 0
    reranked: float = 0
    total: int = 0  # bytes, with vectors as SQ8 to rerank by
    reranked_sq8: float = 0
    ndcg: float | None = None  # of the latter, over the exact results'
    qps: list[float] = field(default_factory=list)

    def search(self, q: np.ndarray, k: int) -> np.ndarray:
        if isinstance(self.index, shortlist.IndexSDC):
            self.index.symmetric = self.symmetric
        return self.index.search(q, k)[1]


class SignBits:
    """The signs of randomly turned vectors, by Hamming distance."""

    def __init__(self, d: int) -> None:
        self.turn = faiss.RandomRotationMatrix(d, (d + 7) // 8 * 8)
        self.turn.init(1)
        self.bits = faiss.IndexBinaryFlat((d + 7) // 8 * 8)

    def train(self, x: np.ndarray) -> None:
        self.centre = x.mean(0)

    def pack(self, x: np.ndarray) -> np.ndarray:
        return np.packbits(self.turn.apply(x - self.centre) > 0, axis=1)

    def add(self, x: np.ndarray) -> None:
        self.bits.add(self.pack(x))

    def search(self, q: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self.bits.search(self.pack(q), k)


def makers(d: int, metric: str) -> dict[str, Callable[[], tuple[Any, int]]]:
    """What builds each untrained index, and the bytes of its code."""
    ours = shortlist.METRIC_L2 if metric == "l2" else shortlist.METRIC_INNER_PRODUCT
    theirs = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT

    def sdc(bits: int) -> tuple[Any, int]:
        index = shortlist.IndexSDC(d, bits, ours)
        return index, index.code_size

    def of_faiss(description: str) -> tuple[Any, int]:
        index = faiss.index_factory(d, description, theirs)
        return index, index.sa_code_size()

    out: dict[str, Callable[[], tuple[Any, int]]] = {}
    for bits in (1, 2, 4, 8):
        out[f"SDC{bits}"] = lambda bits=bits: sdc(bits)
    quarter = d // 4
    for description in (
        *("RaBitQ", "RaBitQfs", "RaBitQ2", "RaBitQfs2", "RaBitQ4", "RaBitQfs4"),
        *(f"PQ{quarter}x4fs", f"OPQ{quarter},PQ{quarter}x4fs", "SQ4", "SQ8"),
    ):
        out[f"faiss {description}"] = lambda description=description: of_faiss(description)
    out["faiss sign bits"] = lambda: (SignBits(d), (d + 7) // 8)
    return out


def trained(
    x: np.ndarray, queries: np.ndarray | None, metric: str
) -> dict[str, Callable[[], tuple[Any, int]]]:
    """IndexSDC with encoders trained on x: in less than d / 8 bytes, and of 1, 2 and 4 bits."""
    d = x.shape[1]

    def make(bits: int, code_dim: int) -> tuple[Any, int]:
        binarizer = shortlist.binary.RecurrentBinarizer(d, code_dim, bits=bits)
        binarizer.fit(x, queries=queries, metric=metric)
        ours = shortlist.METRIC_L2 if metric == "l2" else shortlist.METRIC_INNER_PRODUCT
        index = shortlist.IndexSDC(d, metric=ours, encoder=binarizer.export())
        return index, index.code_size

    sizes = [(1, d * 3 // 4), (1, d * 7 // 8), (1, d), (2, d), (4, d)]
    return {
        f"trained SDC{bits}x{code_dim}": lambda bits=bits, code_dim=code_dim: make(bits, code_dim)
        for bits, code_dim in sizes
    }


def built(
    data: dataset.Dataset, only: list[str] | None, more: dict[str, Callable[[], tuple[Any, int]]]
) -> list[Contender]:
    x = np.array(data.base, np.float32)
    out = []
    for name, make in {**makers(x.shape[1], data.metric), **more}.items():
        if only and not any(word in name for word in only):
            continue
        start = time.process_time()
        index, size = make()
        index.train(x)
        index.add(x)
        seconds = time.process_time() - start
        print(f"built {name}: {size} bytes, {seconds:.1f} CPU s", file=sys.stderr)
        out.append(Contender(name, index, size, seconds))
        if isinstance(index, shortlist.IndexSDC):
            out.append(Contender(f"{name} symmetric", index, size, seconds, symmetric=True))
    return out


def rerank(data: dataset.Dataset, found: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    distance = dataset.exact_distances(vectors, data.queries, found, data.metric)
    return np.take_along_axis(found, np.argsort(distance, axis=1)[:, : data.k], 1)


def measure(
    data: dataset.Dataset,
    all_: list[Contender],
    relevant: dict[int, set[int]],
    rounds: int,
    seconds: float,
) -> None:
    q = np.array(data.queries, np.float32)
    exact = shortlist.IndexFlat(q.shape[1], int(data.metric == "l2"))
    exact.add(np.array(data.base, np.float32))
    best = ndcg(exact.search(q, K)[1], relevant) if relevant else 0
    sq8 = shortlist.IndexScalarQuantizer(q.shape[1], shortlist.ScalarQuantizer.QT_8bit)
    sq8.train(np.array(data.base, np.float32))
    rounded = sq8.sa_decode(sq8.sa_encode(np.array(data.base, np.float32)))
    for c in all_:
        c.recall = data.recall(c.search(q, K))
        candidates = c.search(q, CANDIDATES)
        c.reranked = data.recall(rerank(data, candidates, data.base))
        again = rerank(data, candidates, rounded)
        c.total, c.reranked_sq8 = c.code_size + sq8.code_size, data.recall(again)
        if best:
            c.ndcg = ndcg(again, relevant) / best
    for turn in range(rounds):
        for c in all_[turn % len(all_) :] + all_[: turn % len(all_)]:
            done, start = 0, time.process_time()
            while (spent := time.process_time() - start) < seconds:
                for i in range(done, done + 8):
                    c.search(q[i % len(q)][None], K)
                done += 8
            c.qps.append(done / spent)


def table(all_: list[Contender]) -> str:
    lines = [
        "| | bytes | recall@10 | reranked 100 | with SQ8, bytes | reranked | nDCG | queries/s "
        "| min, max | build, CPU s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for c in sorted(all_, key=lambda c: (c.code_size, c.name)):
        lines.append(
            f"| {c.name} | {c.code_size} | {c.recall:.4f} | {c.reranked:.4f} | "
            f"{c.total} | {c.reranked_sq8:.4f} | {'' if c.ndcg is None else f'{c.ndcg:.4f}'} | "
            f"{statistics.median(c.qps):,.0f} | {min(c.qps):,.0f}, {max(c.qps):,.0f} | "
            f"{c.build_seconds:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("data", type=Path, help="folder with base.*.npy, query.*.npy, gt.i32.npy")
    add("--limit", type=int, help="vectors compared (default: all)")
    add("--queries", type=int, default=500, help="default: %(default)s")
    add("--rounds", type=int, default=5, help="default: %(default)s")
    add("--seconds", type=float, default=0.3, help="of a measurement (default: %(default)s)")
    add("--only", type=lambda text: text.split(","), help="names that hold one of these words")
    add("--train", action="store_true", help="encoders of shortlist.binary too; needs torch")
    add("--core", type=int, help="default: the last allowed one")
    add("--json", type=Path, help="where to write the figures")
    args = parser.parse_args()
    data = dataset.load(args.data, K, args.limit, args.queries, None)
    core = max(os.sched_getaffinity(0)) if args.core is None else args.core
    more = {}
    if args.train:
        files = sorted(args.data.glob("train_query.*.npy"))
        queries = np.load(files[0]).astype(np.float32) if files else None
        more = trained(np.array(data.base, np.float32), queries, data.metric)
    all_ = built(data, args.only, more)
    faiss.omp_set_num_threads(1)
    shortlist.omp_set_num_threads(1)
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})
    measure(data, all_, judged(args.data, len(data.queries)), args.rounds, args.seconds)
    print(f"{data.name}, {len(data.base):,} x {data.base.shape[1]}, {data.metric}\n")
    print(table(all_))
    if args.json:
        figures = [{k: v for k, v in vars(c).items() if k != "index"} for c in all_]
        args.json.write_text(json.dumps({"data": data.name, "contenders": figures}, indent=1))


if __name__ == "__main__":
    main()
