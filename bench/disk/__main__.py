"""Indexes on disk beside DiskANN's: builds each, chooses knobs on half of the queries, and measures
the other half in turns.

    python -m bench.disk DATA_DIR --diskann-python PEER_ENV/bin/python
    python -m bench.disk DATA_DIR --limit 100000 --rounds 5
    python -m bench.disk DATA_DIR --coded --metric ip
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.disk import report
from bench.disk.report import Measured
from bench.disk.worker import K, Worker
from bench.frontier import dataset
from bench.frontier.commandline import cpu_model, positive, tell

PROBES = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512)
EPSILONS = (0.2, 0.3, 0.5, None)
CODED_EPSILONS = (0.3, None)
FACTORS = (2.0, 5.0, 10.0, 20.0)  # of codes
LISTS = (10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 68, 80, 96, 112, 136, 160, 192, 256, 384)
BEAMS = (4, 8)
GAIN = 0.0005  # recall that two steps must gain for larger knobs to be tried
NODE = 512  # bytes of a cached node of degree 64 and 128 bytes, with what surrounds it


@dataclass
class Contender:
    """An opened index, the families of its settings, and what was chosen for each target."""

    name: str
    worker: Worker
    families: list[list[dict[str, Any]]]  # each in the order in which recall grows
    build: dict[str, Any]
    chosen: dict[float, dict[str, Any]] = field(default_factory=dict)


class Run:
    def __init__(self, args: argparse.Namespace, data: dataset.Dataset, out: Path) -> None:
        self.args, self.data, self.out = args, data, out
        # Tuned on the even ones, measured on the odd: they lie in this order in the file.
        self.order = np.r_[0 : len(data.queries) : 2, 1 : len(data.queries) : 2]
        self.half = (len(self.order) + 1) // 2
        self.queries, self.base = out / "queries.npy", out / "base.npy"
        np.save(self.queries, np.ascontiguousarray(data.queries[self.order]))
        if args.limit:
            np.save(self.base, data.base)
        else:
            self.base = data.base_file.resolve()

    def build(self, library: str, python: str, name: str, **options: Any) -> dict[str, Any]:
        """In a process of its own; what an earlier run built with --reuse."""
        folder, record = self.out / name, self.out / f"{name}.json"
        if self.args.reuse and record.exists():
            found: dict[str, Any] = json.loads(record.read_text())
            return found
        record.unlink(missing_ok=True)
        worker = Worker(library, python, self.out / f"{name}.log")
        built: dict[str, Any] = worker.ask("build", folder=str(folder), **options)
        worker.close()
        record.write_text(json.dumps(built))
        tell(f"{name}: built in {built['wall_seconds']:.0f} s, {built['cpu_seconds']:.0f} s of CPU")
        return built

    def opened(
        self, title: str, library: str, python: str, name: str, build: dict[str, Any], **how: Any
    ) -> Contender:
        worker = Worker(library, python, self.out / f"{name}.log")
        worker.ask("open", queries=str(self.queries), folder=str(self.out / name), **how)
        if library == "ours":
            coded = build["plan"]["codec"] != "Flat"
            families = [
                [{"nprobe": n, "epsilon": e, "k_factor": f} for n in PROBES[coded :: 1 + coded]]
                for e in (CODED_EPSILONS if coded else EPSILONS)
                for f in (FACTORS if coded else FACTORS[:1])
            ]
        else:
            families = [[{"complexity": c, "beam_width": b} for c in LISTS] for b in BEAMS]
        return Contender(title, worker, families, build)

    def ours(self) -> list[Contender]:
        descriptions = ["SPANN", "SPANN,Flat"] if self.args.coded else ["SPANN"]
        made = []
        for description in descriptions:
            name = "ours-" + description.replace(",", "-").lower()
            build = self.build(
                "ours",
                sys.executable,
                name,
                base=str(self.base),
                description=description,
                memory=self.args.memory,
                metric=self.data.metric,
                threads=self.args.threads,
            )
            title = f"shortlist {description}"
            made.append(self.opened(title, "ours", sys.executable, name, build))
        return made

    def diskann(self, memory: int) -> list[Contender]:
        python = self.args.diskann_python
        rows = len(self.data.base)
        binary = self.out / "base.bin"
        with binary.open("wb") as file:  # as diskannpy takes it
            np.array(self.data.base.shape, np.int32).tofile(file)
            np.ascontiguousarray(self.data.base).tofile(file)
        made = []
        for code in self.args.codes:
            code = code or math.ceil(memory / rows)
            name = f"diskann-{code}"
            build = self.build(
                "diskann",
                python,
                name,
                base=str(binary),
                dtype=str(self.data.base.dtype),
                graph_degree=64,
                complexity=100,
                search_memory_maximum=(code * rows + 512) / 2**30,
                build_memory_maximum=self.args.diskann_memory,
                num_threads=self.args.threads,
            )
            for nodes in (0, memory // 4 // NODE) if self.args.cached else (0,):
                title = f"diskannpy, {code}-byte codes"
                title += f", {nodes:,} nodes cached" if nodes else ""
                made.append(self.opened(title, "diskann", python, name, build, nodes=nodes))
        return made

    def recall(self, answer: dict[str, Any], begin: int, end: int) -> float:
        """Of the answers to a part of the queries, in their order."""
        some = self.order[begin:end]
        part = dataset.Dataset(
            self.data.name,
            self.data.base_file,
            self.data.base,
            self.data.queries[some],
            self.data.metric,
            K,
            self.data.kth[some],
        )
        return part.recall(np.array(answer["ids"]))

    def choose(self, contender: Contender) -> list[dict[str, Any]]:
        """For each target the setting of least median latency that has its recall on one half."""
        tried = []
        for family in contender.families:
            recalls: list[float] = []
            for setting in family:
                answer = contender.worker.ask("search", begin=0, end=self.half, setting=setting)
                row = {
                    "setting": setting,
                    "recall": self.recall(answer, 0, self.half),
                    "ms": 1000 * float(np.median(answer["seconds"])),
                    "read_bytes": answer["read_bytes"],
                }
                tried.append(row)
                recalls.append(row["recall"])
                if (
                    row["recall"] >= max(self.args.targets)
                    or recalls[-1] < min(recalls[-3:-1], default=0) + GAIN
                ):
                    break
        for target in self.args.targets:
            enough = [row for row in tried if row["recall"] >= target]
            if enough:
                contender.chosen[target] = min(enough, key=lambda row: row["ms"])["setting"]
        return tried

    def measure(self, contenders: list[Contender]) -> list[Measured]:
        found = {
            (c.name, t): Measured(c.name, t, c.chosen[t]) for c in contenders for t in c.chosen
        }
        for number in range(self.args.rounds):
            turn = number % len(contenders)
            for target in self.args.targets:
                for contender in contenders[turn:] + contenders[:turn]:
                    if target in contender.chosen:
                        row = found[contender.name, target]
                        self._once(contender, row)
            tell(f"round {number + 1} of {self.args.rounds} done")
        return list(found.values())

    def _once(self, contender: Contender, row: Measured) -> None:
        begin, end = self.half, len(self.order)
        answer = contender.worker.ask("search", begin=begin, end=end, setting=row.setting)
        seconds = np.array(answer["seconds"])
        row.recall = self.recall(answer, begin, end)
        row.qps.append(float(len(seconds) / seconds.sum()))
        row.p50.append(1000 * float(np.median(seconds)))
        row.p99.append(1000 * float(np.quantile(seconds, 0.99)))
        row.read_bytes = answer["read_bytes"]
        row.counts = answer["counts"]


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    try:
        data = dataset.load(args.data, K, args.limit, args.queries, args.metric)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    kind = "disk-coded" if args.coded else "disk"
    out = (args.out or Path(__file__).parents[1] / "results" / f"{data.name}-{kind}").resolve()
    out.mkdir(parents=True, exist_ok=True)
    run = Run(args, data, out)
    load_before = os.getloadavg()[0]
    contenders = run.ours()
    if args.diskann_python and not args.coded:
        contenders += run.diskann(contenders[0].build["index_memory"])
    tried = {}
    for contender in contenders:
        tried[contender.name] = run.choose(contender)
        tell(f"{contender.name}: {contender.chosen}")
    measured = run.measure(contenders)
    builds = {c.name: c.build | {"search_memory": c.worker.ask("memory")} for c in contenders}
    for contender in contenders:
        contender.worker.close()
    about = {
        "data": data.name,
        "rows": len(data.base),
        "d": data.base.shape[1],
        "dtype": str(data.base.dtype),
        "metric": data.metric,
        "queries": len(run.order) - run.half,
        "rounds": args.rounds,
        "memory": args.memory,
        "threads": args.threads,
        "cpu": cpu_model(),
        "load": [load_before, os.getloadavg()[0]],
    }
    results = {"about": about, "builds": builds, "searches": [vars(m) for m in measured]}
    (out / "disk.json").write_text(json.dumps(results | {"tried": tried}, indent=1) + "\n")
    text = report.markdown(about, builds, measured)
    (out / "disk.md").write_text(text)
    print(text)
    tell(f"written to {out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.disk", description=(__doc__ or "").split("\n\n")[0]
    )
    add = parser.add_argument
    add("data", type=Path, help="folder as of bench.frontier")
    add("--limit", type=int, help="base vectors used (default: all)")
    add("--queries", type=positive, default=2000, help="half to choose by (default: %(default)s)")
    add("--metric", choices=("l2", "ip"), help="default: by the vectors' lengths")
    add("--memory", default="64MB", help="of our build (default: %(default)s)")
    add("--targets", type=_recalls, default="0.9,0.95,0.99", help="default: %(default)s")
    add("--rounds", type=positive, default=3, help="default: %(default)s")
    add("--threads", type=int, default=2, help="to build (default: %(default)s)")
    add("--diskann-python", help="an interpreter that has diskannpy; without it, ours alone")
    add("--diskann-memory", type=float, default=8.0, help="GB of its build (default: %(default)s)")
    add("--codes", type=_sizes, default="0", help="bytes of its PQ codes; 0: as our index takes")
    add("--cached", action="store_true", help="also with nodes cached, which takes minutes to open")
    add("--coded", action="store_true", help='our "SPANN" beside "SPANN,Flat"')
    add("--out", type=Path, help="default: bench/results/NAME-disk; indexes lie there too")
    add("--reuse", action="store_true", help="take indexes that an earlier run built")
    return parser


def _recalls(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
