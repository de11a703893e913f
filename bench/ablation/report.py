"""What each step is worth, as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.ablation.measure import Curves, Effect
from bench.ablation.steps import COLUMNS, STEPS, index_of
from bench.frontier.report import METRICS, qps_cell, table
from bench.frontier.summary import TARGETS, at_recall


def markdown(
    about: dict[str, Any], steps: Iterable[str], curves: dict[str, Curves], effects: list[Effect]
) -> str:
    data, settings, environment = about["data"], about["settings"], about["environment"]
    bases = {
        name: some[index_of(COLUMNS[name].base, data["dtype"])] for name, some in curves.items()
    }
    isa = list(bases.values())[-1].build.details
    parts = [
        f"# Ablation: {data['name']}, {data['rows']:,} x {data['d']} {data['dtype']}, "
        f"{METRICS[data['metric']]}",
        f"M = {settings['M']}, efConstruction = {settings['ef_construction']}, "
        f"{data['queries']:,} queries. Ratios of QPS by CPU time on one core at equal "
        f"recall@{data['k']}: median of {settings['rounds']} interleaved rounds [min, max]. "
        f"{environment['cpu']} ({isa}), core {environment['core']}, of which "
        f"searches had {environment['share_of_core']:.0%}.",
    ]
    head = ["", *(f"recall {target:.2f}" for target in TARGETS)]
    rows = [
        [COLUMNS[name].base_title]
        + [qps_cell(at_recall(base, "batch", target)) for target in TARGETS]
        for name, base in bases.items()
    ]
    parts += ["## QPS", table(head, rows)]
    cells = {(e.column, e.step, e.target): _cell(e) for e in effects}
    head = ["step", *(COLUMNS[name].title for name in curves), "kept"]
    for target in TARGETS:
        rows = [
            [f"{STEPS[step].title}; else {STEPS[step].otherwise}"]
            + [cells.get((name, step, target), "") for name in curves]
            + [STEPS[step].kept]
            for step in steps
        ]
        parts += [f"## At recall {target:.2f}", table(head, rows)]
    parts.append(
        "Alone: times as fast with the step as without it, in the plain search (float32 vectors, "
        "AVX2, all queries in one call, none of the other steps) and what the step needs. Taken: "
        "times as fast without the step as with it, in the whole search. Empty: the step does "
        "nothing there. ≥, ≤, ≈: the smallest ef of one or both already exceeds that recall."
    )
    return "\n\n".join(parts) + "\n"


def _cell(effect: Effect) -> str:
    if effect.ratio is None:
        return "not reached"
    r = effect.ratio
    return f"{r.sign}{r.median:.2f} [{r.min:.2f}, {r.max:.2f}]"
