"""The units of a build: functions of files, whose outputs are whole or not there.

A folder of work holds what they hand on: the plan, the sample, the centroids and their graph, one
run for each shard. `assign` and `merge` need nothing else but the vectors, so that any process that
sees the folder can do any of them, at any time and again: the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core, gpu
from .._core import _disk
from .._kmeans import hierarchical_kmeans
from ..datasets import Vectors
from ..gpu.nearest import Search
from ._assign import Array, Assigner, bytes_of_rows
from ._files import read_arrays, read_json, write_arrays, write_json
from ._plan import EF_CONSTRUCTION, M, Plan, lists_of

Progress = Callable[[str, int, int], object]

_CHUNK = 4096  # rows at a time
_FEW = 512  # of those that are floats meanwhile
_CODEC_ROWS = 1 << 14  # that a codec learns from
_CLOSURE_ROWS = 2048  # of which the factor of the RNG rule is learnt
_RUN_BYTES = 1 << 20  # of all runs that are read at a time, if that is enough for each


class Work:
    """A folder of work, and what its files hold, read when asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        record = read_json(folder / "plan")
        self.plan = Plan(**record["plan"])
        self.key: str = record["key"]
        self.out = folder.parent

    @classmethod
    def begin(cls, out: Path, plan: Plan, fingerprint: str) -> Work:
        key = plan.key(fingerprint)
        folder = out / f"build-{key}"
        folder.mkdir(exist_ok=True)
        if not sound(folder / "plan", read_json):
            write_json(folder / "plan", {"key": key, "plan": plan.record()})
        work = cls(folder)
        for name in ("centroids", "closure"):
            sound(folder / name, read_arrays)
        for path in (work.graph_path, work.codec_path, work.centroids_path):
            sound(path, _core.open)
        return work

    @property
    def build(self) -> int:
        return int(self.key, 16)

    @property
    def graph_path(self) -> Path:
        return self.folder / "graph"

    def run_path(self, shard: int) -> Path:
        return self.folder / f"run-{shard:06d}"

    def postings_path(self, bucket: int) -> Path:
        return self.out / f"postings-{self.key}-{bucket:03d}"

    def vectors_path(self, shard: int) -> Path:
        return self.out / f"vectors-{self.key}-{shard:06d}"

    def merged_path(self, bucket: int) -> Path:
        return self.folder / f"merged-{bucket:03d}"

    def bucket_ids_path(self, bucket: int) -> Path:
        return self.folder / f"ids-{bucket:03d}"

    @property
    def ids_path(self) -> Path:
        return self.out / f"ids-{self.key}"

    @property
    def codec_path(self) -> Path:
        return self.out / f"codec-{self.key}"

    @property
    def centroids_path(self) -> Path:
        return self.out / f"centroids-{self.key}"

    @property
    def centroids(self) -> npt.NDArray[np.float32]:
        """Before they are rounded to what the graph stores."""
        return read_arrays(self.folder / "centroids")["centroids"]

    def bounds(self) -> list[int]:
        """Bucket b holds the postings [bounds[b], bounds[b + 1])."""
        count, buckets = self.graph.ntotal, self.plan.buckets
        return [count * b // buckets for b in range(buckets + 1)]

    @cached_property
    def assigner(self) -> Assigner:
        assigner = Assigner(self.plan, self.graph, self.codec, near=self.near)
        if self.plan.assignment == "rng":
            assigner.rng_factor = float(read_arrays(self.folder / "closure")["rng_factor"][0])
        return assigner

    @property
    def near(self) -> Callable[[Array, int], tuple[Array, Array]] | None:
        """Who finds postings on the plan's device; None: the graph does."""
        return None if self.plan.device == "cpu" else lambda x, n: self._search.search(x, n)

    @cached_property
    def _search(self) -> Search:
        centroids = self.graph.reconstruct_n(0, self.graph.ntotal)
        return Search(gpu.engine(), centroids, self.plan.number)

    @property
    def radius(self) -> float:
        """How far the sample's vectors are from their centroids, in the mean."""
        return float(read_arrays(self.folder / "centroids")["radius"][0])

    @cached_property
    def graph(self) -> Any:
        return _core.open(self.graph_path)

    @cached_property
    def codec(self) -> Any:
        """An IVF index without vectors, whose lists' form postings have."""
        return _core.open(self.codec_path)

    def unload(self) -> None:
        """Give back the memory of what comes from files when it is needed."""
        for name in ("assigner", "graph", "codec", "_search"):
            self.__dict__.pop(name, None)
        _disk.release_freed()

    def shard(self, source: Vectors, shard: int) -> tuple[int, Array]:
        """The first row of a shard, and its vectors, as they are stored."""
        first = shard * self.plan.shard_rows
        rows = source.read(first, min(first + self.plan.shard_rows, self.plan.ntotal))
        return first, stored(rows, self.plan)


def sound(path: Path, read: Callable[[Path], object]) -> bool:
    """Whether a file is there and whole; what is damaged is removed, to be made again."""
    try:
        read(path)
        return True
    except FileNotFoundError:
        return False
    except _core.CorruptIndexError:
        path.unlink()
        return False


def stored(rows: Array, plan: Plan, dtype: str | None = None) -> Array:
    """Vectors as files hold them: of length 1 under cosine, of the plan's dtype.

    Raises ValueError for values that the dtype does not hold.
    """
    if plan.metric == "cosine":
        rows = np.array(rows, np.float32, order="C")
        _core.normalize_L2(rows)
    kind = np.dtype(dtype or plan.dtype)
    if rows.dtype == kind:
        return np.ascontiguousarray(rows)
    with np.errstate(all="ignore"):
        out = np.ascontiguousarray(rows, kind)
        kept = out == rows if kind.kind in "ui" else np.isfinite(out)
    if not kept.all():
        bad = np.asarray(rows)[~kept].flat[0]
        raise _core.ArgumentError(
            f"the value {bad} cannot be stored as {kind}; choose another dtype"
        )
    return out


def frame(plan: Plan, codec: str) -> Any:
    """An IVF index of one list, which lends its codec."""
    one = _core.IndexFlat(plan.d, plan.number)
    one.add(np.zeros((1, plan.d), np.float32))
    return lists_of(codec).codec.build_lists(one, plan.d, 1, plan.number, plan.dtype)


def train(work: Work, sample: Array, progress: Progress) -> None:
    """Centroids of the sample, in the order of the tree that split it, and the codec."""
    plan = work.plan
    if not (work.folder / "centroids").exists():
        # Clusters end about 85 % full.
        most = max(1, round(len(sample) / (0.85 * plan.postings)))
        centroids, labels = hierarchical_kmeans(
            sample,
            most,
            seed=plan.seed,
            gpu=plan.device != "cpu",
            progress=lambda done, n: progress("train", done, n),
        )
        total = 0.0
        for at in range(0, len(sample), _FEW):
            away = sample[at : at + _FEW].astype(np.float32) - centroids[labels[at : at + _FEW]]
            total += float(np.sqrt(np.einsum("ij,ij->i", away, away)).sum(dtype=np.float64))
        radius = np.array([total / len(sample)], np.float32)
        write_arrays(work.folder / "centroids", centroids=centroids, radius=radius)
        del centroids
    if not work.codec_path.exists():
        codec = frame(plan, plan.codec)
        if plan.coded:
            # About 16 bytes a value while it learns: no more in all than the sample took.
            most = min(_CODEC_ROWS, max(1024, len(sample) * plan.row_bytes // (16 * plan.d)))
            some = sample[:: -(-len(sample) // most)].copy()
            del sample
            centroids = work.centroids
            pieces = (some[at : at + _FEW] for at in range(0, len(some), _FEW))
            lists = np.concatenate([_core.knn(piece, centroids, 1)[1][:, 0] for piece in pieces])
            _disk.train_codes(codec, some, centroids[lists])
        codec.save(work.codec_path)


def build_graph(work: Work, progress: Progress) -> None:
    """The graph over the centroids, the same whatever the number of threads."""
    path = work.graph_path
    if path.exists():
        return
    plan, centroids = work.plan, work.centroids
    graph = _core.IndexHNSWFlat(plan.d, M, plan.number, dtype=plan.centroid_dtype)
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    grow(graph, plan, centroids, lambda done: progress("graph", done, len(centroids)))
    graph.save(path)


def fit_closure(work: Work, source: Vectors) -> None:
    """Choose the factor of the RNG rule, where that is the rule, by some of the vectors."""
    path = work.folder / "closure"
    if work.plan.assignment != "rng" or path.exists():
        return
    plan = work.plan
    step = max(1, plan.ntotal // _CLOSURE_ROWS)
    rows = [source.read(row, row + 1) for row in range(0, plan.ntotal, step)][:_CLOSURE_ROWS]
    assigner = Assigner(plan, work.graph, work.codec, near=work.near)
    assigner.fit(stored(np.concatenate(rows), plan))
    write_arrays(path, rng_factor=np.array([assigner.rng_factor]))


def grow(graph: Any, plan: Plan, centroids: Array, progress: Callable[[int], object]) -> None:
    """Add centroids, rounded to what the graph stores."""
    dtype = np.dtype(plan.centroid_dtype)
    graph.hnsw.deterministic = True
    for at in range(0, len(centroids), _CHUNK):
        some = centroids[at : at + _CHUNK]
        if dtype.kind in "ui":
            info = np.iinfo(dtype)
            some = np.clip(np.rint(some), info.min, info.max)
        graph.add(np.ascontiguousarray(some, dtype))
        progress(min(at + _CHUNK, len(centroids)))


def assign(work: Work, source: Vectors, shard: int, ids: Array | None = None) -> None:
    """Write the run of a shard: which postings its vectors go to, and their codes.

    ids: of all vectors, or None: their row numbers. Whole vectors, where postings hold codes, are
    written beside it, in their order.
    """
    first, rows = work.shard(source, shard)
    own = np.arange(first, first + len(rows)) if ids is None else ids[first : first + len(rows)]
    if work.plan.coded:
        write_vectors(work.vectors_path(shard), rows, work.build, first)
    work.assigner.write_run(work.run_path(shard), rows, own, first, work.bounds(), work.build)


def write_vectors(path: Path, rows: Array, build: int, before: int) -> None:
    """Whole vectors, to be compared again; `before` them others are in other files."""
    data = bytes_of_rows(rows)
    writer = _disk.VectorWriter(str(path), data.shape[1], len(data), build, before)
    writer.add(data)
    writer.finish()


def buffer_of(runs: int) -> int:
    """Bytes that are read at a time of each of so many runs that are merged."""
    return max(1 << 14, _RUN_BYTES // runs)


def merge(work: Work, bucket: int) -> None:
    """Write the postings of a bucket from the runs of all shards, its ids, and what was split."""
    plan = work.plan
    bounds = work.bounds()
    runs = [str(work.run_path(shard)) for shard in range(plan.shards)]
    entries, dropped, centroids, parents = _disk.merge(
        str(work.postings_path(bucket)),
        runs,
        bucket,
        bounds[bucket],
        bounds[bucket + 1],
        plan.limit,
        buffer_of(len(runs)),
        work.codec,
        work.graph,
        work.assigner.code_size,
        work.build,
        plan.seed,
        str(work.bucket_ids_path(bucket)),
    )
    write_arrays(
        work.merged_path(bucket),
        counts=np.array([entries, dropped]),
        centroids=centroids,
        parents=parents,
    )


def merge_ids(
    path: Path,
    buckets: list[Path],
    postings: int,
    splits: list[int],
    plan: Plan,
    build: int,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Write one file of the ids of all buckets; how many there are.

    postings: that are no splits. splits: of each bucket, which are numbered behind those.
    """
    first = postings + np.cumsum([0, *splits[:-1]])
    files = [str(bucket) for bucket in buckets]
    return _disk.merge_ids(str(path), files, [] if plan.coded else first.tolist(), build, progress)
