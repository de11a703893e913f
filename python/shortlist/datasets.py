"""Vectors in files: one reader per format, all giving the same `Vectors`.

`load(path)` picks the reader by suffix. A `Vectors` is a matrix that may be larger than memory:
len, dim, dtype, read(start, stop), chunks() and shards(); `numpy.asarray` gives it as an array.
Headers are checked against the size of the file before anything is read.
"""

from __future__ import annotations

import gzip
import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._vector_files import (
    BIN,
    VECS,
    PathLike,
    check_dim,
    write_bvecs,
    write_fbin,
    write_fvecs,
    write_i8bin,
    write_ibin,
    write_ivecs,
    write_u8bin,
)

__all__ = [
    "Dataset",
    "Truth",
    "Vectors",
    "load",
    "read_bvecs",
    "read_fbin",
    "read_fvecs",
    "read_hdf5",
    "read_i8bin",
    "read_ibin",
    "read_ivecs",
    "read_npy",
    "read_parquet",
    "read_truth",
    "read_u8bin",
    "sample",
    "sample_path",
    "write_bvecs",
    "write_fbin",
    "write_fvecs",
    "write_i8bin",
    "write_ibin",
    "write_ivecs",
    "write_u8bin",
]

_CHUNK_BYTES = 64 << 20
_HEADER_CHECKS = 1000
_VECTOR_TYPES = ("float32", "float16", "float64", "uint8", "int8", "int32", "int64", "uint32")
_SAMPLES = {"sift": "l2", "texts": "ip"}


