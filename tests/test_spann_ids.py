"""Indexes on disk know their ids, and read a vector back by its id."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shortlist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shortlist import _core
from spann_cases import D, build, vectors

DESCRIPTIONS = ["SPANN8,Flat", "SPANN8,SDC1"]
OWN = np.random.default_rng(5).permutation(300) * 7 + 2**40


def check(index: Any, known: dict[int, np.ndarray]) -> None:
    """The index holds these vectors under these ids, and no others near them."""
    ids = np.array(sorted(known), np.int64)
    assert index.ntotal == len(known)
    np.testing.assert_array_equal(index.members(shortlist.IDSelectorAll()), ids)
    asked = np.concatenate([ids, ids + 1, ids - 1, [-1, 2**63 - 1, 0]])
    np.testing.assert_array_equal(index.has(asked), [i in known for i in asked.tolist()])
    back = np.random.default_rng(len(known)).permutation(ids)
    want = np.array([known[i] for i in back.tolist()], "f4").reshape(-1, index.d)
    np.testing.assert_array_equal(index.reconstruct_batch(back), want)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Path]:
    out = {}
    for description in DESCRIPTIONS:
        for own in (False, True):
            folder = tmp_path_factory.mktemp("ids")
            build(folder, vectors(300), description, ids=OWN if own else None)
            out[description, own] = folder
    return out


some_ids = st.lists(st.integers(-3, 320), max_size=12)
changes = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 5)),
    st.tuples(st.just("replace"), some_ids),
    st.tuples(st.just("remove"), some_ids),
    st.tuples(st.just("remove range"), st.tuples(st.integers(0, 310), st.integers(0, 40))),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("description", DESCRIPTIONS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(changes, max_size=8), seed=st.integers(0, 99))
def test_changes_as_in_a_dict(starts, tmp_path, description, own, steps, seed):
    folder = tmp_path / "i"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(starts[description, own], folder)
    index = shortlist.open(folder)
    names = OWN.tolist() if own else list(range(300))
    known = dict(zip(names, vectors(300), strict=True))
    # Among those there are, between them, and behind the last.
    near = sorted(names)
    spread = [near[min(i, 299)] + max(0, i - 299) + i % 2 for i in range(321)]
    rng = np.random.default_rng(seed)

    def ids_of(numbers: list[int]) -> list[int]:
        return [spread[i] if i >= 0 else 2**62 + i for i in numbers]

    for what, how in steps:
        if what == "add":
            x = rng.normal(size=(how, D)).astype("f4")
            known |= dict(enumerate(x, index.next_id))
            index.add(x)
        elif what == "replace":
            ids = ids_of(how)
            x = rng.normal(size=(len(ids), D)).astype("f4")
            index.add_with_ids(x, np.array(ids, np.int64))
            known |= dict(zip(ids, x, strict=True))
        elif what == "remove":
            ids = ids_of(how)
            there = set(ids) & set(known)
            assert index.remove_ids(np.array(ids, np.int64)) == len(there)
            for id_ in there:
                del known[id_]
        elif what == "remove range":
            low, high = spread[how[0]], spread[min(how[0] + how[1], 320)]
            there = {i for i in known if low <= i < high}
            assert index.remove_ids(shortlist.IDSelectorRange(low, high)) == len(there)
            for id_ in there:
                del known[id_]
        elif what == "compact":
            index = index.compact()
        else:
            index = shortlist.open(folder)
        check(index, known)
    check(shortlist.open(folder), known)
    index.verify()


@pytest.mark.parametrize("description", ["SPANN40,Flat", "SPANN40,SDC1"])
def test_vectors_of_postings_that_were_split(tmp_path, description):
    x = vectors(3000, dtype="u1")
    x[1000:1800] = x[1000] + np.random.default_rng(0).integers(0, 3, (800, D))
    ids = np.random.default_rng(1).choice(2**62, 3000, replace=False)
    ids[:2] = 0, 2**63 - 2
    index = build(tmp_path / "i", x, description, ids=ids, limit=100, buckets=3, shard_rows=1100)
    assert len(index.parents) > 0
    check(index, dict(zip(ids.tolist(), x, strict=True)))
    (path,) = (tmp_path / "i").glob("ids-*")
    assert path.stat().st_size <= 14 * 3000 + 3 * 4096
    found = index.search_and_reconstruct(x[:20].astype("f4"), 3)
    np.testing.assert_array_equal(found[2][:, 0], x[:20])
    assert index.reconstruct(int(ids[0])).tolist() == x[0].tolist()


def test_every_vector_may_go(spann_copy, spann_vectors):
    index = shortlist.open(spann_copy)
    assert index.remove_ids(np.arange(-5, 4000)) == 3000
    index = index.compact()
    check(index, {})
    index.add(spann_vectors[:2])
    check(index.compact(), {3000: spann_vectors[0], 3001: spann_vectors[1]})


def test_ids_that_are_not_there(spann_copy):
    index = shortlist.open(spann_copy)
    index.remove_ids([7])
    for absent in (7, -1, 3000, 2**63 - 1):
        with pytest.raises(shortlist.IdError, match=f"id {absent} is not in this IndexSPANN"):
            index.reconstruct(absent)
        with pytest.raises(shortlist.IdError):
            index.reconstruct_batch([1, absent])
    with pytest.raises(TypeError, match="ids"):
        index.has([0.5])
    with pytest.raises(shortlist.DimensionError):
        index.has([[1, 2]])
    assert index.has([]).shape == (0,)
    assert index.reconstruct_batch([]).shape == (0, D)


def test_ids_without_gaps_are_known_unread(spann_copy, spann_vectors):
    index = shortlist.open(spann_copy, caching="buffered")
    (path,) = spann_copy.glob("ids-*")
    data = bytearray(path.read_bytes())
    data[4096 + 9] ^= 1  # of the first page
    with path.open("r+b") as file:
        file.write(data)
    assert index.has(range(-1, 3001)).tolist() == [False] + [True] * 3000 + [False]
    with pytest.raises(shortlist.CorruptIndexError, match="damaged at byte 4096"):
        index.reconstruct(5)
    with pytest.raises(shortlist.CorruptIndexError):
        index.verify()
    np.testing.assert_array_equal(index.reconstruct(2999), spann_vectors[2999])


def verified_rows(folder: Path) -> None:
    index = shortlist.open(folder)
    np.testing.assert_array_equal(index.reconstruct_batch(OWN), vectors(300))
    index.verify()


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_damage_is_told(starts, tmp_path, description):
    folder = Path(shutil.copytree(starts[description, True], tmp_path / "i"))
    (path,) = folder.glob("ids-*")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in range(0, len(whole), 97):
        broken = bytearray(whole)
        broken[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(broken)
        with pytest.raises((shortlist.CorruptIndexError, shortlist.UnsupportedError)):
            verified_rows(folder)
    for end in range(0, len(whole), 1024):
        path.write_bytes(whole[:end])
        with pytest.raises(shortlist.CorruptIndexError):
            shortlist.open(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        shortlist.open(folder)


def test_what_cannot_be_looked_up_changes_nothing(starts, tmp_path):
    folder = Path(shutil.copytree(starts["SPANN8,Flat", True], tmp_path / "i"))
    (path,) = folder.glob("ids-*")
    data = bytearray(path.read_bytes())
    data[4096 + 9] ^= 1
    path.write_bytes(data)
    index, x = shortlist.open(folder), vectors(300)
    for change in (
        lambda: index.remove_ids(OWN[:3]),
        lambda: index.add_with_ids(x[:1], OWN[:1]),
        lambda: index.remove_ids(shortlist.IDSelectorRange(0, 10)),
    ):
        with pytest.raises(shortlist.CorruptIndexError, match="damaged at byte 4096"):
            change()
    assert not list(folder.glob("delta-*"))
    index.add(x[:1] + 100)  # nothing is looked up for a new id
    assert index.remove_ids([2**62]) == 0
    index = shortlist.open(folder).compact()  # writes the ids anew
    check(index, dict(zip(OWN.tolist(), x, strict=True)) | {int(OWN.max()) + 1: x[0] + 100})


def test_ids_of_another_index_are_refused(starts, tmp_path):
    folder = Path(shutil.copytree(starts["SPANN8,Flat", True], tmp_path / "i"))
    (path,) = folder.glob("ids-*")
    (other,) = starts["SPANN8,Flat", False].glob("ids-*")
    shutil.copyfile(other, path)
    with pytest.raises(shortlist.CorruptIndexError, match="ids are of another build"):
        shortlist.open(folder)


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_compacting_that_fails_loses_nothing(starts, tmp_path, call):
    known = dict(zip(OWN.tolist(), vectors(300), strict=True))
    more = vectors(20, seed=1)
    known |= dict(zip(OWN[40:60].tolist(), more, strict=True))
    after, failed = 0, True
    while failed:
        folder = Path(shutil.copytree(starts["SPANN8,SDC1", True], tmp_path / str(after)))
        index = shortlist.open(folder)
        index.add_with_ids(more, OWN[40:60])
        _core._fail_io(call, after, errno.ENOSPC)
        try:
            index.compact()
        except OSError:
            pass
        finally:
            failed = _core._fail_io()
        index = shortlist.open(folder)
        index.verify()
        check(index, known)
        check(index.compact(), known)
        after += 1
    assert after > 4
