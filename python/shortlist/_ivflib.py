"""faiss's functions about the inverted file inside an index."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from . import _core
from ._knobs import parts

__all__ = [
    "check_compatible_for_merge",
    "extract_index_ivf",
    "merge_into",
    "range_search_with_parameters",
    "search_with_parameters",
    "try_extract_index_ivf",
]


def try_extract_index_ivf(index: Any) -> Any:
    """The IndexIVF that an IDMap, a Refine or transforms wrap, or None where there is none."""
    return next((part for part in parts(index) if isinstance(part, _core.IndexIVF)), None)


def extract_index_ivf(index: Any) -> Any:
    """As try_extract_index_ivf, but raises ArgumentError where there is none."""
    found = try_extract_index_ivf(index)
    if found is None:
        raise _core.ArgumentError(f"there is no IndexIVF in this {type(index).__name__}")
    return found


def check_compatible_for_merge(index1: Any, index2: Any) -> None:
    """Raises ArgumentError or DimensionError unless merge_into could merge the two."""
    index1.check_compatible_for_merge(index2)


def merge_into(index0: Any, index1: Any, shift_ids: bool) -> None:
    """Moves the vectors of index1 behind those of index0, which was trained with it.

    shift_ids: whether ids of index1 grow by index0.ntotal. Raises what merge_from raises.
    """
    index0.merge_from(index1, index0.ntotal if shift_ids else 0)


def search_with_parameters(
    index: Any, x: npt.ArrayLike, k: int, params: Any = None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """index.search(x, k, params=params), whose params are those of the IndexIVF inside."""
    D, I = index.search(x, k, params=_around(index, params))
    return D, I


def range_search_with_parameters(
    index: Any, x: npt.ArrayLike, radius: float, params: Any = None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """index.range_search(x, radius, params=params), params being those of the IndexIVF inside."""
    lims, D, I = index.range_search(x, radius, params=_around(index, params))
    return lims, D, I


def _around(index: Any, params: Any) -> Any:
    if params is not None and isinstance(index, _core.IndexPreTransform):
        return _core.SearchParametersPreTransform(index_params=_around(index.index, params))
    return params
