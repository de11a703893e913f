"""Arrays of several libraries as jobs find them: DLPack capsules, interfaces, outputs, streams."""

from __future__ import annotations

import ctypes
import gc
import weakref

import numpy as np
import pytest
import shortlist
from gpu_cases import host
from shortlist import GpuIndexFlat, StandardGpuResources
from shortlist.gpu import arrays, dlpack
from shortlist.gpu.arrays import Stream, look


class Other:
    """An array of a library that is not known, by DLPack alone; counts those who hold it."""

    def __init__(self, array, *, version: bool = True) -> None:
        self.array, self.version = array, version
        self.shape, self.dtype = array.shape, array.dtype

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **how):
        if not self.version and "max_version" in how:
            raise TypeError("max_version is not known")
        return self.array.__dlpack__(**how)


def read(place: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str) -> np.ndarray:
    """A copy of what is there."""
    span = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + np.dtype(dtype).itemsize
    bytes = np.frombuffer(ctypes.string_at(place, span), np.uint8)
    return np.ndarray(shape, dtype, bytes, 0, strides)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("version", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
def test_capsules_are_read(library, version, dtype):
    x = np.arange(24).reshape(2, 3, 4).astype(dtype)
    array = pytest.importorskip("torch").from_numpy(x) if library == "torch" else x
    for view, want in ((array, x), (array[:, 1:, ::2], x[:, 1:, ::2]), (array[1, 2], x[1, 2])):
        got = dlpack.borrow(Other(view, version=version))
        assert got.device == (dlpack.CPU, 0)
        assert (got.dtype, got.shape) == (dtype, want.shape)
        assert got.strides == want.strides
        np.testing.assert_array_equal(read(got.place, got.shape, got.strides, dtype), want)


def test_bfloat16_is_named():
    torch = pytest.importorskip("torch")
    assert dlpack.borrow(torch.zeros(3, dtype=torch.bfloat16)).dtype == "bfloat16"


@pytest.mark.parametrize("version", [False, True])
def test_a_capsule_is_taken_once_and_given_back(version):
    class Kept(np.ndarray):
        pass

    x = np.arange(5.0).view(Kept)
    capsule = x.__dlpack__(max_version=(1, 0)) if version else x.__dlpack__()
    alive = weakref.ref(x)
    got = dlpack.Borrowed(capsule)
    with pytest.raises(shortlist.ArgumentError, match="used already"):
        dlpack.Borrowed(capsule)
    del x, capsule
    gc.collect()
    assert alive() is not None  # the borrowed numbers hold it
    np.testing.assert_array_equal(read(got.place, (5,), (8,), "float64"), np.arange(5.0))
    del got
    gc.collect()
    assert alive() is None


def test_read_only_is_told():
    x = np.zeros((2, 2), np.float32)
    x.flags.writeable = False
    assert look(x).read_only
    assert dlpack.borrow(Other(x)).read_only


class Interface:
    """As numba's device arrays are, but in host memory."""

    def __init__(self, x: np.ndarray, **more) -> None:
        self.x = x
        self.__cuda_array_interface__ = {
            "shape": x.shape,
            "typestr": x.dtype.str,
            "data": (x.ctypes.data, False),
            "strides": None,
            "version": 3,
            **more,
        }


def test_the_cuda_array_interface():
    x = np.zeros((3, 4, 5), np.float16)
    got = look(Interface(x))
    assert (got.place, got.shape, got.strides) == (x.ctypes.data, x.shape, x.strides)
    assert (got.dtype, got.device, got.library, got.after) == ("float16", -1, "", None)
    assert look(Interface(x, strides=(4, 2, 2), stream=7)).strides == (4, 2, 2)
    assert look(Interface(x, stream=7)).after == 7
    assert look(Interface(np.zeros(0))).shape == (0,)
    with pytest.raises(TypeError, match="masked"):
        look(Interface(x, mask=Interface(x)))


@pytest.fixture
def index():
    return GpuIndexFlat(StandardGpuResources._over(host(1)), 5)


def test_arrays_on_gpus_do_not_go_to_an_index_on_the_host(index):
    with pytest.raises(shortlist.ArgumentError, match="x is on GPU -1; the index is on the host"):
        index.add(Interface(np.zeros((3, 5), np.float32)))


@pytest.mark.parametrize("version", [False, True])
def test_other_libraries(index, version):
    """Are used in place, and get numpy."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 5)).astype(np.float32)
    index.add(Other(x, version=version))
    want = index.search(x[:6], 3)
    q = x[:6].copy()
    for view in (q, np.pad(q, ((0, 0), (2, 1)))[:, 2:7], np.asfortranarray(q), q.astype(float)):
        got = index.search(Other(view, version=version), 3)
        for a, b in zip(got, want, strict=True):
            assert isinstance(a, np.ndarray)
            np.testing.assert_array_equal(a, b)
    D = np.empty((6, 3), np.float32)
    I = np.empty((6, 3), np.int64)
    out = Other(D), Other(I)
    got = index.search(Other(q), 3, D=out[0], I=out[1])
    assert got[0] is out[0]
    np.testing.assert_array_equal(I, want[1])
    np.testing.assert_array_equal(D, want[0])


def test_tensors_are_used_where_they_are(index, monkeypatch):
    """Jobs get the addresses of the caller's own arrays."""
    torch = pytest.importorskip("torch")
    wide = GpuIndexFlat(index.getResources(), 8)
    wide.add(torch.ones(4, 8))
    q = torch.zeros(2, 8)
    seen = []
    monkeypatch.setattr(
        "shortlist.gpu.resources.Work.run", lambda self, name, **job: seen.append((name, job))
    )
    D, I = wide.search(q, 3)
    (name, job) = seen[-1]
    assert name == "scan"
    assert (job["queries"], job["distances"], job["numbers"]) == (
        q.data_ptr(),
        D.data_ptr(),
        I.data_ptr(),
    )


def test_what_is_no_array():
    with pytest.raises(TypeError, match="cannot be read as an array"):
        look([[1, 2], [3]])
    for dtype in (object, "U3", "datetime64[s]", complex):
        with pytest.raises(TypeError, match="expected float32, or another real dtype"):
            arrays.as_floats(look(np.zeros((1, 1), dtype)), "x", Stream(0))
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="to_dense"):
        look(torch.eye(3).to_sparse())
    with pytest.raises(shortlist.ArgumentError, match="meta"):
        look(torch.zeros(2, 2, device="meta"))

    class Elsewhere(Other):
        def __dlpack_device__(self):
            return 8, 0

    with pytest.raises(shortlist.ArgumentError, match="DLPack's type 8"):
        look(Elsewhere(np.zeros(3)))


