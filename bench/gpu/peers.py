"""What others take for the same: one library in a process of its own, rows as JSON lines.

python -m bench.gpu.peers torch [--host]
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.gpu.sizes import GPU, HOST, K

SECONDS = 2.0  # for each case
Found = Iterator[tuple[str, Callable[[], object]]]


def torch(sizes: dict[str, tuple[int, ...]], device: str) -> tuple[Found, Callable[[], object]]:
    import torch as t

    def made(*shape: int, dtype: Any = t.float32) -> Any:
        return t.randn(*shape, device=device, dtype=t.float32).to(dtype)

    def every() -> Found:
        n, d, queries = sizes["brute-128"]
        base, asked = made(n, d, dtype=t.bfloat16), made(queries, d, dtype=t.bfloat16)

        def brute() -> None:
            for part in asked.split(1000):  # whose distances fit in memory
                t.topk(part @ base.T, min(K, n))

        yield "brute-128", brute
        n, d, k = sizes["assign"]
        rows, centroids = made(n, d, dtype=t.bfloat16), made(k, d, dtype=t.bfloat16)
        bias = (centroids.float() ** 2).sum(1).to(t.bfloat16)

        def assign() -> None:
            for part in rows.split(65536):
                t.addmm(bias, part, centroids.T, alpha=-2).argmin(1)

        yield "assign", assign
        n, d, k = sizes["update"]
        x, labels = made(n, d), t.randint(0, k, (n,), device=device)
        sums = t.zeros(k, d, device=device)
        yield "update", lambda: sums.zero_().index_add_(0, labels, x)
        scores = made(*sizes["select"])
        yield "select", lambda: t.topk(scores, min(100, scores.shape[1]), largest=False)

    return every(), t.cuda.synchronize if device == "cuda" else lambda: None


def cupy(sizes: dict[str, tuple[int, ...]], device: str) -> tuple[Found, Callable[[], object]]:
    import cupy as c

    def every() -> Found:
        n, d, k = sizes["update"]
        x, labels = c.random.standard_normal((n, d), c.float32), c.random.randint(0, k, n)

        def update() -> None:
            sums = c.zeros((k, d), c.float32)
            c.add.at(sums, labels, x)

        yield "update", update
        scores = c.random.random(sizes["select"], c.float32)
        yield "select", lambda: c.argpartition(scores, min(100, scores.shape[1] - 1))

    return every(), c.cuda.get_current_stream().synchronize


def faiss(sizes: dict[str, tuple[int, ...]], device: str) -> tuple[Found, Callable[[], object]]:
    import faiss as f
    import numpy as np

    rng = np.random.default_rng(1)

    def every() -> Found:
        n, d, queries = sizes["brute-128"]
        x, q = (rng.standard_normal((m, d), np.float32) for m in (n, queries))
        if device == "cpu":
            yield "brute-128", lambda: f.knn(q, x, K, metric=f.METRIC_INNER_PRODUCT)
            return
        config = f.GpuIndexFlatConfig()
        config.useFloat16 = True
        index = f.GpuIndexFlatIP(f.StandardGpuResources(), d, config)
        index.add(x)
        yield "brute-128", lambda: index.search(q, K)

    return every(), lambda: None


def cuvs(sizes: dict[str, tuple[int, ...]], device: str) -> tuple[Found, Callable[[], object]]:
    import cupy as c
    from cuvs.neighbors import brute_force

    def every() -> Found:
        n, d, queries = sizes["brute-128"]
        x, q = (c.random.standard_normal((m, d), c.float32).astype(c.float16) for m in (n, queries))
        index = brute_force.build(x, metric="inner_product")
        yield "brute-128", lambda: brute_force.search(index, q, K)

    return every(), c.cuda.get_current_stream().synchronize


PEERS = {"torch": torch, "cupy": cupy, "faiss": faiss, "cuvs": cuvs}


def measure(call: Callable[[], object], wait: Callable[[], object], seconds: float) -> float:
    """Milliseconds, the median."""
    call()
    wait()
    told: list[float] = []
    end = time.perf_counter() + seconds
    while len(told) < 3 or (time.perf_counter() < end and len(told) < 30):
        started = time.perf_counter()
        call()
        wait()
        told.append(1000 * (time.perf_counter() - started))
    return statistics.median(told)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.peers")
    parser.add_argument("library", choices=PEERS)
    parser.add_argument("--host", action="store_true")
    args = parser.parse_args()
    sizes, device = (HOST, "cpu") if args.host else (GPU, "cuda")
    found, wait = PEERS[args.library](sizes, device)
    version = getattr(importlib.import_module(args.library), "__version__", "unknown")
    print(json.dumps({"version": version}), flush=True)
    for name, call in found:
        ms = measure(call, wait, 0.01 if args.host else SECONDS)
        print(json.dumps({"case": name, "ms": ms}), flush=True)


if __name__ == "__main__":
    main()
