"""Kernels against what the GPU could do at most, and beside other libraries; after the tests.

bench/gpu/run.sh                       # all of it, on a machine with a GPU
python -m bench.gpu --out gpu.json     # what is installed already
python -m bench.gpu --host             # tiny sizes on the host: whether it runs, not how fast
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shortlist
from shortlist import gpu
from shortlist._core import _gpu

from bench.gpu import cases, roofs
from bench.gpu.peers import PEERS
from bench.gpu.sizes import GPU, HOST

ROOT = Path(__file__).parents[2]
SECONDS = {"tests": 120, "sanitizer": 60, "kernels": 150, "peers": 90}  # of each part, at most
_A_CASE = 1.0  # seconds in which it is repeated
_A_ROUND = 0.005  # seconds between two waits
_SANITIZED = "centroid or certif or select"  # tests


def tests(host: bool, seconds: float) -> dict[str, Any]:
    """What pytest -m gpu says; on the host some of the same tests there."""
    chosen = ["tests/test_gpu_kernels.py", "-k", "centroids"] if host else ["-m", "gpu"]
    return ran([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen], seconds)


def sanitizer(host: bool, seconds: float) -> dict[str, Any]:
    tool = shutil.which("compute-sanitizer")
    if host or tool is None:
        return {"outcome": "skipped", "why": "on the host" if host else "no compute-sanitizer"}
    command = [tool, "--error-exitcode", "99", sys.executable, "-m", "pytest", "-q", "-m", "gpu"]
    return ran([*command, "tests/test_gpu_kernels.py", "-k", _SANITIZED], seconds)


def ran(command: list[str], seconds: float) -> dict[str, Any]:
    """A command's outcome, within so many seconds, and the end of what it said."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, seconds)
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
        text = said.decode(errors="replace") if isinstance(said, bytes) else said
        return {"outcome": "timed out", "said": text.splitlines()[-20:]}
    outcome = "passed" if done.returncode == 0 else f"exit status {done.returncode}"
    return {"outcome": outcome, "said": (done.stdout + done.stderr).splitlines()[-20:]}


def milliseconds(engine: Any, case: cases.Case, seconds: float) -> float:
    """The median of rounds of calls that are waited for together, after some to warm up."""

    def calls(first: int, count: int) -> float:
        started = time.perf_counter()
        for i in range(first, first + count):
            case.call(i)
        engine.synchronize()
        return time.perf_counter() - started

    calls(0, 2)
    count = max(1, int(_A_ROUND / max(calls(2, 1), 1e-6)))
    told: list[float] = []
    end = time.perf_counter() + seconds
    while len(told) < 3 or (time.perf_counter() < end and len(told) < 100):
        told.append(1000 * calls(count * len(told), count) / count)
    return statistics.median(told)


def kernels(engine: Any, device: str, host: bool, rate: float, seconds: float) -> dict[str, Any]:
    """Of each case what it takes and what it would take at the least."""
    sizes, peaks = HOST if host else GPU, roofs.peaks(device)
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    end = time.perf_counter() + seconds
    for group in sizes:
        if time.perf_counter() > end:
            failed[group] = "no time was left"
            continue
        try:
            for case in cases.cases(engine, group, sizes):
                ms = milliseconds(engine, case, 0.01 if host else _A_CASE)
                rows.append(row_of(case, ms, rate, peaks))
                print(f"{ms:10.3f} ms  {case.kernel}: {case.name}", file=sys.stderr, flush=True)
        except (RuntimeError, ValueError, MemoryError) as error:  # the others are measured
            failed[group] = f"{type(error).__name__}: {error}"
    return {"rows": rows, "failed": failed}


def row_of(case: cases.Case, ms: float, rate: float, peaks: dict[str, float]) -> dict[str, Any]:
    told = {"DRAM": 1000 * case.bytes / rate}
    if case.unit in peaks:
        told[case.unit] = 1000 * case.operations / peaks[case.unit]
    bound = max(told, key=lambda name: told[name])
    return {
        "kernel": case.kernel,
        "case": case.name,
        "ms": ms,
        "roof_ms": told[bound],
        "share_of_roof": told[bound] / ms,
        "bound": bound,
        "without_peak": bool(case.unit) and case.unit not in peaks,
        "same_as": case.peers,
        "peers": {},
    }


