"""What is inside indexes, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core

__all__ = [
    "get_LinearTransform_matrix",
    "get_flat_codes",
    "get_flat_data",
    "get_invlist",
    "get_invlist_sizes",
    "get_pq_centroids",
    "make_LinearTransform_matrix",
]


def get_invlist(
    invlists: Any,
    l: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """The ids (size,) and codes (size, code_size) of list l of index.invlists."""
    return invlists.get_ids(l), invlists.get_codes(l)


def get_invlist_sizes(invlists: Any) -> npt.NDArray[np.int64]:
    """How many vectors each list of index.invlists holds."""
    return np.array([invlists.list_size(i) for i in range(invlists.nlist)], dtype=np.int64)


def get_pq_centroids(pq: Any) -> npt.NDArray[np.float32]:
    """The centroids (M, ksub, dsub) of a ProductQuantizer."""
    return np.asarray(pq.centroids)


def get_LinearTransform_matrix(
    pca: Any,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A (d_out, d_in) and b (d_out,), or empty, of any LinearTransform: y = A x + b."""
    return pca.A, pca.b


def make_LinearTransform_matrix(A: npt.ArrayLike, b: npt.ArrayLike | None = None) -> Any:
    """The LinearTransform of a matrix A (d_out, d_in) and a bias b (d_out,)."""
    A = np.asarray(A, dtype=np.float32)
    transform = _core.LinearTransform(A.shape[1], A.shape[0], b is not None)
    transform.A = A
    if b is not None:
        transform.b = np.asarray(b, dtype=np.float32)
    transform.is_trained = True
    return transform


def get_flat_data(index: Any) -> npt.NDArray[np.float32]:
    """The vectors (ntotal, d) of an IndexFlat."""
    return np.asarray(index.get_xb()).reshape(-1, index.d)


def get_flat_codes(index_flat: Any) -> npt.NDArray[np.uint8]:
    """The codes (ntotal, code_size) of an index whose codes lie one after the other."""
    return np.asarray(index_flat.codes).reshape(-1, index_flat.code_size)
