"""Saved indexes: exact round trips, and every way a file can go wrong."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import shortlist as sl
from hypothesis import given, settings
from hypothesis import strategies as st
from native_file import Fields, join, split
from saved_indexes import (
    INDEXES,
    QT_8BIT,
    SMALL,
    D,
    Q,
    X,
    assert_same_answers,
    classes,
    filled,
    hnsw,
    rows,
    to_bytes,
    without,
)
from shortlist import _core


@pytest.fixture(params=INDEXES)
def index(request: pytest.FixtureRequest) -> sl.Index:
    return INDEXES[request.param]()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = sl.omp_get_max_threads()
    sl.omp_set_num_threads(1)  # graphs are the same byte for byte
    yield
    sl.omp_set_num_threads(before)


@pytest.fixture
def io_faults() -> Iterator[Callable[..., bool]]:
    yield _core._fail_io
    _core._fail_io()


# --- The native format -------------------------------------------------------------------------


def test_native_restores_exactly(index: sl.Index, tmp_path: Path) -> None:
    index.verbose = True
    index.save(tmp_path / "i")
    again = sl.open(tmp_path / "i")
    assert classes(again) == classes(index)
    assert again.verbose
    assert (again.d, again.metric_type) == (index.d, index.metric_type)
    assert_same_answers(index, again)
    assert to_bytes(again) == (tmp_path / "i").read_bytes() == to_bytes(index)


def test_native_goes_on_as_the_original(index: sl.Index) -> None:
    again = sl.clone_index(index)
    for i in (index, again):
        if not i.is_trained:
            i.train(X)
        if "IDMap" in type(i).__name__:
            i.add_with_ids(rows(30, seed=2), np.arange(1000, 1030))
        else:
            i.add(rows(30, seed=2))
    assert to_bytes(index) == to_bytes(again)


def test_native_keeps_parameters() -> None:
    index = sl.IndexRefineFlat(sl.IndexHNSWSQ(D, QT_8BIT, 5))
    index.k_factor = 3.5
    index.base_index.hnsw.efSearch = 77
    index.base_index.hnsw.efConstruction = 99
    index.base_index.storage.sq.rangestat_arg = 0.25
    again = sl.clone_index(index)
    base = again.base_index
    assert again.k_factor == 3.5
    assert (base.hnsw.efSearch, base.hnsw.efConstruction, base.hnsw.M) == (77, 99, 5)
    assert base.storage.sq.rangestat_arg == 0.25


def test_clone_shares_nothing() -> None:
    index = filled(sl.IndexFlatL2(D))
    again = sl.clone_index(index)
    index.reset()
    assert again.ntotal == 60


def test_metadata(tmp_path: Path) -> None:
    metadata = {"model": "bge-m3", "größe": "\N{SNOWMAN}\0x", "": ""}
    filled(sl.IndexFlatL2(D)).save(tmp_path / "i", metadata=metadata)
    assert sl.read_metadata(tmp_path / "i") == metadata
    assert sl.open(tmp_path / "i").ntotal == 60
    with pytest.raises(TypeError, match=r"'n' is given a int; use json\.dumps"):
        sl.IndexFlatL2(D).save(tmp_path / "i", metadata={"n": 1})
    assert sl.read_metadata(tmp_path / "i") == metadata


def test_pickle_and_copy(index: sl.Index) -> None:
    for again in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), copy.copy(index)):
        assert classes(again) == classes(index)
        assert to_bytes(again) == to_bytes(index)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_graph_round_trips_after_any_history(data: st.DataObject) -> None:
    index = hnsw()
    for step in range(data.draw(st.integers(1, 5))):
        index.add(rows(data.draw(st.integers(0, 40)), seed=step))
        gone = data.draw(st.sets(st.integers(0, 100)))
        index.remove_ids(np.array(sorted(gone), dtype=np.int64))
    again = sl.clone_index(index)
    assert to_bytes(again) == to_bytes(index)
    compact = sl.deserialize_index(sl.serialize_index(index))
    assert compact.ntotal == index.ntotal
    if index.ntotal:
        k = index.ntotal
        _, ids = index.search(Q, k)
        _, found = compact.search(Q, k)
        known = set(ids[ids >= 0].tolist())
        assert set(found[found >= 0].tolist()) <= known | set(range(200))
        for i in known:
            np.testing.assert_array_equal(index.reconstruct(i), compact.reconstruct(i))


# --- Damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_native_truncation_is_detected(name: str) -> None:
    data = to_bytes(SMALL[name]())
    for n in range(len(data)):
        with pytest.raises(sl.CorruptIndexError):
            _core._from_bytes(data[:n])
    with pytest.raises(sl.CorruptIndexError, match="1 bytes follow its end"):
        _core._from_bytes(data + b"\0")


@pytest.mark.parametrize("name", SMALL)
def test_native_bit_flips_are_detected(name: str) -> None:
    data = bytearray(to_bytes(SMALL[name]()))
    for at in range(len(data)):
        for bit in range(8) if name == "Flat" else [at % 8]:
            data[at] ^= 1 << bit
            with pytest.raises(sl.CorruptIndexError):
                _core._from_bytes(data)
            data[at] ^= 1 << bit
    _core._from_bytes(data)


FOREIGN = {
    b"": "empty",
    b"\x93NUMPY\x01\0" + bytes(80): "NumPy",
    b"PK\x03\x04" + bytes(80): "zip archive",
    b"\x1f\x8b" + bytes(80): "gzip",
    b"version https://git-lfs.github.com/spec/v1\noid": "Git LFS pointer",
    b"<!DOCTYPE html><html>": "text",
    pickle.dumps({"a": list(range(50))}): "pickle",
    np.array([0, 9, 5, 100, 92, 60, 0, 4, 8, 4], np.uint64).tobytes(): "hnswlib",
    bytes(range(200, 256)) * 3: "this is no",
}


@pytest.mark.parametrize("data", FOREIGN, ids=FOREIGN.values())
def test_foreign_files_are_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    for read in (sl.open, sl.read_index, sl.read_metadata):
        with pytest.raises(sl.CorruptIndexError, match=FOREIGN[data]) as info:
            read(tmp_path / "f")
        assert str(tmp_path / "f") in str(info.value)


def test_readers_point_at_each_other(tmp_path: Path) -> None:
    index = filled(sl.IndexFlatL2(D))
    index.save(tmp_path / "native")
    sl.write_index(index, tmp_path / "faiss")
    with pytest.raises(sl.CorruptIndexError, match=r"shortlist\.open"):
        sl.read_index(tmp_path / "native")
    with pytest.raises(sl.CorruptIndexError, match="read_index"):
        sl.open(tmp_path / "faiss")
    (tmp_path / "ivf").write_bytes(b"IwFd" + bytes(100))
    with pytest.raises(NotImplementedError, match="IndexIVFFlatDedup"):
        sl.read_index(tmp_path / "ivf")


# --- The container, against an independent reader and writer -----------------------------------


def test_container_layout(index: sl.Index) -> None:
    data = to_bytes(index)
    assert join(split(data)) == data


def test_long_sections_have_right_checksums() -> None:
    index = sl.IndexFlatL2(64)
    index.add(np.random.default_rng(0).random((300, 64), dtype=np.float32))
    split(to_bytes(index))  # asserts every checksum


def test_versions() -> None:
    sections = split(to_bytes(filled(sl.IndexFlatL2(D))))
    assert _core._from_bytes(join(sections, minor=9)).ntotal == 60
    with pytest.raises(sl.CorruptIndexError, match=r"version 2\.0"):
        _core._from_bytes(join(sections, major=2))
    later = [sections[0], ("a later addition", b"xyz"), *sections[1:], ("another", b"")]
    assert _core._from_bytes(join(later)).ntotal == 60
    with pytest.raises(sl.CorruptIndexError, match="'index' is missing"):
        _core._from_bytes(join(sections[:1]))


def u32(*values: int) -> bytes:
    return np.array(values, np.uint32).tobytes()


LIES: dict[str, tuple[str, bytes | dict[str, str]]] = {
    "class": ("index", {"class": "IndexNew"}),
    "no class": ("index", {"class": "IndexFlatX"}),
    "d": ("index", {"d": "0"}),
    "d differs": ("index", {"d": "9"}),
    "metric": ("index", {"metric": "7"}),
    "number": ("index", {"efSearch": "x"}),
    "overflow": ("index", {"efSearch": "99999999999999999999"}),
    "M": ("index", {"M": "1000000"}),
    "entry": ("index", {"entry_point": "77"}),
    "no entry": ("index", {"entry_point": "4294967295"}),
    "top": ("index", {"max_level": "50"}),
    "next": ("index", {"next_id": "-4"}),
    "levels": ("index/levels", bytes([200] * 20)),
    "fewer levels": ("index/levels", bytes(19)),
    "counts": ("index/link_counts", bytes(3)),
    "links": ("index/links", u32(4_000_000_000)),
    "free": ("index/free", u32(20)),
    "free twice": ("index/free", u32(3, 3)),
    "erased": ("index/erased", u32(20)),
    "ids": ("index/ids", bytes(8 * 20)),
    "codes": ("index/storage/codes", bytes(4 * D * 19)),
    "part of a code": ("index/storage/codes", bytes(4 * D * 20 - 1)),
    "storage class": ("index/storage", {"class": "IndexHNSW"}),
    "storage metric": ("index/storage", {"metric": "0"}),
    "dtype": ("index/storage", {"dtype": "float8"}),
    "not fields": ("index", b"\xff" * 20),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_with_right_checksums_are_refused(lie: str) -> None:
    index = without(filled(hnsw(), 20), range(5, 7))
    name, change = LIES[lie]
    sections = []
    for section, payload in split(to_bytes(index)):
        if section == name and isinstance(change, dict):
            payload = Fields.unpack(payload).changed(change).pack()
        elif section == name and name == "index/links":
            payload = change + payload[len(change) :]
        elif section == name:
            payload = change
        sections.append((section, payload))
    with pytest.raises(sl.CorruptIndexError):
        _core._from_bytes(join(sections))


# --- File trouble ------------------------------------------------------------------------------

SAVES: dict[str, Callable[[sl.Index, Path], None]] = {
    "native": lambda index, path: index.save(path),
    "faiss": lambda index, path: sl.write_index(index, path),
}
LOADS = {"native": sl.open, "faiss": sl.read_index}


@pytest.mark.parametrize("form", SAVES)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "close", "unlink"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_failing_save_leaves_the_old_file(
    form: str, call: str, error: int, tmp_path: Path, io_faults: Callable[..., bool]
) -> None:
    path = tmp_path / "index"
    index = sl.IndexFlatL2(64)
    index.add(np.zeros((9000, 64), np.float32))  # more than the buffer: several writes
    after, fired = 0, True
    while fired:
        SAVES[form](sl.IndexFlatL2(2), path)
        old = path.read_bytes()
        io_faults(call, after, error)
        try:
            SAVES[form](index, path)
            raised = None
        except OSError as e:
            raised = e
        fired = io_faults()
        assert os.listdir(tmp_path) == ["index"], "a temporary file is left"
        if raised is None:
            assert LOADS[form](path).ntotal == 9000
        elif path.read_bytes() != old:  # only the folder's sync may fail after the rename
            assert call in ("fsync", "close")
            assert LOADS[form](path).ntotal == 9000
        if raised:
            assert raised.errno == error
            assert str(path) in str(raised)
        after += 1
    expected = {"open": 2, "write": 2, "fsync": 2, "rename": 1, "close": 1, "unlink": 0}
    assert after - 1 >= expected[call]


@pytest.mark.parametrize("form", SAVES)
@pytest.mark.parametrize(("call", "error"), [("write", 0), ("read", 0), ("write", errno.EINTR),
                                             ("read", errno.EINTR), ("open", errno.EINTR),
                                             ("fsync", errno.EINTR)])  # fmt: skip
def test_short_and_interrupted_calls_go_on(
    form: str, call: str, error: int, tmp_path: Path, io_faults: Callable[..., bool]
) -> None:
    index = sl.IndexFlatL2(64)
    index.add(np.random.default_rng(0).random((9000, 64), dtype=np.float32))
    after, fired = 0, True
    while fired:
        io_faults(call, after, error)
        SAVES[form](index, tmp_path / "i")
        again = LOADS[form](tmp_path / "i")
        fired = io_faults()
        assert to_bytes(again) == to_bytes(index)
        after += 1
    assert after > 1


@pytest.mark.parametrize("form", LOADS)
def test_failing_reads(form: str, tmp_path: Path, io_faults: Callable[..., bool]) -> None:
    SAVES[form](filled(sl.IndexFlatL2(D)), tmp_path / "i")
    for call, error in (("open", errno.EMFILE), ("read", errno.EIO)):
        io_faults(call, 0, error)
        with pytest.raises(OSError, match="cannot read") as info:
            LOADS[form](tmp_path / "i")
        assert info.value.errno == error
    io_faults()
    with pytest.raises(ValueError, match="no system call"):
        io_faults("mmap", 0, errno.EIO)


@pytest.mark.parametrize("form", SAVES)
def test_paths(form: str, tmp_path: Path) -> None:
    index = filled(sl.IndexFlatL2(D))
    save, load = SAVES[form], LOADS[form]
    with pytest.raises(FileNotFoundError, match="create its folder first"):
        save(index, tmp_path / "missing" / "i")
    with pytest.raises(FileNotFoundError, match="nothing"):
        load(tmp_path / "nothing")
    for use in (lambda: save(index, tmp_path), lambda: load(tmp_path)):
        with pytest.raises(IsADirectoryError, match="this is a folder"):
            use()
    with pytest.raises(FileNotFoundError):
        save(index, "")
    with pytest.raises(ValueError, match="null"):
        load("a\0b")
    with pytest.raises(OSError, match="shorter name"):
        save(index, tmp_path / ("x" * 256))
    for name in ("x" * 255, "größe", os.fsdecode(b"\xff\xfe")):
        save(index, tmp_path / name)
        assert load(os.fsencode(tmp_path / name)).ntotal == 60
        (tmp_path / name).unlink()
    assert os.listdir(tmp_path) == []


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sl.IndexFlatL2(D).save("i")
    assert sl.open("i").ntotal == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path: Path) -> None:
    index = sl.IndexFlatL2(D)
    index.save(tmp_path / "i")
    (tmp_path / "i").chmod(0o400)
    with pytest.raises(PermissionError, match="ask for permission"):
        index.save(tmp_path / "i")
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="ask for permission"):
        index.save(tmp_path / "j")
    tmp_path.chmod(0o700)


def test_replacing_keeps_mode_and_links(tmp_path: Path) -> None:
    index = filled(sl.IndexFlatL2(D))
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    index.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert sl.open(tmp_path / "real").ntotal == 60
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


def test_pipe(tmp_path: Path) -> None:
    index = INDEXES["IDMap2 RefineFlat HNSW"]()
    for form in SAVES:
        os.mkfifo(tmp_path / form)
        writer = threading.Thread(target=SAVES[form], args=(index, tmp_path / form))
        writer.start()
        again = LOADS[form](tmp_path / form)
        writer.join()
        assert_same_answers(index, again)
        assert (tmp_path / form).is_fifo()
