"""One index on disk in a process of its own, under the interpreter that has its library.

A Worker is a telephone to that process: one line of JSON asks, one line answers. The process may
run under another interpreter, as diskannpy wants an older numpy, so this file imports nothing but
numpy and the library that it is asked for. What a library prints goes to the log.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

K = 10


class Worker:
    """The asking end. Methods are those of the session: build, open, search, memory."""

    def __init__(self, library: str, interpreter: str, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [interpreter, "-m", "bench.disk.worker", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("a"),
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
        )

    def ask(self, method: str, **arguments: Any) -> Any:
        """Raises RuntimeError with what went wrong over there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([method, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise RuntimeError(f"{method}: the process ended ({code}); see {self._log}")
        status, value = json.loads(line)
        if status == "error":
            raise RuntimeError(f"{method}:\n{value}")
        return value

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Ours:
    """shortlist.build and shortlist.open."""

    def __init__(self) -> None:
        import shortlist

        self.library, self.version = shortlist, shortlist.__version__

    def build(
        self,
        base: str,
        folder: str,
        description: str,
        memory: str | None,
        metric: str,
        threads: int,
        **knobs: Any,
    ) -> dict[str, Any]:
        self.library.omp_set_num_threads(threads)
        index = self.library.build(
            base, description, out=folder, memory=memory, metric=metric, **knobs
        )
        return {
            "index_memory": index.memory,
            "plan": index.manifest["plan"],
            "entries": index.entries,
        }

    def open(self, folder: str) -> None:
        self.library.omp_set_num_threads(1)
        self.index = self.library.open(folder, caching="direct")

    def prepare(self, queries: np.ndarray) -> Any:
        return [queries[i : i + 1] for i in range(len(queries))]

    def setting(self, nprobe: int, epsilon: float | None, k_factor: float = 4) -> Any:
        return self.library.SearchParametersSPANN(
            nprobe=nprobe, epsilon=np.inf if epsilon is None else epsilon, k_factor=k_factor
        )

    def search(self, query: Any, setting: Any) -> Any:
        return self.index.search(query, K, params=setting)[1][0]

    def counts(self) -> dict[str, int]:
        return dict(self.index.stats)


class DiskANN:
    """diskannpy's StaticDiskIndex, which always reads past the page cache."""

    def __init__(self) -> None:
        from importlib.metadata import version

        import diskannpy

        self.library, self.version = diskannpy, version("diskannpy")

    def build(self, base: str, folder: str, dtype: str, **options: Any) -> dict[str, Any]:
        self.library.build_disk_index(
            data=base,
            distance_metric="l2",
            index_directory=folder,
            vector_dtype=np.dtype(dtype).type,
            pq_disk_bytes=0,
            **options,
        )
        codes = np.fromfile(Path(folder) / "ann_pq_compressed.bin", np.int32, 2)
        return {"code_bytes": int(codes[1])}

    def open(self, folder: str, nodes: int) -> None:
        # With one thread's scratch 0.7.0 waits for a second for ever while it opens; search() is
        # one thread all the same.
        self.index = self.library.StaticDiskIndex(
            index_directory=folder,
            num_threads=2,
            num_nodes_to_cache=nodes,
            cache_mechanism=1 if nodes else 0,
        )

    def prepare(self, queries: np.ndarray) -> Any:
        return list(queries)

    def setting(self, complexity: int, beam_width: int) -> Any:
        return complexity, beam_width

    def search(self, query: Any, setting: Any) -> Any:
        return self.index.search(query, K, setting[0], setting[1]).identifiers

    def counts(self) -> dict[str, int]:
        return {}


class Session:
    """The answering end: measures around whichever library it holds."""

    def __init__(self, library: str) -> None:
        self.library: Any = {"ours": Ours, "diskann": DiskANN}[library]()

    def build(self, folder: str, **options: Any) -> dict[str, Any]:
        """Peak memory is the growth of the resident set, mapped pages of files included, from
        after the imports to its highest."""
        shutil.rmtree(folder, ignore_errors=True)
        Path(folder).mkdir(parents=True)
        gc.collect()
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
        wall, cpu = time.perf_counter(), _cpu()
        told = self.library.build(folder=folder, **options)
        return {
            "version": self.library.version,
            "wall_seconds": time.perf_counter() - wall,
            "cpu_seconds": _cpu() - cpu,
            "peak_bytes": _status("VmHWM") - before,
            "disk_bytes": sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()),
            **told,
        }

    def open(self, queries: str, **options: Any) -> None:
        rows = np.load(queries)
        self.queries = self.library.prepare(rows)
        gc.collect()
        self.before = _status("VmRSS")
        self.library.open(**options)

    def memory(self) -> int:
        """Growth of the resident set since before the index was opened."""
        return _status("VmRSS") - self.before

    def search(self, begin: int, end: int, setting: dict[str, Any]) -> dict[str, Any]:
        """One call for each query."""
        how, search, queries = self.library.setting(**setting), self.library.search, self.queries
        counts, read = self.library.counts(), _read_bytes()
        found, seconds = [], []
        gc.disable()
        cpu = time.process_time()
        for i in range(begin, end):
            start = time.perf_counter()
            ids = search(queries[i], how)
            seconds.append(time.perf_counter() - start)
            found.append(np.asarray(ids).astype(np.int64).tolist())
        cpu = time.process_time() - cpu
        gc.enable()
        after, n = self.library.counts(), end - begin
        return {
            "ids": found,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "read_bytes": (_read_bytes() - read) / n,
            "counts": {name: (after[name] - counts[name]) / n for name in counts},
        }


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def _read_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print
    session = Session(sys.argv[1])
    for line in sys.stdin:
        method, arguments = json.loads(line)
        try:
            reply = ["ok", getattr(session, method)(**arguments)]
        except Exception:
            reply = ["error", traceback.format_exc()]
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
