"""Reads of many places of a file at once: every way gives the same bytes, and failures are told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shortlist import CorruptIndexError, _core
from shortlist._core import _disk
from spann_faults import NO_IO_URING, NO_LOCKED_MEMORY

WAYS = [(b, c) for b in ("io_uring", "pread") for c in ("direct", "buffered")]
SIZE = 64 * 4096


@pytest.fixture(scope="module")
def bytes_(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("random") / "file"
    data = np.random.default_rng(0).bytes(SIZE)
    path.write_bytes(data)
    return path, data


@pytest.fixture
def io_faults() -> Iterator[Callable[..., bool]]:
    yield _core._fail_io
    _core._fail_io()


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@given(data=st.data())
@settings(max_examples=25)
def test_every_way_reads_the_same(bytes_, way, data) -> None:
    path, wanted = bytes_
    file = _disk.RandomFiles([str(path)], *way)
    assert file.sizes == [SIZE]
    starts = data.draw(st.lists(st.integers(0, SIZE - 1), max_size=600))
    pieces = [(at, data.draw(st.integers(0, min(9000, SIZE - at)))) for at in starts[:40]]
    pieces += [(at, min(100, SIZE - at)) for at in starts[40:]]
    assert file.read(pieces) == [wanted[at : at + n] for at, n in pieces]


def test_what_is_asked_for_is_used(bytes_) -> None:
    for backend, caching in WAYS:
        told = _disk.RandomFiles([str(bytes_[0])], backend, caching).backend
        assert told.startswith(backend) or _disk.why_no_io_uring()
        assert told.endswith(caching) or caching == "direct"  # a file system may refuse
    small = _disk.RandomFiles([str(bytes_[0])])
    assert small.backend.endswith("buffered")
    assert _disk.available_memory() > 0


def test_names_that_are_not_known(bytes_, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="io_backend 'mmap'"):
        _disk.RandomFiles([str(bytes_[0])], "mmap")
    with pytest.raises(ValueError, match="caching 'some'"):
        _disk.RandomFiles([str(bytes_[0])], "auto", "some")
    with pytest.raises(FileNotFoundError, match="check the path"):
        _disk.RandomFiles([str(tmp_path / "nothing")])
    with pytest.raises(IsADirectoryError):
        _disk.RandomFiles([str(tmp_path)])
    (tmp_path / "empty").touch()
    assert _disk.RandomFiles([str(tmp_path / "empty")]).read([]) == []


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_failures_are_told(bytes_, way, io_faults: Callable[..., bool]) -> None:
    path, wanted = bytes_
    call = "completed" if way[0] == "io_uring" and not _disk.why_no_io_uring() else "pread"
    pieces = [(4096 * i, 8192) for i in range(50)]
    file = _disk.RandomFiles([str(path)], *way)
    for after in (0, 7, 49):
        for error in (errno.EIO, errno.EBADF):
            io_faults(call, after, error)
            with pytest.raises(OSError, match="cannot read") as told:
                file.read(pieces)
            assert told.value.errno == error
            assert told.value.filename == str(path)
            assert io_faults()
        for passing in (errno.EINTR, 0):  # tried again; half of what was asked
            io_faults(call, after, passing)
            assert file.read(pieces) == [wanted[at : at + n] for at, n in pieces]
            assert io_faults()
    assert file.read(pieces[:1]) == [wanted[:8192]]


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_a_file_that_ends_early_is_damaged(way, tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(bytes(16 * 4096))
    file = _disk.RandomFiles([str(path)], *way)
    os.truncate(path, 4 * 4096)
    for pieces in ([(0, 4096), (8 * 4096, 4096)], [(3 * 4096, 8192)]):
        with pytest.raises(CorruptIndexError, match=r"short' ends \d+ bytes early"):
            file.read(pieces)
    assert file.read([(0, 10)]) == [bytes(10)]


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_many_threads_read_at_once(bytes_, way) -> None:
    path, wanted = bytes_
    file, wrong = _disk.RandomFiles([str(path)], *way), []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(20):
            pieces = [(int(at), 500) for at in rng.integers(0, SIZE - 500, 300)]
            if file.read(pieces) != [wanted[at : at + n] for at, n in pieces]:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_forked_children_read(bytes_, way) -> None:
    path, wanted = bytes_
    file = _disk.RandomFiles([str(path)], *way)
    pieces = [(4096 * i, 4096) for i in range(20)]
    assert b"".join(file.read(pieces)) == wanted[: 20 * 4096]
    child = os.fork()
    if child == 0:
        os._exit(0 if b"".join(file.read(pieces)) == wanted[: 20 * 4096] else 1)
    assert b"".join(file.read(pieces)) == wanted[: 20 * 4096]
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's limits")
@pytest.mark.parametrize("limit", [NO_IO_URING, NO_LOCKED_MEMORY], ids=["seccomp", "memlock"])
def test_without_io_uring_reads_go_on(bytes_, limit: str) -> None:
    path, wanted = bytes_
    script = textwrap.dedent("""
        import sys
        from shortlist._core import _disk
        file = _disk.RandomFiles([sys.argv[1]], "auto", "direct")
        data = b"".join(file.read([(4096 * i, 4096) for i in range(64)]))
        assert data == open(sys.argv[1], "rb").read()
        print(file.backend, "|", _disk.why_no_io_uring())
    """)
    told = subprocess.run(
        [sys.executable, "-c", limit + script, str(path)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told.split(",")[0] in ("io_uring", "pread")
    if limit is NO_IO_URING:
        assert told.startswith("pread")
        assert "Operation not permitted" in told
    assert len(wanted) == SIZE


@pytest.mark.parametrize("way", WAYS)
def test_places_beyond_4_gib(tmp_path: Path, way) -> None:
    place = 5 * 2**30 + 4096
    with open(tmp_path / "sparse", "wb") as file:
        file.seek(place)
        file.write(b"here" * 1024)
    files = _disk.RandomFiles([str(tmp_path / "sparse")], *way)
    assert files.sizes == [place + 4096]
    assert files.read([(place, 4), (place - 4096, 4)]) == [b"here", bytes(4)]
