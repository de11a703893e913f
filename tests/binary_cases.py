"""Embeddings whose queries are distributed otherwise than the base, and recall by exact scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from shortlist.binary import RecurrentBinarizer, factors, odd_integers, read_query

torch.set_num_threads(1)  # the tensors are small


@dataclass(frozen=True)
class Shifted:
    """Topics with a decaying spectrum, off centre; queries lean to one side and spread less."""

    base: np.ndarray
    queries: np.ndarray
    asked: np.ndarray  # other queries of the same kind, held out

    def recall(self, scores: np.ndarray, k: int = 10) -> float:
        exact = np.argsort(-(self.asked @ self.base.T), axis=1)[:, :k]
        found = np.argsort(-scores, axis=1)[:, :k]
        return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(exact, found, strict=True)]))


def shifted(dim: int = 24, n: int = 3000, seed: int = 3) -> Shifted:
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    spread = np.linspace(1, 0.3, dim)
    topics = rng.normal(size=(60, dim)) * spread

    def some(count: int, noise: float, lean: np.ndarray) -> np.ndarray:
        x = topics[rng.integers(60, size=count)] + noise * rng.normal(size=(count, dim)) * spread
        x = (x + lean) @ axes
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    lean = 0.7 * rng.normal(size=dim)
    return Shifted(some(n, 0.6, 0.3 * lean), some(400, 0.4, lean), some(200, 0.4, lean))


def asymmetric(binarizer: RecurrentBinarizer, data: Shifted) -> np.ndarray:
    """Scores of the held-out queries, as floats, against the codes of the base."""
    exported, codes = binarizer.export(), binarizer.encode(data.base)
    scale, addend = factors(exported, data.base, codes)
    return (read_query(exported, data.asked) @ odd_integers(exported, codes).T) * scale + addend


def symmetric(binarizer: RecurrentBinarizer, data: Shifted) -> np.ndarray:
    """Cosines of the codes of the held-out queries and of the base."""
    exported = binarizer.export()
    q, x = (odd_integers(exported, binarizer.encode(v)) for v in (data.asked, data.base))
    q, x = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (q, x))
    return q @ x.T


def weights(binarizer: RecurrentBinarizer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in binarizer.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())
