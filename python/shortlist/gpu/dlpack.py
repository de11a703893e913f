"""Arrays of any library by DLPack: where their numbers are, without a copy.

A capsule is read as the C structs of dlpack.h (versions 0 and 1) and taken over: it is renamed, and
its deleter is called when nobody needs the numbers any more.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, ClassVar

from .._core import ArgumentError

__all__ = ["CPU", "CUDA", "Borrowed", "borrow", "device_of"]

CPU, CUDA, _CUDA_HOST, _CUDA_MANAGED = 1, 2, 3, 13
_PLACES = {CPU: CPU, _CUDA_HOST: CPU, CUDA: CUDA, _CUDA_MANAGED: CUDA}
_CODES = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex"}
_BOOL = 6
_VERSION = (1, 1)  # that is asked for; every 1.x is read


class _Device(ctypes.Structure):
    _fields_: ClassVar = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class _Type(ctypes.Structure):
    _fields_: ClassVar = [
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
    ]


class _Tensor(ctypes.Structure):
    _fields_: ClassVar = [
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("type", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    _fields_: ClassVar = [
        ("tensor", _Tensor),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]


class _Versioned(ctypes.Structure):
    _fields_: ClassVar = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


_READ_ONLY = 1  # of the flags

# Name of a capsule, what it becomes, and what is inside. Names are kept: capsules point to them.
_KINDS = (
    (b"dltensor_versioned", b"used_dltensor_versioned", _Versioned),
    (b"dltensor", b"used_dltensor", _Managed),
)

_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.restype, _rename.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Borrowed:
    """The numbers behind a capsule, for as long as this lives.

    place: address of the first. strides: bytes. dtype: a name such as "float32".
    device: (CPU or CUDA, number).
    """

    def __init__(self, capsule: Any) -> None:
        kind = next((kind for kind in _KINDS if _is_valid(capsule, kind[0])), None)
        if kind is None:
            raise ArgumentError("the DLPack capsule was used already; make another for each use")
        name, used, form = kind
        address = _pointer(capsule, name)
        managed = form.from_address(address)
        _rename(capsule, used)
        if managed.deleter:
            weakref.finalize(self, _Deleter(managed.deleter), address).atexit = False
        if form is _Versioned and managed.major != _VERSION[0]:
            raise ArgumentError(
                f"the array speaks DLPack {managed.major}.{managed.minor}; expected 1.x"
            )
        tensor = managed.tensor
        self.read_only = form is _Versioned and bool(managed.flags & _READ_ONLY)
        self.device = (_PLACES.get(tensor.device.type, tensor.device.type), tensor.device.id)
        self.place = (tensor.data or 0) + tensor.byte_offset
        self.dtype = _name(tensor.type)
        self.shape = tuple(tensor.shape[: tensor.ndim])
        itemsize = tensor.type.bits * tensor.type.lanes // 8
        if tensor.strides:
            steps = tuple(tensor.strides[: tensor.ndim])
        else:
            steps, step = (), 1
            for n in reversed(self.shape):
                steps, step = (step, *steps), step * n
        self.strides = tuple(itemsize * step for step in steps)


def _name(kind: _Type) -> str:
    if kind.lanes != 1:
        return f"{kind.lanes} lanes"
    if kind.code == _BOOL:
        return "bool"
    return f"{_CODES.get(kind.code, f'DLPack code {kind.code} of ')}{kind.bits}"


def device_of(x: Any) -> tuple[int, int]:
    """Where an array is: CPU or CUDA (or another of DLPack's types), and its number there."""
    kind, number = x.__dlpack_device__()
    return _PLACES.get(int(kind), int(kind)), int(number)


def borrow(x: Any, stream: int | None = None) -> Borrowed:
    """The numbers of x; its library makes `stream` (a cudaStream_t) wait until they are there."""
    how: dict[str, Any] = {}
    if device_of(x)[0] == CUDA:
        # The array API's numbers: 1 is the legacy default stream, which CUDA calls 0.
        how["stream"] = stream or 1
    try:
        capsule = x.__dlpack__(max_version=_VERSION, **how)
    except TypeError:  # older than version 1
        capsule = x.__dlpack__(**how)
    return Borrowed(capsule)
