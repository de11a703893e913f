"""Ragged lists: the candidates of every query end to end, and the tokens of every text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

ScoreKind = Literal["similarity", "distance", "logit", "probability"]
_KINDS = get_args(ScoreKind)
_FARTHEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Candidates:
    """For each query a list of ids with scores, all lists end to end (CSR).

    Those of query i are `ids[offsets[i]:offsets[i + 1]]`, and `scores` likewise.

    ids: (nnz,) int64, the user's. offsets: (queries + 1,) int64, from 0 to nnz.
    scores: (nnz,) floats as their maker gave them; score_kind says what they are: "similarity" or
    "logit" (more is better, any number), "probability" (0 to 1) or "distance" (less is better).
    docs: what a Scorer reads of each candidate, in the same order; a Reranker fills it in.

    All tensors are on one device. Raises ValueError for parts that do not fit together.
    """

    ids: Tensor
    offsets: Tensor
    scores: Tensor
    score_kind: ScoreKind = "similarity"
    docs: Any = None

    def __post_init__(self) -> None:
        if self.score_kind not in _KINDS:
            raise ValueError(
                f"score_kind is {self.score_kind!r}; expected one of {', '.join(_KINDS)}"
            )
        if self.ids.ndim != 1 or self.ids.dtype != torch.int64:
            raise ValueError(f"ids are {_shown(self.ids)}; expected (nnz,) of torch.int64")
        if self.scores.shape != self.ids.shape or not self.scores.is_floating_point():
            raise ValueError(
                f"scores are {_shown(self.scores)}; expected floats of shape {(len(self.ids),)}"
            )
        check_offsets(self.offsets, len(self.ids))

    @classmethod
    def from_search(cls, D: Any, I: Any, score_kind: ScoreKind | None = None) -> Candidates:
        """The results of `D, I = index.search(...)`, without the -1 of missing results.

        D, I: (queries, k) arrays or tensors. score_kind: "distance" under L2, "similarity" under
        inner product; by default told from the order of D, in which rows go from near to far
        ("similarity" where no row shows it).
        Raises ValueError for other shapes, I that are no integers, or rows in no common order.
        """
        scores, ids = as_tensor(D), as_tensor(I)
        if ids.ndim != 2 or scores.shape != ids.shape or (ids.is_floating_point() and ids.numel()):
            raise ValueError(
                f"D is {_shown(scores)} and I {_shown(ids)}; expected (queries, k) twice, "
                "distances first, then ids"
            )
        ids = ids.to(torch.int64)
        found = ids >= 0
        lists = cls(ids[found], offsets_of(found.sum(1)), scores[found].float())
        return replace(lists, score_kind=score_kind or _kind_by_order(lists))

    @classmethod
    def from_lists(
        cls,
        ids: Iterable[Sequence[int]],
        scores: Iterable[Sequence[float]] | None = None,
        score_kind: ScoreKind = "similarity",
    ) -> Candidates:
        """A list of ids for each query, and of their scores; without scores, each has 1.

        This is also how relevance judgements are written: ids that answer the query, and their
        grades. Raises ValueError where a list of ids and its scores differ in length, TypeError
        for ids that are no integers.
        """
        lists = [list(one) for one in ids]
        values = [[1.0] * len(one) for one in lists] if scores is None else [*map(list, scores)]
        counts = [len(one) for one in lists]
        if [len(one) for one in values] != counts:
            raise ValueError("ids and scores differ in shape; expected a score for each id")
        return cls(
            torch.tensor([index(i) for one in lists for i in one], dtype=torch.int64),
            offsets_of(torch.tensor(counts, dtype=torch.int64)),
            torch.tensor([s for one in values for s in one], dtype=torch.float32),
            score_kind,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, query: int) -> tuple[Tensor, Tensor]:
        """The ids and scores of one query."""
        if not -len(self) <= query < len(self):
            raise IndexError(f"query {query} of {len(self)}")
        query %= len(self)
        part = slice(int(self.offsets[query]), int(self.offsets[query + 1]))
        return self.ids[part], self.scores[part]

    def __repr__(self) -> str:
        kind = self.score_kind
        return f"Candidates({len(self)} queries, {len(self.ids)} candidates, score_kind={kind!r})"

    @property
    def counts(self) -> Tensor:
        """(queries,): the candidates of each."""
        return self.offsets.diff()

    @property
    def query_index(self) -> Tensor:
        """(nnz,): the query each candidate belongs to."""
        return query_index(self.offsets)

    @property
    def goodness(self) -> Tensor:
        """The scores turned so that more is better."""
        return -self.scores if self.score_kind == "distance" else self.scores

    def to(self, device: Any) -> Candidates:
        """The same on another device; docs are left where they are."""
        return replace(
            self,
            ids=self.ids.to(device),
            offsets=self.offsets.to(device),
            scores=self.scores.to(device),
        )

    def rescored(self, scores: Tensor, score_kind: ScoreKind) -> Candidates:
        """The same ids in the same order, with other scores."""
        return replace(self, scores=scores, score_kind=score_kind)

    def take(self, positions: Tensor) -> tuple[Candidates, Tensor]:
        """The candidates at ascending positions (of nnz), and the queries they belong to.

        List i of the result is of query `queries[i]`; queries without a position are left out.
        """
        rows = torch.searchsorted(self.offsets, positions, right=True) - 1
        queries, counts = torch.unique_consecutive(rows, return_counts=True)
        part = Candidates(
            self.ids[positions], offsets_of(counts), self.scores[positions], self.score_kind
        )
        return part, queries

    def select(self, queries: Any) -> Candidates:
        """The lists of some queries, in the order given; of those that are True in a mask."""
        wanted = as_tensor(queries).to(self.offsets.device)
        if wanted.dtype == torch.bool:
            wanted = wanted.nonzero()[:, 0]
        positions, offsets = ragged_rows(self.offsets, wanted.to(torch.int64))
        return Candidates(self.ids[positions], offsets, self.scores[positions], self.score_kind)

    def sorted(self, top_k: int | None = None) -> Candidates:
        """Each list best first, equal scores in the order they had, cut to its first top_k."""
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k is {top_k}; expected at least 1, or None for all")
        order, offsets = ragged_order(self.goodness, self.offsets, descending=True), self.offsets
        if top_k is not None:
            order = order[places(offsets) < top_k]
            offsets = offsets_of(self.counts.clamp(max=top_k))
        return Candidates(self.ids[order], offsets, self.scores[order], self.score_kind)

    def to_search(self, k: int) -> tuple[Tensor, Tensor]:
        """The first k of each list as `search` returns them: D and I, (queries, k).

        Shorter lists are padded with id -1 and the worst score, plus or minus FLT_MAX.
        """
        worst = _FARTHEST if self.score_kind == "distance" else -_FARTHEST
        D = torch.full((len(self), k), worst, dtype=torch.float32, device=self.ids.device)
        I = torch.full((len(self), k), -1, dtype=torch.int64, device=self.ids.device)
        rows, rank = self.query_index, places(self.offsets)
        kept = rank < k
        D[rows[kept], rank[kept]] = self.scores[kept].float()
        I[rows[kept], rank[kept]] = self.ids[kept]
        return D, I

    def probabilities(self) -> Candidates:
        """Logits through the sigmoid. Raises ValueError for scores of any other kind."""
        if self.score_kind != "logit":
            raise ValueError(
                f"the scores are of kind {self.score_kind!r}; only a logit becomes a probability"
            )
        return self.rescored(self.scores.sigmoid(), "probability")

    def labels(self, relevant: Candidates) -> Tensor:
        """(nnz,): the grade of each candidate among `relevant`, 0 for those not in it.

        Of an id judged twice for one query the first grade counts. Raises ValueError for another
        number of queries.
        """
        if len(relevant) != len(self):
            raise ValueError(
                f"relevant has {len(relevant)} queries; expected {len(self)}, as the candidates"
            )
        relevant = relevant.to(self.ids.device)
        names, known = torch.unique(torch.cat([relevant.ids, self.ids]), return_inverse=True)
        queries = torch.cat([relevant.query_index, self.query_index])
        keys = queries * max(len(names), 1) + known  # a pair of query and id, as one number
        judged, order = keys[: len(relevant.ids)].sort(stable=True)
        wanted = keys[len(relevant.ids) :]
        if not len(judged):
            return torch.zeros_like(self.scores)
        at = torch.searchsorted(judged, wanted).clamp(max=len(judged) - 1)
        grades = relevant.scores[order][at].to(self.scores.dtype)
        return torch.where(judged[at] == wanted, grades, torch.zeros_like(grades))


@dataclass(frozen=True, eq=False)
class Tokens:
    """Texts as matrices of token vectors, end to end: text i is `values[offsets[i]:offsets[i+1]]`.

    values: (tokens, d) floats. offsets: (texts + 1,) int64.
    """

    values: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not self.values.is_floating_point():
            raise ValueError(f"values are {_shown(self.values)}; expected floats of (tokens, d)")
        check_offsets(self.offsets, len(self.values))

    @classmethod
    def from_list(cls, texts: Sequence[Any]) -> Tokens:
        """One (tokens, d) array or tensor for each text. Raises ValueError for other shapes."""
        rows = [as_tensor(text) for text in texts]
        for i, row in enumerate(rows):
            if row.ndim != 2 or row.shape[1] != rows[0].shape[1]:
                like = "" if i == 0 else f", d = {rows[0].shape[1]} as of the first"
                raise ValueError(f"text {i} is {_shown(row)}; expected (tokens, d){like}")
        counts = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return cls(torch.cat(rows) if rows else torch.zeros(0, 0), offsets_of(counts))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, text: int) -> Tensor:
        if not -len(self) <= text < len(self):
            raise IndexError(f"text {text} of {len(self)}")
        text %= len(self)
        return self.values[int(self.offsets[text]) : int(self.offsets[text + 1])]

    @property
    def lengths(self) -> Tensor:
        """(texts,): the tokens of each."""
        return self.offsets.diff()

    def select(self, texts: Tensor) -> Tokens:
        """Some of the texts, in the order given."""
        positions, offsets = ragged_rows(self.offsets, texts)
        return Tokens(self.values[positions], offsets)

    def to(self, device: Any) -> Tokens:
        return Tokens(self.values.to(device), self.offsets.to(device))


def as_tensor(x: Any) -> Tensor:
    """A tensor as it is; an array without copying where torch can share its memory."""
    if isinstance(x, Tensor):
        return x
    if hasattr(x, "__dlpack__") and not isinstance(x, np.ndarray):
        return from_dlpack(x)
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers, got a {type(x).__name__} of {array.dtype}")
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()  # torch shares neither read-only memory nor reversed rows
    return torch.from_numpy(array)


def offsets_of(counts: Tensor) -> Tensor:
    """Where lists of these lengths begin, and the end of the last."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def check_offsets(offsets: Tensor, end: int) -> None:
    """Raises ValueError unless offsets go from 0 to end without a step back."""
    if offsets.ndim != 1 or not len(offsets) or offsets.dtype != torch.int64:
        raise ValueError(f"offsets are {_shown(offsets)}; expected (lists + 1,) of torch.int64")
    if int(offsets[0]) != 0 or int(offsets[-1]) != end or bool((offsets.diff() < 0).any()):
        raise ValueError(f"offsets must rise from 0 to {end}, the length of what they divide")


