"""shortlist build: vectors in a file to an index in a file."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import shortlist
from shortlist._knobs import graph_of
from shortlist._plans import Plan
from shortlist._sizes import readable
from shortlist.datasets import Dataset, Vectors
from shortlist.factory import parse

from .console import (
    Column,
    Json,
    check_writable,
    open_vectors,
    prepared,
    progress,
    say_json,
    size_in_bytes,
)
from .on_disk import build_folder

_CHUNK_BYTES = 64 << 20
_TRAIN_ROWS = 1 << 17
_TRAIN_BLOCKS = 64
_INTERPRETER = 64 << 20  # Python, NumPy and the readers


class Metric(str, Enum):
    l2 = "l2"
    ip = "ip"
    cosine = "cosine"


class DType(str, Enum):
    auto = "auto"
    float32 = "float32"
    float16 = "float16"
    uint8 = "uint8"
    int8 = "int8"


class Device(str, Enum):
    cpu = "cpu"
    cuda = "cuda"


def build(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Vectors: .npy .fvecs .bvecs .fbin .u8bin .i8bin .parquet .hdf5, "
            "or a folder of .npy or .parquet files, or a data set folder.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write; of SPANN a folder.")],
    description: Annotated[
        str,
        typer.Option(
            "--index",
            help="faiss factory string, such as Flat, HNSW32 or HNSW32,SQ8; or SPANN, on disk.",
        ),
    ] = "HNSW32",
    metric: Annotated[
        Metric | None,
        typer.Option(
            help="Default: what a data set says, else l2. cosine scales rows and queries to 1."
        ),
    ] = None,
    dtype: Annotated[
        DType, typer.Option(help="How Flat vectors are stored; auto: as in the input.")
    ] = DType.auto,
    ef_construction: Annotated[
        int | None, typer.Option(min=1, help="efConstruction of the graph.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="What the build may take, e.g. 16G: SPANN keeps to it, others refuse."),
    ] = None,
    device: Annotated[
        Device, typer.Option(help="cuda: train and assign on a GPU; of SPANN only.")
    ] = Device.cpu,
    column: Column = None,
    as_json: Json = False,
) -> None:
    """Build an index from vectors, reading them in pieces.

    With --index SPANN or SPANN,SDC1 an index on disk, in a folder: --memory is what the build may
    take, and the same command goes on with a build that was stopped.
    """
    limit = size_in_bytes(memory) if memory else None
    if description.startswith("SPANN"):
        if ef_construction is not None:
            raise typer.BadParameter("--ef-construction is for graphs in memory")
        build_folder(
            open_vectors(source, column),
            out,
            description,
            metric=metric.value if metric else None,
            dtype=None if dtype is DType.auto else dtype.value,
            memory=limit,
            device=device.value,
            as_json=as_json,
        )
        return
    if device is not Device.cpu:
        raise typer.BadParameter("--device is for SPANN; other indexes are built on the CPU")
    plan = parse(description)
    check_writable(out)
    found = open_vectors(source, column)
    rows = found.base if isinstance(found, Dataset) else found
    kind = metric.value if metric else found.metric if isinstance(found, Dataset) else "l2"
    storage = _storage(rows, kind, dtype)
    need = memory_needed(plan, rows, storage)
    if limit is not None and need > limit:
        raise MemoryError(_too_large(description, rows, storage, need, limit))

    number = shortlist.METRIC_L2 if kind == "l2" else shortlist.METRIC_INNER_PRODUCT
    index = plan.build(rows.dim, number, storage)
    if ef_construction is not None:
        graph = graph_of(index)
        if graph is None:
            raise ValueError(f"{description!r} has no graph, so no efConstruction to set")
        graph.efConstruction = ef_construction

    started = time.perf_counter()
    if not index.is_trained:
        index.train(prepared(_training_rows(rows), kind))
    _add(index, rows, kind, as_json)
    seconds = time.perf_counter() - started
    index.save(out, metadata={"metric": kind, "factory": description, "source": source.name})

    size = out.stat().st_size
    if as_json:
        say_json(
            {
                "out": str(out),
                "index": type(index).__name__,
                "factory": description,
                "metric": kind,
                "dtype": storage if plan.stores_flat() else None,
                "ntotal": index.ntotal,
                "d": index.d,
                "seconds": seconds,
                "bytes": size,
                "memory_estimate": int(need),
            }
        )
    else:
        print(
            f"{out}: {index.ntotal:,} x {index.d}, {description}, {kind}, {readable(size)}, "
            f"built in {seconds:,.1f} s"
        )


def memory_needed(plan: Plan, rows: Vectors, storage: str) -> float:
    """Peak bytes: training on a sample, then the index with a chunk; either with float32 copies."""
    row = rows.dim * (int(rows.dtype.itemsize) + 4)
    training = min(len(rows), _TRAIN_ROWS) * row if plan.needs_training() else 0
    index = len(rows) * plan.bytes_per_vector(rows.dim, storage)
    return max(training, index + _chunk_rows(rows) * row) + _INTERPRETER


def _chunk_rows(rows: Vectors) -> int:
    return max(1, min(len(rows), _CHUNK_BYTES // (rows.dim * 4)))


def _too_large(description: str, rows: Vectors, storage: str, need: float, limit: int) -> str:
    smaller = []
    for other in ("HNSW16,SQ8", "HNSW16,SQfp16", "SQ8"):
        size = memory_needed(parse(other), rows, storage)
        if size <= limit:
            smaller.append(f"{other} ({readable(size)})")
    hint = f"these would fit: {', '.join(smaller)}" if smaller else "none in memory would fit"
    return (
        f"{description!r} of {len(rows):,} x {rows.dim} needs about {readable(need)}; "
        f"--memory allows {readable(limit)}; {hint}"
    )


def _storage(rows: Vectors, kind: str, dtype: DType) -> str:
    if dtype is not DType.auto:
        if kind == "cosine" and dtype.value in ("uint8", "int8"):
            raise typer.BadParameter(
                f"rows of length 1 cannot be stored as {dtype.value}; "
                "use float32 or float16 with cosine"
            )
        return str(dtype.value)
    kept = ("float16",) if kind == "cosine" else ("float16", "uint8", "int8")
    return str(rows.dtype) if str(rows.dtype) in kept else "float32"


def _training_rows(rows: Vectors) -> np.ndarray:
    """Blocks spread over the input: close to a sample, and read in order."""
    if len(rows) <= _TRAIN_ROWS:
        return rows.read(0, len(rows))
    block = _TRAIN_ROWS // _TRAIN_BLOCKS
    starts = np.linspace(0, len(rows) - block, _TRAIN_BLOCKS).astype(np.int64).tolist()
    return np.concatenate([rows.read(start, start + block) for start in starts])


def _add(index: Any, rows: Vectors, kind: str, quiet: bool) -> None:
    named = isinstance(index, shortlist.IndexIDMap)  # takes ids: the row numbers
    with progress("adding", len(rows), quiet) as show:
        done = 0
        for chunk in rows.chunks(_chunk_rows(rows)):

            def part(n: int, _: int, at: int = done) -> None:
                show(at + n)

            if named:
                ids = np.arange(done, done + len(chunk))
                index.add_with_ids(prepared(chunk, kind), ids, progress=part)
            else:
                index.add(prepared(chunk, kind), progress=part)
            done += len(chunk)
            show(done)
