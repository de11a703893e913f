"""k-means under faiss's names: Kmeans for most, Clustering and its parameters for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from . import gpu as _gpu
from ._core import _cluster
from .gpu import kmeans as on_gpu

__all__ = [
    "Clustering",
    "ClusteringInitMethod_AFK_MC2",
    "ClusteringInitMethod_KMEANS_PLUS_PLUS",
    "ClusteringInitMethod_RANDOM",
    "ClusteringIterationStats",
    "ClusteringParameters",
    "Kmeans",
    "hierarchical_kmeans",
    "kmeans_clustering",
]

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], object]

ClusteringInitMethod_RANDOM = 0
ClusteringInitMethod_KMEANS_PLUS_PLUS = 1
ClusteringInitMethod_AFK_MC2 = 2  # not offered


@dataclass
class ClusteringParameters:
    """What k-means may do differently: faiss's fields and defaults."""

    niter: int = 25
    nredo: int = 1
    """Runs from other beginnings; the best objective is kept."""
    verbose: bool = False
    """Print a line for each iteration."""
    spherical: bool = False
    """Centroids of length 1, for inner products."""
    int_centroids: bool = False
    """Centroids of whole numbers."""
    frozen_centroids: bool = False
    """Centroids that are given stay as they are."""
    min_points_per_centroid: int = 39
    """With fewer points there is a warning; with fewer than 1, an error."""
    max_points_per_centroid: int = 256
    """Of more points a sample is drawn."""
    seed: int = 1234
    """The same seed and points give the same centroids; a negative one, others each time."""
    init_method: int = ClusteringInitMethod_RANDOM
    """Rows at random, or k-means++ (Arthur and Vassilvitskii 2007)."""
    early_stop_threshold: float = 0.0
    """The relative change of the objective at which iterations end."""
    balanced: float = 0.0
    """0 for plain k-means to 1 for centroids of clusters of like sizes: while training, points go
    to centroids by an optimal transport plan, found by Sinkhorn's iterations, that gives every
    centroid as much (RepCONC, Zhan et al. 2022); in between, part of the way. assign, and indexes
    that take the centroids, go by the nearest as ever."""
    batch_size: int = 0
    """Points of the first iterations, at least k: these are drawn at random, and doubled whenever
    centroids hardly move any more, until all take part (nested mini-batches, Newling and Fleuret
    2016). 0: all in each iteration."""
    update_index: bool = False
    """This and the rest are kept for faiss programs, and change nothing here."""
    decode_block_size: int = 32768
    check_input_data_for_NaNs: bool = True
    use_faster_subsampling: bool = False
    afkmc2_chain_length: int = 50
    use_super_kmeans: bool = False


_IGNORED = {
    "verbose",
    "update_index",
    "decode_block_size",
    "check_input_data_for_NaNs",
    "use_faster_subsampling",
    "afkmc2_chain_length",
    "use_super_kmeans",
}


@dataclass(frozen=True)
class ClusteringIterationStats:
    """One iteration: its objective, and seconds since the first began."""

    obj: float
    time: float
    time_search: float
    imbalance_factor: float
    nsplit: int


class _IterationStats(list[ClusteringIterationStats]):
    """A list that also answers to the names of a C++ vector."""

    def at(self, i: int) -> ClusteringIterationStats:
        return self[i]

    def size(self) -> int:
        return len(self)


