"""TwoStage, against searching and reranking by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import shortlist
import torch
from gpu_cases import host
from rerank_cases import CharModel, CharTokenizer
from shortlist.rerank import CrossEncoder, Dot, MaxSim, Reranker, Tokens, TwoStage

DIM = 8
N = 400
METRICS = {"ip": shortlist.METRIC_INNER_PRODUCT, "l2": shortlist.METRIC_L2}
FLT_MAX = float(np.finfo(np.float32).max)


@pytest.fixture
def x(rng):
    return rng.normal(size=(N, DIM)).astype(np.float32)


@pytest.fixture
def q(rng):
    return rng.normal(size=(7, DIM)).astype(np.float32)


def hnsw(x, metric="l2"):
    index = shortlist.IndexHNSWFlat(DIM, 16, METRICS[metric])
    index.add(x)
    return index


def by_hand(index, q, scores, candidates, k, metric):
    """The k best of what the index finds, by scores[query, id]."""
    found = index.search(q, candidates)[1]
    sign = 1 if metric == "l2" else -1
    I = np.array(
        [
            sorted(row, key=lambda i: sign * all_[i])[:k]
            for row, all_ in zip(found, scores, strict=True)
        ]
    )
    return np.take_along_axis(scores, I, 1), I


def distances(q, x, metric):
    if metric == "l2":
        return ((q[:, None].astype(float) - x) ** 2).sum(2)
    return q.astype(float) @ x.T


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("first", METRICS)
@pytest.mark.parametrize("make", [np.array, torch.tensor, np.ndarray.tolist])
def test_search_is_the_two_stages_by_hand(x, q, metric, first, make):
    """The first stage sees eight bits of each number; the second may judge by another metric."""
    rough = np.round(x)
    index = hnsw(rough, first)
    two = TwoStage(index, Reranker(Dot(metric), x), 30)
    D, I = two.search(make(q), 5)
    assert type(D) is type(I) is (torch.Tensor if make is torch.tensor else np.ndarray)
    wanted_D, wanted_I = by_hand(index, q, distances(q, x, metric), 30, 5, metric)
    np.testing.assert_array_equal(I, wanted_I)
    np.testing.assert_allclose(D, wanted_D, rtol=1e-4, atol=1e-5)
    assert np.asarray(D).dtype == np.float32
    assert np.asarray(I).dtype == np.int64


def test_the_first_stage_is_the_index_alone(x, q):
    for metric, kind in (("l2", "distance"), ("ip", "similarity")):
        index = hnsw(x, metric)
        found = TwoStage(index, Reranker(Dot(), x), 9).first_stage(q)
        assert found.score_kind == kind
        D, I = found.to_search(9)
        np.testing.assert_array_equal(I, index.search(q, 9)[1])
        np.testing.assert_array_equal(D, index.search(q, 9)[0])


@pytest.mark.parametrize("metric", METRICS)
def test_the_metric_is_known_where_the_order_does_not_show_it(x, q, metric):
    two = TwoStage(hnsw(x, metric), Reranker(Dot(metric), x), 1)
    assert two.first_stage(q).score_kind == {"l2": "distance", "ip": "similarity"}[metric]


def test_an_index_that_names_no_metric_is_read_by_its_order(x, q):
    index = hnsw(x)

    class Other:
        """As those of other libraries: ids without a sign."""

        def search(self, vectors, k):
            D, I = index.search(vectors, k)
            return D, I.astype(np.uint64)

    two = TwoStage(Other(), Reranker(Dot("l2"), x), 20)
    assert two.first_stage(q).score_kind == "distance"
    np.testing.assert_array_equal(two.search(q, 3)[1], hnsw(x).search(q, 3)[1])


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def resources(request):
    if request.param == "cuda":
        request.getfixturevalue("cuda_plugin")
        return shortlist.StandardGpuResources()
    return shortlist.StandardGpuResources._over(host(1))


@pytest.mark.parametrize("metric", METRICS)
def test_candidates_stay_on_the_device(x, q, metric, resources, monkeypatch):
    """From the index through its vectors to the results: nothing comes to the host."""
    index = shortlist.GpuIndexFlat(resources, DIM, METRICS[metric])
    index.add(x)
    device = "cpu" if index._engine.host else f"cuda:{index.getDevice()}"
    queries = torch.from_numpy(q).to(device)
    seen = []
    gather = index.reconstruct_batch

    def watched(ids):
        rows = gather(ids)
        seen.append((ids, rows))
        return rows

    monkeypatch.setattr(index, "reconstruct_batch", watched)
    two = TwoStage(index, Reranker(Dot(metric), index), 30)
    found = two.first_stage(queries)
    D, I = two.search(queries, 5)
    for held in (found.ids, found.scores, D, I, *seen[0]):
        assert isinstance(held, torch.Tensor)
        assert held.device == queries.device
    wanted_D, wanted_I = by_hand(hnsw(x, metric), q, distances(q, x, metric), N, 5, metric)
    np.testing.assert_array_equal(I.cpu(), wanted_I)
    np.testing.assert_allclose(D.cpu(), wanted_D, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(two.search(q, 5)[1], wanted_I)
    with pytest.raises(KeyError, match=f"id {N} is not in the store"):
        two.reranker.store.gather(torch.tensor([0, N], device=device))


def test_faiss_finds_candidates_too(x, q):
    faiss = pytest.importorskip("faiss")
    for metric, index in (("l2", faiss.IndexFlatL2(DIM)), ("ip", faiss.IndexFlatIP(DIM))):
        index.add(x)
        two = TwoStage(index, Reranker(Dot(metric), index), 30)
        D, I = two.search(q, 5)
        wanted = index.search(q, 5)
        np.testing.assert_array_equal(I, wanted[1])
        np.testing.assert_allclose(D, wanted[0], rtol=1e-4, atol=1e-5)
        assert two.first_stage(q).score_kind == {"l2": "distance", "ip": "similarity"}[metric]


def test_the_indexs_own_ids_come_through(x, q):
    ids = 2**62 - np.arange(N) * 7
    index = shortlist.IndexIDMap2(shortlist.IndexHNSWFlat(DIM, 16))
    index.add_with_ids(x, ids)
    D, I = TwoStage(index, Reranker(Dot("l2"), index), 20).search(q, 4)
    wanted = index.search(q, 4)
    np.testing.assert_array_equal(I, wanted[1])
    np.testing.assert_allclose(D, wanted[0], rtol=1e-4)
    assert np.isin(I, ids).all()


@pytest.mark.parametrize(("metric", "worst"), [("l2", FLT_MAX), ("ip", -FLT_MAX)])
@pytest.mark.parametrize("ntotal", [0, 3])
def test_missing_results_are_padded(x, q, metric, worst, ntotal):
    two = TwoStage(hnsw(x[:ntotal], metric), Reranker(Dot(metric), x), 10)
    D, I = two.search(q, 5)
    assert (D[:, ntotal:] == worst).all()
    assert (I[:, ntotal:] == -1).all()
    assert np.sort(I[:, :ntotal]).tolist() == [[*range(ntotal)]] * 7


def test_no_queries(x, q):
    D, I = TwoStage(hnsw(x), Reranker(Dot(), x)).search(q[:0], 5)
    assert D.shape == I.shape == (0, 5)


TEXTS = [f"{a} {b}" for a in ("ash", "elm", "oak", "fir") for b in ("leaf", "root", "bark")]


def letters(texts):
    """Embeds texts by the letters in them."""
    return np.array([[text.count(c) for c in "aeflmorst"] for text in texts], np.float32)


@pytest.fixture
def of_texts():
    """A first stage over texts."""
    index = shortlist.IndexFlatL2(9)
    index.add(letters(TEXTS))
    return index


@pytest.mark.parametrize("encode", [letters, lambda texts: torch.tensor(letters(texts))])
def test_texts_are_encoded_for_the_index_and_read_by_the_scorer(of_texts, encode):
    torch.manual_seed(0)
    reranker = Reranker(CrossEncoder(CharModel(), CharTokenizer()), TEXTS)
    asked = ["root of an elm", "fir bark", "oak"]
    D, I = TwoStage(of_texts, reranker, 6, encode=encode).search(asked, 4)
    assert type(D) is type(I) is np.ndarray
    _, found = of_texts.search(letters(asked), 6)
    for query, row, scores, ids in zip(asked, found, D, I, strict=True):
        best = reranker.rank(query, [TEXTS[i] for i in row], row, 4)
        assert ids.tolist() == [result.id for result in best]
        np.testing.assert_allclose(scores, [result.score for result in best], rtol=1e-4, atol=1e-5)


def test_a_scorer_of_vectors_is_given_the_encoded_texts(of_texts):
    two = TwoStage(of_texts, Reranker(Dot("l2"), of_texts), 6, encode=letters)
    D, I = two.search(["root of an elm", "oak"], 3)
    wanted = of_texts.search(letters(["root of an elm", "oak"]), 3)
    np.testing.assert_allclose(D, wanted[0])
    assert I[0].tolist() == wanted[1][0].tolist()


@pytest.mark.parametrize("as_tokens", [True, False])
def test_the_scorer_may_be_given_other_queries(rng, x, q, as_tokens):
    docs = [rng.normal(size=(3, 4)).astype(np.float32) for _ in range(N)]
    asked = [rng.normal(size=(2, 4)).astype(np.float32) for _ in range(7)]
    index = hnsw(x)
    two = TwoStage(index, Reranker(MaxSim(), Tokens.from_list(docs)), 25)
    D, I = two.search(q, 6, rerank_queries=Tokens.from_list(asked) if as_tokens else asked)
    every = np.array([[(a @ d.T).max(1).sum() for d in docs] for a in asked])
    wanted_D, wanted_I = by_hand(index, q, every, 25, 6, "ip")
    np.testing.assert_array_equal(I, wanted_I)
    np.testing.assert_allclose(D, wanted_D, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("k", [0, -1, 11])
def test_k_beyond_the_candidates_is_refused(x, q, k):
    two = TwoStage(hnsw(x), Reranker(Dot(), x), 10)
    assert two.search(q, 10)[0].shape == (7, 10)
    with pytest.raises(ValueError, match=f"k is {k}; expected 1 to 10, the candidates"):
        two.search(q, k)


def test_what_does_not_fit_is_refused(x, q):
    reranker = Reranker(Dot(), x)
    with pytest.raises(ValueError, match="candidates is 0; expected at least 1"):
        TwoStage(hnsw(x), reranker, 0)
    with pytest.raises(ValueError, match="there are 6 queries and candidates of 7"):
        TwoStage(hnsw(x), reranker).search(q, 5, rerank_queries=q[1:])
    with pytest.raises(shortlist.DimensionError):
        TwoStage(hnsw(x), reranker).search(q[:, 1:], 5)
    with pytest.raises(ValueError, match="expected queries as a list of str"):
        TwoStage(hnsw(x), Reranker(CrossEncoder(CharModel(), CharTokenizer()), TEXTS)).search(q, 5)
