"""What the tests of the GPU's kernels share: engines, rows as bytes, and queries as jobs take them.

The same source runs in two engines: compiled for this process, lane by lane in an order that
changes from step to step, and on a GPU where there is one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from shortlist._core import _gpu

TYPES = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16, "u8": np.uint8, "i8": np.int8}
PER_UNIT = {"f32": 4, "f16": 8, "bf16": 8}  # numbers in 16 bytes


def to_bf16(x: np.ndarray) -> np.ndarray:
    """Rounded to nearest even; no NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.uint32) << 16).view(np.float32)


def rows_of(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    number = kind.split("_")[-1]
    if number in ("u8", "hamming"):
        return rng.integers(0, 256, (n, d)).astype(np.uint8)
    if number == "i8":
        return rng.integers(-128, 128, (n, d)).astype(np.int8)
    x = rng.normal(size=(n, d)).astype(np.float32)
    return {"f32": lambda: x, "f16": lambda: x.astype(np.float16), "bf16": lambda: to_bf16(x)}[
        number
    ]()


def wide(kind: str, x: np.ndarray) -> np.ndarray:
    """As float64."""
    return (from_bf16(x) if kind.endswith("bf16") and x.dtype == np.uint16 else x).astype(float)


def as_bytes(rows: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(rows)
    return rows.view(np.uint8).reshape(len(rows), -1)


def queries_for(kind: str, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Bytes of queries, with zeros up to the length that rows have in units."""
    units = -(-as_bytes(rows).shape[1] // 16)
    number = kind.split("_")[-1]
    if number in PER_UNIT:
        out = np.zeros((len(queries), units * PER_UNIT[number]), np.float32)
    else:
        out = np.zeros((len(queries), units * 16), queries.dtype)
    out[:, : queries.shape[1]] = queries
    out = as_bytes(out)
    assert out.shape[1] == _gpu.query_bytes(kind, units)
    return out


def truth(kind: str, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Distances in float64, as jobs tell them."""
    if kind == "hamming":
        differ = np.bitwise_xor(queries[:, None], rows[None])
        return np.unpackbits(differ, axis=2).sum(2).astype(float)
    x, q = wide(kind, rows), queries.astype(float)
    if kind.startswith("ip"):
        return -(q @ x.T)
    return ((q[:, None] - x[None]) ** 2).sum(2)


def query_rows(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    if kind.split("_")[-1] in PER_UNIT:
        return rng.normal(size=(n, d)).astype(np.float32)
    return rows_of(rng, kind, n, d)


def nearest(distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """faiss's shape, ties by number, NaN nowhere."""
    told = np.full((len(distances), k), np.finfo(np.float32).max, np.float32)
    numbers = np.full((len(distances), k), -1, np.int64)
    for row, (found, at) in enumerate(zip(distances, numbers, strict=True)):
        kept = np.flatnonzero(~np.isnan(found))
        order = kept[np.lexsort((kept, found[kept]))][:k]
        told[row, : len(order)], at[: len(order)] = found[order], order
    return told, numbers


def planes_of(values: np.ndarray, bits: int) -> np.ndarray:
    """Whole numbers (n, m) as `bits` planes, high bits first, m a multiple of 128; a negative one
    as two's complement."""
    held = values.astype(np.int64) & ((1 << bits) - 1)
    planes = [np.packbits(held >> b & 1, axis=1, bitorder="little") for b in reversed(range(bits))]
    return np.concatenate(planes, 1).astype(np.uint8)


def host(seed: int, lanes: int = 32, chunks: int = 1) -> Any:
    return _gpu.Engine(lanes, chunks, seed)


class Job:
    """Arrays where an engine finds them, for as long as a job takes."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.held: list[Any] = []

    def memory(self, bytes: int) -> Any:
        """Memory of bytes 0xff, which are NaN."""
        out = _gpu.Memory(self.engine, bytes)
        filled = np.full(bytes, 0xFF, np.uint8)
        self.engine.copy(out.place, filled.ctypes.data, bytes)
        self.engine.synchronize()
        self.held.append(out)
        return out

    def put(self, x: np.ndarray, dtype: Any = None) -> Any:
        """A copy of an array; with bytes behind the last that nobody may take for zeros."""
        x = np.ascontiguousarray(x, dtype)
        out = self.memory(x.nbytes)
        self.engine.copy(out.place, x.ctypes.data, x.nbytes)
        self.engine.synchronize()
        return out

    def get(self, place: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        out = np.empty(shape, dtype)
        self.engine.synchronize()
        self.engine.copy(out.ctypes.data, place.place, out.nbytes)
        self.engine.synchronize()
        return out

    def run(self, name: str, **job: Any) -> None:
        """Brings the room that a job asks for."""
        call = getattr(self.engine, name)
        if name.startswith("scan") or name in ("update", "reverse"):
            job["room"] = self.memory(call(**job))
        call(**job)

    def store(self, rows: np.ndarray, conversion: str = "as_they_are", **measures: Any) -> Any:
        """Rows, of bytes or as they are converted, as scans take them."""
        (n, d), stride = rows.shape, rows.strides[0]
        bytes = rows.itemsize * d
        whole = (max(n - 1, 0) * stride + bytes if n else 0,)
        from_ = self.put(np.lib.stride_tricks.as_strided(rows.view(np.uint8), whole, (1,)))
        width = bytes // 2 if conversion.endswith("16") else bytes
        out = self.memory(-(-n // 32) * 32 * -(-width // 16) * 16)
        self.engine.store(
            **{"from": from_},
            conversion=conversion,
            n=n,
            stride=max(stride, bytes),
            bytes=bytes,
            rows=out,
            first=0,
            **measures,
        )
        return out

    def found(
        self, name: str, queries_n: int, k: int, /, **job: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a search finds."""
        shape = (queries_n, k)
        distances, numbers = self.memory(queries_n * k * 4), self.memory(queries_n * k * 8)
        self.run(name, **job, queries_n=queries_n, k=k, distances=distances, numbers=numbers)
        return self.get(distances, shape, np.float32), self.get(numbers, shape, np.int64)


def words_of(allowed: np.ndarray) -> np.ndarray:
    """A bit for each row."""
    bits = np.zeros((len(allowed) // 32 + 1) * 32, bool)
    bits[: len(allowed)] = allowed
    return np.packbits(bits, bitorder="little").view(np.uint32)


def scan(
    engine: Any,
    kind: str,
    rows: np.ndarray,
    queries: np.ndarray,
    k: int,
    allowed: np.ndarray | None = None,
    factors: np.ndarray | None = None,
    terms: np.ndarray | None = None,
    offsets: np.ndarray | None = None,
    **planes: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and queries are bytes, as `as_bytes` and `queries_for` make them."""
    job = Job(engine)
    if factors is not None:
        planes["add"], planes["rescale"] = (job.put(x, np.float32) for x in factors)
        planes["near"], planes["scale"] = (job.put(x, np.float32) for x in terms)
        planes["offset"] = job.put(offsets, np.int64)
        units = rows.shape[1] // 16
        planes["plane"] = units // planes["bits"]
    return job.found(
        "scan",
        len(queries),
        k,
        kind=kind,
        rows=job.store(rows),
        n=len(rows),
        units_per_row=-(-rows.shape[1] // 16),
        queries=job.put(queries),
        allowed=None if allowed is None else job.put(words_of(allowed)),
        **planes,
    )


def scan_many(
    engine: Any,
    kind: str,
    rows: np.ndarray,
    queries: np.ndarray,
    k: int,
    allowed: np.ndarray | None = None,
    **more: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and queries of numbers (of float kinds float32, which are rounded); squared distances
    less the query's square."""
    job, number = Job(engine), kind.split("_")[-1]
    conversion = {"f32": "f32_to_tf32", "f16": "f32_to_f16", "bf16": "f32_to_bf16"}.get(
        number, "as_they_are"
    )
    bias = (rows.astype(float) ** 2).sum(1) if kind.startswith("l2") else None
    stored = rows.shape[1] * {"f32": 4, "f16": 2, "bf16": 2}.get(number, 1)
    return job.found(
        "scan_many",
        len(queries),
        k,
        kind=kind,
        rows=job.store(rows, conversion),
        n=len(rows),
        units_per_row=-(-stored // 16),
        queries=job.store(queries, conversion),
        bias=None if bias is None else job.put(bias, np.float32),
        allowed=None if allowed is None else job.put(words_of(allowed)),
        **{name: job.put(x) if isinstance(x, np.ndarray) else x for name, x in more.items()},
    )


def scan_lists(
    engine: Any,
    kind: str,
    lists: Any,
    queries: np.ndarray,
    probes: np.ndarray,
    k: int,
    allowed: np.ndarray | None = None,
    **codes: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Lists are pairs of ids and rows, as bytes; `allowed` is of ids 0 and on."""
    job, sizes = Job(engine), np.array([len(ids) for ids, _ in lists], np.uint32)
    whole = -(-sizes.astype(np.int64) // 32) * 32
    starts, n = whole.cumsum() - whole, int(whole.sum())
    rows = np.full((n, lists[0][1].shape[1]), 0xFF, np.uint8)
    ids = np.full(n, 1 << 40, np.int64)
    for start, (own, held) in zip(starts, lists, strict=True):
        ids[start : start + len(own)], rows[start : start + len(own)] = own, held
    may = None if allowed is None else np.append(allowed, True)[np.minimum(ids, len(allowed))]
    return job.found(
        "scan_lists",
        len(queries),
        k,
        kind=kind,
        rows=job.store(rows),
        n=n,
        units_per_row=-(-rows.shape[1] // 16),
        starts=job.put(starts, np.uint64),
        sizes=job.put(sizes),
        lists_n=len(lists),
        ids=job.put(ids),
        queries=job.put(queries),
        probes=job.put(probes, np.int64),
        nprobe=probes.shape[1],
        allowed=None if may is None else job.put(words_of(may)),
        **{name: job.put(x) if isinstance(x, np.ndarray) else x for name, x in codes.items()},
    )


def tables(
    engine: Any, queries: np.ndarray, codewords: np.ndarray, inner_product: bool
) -> np.ndarray:
    """Codewords are (m, 256, numbers of a part); the tables (queries, parts, 256)."""
    job, m = Job(engine), len(codewords)
    shape = (len(queries), -(-m // 16) * 16, 256)
    out = job.memory(4 * int(np.prod(shape)))
    job.run(
        "tables",
        queries=job.put(queries, np.float32),
        queries_n=len(queries),
        d=queries.shape[1],
        m=m,
        codewords=job.put(codewords, np.float32),
        inner_product=int(inner_product),
        tables=out,
    )
    return job.get(out, shape, np.float32)


def rounded(kind: str, x: np.ndarray) -> np.ndarray:
    """What tensor cores see of float32 numbers."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    if kind.endswith("bf16"):
        return from_bf16(to_bf16(x))
    if kind.endswith("f16"):
        return x.astype(np.float16).astype(np.float32)
    return ((bits + 0x1000) & 0xFFFFE000).view(np.float32) if kind.endswith("f32") else x


def select(engine: Any, distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    job, (rows, n) = Job(engine), distances.shape
    least, numbers = job.memory(rows * k * 4), job.memory(rows * k * 8)
    job.run(
        "select",
        distances=job.put(distances),
        rows_n=rows,
        n=n,
        k=k,
        least=least,
        numbers=numbers,
    )
    return job.get(least, (rows, k), np.float32), job.get(numbers, (rows, k), np.int64)


def rescore(
    engine: Any,
    kind: str,
    rows: np.ndarray,
    queries: np.ndarray,
    candidates: np.ndarray,
    offsets: np.ndarray | None,
    stored: bool = False,
) -> np.ndarray:
    job, n = Job(engine), len(candidates)
    out = job.memory(n * 4)
    rows = np.ascontiguousarray(rows)
    job.run(
        "rescore",
        kind=kind,
        rows=job.store(rows) if stored else job.put(rows),
        n=len(rows),
        stride=0 if stored else rows.shape[1],
        bytes=rows.shape[1],
        queries=job.put(queries),
        queries_n=len(queries),
        candidates=job.put(candidates, np.int64),
        offsets=None if offsets is None else job.put(offsets, np.int64),
        candidates_n=n,
        distances=out,
    )
    return job.get(out, (n,), np.float32)


def max_sim(
    engine: Any,
    kind: str,
    rows: np.ndarray,
    documents: np.ndarray,
    queries: np.ndarray,
    tokens: np.ndarray,
    candidates: np.ndarray,
    offsets: np.ndarray,
) -> np.ndarray:
    job, n = Job(engine), len(candidates)
    out = job.memory(n * 4)
    job.run(
        "max_sim",
        kind=kind,
        rows=job.put(rows),
        n=len(rows),
        stride=rows.shape[1],
        bytes=rows.shape[1],
        documents=job.put(documents, np.int64),
        documents_n=len(documents) - 1,
        queries=job.put(queries),
        tokens=job.put(tokens, np.int64),
        queries_n=len(tokens) - 1,
        candidates=job.put(candidates, np.int64),
        offsets=job.put(offsets, np.int64),
        candidates_n=n,
        scores=out,
    )
    return job.get(out, (n,), np.float32)


def assign(
    engine: Any, rows: np.ndarray, centroids: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    job, (n, d) = Job(engine), rows.shape
    labels, scores = job.memory(n * 8), job.memory(n * 4)
    job.run(
        "assign",
        rows=job.put(rows),
        n=n,
        centroids=job.put(centroids),
        k=len(centroids),
        d=d,
        bias=job.put(bias),
        labels=labels,
        scores=scores,
    )
    return job.get(labels, (n,), np.int64), job.get(scores, (n,), np.float32)


def update(
    engine: Any,
    rows: np.ndarray,
    labels: np.ndarray,
    centroids: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    job, (k, d) = Job(engine), centroids.shape
    moved, counts, totals = job.put(centroids), job.memory(k * 8), job.memory(k * 8)
    job.run(
        "update",
        rows=job.put(rows),
        n=len(rows),
        labels=job.put(labels, np.int64),
        weights=None if weights is None else job.put(weights, np.float32),
        k=k,
        d=d,
        centroids=moved,
        counts=counts,
        totals=totals,
    )
    return (
        job.get(moved, (k, d), np.float32),
        job.get(counts, (k,), np.uint64),
        job.get(totals, (k,), np.float64),
    )


def reached(links: np.ndarray, entry: int) -> np.ndarray:
    """Whether links lead to each row from the entry."""
    seen, todo = np.zeros(len(links), bool), np.array([entry])
    while len(todo):
        seen[todo] = True
        to = np.unique(links[todo].astype(np.int64))
        to = to[(to >= 0) & (to < len(links))]
        todo = to[~seen[to]]
    return seen
