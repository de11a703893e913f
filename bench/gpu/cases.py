"""What is measured of each kernel: inputs, and what they cost at the least.

Numbers are random, between 1/2 and 1 in size: zeros take less power and are faster. Where a call
reads less than several times what an L2 cache holds, it takes turns with others of other inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from shortlist.gpu.resources import Work

from bench.gpu.sizes import BATCHES, GPU, K

_PIECE = 16 << 20  # numbers that are drawn together
_CACHED = 256 << 20  # bytes, far more than an L2 cache holds
_THREADS = 8
_TYPES = {"f32": np.uint32, "tf32": np.uint32, "bf16": np.uint16, "bytes": np.uint8}
_MASKS = {"f32": (0x807FFFFF, 0x3F000000), "tf32": (0x807FE000, 0x3F000000)}
_MASKS["bf16"] = (0x807F, 0x3F00)


@dataclass
class Case:
    """A call of a job, of input number i; and what is moved and computed in it."""

    kernel: str
    name: str
    call: Callable[[int], None]
    bytes: float
    operations: float = 0
    unit: str = ""
    """What does the operations: a key of roofs.PEAKS."""
    peers: str = ""
    """The name of what peers do that is the same."""


class Inputs:
    """Random numbers on the device."""

    def __init__(self, engine: Any) -> None:
        self.work = Work.alone(engine)

    def random(self, kind: str, n: int, seed: int = 1) -> Any:
        dtype = np.dtype(_TYPES[kind])
        out = self.work.memory(n * dtype.itemsize)

        def put(begin: int) -> None:
            some = min(_PIECE, n - begin)
            words = -(-some * dtype.itemsize // 8)
            rng = np.random.default_rng([seed, begin])
            x = rng.integers(0, 1 << 64, words, np.uint64).view(dtype)[:some]
            if kind in _MASKS:
                keep, add = _MASKS[kind]
                x = x & dtype.type(keep) | dtype.type(add)
            self.work.write(out.place + begin * dtype.itemsize, x)

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(put, range(0, n, _PIECE)))
        return out

    def several(self, kind: str, n: int) -> list[Any]:
        """As many as no cache holds."""
        bytes = n * np.dtype(_TYPES[kind]).itemsize
        return [self.random(kind, n, seed) for seed in range(-(-_CACHED // max(bytes, 1 << 20)))]

    def numbers(self, below: int, n: int) -> Any:
        return self.work.keep(np.random.default_rng(2).integers(0, below, n))

    def results(self, n: int) -> dict[str, Any]:
        return {"distances": self.work.memory(4 * n), "numbers": self.work.memory(8 * n)}


def cases(engine: Any, group: str, sizes: dict[str, tuple[int, ...]]) -> Iterator[Case]:
    """The cases of a group, which share what is large."""
    inputs = Inputs(engine)
    where = BATCHES["gpu" if sizes is GPU else "host"]
    size = sizes[group]
    if group == "brute-768":
        yield from _brute(inputs, "bf16", *size, where, alone=True)
    elif group == "brute-128":
        yield from _brute(inputs, "bf16", *size[:2], size[2:], peers="brute-128")
        yield from _brute(inputs, "tf32", *size[:2], size[2:])
    else:
        makers = {"bits": _bits, "codes": _codes, "rescore": _rescore, "max_sim": _max_sim}
        makers |= {
            "lists": _lists,
            "graph": _graph,
            "select": _select,
            "assign": _assign,
            "update": _update,
        }
        yield from makers[group](inputs, *size)


def _brute(
    inputs: Inputs,
    number: str,
    n: int,
    d: int,
    batches: tuple[int, ...],
    alone: bool = False,
    peers: str = "",
) -> Iterator[Case]:
    size = 2 if number == "bf16" else 4
    kind = "ip_bf16" if number == "bf16" else "ip_f32"
    rows = inputs.random(number, n * d)
    job: dict[str, Any] = {"kind": kind, "rows": rows, "n": n, "units_per_row": d * size // 16}
    if alone:
        queries = inputs.random("f32", d)
        found = inputs.results(K)
        yield Case(
            "scan",
            f"{kind}, {n:,} x {d}, 1 query, k = {K}",
            lambda i: inputs.work.run_in_room(
                "scan", **job, queries=queries, queries_n=1, k=K, **found
            ),
            bytes=n * d * size,
        )
    for batch in batches:
        many = inputs.random(number, -(-batch // 32) * 32 * d, seed=2)
        told = inputs.results(batch * K)
        call = {**job, "queries": many, "queries_n": batch, "k": K, **told}
        yield Case(
            "scan_many",
            f"{kind}, {n:,} x {d}, {batch:,} queries, k = {K}",
            lambda i, call=call: inputs.work.run_in_room("scan_many", **call),
            bytes=n * d * size,
            operations=2.0 * n * d * batch,
            unit=number,
            peers=peers,
        )


def _assign(inputs: Inputs, n: int, d: int, k: int) -> Iterator[Case]:
    bias, found, most = inputs.random("f32", k), inputs.results(n), min(n, 65504)
    for number in ("bf16", "tf32"):
        size = 2 if number == "bf16" else 4
        rows, centroids = inputs.random(number, n * d), inputs.random(number, k * d, seed=2)
        kind = "l2_bf16" if number == "bf16" else "l2_f32"
        job = {"kind": kind, "rows": centroids, "n": k, "units_per_row": d * size // 16, "k": 1}
        calls = [
            {
                **job,
                "bias": bias,
                "queries": rows.place + at * d * size,
                "queries_n": min(most, n - at),
                "distances": found["distances"].place + 4 * at,
                "numbers": found["numbers"].place + 8 * at,
            }
            for at in range(0, n, most)
        ]

        def call(i: int, calls: list[dict[str, Any]] = calls, held: Any = rows) -> None:
            for some in calls:
                inputs.work.run_in_room("scan_many", **some)

        yield Case(
            "scan_many, k = 1",
            f"{number}, {n:,} x {d} to {k:,} centroids",
            call,
            bytes=n * (d * size + 12),
            operations=2.0 * n * d * k,
            unit=number,
            peers="assign" if number == "bf16" else "",
        )
    few = n // 8
    job = {"rows": inputs.random("f32", few * d), "n": few, "k": k, "d": d, "bias": bias}
    job |= {"centroids": inputs.random("f32", k * d)}
    job |= {"labels": inputs.work.memory(8 * few), "scores": inputs.work.memory(4 * few)}
    yield Case(
        "assign",
        f"float32, {few:,} x {d} to {k:,} centroids",
        lambda i: inputs.work.run("assign", **job),
        bytes=few * (4 * d + 12),
        operations=2.0 * few * d * k,
        unit="f32",
    )


def _update(inputs: Inputs, n: int, d: int, k: int) -> Iterator[Case]:
    rows, labels = inputs.random("f32", n * d), inputs.numbers(k, n)
    job = {"rows": rows, "n": n, "labels": labels, "k": k, "d": d}
    job |= {"centroids": inputs.random("f32", k * d), "counts": inputs.work.memory(8 * k)}
    yield Case(
        "update",
        f"{n:,} x {d}, {k:,} centroids",
        lambda i: inputs.work.run_in_room("update", **job),
        bytes=n * (4 * d + 8),
        peers="update",
    )


def _bits(inputs: Inputs, n: int, bits: int, batch: int) -> Iterator[Case]:
    units = bits // 128
    rows = inputs.random("bytes", n * units * 16)
    job: dict[str, Any] = {"rows": rows, "n": n, "k": K}
    one, found = inputs.random("bytes", units * 16, seed=2), inputs.results(K)
    hamming = {**job, "kind": "hamming", "units_per_row": units}
    yield Case(
        "scan",
        f"hamming, {n:,} x {bits} bits, 1 query, k = {K}",
        lambda i: inputs.work.run_in_room("scan", **hamming, queries=one, queries_n=1, **found),
        bytes=n * bits / 8,
    )
    signs = inputs.random("bytes", -(-batch // 32) * 32 * bits, seed=3)
    many, near = inputs.results(batch * K), inputs.random("f32", batch)
    job2 = {**hamming, "queries": signs, "queries_n": batch, "near": near, **many}
    yield Case(
        "scan_many",
        f"hamming, {n:,} x {bits} bits, {batch:,} queries, k = {K}",
        lambda i: inputs.work.run_in_room("scan_many", **job2),
        bytes=n * bits / 8,
        operations=2.0 * n * bits * batch,
        unit="int8",
    )
    # The same bytes as codes of two bits for each of half as many dimensions.
    if units % 2 == 0:
        query_bits = 4
        planes = {**job, "kind": "planes", "units_per_row": units, "plane": units // 2, "bits": 2}
        planes |= {"query_bits": query_bits, "least": -1e30, "queries_n": 1, **found}
        planes |= {name: inputs.random("f32", n) for name in ("add", "rescale")}
        planes |= {name: inputs.random("f32", 1) for name in ("near", "scale")}
        planes["offset"] = inputs.numbers(100, 1)
        planes["queries"] = inputs.random("bytes", query_bits * units // 2 * 16, seed=4)
        yield Case(
            "scan",
            f"planes, {n:,} x {bits // 2} of 2 bits, 1 query, k = {K}",
            lambda i: inputs.work.run_in_room("scan", **planes),
            bytes=n * (bits / 8 + 8),
        )


def _codes(inputs: Inputs, n: int, m: int) -> Iterator[Case]:
    units = m // 16
    rows, tables = inputs.random("bytes", n * m), inputs.random("f32", 256 * m)
    job: dict[str, Any] = {"kind": "tables", "rows": rows, "n": n, "units_per_row": units, "k": K}
    found = inputs.results(K)
    yield Case(
        "scan",
        f"tables, {n:,} codes of {m} bytes, 1 query, k = {K}",
        lambda i: inputs.work.run_in_room("scan", **job, queries=tables, queries_n=1, **found),
        bytes=n * m,
        operations=float(n * m),
        unit="lookups",
    )


def _lists(inputs: Inputs, n: int, d: int, nlist: int, nprobe: int, batch: int) -> Iterator[Case]:
    """Lists of one length, as vectors and as codes of d / 2 bytes of what is left of them."""
    each, m = n // nlist, d // 2
    rng = np.random.default_rng(3)
    probes = np.argsort(rng.random((batch, nlist)), axis=1)[:, :nprobe]
    job: dict[str, Any] = {"n": n, "lists_n": nlist, "nprobe": nprobe, "queries_n": batch, "k": K}
    job |= {"starts": inputs.work.keep(np.arange(nlist, dtype=np.uint64) * np.uint64(each))}
    job |= {"sizes": inputs.work.keep(np.full(nlist, each, np.uint32))}
    job |= {"probes": inputs.work.keep(np.ascontiguousarray(probes))}
    job |= {"queries": inputs.random("f32", batch * d), **inputs.results(batch * K)}
    looked_at = float(batch) * nprobe * each
    vectors = {"kind": "ip_bf16", "rows": inputs.random("bf16", n * d), "units_per_row": d // 8}
    yield Case(
        "scan_lists",
        f"ip_bf16, {nprobe} of {nlist:,} lists of {each:,} x {d}, {batch:,} queries, k = {K}",
        lambda i: inputs.work.run_in_room("scan_lists", **job, **vectors),
        bytes=looked_at * 2 * d,
    )
    codes = {"kind": "tables", "units_per_row": -(-m // 16), "d": d, "m": m, "inner_product": 0}
    codes |= {"rows": inputs.random("bytes", n * -(-m // 16) * 16)}
    codes |= {"codewords": inputs.random("f32", 256 * d)}
    codes |= {"centroids": inputs.random("f32", nlist * d)}
    yield Case(
        "scan_lists",
        f"tables, {nprobe} of {nlist:,} lists of {each:,} codes of {m} bytes, {batch:,} queries, "
        f"k = {K}",
        lambda i: inputs.work.run_in_room("scan_lists", **job, **codes),
        bytes=looked_at * m,
        operations=looked_at * m,
        unit="lookups",
    )


def _graph(inputs: Inputs, n: int, d: int, degree: int, ef: int, batch: int) -> Iterator[Case]:
    """Links at random, so that nearly every row that is met is a new one."""
    links = np.random.default_rng(4).integers(0, n, n * degree, np.uint32)
    job: dict[str, Any] = {"kind": "ip_bf16", "rows": inputs.random("bf16", n * d), "n": n}
    job |= {"stride": 2 * d, "bytes": 2 * d, "links": inputs.work.keep(links), "degree": degree}
    job |= {"queries": inputs.random("f32", batch * d), "queries_n": batch, "entries_n": 1}
    job |= {"entries": inputs.work.keep(np.zeros(1, np.uint32)), "ef": ef, "k": min(K, ef)}
    job |= {"width": 1, "steps": ef, **inputs.results(batch * K)}
    yield Case(
        "graph",
        f"ip_bf16, {n:,} x {d}, {degree} links, {ef} rows followed, {batch:,} queries",
        lambda i: inputs.work.run("graph", **job),
        bytes=float(batch) * ef * degree * (2 * d + 4),
    )


def _rescore(inputs: Inputs, queries: int, candidates: int, d: int) -> Iterator[Case]:
    n = queries * candidates
    rows, asked = inputs.random("bf16", n * d), inputs.random("f32", queries * d)
    job: dict[str, Any] = {"kind": "ip_bf16", "rows": rows, "n": n, "stride": 2 * d, "bytes": 2 * d}
    job |= {"queries": asked, "queries_n": queries, "candidates": inputs.numbers(n, n)}
    job |= {"candidates_n": n, "distances": inputs.work.memory(4 * n)}
    yield Case(
        "rescore",
        f"bf16, {queries:,} queries, {candidates:,} candidates each, {d} dimensions",
        lambda i: inputs.work.run("rescore", **job),
        bytes=n * (2 * d + 12),
    )


def _max_sim(inputs: Inputs, candidates: int, tokens: int, d: int) -> Iterator[Case]:
    words = 32
    sets = inputs.several("bf16", candidates * tokens * d)
    rows_n = candidates * tokens
    ends = np.arange(candidates + 1) * tokens
    job: dict[str, Any] = {"kind": "ip_bf16", "n": rows_n, "stride": 2 * d, "bytes": 2 * d}
    job |= {"documents": inputs.work.keep(ends), "documents_n": candidates, "queries_n": 1}
    job |= {"queries": inputs.random("f32", words * d), "candidates_n": candidates}
    job |= {"tokens": inputs.work.keep(np.array([0, words]))}
    job |= {"candidates": inputs.work.keep(np.arange(candidates))}
    job |= {"offsets": inputs.work.keep(np.array([0, candidates]))}
    job |= {"scores": inputs.work.memory(4 * candidates)}
    yield Case(
        "max_sim",
        f"bf16, {words} x {tokens} tokens of {d}, {candidates:,} documents",
        lambda i: inputs.work.run("max_sim", **job, rows=sets[i % len(sets)]),
        bytes=rows_n * 2 * d,
    )


def _select(inputs: Inputs, rows: int, n: int) -> Iterator[Case]:
    distances = inputs.random("f32", rows * n)
    job: dict[str, Any] = {"distances": distances, "rows_n": rows, "n": n, "k": 100}
    job |= {"least": inputs.work.memory(rows * 400), "numbers": inputs.work.memory(rows * 800)}
    yield Case(
        "select",
        f"{rows:,} rows of {n:,}, k = 100",
        lambda i: inputs.work.run("select", **job),
        bytes=4.0 * rows * n,
        peers="select",
    )
