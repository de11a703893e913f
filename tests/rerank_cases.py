"""Scorers of every kind with documents to score, and a small stand-in for a Hugging Face model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from shortlist.rerank import MLP, Candidates, CrossEncoder, Dot, MaxSim, Scorer, Tokens
from torch import nn

torch.set_num_threads(1)  # the tensors are tiny

DIM = 6
DOCS = 20
WORDS = ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine"]


class OnlyDLPack:
    """An array of a library that numpy knows nothing of."""

    def __init__(self, a):
        self._a = a

    def __dlpack__(self, **kwargs):
        return self._a.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._a.__dlpack_device__()


class CharTokenizer:
    """Called as a Hugging Face tokenizer is; tokens are characters. Keeps what it was asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, texts, pairs, **options):
        self.calls.append(options)
        rows = []
        for text, pair in zip(texts, pairs, strict=True):
            ids = [1, *(ord(c) % 60 + 3 for c in text), 2, *(ord(c) % 60 + 3 for c in pair), 2]
            rows.append(ids[: options["max_length"]])
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}


class CharModel(nn.Module):
    """A sequence classifier that minds its mask, and which characters stand side by side."""

    def __init__(self, labels=1):
        super().__init__()
        self.embedding = nn.Embedding(64, 8)
        self.mix = nn.Linear(16, 8)
        self.head = nn.Linear(8, labels)

    def forward(self, input_ids, attention_mask):
        x = self.embedding(input_ids)
        x = torch.cat([x, x.roll(1, 1)], dim=2)[:, 1:]
        mask = attention_mask[:, 1:, None]
        mean = (self.mix(x).tanh() * mask).sum(1) / mask.sum(1)
        return SimpleNamespace(logits=self.head(mean))


@dataclass(frozen=True)
class Case:
    """A scorer, its documents, and how to make queries."""

    scorer: Scorer
    docs: Any
    queries: Callable[[int], Any]  # the first n of always the same

    def score(self, query: int, doc: int) -> float:
        """One pair, scored by itself."""
        one = Candidates.from_lists([[0]])
        docs = self.docs[doc]
        if isinstance(self.docs, Tokens):
            docs = Tokens.from_list([docs])
        else:
            docs = docs[None] if isinstance(docs, torch.Tensor) else [docs]
        part = Candidates(one.ids, one.offsets, one.scores, docs=docs)
        queries = self.queries(query + 1)
        asked = Tokens.from_list([queries[query]]) if isinstance(queries, Tokens) else queries[-1:]
        with torch.no_grad():
            return float(self.scorer(asked, part))


def random_mlp(dim: int = DIM) -> MLP:
    """One whose network says something, as after training."""
    mlp = MLP(dim, hidden=16)
    nn.init.normal_(mlp.head.weight, std=3.0)
    return mlp


def case(name: str) -> Case:
    rng = np.random.default_rng(5)
    torch.manual_seed(5)
    if name == "CrossEncoder":
        docs = [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(DOCS)]
        asked = [" ".join(rng.choice(WORDS, 2)) for _ in range(50)]
        return Case(CrossEncoder(CharModel(), CharTokenizer()).eval(), docs, lambda n: asked[:n])
    if name == "MaxSim":
        texts = [rng.normal(size=(t, DIM)).astype(np.float32) for t in rng.integers(0, 7, DOCS)]
        asks = [rng.normal(size=(t, DIM)).astype(np.float32) for t in rng.integers(0, 4, 50)]
        return Case(MaxSim(), Tokens.from_list(texts), lambda n: Tokens.from_list(asks[:n]))
    vectors = torch.tensor(rng.normal(size=(DOCS, DIM)), dtype=torch.float32)
    queries = torch.tensor(rng.normal(size=(50, DIM)), dtype=torch.float32)
    scorer = random_mlp().eval() if name == "MLP" else Dot(name.removeprefix("Dot "))
    return Case(scorer, vectors, lambda n: queries[:n])


CASES = ["Dot ip", "Dot l2", "Dot cosine", "MLP", "MaxSim", "CrossEncoder"]
