"""Rotary positions, and what they become when all far tokens stand at one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from shortlist import ArgumentError, DimensionError

from .lists import as_floats, in_kind

CONVENTIONS = ("half", "interleaved")


def apply_rope(
    x: Any,
    positions: Any,
    *,
    base: float = 10000.0,
    convention: str = "half",
    inv_freq: Any = None,
) -> Any:
    """Turn pairs of values by angles that grow with the position, so that <q_i, k_j> knows i - j.

    x: (..., n, d) floats, numpy or torch, d even: queries or keys of any number of heads.
    positions: a number, (n,), or anything that broadcasts to x.shape[:-1].
    base: pair p turns by positions * base^(-2p / d) (RoFormer, arXiv 2104.09864, eq. 15).
    convention: which values are a pair: "half", p and p + d / 2, as Llama's and most models of
        transformers have it; "interleaved", 2p and 2p + 1, as in the paper and GPT-J.
    inv_freq: (d / 2,), what pairs turn by at position 1, where a model scales it; else of base.

    Returns x's shape, dtype and kind. Angles are float64, products float32. Raises DimensionError
    for an odd d or positions that do not fit, ArgumentError (a ValueError) for other conventions or
    a base that is not positive.
    """
    return _rotate(x, positions, base, convention, inv_freq, 1)


def undo_rope(
    x: Any,
    positions: Any,
    *,
    base: float = 10000.0,
    convention: str = "half",
    inv_freq: Any = None,
) -> Any:
    """Turn back what apply_rope turned: the inverse, up to rounding. Arguments as there."""
    return _rotate(x, positions, base, convention, inv_freq, -1)


def windowed_rope_logits(
    queries: Any,
    keys: Any,
    *,
    window: int = 64,
    far_position: int = 2048,
    base: float = 10000.0,
    convention: str = "half",
    inv_freq: Any = None,
) -> Any:
    """Logits with all keys outside a window at one relative position (A2ATS, eq. 11 and 12).

    queries, keys: (..., n, d) before RoPE; leading dimensions broadcast.

    (..., n, n): <q_i, k_j> turned by i - j where i - j < window, by far_position elsewhere; not
    scaled, and -inf for j > i. This is the dense definition, for judging what retrieval leaves out.
    """
    options: dict[str, Any] = {"base": base, "convention": convention, "inv_freq": inv_freq}
    q, k = as_floats(queries, "queries", ""), as_floats(keys, "keys", "")
    at = torch.arange(k.shape[-2], device=k.device)
    near = apply_rope(q, at, **options).float() @ apply_rope(k, at, **options).float().mT
    far = apply_rope(q, far_position, **options).float() @ k.float().mT
    distance = at[:, None] - at
    out = torch.where(distance < window, near, far).masked_fill(distance < 0, -torch.inf)
    return in_kind(out, queries)


def frequencies(d: int, base: float, inv_freq: Any) -> Tensor:
    """(d / 2,) float64: what each pair turns by at position 1."""
    if d % 2 or d < 2:
        raise DimensionError(f"RoPE turns pairs of values, but x has d = {d}; expected an even d")
    if inv_freq is None:
        if not 0 < base < float("inf"):
            raise ArgumentError(f"base = {base}; expected a positive number, as 10000")
        return base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    given = torch.as_tensor(inv_freq, dtype=torch.float64).cpu()
    if given.shape != (d // 2,):
        raise DimensionError(f"inv_freq has shape {tuple(given.shape)}; expected ({d // 2},)")
    if not bool(given.isfinite().all()):
        raise ArgumentError("inv_freq holds NaN or infinities; expected finite numbers")
    return given


def _rotate(
    x: Any, positions: Any, base: float, convention: str, inv_freq: Any, direction: int
) -> Any:
    if convention not in CONVENTIONS:
        raise ArgumentError(f"convention {convention!r} is not known; choose one of {CONVENTIONS}")
    rows = as_floats(x, "x", "")
    if rows.ndim < 1:
        raise DimensionError("x has no dimensions; expected (..., n, d)")
    by = frequencies(rows.shape[-1], base, inv_freq)
    at = torch.as_tensor(positions if isinstance(positions, Tensor) else np.asarray(positions))
    try:
        at = at.to("cpu", torch.float64).broadcast_to(rows.shape[:-1])
    except RuntimeError:
        raise DimensionError(
            f"positions has shape {tuple(at.shape)}; expected one that broadcasts to "
            f"{tuple(rows.shape[:-1])}, the tokens of x"
        ) from None
    angles = direction * at[..., None] * by
    cos, sin = (f.to(rows.device, torch.float32) for f in (angles.cos(), angles.sin()))
    if convention == "half":
        first, second = rows.float().chunk(2, -1)
    else:
        first, second = rows.float().reshape(*rows.shape[:-1], len(by), 2).unbind(-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    out = torch.cat(turned, -1) if convention == "half" else torch.stack(turned, -1).flatten(-2)
    return in_kind(out.to(rows.dtype), x)
