"""Command line of bench.ablation."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from bench.ablation import measure, report
from bench.ablation.builds import BuildError, Builds, PatchError
from bench.ablation.steps import COLUMNS, STEPS
from bench.ablation.variant import LIBRARY
from bench.frontier import dataset
from bench.frontier.commandline import chosen_core, environment, numbers, positive, tell, words
from bench.frontier.runner import Settings

K = 10
RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    for option, asked, known in (
        ("--steps", args.steps, STEPS),
        ("--columns", args.columns, COLUMNS),
    ):
        if unknown := [word for word in asked if word not in known]:
            parser.error(f"{option} {unknown[0]}: expected some of {','.join(known)}")
    try:
        data = dataset.load(args.data, K, args.limit, args.queries, args.metric)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    dtype = str(data.base.dtype)
    settings = Settings(
        libs=(LIBRARY,),
        storages=tuple(dict.fromkeys([dtype, "float32"])),
        M=args.M,
        ef_construction=args.ef_construction,
        efs=args.ef,
        rounds=args.rounds,
        threads_build=args.threads_build,
        seconds_per_point=args.seconds_per_point,
        core=chosen_core(parser, args.core),
    )
    out: Path = args.out or RESULTS / f"{data.name}-ablation"
    try:
        builds = Builds(args.builds, tell)
        variants = {
            name: measure.variants(COLUMNS[name], args.steps, data, settings, builds)
            for name in args.columns
        }
    except (BuildError, PatchError) as error:
        raise SystemExit(str(error)) from None

    curves = {}
    for name, specs in variants.items():
        tell(f"{COLUMNS[name].title}: {len(specs)} variants")
        curves[name] = measure.curves(specs, data, settings, out / "indexes", tell)
    effects = [
        effect
        for name in args.columns
        for effect in measure.effects(name, args.steps, dtype, curves[name])
    ]
    about = {
        "data": {
            "name": data.name,
            "rows": len(data.base),
            "d": data.base.shape[1],
            "dtype": dtype,
            "metric": data.metric,
            "queries": len(data.queries),
            "k": data.k,
        },
        "settings": asdict(settings),
        "environment": environment(
            [c for some in curves.values() for c in some.values()], settings.core
        ),
    }
    results = {
        **about,
        "steps": {name: asdict(STEPS[name]) for name in args.steps},
        "effects": [asdict(effect) for effect in effects],
        "curves": {name: [c.to_json() for c in some.values()] for name, some in curves.items()},
    }
    (out / "ablation.json").write_text(
        json.dumps(results, indent=1, ensure_ascii=False, default=sorted) + "\n"
    )
    text = report.markdown(about, args.steps, curves, effects)
    (out / "ablation.md").write_text(text)
    print(text)
    tell(f"written to {out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ablation",
        description="What each step of shortlist's graph search is worth.",
    )
    add = parser.add_argument
    add("data", type=Path, help="folder with base.*.npy, query.*.npy, gt.i32.npy")
    add("--steps", type=words, default=tuple(STEPS), help=f"of {','.join(STEPS)} (default: all)")
    add(
        "--columns",
        type=words,
        default=tuple(COLUMNS),
        help=f"of {','.join(COLUMNS)} (default: all)",
    )
    add("--limit", type=positive, metavar="N", default=200_000, help="default: 200,000 vectors")
    add("--metric", choices=("l2", "ip"), help="default: ip if the vectors are of unit length")
    add("--M", type=positive, default=16, help="default: 16")
    add("--ef-construction", type=positive, default=200, metavar="EF", help="default: 200")
    add(
        "--ef",
        type=numbers,
        metavar="EF,EF...",
        default="10,14,20,28,40,56,80,112,160,224,320,448,640,896",
        help="efSearch values between which to interpolate (default: %(default)s)",
    )
    add("--queries", type=positive, metavar="N", default=2000, help="use at most N (default: 2000)")
    add("--rounds", type=positive, metavar="N", default=5, help="default: 5")
    add("--seconds-per-point", type=float, metavar="S", default=0.8, help="default: 0.8")
    add("--threads-build", type=positive, metavar="N", default=2, help="default: 2")
    add("--core", type=int, metavar="N", help="where to search (default: the last allowed core)")
    add("--out", type=Path, metavar="DIR", help="default: bench/results/NAME-ablation")
    add(
        "--builds",
        type=Path,
        metavar="DIR",
        default=RESULTS / "ablation-builds",
        help="where builds are made and kept (default: bench/results/ablation-builds)",
    )
    return parser


if __name__ == "__main__":
    main()
