"""What an exported binarizer computes, in numpy alone: the definition that other encoders follow.

`RecurrentBinarizer.export` gives a dict of float32 arrays (m = code_dim, L = 2^bits - 1):

    bits, sweeps    scalars (0-d int64)
    mean            (dim,) what is taken from a vector before all else
    query_mean      (dim,) the mean of training queries; of the base where there were none
    W.*, B0.*, R0.*, B1.*, R1.*, ...   the maps of the recurrence, see `apply_map`
    old_query, old_shift, old_gain    (m, dim), (m,) and (2,), where `fit` had compatible_with
    query           (m, dim) A: reads queries, and its transpose decodes codes

Encoding x, with f = x - mean and o the code as odd integers -L..L (c = (o + L) / 2 is stored):

    b = sign(W(f));  then for u = 0 .. bits - 2:  b += 2^-(u+1) sign(R_u(f - B_u(b)))
    o = 2^(bits-1) b
    sweeps times, for j = 0 .. m - 1:  o_j = odd(o_j + (A f - G o)_j / G_jj),  G = A A'

The sweeps are coordinate descent on ||f - A'o||^2, one code dimension at a time. sign(0) = 1 and
odd(v) = 2 floor(v / 2) + 1 clipped to -L..L; where G_jj is 0, o_j stays. The output of B_u is not
normalised (the paper divides it by its norm): it starts as a decoder of the right length.

Scoring a query q against a stored code:

    <q, x>  ~  <q, mean> + scale <A (q - query_mean), o> + addend

with scale and addend of each vector from `factors`; the first term is the same for all vectors.
`read_query` is A (q - query_mean); `encode_query` makes integers of it, where the query is to be a
code too. Of an older model's codes, with the scale and addend stored then,

    <q, x>  ~  old_gain_0 (<q, mean> + scale <old_query (q - query_mean) + old_shift, o> + addend)
               + old_gain_1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Export = Mapping[str, NDArray[Any]]

_BLOCK = 4096  # rows at a time


def encode(exported: Export, x: Any) -> NDArray[np.uint8]:
    """Codes c of vectors: (n, dim) floats to (n, code_dim) uint8 in 0 .. 2^bits - 1.

    This is the definition; `RecurrentBinarizer.encode` gives the same but for ties and rounding.
    Raises ValueError for another shape, or for NaN and infinities.
    """
    vectors = _vectors(exported, x)
    codes = np.empty((len(vectors), len(exported["query"])), np.uint8)
    levels = 2 ** int(exported["bits"]) - 1
    for begin in range(0, len(vectors), _BLOCK):
        odd = _encode_block(exported, vectors[begin : begin + _BLOCK] - exported["mean"])
        codes[begin : begin + _BLOCK] = (odd + levels) / 2
    return codes


def odd_integers(exported: Export, codes: Any) -> Floats:
    """The odd integers 2c - L that codes stand for, (n, code_dim) float32."""
    return 2 * np.asarray(codes, np.float32) - np.float32(2 ** int(exported["bits"]) - 1)


def decode(exported: Export, codes: Any) -> Floats:
    """Vectors (n, dim) float32 near those the codes (n, code_dim) were made of."""
    return odd_integers(exported, codes) @ exported["query"] + exported["mean"]


def factors(
    exported: Export, x: Any, codes: Any, metric: Literal["ip", "l2"] = "ip"
) -> tuple[Floats, Floats]:
    """(scale, addend), (n,) float32 each: what is stored beside the codes of x.

    scale gives the decoded vector the length of f. addend is <f, query_mean>, which makes the
    score of the mean query exact. Under "l2" it also takes off ||x||^2 / 2, so that scores order
    as distances do: ||q - x||^2 ~ ||q||^2 - 2 score. Half precision is enough for both where
    vectors are of length about 1. Raises ValueError for shapes that do not fit.
    """
    if metric not in ("ip", "l2"):
        raise ValueError(f"metric is {metric!r}; expected 'ip' or 'l2'")
    vectors = _vectors(exported, x)
    if np.shape(codes) != (len(vectors), len(exported["query"])):
        raise ValueError(
            f"codes have shape {np.shape(codes)}; expected "
            f"{(len(vectors), len(exported['query']))}, one row for each vector"
        )
    scale, addend = np.empty((2, len(vectors)), np.float32)
    for begin in range(0, len(vectors), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        f = vectors[part] - exported["mean"]
        decoded = odd_integers(exported, codes[part]) @ exported["query"]
        scale[part] = np.linalg.norm(f, axis=1) / np.maximum(
            np.linalg.norm(decoded, axis=1), np.float32(1e-30)
        )
        addend[part] = f @ exported["query_mean"]
        if metric == "l2":
            addend[part] -= (vectors[part] ** 2).sum(1) / 2
    return scale, addend


def read_query(exported: Export, q: Any, *, old: bool = False) -> Floats:
    """What a float query is to a scan of codes: A (q - query_mean), (n, code_dim) float32.

    old: for codes of the module that `fit` was to be compatible with, stored with the scale and
    addend of that time; the query is then read by old_query, and old_shift is added. old_gain
    makes scores compare with those of new codes; it does not change their order.
    """
    centred = _vectors(exported, q) - exported["query_mean"]
    if not old:
        mapped: Floats = centred @ exported["query"].T
        return mapped
    if "old_query" not in exported:
        raise ValueError("this module knows no older one; fit it with compatible_with=")
    shifted: Floats = centred @ exported["old_query"].T + exported["old_shift"]
    return shifted


def encode_query(
    exported: Export, q: Any, bits: int | None = None
) -> tuple[NDArray[np.uint8], Floats]:
    """Queries as codes, so that `read_query` ~ step * (2c - L).

    Returns codes (n, code_dim) uint8 and step (n,) float32.

    bits: of the query's code, 1 to 8; by default those of the vectors. The step is the one of 24
    tried that comes nearest. Symmetric search scores scale * step * <o_q, o_x> + addend.
    Raises ValueError as `encode` does.
    """
    bits = int(exported["bits"]) if bits is None else bits
    if not 1 <= bits <= 8:
        raise ValueError(f"bits is {bits}; expected 1 to 8")
    levels = 2**bits - 1
    mapped = read_query(exported, q)
    widest = np.abs(mapped).max(1, initial=0) / levels
    best = np.full(len(mapped), -1, np.float32)
    codes, step = np.zeros(mapped.shape, np.uint8), np.zeros(len(mapped), np.float32)
    for share in np.linspace(0.1, 1.1, 24, dtype=np.float32) if bits > 1 else (np.float32(1),):
        odd = _odd(mapped / np.maximum(share * widest, np.float32(1e-30))[:, None], levels)
        along, size = (mapped * odd).sum(1), (odd**2).sum(1)
        gain = along**2 / size
        better = gain > best
        best[better], step[better] = gain[better], (along / size)[better]
        codes[better] = ((odd + levels) / 2)[better]
    return codes, step


def apply_map(exported: Export, name: str, x: Floats) -> Floats:
    """One map on rows: skip x + bias + out relu(hidden x + hidden_bias); the latter if it is there.

    Arrays "{name}.skip" (out, in), "{name}.bias" (out,), and for a map with a hidden layer
    "{name}.hidden" (h, in), "{name}.hidden_bias" (h,), "{name}.out" (out, h).
    """
    y: Floats = x @ exported[f"{name}.skip"].T + exported[f"{name}.bias"]
    if f"{name}.hidden" in exported:
        inner = x @ exported[f"{name}.hidden"].T + exported[f"{name}.hidden_bias"]
        y += np.maximum(inner, 0) @ exported[f"{name}.out"].T
    return y


def _encode_block(exported: Export, f: Floats) -> Floats:
    bits = int(exported["bits"])
    b = _sign(apply_map(exported, "W", f))
    for u in range(bits - 1):
        residual = f - apply_map(exported, f"B{u}", b)
        b = b + np.float32(0.5 ** (u + 1)) * _sign(apply_map(exported, f"R{u}", residual))
    odd = np.ascontiguousarray((b * np.float32(2 ** (bits - 1))).T)
    sweeps = int(exported["sweeps"])
    if sweeps:
        gram = exported["query"] @ exported["query"].T
        slope = exported["query"] @ f.T - gram @ odd
        for _ in range(sweeps):
            for j in np.flatnonzero(gram.diagonal() > 0):
                new = _odd(odd[j] + slope[j] / gram[j, j], 2**bits - 1)
                if (new != odd[j]).any():
                    slope -= np.outer(gram[j], new - odd[j])
                    odd[j] = new
    return odd.T


def _sign(v: Floats) -> Floats:
    return np.where(v >= 0, np.float32(1), np.float32(-1))


def _odd(v: Floats, levels: int) -> Floats:
    nearest: Floats = np.clip(2 * np.floor(v / 2) + 1, -levels, levels)
    return nearest


def _vectors(exported: Export, x: Any) -> Floats:
    vectors = np.ascontiguousarray(x, np.float32)
    dim = len(exported["mean"])
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ValueError(f"vectors have shape {vectors.shape}; expected (n, {dim})")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors hold NaN or infinities; expected finite numbers")
    return vectors
