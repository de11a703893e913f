"""A Hugging Face encoder from a local folder: token vectors, and a classifier to fine-tune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from shortlist.rerank import Tokens
from shortlist.rerank.candidates import offsets_of
from torch import Tensor
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

MAX_TOKENS = 64
BATCH = 64


class TokenRows:
    """A store of token vectors for some ids only."""

    def __init__(self, ids: Tensor, tokens: Tokens) -> None:
        self.ids, self.tokens = ids, tokens  # ids ascending

    def rows(self, ids: Tensor) -> Tensor:
        rows = torch.searchsorted(self.ids, ids)
        if not torch.equal(self.ids[rows.clamp(max=len(self.ids) - 1)], ids):
            raise KeyError("an id has no token vectors")
        return rows

    def gather(self, ids: Tensor) -> Tokens:
        return self.tokens.select(self.rows(ids))

    def lengths(self, ids: Tensor) -> Tensor:
        return self.tokens.lengths[self.rows(ids)]


def token_vectors(
    folder: Path, texts: Sequence[str], show: Callable[[int, int], None] = lambda *_: None
) -> Tokens:
    """Last hidden states of length 1 of every text's tokens, special ones left out, as float16."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding in a batch
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    with torch.inference_mode():
        for begin in range(0, len(order), BATCH):
            part = order[begin : begin + BATCH]
            batch = tokenizer(
                [texts[i] for i in part],
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
                return_special_tokens_mask=True,
            )
            special = batch.pop("special_tokens_mask").bool()
            states = torch.nn.functional.normalize(model(**batch).last_hidden_state, dim=-1)
            for i, vectors, kept in zip(part, states, ~special, strict=True):
                found[i] = vectors[kept].half()
            show(min(begin + BATCH, len(order)), len(order))
    lengths = torch.tensor([len(one) for one in found])
    return Tokens(torch.cat(found), offsets_of(lengths))


def classifier(folder: Path) -> tuple[torch.nn.Module, object]:
    """The encoder with an untrained head of one logit, and its tokenizer."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    return model, AutoTokenizer.from_pretrained(folder)
