"""The .fvecs and .fbin families: their types, and writing them. Reading is in `datasets`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

PathLike = str | os.PathLike[str]

MAX_DIM = 1 << 20

# suffix -> type on disk. vecs: an int32 width before every row. bin: u32 rows, u32 columns, data.
VECS: dict[str, np.dtype[Any]] = {
    ".fvecs": np.dtype("<f4"),
    ".ivecs": np.dtype("<i4"),
    ".bvecs": np.dtype("u1"),
}
BIN: dict[str, np.dtype[Any]] = {
    ".fbin": np.dtype("<f4"),
    ".u8bin": np.dtype("u1"),
    ".i8bin": np.dtype("i1"),
    ".bbin": np.dtype("u1"),
    ".ibin": np.dtype("<i4"),
}


def check_dim(path: PathLike, columns: int) -> None:
    if not 1 <= columns <= MAX_DIM:
        raise ValueError(
            f"{path}: {columns} columns; expected 1 to {MAX_DIM}. "
            "Does the suffix match the content?"
        )


def write_fvecs(path: PathLike, x: Any) -> None:
    """Write rows as .fvecs (float32)."""
    _write_vecs(path, x, VECS[".fvecs"])


def write_ivecs(path: PathLike, x: Any) -> None:
    """Write rows as .ivecs (int32); integers that do not fit raise ValueError."""
    _write_vecs(path, x, VECS[".ivecs"])


def write_bvecs(path: PathLike, x: Any) -> None:
    """Write rows as .bvecs (uint8); integers that do not fit raise ValueError."""
    _write_vecs(path, x, VECS[".bvecs"])


def write_fbin(path: PathLike, x: Any) -> None:
    """Write rows as .fbin (float32)."""
    _write_bin(path, x, BIN[".fbin"])


def write_u8bin(path: PathLike, x: Any) -> None:
    """Write rows as .u8bin (uint8); integers that do not fit raise ValueError."""
    _write_bin(path, x, BIN[".u8bin"])


def write_i8bin(path: PathLike, x: Any) -> None:
    """Write rows as .i8bin (int8); integers that do not fit raise ValueError."""
    _write_bin(path, x, BIN[".i8bin"])


def write_ibin(path: PathLike, x: Any) -> None:
    """Write rows as .ibin (int32); integers that do not fit raise ValueError."""
    _write_bin(path, x, BIN[".ibin"])


def _write_vecs(path: PathLike, x: Any, dtype: np.dtype[Any]) -> None:
    x = _castable(path, x, dtype)
    row = np.dtype([("width", "<i4"), ("values", dtype, (x.shape[1],))])
    out = np.empty(len(x), row)
    out["width"], out["values"] = x.shape[1], x
    _write_whole(path, out)


def _write_bin(path: PathLike, x: Any, dtype: np.dtype[Any]) -> None:
    x = _castable(path, x, dtype)
    _write_whole(path, np.array(x.shape, "<u4"), x)


def _castable(path: PathLike, x: Any, dtype: np.dtype[Any]) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"{path}: cannot write shape {x.shape}; expected rows and columns")
    check_dim(path, x.shape[1])
    if dtype.kind == "f":
        if x.dtype.kind not in "fiu":
            raise ValueError(f"{path}: cannot write {x.dtype} as {dtype}")
    elif x.dtype.kind not in "iu":
        raise ValueError(f"{path}: cannot write {x.dtype} as {dtype}; round or scale it first")
    else:
        low, high, limits = int(x.min()), int(x.max()), np.iinfo(dtype)
        if low < limits.min or high > limits.max:
            raise ValueError(f"{path}: values from {low} to {high} do not fit {dtype}")
    return np.ascontiguousarray(x, dtype)


def _write_whole(path: PathLike, *arrays: np.ndarray) -> None:
    """Under a temporary name first: a file that exists is a file that is complete."""
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            for array in arrays:
                array.tofile(file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
