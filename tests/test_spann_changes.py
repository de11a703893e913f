"""Indexes on disk that are changed, and planned."""

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
    assert plan(4 << 30, n=10**9).shards <= 400
    with pytest.raises(MemoryError, match="1,000,000,000 vectors"):
        plan(1 << 30, n=10**9)
    with pytest.raises(MemoryError):
        plan(1 << 20, "SPANN100000")
    assert json.dumps(plan(None).__dict__)
    assert isinstance(spann.Plan(**plan(None).__dict__), spann.Plan)


@pytest.mark.parametrize("description", ["SPANN,Flat", "SPANN,SDC1"])
def test_ids_of_63_bits(tmp_path, description, l2):
    x, most = vectors(300), 2**63 - 2
    ids = np.concatenate([2**31 + np.arange(100), 2**32 + np.arange(100), most - np.arange(100)])
    index = build(tmp_path, x, description, ids=ids.astype(np.uint64), buckets=2, shard_rows=100)
    known, q = dict(zip(ids.tolist(), x, strict=True)), vectors(20, seed=2)
    everything = {"nprobe": 10**6, "k_factor": 100}

    def check(index: Any) -> None:
        there, rows = np.array(list(known)), np.array(list(known.values()))
        for sel, mask in (
            (None, there >= 0),
            (shortlist.IDSelectorRange(2**32 + 50, 2**63 - 1), there >= 2**32 + 50),
            (shortlist.IDSelectorBatch(ids[::3]), np.isin(there, ids[::3])),
            (shortlist.IDSelectorNot(shortlist.IDSelectorArray([most])), there != most),
        ):
            params = shortlist.SearchParametersSPANN(sel=sel, **everything)
            _, want = l2.search(q, rows[mask], 5, there[mask])
            np.testing.assert_array_equal(index.search(q, 5, params=params)[1], want)
        np.testing.assert_array_equal(index.members(shortlist.IDSelectorAll()), np.sort(there))

    for _ in range(2):
        check(index)
        files = sorted(os.listdir(tmp_path))
        with pytest.raises(shortlist.ArgumentError, match="there are no ids for 2 vectors after"):
            index.add(x[:2])  # the last id is taken
        for bad in ([2**63 - 1], [-1], [0.5], np.array([2**64 - 1], np.uint64)):
            with pytest.raises(shortlist.ArgumentError, match="ids must be integers"):
                index.add_with_ids(x[:1], bad)
        with pytest.raises(TypeError, match="expected integers"):
            index.remove_ids([0.5])
        with pytest.raises(shortlist.ArgumentError, match="above"):
            index.remove_ids(np.array([2**64 - 1], np.uint64))
        assert sorted(os.listdir(tmp_path)) == files
        assert index.remove_ids([-1, -(2**63)]) == 0

        more = vectors(3, seed=7)
        named = [2**62, most, 2**31 + 5]
        index.add_with_ids(more, named)
        known |= dict(zip(named, more, strict=True))
        gone = [2**32 + 7, most - 1, *range(most - 20, most - 10)]
        gone = [i for i in gone if i in known]
        assert index.remove_ids(gone) == len(gone)
        for id_ in gone:
            del known[id_]
        check(index)
        check(shortlist.open(tmp_path))
        index = index.compact()
    check(index)
    with pytest.raises(shortlist.ArgumentError, match="ids must be integers"):
        build(tmp_path / "bad", x[:1], ids=[2**63 - 1])
