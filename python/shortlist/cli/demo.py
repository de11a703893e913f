"""shortlist demo: a graph beside exact search, and a reranker behind it, on the shipped data."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import shortlist
from shortlist._evaluate import Evaluation, Frontier, Point, evaluate, sweep
from shortlist._knobs import setting
from shortlist._plot import plot
from shortlist.datasets import Dataset, sample

from . import two_stage
from .console import Json, check_writable, progress, say_json

_RECALLS = (0.95, 0.99)
_M = 32


@dataclass
class _Row:
    data: str
    index: str
    ef: float | None
    result: Evaluation


def demo(
    out: Annotated[
        Path, typer.Option(help="Where to draw recall against QPS: .png .svg .pdf.")
    ] = Path("shortlist-demo.png"),
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=50, help="Neighbours per query.")] = 10,
    as_json: Json = False,
) -> None:
    """Build a graph on two small data sets and measure it beside exact search; then rerank."""
    check_writable(out)
    rows: list[_Row] = []
    frontiers: list[Frontier] = []
    answers: list[str] = []
    builds: list[str] = []
    seconds: dict[str, float] = {}
    stages: list[two_stage.Stage] = []
    lacking = two_stage.missing()
    for name in ("sift", "texts"):
        data = sample(name)
        graph, exact, seconds[name] = _build(data, as_json)
        builds.append(
            f"{name}: {len(data.base):,} x {data.base.dim} {data.base.dtype}, "
            f"{data.metric}; graph built in {seconds[name]:.1f} s"
        )
        rows += _measure(data, graph, exact, k, frontiers)
        if data.texts:
            answers = _answers(data, graph)
            if not lacking:
                stages = two_stage.two_stage(data, graph)
    picture = None
    if find_spec("matplotlib"):
        picture = plot(frontiers, out, title="shortlist demo: the vectors in the package")
    if as_json:
        say_json(
            {
                "results": [
                    {"data": r.data, "index": r.index, "ef": r.ef, **r.result.to_dict()}
                    for r in rows
                ],
                "two_stage": [asdict(stage) for stage in stages],
                "build_seconds": seconds,
                "plot": str(picture) if picture else None,
            }
        )
        return
    _show(rows, k, builds, answers)
    if stages:
        two_stage.show(stages, len(data.queries))
    else:
        print(lacking)
    print(
        f"plot: {picture}" if picture else "plot: needs matplotlib: pip install 'shortlist[plot]'"
    )


def _build(data: Dataset, quiet: bool) -> tuple[Any, Any, float]:
    base = np.asarray(data.base)
    metric = shortlist.METRIC_L2 if data.metric == "l2" else shortlist.METRIC_INNER_PRODUCT
    graph = shortlist.IndexHNSWFlat(data.base.dim, _M, metric, dtype=base.dtype.name)
    exact = shortlist.IndexFlat(data.base.dim, metric, dtype=base.dtype.name)
    exact.add(base)
    started = time.perf_counter()
    with progress(f"building {data.name}", len(base), quiet) as show:
        graph.add(base, progress=lambda done, _: show(done))
    return graph, exact, time.perf_counter() - started


def _measure(
    data: Dataset, graph: Any, exact: Any, k: int, frontiers: list[Frontier]
) -> list[_Row]:
    queries = np.asarray(data.queries)
    best = evaluate(exact, queries, data.truth, k, base=data.base)
    curve = sweep(graph, queries, data.truth, k, base=data.base, label=f"{data.name}: HNSW{_M}")
    frontiers += [
        curve,
        Frontier((Point({}, best.recall, best.qps),), k, best.threads, f"{data.name}: exact"),
    ]
    rows = [_Row(data.name, "exact", None, best)]
    efs = dict.fromkeys(point.params["efSearch"] for r in _RECALLS if (point := curve.at(r)))
    for ef in efs:
        with setting(graph, {"efSearch": ef}):
            result = evaluate(graph, queries, data.truth, k, base=data.base)
        rows.append(_Row(data.name, f"HNSW{_M}", ef, result))
    return rows


def _answers(data: Dataset, graph: Any) -> list[str]:
    _, found = graph.search(data.queries.read(0, 1), 3)
    return [data.query_texts[0], *(data.texts[i] for i in found[0].tolist())]


def _show(rows: list[_Row], k: int, builds: list[str], answers: list[str]) -> None:
    table = Table("data", "index", "ef", f"recall@{k}", "QPS", "speed", "p50 ms", "p99 ms")
    for column in table.columns[2:]:
        column.justify = "right"
    exact = rows[0]
    for i, row in enumerate(rows):
        r = row.result
        if row.ef is None:
            exact = row
        last = i + 1 == len(rows) or rows[i + 1].data != row.data
        table.add_row(
            row.data if row is exact else "",
            row.index,
            f"{row.ef:g}" if row.ef else "",
            f"{r.recall:.4f}",
            f"{r.qps:,.0f}",
            f"{r.qps / exact.result.qps:.1f}x",
            f"{r.p50_ms:.3f}",
            f"{r.p99_ms:.3f}",
            end_section=last,
        )
    Console().print(table)
    threads = rows[0].result.threads
    print(
        f"ef: efSearch. QPS: all queries in one call, {threads} threads; speed: beside exact "
        "search.\np50, p99: latency of one query per call."
    )
    for line in builds:
        print(line)
    if answers:
        print(f"\nnearest to {answers[0]!r}:")
        for i, text in enumerate(answers[1:], 1):
            print(f"  {i}. {text}")
        print()
