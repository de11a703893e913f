"""Folding what was added and removed into the postings."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import _disk
from . import _delta
from ._assign import Array, Assigner
from ._files import write_arrays, write_json
from ._manifest import MANIFEST, clear
from ._work import grow, merge_ids, write_vectors

if TYPE_CHECKING:
    from ._index import IndexSPANN

_PIECE_BYTES = 16 << 20  # of postings that are rewritten at a time
_BUCKET_BYTES = 256 << 20
_RUN_BUFFER = 1 << 16


def compact(index: IndexSPANN) -> None:
    """Write the folder's index anew, with its changes in the postings and the same centroids.

    Each posting is one run of what it had, less what is gone; additions are assigned to postings
    as all vectors were, which makes one run more; merging gives the postings. The former index is
    the one that is opened until the manifest is written.
    """
    folder, manifest, plan = index.folder, index.manifest, index.plan
    generation = manifest["generation"] + 1
    build = int(manifest["key"], 16)
    name = f"{manifest['key']}-g{generation}"
    work = folder / f"build-{name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()

    old = _disk.PostingFiles([str(folder / p) for p in manifest["postings"]])
    parents = np.array(index.parents, np.int64)
    codec: Any = _core.open(folder / manifest["codec"])
    assigner = Assigner(plan, index.centroids, codec, manifest["rng_factor"], parents)
    added, vectors = _added(index)
    rows_before = manifest["rows"]
    bounds = _bounds(old)
    fresh: list[str] = []
    if len(added):
        assigner.write_run(work / "added", vectors, added, rows_before, bounds, build)
        if plan.coded:
            fresh.append(f"vectors-{name}-000000")
            write_vectors(folder / fresh[0], vectors, build, rows_before)

    postings, centroids, whose, ids = [], [], [parents], []
    entries = dropped = 0
    for bucket, (begin, end) in enumerate(pairwise(bounds)):
        runs = [str(work / "added")] if len(added) else []
        for number, (a, b) in enumerate(_pieces(old, begin, end)):
            runs.insert(number, str(work / f"kept-{number:06d}"))
            _disk.rewrite_run(runs[number], bounds, old, a, b, index.hidden, build)
        postings.append(f"postings-{name}-{bucket:03d}")
        ids.append(work / f"ids-{bucket:03d}")
        told = _disk.merge(
            str(folder / postings[-1]),
            runs,
            bucket,
            begin,
            end,
            plan.limit,
            _RUN_BUFFER,
            codec,
            index.centroids,
            old.code_size,
            build,
            plan.seed,
            str(ids[-1]),
            parents.tolist(),
        )
        entries, dropped = entries + told[0], dropped + told[1]
        centroids.append(told[2])
        whose.append(assigner.roots(told[3].astype(np.int64)))
    splits = np.concatenate(centroids)
    graph_name = manifest["centroids"]
    if len(splits):
        graph = _core.open(folder / graph_name)
        grow(graph, plan, splits, lambda done: None)
        graph_name = f"centroids-{name}"
        graph.save(folder / graph_name)
    splits_name = f"splits-{name}"
    write_arrays(folder / splits_name, parents=np.concatenate(whose))
    ids_name = f"ids-{name}"
    counts = [len(some) for some in centroids]
    ntotal = merge_ids(folder / ids_name, ids, bounds[-1], counts, plan, build)
    whole = manifest["vectors"] + fresh
    files = [graph_name, manifest["codec"], splits_name, ids_name, *postings, *whole]
    new: dict[str, Any] = manifest | {
        "generation": generation,
        "folded": index.deltas,
        "files": {f: (folder / f).stat().st_size for f in files},
        "centroids": graph_name,
        "splits": splits_name,
        "ids": ids_name,
        "postings": postings,
        "vectors": whole,
        "ntotal": ntotal,
        "rows": rows_before + (len(added) if plan.coded else 0),
        "next_id": index.next_id,
        "entries": entries,
        "dropped": manifest["dropped"] + dropped,
    }
    write_json(folder / MANIFEST, new)
    clear(folder, new)


def _added(index: IndexSPANN) -> tuple[Array, Array]:
    """Ids and vectors, as files have them, of what was added and is there."""
    kept: dict[int, Any] = {}
    after = index.manifest["folded"]
    for _, change in _delta.read_all(index.folder, index.manifest["key"], after, after):
        for id_ in change["removed"].tolist():
            kept.pop(id_, None)
        for id_, x in zip(change["added"].tolist(), change["vectors"], strict=True):
            kept[id_] = x
    vectors = np.array(list(kept.values()), index.plan.dtype).reshape(-1, index.d)
    return np.fromiter(kept, np.int64, len(kept)), vectors


def _bounds(old: Any) -> list[int]:
    """Buckets of postings, of like sizes."""
    bytes_ = np.cumsum([0] + [old.count(p) * (old.code_size + 8) for p in range(len(old))])
    buckets = int(min(len(old), max(1, round(bytes_[-1] / _BUCKET_BYTES)), 200))
    return [len(old) * b // buckets for b in range(buckets + 1)]


def _pieces(old: Any, begin: int, end: int) -> list[tuple[int, int]]:
    out, first, size = [], begin, 0
    for p in range(begin, end):
        size += old.count(p) * (old.code_size + 8)
        if size >= _PIECE_BYTES or p == end - 1:
            out.append((first, p + 1))
            first, size = p + 1, 0
    return out