class Clustering(ClusteringParameters):
    """Lloyd's k-means: each point goes to its nearest centroid, each centroid to its points' mean.

    The assignment is exact, and the result depends on points, parameters and seed only, not on
    the number of threads. An empty cluster takes half of the one with the greatest spread.

    d: dimensions. k: clusters. cp: ClusteringParameters, whose fields this object has too.
    centroids: flat float32 of k * d values after train; what is there before, m <= k rows, is
    where the first m begin.
    iteration_stats: ClusteringIterationStats of each iteration.
    """

    def __init__(self, d: int, k: int, cp: ClusteringParameters | None = None) -> None:
        super().__init__(**_parameters(cp or ClusteringParameters()))
        self.d, self.k = int(d), int(k)
        self.centroids: Floats = np.empty(0, np.float32)
        self.iteration_stats = _IterationStats()

    def train(
        self,
        x: npt.ArrayLike,
        index: Any,
        weights: npt.ArrayLike | None = None,
        *,
        progress: Progress | None = None,
    ) -> None:
        """Cluster the rows of x (n, d), n >= k; afterwards the index holds the centroids.

        x: float32, float16, uint8 and int8 are read as they are, other types as float32.
        index: an IndexFlat, whose metric says which centroid is nearest.
        weights: (n,), not negative: how much a point counts in means and in the objective.
        progress: called as progress(iterations done, of how many); what it raises ends the
            training, as Ctrl-C does, and leaves everything as it was.

        Raises DimensionError for another d, ArgumentError (a ValueError) for n < k, NaN or Inf,
        UnsupportedError for other indexes.
        """
        self._train(x, index, weights, progress, _cluster.kmeans)

    def _train(
        self,
        x: npt.ArrayLike,
        index: Any,
        weights: npt.ArrayLike | None,
        progress: Progress | None,
        kmeans: Callable[..., Any],
    ) -> None:
        if not isinstance(index, _core.IndexFlat):
            raise _core.UnsupportedError(
                f"k-means assigns points exactly, and {type(index).__name__} does not; pass an "
                "IndexFlatL2 or IndexFlatIP"
            )
        for what, d in (("x", np.shape(x)[-1] if np.ndim(x) else 0), ("the index", index.d)):
            if d != self.d:
                raise _core.DimensionError(
                    f"{what} has {d} dimensions but this clustering has d = {self.d}"
                )
        given = np.asarray(self.centroids, np.float32)
        if given.size % self.d:
            raise _core.DimensionError(
                f"centroids has {given.size} values; expected a multiple of d = {self.d}"
            )
        options = {n: v for n, v in _parameters(self).items() if n not in _IGNORED}
        centroids, stats = kmeans(
            x,
            self.k,
            weights=None if weights is None else np.asarray(weights, np.float32),
            initial=given.reshape(-1, self.d) if given.size else None,
            metric=index.metric_type,
            progress=progress,
            report=_print if self.verbose else None,
            **options,
        )
        self.centroids = centroids.ravel()
        self.iteration_stats = _IterationStats(ClusteringIterationStats(*s) for s in stats)
        index.reset()
        index.add(centroids)


