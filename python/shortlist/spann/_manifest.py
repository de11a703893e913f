"""Which files a folder's index has, and which are of none."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from .. import _core
from ._files import read_json
from ._plan import VERSION, Plan

MANIFEST = "MANIFEST"
_FIELDS = (
    "key",
    "generation",
    "folded",
    "rows",
    "ntotal",
    "next_id",
    "radius",
    "calibration",
)
_KEY = "[0-9a-f]{16}(-g[0-9]+)?"
_OWN = re.compile(
    rf"scanned|(centroids|codec|splits|ids)-{_KEY}|postings-{_KEY}-[0-9]{{3}}|vectors-{_KEY}-[0-9]{{6,}}"
    rf"|delta-{_KEY}-[0-9]{{10,}}-[0-9]{{10,}}|\.shortlist-[0-9]+-[0-9]+\.tmp"
)
_CHANGED = re.compile(
    rf"delta-{_KEY}-[0-9]{{10,}}-[0-9]{{10,}}|postings-[0-9a-f]{{16}}-g[0-9]+-[0-9]{{3}}"
)
_WORK = re.compile(f"build-{_KEY}")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, CorruptIndexError, UnsupportedError."""
    path = folder / MANIFEST
    manifest = read_json(path)
    if manifest.get("format") != "shortlist.spann" or not isinstance(manifest.get("version"), int):
        raise _core.CorruptIndexError(f"'{path}' is not of an index on disk")
    if manifest["version"] != VERSION:
        fix = "read it with a newer one" if manifest["version"] > VERSION else "build it again"
        raise _core.UnsupportedError(
            f"'{folder}' has version {manifest['version']}, this release reads {VERSION}; {fix}"
        )
    try:
        Plan(**manifest["plan"])
        names = [*manifest["files"], *manifest["postings"], *manifest["vectors"]]
        names += [manifest[name] for name in ("centroids", "codec", "splits", "ids")]
        complete = all(name in manifest for name in _FIELDS)
        if not complete or any(Path(name).name != name for name in names):
            raise TypeError
    except (KeyError, TypeError, ValueError):
        raise _core.CorruptIndexError(
            f"'{path}' lacks what a manifest has; restore it, or build the index again"
        ) from None
    return manifest


def has_changes(folder: Path, manifest: dict[str, Any] | None) -> bool:
    """Whether vectors were added or removed since the index was built.

    manifest: the folder's, if it can be read; else the names of files must do, and what a
    compact() wrote that was killed counts too.
    """
    if manifest is None:
        return any(_CHANGED.fullmatch(path.name) for path in folder.iterdir())
    return manifest["folded"] > 0 or any(_counts(p.name, manifest) for p in folder.iterdir())


def clear(folder: Path, manifest: dict[str, Any]) -> None:
    """Remove what no manifest names: work that is done, and the index before this."""
    for entry in folder.iterdir():
        if _WORK.fullmatch(entry.name):
            shutil.rmtree(entry)
        elif (
            _OWN.fullmatch(entry.name)
            and entry.name not in manifest["files"]
            and not _counts(entry.name, manifest)
        ):
            entry.unlink()


def _counts(name: str, manifest: dict[str, Any]) -> bool:
    """Whether a file holds changes of this index that are not in its postings."""
    return (
        name.startswith(f"delta-{manifest['key']}-")
        and int(name.rsplit("-", 1)[1]) > manifest["folded"]
    )
