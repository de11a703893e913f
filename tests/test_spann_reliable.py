"""Indexes on disk when processes die, disks fail and io_uring is forbidden: nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shortlist
from conftest import Oracle
from shortlist._core import _disk
from shortlist.spann import _delta
from spann_cases import build, contents, vectors
from spann_faults import NO_IO_URING, NO_LOCKED_MEMORY, die_at, failing, forked

KINDS = ["SPANN,Flat", "SPANN,SDC1"]
Q = vectors(8, seed=2)
ALL = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=100)
Known = dict[int, np.ndarray]


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def holds(folder: Path, known: Known) -> bool:
    """Whether the folder's index is whole and of these ids; it must find their vectors then."""
    index = shortlist.open(folder)
    index.verify()
    if index.members(shortlist.IDSelectorAll()).tolist() != sorted(known):
        return False
    ids, x = np.array(sorted(known)), np.array([known[i] for i in sorted(known)])
    oracle = Oracle(shortlist.METRIC_L2)
    near, found = index.search_exact(Q, 5)
    want, _ = oracle.search(Q, x, 5)
    if not np.allclose(near, want, rtol=1e-4):
        return False
    rows = np.searchsorted(ids, found)
    assert (ids[rows] == found).all()
    assert np.allclose(((x[rows] - Q[:, None]) ** 2).sum(2), near, rtol=1e-4)
    assert index.ntotal == len(known)
    return True


def fails(body: Callable[[], object], error: int = errno.EIO) -> bool:
    """Whether body raises an OSError of that number; others are raised."""
    try:
        body()
    except OSError as raised:
        if raised.errno != error:
            raise
        return True
    return False


# --- Killed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("description", KINDS)
def test_builds_killed_anywhere_again_and_again(tmp_path, description):
    x, how = vectors(300), {"shard_rows": 100, "buckets": 2}
    np.save(tmp_path / "x.npy", x)
    source = str(tmp_path / "x.npy")
    build(tmp_path / "whole", source, description, **how)
    want = contents(tmp_path / "whole")
    build(tmp_path / "former", vectors(60, seed=1))
    answers = [shortlist.open(tmp_path / f).search(Q, 5) for f in ("former", "whole")]
    rng, kills = np.random.default_rng(0), 0

    def work(arm: Callable[[], None], out: Path) -> None:
        arm()
        build(out, source, description, **how)

    for turn in range(4):
        out = tmp_path / str(turn)
        if turn % 2:
            shutil.copytree(tmp_path / "former", out)
        ended = -signal.SIGKILL
        while ended:
            ended = forked(partial(work, die_at(rng, 40), out))
            assert ended in (0, -signal.SIGKILL)
            kills += ended != 0
            if (out / "MANIFEST").exists():
                assert any(same(shortlist.open(out).search(Q, 5), a) for a in answers)
            else:
                assert turn % 2 == 0
        assert contents(out) == want
    assert kills > 12


def change(index: Any, known: Known, step: int) -> tuple[Any, Known]:
    """The step-th change, of the index if there is one, and of what it is to hold."""
    rng, known = np.random.default_rng(step), dict(known)
    kind, there = step % 5, np.array(sorted(known))
    if kind in (0, 3):
        x = vectors(3, seed=100 + step)
        # Some take another's place, some leave ids out.
        ids = np.concatenate([rng.choice(there, 2, replace=False), [there[-1] + 3]])
        if index:
            index.add_with_ids(x, ids)
        known |= dict(zip(ids.tolist(), x, strict=True))
    elif kind == 1:
        gone = rng.choice(there[:-1], 5, replace=False)  # the last tells the next id
        if index:
            assert index.remove_ids(gone) == 5
        for id_ in gone.tolist():
            del known[id_]
    elif kind == 2:
        first = int(rng.choice(there[:-9]))
        if index:
            index.remove_ids(shortlist.IDSelectorRange(first, first + 4))
        known = {i: x for i, x in known.items() if not first <= i < first + 4}
    elif index:
        index = index.compact()
    return index, known


