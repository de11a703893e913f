"""Results of searches beside those of a reference: how many agree, and whether they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core

__all__ = [
    "check_ref_knn_with_draws",
    "check_ref_range_results",
    "counts_to_PR",
    "filter_range_results",
    "knn_intersection_measure",
    "range_PR",
    "range_PR_multiple_thresholds",
    "sort_range_res_1",
    "sort_range_res_2",
]

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.integer[Any]]

# lims, D and I are what range_search returns: those of query i are [lims[i], lims[i + 1]).


def knn_intersection_measure(I1: Counts, I2: Counts) -> float:
    """The share of ids in I1 (nq, k) that are in the same row of I2 (nq, k).

    Raises DimensionError for two shapes.
    """
    if I1.ndim != 2 or I1.shape != I2.shape:
        raise _core.DimensionError(
            f"ids have shapes {I1.shape} and {I2.shape}; expected (nq, k) of both"
        )
    return sum(len(np.intersect1d(a, b)) for a, b in zip(I1, I2, strict=True)) / I1.size


def filter_range_results(
    lims: Array, D: Array, I: Array, thresh: float
) -> tuple[Array, Array, Array]:
    """lims, D and I of the results with D < thresh."""
    kept = np.less(D, thresh)
    before = np.concatenate([[0], np.cumsum(kept)])
    return before[_ends(lims)].astype(lims.dtype), D[kept], I[kept]


def range_PR(
    lims_ref: Array, Iref: Array, lims_new: Array, Inew: Array, mode: str = "overall"
) -> tuple[float, float]:
    """Precision and recall of the ids a range_search found, as counts_to_PR has them.

    Raises DimensionError for results of other numbers of queries.
    """
    _check_queries(lims_ref, lims_new)
    ref, new = _cut(lims_ref, Iref), _cut(lims_new, Inew)
    shared = np.array([len(np.intersect1d(a, b)) for a, b in zip(ref, new, strict=True)], np.int64)
    return counts_to_PR(np.diff(_ends(lims_ref)), np.diff(_ends(lims_new)), shared, mode)


def counts_to_PR(
    ngt: Counts, nres: Counts, ninter: Counts, mode: str = "overall"
) -> tuple[float, float]:
    """Precision and recall of queries with ngt true results, of nres found ones ninter among them.

    mode: "overall", of all queries' results together, or "average", of each query's alone. Nothing
    found is of precision 1, and of recall 1 where there is nothing to find. Raises ArgumentError
    for another mode.
    """
    if mode == "overall":
        ngt, nres, ninter = (np.atleast_1d(np.sum(counts)) for counts in (ngt, nres, ninter))
    elif mode != "average":
        raise _core.ArgumentError(f"mode = {mode!r}; choose 'overall' or 'average'")
    precision = np.where(nres > 0, ninter / np.maximum(nres, 1), 1.0)
    recall = np.where(ngt > 0, ninter / np.maximum(ngt, 1), nres == 0)
    return float(precision.mean()), float(recall.mean())


def range_PR_multiple_thresholds(
    lims_ref: Array,
    Iref: Array,
    lims_new: Array,
    Dnew: Array,
    Inew: Array,
    thresholds: npt.ArrayLike,
    mode: str = "overall",
    do_sort: str = "ref,new",
) -> tuple[Array, Array]:
    """range_PR of the new results with Dnew below each threshold: precisions and recalls.

    do_sort: without "new" those of each query are taken to be sorted by distance. Raises
    DimensionError for results of other numbers of queries.
    """
    _check_queries(lims_ref, lims_new)
    thresholds = np.asarray(thresholds)
    if "new" in do_sort:
        Inew, Dnew = sort_range_res_2(lims_new, Dnew, Inew)
    counts = np.zeros((2, len(lims_ref) - 1, len(thresholds)), np.int64)  # found, and true of them
    parts = zip(_cut(lims_ref, Iref), _cut(lims_new, Dnew), _cut(lims_new, Inew), strict=True)
    for i, (true, distances, ids) in enumerate(parts):
        counts[0, i] = np.searchsorted(distances, thresholds)
        counts[1, i] = np.concatenate([[0], np.cumsum(np.isin(ids, true))])[counts[0, i]]
    ngt = np.diff(_ends(lims_ref))
    pairs = [
        counts_to_PR(ngt, counts[0, :, t], counts[1, :, t], mode) for t in range(len(thresholds))
    ]
    return np.array([p for p, _ in pairs]), np.array([r for _, r in pairs])


def sort_range_res_1(lims: Array, I: Array) -> Array:
    """The ids, each query's in ascending order."""
    return I[np.lexsort((I, _queries(lims)))]


def sort_range_res_2(lims: Array, D: Array, I: Array) -> tuple[Array, Array]:
    """The ids and the distances, each query's nearest first."""
    order = np.lexsort((D, _queries(lims)))
    return I[order], D[order]


def check_ref_knn_with_draws(
    Dref: Array, Iref: Array, Dnew: Array, Inew: Array, rtol: float = 1e-5, atol: float = 0
) -> None:
    """Raises AssertionError unless two searches found the same, but for the order of ties.

    Distances are to agree within rtol and atol. Ids at distances that lie closer than that are in
    any order, and which of those at the last distance were found does not matter.
    """
    np.testing.assert_allclose(Dref, Dnew, rtol=rtol, atol=atol)
    for i in np.flatnonzero((Iref != Inew).any(axis=1)):
        there = np.abs(Dref[i][np.abs(Dref[i]) < np.finfo(np.float32).max])
        apart = rtol * there.max(initial=0) + atol
        every = np.sort(np.concatenate([Dref[i], Dnew[i]]))
        begins = every[1:][np.diff(every) > apart]  # where a next group of ties begins
        ref, new = (np.searchsorted(begins, D[i], side="right") for D in (Dref, Dnew))
        for group in np.unique(ref[ref != ref[-1]]):
            wanted, found = set(Iref[i, ref == group]), set(Inew[i, new == group])
            if wanted != found:
                at = Dref[i, ref == group][0]
                raise AssertionError(
                    f"query {i}: the ids at distance {at} are {sorted(found)}; "
                    f"expected {sorted(wanted)}"
                )


def check_ref_range_results(
    Lref: Array, Dref: Array, Iref: Array, Lnew: Array, Dnew: Array, Inew: Array
) -> None:
    """Raises AssertionError unless two range searches found the same, in any order.

    Distances are to agree within five decimals.
    """
    np.testing.assert_array_equal(Lref, Lnew)
    order, order_new = (np.lexsort((I, _queries(Lref))) for I in (Iref, Inew))
    np.testing.assert_array_equal(Iref[order], Inew[order_new])
    np.testing.assert_array_almost_equal(Dref[order], Dnew[order_new], decimal=5)


def _ends(lims: Array) -> npt.NDArray[np.int64]:
    return np.asarray(lims).astype(np.int64)


def _queries(lims: Array) -> npt.NDArray[np.int64]:
    """Of each result, the query it is of."""
    sizes = np.diff(_ends(lims))
    return np.repeat(np.arange(len(sizes)), sizes)


def _cut(lims: Array, values: Array) -> list[Array]:
    return np.split(values, _ends(lims)[1:-1])


def _check_queries(lims_ref: Array, lims_new: Array) -> None:
    if len(lims_ref) != len(lims_new) or len(lims_ref) < 1:
        raise _core.DimensionError(
            f"lims of {len(lims_ref) - 1} and {len(lims_new) - 1} queries; expected as many"
        )
