"""shortlist search: the k nearest of every query, to a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from shortlist._knobs import setting
from shortlist.datasets import write_ibin, write_ivecs

from .console import (
    Column,
    EfSearch,
    Json,
    check_writable,
    open_index,
    open_vectors,
    prepared,
    progress,
    queries_of,
    say_json,
)

_SUFFIXES = (".npz", ".npy", ".ivecs", ".ibin")
_CHUNK_ROWS = 4096


def search(
    index_path: Annotated[
        Path,
        typer.Argument(metavar="INDEX", help="A shortlist or faiss file, or a folder of SPANN."),
    ],
    query_path: Annotated[Path, typer.Argument(metavar="QUERIES", help="Vectors, as for build.")],
    out: Annotated[
        Path, typer.Option(help=".npz (distances D and ids I), or ids alone: .npy .ivecs .ibin.")
    ],
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Neighbours of each query.")] = 10,
    ef: EfSearch = None,
    recall: Annotated[
        float | None, typer.Option(help="Read as little as finds so much, of a folder of SPANN.")
    ] = None,
    column: Column = None,
    as_json: Json = False,
) -> None:
    """Find the k nearest vectors of every query."""
    if out.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(
            f"--out {out}: unknown suffix {out.suffix!r}; expected {', '.join(_SUFFIXES)}"
        )
    check_writable(out)
    index, metadata = open_index(index_path)
    if recall is not None and not hasattr(index, "parameters_for"):
        raise typer.BadParameter("--recall is for indexes on disk; give --ef, or tune the index")
    how = {} if recall is None else {"params": index.parameters_for(recall, k)}
    queries = queries_of(open_vectors(query_path, column))
    metric = metadata.get("metric", "")
    D = np.empty((len(queries), k), np.float32)
    I = np.empty((len(queries), k), np.int64)
    started = time.perf_counter()
    with (
        progress("searching", len(queries), as_json) as show,
        setting(index, {"efSearch": ef} if ef else {}),
    ):
        done = 0
        for chunk in queries.chunks(_CHUNK_ROWS):
            end = done + len(chunk)
            D[done:end], I[done:end] = index.search(prepared(chunk, metric), k, **how)
            done = end
            show(done)
    seconds = time.perf_counter() - started
    _write(out, D, I)
    if as_json:
        say_json(
            {
                "out": str(out),
                "n": len(queries),
                "k": k,
                "seconds": seconds,
                "qps": len(queries) / seconds,
                "missing": int((I < 0).sum()),
            }
        )
    else:
        print(f"{out}: {k} neighbours of {len(queries):,} queries in {seconds:,.2f} s")


def _write(out: Path, D: np.ndarray, I: np.ndarray) -> None:
    suffix = out.suffix.lower()
    if suffix in (".npz", ".npy"):
        with open(out, "wb") as file:  # by name, numpy would add a suffix of its own case
            np.savez(file, D=D, I=I) if suffix == ".npz" else np.save(file, I)
    elif suffix == ".ivecs":
        write_ivecs(out, I)
    else:
        write_ibin(out, I)
