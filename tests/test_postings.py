"""Posting lists in files: what is written is read, damage is told; which lists vectors go to."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shortlist
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
    file = _disk.PostingFiles([str(path)], way, data.draw(st.sampled_from(["direct", "buffered"])))
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
            file = _disk.PostingFiles([str(path)])
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
            _disk.PostingFiles([str(path)])


def test_foreign_and_newer_files(tmp_path: Path) -> None:
    path = tmp_path / "p"
    whole = bytearray(write(path, lists([3], 4), 4))
    path.write_bytes(bytes(3 * PAGE))
    with pytest.raises(CorruptIndexError, match="no file of postings"):
        _disk.PostingFiles([str(path)])
    whole[8] = 2
    path.write_bytes(whole)
    with pytest.raises(UnsupportedError, match=r"version 2\.0"):
        _disk.PostingFiles([str(path)])
    with pytest.raises(ValueError, match="code_size = 0"):
        _disk.PostingWriter(str(path), 0)


def test_numbers_that_are_not_there(tmp_path: Path) -> None:
    write(tmp_path / "p", lists([3], 4), 4)
    with pytest.raises(ValueError, match="posting 1 is not there"):
        _disk.PostingFiles([str(tmp_path / "p")]).read([0, 1])


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
    index = shortlist.IndexHNSWFlat(6, 8)
    index.add(centroids)
    d = ((x[:, None] - centroids) ** 2).sum(2)
    near = np.argsort(d, 1)[:, :20]
    near[::7, 12:] = -1
    far = np.take_along_axis(d, np.maximum(near, 0), 1)
    got = _disk.closure(index, near, far, 5, rng_factor, epsilon)
    for row, candidates, distances in zip(got, near, far, strict=True):
        chosen: list[int] = []
        places = []
        for place, (c, apart) in enumerate(zip(candidates, distances, strict=True)):
            if c < 0 or len(chosen) == 5 or (chosen and apart > (1 + epsilon) ** 2 * distances[0]):
                break
            others = [((centroids[c] - centroids[o]) ** 2).sum() for o in chosen]
            if not (rng_factor and any(rng_factor * o < apart for o in others)):
                chosen.append(int(c))
                places.append(place)
        assert row.tolist() == places + [-1] * (5 - len(places))


def test_closures_that_make_no_sense() -> None:
    one = np.zeros((1, 1), "f4")
    index = shortlist.IndexHNSWFlat(1, 8)
    index.add(one)
    for bad, told in (
        ({"replicas": 0}, "replicas = 0"),
        ({"replicas": 2**61}, "1024 are the most"),
        ({"rng_factor": -1}, "0 or more"),
        ({"epsilon": float("nan")}, "0 or more"),
    ):
        with pytest.raises(ValueError, match=told):
            _disk.closure(index, np.zeros((1, 1), int), one, **bad)
    with pytest.raises(ValueError, match="candidate 1"):
        _disk.closure(index, np.ones((1, 1), int), one)


def check_spilled(
    got: np.ndarray, x: np.ndarray, centroids: np.ndarray, near: np.ndarray, soar_lambda: float
) -> None:
    """The first candidate, then of the others the one of least cost each time, the first of like
    ones, while there are any."""
    for row, chosen, candidates in zip(x.astype("f8"), got, near, strict=True):
        there = candidates[: np.argmax(candidates < 0) if (candidates < 0).any() else None]
        n = min(len(there), len(chosen))
        assert (chosen[n:] == -1).all()
        assert chosen[:n].tolist()[:1] == [0][:n]
        away = row - centroids[there].astype("f8")
        cost = (away**2).sum(1)
        left = np.arange(len(there)) > 0
        for last, place in pairwise(chosen[:n]):
            if square := (away[last] ** 2).sum():
                cost = cost + soar_lambda * (away @ away[last]) ** 2 / square
            least = cost[left].min()
            assert left[place]
            assert cost[place] <= least + 1e-9 * (1 + least)
            alike = left & (away == away[place]).all(1)
            assert place == np.flatnonzero(alike)[0]
            left[place] = False


@settings(max_examples=60)
@given(data=st.data())
def test_lists_are_spilled_by_the_rule(data: st.DataObject) -> None:
    """Small integers, so that distances are exact: ties, like centroids, residuals of length 0."""
    d = data.draw(st.sampled_from([1, 2, 5, 17]), "d")
    dtype = data.draw(st.sampled_from(["float32", "float16", "uint8"]), "dtype")
    count, n, width, replicas, top = (data.draw(st.integers(1, most)) for most in (12, 6, 14, 5, 7))
    soar_lambda = data.draw(st.sampled_from([0.0, 0.5, 1.5, 100.0]), "lambda")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
    centroids = rng.integers(0, top + 1, (count, d)).astype(dtype)
    x = rng.integers(0, top + 1, (n, d)).astype(dtype)
    index = shortlist.IndexHNSWFlat(d, 8, dtype=dtype)
    index.add(centroids)
    apart = ((x[:, None].astype("f8") - centroids.astype("f8")) ** 2).sum(2)
    near = np.full((n, width), -1)
    some = min(width, count)
    near[:, :some] = np.argsort(apart, 1, kind="stable")[:, :some]
    got = _disk.spill(index, x, near, replicas, soar_lambda)
    assert got.shape == (n, replicas)
    check_spilled(got, x, centroids, near, soar_lambda)


def test_spilling_many_rows(threads: Callable[[int], None]) -> None:
    rng = np.random.default_rng(1)
    centroids, x = rng.normal(size=(90, 24)).astype("f4"), rng.normal(size=(3001, 24)).astype("f4")
    index = shortlist.IndexHNSWFlat(24, 8)
    index.add(centroids)
    near = np.argsort(((x[:, None] - centroids) ** 2).sum(2), 1)[:, :64]
    near[::7, 3:] = -1
    near[5] = -1
    got = []
    for count in (1, 2):
        threads(count)
        got.append(_disk.spill(index, x, near, 4, 1.5))
    np.testing.assert_array_equal(*got)
    cost = 1e-5  # float32 distances; costs of the second list are compared
    away = x[:, None] - np.take_along_axis(centroids[None], near[:, :, None], 1)
    unit = away[:, 0] / np.linalg.norm(away[:, 0], axis=1, keepdims=True)
    costs = (away**2).sum(2) + 1.5 * np.einsum("icd,id->ic", away, unit) ** 2
    costs[:, 0] = np.inf
    costs[near < 0] = np.inf
    rows = np.flatnonzero((near >= 0).sum(1) > 1)
    chosen = costs[rows, got[0][rows, 1]]
    assert (chosen <= costs[rows].min(1) * (1 + cost)).all()
    assert (got[0][5] == -1).all()
    assert (got[0][7, :3] >= 0).all()
    assert got[0][7, 3] == -1


def test_spilling_what_makes_no_sense() -> None:
    one = np.zeros((1, 1), "f4")
    index = shortlist.IndexHNSWFlat(1, 8)
    index.add(np.array([[0], [1], [2]], "f4"))
    near = np.array([[0, 1, 2]])
    for bad, told in (
        ({"replicas": 0}, "replicas = 0"),
        ({"replicas": 2**61}, "1024 are the most"),
        ({"soar_lambda": -1}, "soar_lambda = -1"),
        ({"soar_lambda": float("nan")}, "soar_lambda = nan"),
        ({"soar_lambda": float("inf")}, "soar_lambda = inf"),
    ):
        with pytest.raises(shortlist.ArgumentError, match=told):
            _disk.spill(index, one, near, **bad)
    with pytest.raises(shortlist.ArgumentError, match="candidate 3"):
        _disk.spill(index, one, near + 1)
    for x, candidates in ((np.zeros((1, 2), "f4"), near), (one, near[0]), (one, near[[0, 0]])):
        with pytest.raises(shortlist.DimensionError, match="must be"):
            _disk.spill(index, x, candidates)
    # No cost is told of these, so they are in the list that was nearest alone.
    for value in (np.nan, np.inf, 1e30):
        assert _disk.spill(index, np.full((1, 1), value, "f4"), near).tolist() == [[0, -1]]
    assert _disk.spill(index, one[:0], near[:0]).shape == (0, 2)


# --- Several files, runs, whole vectors -------------------------------------------------------


def test_files_of_postings_follow_one_another(tmp_path: Path) -> None:
    sizes = [[3, 0, 7], [5], [2, 2]]
    splits = [[4], [], [6, 1]]
    parts = [lists(a + b, 12, seed) for seed, (a, b) in enumerate(zip(sizes, splits, strict=True))]
    paths = [str(tmp_path / str(i)) for i in range(3)]
    for number, (path, part, regular) in enumerate(zip(paths, parts, sizes, strict=True)):
        writer = _disk.PostingWriter(path, 12, 7, number)
        for i, (ids, codes) in enumerate(part):
            writer.add(ids, codes, split=i >= len(regular))
        writer.finish()
    all_ = [p for part, regular in zip(parts, sizes, strict=True) for p in part[: len(regular)]]
    all_ += [p for part, regular in zip(parts, sizes, strict=True) for p in part[len(regular) :]]
    files = _disk.PostingFiles(paths)
    assert (len(files), files.splits) == (9, 3)
    assert [files.count(i) for i in range(9)] == [len(ids) for ids, _ in all_]
    same(files.read(list(range(9))), all_, list(range(9)))
    files.verify()
    assert _disk.PostingFiles(paths[1:]).entries == 16
    for wrong in (paths[::-1], [paths[0], paths[2]], [paths[0], paths[0]]):
        with pytest.raises(CorruptIndexError, match="follows"):
            _disk.PostingFiles(wrong)
    write(tmp_path / "other", lists([1], 12), 12, build=8)
    with pytest.raises(CorruptIndexError, match="same build"):
        _disk.PostingFiles([*paths, str(tmp_path / "other")])


HEAD = np.dtype(
    [("id", "<i8"), ("posting", "<u4"), ("distance", "<f4"), ("rank", "<u4"), ("zero", "<u4")]
)


def codes_of_rows(d: int) -> shortlist.IndexIVFFlat:
    one = shortlist.IndexFlatL2(d)
    one.add(np.zeros((1, d), "f4"))
    return shortlist.IndexIVFFlat(one, d, 1, dtype="uint8")


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_runs_merge_to_postings(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.mktemp("runs")
    d, postings, bounds = 4, 9, [0, 4, 4, 9]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    centroids = rng.integers(0, 255, (postings, d)).astype("u1")
    graph = shortlist.IndexHNSWFlat(d, 8, dtype="uint8")
    graph.add(centroids)
    limit = data.draw(st.sampled_from([1, 3, 8, 1000]))
    want: list[list[tuple[int, float, int, bytes]]] = [[] for _ in range(postings)]
    paths = []
    for shard in range(data.draw(st.integers(1, 4))):
        n = data.draw(st.integers(0, 60))
        heads = np.zeros(n, HEAD)
        heads["id"] = rng.integers(0, 2**62, n)
        heads["posting"] = np.sort(rng.integers(0, postings, n))
        heads["distance"] = rng.random(n)
        heads["rank"] = rng.integers(0, 3, n)
        codes, rows = rng.integers(0, 255, (n + 1, d)).astype("u1"), rng.integers(0, n + 1, n)
        paths.append(str(folder / f"run{shard}"))
        raw = heads.view("u1").reshape(n, HEAD.itemsize)
        _disk.write_run(paths[-1], bounds, raw, codes, rows.astype("u4"), 5)
        _disk.RunFile(paths[-1]).verify()
        for head, row in zip(heads, rows, strict=True):
            entry = (
                int(head["id"]),
                float(head["distance"]),
                int(head["rank"]),
                codes[row].tobytes(),
            )
            want[head["posting"]].append(entry)
    dropped = entries = 0
    outs, id_files, splits = [], [], [postings]
    for bucket in range(3):
        begin, end = bounds[bucket], bounds[bucket + 1]
        outs.append(out := str(folder / f"postings{bucket}"))
        id_files.append(str(folder / f"ids{bucket}"))
        how = codes_of_rows(d), graph, d, 5, 1234, id_files[-1]
        told = _disk.merge(out, paths, bucket, begin, end, limit, 64, *how)
        splits.append(splits[-1] + len(told[3]))
        entries, dropped = entries + told[0], dropped + told[1]
        files = _disk.PostingFiles([out])
        assert len(files) == end - begin + len(told[3])
        found = files.read(list(range(len(files))))
        for p in range(begin, end):
            nearest = [e for e in want[p] if e[2] == 0]
            others = sorted((e for e in want[p] if e[2]), key=lambda e: e[1])
            room = max(limit, len(nearest)) - len(nearest)
            kept = {e[0] for e in nearest} | {e[0] for e in others[:room]}
            parts = [p - begin, *(end - begin + np.flatnonzero(told[3] == p)).tolist()]
            there = {
                (int(i), c.tobytes())
                for part in parts
                for i, c in zip(*found.get(part, ([], [])), strict=True)
            }
            assert there == {(e[0], e[3]) for e in want[p] if e[0] in kept}
            assert all(len(found[part][0]) <= limit for part in parts if part in found)
    assert entries + dropped == sum(map(len, want))
    nearest_ids = [e[0] for entries in want for e in entries if e[2] == 0]
    assert _disk.merge_ids(str(folder / "ids"), id_files, splits[:3], 5) == len(nearest_ids)
    found = _disk.PostingFiles(outs).read(list(range(splits[3])))
    file = _disk.IdFile(str(folder / "ids"))
    file.verify()
    for id_, place in zip(nearest_ids, file.find(nearest_ids), strict=True):
        assert id_ in found[place][0]
    assert file.find([1, -1]).tolist() == [-1, -1]


def test_damaged_runs_are_told(tmp_path: Path) -> None:
    heads = np.zeros(40, HEAD)
    heads["posting"] = np.sort(np.arange(40) % 4)
    codes = np.arange(160, dtype="u1").reshape(40, 4)
    path = tmp_path / "run"
    raw = heads.view("u1").reshape(40, -1)
    _disk.write_run(str(path), [0, 2, 4], raw, codes, np.arange(40, dtype="u4"), 1)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(CorruptIndexError):
            _disk.RunFile(str(path)).verify()
        path.write_bytes(whole[:at])
        with pytest.raises(CorruptIndexError):
            _disk.RunFile(str(path)).verify()


@pytest.mark.parametrize("size", [1, 128, 1536, 4092, 4093, 9000])
def test_whole_vectors_by_row(tmp_path: Path, size: int) -> None:
    rng = np.random.default_rng(size)
    parts = [rng.integers(0, 256, (n, size), np.uint8) for n in (50, 0, 1, 33)]
    paths = [str(tmp_path / str(i)) for i in range(len(parts))]
    for number, (path, part) in enumerate(zip(paths, parts, strict=True)):
        before = sum(map(len, parts[:number]))
        writer = _disk.VectorWriter(path, size, len(part), 3, before)
        writer.add(part[: len(part) // 2])
        writer.add(part[len(part) // 2 :])
        writer.finish()
    x = np.concatenate(parts)
    for way in ("io_uring", "direct"), ("pread", "buffered"):
        files = _disk.VectorFiles(paths, *way)
        assert (len(files), files.row_bytes, files.build) == (84, size, 3)
        rows = rng.integers(0, 84, 200)
        np.testing.assert_array_equal(files.read(rows), x[rows])
        files.verify()
    with pytest.raises(ValueError, match="row 84"):
        files.read([84])
    with pytest.raises(CorruptIndexError, match="follows"):
        _disk.VectorFiles([paths[3], paths[0]])
    whole = Path(paths[0]).read_bytes()
    for at in range(0, len(whole), 97):
        Path(paths[0]).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises((CorruptIndexError, UnsupportedError)):
            _disk.VectorFiles(paths).verify()
    Path(paths[0]).write_bytes(whole[:-4096])
    with pytest.raises(CorruptIndexError, match="cut short"):
        _disk.VectorFiles(paths)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_rows_beyond_4_gib(tmp_path: Path) -> None:
    writer = _disk.VectorWriter(str(tmp_path / "one"), 4000, 1, 3)
    writer.add(np.arange(4000, dtype="u1").reshape(1, -1))
    writer.finish()
    header, block = struct.unpack("4096s4096s", (tmp_path / "one").read_bytes())
    rows = 1_200_000
    header = header[:32] + struct.pack("<Q", rows) + header[40:-4]
    with open(tmp_path / "sparse", "wb") as file:
        file.write(header + struct.pack("<I", crc32c(header)))
        file.seek(4096 * rows)
        file.write(block)
    files = _disk.VectorFiles([str(tmp_path / "sparse")])
    assert len(files) == rows
    np.testing.assert_array_equal(files.read([rows - 1])[0], np.arange(4000, dtype="u1"))
    with pytest.raises(CorruptIndexError, match="damaged at byte"):
        files.read([rows - 2])


def test_rows_that_are_missing(tmp_path: Path) -> None:
    writer = _disk.VectorWriter(str(tmp_path / "v"), 4, 3)
    writer.add(np.zeros((2, 4), "u1"))
    with pytest.raises(ValueError, match="2 rows"):
        writer.finish()
    del writer
    assert not list(tmp_path.iterdir())
