"""What indexes on GPUs work with: who does their jobs, streams, and memory that is used again."""

from __future__ import annotations

import operator
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import ArgumentError, _gpu
from .arrays import Stream, stream_of
from .plugin import engine

__all__ = ["StandardGpuResources", "Work"]

_TEMP_MEMORY = 1536 << 20  # faiss's, of a GPU with much
_LEAST_BATCH = 64 << 20  # that a batch of queries may take in any case
_ALIGNMENT = 256


class StandardGpuResources:
    """GPUs as indexes use them: streams, and temporary memory that searches share.

    Many indexes may share resources, from many threads; they work one after the other. Memory for
    what a search needs meanwhile is kept for the next, up to setTempMemory; the first searches of a
    size allocate, which waits for the GPU.

    Raises UnsupportedError when an index is made without the plugin or a GPU.
    """

    def __init__(self) -> None:
        self._engines: dict[int, Any] = {}
        self._streams: dict[int, Stream] = {}
        self._scratch: dict[tuple[int, int], _Scratch] = {}
        self._temp_memory = _TEMP_MEMORY
        self._lock = threading.RLock()

    @classmethod
    def _over(cls, *engines: Any) -> StandardGpuResources:
        """Over engines that are there, instead of those of the plugin."""
        out = cls()
        out._engines = {e.device: e for e in engines}
        return out

    def setTempMemory(self, bytes: int) -> None:
        """How many bytes of each stream are kept from call to call; batches are cut to fit."""
        bytes = operator.index(bytes)
        if bytes < 0:
            raise ArgumentError(f"bytes = {bytes}; expected 0 or more")
        with self._lock:
            self._temp_memory = bytes
            self._scratch.clear()

    def noTempMemory(self) -> None:
        """Keeps none: each call allocates what it needs, and waits for the GPU."""
        self.setTempMemory(0)

    def setDefaultStream(self, device: int, stream: Any) -> None:
        """The stream (a cudaStream_t as an int, or torch's or CuPy's) of calls with arrays in host
        memory. Arrays of torch and CuPy are worked on in the current stream of theirs."""
        with self._lock:
            self._streams[device] = stream_of(None, stream, Stream(0))

    def setDefaultNullStreamAllDevices(self) -> None:
        """Back to CUDA's default stream."""
        with self._lock:
            self._streams.clear()

    def getDefaultStream(self, device: int) -> int:
        """The cudaStream_t of calls with arrays in host memory."""
        return self._default_stream(device).handle

    def syncDefaultStream(self, device: int) -> None:
        """Waits until all of that stream is done."""
        self._engine(device).synchronize(self.getDefaultStream(device))

    def _default_stream(self, device: int) -> Stream:
        return self._streams.get(device, Stream(0))

    def _engine(self, device: int) -> Any:
        with self._lock:
            if device not in self._engines:
                self._engines[device] = engine(device)
            return self._engines[device]

    @contextmanager
    def _work(self, device: int, stream: Stream) -> Iterator[Work]:
        """To work on a stream; nobody else does meanwhile."""
        with self._lock:
            place = device, stream.handle
            if place not in self._scratch:
                self._scratch[place] = _Scratch(self._engine(device), self._temp_memory)
            work = Work(self._engine(device), stream, self._scratch[place], self._temp_memory)
            with work.passing():
                yield work


class _Scratch:
    """Memory of one stream, in whose order it is used: what is given back may be taken at once."""

    def __init__(self, engine: Any, most: int) -> None:
        self._engine, self._most = engine, most
        self._kept: Any = None
        self._beyond: list[Any] = []  # where what is kept was not enough
        self._used = self._wanted = 0

    def take(self, bytes: int) -> int:
        bytes = -(-max(bytes, 1) // _ALIGNMENT) * _ALIGNMENT
        begin = self._used
        self._used += bytes
        self._wanted = max(self._wanted, self._used)
        if begin == 0 and self._size < self._wanted <= self._most:
            self._kept = None  # before there is another
            wanted, self._wanted = self._wanted, bytes
            with suppress(MemoryError):  # then it goes without
                self._kept = _gpu.Memory(self._engine, wanted)
        if self._used <= self._size:
            return int(self._kept.place) + begin
        self._beyond.append(_gpu.Memory(self._engine, bytes))
        return int(self._beyond[-1].place)

    @property
    def taken(self) -> tuple[int, int]:
        return self._used, len(self._beyond)

    def give_back(self, before: tuple[int, int]) -> None:
        """All that was taken since."""
        self._used = before[0]
        del self._beyond[before[1] :]

    @property
    def _size(self) -> int:
        return self._kept.bytes if self._kept is not None else 0


class Work:
    """Jobs on one stream, and memory until the call ends. Places are addresses on the device."""

    def __init__(self, engine: Any, stream: Stream, scratch: _Scratch, temp_memory: int) -> None:
        self.engine, self.stream = engine, stream
        self._scratch, self._temp_memory = scratch, temp_memory

    @classmethod
    def alone(cls, engine: Any) -> Work:
        """On the default stream, with memory of its own that is kept between jobs."""
        return cls(engine, Stream(0), _Scratch(engine, sys.maxsize), _TEMP_MEMORY)

    def memory(self, bytes: int) -> Any:
        """Memory that stays while somebody holds it."""
        return _gpu.Memory(self.engine, bytes)

    def take(self, bytes: int) -> int:
        """Memory that is given back when the call, or `passing`, ends."""
        return self._scratch.take(bytes)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """What is taken within is given back at its end, for what comes next on the stream."""
        before = self._scratch.taken
        try:
            yield
        finally:
            self._scratch.give_back(before)

    def run(self, name: str, **job: Any) -> None:
        """A job of cuda/plugin.h that needs no room."""
        getattr(self.engine, name)(**job, stream=self.stream.handle)

    def room(self, name: str, **job: Any) -> int:
        """The bytes that a job wants."""
        return int(getattr(self.engine, name)(**job))

    def run_in_room(self, name: str, **job: Any) -> None:
        with self.passing():
            self.run(name, **job, room=self.take(self.room(name, **job)))

    def copy(self, to: int, from_: int, bytes: int) -> None:
        self.engine.copy(to, from_, bytes, self.stream.handle)

    def write(self, place: int, x: npt.NDArray[Any]) -> None:
        """A copy at a place of an array in C order, which may go at once."""
        self.copy(place, x.ctypes.data, x.nbytes)
        self.synchronize()

    def keep(self, x: npt.NDArray[Any]) -> Any:
        """A copy of an array in C order, in memory that stays while somebody holds it."""
        out = self.memory(x.nbytes)
        self.write(out.place, x)
        return out

    def put(self, x: npt.NDArray[Any]) -> int:
        """A copy on the device of an array in C order, until the call ends."""
        place = self.take(x.nbytes)
        self.copy(place, x.ctypes.data, x.nbytes)
        return place

    def get(self, place: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A copy on the host, which is waited for."""
        out = np.empty(shape, dtype)
        self.copy(out.ctypes.data, place, out.nbytes)
        self.synchronize()
        return out

    def synchronize(self) -> None:
        self.engine.synchronize(self.stream.handle)

    def batch(self, n: int, most: int, bytes_of: Any) -> int:
        """How many of n at a time, at most `most`, for bytes_of(that many) to fit."""
        limit = max(self._temp_memory, _LEAST_BATCH)
        size = max(1, min(n, most))
        while size > 1 and bytes_of(size) > limit:
            size = -(-size // 2)
        return size
