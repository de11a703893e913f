"""Indexes on disk are built whole or not at all, within a budget."""

from __future__ import annotations

import errno
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shortlist
from shortlist import _core, spann
from spann_cases import D, build, contents, vectors
from spann_faults import forked


def test_the_same_bytes_from_any_threads(tmp_path, spann_vectors, threads):
    made = []
    for count in (1, 2):
        threads(count)
        build(tmp_path / str(count), spann_vectors, buckets=3, shard_rows=700)
        made.append(contents(tmp_path / str(count)))
    assert made[0] == made[1]


def test_nothing_is_left_but_the_index(spann_folder):
    kinds = {name.split("-")[0] for name in os.listdir(spann_folder)}
    assert kinds == {"LOCK", "MANIFEST", "centroids", "codec", "ids", "postings", "splits"}


@pytest.mark.parametrize("description", ["SPANN", "SPANN,SDC1"])
def test_killed_builds_go_on_and_give_the_same_bytes(tmp_path, spann_vectors, description):
    def run(out: Path, stop: int = -1) -> list[str]:
        seen: list[str] = []

        def say(stage: str, done: int, total: int) -> None:
            seen.append(stage)
            if len(seen) == stop:
                os.kill(os.getpid(), signal.SIGKILL)

        source = str(tmp_path / "x.npy")
        build(out, source, description, progress=say, shard_rows=700, buckets=3)
        return seen

    np.save(tmp_path / "x.npy", spann_vectors)
    stages, want = run(tmp_path / "whole"), contents(tmp_path / "whole")
    points = {1 + stages.index(stage) for stage in stages}
    points |= {len(stages) - stages[::-1].index(stage) for stage in stages}
    assert len(points) > 10
    for point in sorted(points):
        out = tmp_path / str(point)
        assert forked(partial(run, out, point)) == -signal.SIGKILL
        run(out)
        assert contents(out) == want, f"killed at {point}, {stages[point - 1]}"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_failing_calls_lose_nothing(spann_copy, call):
    before, q = contents(spann_copy), vectors(20, seed=6)
    want = shortlist.open(spann_copy).search(q, 5)
    x, after, failed = vectors(900, seed=7), 0, True
    while failed:
        _core._fail_io(call, after, errno.ENOSPC)
        try:
            build(spann_copy, x, buckets=2, shard_rows=400)
        except OSError:
            pass
        finally:
            failed = _core._fail_io()
        if failed:
            assert {n: b for n, b in contents(spann_copy).items() if n in before} == before
            for a, b in zip(want, shortlist.open(spann_copy).search(q, 5), strict=True):
                np.testing.assert_array_equal(a, b)
        after += 1 if after < 6 else 5
    assert shortlist.open(spann_copy).ntotal == 900


def test_a_source_that_changed_is_built_anew(tmp_path, spann_vectors):
    path = tmp_path / "x.npy"
    np.save(path, spann_vectors[:1000])

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "merge":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "i", str(path), progress=stop)
    np.save(path, spann_vectors[1000:2000])
    index = build(tmp_path / "i", str(path))
    _, found = index.search(spann_vectors[1000:2000], 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(1000))


def test_one_builder_at_a_time(tmp_path, spann_vectors):
    def inside(stage: str, done: int, total: int) -> None:
        if stage == "graph":
            with pytest.raises(BlockingIOError, match="another process"):
                build(tmp_path, spann_vectors)
            raise StopIteration

    with pytest.raises(StopIteration):
        build(tmp_path, spann_vectors, progress=inside)


def test_what_is_there_is_verified_and_mended(spann_copy, spann_vectors):
    before = contents(spann_copy)
    stages: list[str] = []
    build(spann_copy, spann_vectors, progress=lambda stage, done, total: stages.append(stage))
    assert set(stages) == {"scan"}
    assert contents(spann_copy) == before
    for name in before:
        if not name.startswith(("MANIFEST", "postings", "ids")):
            continue
        data = bytearray(before[name])
        data[len(data) // 3] ^= 1
        (spann_copy / name).write_bytes(data)
        build(spann_copy, spann_vectors)
        assert contents(spann_copy) == before
    told = shortlist.open(spann_copy).manifest["calibration"]
    asked = build(spann_copy, spann_vectors, queries=vectors(50, seed=9)).manifest["calibration"]
    assert told != asked


def test_changes_are_not_lost_to_another_build(spann_copy, spann_vectors):
    index = shortlist.open(spann_copy)
    index.add(spann_vectors[:3])
    for _ in range(2):
        with pytest.raises(ValueError, match="added or removed"):
            build(spann_copy, spann_vectors[:500])
        assert build(spann_copy, spann_vectors).ntotal == 3003
        index.compact()
        index = shortlist.open(spann_copy)


def test_what_a_killed_compact_left_is_no_change(spann_copy, spann_vectors, monkeypatch):
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "the manifest")

    kinds = set(os.listdir(spann_copy))
    monkeypatch.setattr("shortlist.spann._compact.write_json", fail)
    with pytest.raises(OSError, match="the manifest"):
        shortlist.open(spann_copy).compact()
    assert any("-g1-" in name for name in set(os.listdir(spann_copy)) - kinds)
    assert build(spann_copy, spann_vectors[:500]).ntotal == 500
    assert not any("-g1" in name for name in os.listdir(spann_copy))


