"""Speed at a recall under filters: ours, faiss's HNSW, and scans of what is admitted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import faiss
import numpy as np
import shortlist

from bench.frontier.dataset import Dataset
from bench.living.truth import Truth

ANCHORS = 16
CELLS = 256
LADDER = sorted({round(10 * 1.15**step) for step in range(45)})  # efSearch from 10 to 4,700


@dataclass(frozen=True)
class Filter:
    """Which ids some of the queries may find."""

    admitted: np.ndarray  # (n,) bool
    queries: np.ndarray  # indices of those queries

    def bits(self) -> np.ndarray:
        return np.packbits(self.admitted, bitorder="little")


def filters(kind: str, share: float, data: Dataset, seed: int = 0) -> list[Filter]:
    """Filters that admit `share` of the base.

    random: any ids, the same for all queries. near and far: the ids around an anchor, asked by the
    queries to which it is the nearest of 16, or the farthest. islands: the ids around some of 256
    anchors, the same for all queries.
    """
    rng = np.random.default_rng(seed)
    n, every = len(data.base), np.arange(len(data.queries))
    count = max(1, round(n * share))
    if kind == "random":
        admitted = np.zeros(n, bool)
        admitted[rng.choice(n, count, replace=False)] = True
        return [Filter(admitted, every)]
    base = data.base.astype(np.float32)
    if kind == "islands":
        cell = _squared(base, base[rng.choice(n, CELLS, replace=False)]).argmin(axis=1)
        rank = rng.permutation(CELLS)[cell]
        admitted = np.zeros(n, bool)
        admitted[np.argsort(rank, kind="stable")[:count]] = True
        return [Filter(admitted, every)]
    anchors = base[rng.choice(n, ANCHORS, replace=False)]
    to_queries = _squared(data.queries.astype(np.float32), anchors)
    owner = to_queries.argmin(axis=1) if kind == "near" else to_queries.argmax(axis=1)
    to_base = _squared(base, anchors)
    out = []
    for anchor in np.unique(owner):
        admitted = np.zeros(n, bool)
        admitted[np.argpartition(to_base[:, anchor], count - 1)[:count]] = True
        out.append(Filter(admitted, every[owner == anchor]))
    return out


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)


@dataclass
class Contender:
    """An index of one of the two libraries, with its queries and its search parameters."""

    name: str
    library: Any
    index: Any
    queries: np.ndarray
    walks: bool  # has efSearch; else a scan, which is exact
    params: list[Any] = field(default_factory=list)
    ef: int | None = None
    qps: list[float] = field(default_factory=list)

    def take(self, chosen: list[Filter]) -> None:
        make = self.library.SearchParametersHNSW if self.walks else self.library.SearchParameters
        self.kept = [f.bits() for f in chosen]  # faiss reads them where they are
        self.params = [make(sel=self.library.IDSelectorBitmap(bits)) for bits in self.kept]
        self.ef, self.qps = None, []

    def set_ef(self, ef: int) -> None:
        self.ef = ef
        for params in self.params:
            params.efSearch = ef

    def answers(self, chosen: list[Filter], k: int) -> np.ndarray:
        out = np.empty((len(self.queries), k), np.int64)
        for f, params in zip(chosen, self.params, strict=True):
            for i in f.queries:
                out[i] = self.index.search(self.queries[i : i + 1], k, params=params)[1][0]
        return out

    def measure(self, chosen: list[Filter], k: int, seconds: float) -> float:
        """QPS by CPU time, one query per call, over as many queries as the time is enough for."""
        asked = [
            (self.queries[i : i + 1], params)
            for f, params in zip(chosen, self.params, strict=True)
            for i in f.queries
        ]
        done, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds:
            for q, params in asked[done % len(asked) :][:10]:
                self.index.search(q, k, params=params)
                done += 1
        return done / spent


def contenders(data: Dataset, M: int, ef_construction: int) -> Iterator[Contender]:
    x, q = np.array(data.base), np.array(data.queries)
    wide, wide_q = x.astype(np.float32), q.astype(np.float32)
    d, dtype = x.shape[1], x.dtype.name
    metric = shortlist.METRIC_L2 if data.metric == "l2" else shortlist.METRIC_INNER_PRODUCT
    shortlist.omp_set_num_threads(2)
    for name, blocks in (("ours", False), ("ours QG", True)):
        graph = shortlist.IndexHNSWFlat(d, M, metric, dtype=dtype)
        graph.hnsw.efConstruction = ef_construction
        graph.add(x)
        graph.neighbor_blocks = blocks
        yield Contender(name, shortlist, graph, q, True)
    flat = shortlist.IndexFlat(d, metric, dtype=dtype)
    flat.add(x)
    yield Contender("our scan", shortlist, flat, q, False)
    shortlist.omp_set_num_threads(1)
    faiss_metric = faiss.METRIC_L2 if data.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    peer = faiss.IndexHNSWFlat(d, M, faiss_metric)
    peer.hnsw.efConstruction = ef_construction
    faiss.omp_set_num_threads(2)
    peer.add(wide)
    yield Contender("faiss HNSW", faiss, peer, wide_q, True)
    flat = faiss.IndexFlat(d, faiss_metric)
    flat.add(wide)
    yield Contender("faiss scan", faiss, flat, wide_q, False)
    faiss.omp_set_num_threads(1)


def run(
    data: Dataset,
    entrants: list[Contender],
    kinds: tuple[str, ...],
    shares: tuple[float, ...],
    recall: float,
    rounds: int,
    seconds: float,
) -> str:
    truth = Truth(data.base, data.queries, data.metric, data.k)
    names = [c.name for c in entrants]
    mine = [c for c in entrants if c.walks and c.library is shortlist]
    head = f"| filter | passes |{''.join(f' {name} |' for name in names)}"
    head += "".join(f" {c.name}: times the best other |" for c in mine)
    lines = [
        f"{data.name}, {len(data.base):,} vectors: QPS at recall@{data.k} {recall} (efSearch)",
        head,
        "|---|---:|" + "---:|" * (len(names) + len(mine)),
    ]
    print("\n".join(lines), flush=True)
    for kind in kinds:
        for share in shares:
            chosen = filters(kind, share, data)
            for c in entrants:
                c.take(chosen)
                if c.walks:
                    _settle(c, chosen, truth, recall)
            for turn in range(rounds):
                for c in entrants[turn % len(entrants) :] + entrants[: turn % len(entrants)]:
                    if not c.walks or c.ef:
                        c.qps.append(c.measure(chosen, data.k, seconds))
            others = [c.qps for c in entrants if c not in mine and c.qps]
            best = [max(qps) for qps in zip(*others, strict=True)]
            cells = [_speed(c) for c in entrants] + [_ratio(c.qps, best) for c in mine]
            lines.append(f"| {kind} | {share:.1%} |" + "".join(f" {cell} |" for cell in cells))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def _settle(c: Contender, chosen: list[Filter], truth: Truth, recall: float) -> None:
    """The least efSearch of the ladder that has the recall; None where none has."""
    low, high = 0, len(LADDER)  # what is asked of LADDER[high] holds there and above
    while low < high:
        middle = (low + high) // 2 if high < len(LADDER) else min(2 * low + 4, high - 1)
        c.set_ef(LADDER[middle])
        if _recall(c, chosen, truth) >= recall:
            high = middle
        else:
            low = middle + 1
    c.ef = None
    if high < len(LADDER):
        c.set_ef(LADDER[high])


def _recall(c: Contender, chosen: list[Filter], truth: Truth) -> float:
    found = c.answers(chosen, truth.k)
    each = [truth.recall(found[f.queries], f.admitted, f.queries) for f in chosen]
    return float(np.average(each, weights=[len(f.queries) for f in chosen]))


def _speed(c: Contender) -> str:
    if not c.qps:
        return "not reached"
    return f"{median(c.qps):,.0f}" + (f" ({c.ef})" if c.ef else "")


def _ratio(qps: list[float], best: list[float]) -> str:
    if not qps:
        return "not reached"
    each = [a / b for a, b in zip(qps, best, strict=True)]
    return f"{median(each):.2f} [{min(each):.2f}, {max(each):.2f}]"
