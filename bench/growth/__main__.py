"""Command line of bench.growth."""

from __future__ import annotations

import argparse
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.frontier import dataset, runner
from bench.frontier.commandline import (
    add_common,
    described,
    environment,
    numbers,
    settings,
    tell,
)
from bench.frontier.contenders import CONTENDERS, Spec
from bench.frontier.runner import Curve
from bench.frontier.summary import at_recall, interpolate
from bench.frontier.worker import Cache
from bench.growth import report
from bench.growth.walk import Graph

K = 10
COUNTED = 200  # queries whose distances are counted, at some milliseconds each


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    try:
        data = [dataset.load(args.data, K, n, args.queries, args.metric) for n in args.sizes]
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    if [len(part.base) for part in data] != list(args.sizes) or len(data) < 2:
        parser.error(f"--sizes: expected two or more of at most {len(data[-1].base):,}")
    chosen = settings(parser, args, ("ours",), (str(data[0].base.dtype),))
    out: Path = args.out or Path(__file__).parents[1] / "results" / f"{data[0].name}-growth"
    cache = Cache(out / "indexes", read=args.reuse, write=True)
    cache.folder.mkdir(parents=True, exist_ok=True)

    entries = [(spec, part) for part in data for spec in runner.choose(chosen, part)]
    curves = runner.measure(entries, chosen, lambda spec: cache, tell)
    sizes = [
        _cost(spec, part, curve, cache.folder, args.recall)
        for (spec, part), curve in zip(entries, curves, strict=True)
    ]
    growth = report.growths(sizes)
    about = {
        "data": described(data[-1]),
        "recall": args.recall,
        "counted": min(COUNTED, len(data[0].queries)),
        "settings": asdict(chosen),
        "environment": environment(curves, chosen.core),
    }
    results = {
        **about,
        "sizes": [asdict(size) for size in sizes],
        "growth": [asdict(each) for each in growth],
        "curves": [curve.to_json() for curve in curves],
    }
    (out / "growth.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    text = report.markdown(about, sizes, growth)
    (out / "growth.md").write_text(text)
    print(text)
    if importlib.util.find_spec("matplotlib"):
        title = f"{data[0].name}, M {chosen.M}, recall@{K} {args.recall}"
        report.plot(title, sizes, growth, out / "growth.png")
    else:
        tell("no plot: matplotlib is not installed (pip install matplotlib)")
    tell(f"written to {out}")


def _cost(
    spec: Spec, data: dataset.Dataset, curve: Curve, indexes: Path, recall: float
) -> report.Size:
    batch, single = (at_recall(curve, mode, recall) for mode in ("batch", "single"))
    if not (batch.qps and single.qps) or batch.sign or single.sign:
        raise SystemExit(f"{len(data.base):,} vectors: no --ef on both sides of recall {recall}")
    assert curve.build.index_file is not None
    points = [point for point in curve.points if point.mode == "batch"]
    recalls, efs = [point.recall for point in points], [point.ef for point in points]
    counts, agreement = _count(spec, data, indexes / curve.build.index_file, efs)
    ef, distances = (interpolate(recalls, y, recall) for y in ([*map(float, efs)], counts))
    assert ef is not None
    assert distances is not None
    tell(f"{len(data.base):,} vectors: {distances:,.0f} distances at recall {recall}")
    return report.Size(
        rows=len(data.base),
        ef=ef,
        distances=[distances],
        microseconds=[1e6 / qps for qps in batch.qps],
        microseconds_single=[1e6 / qps for qps in single.qps],
        build_seconds=[curve.build.cpu_seconds],
        build_wall_seconds=curve.build.wall_seconds,
        agreement=agreement,
    )


def _count(
    spec: Spec, data: dataset.Dataset, file: Path, efs: list[int]
) -> tuple[list[float], float]:
    """Mean distances at each ef; the least share of the library's answers that the walks found."""
    queries = data.queries[:COUNTED]
    graph, ours = Graph(file, data), CONTENDERS[spec.library](spec)
    ours.load(file)
    counts, agreements = [], []
    for ef in efs:
        walks = [graph.search(query, ef) for query in queries]
        counts.append(float(np.mean([computed for _, computed in walks])))
        ours.set_ef(ef)
        answers = ours.search_batch(ours.prepare(queries))
        same = [np.isin(row, ids[:K]) for row, (ids, _) in zip(answers, walks, strict=True)]
        agreements.append(float(np.mean(same)))
    return counts, min(agreements)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description="How shortlist's HNSW grows: distances and time per query, time to build.",
    )
    efs = "10,14,20,28,40,56,80,112,160,224,320"
    add_common(parser, efs, "efSearch values between which to interpolate (default: %(default)s)")
    add = parser.add_argument
    add(
        "--sizes",
        type=numbers,
        metavar="N,N...",
        default="10000,100000,1000000",
        help="numbers of vectors, the first of the base (default: %(default)s)",
    )
    add("--recall", type=float, default=0.95, help="of 10 (default: 0.95)")
    add("--out", type=Path, metavar="DIR", help="default: bench/results/NAME-growth")
    add("--reuse", action="store_true", help="take indexes that an earlier run built")
    return parser


if __name__ == "__main__":
    main()
