"""Recall against QPS as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ._evaluate import Frontier

__all__ = ["plot"]

# Okabe and Ito: apart for every kind of colour vision; markers tell them apart in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SUFFIXES = (".png", ".svg", ".pdf")


def plot(
    frontiers: Frontier | Sequence[Frontier], path: str | os.PathLike[str], *, title: str = ""
) -> Path:
    """Draw recall against QPS (log scale), one line per frontier; up and to the right is better.

    frontiers: one or several; each one's `label` names its line. A single point is drawn alone.
    path: .png, .svg or .pdf. Returns it.
    Raises ImportError without matplotlib, ValueError for another suffix or nothing to draw.
    """
    path = Path(path)
    check_drawable(path)
    lines = [frontiers] if isinstance(frontiers, Frontier) else list(frontiers)
    if not any(line.points for line in lines):
        raise ValueError("nothing to draw: no frontier has a point")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(7, 4.5), layout="constrained")  # no pyplot: no global state
    axes = figure.subplots()
    for i, line in enumerate(lines):
        points = line.pareto()
        axes.plot(
            [p.recall for p in points],
            [p.qps for p in points],
            color=_COLOURS[i % len(_COLOURS)],
            marker=_MARKERS[i % len(_MARKERS)],
            markersize=6 if len(points) > 1 else 10,
            linestyle="-" if len(points) > 1 else "none",
            linewidth=2,
            label=line.label,
            clip_on=False,
            zorder=3,
        )
    axes.set_yscale("log")
    rates = [p.qps for line in lines for p in line.points]
    axes.set_ylim(min(rates) / 1.5, max(rates) * 1.5)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    k, threads = sorted({line.k for line in lines}), sorted({line.threads for line in lines})
    axes.set_xlabel("recall@" + "/".join(map(str, k)))
    axes.set_ylabel(f"queries per second ({'/'.join(map(str, threads))} threads)")
    axes.set_title(title or "Up and to the right is better", loc="left", fontsize=11)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.8, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    if any(line.label for line in lines):
        axes.legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=150)
    return path


def check_drawable(path: Path) -> None:
    """Raises ImportError without matplotlib, ValueError for a suffix it cannot draw."""
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{path}: cannot draw {path.suffix!r}; expected {', '.join(_SUFFIXES)}")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ImportError("matplotlib is needed for plots: pip install 'shortlist[plot]'") from None
