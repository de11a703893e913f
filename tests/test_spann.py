"""Indexes on disk: built within a budget, searched, changed, and never half there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shortlist
from shortlist import _core, spann

D = 16


def vectors(n: int, seed: int = 0, d: int = D, dtype: Any = "f4") -> np.ndarray:
    """Clustered, as real ones are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, d)) * 3
    x = centres[rng.integers(0, 40, n)] + rng.normal(size=(n, d))
    return (
        np.clip(x * 8 + 100, 0, 255).astype(dtype)
        if np.dtype(dtype).kind == "u"
        else x.astype(dtype)
    )


def truth(x: np.ndarray, q: np.ndarray, k: int, metric: str) -> np.ndarray:
    x, q = x.astype("f8"), q.astype("f8")
    near = -(q @ x.T) if metric == "ip" else ((q[:, None] - x) ** 2).sum(2)
    return np.argsort(near, 1, kind="stable")[:, :k]


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, true, strict=True)]))


def build(out: Path, x: np.ndarray, description: str = "SPANN", **how: Any) -> Any:
    return shortlist.build(x, description, out=out, **how)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "LOCK"}


@pytest.fixture(scope="module")
def base() -> np.ndarray:
    return vectors(3000)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, base: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("index")
    build(folder, base)
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy"))


# --- Searching --------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("dtype", ["f4", "f2", "u1"])
@pytest.mark.parametrize("description", ["SPANN,Flat", "SPANN,SDC2", "SPANN64,SQ8"])
def test_all_postings_give_the_true_neighbours(tmp_path, description, dtype, metric):
    x = vectors(1500, dtype=dtype)
    index = build(tmp_path, x, description, metric=metric)
    q = vectors(30, seed=1, dtype=dtype)
    assert (index.ntotal, index.d, index.reranks) == (1500, D, "Flat" not in description)
    everything = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=20)
    near, found = index.search(q, 10, params=everything)
    assert recall(found, truth(x, q, 10, metric)) >= 0.99
    assert all(len(set(row)) == 10 for row in found.tolist())  # replicas come once
    flat = shortlist.IndexFlat(D, index.metric_type, dtype=str(x.dtype))
    flat.add(x)
    np.testing.assert_allclose(near, flat.search(q, 10)[0], rtol=1e-3)
    _, ids = index.search_exact(q, 5)
    assert recall(ids, truth(x, q, 5, metric)) >= 0.99


def test_cosine(tmp_path):
    x = vectors(900) * np.random.default_rng(5).uniform(0.1, 9, (900, 1)).astype("f4")
    index = build(tmp_path, x, metric="cosine")
    index.add(5 * x[:1] + 0.01)
    all_ = np.concatenate([x, 5 * x[:1] + 0.01])
    q = 100 * vectors(20, seed=1)
    unit, units = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (q, all_))
    for opened in (index, shortlist.open(tmp_path)):
        everything = shortlist.SearchParametersSPANN(nprobe=10**6)
        near, found = opened.search(q, 5, params=everything)
        np.testing.assert_array_equal(found, truth(units, unit, 5, "ip"))
        np.testing.assert_allclose(
            near, np.take_along_axis(unit @ units.T, found, 1), rtol=1e-4, atol=1e-5
        )


def test_every_vector_finds_itself(built, base):
    index = shortlist.open(built)
    _, found = index.search(base, 1, params=shortlist.SearchParametersSPANN(nprobe=4))
    np.testing.assert_array_equal(found[:, 0], np.arange(len(base)))


@pytest.mark.parametrize(
    "way", [("io_uring", "direct"), ("pread", "direct"), ("pread", "buffered")]
)
def test_ways_of_reading_agree(built, way):
    q = vectors(50, seed=2)
    here, there = shortlist.open(built), shortlist.open(built, io_backend=way[0], caching=way[1])
    for threads in (1, 2):
        shortlist.omp_set_num_threads(threads)
        for n in (1, 7, 50):
            for a, b in zip(here.search(q[:n], 10), there.search(q[:n], 10), strict=True):
                np.testing.assert_array_equal(a, b)


