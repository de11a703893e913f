"""Retrieval of keys for long contexts: what it finds, what that changes, and what it costs.

    python bench/kv.py DATA_DIR
    python bench/kv.py DATA_DIR --minutes 30 --context 16384 --json kv.json

DATA_DIR holds passages.jsonl.gz, one {"text": ...} a line. A small decoder (RoPE, grouped queries,
words as tokens) is trained on them until its loss has clearly fallen. Contexts are made of
passages, half of which repeat an earlier one, so that there is something to look up; that a layer
also sees the token before (as smeared keys do, arXiv 2209.11895) lets it learn to in minutes.
Positions skip ahead in training (PoSE, arXiv 2309.10400), so that long distances are not new to
it. Then, on passages it has not seen:

- recall: of the far tokens with the greatest attention, 3 % of the context for each query head, the
  share found by query-aware codes, by plain k-means with as many codewords, and by no codes at all,
  which is what windowed RoPE alone costs; and the attention mass that each set covers.
- error: of the attention's output beside full attention, relative to its length.
- loss: of the whole model with retrieval in every layer, on the last tokens of the context.
- time: one decoded token of that model, and one layer of Llama-3-8B's shape, over keys
  drawn around 2,000 random places.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import platform
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shortlist
import torch
from shortlist.kv import (
    KVRetriever,
    TokenLists,
    apply_rope,
    sparse_attention,
)
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

WORDS = 2048
# Contexts of a training batch: short ones first, from which it learns faster, then long ones.
SHORT, LONG, TOKENS, SHORT_SHARE = 256, 2048, 2048, 0.65
FRACTION, WINDOW, SINK, FAR = 0.03, 64, 8, 2048
BASE = 500000.0  # of RoPE: Llama-3's, for contexts of 128k
HELD_OUT = 0.2
MEASURES = ("recall", "mass", "error", "scores")
Attend = Callable[[int, Tensor, Tensor, Tensor, Tensor], Tensor]  # layer, q, k, v, positions


class Text:
    """Contexts of passages, half of them said before."""

    def __init__(self, folder: Path) -> None:
        with gzip.open(folder / "passages.jsonl.gz", "rt") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        split = [re.findall(r"\w+|[^\w\s]", text.lower()) for text in texts]
        common = Counter(word for words in split for word in words).most_common(WORDS - 2)
        number = {word: i for i, (word, _) in enumerate(common, 2)}  # 0: unknown, 1: a new passage
        passages = [[1, *(number.get(word, 0) for word in words)] for words in split]
        order = np.random.default_rng(0).permutation(len(passages))
        cut = int(HELD_OUT * len(passages))
        self.held_out = [passages[i] for i in order[:cut]]
        self.training = [passages[i] for i in order[cut:]]

    def context(
        self, passages: list[list[int]], n: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """n tokens, and which of them repeat a passage."""
        tokens: list[int] = []
        again: list[bool] = []
        said: list[list[int]] = []
        while len(tokens) < n:
            repeats = bool(said) and rng.random() < 0.5
            one = (said if repeats else passages)[rng.integers(len(said if repeats else passages))]
            if not repeats:
                said.append(one)
            tokens += one
            again += [False, *[repeats] * (len(one) - 1)]
        return torch.tensor(tokens[:n]), torch.tensor(again[:n])


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.norm, self.mlp_norm = nn.RMSNorm(shape.dim), nn.RMSNorm(shape.dim)
        self.shift = nn.Parameter(torch.full((shape.dim,), 0.3))
        self.qkv = nn.Linear(shape.dim, (shape.heads + 2 * shape.kv_heads) * shape.head, bias=False)
        self.out = nn.Linear(shape.heads * shape.head, shape.dim, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(shape.dim, 2 * shape.dim), nn.SiLU(), nn.Linear(2 * shape.dim, shape.dim)
        )

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """(..., heads, n, head) of queries, keys and values, before RoPE."""
        y = self.norm(x)
        y = y + self.shift * nn.functional.pad(y, (0, 0, 1, 0))[..., :-1, :]
        every = self.qkv(y).unflatten(-1, (-1, self.shape.head)).transpose(-2, -3)
        return every.split([self.shape.heads, self.shape.kv_heads, self.shape.kv_heads], -3)

    def after(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(attended.transpose(-2, -3).flatten(-2))
        return x + self.mlp(self.mlp_norm(x))


@dataclass(frozen=True)
class Shape:
    dim: int = 128
    heads: int = 6
    kv_heads: int = 2
    head: int = 32
    layers: int = 2


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(WORDS, shape.dim)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.dim)

    def forward(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        x = self.embed(tokens)
        for i, layer in enumerate(self.layers):
            x = layer.after(x, attend(i, *layer.project(x), positions))
        return self.norm(x) @ self.embed.weight.T


def rope(x: Tensor, positions: Tensor) -> Tensor:
    """As apply_rope, with gradients: x (batch, heads, n, d), positions (batch, n)."""
    d = x.shape[-1]
    by = BASE ** (-torch.arange(0, d, 2) / d)
    angles = positions[:, None, :, None] * by
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def turned_to(x: Tensor, positions: Any) -> Tensor:
    out: Tensor = apply_rope(x, positions, base=BASE)
    return out


def causal(_: int, q: Tensor, k: Tensor, v: Tensor, positions: Tensor) -> Tensor:
    return scaled_dot_product_attention(
        rope(q, positions), rope(k, positions), v, is_causal=True, enable_gqa=True
    )


def train(text: Text, minutes: float, reach: int, seed: int) -> tuple[Decoder, list[Any]]:
    """A decoder, and (seconds, loss, loss of what is repeated) every 100 steps."""
    torch.manual_seed(seed)
    torch.set_num_threads(
        1
    )  # so small a model gains little by more, and loses much on a busy machine
    rng = np.random.default_rng(seed)
    decoder = Decoder(Shape())
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=3e-3, betas=(0.9, 0.98))
    start, log, recent = time.perf_counter(), [], []
    for step in range(10**9):
        spent = (time.perf_counter() - start) / (60 * minutes)
        rate = 3e-3 * min(1, (step + 1) / 100) * max(0.02, 1 - spent)
        optimiser.param_groups[0]["lr"] = rate
        length = SHORT if spent < SHORT_SHARE else LONG
        batch = TOKENS // length
        made = [text.context(text.training, length + 1, rng) for _ in range(batch)]
        tokens, again = (torch.stack(part) for part in zip(*made, strict=True))
        positions = torch.arange(length).repeat(batch, 1)
        for row in positions:
            if rng.random() < 0.75:
                row[rng.integers(1, length) :] += int(reach ** rng.random())
        logits = decoder(tokens[:, :-1], positions, causal)
        each = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        optimiser.zero_grad()
        each.mean().backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        where = again[:, 1:].flatten()
        each = each.detach()
        recent.append((float(each.mean()), float(each[where].mean())))
        if step % 100 == 99 or spent > 1:
            mean, repeated = np.mean(recent, 0).tolist()
            log.append((time.perf_counter() - start, mean, repeated))
            print(f"step {step + 1}: loss {mean:.3f}, of repeats {repeated:.3f}", flush=True)
            recent = []
        if spent > 1:
            return decoder.eval().requires_grad_(False), log
    raise AssertionError


def read(decoder: Decoder, tokens: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Queries, keys before RoPE and values of each layer, with full attention."""
    found = []

    def attend(_: int, q: Tensor, k: Tensor, v: Tensor, at: Tensor) -> Tensor:
        found.append((q, k, v))
        turned, keys = turned_to(q, at), turned_to(k, at)
        parts = []
        for i in range(0, len(at), 1024):  # part by part, so that no mask is large
            mask = at[: i + 1024] <= at[i : i + 1024, None]
            parts.append(
                scaled_dot_product_attention(
                    turned[None, :, i : i + 1024],
                    keys[None, :, : i + 1024],
                    v[None, :, : i + 1024],
                    mask,
                    enable_gqa=True,
                )[0]
            )
        return torch.cat(parts, 1)

    x = decoder.embed(tokens)
    at = torch.arange(len(tokens))
    for i, layer in enumerate(decoder.layers):
        x = layer.after(x, attend(i, *layer.project(x), at))
    return found


