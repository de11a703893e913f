"""
Kernels one by one, for tests and benchmarks.
"""

from __future__ import annotations

import typing

import numpy
import numpy.typing

def bit_planes(
    isa: str,
    query: numpy.typing.ArrayLike,
    codes: numpy.typing.NDArray[numpy.uint8],
    bits: typing.SupportsIndex,
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32] | None = None,
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.float64]: ...
def columns(
    isa: str,
    family: str,
    query: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    columns: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.float32]: ...
def compiled() -> list[str]: ...
def dot_f32(
    isa: str,
    a: numpy.typing.NDArray[numpy.float32],
    b: numpy.typing.NDArray[numpy.float32],
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.float32]: ...
def dot_s16(
    isa: str,
    a: numpy.typing.NDArray[numpy.int16],
    b: numpy.typing.NDArray[numpy.int16],
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.int32]: ...
def estimate(
    isa: str,
    blocks: numpy.typing.NDArray[numpy.uint8],
    table: numpy.typing.NDArray[numpy.uint8],
    near: float,
    offset: float,
    step: float,
    limit: float,
    factors: bool = True,
    small: bool = False,
    keep: bool = True,
    repeat: typing.SupportsIndex = 1,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.uint32]]: ...
def exps(
    isa: str, x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], shift: float
) -> tuple[numpy.typing.NDArray[numpy.float32], float]: ...
def filter(
    isa: str,
    a: numpy.typing.NDArray[numpy.int8],
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    codes: numpy.typing.ArrayLike,
    scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    bias: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    error: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.uint64]: ...
def filter_f32(
    isa: str,
    a: numpy.typing.NDArray[numpy.float32],
    limits: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    b: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    bias: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.uint64]: ...
def hadamard(
    isa: str,
    factors: numpy.typing.NDArray[numpy.float32] | None,
    x: numpy.typing.NDArray[numpy.float32],
    repeat: typing.SupportsIndex = 1,
) -> None: ...
def keep_nearest(
    isa: str,
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    beside: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
    k: typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.uint32], float]: ...
def lut32(
    isa: str,
    codes: numpy.typing.NDArray[numpy.uint8],
    table: numpy.typing.NDArray[numpy.uint8],
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.uint32]: ...
def lut_tables(
    isa: str, q: numpy.typing.NDArray[numpy.float32], scale: float, repeat: typing.SupportsIndex = 1
) -> numpy.typing.NDArray[numpy.uint8]: ...
def narrow_f16(
    isa: str, x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]
) -> numpy.typing.NDArray[numpy.uint16]: ...
def near_bits(
    isa: str,
    query: numpy.typing.ArrayLike,
    base: numpy.typing.ArrayLike,
    limit: typing.SupportsIndex,
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.uint64]: ...
def planes(
    isa: str,
    q: numpy.typing.NDArray[numpy.float32],
    codes: numpy.typing.NDArray[numpy.uint8],
    bits: typing.SupportsIndex,
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32] | None = None,
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.float64]: ...
def quantize(
    isa: str,
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    centre: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    levels: typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.int8], float, float, float]: ...
def rows(
    isa: str,
    op: str,
    query: numpy.typing.NDArray[typing.Any],
    base: numpy.typing.NDArray[typing.Any],
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32] | None = None,
    repeat: typing.SupportsIndex = 1,
) -> numpy.typing.NDArray[numpy.float32]: ...
def set_level(isa: str) -> None: ...
def signs(
    isa: str,
    r: numpy.typing.NDArray[numpy.float32],
    c: numpy.typing.NDArray[numpy.float32] | None,
    repeat: typing.SupportsIndex = 1,
) -> tuple[numpy.typing.NDArray[numpy.uint8], float, float, float, float]: ...
def take_marked(
    isa: str,
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    masks: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
    first: typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.uint32]]: ...
def weighted_sum(
    isa: str,
    weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    base: numpy.typing.NDArray[typing.Any],
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32] | None,
    out: numpy.typing.NDArray[numpy.float32],
) -> None: ...
def widen_f16(
    isa: str, x: typing.Annotated[numpy.typing.ArrayLike, numpy.uint16]
) -> numpy.typing.NDArray[numpy.float32]: ...

rows_ops: tuple[str, ...] = (
    "l2_f32",
    "l2_f16",
    "l2_u8",
    "l2_i8",
    "l2_f32u8",
    "l2_f32i8",
    "l2_scaled",
    "ip_f32",
    "ip_f16",
    "ip_u8",
    "ip_i8",
    "ip_f32u8",
    "ip_f32i8",
    "hamming_bits",
)
