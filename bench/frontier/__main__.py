"""Command line of bench.frontier."""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

from bench.frontier import dataset, report, runner, summary
from bench.frontier.commandline import (
    add_common,
    described,
    environment,
    positive,
    settings,
    tell,
    words,
)
from bench.frontier.contenders import CONTENDERS, Spec
from bench.frontier.worker import Cache

STORAGES = ("uint8", "float16", "float32")
K = 10


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    chosen = _chosen(parser, args)
    try:
        data = dataset.load(args.data, K, args.limit, args.queries, args.metric)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    if not args.storage:
        own = str(data.base.dtype)
        chosen = replace(chosen, storages=tuple(dict.fromkeys([own, "float32"])))
    name = data.name if args.limit is None else f"{data.name}-{len(data.base)}"
    out: Path = args.out or Path(__file__).parents[1] / "results" / name
    cache = out / "indexes"
    cache.mkdir(parents=True, exist_ok=True)

    def cache_for(spec: Spec) -> Cache:
        keep = not spec.library.startswith("ours") or args.keep_ours
        return Cache(cache, read=keep and not args.rebuild, write=keep)

    start = time.perf_counter()
    curves = runner.run(data, chosen, cache_for, tell=tell)
    tell(f"took {time.perf_counter() - start:.0f} s in all")

    found = summary.summarise(curves)
    about = {
        "data": described(data),
        "settings": asdict(chosen),
        "environment": environment(curves, chosen.core),
    }
    results = {
        **about,
        "contenders": [curve.to_json() for curve in curves],
        "summary": found.to_json(),
    }
    (out / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    text = report.markdown(**about, curves=curves, summary=found)
    (out / "results.md").write_text(text)
    print(text)
    if importlib.util.find_spec("matplotlib"):
        from bench.frontier.plot import plot

        title = f"{data.name}: {len(data.base):,} x {data.base.shape[1]}, M {chosen.M}"
        plot(curves, title, out / "frontier.png")
    else:
        tell("no plot: matplotlib is not installed (pip install matplotlib)")
    tell(f"written to {out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.frontier",
        description="Recall against QPS of indexes in memory: shortlist beside its peers.",
    )
    add_common(
        parser,
        "10,14,20,28,40,56,80,112,160,224,320,448,640,896",
        "efSearch values (default: %(default)s); a sweep stops early once its recall is "
        f"beyond {runner.CEILING}",
    )
    add = parser.add_argument
    add("--libs", type=words, help=f"of {','.join(CONTENDERS)} (default: those installed)")
    add(
        "--storage",
        type=words,
        help=f"of {','.join(STORAGES)} (default: the data's own and float32); "
        "a library with none of these takes part with what it has",
    )
    add("--limit", type=positive, metavar="N", help="use only the first N base vectors")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="for results and cached indexes (default: bench/results/NAME of the data)",
    )
    add("--rebuild", action="store_true", help="ignore cached indexes")
    add("--keep-ours", action="store_true", help="cache shortlist's indexes too")
    return parser


def _chosen(parser: argparse.ArgumentParser, args: argparse.Namespace) -> runner.Settings:
    installed = tuple(name for name, contender in CONTENDERS.items() if contender.installed())
    libs = args.libs or installed
    for name in libs:
        if name not in CONTENDERS:
            parser.error(f"--libs {name}: expected some of {','.join(CONTENDERS)}")
        if name not in installed:
            parser.error(
                f"--libs {name}: not installed here (pip install 'shortlist[bench]'; "
                "not every library is made for every machine)"
            )
    if not libs:
        parser.error("none of the libraries is installed")
    for storage in args.storage or ():
        if storage not in STORAGES:
            parser.error(f"--storage {storage}: expected some of {','.join(STORAGES)}")
    return settings(parser, args, libs, args.storage or ())


if __name__ == "__main__":
    main()
