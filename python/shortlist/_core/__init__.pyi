"""
The C++ core of shortlist. Import its names from `shortlist`.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing
import shortlist

class BusyError(RuntimeError): ...
class NotTrainedError(RuntimeError): ...
class CorruptIndexError(OSError, RuntimeError): ...
class FactoryError(ValueError, RuntimeError): ...
class UnsupportedError(NotImplementedError): ...
class ArgumentError(ValueError, RuntimeError, AssertionError): ...
class DimensionError(ArgumentError): ...
class IdError(ArgumentError, IndexError): ...

class IDSelector:
    """
    A set of ids: which vectors a search may return or remove_ids takes.

    A search turns it into a bitmap and the selector keeps that, so searches with the same selector pay for it once, until the index's ids change.
    """
    def is_member(self, id: typing.SupportsIndex) -> bool:
        """
        Whether `id` (int) is in the set.
        """

class IDSelectorAll(IDSelector):
    """
    Every id.
    """
    def __init__(self) -> None: ...

class IDSelectorRange(IDSelector):
    """
    The ids imin <= id < imax.
    """
    def __init__(
        self, imin: typing.SupportsIndex, imax: typing.SupportsIndex, assume_sorted: bool = False
    ) -> None: ...
    @property
    def assume_sorted(self) -> bool: ...
    @property
    def imax(self) -> int: ...
    @property
    def imin(self) -> int: ...

class IDSelectorArray(IDSelector):
    """
    The ids of an integer array; a membership test scans it.
    """
    @typing.overload
    def __init__(self, ids: numpy.typing.ArrayLike) -> None: ...
    @typing.overload
    def __init__(self, n: typing.SupportsIndex, ids: numpy.typing.ArrayLike) -> None: ...

class IDSelectorBatch(IDSelector):
    """
    The ids of an integer array, as a hash set behind a Bloom filter.
    """
    @typing.overload
    def __init__(self, ids: numpy.typing.ArrayLike) -> None: ...
    @typing.overload
    def __init__(self, n: typing.SupportsIndex, ids: numpy.typing.ArrayLike) -> None: ...

class IDSelectorBitmap(IDSelector):
    """
    The ids whose bit is set in a uint8 array: bit i % 8 (least significant first) of byte i // 8.
    """
    @typing.overload
    def __init__(self, bitmap: numpy.typing.ArrayLike) -> None: ...
    @typing.overload
    def __init__(self, n: typing.SupportsIndex, bitmap: numpy.typing.ArrayLike) -> None: ...

class IDSelectorNot(IDSelector):
    """
    The ids that are not in `sel`.
    """
    def __init__(self, sel: IDSelector) -> None: ...

class IDSelectorAnd(IDSelector):
    """
    The ids in both sets.
    """
    def __init__(self, lhs: IDSelector, rhs: IDSelector) -> None: ...

class IDSelectorOr(IDSelector):
    """
    The ids in either set.
    """
    def __init__(self, lhs: IDSelector, rhs: IDSelector) -> None: ...

class IDSelectorXOr(IDSelector):
    """
    The ids in exactly one of the sets.
    """
    def __init__(self, lhs: IDSelector, rhs: IDSelector) -> None: ...

class PyCallbackIDSelector(IDSelector):
    """
    The ids for which callback(id) is true. It is asked once per vector of the index at each search: slow, so prefer IDSelectorBatch or IDSelectorBitmap for a set that stays the same.
    """
    def __init__(self, callback: collections.abc.Callable[[int], object]) -> None: ...

class SearchParameters:
    """
    What one search does differently from the index's own settings.
    """
    def __init__(self, *, sel: IDSelector | None = None) -> None: ...
    @property
    def sel(self) -> IDSelector | None:
        """
        IDSelector of the ids that may be returned, or None for all.
        """
    @sel.setter
    def sel(self, arg1: IDSelector | None) -> None: ...

class SearchParametersHNSW(SearchParameters):
    """
    SearchParameters of the HNSW indexes; efSearch replaces index.hnsw.efSearch for one call.

    With sel, a search goes over the selected vectors only, past the others' links (ACORN, arXiv 2403.04871), or ignores the filter on the way where most vectors around the query are selected, or scores all that are selected where they are few: recall is about that of a search without sel at the same efSearch.
    """
    def __init__(
        self,
        *,
        sel: IDSelector | None = None,
        efSearch: typing.SupportsIndex = 16,
        check_relative_distance: bool = True,
        bounded_queue: bool = True,
    ) -> None: ...
    @property
    def bounded_queue(self) -> bool:
        """
        Kept for faiss programs; the queue is always bounded.
        """
    @bounded_queue.setter
    def bounded_queue(self, arg0: bool) -> None: ...
    @property
    def check_relative_distance(self) -> bool:
        """
        Kept for faiss programs; the search always stops on distance.
        """
    @check_relative_distance.setter
    def check_relative_distance(self, arg0: bool) -> None: ...
    @property
    def efSearch(self) -> int:
        """
        Candidates kept while searching: more is slower and finds more.
        """
    @efSearch.setter
    def efSearch(self, arg0: typing.SupportsIndex) -> None: ...

class IndexRefineSearchParameters(SearchParameters):
    """
    SearchParameters of the refining indexes.
    """
    def __init__(
        self,
        *,
        sel: IDSelector | None = None,
        k_factor: float = 1.0,
        base_index_params: SearchParameters | None = None,
    ) -> None: ...
    @property
    def base_index_params(self) -> SearchParameters | None:
        """
        SearchParameters handed to the base index, or None.
        """
    @base_index_params.setter
    def base_index_params(self, arg1: SearchParameters | None) -> None: ...
    @property
    def k_factor(self) -> float:
        """
        Candidates per result asked of the base index, 1 to 1000.
        """
    @k_factor.setter
    def k_factor(self, arg0: float) -> None: ...

class SearchParametersPreTransform(SearchParameters):
    """
    SearchParameters of IndexPreTransform, which takes its inner index's own as well.
    """
    def __init__(
        self, *, sel: IDSelector | None = None, index_params: SearchParameters | None = None
    ) -> None: ...
    @property
    def index_params(self) -> SearchParameters | None:
        """
        SearchParameters handed to the index behind the transforms, or None.
        """
    @index_params.setter
    def index_params(self, arg1: SearchParameters | None) -> None: ...

class Index:
    """
    A collection of vectors that finds the nearest ones to a query.

    The base of all index classes; ids are 64-bit integers, vectors are rows of d values.
    """
    def tune(
        self,
        queries: typing.Any,
        k: int = 10,
        recall: float = 0.95,
        *,
        truth: typing.Any = None,
        base: typing.Any = None,
        confidence: float = 0.99,
        sample: int = 4000,
        seed: int = 0,
        progress: collections.abc.Callable[[shortlist.Point], None] | None = None,
    ) -> shortlist.Tuning:
        """
        Set the index to the fastest setting whose recall@k is at least `recall`, and say so.

            The promise holds for searches of this k whose queries are like these. The setting is kept in
            the index, and in the files it is saved to. Of the queries a random half chooses: the fastest
            setting whose recall, less the error of so few queries, is still enough. The other half judges.

            queries: (n, d), n at least 20, better thousands; `sample` of them are used.
            truth: (n, at least k) true ids; by default every stored vector is compared with each query, so
            for quantised vectors give the originals, base, row i having id i: then base is searched.
            confidence: that the recall of all such queries is within the bounds told.
            progress: called with each point that was measured.

            Warns (RuntimeWarning) when no setting reaches the target; then the best found is set.
            Raises ValueError for numbers out of range, NaN or Inf in the queries, or shapes that do not
            fit together; the knobs are then as before.

        """
    def __len__(self) -> int: ...
    def __reduce__(self) -> tuple[typing.Any, tuple[bytes]]: ...
    def __repr__(self) -> str: ...
    def add(
        self,
        x: numpy.typing.ArrayLike,
        *,
        allow_nan: bool = False,
        progress: collections.abc.Callable[[int, int], object] | None = None,
    ) -> None:
        """
        Stores the rows of x (n, d) under the next ids.

        Rows are stored in parts of a few milliseconds. Searches in other threads get in between two parts and see the rows before; other changes wait for the end. float32, float16, uint8 and int8 arrays are read without conversion. progress(done, total) is called every now and then; Ctrl-C or an exception in it stops after the vectors stored so far.

        Raises DimensionError for another d, ArgumentError for NaN or Inf (unless allow_nan), NotTrainedError before train.
        """
    def add_with_ids(
        self,
        x: numpy.typing.ArrayLike,
        ids: numpy.typing.ArrayLike,
        *,
        allow_nan: bool = False,
        progress: collections.abc.Callable[[int, int], object] | None = None,
    ) -> None:
        """
        Stores the rows of x (n, d) under ids (n,), any integers.

        IndexIDMap, IndexIDMap2 and the HNSW indexes offer it; others raise UnsupportedError. Otherwise as add.
        """
    def assign(
        self,
        x: numpy.typing.ArrayLike,
        k: typing.SupportsIndex,
        labels: numpy.typing.NDArray[numpy.int64] | None = None,
    ) -> numpy.typing.NDArray[numpy.int64]:
        """
        The ids of search, without the distances.
        """
    def check_compatible_for_merge(self, otherIndex: Index) -> None:
        """
        Raises ArgumentError unless merge_from could take the other index.
        """
    def merge_from(self, otherIndex: Index, add_id: typing.SupportsIndex = 0) -> None:
        """
        Moves the vectors of another index of the same class behind ours and leaves it empty. Where ids are kept they grow by add_id.
        """
    def range_search(
        self, x: numpy.typing.ArrayLike, thresh: float, *, params: SearchParameters | None = None
    ) -> tuple[
        numpy.typing.NDArray[numpy.uint64],
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.int64],
    ]:
        """
        All vectors nearer than thresh: squared L2 below it, or inner product above it.

        Returns lims (n + 1,) uint64, D and I: the results of query i are D[lims[i]:lims[i + 1]]. HNSW indexes find most of them, not surely all.
        """
    def reconstruct(
        self, key: typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float32] | None = None
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        The stored vector (d,) float32 of id `key`, as the codec decodes it. Raises IdError if it is not there.
        """
    def reconstruct_batch(
        self, key: numpy.typing.ArrayLike, x: numpy.typing.NDArray[numpy.float32] | None = None
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        The vectors (n, d) of an array of n ids.
        """
    def reconstruct_n(
        self,
        n0: typing.SupportsIndex = 0,
        ni: typing.SupportsIndex = -1,
        x: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        The vectors (ni, d) of ids n0 to n0 + ni - 1; ni = -1 means up to ntotal.
        """
    def remove_ids(self, x: typing.Any) -> int:
        """
        Removes the ids in x, an IDSelector or an integer array; returns how many were there.

        In IndexFlat and IndexScalarQuantizer the rows behind move up and take smaller ids, as in faiss; IDMaps and HNSW indexes keep all other ids.
        """
    def reset(self) -> None:
        """
        Removes every vector; what was trained stays.
        """
    def sa_code_size(self) -> int:
        """
        Bytes of one code.
        """
    def sa_decode(self, codes: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        The vectors (n, d) float32 that codes (n, sa_code_size()) stand for.
        """
    def sa_encode(self, x: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.uint8]:
        """
        The codes (n, sa_code_size()) uint8 that add would store for x (n, d), in faiss's bytes.
        """
    def save(
        self, path: typing.Any, metadata: collections.abc.Mapping[str, str] | None = None
    ) -> None:
        """
        Saves the index with checksums, for shortlist.open; write_index makes files for faiss.

        path is a path (the file is replaced whole or not at all) or an object with write; metadata {str: str}
        is kept beside the index. Raises OSError for file trouble.
        """
    def search(
        self,
        x: numpy.typing.ArrayLike,
        k: typing.SupportsIndex,
        *,
        params: SearchParameters | None = None,
        D: numpy.typing.NDArray[numpy.float32] | None = None,
        I: numpy.typing.NDArray[numpy.int64] | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
        """
        The k nearest vectors of each row of x (n, d): distances (n, k) float32 and ids (n, k) int64, nearest first.

        Distances are squared L2, or inner products (largest first). Missing results are id -1 with distance +-3.4e38, which is also what a query with NaN gets. D and I may be given to be filled. params may name the ids to search among (sel). Other threads may search at the same time; a call that changes the index waits for them, and add lets them in every few milliseconds.

        Raises DimensionError for another d, ArgumentError for k < 1.
        """
    def search_and_reconstruct(
        self,
        x: numpy.typing.ArrayLike,
        k: typing.SupportsIndex,
        *,
        params: SearchParameters | None = None,
        D: numpy.typing.NDArray[numpy.float32] | None = None,
        I: numpy.typing.NDArray[numpy.int64] | None = None,
        R: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> tuple[
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.int64],
        numpy.typing.NDArray[numpy.float32],
    ]:
        """
        search, and the found vectors as R (n, k, d); rows of missing results are NaN.
        """
    def search_exact(
        self, x: numpy.typing.ArrayLike, k: typing.SupportsIndex
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
        """
        As search, but over every vector whatever the structure: the truth that an approximate search is measured by.

        Distances are those of the stored codes; an IndexRefine's are its refining index's. Raises as search does.
        """
    def train(
        self,
        x: numpy.typing.ArrayLike,
        *,
        queries: numpy.typing.ArrayLike | None = None,
        objective: str | None = None,
    ) -> None:
        """
        Learns what the codec needs (value ranges, for scalar quantizers) from x (n, d).

        queries: a sample (m, d) of what will be searched for, where a QueryAwareTransform stands before the index (index_factory: "QA,..."); it says what comes of them, and its objective "recall" or "score" may be overruled here. Raises DimensionError for another d, ArgumentError for NaN or Inf, for queries that are too few, and for a QueryAwareTransform without any, UnsupportedError for queries where there is none.
        """
    @property
    def d(self) -> int:
        """
        Dimension of the vectors.
        """
    @property
    def is_trained(self) -> bool:
        """
        Whether vectors can be added.
        """
    @property
    def metric_type(self) -> int:
        """
        METRIC_L2 (squared L2, smaller is nearer) or METRIC_INNER_PRODUCT (larger is nearer).
        """
    @property
    def ntotal(self) -> int:
        """
        How many vectors a search can return.
        """
    @property
    def verbose(self) -> bool:
        """
        Kept for faiss programs; nothing is printed.
        """
    @verbose.setter
    def verbose(self, arg0: bool) -> None: ...

class VectorTransform:
    """
    What happens to vectors before an index sees them: rows of d_in values become rows of d_out.

    Put one before an index with IndexPreTransform, or use it alone: train(x), then apply(x). float32 in and out; other dtypes are converted. Several threads may apply at once; training waits for them.
    """
    def __reduce__(self) -> tuple[typing.Any, tuple[bytes]]: ...
    def __repr__(self) -> str: ...
    def apply(self, x: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        The transformed vectors (n, d_out) float32 of x (n, d_in). Raises DimensionError for another d, NotTrainedError before train.
        """
    def apply_py(self, x: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        apply, under a name that faiss had for it.
        """
    def reverse_transform(self, x: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        Vectors (n, d_in) float32 that become x (n, d_out); what the transform leaves out comes back as zero. Raises UnsupportedError for matrices that are not orthonormal.
        """
    def train(self, x: numpy.typing.ArrayLike) -> None:
        """
        Learns from vectors x (n, d_in). Raises DimensionError for another d, ArgumentError for NaN, Inf or too few vectors.
        """
    @property
    def d_in(self) -> int:
        """
        Values of a vector.
        """
    @property
    def d_out(self) -> int:
        """
        Values it becomes.
        """
    @property
    def is_trained(self) -> bool:
        """
        Whether vectors can be transformed. Set it to True after setting the fields by hand; ArgumentError tells which is missing.
        """
    @is_trained.setter
    def is_trained(self, arg1: bool) -> None: ...

class LinearTransform(VectorTransform):
    """
    y = A x + b.

    have_bias: whether b is added. Set A, b and then is_trained = True; the classes derived from it find them in train. Raises ArgumentError for a matrix of more than a GiB.
    """
    def __init__(
        self, d_in: typing.SupportsIndex, d_out: typing.SupportsIndex, have_bias: bool = False
    ) -> None: ...
    def set_is_orthonormal(self) -> None:
        """
        Kept for faiss programs: is_orthonormal follows A by itself.
        """
    @property
    def A(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the matrix, float32 (d_out, d_in), without rows before training. Assign a whole one to change it.
        """
    @A.setter
    def A(self, arg1: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> None: ...
    @property
    def b(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of what is added, float32 (d_out,), or empty. Assign to change it.
        """
    @b.setter
    def b(self, arg1: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> None: ...
    @property
    def have_bias(self) -> bool:
        """
        Whether b is added.
        """
    @have_bias.setter
    def have_bias(self, arg1: bool) -> None: ...
    @property
    def is_orthonormal(self) -> bool:
        """
        Whether A's rows (its columns where d_out is larger) are orthonormal, so that reverse_transform is possible.
        """

class RandomRotationMatrix(LinearTransform):
    """
    A random rotation from d_in to d_out values; a projection where d_out is smaller.

    Distances stay as they are (for a projection, shrink by about d_out / d_in on average). train(x) or init(seed) draws it: the same for the same seed, but another one than faiss draws. Of A's rows and columns the fewer ones are orthonormal.
    """
    def __init__(self, d_in: typing.SupportsIndex, d_out: typing.SupportsIndex) -> None: ...
    def init(self, seed: typing.SupportsIndex) -> None:
        """
        Draws the rotation of a seed (an integer from 0).
        """

class PCAMatrix(LinearTransform):
    """
    Principal components: the d_out directions along which the training vectors vary most.

    eigen_power: components are multiplied by eigenvalue ** eigen_power, so that -0.5 gives all of them one variance (whitening). random_rotation: rotates them afterwards, which spreads the variance evenly for codes that treat dimensions alike. Training takes at most max_points_per_d * d_in vectors, at least d_out, and time in d_in ** 3. Directions are faiss's up to their sign.

    Raises ArgumentError for d_out above d_in, and in train for whitening along directions in which the vectors do not vary. Source: Pearson 1901; Jegou and Chum 2012 for whitening.
    """
    def __init__(
        self,
        d_in: typing.SupportsIndex,
        d_out: typing.SupportsIndex,
        eigen_power: float = 0.0,
        random_rotation: bool = False,
    ) -> None: ...
    def copy_from(self, other: PCAMatrix) -> None:
        """
        Takes what another PCAMatrix of the same d_in has learnt. Raises NotTrainedError where that is less than d_out directions.
        """
    def prepare_Ab(self) -> None:
        """
        Makes A and b anew from mean, eigenvalues and PCAMat, after eigen_power, epsilon, random_rotation or balanced_bins changed.
        """
    @property
    def PCAMat(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the directions by rows, float32 (d_in, d_in), or (n, d_in) after training on n < d_in vectors.
        """
    @property
    def balanced_bins(self) -> int:
        """
        0, or into how many parts of equal size and like variance the components are ordered (for product quantisers).
        """
    @balanced_bins.setter
    def balanced_bins(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def eigen_power(self) -> float:
        """
        Power of the eigenvalue that scales a component; see prepare_Ab.
        """
    @eigen_power.setter
    def eigen_power(self, arg0: float) -> None: ...
    @property
    def eigenvalues(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the squared singular values of the training vectors without their mean, float32 (d_in,), largest first; empty before training.
        """
    @property
    def epsilon(self) -> float:
        """
        Added to eigenvalues before the power is taken.
        """
    @epsilon.setter
    def epsilon(self, arg0: float) -> None: ...
    @property
    def max_points_per_d(self) -> int:
        """
        Training takes at most so many vectors for each dimension.
        """
    @max_points_per_d.setter
    def max_points_per_d(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def mean(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the training vectors' mean, float32 (d_in,); empty before training.
        """
    @property
    def random_rotation(self) -> bool:
        """
        Whether components are rotated.
        """
    @random_rotation.setter
    def random_rotation(self, arg0: bool) -> None: ...

class QueryAwareTransform(VectorTransform):
    """
    Makes the codec behind it err where queries do not look: vectors become A x, queries B q.

    With H = E[q q^T] of training queries, A = H^(a / 2) and B = A^-1, so that the products of A x and B q are those of x and q, and the squared error of the code of A x is, for a = 1, the expected squared error of the product. B is then fitted to what the codes have become, by least squares over the queries and their 100 nearest vectors. It stands first in an IndexPreTransform, with a learnt rotation behind it for product quantisers ("QA,OPQ48,PQ48"), and is trained by train(x, queries=...) of that index, which tries a of 0, 0.25, 0.5, 0.75 and 1, each with and without the fit, on queries held out. objective: "recall" of the 10 nearest, or "score", the squared error of the products with the 100 nearest. The codec alone is among what is tried, and is kept unless something is better by two standard errors; report tells the figures. The fit, at last over up to 100,000 vectors of x, serves those best: let x be what will be added, or much of it.

    For L2, before an IndexPQ with offset=True, H is of the differences of queries and their nearest vectors. Each code has 4 bytes more, what distances are besides |q|^2 and a product: |x'|^2 of the code's vector x', or, tried beside it as residual, |x'|^2 + |x - x'|^2. Distances told so can be below 0.

    Raises ArgumentError for an unknown objective and in train for fewer than 32 queries, UnsupportedError in train before other indexes of L2. faiss's files have no form for it. Source: A2ATS (arXiv 2502.12665), equations 13 to 18; the exponent and the fit are ours.
    """
    def __init__(self, d: typing.SupportsIndex, objective: str = "recall") -> None: ...
    def apply_queries(self, q: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        The transformed queries (n, d) float32 of q (n, d); apply is for vectors. Raises DimensionError for another d, NotTrainedError before training.
        """
    @property
    def A(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the vectors' matrix, float32 (d, d); without rows before training.
        """
    @property
    def B(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the queries' matrix, float32 (d, d); without rows before training.
        """
    @property
    def objective(self) -> str:
        """
        "recall" or "score".
        """
    @property
    def report(self) -> dict[str, typing.Any]:
        """
        What training found, or {}: objective; vectors, queries and held_out, the sizes of the trial; candidates, a list of {exponent, fitted, residual, recall, score_error} over the held-out queries; and of those chosen, and plain, the codec without a transform.
        """

class NormalizationTransform(VectorTransform):
    """
    Each vector divided by its L2 norm; zeros stay. reverse_transform leaves vectors as they are.

    norm: 2; UnsupportedError for others.
    """
    def __init__(self, d: typing.SupportsIndex, norm: float = 2.0) -> None: ...
    @property
    def norm(self) -> float:
        """
        2.0.
        """

class RemapDimensionsTransform(VectorTransform):
    """
    Dimensions chosen, or added as zeros: value i is value map[i] of the vector, or zero where that is -1.

    uniform: dimensions are dropped, or zeros put in, at even distances; else at the end. Or pass the map, d_out integers. Raises ArgumentError for a map that names no dimension.
    """
    @typing.overload
    def __init__(
        self, d_in: typing.SupportsIndex, d_out: typing.SupportsIndex, uniform: bool = True
    ) -> None: ...
    @typing.overload
    def __init__(
        self, d_in: typing.SupportsIndex, d_out: typing.SupportsIndex, map: numpy.typing.ArrayLike
    ) -> None: ...
    @property
    def map(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        A copy of the map, int32 (d_out,).
        """

class CenteringTransform(VectorTransform):
    """
    Vectors of d values without the mean of the training vectors.
    """
    def __init__(self, d: typing.SupportsIndex) -> None: ...
    @property
    def mean(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the mean, float32 (d_in,); empty before training. Assign to change it.
        """
    @mean.setter
    def mean(self, arg1: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> None: ...

class ScalarQuantizer:
    """
    One small number per dimension. QT_8bit keeps a value range per dimension, QT_8bit_uniform one for all (both learn it in train); QT_6bit, QT_4bit and QT_4bit_uniform are the same in fewer bits, and slower to compare; QT_fp16 and QT_bf16 are half precision; QT_8bit_direct and QT_8bit_direct_signed store integers as they are.
    """

    QT_4bit: typing.ClassVar[int] = 1
    QT_4bit_uniform: typing.ClassVar[int] = 3
    QT_6bit: typing.ClassVar[int] = 6
    QT_8bit: typing.ClassVar[int] = 0
    QT_8bit_direct: typing.ClassVar[int] = 5
    QT_8bit_direct_signed: typing.ClassVar[int] = 8
    QT_8bit_uniform: typing.ClassVar[int] = 2
    QT_bf16: typing.ClassVar[int] = 7
    QT_fp16: typing.ClassVar[int] = 4
    RS_meanstd: typing.ClassVar[int] = 1
    RS_minmax: typing.ClassVar[int] = 0
    RS_optim: typing.ClassVar[int] = 3
    RS_quantiles: typing.ClassVar[int] = 2
    def __init__(self, d: typing.SupportsIndex, qtype: typing.SupportsIndex) -> None: ...
    @property
    def code_size(self) -> int:
        """
        Bytes of one code.
        """
    @property
    def d(self) -> int: ...
    @property
    def qtype(self) -> int: ...
    @property
    def rangestat(self) -> int:
        """
        How train finds the range: RS_minmax, RS_meanstd or RS_quantiles.
        """
    @rangestat.setter
    def rangestat(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def rangestat_arg(self) -> float: ...
    @rangestat_arg.setter
    def rangestat_arg(self, arg0: float) -> None: ...
    @property
    def trained(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        What train learnt: vmin, then vdiff; one of each (uniform) or d of each.
        """

class IndexFlatCodes(Index):
    """
    Codes in a row, all compared at each search.
    """
    @property
    def code_size(self) -> int:
        """
        Bytes of one stored vector.
        """
    @property
    def codes(self) -> numpy.typing.NDArray[numpy.uint8]:
        """
        A copy of the codes, row after row, uint8 (ntotal * code_size,), in faiss's bytes.
        """

class IndexFlat(IndexFlatCodes):
    """
    Exact search: every vector is compared.

    dtype is how vectors are stored: float32, float16, uint8 or int8.
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        metric: typing.SupportsIndex = 1,
        *,
        dtype: numpy.typing.DTypeLike = "float32",
    ) -> None: ...
    def get_xb(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the vectors, row after row, float32 (ntotal * d,).
        """
    @property
    def dtype(self) -> str:
        """
        Storage dtype.
        """

class IndexFlatL2(IndexFlat):
    """
    Exact search by squared L2 distance.
    """
    def __init__(
        self, d: typing.SupportsIndex, *, dtype: numpy.typing.DTypeLike = "float32"
    ) -> None: ...

class IndexFlatIP(IndexFlat):
    """
    Exact search by inner product, largest first.
    """
    def __init__(
        self, d: typing.SupportsIndex, *, dtype: numpy.typing.DTypeLike = "float32"
    ) -> None: ...

class IndexScalarQuantizer(IndexFlatCodes):
    """
    Exhaustive search over scalar-quantised codes (qtype: ScalarQuantizer.QT_*).
    """
    def __init__(
        self, d: typing.SupportsIndex, qtype: typing.SupportsIndex, metric: typing.SupportsIndex = 1
    ) -> None: ...
    @property
    def sq(self) -> ScalarQuantizer:
        """
        The ScalarQuantizer; a live alias that may outlive the index.
        """

class IndexLSH(IndexFlatCodes):
    """
    Exhaustive search over signs: a vector is kept as nbits bits, and distances count the bits that differ (as float32).

    rotate_data: the signs are those of a random rotation of the vector; without it, of its first nbits values. train_thresholds: instead of zero, values are compared with their medians, which train(x) finds. Signs are taken as in faiss, and so are files; the rotation that is drawn is another one than faiss draws. Vectors reconstruct as plus or minus one from the thresholds, turned back.

    Raises ArgumentError for nbits above d without rotate_data and for rotations of more than a GiB. Source: Charikar 2002, Similarity estimation techniques from rounding algorithms.
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        nbits: typing.SupportsIndex,
        rotate_data: bool = True,
        train_thresholds: bool = False,
    ) -> None: ...
    @property
    def nbits(self) -> int:
        """
        Bits of a vector.
        """
    @property
    def rotate_data(self) -> bool:
        """
        Whether vectors are rotated first.
        """
    @property
    def rrot(self) -> RandomRotationMatrix:
        """
        A copy of the rotation, a RandomRotationMatrix, untrained where there is none.
        """
    @property
    def thresholds(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of what training found, float32 (nbits,); empty before it and without train_thresholds.
        """
    @property
    def train_thresholds(self) -> bool:
        """
        Whether train finds the values to compare with.
        """

class HNSW:
    """
    The graph of an HNSW index: M links per node and level, 2 M on the lowest (Malkov and Yashunin, arXiv 1603.09320).
    """
    def nb_neighbors(self, layer_no: typing.SupportsIndex) -> int:
        """
        How many links a node can have on a level.
        """
    @property
    def M(self) -> int:
        """
        Links per node and level.
        """
    @property
    def deterministic(self) -> bool:
        """
        Add in batches that threads share: the same additions give the same graph, however many threads there are. Set it before add. False at first; then the same graph comes of one thread only. Not saved.
        """
    @deterministic.setter
    def deterministic(self, arg1: bool) -> None: ...
    @property
    def efConstruction(self) -> int:
        """
        Candidates kept while adding: more is slower and links better. Set it before add.
        """
    @efConstruction.setter
    def efConstruction(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def efSearch(self) -> int:
        """
        Candidates kept while searching: more is slower and finds more. Raised to k where k is larger.
        """
    @efSearch.setter
    def efSearch(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def entry_point(self) -> int:
        """
        Where searches start: the row of a node on the highest level, -1 while empty.
        """
    @property
    def max_level(self) -> int:
        """
        Highest level, -1 while empty.
        """

class IndexHNSW(Index):
    """
    Approximate search by walking a graph of near neighbours: much faster than IndexFlat, at some recall.

    index.hnsw.efSearch trades speed for recall. Vectors can be removed, replaced and added at any time; ids of the others do not change and are never issued again.
    """
    def __init__(self, storage: IndexFlatCodes, M: typing.SupportsIndex = 32) -> None: ...
    def add_with_links(self, x: numpy.typing.ArrayLike, links: numpy.typing.ArrayLike) -> None:
        """
        Adds the rows of x (n, d) to an empty index, as a graph that was made elsewhere: links (n, 2 M) are those of the lowest level, numbers of other rows, -1 for none. The levels above, and links to rows that those lead to from nowhere, are made here; later changes are as ever.

        Raises ArgumentError for a number that is no row and where vectors are there already; interrupted or short of memory, the index is left empty.
        """
    def links(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        The links of the lowest level: (ntotal, 2 M) int32, -1 where there are fewer. Raises UnsupportedError where vectors were removed, replaced or added under ids of their own.
        """
    def release_building_vectors(self) -> None:
        """
        Gives back the float32 vectors that graphs over small codes keep for further small additions; the next addition decodes all codes once. Others keep none.
        """
    def update_vectors(self, keys: numpy.typing.ArrayLike, x: numpy.typing.ArrayLike) -> None:
        """
        Replaces the vectors of ids `keys` (n,) by x (n, d), in parts as add does: a search in another thread finds each id with its old vector or its new one. Raises IdError if one is not there or given twice.
        """
    @property
    def hnsw(self) -> HNSW:
        """
        The graph and its parameters; a live alias that may outlive the index.
        """
    @property
    def int8_traversal(self) -> bool:
        """
        Whether the graph may be built and walked by int8 codes kept beside the vectors (bool; True for float32 vectors): a quarter of the memory traffic, for d bytes more per vector. The distances returned, and which of the vectors found are the nearest, come from the vectors. Codes are used from 1,000 vectors on, all finite, where a sample shows that they tell neighbours apart, and that is looked at again when the index has doubled; repr says whether they are in use. Set it before add: setting it later keeps the links. Saved with the index; faiss's files have no place for it.

        Source: scalar quantisation with reordering, as in VSAG (arXiv 2503.17911) and glass.
        """
    @int8_traversal.setter
    def int8_traversal(self, arg1: bool) -> None: ...
    @property
    def neighbor_blocks(self) -> bool:
        """
        Whether searches go through neighbour blocks (bool): each node's links and one-bit codes of its neighbours in one row of memory, so that a step reads one vector instead of 32. More QPS at equal recall, for about 32 d / 8 + 256 bytes per 32 links of a vector. The same efSearch finds somewhat less than without, so tune again. Kept in step with add, remove_ids and update_vectors; save keeps the links, and opening makes the codes anew; faiss's files do not have it.

        Source: SymphonyQG (arXiv 2411.12229), with RaBitQ codes (arXiv 2405.12497). Making them may raise MemoryError or be interrupted; searches then do without, until the next change of the index or setting this again makes them.
        """
    @neighbor_blocks.setter
    def neighbor_blocks(self, arg1: bool) -> None: ...
    @property
    def storage(self) -> IndexFlatCodes:
        """
        The index that holds the vectors; a live alias that may outlive this one.
        """

class IndexHNSWFlat(IndexHNSW):
    """
    HNSW over vectors kept as they are: float32, float16, uint8 or int8 (dtype).

    M: links per node, 16 to 64 is usual; more costs memory and build time and finds more.
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        M: typing.SupportsIndex = 32,
        metric: typing.SupportsIndex = 1,
        *,
        dtype: numpy.typing.DTypeLike = "float32",
    ) -> None: ...

class IndexHNSWSQ(IndexHNSW):
    """
    HNSW over scalar-quantised vectors (qtype: ScalarQuantizer.QT_*).
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        qtype: typing.SupportsIndex,
        M: typing.SupportsIndex = 32,
        metric: typing.SupportsIndex = 1,
    ) -> None: ...

class IndexIDMap(Index):
    """
    Gives an index ids of your own: add_with_ids(x, ids). An id may name several vectors.

    id_map: ids (ntotal,) int64 of the vectors the index already holds; without, it must be empty.
    """
    def __init__(self, index: Index, id_map: numpy.typing.ArrayLike | None = None) -> None: ...
    @property
    def id_map(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        A copy of the ids by inner row; -1 where a wrapped graph dropped the row.
        """
    @property
    def index(self) -> Index:
        """
        The wrapped index.
        """

class IndexIDMap2(IndexIDMap):
    """
    IndexIDMap that can also reconstruct a vector from its id.
    """
    def __init__(self, index: Index, id_map: numpy.typing.ArrayLike | None = None) -> None: ...

class IndexRefine(Index):
    """
    Takes k * k_factor candidates from base_index and returns the k best by refine_index's distances. Over codes of RaBitQ, whose errors are known, it stops where the rest are too far to be among them, with a chance of one in a thousand for each to be wrong.
    """
    def __init__(self, base_index: Index, refine_index: IndexFlatCodes) -> None: ...
    @property
    def base_index(self) -> Index: ...
    @property
    def k_factor(self) -> float:
        """
        Candidates per result asked of the base index, 1 to 1000.
        """
    @k_factor.setter
    def k_factor(self, arg1: float) -> None: ...
    @property
    def refine_index(self) -> IndexFlatCodes: ...

class IndexRefineFlat(IndexRefine):
    """
    IndexRefine whose refining distances are exact (an IndexFlat).
    """
    def __init__(self, base_index: Index) -> None: ...

class TransformChain:
    """
    The transforms of an IndexPreTransform, first to last: live aliases in a sequence that cannot be changed.
    """
    def __getitem__(self, i: typing.SupportsIndex) -> VectorTransform: ...
    def __len__(self) -> int: ...
    def __repr__(self) -> str: ...
    def at(self, i: typing.SupportsIndex) -> VectorTransform:
        """
        The transform at i.
        """
    def size(self) -> int:
        """
        len.
        """

class IndexPreTransform(Index):
    """
    An index behind transforms of its vectors: PCA, rotations, normalisation.

    IndexPreTransform(index) or IndexPreTransform(transform, index). What is added and searched for goes through the transforms first to last and then to the index, whose distances are returned; what is reconstructed comes back through them as well as they can be reversed. train(x) trains the transforms that are not yet, each on what the one before makes of x, and then the index. Ids are the index's. A transform may be shared by several indexes; training one again changes what the vectors stored behind it mean.

    Raises DimensionError where the parts do not fit together, in reconstruct UnsupportedError behind a transform that cannot be reversed.
    """
    @typing.overload
    def __init__(self, index: Index) -> None: ...
    @typing.overload
    def __init__(self, ltrans: VectorTransform, index: Index) -> None: ...
    def apply_chain(self, x: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        Vectors (n, index.d) float32 as the index behind sees x (n, d).
        """
    def prepend_transform(self, ltrans: VectorTransform) -> None:
        """
        Puts a transform before the others; d becomes its d_in. Its d_out must be d. Vectors already stored stay. Wrap and search the index afterwards: what was made around it before expects the d it had, and raises DimensionError.
        """
    def reverse_chain(self, x: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        Vectors (n, d) float32 that become x (n, index.d).
        """
    @property
    def chain(self) -> TransformChain:
        """
        The transforms, first to last; live aliases.
        """
    @property
    def index(self) -> Index:
        """
        The index behind the transforms; a live alias.
        """

class ClusteringOptions:
    """
    How an index's train finds centroids: fields of ClusteringParameters.
    """
    @property
    def balanced(self) -> float:
        """
        0, plain k-means, to 1, centroids of clusters of like sizes. Vectors are then assigned to the nearest centroid as ever.
        """
    @balanced.setter
    def balanced(self, arg0: float) -> None: ...
    @property
    def batch_size(self) -> int:
        """
        Vectors of the first iterations, later ones have more; 0: all in each.
        """
    @batch_size.setter
    def batch_size(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def int_centroids(self) -> bool:
        """
        Centroids of whole numbers.
        """
    @int_centroids.setter
    def int_centroids(self, arg0: bool) -> None: ...
    @property
    def max_points_per_centroid(self) -> int:
        """
        Of more a sample is drawn.
        """
    @max_points_per_centroid.setter
    def max_points_per_centroid(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def min_points_per_centroid(self) -> int:
        """
        With fewer there is a warning.
        """
    @min_points_per_centroid.setter
    def min_points_per_centroid(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def niter(self) -> int:
        """
        Iterations of k-means.
        """
    @niter.setter
    def niter(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def nredo(self) -> int:
        """
        Runs from other beginnings; the best is kept.
        """
    @nredo.setter
    def nredo(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def seed(self) -> int:
        """
        The same seed gives the same centroids.
        """
    @seed.setter
    def seed(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def spherical(self) -> bool:
        """
        Centroids of length 1.
        """
    @spherical.setter
    def spherical(self, arg0: bool) -> None: ...

class SearchParametersIVF(SearchParameters):
    """
    SearchParameters of the IVF indexes; nprobe and max_codes replace the index's for one call.
    """
    def __init__(
        self,
        *,
        sel: IDSelector | None = None,
        nprobe: typing.SupportsIndex = 1,
        max_codes: typing.SupportsIndex = 0,
        quantizer_params: SearchParameters | None = None,
    ) -> None: ...
    @property
    def max_codes(self) -> int:
        """
        No further list is begun once so many vectors were looked at; 0 for no bound.
        """
    @max_codes.setter
    def max_codes(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def nprobe(self) -> int:
        """
        Lists that are looked at: more is slower and finds more.
        """
    @nprobe.setter
    def nprobe(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def quantizer_params(self) -> SearchParameters:
        """
        SearchParameters handed to the quantizer, or None.
        """
    @quantizer_params.setter
    def quantizer_params(self, arg1: SearchParameters) -> None: ...

class InvertedLists:
    """
    The lists of an IVF index, to look at.
    """
    def get_codes(self, list_no: typing.SupportsIndex) -> numpy.typing.NDArray[numpy.uint8]:
        """
        A copy of a list's codes, uint8 (list_size, code_size).
        """
    def get_ids(self, list_no: typing.SupportsIndex) -> numpy.typing.NDArray[numpy.int64]:
        """
        A copy of a list's ids, int64.
        """
    def imbalance_factor(self) -> float:
        """
        How many times longer a search of one list takes than if all were of one size.
        """
    def list_size(self, list_no: typing.SupportsIndex) -> int:
        """
        How many vectors a list holds.
        """
    @property
    def code_size(self) -> int:
        """
        Bytes of one vector's code.
        """
    @property
    def nlist(self) -> int:
        """
        How many lists there are.
        """

class IndexIVF(Index):
    """
    An inverted file: a vector is kept in the list of the nearest of nlist centroids, and a search looks at the nprobe nearest lists.

    quantizer holds the centroids and finds the nearest: an IndexFlat, or an IndexHNSWFlat for many lists. train(x) finds them by k-means (faiss advises 39 to 256 vectors a list), unless the quantizer holds nlist vectors already. add numbers vectors; add_with_ids takes ids of your own, and remove_ids leaves the other ids as they are.
    """
    def add_sa_codes(
        self, codes: numpy.typing.ArrayLike, ids: numpy.typing.ArrayLike | None = None
    ) -> None:
        """
        Adds codes (n, sa_code_size()) uint8, as sa_encode makes them, under ids (n,), any integers, or the next numbers. Raises DimensionError for another shape, ArgumentError for a list that is not there, UnsupportedError with a soar_lambda.
        """
    def copy_subset_to(
        self,
        other: IndexIVF,
        subset_type: typing.SupportsIndex,
        a1: typing.SupportsIndex,
        a2: typing.SupportsIndex,
    ) -> None:
        """
        Copies some vectors, with their ids, behind those of an index with the same training (a clone_index of this one, say).

        subset_type, as in faiss: 0 a1 <= id < a2; 1 id % a1 == a2; 2 elements a1 to a2 of ntotal, an even share of each list; 3 part a2 of the a1 parts of each list; 4 lists a1 to a2 - 1. Raises ArgumentError for other numbers and for an index that does not fit.
        """
    def get_list_size(self, list_no: typing.SupportsIndex) -> int:
        """
        How many vectors a list holds.
        """
    def make_direct_map(self, new_maintain_direct_map: bool = True) -> None:
        """
        Makes now the table of where ids are, which reconstruct makes at its first call.
        """
    def range_search_preassigned(
        self,
        x: numpy.typing.ArrayLike,
        thresh: float,
        Iq: numpy.typing.ArrayLike,
        Dq: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
        *,
        params: SearchParameters | None = None,
    ) -> tuple[
        numpy.typing.NDArray[numpy.uint64],
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.int64],
    ]:
        """
        range_search, in lists that were found elsewhere, as search_preassigned has them.
        """
    def search_preassigned(
        self,
        x: numpy.typing.ArrayLike,
        k: typing.SupportsIndex,
        Iq: numpy.typing.ArrayLike,
        Dq: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
        *,
        params: SearchParameters | None = None,
        D: numpy.typing.NDArray[numpy.float32] | None = None,
        I: numpy.typing.NDArray[numpy.int64] | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
        """
        search, in lists that were found elsewhere: as quantizer.search(x, nprobe) finds Dq and Iq.

        Iq (n, nprobe), any integers: the lists each query looks at, nearest first, -1 for none; nprobe is that of params, or the index's. Dq, of that shape: the distances to their centroids, of which codes of residuals tell theirs, or None to have them computed. Otherwise as search.

        Raises IdError for a list that is not there, DimensionError for another shape, ArgumentError for distances that are NaN or Inf.
        """
    @property
    def by_residual(self) -> bool:
        """
        Whether codes are of what the centroid leaves of a vector; set it before train. Raises ArgumentError afterwards, and where it is no choice.
        """
    @by_residual.setter
    def by_residual(self, arg1: bool) -> None: ...
    @property
    def code_size(self) -> int:
        """
        Bytes of one vector's code.
        """
    @property
    def cp(self) -> ClusteringOptions:
        """
        How train finds centroids; set its fields.
        """
    @property
    def invlists(self) -> InvertedLists:
        """
        The lists, to look at.
        """
    @property
    def max_codes(self) -> int:
        """
        No further list is begun once so many vectors were looked at; 0, as at first, for no bound.
        """
    @max_codes.setter
    def max_codes(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def nlist(self) -> int:
        """
        How many lists there are.
        """
    @property
    def nprobe(self) -> int:
        """
        Lists that a search looks at, 1 at first: more is slower and finds more.
        """
    @nprobe.setter
    def nprobe(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def quantizer(self) -> Index:
        """
        The index of the centroids; a live alias.
        """
    @property
    def quantizer_trains_alone(self) -> int:
        """
        1, as of a MultiIndexQuantizer: train(x) trains the quantizer, which must then hold nlist vectors; else k-means finds centroids, and the quantizer is given them.
        """
    @quantizer_trains_alone.setter
    def quantizer_trains_alone(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def soar_lambda(self) -> float:
        """
        Above 0, each vector is kept in a second list too, so chosen that a query which misses one finds the other: fewer lists are looked at for the same recall, most so with inner products and queries unlike the vectors, in twice the memory. 1 to 2 are good; set it before add. Raises ArgumentError once there are vectors. Source: SOAR, arXiv 2404.00774.
        """
    @soar_lambda.setter
    def soar_lambda(self, arg1: float) -> None: ...

class IndexIVFFlat(IndexIVF):
    """
    IndexIVF of whole vectors: exact among those in the lists looked at.

    dtype is how vectors are stored: float32, float16, uint8 or int8.
    """
    def __init__(
        self,
        quantizer: Index,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        metric: typing.SupportsIndex = 1,
        *,
        dtype: numpy.typing.DTypeLike = "float32",
    ) -> None: ...
    @property
    def dtype(self) -> str:
        """
        Storage dtype.
        """

class IndexIVFScalarQuantizer(IndexIVF):
    """
    IndexIVF of a small number per dimension, of residuals unless by_residual is False.
    """
    def __init__(
        self,
        quantizer: Index,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        qtype: typing.SupportsIndex,
        metric: typing.SupportsIndex = 1,
        by_residual: bool = True,
    ) -> None: ...
    @property
    def sq(self) -> ScalarQuantizer:
        """
        The ScalarQuantizer; a live alias that may outlive the index.
        """

class IndexBinary:
    """
    A collection of binary vectors, d bits each, that finds those which differ least from a query.

    The base of the binary indexes. Vectors are rows of d / 8 bytes (uint8), as np.packbits makes them; distances are Hamming distances.
    """
    def __len__(self) -> int: ...
    def __reduce__(self) -> tuple[typing.Any, tuple[bytes]]: ...
    def __repr__(self) -> str: ...
    def add(
        self,
        x: numpy.typing.ArrayLike,
        *,
        progress: collections.abc.Callable[[int, int], object] | None = None,
    ) -> None:
        """
        Stores the rows of x (n, d / 8) uint8 under the next ids.

        Searches in other threads, progress and Ctrl-C are as in Index.add. Raises TypeError for another dtype, DimensionError for another d.
        """
    def add_with_ids(
        self,
        x: numpy.typing.ArrayLike,
        ids: numpy.typing.ArrayLike,
        *,
        progress: collections.abc.Callable[[int, int], object] | None = None,
    ) -> None:
        """
        Stores the rows of x (n, d / 8) uint8 under ids (n,), any integers.

        IndexBinaryIDMap, IndexBinaryIDMap2, IndexBinaryHNSW and IndexBinaryIVF offer it; IndexBinaryFlat raises UnsupportedError. Otherwise as add.
        """
    def assign(
        self,
        x: numpy.typing.ArrayLike,
        k: typing.SupportsIndex,
        labels: numpy.typing.NDArray[numpy.int64] | None = None,
    ) -> numpy.typing.NDArray[numpy.int64]:
        """
        The ids of search, without the distances.
        """
    def check_compatible_for_merge(self, otherIndex: IndexBinary) -> None:
        """
        Raises ArgumentError unless merge_from could take the other one.
        """
    def merge_from(self, otherIndex: IndexBinary, add_id: typing.SupportsIndex = 0) -> None:
        """
        Moves the vectors of another index of the same class behind ours and leaves it empty. Where ids are kept they grow by add_id.
        """
    def range_search(
        self, x: numpy.typing.ArrayLike, thresh: float, *, params: SearchParameters | None = None
    ) -> tuple[
        numpy.typing.NDArray[numpy.uint64],
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.int64],
    ]:
        """
        All vectors that differ in fewer than thresh bits.

        Returns lims (n + 1,) uint64, D float32 (as faiss does) and I: the results of query i are D[lims[i]:lims[i + 1]]. IndexBinaryHNSW finds most of them, not surely all, and IndexBinaryIVF those in the lists it looks at.
        """
    def reconstruct(
        self, key: typing.SupportsIndex, x: numpy.typing.NDArray[numpy.uint8] | None = None
    ) -> numpy.typing.NDArray[numpy.uint8]:
        """
        The stored vector (d / 8,) uint8 of id `key`. Raises IdError if it is not there.
        """
    def reconstruct_batch(
        self, key: numpy.typing.ArrayLike, x: numpy.typing.NDArray[numpy.uint8] | None = None
    ) -> numpy.typing.NDArray[numpy.uint8]:
        """
        The vectors (n, d / 8) of an array of n ids.
        """
    def reconstruct_n(
        self,
        n0: typing.SupportsIndex = 0,
        ni: typing.SupportsIndex = -1,
        x: numpy.typing.NDArray[numpy.uint8] | None = None,
    ) -> numpy.typing.NDArray[numpy.uint8]:
        """
        The vectors (ni, d / 8) of ids n0 to n0 + ni - 1; ni = -1 means up to ntotal.
        """
    def remove_ids(self, x: typing.Any) -> int:
        """
        Removes the ids in x, an IDSelector or an integer array; returns how many were there.

        In IndexBinaryFlat the rows behind move up and take smaller ids, as in faiss; the others keep all other ids.
        """
    def reset(self) -> None:
        """
        Removes every vector.
        """
    def save(
        self, path: typing.Any, metadata: collections.abc.Mapping[str, str] | None = None
    ) -> None:
        """
        Saves the index with checksums, for shortlist.open; write_index makes files for faiss.

        path is a path (the file is replaced whole or not at all) or an object with write; metadata {str: str}
        is kept beside the index. Raises OSError for file trouble.
        """
    def search(
        self,
        x: numpy.typing.ArrayLike,
        k: typing.SupportsIndex,
        *,
        params: SearchParameters | None = None,
        D: numpy.typing.NDArray[numpy.int32] | None = None,
        I: numpy.typing.NDArray[numpy.int64] | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.int64]]:
        """
        The k nearest vectors of each row of x (n, d / 8) uint8: Hamming distances (n, k) int32 and ids (n, k) int64, nearest first.

        Of equally near vectors the one with the smaller id comes first, or in IndexBinaryIVF the one in the smaller list. Missing results are id -1 with distance 2147483647. D and I may be given to be filled. params may name the ids to search among (sel). Other threads may search at the same time.

        Raises TypeError for another dtype, DimensionError for another d, ArgumentError for k < 1.
        """
    def search_exact(
        self, x: numpy.typing.ArrayLike, k: typing.SupportsIndex
    ) -> tuple[numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.int64]]:
        """
        As search, but over every vector whatever the structure.
        """
    def train(self, x: numpy.typing.ArrayLike) -> None:
        """
        Finds the centroids of an IndexBinaryIVF from the rows of x (n, d / 8) uint8; of others it checks x.
        """
    @property
    def code_size(self) -> int:
        """
        Bytes of a vector.
        """
    @property
    def d(self) -> int:
        """
        Bits of a vector.
        """
    @property
    def is_trained(self) -> bool:
        """
        Whether vectors can be added; IndexBinaryIVF is trained first, others need not be.
        """
    @property
    def metric_type(self) -> int:
        """
        METRIC_L2, as in faiss; the distance is Hamming's.
        """
    @property
    def ntotal(self) -> int:
        """
        How many vectors a search can return.
        """
    @property
    def verbose(self) -> bool:
        """
        Kept for faiss programs; nothing is printed.
        """
    @verbose.setter
    def verbose(self, arg1: bool) -> None: ...

class IndexBinaryFlat(IndexBinary):
    """
    Exact search by Hamming distance: every vector is compared.
    """
    def __init__(self, d: typing.SupportsIndex) -> None: ...
    @property
    def query_batch_size(self) -> int:
        """
        Kept for faiss programs; queries go in groups of our own size.
        """
    @query_batch_size.setter
    def query_batch_size(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def use_heap(self) -> bool:
        """
        Kept for faiss programs; results are the same either way.
        """
    @use_heap.setter
    def use_heap(self, arg0: bool) -> None: ...

class IndexBinaryHNSW(IndexBinary):
    """
    Approximate search by Hamming distance, by walking a graph of near neighbours.

    As IndexHNSWFlat: index.hnsw.efSearch trades speed for recall, and vectors can be removed and added at any time.
    """
    @typing.overload
    def __init__(self, d: typing.SupportsIndex, M: typing.SupportsIndex = 32) -> None: ...
    @typing.overload
    def __init__(self, storage: IndexBinaryFlat, M: typing.SupportsIndex = 32) -> None: ...
    def update_vectors(self, keys: numpy.typing.ArrayLike, x: numpy.typing.ArrayLike) -> None:
        """
        Replaces the vectors of ids `keys` (n,) by x (n, d / 8) uint8. Raises IdError if one is not there or given twice.
        """
    @property
    def hnsw(self) -> HNSW:
        """
        The graph and its parameters; a live alias that may outlive the index.
        """
    @property
    def storage(self) -> IndexBinaryFlat:
        """
        The index that holds the vectors; a live alias that may outlive this one.
        """

class IndexBinaryIVF(IndexBinary):
    """
    An inverted file of binary vectors: each is kept in the list of that of nlist centroids from which it differs least, and a search looks at the nprobe nearest lists, exactly.

    quantizer, an IndexBinaryFlat or IndexBinaryHNSW of d bits, holds the centroids. train(x) finds them by k-means of the bits as -1 and 1, whose signs are then taken, unless the quantizer holds nlist vectors already. add numbers vectors; add_with_ids takes ids of your own, and remove_ids leaves the other ids as they are.

    Raises DimensionError for a quantizer of another d, ArgumentError for nlist < 1, UnsupportedError for own_invlists = False.
    """
    def __init__(
        self,
        quantizer: IndexBinary,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        own_invlists: bool = True,
    ) -> None: ...
    def get_list_size(self, list_no: typing.SupportsIndex) -> int:
        """
        How many vectors a list holds.
        """
    def make_direct_map(self, new_maintain_direct_map: bool = True) -> None:
        """
        Makes now the table of where ids are, which reconstruct makes at its first call.
        """
    def range_search_preassigned(
        self,
        x: numpy.typing.ArrayLike,
        thresh: float,
        Iq: numpy.typing.ArrayLike,
        Dq: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
        *,
        params: SearchParameters | None = None,
    ) -> tuple[
        numpy.typing.NDArray[numpy.uint64],
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.int64],
    ]:
        """
        range_search, in lists that were found elsewhere, as search_preassigned has them.
        """
    def search_preassigned(
        self,
        x: numpy.typing.ArrayLike,
        k: typing.SupportsIndex,
        Iq: numpy.typing.ArrayLike,
        Dq: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
        *,
        params: SearchParameters | None = None,
        D: numpy.typing.NDArray[numpy.int32] | None = None,
        I: numpy.typing.NDArray[numpy.int64] | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.int64]]:
        """
        search, in lists that were found elsewhere: as quantizer.search(x, nprobe) finds Dq and Iq.

        Iq (n, nprobe), any integers: the lists each query looks at, nearest first, -1 for none; nprobe is that of params, or the index's. Dq, of that shape: the distances to their centroids, of which codes of residuals tell theirs, or None to have them computed. Otherwise as search.

        Raises IdError for a list that is not there, DimensionError for another shape, ArgumentError for distances that are NaN or Inf.
        """
    @property
    def cp(self) -> ClusteringOptions:
        """
        How train finds centroids; set its fields.
        """
    @property
    def invlists(self) -> InvertedLists:
        """
        The lists, to look at.
        """
    @property
    def max_codes(self) -> int:
        """
        No further list is begun once so many vectors were looked at; 0, as at first, for no bound.
        """
    @max_codes.setter
    def max_codes(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def nlist(self) -> int:
        """
        How many lists there are.
        """
    @property
    def nprobe(self) -> int:
        """
        Lists that a search looks at, 1 at first: more is slower and finds more.
        """
    @nprobe.setter
    def nprobe(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def per_invlist_search(self) -> bool:
        """
        Kept for faiss programs; many queries are answered list by list here.
        """
    @per_invlist_search.setter
    def per_invlist_search(self, arg0: bool) -> None: ...
    @property
    def quantizer(self) -> IndexBinary:
        """
        The index of the centroids; a live alias.
        """
    @property
    def use_heap(self) -> bool:
        """
        Kept for faiss programs; results are the same either way.
        """
    @use_heap.setter
    def use_heap(self, arg0: bool) -> None: ...

class IndexBinaryIDMap(IndexBinary):
    """
    Gives a binary index ids of your own: add_with_ids(x, ids). An id may name several vectors.
    """
    def __init__(self, index: IndexBinary) -> None: ...
    @property
    def id_map(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        A copy of the ids by inner row; -1 where a wrapped graph dropped the row.
        """
    @property
    def index(self) -> IndexBinary:
        """
        The wrapped index.
        """

class IndexBinaryIDMap2(IndexBinaryIDMap):
    """
    IndexBinaryIDMap that can also reconstruct a vector from its id.
    """
    def __init__(self, index: IndexBinary) -> None: ...

class IndexSDC(Index):
    """
    Exhaustive search over small codes: each of code_dim dimensions is an odd integer of `bits` bits, and the code comes with two factors.

    Without an encoder a vector is turned by a random rotation, relative to the mean that train(x) finds, and stored as the point of the grid nearest in angle; distances are unbiased estimates (RaBitQ, arXiv 2405.12497 and 2409.09913). encoder: what shortlist.binary.RecurrentBinarizer.export gives; its codes (BEBR, arXiv 2302.08714) find more in as many bytes, and train(x) only measures them. One bit keeps 1/32 of float32 vectors' bytes, and 4 bits find most of the 10 nearest; put IndexRefineFlat behind it for all of them. Searches compare the query as it is with the codes, or by its own code if symmetric is set (symmetric distance calculation).

    bits: 1 to 8; 2, or the encoder's, by default. code_dim: a multiple of 64, at least d; by default d rounded up to one. Raises ArgumentError for others and for an encoder that lacks something, DimensionError for an encoder of other vectors.
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        bits: typing.SupportsIndex | None = None,
        metric: typing.SupportsIndex = 1,
        *,
        code_dim: typing.SupportsIndex | None = None,
        encoder: collections.abc.Mapping[
            str, typing.Annotated[numpy.typing.ArrayLike, numpy.float32]
        ]
        | None = None,
    ) -> None: ...
    @property
    def bits(self) -> int:
        """
        Bits a dimension.
        """
    @property
    def code_dim(self) -> int:
        """
        Dimensions of a code.
        """
    @property
    def code_size(self) -> int:
        """
        Bytes of one stored vector, factors included.
        """
    @property
    def symmetric(self) -> bool:
        """
        Whether queries are compared by codes of their own (bool, False at first): products are of whole numbers then, counted in bits, and it finds fewer. The index is saved with it.
        """
    @symmetric.setter
    def symmetric(self, arg1: bool) -> None: ...

class IndexSDCRows(IndexFlatCodes):
    """
    The storage of an IndexHNSWSDC: IndexSDC's codes, one after the other as a graph reads them. Alone it is slower than IndexSDC.
    """
    @property
    def bits(self) -> int:
        """
        Bits a dimension.
        """
    @property
    def code_dim(self) -> int:
        """
        Dimensions of a code.
        """
    @property
    def symmetric(self) -> bool:
        """
        Whether queries are compared by codes of their own (bool, False at first): products are of whole numbers then, counted in bits, and it finds fewer. The index is saved with it.
        """
    @symmetric.setter
    def symmetric(self, arg1: bool) -> None: ...

class IndexHNSWSDC(IndexHNSW):
    """
    HNSW over the codes of IndexSDC: most memory is links, so put IndexRefineFlat or IndexRefine behind it for exact distances of what it finds.

    bits, code_dim, encoder: as of IndexSDC; train before add. M: links per node. The graph is built by the vectors themselves, in float32: 4 d bytes each while they are added. After additions that are few beside the vectors already there they stay for the next ones, see release_building_vectors; where they are missing, what codes decode to stands in. Raises what IndexSDC raises.
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        bits: typing.SupportsIndex | None = None,
        M: typing.SupportsIndex = 32,
        metric: typing.SupportsIndex = 1,
        *,
        code_dim: typing.SupportsIndex | None = None,
        encoder: collections.abc.Mapping[
            str, typing.Annotated[numpy.typing.ArrayLike, numpy.float32]
        ]
        | None = None,
    ) -> None: ...

class IndexIVFSDC(IndexIVF):
    """
    IndexIVF of IndexSDC's codes: of residuals, or, where an encoder was trained for vectors, of these. Put IndexRefineFlat or IndexRefine behind it for exact distances of what it finds.

    bits, code_dim, encoder: as of IndexSDC, which says what is raised. Source: RaBitQ, arXiv 2405.12497.
    """
    def __init__(
        self,
        quantizer: Index,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        bits: typing.SupportsIndex | None = None,
        metric: typing.SupportsIndex = 1,
        *,
        code_dim: typing.SupportsIndex | None = None,
        encoder: collections.abc.Mapping[
            str, typing.Annotated[numpy.typing.ArrayLike, numpy.float32]
        ]
        | None = None,
    ) -> None: ...
    @property
    def bits(self) -> int:
        """
        Bits a dimension.
        """
    @property
    def code_dim(self) -> int:
        """
        Dimensions of a code.
        """
    @property
    def symmetric(self) -> bool:
        """
        Whether queries are compared by codes of their own (bool, False at first): products are of whole numbers then, counted in bits, and it finds fewer. The index is saved with it.
        """
    @symmetric.setter
    def symmetric(self, arg1: bool) -> None: ...

class IndexSDCVersions(Index):
    """
    Codes of several embedding models in one index, searched together by queries of the newest: what upgrading a model leaves behind need not be encoded again. shortlist.binary.upgrade makes one.

    Rows are those of the oldest version first; add() encodes by the newest encoder. newest: an IndexSDC with the newest encoder. older: IndexSDCs, oldest first; not to be changed any more from outside. readings: for each of them what RecurrentBinarizer.export gives of a module that was fit compatible_with its encoder. Inner product only: raises UnsupportedError for L2, ArgumentError where sizes do not fit.

    Source: backward-compatible training, BEBR (arXiv 2302.08714).
    """
    def __init__(
        self,
        newest: IndexSDC,
        older: collections.abc.Sequence[IndexSDC],
        readings: collections.abc.Sequence[
            collections.abc.Mapping[str, typing.Annotated[numpy.typing.ArrayLike, numpy.float32]]
        ],
    ) -> None: ...
    def versions(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        The version of each row, (ntotal,) int32: 0 is the oldest.
        """
    @property
    def newest(self) -> IndexSDC:
        """
        The IndexSDC of the newest model; a live alias.
        """
    @property
    def older(self) -> list[IndexSDC]:
        """
        The IndexSDCs of older models, oldest first; live aliases.
        """
    @property
    def readings(self) -> list[dict[str, numpy.typing.NDArray[numpy.float32]]]:
        """
        How queries read each of `older`; copies.
        """

class ProductQuantizer:
    """
    Cuts a vector into M parts and keeps of each the number, of nbits bits, of the nearest of 2^nbits centroids.

    M: a divisor of d. nbits: 1 to 8. Raises ArgumentError for others. Codes and centroids are in faiss's order. Source: Jegou, Douze and Schmid 2011, Product quantization for nearest neighbor search.
    """
    def __init__(
        self, d: typing.SupportsIndex, M: typing.SupportsIndex, nbits: typing.SupportsIndex = 8
    ) -> None: ...
    def compute_codes(self, x: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.uint8]:
        """
        Codes of x (n, d): uint8 (n, code_size).
        """
    def decode(self, codes: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        What codes (n, code_size) stand for: float32 (n, d).
        """
    def train(self, x: numpy.typing.ArrayLike) -> None:
        """
        k-means in each part of x (n, d), as cp says: 25 iterations over at most 256 vectors a centroid. Raises ArgumentError for fewer than ksub vectors, NaN and infinities. Not for a quantizer whose index holds vectors.
        """
    @property
    def M(self) -> int:
        """
        Parts of a vector.
        """
    @property
    def anisotropic_threshold(self) -> float:
        """
        Above 0 codes keep large inner products better: an error x - x' along x counts eta times as much as one across it, eta = (d - 1) t^2 / (1 - t^2) for the threshold t, but at least 1. Of t about 0.2 queries' products with their nearest vectors gain, and those with the others lose. 0 (default) turns it off. Set it before train, which moves the centroids for it; codes are made by it from then on (some times slower than without), and are read, saved and searched as any. ArgumentError unless 0 <= t < 1; UnsupportedError in train and add of an index of L2 or of lists of residuals. Source: Guo et al. 2020, Accelerating large-scale inference with anisotropic vector quantization (arXiv 1908.10396), theorem 3.4 with T = t |x|, and section 4.2.
        """
    @anisotropic_threshold.setter
    def anisotropic_threshold(self, arg1: float) -> None: ...
    @property
    def centroids(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy, (M, ksub, dsub) float32; empty until trained.
        """
    @property
    def code_size(self) -> int:
        """
        Bytes of a vector.
        """
    @property
    def cp(self) -> ClusteringOptions:
        """
        How train finds the centroids of each part; set its fields.
        """
    @property
    def d(self) -> int:
        """
        Dimensions of a vector.
        """
    @property
    def dsub(self) -> int:
        """
        Dimensions of a part.
        """
    @property
    def ksub(self) -> int:
        """
        Centroids of a part.
        """
    @property
    def nbits(self) -> int:
        """
        Bits of a part.
        """
    @property
    def offset(self) -> bool:
        """
        Whether the last of the d values is a float behind the code: see IndexPQ.
        """

class IndexPQ(IndexFlatCodes):
    """
    Exhaustive search over product-quantised codes, each compared by M additions from a table of the query.

    M: parts, a divisor of d. nbits: bits of a part, 1 to 8. train(x) needs at least 2^nbits vectors. faiss's polysemous codes are not trained, which changes no result. offset: for an IndexPreTransform that begins with a QueryAwareTransform, of L2 (which index_factory builds of "QA,PQ48"): M divides d - 1, and the last value is kept as 4 bytes more; distances are q's last value + x's - 2 <q, x> of the others. Raises UnsupportedError for one of inner products.
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        M: typing.SupportsIndex,
        nbits: typing.SupportsIndex = 8,
        metric: typing.SupportsIndex = 1,
        offset: bool = False,
    ) -> None: ...
    @property
    def pq(self) -> ProductQuantizer:
        """
        The ProductQuantizer; a live alias that may outlive the index.
        """

class IndexPQFastScan(Index):
    """
    IndexPQ of 4 bits a part, scanned 32 vectors at a time by tables rounded to bytes, as faiss rounds them. Distances are the sums of their entries, a little off those of IndexPQ.

    nbits: must be 4. bbs: vectors in a block of faiss's files, a multiple of 32. Made of an IndexPQ, it is a copy. Raises ArgumentError for others. Source: Andre, Kermarrec and Le Scouarnec 2015, Cache locality is not enough.
    """
    @typing.overload
    def __init__(
        self,
        d: typing.SupportsIndex,
        M: typing.SupportsIndex,
        nbits: typing.SupportsIndex = 4,
        metric: typing.SupportsIndex = 1,
        bbs: typing.SupportsIndex = 32,
    ) -> None: ...
    @typing.overload
    def __init__(self, orig: IndexPQ, bbs: typing.SupportsIndex = 32) -> None: ...
    @property
    def bbs(self) -> int:
        """
        Vectors in a block of faiss's files.
        """
    @property
    def code_size(self) -> int:
        """
        Bytes of one stored vector.
        """
    @property
    def pq(self) -> ProductQuantizer:
        """
        The ProductQuantizer; a live alias that may outlive the index.
        """

class IndexIVFPQ(IndexIVF):
    """
    IndexIVF of product-quantised codes, of residuals unless by_residual is set to False: M parts of nbits_per_idx bits.
    """
    def __init__(
        self,
        quantizer: Index,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        M: typing.SupportsIndex,
        nbits_per_idx: typing.SupportsIndex,
        metric: typing.SupportsIndex = 1,
    ) -> None: ...
    @property
    def pq(self) -> ProductQuantizer:
        """
        The ProductQuantizer; a live alias that may outlive the index.
        """

class IndexIVFPQR(IndexIVFPQ):
    """
    IndexIVFPQ with a second code of what the first leaves of a vector: a search takes k * k_factor vectors by the first codes and returns the k nearest by both. L2, of residuals.

    M, nbits_per_idx and M_refine, nbits_per_idx_refine: parts and bits of the two codes. Both lie in the lists, one behind the other, which is what code_size, invlists and sa_encode tell; range_search, reconstruct and search_exact use both. Ids may be any, and remove_ids works, where faiss has neither: in its files ids that are not 0 to ntotal - 1 become those of an IndexIDMap2 around it. Raises ArgumentError for parts that do not divide d and other bits, UnsupportedError for own_invlists = False. Source: Jegou, Tavenard, Douze and Amsaleg 2011, Searching in one billion vectors: re-rank with source coding.
    """
    def __init__(
        self,
        quantizer: Index,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        M: typing.SupportsIndex,
        nbits_per_idx: typing.SupportsIndex,
        M_refine: typing.SupportsIndex,
        nbits_per_idx_refine: typing.SupportsIndex,
        own_invlists: bool = True,
    ) -> None: ...
    @property
    def k_factor(self) -> float:
        """
        Vectors that are ranked again for each result, 4 at first: more is slower and finds more. Raises ArgumentError unless it is 1 to 1000.
        """
    @k_factor.setter
    def k_factor(self, arg1: float) -> None: ...
    @property
    def refine_pq(self) -> ProductQuantizer:
        """
        The ProductQuantizer of the second codes; a live alias that may outlive the index.
        """

class MultiIndexQuantizer(Index):
    """
    The quantizer of an inverted multi-index: vectors are cut into M parts, and each way to choose a centroid for every part is a cell. It finds the nearest of 2^(M * nbits) cells without looking at most of them.

    M: a divisor of d. nbits: 1 to 8, of a part's centroids. An IndexIVF of it has nlist = 2^(M * nbits) lists, and its training trains the quantizer. search gives the numbers of cells, in which the centroid of part m has the bits from m * nbits on, and squared distances. add and reset raise UnsupportedError, as do filters. Raises ArgumentError for other parts and bits, and for more than 2^62 cells. Source: Babenko and Lempitsky 2012, The inverted multi-index.
    """
    def __init__(
        self, d: typing.SupportsIndex, M: typing.SupportsIndex, nbits: typing.SupportsIndex
    ) -> None: ...
    @property
    def pq(self) -> ProductQuantizer:
        """
        The ProductQuantizer whose centroids make the cells; a live alias that may outlive the index.
        """

class IndexIVFPQFastScan(IndexIVF):
    """
    IndexIVF of product-quantised codes of 4 bits, scanned as IndexPQFastScan's; of vectors, as in faiss, unless by_residual is set.

    nbits: must be 4. bbs: vectors in a block of faiss's files. Raises ArgumentError for others.
    """
    def __init__(
        self,
        quantizer: Index,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        M: typing.SupportsIndex,
        nbits: typing.SupportsIndex = 4,
        metric: typing.SupportsIndex = 1,
        bbs: typing.SupportsIndex = 32,
    ) -> None: ...
    @property
    def bbs(self) -> int:
        """
        Vectors in a block of faiss's files.
        """
    @property
    def pq(self) -> ProductQuantizer:
        """
        The ProductQuantizer; a live alias that may outlive the index.
        """

class IndexHNSWPQ(IndexHNSW):
    """
    HNSW over product-quantised codes: pq_m parts of pq_nbits bits; M links per node. Train it before add. The graph is built by the vectors themselves, as IndexHNSWSDC's is.
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        pq_m: typing.SupportsIndex,
        M: typing.SupportsIndex,
        pq_nbits: typing.SupportsIndex = 8,
        metric: typing.SupportsIndex = 1,
    ) -> None: ...

class ITQMatrix(LinearTransform):
    """
    The rotation of d values behind which vectors lie nearest to their signs.

    train(x) repeats max_iter times: the signs of the rotated vectors, then the rotation nearest to these. Source: Gong and Lazebnik 2011, Iterative quantization.
    """
    def __init__(self, d: typing.SupportsIndex) -> None: ...
    @property
    def max_iter(self) -> int:
        """
        Turns of signs and rotation.
        """
    @max_iter.setter
    def max_iter(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def seed(self) -> int:
        """
        Of the rotation it begins with.
        """
    @seed.setter
    def seed(self, arg0: typing.SupportsIndex) -> None: ...

class ITQTransform(VectorTransform):
    """
    Vectors less their mean and of length 1, then d_out principal components, then an ITQMatrix: what stands before codes of signs.

    do_pca: False leaves the components out, and d_out is d. It cannot be reversed. Raises ArgumentError for a d_out above d, and in train for fewer vectors than d_out.
    """
    def __init__(
        self, d: typing.SupportsIndex, d_out: typing.SupportsIndex, do_pca: bool
    ) -> None: ...
    @property
    def do_pca(self) -> bool:
        """
        Whether there are principal components.
        """
    @property
    def itq(self) -> ITQMatrix:
        """
        The ITQMatrix; a live alias.
        """
    @property
    def max_train_per_dim(self) -> int:
        """
        Training takes so many vectors for each dimension, or 32768.
        """
    @max_train_per_dim.setter
    def max_train_per_dim(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def mean(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the training vectors' mean, float32 (d,); empty before training.
        """
    @property
    def pca_then_itq(self) -> LinearTransform:
        """
        Components and rotation in one LinearTransform; a live alias.
        """

class OPQMatrix(LinearTransform):
    """
    The rotation behind which a product quantiser of M parts loses least of the vectors.

    d2: values behind it (fewer than d: the rest is left out), or -1 for d; M divides them. train(x) takes at most max_train_points of the vectors, at least 256 (2^nbits of pq), and repeats niter times: k-means in the M parts of the rotated vectors, then the rotation nearest to what that gave. Put it before an IndexPQ of as many parts. Raises ArgumentError for an M that does not divide d2, and in train for too few vectors. Source: Ge, He, Ke and Sun 2013, Optimized product quantization, the non-parametric solution.
    """
    def __init__(
        self, d: typing.SupportsIndex, M: typing.SupportsIndex = 1, d2: typing.SupportsIndex = -1
    ) -> None: ...
    @property
    def M(self) -> int:
        """
        Parts.
        """
    @property
    def max_train_points(self) -> int:
        """
        Training takes a sample of at most so many vectors.
        """
    @max_train_points.setter
    def max_train_points(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def niter(self) -> int:
        """
        Turns of k-means and rotation.
        """
    @niter.setter
    def niter(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def niter_pq(self) -> int:
        """
        Iterations of k-means in a turn.
        """
    @niter_pq.setter
    def niter_pq(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def niter_pq_0(self) -> int:
        """
        Iterations of k-means in the first turn.
        """
    @niter_pq_0.setter
    def niter_pq_0(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def pq(self) -> ProductQuantizer:
        """
        A ProductQuantizer of d2 and M whose nbits training goes by, or None for 8 bits. Unlike in faiss it is not trained.
        """
    @pq.setter
    def pq(self, arg1: ProductQuantizer) -> None: ...

class RaBitQSearchParameters(SearchParameters):
    """
    SearchParameters of the RaBitQ indexes; qb and centered replace the index's for one call.
    """
    def __init__(
        self, *, sel: IDSelector | None = None, qb: typing.SupportsIndex = 4, centered: bool = False
    ) -> None: ...
    @property
    def centered(self) -> bool:
        """
        How values are rounded to qb bits: evenly about zero, clipping the largest, or, as at first, from the least to the greatest.
        """
    @centered.setter
    def centered(self, arg1: bool) -> None: ...
    @property
    def qb(self) -> int:
        """
        Bits to which a query's values are rounded before they are compared with one-bit codes, as faiss has it; 0: not at all, which finds most. Codes of several bits are compared with queries as they are.
        """
    @qb.setter
    def qb(self, arg1: typing.SupportsIndex) -> None: ...

class RaBitQuantizer:
    """
    What the codes of a RaBitQ index are, to look at: index.rabitq.
    """
    @property
    def code_size(self) -> int:
        """
        Bytes of one code.
        """
    @property
    def d(self) -> int:
        """
        Dimensions of a vector.
        """
    @property
    def metric_type(self) -> int:
        """
        METRIC_L2 or METRIC_INNER_PRODUCT.
        """
    @property
    def nb_bits(self) -> int:
        """
        Bits a dimension.
        """

class IndexRaBitQ(Index):
    """
    Exhaustive search over codes of nb_bits bits a dimension: the signs of a vector relative to the mean that train(x) finds, or the point of a finer grid nearest to it in angle, and factors that make distances unbiased estimates.

    Vectors are not rotated, as in faiss, and the estimates count on one: turn the vectors by a random rotation first, or take IndexSDC, which has its own. Codes and files are faiss's. One-bit codes are compared with queries rounded to qb bits, 4 at first, and exactly with qb = 0; of several bits reconstruct uses all, where faiss uses the signs. Put IndexRefineFlat behind it for exact distances.

    nb_bits: 1 to 8. Raises ArgumentError for others. Source: RaBitQ (arXiv 2405.12497 and 2409.09913).
    """
    def __init__(
        self,
        d: typing.SupportsIndex,
        metric: typing.SupportsIndex = 1,
        nb_bits: typing.SupportsIndex = 1,
    ) -> None: ...
    @property
    def center(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the mean that train found, float32 (d,); empty before.
        """
    @property
    def centered(self) -> bool:
        """
        How values are rounded to qb bits: evenly about zero, clipping the largest, or, as at first, from the least to the greatest. faiss's files do not hold it.
        """
    @centered.setter
    def centered(self, arg1: bool) -> None: ...
    @property
    def code_size(self) -> int:
        """
        Bytes of one code, factors included, as sa_encode gives it.
        """
    @property
    def qb(self) -> int:
        """
        Bits to which a query's values are rounded before they are compared with one-bit codes, as faiss has it; 0: not at all, which finds most. Codes of several bits are compared with queries as they are.
        """
    @qb.setter
    def qb(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def rabitq(self) -> RaBitQuantizer:
        """
        The RaBitQuantizer: what the codes are.
        """

class IndexRaBitQFastScan(Index):
    """
    IndexRaBitQ under the name and in the files of faiss's faster form, which here is the only one: both search alike.

    bbs: vectors in a block of faiss's files, a multiple of 32. nb_bits: 1 to 8. Given an IndexRaBitQ, it begins as a copy of that one, vectors included; its qb is taken over, and 8 where it is 0. Raises ArgumentError for others. Source: as IndexRaBitQ.
    """
    @typing.overload
    def __init__(self, orig: IndexRaBitQ, bbs: typing.SupportsIndex = 32) -> None: ...
    @typing.overload
    def __init__(
        self,
        d: typing.SupportsIndex,
        metric: typing.SupportsIndex = 1,
        bbs: typing.SupportsIndex = 32,
        nb_bits: typing.SupportsIndex = 1,
    ) -> None: ...
    @property
    def bbs(self) -> int:
        """
        Vectors in a block of faiss's files.
        """
    @property
    def center(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the mean that train found, float32 (d,); empty before.
        """
    @property
    def centered(self) -> bool:
        """
        How values are rounded to qb bits: evenly about zero, clipping the largest, or, as at first, from the least to the greatest. faiss's files do not hold it.
        """
    @centered.setter
    def centered(self, arg1: bool) -> None: ...
    @property
    def code_size(self) -> int:
        """
        Bytes of one code, factors included, as sa_encode gives it.
        """
    @property
    def qb(self) -> int:
        """
        Bits to which a query's values are rounded before they are compared with one-bit codes, as faiss has it; 0: not at all, which finds most. Codes of several bits are compared with queries as they are.
        """
    @qb.setter
    def qb(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def rabitq(self) -> RaBitQuantizer:
        """
        The RaBitQuantizer: what the codes are.
        """

class IVFRaBitQSearchParameters(SearchParametersIVF):
    """
    SearchParametersIVF of IndexIVFRaBitQ; qb and centered replace the index's for one call.
    """
    def __init__(
        self,
        *,
        sel: IDSelector | None = None,
        nprobe: typing.SupportsIndex = 1,
        max_codes: typing.SupportsIndex = 0,
        quantizer_params: SearchParameters | None = None,
        qb: typing.SupportsIndex = 4,
        centered: bool = False,
    ) -> None: ...
    @property
    def centered(self) -> bool:
        """
        How values are rounded to qb bits: evenly about zero, clipping the largest, or, as at first, from the least to the greatest.
        """
    @centered.setter
    def centered(self, arg1: bool) -> None: ...
    @property
    def qb(self) -> int:
        """
        Bits to which a query's values are rounded before they are compared with one-bit codes, as faiss has it; 0: not at all, which finds most. Codes of several bits are compared with queries as they are.
        """
    @qb.setter
    def qb(self, arg1: typing.SupportsIndex) -> None: ...

class IndexIVFRaBitQ(IndexIVF):
    """
    IndexIVF over IndexRaBitQ's codes, each relative to the centroid of its list: the signs of what the centroid leaves of a vector, or nb_bits bits a dimension, and factors that make distances unbiased estimates.

    Codes and files are faiss's; they are always of residuals. Vectors are not rotated: put a RandomRotationMatrix in front, or take IndexIVFSDC, which has its own. One-bit codes are compared with queries rounded to qb bits, 4 at first, and exactly with qb = 0; of several bits reconstruct uses all, where faiss uses the signs.

    nb_bits: 1 to 8. Raises ArgumentError for others, DimensionError for a quantizer of other dimensions, UnsupportedError for own_invlists = False. Source: RaBitQ (arXiv 2405.12497 and 2409.09913).
    """
    def __init__(
        self,
        quantizer: Index,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        metric: typing.SupportsIndex = 1,
        own_invlists: bool = True,
        nb_bits: typing.SupportsIndex = 1,
    ) -> None: ...
    @property
    def qb(self) -> int:
        """
        Bits to which a query's values are rounded before they are compared with one-bit codes, as faiss has it; 0: not at all, which finds most. Codes of several bits are compared with queries as they are.
        """
    @qb.setter
    def qb(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def rabitq(self) -> RaBitQuantizer:
        """
        The RaBitQuantizer: what the codes are.
        """

class IndexIVFRaBitQFastScan(IndexIVFRaBitQ):
    """
    IndexIVFRaBitQ under the name and in the files of faiss's faster form, which here is the only one: both search alike.

    bbs: vectors in a block of faiss's files, a multiple of 32. Given an IndexIVFRaBitQ, it begins as a copy of that one, vectors included, over the same quantizer. Raises ArgumentError for others; otherwise as IndexIVFRaBitQ.
    """
    @typing.overload
    def __init__(self, orig: IndexIVFRaBitQ, bbs: typing.SupportsIndex = 32) -> None: ...
    @typing.overload
    def __init__(
        self,
        quantizer: Index,
        d: typing.SupportsIndex,
        nlist: typing.SupportsIndex,
        metric: typing.SupportsIndex = 1,
        bbs: typing.SupportsIndex = 32,
        own_invlists: bool = True,
        nb_bits: typing.SupportsIndex = 1,
    ) -> None: ...
    @property
    def bbs(self) -> int:
        """
        Vectors in a block of faiss's files.
        """
    @property
    def centered(self) -> bool:
        """
        How values are rounded to qb bits: evenly about zero, clipping the largest, or, as at first, from the least to the greatest.
        """
    @centered.setter
    def centered(self, arg1: bool) -> None: ...

class SearchParametersSPANN(SearchParameters):
    """
    SearchParameters of an IndexSPANN, in place of the index's for one call.
    """
    def __init__(
        self,
        *,
        sel: IDSelector | None = None,
        nprobe: typing.SupportsIndex = 32,
        epsilon: float = ...,
        efSearch: typing.SupportsIndex = 0,
        k_factor: float = 4,
        partial: bool = False,
    ) -> None: ...
    @property
    def efSearch(self) -> int:
        """
        Candidates kept while centroids are looked for; 0 (default): by nprobe.
        """
    @efSearch.setter
    def efSearch(self, arg0: typing.SupportsIndex) -> None: ...
    @property
    def epsilon(self) -> float:
        """
        Of these, those are left out whose centroid is more than 1 + epsilon times as far as the nearest one, or as vectors are from theirs in the mean, whichever is more.
        """
    @epsilon.setter
    def epsilon(self, arg1: float) -> None: ...
    @property
    def k_factor(self) -> float:
        """
        Candidates compared again by their whole vectors, for each of the k, and 32 at least; of indexes whose postings hold codes.
        """
    @k_factor.setter
    def k_factor(self, arg1: float) -> None: ...
    @property
    def lost(self) -> int:
        """
        How many postings partial searches by these parameters have left out.
        """
    @property
    def nprobe(self) -> int:
        """
        Postings that are read, at most.
        """
    @nprobe.setter
    def nprobe(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def partial(self) -> bool:
        """
        Leave out postings that cannot be read or are damaged, instead of raising.
        """
    @partial.setter
    def partial(self, arg0: bool) -> None: ...

class IOWriter:
    """
    Where write_index can write to besides files.
    """

class PyCallbackIOWriter(IOWriter):
    """
    Hands an index to a Python function piece by piece.

    callback(bytes) gets at most bs bytes and returns None, or how many it took (int, at least 1).
    What it raises is raised by write_index.
    """
    def __init__(self, callback: typing.Any, bs: typing.SupportsIndex = 1048576) -> None: ...
    @property
    def bs(self) -> int: ...
    @property
    def callback(self) -> typing.Any: ...

class BufferedIOWriter(IOWriter):
    """
    Gathers small writes into blocks of bsz bytes for another IOWriter; write_index flushes it.
    """
    def __init__(self, writer: IOWriter, bsz: typing.SupportsIndex = 1048576) -> None: ...

class VectorIOWriter(IOWriter):
    """
    Keeps what is written in memory.
    """
    def __init__(self) -> None: ...
    @property
    def data(self) -> numpy.typing.NDArray[numpy.uint8]:
        """
        A copy of the bytes: uint8 (n,).
        """

class IOReader:
    """
    Where read_index can read from besides files.
    """
    def __call__(
        self, buffer: typing.Any, size: typing.SupportsIndex, nitems: typing.SupportsIndex
    ) -> int:
        """
        Reads nitems items of size bytes into a writable buffer; returns how many whole items there were.
        """

class PyCallbackIOReader(IOReader):
    """
    Takes an index from a Python function piece by piece.

    callback(size) returns at most size bytes; none (b'') means the end. It is never asked for
    more than the index needs, so other data may follow in the same stream.
    """
    def __init__(self, callback: typing.Any, bs: typing.SupportsIndex = 1048576) -> None: ...
    @property
    def bs(self) -> int: ...
    @property
    def callback(self) -> typing.Any: ...

class BufferedIOReader(IOReader):
    """
    Reads blocks of bsz bytes ahead from another IOReader.
    """
    def __init__(self, reader: IOReader, bsz: typing.SupportsIndex = 1048576) -> None: ...

class FileIOReader(IOReader):
    """
    Reads a file.
    """
    def __init__(self, path: typing.Any) -> None: ...

class VectorIOReader(IOReader):
    """
    Reads from memory: set data first.
    """
    def __init__(self) -> None: ...

def _fail_io(
    call: str = "", after: typing.SupportsIndex = 0, errno: typing.SupportsIndex = 0
) -> bool:
    """
    For tests: lets `after` calls of open, read, pread, completed (by io_uring), write, fsync,
    rename, close, unlink or change (open, write, fsync, rename and unlink together) succeed
    and makes the next fail with errno (0: move half of what was asked; -n: die of signal n).
    Without arguments ends that. Returns whether a call had been made to fail before.
    """

def _from_bytes(data: typing.Any) -> Index: ...
def _transform_from_bytes(arg0: bytes) -> VectorTransform: ...
def clone_binary_index(index: IndexBinary) -> IndexBinary:
    """
    clone_index of a binary index.
    """

def clone_index(index: Index) -> Index:
    """
    A copy of an index that shares nothing with it; same class, same answers.
    """

def deserialize_index(data: typing.Any, io_flags: typing.SupportsIndex = 0) -> Index:
    """
    The index in the bytes of serialize_index: bytes or uint8 (n,). Raises as read_index does.
    """

def deserialize_index_binary(data: typing.Any, io_flags: typing.SupportsIndex = 0) -> IndexBinary:
    """
    The index in the bytes of serialize_index: bytes or uint8 (n,). Raises as read_index does.
    """

def downcast_VectorTransform(vt: VectorTransform) -> VectorTransform:
    """
    The transform itself: it has its own class already. Kept for faiss programs.
    """

def knn(
    xq: numpy.typing.ArrayLike,
    xb: numpy.typing.ArrayLike,
    k: typing.SupportsIndex,
    metric: typing.SupportsIndex = 1,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
    """
    The k nearest rows of xb (n, d) to each row of xq (m, d), without keeping an index: (D, I) as search returns them.
    """

def normalize_L2(x: typing.Any) -> None:
    """
    Divides each row of x (n, d) float32 by its L2 norm, in place; zero rows stay.
    """

def omp_get_max_threads() -> int:
    """
    Threads each call may use.
    """

def omp_set_num_threads(n: typing.SupportsIndex) -> None:
    """
    Threads each call may use (the library's own pool, no OpenMP; the name is faiss's).
    """

def open(path: typing.Any) -> Index:
    """
    Opens an index that Index.save wrote, exactly as it was.

    path is a path or an object with read. Raises OSError for file trouble and CorruptIndexError
    for damaged or foreign data; every byte is checked.
    """

def popcount64(x: typing.SupportsIndex) -> int:
    """
    How many bits of x (int, at most 64 bits) are set.
    """

def read_VectorTransform(f: typing.Any) -> VectorTransform:
    """
    Reads what write_VectorTransform, here or in faiss, wrote; f and errors as in read_index.
    """

def read_index(f: typing.Any, io_flags: typing.SupportsIndex = 0) -> Index:
    """
    Reads an index that faiss or write_index wrote, as the class it was.

    f is a path, an IOReader or an object with read. Flags are accepted; files are read into memory.
    Raises OSError for file trouble, CorruptIndexError for damaged or foreign data,
    UnsupportedError for faiss classes that are not built in.
    """

def read_index_binary(f: typing.Any, io_flags: typing.SupportsIndex = 0) -> IndexBinary:
    """
    Reads an index that faiss or write_index wrote, as the class it was.

    f is a path, an IOReader or an object with read. Flags are accepted; files are read into memory.
    Raises OSError for file trouble, CorruptIndexError for damaged or foreign data,
    UnsupportedError for faiss classes that are not built in.
    """

def read_metadata(path: typing.Any) -> dict[str, str]:
    """
    The metadata {str: str} that Index.save was given, read without the vectors.
    """

def serialize_index(
    index: Index, io_flags: typing.SupportsIndex = 0
) -> numpy.typing.NDArray[numpy.uint8]:
    """
    The bytes of write_index: uint8 (n,).
    """

def serialize_index_binary(
    index: IndexBinary, io_flags: typing.SupportsIndex = 0
) -> numpy.typing.NDArray[numpy.uint8]:
    """
    The bytes of write_index: uint8 (n,).
    """

def simd_level() -> str:
    """
    The instruction set in use: 'reference', 'avx2', 'avx512' or 'neon'. The environment variable SHORTLIST_ISA, read at import, overrides the choice.
    """

def simd_levels() -> list[str]:
    """
    The instruction sets this build offers and this machine runs; any of them may be named in SHORTLIST_ISA.
    """

def write_VectorTransform(vt: VectorTransform, f: typing.Any) -> None:
    """
    Writes a transform as faiss does; f as in write_index.
    """

def write_index(index: Index, f: typing.Any, io_flags: typing.SupportsIndex = 0) -> None:
    """
    Writes an index as faiss does, for faiss and other tools; Index.save keeps more.

    f is a path (the file is replaced whole or not at all), an IOWriter or an object with write.
    Raises OSError for file trouble, UnsupportedError for what faiss's format cannot hold.
    """

def write_index_binary(
    index: IndexBinary, f: typing.Any, io_flags: typing.SupportsIndex = 0
) -> None:
    """
    Writes an index as faiss does, for faiss and other tools; Index.save keeps more.

    f is a path (the file is replaced whole or not at all), an IOWriter or an object with write.
    Raises OSError for file trouble, UnsupportedError for what faiss's format cannot hold.
    """

IO_FLAG_MMAP: int = 1684996104
IO_FLAG_MMAP_IFC: int = 512
IO_FLAG_ONDISK_SAME_DIR: int = 4
IO_FLAG_PQ_SKIP_SDC_TABLE: int = 32
IO_FLAG_READ_ONLY: int = 2
IO_FLAG_SKIP_IVF_DATA: int = 8
IO_FLAG_SKIP_PRECOMPUTE_TABLE: int = 16
IO_FLAG_SKIP_STORAGE: int = 1
METRIC_INNER_PRODUCT: int = 0
METRIC_L2: int = 1
__version__: str = "0.1.0"
