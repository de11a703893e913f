"""Attention over retrieved tokens, where their keys and values are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from shortlist import ArgumentError, DimensionError
from shortlist._core import _kv

from .lists import TokenLists, as_floats, in_kind


def sparse_attention(q: Any, k: Any, v: Any, ids: Any, *, scale: float | None = None) -> Any:
    """softmax(scale q k') v over the listed tokens, and no others.

    Keys and values stay in host memory, in the layout they have: only q and ids come there, and
    only the output goes back to q's device. Runs on the library's threads, without gradients.

    q: (q_heads, d) or (q_heads, t, d) floats, torch on any device or numpy, turned by RoPE as k is.
    k, v: (kv_heads, n, d) and (kv_heads, n, dv) of float32, float16 or bfloat16 in host memory,
        q_heads a multiple of kv_heads: query head h reads head h // (q_heads / kv_heads). Any
        strides with contiguous rows: a part of a larger cache, or of one with the tokens first.
    ids: what KVRetriever.topk returned, or integers (heads, m) or (heads, t, m) padded with -1,
        where heads is kv_heads or q_heads. In any order, each once. Nothing is masked besides:
        causality is a matter of the ids.
    scale: 1 / sqrt(d) unless given.

    Returns (q_heads, dv) or (q_heads, t, dv) of q's dtype and kind; sums are float32. Raises
    DimensionError for shapes that do not fit, IdError (an IndexError) for ids that are not there or
    twice in a list, ArgumentError (a ValueError) for empty lists, NaN or infinities, and k or v
    that are not in host memory.
    """
    keys, values = _cache(k, "k"), _cache(v, "v")
    if keys.shape[:2] != values.shape[:2]:
        raise DimensionError(
            f"k has shape {tuple(keys.shape)} and v {tuple(values.shape)}; expected as many heads "
            "and tokens"
        )
    kv_heads, _, d = keys.shape
    asked = as_floats(q, "q", "")
    queries = asked[:, None] if asked.ndim == 2 else asked
    if queries.ndim != 3 or queries.shape[2] != d or not kv_heads or not queries.shape[0]:
        raise DimensionError(
            f"q has shape {tuple(asked.shape)}; expected (q_heads, {d}) or (q_heads, t, {d}), as "
            f"k has {kv_heads} heads of d = {d}"
        )
    heads, tokens = queries.shape[:2]
    if heads % kv_heads:
        raise DimensionError(f"q has {heads} heads; expected a multiple of k's {kv_heads}")
    by = d**-0.5 if scale is None else float(scale)
    if not 0 < abs(by) < float("inf"):
        raise ArgumentError(f"scale = {scale}; expected a finite number other than 0")
    flat, offsets = TokenLists.of(ids, (kv_heads, heads), tokens).arrays()
    out = _kv.attention(
        queries.to("cpu", torch.float32).numpy(),
        _bits(keys),
        _bits(values),
        flat,
        offsets,
        (len(offsets) - 1) // tokens if tokens else kv_heads,
        by,
        keys.dtype == torch.bfloat16,
        values.dtype == torch.bfloat16,
    )
    result = torch.from_numpy(out).to(asked.dtype)
    return in_kind(result[:, 0] if asked.ndim == 2 else result, q)


def _cache(x: Any, name: str) -> Tensor:
    if isinstance(x, Tensor) and x.device.type != "cpu":
        raise ArgumentError(
            f"{name} is on {x.device}; sparse attention reads it in host memory: keep the "
            f"cache there, {name}.cpu()"
        )
    tensor = as_floats(x, name, "(kv_heads, n, d)", (None, None, None))
    if tensor.numel() and tensor.stride(2) != 1:
        raise ArgumentError(
            f"{name} has strides {tensor.stride()}; expected contiguous rows, the last of them 1: "
            f"{name}.contiguous() once"
        )
    return tensor


def _bits(x: Tensor) -> Any:
    """As numpy, which has no bfloat16."""
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()
