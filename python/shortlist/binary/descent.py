"""Codes by alternating least squares: a linear decoder for codes, and codes for a linear decoder.

Floats are rows (n, dim), codes odd integers as float32 (n, m), decoders (m, dim): x ~ code decoder.
All are tensors on one device, and all of it is without gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 16384  # rows at a time
_TILE = 32  # code dimensions whose mutual corrections are applied at once


def odd(v: Tensor, levels: int) -> Tensor:
    """The nearest odd integers, within -levels .. levels."""
    return (2 * (v / 2).floor() + 1).clamp(-levels, levels)


def rotation(f: Tensor, m: int, rounds: int, generator: torch.Generator) -> Tensor:
    """(dim, m): directions along which signs say most of the rows of f.

    Principal axes turned by ITQ (Gong and Lazebnik 2011, "Iterative Quantization: A Procrustean
    Approach to Learning Binary Codes"); for m > dim several such bases side by side.
    """
    dim = f.shape[1]
    _, axes = torch.linalg.eigh((f.T @ f).double())
    parts = []
    for begin in range(0, m, dim):
        width = min(dim, m - begin)
        basis = axes.flip(1)[:, :width].to(f.dtype)
        start = torch.randn(width, width, generator=generator, dtype=torch.float64)
        turn = torch.linalg.qr(start.to(f.device))[0].to(f.dtype)
        projected = f @ basis
        for _ in range(rounds):
            left, _, right = torch.linalg.svd(projected.T @ sign(projected @ turn))
            turn = left @ right
        parts.append(basis @ turn)
    return torch.cat(parts, 1)


def sign(v: Tensor) -> Tensor:
    """-1 or 1, of 0 too."""
    return torch.where(v >= 0, 1.0, -1.0).to(v.dtype)


def solve(inputs: Tensor, outputs: Tensor, ridge: float = 1e-3) -> Tensor:
    """(in, out): the linear map that takes rows of inputs nearest to those of outputs.

    ridge: what is added to the squares of inputs, as a share of their mean.
    """
    square = (inputs.T @ inputs).double()
    square.diagonal().add_(ridge * square.diagonal().mean().clamp(min=1e-30))
    found: Tensor = torch.linalg.solve(square, (inputs.T @ outputs).double())
    return found.to(inputs.dtype)


def descend(f: Tensor, codes: Tensor, decoder: Tensor, levels: int, sweeps: int) -> Tensor:
    """Codes as good as or better than those given, by ||f - codes decoder||^2.

    Each sweep goes once through the code dimensions and gives each its best integer while the
    others stay; so it ends where no single change helps.
    """
    if sweeps == 0:
        return codes
    gram = decoder @ decoder.T
    diagonal = gram.diagonal().tolist()
    m = len(gram)
    done = torch.empty_like(codes)
    for begin in range(0, len(codes), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        now = codes[rows].T.contiguous()
        slope = torch.addmm(decoder @ f[rows].T, gram, now, alpha=-1)
        for _ in range(sweeps):
            for low in range(0, m, _TILE):
                tile = slice(low, min(low + _TILE, m))
                inner, before = slope[tile].clone(), now[tile].clone()
                for j in range(len(before)):
                    if diagonal[low + j] <= 0:
                        continue
                    new = odd(now[low + j] + inner[j] / diagonal[low + j], levels)
                    inner.addr_(gram[tile, low + j], new - now[low + j], alpha=-1)
                    now[low + j] = new
                slope.addmm_(gram[:, tile], now[tile] - before, alpha=-1)
        done[rows] = now.T
    return done


def error(f: Tensor, codes: Tensor, decoder: Tensor) -> float:
    """||f - codes decoder||^2 as a share of ||f||^2."""
    lost = float((f - codes @ decoder).square().sum())
    return lost / max(float(f.square().sum()), 1e-30)