def test_what_was_read_lately_is_not_read_again(built):
    index, q = shortlist.open(built), vectors(40, seed=2)
    want = index.search(q, 10)
    for bytes_ in (10**7, 20_000, 500, 0):
        index.cache_bytes = bytes_
        before = index.stats
        for _ in range(3):
            for i in range(40):
                _, found = index.search(q[i : i + 1], 10)
                np.testing.assert_array_equal(found[0], want[1][i])
        after = index.stats
        cached, reads = (after[name] - before[name] for name in ("cached", "reads"))
        if bytes_ == 10**7:
            assert cached >= 2 * reads
        elif bytes_ < 1000:
            assert cached == 0
        assert index.memory < 4 * 10**6 + bytes_
    with pytest.raises(shortlist.ArgumentError, match="negative"):
        index.cache_bytes = -1


def test_recall_is_kept(built, base):
    index = shortlist.open(built)
    q = vectors(200, seed=3)
    true = truth(base, q, 10, "l2")
    probes = []
    for target in (0.5, 0.8, 0.99):
        _, found = index.search(q, 10, recall=target)
        assert recall(found, true) >= target - 0.03
        probes.append(index.parameters_for(target).nprobe)
    assert probes == sorted(probes), index.manifest["calibration"]
    assert probes[0] < probes[-1]
    for bad in (0, 1, -1, float("nan")):
        with pytest.raises(shortlist.ArgumentError, match="between 0 and 1"):
            index.search(q, 10, recall=bad)
    with pytest.raises(shortlist.ArgumentError, match="not both"):
        index.search(q, 10, recall=0.9, params=shortlist.SearchParametersSPANN())


def test_filters(built, base):
    index = shortlist.open(built)
    q, even = vectors(20, seed=4), np.arange(0, len(base), 2)
    want = even[truth(base[even], q, 10, "l2")]
    for sel in (shortlist.IDSelectorBatch(even), shortlist.IDSelectorArray(even)):
        _, found = index.search(q, 10, params=shortlist.SearchParametersSPANN(nprobe=500, sel=sel))
        np.testing.assert_array_equal(found, want)
    none = shortlist.SearchParametersSPANN(sel=shortlist.IDSelectorRange(-5, 0))
    near, found = index.search(q, 3, params=none)
    assert (found == -1).all()
    assert (near > 1e38).all()
    np.testing.assert_array_equal(index.members(shortlist.IDSelectorRange(7, 12)), np.arange(7, 12))


def test_odd_requests(built):
    index = shortlist.open(built)
    _, found = index.search(vectors(3, seed=5), 4000)
    assert (np.sort(found[:, :500], 1)[:, 1:] != np.sort(found[:, :500], 1)[:, :-1]).all()
    q = vectors(3, seed=5)
    q[1, 3] = np.nan
    _, found = index.search(q, 2)
    assert (found[1] == -1).all()
    assert (found[[0, 2]] >= 0).all()
    assert index.search(np.empty((0, D), "f4"), 3)[1].shape == (0, 3)
    with pytest.raises(shortlist.DimensionError):
        index.search(np.zeros((1, D + 1), "f4"), 1)
    with pytest.raises(shortlist.ArgumentError, match="nprobe"):
        shortlist.SearchParametersSPANN(nprobe=0)
    with pytest.raises(shortlist.ArgumentError, match="epsilon"):
        index.epsilon = float("nan")
    with pytest.raises(shortlist.ArgumentError, match="SearchParametersSPANN"):
        index.search(q, 1, params=shortlist.SearchParametersIVF())


def test_ids_of_your_own(tmp_path):
    x = vectors(800)
    ids = np.random.default_rng(0).permutation(800) + 2**40
    index = build(tmp_path, x, ids=ids)
    _, found = index.search(x, 1)
    np.testing.assert_array_equal(found[:, 0], ids)
    assert index.next_id == 2**40 + 800


@pytest.mark.parametrize("n", [1, 2, 17])
def test_few_vectors(tmp_path, n):
    x = vectors(n)
    for description in ("SPANN", "SPANN,SDC1"):
        index = build(tmp_path / description, x, description)
        _, found = index.search(x, 3)
        np.testing.assert_array_equal(found[:, 0], np.arange(n))
        assert (found[:, n:] == -1).all()


