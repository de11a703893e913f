"""Indexes through Python callbacks, streams and memory."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import shortlist as sl
from saved_indexes import INDEXES, D, X, assert_same_answers, filled, hnsw


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_callbacks_in_small_pieces(size: int) -> None:
    index = INDEXES["IDMap HNSW"]()
    expected = bytes(sl.serialize_index(index))
    pieces: list[bytes] = []
    sl.write_index(index, sl.PyCallbackIOWriter(pieces.append, size))
    assert b"".join(pieces) == expected
    assert max(map(len, pieces)) <= size

    taken = bytearray()

    def half(piece: bytes) -> int:
        some = piece[: len(piece) // 2 + 1]
        taken.extend(some)
        return np.int64(len(some))

    sl.write_index(index, sl.BufferedIOWriter(sl.PyCallbackIOWriter(half, bs=size), 13))
    assert bytes(taken) == expected

    stream = io.BytesIO(expected)
    for reader in (
        sl.PyCallbackIOReader(stream.read, size),
        sl.PyCallbackIOReader(lambda n: stream.read(n // 2 + 1)),
        sl.BufferedIOReader(sl.PyCallbackIOReader(stream.read, size), 13),
    ):
        stream.seek(0)
        assert bytes(sl.serialize_index(sl.read_index(reader))) == expected


def test_streams_hold_several_indexes() -> None:
    one, two = filled(sl.IndexFlatL2(D)), filled(hnsw())
    stream = io.BytesIO()
    sl.write_index(one, stream)
    two.save(stream)
    sl.write_index(two, stream)
    stream.write(b"tail")
    stream.seek(0)
    assert_same_answers(one, sl.read_index(stream))
    assert_same_answers(two, sl.open(stream))
    assert_same_answers(two, sl.read_index(stream))
    assert stream.read() == b"tail"


def test_memory_and_file_readers(tmp_path: Path) -> None:
    index = filled(hnsw())
    writer = sl.VectorIOWriter()
    sl.write_index(index, writer)
    np.testing.assert_array_equal(writer.data, sl.serialize_index(index))
    reader = sl.VectorIOReader()
    reader.data = writer.data
    assert_same_answers(index, sl.read_index(reader))
    sl.write_index(index, tmp_path / "i")
    assert_same_answers(
        index, sl.read_index(sl.BufferedIOReader(sl.FileIOReader(tmp_path / "i"), 99))
    )
    into = np.zeros(10, np.uint16)
    assert sl.FileIOReader(str(tmp_path / "i"))(into, 2, 10) == 10
    assert into.tobytes() == (tmp_path / "i").read_bytes()[:20]
    with pytest.raises(ValueError, match="do not fit"):
        sl.FileIOReader(tmp_path / "i")(into, 2, 11)


class Interrupted(Exception):
    pass


def interrupt(_: object) -> int:
    raise Interrupted


def test_exceptions_of_callbacks_pass_unchanged() -> None:
    index = filled(hnsw())
    with pytest.raises(Interrupted):
        sl.write_index(index, sl.PyCallbackIOWriter(interrupt))
    with pytest.raises(Interrupted):
        sl.read_index(sl.PyCallbackIOReader(interrupt))
    with pytest.raises(TypeError, match="not callable"):
        sl.write_index(index, sl.PyCallbackIOWriter("blabla"))
    assert index.ntotal == 60
    index.add(X)  # the lock was given back


def test_callbacks_that_answer_nonsense() -> None:
    index = filled(sl.IndexFlatL2(D))
    for answer in (0, -1, 10**6):
        with pytest.raises(OSError, match="it must take at least 1"):
            sl.write_index(index, sl.PyCallbackIOWriter(lambda _, answer=answer: answer))
    with pytest.raises(TypeError, match="None or the number of bytes"):
        sl.write_index(index, sl.PyCallbackIOWriter(lambda _: "all"))
    with pytest.raises(OSError, match="at most that"):
        sl.read_index(sl.PyCallbackIOReader(lambda n: bytes(n + 1)))
    for answer in ("text", None, 3):
        with pytest.raises(TypeError, match="it must return bytes"):
            sl.read_index(sl.PyCallbackIOReader(lambda _, answer=answer: answer))
    with pytest.raises(TypeError):
        sl.write_index(index, io.StringIO())
    for use in (lambda: sl.write_index(index, 3), lambda: sl.read_index(3)):
        with pytest.raises(TypeError, match=r"not (to|from) a int"):
            use()
    with pytest.raises(TypeError, match="bytes or a uint8 array"):
        sl.deserialize_index([1, 2])


def test_writer_used_by_its_own_callback() -> None:
    index = filled(sl.IndexFlatL2(D))
    writer = sl.PyCallbackIOWriter(lambda _: sl.write_index(index, writer))
    with pytest.raises(sl.BusyError, match="used by another call"):
        sl.write_index(index, writer)
