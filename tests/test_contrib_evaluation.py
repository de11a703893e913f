"""contrib.evaluation beside plain counting."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from hypothesis import given
from hypothesis import strategies as st
from shortlist.contrib import evaluation


def ranges(rng, nq, most):
    """Of each query some ids below 12, at distances that may be equal."""
    sizes = rng.integers(0, most + 1, nq)
    lims = np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)
    ids = [rng.choice(12, n, replace=False) for n in sizes]
    ids = np.concatenate([*ids, np.zeros(0)]).astype(np.int64)
    return lims, rng.integers(0, 6, len(ids)).astype(np.float32), ids


def rows(lims, *arrays):
    ends = lims.astype(int)
    return [
        [tuple(a[j] for a in arrays) for j in range(ends[i], ends[i + 1])]
        for i in range(len(lims) - 1)
    ]


@given(seed=st.integers(0, 2**32 - 1), nq=st.integers(1, 6), most=st.integers(0, 9))
def test_precision_and_recall_are_counted(seed, nq, most):
    rng = np.random.default_rng(seed)
    (ref, _, Iref), (new, Dnew, Inew) = ranges(rng, nq, most), ranges(rng, nq, most)
    thresholds = np.arange(-1, 8)
    for mode in ("overall", "average"):
        several = evaluation.range_PR_multiple_thresholds(
            ref, Iref, new, Dnew, Inew, thresholds, mode
        )
        for t, thresh in enumerate(thresholds):
            lims, D, I = evaluation.filter_range_results(new, Dnew, Inew, thresh)
            assert lims.dtype == new.dtype
            wanted = [[row for row in rows_ if row[0] < thresh] for rows_ in rows(new, Dnew, Inew)]
            assert rows(lims, D, I) == wanted
            true = [{i for (i,) in row} for row in rows(ref, Iref)]
            found = [{i for _, i in row} for row in wanted]
            if mode == "overall":
                true = [{(q, i) for q, ids in enumerate(true) for i in ids}]
                found = [{(q, i) for q, ids in enumerate(found) for i in ids}]
            precision = [len(a & b) / len(b) if b else 1 for a, b in zip(true, found, strict=True)]
            recall = [len(a & b) / len(a) if a else not b for a, b in zip(true, found, strict=True)]
            told = evaluation.range_PR(ref, Iref, lims, I, mode)
            np.testing.assert_allclose(told, (np.mean(precision), np.mean(recall)))
            np.testing.assert_allclose((several[0][t], several[1][t]), told)


@given(seed=st.integers(0, 2**32 - 1), nq=st.integers(1, 6))
def test_results_are_sorted_query_by_query(seed, nq):
    lims, D, I = ranges(np.random.default_rng(seed), nq, 8)
    sorted_ids = evaluation.sort_range_res_1(lims, I)
    assert rows(lims, sorted_ids) == [sorted(row) for row in rows(lims, I)]
    nearest, distances = evaluation.sort_range_res_2(lims, D, I)
    for a, b in zip(rows(lims, distances, nearest), rows(lims, D, I), strict=True):
        assert [d for d, _ in a] == sorted(d for d, _ in b)
        assert sorted(a) == sorted(b)
    order = np.lexsort((-I, evaluation._queries(lims)))
    evaluation.check_ref_range_results(lims, D, I, lims, D[order], I[order])
    if len(I):
        for change in ((0.1, 0), (0, 20)):
            E, J = D[order].copy(), I[order].copy()
            E[0] += change[0]
            J[0] += change[1]
            with pytest.raises(AssertionError):
                evaluation.check_ref_range_results(lims, D, I, lims, E, J)


def test_ids_in_common():
    a = np.array([[1, 2, 3], [4, 5, 6]])
    b = np.array([[3, 1, 9], [7, 8, 9]])
    assert evaluation.knn_intersection_measure(a, b) == 2 / 6
    with pytest.raises(shortlist.DimensionError):
        evaluation.knn_intersection_measure(a, b[:, :2])


def test_ties_are_in_any_order():
    D = np.array([[1, 2, 2, 3, 3], [0, 1, 2, 3, 4]], np.float32)
    I = np.array([[5, 6, 7, 8, 9], [0, 1, 2, 3, 4]])
    same = I.copy()
    same[0] = [5, 7, 6, 9, 99]  # ties changed places, and another of the last
    evaluation.check_ref_knn_with_draws(D, I, D, same)
    evaluation.check_ref_knn_with_draws(-D, I, -D, same)
    for row in ([6, 5, 7, 8, 9], [5, 6, 70, 8, 9], [5, 6, 8, 7, 9]):
        other = I.copy()
        other[0] = row
        for sign in (1, -1):
            with pytest.raises(AssertionError, match="query 0: the ids at distance"):
                evaluation.check_ref_knn_with_draws(sign * D, I, sign * D, other)
    with pytest.raises(AssertionError):
        evaluation.check_ref_knn_with_draws(D, I, D + 0.1, I)
    evaluation.check_ref_knn_with_draws(D, I, D + 0.1, I, atol=0.2)
    far = D.copy()
    far[:, 4] = np.finfo(np.float32).max  # a row with a missing result
    missing = same.copy()
    missing[0, 3:] = [9, -1]
    expected = np.where(I == 8, 9, I)
    expected[0, 4] = -1
    evaluation.check_ref_knn_with_draws(far, expected, far, missing)
    missing[0, 0] = 50
    with pytest.raises(AssertionError, match="query 0"):
        evaluation.check_ref_knn_with_draws(far, expected, far, missing)


def test_what_does_not_fit_is_refused():
    lims, I = np.array([0, 1]), np.array([3])
    with pytest.raises(shortlist.DimensionError, match="1 and 2 queries"):
        evaluation.range_PR(lims, I, np.array([0, 1, 1]), I)
    with pytest.raises(shortlist.DimensionError):
        evaluation.range_PR_multiple_thresholds(lims, I, np.array([0, 1, 1]), I, I, [1])
    with pytest.raises(shortlist.ArgumentError, match="'most'"):
        evaluation.range_PR(lims, I, lims, I, "most")
