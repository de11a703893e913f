"""shortlist eval: recall, throughput and latency of an index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from shortlist._evaluate import evaluate as measure
from shortlist._evaluate import sweep
from shortlist._knobs import setting

from .console import (
    BasePath,
    Column,
    EfSearch,
    IndexPath,
    Json,
    K,
    Picture,
    TruthPath,
    check_picture,
    known_truth,
    open_index,
    open_vectors,
    prepared,
    queries_of,
    say_json,
    show_frontier,
)


def evaluate(
    index_path: IndexPath,
    query_path: Annotated[
        Path,
        typer.Argument(
            metavar="QUERIES", help="Vectors, or a data set that brings its truth and base."
        ),
    ],
    truth: TruthPath = None,
    base: BasePath = None,
    k: K = 10,
    ef: EfSearch = None,
    wanted: Annotated[
        str | None, typer.Option("--sweep", help="Measure several efSearch, e.g. 16,32,64.")
    ] = None,
    picture: Picture = None,
    column: Column = None,
    as_json: Json = False,
) -> None:
    """Measure an index against the true neighbours."""
    values = _values(wanted) if wanted else None
    if picture:
        check_picture(picture)
    index, metadata = open_index(index_path)
    metric = metadata.get("metric", "")
    found = open_vectors(query_path, column)
    queries = prepared(np.asarray(queries_of(found)), metric)
    known = known_truth(found, metric, truth, base, column)
    if "truth" not in known:
        raise typer.BadParameter(f"{query_path} brings no true neighbours; name them with --truth")

    if wanted or picture:
        frontier = sweep(index, queries, k=k, values=values, label=index_path.name, **known)
        if picture:
            frontier.plot(picture)
        if as_json:
            say_json({**frontier.to_dict(), "plot": str(picture) if picture else None})
            return
        show_frontier(frontier)
        if picture:
            print(f"plot: {picture}")
        return
    with setting(index, {"efSearch": ef} if ef else {}):
        result = measure(index, queries, k=k, **known)
    if as_json:
        say_json(result.to_dict())
    else:
        print(result)


def _values(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(p.isascii() and p.isdigit() and 0 < len(p) < 8 and int(p) for p in parts):
        raise typer.BadParameter(f"--sweep {text!r}; expected numbers such as 16,32,64")
    return [int(part) for part in parts]
