"""Posting lists in files: what is written is read, damage is told; which lists vectors go to."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shortlist import CorruptIndexError, UnsupportedError
from shortlist._core import _disk

PAGE = 4096
Lists = list[tuple[np.ndarray, np.ndarray]]


def lists(sizes: list[int], code_size: int, seed: int = 0) -> Lists:
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(-(2**63), 2**63 - 1, n), rng.integers(0, 256, (n, code_size), np.uint8))
        for n in sizes
    ]


def write(path: Path, all_: Lists, code_size: int, build: int = 7) -> bytes:
    writer = _disk.PostingWriter(str(path), code_size, build)
    for ids, codes in all_:
        writer.add(ids, codes)
    assert not path.exists()
    writer.finish()
    return path.read_bytes()


def same(found: dict[int, tuple[np.ndarray, np.ndarray]], all_: Lists, numbers: list[int]) -> None:
    assert sorted(found) == sorted({n for n in numbers if len(all_[n][0])})
    for n, (ids, codes) in found.items():
        np.testing.assert_array_equal(ids, all_[n][0])
        np.testing.assert_array_equal(codes, all_[n][1])


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    code_size = data.draw(st.sampled_from([1, 7, 128, 3000]))
    all_ = lists(data.draw(st.lists(st.integers(0, 200), max_size=30)), code_size)
    path = tmp_path_factory.mktemp("postings") / "p"
    write(path, all_, code_size)
    way = data.draw(st.sampled_from(["io_uring", "pread"]))
    file = _disk.PostingFile(str(path), way, data.draw(st.sampled_from(["direct", "buffered"])))
    assert (len(file), file.code_size, file.build) == (len(all_), code_size, 7)
    assert file.entries == sum(len(ids) for ids, _ in all_)
    file.verify()
    if all_:
        numbers = data.draw(st.lists(st.integers(0, len(all_) - 1), unique=True))
        same(file.read(numbers), all_, numbers)


def test_postings_begin_at_pages(tmp_path: Path) -> None:
    all_ = lists([1, 0, 40, 300], 100)
    blob = write(tmp_path / "p", all_, 100)
    pages = [-(-(32 + n * 108) // PAGE) for n in (1, 40, 300)]
    assert len(blob) == PAGE * (1 + sum(pages) + 1 + 1)
    assert struct.unpack_from("<IIQ", blob, PAGE) == (0x4F504C53, 1, 0)
    assert struct.unpack_from("<q", blob, PAGE + 32)[0] == all_[0][0][0]


def test_every_flipped_byte_is_told_or_changes_nothing(tmp_path: Path) -> None:
    all_ = lists([3, 0, 20, 1], 9)
    path = tmp_path / "p"
    whole = write(path, all_, 9)
    rng = np.random.default_rng(0)
    for at in range(len(whole)):
        if at % PAGE > 400 and at % 37:  # mostly zeros
            continue
        blob = bytearray(whole)
        blob[at] ^= int(rng.integers(1, 256))
        path.write_bytes(blob)
        told = False
        try:
            file = _disk.PostingFile(str(path))
            same(file.read([0, 1, 2, 3]), all_, [0, 1, 2, 3])
        except (CorruptIndexError, UnsupportedError):
            told = True
        if told:
            continue
        # What search does not read: zeros behind postings, and behind the directory.
        if at < len(whole) - 2 * PAGE:
            with pytest.raises(CorruptIndexError, match="not zero"):
                file.verify()


def test_every_truncation_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p"
    whole = write(path, lists([30, 50], 100), 100)
    for n in [*range(0, 200), *range(0, len(whole), PAGE // 4)]:
        path.write_bytes(whole[:n])
        with pytest.raises(CorruptIndexError, match=r"postings|footer"):
            _disk.PostingFile(str(path))


def test_foreign_and_newer_files(tmp_path: Path) -> None:
    path = tmp_path / "p"
    whole = bytearray(write(path, lists([3], 4), 4))
    path.write_bytes(bytes(3 * PAGE))
    with pytest.raises(CorruptIndexError, match="no file of postings"):
        _disk.PostingFile(str(path))
    whole[8] = 2
    path.write_bytes(whole)
    with pytest.raises(UnsupportedError, match=r"version 2\.0"):
        _disk.PostingFile(str(path))
    with pytest.raises(ValueError, match="code_size = 0"):
        _disk.PostingWriter(str(path), 0)


def test_numbers_that_are_not_there(tmp_path: Path) -> None:
    write(tmp_path / "p", lists([3], 4), 4)
    with pytest.raises(ValueError, match="posting 1 is not there"):
        _disk.PostingFile(str(tmp_path / "p")).read([0, 1])


def test_half_a_file_is_not_there(tmp_path: Path) -> None:
    writer = _disk.PostingWriter(str(tmp_path / "p"), 4)
    writer.add(*lists([3], 4)[0])
    del writer
    assert not list(tmp_path.iterdir())


# --- Closure ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rng_factor", [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 10.0])
def test_lists_are_chosen_by_the_rule(rng_factor: float, epsilon: float) -> None:
    rng = np.random.default_rng(1)
    centroids, x = rng.normal(size=(40, 6)).astype("f4"), rng.normal(size=(200, 6)).astype("f4")
    d = ((x[:, None] - centroids) ** 2).sum(2)
    near = np.argsort(d, 1)[:, :20]
    near[::7, 12:] = -1
    far = np.take_along_axis(d, np.maximum(near, 0), 1)
    got = _disk.closure(centroids, near, far, 5, rng_factor, epsilon)
    for row, candidates, distances in zip(got, near, far, strict=True):
        chosen: list[int] = []
        for c, apart in zip(candidates, distances, strict=True):
            if c < 0 or len(chosen) == 5 or (chosen and apart > (1 + epsilon) ** 2 * distances[0]):
                break
            others = [((centroids[c] - centroids[o]) ** 2).sum() for o in chosen]
            if not (rng_factor and any(rng_factor * o < apart for o in others)):
                chosen.append(int(c))
        assert row.tolist() == chosen + [-1] * (5 - len(chosen))


def test_closures_that_make_no_sense() -> None:
    one = np.zeros((1, 1), "f4")
    for bad, told in (
        ({"replicas": 0}, "replicas = 0"),
        ({"rng_factor": -1}, "0 or more"),
        ({"epsilon": float("nan")}, "0 or more"),
    ):
        with pytest.raises(ValueError, match=told):
            _disk.closure(one, np.zeros((1, 1), int), one, **bad)
    with pytest.raises(ValueError, match="candidate 1"):
        _disk.closure(one, np.ones((1, 1), int), one)
