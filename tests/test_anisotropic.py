"""Product codes of the anisotropic loss: what it asks for, by brute force, and what it gains."""

from __future__ import annotations

import itertools
import pickle

import faiss
import numpy as np
import pytest
import shortlist as sl
from hypothesis import given, settings
from hypothesis import strategies as st

L2, IP = sl.METRIC_L2, sl.METRIC_INNER_PRODUCT


def vectors(seed, n, d):
    x = np.random.default_rng(seed).normal(size=(n, d)) + 0.3
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def trained(x, M, nbits, threshold, metric=IP):
    index = sl.IndexPQ(x.shape[1], M, nbits, metric)
    index.pq.anisotropic_threshold = threshold
    index.train(x)
    return index


def losses(x, decoded, threshold):
    """|e|^2 + (eta - 1) <e, x>^2 / |x|^2 of e = x - x', the paper's but for a factor."""
    x, e = x.astype(np.float64), x - decoded.astype(np.float64)
    eta = max(1.0, (x.shape[-1] - 1) * threshold**2 / (1 - threshold**2))
    square = (x**2).sum(-1)
    along = (e * x).sum(-1) ** 2 / np.where(square > 0, square, 1)
    return (e**2).sum(-1) + (eta - 1) * along


def every_code(pq):
    """(ksub^M, M) numbers and the vectors they stand for."""
    numbers = np.array(list(itertools.product(range(pq.ksub), repeat=pq.M)))
    parts = [pq.centroids[m][numbers[:, m]] for m in range(pq.M)]
    return numbers, np.concatenate(parts, 1)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(1, 5, 4), (2, 3, 3), (3, 2, 2), (2, 4, 4)]),
    st.sampled_from([0.3, 0.6, 0.9]),
    st.integers(0, 1000),
    st.sampled_from([1.0, 1e-3, 40.0]),
)
def test_codes_have_the_least_loss(shape, threshold, seed, scale):
    M, dsub, nbits = shape
    x = scale * vectors(seed, 80, M * dsub)
    x[0] = 0
    pq = trained(x, M, nbits, threshold).pq
    codes = pq.compute_codes(x)
    got = losses(x, pq.decode(codes), threshold)
    numbers, stands_for = every_code(pq)
    all_ = losses(x[:, None], stands_for[None], threshold)
    slack = 1e-4 * scale**2
    np.testing.assert_array_less(all_.min(1), got + slack)
    # No change of one part makes it less; so where there is one part, nothing does.
    mine = np.argmin(((pq.decode(codes)[:, None] - stands_for) ** 2).sum(-1), 1)
    for m in range(M):
        others = np.delete(np.arange(M), m)
        alike = (numbers[mine][:, None, others] == numbers[None, :, others]).all(-1)
        assert (got <= np.where(alike, all_, np.inf).min(1) + slack).all()
    plain = sl.ProductQuantizer(M * dsub, M, nbits)
    plain.train(x)
    assert got.sum() <= losses(x, plain.decode(plain.compute_codes(x)), threshold).sum() * 1.001


def test_centroids_are_moved_for_the_loss():
    x = vectors(3, 3000, 16)
    plain, index = trained(x, 4, 4, 0), trained(x, 4, 4, 0.5)
    assert plain.pq.centroids.shape == index.pq.centroids.shape
    moved = losses(x, index.pq.decode(index.pq.compute_codes(x)), 0.5).mean()
    plain.pq.anisotropic_threshold = 0.5  # only encoding
    coded = losses(x, plain.pq.decode(plain.pq.compute_codes(x)), 0.5).mean()
    plain.pq.anisotropic_threshold = 0
    nearest = losses(x, plain.pq.decode(plain.pq.compute_codes(x)), 0.5).mean()
    assert moved < 0.7 * coded
    assert coded < 0.96 * nearest


def test_large_products_err_less():
    x = vectors(5, 4000, 32)
    q = x[:200] + 0.08 * np.random.default_rng(1).normal(size=(200, 32)).astype(np.float32)
    true = q @ x.T
    order = np.argsort(-true, 1)[:, :10]
    errors = []
    for threshold in (0, 0.3):
        index = trained(x, 4, 6, threshold)
        index.add(x)
        D, I = index.search(q, len(x))
        told = np.empty_like(D)
        np.put_along_axis(told, I, D, 1)
        errors.append((np.take_along_axis(told - true, order, 1) ** 2).mean())
    assert errors[1] < 0.5 * errors[0]


def test_a_threshold_too_small_to_matter_changes_no_code():
    x = vectors(7, 600, 8)
    index = trained(x, 2, 4, 0)
    before = index.sa_encode(x)
    index.pq.anisotropic_threshold = 0.2  # eta below 1
    np.testing.assert_array_equal(index.sa_encode(x), before)


def test_the_same_whatever_the_threads(threads):
    x = vectors(8, 2000, 12)
    made = []
    for n in (1, 3):
        threads(n)
        index = trained(x, 3, 5, 0.5)
        made.append((index.pq.centroids, index.sa_encode(x)))
    for a, b in zip(*made, strict=True):
        np.testing.assert_array_equal(a, b)


def test_files(tmp_path):
    x = vectors(9, 800, 8)
    index = trained(x, 2, 4, 0.6)
    index.add(x)
    index.save(tmp_path / "i")
    for again in (sl.open(tmp_path / "i"), pickle.loads(pickle.dumps(index))):
        assert again.pq.anisotropic_threshold == np.float32(0.6)
        np.testing.assert_array_equal(again.sa_encode(x), index.sa_encode(x))
    sl.write_index(index, str(tmp_path / "f"))
    theirs = faiss.read_index(str(tmp_path / "f"))
    np.testing.assert_allclose(theirs.search(x, 4)[0], index.search(x, 4)[0], rtol=1e-5)
    np.testing.assert_array_equal(faiss.vector_to_array(theirs.codes), index.sa_encode(x).ravel())
    fast = sl.IndexPQFastScan(index)
    np.testing.assert_array_equal(fast.sa_encode(x), index.sa_encode(x))


@pytest.mark.parametrize("form", ["HNSW8,PQ4x4", "PQ4x4fs", "IVF4,PQ4x4", "OPQ4,PQ4x4"])
def test_behind_other_structures(form):
    x = vectors(10, 900, 16)
    index = sl.index_factory(16, form, IP)
    inner = index.index if hasattr(index, "chain") else index
    pq = inner.storage.pq if hasattr(inner, "storage") else inner.pq
    pq.anisotropic_threshold = 0.5
    if isinstance(inner, sl.IndexIVF):
        with pytest.raises(sl.UnsupportedError, match="residuals; set by_residual = False"):
            index.train(x)
        inner.by_residual = False
        inner.nprobe = 4
    index.train(x)
    index.add(x)
    assert (index.search(x, 10)[1] == np.arange(900)[:, None]).any(1).mean() > 0.5


def test_bad_input_is_explained():
    pq = sl.ProductQuantizer(8, 2, 4)
    for threshold in (-0.1, 1, np.nan, np.inf):
        with pytest.raises(sl.ArgumentError, match="share of a vector's length"):
            pq.anisotropic_threshold = threshold
    x = vectors(11, 100, 8)
    with pytest.raises(sl.UnsupportedError, match="the metric is L2"):
        trained(x, 2, 4, 0.5, L2)
    index = trained(x, 2, 4, 0, L2)
    index.pq.anisotropic_threshold = 0.5
    with pytest.raises(sl.UnsupportedError, match="the metric is L2"):
        index.add(x)
    with pytest.raises(sl.ArgumentError, match="at least 16"):
        trained(x[:15], 2, 4, 0.5)
