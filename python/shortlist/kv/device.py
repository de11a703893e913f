"""Codes of a sequence on the device of a model, by torch: the same answers as the native ones."""

from __future__ import annotations

import torch
from torch import Tensor

from shortlist import ArgumentError

_BLOCK = 4096  # keys encoded at a time


class DeviceCodes:
    """The codes of one sequence's tokens, on one device. What they mean: cpp/kv/codes.h.

    roots (heads, d, d), centroids and codewords (heads, size, d): a codebook on that device.
    """

    def __init__(self, roots: Tensor, centroids: Tensor, codewords: Tensor) -> None:
        self._roots, self._centroids, self._codewords = roots, centroids, codewords
        self._halves = centroids.square().sum(2, keepdim=True).mT / 2
        self._room = torch.empty(len(roots), 0, dtype=torch.int64, device=roots.device)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, keys: Tensor) -> None:
        blocks = [
            (keys[:, i : i + _BLOCK] @ self._roots @ self._centroids.mT - self._halves).argmax(2)
            for i in range(0, keys.shape[1], _BLOCK)
        ]
        if blocks:
            self.append_codes(torch.cat(blocks, 1))

    def append_codes(self, codes: Tensor) -> None:
        size = self._size + codes.shape[1]
        if size > self._room.shape[1]:
            room = self._room.new_empty(len(self._room), max(size, 2 * self._room.shape[1]))
            room[:, : self._size] = self.codes()
            self._room = room
        self._room[:, self._size : size] = codes
        self._size = size

    def codes(self) -> Tensor:
        return self._room[:, : self._size]

    def truncate(self, n: int) -> None:
        self._size = min(self._size, n)

    def topk(
        self, queries: Tensor, k: int, sink: int, window: int, unite: bool
    ) -> tuple[Tensor, Tensor]:
        """Ids and offsets for queries (q_heads, t, d) at the last t tokens."""
        heads, tokens = len(self._room), queries.shape[1]
        if tokens > self._size:
            raise ArgumentError(
                f"there are queries of {tokens} tokens, but keys of {self._size} only; append the "
                "keys of the queries' tokens first"
            )
        scores = queries.reshape(heads, -1, queries.shape[2]) @ self._codewords.mT
        scores = scores.reshape(heads, -1, tokens, scores.shape[2])  # (heads, group, t, size)
        chosen = []
        for t in range(tokens):
            n = self._size - tokens + t + 1
            mask = self._select(scores[:, :, t], n, k, min(sink, n), window)
            chosen.append(mask.any(1) if unite else mask.flatten(0, 1))
        lists = [mask[head].nonzero()[:, 0] for head in range(len(chosen[0])) for mask in chosen]
        lengths = torch.tensor([0, *map(len, lists)], device=queries.device)
        return torch.cat(lists), lengths.cumsum(0)

    def _select(self, scores: Tensor, n: int, k: int, sink: int, window: int) -> Tensor:
        """(heads, group, n): which tokens there are to attend to for the n-th."""
        heads, group, size = scores.shape
        far = max(sink, n - window)
        mask = torch.ones(heads, group, n, dtype=torch.bool, device=scores.device)
        if k >= far - sink:
            return mask
        mask[..., sink:far] = False
        if k == 0:
            return mask
        # Codewords from the best on until k tokens have them; of the last one, the newest tokens.
        codes = self._room[:, None, sink:far].expand(-1, group, -1)
        order = scores.sort(dim=2, descending=True, stable=True).indices
        rank = torch.empty_like(order).scatter_(
            2, order, torch.arange(size, device=order.device).expand_as(order)
        )
        ranks = rank.gather(2, codes)
        counts = torch.zeros_like(order).scatter_add_(2, ranks, torch.ones_like(ranks))
        before = counts.cumsum(2) - counts
        last = ((before < k) & (counts > 0)).long().mul(torch.arange(size, device=order.device))
        last = last.amax(2, keepdim=True)
        at_last = ranks == last
        newest = at_last.flip(2).cumsum(2).flip(2)
        mask[..., sink:far] = (ranks < last) | (at_last & (newest <= k - before.gather(2, last)))
        return mask
