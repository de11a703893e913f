"""Processes that die, calls that fail and sandboxes, for tests of indexes on disk."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from shortlist import _core

_CHANGES = ("os.remove", "os.mkdir", "os.rmdir")


def forked(body: Callable[[], object]) -> int:
    """Run `body` in a child process; its exit code, or the negated signal it died of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which it has none of
        child = os.fork()
    if child == 0:
        try:
            body()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(rng: np.random.Generator, most: int) -> Callable[[], None]:
    """What a child calls to die by SIGKILL at a drawn one of its next calls that change a disk.

    Of five, four are the core's (open, write, fsync, rename; a write is half done), one is Python's
    (unlink, mkdir, rmdir).
    """
    python, after = rng.random() < 0.2, int(rng.integers(0, most))

    def arm() -> None:
        if not python:
            _core._fail_io("change", after, -signal.SIGKILL)
            return
        left = iter(range(after // 5))

        def hook(event: str, _: Any) -> None:
            if event in _CHANGES and next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)  # stays as long as the child

    return arm


@contextmanager
def failing(call: str, after: int, error: int) -> Iterator[list[bool]]:
    """Call number `after` fails within the block; whether it came to that is in the list then.

    call: of _core._fail_io, or "read_bytes", with which Python reads whole small files.
    """
    fired: list[bool] = []
    if call != "read_bytes":
        _core._fail_io(call, after, error)
        try:
            yield fired
        finally:
            fired.append(_core._fail_io())
        return
    real, seen = Path.read_bytes, iter(range(after))

    def read_bytes(path: Path) -> bytes:
        if not fired and next(seen, None) is None:
            fired.append(True)
            raise OSError(error or errno.EIO, "made to fail", str(path))
        return real(path)

    with mock.patch.object(Path, "read_bytes", read_bytes):
        yield fired
    fired.append(False)


# io_uring_setup is 425 everywhere.
NO_IO_URING = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
def bpf(code, jt, jf, k): return struct.pack("HBBI", code, jt, jf, k)
program = b"".join([
    bpf(0x20, 0, 0, 0),              # the call's number
    bpf(0x15, 0, 1, 425),            # io_uring_setup:
    bpf(0x06, 0, 0, 0x00050000 | 1), # EPERM
    bpf(0x06, 0, 0, 0x7FFF0000),     # others are allowed
])
held = ctypes.create_string_buffer(program)
class Program(ctypes.Structure):
    _fields_ = [("n", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, ctypes.addressof(held))), 0, 0) == 0
"""
NO_LOCKED_MEMORY = """
import resource
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
"""
