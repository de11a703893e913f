"""Files that appear whole or not at all, and say whether they are what was written."""

from __future__ import annotations

import fcntl
import json
import resource
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._core import _disk

_TRAILER = b"SLCRC32\n"
_PAUSE = 0.01  # seconds between two tries to get a lock


def write_whole(path: Path, *parts: Any) -> None:
    """Parts, which are buffers, and a checksum: on disk when this returns, or not there."""
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    _disk.write_file(str(path), [*parts, _TRAILER + crc.to_bytes(4, "little")])


def read_whole(path: Path) -> memoryview:
    """What write_whole wrote. Raises CorruptIndexError for anything else, OSError."""
    data = memoryview(path.read_bytes())
    end = len(data) - len(_TRAILER) - 4
    if (
        end < 0
        or data[end:-4] != _TRAILER
        or zlib.crc32(data[:end]).to_bytes(4, "little") != data[-4:]
    ):
        raise _core.CorruptIndexError(
            f"'{path}' is damaged or was cut short; restore it, or build the index again"
        )
    return data[:end]


def write_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Arrays by name, in one file."""
    head = json.dumps(
        [[name, str(a.dtype), list(a.shape)] for name, a in arrays.items()], separators=(",", ":")
    ).encode()
    pad = -(len(head) + 8) % 64
    parts: list[Any] = [(len(head) + pad).to_bytes(8, "little"), head + b" " * pad]
    for a in arrays.values():
        a = np.ascontiguousarray(a)
        parts += [a.reshape(-1).view(np.uint8), b"\0" * (-a.nbytes % 64)]
    write_whole(path, *parts)


def read_arrays(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays that write_arrays wrote; read-only.

    Raises CorruptIndexError for another file, and where names are given that are not those in it.
    """
    data = read_whole(path)
    at = 8 + int.from_bytes(data[:8], "little")
    out = {}
    try:
        for name, dtype, shape in json.loads(bytes(data[8:at])):
            count = int(np.prod(shape, dtype=np.int64))
            out[name] = np.frombuffer(data, dtype, count, at).reshape(shape)
            at += out[name].nbytes + -out[name].nbytes % 64
        if names and set(out) != set(names):
            raise ValueError
    except (ValueError, TypeError):
        raise another_file(path) from None
    return out


def allow_files(wanted: int) -> int:
    """Raise how many files this process may have open as far as it may; how many are left to us."""
    others = 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + others
    if soft != resource.RLIM_INFINITY and soft < most:
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, soft - others)


def another_file(path: Path) -> _core.CorruptIndexError:
    """The error where a file is whole, but not the one that belongs here."""
    return _core.CorruptIndexError(
        f"'{path}' is another file under this name; restore it, or build the index again"
    )


def write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n"
    write_whole(path, text.encode())


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(bytes(read_whole(path)))
        if not isinstance(value, dict):
            raise ValueError
    except ValueError:
        raise another_file(path) from None
    return value


@contextmanager
def locked(folder: Path, patience: float = 0) -> Iterator[None]:
    """Hold the folder's lock: one builds or changes an index at a time.

    patience: seconds to wait for whoever holds it. Raises BlockingIOError.
    """
    with open(folder / "LOCK", "a") as file:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise BlockingIOError(
                        f"'{folder}' is being built or changed by another process; wait until it "
                        "is done"
                    ) from None
                time.sleep(_PAUSE)
        try:
            yield
        finally:  # by itself it would last as long as a child that was forked meanwhile
            fcntl.flock(file, fcntl.LOCK_UN)