def retrievers(
    samples: list[list[tuple[Tensor, ...]]], shape: Shape, codewords: int, aware: bool
) -> list[KVRetriever]:
    """One of each layer, from what `read` found of sample contexts."""
    made = []
    for layer in zip(*samples, strict=True):
        q, k = (torch.cat([part[i] for part in layer], 1) for i in (0, 1))
        one = KVRetriever(
            shape.head, shape.kv_heads, shape.heads,
            codewords=codewords, window=WINDOW, far_position=FAR, sink=SINK, rope_base=BASE,
        )  # fmt: skip
        made.append(one.calibrate(q if aware else None, k, niter=10))
    return made


def of_scores(scores: Tensor, k: int) -> list[Tensor]:
    """Sinks, window and the k best of the rest, of scores (heads, n) by the newest token."""
    n = scores.shape[1]
    far = scores[:, SINK : n - WINDOW]
    kept = torch.cat([torch.arange(SINK), torch.arange(n - WINDOW, n)])
    return [torch.cat([kept, best + SINK]) for best in far.topk(min(k, far.shape[1])).indices]


def united(lists: list[Tensor], group: int) -> TokenLists:
    """One list of each KV head."""
    parts = [torch.cat(lists[i : i + group]).unique() for i in range(0, len(lists), group)]
    return TokenLists(torch.cat(parts), torch.tensor([0, *map(len, parts)]).cumsum(0))


