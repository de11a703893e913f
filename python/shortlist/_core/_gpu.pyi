"""
The CUDA plugin and its jobs; an Engine does them on a GPU or on the host.
"""

from __future__ import annotations

import typing

import numpy
import numpy.typing

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
    Who does jobs, and memory where they are.
    """

def assign(
    engine: Engine,
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    centroids: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    bias: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.float32]]: ...
def device_engine(plugin: Plugin, device: typing.SupportsIndex = 0) -> Engine: ...
def host_engine(
    lanes: typing.SupportsIndex = 32,
    chunks: typing.SupportsIndex = 1,
    seed: typing.SupportsIndex = 0,
) -> Engine: ...
def max_sim(
    engine: Engine,
    kind: str,
    rows: numpy.typing.ArrayLike,
    documents: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    queries: numpy.typing.ArrayLike,
    tokens: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    candidates: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
) -> numpy.typing.NDArray[numpy.float32]: ...
def query_bytes(kind: str, units: typing.SupportsIndex) -> int: ...
def rescore(
    engine: Engine,
    kind: str,
    rows: numpy.typing.ArrayLike,
    queries: numpy.typing.ArrayLike,
    candidates: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
) -> numpy.typing.NDArray[numpy.float32]: ...
def scan(
    engine: Engine,
    kind: str,
    rows: numpy.typing.ArrayLike,
    queries: numpy.typing.ArrayLike,
    k: typing.SupportsIndex,
    allowed: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None = None,
    bits: typing.SupportsIndex = 0,
    query_bits: typing.SupportsIndex = 0,
    factors: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    terms: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None = None,
    least: float = 0,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]: ...
def select(
    engine: Engine,
    distances: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    k: typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]: ...
def update(
    engine: Engine,
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    labels: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
    centroids: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.uint64]]: ...

abi: int = 1
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
)