@pytest.mark.parametrize("description", KINDS)
def test_changes_survive_kills_anywhere(tmp_path, description, monkeypatch):
    monkeypatch.setattr(_delta, "_MOST_FILES", 3)
    x, steps = vectors(150), 40
    build(tmp_path, x, description)
    states = [dict(enumerate(x))]
    for step in range(steps):
        states.append(change(None, states[-1], step)[1])
    rng, kills, done = np.random.default_rng(1), 0, 0

    def work(arm: Callable[[], None], told: int) -> None:
        index = shortlist.open(tmp_path)
        arm()
        for step in range(done, steps):
            index = change(index, states[step], step)[0]
            os.write(told, b".")

    while done < steps:
        ends = os.pipe()
        ended = forked(partial(work, die_at(rng, 60), ends[1]))
        os.close(ends[1])
        with os.fdopen(ends[0], "rb") as told:
            done += len(told.read())
        assert ended in (0, -signal.SIGKILL)
        kills += ended != 0
        if not holds(tmp_path, states[done]):  # what was under way was made, or not
            done += 1
            assert holds(tmp_path, states[done])
    assert kills > 10


# --- Calls that fail --------------------------------------------------------------------------


@pytest.fixture(scope="module", params=KINDS)
def small(request, tmp_path_factory) -> tuple[Path, Known]:
    """An index with changes, and what it holds; to be read only."""
    folder, x = tmp_path_factory.mktemp("small"), vectors(60)
    index, known = build(folder, x, request.param), dict(enumerate(x))
    for step in (0, 1):
        index, known = change(index, known, step)
    return folder, known


@pytest.mark.parametrize("action", ["add", "remove", "compact"])
@pytest.mark.parametrize(
    "call", ["open", "write", "fsync", "rename", "read", "pread", "read_bytes"]
)
def test_failing_changes_are_made_or_not(small, tmp_path, call, action, monkeypatch):
    monkeypatch.setattr(_delta, "_MOST_FILES", 1)  # so that files are joined, too
    x = vectors(2, seed=77)
    before = small[1]
    after = {
        "add": before | {5: x[0], 900: x[1]},
        "remove": {i: v for i, v in before.items() if i != 7},
        "compact": before,
    }[action]
    act: Callable[[Any], Any] = {
        "add": lambda index: index.add_with_ids(x, [5, 900]),
        "remove": lambda index: index.remove_ids([7]),
        "compact": lambda index: index.compact(),
    }[action]
    number, fired = 0, True
    while fired:
        folder = tmp_path / str(number)
        shutil.copytree(small[0], folder)
        index = shortlist.open(folder)
        with failing(call, number, errno.EIO) as told:
            raised = fails(partial(act, index))
        fired = told[0]
        assert holds(folder, after) or (raised and holds(folder, before))
        if raised:
            try:
                act(index)
            except shortlist.ArgumentError:  # it was published before
                assert action == "compact"
        assert holds(folder, after)
        shutil.rmtree(folder)
        number += 1
    if call in ("open", "write", "fsync", "rename"):
        assert number > 1


def calls_of(way: str) -> str:
    return "completed" if way == "io_uring" and not _disk.why_no_io_uring() else "pread"


