"""What a size costs, and how costs grow from size to size: as a table and as a plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.frontier.report import METRICS, table

QUANTITIES = {
    "distances": "distances per query",
    "microseconds": "CPU µs per query, all in one call",
    "microseconds_single": "CPU µs per query, one per call",
    "build_seconds": "CPU s to build",
}


@dataclass(frozen=True)
class Size:
    """The cost of one size; what depends on efSearch is interpolated at the wanted recall.

    Every quantity is a list: a number per round for times of searches, else one.
    """

    rows: int
    ef: float
    distances: list[float]
    microseconds: list[float]
    microseconds_single: list[float]
    build_seconds: list[float]
    build_wall_seconds: float
    agreement: float  # share of the library's answers that the counted walk gave too


@dataclass(frozen=True)
class Growth:
    """cost = constant * rows ** exponent, by least squares on logarithms; nothing beyond the
    measured sizes follows from it. The exponent of each round, as rounds are independent."""

    quantity: str
    exponents: list[float]


def growths(sizes: list[Size]) -> list[Growth]:
    rows = np.log([size.rows for size in sizes])
    found = []
    for quantity in QUANTITIES:
        costs = np.log([getattr(size, quantity) for size in sizes])
        found.append(Growth(quantity, np.polyfit(rows, costs, 1)[0].tolist()))
    return found


def markdown(about: dict[str, Any], sizes: list[Size], growth: list[Growth]) -> str:
    data, settings, environment = about["data"], about["settings"], about["environment"]
    head = ["vectors", "ef", "distances", "µs, one call", "µs, single", "ns per distance"]
    head += ["build CPU s", "wall s"]
    lines = [
        [
            f"{size.rows:,}",
            f"{size.ef:.0f}",
            f"{median(size.distances):,.0f}",
            _spread(size.microseconds),
            _spread(size.microseconds_single),
            f"{1000 * median(size.microseconds) / median(size.distances):.0f}",
            f"{median(size.build_seconds):.1f}",
            f"{size.build_wall_seconds:.1f}",
        ]
        for size in sizes
    ]
    fits = [[QUANTITIES[g.quantity], f"n^{_spread(g.exponents, 2)}"] for g in growth]
    title = f"{data['name']}, {data['d']} x {data['dtype']}, {METRICS[data['metric']]}"
    parts = [
        f"# Growth: {title}",
        f"At recall@{data['k']} {about['recall']}, tie-aware, interpolated on efSearch. "
        f"M = {settings['M']}, efConstruction = {settings['ef_construction']}, "
        f"{settings['threads_build']} threads to build, {data['queries']:,} queries "
        f"({about['counted']} to count distances). CPU time on one core: median of "
        f"{settings['rounds']} interleaved rounds [min, max]. {environment['cpu']}, core "
        f"{environment['core']}, of which searches had {environment['share_of_core']:.0%}.",
        table(head, lines),
        f"The walk that counts distances found {min(size.agreement for size in sizes):.2%} of the "
        "library's answers, where it found fewest. The fits are good for these sizes only.",
        table(["", "growth"], fits),
    ]
    return "\n\n".join(parts) + "\n"


def plot(title: str, sizes: list[Size], growth: list[Growth], file: Path) -> None:
    """Writes a PNG, both axes logarithmic. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(13, 4.5), sharex=True)
    panel_of = dict(zip(QUANTITIES, (panels[0], panels[1], panels[1], panels[2]), strict=True))
    rows = [size.rows for size in sizes]
    for each in growth:
        panel = panel_of[each.quantity]
        rounds = [getattr(size, each.quantity) for size in sizes]
        costs = [median(x) for x in rounds]
        slope, constant = np.polyfit(np.log(rows), np.log(costs), 1)
        (line,) = panel.plot(rows, np.exp(constant) * np.array(rows) ** slope, "--", linewidth=1)
        spread = [[c - min(x) for c, x in zip(costs, rounds, strict=True)]]
        spread.append([max(x) - c for c, x in zip(costs, rounds, strict=True)])
        label = f"{QUANTITIES[each.quantity]}: n^{median(each.exponents):.2f}"
        panel.errorbar(rows, costs, spread, fmt="o", color=line.get_color(), label=label)
    for panel in panels:
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("vectors")
        panel.grid(True, which="both", alpha=0.3)
        panel.legend(fontsize=8)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(file, dpi=130)
    plt.close(figure)


def _spread(values: list[float], digits: int = 1) -> str:
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"
