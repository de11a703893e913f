"""IndexSPANN in its folder: opening, searching by recall, adding and removing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from .._core import _disk
from . import _delta
from ._compact import compact
from ._files import allow_files, read_arrays
from ._manifest import MANIFEST, read_manifest
from ._plan import Plan
from ._work import frame, stored

_ATTEMPTS = 10
_END_OF_IDS = 2**63 - 1


class IndexSPANN(_disk.IndexSPANN):
    """An index on disk, as `shortlist.open(folder)` gives it.

    search(x, k) works as for any index; search(x, k, recall=0.95) reads as few postings as its
    table of recalls says. add, add_with_ids and remove_ids are kept in small files beside the
    others: what they return from is safe. Searches look at additions one by one, until compact()
    folds them in.
    """

    folder: Path
    manifest: dict[str, Any]
    plan: Plan
    parents: list[int]
    """Of the last postings, relative to whose centroid their codes are."""
    deltas: int
    """The last of the files of additions and removals that was read or written."""

    def search(self, x: Any, k: Any, **how: Any) -> Any:
        """The k nearest of each row of x (n, d): distances and ids, (n, k) each.

        params: SearchParametersSPANN, or SearchParameters with a selector. recall: in place of
        params, what share of the true neighbours is to be found, as the table made when the index
        was built tells; sel: a selector beside it. Raises ArgumentError where recall is not
        between 0 and 1, or the table does not reach it.
        """
        recall = how.pop("recall", None)
        if recall is not None:
            if how.get("params") is not None:
                raise _core.ArgumentError("give recall or params, not both")
            how["params"] = self.parameters_for(recall, k, sel=how.pop("sel", None))
        return super().search(self._queries(x), k, **how)

    def search_exact(self, x: Any, k: Any) -> Any:
        """As search, but in every posting."""
        return super().search_exact(self._queries(x), k)

    def _queries(self, x: Any) -> Any:
        return stored(x, self.plan, "float32") if self.plan.metric == "cosine" else x

    def parameters_for(self, recall: float, k: int = 10, *, sel: Any = None) -> Any:
        """The SearchParametersSPANN that read least of those that found so much."""
        table = self.manifest["calibration"]
        if not 0 < recall < 1:
            raise _core.ArgumentError(f"recall = {recall}; it must be between 0 and 1")
        if not table:
            raise _core.ArgumentError(
                "this index was built without a table of recalls; pass params"
            )
        columns = sorted(map(int, table[0]["recall"]))
        column = str(next((c for c in columns if c >= k), columns[-1]))
        enough = [row for row in table if row["recall"][column] >= recall]
        if not enough:
            best = max(row["recall"][column] for row in table)
            raise _core.ArgumentError(
                f"recall = {recall}; when this index was built, {best:.4f} was the most that was "
                f"found of {column} neighbours: ask for less, or pass params with a larger nprobe"
            )
        row = min(enough, key=lambda row: row["cost"])
        return _core.SearchParametersSPANN(
            sel=sel,
            nprobe=row["nprobe"],
            epsilon=np.inf if row["epsilon"] is None else row["epsilon"],
            k_factor=row["k_factor"],
        )

    def add(self, x: Any) -> None:  # type: ignore[override]
        """Add vectors (n, d) under the next ids; they are safe when it returns.

        Raises what add_with_ids does, and ArgumentError where ids would be past 2**63 - 2. After
        an OSError nothing is lost, and the vectors may be there: shortlist.open(folder) tells.
        """
        x = np.atleast_2d(np.asarray(x))
        with _delta.writing(self):
            if self.next_id + len(x) > _END_OF_IDS:
                raise _core.ArgumentError(
                    f"there are no ids for {len(x)} vectors after {self.next_id - 1}; pass ids to "
                    "add_with_ids"
                )
            self._add(x, np.arange(self.next_id, self.next_id + len(x)))

    def add_with_ids(self, x: Any, ids: Any) -> None:  # type: ignore[override]
        """Add vectors (n, d) under ids (n,); one that is there takes the new vector.

        Raises ArgumentError for NaN, Inf and values that the index's dtype does not hold.
        """
        x = np.atleast_2d(np.asarray(x))
        with _delta.writing(self):
            self._add(x, checked_ids(ids, len(x)))

    def _add(self, x: Any, ids: Any) -> None:
        if x.ndim != 2 or x.shape[1] != self.d:
            raise _core.DimensionError(f"vectors are {x.shape}; they must be (n, {self.d})")
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise _core.ArgumentError("vectors with NaN or Inf cannot be added")
        x = stored(x, self.plan)
        self.has(ids)  # raises what cannot be read before anything is written
        with _delta.recorded(self, ids, x, np.empty(0, np.int64)):
            super().add_with_ids(x, ids)

    def remove_ids(self, sel: Any) -> int:
        """Remove ids, an array or an IDSelector; how many there were.

        The file of ids is read: of a selector all of it, of an array a page for each id at most.
        """
        with _delta.writing(self):
            if isinstance(sel, _core.IDSelector):
                ids = self.members(sel)
            else:
                _core.IDSelectorBatch(sel)  # refuses what are no ids
                ids = np.unique(np.asarray(sel, np.int64))
                ids = ids[self.has(ids)]
            if not len(ids):
                return 0
            none = np.empty((0, self.d), self.plan.dtype)
            with _delta.recorded(self, np.empty(0, np.int64), none, ids):
                return int(super().remove_ids(ids))

    def compact(self) -> IndexSPANN:
        """Fold what was added and removed into the postings; the index as it is then.

        Every posting is written anew, with the centroids there are: when many times as many
        vectors are in it as when it was built, build it again. This object goes on with the former
        files, and cannot be changed any more.
        """
        with _delta.writing(self):
            compact(self)
        return open(self.folder)

    def verify(self) -> None:
        """Read every byte of every file. Raises CorruptIndexError where one is not as written."""
        _parts(self.folder, self.manifest)
        list(_delta.read_all(self.folder, self.manifest["key"], self.manifest["folded"]))
        super().verify()


def open(
    folder: str | os.PathLike[str], *, io_backend: str = "auto", caching: str = "auto"
) -> IndexSPANN:
    """The index that shortlist.build wrote to a folder: an IndexSPANN.

    Only centroids and the places of postings are read. io_backend: "auto", "io_uring" or "pread".
    caching: "auto", "direct" (past the page cache) or "buffered". What is used stands in
    index.io_backend. Raises OSError, CorruptIndexError, UnsupportedError for a newer release's.
    """
    folder = Path(folder)
    if folder.is_dir() and not (folder / MANIFEST).exists():
        raise IsADirectoryError(
            f"'{folder}': this is a folder that holds no index (there is no {MANIFEST}): build one "
            "with shortlist.build, or let an interrupted build go on"
        )
    for attempt in range(_ATTEMPTS):
        manifest = read_manifest(folder)
        try:
            index = opened(folder, manifest, io_backend, caching)
            _delta.catch_up(index)
        except (FileNotFoundError, _core.CorruptIndexError):
            # Another index may have been published, or changes joined, between two reads.
            if attempt and read_manifest(folder) == manifest:
                raise
        else:
            if read_manifest(folder) == manifest:
                break
    else:
        raise OSError(f"'{folder}' changes faster than it can be opened; try again")
    if manifest["calibration"]:
        start = index.parameters_for(min(0.95, best_recall(manifest["calibration"])), 10)
        index.nprobe, index.epsilon, index.k_factor = start.nprobe, start.epsilon, start.k_factor
    return index


def checked_ids(ids: Any, n: int) -> Any:
    """Ids as int64, one for each of n vectors. Raises ArgumentError, DimensionError."""
    ids = np.asarray(ids)
    if ids.shape != (n,):
        raise _core.DimensionError(f"ids are {ids.shape}; they must be ({n},)")
    if n and (ids.dtype.kind not in "ui" or int(ids.min()) < 0 or int(ids.max()) >= _END_OF_IDS):
        raise _core.ArgumentError("ids must be integers from 0 to 2**63 - 2")
    return np.ascontiguousarray(ids, np.int64)


def opened(
    folder: Path, manifest: dict[str, Any], io_backend: str = "auto", caching: str = "auto"
) -> IndexSPANN:
    """The index of a manifest, as it was built."""
    # Twice: a former one may still be open.
    allow_files(2 * (len(manifest["postings"]) + len(manifest["vectors"]) + 1))
    index = IndexSPANN(
        **(parts := _parts(folder, manifest)),
        postings=[str(folder / name) for name in manifest["postings"]],
        vector_files=[str(folder / name) for name in manifest["vectors"]],
        ntotal=manifest["ntotal"],
        next_id=manifest["next_id"],
        ids=str(folder / manifest["ids"]),
        radius=manifest["radius"],
        io_backend=io_backend,
        caching=caching,
    )
    index.folder, index.manifest, index.deltas = folder, manifest, manifest["folded"]
    index.plan = Plan(**manifest["plan"])
    index.parents = parts["parents"]
    return index


def best_recall(table: list[dict[str, Any]]) -> float:
    column = str(10 if "10" in table[0]["recall"] else max(map(int, table[0]["recall"])))
    return max(float(row["recall"][column]) for row in table)


def _parts(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    plan = Plan(**manifest["plan"])
    for name, size in manifest["files"].items():
        if (found := (folder / name).stat().st_size) != size:
            raise _core.CorruptIndexError(
                f"'{folder / name}' has {found} bytes, {size} were written; restore it"
            )
    splits = read_arrays(folder / manifest["splits"], "parents")
    return {
        "centroids": _core.open(folder / manifest["centroids"]),
        "codes": _core.open(folder / manifest["codec"]),
        "vectors": frame(plan, "Flat"),
        "parents": splits["parents"].tolist(),
        "metric": plan.number,
    }
