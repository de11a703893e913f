"""nDCG@10 and MRR@10 before and after each scorer, on judged queries it has not seen.

    pip install "shortlist[rerank]"
    python -m bench.rerank DATA_DIR
    python -m bench.rerank DATA_DIR --encoder MODEL_DIR    # also MaxSim and a cross-encoder

DATA_DIR holds base.f16.npy, query.f16.npy (inner product), passages.jsonl.gz, queries.jsonl.gz and
qrels.tsv. MODEL_DIR is a Hugging Face encoder on disk. Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import shortlist
import torch
from shortlist.rerank import (
    MLP,
    Candidates,
    CrossEncoder,
    Dot,
    Epoch,
    MaxSim,
    Reranker,
    Scorer,
    TwoStage,
    fit,
    metrics,
)

from bench.rerank.data import Split, Texts

MINUTES = 5  # of training


@dataclass(frozen=True)
class Row:
    scorer: str
    queries: int
    candidates: int
    ndcg_before: float
    ndcg: float
    mrr_before: float
    mrr: float
    train_seconds: float
    search_seconds: float
    rerank_seconds: float


class Bench:
    def __init__(self, data: Texts, candidates: int, encoder: Path | None) -> None:
        self.data, self.encoder, self.candidates = data, encoder, candidates
        index = shortlist.IndexHNSWFlat(
            data.base.shape[1], 32, shortlist.METRIC_INNER_PRODUCT, dtype="float16"
        )
        index.hnsw.efConstruction = 200
        started = time.perf_counter()
        index.add(data.base)
        self.build_seconds = time.perf_counter() - started
        index.hnsw.efSearch = 2 * candidates
        self.index = index
        self.rows: list[Row] = []
        self.train = self.found(data.train)[0]

    def found(self, split: Split) -> tuple[Candidates, float]:
        started = time.perf_counter()
        stage = TwoStage(self.index, Reranker(Dot(), self.data.base), self.candidates)
        found = stage.first_stage(split.vectors)
        return found, time.perf_counter() - started

    def measure(
        self, name: str, scorer: Scorer, store: Any, queries: Any, split: Split, trained: float = 0
    ) -> None:
        found, search_seconds = self.found(split)
        reranker = Reranker(scorer, store)
        started = time.perf_counter()
        ranked = reranker.rank_many(queries, found)
        row = Row(
            name,
            len(split),
            self.candidates,
            metrics.ndcg(found, split.relevant),
            metrics.ndcg(ranked, split.relevant),
            metrics.mrr(found, split.relevant),
            metrics.mrr(ranked, split.relevant),
            trained,
            search_seconds,
            time.perf_counter() - started,
        )
        self.rows.append(row)
        print(
            f"{name}: nDCG@10 {row.ndcg_before:.4f} -> {row.ndcg:.4f}, "
            f"{row.rerank_seconds:.1f} s for {row.queries} queries",
            flush=True,
        )

    def dot(self) -> None:
        split = self.data.held_out
        self.measure("Dot", Dot(), self.data.base, split.vectors, split)

    def mlp(self) -> None:
        scorer = MLP(self.data.base.shape[1])
        train, split = self.data.train, self.data.held_out
        started = time.perf_counter()
        fit(
            scorer,
            train.vectors,
            self.train,
            train.relevant,
            self.data.base,
            epochs=5,
            progress=_show_epoch,
        )
        seconds = time.perf_counter() - started
        if seconds > 60 * MINUTES:
            print(f"training took {seconds:.0f} s; more than {MINUTES} minutes")
        self.measure("MLP, trained", scorer, self.data.base, split.vectors, split, seconds)

    def max_sim(self) -> None:
        from bench.rerank.encoder import TokenRows, token_vectors

        assert self.encoder
        split = self.data.held_out
        ids = torch.unique(self.found(split)[0].ids)
        started = time.perf_counter()
        texts = [self.data.passages[i] for i in ids.tolist()]
        store = TokenRows(ids, token_vectors(self.encoder, texts, _show_share))
        queries = token_vectors(self.encoder, split.texts)
        print(f"\n{len(ids):,} passages encoded in {time.perf_counter() - started:.0f} s")
        self.measure("MaxSim, token embeddings", MaxSim(), store, queries, split)

    def cross_encoder(self, train: int, lists: int, held_out: int) -> None:
        from bench.rerank.encoder import MAX_TOKENS, classifier

        assert self.encoder
        scorer = CrossEncoder(*classifier(self.encoder), max_length=2 * MAX_TOKENS)
        some, split = self.data.train.first(train), self.data.held_out.first(held_out)
        started = time.perf_counter()
        fit(
            scorer,
            some.texts,
            self.train.select(range(len(some))).sorted(lists),
            some.relevant,
            self.data.passages,
            epochs=2,
            batch=8,
            lr=1e-4,
            progress=_show_epoch,
        )
        seconds = time.perf_counter() - started
        name = f"CrossEncoder, trained on {len(some)} x {lists}"
        self.measure(name, scorer, self.data.passages, split.texts, split, seconds)


def _show_epoch(epoch: Epoch) -> None:
    print(f"  epoch {epoch.epoch}: loss {epoch.loss:.4f}, nDCG@10 {epoch.ndcg:.4f}", flush=True)


def _show_share(done: int, total: int) -> None:
    print(f"\r  {done:,} of {total:,}", end="", flush=True)


def _table(bench: Bench) -> str:
    head = (
        "| scorer | queries | nDCG@10 before | after | MRR@10 before | after | training, s "
        "| search, s | rerank, s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return head + "".join(
        f"| {r.scorer} | {r.queries:,} | {r.ndcg_before:.4f} | {r.ndcg:.4f} | {r.mrr_before:.4f} "
        f"| {r.mrr:.4f} | {r.train_seconds:.0f} | {r.search_seconds:.2f} "
        f"| {r.rerank_seconds:.1f} |\n"
        for r in bench.rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rerank",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", type=Path, help="folder of a Hugging Face encoder")
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=1000)
    parser.add_argument("--cross-train", type=int, default=1000, help="queries, for CrossEncoder")
    parser.add_argument("--cross-lists", type=int, default=8, help="candidates of each of them")
    parser.add_argument("--cross-held-out", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("bench/results/rerank"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shortlist.omp_set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)

    bench = Bench(Texts.load(args.data, args.held_out), args.candidates, args.encoder)
    print(f"index of {len(bench.data.base):,} vectors built in {bench.build_seconds:.0f} s")
    steps: list[Callable[[], None]] = [bench.dot, bench.mlp]
    if args.encoder:
        steps += [
            lambda: bench.cross_encoder(args.cross_train, args.cross_lists, args.cross_held_out),
            bench.max_sim,
        ]
    for step in steps:
        step()
        rows = [asdict(row) for row in bench.rows]
        (args.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
        (args.out / "results.md").write_text(_table(bench))
    print(_table(bench), end="")


if __name__ == "__main__":
    main()
