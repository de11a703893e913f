"""What the command lines of the benchmarks share: arguments, and a word on data and machine."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.frontier.contenders import CONTENDERS
from bench.frontier.dataset import Dataset
from bench.frontier.runner import Curve, Settings


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive number")
    return value


def words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split(",")))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({positive(word) for word in text.split(",")}))


def add_common(parser: argparse.ArgumentParser, efs: str, about_efs: str) -> None:
    """What every measurement of graphs asks for; `settings` takes it from there."""
    add = parser.add_argument
    add("data", type=Path, help="folder with base.*.npy, query.*.npy, gt.i32.npy")
    add("--metric", choices=("l2", "ip"), help="default: ip if the vectors are of unit length")
    add("--M", type=positive, default=16, help="default: 16")
    add("--ef-construction", type=positive, default=200, metavar="EF", help="default: 200")
    add("--ef", type=numbers, metavar="EF,EF...", default=efs, help=about_efs)
    add("--queries", type=positive, metavar="N", default=2000, help="use at most N (default: 2000)")
    add("--rounds", type=positive, metavar="N", default=5, help="default: 5")
    add(
        "--seconds-per-point",
        type=float,
        metavar="S",
        default=0.8,
        help="about the longest that one measurement may take (default: 0.8)",
    )
    add("--threads-build", type=positive, metavar="N", default=2, help="default: 2")
    add("--core", type=int, metavar="N", help="where to search (default: the last allowed core)")


def settings(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    libs: tuple[str, ...],
    storages: tuple[str, ...],
) -> Settings:
    return Settings(
        libs=libs,
        storages=storages,
        M=args.M,
        ef_construction=args.ef_construction,
        efs=args.ef,
        rounds=args.rounds,
        threads_build=args.threads_build,
        seconds_per_point=args.seconds_per_point,
        core=_chosen_core(parser, args.core),
    )


def described(data: Dataset) -> dict[str, Any]:
    return {
        "name": data.name,
        "rows": len(data.base),
        "d": data.base.shape[1],
        "dtype": str(data.base.dtype),
        "metric": data.metric,
        "queries": len(data.queries),
        "k": data.k,
    }


def _chosen_core(parser: argparse.ArgumentParser, wanted: int | None) -> int:
    """The core to search on: the last allowed one unless another is wanted."""
    cores = os.sched_getaffinity(0)
    core = max(cores) if wanted is None else wanted
    if core not in cores:
        parser.error(f"--core {core}: this process may use {sorted(cores)}")
    return core


def tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def environment(curves: list[Curve], core: int) -> dict[str, Any]:
    """What to know about the machine to read the numbers."""
    titles = {curve.library: CONTENDERS[curve.library].title for curve in curves}
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "core": core,
        "share_of_core": _share_of_core(curves),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "versions": {titles[c.library]: c.build.version for c in curves},
        "details": {titles[c.library]: c.build.details for c in curves if c.build.details},
    }


def _share_of_core(curves: list[Curve]) -> float:
    """CPU time over wall time while searching: well below 1 when others used the core too."""
    points = [point for curve in curves for point in curve.points]
    return median(w / c for p in points for w, c in zip(p.qps_wall, p.qps, strict=True))


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
