"""One contender in a process of its own, so that no library shares threads or memory with another.

The runner holds a Worker per contender and asks them in turn; at any time at most one is busy.
"""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import os
import time
import traceback
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench.frontier.contenders import CONTENDERS, Contender, Spec

# Read by OpenMP and BLAS when a worker first loads them; builds raise the number themselves.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Cache:
    """Where indexes are kept from run to run, and what may be done there."""

    folder: Path
    read: bool
    write: bool


@dataclass(frozen=True)
class Built:
    """How an index came to be. Times and memory are those of the build, also when loaded."""

    version: str
    details: str
    origin: str  # "built" in this run, or "cache"
    threads: int
    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int  # growth of the resident set from before the build to after it
    index_bytes: int | None  # size of the saved file or folder; None where it was not kept
    index_file: str | None


class WorkerError(RuntimeError):
    """A contender failed; the message carries the traceback from its process."""


class Worker:
    """The runner's end of a contender's process."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.name = CONTENDERS[spec.library].name_of(spec)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        inherited = dict(os.environ)
        os.environ.update(ONE_THREAD)
        try:
            self._process = context.Process(target=_serve, args=(theirs, spec), daemon=True)
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(inherited)
        theirs.close()

    def prepare(
        self, base_file: Path, rows: int, fingerprint: str, threads: int, cache: Cache
    ) -> Built:
        """Loads the index if the cache has it and may be used; builds it otherwise."""
        return self._ask("prepare", base_file, rows, fingerprint, threads, cache)

    def take_queries(self, queries: np.ndarray, core: int) -> None:
        """Keeps prepared queries and moves every thread of the process to one core."""
        self._ask("take_queries", queries, core)

    def answers(self, mode: str, ef: int) -> tuple[np.ndarray, float]:
        """Ids for all queries, and CPU seconds per query, roughly."""
        return self._ask("answers", mode, ef)

    def measure(self, mode: str, ef: int, n: int) -> tuple[float, float]:
        """CPU and wall seconds for the first n queries."""
        return self._ask("measure", mode, ef, n)

    def close(self) -> None:
        self._connection.close()
        self._process.join()

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            self._connection.send((method, arguments))
            status, value = self._connection.recv()
        except (EOFError, BrokenPipeError):
            self._process.join()
            raise WorkerError(
                f"{self.name} died in {method} (exit code {self._process.exitcode})"
            ) from None
        if status == "error":
            raise WorkerError(f"{self.name} failed in {method}:\n{value}")
        return value


def _serve(connection: Connection, spec: Spec) -> None:
    session = _Session(CONTENDERS[spec.library](spec))
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            reply = ("ok", getattr(session, method)(*arguments))
        except Exception:
            reply = ("error", traceback.format_exc())
        connection.send(reply)


class _Session:
    """The contender's end: methods mirror Worker's."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender

    def prepare(
        self, base_file: Path, rows: int, fingerprint: str, threads: int, cache: Cache
    ) -> Built:
        contender, s = self.contender, self.contender.spec
        version = contender.version()
        stem = (
            f"{s.library}-{version}-{s.storage}-{s.metric}-M{s.M}"
            f"-efc{s.ef_construction}-t{threads}-{fingerprint}"
        )
        index_file, record_file = cache.folder / f"{stem}.index", cache.folder / f"{stem}.json"
        if cache.read and record_file.exists():
            contender.load(index_file)
            return Built(**{**json.loads(record_file.read_text()), "origin": "cache"})
        base = contender.prepare(np.load(base_file, mmap_mode="r")[:rows])
        before = _resident_bytes()
        wall, cpu = time.perf_counter(), time.process_time()
        contender.build(base, threads)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        memory = _resident_bytes() - before
        del base
        built = Built(
            version=version,
            details=contender.details(),
            origin="built",
            threads=threads,
            wall_seconds=wall,
            cpu_seconds=cpu,
            memory_bytes=memory,
            index_bytes=None,
            index_file=None,
        )
        if cache.write:
            record_file.unlink(missing_ok=True)
            contender.save(index_file)
            built = replace(
                built, index_bytes=_bytes_on_disk(index_file), index_file=index_file.name
            )
            # Last, as a record vouches for its index.
            record_file.write_text(json.dumps(asdict(built)))
        return built

    def take_queries(self, queries: np.ndarray, core: int) -> None:
        self.queries = self.contender.prepare(queries)
        self.rows = [self.queries[i : i + 1] for i in range(len(queries))]
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), {core})
        gc.collect()
        gc.disable()

    def answers(self, mode: str, ef: int) -> tuple[np.ndarray, float]:
        self.contender.set_ef(ef)
        start = time.process_time()
        if mode == "batch":
            ids = self.contender.search_batch(self.queries)
        else:
            ids = np.array([self.contender.search1(row) for row in self.rows])
        seconds = time.process_time() - start
        ids = np.asarray(ids).reshape(len(self.queries), self.contender.spec.k).astype(np.int64)
        return ids, seconds / len(self.queries)

    def measure(self, mode: str, ef: int, n: int) -> tuple[float, float]:
        self.contender.set_ef(ef)
        queries, rows, search1 = self.queries[:n], self.rows[:n], self.contender.search1
        # CPU time of the whole process: threads beyond the one allowed would be paid for.
        wall, cpu = time.perf_counter(), time.process_time()
        if mode == "batch":
            self.contender.search_batch(queries)
        else:
            for row in rows:
                search1(row)
        return time.process_time() - cpu, time.perf_counter() - wall


def _bytes_on_disk(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def _resident_bytes() -> int:
    """The resident set, once the allocator has given back what it holds for nobody."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
