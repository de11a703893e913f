"""By which rule vectors go to postings: what each costs to build, to keep and to ask.

    python -m bench.disk.assignment DATA_DIR --limit 200000 --memory 64MB
    python -m bench.disk.assignment DATA_DIR --metric ip

One index by the RNG rule at its default and with four and two postings a vector in the mean, and
by SOAR with two, three and four. What a query reads is told at --recall, between two numbers of
postings, all of which are read (no epsilon). Of codes, --k-factor candidates for each of the 10 are
compared again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.disk.reached import reached
from bench.disk.worker import K, Worker
from bench.frontier import dataset
from bench.frontier.commandline import positive, tell
from bench.frontier.report import METRICS, table

MiB = 1 << 20
RULES: dict[str, dict[str, Any]] = {
    "rng": {},
    **{f"rng, {n} in the mean": {"mean_replicas": float(n)} for n in (4, 2)},
    **{f"soar, {n}": {"assignment": "soar", "replicas": n} for n in (2, 3, 4)},
}


def measured(
    data: dataset.Dataset, base: Path, queries: Path, knobs: dict[str, Any], args: Any
) -> dict[str, Any]:
    folder, log = args.out / "index", args.out / "log"
    worker = Worker("ours", sys.executable, log)
    built = worker.ask(
        "build",
        folder=str(folder),
        base=str(base),
        description=args.index,
        memory=args.memory,
        metric=data.metric,
        threads=1,
        **knobs,
    )
    worker.close()
    worker = Worker("ours", sys.executable, log)
    worker.ask("open", queries=str(queries), folder=str(folder))
    found = reached(
        worker,
        len(data.queries),
        lambda ids: data.recall(np.array(ids)),
        args.recall,
        k_factor=args.k_factor,
    )
    worker.close()
    shutil.rmtree(folder)
    return {**built, "reached": found}


def markdown(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    head = ["rule", "entries a vector", "build CPU s", "on disk MiB", "nprobe", "reads"]
    head += ["KiB a query", "vectors scanned", "CPU ms"]
    lines = []
    for row in rows:
        found = row["reached"]
        cells = ["not reached", "", "", "", ""]
        if found:
            cells = [f"{found[n]:.1f}" for n in ("nprobe", "reads")]
            cells += [f"{found['bytes'] / 1024:,.0f}", f"{found['scanned']:,.0f}"]
            cells += [f"{found['cpu_ms']:.2f}"]
        lines.append(
            [
                row["rule"],
                f"{row['entries'] / about['rows']:.2f}",
                f"{row['cpu_seconds']:.0f}",
                f"{row['disk_bytes'] / MiB:,.0f}",
                *cells,
            ]
        )
    return (
        f"# Assignment: {about['data']}, {about['rows']:,} x {about['d']} {about['dtype']}, "
        f"{METRICS[about['metric']]}, {rows[0]['plan']['codec']}, "
        f"{rows[0]['plan']['postings']:,} postings, recall@{K} {about['recall']}\n\n"
        f"{table(head, lines)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.disk.assignment", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("data", type=Path, help="folder as of bench.frontier")
    add("--limit", type=int, help="base vectors used (default: all)")
    add("--queries", type=positive, default=1000, help="default: %(default)s")
    add("--metric", choices=("l2", "ip"), help="default: by the vectors' lengths")
    add("--index", default="SPANN", help="default: %(default)s")
    add("--memory", help="of the build (default: any)")
    add("--recall", type=float, default=0.95, help="of 10 (default: %(default)s)")
    add("--k-factor", type=float, default=10.0, help="of codes (default: %(default)s)")
    add("--out", type=Path, help="default: bench/results/NAME-assignment")
    args = parser.parse_args()
    try:
        data = dataset.load(args.data, K, args.limit, args.queries, args.metric)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    results = Path(__file__).parents[1] / "results"
    args.out = (args.out or results / f"{data.name}-assignment").resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    base, queries = data.base_file.resolve(), args.out / "queries.npy"
    if args.limit:
        base = args.out / "base.npy"
        np.save(base, data.base)
    np.save(queries, data.queries)
    about = {
        "data": data.name,
        "rows": len(data.base),
        "d": data.base.shape[1],
        "dtype": str(data.base.dtype),
        "metric": data.metric,
        "queries": len(data.queries),
        "recall": args.recall,
        "memory": args.memory,
        "k_factor": args.k_factor,
    }
    rows: list[dict[str, Any]] = []
    for rule, knobs in RULES.items():
        rows.append({"rule": rule, **measured(data, base, queries, knobs, args)})
        tell(markdown(about, [rows[-1]]).splitlines()[-1])
        told = {"about": about, "rows": rows}
        (args.out / "assignment.json").write_text(json.dumps(told, indent=1) + "\n")
    text = markdown(about, rows)
    (args.out / "assignment.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
