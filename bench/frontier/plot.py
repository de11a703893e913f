"""Recall against QPS, one panel per way of calling."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench.frontier.report import MODE_MEANS
from bench.frontier.runner import MODES, Curve

COLOURS = {
    "ours": "#d62728",
    "ours-qg": "#8c1c1d",
    "ours-ivf": "#e377c2",
    "faiss": "#1f77b4",
    "faiss-ivf": "#aec7e8",
    "hnswlib": "#2ca02c",
    "usearch": "#9467bd",
    "symphonyqg": "#ff7f0e",
    "svs": "#17becf",
    "scann": "#bcbd22",
}
STYLES = {"uint8": ("-", "o"), "float16": ("-.", "^"), "float32": ("--", "s")}


def plot(curves: list[Curve], title: str, file: Path) -> None:
    """Writes a PNG: medians as lines, min to max over rounds as bands. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(MODES), figsize=(13, 5.5), sharex=True, sharey=True)
    for panel, mode in zip(panels, MODES, strict=True):
        for curve in curves:
            points = [point for point in curve.points if point.mode == mode]
            recall = [point.recall for point in points]
            style, marker = STYLES[curve.storage]
            colour = COLOURS[curve.library]
            panel.plot(
                recall,
                [median(point.qps) for point in points],
                style,
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=2 if curve.library.startswith("ours") else 1.3,
                label=curve.name,
            )
            panel.fill_between(
                recall,
                [min(point.qps) for point in points],
                [max(point.qps) for point in points],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
        panel.set_title(MODE_MEANS[mode])
        panel.set_xlabel("recall@10, tie-aware")
        panel.grid(True, which="both", alpha=0.3)
    panels[0].set_yscale("log")
    panels[0].set_ylabel("queries per second of CPU, one core")
    panels[-1].legend(fontsize=9)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(file, dpi=130)
    plt.close(figure)