def test_equal_vectors_are_split(tmp_path):
    x = np.concatenate([np.ones((500, D), "f4"), vectors(300)])
    index = build(tmp_path, x, "SPANN20", limit=30)
    assert index.postings > 500 // 30
    everything = shortlist.SearchParametersSPANN(nprobe=10**6)
    found = index.search(np.ones((1, D), "f4"), 500, params=everything)[1]
    np.testing.assert_array_equal(np.sort(found[0]), np.arange(500))
    coded = build(tmp_path / "coded", x, "SPANN20,SDC2", limit=30)
    everything = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=2)
    found = coded.search(np.ones((1, D), "f4"), 500, params=everything)[1]
    np.testing.assert_array_equal(np.sort(found[0]), np.arange(500))


# --- Building ---------------------------------------------------------------------------------


def test_the_same_bytes_from_any_threads(tmp_path, base):
    made = []
    for threads in (1, 2):
        shortlist.omp_set_num_threads(threads)
        build(tmp_path / str(threads), base, buckets=3, shard_rows=700)
        made.append(contents(tmp_path / str(threads)))
    assert made[0] == made[1]


def test_nothing_is_left_but_the_index(built):
    kinds = {name.split("-")[0] for name in os.listdir(built)}
    assert kinds == {"LOCK", "MANIFEST", "centroids", "codec", "postings", "splits"}


_BUILD = """
import sys, numpy as np, shortlist
stop, out, source = int(sys.argv[1]), sys.argv[2], sys.argv[3]
seen = []
def say(stage, done, total):
    seen.append(stage)
    if len(seen) == stop:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
shortlist.build(source, sys.argv[4], out=out, progress=say, shard_rows=700, buckets=3)
print(*seen)
"""


@pytest.mark.parametrize("description", ["SPANN", "SPANN,SDC1"])
def test_killed_builds_go_on_and_give_the_same_bytes(tmp_path, base, description):
    np.save(tmp_path / "x.npy", base)

    def run(stop: int, out: Path) -> Any:
        source = str(tmp_path / "x.npy")
        command = [sys.executable, "-c", _BUILD, str(stop), str(out), source, description]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    whole = run(-1, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    stages, want = whole.stdout.split(), contents(tmp_path / "whole")
    points = {1 + stages.index(stage) for stage in stages}
    points |= {len(stages) - stages[::-1].index(stage) for stage in stages}
    assert len(points) > 10
    for point in sorted(points):
        out = tmp_path / str(point)
        killed = run(point, out)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert run(-1, out).returncode == 0
        assert contents(out) == want, f"killed at {point}, {stages[point - 1]}"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_failing_calls_lose_nothing(copy, call):
    before, q = contents(copy), vectors(20, seed=6)
    want = shortlist.open(copy).search(q, 5)
    x, after, failed = vectors(900, seed=7), 0, True
    while failed:
        _core._fail_io(call, after, errno.ENOSPC)
        try:
            build(copy, x, buckets=2, shard_rows=400)
        except OSError:
            pass
        finally:
            failed = _core._fail_io()
        if failed:
            assert {n: b for n, b in contents(copy).items() if n in before} == before
            for a, b in zip(want, shortlist.open(copy).search(q, 5), strict=True):
                np.testing.assert_array_equal(a, b)
        after += 1 if after < 6 else 5
    assert shortlist.open(copy).ntotal == 900


def test_a_source_that_changed_is_built_anew(tmp_path, base):
    path = tmp_path / "x.npy"
    np.save(path, base[:1000])

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "merge":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "i", str(path), progress=stop)
    np.save(path, base[1000:2000])
    index = build(tmp_path / "i", str(path))
    _, found = index.search(base[1000:2000], 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(1000))


def test_one_builder_at_a_time(tmp_path, base):
    def inside(stage: str, done: int, total: int) -> None:
        if stage == "graph":
            with pytest.raises(BlockingIOError, match="another process"):
                build(tmp_path, base)
            raise StopIteration

    with pytest.raises(StopIteration):
        build(tmp_path, base, progress=inside)


