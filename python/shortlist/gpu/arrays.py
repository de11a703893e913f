"""Arrays in and out: numpy's, and those that a device holds, which are used where they are.

torch and CuPy are never imported here: an array of theirs says that they are there. Others are read
by DLPack, or by the CUDA array interface.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import ArgumentError, DimensionError
from . import dlpack

__all__ = ["Array", "Stream", "as_floats", "empty", "in_kind", "look", "stream_of", "to_numpy"]


@dataclass(frozen=True)
class Array:
    """Where an array's numbers are. strides: bytes.

    device: a GPU's number, -1 for one that is not told, or None for the host. library: "numpy",
    "torch", "cupy", or "" for others. given: the array itself; keep: what holds its numbers where
    that is another. after: the stream that must be waited for, if any.
    """

    place: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: int | None
    library: str
    read_only: bool
    given: Any
    keep: Any = None
    after: int | None = None

    @property
    def contiguous(self) -> bool:
        """In C order."""
        step = np.dtype(self.dtype).itemsize
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n > 1 and stride != step:
                return False
            step *= n
        return True


@dataclass(frozen=True)
class Stream:
    """A cudaStream_t, and what keeps it alive."""

    handle: int
    owner: Any = None


def _of(x: Any, library: str, kind: str) -> bool:
    module = sys.modules.get(library)
    return module is not None and isinstance(x, getattr(module, kind, ()))


@cache
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name


def look(x: Any, name: str = "x", stream: int | None = None) -> Array:
    """What x is and where. Lists become numpy arrays.

    stream: on which it will be used; libraries that are read by DLPack make it wait for x.
    Raises TypeError for what is no array and ArgumentError for one on a device that is no GPU.
    """
    if isinstance(x, np.ndarray):
        if not x.dtype.isnative:
            x = x.astype(x.dtype.newbyteorder("="))
        place, read_only = x.__array_interface__["data"]
        return Array(place, x.shape, x.strides, _name(x.dtype), None, "numpy", read_only, x)
    if _of(x, "torch", "Tensor"):
        return _look_at_tensor(x, name)
    if _of(x, "cupy", "ndarray"):
        return Array(x.data.ptr, x.shape, x.strides, x.dtype.name, x.device.id, "cupy", False, x)
    if hasattr(x, "__dlpack__"):
        kind, _ = dlpack.device_of(x)
        if kind not in (dlpack.CPU, dlpack.CUDA):
            raise ArgumentError(
                f"{name} is on a device of DLPack's type {kind}; expected a CUDA GPU or the host"
            )
        held = dlpack.borrow(x, stream)
        device = held.device[1] if kind == dlpack.CUDA else None
        return Array(
            held.place, held.shape, held.strides, held.dtype, device, "", held.read_only, x, held
        )
    if hasattr(x, "__cuda_array_interface__"):
        return _look_at_interface(x, name)
    try:
        out = np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{name} cannot be read as an array ({error})") from None
    return look(out, name)


def _look_at_tensor(x: Any, name: str) -> Array:
    if str(x.layout) != "torch.strided":
        raise TypeError(f"{name} has layout {x.layout}; expected a dense tensor: {name}.to_dense()")
    if x.device.type not in ("cpu", "cuda"):
        raise ArgumentError(f"{name} is on {x.device}; expected a CUDA GPU or the host")
    x = x.detach().resolve_conj().resolve_neg()
    size = x.element_size()
    return Array(
        x.data_ptr(),
        tuple(x.shape),
        tuple(size * s for s in x.stride()),
        str(x.dtype).removeprefix("torch."),
        x.device.index if x.device.type == "cuda" else None,
        "torch",
        False,
        x,
    )


def _look_at_interface(x: Any, name: str) -> Array:
    told = x.__cuda_array_interface__
    if told.get("mask") is not None:
        raise TypeError(f"{name} is masked; expected a plain array")
    dtype, shape = np.dtype(told["typestr"]), tuple(told["shape"])
    place, read_only = told["data"]
    strides = told.get("strides")
    if strides is None:
        steps = np.cumprod((dtype.itemsize, *shape[:0:-1]), dtype=np.int64)[: len(shape)]
        strides = tuple(int(s) for s in steps[::-1])
    return Array(
        place or 0,
        shape,
        tuple(strides),
        dtype.name,
        -1,
        "",
        bool(read_only),
        x,
        after=told.get("stream"),
    )


def stream_of(x: Array | None, stream: Any, default: Stream) -> Stream:
    """Where the work on x goes: `stream` (an int, or one of torch's or CuPy's), else the current
    one of x's library, else the default."""
    if stream is not None:
        for attribute in ("cuda_stream", "ptr"):
            if hasattr(stream, attribute):
                return Stream(int(getattr(stream, attribute)), stream)
        if hasattr(stream, "__cuda_stream__"):
            return Stream(int(stream.__cuda_stream__()[1]), stream)
        if isinstance(stream, bool) or not isinstance(stream, int):
            raise TypeError(
                f"stream is a {type(stream).__name__}; expected a cudaStream_t as an int, or a "
                "stream of torch or CuPy"
            )
        return Stream(stream)
    if x is None or x.device is None:
        return default
    if x.library == "torch":
        now = sys.modules["torch"].cuda.current_stream(x.device)
        return Stream(int(now.cuda_stream), now)
    if x.library == "cupy":
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(x.device):
            now = cupy.cuda.get_current_stream()
        return Stream(int(now.ptr), now)
    return default


