"""A folder of embeddings with texts and relevance judgements."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from shortlist.rerank import Candidates

SEED = 20240229


@dataclass(frozen=True)
class Split:
    """Some of the judged queries: rows of the query file, their vectors, texts and answers."""

    rows: np.ndarray
    vectors: np.ndarray
    texts: list[str]
    relevant: Candidates

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, n: int) -> Split:
        part = range(min(n, len(self)))
        return Split(
            self.rows[part], self.vectors[part], self.texts[:n], self.relevant.select(part)
        )


@dataclass(frozen=True)
class Texts:
    base: np.ndarray  # (n, d), inner product
    passages: list[str]
    train: Split
    held_out: Split

    @classmethod
    def load(cls, folder: Path, held_out: int) -> Texts:
        """base.f16.npy, query.f16.npy, passages.jsonl.gz, queries.jsonl.gz and qrels.tsv.

        `held_out` of the judged queries, drawn at random, are kept from training.
        """
        base = np.load(folder / "base.f16.npy")
        queries = np.load(folder / "query.f16.npy")
        texts = _texts(folder / "queries.jsonl.gz")
        answers: dict[int, list[int]] = {}
        for line in (folder / "qrels.tsv").read_text().splitlines():
            query, passage = map(int, line.split())
            answers.setdefault(query, []).append(passage)
        judged = np.random.default_rng(SEED).permutation(sorted(answers))
        if held_out >= len(judged):
            raise ValueError(f"{held_out} queries to hold out, but only {len(judged)} are judged")

        def split(rows: np.ndarray) -> Split:
            return Split(
                rows,
                queries[rows].astype(np.float32),
                [texts[i] for i in rows],
                Candidates.from_lists([answers[i] for i in rows.tolist()]),
            )

        passages = _texts(folder / "passages.jsonl.gz")
        return cls(base, passages, split(judged[held_out:]), split(judged[:held_out]))


def _texts(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]