class Vectors:
    """A matrix of vectors in a file, read when asked for.

    `len(v)` rows of `v.dim` columns of `v.dtype`. `v.read(start, stop)` copies rows into memory,
    `v.chunks()` goes over all of them, `np.asarray(v)` maps or reads the whole.
    """

    def __init__(self, rows: Any, name: str, dtype: Any = None) -> None:
        """`rows`: a 2-D array, memory map or HDF5 data set; `name` is used in messages."""
        self._rows = rows
        self.name = name
        self.dtype = np.dtype(dtype or rows.dtype).newbyteorder("=")
        self._count, self.dim = (int(x) for x in rows.shape)

    def __len__(self) -> int:
        return self._count

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.dim

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start..stop-1 as a C-contiguous array. Raises IndexError outside 0..len."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"{self.name}: rows {start}..{stop} of {len(self)}")
        rows = self._rows
        if isinstance(rows, np.memmap) and rows.flags.c_contiguous and rows.size:
            # Mapped pages would count as this process's memory for as long as there is room.
            at = _place_in_file(rows) + start * rows.strides[0]
            count = (stop - start) * self.dim
            read = np.fromfile(str(rows.filename), rows.dtype, count, offset=at)
            if len(read) == count:
                return read.reshape(-1, self.dim).astype(self.dtype, copy=False)
        return np.ascontiguousarray(rows[start:stop], dtype=self.dtype)

    def identity(self) -> list[Any] | None:
        """What changes when the file does, or None where that is not known."""
        path = getattr(self._rows, "filename", None)
        if not path:
            return None
        stat = Path(path).stat()
        return [str(path), stat.st_size, stat.st_mtime_ns, *self.shape, str(self.dtype)]

    def chunks(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """All rows in order, `rows` at a time (default: about 64 MiB)."""
        rows = rows or max(1, _CHUNK_BYTES // (self.dim * self.dtype.itemsize))
        for start in range(0, len(self), rows):
            yield self.read(start, min(start + rows, len(self)))

    def shards(self) -> list[Vectors]:
        """The parts that can be read independently: one per file."""
        return [self]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        rows = self._rows
        if not isinstance(rows, np.ndarray) or rows.dtype != self.dtype:
            rows = self.read(0, len(self))
        return (
            np.array(rows, dtype=dtype or self.dtype, copy=True)
            if copy
            else np.asarray(rows, dtype=dtype)
        )

    def __repr__(self) -> str:
        return f"Vectors({self.name!r}, {len(self)} x {self.dim} {self.dtype})"


def _place_in_file(rows: np.memmap[Any, Any]) -> int:
    """Where the first value stands; rows may be a part of what was mapped."""
    mapped: Any = rows._mmap  # type: ignore[attr-defined]
    begin = np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
    skipped = rows.offset - rows.offset % mmap.ALLOCATIONGRANULARITY
    return int(skipped + rows.__array_interface__["data"][0] - begin)


class _Shards(Vectors):
    """Files of one format, one behind the other."""

    def __init__(self, parts: list[Vectors], name: str) -> None:
        self._parts = parts
        self.name, self.dtype, self.dim = name, parts[0].dtype, parts[0].dim
        for part in parts[1:]:
            if (part.dim, part.dtype) != (self.dim, self.dtype):
                raise ValueError(
                    f"{part.name}: {part.dim} columns of {part.dtype}; expected "
                    f"{self.dim} of {self.dtype} as in {parts[0].name}"
                )
        self._ends = np.cumsum([len(p) for p in parts])
        self._rows, self._count = None, int(self._ends[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"{self.name}: rows {start}..{stop} of {len(self)}")
        out = np.empty((stop - start, self.dim), self.dtype)
        for part, end in zip(self._parts, self._ends.tolist(), strict=True):
            begin = end - len(part)
            low, high = max(start, begin), min(stop, end)
            if low < high:
                out[low - start : high - start] = part.read(low - begin, high - begin)
        return out

    def shards(self) -> list[Vectors]:
        return list(self._parts)

    def identity(self) -> list[Any] | None:
        parts = [part.identity() for part in self._parts]
        return None if None in parts else parts


class Truth(NamedTuple):
    """True neighbours: ids (n, k), nearest first, and their distances where the file has them."""

    ids: np.ndarray
    distances: np.ndarray | None = None


@dataclass
class Dataset:
    """Vectors to index, queries, and what is true about them.

    metric is "l2", "ip" or "cosine". `texts`, `query_texts` and `relevant` (for each query the
    rows of base that answer it) are there for text samples.
    """

    name: str
    base: Vectors
    queries: Vectors
    truth: np.ndarray | None = field(repr=False)
    metric: str
    distances: np.ndarray | None = field(default=None, repr=False)
    texts: list[str] = field(default_factory=list, repr=False)
    query_texts: list[str] = field(default_factory=list, repr=False)
    relevant: list[list[int]] = field(default_factory=list, repr=False)


def load(
    path: PathLike,
    *,
    column: str | None = None,
    key: str | None = None,
    cropped: bool = False,
    metric: str | None = None,
) -> Vectors | Dataset:
    """Open vectors by suffix, or a folder or ann-benchmarks file as a Dataset.

    .npy .fvecs .ivecs .bvecs .fbin .u8bin .i8bin .ibin .bin .parquet -> Vectors, memory-mapped
    where the layout allows. .hdf5/.h5 -> Dataset, or the Vectors named by `key`.
    A folder with base.*, query.* and gt.* -> Dataset; a folder of .npy or .parquet -> Vectors.

    column: of a Parquet file; needed when several columns hold vectors.
    cropped: accept a .fbin-family file that ends before its header's row count.
    metric: of a Dataset, "l2", "ip" or "cosine"; default: what the file says or its truth shows.
    Raises FileNotFoundError, or ValueError naming the file, what was found and what was expected.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.is_dir():
        return _load_folder(path, column, metric)
    if suffix in (".hdf5", ".h5"):
        return read_hdf5(path, key) if key else _load_ann_benchmarks(path, metric)
    if suffix in (".parquet", ".pq"):
        return read_parquet(path, column)
    if suffix == ".npy":
        return read_npy(path)
    if suffix == ".bin":
        return Vectors(read_truth(path).ids, str(path))
    if suffix in VECS:
        return _read_vecs(path, VECS[suffix])
    if suffix in BIN:
        return _read_bin(path, BIN[suffix], cropped)
    _file_size(path)
    known = [".npy", *VECS, *BIN, ".bin", ".parquet", ".hdf5"]
    raise ValueError(f"{path}: unknown suffix {path.suffix!r}; expected one of {', '.join(known)}")


def sample(name: str) -> Dataset:
    """A small data set that ships with the package.

    "sift": 12,000 image descriptors (128 x uint8, L2) and 500 queries.
    "texts": 2,200 dictionary entries (384 x float16, inner product) and 300 queries, with texts.
    Both with exact neighbours. Raises ValueError for another name.
    """
    folder = sample_path(name)
    dataset = _load_folder(folder, None, _SAMPLES[name])
    assert isinstance(dataset, Dataset)
    if name == "texts":
        dataset.texts = _json_lines(folder / "passages.jsonl.gz")
        dataset.query_texts = _json_lines(folder / "queries.jsonl.gz")
        dataset.relevant = [[] for _ in dataset.query_texts]
        for line in (folder / "qrels.tsv").read_text().splitlines():
            query, passage = line.split("\t")
            dataset.relevant[int(query)].append(int(passage))
    return dataset


def sample_path(name: str) -> Path:
    """The folder of a sample. Raises ValueError for another name."""
    if name not in _SAMPLES:
        raise ValueError(f"no sample {name!r}; there are {', '.join(map(repr, _SAMPLES))}")
    return Path(__file__).parent / "sample" / name


# ---- one reader per format ---------------------------------------------------------------------


def read_npy(path: PathLike) -> Vectors:
    """A 2-D, C-ordered .npy file, memory-mapped."""
    _file_size(path)
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # numpy raises many kinds on damaged headers
        raise ValueError(f"{path}: not a readable .npy file: {error}") from None
    if not isinstance(rows, np.ndarray):
        rows.close()
        raise ValueError(f"{path}: an archive of arrays; expected one array in a .npy file")
    if rows.ndim != 2:
        raise ValueError(f"{path}: shape {rows.shape}; expected 2 dimensions, rows and columns")
    if rows.dtype.newbyteorder("=").name not in _VECTOR_TYPES:
        raise ValueError(f"{path}: {rows.dtype}; expected one of {', '.join(_VECTOR_TYPES)}")
    check_dim(path, rows.shape[1])
    if not rows.flags.c_contiguous:
        raise ValueError(
            f"{path}: stored column by column (Fortran order); "
            "save numpy.ascontiguousarray(x) instead"
        )
    return Vectors(rows, str(path))


def read_fvecs(path: PathLike) -> Vectors:
    """float32 rows, each behind its int32 width (TEXMEX); memory-mapped."""
    return _read_vecs(path, VECS[".fvecs"])


def read_ivecs(path: PathLike) -> Vectors:
    """int32 rows, each behind its int32 width (TEXMEX ground truth); memory-mapped."""
    return _read_vecs(path, VECS[".ivecs"])


def read_bvecs(path: PathLike) -> Vectors:
    """uint8 rows, each behind its int32 width (TEXMEX); memory-mapped."""
    return _read_vecs(path, VECS[".bvecs"])


def read_fbin(path: PathLike, cropped: bool = False) -> Vectors:
    """float32 rows behind uint32 rows and columns (big-ann); memory-mapped."""
    return _read_bin(path, BIN[".fbin"], cropped)


def read_u8bin(path: PathLike, cropped: bool = False) -> Vectors:
    """uint8 rows behind uint32 rows and columns (big-ann); memory-mapped."""
    return _read_bin(path, BIN[".u8bin"], cropped)


def read_i8bin(path: PathLike, cropped: bool = False) -> Vectors:
    """int8 rows behind uint32 rows and columns (big-ann); memory-mapped."""
    return _read_bin(path, BIN[".i8bin"], cropped)


def read_ibin(path: PathLike, cropped: bool = False) -> Vectors:
    """int32 rows behind uint32 rows and columns (big-ann ids); memory-mapped."""
    return _read_bin(path, BIN[".ibin"], cropped)


def read_hdf5(path: PathLike, key: str = "train") -> Vectors:
    """One 2-D data set of an HDF5 file, read in pieces. Needs the extra `data`."""
    _file_size(path)
    h5py = _extra("h5py")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: not an HDF5 file: {error}") from None
    try:
        if not isinstance(rows := file.get(key), h5py.Dataset):
            there = ", ".join(sorted(file)) or "none"
            raise ValueError(f"{path}: no data set {key!r}; it has {there}")
        if rows.ndim != 2 or rows.dtype.newbyteorder("=").name not in _VECTOR_TYPES:
            raise ValueError(
                f"{path}: {key!r} is {rows.dtype} of shape {rows.shape}; "
                "expected 2 dimensions of numbers"
            )
        check_dim(path, rows.shape[1])
    except BaseException:
        file.close()
        raise
    return Vectors(rows, f"{path}:{key}")  # keeps the file open


def read_parquet(path: PathLike, column: str | None = None) -> Vectors:
    """A list column of a Parquet file, decoded by row group. Needs the extra `data`.

    fixed_size_list, or list with rows of one width; null rows and values are refused.
    """
    _file_size(path)
    _extra("pyarrow")
    from ._parquet import ParquetVectors

    return ParquetVectors(path, column)


def read_truth(path: PathLike) -> Truth:
    """True neighbours from .ivecs, .ibin, .npy, .npz (I and D), .bin (big-ann), .hdf5 or a folder.

    Raises ValueError when the file holds something else.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return _read_big_ann_truth(path)
    if suffix == ".npz":
        _file_size(path)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {k: archive[k] for k in archive.files}
        except Exception as error:  # zip and npy damage come as many kinds
            raise ValueError(f"{path}: not a readable .npz file: {error}") from None
        if "I" not in arrays:
            raise ValueError(f"{path}: arrays {sorted(arrays)}; expected 'I', and 'D' if known")
        truth = Truth(arrays["I"], arrays.get("D"))
    else:
        found = load(path)
        if isinstance(found, Dataset):
            if found.truth is None:
                raise ValueError(f"{path}: holds no true neighbours")
            return Truth(found.truth, found.distances)
        truth = Truth(np.asarray(found))
    if truth.ids.ndim != 2 or truth.ids.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {truth.ids.dtype} of shape {truth.ids.shape}; "
            "expected integer ids, one row per query"
        )
    return truth


def _read_vecs(path: PathLike, dtype: np.dtype[Any]) -> Vectors:
    size = _file_size(path)
    if size < 4:
        raise ValueError(f"{path}: {size} bytes; expected rows that start with an int32 width")
    width = int(np.fromfile(path, "<i4", 1)[0])
    check_dim(path, width)
    row = 4 + width * dtype.itemsize
    if size % row:
        raise ValueError(
            f"{path}: {size} bytes is not a whole number of rows of {width} {dtype} "
            f"({row} bytes each); the file is truncated or of another format"
        )
    raw = np.memmap(path, np.uint8, "r").reshape(-1, row)
    # Every row repeats its width; looking at some finds a wrong format without reading it all.
    probes = np.unique(np.linspace(0, len(raw) - 1, _HEADER_CHECKS).astype(np.int64))
    widths = np.ascontiguousarray(raw[probes, :4]).view("<i4")[:, 0]
    if (wrong := np.flatnonzero(widths != width)).size:
        raise ValueError(
            f"{path}: row {probes[wrong[0]]} is {widths[wrong[0]]} wide; "
            f"expected {width} as in row 0"
        )
    if dtype.itemsize == 1:
        return Vectors(raw[:, 4:], str(path))
    return Vectors(raw.view(dtype)[:, 1:], str(path))


def _read_bin(path: PathLike, dtype: np.dtype[Any], cropped: bool) -> Vectors:
    rows, columns, size = _bin_header(path)
    row = columns * dtype.itemsize
    expected = 8 + rows * row
    whole, rest = divmod(size - 8, row)
    if size != expected and not (cropped and size < expected and not rest and whole):
        hint = ""
        if size < expected and not rest and whole:
            hint = f"; pass cropped=True to read the {whole} rows that are there"
        raise ValueError(
            f"{path}: {size} bytes; expected {expected} for the {rows} x {columns} "
            f"{dtype} of its header{hint}"
        )
    return Vectors(np.memmap(path, dtype, "r", offset=8, shape=(whole, columns)), str(path))


def _read_big_ann_truth(path: PathLike) -> Truth:
    rows, columns, size = _bin_header(path)
    shape, count = (rows, columns), rows * columns
    if size not in (8 + 8 * count, 8 + 4 * count):
        raise ValueError(
            f"{path}: {size} bytes; expected {8 + 8 * count} for the ids and distances"
            f" (or {8 + 4 * count} for the ids) of {rows} queries x {columns} "
            "neighbours; range-search truth is another format"
        )
    ids = np.memmap(path, "<i4", "r", offset=8, shape=shape)
    if size == 8 + 4 * count:
        return Truth(ids)
    return Truth(ids, np.memmap(path, "<f4", "r", offset=8 + 4 * count, shape=shape))


def _bin_header(path: PathLike) -> tuple[int, int, int]:
    size = _file_size(path)
    if size < 8:
        raise ValueError(f"{path}: {size} bytes; expected a header of uint32 rows and columns")
    rows, columns = (int(x) for x in np.fromfile(path, "<u4", 2))
    if rows == 0:
        raise ValueError(f"{path}: the header says 0 rows")
    check_dim(path, columns)
    return rows, columns, size


def _file_size(path: PathLike) -> int:
    """Raises FileNotFoundError, or ValueError for what is not a file."""
    path = Path(path)
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    return size


def _extra(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise ImportError(
            f"{module} is needed for this format: pip install 'shortlist[data]'"
        ) from None


# ---- folders and files that hold more than one matrix ------------------------------------------


def _load_folder(folder: Path, column: str | None, metric: str | None) -> Vectors | Dataset:
    files = sorted(p for p in folder.iterdir() if p.is_file())
    if base := _only(folder, files, "base."):
        queries, truth = _only(folder, files, "query."), _only(folder, files, "gt.")
        if queries is None:
            raise ValueError(f"{folder}: has {base.name} but no query.*")
        found = read_truth(truth) if truth else Truth(np.empty((0, 0), np.int32))
        return _dataset(
            folder.name, _vectors(base), _vectors(queries), found if truth else None, metric
        )
    for suffix in (".npy", ".parquet"):
        parts = [p for p in files if p.suffix.lower() == suffix]
        if parts:
            opened = [read_npy(p) if suffix == ".npy" else read_parquet(p, column) for p in parts]
            return _Shards(opened, str(folder))
    raise ValueError(f"{folder}: no base.* and query.* files, and no .npy or .parquet files")


def _only(folder: Path, files: list[Path], prefix: str) -> Path | None:
    found = [p for p in files if p.name.startswith(prefix)]
    if len(found) > 1:
        raise ValueError(f"{folder}: several {prefix}* files: {', '.join(p.name for p in found)}")
    return found[0] if found else None


def _vectors(path: Path) -> Vectors:
    found = load(path)
    if isinstance(found, Dataset):
        raise ValueError(f"{path}: holds a whole data set; expected one matrix")
    return found


def _load_ann_benchmarks(path: Path, metric: str | None) -> Dataset:
    base, queries = read_hdf5(path, "train"), read_hdf5(path, "test")
    file = base._rows.file
    said = file.attrs.get("distance", "euclidean")
    names = {"euclidean": "l2", "angular": "cosine", "cosine": "cosine", "dot": "ip", "ip": "ip"}
    if metric is None and said not in names:
        raise ValueError(f"{path}: distance {said!r}; expected one of {', '.join(names)}")
    truth = None
    if "neighbors" in file:
        distances = np.asarray(read_hdf5(path, "distances")) if "distances" in file else None
        truth = Truth(np.asarray(read_hdf5(path, "neighbors")), distances)
    return _dataset(path.stem, base, queries, truth, metric or names[said])


def _dataset(
    name: str, base: Vectors, queries: Vectors, truth: Truth | None, metric: str | None
) -> Dataset:
    if metric not in (None, "l2", "ip", "cosine"):
        raise ValueError(f"metric {metric!r}; expected 'l2', 'ip' or 'cosine'")
    if queries.dim != base.dim:
        raise ValueError(
            f"{queries.name}: {queries.dim} columns; expected {base.dim} as in {base.name}"
        )
    if truth is None:
        return Dataset(name, base, queries, None, metric or "l2")
    ids = truth.ids
    if len(ids) != len(queries):
        raise ValueError(f"{name}: true neighbours of {len(ids)} queries; there are {len(queries)}")
    if ids.size and not -1 <= int(ids.min()) <= int(ids.max()) < len(base):
        raise ValueError(
            f"{name}: true neighbours from {ids.min()} to {ids.max()}; "
            f"the base has rows 0 to {len(base) - 1}"
        )
    return Dataset(
        name, base, queries, ids, metric or _metric_shown(base, queries, ids), truth.distances
    )


def _metric_shown(base: Vectors, queries: Vectors, truth: np.ndarray) -> str:
    """The metric under which the first queries' neighbours are in order; "ip" for unit vectors."""
    steps = []
    for query, ids in zip(queries.read(0, min(20, len(queries))), truth, strict=False):
        rows = [base.read(i, i + 1)[0] for i in ids[ids >= 0].tolist()]
        if not rows:
            continue
        near = np.stack(rows).astype(np.float64)
        query = query.astype(np.float64)
        if np.allclose(np.linalg.norm(near, axis=1), 1, atol=1e-2):
            return "ip"
        steps.append(
            (
                np.diff(((near - query) ** 2).sum(1)).min(initial=0),
                np.diff(-near @ query).min(initial=0),
            )
        )
    # The more negative its smallest step, the more a metric disagrees with the order.
    l2, ip = np.min(steps, axis=0) if steps else (0, 0)
    return "ip" if ip > l2 else "l2"


def _json_lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]