@contextmanager
def _current(x: Array, stream: Stream) -> Iterator[None]:
    """Within, x's library works on that stream and on x's device."""
    if x.device is None or x.library not in ("torch", "cupy"):
        yield
    elif x.library == "torch":
        cuda = sys.modules["torch"].cuda
        if cuda.current_stream(x.device).cuda_stream == stream.handle:
            yield
        else:
            with cuda.stream(cuda.ExternalStream(stream.handle, device=x.device)):
                yield
    else:
        cuda = sys.modules["cupy"].cuda
        with cuda.Device(x.device), cuda.ExternalStream(stream.handle):
            yield


def as_floats(x: Array, name: str, stream: Stream, *, halves: bool = False) -> Array:
    """x (n, d) as float32 whose rows have their numbers side by side; a copy by x's own library
    where it is not. With `halves` rounded to float16 in between.

    Raises DimensionError for another number of dimensions and TypeError for numbers that are not
    real, or that only x's library could convert.
    """
    if len(x.shape) != 2:
        raise DimensionError(
            f"{name} has shape {x.shape}; expected 2 dimensions (n, d)"
            + (f": pass {name}[None, :] for a single vector" if len(x.shape) == 1 else "")
        )
    real = x.dtype in ("bool", "bfloat16") or x.dtype.startswith(("float", "int", "uint"))
    if not real:
        raise TypeError(f"{name} has dtype {x.dtype}; expected float32, or another real dtype")
    n, d = x.shape
    apart = x.strides[0] if n > 1 else 4 * d
    plain = (d <= 1 or x.strides[1] == 4) and apart >= 4 * d and (x.place | apart) % 4 == 0
    if x.dtype == "float32" and plain and not halves:
        return x
    if x.library == "torch":
        torch = sys.modules["torch"]
        with _current(x, stream):
            out = x.given.to(torch.float16) if halves and x.dtype != "float16" else x.given
            return look(out.to(torch.float32).contiguous(), name)
    if x.library == "" and x.device is not None:
        raise TypeError(
            f"{name} is {x.dtype} of strides {x.strides} on a GPU, by a library that is not known; "
            "expected float32 in C order"
            + (", and torch or CuPy for float16 storage" if halves else ", or torch or CuPy")
        )
    with _current(x, stream):
        given = to_numpy(x) if x.library == "" else x.given
        if halves:
            with np.errstate(over="ignore"):
                given = given.astype(np.float16)
        out = given.astype(np.float32, order="C", copy=False)
        if not out.flags.c_contiguous:
            out = out.copy(order="C")
        made = look(out, name)
    # What becomes of results goes by what was given.
    return made if x.library else Array(**{**vars(made), "library": "", "keep": out})


def to_numpy(x: Array) -> npt.NDArray[Any]:
    """x, which is on the host, as numpy sees it. Raises TypeError for bfloat16."""
    if isinstance(x.given, np.ndarray):
        return x.given
    interface = {
        "data": (x.place, x.read_only),
        "shape": x.shape,
        "strides": x.strides,
        "typestr": np.dtype(x.dtype).str,
        "version": 3,
    }
    holder = type("Held", (), {"__array_interface__": interface, "array": x})()
    return np.asarray(holder)


def in_kind(like: Array, made: npt.NDArray[Any]) -> Any:
    """What is on the host as torch has it there, where `like` is torch's; else as it is."""
    return sys.modules["torch"].from_numpy(made) if like.library == "torch" else made


def empty(like: Array, shape: tuple[int, ...], dtype: str, stream: Stream) -> Array:
    """A fresh array of the library and the place of `like`; of numpy for libraries not known."""
    if like.library == "torch":
        torch = sys.modules["torch"]
        with _current(like, stream):
            return look(torch.empty(shape, dtype=getattr(torch, dtype), device=like.given.device))
    if like.library == "cupy":
        with _current(like, stream):
            return look(sys.modules["cupy"].empty(shape, dtype=dtype))
    return look(np.empty(shape, dtype))
