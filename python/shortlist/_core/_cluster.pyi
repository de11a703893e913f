"""
What Kmeans and Clustering are made of.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

class Balance:
    """
    Clusters of like sizes, where candidates are found elsewhere.
    """

    candidates: typing.ClassVar[int] = 16
    @staticmethod
    def batch_rows(k: typing.SupportsIndex) -> int:
        """
        How many rows are shared out together.
        """
    def __init__(self, k: typing.SupportsIndex, strength: float) -> None: ...
    def share_out(
        self,
        near: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        distances: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]:
        """
        Of each row the centroid among the near ones, (n, candidates) int64, nearest first, that it goes to, and its distance.
        """

def assign(
    x: numpy.typing.ArrayLike, centroids: numpy.typing.ArrayLike, metric: typing.SupportsIndex
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
    """
    Of each row of x (n, d) the distance to its nearest centroid, (n,) float32, and that centroid's number, (n,) int64.
    """

def balance(
    x: numpy.typing.ArrayLike,
    centroids: numpy.typing.ArrayLike,
    metric: typing.SupportsIndex,
    strength: float = 1.0,
    weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
) -> tuple[
    numpy.typing.NDArray[numpy.float32],
    numpy.typing.NDArray[numpy.int64],
    numpy.typing.NDArray[numpy.float32],
]:
    """
    As assign, to clusters of like sizes; also the centroids' prices, (k,) float32.
    """

def hierarchical(
    x: numpy.typing.ArrayLike,
    max_size: typing.SupportsIndex,
    metric: typing.SupportsIndex,
    branching: typing.SupportsIndex,
    niter: typing.SupportsIndex,
    spherical: bool,
    seed: typing.SupportsIndex,
    cut: collections.abc.Callable[
        [numpy.typing.NDArray[typing.Any], int, int],
        typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    ]
    | None = None,
    progress: collections.abc.Callable[[int, int], object] | None = None,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
    """
    Centroids (k, d) float32, and of each row of x its cluster, (n,) int64.
    """

def kmeans(
    x: numpy.typing.ArrayLike,
    k: typing.SupportsIndex,
    *,
    weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    initial: numpy.typing.ArrayLike | None = None,
    metric: typing.SupportsIndex,
    niter: typing.SupportsIndex,
    nredo: typing.SupportsIndex,
    spherical: bool,
    int_centroids: bool,
    frozen_centroids: bool,
    min_points_per_centroid: typing.SupportsIndex,
    max_points_per_centroid: typing.SupportsIndex,
    seed: typing.SupportsIndex,
    init_method: typing.SupportsIndex,
    early_stop_threshold: float,
    balanced: float,
    batch_size: typing.SupportsIndex,
    progress: collections.abc.Callable[[int, int], object] | None = None,
    report: collections.abc.Callable[[tuple[float, float, float, float, int]], None] | None = None,
) -> tuple[numpy.typing.NDArray[numpy.float32], list[tuple[float, float, float, float, int]]]:
    """
    Centroids (k, d) float32 and (obj, time, time_search, imbalance_factor, nsplit) of each iteration.
    """

def sample(
    n: typing.SupportsIndex, count: typing.SupportsIndex, seed: typing.SupportsIndex
) -> numpy.typing.NDArray[numpy.int64]:
    """
    Which of n rows a sample is of, in their order: (count,) int64.
    """

def split(
    centroids: numpy.typing.NDArray[numpy.float32],
    points: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    squares: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    first: typing.SupportsIndex,
    seed: typing.SupportsIndex,
) -> int:
    """
    Makes centroids without weight, from `first` on, halves of those with the greatest summed squared distances; how many.
    """
