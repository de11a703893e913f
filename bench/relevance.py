"""Relevance labels beside a data set, and what rankings are worth by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def judged(folder: Path, queries: int) -> dict[int, set[int]]:
    """The relevant rows of each of the first queries, by qrels.tsv; empty without it."""
    out: dict[int, set[int]] = {}
    if (folder / "qrels.tsv").exists():
        for line in (folder / "qrels.tsv").read_text().splitlines():
            query, row = map(int, line.split("\t")[:2])
            if query < queries:
                out.setdefault(query, set()).add(row)
    return out


def ndcg(found: np.ndarray, relevant: dict[int, set[int]]) -> float:
    gains = 1 / np.log2(np.arange(found.shape[1]) + 2)
    each = [
        gains[np.isin(found[query], list(rows))].sum() / gains[: len(rows)].sum()
        for query, rows in relevant.items()
    ]
    return float(np.mean(each))