def quality(
    layers: list[tuple[Tensor, ...]],
    methods: dict[str, list[KVRetriever] | None],
    positions: list[int],
) -> list[dict[str, Any]]:
    """A row of each method and layer: means over heads and sampled positions."""
    rows = []
    for depth, (q, k, v) in enumerate(layers):
        found: dict[str, list[tuple[float, ...]]] = {}
        group = len(q) // len(k)
        scale = q.shape[2] ** -0.5
        for i in positions:
            n, at = i + 1, torch.arange(i + 1)
            query, keys, values = q[:, i], k[:, :n], v[:, :n]
            turned, rotated = turned_to(query, i), turned_to(keys, at)
            logits = (turned.unflatten(0, (-1, group)) @ rotated.mT).flatten(0, 1) * scale
            mass = logits.softmax(1)
            full = (mass.unflatten(0, (-1, group)) @ values).flatten(0, 1)
            count = math.ceil(FRACTION * n)
            best = of_scores(logits, count)
            exact = turned_to(query, FAR).unflatten(0, (-1, group)) @ keys.mT
            exact = exact.flatten(0, 1)
            for name, made in {"best possible": None, **methods}.items():
                off = math.nan
                if name == "best possible":
                    lists = best
                elif name == "window and sinks":
                    lists = of_scores(logits, 0)
                elif made is None:
                    lists = of_scores(exact, count)
                else:
                    one = made[depth].new_sequence()
                    one.append(keys)
                    asked = one.topk(query, fraction=FRACTION, group="none")
                    lists = [asked[h] for h in range(len(q))]
                    off = float((one.scores(query) - exact).std() / exact.std())
                recall = np.mean(
                    [
                        torch.isin(b[SINK + WINDOW :], mine).float().mean()
                        for b, mine in zip(best, lists, strict=True)
                    ]
                )
                covered = np.mean([mass[h][mine].sum() for h, mine in enumerate(lists)])
                out = sparse_attention(turned, rotated, values, united(lists, group))
                error = ((out - full).norm(dim=1) / full.norm(dim=1)).mean()
                found.setdefault(name, []).append((recall, covered, float(error), off))
        for name, numbers in found.items():
            means = [None if math.isnan(m) else m for m in np.mean(numbers, 0).tolist()]
            rows.append(dict(zip(MEASURES, means, strict=True)) | {"method": name, "layer": depth})
    return rows


def losses(
    decoder: Decoder,
    tokens: Tensor,
    again: Tensor,
    layers: list[tuple[Tensor, ...]],
    made: list[KVRetriever] | None,
    fraction: float,
    last: int,
) -> dict[str, float]:
    """Mean loss on the last tokens, and on the repeats among them; with all keys if not `made`."""
    begin = len(tokens) - last

    def attend(i: int, q: Tensor, k: Tensor, v: Tensor, at: Tensor) -> Tensor:
        _, before, values = layers[i]
        keys = torch.cat([before[:, :begin], k], 1)
        values = torch.cat([values[:, :begin], v], 1)
        rotated, turned = turned_to(keys, torch.arange(len(tokens))), turned_to(q, at)
        if made is None:
            mask = torch.arange(len(tokens)) <= at[:, None]
            return scaled_dot_product_attention(turned, rotated, values, mask, enable_gqa=True)
        one = made[i].new_sequence()
        one.append(keys)
        asked = {"fraction": fraction} if fraction else {"k": 0}
        return sparse_attention(turned, rotated, values, one.topk(q, **asked))

    logits = decoder(tokens[begin:], torch.arange(begin, len(tokens)), attend)
    each = cross_entropy(logits[:-1], tokens[begin + 1 :], reduction="none")
    return {"loss": float(each.mean()), "repeats": float(each[again[begin + 1 :]].mean())}