def peers(
    names: list[str], pythons: Path | None, host: bool, rows: list[dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """Fills in what each library takes; what each is, or why it is not there."""
    out: dict[str, Any] = {}
    end = time.perf_counter() + seconds
    for name in names:
        own = pythons / name / "bin" / "python" if pythons else None
        python = str(own) if own and own.exists() else sys.executable
        command = [python, "-m", "bench.gpu.peers", name, *(["--host"] if host else [])]
        left = min(end - time.perf_counter(), seconds / 2)
        if left < 1:
            out[name] = {"outcome": "no time was left"}
            continue
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=left)
            said, why = done.stdout, done.stderr.strip().splitlines()[-1:]
            out[name] = {"outcome": "ran" if done.returncode == 0 else " ".join(why)}
        except subprocess.TimeoutExpired as late:
            said = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
            out[name] = {"outcome": "timed out"}
        for line in said.splitlines():
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if "version" in told:
                out[name]["version"] = told["version"]
            for row in rows:
                if row["same_as"] and row["same_as"] == told.get("case"):
                    row["peers"][name] = told["ms"]
    return out


def about(engine: Any, host: bool) -> dict[str, Any]:
    versions = {"shortlist": shortlist.__version__, "python": sys.version.split()[0]}
    if host:
        return {"device": "the host", "driver": None, "versions": versions}
    runtime, driver = gpu.plugin().versions()
    found = gpu.devices()[engine.device]
    return {
        "device": found.name,
        "capability": list(found.capability),
        "memory": found.memory,
        "driver": driver,
        "versions": versions | {"cuda": runtime},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description=(__doc__ or "").split("\n\n")[0]
    )
    add = parser.add_argument
    add("--host", action="store_true", help="tiny sizes, on the host")
    add("--out", type=Path, default=ROOT / "bench/results/gpu.json", help="default: %(default)s")
    add("--peers", default=",".join(PEERS), help="libraries beside ours (default: %(default)s)")
    add("--pythons", type=Path, help="folder of an environment for each, by its name")
    add("--seconds", type=float, default=sum(SECONDS.values()), help="for all (%(default)s)")
    args = parser.parse_args()
    names = [name for name in args.peers.split(",") if name]
    if unknown := set(names) - set(PEERS):
        parser.error(f"--peers: no {', '.join(sorted(unknown))}; choose {', '.join(PEERS)}")
    try:
        engine = _gpu.Engine() if args.host else gpu.engine()
    except shortlist.UnsupportedError as error:
        parser.error(str(error))
    share = args.seconds / sum(SECONDS.values())
    most = {part: share * seconds for part, seconds in SECONDS.items()}
    results: dict[str, Any] = {"host": args.host, **about(engine, args.host)}
    took: dict[str, float] = {}

    args.out.parent.mkdir(parents=True, exist_ok=True)

    def part(name: str, call: Callable[..., Any], *what: Any) -> None:
        """Whatever ends a later part, what was found until then is in the file."""
        started = time.perf_counter()
        found = call(*what)
        results.update(found if name == "kernels" else {name: found})
        took[name] = time.perf_counter() - started
        results["seconds"], results["load"] = took, os.getloadavg()[0]
        args.out.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{name}: {took[name]:.1f} s", file=sys.stderr, flush=True)

    part("tests", tests, args.host, most["tests"])
    part("sanitizer", sanitizer, args.host, most["sanitizer"])
    part("bandwidth", roofs.bandwidth, engine, 1 << 20 if args.host else 1 << 30)
    rate, device = results["bandwidth"], results["device"]
    part("kernels", kernels, engine, device, args.host, rate, most["kernels"])
    part("peers", peers, names, args.pythons, args.host, results["rows"], most["peers"])
    print(f"written to {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