def test_streams():
    class Torch:
        cuda_stream = 11

    class CuPy:
        ptr = 12

    class Protocol:
        def __cuda_stream__(self):
            return 0, 13

    x = look(np.zeros((1, 1), np.float32))
    default = Stream(5)
    for stream, handle in (
        (None, 5),
        (0, 0),
        (7, 7),
        (Torch(), 11),
        (CuPy(), 12),
        (Protocol(), 13),
    ):
        got = arrays.stream_of(x, stream, default)
        assert got.handle == handle
        assert got.owner is (None if stream is None or isinstance(stream, int) else stream)
    for bad in (True, 1.5, "s"):
        with pytest.raises(TypeError, match="stream is a"):
            arrays.stream_of(x, bad, default)


def test_other_streams_are_waited_for():
    """One that wrote, before others read; those that read, before another writes."""

    class Engine:
        host, device = True, 0

        def __init__(self) -> None:
            self.own, self.waited = host(1), []

        def __getattr__(self, name):
            return getattr(self.own, name)

        def synchronize(self, stream):
            self.waited.append(stream)

    from shortlist.gpu.index import _Order

    engine = Engine()
    order = _Order(engine)

    def go(kind, stream):
        engine.waited.clear()
        getattr(order, kind)(Stream(stream))
        return sorted(engine.waited)

    assert go("reading", 1) == []
    assert go("writing", 1) == []
    assert go("reading", 1) == []
    assert go("reading", 2) == [1]
    assert go("reading", 3) == [1]
    assert go("writing", 2) == [1, 3]
    assert go("reading", 2) == []
    assert go("writing", 3) == [2]


def test_importing_is_lazy(python):
    said = python("""
import sys, shortlist
print("shortlist.gpu" in sys.modules, "torch" in sys.modules)
shortlist.GpuIndexFlatConfig()
print("shortlist.gpu" in sys.modules, "torch" in sys.modules)
""")
    assert said.split() == ["False", "False", "True", "False"]
