"""ITQ and remapped dimensions: what they find, and files of both kinds."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import shortlist

D = 20


@pytest.fixture
def x(rng):
    return (rng.normal(size=(500, D)) * np.linspace(3, 0.5, D) + 1).astype(np.float32)


def loss(rotated):
    """Of Gong and Lazebnik, equation 2."""
    return ((np.where(rotated < 0, -1, 1) - rotated) ** 2).sum()


def on_sphere(x, mean):
    r = x - mean
    return r / np.linalg.norm(r, axis=1, keepdims=True)


def test_turns_bring_vectors_nearer_to_their_signs(x):
    losses = []
    for turns in (0, 1, 5, 50):
        itq = shortlist.ITQMatrix(D)
        itq.max_iter = turns
        itq.train(x)
        np.testing.assert_allclose(itq.A @ itq.A.T, np.eye(D), atol=1e-4)
        losses.append(loss(itq.apply(x)))
    assert losses == sorted(losses, reverse=True)
    assert losses[3] < losses[1] < losses[0]


def test_one_turn_is_the_procrustes_solution(x):
    first = shortlist.ITQMatrix(D)
    first.max_iter = 0
    first.train(x)
    signs = np.where(first.apply(x) < 0, -1.0, 1.0)
    u, _, vt = np.linalg.svd(signs.T @ x)
    second = shortlist.ITQMatrix(D)
    second.max_iter = 1
    second.train(x)
    np.testing.assert_allclose(second.A, u @ vt, atol=1e-3)


@pytest.mark.parametrize("d_out", [D, 7])
def test_the_transform_is_centred_shortened_projected_and_rotated(x, d_out):
    itq = shortlist.ITQTransform(D, d_out, True)
    itq.train(x)
    np.testing.assert_allclose(itq.mean, x.mean(0), atol=1e-4)
    A = itq.pca_then_itq.A
    np.testing.assert_allclose(A @ A.T, np.eye(d_out), atol=1e-4)
    sphere = on_sphere(x, itq.mean)
    np.testing.assert_allclose(itq.apply(x), sphere @ A.T, atol=1e-5)
    _, _, vt = np.linalg.svd(sphere - sphere.mean(0), full_matrices=False)
    within = vt[:d_out]  # A's rows span the principal components
    np.testing.assert_allclose(A @ within.T @ within, A, atol=5e-3)
    with pytest.raises(shortlist.UnsupportedError, match="cannot be reversed"):
        itq.reverse_transform(itq.apply(x))


def test_without_components_there_is_the_rotation_alone(x):
    itq = shortlist.ITQTransform(D, D, False)
    itq.train(x)
    np.testing.assert_array_equal(itq.pca_then_itq.A, itq.itq.A)
    with pytest.raises(shortlist.ArgumentError, match="without do_pca"):
        shortlist.ITQTransform(D, 7, False)
    with pytest.raises(shortlist.ArgumentError, match="as many components"):
        shortlist.ITQTransform(7, D, True)


def test_untrained_and_unfit_is_refused(x):
    for itq in (shortlist.ITQTransform(D, 4, True), shortlist.ITQMatrix(D)):
        with pytest.raises(shortlist.NotTrainedError):
            itq.apply(x)
        with pytest.raises(shortlist.ArgumentError):
            itq.train(np.empty((0, D), np.float32))
        with pytest.raises(shortlist.ArgumentError):
            itq.is_trained = True
        with pytest.raises(shortlist.DimensionError):
            itq.train(x[:, 1:])


def test_zeros_are_put_behind_or_at_even_distances(x):
    behind = shortlist.RemapDimensionsTransform(D, D + 4, False)
    np.testing.assert_array_equal(behind.apply(x), np.pad(x, ((0, 0), (0, 4))))
    np.testing.assert_array_equal(behind.reverse_transform(behind.apply(x)), x)
    even = shortlist.RemapDimensionsTransform(2, 5)
    np.testing.assert_array_equal(even.map, [0, -1, 1, -1, -1])
    fewer = shortlist.RemapDimensionsTransform(D, 5)
    np.testing.assert_array_equal(fewer.apply(x), x[:, ::4])
    chosen = shortlist.RemapDimensionsTransform(D, 3, [7, -1, 7])
    np.testing.assert_array_equal(chosen.apply(x), x[:, [7, 0, 7]] * [1, 0, 1])
    for bad in ([0, 1], [0, 1, D], [0, 1, -2]):
        with pytest.raises(shortlist.ArgumentError):
            shortlist.RemapDimensionsTransform(D, 3, bad)


TRANSFORMS = {
    "matrix": lambda: shortlist.ITQMatrix(D),
    "pca": lambda: shortlist.ITQTransform(D, 7, True),
    "whole": lambda: shortlist.ITQTransform(D, D, False),
    "remap": lambda: shortlist.RemapDimensionsTransform(D, 33),
}


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_files_hold_all_of_it(x, kind):
    transform = TRANSFORMS[kind]()
    again = pickle.loads(pickle.dumps(transform))
    assert again.is_trained == transform.is_trained == (kind == "remap")
    transform.train(x)
    again = pickle.loads(pickle.dumps(transform))
    assert type(again) is type(transform)
    np.testing.assert_array_equal(again.apply(x), transform.apply(x))
    index = shortlist.IndexPreTransform(transform, shortlist.IndexFlatL2(transform.d_out))
    index.add(x)
    data = shortlist.serialize_index(index)
    for read in (shortlist.deserialize_index(data), shortlist.clone_index(index)):
        assert type(read.chain[0]) is type(transform)
        for a, b in zip(read.search(x[:5], 3), index.search(x[:5], 3), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(shortlist.serialize_index(read), data)
    for end in range(8, len(data), 211):
        with pytest.raises(shortlist.CorruptIndexError):
            shortlist.deserialize_index(data[:end])


@pytest.mark.parametrize("form", ["ITQ7,LSH", "ITQ,LSH", "Pad24,Flat", "Pad8,Flat"])
def test_faisss_files_say_the_same(x, faiss, form):
    theirs = faiss.index_factory(D, form)
    theirs.train(x)
    theirs.add(x)
    data = faiss.serialize_index(theirs)
    ours = shortlist.deserialize_index(data)
    np.testing.assert_allclose(ours.apply_chain(x), theirs.chain.at(0).apply(x), atol=1e-4)
    np.testing.assert_array_equal(shortlist.serialize_index(ours), data)
    made = shortlist.index_factory(D, form)
    made.train(x)
    made.add(x)
    back = faiss.deserialize_index(shortlist.serialize_index(made))
    np.testing.assert_allclose(back.chain.at(0).apply(x), made.apply_chain(x), atol=1e-4)
