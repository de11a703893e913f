"""Files of the binary indexes: our own and faiss's, both ways, and damaged ones."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shortlist as sl
from native_file import Fields, join, split
from saved_indexes import classes
from shortlist import _core

X = np.random.default_rng(5).integers(0, 256, (60, 4), np.uint8)
Q = X[:9] ^ 5


def filled(index: sl.IndexBinary, n: int = 60) -> sl.IndexBinary:
    if not index.is_trained:
        index.train(X)
    if isinstance(index, sl.IndexBinaryIDMap):
        index.add_with_ids(X[:n], np.arange(n) * 7 + 3)
    else:
        index.add(X[:n])
    return index


def without(index: sl.IndexBinary, ids: range) -> sl.IndexBinary:
    index.remove_ids(np.array(ids))
    return index


def probing_all(index: sl.IndexBinaryIVF) -> sl.IndexBinaryIVF:
    index.nprobe = index.nlist
    return index


def hnsw() -> sl.IndexBinaryHNSW:
    return sl.IndexBinaryHNSW(32, 4)


INDEXES: dict[str, Callable[[], sl.IndexBinary]] = {
    "flat": lambda: filled(sl.IndexBinaryFlat(32)),
    "flat empty": lambda: sl.IndexBinaryFlat(32),
    "hnsw": lambda: filled(hnsw()),
    "hnsw empty": hnsw,
    "hnsw freed": lambda: without(filled(hnsw()), range(10, 40)),
    "ivf": lambda: probing_all(filled(sl.index_binary_factory(32, "BIVF4"))),
    "ivf hnsw freed": lambda: without(
        probing_all(filled(sl.index_binary_factory(32, "BIVF4_HNSW8"))), range(10, 40)
    ),
    "ivf untrained": lambda: sl.index_binary_factory(32, "BIVF4"),
    "idmap2 ivf": lambda: filled(sl.index_binary_factory(32, "IDMap2,BIVF1")),
    "idmap": lambda: filled(sl.IndexBinaryIDMap(sl.IndexBinaryFlat(32))),
    "idmap2": lambda: filled(sl.IndexBinaryIDMap2(sl.IndexBinaryFlat(32))),
    "idmap2 hnsw": lambda: filled(sl.IndexBinaryIDMap2(hnsw())),
}
SMALL = {
    "ivf": lambda: filled(sl.index_binary_factory(32, "BIVF2"), 5),
    "flat": lambda: filled(sl.IndexBinaryFlat(32), 5),
    "idmap2 hnsw": lambda: filled(sl.IndexBinaryIDMap2(hnsw()), 20),
}


@pytest.fixture(params=INDEXES)
def index(request: pytest.FixtureRequest) -> sl.IndexBinary:
    return INDEXES[request.param]()


def to_bytes(index: sl.IndexBinary) -> bytes:
    data: bytes = index.__reduce__()[1][0]
    return data


def assert_same(a: sl.IndexBinary, b: sl.IndexBinary) -> None:
    assert classes(a) == classes(b)
    assert (a.ntotal, a.d, a.is_trained) == (b.ntotal, b.d, b.is_trained)
    if not a.is_trained:
        return
    for one, two in zip(a.search(Q, 7), b.search(Q, 7), strict=True):
        np.testing.assert_array_equal(one, two)


def test_native_restores_exactly(index: sl.IndexBinary, tmp_path: Path) -> None:
    index.verbose = True
    index.save(tmp_path / "i", metadata={"a": "b"})
    again = sl.open(tmp_path / "i")
    assert sl.read_metadata(tmp_path / "i") == {"a": "b"}
    assert again.verbose
    assert_same(index, again)
    for other in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index)):
        assert_same(index, other)
        assert to_bytes(other) == to_bytes(index)
    clone = sl.clone_binary_index(index)
    index.reset()
    assert clone.ntotal == again.ntotal


def test_faiss_format_round_trip(index: sl.IndexBinary, tmp_path: Path) -> None:
    sl.write_index_binary(index, tmp_path / "i")
    again = sl.read_index_binary(tmp_path / "i")
    data = sl.serialize_index_binary(again)
    assert data.tobytes() == (tmp_path / "i").read_bytes()
    if hasattr(index, "hnsw") and index.ntotal == 30:  # rows renumbered
        assert classes(again) == ["IndexBinaryIDMap2", *classes(index)]
        again.index.hnsw.efSearch = index.hnsw.efSearch = 100
        for a, b in zip(again.search(Q, 30), index.search(Q, 30), strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        assert_same(index, again)
    assert_same(again, sl.deserialize_index_binary(data))


@pytest.mark.parametrize("name", INDEXES)
def test_faiss_reads_ours(name: str) -> None:
    faiss = pytest.importorskip("faiss")
    index = INDEXES[name]()
    data = sl.serialize_index_binary(index)
    theirs = faiss.deserialize_index_binary(data)
    assert (theirs.ntotal, theirs.d, theirs.code_size) == (index.ntotal, 32, 4)
    np.testing.assert_array_equal(faiss.serialize_index_binary(theirs), data)
    if not index.ntotal:
        return
    found, wanted = theirs.search(Q, 5)[0], index.search(Q, 5)[0]
    if "hnsw" in name:
        assert (found[:, 0] == wanted[:, 0]).mean() > 0.8
    else:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("n", [0, 1, 60])
@pytest.mark.parametrize(
    "description",
    ["BFlat", "BHNSW4", "BHNSW32", "BIVF1", "IDMap,BFlat", "IDMap2,BFlat", "IDMap2,BHNSW8"],
)
def test_ours_reads_faiss(description: str, n: int, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    theirs = faiss.index_binary_factory(32, description)
    theirs.train(X)
    if "IDMap" in description:
        theirs.add_with_ids(X[:n], np.arange(n) * 5 + 2)
    else:
        theirs.add(X[:n])
    faiss.write_index_binary(theirs, str(tmp_path / "i"))
    ours = sl.read_index_binary(tmp_path / "i")
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.ntotal == n
    sl.write_index_binary(ours, tmp_path / "j")
    assert (tmp_path / "i").read_bytes() == (tmp_path / "j").read_bytes()
    if n and "HNSW" not in description:
        np.testing.assert_array_equal(ours.search(X, 3)[0][:, 0], theirs.search(X, 3)[0][:, 0])
    elif n:
        assert (ours.search(X[:n], 1)[0] == 0).mean() > 0.9


def test_the_two_kinds_of_files_are_told_apart() -> None:
    bits = filled(sl.IndexBinaryFlat(32))
    with pytest.raises(NotImplementedError, match="read it with read_index_binary"):
        sl.deserialize_index(sl.serialize_index_binary(bits))
    floats = sl.IndexFlatL2(4)
    with pytest.raises(NotImplementedError, match="it holds no binary index; read it with"):
        sl.deserialize_index_binary(sl.serialize_index(floats))
    with pytest.raises(sl.CorruptIndexError, match=r"open it with shortlist\.open"):
        sl.deserialize_index_binary(to_bytes(bits))
    with pytest.raises(sl.CorruptIndexError, match="no faiss file"):
        sl.deserialize_index_binary(b"what is this")
    data = sl.serialize_index_binary(sl.IndexBinaryIDMap(sl.IndexBinaryFlat(32))).tobytes()
    nested = data[: data.index(b"IBxF")] + sl.serialize_index(floats).tobytes()
    with pytest.raises(sl.CorruptIndexError, match="binary indexes and others are nested"):
        sl.deserialize_index_binary(nested)


def test_other_binary_classes_are_named() -> None:
    faiss = pytest.importorskip("faiss")
    other = faiss.IndexBinaryHash(32, 8)
    with pytest.raises(NotImplementedError, match="IndexBinaryHash"):
        sl.deserialize_index_binary(faiss.serialize_index_binary(other))
    with pytest.raises(NotImplementedError, match="read_index_binary"):
        sl.deserialize_index(faiss.serialize_index_binary(other))


@pytest.mark.parametrize("name", SMALL)
def test_truncation_is_detected(name: str) -> None:
    index = SMALL[name]()
    data = sl.serialize_index_binary(index).tobytes()
    for n in range(len(data)):
        with pytest.raises(sl.CorruptIndexError):
            sl.deserialize_index_binary(data[:n])
    with pytest.raises(sl.CorruptIndexError):
        sl.read_index_binary(io.BytesIO(data[:-1]))


@pytest.mark.parametrize("name", SMALL)
def test_bit_flips_do_no_harm(name: str) -> None:
    data = bytearray(sl.serialize_index_binary(SMALL[name]()))
    refused = 0
    for at in range(len(data)):
        for bit in (at % 8, 7):
            data[at] ^= 1 << bit
            try:
                index = sl.deserialize_index_binary(data)
                index.search(np.zeros((2, index.code_size), np.uint8), 5)
            except (sl.CorruptIndexError, NotImplementedError, ValueError):
                refused += 1
            data[at] ^= 1 << bit
    assert refused > 50


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class": "IndexFlatL2", "dtype": "float32"}, "nested"),
        ({"d": "7"}, "bytes of codes"),
        ({"d": "0"}, "d = 0"),
        ({"d": "18446744073709551615"}, "d = "),
        ({"metric": "0"}, "disagree"),
    ],
)
def test_native_fields_that_cannot_be(changes: dict[str, str], words: str) -> None:
    sections = dict(split(to_bytes(filled(sl.IndexBinaryIDMap(sl.IndexBinaryFlat(32))))))
    fields = Fields.unpack(sections["index/index"])
    sections["index/index"] = Fields({**fields, **changes}).pack()
    with pytest.raises(sl.CorruptIndexError, match=words):
        _core._from_bytes(join(list(sections.items())))
