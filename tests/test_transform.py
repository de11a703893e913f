"""Transforms alone: numpy's algebra as the oracle, and faiss's transforms and files beside ours."""

from __future__ import annotations

import copy
import io
import pickle
import struct
import threading

import numpy as np
import pytest
import shortlist as sl


def vectors(rng, n, d):
    """With a mean, and variances that differ clearly from each other."""
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return ((rng.normal(size=(n, d)) * np.geomspace(10, 0.5, d)) @ turn + 3).astype(np.float32)


def scatter(x):
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    return centred.T @ centred


def to_bytes(transform):
    out = io.BytesIO()
    sl.write_VectorTransform(transform, out)
    return out.getvalue()


# --- principal components ----------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3, 17, 64, 130])
def test_components_are_the_eigenvectors_of_the_scatter_matrix(rng, d):
    x = vectors(rng, 400, d)
    pca = sl.PCAMatrix(d, d)
    pca.train(x)
    wanted, directions = np.linalg.eigh(scatter(x))
    np.testing.assert_allclose(pca.eigenvalues, wanted[::-1], rtol=1e-4)
    np.testing.assert_allclose(pca.mean, x.mean(0, dtype=np.float64), atol=1e-5)
    along = np.abs(np.sum(pca.PCAMat * directions.T[::-1], axis=1))
    np.testing.assert_allclose(along, 1, atol=1e-3)
    np.testing.assert_array_equal(pca.A, pca.PCAMat)
    np.testing.assert_allclose(pca.A @ pca.A.T, np.eye(d), atol=1e-5)
    np.testing.assert_allclose(pca.apply(x).mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(pca.reverse_transform(pca.apply(x)), x, atol=1e-3)


@pytest.mark.parametrize("repeat", ["zeros", "one direction", "sphere", "constant column"])
def test_equal_and_vanishing_eigenvalues(rng, repeat):
    d = 40
    x = {
        "zeros": np.zeros((100, d)),
        "one direction": rng.normal(size=(100, 1)) * np.arange(d),
        "sphere": np.concatenate([np.eye(d), -np.eye(d)]),
        "constant column": rng.normal(size=(100, d)) * (np.arange(d) > 3) + 5,
    }[repeat].astype(np.float32)
    pca = sl.PCAMatrix(d, d)
    pca.train(x)
    np.testing.assert_allclose(pca.A @ pca.A.T, np.eye(d), atol=1e-5)
    wanted = np.linalg.eigvalsh(scatter(x))[::-1]
    np.testing.assert_allclose(pca.eigenvalues, wanted, atol=1e-5 * max(wanted[0], 1))
    if repeat != "sphere":
        whitened = sl.PCAMatrix(d, d, -0.5)
        with pytest.raises(sl.ArgumentError, match="cannot be whitened; lower d_out, or set eps"):
            whitened.train(x)
        assert not whitened.is_trained
        whitened.epsilon = 1
        whitened.train(x)
        assert np.isfinite(whitened.apply(x)).all()


def test_fewer_vectors_than_dimensions(rng):
    x = vectors(rng, 30, 50)
    pca = sl.PCAMatrix(50, 20)
    pca.train(x)
    wanted = np.linalg.svd(x - x.mean(0, dtype=np.float64), compute_uv=False)
    np.testing.assert_allclose(pca.eigenvalues[:29], wanted[:29] ** 2, rtol=1e-4)
    assert (pca.eigenvalues.shape, pca.PCAMat.shape) == ((50,), (30, 50))
    np.testing.assert_allclose(pca.A @ pca.A.T, np.eye(20), atol=1e-5)
    for few in (np.ones((3, 50)), x[:3], np.tile(x[:2], (5, 1))):  # along fewer still
        small = sl.PCAMatrix(50, 3)
        small.train(few)
        assert small.is_orthonormal
        np.testing.assert_allclose(small.PCAMat @ small.PCAMat.T, np.eye(len(few)), atol=1e-5)
        back = small.reverse_transform(small.apply(few))  # the part of them along its directions
        np.testing.assert_allclose(back, few @ small.A.T @ small.A, atol=1e-4)
        np.testing.assert_allclose(back - back[0], few - few[0], atol=1e-4)
    with pytest.raises(sl.ArgumentError, match=r"20 principal components need at least .* are 19"):
        pca.train(x[:19])
    assert pca.is_trained  # as it was


def test_whitening_gives_every_component_one_variance(rng):
    x = vectors(rng, 500, 24)
    for rotated in (False, True):
        pca = sl.PCAMatrix(24, 12, -0.5, rotated)
        pca.train(x)
        y = pca.apply(x).astype(np.float64)
        np.testing.assert_allclose(y.T @ y, np.eye(12), atol=1e-3)
        assert not pca.is_orthonormal
        with pytest.raises(sl.UnsupportedError, match="cannot be reversed"):
            pca.reverse_transform(pca.apply(x))


def test_a_rotation_behind_the_components_keeps_distances(rng):
    x = vectors(rng, 300, 24)
    plain, rotated = sl.PCAMatrix(24, 10), sl.PCAMatrix(24, 10, 0, True)
    for pca in (plain, rotated):
        pca.train(x)
    a, b = plain.apply(x), rotated.apply(x)
    np.testing.assert_allclose((a**2).sum(1), (b**2).sum(1), rtol=1e-4)
    np.testing.assert_allclose(plain.reverse_transform(a), rotated.reverse_transform(b), atol=1e-3)
    assert np.var(b, axis=0).max() < 0.7 * np.var(a, axis=0).max()


def test_components_for_changed_settings(rng):
    x = vectors(rng, 300, 8)
    pca = sl.PCAMatrix(8, 4)
    pca.train(x)
    pca.eigen_power = -0.5
    pca.prepare_Ab()
    fresh = sl.PCAMatrix(8, 4, -0.5)
    fresh.train(x)
    np.testing.assert_array_equal(pca.A, fresh.A)
    np.testing.assert_array_equal(pca.b, fresh.b)
    narrow = sl.PCAMatrix(8, 2)
    narrow.copy_from(pca)
    np.testing.assert_array_equal(narrow.A, pca.PCAMat[:2])
    with pytest.raises(sl.NotTrainedError, match="knows 0 directions"):
        narrow.copy_from(sl.PCAMatrix(8, 8))
    for bins, power, words in ((3, 0, "does not divide d_out = 4"), (-1, 0, "at least 0")):
        pca.balanced_bins, pca.eigen_power = bins, power
        with pytest.raises(sl.ArgumentError, match=words):
            pca.prepare_Ab()
    pca.balanced_bins, pca.random_rotation = 2, True
    with pytest.raises(sl.ArgumentError, match="random_rotation mixes again"):
        pca.prepare_Ab()


def test_training_on_a_sample(rng):
    x = vectors(rng, 5000, 6)
    whole, part = sl.PCAMatrix(6, 6), sl.PCAMatrix(6, 6)
    part.max_points_per_d = 100
    whole.train(x)
    part.train(x)
    np.testing.assert_allclose(part.eigenvalues * 5000 / 600, whole.eigenvalues, rtol=0.2)
    assert (part.mean != whole.mean).any()


def test_any_number_of_threads_finds_the_same(rng):
    x = vectors(rng, 700, 90)
    before = sl.omp_get_max_threads()
    found = []
    for threads in (1, 4):
        sl.omp_set_num_threads(threads)
        pca = sl.PCAMatrix(90, 90, 0, True)
        pca.train(x)
        found.append((pca.A, pca.apply(x)))
    sl.omp_set_num_threads(before)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


# --- the others ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("d_in", "d_out"), [(5, 5), (40, 7), (7, 40), (130, 129), (1, 3)])
def test_random_rotations_are_orthonormal(rng, d_in, d_out):
    rotation = sl.RandomRotationMatrix(d_in, d_out)
    assert not rotation.is_trained
    rotation.train(np.zeros((1, d_in), np.float32))
    A = rotation.A.astype(np.float64)
    assert (A.shape, rotation.have_bias, rotation.b.size) == ((d_out, d_in), False, 0)
    square = A @ A.T if d_out <= d_in else A.T @ A
    np.testing.assert_allclose(square, np.eye(min(d_in, d_out)), atol=1e-5)
    assert rotation.is_orthonormal
    x = rng.normal(size=(90, d_in)).astype(np.float32)
    np.testing.assert_allclose(rotation.apply(x), x @ A.T, atol=1e-5)
    np.testing.assert_allclose(
        rotation.reverse_transform(rotation.apply(x)), x @ A.T @ A, atol=1e-5
    )
    rotation.init(7)
    assert (A.astype(np.float32) != rotation.A).any()
    other = sl.RandomRotationMatrix(d_in, d_out)
    other.init(7)
    np.testing.assert_array_equal(rotation.A, other.A)


def test_linear_transform_by_hand(rng):
    A, b = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    lt = sl.LinearTransform(5, 3, True)
    with pytest.raises(sl.NotTrainedError, match=r"must be trained"):
        lt.apply(np.zeros((1, 5)))
    with pytest.raises(sl.ArgumentError, match=r"0 values of A .* set A \(d_out, d_in\) and b"):
        lt.is_trained = True
    assert not lt.is_trained
    lt.A = A.ravel()  # flat, as faiss keeps it
    lt.b = b
    lt.is_trained = True
    lt.set_is_orthonormal()
    x = rng.normal(size=(200, 5)).astype(np.float32)
    np.testing.assert_allclose(lt.apply(x), x @ A.T + b, atol=1e-5)
    np.testing.assert_array_equal(lt.apply_py(x), lt.apply(x))
    np.testing.assert_array_equal(lt.apply(x[:1]), lt.apply(x)[:1])
    np.testing.assert_array_equal(
        lt.apply(x.astype(np.float16).astype(np.float32)), lt.apply(x.astype(np.float16))
    )
    assert not lt.is_orthonormal
    lt.A = np.linalg.qr(A.T)[0].T
    assert lt.is_orthonormal
    np.testing.assert_allclose(lt.apply(lt.reverse_transform(lt.apply(x))), lt.apply(x), atol=1e-5)
    lt.have_bias = False
    np.testing.assert_allclose(lt.apply(x), x @ lt.A.T, atol=1e-5)
    assert sl.downcast_VectorTransform(lt) is lt


def test_normalization_and_centering(rng):
    x = vectors(rng, 150, 9)
    x[3] = 0
    norm = sl.NormalizationTransform(9)
    assert (norm.is_trained, norm.norm, norm.d_in, norm.d_out) == (True, 2, 9, 9)
    wanted = x.copy()
    sl.normalize_L2(wanted)
    np.testing.assert_array_equal(norm.apply(x), wanted)
    np.testing.assert_array_equal(norm.reverse_transform(x), x)
    centering = sl.CenteringTransform(9)
    assert (centering.is_trained, centering.mean.size) == (False, 0)
    centering.train(x)
    np.testing.assert_allclose(centering.mean, x.mean(0, dtype=np.float64), atol=1e-6)
    np.testing.assert_array_equal(centering.apply(x), x - centering.mean)
    np.testing.assert_allclose(centering.reverse_transform(centering.apply(x)), x, atol=1e-6)
    centering.mean = np.arange(9)
    np.testing.assert_array_equal(centering.apply(x), x - np.arange(9, dtype=np.float32))


def test_bad_input(rng):
    x = vectors(rng, 50, 8)
    with pytest.raises(sl.ArgumentError, match=r"d_in = 8 .* no d_out = 9 principal components"):
        sl.PCAMatrix(8, 9)
    with pytest.raises(sl.UnsupportedError, match="norm = 1; only the L2 norm"):
        sl.NormalizationTransform(8, 1.0)
    with pytest.raises(sl.ArgumentError, match="more than a GiB"):
        sl.RandomRotationMatrix(1 << 20, 1 << 20)
    with pytest.raises(sl.DimensionError, match="1 to 1048576"):
        sl.LinearTransform(1 << 21, 1)
    with pytest.raises(sl.ArgumentError, match="d_in = 0; it must be at least 1"):
        sl.LinearTransform(0, 4)
    for make in (lambda: sl.PCAMatrix(8, 4), lambda: sl.CenteringTransform(8)):
        t = make()
        for train in (x[:, :5], x[:0], np.full_like(x, np.nan)):
            with pytest.raises(ValueError, match=r"takes 8|need at least|no vectors|NaN"):
                t.train(train)
        assert not t.is_trained
        with pytest.raises(sl.NotTrainedError, match="call train"):
            t.apply(x)
        t.train(x)
        with pytest.raises(sl.DimensionError, match=r"7 dimensions .* pass an array of shape"):
            t.apply(x[:, :7])
        with pytest.raises(sl.DimensionError, match="3 dimensions"):
            t.reverse_transform(x[:, :3])
    lt = sl.LinearTransform(8, 2)
    with pytest.raises(sl.DimensionError, match="A has 15 values; 16 are expected"):
        lt.A = np.zeros(15)
    with pytest.raises(sl.ArgumentError, match="A has NaN"):
        lt.A = np.full(16, np.nan)
    with pytest.raises(sl.ArgumentError, match="too large for float32"):
        sl.PCAMatrix(8, 2).train(x * np.float32(1e30))


def transforms(rng):
    x = vectors(rng, 60, 8)
    lt = sl.LinearTransform(8, 3, True)
    lt.A, lt.b = rng.normal(size=24), rng.normal(size=3)
    lt.is_trained = True
    made = {
        "linear": lt,
        "linear untrained": sl.LinearTransform(8, 3, True),
        "rotation": sl.RandomRotationMatrix(8, 12),
        "pca": sl.PCAMatrix(8, 4),
        "pca whitened, rotated": sl.PCAMatrix(8, 4, -0.5, True),
        "pca untrained": sl.PCAMatrix(8, 4, -0.5),
        "norm": sl.NormalizationTransform(8),
        "centering": sl.CenteringTransform(8),
        "centering untrained": sl.CenteringTransform(8),
    }
    for name, t in made.items():
        if "untrained" not in name and name != "linear":
            t.train(x)
    return made, x


def test_copies_and_files_are_the_same(rng):
    made, x = transforms(rng)
    for name, t in made.items():
        copies = [
            pickle.loads(pickle.dumps(t)),
            copy.deepcopy(t),
            sl.read_VectorTransform(io.BytesIO(to_bytes(t))),
        ]
        for again in copies:
            assert type(again) is type(t), name
            assert (again.d_in, again.d_out, again.is_trained) == (t.d_in, t.d_out, t.is_trained)
            assert to_bytes(again) == to_bytes(t)
            if t.is_trained:
                np.testing.assert_array_equal(again.apply(x), t.apply(x))
    made["pca"].max_points_per_d = 7
    assert copy.copy(made["pca"]).max_points_per_d == 7


def test_damaged_files_do_no_harm(rng):
    for t in transforms(rng)[0].values():
        data = bytearray(to_bytes(t))
        for n in range(0, len(data), 3):
            with pytest.raises(sl.CorruptIndexError):
                sl.read_VectorTransform(io.BytesIO(data[:n]))
        for at in range(len(data)):
            for bit in (at % 8, 7):
                data[at] ^= 1 << bit
                try:
                    again = sl.read_VectorTransform(io.BytesIO(data))
                    again.apply(np.zeros((1, again.d_in), np.float32))
                except (sl.CorruptIndexError, sl.NotTrainedError, NotImplementedError):
                    pass
                data[at] ^= 1 << bit
        native = bytearray(pickle.loads(pickle.dumps(t)).__reduce__()[1][0])
        for at in range(0, len(native), 11):
            native[at] ^= 16
            with pytest.raises(sl.CorruptIndexError):
                sl._core._transform_from_bytes(bytes(native))
            native[at] ^= 16


def test_training_waits_for_those_who_apply(rng):
    """A transform that is shared may be trained again at any time: never a torn matrix."""
    x = vectors(rng, 300, 32)
    centering = sl.CenteringTransform(32)
    centering.train(x)
    stop = threading.Event()
    wrong = []

    def look():
        while not stop.is_set():
            y = x - centering.apply(x)
            if not (abs(y - y[0]) < 1e-3).all():
                wrong.append(y)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for t in threads:
        t.start()
    for i in range(200):
        centering.train(x + i % 7 * 100)
    stop.set()
    for t in threads:
        t.join()
    assert not wrong


# --- beside faiss -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d", "d_out"), [(500, 20, 20), (500, 33, 7), (25, 40, 10)])
def test_components_are_those_of_faiss(rng, faiss, n, d, d_out):
    x = vectors(rng, n, d)
    for power in (0, -0.5):
        ours, theirs = sl.PCAMatrix(d, d_out, power), faiss.PCAMatrix(d, d_out, power)
        ours.train(x)
        theirs.train(x)
        values = faiss.vector_to_array(theirs.eigenvalues)
        some = min(n - 1, d)
        np.testing.assert_allclose(ours.eigenvalues[:some], values[:some], rtol=1e-2)
        a, b = ours.apply(x), theirs.apply(x)
        sign = np.sign((a * b).sum(0))
        np.testing.assert_allclose(a * sign, b, atol=2e-2 * abs(b).max())
        assert ours.is_orthonormal == theirs.is_orthonormal
        ours.copy_from(sl.read_VectorTransform(io.BytesIO(written(faiss, theirs))))
        A = faiss.vector_to_array(theirs.A).reshape(d_out, d)
        np.testing.assert_allclose(ours.A, A, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(ours.b, faiss.vector_to_array(theirs.b), rtol=1e-3, atol=1e-4)


def test_balanced_bins_are_those_of_faiss(rng, faiss):
    x = vectors(rng, 300, 12)
    theirs = faiss.PCAMatrix(12, 8)
    theirs.balanced_bins = 4
    theirs.train(x)
    ours = sl.read_VectorTransform(io.BytesIO(written(faiss, theirs)))
    wanted = ours.A
    ours.prepare_Ab()
    np.testing.assert_array_equal(ours.A, wanted)


def written(faiss, transform):
    writer = faiss.VectorIOWriter()
    faiss.write_VectorTransform(transform, writer)
    return faiss.vector_to_array(writer.data).tobytes()


def read_by(faiss, data):
    reader = faiss.VectorIOReader()
    faiss.copy_array_to_vector(np.frombuffer(data, np.uint8), reader.data)
    owner = faiss.read_VectorTransform(reader)
    transform = faiss.downcast_VectorTransform(owner)
    transform.kept = owner  # which would be freed with its last name
    return transform


def test_faiss_reads_our_transforms(rng, faiss):
    made, x = transforms(rng)
    del made["centering untrained"]  # which faiss does not read from its own files either
    for name, t in made.items():
        theirs = read_by(faiss, to_bytes(t))
        assert type(theirs).__name__ == type(t).__name__
        assert written(faiss, theirs) == to_bytes(t), name
        if t.is_trained:
            np.testing.assert_allclose(theirs.apply(x), t.apply(x), rtol=1e-4, atol=1e-4)


def test_we_read_the_transforms_of_faiss(rng, faiss):
    x = vectors(rng, 60, 8)
    opq = faiss.OPQMatrix(8, 2, 4)
    opq.niter, opq.verbose = 2, False
    for theirs, name in (
        (faiss.LinearTransform(8, 3, True), "LinearTransform"),
        (faiss.RandomRotationMatrix(8, 12), "RandomRotationMatrix"),
        (faiss.RandomRotationMatrix(8, 3), "RandomRotationMatrix"),
        (faiss.PCAMatrix(8, 4), "PCAMatrix"),
        (faiss.PCAMatrix(8, 4, -0.5, True), "PCAMatrix"),
        (faiss.NormalizationTransform(8, 2.0), "NormalizationTransform"),
        (faiss.CenteringTransform(8), "CenteringTransform"),
        (faiss.ITQMatrix(8), "ITQMatrix"),
        (faiss.ITQTransform(8, 4, True), "ITQTransform"),
        (faiss.RemapDimensionsTransform(8, 4, True), "RemapDimensionsTransform"),
        (faiss.RemapDimensionsTransform(8, 11, True), "RemapDimensionsTransform"),
        (opq, "LinearTransform"),
    ):
        for trained in (False, True):
            if trained:
                theirs.train(np.tile(x, (300, 1)) if theirs is opq else x)
            data = written(faiss, theirs)
            ours = sl.read_VectorTransform(io.BytesIO(data))
            assert type(ours).__name__ == name
            assert to_bytes(ours) == data
            assert ours.is_trained == theirs.is_trained
        if not theirs.is_trained:
            continue
        y = theirs.apply(x)
        np.testing.assert_allclose(ours.apply(x), y, rtol=1e-4, atol=1e-4)
        if name == "ITQMatrix":  # which faiss does not know to be orthonormal
            np.testing.assert_allclose(ours.reverse_transform(y), x, atol=1e-3)
        elif name != "LinearTransform" or ours.is_orthonormal:
            try:
                wanted = theirs.reverse_transform(y)
            except RuntimeError:
                with pytest.raises(sl.UnsupportedError):
                    ours.reverse_transform(y)
            else:
                np.testing.assert_allclose(ours.reverse_transform(y), wanted, atol=1e-3)
    other = faiss.HadamardRotation(8)
    with pytest.raises(NotImplementedError, match="not supported yet; read it with faiss"):
        sl.read_VectorTransform(io.BytesIO(written(faiss, other)))


def test_older_files_of_components(rng):
    """faiss up to 1.6 wrote fewer fields, under names of their own."""
    pca = transforms(rng)[0]["pca"]
    data = to_bytes(pca)
    assert data[:4] == b"Pcam"
    power, epsilon, rotated, bins = struct.unpack("<ff?i", data[4:17])
    assert (power, epsilon, rotated, bins) == (0, 0, False, 0)
    older = b"PcAm" + data[4:8] + data[12:]
    oldest = b"PCAm" + data[4:8] + data[12:13] + data[17:]
    for old in (older, oldest):
        assert to_bytes(sl.read_VectorTransform(io.BytesIO(old))) == data
