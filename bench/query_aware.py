"""What codes that know the queries gain: score errors and recall at equal bytes, in one run.

    python bench/query_aware.py DATA_DIR
    python bench/query_aware.py DATA_DIR --limit 30000 --sizes 48,64 --json query_aware.json

DATA_DIR is as of bench.frontier, of unit vectors (inner product), with train_query.*.npy: queries
of the same kind, from which query-aware indexes learn. Everything is measured on query.*.npy, which
nothing has seen: the mean squared error of a code's scores over all pairs of a query and a vector,
and over each query's true top 100, and recall@10 (tie-aware) of the scan. PQ, OPQ and RaBitQ are
plain, behind a query-aware transform of each objective, and faiss's own; PQ and OPQ also with the
anisotropic loss, which no queries are needed for. One thread searches.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import faiss
import numpy as np
import shortlist

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.frontier import dataset

K, TOP, BATCH = 10, 100, 16


@dataclass
class Figures:
    name: str
    code_size: int
    error_all: float
    error_top: float
    recall: float
    train_seconds: float  # of CPU
    chosen: dict[str, Any] | None  # by a query-aware transform


@dataclass(frozen=True)
class Contender:
    name: str
    description: str
    objective: str | None = None  # of a query-aware one
    of_faiss: bool = False
    threshold: float = 0  # of an anisotropic one


def contenders(sizes: list[int], threshold: float) -> Iterator[Contender]:
    products = [form for M in sizes for form in (f"PQ{M}", f"OPQ{M},PQ{M}")]
    for form in [*products, "RaBitQ"]:
        yield Contender(form, form)
        yield Contender(f"faiss {form}", form, of_faiss=True)
        for objective in ("recall", "score"):
            yield Contender(f"QA,{form} ({objective})", f"QA,{form}", objective)
        if form in products:
            yield Contender(f"{form} (anisotropic)", form, threshold=threshold)


def built(contender: Contender, x: np.ndarray, train_q: np.ndarray) -> tuple[Any, float]:
    library = faiss if contender.of_faiss else shortlist
    index = library.index_factory(x.shape[1], contender.description, library.METRIC_INNER_PRODUCT)
    if contender.threshold:
        inner = getattr(index, "index", index)
        inner.pq.anisotropic_threshold = contender.threshold
    start = time.process_time()
    if contender.objective:
        index.train(x, queries=train_q, objective=contender.objective)
    else:
        index.train(x)
    spent = time.process_time() - start
    index.add(x)
    return index, spent


def measured(index: Any, data: dataset.Dataset, x: np.ndarray, q: np.ndarray) -> dict[str, float]:
    found, squares_all, squares_top = [], 0.0, 0.0
    for begin in range(0, len(q), BATCH):
        part = q[begin : begin + BATCH]
        scores, ids = index.search(part, len(x))
        found.append(ids[:, :K])
        told = np.empty_like(scores)
        np.put_along_axis(told, ids, scores, 1)
        exact = part @ x.T
        error = (told - exact).astype(np.float64) ** 2
        top = np.argpartition(-exact, TOP, axis=1)[:, :TOP]
        squares_all += error.mean(1).sum()
        squares_top += np.take_along_axis(error, top, 1).mean(1).sum()
    return {
        "error_all": squares_all / len(q),
        "error_top": squares_top / len(q),
        "recall": data.recall(np.concatenate(found)),
    }


def table(all_: list[Figures]) -> str:
    lines = [
        "| | bytes | recall@10 | error, all pairs | error, top 100 | chosen | training, CPU s |",
        "|---|---:|---:|---:|---:|---|---:|",
    ]
    for f in sorted(all_, key=lambda f: (f.code_size, f.name)):
        how = ""
        if f.chosen:
            how = f"a = {f.chosen['exponent']:g}" + (", fitted" if f.chosen["fitted"] else "")
        lines.append(
            f"| {f.name} | {f.code_size} | {f.recall:.4f} | {f.error_all:.3g} | {f.error_top:.3g} "
            f"| {how} | {f.train_seconds:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("data", type=Path, help="folder with base, query and train_query files, gt.i32.npy")
    add("--limit", type=int, help="vectors compared (default: all)")
    add("--queries", type=int, default=500, help="default: %(default)s")
    add("--sizes", default="16,32,48,64,96", help="bytes of PQ's codes (default: %(default)s)")
    add("--only", type=lambda text: text.split("|"), help="names that hold one of these, by |")
    add("--threshold", type=float, default=0.2, help="anisotropic (default: %(default)s)")
    add("--json", type=Path, help="where to write the figures")
    args = parser.parse_args()
    data = dataset.load(args.data, K, args.limit, args.queries, "ip")
    x, q = np.array(data.base, np.float32), np.array(data.queries, np.float32)
    (file,) = args.data.glob("train_query.*.npy")
    train_q = np.load(file).astype(np.float32)
    threads = shortlist.omp_get_max_threads()
    out: list[Figures] = []
    for contender in contenders(list(map(int, args.sizes.split(","))), args.threshold):
        name = contender.name
        if args.only and not any(word in name for word in args.only):
            continue
        for library in (faiss, shortlist):
            library.omp_set_num_threads(threads)
        index, seconds = built(contender, x, train_q)
        for library in (faiss, shortlist):
            library.omp_set_num_threads(1)
        chosen = index.chain.at(0).report["chosen"] if contender.objective else None
        figures = measured(index, data, x, q)
        out.append(
            Figures(name, index.sa_code_size(), train_seconds=seconds, chosen=chosen, **figures)
        )
        print(table(out[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(f"{data.name}, {len(x):,} x {x.shape[1]}, {len(q)} queries, {len(train_q):,} to learn\n")
    print(table(out))
    if args.json:
        figures_of = [asdict(f) for f in out]
        args.json.write_text(json.dumps({"data": data.name, "contenders": figures_of}, indent=1))


if __name__ == "__main__":
    main()