def test_files_of_others_stay(tmp_path, spann_vectors):
    np.save(tmp_path / "vectors-train.npy", spann_vectors)
    (tmp_path / "build-release").mkdir()
    for name in ("postings-x", "delta-1", "codec"):
        (tmp_path / name).write_text("mine")
    build(tmp_path, str(tmp_path / "vectors-train.npy"))
    assert {"vectors-train.npy", "build-release", "postings-x", "delta-1", "codec"} <= set(
        os.listdir(tmp_path)
    )


def test_values_that_the_type_does_not_hold(tmp_path, spann_vectors):
    for x, dtype in (
        (spann_vectors + 0.5, "uint8"),
        (spann_vectors * 1e5, "float16"),
        (spann_vectors - 1000, "uint8"),
    ):
        with pytest.raises(shortlist.ArgumentError, match="cannot be stored"):
            build(tmp_path / "i", x, dtype=dtype)
    index = build(tmp_path / "i", spann_vectors, dtype="float16")
    for bad in (np.full((1, D), 1e5, "f4"), np.full((1, D), 1e39)):
        with pytest.raises(shortlist.ArgumentError, match="cannot be stored"):
            index.add(bad)
    index.add(spann_vectors[:1])
    assert shortlist.open(tmp_path / "i").ntotal == 3001


def test_a_change_that_fails_is_made_before_the_next(spann_copy, spann_vectors, monkeypatch):
    index = shortlist.open(spann_copy)

    def fail(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as m:
        m.setattr(spann.IndexSPANN.__bases__[0], "add_with_ids", fail)
        with pytest.raises(MemoryError):
            index.add(spann_vectors[:2])
    index.add(spann_vectors[:1])
    assert (index.ntotal, index.next_id, shortlist.open(spann_copy).ntotal) == (3003, 3003, 3003)


@pytest.mark.parametrize("knob", ["candidates", "train_rows", "postings", "shard_rows", "limit"])
def test_knobs_beyond_what_there_is(tmp_path, spann_vectors, knob):
    x = spann_vectors[:200]
    index = build(tmp_path, x, **{knob: np.int64(10**9)})
    assert (index.search(x, 1)[1][:, 0] == np.arange(200)).mean() > 0.95


def test_what_cannot_be_built(tmp_path, spann_vectors):
    bad = spann_vectors[:100].copy()
    bad[7, 2] = np.inf
    for error, told, how in (
        (ValueError, "row 7", {"x": bad}),
        (ValueError, "no vectors", {"x": spann_vectors[:0]}),
        (ValueError, "dtype", {"x": spann_vectors, "dtype": "int4"}),
        (ValueError, "cosine", {"x": spann_vectors, "dtype": "uint8", "metric": "cosine"}),
        (ValueError, "metric", {"x": spann_vectors, "metric": "l1"}),
        (ValueError, "no index on disk", {"x": spann_vectors, "description": "HNSW32"}),
        (ValueError, "codec", {"x": spann_vectors, "description": "SPANN,HNSW32"}),
        (MemoryError, "allowed", {"x": spann_vectors, "description": "SPANN2000", "memory": 1000}),
        (ValueError, "not a size", {"x": spann_vectors, "memory": "plenty"}),
        (TypeError, "unknown knobs", {"x": spann_vectors, "replica": 3}),
        (TypeError, "unknown knobs", {"x": spann_vectors, "codec": "SDC1"}),
        (ValueError, "postings = 0", {"x": spann_vectors, "description": "SPANN0"}),
        (ValueError, "shard_rows = 0", {"x": spann_vectors, "shard_rows": 0}),
        (ValueError, "buckets = 1000;.* to 999", {"x": spann_vectors, "buckets": 1000}),
        (ValueError, "limit = 2.5", {"x": spann_vectors, "limit": 2.5}),
        (ValueError, "seed = -1", {"x": spann_vectors, "seed": -1}),
        (ValueError, "mean_replicas = nan", {"x": spann_vectors, "mean_replicas": np.nan}),
        (ValueError, "mean_replicas = 9", {"x": spann_vectors, "mean_replicas": 9}),
        (ValueError, "train_rows = 5 cannot", {"x": spann_vectors, "train_rows": 5}),
        (ValueError, "ids", {"x": spann_vectors, "ids": [1, 2]}),
        (ValueError, "more than once", {"x": spann_vectors[:2], "ids": [1, 1]}),
        (ValueError, "integers", {"x": spann_vectors[:2], "ids": [1.5, 1]}),
        (ValueError, "from 0", {"x": spann_vectors[:2], "ids": [-1, 1]}),
        (ValueError, "queries", {"x": spann_vectors, "queries": spann_vectors[:, :3]}),
        (ValueError, "queries", {"x": spann_vectors, "queries": np.full((1, D), np.nan)}),
    ):
        with pytest.raises(error, match=told):
            build(tmp_path, **how)
    with pytest.raises(IsADirectoryError, match="holds no index"):
        shortlist.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        spann.open(tmp_path / "nothing")
