"""Indexes in folders: shortlist build --index SPANN, and shortlist verify."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

import shortlist
from shortlist._sizes import readable
from shortlist.datasets import Dataset, Vectors

from .console import Json, open_index, say_json, stages


def build_folder(
    found: Vectors | Dataset,
    out: Path,
    description: str,
    *,
    metric: str | None,
    dtype: str | None,
    memory: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Build an index on disk, or go on with one; a bar for each stage."""
    started = time.perf_counter()
    with stages(as_json) as say:
        index = shortlist.build(
            found,
            description,
            out=out,
            metric=metric,
            dtype=dtype,
            memory=memory,
            device=device,
            progress=say,
        )
    seconds = time.perf_counter() - started
    facts = {"seconds": seconds, **facts_of(index, out)}
    if as_json:
        say_json(facts)
    else:
        print(
            f"{out}: {index.ntotal:,} x {index.d}, {description}, {facts['metric']}, "
            f"{index.postings:,} postings, {readable(facts['bytes'])}, built in {seconds:,.1f} s"
        )


def facts_of(index: Any, folder: Path) -> dict[str, Any]:
    """What `shortlist info` tells of an index in a folder."""
    manifest = index.manifest
    added, hidden = index.pending
    return {
        "path": str(folder),
        "bytes": sum(f.stat().st_size for f in folder.iterdir() if f.is_file()),
        "index": "IndexSPANN",
        "ntotal": index.ntotal,
        "d": index.d,
        "metric": manifest["plan"]["metric"],
        "dtype": manifest["plan"]["dtype"],
        "codec": manifest["plan"]["codec"],
        "assignment": index.plan.assignment,
        "postings": index.postings,
        "entries": index.entries,
        "replicas dropped": manifest["dropped"],
        "bytes of ids": manifest["files"].get(manifest.get("ids"), 0),
        "added since": added,
        "replaced or removed since": hidden,
        "memory": index.memory,
        "io_backend": index.io_backend,
        "recall": {
            f"nprobe {row['nprobe']}, epsilon {row['epsilon'] or 'inf'}"
            + (f", k_factor {row['k_factor']:g}" if index.reranks else ""): ", ".join(
                f"@{k} {r:.3f}" for k, r in row["recall"].items()
            )
            + f", {readable(row['bytes'])} a query"
            for row in manifest["calibration"]
        },
    }


def verify(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An index: a folder or a file.")],
    as_json: Json = False,
) -> None:
    """Read every byte of an index and compare checksums."""
    index, _ = open_index(path)
    if path.is_dir():
        index.verify()
    if as_json:
        say_json({"path": str(path), "sound": True, "ntotal": index.ntotal})
    else:
        print(f"{path}: sound, {index.ntotal:,} vectors")
