"""The native file format in plain Python: what the C++ reader and writer are held against."""

from __future__ import annotations

import struct
from collections import UserDict

MAGIC, END = b"\x89SLIX\r\n\x1a", b"SLIX-END"
SECTION, DIRECTORY = b"SECT", b"DIRD"


def _table() -> list[int]:
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _sealed(block: bytes, size: int) -> bytes:
    block = block.ljust(size - 4, b"\0")
    return block + struct.pack("<I", crc32c(block))


def _section(tag: bytes, name: str, payload: bytes) -> bytes:
    head = _sealed(struct.pack("<4sIQ", tag, len(name), len(payload)) + name.encode(), 128)
    zeros = b"\0" * (-(len(payload) + 4) % 64)
    return head + payload + zeros + struct.pack("<I", crc32c(payload))


def join(sections: list[tuple[str, bytes]], major: int = 1, minor: int = 0) -> bytes:
    out = _sealed(MAGIC + struct.pack("<HHI", major, minor, 0x01020304), 64)
    directory = b""
    for name, payload in sections:
        directory += struct.pack("<QQII", len(out) + 128, len(payload), crc32c(payload), len(name))
        directory += name.encode()
        out += _section(SECTION, name, payload)
    at = len(out)
    out += _section(DIRECTORY, "directory", directory)
    return out + _sealed(END + struct.pack("<QQI", at, len(out) + 64, len(sections)), 64)


def split(data: bytes) -> list[tuple[str, bytes]]:
    sections, at = [], 64
    while data[at : at + 4] == SECTION:
        name_length, length = struct.unpack_from("<IQ", data, at + 4)
        assert (at + 128) % 64 == 0
        payload = data[at + 128 : at + 128 + length]
        name = data[at + 16 : at + 16 + name_length].decode()
        end = at + len(_section(SECTION, name, payload))
        assert data[at:end] == _section(SECTION, name, payload), name
        sections.append((name, payload))
        at = end
    return sections


class Fields(UserDict[str, str]):
    """A section of named values."""

    @classmethod
    def unpack(cls, payload: bytes) -> Fields:
        (count,), at = struct.unpack_from("<I", payload), 4
        words = []
        for _ in range(2 * count):
            (n,) = struct.unpack_from("<I", payload, at)
            words.append(payload[at + 4 : at + 4 + n].decode())
            at += 4 + n
        return cls(zip(words[::2], words[1::2], strict=True))

    def changed(self, change: dict[str, str]) -> Fields:
        assert change.keys() <= self.keys()
        return Fields({**self, **change})

    def pack(self) -> bytes:
        out = struct.pack("<I", len(self))
        for word in (w for item in self.items() for w in item):
            out += struct.pack("<I", len(word.encode())) + word.encode()
        return out