def milliseconds(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Medians of interleaved rounds."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(spent) for name, spent in times.items()}


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Full attention of one token (q_heads, d) by matrix products, which torch does fastest."""
    by_head = q.unflatten(0, (len(k), -1))
    mass = (by_head @ k.mT * q.shape[1] ** -0.5).softmax(2)
    return (mass @ v).flatten(0, 1)


def retrieved(
    one: KVRetriever, q: Tensor, key: Tensor, turned: Tensor, k: Tensor, v: Tensor
) -> Tensor:
    """What a layer does for a new token."""
    one.append(key)
    out: Tensor = sparse_attention(turned, k, v, one.topk(q, fraction=FRACTION))
    one.truncate(len(one) - 1)
    return out


def token_times(
    decoder: Decoder, caches: list[tuple[Tensor, ...]], made: list[KVRetriever], rounds: int
) -> dict[str, float]:
    """Milliseconds of one decoded token after caches of keys (before RoPE) and values."""
    n = caches[0][0].shape[1]
    at, token = torch.tensor([n - 1]), torch.tensor([7])
    rotated = [turned_to(k, torch.arange(n)) for k, _ in caches]
    ones = []
    for retriever, (k, _) in zip(made, caches, strict=True):
        ones.append(retriever.new_sequence())
        ones[-1].append(k[:, :-1])
    every = torch.arange(n).expand(len(caches[0][0]), n)

    def step(attention: Callable[[int, Tensor, Tensor, Tensor], Tensor]) -> Callable[[], Tensor]:
        def attend(i: int, q: Tensor, k: Tensor, v: Tensor, _: Tensor) -> Tensor:
            turned = turned_to(q[:, 0], n - 1)
            rotated[i][:, -1] = turned_to(k[:, 0], n - 1)
            caches[i][1][:, -1] = v[:, 0]
            return attention(i, q[:, 0], k[:, 0], turned)[:, None]

        return lambda: decoder(token, at, attend)

    return milliseconds(
        {
            "full, torch": step(lambda i, q, k, t: grouped(t, rotated[i], caches[i][1])),
            "full, sparse_attention": step(
                lambda i, q, k, t: sparse_attention(t, rotated[i], caches[i][1], every)
            ),
            "retrieved": step(
                lambda i, q, k, t: retrieved(ones[i], q, k, t, rotated[i], caches[i][1])
            ),
        },
        rounds,
    )


def clustered(n: int, made: KVRetriever) -> Tensor:
    """Random keys (kv_heads, n, head_dim) around 2,000 places."""
    shape, generator = (made.kv_heads, 2000, made.head_dim), torch.Generator().manual_seed(0)
    places = torch.randn(shape, generator=generator)
    keys = places[:, torch.randint(2000, (n,), generator=generator)]
    return keys + 0.5 * torch.randn(keys.shape, generator=generator)


def layer_times(n: int, made: KVRetriever, rounds: int) -> dict[str, float]:
    """The same of the attention of one layer, over clustered keys."""
    generator = torch.Generator().manual_seed(n)
    k, v = clustered(n, made), torch.randn(made.kv_heads, n, made.head_dim, generator=generator)
    q = torch.randn(made.q_heads, made.head_dim, generator=generator)
    one = made.new_sequence()
    one.append(k[:, :-1])
    every = torch.arange(n).expand(made.kv_heads, n)
    return milliseconds(
        {
            "full, torch": lambda: grouped(q, k, v),
            "full, sparse_attention": lambda: sparse_attention(q, k, v, every),
            "retrieved": lambda: retrieved(one, q, k[:, -1], q, k, v),
        },
        rounds,
    )


def threads() -> Iterator[int]:
    """One, then all."""
    everything = shortlist.omp_get_max_threads()
    for count in sorted({1, everything}):
        shortlist.omp_set_num_threads(count)
        torch.set_num_threads(count)
        yield count


def table(heads: list[str], rows: list[list[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    cells = [
        ["" if c is None else f"{c:.3g}" if isinstance(c, float) else str(c) for c in row]
        for row in lines
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=12, help="of training")
    parser.add_argument("--context", type=int, default=8192, help="tokens that are searched")
    parser.add_argument("--codewords", type=int, default=4096)
    parser.add_argument("--positions", type=int, default=24, help="queries of the context measured")
    parser.add_argument("--times", type=int, nargs="*", default=[32768, 131072])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", type=Path, help="where the decoder is kept, to train it once")
    parser.add_argument("--json", type=Path, help="where every measurement goes")
    args = parser.parse_args()
    text, rng = Text(args.data), np.random.default_rng(1)
    if args.model and args.model.is_file():
        kept = torch.load(args.model, weights_only=True)
        decoder, log = Decoder(Shape()), kept["log"]
        decoder.load_state_dict(kept["weights"])
        decoder.eval().requires_grad_(False)
    else:
        decoder, log = train(text, args.minutes, max(args.times, default=args.context), 0)
        if args.model:
            torch.save({"weights": decoder.state_dict(), "log": log}, args.model)
    shape = decoder.shape
    print("calibrating", flush=True)
    samples = [
        read(decoder, text.context(text.training, min(args.context, 16384), rng)[0])
        for _ in range(max(1, 65536 // args.context))
    ]
    methods: dict[str, list[KVRetriever] | None] = {
        "windowed RoPE, no codes": None,
        "query-aware codes": retrievers(samples, shape, args.codewords, True),
        "plain k-means": retrievers(samples, shape, args.codewords, False),
        "window and sinks": None,
    }
    aware, plain = methods["query-aware codes"], methods["plain k-means"]
    assert aware is not None
    calibrated_on = samples[0][0][1].shape[1] * len(samples)
    tokens, again = text.context(text.held_out, args.context, rng)
    layers = read(decoder, tokens)
    some = np.linspace(args.context // 2, args.context - 1, args.positions).astype(int).tolist()
    found = quality(layers, methods, some)
    names = list(dict.fromkeys(row["method"] for row in found))
    last = min(512, args.context // 4)
    of_model = {
        "all keys": losses(decoder, tokens, again, layers, None, 0, last),
        "query-aware codes": losses(decoder, tokens, again, layers, aware, FRACTION, last),
        "plain k-means": losses(decoder, tokens, again, layers, plain, FRACTION, last),
        "window and sinks": losses(decoder, tokens, again, layers, aware, 0, last),
    }
    setting = {
        "data": args.data.name, "context": args.context, "codewords": args.codewords,
        "calibrated on": calibrated_on, "fraction": FRACTION, "window": WINDOW, "sink": SINK,
        "far position": FAR, "rope base": BASE, "shape": vars(shape), "training": {
            "minutes": log[-1][0] / 60, "first loss": log[0][1:], "last loss": log[-1][1:],
        },
        "simd": shortlist.simd_level(), "machine": platform.machine(), "torch": torch.__version__,
        "shortlist": shortlist.__version__,
    }  # fmt: skip
    print(f"\n{json.dumps(setting)}\n")
    print(
        table(
            [
                "method",
                *(f"{m}, layer {i}" for m in MEASURES for i in range(shape.layers)),
            ],
            [
                [
                    name,
                    *(row[m] for m in MEASURES for row in found if row["method"] == name),
                ]
                for name in names
            ],
        )
    )
    heads = ["loss with", f"last {last} tokens", "of them repeated"]
    print("\n" + table(heads, [[name, *found.values()] for name, found in of_model.items()]))

    layer = KVRetriever(128, 8, 32, codewords=args.codewords)
    sample = clustered(4 * args.codewords, layer)
    layer.calibrate(sample.repeat_interleave(4, 0)[:, :1000], sample, niter=3)
    times = []
    for n in args.times:
        # Longer caches repeat this one: the time depends on how many there are.
        turns = -(-n // args.context)
        caches = [tuple(x.repeat(1, turns, 1)[:, :n].clone() for x in part[1:]) for part in layers]
        for count in threads():
            for what, run in (
                ("the trained model", lambda c=caches: token_times(decoder, c, aware, args.rounds)),
                ("a layer of Llama-3-8B's shape", lambda n=n: layer_times(n, layer, args.rounds)),
            ):
                times.append({"what": what, "context": n, "threads": count, **run()})
                print(times[-1], flush=True)
    kinds = ["full, torch", "full, sparse_attention", "retrieved"]
    print(
        "\n"
        + table(
            ["milliseconds a token", "context", "threads", *kinds, "times faster"],
            [
                [
                    *(row[c] for c in ("what", "context", "threads", *kinds)),
                    min(row[c] for c in kinds[:2]) / row["retrieved"],
                ]
                for row in sorted(times, key=lambda row: row["what"])
            ],
        )
    )
    if args.json:
        document = {
            "setting": setting, "log": log, "quality": found, "loss": of_model, "times": times,
        }  # fmt: skip
        args.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
