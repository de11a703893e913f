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
from bench.frontier.commandline import (
    add_common,
    described,
    environment,
    positive,
    settings,
    tell,
    words,
)

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
    chosen = settings(parser, args, (LIBRARY,), tuple(dict.fromkeys([dtype, "float32"])))
    out: Path = args.out or RESULTS / f"{data.name}-ablation"
    try:
        builds = Builds(args.builds, tell)
        variants = {
            name: measure.variants(COLUMNS[name], args.steps, data, chosen, builds)
            for name in args.columns
        }
    except (BuildError, PatchError) as error:
        raise SystemExit(str(error)) from None

    curves = {}
    for name, specs in variants.items():
        tell(f"{COLUMNS[name].title}: {len(specs)} variants")
        curves[name] = measure.curves(specs, data, chosen, out / "indexes", tell)
    effects = [
        effect
        for name in args.columns
        for effect in measure.effects(name, args.steps, dtype, curves[name])
    ]
    about = {
        "data": described(data),
        "settings": asdict(chosen),
        "environment": environment(
            [c for some in curves.values() for c in some.values()], chosen.core
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
    efs = "10,14,20,28,40,56,80,112,160,224,320,448,640,896"
    add_common(parser, efs, "efSearch values between which to interpolate (default: %(default)s)")
    add = parser.add_argument
    add("--steps", type=words, default=tuple(STEPS), help=f"of {','.join(STEPS)} (default: all)")
    add(
        "--columns",
        type=words,
        default=tuple(COLUMNS),
        help=f"of {','.join(COLUMNS)} (default: all)",
    )
    add("--limit", type=positive, metavar="N", default=200_000, help="default: 200,000 vectors")
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
