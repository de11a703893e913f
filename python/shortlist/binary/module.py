"""The recurrent binarizer: a network whose outputs are odd integers of a few bits."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist import NotTrainedError

from .descent import descend, odd, rotation, sign, solve
from .rows import as_rows
from .training import train

_BLOCK = 4096  # rows encoded at a time
# Between two codes of 1 to 8 bits, in standard deviations: the best uniform quantisers of a normal
# distribution (Max 1960, "Quantizing for Minimum Distortion").
_STEPS = (1.596, 0.9957, 0.586, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308)


class _StraightThrough(torch.autograd.Function):
    """sign; its gradient is passed on where the input is within -1 .. 1 (BEBR's estimator)."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return sign(v)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        passed: Tensor = gradients[0] * (v.abs() <= 1)
        return passed


def straight_through(v: Tensor) -> Tensor:
    """-1 or 1 by the sign of each value, of 0 too; the gradient passes where |v| <= 1."""
    return cast(Tensor, _StraightThrough.apply(v))  # type: ignore[no-untyped-call]


class _Network(nn.Module):
    """One hidden layer; its outputs are 0 until it is trained."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.last = nn.Linear(hidden, outputs, bias=False)
        nn.init.zeros_(self.last.weight)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """As new, with Xavier's normal weights, which are the generator's on any device."""
        start = torch.randn(self.first.weight.shape, generator=generator)
        self.first.weight.copy_(start * (2 / sum(start.shape)) ** 0.5)
        self.first.bias.zero_()
        self.norm.reset_parameters()
        self.last.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.norm(self.first(x)).relu())
        return y


class Map(nn.Module):
    """A linear map, plus a network of one hidden layer where hidden > 0, which starts at 0."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.skip = nn.Linear(inputs, outputs)
        self.network = _Network(inputs, outputs, hidden) if hidden else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) to (n, outputs)."""
        y: Tensor = self.skip(x)
        return y if self.network is None else y + self.network(x)

    @torch.no_grad()
    def set_linear(self, weight: Tensor) -> None:
        """Makes it the linear map of weight (outputs, inputs), without bias or network."""
        self.skip.weight.copy_(weight)
        self.skip.bias.zero_()
        if self.network is not None:
            self.network.last.weight.zero_()

    @torch.no_grad()
    def export(self, name: str) -> dict[str, NDArray[np.float32]]:
        """Its weights as `reference.apply_map` reads them, BatchNorm folded in."""
        parts: dict[str, Tensor] = {"skip": self.skip.weight, "bias": self.skip.bias}
        if self.network is not None:
            first, norm, last = self.network.first, self.network.norm, self.network.last
            assert norm.running_var is not None
            assert norm.running_mean is not None
            factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            parts["hidden"] = first.weight.double() * factor[:, None]
            parts["hidden_bias"] = (first.bias - norm.running_mean).double() * factor + norm.bias
            parts["out"] = last.weight
        return {f"{name}.{part}": _array(value) for part, value in parts.items()}


class RecurrentBinarizer(nn.Module):
    """Makes codes of vectors: signs first, then signs of what the code so far has not said.

    BEBR (Gan et al. 2023, "Binary Embedding-based Retrieval at Tencent", arXiv 2302.08714):
    b = sign(W(f)), then bits - 1 times b += 2^-(u+1) sign(R_u(f - B_u(b))), for f = x - mean. The
    code is 2^(bits-1) b, one odd integer in -L..L for each code dimension, L = 2^bits - 1. `encode`
    then goes `sweeps` times through the code dimensions and sets each to what brings the decoded
    code nearest to f, which the paper does not do and which is where most of the recall comes from.

    dim: of the vectors. code_dim: code dimensions, dim by default; may be less or more.
    bits: of each code dimension, 1 to 8. hidden: width of the network in each of W, B_u and R_u;
    0, the default, is linear maps only (the paper has 2048, which cost more and find no more).
    sweeps: of `encode`; set by `fit`.

    A new module says nothing: `fit` it, or load a state_dict. Raises ValueError for other sizes.
    """

    mean: Tensor  # (dim,)
    query: Tensor  # (code_dim, dim): reads queries, decodes codes
    query_mean: Tensor  # (dim,)
    old_query: Tensor  # (code_dim, dim): reads new queries for the old codes
    old_shift: Tensor  # (code_dim,)
    old_gain: Tensor  # (2,): by a score g s + h of old codes compares with one of new codes
    compatible: Tensor  # 0-d, bool: whether it has learnt to
    sweeps: Tensor  # 0-d, int64
    fitted: Tensor  # 0-d, bool

    def __init__(
        self, dim: int, code_dim: int | None = None, bits: int = 2, hidden: int = 0
    ) -> None:
        super().__init__()
        code_dim = dim if code_dim is None else code_dim
        if dim < 1 or code_dim < 1:
            raise ValueError(f"dim is {dim} and code_dim {code_dim}; expected at least 1")
        if not 1 <= bits <= 8:
            raise ValueError(f"bits is {bits}; expected 1 to 8")
        if hidden < 0:
            raise ValueError(f"hidden is {hidden}; expected 0 (linear) or more")
        self.dim, self.code_dim, self.bits, self.hidden = dim, code_dim, bits, hidden
        self.W = Map(dim, code_dim, hidden)
        self.B = nn.ModuleList(Map(code_dim, dim, hidden) for _ in range(bits - 1))
        self.R = nn.ModuleList(Map(dim, code_dim, hidden) for _ in range(bits - 1))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("query", torch.zeros(code_dim, dim))
        self.register_buffer("query_mean", torch.zeros(dim))
        self.register_buffer("old_query", torch.zeros(code_dim, dim))
        self.register_buffer("old_shift", torch.zeros(code_dim))
        self.register_buffer("old_gain", torch.tensor([1.0, 0.0]))
        self.register_buffer("compatible", torch.tensor(False))
        self.register_buffer("sweeps", torch.tensor(0))
        self.register_buffer("fitted", torch.tensor(False))

    def maps(self) -> list[Map]:
        """W, and each B_u and R_u."""
        return [self.W, *(cast(Map, part) for part in (*self.B, *self.R))]

    @property
    def levels(self) -> int:
        """L, the largest of the odd integers."""
        return (1 << self.bits) - 1

    def forward(self, x: Tensor) -> Tensor:
        """(n, dim) vectors to (n, code_dim) odd integers as floats, with a gradient; no sweeps."""
        f = x - self.mean
        b = straight_through(self.W(f))
        for u, (decode, read) in enumerate(zip(self.B, self.R, strict=True)):
            b = b + 0.5 ** (u + 1) * straight_through(read(f - decode(b)))
        return b * 2.0 ** (self.bits - 1)

    fit = train

    @torch.no_grad()
    def encode(self, x: Any) -> NDArray[np.uint8]:
        """Codes c of vectors: (n, dim) floats, numpy or torch, to (n, code_dim) uint8.

        c is in 0 .. 2^bits - 1 and stands for the odd integer 2c - L. Raises NotTrainedError
        before `fit`, DimensionError for another shape, ValueError for NaN or infinities.
        """
        self._check_fitted()
        vectors = as_rows(x, self.dim, "x")
        codes = np.empty((len(vectors), self.code_dim), np.uint8)
        for begin in range(0, len(vectors), _BLOCK):
            part = vectors[begin : begin + _BLOCK].to(self.mean)
            found = self.integers(part, int(self.sweeps))
            codes[begin : begin + _BLOCK] = ((found + self.levels) / 2).byte().cpu().numpy()
        return codes

    @torch.no_grad()
    def integers(self, x: Tensor, sweeps: int) -> Tensor:
        """(n, code_dim) odd integers after that many sweeps; the mode is left as it was."""
        training = self.training
        self.eval()
        try:
            start = self(x)
        finally:
            self.train(training)
        return descend(x - self.mean, start, self.query, self.levels, sweeps)

    @torch.no_grad()
    def factors(self, x: Tensor, integers: Tensor) -> tuple[Tensor, Tensor]:
        """(scale, addend) of vectors and their codes, as `reference.factors` under "ip"."""
        f = x - self.mean
        length = (integers @ self.query).norm(dim=1).clamp(min=1e-30)
        return f.norm(dim=1) / length, f @ self.query_mean

    def export(self) -> dict[str, NDArray[Any]]:
        """The weights, float32, as `shortlist.binary.reference` says; it computes the same codes.

        Raises NotTrainedError before `fit`.
        """
        self._check_fitted()
        exported: dict[str, NDArray[Any]] = {
            "bits": np.array(self.bits),
            "sweeps": np.array(int(self.sweeps)),
            "mean": _array(self.mean),
            "query_mean": _array(self.query_mean),
            "query": _array(self.query),
            **self.W.export("W"),
        }
        if bool(self.compatible):
            exported["old_query"] = _array(self.old_query)
            exported["old_shift"] = _array(self.old_shift)
            exported["old_gain"] = _array(self.old_gain)
        for u, (decode, read) in enumerate(zip(self.B, self.R, strict=True)):
            exported |= cast(Map, decode).export(f"B{u}") | cast(Map, read).export(f"R{u}")
        return exported

    @torch.no_grad()
    def initialise(self, f: Tensor, rounds: int, generator: torch.Generator) -> None:
        """Weights that make good codes of rows like f (n, dim), whose mean is 0: ITQ's rotation.

        All activations have a variance of about 1, as the straight-through gradient needs.
        """
        for part in self.modules():
            if isinstance(part, _Network):
                part.reset(generator)
        axes = rotation(f, self.code_dim, rounds, generator)
        out = f @ axes
        step = _STEPS[self.bits - 1] * out.square().mean().sqrt().clamp(min=1e-12)
        self._recur(f, axes * 2 / step)
        self.query.copy_(solve(odd(out * 2 / step, self.levels), f))

    @torch.no_grad()
    def imitate(self, f: Tensor, codes: Tensor) -> None:
        """Weights whose codes of rows f (n, dim) are near those given, (n, code_dim) integers."""
        to_codes = solve(f, codes)
        guess = f @ to_codes
        to_codes *= (guess * codes).sum() / guess.square().sum().clamp(min=1e-30)
        self._recur(f, to_codes)

    def _recur(self, f: Tensor, to_codes: Tensor) -> None:
        """Maps by which the code is f to_codes, rounded: each R_u reads what B_u left of that."""
        back = torch.linalg.pinv(to_codes.double()).to(f.dtype) * 2.0 ** (self.bits - 1)
        b = sign(self._read(self.W, to_codes, f))
        for u, (decode, read) in enumerate(zip(self.B, self.R, strict=True)):
            cast(Map, decode).set_linear(back.T)
            b = b + 0.5 ** (u + 1) * sign(self._read(cast(Map, read), to_codes, f - b @ back))

    @staticmethod
    def _read(read: Map, axes: Tensor, f: Tensor) -> Tensor:
        """Sets a map to axes, scaled so that its outputs for f have a mean square of 1."""
        out = f @ axes
        scale = out.square().mean().sqrt().clamp(min=1e-12)
        read.set_linear(axes.T / scale)
        return out / scale

    def _check_fitted(self) -> None:
        if not bool(self.fitted):
            raise NotTrainedError(
                "this RecurrentBinarizer is not trained; call fit, or load a state_dict"
            )


def _array(value: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value.detach().float().cpu().numpy().copy()
    return array
