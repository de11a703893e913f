"""What the command lines of the benchmarks share: kinds of arguments, and a word on the machine."""

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
from bench.frontier.runner import Curve


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive number")
    return value


def words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split(",")))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({positive(word) for word in text.split(",")}))


def chosen_core(parser: argparse.ArgumentParser, wanted: int | None) -> int:
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
        "cpu": _cpu_model(),
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


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
