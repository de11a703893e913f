"""What was added to and removed from an index on disk since it was built: small files, in order.

Each call writes one file, whole or not at all, before it changes anything; when there are many,
they become one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import _disk
from ._files import another_file, locked, read_arrays, write_arrays
from ._manifest import read_manifest

if TYPE_CHECKING:
    from ._index import IndexSPANN

_MOST_FILES = 64
_PATIENCE = 30.0  # seconds that a change waits for another


def _files(folder: Path, key: str, folded: int) -> list[tuple[int, int, Path]]:
    """(first, last, path) of those that count, in order; files inside another's range do not.

    folded: the last change that is in the postings.
    """
    found = []
    for path in folder.glob(f"delta-{key}-*"):
        first, last = map(int, path.name.rsplit("-", 2)[1:])
        if last > folded:
            found.append((first, -last, path))
    out: list[tuple[int, int, Path]] = []
    for first, last, path in sorted(found):
        if out and -last <= out[-1][1]:
            continue
        expected = (out[-1][1] if out else folded) + 1
        if first != expected:
            raise _core.CorruptIndexError(
                f"'{folder}': changes {expected} to {first - 1} are missing; "
                "restore the files, or build the index again"
            )
        out.append((first, -last, path))
    return out


def _write(folder: Path, key: str, first: int, last: int, **change: Any) -> None:
    write_arrays(
        folder / f"delta-{key}-{first:010d}-{last:010d}", changes=np.array([first, last]), **change
    )


def _read(first: int, last: int, path: Path) -> dict[str, Any]:
    change = read_arrays(path, "changes", "added", "vectors", "removed", "next_id")
    if change["changes"].tolist() != [first, last]:
        raise another_file(path)
    return change


def read_all(
    folder: Path, key: str, folded: int, after: int = 0
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the last change, what it holds) of each file behind `after`."""
    for first, last, path in _files(folder, key, folded):
        if last > after:
            yield last, _read(first, last, path)


def catch_up(index: IndexSPANN) -> None:
    """Apply what other processes have written."""
    key, folded = index.manifest["key"], index.manifest["folded"]
    while True:
        files = _files(index.folder, key, folded)
        for last, change in read_all(index.folder, key, folded, index.deltas):
            if len(change["removed"]):
                _disk.IndexSPANN.remove_ids(index, change["removed"])
            if len(change["added"]):
                _disk.IndexSPANN.add_with_ids(index, change["vectors"], change["added"])
            index.reserve_ids(int(change["next_id"][0]))
            index.deltas = last
        if _files(index.folder, key, folded) == files:  # none was joined to others meanwhile
            return


@contextmanager
def writing(index: IndexSPANN) -> Iterator[None]:
    """The folder's lock, with all changes of others applied."""
    with locked(index.folder, _PATIENCE):
        now = read_manifest(index.folder)
        if any(now[name] != index.manifest[name] for name in ("key", "generation")):
            raise _core.ArgumentError(
                f"'{index.folder}' holds another index by now; open it again, and change that"
            )
        catch_up(index)
        yield


@contextmanager
def recorded(index: IndexSPANN, added: Any, vectors: Any, removed: Any) -> Iterator[None]:
    """Write a change down, which the block then makes; removals come before additions.

    Where the block fails the change is made before the next one.
    """
    key, number = index.manifest["key"], index.deltas + 1
    folder = index.folder
    next_id = max(index.next_id, int(added.max(initial=-1)) + 1)
    _write(
        folder,
        key,
        number,
        number,
        added=added,
        vectors=vectors,
        removed=removed,
        next_id=np.array([next_id]),
    )
    yield
    index.deltas = number
    try:
        files = _files(folder, key, index.manifest["folded"])
        if len(files) > _MOST_FILES:
            _join(index, files)
    except _core.CorruptIndexError:
        raise
    except OSError:  # the change is made and safe; the next one tries to join them again
        pass


def _join(index: IndexSPANN, files: list[tuple[int, int, Path]]) -> None:
    kept: dict[int, Any] = {}
    gone: dict[int, None] = {}
    for file in files:
        change = _read(*file)
        for id_ in change["removed"].tolist():
            kept.pop(id_, None)
            gone[id_] = None
        for id_, x in zip(change["added"].tolist(), change["vectors"], strict=True):
            kept.pop(id_, None)
            kept[id_] = x
    key, first, last = index.manifest["key"], files[0][0], files[-1][1]
    _write(
        index.folder,
        key,
        first,
        last,
        added=np.fromiter(kept, np.int64, len(kept)),
        vectors=np.array(list(kept.values()), index.plan.dtype).reshape(-1, index.d),
        removed=np.fromiter(gone, np.int64, len(gone)),
        next_id=np.array([index.next_id]),
    )
    for _, _, path in files:
        path.unlink()
