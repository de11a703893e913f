"""
What shortlist.kv is made of.
"""

from __future__ import annotations

import typing

import numpy
import numpy.typing

class Codebook:
    def __init__(
        self,
        roots: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        centroids: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        codewords: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    ) -> None: ...

class Codes:
    def __init__(self, codebook: Codebook) -> None: ...
    def __len__(self) -> int: ...
    def append(self, keys: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]) -> None: ...
    def append_codes(
        self, codes: typing.Annotated[numpy.typing.ArrayLike, numpy.uint16]
    ) -> None: ...
    def codes(self) -> numpy.typing.NDArray[numpy.uint16]: ...
    def topk(
        self,
        queries: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        k: typing.SupportsIndex,
        sink: typing.SupportsIndex,
        window: typing.SupportsIndex,
        unite: bool,
    ) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64]]: ...
    def truncate(self, n: typing.SupportsIndex) -> None: ...

def attention(
    queries: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    keys: numpy.typing.NDArray[typing.Any],
    values: numpy.typing.NDArray[typing.Any],
    ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    list_heads: typing.SupportsIndex,
    scale: float,
    keys_bfloat16: bool = False,
    values_bfloat16: bool = False,
) -> numpy.typing.NDArray[numpy.float32]: ...
