"""What indexes on disk cost to build and to ask, as tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.frontier.report import METRICS, table

MiB = 1 << 20


@dataclass
class Measured:
    """One contender at one target. Lists have a number per round."""

    name: str
    target: float
    setting: dict[str, Any]
    recall: float = 0.0
    read_bytes: float = 0.0  # a query, as the system counts them
    counts: dict[str, float] = field(default_factory=dict)  # as the library tells, a query
    qps: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)  # ms
    p99: list[float] = field(default_factory=list)


def markdown(about: dict[str, Any], builds: dict[str, Any], measured: list[Measured]) -> str:
    built = [
        [
            name,
            f"{b['wall_seconds']:.0f}",
            f"{b['cpu_seconds']:.0f}",
            f"{b['peak_bytes'] / MiB:,.0f}",
            f"{b['disk_bytes'] / MiB:,.0f}",
            f"{b['search_memory'] / MiB:,.1f}",
        ]
        for name, b in builds.items()
    ]
    head = ["", "wall s", "CPU s", "peak MiB", "on disk MiB", "to search MiB"]
    asked = ["recall", "", "of the other half", "QPS", "p50 ms", "p99 ms", "reads", "KiB", "knobs"]
    asked += ["first's QPS by this one's"]
    first, lines = {}, []
    for m in sorted(measured, key=lambda m: m.target):
        first.setdefault(m.target, m)
        ratios = [a / b for a, b in zip(first[m.target].qps, m.qps, strict=True)]
        reads = m.counts.get("reads")
        lines.append(
            [
                f"{m.target:g}",
                m.name,
                f"{m.recall:.4f}",
                spread(m.qps, 0),
                f"{median(m.p50):.2f}",
                f"{median(m.p99):.2f}",
                f"{reads:.1f}" if reads is not None else f"{m.read_bytes / 4096:.1f} pages",
                f"{m.read_bytes / 1024:.0f}",
                ", ".join(f"{k} {v}" for k, v in m.setting.items() if v is not None),
                "" if m is first[m.target] else spread(ratios, 2),
            ]
        )
    missed = sorted(
        (target, name)
        for target in {m.target for m in measured}
        for name in builds
        if not any((m.target, m.name) == (target, name) for m in measured)
    )
    parts = [
        f"# On disk: {about['data']}, {about['rows']:,} x {about['d']} {about['dtype']}, "
        f"{METRICS[about['metric']]}",
        f"Built with {about['threads']} threads, ours with memory={about['memory']!r}; "
        f"{about['queries']:,} queries, one thread, past the page cache, median of "
        f"{about['rounds']} rounds [min, max]. {about['cpu']}, load {about['load'][0]:.1f} before "
        f"and {about['load'][1]:.1f} after.",
        table(head, built),
        table(asked, lines),
        *[f"Recall {target:g} was not reached by {name}." for target, name in missed],
    ]
    return "\n\n".join(parts) + "\n"


def spread(values: list[float], digits: int) -> str:
    low, high = min(values), max(values)
    return f"{median(values):,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"
