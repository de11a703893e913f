"""Indexes on disk whose files were damaged: an error, or the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shortlist
from spann_cases import build, vectors

PAGE = 4096
Q = vectors(4, seed=2)
GONE = (FileNotFoundError, IsADirectoryError, shortlist.CorruptIndexError)
EVERYTHING = shortlist.SearchParametersSPANN(nprobe=100)


@pytest.fixture(params=["SPANN3,Flat", "SPANN3,SDC1"])
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An index with every kind of file."""
    index = build(tmp_path, vectors(24), request.param, replicas=2)
    index.add(vectors(3, seed=1))
    index.remove_ids([2, 25])
    index = index.compact()
    index.add(vectors(1, seed=3))
    index.remove_ids([4])
    return tmp_path


def answers(folder: Path) -> Any:
    return shortlist.open(folder).search(Q, 5, params=EVERYTHING)


def holds(folder: Path, want: Any, what: str) -> bool:
    """Whether answers are those wanted; false where an error tells of damage."""
    try:
        found = answers(folder)
    except (shortlist.CorruptIndexError, shortlist.UnsupportedError):
        return False
    for a, b in zip(want, found, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=what)
    return True


def places(path: Path, rng: np.random.Generator) -> Iterator[int]:
    """Every byte; of pages, which are mostly zeros, what stands at both ends and one in 64."""
    size = path.stat().st_size
    paged = path.name.startswith(("postings", "vectors"))
    for at in range(size):
        if not paged or at % PAGE < 80 or at % PAGE >= PAGE - 4 or not rng.integers(0, 64):
            yield at


def test_flipped_bytes_never_lie(tiny):
    want, rng = answers(tiny), np.random.default_rng(0)
    kinds = set()
    for path in sorted(tiny.iterdir()):
        whole, told, seen = path.read_bytes(), 0, 0
        with open(path, "r+b", buffering=0) as file:
            for at in places(path, rng):
                file.seek(at)
                file.write(bytes([whole[at] ^ 1 << int(rng.integers(0, 8))]))
                told += not holds(tiny, want, f"{path.name} byte {at}")
                seen += 1
                file.seek(at)
                file.write(whole[at : at + 1])
        if whole:
            kinds.add(path.name.split("-")[0])
            assert told == seen or path.name.startswith("postings"), path.name
            assert told > seen / 4
        assert path.read_bytes() == whole
    assert kinds >= {"MANIFEST", "centroids", "codec", "delta", "postings", "splits"}


def test_files_cut_short(tiny):
    want, rng = answers(tiny), np.random.default_rng(1)
    for path in sorted(tiny.iterdir()):
        whole = path.read_bytes()
        ends = set(range(0, len(whole), PAGE)) | set(rng.integers(0, len(whole) or 1, 30).tolist())
        for end in sorted(ends):
            if end >= len(whole):
                continue
            path.write_bytes(whole[:end])
            holds(tiny, want, f"{path.name} cut at {end}")
            with pytest.raises(GONE):
                shortlist.open(tiny).verify()
        path.write_bytes(whole + b"\0")
        if path.name != "LOCK":
            with pytest.raises(shortlist.CorruptIndexError):
                shortlist.open(tiny).verify()
        path.write_bytes(whole)
    shortlist.open(tiny).verify()


def test_files_in_the_place_of_others(tiny):
    files = {p: p.read_bytes() for p in tiny.iterdir() if p.name != "LOCK"}
    last = max(tiny.glob("delta-*"))
    for path, whole in files.items():
        for other, bytes_ in files.items():
            if other == path:
                continue
            path.write_bytes(bytes_)
            with pytest.raises((shortlist.CorruptIndexError, shortlist.UnsupportedError)):
                answers(tiny)
            path.write_bytes(whole)
        path.unlink()
        if path != last:  # without the last change, it is the index before it
            with pytest.raises(GONE):
                answers(tiny)
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


def test_a_newer_manifest_is_refused(spann_copy):
    from shortlist.spann._files import read_json, write_json

    manifest = read_json(spann_copy / "MANIFEST")
    write_json(spann_copy / "MANIFEST", manifest | {"version": 99})
    with pytest.raises(shortlist.UnsupportedError, match="newer"):
        shortlist.open(spann_copy)
