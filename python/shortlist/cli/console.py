"""What commands share: progress on a terminal, output for people or for programs, opening."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import shortlist
from shortlist._evaluate import Frontier
from shortlist._plot import check_drawable
from shortlist._sizes import bytes_of
from shortlist.datasets import Dataset, Vectors, load, read_truth

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Column = Annotated[str | None, typer.Option(help="Column of a Parquet file with the vectors.")]
EfSearch = Annotated[int | None, typer.Option("--ef", min=1, help="efSearch of the graph.")]
K = Annotated[int, typer.Option("-k", "--k", min=1, help="Neighbours of each query.")]
IndexPath = Annotated[
    Path, typer.Argument(metavar="INDEX", help="A shortlist or faiss file, or a folder of SPANN.")
]
TruthPath = Annotated[
    Path | None,
    typer.Option("--truth", help="True ids, nearest first: .ivecs .ibin .bin .npy .npz."),
]
BasePath = Annotated[
    Path | None,
    typer.Option("--base", help="The indexed vectors, row i having id i; makes recall count ties."),
]
Picture = Annotated[
    Path | None, typer.Option("--plot", help="Draw recall against QPS: .png .svg .pdf.")
]

_NATIVE = b"\x89SLIX\r\n\x1a"


@contextmanager
def stages(quiet: bool, *, stay: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Bars on stderr when that is a terminal; the block calls back with stage, done and total.

    stay: the bars are still there when the block ends.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    bars = Progress(
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
        transient=not stay,
    )
    tasks: dict[str, Any] = {}
    with bars:

        def say(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield say


@contextmanager
def progress(what: str, total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """One bar, which goes; the block calls back with what is done so far."""
    with stages(quiet, stay=False) as say:
        say(what, 0, total)
        yield lambda done: say(what, done, total)


def say_json(values: dict[str, Any]) -> None:
    print(json.dumps(values, allow_nan=False))


def open_index(path: Path) -> tuple[Any, dict[str, str]]:
    """An index in our format with its metadata, or one in faiss's, which has none."""
    if path.is_dir():
        on_disk: Any = shortlist.open(path)
        return on_disk, {"metric": on_disk.manifest["plan"]["metric"]}
    with open(path, "rb") as file:
        native = file.read(len(_NATIVE)) == _NATIVE
    if native:
        return shortlist.open(path), shortlist.read_metadata(path)
    return shortlist.read_index(str(path)), {}


def open_vectors(path: Path, column: str | None) -> Vectors | Dataset:
    found = load(path, column=column)
    rows = found.base if isinstance(found, Dataset) else found
    if not len(rows):
        raise ValueError(f"{path}: holds no vectors")
    return found


def queries_of(found: Vectors | Dataset) -> Vectors:
    return found.queries if isinstance(found, Dataset) else found


def prepared(rows: np.ndarray, metric: str) -> np.ndarray:
    """As the index wants them: of length 1 under cosine."""
    if metric == "cosine":
        rows = np.array(rows, dtype=np.float32, order="C")
        shortlist.normalize_L2(rows)
    return rows


def known_truth(
    found: Vectors | Dataset,
    metric: str,
    truth: Path | None,
    base: Path | None,
    column: str | None,
) -> dict[str, Any]:
    """What is known of the true neighbours, under the names `evaluate` has for it.

    `truth` and `base` are files; without them, what a data set brings with its queries.
    """
    known: dict[str, Any] = {}
    if truth is not None:
        known["truth"], known["distances"] = read_truth(truth)
    elif isinstance(found, Dataset) and found.truth is not None:
        known.update(truth=found.truth, base=found.base)
    if base is not None:
        opened = open_vectors(base, column)
        known["base"] = opened.base if isinstance(opened, Dataset) else opened
    if known.get("base") is not None and metric == "cosine":
        known["base"] = prepared(np.asarray(known["base"]), metric)
    return known


def show_frontier(frontier: Frontier) -> None:
    """A table with a row for each point."""
    names = list(frontier.points[0].params)
    table = Table(*names, f"recall@{frontier.k}", "QPS")
    for column in table.columns:
        column.justify = "right"
    for point in frontier.points:
        values = [f"{value:g}" for value in point.params.values()]
        table.add_row(*values, f"{point.recall:.4f}", f"{point.qps:,.0f}")
    Console().print(table)


def check_writable(path: Path) -> None:
    """Before hours of work, not after."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name a file to write")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path}: no folder {path.absolute().parent} to write to")


def check_picture(path: Path) -> None:
    """Likewise, and whether it can be drawn."""
    check_writable(path)
    check_drawable(path)


def size_in_bytes(text: str) -> int:
    try:
        return bytes_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
