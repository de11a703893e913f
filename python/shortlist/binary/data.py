"""What a binarizer is trained on: a sample of the base, pairs, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

import shortlist

from .rows import as_rows

if TYPE_CHECKING:
    from .module import RecurrentBinarizer

_ANCHORS = 10000  # at most so many rows of the base look for their neighbours
_SELF = -1  # an id that is nobody's


class Options(Protocol):
    """What is read of the options of `fit`."""

    @property
    def objective(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def steps(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def neighbours(self) -> int: ...
    @property
    def rows(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs (x_i, y_i); under "distill" any x and y, and their exact scores."""

    x: Tensor
    y: Tensor
    x_ids: Tensor  # row of the base that x is, or -1
    y_ids: Tensor
    exact: Tensor  # (x, y) under "distill", else empty
    old: Tensor | None  # the old codes of y

    @property
    def same(self) -> Tensor:
        """(x, y): where y_j is the answer of x_i, or x_i itself, and so no negative."""
        return self.known(self.y_ids)

    def known(self, ids: Tensor) -> Tensor:
        return (self.y_ids[:, None] == ids) | (self.x_ids[:, None] == ids)


@dataclass(frozen=True, eq=False)
class Data:
    """All of one training; the sample and what belongs to it is on the module's device."""

    inputs: dict[str, Tensor | None]  # as given
    mean: Tensor
    query_mean: Tensor
    sample: Tensor  # (rows, dim)
    old_codes: Tensor | None  # (rows, m) odd integers
    old_scale: Tensor
    left: Tensor  # what x of a pair is taken from
    right: Tensor
    pairs: Tensor  # (n, 2) rows of left and right; or (n, 1 + neighbours) where mined
    within: bool  # left is right
    old: RecurrentBinarizer | None
    old_rows: Tensor | None
    old_addend: Tensor  # (rows,)
    nearest: Tensor | None  # (anchors, 1 + neighbours) rows of left and right
    metric: str

    def batch(self, options: Options, generator: torch.Generator) -> Batch:
        """The next, by the generator alone."""
        device = self.sample.device
        if options.objective == "reconstruction":
            rows = torch.randint(len(self.sample), (options.batch,), generator=generator)
            y = self.sample[rows.to(device)]
            none = torch.empty(0, dtype=torch.int64, device=device)
            return Batch(y[:0], y, none, none, y[:0], None)
        width = self.pairs.shape[1] - 1
        if options.objective == "distill":
            some = torch.randint(
                len(self.pairs), (max(2, options.batch // width),), generator=generator
            )
            left, right = self.pairs[some, 0], torch.unique(self.pairs[some, 1:])
        else:
            some = torch.randint(len(self.pairs), (options.batch,), generator=generator)
            which = torch.randint(1, width + 1, (options.batch,), generator=generator)
            left, right = self.pairs[some, 0], self.pairs[some, which]
        x, y = (
            rows[at.to(rows.device)].to(device, torch.float32)
            for rows, at in ((self.left, left), (self.right, right))
        )
        exact = x[:0]
        if options.objective == "distill":
            exact = x @ y.T / y.square().sum(1).mean()
            if options.metric == "l2":
                exact = exact - y.square().sum(1) / (2 * y.square().sum(1).mean())
        old = None
        if self.old is not None and self.old_rows is not None:
            vectors = self.old_rows[right.to(self.old_rows.device)]
            old = self.old.integers(vectors.to(self.old.mean), int(self.old.sweeps)).to(y)
        x_ids = left if self.within else torch.full_like(left, _SELF)
        return Batch(x, y, x_ids.to(device), right.to(device), exact, old)


@torch.no_grad()
def prepare(
    module: RecurrentBinarizer,
    base: Any,
    pairs: Any,
    queries: Any,
    old: RecurrentBinarizer | None,
    old_base: Any,
    options: Options,
    generator: torch.Generator,
) -> Data:
    """Checks and gathers what `fit` was given. Raises as it does, before anything is trained."""
    rows = as_rows(base, module.dim, "base")
    if len(rows) < 2:
        raise ValueError(f"base has {len(rows)} rows; expected at least 2, better 30,000")
    asked = None if queries is None else as_rows(queries, module.dim, "queries")
    if asked is not None and len(asked) == 0:
        raise ValueError("queries has no rows; expected some, or None")
    before = _old_rows(module, rows, old, old_base)
    if pairs is not None and options.objective == "reconstruction":
        raise ValueError("pairs teach nothing of reconstruction; pass objective='infonce'")
    chosen = torch.randperm(len(rows), generator=generator)[: options.rows].sort().values
    device = module.mean.device
    sample = rows[chosen.to(rows.device)].to(device, torch.float32)
    old_codes, old_scale, old_addend = None, sample.new_ones(len(sample)), sample.new_zeros(0)
    if old is not None and before is not None:
        vectors = before[chosen.to(before.device)].to(old.mean)
        old_codes = old.integers(vectors, int(old.sweeps))
        old_scale, old_addend = (v.to(sample) for v in old.factors(vectors, old_codes))
        old_codes = old_codes.to(sample)
    inputs = {"base": rows, "queries": asked, "old_base": before}
    inputs["compatible_with"] = None if old is None else old.query
    left, right, found, within = rows if asked is None else asked, rows, None, asked is None
    if pairs is not None:
        left, right, found, within = _pairs(module.dim, pairs, left, right, before is not None)
        inputs |= {"pairs": found, "left": left, "right": right}
    elif old is not None or (options.objective != "reconstruction" and options.steps):
        found = _mined(left, right, within, options, generator)
    mean = _mean(rows)
    return Data(
        inputs,
        mean.to(device),
        (mean if asked is None else _mean(asked)).to(device),
        sample,
        old_codes,
        old_scale,
        left,
        right,
        torch.empty(0, 2, dtype=torch.int64) if found is None else found,
        within,
        old,
        before,
        old_addend,
        found,
        options.metric,
    )


def _old_rows(
    module: RecurrentBinarizer, rows: Tensor, old: RecurrentBinarizer | None, old_base: Any
) -> Tensor | None:
    if (old is None) != (old_base is None):
        raise ValueError("pass both compatible_with and old_base, or neither")
    if old is None:
        return None
    if old is module:
        raise ValueError("compatible_with is the module itself; expected an older one")
    if (old.code_dim, old.bits) != (module.code_dim, module.bits):
        raise ValueError(
            f"the old codes have {old.code_dim} dimensions of {old.bits} bits and the new "
            f"{module.code_dim} of {module.bits}; expected the same, to be scanned by one query"
        )
    if not bool(old.fitted):
        raise shortlist.NotTrainedError("compatible_with is not trained; call its fit first")
    before = as_rows(old_base, old.dim, "old_base")
    if len(before) != len(rows):
        raise ValueError(
            f"old_base has {len(before)} rows and base {len(rows)}; expected the same items"
        )
    return before


def _pairs(
    dim: int, pairs: Any, left: Tensor, right: Tensor, compatible: bool
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """What pairs point into, the rows of it, and whether both sides are the base."""
    if isinstance(pairs, tuple | list) and len(pairs) == 2 and np.ndim(pairs[0]) == 2:
        x, y = (as_rows(side, dim, f"pairs[{i}]") for i, side in enumerate(pairs))
        if len(x) != len(y) or len(x) == 0:
            raise ValueError(f"pairs have {len(x)} and {len(y)} rows; expected as many, not 0")
        if compatible:
            raise ValueError("compatible_with needs pairs of rows, (n, 2) integers, not of vectors")
        rows = torch.arange(len(x))
        return x, y, torch.stack([rows, rows], 1), False
    array = np.asarray(pairs.cpu() if isinstance(pairs, Tensor) else pairs)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu" or not len(array):
        raise ValueError(
            f"pairs are {array.dtype} of shape {array.shape}; expected (n, 2) integers, "
            "or two float arrays"
        )
    for column, rows, name in ((0, left, "queries"), (1, right, "base")):
        name = "base" if left is right else name
        low, high = int(array[:, column].min()), int(array[:, column].max())
        if low < 0 or high >= len(rows):
            raise ValueError(
                f"pairs name row {low if low < 0 else high} of {name}; it has {len(rows)} rows"
            )
    return left, right, torch.from_numpy(array.astype(np.int64)), left is right


def _mined(
    left: Tensor, right: Tensor, within: bool, options: Options, generator: torch.Generator
) -> Tensor:
    """(anchors, 1 + neighbours): rows of left, and of those nearest to each by exact search."""
    anchors = torch.randperm(len(left), generator=generator)[:_ANCHORS].sort().values
    k = min(options.neighbours + within, len(right))
    asked = left[anchors.to(left.device)].float().cpu().numpy()
    metric = shortlist.METRIC_INNER_PRODUCT if options.metric == "ip" else shortlist.METRIC_L2
    _, I = shortlist.knn(asked, right.float().cpu().numpy(), k, metric=metric)
    found = torch.from_numpy(np.asarray(I, np.int64))
    if within:  # itself to the end, wherever it is; the others stay in order
        own = (found == anchors[:, None]).to(torch.int8)
        found = found.gather(1, own.sort(dim=1, stable=True).indices)[:, :-1]
    if found.shape[1] == 0:
        raise ValueError("base has too few rows to have neighbours; expected at least 2")
    return torch.cat([anchors[:, None], found], 1)


def _mean(rows: Tensor) -> Tensor:
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for begin in range(0, len(rows), 16384):
        total += rows[begin : begin + 16384].double().sum(0)
    return (total / len(rows)).float()
