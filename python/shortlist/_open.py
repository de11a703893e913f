"""Opening what was saved, whether a file or a folder."""

from __future__ import annotations

import os
from typing import Any

from . import _core


def open(path: Any, *, io_backend: str = "auto", caching: str = "auto") -> Any:
    """The index that save wrote to a file, or build to a folder.

    path: a path, or an object with read, for files. io_backend: "auto", "io_uring" or "pread", and
    caching: "auto", "direct" (past the page cache) or "buffered": how the postings of a folder are
    read; index.io_backend tells.

    Raises OSError for file trouble, CorruptIndexError for what is damaged or foreign, and
    UnsupportedError for what a newer release wrote.
    """
    if isinstance(path, (str, os.PathLike)) and os.path.isdir(path):
        from . import spann

        return spann.open(path, io_backend=io_backend, caching=caching)
    if (io_backend, caching) != ("auto", "auto"):
        raise _core.ArgumentError(
            "io_backend and caching are for indexes in folders; leave them out"
        )
    return _core.open(path)
