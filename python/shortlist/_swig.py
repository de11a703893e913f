"""What faiss programs need because faiss's Python is SWIG's: pointers, std::vectors, base classes.

Here arrays are arrays and objects have their own class already, so most of these hand back what
they are given. What a field of an index gives is a copy: to change it, assign a whole one.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import _core

__all__ = [
    "copy_array_to_vector",
    "downcast_IndexBinary",
    "downcast_InvertedLists",
    "downcast_index",
    "rev_swig_ptr",
    "swig_ptr",
    "vector_float_to_array",
    "vector_to_array",
]

T = TypeVar("T")


def swig_ptr(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself, where faiss has a pointer: IDSelectorBatch(n, swig_ptr(ids)).

    a: a C-contiguous numpy array. Raises ValueError for another, TypeError for anything else.
    """
    if not isinstance(a, np.ndarray):
        raise TypeError(f"swig_ptr takes a numpy array, not {type(a).__name__}")
    if not a.flags.c_contiguous:
        raise ValueError("the array is not C-contiguous; pass np.ascontiguousarray(a)")
    return a


def rev_swig_ptr(ptr: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """The first n values of an array that stands where faiss has a pointer: index.get_xb().

    Raises ArgumentError where there are fewer, TypeError if it is no array.
    """
    flat = _array(ptr, "rev_swig_ptr").reshape(-1)
    if not 0 <= n <= flat.size:
        raise _core.ArgumentError(f"n = {n} values of an array of {flat.size} were asked for")
    return flat[:n]


def vector_to_array(v: Any) -> npt.NDArray[Any]:
    """A copy, in one dimension, of an array that stands where faiss has a std::vector.

    v: such as index.pq.centroids, pca.A, index.codes, id_map. Raises TypeError if it is no array.
    """
    return _array(v, "vector_to_array").reshape(-1).copy()


vector_float_to_array = vector_to_array


def copy_array_to_vector(a: npt.NDArray[Any], v: Any) -> None:
    """Raises UnsupportedError: what faiss copies to is here read as a copy, and can be assigned.

    `transform.A = a` and `transform.b = b` do what faiss.copy_array_to_vector does.
    """
    raise _core.UnsupportedError(
        "fields are read as copies, to which copying changes nothing; assign the field instead, "
        "as in transform.A = a"
    )


def downcast_index(index: T) -> T:
    """The index itself: it has its own class already."""
    return index


downcast_IndexBinary = downcast_index
downcast_InvertedLists = downcast_index


def _array(a: Any, function: str) -> npt.NDArray[Any]:
    if not isinstance(a, np.ndarray):
        raise TypeError(f"{function} takes a numpy array here, not {type(a).__name__}")
    return a