class Kmeans:
    """k-means on points in memory: `Kmeans(d, k).train(x)`, then `.centroids` and `.assign(x)`.

    d: dimensions. k: clusters. gpu: train and assign on a GPU: True or 1; more are not used, and
    rows need not fit its memory. precision: of products there while training: "tfloat32", or
    "bfloat16", which is faster and coarser, or "float32", without tensor cores; those that balance
    clusters are compared again. The rest are fields of ClusteringParameters, such as niter=25,
    nredo, seed, spherical or verbose.

    centroids: (k, d) float32, None before train. obj: the objective before each iteration's
    update: summed squared distances, or inner products where spherical. iteration_stats: of each
    iteration a dict of obj, time, time_search, imbalance_factor and nsplit. index: a flat index
    of the centroids.

    Raises UnsupportedError for gpu without a GPU or the CUDA plugin, and for several GPUs.
    """

    def __init__(
        self,
        d: int,
        k: int,
        *,
        gpu: bool | int = False,
        precision: str = "tfloat32",
        **parameters: Any,
    ) -> None:
        if gpu:
            _engine(gpu)
        known = {field.name for field in fields(ClusteringParameters)}
        for name in parameters:
            if name not in known:
                raise AttributeError(
                    f"k-means has no parameter {name!r}; choose from {', '.join(sorted(known))}"
                )
        self.d, self.gpu, self.precision = int(d), gpu, precision
        self.cp = ClusteringParameters(**parameters)
        self.reset(k)
        self.set_index()

    def set_index(self) -> None:
        """An empty flat index of the metric."""
        self.index: _core.IndexFlat = (
            _core.IndexFlatIP(self.d) if self.cp.spherical else _core.IndexFlatL2(self.d)
        )

    def reset(self, k: int | None = None) -> None:
        """Forget what was trained, and take another k if there is one."""
        if k is not None:
            self.k = int(k)
        self.centroids: Floats | None = None
        self.obj: npt.NDArray[np.float64] | None = None
        self.iteration_stats: list[dict[str, Any]] | None = None

    def train(
        self,
        x: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        init_centroids: npt.ArrayLike | None = None,
        *,
        progress: Progress | None = None,
    ) -> float:
        """Cluster the rows of x (n, d), n >= k; returns the last objective.

        init_centroids: (m, d), m <= k, where the first m centroids begin.
        The other arguments and the errors are those of Clustering.train.
        """
        clustering = Clustering(self.d, self.k, self.cp)
        if init_centroids is not None:
            first = np.asarray(init_centroids, np.float32)
            if first.ndim != 2 or first.shape[1] != self.d:
                raise _core.DimensionError(
                    f"init_centroids has shape {first.shape}; expected (up to {self.k}, {self.d})"
                )
            clustering.centroids = first.ravel()
        if self.gpu:
            on_device = partial(on_gpu.kmeans, _engine(self.gpu), precision=self.precision)
            clustering._train(x, self.index, weights, progress, on_device)
        else:
            clustering.train(x, self.index, weights, progress=progress)
        self.centroids = clustering.centroids.reshape(self.k, self.d)
        self.obj = np.array([s.obj for s in clustering.iteration_stats])
        self.iteration_stats = [asdict(s) for s in clustering.iteration_stats]
        return float(self.obj[-1]) if self.obj.size else 0.0

    def assign(self, x: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
        """(D, I) of each row of x (n, d): the distance to the nearest centroid, and its number.

        D is (n,) float32, squared L2 distances, or inner products where spherical; I is (n,)
        int64. Raises NotTrainedError before train.
        """
        if self.centroids is None:
            raise _core.NotTrainedError("there are no centroids yet; call train(x) first")
        if self.gpu:
            return on_gpu.assign(_engine(self.gpu), x, self.centroids, self.index.metric_type)
        return _cluster.assign(x, self.centroids, self.index.metric_type)


def kmeans_clustering(d: int, n: int, k: int, x: npt.ArrayLike, centroids: Floats) -> float:
    """k-means with faiss's defaults: fills centroids (k, d), float32, from x (n, d).

    Returns the objective. Raises DimensionError for arrays of other shapes, and what
    Clustering.train raises.
    """
    if np.shape(x) != (n, d):
        raise _core.DimensionError(f"x has shape {np.shape(x)}; expected (n, d) = {(n, d)}")
    if np.shape(centroids) != (k, d):
        raise _core.DimensionError(
            f"centroids has shape {np.shape(centroids)}; expected (k, d) = {(k, d)}"
        )
    kmeans = Kmeans(d, k)
    objective = kmeans.train(x)
    centroids[:] = kmeans.centroids
    return objective


def hierarchical_kmeans(
    x: npt.ArrayLike,
    max_size: int,
    *,
    branching: int = 32,
    niter: int = 10,
    spherical: bool = False,
    seed: int = 1234,
    gpu: bool | int = False,
    progress: Progress | None = None,
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Cut the rows of x into clusters of at most max_size: split them, and split again.

    A part with more rows goes to the centroids of a balanced k-means of its own, as an optimal
    transport plan says; clusters end about 85 % full. Rows that k-means cannot tell apart
    are cut in their order.

    x: (n, d); float32, float16, uint8 and int8 are read as they are, other types as float32.
    max_size: rows of a cluster, at most. branching: parts of a split, at most. niter: iterations
    of k-means in a split. spherical: centroids of length 1, and nearness by inner product.
    seed: the same seed and rows give the same clusters, whatever the number of threads.
    gpu: parts of more than 16,384 rows are split on a GPU, as Kmeans(gpu=True) trains.
    progress: called as progress(rows in their last clusters, n); what it raises ends it.

    Returns (centroids, labels): the means of the clusters, (k, d) float32, and of each row the
    number of its cluster, (n,) int64, which need not be that of the nearest centroid. Clusters
    that were split late have neighbouring numbers. The memory besides x is that of the largest
    part, not of all rows.

    Raises ArgumentError (a ValueError) for max_size < 1, branching < 2, a negative seed, no rows,
    NaN or Inf; UnsupportedError for gpu as Kmeans.

    Source: Chen et al. 2021, SPANN (arXiv 2111.08566), section 3.2, with the balance of RepCONC
    (arXiv 2110.05789) in place of a penalty.
    """
    if seed < 0:
        raise _core.ArgumentError(f"seed = {seed}; it cannot be negative")
    metric = _core.METRIC_INNER_PRODUCT if spherical else _core.METRIC_L2
    cut = None
    if gpu:
        cut = partial(on_gpu.cut, _engine(gpu), metric=metric, niter=niter, spherical=spherical)
    return _cluster.hierarchical(
        x, max_size, metric, branching, niter, spherical, seed, cut=cut, progress=progress
    )


def _engine(gpus: bool | int) -> Any:
    """Of the first GPU. Raises UnsupportedError."""
    if gpus not in (1, -1):  # -1: all, in faiss
        raise _core.UnsupportedError(
            f"gpu = {gpus}: k-means uses one GPU; pass gpu=True, or leave it out for the CPU"
        )
    return _gpu.engine()


def _parameters(cp: ClusteringParameters) -> dict[str, Any]:
    return {field.name: getattr(cp, field.name) for field in fields(ClusteringParameters)}


def _print(stats: Iterable[Any]) -> None:
    s = ClusteringIterationStats(*stats)
    print(
        f"  {s.time:.2f} s, search {s.time_search:.2f} s: objective={s.obj:g} "
        f"imbalance={s.imbalance_factor:.3f} nsplit={s.nsplit}",
        flush=True,
    )
