"""The units of a build: functions of files, whose outputs are whole or not there.

A folder of work holds what they hand on: the plan, the sample, the centroids and their graph, one
run for each shard. `assign` and `merge` need nothing else but the vectors, so that any process that
sees the folder can do any of them, at any time and again: the bytes are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._core import _disk
from .._kmeans import hierarchical_kmeans
from ..datasets import Vectors
from ._files import read_arrays, read_json, write_arrays, write_json
from ._plan import EF_CONSTRUCTION, M, Plan, lists_of

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], object]

_CHUNK = 4096  # rows whose postings are looked for at a time
_CODEC_ROWS = 1 << 14  # that a codec learns from
_CLOSURE_ROWS = 2048  # of which the factor of the RNG rule is learnt
_FACTORS, _HALVINGS = (0.25, 64.0), 12  # among which it is
_RUN_BYTES = 1 << 20  # of all runs that are read at a time, if that is enough for each
_HEAD = np.dtype(
    [("id", "<i8"), ("posting", "<u4"), ("distance", "<f4"), ("rank", "<u4"), ("zero", "<u4")]
)


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
        if not (folder / "plan").exists():
            write_json(folder / "plan", {"key": key, "plan": asdict(plan)})
        return cls(folder)

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

    @cached_property
    def squares(self) -> npt.NDArray[np.float32]:
        """The squared length of each centroid of the graph."""
        out = np.empty(self.graph.ntotal, np.float32)
        for at in range(0, len(out), _CHUNK):
            some = self.graph.reconstruct_n(at, min(_CHUNK, len(out) - at))
            out[at : at + _CHUNK] = np.einsum("ij,ij->i", some, some)
        return out

    def bounds(self) -> list[int]:
        """Bucket b holds the postings [bounds[b], bounds[b + 1])."""
        count, buckets = self.graph.ntotal, self.plan.buckets
        return [count * b // buckets for b in range(buckets + 1)]

    @cached_property
    def rng_factor(self) -> float:
        return float(read_arrays(self.folder / "closure")["rng_factor"][0])

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

    @property
    def code_size(self) -> int:
        """Bytes of an entry of a posting, besides its id."""
        return _disk.code_size(self.codec) + (8 if self.plan.coded else 0)

    def shard(self, source: Vectors, shard: int) -> tuple[int, Array]:
        """The first row of a shard, and its vectors, as they are stored."""
        first = shard * self.plan.shard_rows
        rows = source.read(first, min(first + self.plan.shard_rows, self.plan.ntotal))
        return first, stored(rows, self.plan)


def stored(rows: Array, plan: Plan) -> Array:
    """Vectors as files hold them: of length 1 under cosine, of the plan's dtype."""
    if plan.metric == "cosine":
        rows = np.array(rows, np.float32, order="C")
        _core.normalize_L2(rows)
    return np.ascontiguousarray(rows, plan.dtype)


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
            sample, most, seed=plan.seed, progress=lambda done, n: progress("train", done, n)
        )
        total = 0.0
        for at in range(0, len(sample), _CHUNK):
            away = sample[at : at + _CHUNK].astype(np.float32) - centroids[labels[at : at + _CHUNK]]
            total += float(np.sqrt(np.einsum("ij,ij->i", away, away)).sum(dtype=np.float64))
        radius = np.array([total / len(sample)], np.float32)
        write_arrays(work.folder / "centroids", centroids=centroids, radius=radius)
        del centroids
    if not work.codec_path.exists():
        codec = frame(plan, plan.codec)
        if plan.coded:
            some, centroids = sample[:: -(-len(sample) // _CODEC_ROWS)], work.centroids
            _disk.train_codes(codec, some, centroids[_nearest(some, centroids)])
        codec.save(work.codec_path)


def _nearest(rows: Array, centroids: Array) -> Array:
    return np.asarray(_core.knn(rows, centroids, 1)[1][:, 0])


def build_graph(work: Work, progress: Progress) -> None:
    """The graph over the centroids; one thread, so that it is the same each time."""
    path = work.graph_path
    if path.exists():
        return
    plan, centroids = work.plan, work.centroids
    graph = _core.IndexHNSWFlat(plan.d, M, plan.number, dtype=plan.centroid_dtype)
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    grow(graph, plan, centroids, lambda done: progress("graph", done, len(centroids)))
    graph.save(path)


def fit_closure(work: Work, source: Vectors) -> None:
    """Find the factor of the RNG rule that gives vectors as many postings as the plan says.

    Where dimensions are many, centroids are nearer to each other than vectors to them, and a
    factor of 1 lets no replica through.
    """
    path = work.folder / "closure"
    if path.exists():
        return
    plan = work.plan
    step = max(1, plan.ntotal // _CLOSURE_ROWS)
    rows = [source.read(row, row + 1) for row in range(0, plan.ntotal, step)][:_CLOSURE_ROWS]
    near, lists = _candidates(work, stored(np.concatenate(rows), plan))
    low, high = _FACTORS
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        kept = _disk.closure(work.graph, lists, near, plan.replicas, middle)
        if (kept >= 0).sum(1).mean() < plan.mean_replicas:
            low = middle
        else:
            high = middle
    write_arrays(path, rng_factor=np.array([round(high, 3)]))


def grow(graph: Any, plan: Plan, centroids: Array, progress: Callable[[int], object]) -> None:
    """Add centroids, rounded to what the graph stores."""
    dtype = np.dtype(plan.centroid_dtype)
    with one_thread():
        for at in range(0, len(centroids), _CHUNK):
            some = centroids[at : at + _CHUNK]
            if dtype.kind in "ui":
                info = np.iinfo(dtype)
                some = np.clip(np.rint(some), info.min, info.max)
            graph.add(np.ascontiguousarray(some, dtype))
            progress(min(at + _CHUNK, len(centroids)))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    threads = _core.omp_get_max_threads()
    _core.omp_set_num_threads(1)
    try:
        yield
    finally:
        _core.omp_set_num_threads(threads)


def assign(work: Work, source: Vectors, shard: int, ids: Array | None = None) -> None:
    """Write the run of a shard: which postings its vectors go to, and their codes.

    ids: of all vectors, or None: their row numbers. Whole vectors, where postings hold codes, are
    written beside it, in their order.
    """
    plan = work.plan
    first, rows = work.shard(source, shard)
    own = np.arange(first, first + len(rows)) if ids is None else ids[first : first + len(rows)]
    if plan.coded:
        writer = _disk.VectorWriter(
            str(work.vectors_path(shard)), plan.row_bytes, len(rows), work.build
        )
        writer.add(rows.view(np.uint8).reshape(len(rows), -1))
        writer.finish()
    postings, distances = nearest_postings(work, rows)
    row, rank = np.nonzero(postings >= 0)
    heads = np.zeros(len(row), _HEAD)
    heads["id"] = own[row]
    heads["posting"] = postings[row, rank]
    heads["distance"] = distances[row, rank]
    heads["rank"] = rank
    del postings, distances, rank
    order = np.argsort(heads["posting"], kind="stable")
    heads, row = heads[order], row[order].astype(np.uint32)
    codes = rows.view(np.uint8).reshape(len(rows), -1)
    if plan.coded:
        codes, row = _coded(work, rows, first, heads["posting"], row), np.arange(len(row))
    _disk.write_run(
        str(work.run_path(shard)),
        work.bounds(),
        heads.view(np.uint8).reshape(len(heads), -1),
        codes,
        row,
        work.build,
    )


def nearest_postings(work: Work, rows: Array) -> tuple[Array, Array]:
    """Of each row the postings it goes to, nearest first, -1 behind the last; and how far."""
    plan = work.plan
    shape = len(rows), plan.replicas
    postings, distances = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    for at in range(0, len(rows), _CHUNK):
        some = slice(at, at + _CHUNK)
        near, lists = _candidates(work, rows[some])
        kept = _disk.closure(work.graph, lists, near, plan.replicas, work.rng_factor)
        at_kept = np.maximum(kept, 0)
        postings[some] = np.where(kept >= 0, np.take_along_axis(lists, at_kept, 1), -1)
        distances[some] = np.sqrt(np.maximum(np.take_along_axis(near, at_kept, 1), 0))
    return postings, distances


def _candidates(work: Work, rows: Array) -> tuple[Array, Array]:
    """The postings near each row, nearest first, and their squared distances."""
    ask = _core.SearchParametersHNSW(efSearch=max(work.plan.candidates, 32))
    near, lists = work.graph.search(rows, work.plan.candidates, params=ask)
    if work.plan.number == _core.METRIC_L2:
        return near, lists
    return _by_distance(work, rows, near, lists)


def _by_distance(work: Work, rows: Array, products: Array, lists: Array) -> tuple[Array, Array]:
    """Found by inner product, sorted by distance: |x - c|^2 = |x|^2 + |c|^2 - 2 <x, c>."""
    floats = rows.astype(np.float32)
    squares = np.einsum("ij,ij->i", floats, floats)[:, None] - 2 * products
    squares += work.squares[np.maximum(lists, 0)]
    squares[lists < 0] = np.inf
    order = np.argsort(squares, 1, kind="stable")
    return np.take_along_axis(squares, order, 1), np.take_along_axis(lists, order, 1)


def _coded(work: Work, rows: Array, first: int, postings: Array, row: Array) -> Array:
    """The row number and the code of each entry."""
    out = np.empty((len(row), work.code_size), np.uint8)
    for at in range(0, len(row), _CHUNK):
        some = slice(at, at + _CHUNK)
        out[some, :8] = (row[some].astype("<u8") + first).view(np.uint8).reshape(-1, 8)
        centroids = work.graph.reconstruct_batch(postings[some].astype(np.int64))
        out[some, 8:] = _disk.encode(work.codec, rows[row[some]], centroids)
    return out


def merge(work: Work, bucket: int) -> None:
    """Write the postings of a bucket from the runs of all shards, and what was split of them."""
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
        max(1 << 16, _RUN_BYTES // len(runs)),
        work.codec,
        work.graph,
        work.code_size,
        work.build,
        plan.seed,
    )
    write_arrays(
        work.merged_path(bucket),
        counts=np.array([entries, dropped]),
        centroids=centroids,
        parents=parents,
    )
