"""shortlist plot: measured frontiers as one picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from shortlist._evaluate import Frontier
from shortlist._plot import plot as draw

from .console import Json, check_picture, say_json


def plot(
    frontier_paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FRONTIER...", help="What eval --sweep --json or tune --json printed."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to draw: .png .svg .pdf.")] = Path(
        "frontier.png"
    ),
    title: Annotated[str, typer.Option(help="Above the picture.")] = "",
    as_json: Json = False,
) -> None:
    """Draw recall against QPS of several measurements, side by side."""
    check_picture(out)
    picture = draw([_frontier(path) for path in frontier_paths], out, title=title)
    if as_json:
        say_json({"plot": str(picture)})
    else:
        print(f"plot: {picture}")


def _frontier(path: Path) -> Frontier:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # UnicodeDecodeError too
        raise ValueError(f"{path}: not JSON: {error}") from None
    if isinstance(values, dict) and "frontier" in values:
        values = values["frontier"]
    try:
        frontier = Frontier.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return replace(frontier, label=frontier.label or path.stem)
