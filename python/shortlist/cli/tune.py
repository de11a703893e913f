"""shortlist tune: the fastest setting of an index that has a wanted recall."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from shortlist._evaluate import Point
from shortlist._tune import Tuning

from .console import (
    BasePath,
    Column,
    IndexPath,
    Json,
    K,
    Picture,
    TruthPath,
    check_picture,
    check_writable,
    known_truth,
    open_index,
    open_vectors,
    prepared,
    progress,
    queries_of,
    say_json,
    show_frontier,
)

_PREFIX = "tuned."


def tune(
    index_path: IndexPath,
    query_path: Annotated[
        Path, typer.Argument(metavar="QUERIES", help="Vectors like those to be searched for.")
    ],
    recall: Annotated[float, typer.Option("--recall", help="Wanted recall@k, 0 to 1.")] = 0.95,
    truth: TruthPath = None,
    base: BasePath = None,
    k: K = 10,
    out: Annotated[
        Path | None, typer.Option(help="Where to save the tuned index; may be INDEX itself.")
    ] = None,
    picture: Picture = None,
    column: Column = None,
    as_json: Json = False,
) -> None:
    """Find the fastest setting with a wanted recall, and save the index with it."""
    if out:
        check_writable(out)
    if picture:
        check_picture(picture)
    index, metadata = open_index(index_path)
    metric = metadata.get("metric", "")
    found = open_vectors(query_path, column)
    queries = prepared(np.asarray(queries_of(found)), metric)
    known = known_truth(found, metric, truth, base, column)
    known.pop("distances", None)  # tune tells ties by the base, or by the index's own distances
    done = 0
    with progress("measuring", 0, as_json) as show:

        def measured(_: Point) -> None:
            nonlocal done
            done += 1
            show(done)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # said in the result
            tuning = index.tune(queries, k, recall, progress=measured, **known)
    tuning = replace(tuning, frontier=replace(tuning.frontier, label=index_path.name))
    if out:
        index.save(out, metadata={**_without_tuning(metadata), **_metadata(tuning)})
    if picture:
        tuning.frontier.plot(picture, title=f"{index_path.name}: {tuning.target:g} wanted")
    if as_json:
        files = {"out": out, "plot": picture}
        say_json({**tuning.to_dict(), **{key: str(p) if p else None for key, p in files.items()}})
        return
    show_frontier(tuning.frontier)
    print(tuning)
    for label, path in (("index", out), ("plot", picture)):
        if path:
            print(f"{label}: {path}")


def _metadata(tuning: Tuning) -> dict[str, str]:
    """What was chosen, and the recall it was chosen for; of one not reached, what there is."""
    recall = f"{tuning.target:g}" if tuning.reached else f"{tuning.recall:.4f}"
    chosen = {name: f"{value:g}" for name, value in tuning.params.items()}
    chosen[f"recall@{tuning.k}"] = recall
    return {f"{_PREFIX}{name}": value for name, value in chosen.items()}


def _without_tuning(metadata: dict[str, str]) -> dict[str, str]:
    """What an earlier tuning chose no longer holds."""
    return {name: value for name, value in metadata.items() if not name.startswith(_PREFIX)}
