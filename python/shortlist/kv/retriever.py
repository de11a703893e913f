"""Which tokens of a long context the heads of one layer should look at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist import ArgumentError, DimensionError, NotTrainedError
from shortlist._core import _kv
from shortlist._kmeans import ClusteringInitMethod_KMEANS_PLUS_PLUS, Kmeans

from .device import DeviceCodes
from .lists import TokenLists, as_floats, check_finite, in_kind
from .rope import CONVENTIONS, apply_rope, frequencies

Array = NDArray[Any]

_NUMBERS = ("head_dim", "kv_heads", "q_heads", "codewords", "window", "far_position", "sink")
_CODEBOOK = ("roots", "centroids", "codebook")
_RIDGE = 1e-6
_MOST_CODEWORDS = 1 << 16


def _integer(x: Any, name: str, least: int) -> int:
    if not isinstance(x, (int, np.integer)) or isinstance(x, bool) or x < least:
        raise ArgumentError(f"{name} = {x!r}; expected an integer, at least {least}")
    return int(x)


class KVRetriever:
    """Codes of a layer's keys in one sequence, and the tokens that a query would attend to by them.

    Keys are compared before RoPE and queries turned to one far position b, so that one codebook of
    each KV head serves tokens at any position: the logit of a far token is about <q R_b, codeword
    of its key>. The first tokens (attention sinks) and the last ones, for which that would not do,
    are always taken. After A2ATS (arXiv 2502.12665): windowed RoPE (eq. 11 and 12) and query-aware
    vector quantisation (eq. 13 to 18), whose settings are the defaults.

    head_dim, kv_heads, q_heads: of the layer; query head h belongs to KV head
        h // (q_heads / kv_heads).
    codewords: of each KV head, up to 65,536.
    window: the newest tokens, up to the query's own, that are always taken.
    far_position: b, where all older tokens are taken to be.
    sink: the first tokens, always taken.
    rope_base, rope_convention, inv_freq: the model's RoPE, as apply_rope has it.
    device: where codes live and are scored: the CPU, by native code, or another of torch's.

    Raises ArgumentError (a ValueError) for numbers that make no layer.
    """

    def __init__(
        self,
        head_dim: int,
        kv_heads: int,
        q_heads: int,
        *,
        codewords: int = 4096,
        window: int = 64,
        far_position: int = 2048,
        sink: int = 8,
        rope_base: float = 10000.0,
        rope_convention: str = "half",
        inv_freq: Any = None,
        device: Any = "cpu",
    ) -> None:
        numbers = (head_dim, kv_heads, q_heads, codewords, window, far_position, sink)
        for name, value, least in zip(_NUMBERS, numbers, (2, 1, 1, 1, 1, 0, 0), strict=True):
            setattr(self, name, _integer(value, name, least))
        if q_heads % kv_heads:
            raise ArgumentError(
                f"q_heads = {q_heads}; expected a multiple of kv_heads = {kv_heads}, as each KV "
                "head serves as many query heads"
            )
        if codewords > _MOST_CODEWORDS:
            raise ArgumentError(f"codewords = {codewords}; expected at most {_MOST_CODEWORDS}")
        if rope_convention not in CONVENTIONS:
            raise ArgumentError(
                f"rope_convention {rope_convention!r} is not known; choose one of {CONVENTIONS}"
            )
        self.rope_convention = rope_convention
        self.inv_freq = frequencies(head_dim, rope_base, inv_freq)
        self.device = torch.device(device)
        self._book: dict[str, Tensor] = {}
        self._native: _kv.Codebook | None = None
        self._codes: _kv.Codes | DeviceCodes | None = None

    head_dim: int
    kv_heads: int
    q_heads: int
    codewords: int
    window: int
    far_position: int
    sink: int

    def __len__(self) -> int:
        """Tokens appended so far."""
        return 0 if self._codes is None else len(self._codes)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={getattr(self, name)}" for name in _NUMBERS)
        state = f"{len(self)} tokens" if self._book else "not calibrated"
        return f"KVRetriever({numbers}, device={str(self.device)!r}): {state}"

    @property
    def is_calibrated(self) -> bool:
        return bool(self._book)

    def calibrate(
        self, queries: Any, keys: Any, *, niter: int = 25, seed: int = 1234, verbose: bool = False
    ) -> KVRetriever:
        """Learn the codebooks from the layer's own queries and keys; tokens are forgotten.

        With H = E[q~' q~] over the queries of all heads of a group, turned to the far position,
        scaled by its root mean square entry, plus 1e-6 I, and H = L L' (Cholesky), codewords are
        the means of k-means over the rows k L, times L^-1: the least expected square of the error
        of the scores (A2ATS, eq. 13 to 18).

        queries: (q_heads, m, head_dim) before RoPE. None stands for H = I: plain k-means.
        keys: (kv_heads, n, head_dim) before RoPE, n >= codewords; 10 to 256 times as many are good.
        niter, seed, verbose: of k-means.

        Returns itself. Raises DimensionError for other shapes, ArgumentError (a ValueError) for
        NaN, infinities, queries that are all 0, or too few keys.
        """
        k = self._tensor(keys, "keys", self.kv_heads)
        if k.shape[1] < self.codewords:
            raise ArgumentError(
                f"keys has {k.shape[1]} tokens; expected at least codewords = {self.codewords}: "
                "give more tokens, or make the retriever with fewer codewords"
            )
        check_finite(k, "keys")
        roots = np.stack([np.eye(self.head_dim)] * self.kv_heads)
        if queries is not None:
            q = self._tensor(queries, "queries", self.q_heads)
            if q.shape[1] < 1:
                raise ArgumentError("queries has no tokens; expected some, or None: plain k-means")
            check_finite(q, "queries")
            roots = self._roots(self._turned(q).cpu().double().numpy())
        host = k.cpu().float().numpy()
        centroids = np.empty((self.kv_heads, self.codewords, self.head_dim), np.float32)
        for head, root in enumerate(roots):
            kmeans = Kmeans(
                self.head_dim,
                self.codewords,
                niter=niter,
                seed=seed,
                verbose=verbose,
                init_method=ClusteringInitMethod_KMEANS_PLUS_PLUS,
                min_points_per_centroid=1,
            )
            kmeans.train((host[head].astype(np.float64) @ root).astype(np.float32))
            assert kmeans.centroids is not None
            centroids[head] = kmeans.centroids
        # c = c' L^-1
        decoded = np.linalg.solve(
            roots.transpose(0, 2, 1), centroids.astype(np.float64).transpose(0, 2, 1)
        )
        self._use(
            {
                "roots": roots.astype(np.float32),
                "centroids": centroids,
                "codebook": decoded.transpose(0, 2, 1).astype(np.float32),
            }
        )
        return self

    def append(self, keys: Any) -> None:
        """Take the next tokens of the sequence: all of a prompt, or one after another.

        keys: (kv_heads, n, head_dim) before RoPE (undo_rope gives them of a cache that is turned
            already), or (kv_heads, head_dim) of one token. Only codes are kept.

        Raises NotTrainedError before calibrate, DimensionError for other shapes, ArgumentError (a
        ValueError) for NaN and infinities; then no token is taken.
        """
        codes = self._ready()
        one = as_floats(keys, "keys", "")
        k = self._tensor(one[:, None] if one.ndim == 2 else one, "keys", self.kv_heads)
        check_finite(k, "keys")
        k = k.to(self.device, torch.float32)
        if isinstance(codes, DeviceCodes):
            codes.append(k)
        else:
            codes.append(k.numpy())

    def topk(
        self,
        queries: Any,
        *,
        k: int | None = None,
        fraction: float | None = None,
        group: str = "union",
    ) -> TokenLists:
        """The tokens to attend to: sinks, window, and the k best of the rest for each query head.

        queries: (q_heads, head_dim) before RoPE, of the newest token, whose key has been appended;
            or (q_heads, t, head_dim), of the newest t, none of which sees a later token.
        k: how many each query head asks for besides sinks and window; all there are if fewer.
            Tokens with the same code score the same: of the last ones, the newest are taken.
        fraction: the same as a share of the tokens appended, rounded up: 0.03 in the paper.
        group: "union", one list of each KV head, what any of its query heads asked for; "none",
            one list of each query head.

        Returns TokenLists on the device of the queries, numpy if they are, ready for
        sparse_attention. Raises NotTrainedError before calibrate, DimensionError for other shapes,
        ArgumentError (a ValueError) for NaN, more queries than tokens, and not exactly one of k and
        fraction.
        """
        codes = self._ready()
        if group not in ("union", "none"):
            raise ArgumentError(f"group {group!r} is not known; choose 'union' or 'none'")
        q = self._far(queries)
        if (k is None) == (fraction is None):
            raise ArgumentError(f"k = {k} and fraction = {fraction}; expected exactly one of them")
        if fraction is not None:
            if not 0 < fraction <= 1:
                raise ArgumentError(f"fraction = {fraction}; expected more than 0, at most 1")
            k = math.ceil(fraction * len(codes))
        wanted = (_integer(k, "k", 0), self.sink, self.window, group == "union")
        if isinstance(codes, DeviceCodes):
            ids, offsets = codes.topk(q, *wanted)
        else:
            ids, offsets = map(torch.from_numpy, codes.topk(q.numpy(), *wanted))
        if not isinstance(queries, Tensor):
            ids, offsets = ids.cpu(), offsets.cpu()
        return TokenLists(in_kind(ids, queries), in_kind(offsets, queries))

    def scores(self, queries: Any) -> Any:
        """What topk goes by: about the logits of far tokens, before any scale.

        queries: as for topk. Returns (q_heads, n) or (q_heads, t, n) float32: <q R_b, codeword of
        token j>, for all tokens, sinks, window and later ones too. Raises as topk does.
        """
        codes = self._ready().codes()
        q = self._far(queries)
        of = torch.as_tensor(codes if isinstance(codes, Tensor) else codes.astype(np.int64))
        table = q.reshape(self.kv_heads, -1, *q.shape[1:]) @ self._book["codebook"][:, None].mT
        out = table.gather(3, of[:, None, None].expand(*table.shape[:3], -1)).flatten(0, 1)
        out = out[:, 0] if np.ndim(queries) == 2 else out
        return in_kind(out if isinstance(queries, Tensor) else out.cpu(), queries)

    def decode(self) -> Tensor:
        """(kv_heads, n, head_dim) float32: the codeword of each token, which stands for its key."""
        codes = torch.as_tensor(np.asarray(self.state_dict()["codes"], np.int64))
        heads = torch.arange(self.kv_heads)[:, None]
        return self._book["codebook"].cpu()[heads, codes]

    def truncate(self, n: int) -> None:
        """Forget all tokens from the n-th on, as when drafted ones were refused; 0 forgets all."""
        self._ready().truncate(_integer(n, "n", 0))

    def new_sequence(self) -> KVRetriever:
        """A retriever without tokens that shares these codebooks."""
        other = KVRetriever(
            **{name: getattr(self, name) for name in _NUMBERS},
            rope_convention=self.rope_convention,
            inv_freq=self.inv_freq,
            device=self.device,
        )
        if self._book:
            other._book, other._native = self._book, self._native
            other._clear()
        return other

    def state_dict(self) -> dict[str, Array]:
        """All there is to it as numpy arrays, for numpy.savez: settings, codebooks, codes."""
        state: dict[str, Array] = {name: np.asarray(getattr(self, name)) for name in _NUMBERS}
        state["rope_convention"] = np.asarray(self.rope_convention)
        state["inv_freq"] = self.inv_freq.numpy()
        if self._codes is not None:
            state.update((name, self._book[name].cpu().numpy()) for name in _CODEBOOK)
            codes = self._codes.codes()
            state["codes"] = (codes.cpu().numpy() if isinstance(codes, Tensor) else codes).astype(
                np.uint16
            )
        return state

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], *, device: Any = "cpu") -> KVRetriever:
        """The retriever that state_dict described, or a file of numpy.savez that holds it.

        Raises ArgumentError (a ValueError) for what is missing or cannot be.
        """
        missing = {*_NUMBERS, "rope_convention", "inv_freq"} - set(state)
        calibrated = {*_CODEBOOK, "codes"} & set(state)
        if calibrated:
            missing |= {*_CODEBOOK, "codes"} - calibrated
        if missing:
            raise ArgumentError(f"the state lacks {sorted(missing)}; expected all of state_dict()")
        numbers = {name: int(np.asarray(state[name])) for name in _NUMBERS}
        found = cls(
            **numbers,
            rope_convention=str(np.asarray(state["rope_convention"])),
            inv_freq=np.asarray(state["inv_freq"]),
            device=device,
        )
        if calibrated:
            found._use({name: np.asarray(state[name], np.float32) for name in _CODEBOOK})
            codes = np.asarray(state["codes"])
            if codes.ndim != 2 or len(codes) != found.kv_heads or codes.dtype != np.uint16:
                raise DimensionError(
                    f"codes has shape {codes.shape} and dtype {codes.dtype}; expected "
                    f"({found.kv_heads}, tokens) of uint16"
                )
            if codes.size and codes.max() >= found.codewords:
                raise ArgumentError(
                    f"code {codes.max()} is not one of {found.codewords} codewords; the state is "
                    "damaged"
                )
            into = found._ready()
            if isinstance(into, DeviceCodes):
                into.append_codes(torch.from_numpy(codes.astype(np.int64)).to(found.device))
            else:
                into.append_codes(codes)
        return found

    def _roots(self, queries: Array) -> Array:
        """(kv_heads, head_dim, head_dim) float64: L of each head, of queries at the far place."""
        roots = np.empty((self.kv_heads, self.head_dim, self.head_dim))
        for head, q in enumerate(queries.reshape(self.kv_heads, -1, self.head_dim)):
            h = q.T @ q / len(q)
            size = np.sqrt(np.mean(h**2))
            if not size > 0:
                raise ArgumentError(
                    f"the queries of KV head {head} are all 0; expected the layer's own queries"
                )
            roots[head] = np.linalg.cholesky(h / size + _RIDGE * np.eye(self.head_dim))
        return roots

    def _use(self, book: dict[str, Array]) -> None:
        square = (self.kv_heads, self.head_dim, self.head_dim)
        rows = (self.kv_heads, self.codewords, self.head_dim)
        for name, shape in zip(_CODEBOOK, (square, rows, rows), strict=True):
            if book[name].shape != shape:
                raise DimensionError(f"{name} has shape {book[name].shape}; expected {shape}")
            if not np.isfinite(book[name]).all():
                raise ArgumentError(f"{name} holds NaN or infinities; expected finite numbers")
        on_cpu = self.device.type == "cpu"
        self._native = _kv.Codebook(*(book[name] for name in _CODEBOOK)) if on_cpu else None
        self._book = {name: torch.from_numpy(book[name]).to(self.device) for name in _CODEBOOK}
        self._clear()

    def _clear(self) -> None:
        self._codes = (
            _kv.Codes(self._native)
            if self._native is not None
            else DeviceCodes(*(self._book[name] for name in _CODEBOOK))
        )

    def _ready(self) -> _kv.Codes | DeviceCodes:
        if self._codes is None:
            raise NotTrainedError("the retriever has no codebooks; calibrate(queries, keys) first")
        return self._codes

    def _tensor(self, x: Any, name: str, heads: int) -> Tensor:
        return as_floats(x, name, f"({heads}, n, {self.head_dim})", (heads, None, self.head_dim))

    def _turned(self, queries: Tensor) -> Tensor:
        turned: Tensor = apply_rope(
            queries.float(),
            self.far_position,
            convention=self.rope_convention,
            inv_freq=self.inv_freq,
        )
        return turned

    def _far(self, queries: Any) -> Tensor:
        """(q_heads, t, head_dim) on the retriever's device, at the far position."""
        one = as_floats(queries, "queries", "")
        q = self._tensor(one[:, None] if one.ndim == 2 else one, "queries", self.q_heads)
        check_finite(q, "queries")
        return self._turned(q.to(self.device))
