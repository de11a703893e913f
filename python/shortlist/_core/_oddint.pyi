"""
Parts of odd-integer codes one by one, for tests.
"""

from __future__ import annotations

import typing

import numpy
import numpy.typing

class Rotation:
    def __init__(self, d: typing.SupportsIndex, seed: typing.SupportsIndex) -> None: ...
    def apply(
        self,
        x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        repeat: typing.SupportsIndex = 1,
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    def apply_inverse(
        self,
        y: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        repeat: typing.SupportsIndex = 1,
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    @property
    def d(self) -> int: ...
    @property
    def m(self) -> int: ...

def fine_query_table(
    q: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], unit: float = 0.0
) -> tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8], float, float]: ...
def pack32(bits: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.uint8]: ...
def query_table(
    q: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    unit: float = 0.0,
    repeat: typing.SupportsIndex = 1,
) -> tuple[numpy.typing.NDArray[numpy.uint8], float, float]: ...
def rabitq_encode(
    r: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    centre: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    *,
    l2: bool = True,
    repeat: typing.SupportsIndex = 1,
) -> tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.float32]]: ...
def unpack32(
    block: numpy.typing.ArrayLike, n: typing.SupportsIndex = 32
) -> numpy.typing.NDArray[numpy.uint8]: ...

epsilon: float = 1.899999976158142
