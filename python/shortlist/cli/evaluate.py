"""shortlist eval: recall, throughput and latency of an index."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from shortlist._evaluate import DEFAULT_EFS, Frontier, ef_search, sweep
from shortlist._evaluate import evaluate as measure
from shortlist._plot import plot
from shortlist.datasets import Dataset, read_truth

from .console import (
    Column,
    EfSearch,
    Json,
    open_index,
    open_vectors,
    prepared,
    queries_of,
    say_json,
)


def evaluate(
    index_path: Annotated[Path, typer.Argument(metavar="INDEX", help="A shortlist or faiss file.")],
    query_path: Annotated[
        Path,
        typer.Argument(
            metavar="QUERIES", help="Vectors, or a data set that brings its truth and base."
        ),
    ],
    truth: Annotated[
        Path | None, typer.Option(help="True ids, nearest first: .ivecs .ibin .bin .npy .npz.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="The indexed vectors, row i having id i; makes recall count ties."),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Neighbours of each query.")] = 10,
    ef: EfSearch = None,
    efs: Annotated[
        str | None, typer.Option("--sweep", help="Measure several efSearch, e.g. 16,32,64.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--plot", help="Draw recall against QPS: .png .svg .pdf.")
    ] = None,
    column: Column = None,
    as_json: Json = False,
) -> None:
    """Measure an index against the true neighbours."""
    values = _efs(efs) if efs else DEFAULT_EFS
    index, metadata = open_index(index_path)
    metric = metadata.get("metric", "")
    found = open_vectors(query_path, column)
    queries = prepared(np.asarray(queries_of(found)), metric)
    known: dict[str, Any] = {}
    if truth is not None:
        ids, known["distances"] = read_truth(truth)
    elif isinstance(found, Dataset) and found.truth is not None:
        ids, known["base"] = found.truth, found.base
    else:
        raise typer.BadParameter(f"{query_path} brings no true neighbours; name them with --truth")
    if base is not None:
        opened = open_vectors(base, column)
        known["base"] = opened.base if isinstance(opened, Dataset) else opened
    if known.get("base") is not None and metric == "cosine":
        known["base"] = prepared(np.asarray(known["base"]), metric)

    if efs or picture:
        frontier = sweep(index, queries, ids, k, values, label=index_path.name, **known)
        _report_sweep(frontier, picture, as_json)
        return
    with ef_search(index, ef) if ef else nullcontext():
        result = measure(index, queries, ids, k, **known)
    if as_json:
        say_json(result.to_dict())
    else:
        print(result)


def _efs(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(p.isascii() and p.isdigit() and 0 < len(p) < 8 and int(p) for p in parts):
        raise typer.BadParameter(f"--sweep {text!r}; expected numbers such as 16,32,64")
    return [int(part) for part in parts]


def _report_sweep(frontier: Frontier, picture: Path | None, as_json: bool) -> None:
    if picture:
        plot(frontier, picture)
    if as_json:
        say_json({**frontier.to_dict(), "plot": str(picture) if picture else None})
        return
    table = Table("efSearch", f"recall@{frontier.k}", "QPS")
    for column in table.columns:
        column.justify = "right"
    for point in frontier.points:
        table.add_row(str(point.ef), f"{point.recall:.4f}", f"{point.qps:,.0f}")
    Console().print(table)
    if picture:
        print(f"plot: {picture}")
