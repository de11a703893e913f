"""Indexes on disk that are changed, and that a disk has damaged."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import numpy as np
import pytest
import shortlist
from shortlist import spann
from spann_cases import D, build, vectors


def test_additions_and_removals_are_found_again(spann_copy, spann_vectors, l2):
    index = shortlist.open(spann_copy)
    more = vectors(60, seed=8)
    index.add(more[:40])
    index.add_with_ids(more[40:], np.arange(100, 120))  # takes the place of those
    assert index.remove_ids(np.array([0, 1, 3005, 10**9])) == 3
    assert index.remove_ids(shortlist.IDSelectorRange(50, 60)) == 10
    known = (
        dict(enumerate(spann_vectors))
        | dict(enumerate(more[:40], 3000))
        | dict(enumerate(more[40:], 100))
    )
    for gone in (0, 1, 3005, *range(50, 60)):
        del known[gone]
    ids, x = np.array(list(known)), np.array(list(known.values()))
    q = vectors(40, seed=9)
    _, want = l2.search(q, x, 10, ids)
    for opened in (index, shortlist.open(spann_copy)):
        assert opened.ntotal == len(known)
        params = shortlist.SearchParametersSPANN(nprobe=500)
        np.testing.assert_array_equal(opened.search(q, 10, params=params)[1], want)
    assert shortlist.open(spann_copy).next_id == 3040


def test_many_small_changes_become_one_file(spann_copy):
    index = shortlist.open(spann_copy)
    for i in range(150):
        index.add(np.full((1, D), 50 + i, "f4"))
        if i % 3 == 0:
            index.remove_ids([3000 + i])
    assert sum(name.startswith("delta") for name in os.listdir(spann_copy)) <= 65
    again = shortlist.open(spann_copy)
    assert again.ntotal == index.ntotal == 3000 + 100
    _, found = again.search(np.full((1, D), 50 + 7, "f4"), 1)
    assert found[0, 0] == 3007


@pytest.mark.parametrize("description", ["SPANN", "SPANN,SDC2"])
def test_changes_are_folded_in(tmp_path, spann_vectors, description, l2):
    folder = tmp_path / "i"
    index = build(folder, spann_vectors[:1500], description)
    known = dict(enumerate(spann_vectors[:1500]))
    rng = np.random.default_rng(0)
    everything = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=20)
    q = vectors(30, seed=4)
    for turn in range(3):
        # All in one place, so that postings are split.
        x = spann_vectors[1500 + 300 * turn : 1800 + 300 * turn].copy()
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
            np.testing.assert_allclose(found[0], l2.search(q, rows, 10)[0], rtol=1e-4)
        np.testing.assert_array_equal(index.members(shortlist.IDSelectorAll()), np.sort(there))
        index.verify()
        assert not [n for n in os.listdir(folder) if n.startswith(("delta", "build"))]
        with pytest.raises(shortlist.ArgumentError, match="another index"):
            former.remove_ids([1])
    assert index.postings > former.manifest["plan"]["postings"]


def test_two_writers_see_each_other(spann_copy):
    a, b = shortlist.open(spann_copy), shortlist.open(spann_copy)
    a.add(np.full((1, D), 99, "f4"))
    b.add(np.full((1, D), -99, "f4"))
    assert (a.ntotal, b.ntotal) == (3001, 3002)
    assert b.search(np.full((1, D), 99, "f4"), 1)[1][0, 0] == 3000
    a.add(np.full((1, D), 77, "f4"))
    assert (a.ntotal, a.next_id) == (3003, 3003)


def test_threads_take_turns_to_change(spann_copy):
    index = shortlist.open(spann_copy)

    def work(seed: int) -> None:
        for i in range(10):
            index.add(np.full((1, D), 60 + 20 * seed + i, "f4"))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for opened in (index, shortlist.open(spann_copy)):
        assert opened.ntotal == 3040
        assert len(np.unique(opened.search(np.full((1, D), 99, "f4"), 40)[1])) == 40


def test_bad_additions_change_nothing(spann_copy):
    index = shortlist.open(spann_copy)
    for x, ids in (
        (np.full((1, D), np.nan, "f4"), [1]),
        (np.zeros((1, D + 1), "f4"), [1]),
        (np.zeros((2, D), "f4"), [1]),
    ):
        with pytest.raises(ValueError, match=r"vectors|ids"):
            index.add_with_ids(x, ids)
    assert not [n for n in os.listdir(spann_copy) if n.startswith("delta")]


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


def test_partial_results_say_so(spann_copy, spann_vectors):
    (path,) = spann_copy.glob("postings-*")
    data = bytearray(path.read_bytes())
    data[4096 + 100] ^= 1  # of the first posting
    path.write_bytes(data)
    index, q = shortlist.open(spann_copy), spann_vectors[:300]
    everything = shortlist.SearchParametersSPANN(nprobe=10**6)
    with pytest.raises(shortlist.CorruptIndexError, match="posting 0 is damaged"):
        index.search(q, 1, params=everything)
    partial = shortlist.SearchParametersSPANN(nprobe=10**6, partial=True)
    _, found = index.search(q, 1, params=partial)
    assert partial.lost >= 1
    right = found[:, 0] == np.arange(300)
    assert 0.9 < right.mean() <= 1


def test_files_cut_short(spann_copy):
    q = vectors(3, seed=2)
    for path in sorted(spann_copy.iterdir()):
        whole = path.read_bytes()
        for end in range(0, len(whole), max(4096, len(whole) // 20 // 4096 * 4096)):
            path.write_bytes(whole[:end])
            with pytest.raises((OSError, shortlist.CorruptIndexError)):
                shortlist.open(spann_copy).verify()
        path.write_bytes(whole)
    index = shortlist.open(spann_copy)
    index.verify()
    index.search(q, 1)


def test_a_newer_manifest_is_refused(spann_copy):
    from shortlist.spann._files import read_json, write_json

    manifest = read_json(spann_copy / "MANIFEST")
    write_json(spann_copy / "MANIFEST", manifest | {"version": 99})
    with pytest.raises(shortlist.UnsupportedError, match="newer"):
        shortlist.open(spann_copy)


def test_readers_while_another_is_published(spann_copy, spann_vectors):
    index = shortlist.open(spann_copy)
    q = vectors(20, seed=3)
    before = index.search(q, 5)
    build(spann_copy, vectors(700, seed=4))
    for a, b in zip(before, index.search(q, 5), strict=True):  # its files are still open
        np.testing.assert_array_equal(a, b)
    assert shortlist.open(spann_copy).ntotal == 700
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
