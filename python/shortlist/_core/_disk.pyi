"""
How files are read by searches on disk.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

class RandomFile:
    """
    Reads of many places of a file at once.
    """
    def __init__(self, path: str, backend: str = "auto", caching: str = "auto") -> None: ...
    def read(
        self, pieces: collections.abc.Sequence[tuple[typing.SupportsIndex, typing.SupportsIndex]]
    ) -> list[bytes]:
        """
        The bytes at each (offset, length).
        """
    @property
    def backend(self) -> str: ...
    @property
    def size(self) -> int: ...

class PostingWriter:
    """
    Postings into a file that appears when it is whole.
    """
    def __init__(
        self, path: str, code_size: typing.SupportsIndex, build: typing.SupportsIndex = 0
    ) -> None: ...
    def add(
        self,
        ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        codes: numpy.typing.ArrayLike,
    ) -> None: ...
    def finish(self) -> None: ...

class PostingFile:
    """
    Postings of a file, read by number.
    """
    def __init__(self, path: str, backend: str = "auto", caching: str = "auto") -> None: ...
    def __len__(self) -> int: ...
    def read(self, numbers: collections.abc.Sequence[typing.SupportsIndex]) -> dict:
        """
        {number: (ids, codes)} of those not empty.
        """
    def verify(self) -> None: ...
    @property
    def backend(self) -> str: ...
    @property
    def build(self) -> int: ...
    @property
    def code_size(self) -> int: ...
    @property
    def entries(self) -> int: ...

def available_memory() -> int: ...
def closure(
    centroids: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    near: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    distances: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    replicas: typing.SupportsIndex = 8,
    rng_factor: float = 1,
    epsilon: float = 10,
) -> numpy.typing.NDArray[numpy.int64]: ...
def why_no_io_uring() -> str: ...
