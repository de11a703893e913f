"""From vectors anywhere to an index in a folder, within a memory budget."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core, gpu
from .._core import _disk
from .._sizes import bytes_of
from ..datasets import Dataset, Vectors, load
from . import _work
from ._assign import Array
from ._calibrate import calibrate
from ._files import allow_files, locked, read_arrays, read_json, write_arrays, write_json
from ._index import IndexSPANN, checked_ids, opened
from ._index import open as open_index
from ._manifest import MANIFEST, clear, has_changes, read_manifest
from ._plan import VERSION, Plan, planned
from ._work import Progress, Work, sound

_UNIT = ("float32", "float16")  # what holds vectors of length 1
_STORED = (*_UNIT, "uint8", "int8")
_CHUNK_BYTES = 1 << 20
_MERGE_BYTES = 8 << 20  # of a thread that merges, besides its runs


def build(
    source: Any,
    description: str = "SPANN",
    *,
    out: str | os.PathLike[str],
    memory: int | str | None = None,
    metric: str | None = None,
    dtype: str | None = None,
    ids: Any = None,
    queries: Any = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **knobs: Any,
) -> IndexSPANN:
    """Build an index on disk: posting lists in a folder, of which searches read a few.

    source: a path that shortlist.datasets.load reads, Vectors, a Dataset, or an array (n, d).
    description: "SPANN", or "SPANN,SDC1" for codes in the postings, whose finds are compared again
        by whole vectors; a number, as in "SPANN4096", is how many postings there are.
    out: the folder; an index that is there stays until the new one is whole.
    memory: what the build may take beyond what the process has, as bytes or "2GB".
    metric: "l2", "ip" or "cosine"; default: the Dataset's, else "l2".
    dtype: how vectors are stored: "float32", "float16" or, unless the metric is cosine, "uint8" or
        "int8"; default: as they are.
    ids: (n,) integers of your own, each once; default: the rows' numbers.
    queries: (m, d), such as will be asked: search(recall=...) keeps its promise for those.
        Default: the Dataset's queries, else some of the vectors.
    device: "cuda" trains on a GPU, and finds there which postings are near each vector. The index
        is as good as that of "cpu", not the same byte for byte; searches need no GPU.
    progress: called as progress(stage, done, total); what it raises ends the build.
    knobs: fields of shortlist.spann.Plan, such as replicas=4, or assignment="soar" for SOAR's rule.

    If the folder has this index already, it is verified and opened. Killed at any point, the same
    call goes on where it was, and gives the same bytes. Raises FactoryError, ValueError for vectors
    with NaN or Inf and where the folder holds changes that would be lost, MemoryError where the
    budget is too small, OSError where the disk is, BlockingIOError while another process builds,
    UnsupportedError for "cuda" without a GPU or the CUDA plugin.
    """
    found = load(source) if isinstance(source, (str, os.PathLike)) else source
    if isinstance(found, Dataset):
        queries = found.queries if queries is None else queries
        metric = metric or found.metric
        found = found.base
    vectors = found if isinstance(found, Vectors) else Vectors(np.asarray(found), "array")
    if not len(vectors):
        raise ValueError(f"{vectors.name}: holds no vectors")
    metric = metric or "l2"
    if metric not in ("l2", "ip", "cosine"):
        raise ValueError(f"metric = {metric!r}; choose 'l2', 'ip' or 'cosine'")
    kinds = _UNIT if metric == "cosine" else _STORED
    if dtype is not None and dtype not in kinds:
        raise ValueError(f"dtype = {dtype!r}; choose {', '.join(kinds)} for metric {metric!r}")
    kept = dtype or (str(vectors.dtype) if str(vectors.dtype) in kinds else "float32")
    budget = None if memory is None else bytes_of(memory)
    plan = planned(
        description,
        d=vectors.dim,
        ntotal=len(vectors),
        metric=metric,
        dtype=kept,
        memory=budget,
        device=device,
        **knobs,
    )
    if device != "cpu":
        gpu.engine()  # or an error, before anything is written
    if ids is not None:
        ids = checked_ids(ids, len(vectors))
        if len(np.unique(ids)) < len(ids):
            raise ValueError("an id comes more than once in ids; each vector needs its own")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    say: Progress = progress or (lambda stage, done, total: None)
    asked = None if queries is None or not len(queries) else np.asarray(queries)
    if asked is not None and (asked.ndim != 2 or asked.shape[1] != vectors.dim):
        raise ValueError(f"queries are {asked.shape}; they must be (m, {vectors.dim})")
    if asked is not None and asked.dtype.kind == "f" and not np.isfinite(asked).all():
        raise ValueError("queries have NaN or Inf; leave them out")
    with locked(folder):
        fingerprint = _fingerprint(folder, vectors, ids, plan, say)
        if asked is not None:
            fingerprint += hashlib.blake2b(_bytes(asked), digest_size=8).hexdigest()
        if not _is_published(folder, plan.key(fingerprint)):
            work = Work.begin(folder, plan, fingerprint)
            _check_room(folder, work)
            _run(work, vectors, ids, asked, budget, say)
        clear(folder, read_json(folder / MANIFEST))
    return open_index(folder)


def _is_published(folder: Path, key: str) -> bool:
    """Whether this index is there, and sound. Raises ValueError where work would be lost."""
    manifest = None
    try:
        manifest = read_manifest(folder)
        if manifest["key"] == key:
            opened(folder, manifest).verify()
            return True
    except (FileNotFoundError, _core.CorruptIndexError):
        pass
    except _core.UnsupportedError:  # a newer version stays, an older one is built again
        if read_json(folder / MANIFEST)["version"] > VERSION:
            raise
    if has_changes(folder, manifest):
        raise ValueError(
            f"'{folder}' holds vectors that were added or removed since it was built, which "
            "another build would lose; build in another folder, or remove this one first"
        )
    return False


def _bytes(rows: Array) -> memoryview:
    return np.ascontiguousarray(rows).view(np.uint8).data


def _chunks(vectors: Vectors) -> Iterator[tuple[int, Array]]:
    rows = max(1, _CHUNK_BYTES // (vectors.dim * vectors.dtype.itemsize))
    for start in range(0, len(vectors), rows):
        yield start, vectors.read(start, min(start + rows, len(vectors)))


def _fingerprint(
    folder: Path, vectors: Vectors, ids: Array | None, plan: Plan, say: Progress
) -> str:
    """Of all bytes; files that were looked at and have not changed since are not read again."""
    identity = vectors.identity()
    path = folder / "scanned"
    if identity is not None and ids is None and path.exists():
        record = read_json(path) if sound(path, read_json) else {}
        if record.get("identity") == identity:
            return str(record["fingerprint"])
    hashed = hashlib.blake2b(vectors.dtype.str.encode(), digest_size=16)
    for start, rows in _chunks(vectors):
        if rows.dtype.kind == "f" and not np.isfinite(rows).all():
            bad = start + int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
            raise ValueError(f"{vectors.name}: row {bad} has NaN or Inf; leave it out or repair it")
        hashed.update(_bytes(rows))
        say("scan", start + len(rows), len(vectors))
    if ids is not None:
        hashed.update(_bytes(ids))
    if identity is not None and ids is None:
        write_json(path, {"identity": identity, "fingerprint": hashed.hexdigest()})
    return hashed.hexdigest()


def _sample(vectors: Vectors, plan: Plan) -> Array:
    """Rows for training, the same for the same plan."""
    rng = np.random.default_rng(plan.seed)
    wanted = np.sort(rng.choice(len(vectors), plan.train_rows, replace=False, shuffle=False))
    out = np.empty((len(wanted), plan.d), plan.dtype)
    for start, rows in _chunks(vectors):
        a, b = np.searchsorted(wanted, [start, start + len(rows)])
        out[a:b] = _work.stored(rows[wanted[a:b] - start], plan)
    return out


def _check_room(folder: Path, work: Work) -> None:
    there = sum(f.stat().st_size for f in folder.rglob("*") if work.key in str(f) and f.is_file())
    need, free = work.plan.disk() - there, shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            errno.ENOSPC,
            f"about {need:,} bytes are needed and {free:,} are free; make room, or build elsewhere",
            str(folder),
        )


def _run(
    work: Work,
    vectors: Vectors,
    ids: Array | None,
    queries: Any,
    memory: int | None,
    say: Progress,
) -> None:
    plan = work.plan
    if not (work.folder / "centroids").exists() or not work.codec_path.exists():
        _work.train(work, _sample(vectors, plan), say)
    _disk.release_freed()  # what one stage took is not there for the next otherwise
    _work.build_graph(work, say)
    _work.fit_closure(work, vectors)
    _disk.release_freed()
    for shard in range(plan.shards):
        if not _is_run(work, shard):
            _work.assign(work, vectors, shard, ids)
        say("assign", shard + 1, plan.shards)
    _disk.release_freed()
    _merge_all(work, memory, say)
    _merge_ids(work, say)
    _disk.release_freed()
    _finish(work, vectors, ids, queries, say)


def _is_run(work: Work, shard: int) -> bool:
    """Whether a shard was assigned; what is damaged is made again."""
    path = work.run_path(shard)
    try:
        run = _disk.RunFile(str(path))
        run.verify()
        if work.plan.coded:
            _disk.VectorFiles([str(work.vectors_path(shard))]).verify()
        return bool(run.build == work.build)
    except (OSError, _core.CorruptIndexError, _core.UnsupportedError):
        path.unlink(missing_ok=True)
        return False


def _is_merged(work: Work, bucket: int) -> bool:
    try:
        read_arrays(work.merged_path(bucket))
        _disk.PostingFiles([str(work.postings_path(bucket))]).verify()
        _disk.IdFile(str(work.bucket_ids_path(bucket))).verify()
        return True
    except (OSError, _core.CorruptIndexError, _core.UnsupportedError):
        work.merged_path(bucket).unlink(missing_ok=True)
        return False


def _merge_all(work: Work, memory: int | None, say: Progress) -> None:
    left = [b for b in range(work.plan.buckets) if not _is_merged(work, b)]
    done = work.plan.buckets - len(left)
    shards = work.plan.shards
    _ = work.assigner  # loaded once, not by each thread
    # Each has all runs open, with buffers, and sorts ids.
    threads = min(len(left), _core.omp_get_max_threads(), allow_files(64 * shards) // shards)
    if memory is not None:
        own = shards * _work.buffer_of(shards) + _MERGE_BYTES
        threads = min(threads, (memory - work.plan.postings * work.plan.centroid_bytes) // own)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting = {pool.submit(_work.merge, work, bucket) for bucket in left}
        try:
            while waiting:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    future.result()
                    done += 1
                    say("merge", done, work.plan.buckets)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _merge_ids(work: Work, say: Progress) -> None:
    plan = work.plan
    if not sound(work.ids_path, lambda path: _disk.IdFile(str(path)).verify()):
        buckets = [work.bucket_ids_path(b) for b in range(plan.buckets)]
        splits = [len(read_arrays(work.merged_path(b))["parents"]) for b in range(plan.buckets)]
        _work.merge_ids(
            work.ids_path,
            buckets,
            work.bounds()[-1],
            splits,
            plan,
            work.build,
            lambda done, total: say("ids", done, total),
        )
    say("ids", plan.ntotal, plan.ntotal)


def _add_centroids(work: Work, splits: Array, say: Progress) -> None:
    if not work.centroids_path.exists():
        graph = _core.open(work.graph_path)
        _work.grow(graph, work.plan, splits, lambda done: say("graph", done, len(splits)))
        graph.save(work.centroids_path)


def _finish(work: Work, vectors: Vectors, ids: Array | None, queries: Any, say: Progress) -> None:
    """The graph with what was split, a table of recalls, and the manifest, which comes last."""
    plan = work.plan
    parts = [read_arrays(work.merged_path(b)) for b in range(plan.buckets)]
    splits = np.concatenate([p["centroids"] for p in parts])
    _add_centroids(work, splits, say)
    splits_path = work.out / f"splits-{work.key}"
    parents = np.concatenate([p["parents"] for p in parts])
    write_arrays(splits_path, parents=parents)
    names = [work.centroids_path, work.codec_path, splits_path, work.ids_path]
    postings = [work.postings_path(b).name for b in range(plan.buckets)]
    whole = [work.vectors_path(s).name for s in range(plan.shards)] if plan.coded else []
    files = [p.name for p in names] + postings + whole
    manifest: dict[str, Any] = {
        "format": "shortlist.spann",
        "version": VERSION,
        "key": work.key,
        "generation": 0,
        "folded": 0,
        "rows": plan.ntotal,
        "plan": plan.record(),
        "files": {name: (work.out / name).stat().st_size for name in files},
        "centroids": work.centroids_path.name,
        "codec": work.codec_path.name,
        "splits": splits_path.name,
        "ids": work.ids_path.name,
        "postings": postings,
        "vectors": whole,
        "ntotal": plan.ntotal,
        "next_id": plan.ntotal if ids is None else int(ids.max()) + 1,
        "radius": work.radius,
        "rng_factor": work.assigner.rng_factor,
        "entries": sum(int(p["counts"][0]) for p in parts),
        "dropped": sum(int(p["counts"][1]) for p in parts),
        "calibration": [],
    }
    work.unload()
    manifest["calibration"] = calibrate(work, manifest, vectors, ids, queries, say)
    write_json(work.out / MANIFEST, manifest)
    say("publish", 1, 1)
