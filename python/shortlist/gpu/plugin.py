"""GPUs: a plugin that is looked for when a GPU is asked for, and never before.

The plugin is one file, `shortlist_cuda.so`, that the package `shortlist-cu13` brings. Without it,
without a driver or without a GPU everything else works, and what needs a GPU says what is missing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .. import _core
from .._core import _gpu

__all__ = ["Device", "devices", "engine", "get_num_gpus", "plugin", "plugin_path"]

_FILE = "shortlist_cuda.so"
_PACKAGE = "shortlist_cu13"


@dataclass(frozen=True)
class Device:
    """A GPU. memory and free are bytes."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory: int
    free: int


def plugin_path() -> Path | None:
    """Where the plugin is: what SHORTLIST_CUDA names (0: nowhere), else in shortlist-cu13."""
    asked = os.environ.get("SHORTLIST_CUDA")
    if asked is not None:
        return Path(asked).absolute() if asked not in ("", "0") else None
    spec = find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / _FILE).is_file():
            return path
    return None


def plugin() -> Any:
    """The plugin, loaded. Raises UnsupportedError, which says what is missing and what to do."""
    path = plugin_path()
    if path is None:
        off = os.environ.get("SHORTLIST_CUDA") is not None
        raise _core.UnsupportedError(
            "GPUs are switched off by SHORTLIST_CUDA=0; unset it"
            if off
            else "there is no CUDA plugin; pip install shortlist-cu13"
        )
    return _loaded(str(path))


@cache
def _loaded(path: str) -> Any:
    return _gpu.Plugin(path)


def devices() -> list[Device]:
    """The GPUs that can be used. Raises UnsupportedError as `plugin`, and where there is none."""
    found = plugin()
    return [Device(**found.describe(i)) for i in range(found.devices())]


def engine(device: int = 0) -> Any:
    """Who does jobs on a GPU. Raises UnsupportedError as `plugin`, and where there is none."""
    found = plugin()
    count = found.devices()
    if not 0 <= device < count:
        raise _core.UnsupportedError(f"device = {device}; there are GPUs 0 to {count - 1}")
    return _gpu.Engine(found, device)


def get_num_gpus() -> int:
    """How many GPUs can be used; 0 where there is none, or no plugin."""
    try:
        return int(plugin().devices())
    except _core.UnsupportedError:
        return 0
