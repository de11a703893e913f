"""Command line of bench.living."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import shortlist

from bench.frontier import dataset
from bench.living import churn, filters

K = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.living",
        description="Recall through churn, and speed under filters beside faiss and a scan.",
    )
    parser.add_argument("what", choices=("churn", "filters"))
    parser.add_argument("data", type=Path, nargs="+", help="folders as of bench.frontier")
    add = parser.add_argument
    add("--limit", type=int, default=100_000, help="vectors indexed (default: %(default)s)")
    add("--queries", type=int, default=300, help="default: 300")
    add("--M", type=int, default=16, help="default: 16")
    add("--ef-construction", type=int, default=200, metavar="EF", help="default: 200")
    add("--ef", type=_list(int), default="32,64,128", help="churn: efSearch (default: %(default)s)")
    add("--blocks", action="store_true", help="churn: with neighbour blocks")
    add("--rounds", type=int, help="default: 10 of churn, 5 of measurements")
    add("--recall", type=float, default=0.95, help="filters: default: 0.95")
    add("--seconds", type=float, default=0.3, help="filters: of a measurement (default: 0.3)")
    add("--kinds", type=_list(str), default="random,near,far,islands", help="filters")
    add("--shares", type=_list(float), default="0.5,0.1,0.01,0.001", help="filters: what passes")
    add("--core", type=int, help="filters: where to search (default: the last allowed core)")
    args = parser.parse_args()
    for folder in args.data:
        if args.what == "churn":
            rows = args.limit * 3 // 2
            data = dataset.load(folder, K, rows, args.queries, None)
            churn.run(data, lambda: _graph(args, data), args.ef, args.rounds or 10, 0.05)  # noqa: B023
        else:
            data = dataset.load(folder, K, args.limit, args.queries, None)
            entrants = list(filters.contenders(data, args.M, args.ef_construction))
            core = max(os.sched_getaffinity(0)) if args.core is None else args.core
            for thread in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(thread), {core})
            filters.run(
                data,
                entrants,
                args.kinds,
                args.shares,
                args.recall,
                args.rounds or 5,
                args.seconds,
            )


def _graph(args: argparse.Namespace, data: dataset.Dataset) -> shortlist.IndexHNSW:
    metric = shortlist.METRIC_L2 if data.metric == "l2" else shortlist.METRIC_INNER_PRODUCT
    index = shortlist.IndexHNSWFlat(data.base.shape[1], args.M, metric, dtype=data.base.dtype.name)
    index.hnsw.efConstruction = args.ef_construction
    index.neighbor_blocks = args.blocks
    return index


def _list(kind: type):
    return lambda text: tuple(kind(word) for word in text.split(","))


if __name__ == "__main__":
    main()