def test_what_is_there_is_verified_and_mended(copy, base):
    before = contents(copy)
    stages: list[str] = []
    build(copy, base, progress=lambda stage, done, total: stages.append(stage))
    assert set(stages) == {"scan"}
    assert contents(copy) == before
    for name in ("MANIFEST", next(n for n in before if n.startswith("postings"))):
        data = bytearray(before[name])
        data[len(data) // 3] ^= 1
        (copy / name).write_bytes(data)
        build(copy, base)
        assert contents(copy) == before
    told = shortlist.open(copy).manifest["calibration"]
    asked = build(copy, base, queries=vectors(50, seed=9)).manifest["calibration"]
    assert told != asked


def test_changes_are_not_lost_to_another_build(copy, base):
    index = shortlist.open(copy)
    index.add(base[:3])
    for _ in range(2):
        with pytest.raises(ValueError, match="added or removed"):
            build(copy, base[:500])
        assert build(copy, base).ntotal == 3003
        index.compact()
        index = shortlist.open(copy)


def test_files_of_others_stay(tmp_path, base):
    np.save(tmp_path / "vectors-train.npy", base)
    (tmp_path / "build-release").mkdir()
    for name in ("postings-x", "delta-1", "codec"):
        (tmp_path / name).write_text("mine")
    build(tmp_path, str(tmp_path / "vectors-train.npy"))
    assert {"vectors-train.npy", "build-release", "postings-x", "delta-1", "codec"} <= set(
        os.listdir(tmp_path)
    )


def test_values_that_the_type_does_not_hold(tmp_path, base):
    for x, dtype in ((base + 0.5, "uint8"), (base * 1e5, "float16"), (base - 1000, "uint8")):
        with pytest.raises(shortlist.ArgumentError, match="cannot be stored"):
            build(tmp_path / "i", x, dtype=dtype)
    index = build(tmp_path / "i", base, dtype="float16")
    for bad in (np.full((1, D), 1e5, "f4"), np.full((1, D), 1e39)):
        with pytest.raises(shortlist.ArgumentError, match="cannot be stored"):
            index.add(bad)
    index.add(base[:1])
    assert shortlist.open(tmp_path / "i").ntotal == 3001


def test_a_change_that_fails_is_made_before_the_next(copy, base, monkeypatch):
    index = shortlist.open(copy)

    def fail(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as m:
        m.setattr(spann.IndexSPANN.__bases__[0], "add_with_ids", fail)
        with pytest.raises(MemoryError):
            index.add(base[:2])
    index.add(base[:1])
    assert (index.ntotal, index.next_id, shortlist.open(copy).ntotal) == (3003, 3003, 3003)


def test_what_cannot_be_built(tmp_path, base):
    bad = base[:100].copy()
    bad[7, 2] = np.inf
    for error, told, how in (
        (ValueError, "row 7", {"x": bad}),
        (ValueError, "no vectors", {"x": base[:0]}),
        (ValueError, "metric", {"x": base, "metric": "l1"}),
        (ValueError, "no index on disk", {"x": base, "description": "HNSW32"}),
        (ValueError, "codec", {"x": base, "description": "SPANN,HNSW32"}),
        (MemoryError, "allowed", {"x": base, "description": "SPANN2000", "memory": 1000}),
        (ValueError, "memory", {"x": base, "memory": "plenty"}),
        (TypeError, "unknown knobs", {"x": base, "replica": 3}),
        (ValueError, "ids", {"x": base, "ids": [1, 2]}),
        (ValueError, "more than once", {"x": base[:2], "ids": [1, 1]}),
        (ValueError, "integers", {"x": base[:2], "ids": [1.5, 1]}),
        (ValueError, "from 0", {"x": base[:2], "ids": [-1, 1]}),
        (ValueError, "queries", {"x": base, "queries": base[:, :3]}),
        (ValueError, "queries", {"x": base, "queries": np.full((1, D), np.nan)}),
    ):
        with pytest.raises(error, match=told):
            build(tmp_path, **how)
    with pytest.raises(IsADirectoryError, match="holds no index"):
        shortlist.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        spann.open(tmp_path / "nothing")


# --- Changing ---------------------------------------------------------------------------------


def test_additions_and_removals_are_found_again(copy, base):
    index = shortlist.open(copy)
    more = vectors(60, seed=8)
    index.add(more[:40])
    index.add_with_ids(more[40:], np.arange(100, 120))  # takes the place of those
    assert index.remove_ids(np.array([0, 1, 3005, 10**9])) == 3
    assert index.remove_ids(shortlist.IDSelectorRange(50, 60)) == 10
    known = (
        dict(enumerate(base)) | dict(enumerate(more[:40], 3000)) | dict(enumerate(more[40:], 100))
    )
    for gone in (0, 1, 3005, *range(50, 60)):
        del known[gone]
    ids, x = np.array(list(known)), np.array(list(known.values()))
    q = vectors(40, seed=9)
    want = ids[truth(x, q, 10, "l2")]
    for opened in (index, shortlist.open(copy)):
        assert opened.ntotal == len(known)
        params = shortlist.SearchParametersSPANN(nprobe=500)
        np.testing.assert_array_equal(opened.search(q, 10, params=params)[1], want)
    assert shortlist.open(copy).next_id == 3040


def test_many_small_changes_become_one_file(copy):
    index = shortlist.open(copy)
    for i in range(150):
        index.add(np.full((1, D), 50 + i, "f4"))
        if i % 3 == 0:
            index.remove_ids([3000 + i])
    assert sum(name.startswith("delta") for name in os.listdir(copy)) <= 65
    again = shortlist.open(copy)
    assert again.ntotal == index.ntotal == 3000 + 100
    _, found = again.search(np.full((1, D), 50 + 7, "f4"), 1)
    assert found[0, 0] == 3007


@pytest.mark.parametrize("description", ["SPANN", "SPANN,SDC2"])
def test_changes_are_folded_in(tmp_path, base, description):
    folder = tmp_path / "i"
    index = build(folder, base[:1500], description)
    known = dict(enumerate(base[:1500]))
    rng = np.random.default_rng(0)
    everything = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=20)
    q = vectors(30, seed=4)
    for turn in range(3):
        # All in one place, so that postings are split.
        x = base[1500 + 300 * turn : 1800 + 300 * turn].copy()
        x[:250] = x[0] + rng.normal(size=(250, D)) * 0.1
        ids = np.concatenate([np.arange(50) * 7, index.next_id + np.arange(250)])
        index.add_with_ids(x, ids)
        known |= dict(zip(ids.tolist(), x, strict=True))
        gone = rng.choice(list(known), 80, replace=False)
        assert index.remove_ids(gone) == 80
        for id_ in gone.tolist():
            del known[id_]
        there, rows = np.array(list(known)), np.array(list(known.values()))
        before = index.search(q, 10, params=everything)
        former, index = index, index.compact()
        assert index.pending == (0, 0)
        assert (index.ntotal, shortlist.open(folder).ntotal) == (len(known), len(known))
        for opened in (former, index, shortlist.open(folder)):
            found = opened.search(q, 10, params=everything)
            np.testing.assert_allclose(found[0], before[0], rtol=1e-5)
            assert recall(found[1], there[truth(rows, q, 10, "l2")]) >= 0.99
        np.testing.assert_array_equal(index.members(shortlist.IDSelectorAll()), np.sort(there))
        index.verify()
        assert not [n for n in os.listdir(folder) if n.startswith(("delta", "build"))]
        with pytest.raises(shortlist.ArgumentError, match="another index"):
            former.remove_ids([1])
    assert index.postings > former.manifest["plan"]["postings"]


def test_two_writers_see_each_other(copy):
    a, b = shortlist.open(copy), shortlist.open(copy)
    a.add(np.full((1, D), 99, "f4"))
    b.add(np.full((1, D), -99, "f4"))
    assert (a.ntotal, b.ntotal) == (3001, 3002)
    assert b.search(np.full((1, D), 99, "f4"), 1)[1][0, 0] == 3000
    a.add(np.full((1, D), 77, "f4"))
    assert (a.ntotal, a.next_id) == (3003, 3003)


def test_threads_take_turns_to_change(copy):
    index = shortlist.open(copy)

    def work(seed: int) -> None:
        for i in range(10):
            index.add(np.full((1, D), 60 + 20 * seed + i, "f4"))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for opened in (index, shortlist.open(copy)):
        assert opened.ntotal == 3040
        assert len(np.unique(opened.search(np.full((1, D), 99, "f4"), 40)[1])) == 40


def test_bad_additions_change_nothing(copy):
    index = shortlist.open(copy)
    for x, ids in (
        (np.full((1, D), np.nan, "f4"), [1]),
        (np.zeros((1, D + 1), "f4"), [1]),
        (np.zeros((2, D), "f4"), [1]),
    ):
        with pytest.raises(ValueError, match=r"vectors|ids"):
            index.add_with_ids(x, ids)
    assert not [n for n in os.listdir(copy) if n.startswith("delta")]


# --- Damage -----------------------------------------------------------------------------------


def test_flipped_bytes_never_lie(tmp_path):
    x = vectors(120)
    build(tmp_path / "i", x, "SPANN8", replicas=2)
    index = shortlist.open(tmp_path / "i")
    index.add(vectors(2, seed=1))
    q = vectors(6, seed=2)
    everything = shortlist.SearchParametersSPANN(nprobe=100)
    want = index.search(q, 5, params=everything)
    rng = np.random.default_rng(0)
    del index
    for path in sorted((tmp_path / "i").iterdir()):
        whole = path.read_bytes()
        step = max(1, len(whole) // 400)
        for at in range(0, len(whole), step):
            at = min(at + int(rng.integers(0, step)), len(whole) - 1)
            broken = bytearray(whole)
            broken[at] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(broken)
            try:
                found = shortlist.open(tmp_path / "i").search(q, 5, params=everything)
            except (shortlist.CorruptIndexError, shortlist.UnsupportedError):
                continue
            for a, b in zip(want, found, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{path.name} byte {at}")
        path.write_bytes(whole)


def test_partial_results_say_so(copy, base):
    (path,) = copy.glob("postings-*")
    data = bytearray(path.read_bytes())
    data[4096 + 100] ^= 1  # of the first posting
    path.write_bytes(data)
    index, q = shortlist.open(copy), base[:300]
    everything = shortlist.SearchParametersSPANN(nprobe=10**6)
    with pytest.raises(shortlist.CorruptIndexError, match="posting 0 is damaged"):
        index.search(q, 1, params=everything)
    partial = shortlist.SearchParametersSPANN(nprobe=10**6, partial=True)
    _, found = index.search(q, 1, params=partial)
    assert partial.lost >= 1
    right = found[:, 0] == np.arange(300)
    assert 0.9 < right.mean() <= 1


def test_files_cut_short(copy):
    q = vectors(3, seed=2)
    for path in sorted(copy.iterdir()):
        whole = path.read_bytes()
        for end in range(0, len(whole), max(4096, len(whole) // 20 // 4096 * 4096)):
            path.write_bytes(whole[:end])
            with pytest.raises((OSError, shortlist.CorruptIndexError)):
                shortlist.open(copy).verify()
        path.write_bytes(whole)
    index = shortlist.open(copy)
    index.verify()
    index.search(q, 1)


def test_a_newer_manifest_is_refused(copy):
    from shortlist.spann._files import read_json, write_json

    manifest = read_json(copy / "MANIFEST")
    write_json(copy / "MANIFEST", manifest | {"version": 99})
    with pytest.raises(shortlist.UnsupportedError, match="newer"):
        shortlist.open(copy)


def test_readers_while_another_is_published(copy, base):
    index = shortlist.open(copy)
    q = vectors(20, seed=3)
    before = index.search(q, 5)
    build(copy, vectors(700, seed=4))
    for a, b in zip(before, index.search(q, 5), strict=True):  # its files are still open
        np.testing.assert_array_equal(a, b)
    assert shortlist.open(copy).ntotal == 700
    with pytest.raises(shortlist.ArgumentError, match="another index"):
        index.add(q)


def test_plans_follow_the_memory():
    from shortlist.spann._plan import planned

    def plan(memory: int | None, description: str = "SPANN", n: int = 10**6, **how: Any) -> Any:
        how = {"d": 128, "metric": "l2", "dtype": "uint8"} | how
        return planned(description, ntotal=n, memory=memory, **how)

    assert plan(None).postings == 30_000
    assert plan(16 << 20).postings < 30_000
    assert plan(None, d=768, dtype="float32").codec == "SDC1"
    assert plan(None).codec == "Flat"
    assert plan(1 << 30, n=10**9).shards <= 1000
    with pytest.raises(MemoryError):
        plan(1 << 20, "SPANN100000")
    assert json.dumps(plan(None).__dict__)
    assert isinstance(spann.Plan(**plan(None).__dict__), spann.Plan)