@pytest.mark.parametrize(
    "way", [("io_uring", "direct"), ("pread", "direct"), ("pread", "buffered")]
)
def test_searches_whose_reads_fail(small, way):
    folder, _ = small
    want = shortlist.open(folder).search(Q, 5, params=ALL)

    def search(partial: bool) -> None:
        index = shortlist.open(folder, io_backend=way[0], caching=way[1])
        params = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=100, partial=partial)
        assert same(index.search(Q, 5, params=params), want)
        assert not params.lost

    kinds = [(call, errno.EIO) for call in ("open", "read", "read_bytes", calls_of(way[0]))]
    kinds += [
        (call, passing) for call in ("read", calls_of(way[0])) for passing in (errno.EINTR, 0)
    ]
    for call, error in kinds:
        for partial_ in (False, True):
            number, fired, failed = 0, True, 0
            while fired:
                with failing(call, number, error) as told:
                    failed += fails(partial(search, partial_))
                fired = told[0]
                number += 1
            assert number > 1
            if error != errno.EIO:
                assert not failed
            elif partial_ and call in ("pread", "completed"):
                assert 0 < failed < number - 1  # of opening; searches try once more
            elif call != "open":  # past the page cache is only tried
                assert failed == number - 1


def test_files_that_end_early_under_a_search(small, tmp_path):
    for name in sorted(os.listdir(small[0])):
        if not name.startswith(("postings", "vectors")):
            continue
        folder = tmp_path / name
        shutil.copytree(small[0], folder)
        index = shortlist.open(folder)
        want = index.search(Q, 5, params=ALL)
        os.truncate(folder / name, 4096)
        with pytest.raises(shortlist.CorruptIndexError, match="early"):
            index.search(Q, 5, params=ALL)
        with pytest.raises(shortlist.CorruptIndexError, match="early"):
            index.compact()
        some = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=100, partial=True)
        near, found = index.search(Q, 5, params=some)
        assert some.lost > 0
        assert (near >= want[0]).all()
        assert set(found.ravel().tolist()) <= set(small[1]) | {-1}


@pytest.mark.parametrize("description", KINDS)
def test_builds_go_on_though_reads_fail(tmp_path, description):
    x, how = vectors(300), {"shard_rows": 100, "buckets": 2}
    build(tmp_path / "whole", x, description, **how)
    want = contents(tmp_path / "whole")

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "merge" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "part", x, description, progress=stop, **how)
    for call in ("read", "pread", "read_bytes"):
        for error in (errno.EIO, 0):
            if call == "read_bytes" and not error:
                continue
            number, fired = 0, True
            while fired:
                out = tmp_path / "out"
                shutil.copytree(tmp_path / "part", out)
                with failing(call, number, error) as told:
                    failed = fails(partial(build, out, x, description, **how))
                assert error or not failed
                fired = told[0]
                build(out, x, description, **how)
                assert contents(out) == want
                shutil.rmtree(out)
                number += 1 if error and number < 6 else 23
            assert number > 1


# --- Sandboxes --------------------------------------------------------------------------------

_BUILD_AND_SEARCH = """
import json, sys
import numpy as np, shortlist
out, source, description = sys.argv[1:]
x = np.load(source)
index = shortlist.build(x, description, out=out, shard_rows=200, buckets=2)
near, found = index.search(x[:20] + 0.1, 5)
from shortlist._core import _disk
print(json.dumps([near.tolist(), found.tolist(), index.io_backend, _disk.why_no_io_uring()]))
"""


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="Linux's limits")
@pytest.mark.parametrize("limit", [NO_IO_URING, NO_LOCKED_MEMORY], ids=["seccomp", "memlock"])
@pytest.mark.parametrize("description", KINDS)
def test_without_io_uring_all_is_the_same(tmp_path, python, limit, description):
    np.save(tmp_path / "x.npy", vectors(300))

    def told(sandbox: str, out: str) -> Any:
        arguments = [str(tmp_path / out), str(tmp_path / "x.npy"), description]
        return json.loads(python(f"sys.argv[1:] = {arguments}\n{sandbox}{_BUILD_AND_SEARCH}"))

    free, bound = told("", "free"), told(limit, "bound")
    assert free[:2] == bound[:2]
    assert contents(tmp_path / "free") == contents(tmp_path / "bound")
    assert (bound[2].split(",")[0] == "pread") == (bound[3] != "")
    if limit is NO_IO_URING:
        assert bound[2].startswith("pread")
        assert "Operation not permitted" in bound[3]
