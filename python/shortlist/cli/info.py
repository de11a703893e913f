"""shortlist info: what an index holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import shortlist
from shortlist._sizes import readable

from .console import Json, open_index, say_json
from .on_disk import facts_of


def info(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or a folder.")],
    as_json: Json = False,
) -> None:
    """Describe an index."""
    index, metadata = open_index(path)
    facts: dict[str, Any]
    if path.is_dir():
        facts = facts_of(index, path)
    else:
        facts = {
            "path": str(path),
            "bytes": path.stat().st_size,
            **describe(index),
            "metadata": metadata,
        }
    if as_json:
        say_json(facts)
    else:
        facts["bytes"] = readable(facts["bytes"])
        _print(facts, "")


def describe(index: Any) -> dict[str, Any]:
    """Class, size and parameters of an index and of what it wraps."""
    facts: dict[str, Any] = {
        "index": type(index).__name__,
        "ntotal": index.ntotal,
        "d": index.d,
        "metric": "l2" if index.metric_type == shortlist.METRIC_L2 else "ip",
        "is_trained": index.is_trained,
    }
    if hasattr(index, "hnsw"):
        graph = index.hnsw
        facts["hnsw"] = {
            "M": graph.nb_neighbors(1),
            "efConstruction": graph.efConstruction,
            "efSearch": graph.efSearch,
            "max_level": graph.max_level,
        }
    if hasattr(index, "code_size"):
        facts["code_size"] = index.code_size
    for name in ("storage", "index", "base_index", "refine_index"):
        if hasattr(index, name):
            facts["inner" if name == "index" else name] = describe(getattr(index, name))
    return facts


def _print(facts: dict[str, Any], indent: str) -> None:
    for name, value in facts.items():
        if isinstance(value, dict):
            if value:
                print(f"{indent}{name}:")
                _print(value, indent + "  ")
        else:
            print(f"{indent}{name}: {format(value, ',') if type(value) is int else value}")
