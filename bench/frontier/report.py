"""The results as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from bench.frontier.runner import MODES, Curve
from bench.frontier.summary import TARGETS, AtRecall, Ratio, Summary

METRICS = {"l2": "L2", "ip": "inner product"}
MODE_MEANS = {"single": "one query per call", "batch": "all queries in one call"}


def markdown(
    data: dict[str, Any],
    settings: dict[str, Any],
    environment: dict[str, Any],
    curves: list[Curve],
    summary: Summary,
) -> str:
    parts = [
        f"# {data['name']}: {data['rows']:,} x {data['d']} {data['dtype']}, "
        f"{METRICS[data['metric']]}",
        f"M = {settings['M']}, efConstruction = {settings['ef_construction']}, "
        f"k = {data['k']}, {data['queries']:,} queries. QPS by CPU time on one core: median "
        f"of {settings['rounds']} interleaved rounds [min, max]. Recall@{data['k']} is tie-aware.",
        f"{environment['cpu']}, core {environment['core']}, of which searches had "
        f"{environment['share_of_core']:.0%}; Python {environment['python']}, "
        + ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
        + ".",
    ]
    for mode in MODES:
        parts += [f"## QPS, {MODE_MEANS[mode]}", _qps_table(curves, summary.at_recall, mode)]
    for name in dict.fromkeys(ratio.ours for ratio in summary.ratios):
        ratios = [ratio for ratio in summary.ratios if ratio.ours == name]
        parts += [f"## {name}: times as fast as", _ratio_table(ratios)]
    parts += [f"## Building, {settings['threads_build']} threads", _build_table(curves)]
    parts.append(
        "≥, ≤: a contender's smallest ef already exceeds that recall, so its QPS there is only "
        "bounded (≈: on both sides). Memory: growth of the resident set during the build, base "
        "vectors not counted. (c): built in an earlier run, index loaded from its file."
    )
    return "\n\n".join(parts) + "\n"


def _qps_table(curves: list[Curve], found: list[AtRecall], mode: str) -> str:
    cells = {(at.name, at.target): at for at in found if at.mode == mode}
    head = ["", *(f"recall {target:.2f}" for target in TARGETS)]
    rows = [
        [curve.name, *(qps_cell(cells[curve.name, target]) for target in TARGETS)]
        for curve in curves
    ]
    return table(head, rows)


def qps_cell(at: AtRecall) -> str:
    if not at.qps:
        return "not reached"
    return f"{at.sign}{median(at.qps):,.0f} [{min(at.qps):,.0f}, {max(at.qps):,.0f}]"


def _ratio_table(ratios: list[Ratio]) -> str:
    cells = {
        (r.peer, r.mode, r.target): f"{r.sign}{r.median:.2f} [{r.min:.2f}, {r.max:.2f}]"
        for r in ratios
    }
    columns = [(mode, target) for mode in MODES for target in TARGETS]
    head = ["", *(f"{mode} {target:.2f}" for mode, target in columns)]
    rows = [
        [peer, *(cells.get((peer, mode, target), "not reached") for mode, target in columns)]
        for peer in dict.fromkeys(ratio.peer for ratio in ratios)
    ]
    return table(head, rows)


def _build_table(curves: list[Curve]) -> str:
    head = ["", "wall s", "CPU s", "memory MiB", "file MiB"]
    rows = [
        [
            curve.name + (" (c)" if curve.build.origin == "cache" else ""),
            f"{curve.build.wall_seconds:.1f}",
            f"{curve.build.cpu_seconds:.1f}",
            f"{curve.build.memory_bytes / 2**20:.0f}",
            "" if curve.build.index_bytes is None else f"{curve.build.index_bytes / 2**20:.0f}",
        ]
        for curve in curves
    ]
    return table(head, rows)


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    rows = list(rows)
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        first, *rest = (
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = (
        "|"
        + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths))
        + "|"
    )
    return "\n".join([line(head), rule, *(line(row) for row in rows)])