def query_index(offsets: Tensor) -> Tensor:
    """For each item the list it is in."""
    # repeat_interleave would wake every thread, even for a few items.
    items = torch.arange(int(offsets[-1]), device=offsets.device)
    return torch.searchsorted(offsets[1:], items, right=True)


def places(offsets: Tensor) -> Tensor:
    """For each item its place in its list, from 0."""
    rows = query_index(offsets)
    return torch.arange(len(rows), device=rows.device) - offsets[rows]


def ragged_order(values: Tensor, offsets: Tensor, descending: bool = False) -> Tensor:
    """Positions that sort the values of each list, equal ones in the order they had."""
    order = values.argsort(descending=descending, stable=True)
    return order[query_index(offsets)[order].argsort(stable=True)]


def ragged_rows(offsets: Tensor, lists: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the items of some lists, list after list, and the new offsets."""
    new = offsets_of(offsets.diff()[lists])
    rows = query_index(new)
    return torch.arange(len(rows), device=rows.device) + (offsets[:-1][lists] - new[:-1])[rows], new


def _kind_by_order(lists: Candidates) -> ScoreKind:
    step = lists.scores.diff()[lists.query_index.diff() == 0]
    rising, falling = bool((step > 0).any()), bool((step < 0).any())
    if rising and falling:
        raise ValueError(
            "the rows of D are in no common order; say what its values are with score_kind"
        )
    return "distance" if rising else "similarity"


def _shown(x: Tensor) -> str:
    return f"{tuple(x.shape)} of {x.dtype}"
