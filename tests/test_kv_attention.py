"""Sparse attention beside torch's dense one, and a decoder that generates with retrieved keys."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import shortlist
import torch
from hypothesis import given
from hypothesis import strategies as st
from shortlist._core import _kernels
from shortlist.kv import KVRetriever, TokenLists, apply_rope, sparse_attention
from torch import Tensor, nn


def tensors(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dense(q: Tensor, k: Tensor, v: Tensor, lists: list[list[int]], scale: float) -> Tensor:
    """(q_heads, t, dv): softmax in float64 over exactly the listed tokens."""
    heads, t, _ = q.shape
    mine, group = heads * t // len(lists), heads // len(k)
    out = torch.zeros(heads, t, v.shape[2], dtype=torch.float64)
    for h in range(heads):
        for at in range(t):
            ids = torch.tensor(lists[h // mine * t + at])
            keys, values = (x[h // group][ids].double() for x in (k, v))
            out[h, at] = torch.softmax(scale * keys @ q[h, at].double(), 0) @ values
    return out


def random_lists(rng: np.random.Generator, lists: int, n: int) -> list[list[int]]:
    return [rng.permutation(n)[: rng.integers(1, n + 1)].tolist() for _ in range(lists)]


def as_token_lists(lists: list[list[int]]) -> TokenLists:
    offsets = np.cumsum([0, *map(len, lists)])
    return TokenLists(torch.tensor([i for one in lists for i in one]), torch.from_numpy(offsets))


@given(data=st.data())
def test_it_is_a_softmax_over_the_listed_tokens(data):
    kv, group, t = (data.draw(st.integers(1, 3)) for _ in range(3))
    n, d, dv = (data.draw(st.integers(1, m)) for m in (300, 70, 70))
    types = st.sampled_from([torch.float32, torch.float16, torch.bfloat16])
    seed = data.draw(st.integers(0, 10**6))
    q = tensors(seed, kv * group, t, d)
    k = tensors(seed + 1, kv, n, d).to(data.draw(types))
    v = tensors(seed + 2, kv, n, dv).to(data.draw(types))
    per = data.draw(st.sampled_from([kv, kv * group]))
    lists = random_lists(np.random.default_rng(seed), per * t, n)
    scale = data.draw(st.sampled_from([d**-0.5, 1.0, 5.0]))
    got = sparse_attention(q, k, v, as_token_lists(lists), scale=scale)
    want = dense(q, k, v, lists, scale)
    torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 128, 4095, 4096, 4097, 10_000])
def test_all_tokens_are_full_attention(isa, n):
    before = shortlist.simd_level()
    _kernels.set_level(isa)
    try:
        q, k, v = tensors(1, 4, 32), tensors(2, 2, n, 32), tensors(3, 2, n, 32)
        got = sparse_attention(q, k, v, torch.arange(n).expand(2, n))
    finally:
        _kernels.set_level(before)
    want = nn.functional.scaled_dot_product_attention(q[:, None], k, v, enable_gqa=True)
    torch.testing.assert_close(got, want[:, 0], rtol=1e-4, atol=1e-5)


def test_steep_logits_stay_finite():
    k = torch.linspace(-1, 1, 500)[None, :, None] * 40
    v = torch.arange(500.0)[None, :, None]
    got = sparse_attention(torch.full((1, 1), 50.0), k, v, torch.arange(500)[None], scale=1.0)
    assert float(got) == pytest.approx(499, abs=1e-2)
    low = sparse_attention(torch.full((1, 1), -50.0), k, v, torch.arange(500)[None], scale=1.0)
    assert float(low) == pytest.approx(0, abs=1e-2)


def test_threads_and_order_change_nothing():
    q, k, v = tensors(4, 6, 2, 24), tensors(5, 2, 9000, 24), tensors(6, 2, 9000, 24)
    lists = random_lists(np.random.default_rng(7), 4, 9000)
    before = shortlist.omp_get_max_threads()
    answers = []
    try:
        for threads in (1, 2, 5):
            shortlist.omp_set_num_threads(threads)
            answers.append(sparse_attention(q, k, v, as_token_lists(lists)))
    finally:
        shortlist.omp_set_num_threads(before)
    ordered = as_token_lists([sorted(one) for one in lists])
    answers.append(sparse_attention(q, k, v, ordered))
    for other in answers[1:]:
        assert torch.equal(other, answers[0])


def test_caches_of_any_layout_are_read_in_place():
    room = tensors(8, 40, 2, 12)  # tokens first, with room for more
    k, v = room[:30].transpose(0, 1)[..., :8], room[:30].transpose(0, 1)[..., 4:]
    q = tensors(9, 4, 8)
    ids = torch.tensor([[3, 29, 0], [1, -1, 7]])
    got = sparse_attention(q, k, v, ids)
    want = dense(q[:, None], k, v, [[3, 29, 0], [1, 7]], 8**-0.5)[:, 0]
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)
    of_numpy = sparse_attention(q.numpy(), k.numpy(), v.numpy(), ids.numpy())
    assert isinstance(of_numpy, np.ndarray)
    np.testing.assert_array_equal(of_numpy, got)
    half = sparse_attention(q.bfloat16(), k, v, ids)
    assert half.dtype == torch.bfloat16
    frozen = k.contiguous().numpy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(sparse_attention(q.numpy(), frozen, v, ids), got)


Q, K = tensors(10, 4, 8), tensors(11, 2, 9, 8)
IDS = torch.arange(9).expand(2, 9)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((Q, K, K, torch.tensor([[0, 9], [1, 2]])), shortlist.IdError, "id 9 of list 0.*0 to 8"),
        ((Q, K, K, torch.tensor([[0, 1], [1, -2]])), shortlist.IdError, "id -2 of list 1"),
        ((Q, K, K, torch.tensor([[0, 1], [4, 4]])), shortlist.IdError, "id 4 is in list 1 more"),
        ((Q, K, K, torch.tensor([[0, 1], [-1, -1]])), ValueError, "list 1 is empty"),
        ((Q, K, K, IDS.float()), TypeError, "ids has dtype float32; expected integers"),
        ((Q, K, K, IDS[:1]), shortlist.DimensionError, r"ids has shape \(1, 9\)"),
        ((Q, K, K, IDS[:, None].expand(2, 2, 9)), shortlist.DimensionError, r"\(2, 1, m\)"),
        ((Q, K, K, TokenLists([0], [0, 1])), shortlist.DimensionError, "1 lists; expected 2"),
        ((Q, K, K, TokenLists([0], [0, 1, 2])), ValueError, "offsets go from 0 to 2"),
        ((Q, K, K, TokenLists([0, 1], [0, 3, 2])), ValueError, r"offsets\[2\] = 2 is below"),
        ((Q, K, K[:, :8], IDS), shortlist.DimensionError, r"v \(2, 8, 8\)"),
        ((Q, K, K[0], IDS), shortlist.DimensionError, r"v has shape \(9, 8\)"),
        ((Q[:3], K, K, IDS), shortlist.DimensionError, "3 heads; expected a multiple of k's 2"),
        ((Q[:, :7], K, K, IDS), shortlist.DimensionError, r"q has shape \(4, 7\)"),
        ((Q[0], K, K, IDS), shortlist.DimensionError, r"q has shape \(8,\)"),
        ((Q * torch.nan, K, K, IDS), ValueError, "list 0 is not finite"),
        ((Q, K * torch.nan, K, IDS), ValueError, "not finite"),
        ((Q, K, K * torch.inf, IDS), ValueError, "not finite"),
        ((Q, K.mT.contiguous().mT, K, IDS), ValueError, r"k has strides .*k.contiguous\(\)"),
        ((Q, K.bool(), K, IDS), TypeError, "k has dtype torch.bool"),
        ((Q, K.to("meta"), K, IDS), ValueError, "k is on meta.*host memory"),
    ],
)
def test_bad_input_is_named(arguments, error, match):
    with pytest.raises(error, match=match):
        sparse_attention(*arguments)


@pytest.mark.parametrize("scale", [0, float("nan"), float("inf")])
def test_scale_is_checked(scale):
    with pytest.raises(ValueError, match="scale = "):
        sparse_attention(Q, K, K, IDS, scale=scale)


def test_no_query_gets_no_answer():
    nothing = torch.empty(4, 0, 8)
    ids = TokenLists(np.empty(0, np.int64), np.zeros(1, np.int64))
    assert sparse_attention(nothing, K, K, ids).shape == (4, 0, 8)


# --- a decoder, in the manner of Llama -------------------------------------------------------

DIM, HEADS, KV_HEADS, HEAD, LAYERS, VOCABULARY = 48, 6, 2, 8, 2, 50


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp_norm = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.q_proj = nn.Linear(DIM, HEADS * HEAD, bias=False)
        self.k_proj = nn.Linear(DIM, KV_HEADS * HEAD, bias=False)
        self.v_proj = nn.Linear(DIM, KV_HEADS * HEAD, bias=False)
        self.o_proj = nn.Linear(HEADS * HEAD, DIM, bias=False)
        self.mlp = nn.Sequential(nn.Linear(DIM, 2 * DIM), nn.SiLU(), nn.Linear(2 * DIM, DIM))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (heads, n, HEAD) before RoPE."""
        y = self.norm(x)
        every = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (p(y).unflatten(1, (-1, HEAD)).transpose(0, 1) for p in every)
        return q, k, v

    def after(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.o_proj(attended.transpose(0, 1).flatten(1))
        return x + self.mlp(self.mlp_norm(x))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, DIM)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.head = nn.Linear(DIM, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (n, VOCABULARY), with full attention."""
        x, at = self.embed(tokens), torch.arange(len(tokens))
        for layer in self.layers:
            q, k, v = layer.project(x)
            attended = nn.functional.scaled_dot_product_attention(
                apply_rope(q, at), apply_rope(k, at), v, is_causal=True, enable_gqa=True
            )
            x = layer.after(x, attended)
        return self.head(x)


class Generator:
    """The decoder token by token: keys and values in a cache, attended to where retrieved."""

    def __init__(self, decoder: Decoder, sample: Tensor, fraction: float) -> None:
        self.decoder, self.fraction = decoder, fraction
        self.caches = [[torch.empty(KV_HEADS, 0, HEAD)] * 2 for _ in range(LAYERS)]
        self.retrievers = []
        x, at = decoder.embed(sample), torch.arange(len(sample))
        for layer in decoder.layers:
            q, k, v = layer.project(x)
            made = KVRetriever(HEAD, KV_HEADS, HEADS, codewords=64, window=16, far_position=100)
            self.retrievers.append(made.calibrate(q, k, niter=5))
            attended = nn.functional.scaled_dot_product_attention(
                apply_rope(q, at), apply_rope(k, at), v, is_causal=True, enable_gqa=True
            )
            x = layer.after(x, attended)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits (n, VOCABULARY) of the next tokens."""
        decoder, begin = self.decoder, len(self.retrievers[0])
        at = torch.arange(begin, begin + len(tokens))
        x = decoder.embed(tokens)
        for layer, cache, retriever in zip(
            decoder.layers, self.caches, self.retrievers, strict=True
        ):
            q, k, v = layer.project(x)
            cache[:] = [
                torch.cat([old, new], 1)
                for old, new in zip(cache, (apply_rope(k, at), v), strict=True)
            ]
            retriever.append(k)
            ids = retriever.topk(q, fraction=self.fraction)
            x = layer.after(x, sparse_attention(apply_rope(q, at), *cache, ids))
        return decoder.head(x)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    torch.manual_seed(0)
    return Decoder().eval().requires_grad_(False)


PROMPT = torch.randint(VOCABULARY, (200,), generator=torch.Generator().manual_seed(3))


def test_all_keys_retrieved_generate_what_full_attention_does(decoder):
    generator = Generator(decoder, PROMPT, 1.0)
    logits, tokens = generator(PROMPT), PROMPT
    torch.testing.assert_close(logits, decoder(tokens), rtol=1e-4, atol=1e-4)
    for _ in range(30):
        tokens = torch.cat([tokens, logits[-1:].argmax(1)])
        logits = generator(tokens[-1:])
        assert int(logits[-1].argmax()) == int(decoder(tokens)[-1].argmax())
    torch.testing.assert_close(logits[-1], decoder(tokens)[-1], rtol=1e-3, atol=1e-4)


def test_few_keys_retrieved_come_close(decoder):
    few, fewest = Generator(decoder, PROMPT, 0.2), Generator(decoder, PROMPT, 1e-9)
    for retriever in fewest.retrievers:
        retriever.window = 1
        retriever.sink = 0
    want = decoder(PROMPT)[50:]
    spread = float(want.std())
    errors = [float((made(PROMPT)[50:] - want).square().mean().sqrt()) for made in (few, fewest)]
    assert errors[0] < 0.1 * spread
    assert errors[0] < 0.5 * errors[1]
    assert all(math.isfinite(e) for e in errors)
