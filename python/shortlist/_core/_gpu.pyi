"""
The CUDA plugin and its jobs; an Engine does them on a GPU or on the host.
"""

from __future__ import annotations

import typing

import numpy
import numpy.typing
import shortlist
import shortlist._core

class Plugin:
    """
    A plugin that is loaded, and stays so.
    """
    def __init__(self, path: str) -> None: ...
    def describe(self, device: typing.SupportsIndex) -> dict[str, typing.Any]: ...
    def devices(self) -> int:
        """
        How many GPUs there are. Raises UnsupportedError if there is none.
        """
    def versions(self) -> tuple[int, int]:
        """
        CUDA versions of the runtime within and of the driver (0: none), as 13000 for 13.0.
        """
    @property
    def path(self) -> str: ...

class Engine:
    """
    Who does jobs. A job takes the members of its struct in cuda/plugin.h by name, pointers as Memory, int or None; those with a room tell its bytes when called without one.
    """
    @typing.overload
    def __init__(
        self,
        lanes: typing.SupportsIndex = 32,
        chunks: typing.SupportsIndex = 1,
        seed: typing.SupportsIndex = 0,
    ) -> None: ...
    @typing.overload
    def __init__(self, plugin: Plugin, device: typing.SupportsIndex) -> None: ...
    def assign(self, **kwargs: typing.Any) -> None: ...
    def certify(self, **kwargs: typing.Any) -> None: ...
    def copy(
        self,
        to: typing.SupportsIndex,
        from_: typing.SupportsIndex,
        bytes: typing.SupportsIndex,
        stream: typing.SupportsIndex = 0,
    ) -> None: ...
    def graph(self, **kwargs: typing.Any) -> None: ...
    def max_sim(self, **kwargs: typing.Any) -> None: ...
    def prune(self, **kwargs: typing.Any) -> None: ...
    def rescore(self, **kwargs: typing.Any) -> None: ...
    def reverse(self, **kwargs: typing.Any) -> int: ...
    def scan(self, **kwargs: typing.Any) -> int: ...
    def scan_lists(self, **kwargs: typing.Any) -> int: ...
    def scan_many(self, **kwargs: typing.Any) -> int: ...
    def select(self, **kwargs: typing.Any) -> None: ...
    def store(self, **kwargs: typing.Any) -> None: ...
    def synchronize(self, stream: typing.SupportsIndex = 0) -> None: ...
    def tables(self, **kwargs: typing.Any) -> None: ...
    def update(self, **kwargs: typing.Any) -> int: ...
    @property
    def device(self) -> int: ...
    @property
    def free(self) -> int:
        """
        Bytes that could be allocated; 0 of the host.
        """
    @property
    def host(self) -> bool:
        """
        Whether memory is this process's.
        """

class Memory:
    """
    Bytes where an engine's jobs find them.
    """
    def __init__(self, engine: Engine, bytes: typing.SupportsIndex) -> None: ...
    @property
    def bytes(self) -> int: ...
    @property
    def place(self) -> int: ...

def connect(links: numpy.typing.NDArray[numpy.uint32], entry: typing.SupportsIndex) -> None:
    """
    Links (n, degree) of rows, 2^32 - 1 at a row's end, are changed so that they lead everywhere from the entry.
    """

def query_bytes(kind: str, units: typing.SupportsIndex) -> int: ...
def sdc_codes(
    index: shortlist._core.IndexSDC, begin: typing.SupportsIndex, end: typing.SupportsIndex
) -> tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.float32]]:
    """
    Codes [begin, end) of an IndexSDC: planes (n, bits * plane) bytes and factors (2, n).
    """

def sdc_queries(
    index: shortlist._core.IndexSDC, x: numpy.typing.ArrayLike, many: bool
) -> tuple[
    numpy.typing.NDArray[numpy.uint8],
    int,
    numpy.typing.NDArray[numpy.float32],
    numpy.typing.NDArray[numpy.int64],
]:
    """
    Queries of an IndexSDC: bytes of each as `scan` or `scan_many` takes them, bits of their values, terms (2, n) near and scale, and offsets (n,).
    """

def selected(
    selector: shortlist._core.IDSelector, ids: typing.Any = None, n: typing.SupportsIndex = 0
) -> numpy.typing.NDArray[numpy.uint32]:
    """
    A bit for each of n rows, or of those with these ids, as jobs take `allowed`.
    """

abi: int = 1
conversions: tuple[str, ...] = ("as_they_are", "f32_to_tf32", "f32_to_f16", "f32_to_bf16")
kinds: tuple[str, ...] = (
    "l2_f32",
    "l2_f16",
    "l2_bf16",
    "l2_u8",
    "l2_i8",
    "ip_f32",
    "ip_f16",
    "ip_bf16",
    "ip_u8",
    "ip_i8",
    "hamming",
    "planes",
    "tables",
)
