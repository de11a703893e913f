"""Scorers, pair by pair, against numpy and loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from rerank_cases import CharModel, CharTokenizer, random_mlp
from shortlist.rerank import (
    MLP,
    Candidates,
    CrossEncoder,
    Dot,
    MaxSim,
    Reranker,
    Scorer,
    Tokens,
)

COUNTS = [3, 0, 1, 4]
ROWS = np.repeat(range(4), COUNTS)
DIM = 5


def read(docs, counts=COUNTS):
    """Candidates with these documents, so many for each query."""
    return replace(Candidates.from_lists([range(n) for n in counts]), docs=docs)


def vectors(rng, dtype="float32"):
    """Queries and documents, both as tensors of this type and as the numbers that those hold."""
    pair = [torch.tensor(rng.normal(size=(n, DIM)) * 3) for n in (4, sum(COUNTS))]
    pair = [x.abs() if dtype == "uint8" else x for x in pair]
    pair = [x.to(getattr(torch, dtype)) for x in pair]
    return pair, [x.to(torch.float64).numpy() for x in pair]


def by_numpy(metric, q, x):
    if metric == "l2":
        return ((q - x) ** 2).sum(1)
    dots = (q * x).sum(1)
    if metric == "cosine":
        norms = np.linalg.norm(q, axis=1) * np.linalg.norm(x, axis=1)
        return np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)
    return dots


# Vectors


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "uint8", "int8", "int64"]
)
def test_dot_computes_in_full_precision_whatever_the_store_holds(rng, metric, dtype):
    (_, docs), (_, x) = vectors(rng, dtype)
    (queries, _), (q, _) = vectors(rng)
    for asked, numbers in ((queries, q), (queries.to(docs.dtype), None)):
        numbers = asked.to(torch.float64).numpy() if numbers is None else numbers
        scores = Dot(metric)(asked, read(docs))
        assert scores.dtype == (torch.float64 if dtype == "float64" else torch.float32)
        wanted = by_numpy(metric, numbers[ROWS], x)
        np.testing.assert_allclose(scores, wanted, rtol=2e-6, atol=2e-6)


def test_dot_says_what_its_scores_are():
    kinds = {metric: Dot(metric).score_kind for metric in ("ip", "l2", "cosine")}
    assert kinds == {"ip": "similarity", "l2": "distance", "cosine": "similarity"}
    with pytest.raises(ValueError, match="metric is 'dot'; expected one of ip, cosine, l2"):
        Dot("dot")


def test_cosine_of_a_zero_vector_is_zero():
    scores = Dot("cosine")(torch.ones(4, DIM), read(torch.zeros(8, DIM)))
    assert scores.tolist() == [0] * 8


def test_an_untrained_mlp_is_the_scaled_inner_product(rng):
    (queries, docs), (q, x) = vectors(rng)
    for mlp, scale in ((MLP(DIM), 20), (MLP(DIM, hidden=7, scale=0.5), 0.5)):
        for mode in (mlp.train(), mlp.eval()):
            with torch.no_grad():
                scores = mode(queries, read(docs))
            np.testing.assert_allclose(scores, scale * by_numpy("ip", q[ROWS], x), rtol=1e-4)


def test_every_weight_of_an_mlp_learns(rng):
    """After a step, as the last layer starts at zero and lets nothing through until then."""
    (queries, docs), _ = vectors(rng)
    mlp = MLP(DIM, hidden=8, dropout=0.0)
    step = torch.optim.SGD(mlp.parameters(), lr=1e-3)
    for _ in range(2):
        step.zero_grad()
        mlp(queries, read(docs)).mean().backward()
        step.step()
    assert len(list(mlp.parameters())) == 6
    for name, weight in mlp.named_parameters():
        assert weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("weights", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("given_as", ["float64", "float16", "uint8"])
def test_an_mlp_takes_vectors_of_any_type(rng, weights, given_as):
    (queries, docs), _ = vectors(rng, given_as)
    mlp = random_mlp(DIM).eval()
    with torch.no_grad():
        wanted = mlp(queries.float(), read(docs.float()))
        scores = mlp.to(getattr(torch, weights))(queries, read(docs))
    rtol = 0.05 if weights == "bfloat16" else 1e-4
    scale = float(wanted.abs().max())
    np.testing.assert_allclose(scores.float(), wanted.float(), rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("scorer", [Dot(), Dot("l2"), MLP(DIM)])
def test_vectors_of_different_dimensions_are_refused(scorer):
    with pytest.raises(ValueError, match="queries have 5 dimensions and the documents 6"):
        scorer(torch.ones(4, DIM), read(torch.ones(8, DIM + 1)))


def test_an_mlp_refuses_dimensions_that_are_not_its_own():
    with pytest.raises(ValueError, match="the vectors have 5 dimensions; this MLP has 7"):
        MLP(7)(torch.ones(4, DIM), read(torch.ones(8, DIM)))


def test_scorers_say_what_is_left_to_write():
    class Mine(Scorer):
        pass

    with pytest.raises(NotImplementedError, match=r"Mine has no forward\(queries, candidates\)"):
        Mine()(torch.ones(4, DIM), read(torch.ones(8, DIM)))


# Tokens


def matrices(rng, lengths):
    return [rng.normal(size=(n, DIM)).astype(np.float32) for n in lengths]


def naive_max_sim(query, text):
    if not len(text):
        return 0.0
    return sum(max(float(q @ t) for t in text.astype(float)) for q in query.astype(float))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 5), max_size=4)), max_size=5),
    st.integers(0, 9),
    st.sampled_from([(np.float32, np.float32), (np.float32, np.float16), (np.float16,) * 2]),
)
def test_max_sim_is_the_double_loop(lists, seed, dtypes):
    """Queries and texts without tokens too; half precision in storage alone."""
    rng = np.random.default_rng(seed)
    queries = [x.astype(dtypes[0]) for x in matrices(rng, [n for n, _ in lists])]
    texts = [x.astype(dtypes[1]) for x in matrices(rng, [n for _, many in lists for n in many])]
    counts = [len(many) for _, many in lists]
    candidates = read(Tokens.from_list(texts), counts)
    if not texts:
        candidates = read(Tokens(torch.zeros(0, DIM), torch.zeros(1, dtype=torch.int64)), counts)
    asked = Tokens.from_list(queries) if queries else candidates.docs
    scores = MaxSim()(asked, candidates)
    rows = np.repeat(range(len(lists)), counts)
    wanted = [naive_max_sim(queries[q], text) for q, text in zip(rows, texts, strict=True)]
    np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-5)
    assert scores.dtype == torch.float32


def test_gradients_flow_through_max_sim(rng):
    queries = Tokens.from_list(matrices(rng, [2, 3, 0, 1]))
    docs = Tokens.from_list(matrices(rng, [3, 1, 0, 2, 2, 1, 0, 4]))
    leaves = [tokens.values.requires_grad_() for tokens in (queries, docs)]
    weights = torch.arange(1.0, 9.0)
    got = torch.autograd.grad(MaxSim()(queries, read(docs)) @ weights, leaves)
    one_by_one = sum(
        weight * (queries[q] @ docs[i].T).amax(1).sum()
        for i, (q, weight) in enumerate(zip(ROWS, weights, strict=True))
        if len(docs[i])
    )
    torch.testing.assert_close(got, torch.autograd.grad(one_by_one, leaves))


def test_max_sim_refuses_other_dimensions():
    queries = Tokens.from_list([np.ones((2, DIM))] * 4)
    with pytest.raises(ValueError, match="queries have 5 dimensions and the documents 6"):
        MaxSim()(queries, read(Tokens.from_list([np.ones((2, DIM + 1))] * 8)))


# Texts

QUERIES = ["ash", "no list", "elm tree", "a long question about oaks"]
TEXTS = ["an ash", "", "old elms", "oak", "the tree", "pine", "a much longer text", "x"]


def pairs():
    return [(QUERIES[q], text) for q, text in zip(ROWS, TEXTS, strict=True)]


@pytest.mark.parametrize("labels", [1, 2])
def test_a_cross_encoder_reads_each_pair(labels):
    torch.manual_seed(0)
    model = CharModel(labels)
    tokenizer = CharTokenizer()
    scorer = CrossEncoder(model, tokenizer, max_length=20)
    assert (scorer.reads, scorer.score_kind, scorer.padded) == ("texts", "logit", True)
    scores = scorer(QUERIES, read(TEXTS))
    options = {"padding": True, "truncation": True, "max_length": 20, "return_tensors": "pt"}
    assert tokenizer.calls == [options]
    for score, (query, text) in zip(scores, pairs(), strict=True):
        logits = model(**CharTokenizer()([query], [text], max_length=20)).logits[0]
        wanted = logits[0] if labels == 1 else logits.log_softmax(0)[1] - logits.log_softmax(0)[0]
        torch.testing.assert_close(score, wanted)
    scores.sum().backward()
    assert model.embedding.weight.grad.abs().sum() > 0


def test_a_cross_encoder_given_nothing_asks_nothing():
    tokenizer = CharTokenizer()
    assert CrossEncoder(CharModel(), tokenizer)(QUERIES, read([], [0] * 4)).shape == (0,)
    assert tokenizer.calls == []


@pytest.mark.parametrize("labels", [0, 3])
def test_logits_of_another_number_of_classes_are_refused(labels):
    model = CharModel()
    model.head = torch.nn.Linear(8, labels) if labels else torch.nn.Flatten(0)
    with pytest.raises(ValueError, match=r"logits have shape \((8, 3|64,)\).*num_labels=1"):
        CrossEncoder(model, CharTokenizer())(QUERIES, read(TEXTS))


@pytest.fixture(scope="module")
def bert():
    """Makes a tiny BERT with random weights, and its tokenizer."""
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ash", "elm", "oak", "old"]
    words += ["tree", "an"]
    tokenizer = transformers.BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})

    def make(labels):
        torch.manual_seed(1)
        config = transformers.BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
            initializer_range=0.5,
            num_labels=labels,
        )
        return transformers.BertForSequenceClassification(config), tokenizer

    return make


@pytest.mark.parametrize("labels", [1, 2])
def test_a_cross_encoder_of_hugging_face(bert, labels):
    model, tokenizer = bert(labels)
    scorer = CrossEncoder(model, tokenizer, max_length=24)
    docs = ["old oak", "ash " * 40, "", "an elm tree", "tree old tree"]
    candidates = Candidates.from_lists([[3, 1, 0, 4], [2, 1]])
    # both queries fit, or the query is what must be cut
    for asked in (["old elm", "oak"], ["old elm", "oak ash " * 30]):
        best = Reranker(scorer, docs, token_budget=40).rank_many(asked, candidates)
        model.eval()
        for query, (ids, scores) in zip(asked, best, strict=True):
            assert scores.tolist() == sorted(scores.tolist(), reverse=True)
            for i, score in zip(ids, scores, strict=True):
                encoded = tokenizer(
                    [query], [docs[i]], truncation=True, max_length=24, return_tensors="pt"
                )
                with torch.no_grad():
                    logits = model(**encoded).logits[0]
                wanted = logits[0] if labels == 1 else logits[1] - logits[0]
                torch.testing.assert_close(score, wanted, rtol=1e-4, atol=1e-5)
        model.train()
    assert best.scores.max() - best.scores.min() > 0.1


def test_a_classifier_with_more_classes_is_refused(bert):
    with pytest.raises(ValueError, match=r"logits have shape \(1, 3\)"):
        Reranker(CrossEncoder(*bert(3), max_length=24)).rank("ash", ["elm"])
