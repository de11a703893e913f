"""Batches of a Reranker: within the budget, of similar length, halved when memory runs out."""

from __future__ import annotations

import weakref
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from rerank_cases import DIM, DOCS, case, random_mlp
from shortlist.rerank import Candidates, Dot, Reranker, Scorer, Tokens


class Counting(Scorer):
    """Scores a text by its number of tokens, and writes down the lengths in each batch."""

    reads = "tokens"

    def __init__(self, padded=False):
        super().__init__()
        self.padded = padded
        self.batches = []

    def forward(self, queries, candidates):
        assert (candidates.ids.diff() > 0).all()  # each query once, its candidates together
        lengths = candidates.docs.lengths
        both = lengths + queries.lengths[candidates.query_index]
        self.batches.append(both.tolist())
        return lengths.float()


def counted(lengths):
    return Tokens.from_list([np.full((n, 1), n, np.float32) for n in lengths])


sizes = st.lists(st.integers(0, 9), max_size=12)


@given(st.lists(st.tuples(st.integers(0, 5), sizes), max_size=4), st.integers(1, 40))
def test_ragged_batches_are_filled_up_to_the_budget(lists, budget):
    docs = [n for _, many in lists for n in many]
    ids = iter(range(len(docs)))
    candidates = Candidates.from_lists([[next(ids) for _ in many] for _, many in lists])
    costs = [n + of_query for of_query, many in lists for n in many]
    queries = counted([n for n, _ in lists])

    spy = Counting()
    best = Reranker(spy, counted(docs), token_budget=budget).rank_many(queries, candidates)
    assert best.scores.tolist() == [n for _, many in lists for n in sorted(many, reverse=True)]
    assert [cost for batch in spy.batches for cost in batch] == costs
    for batch in spy.batches:
        assert sum(batch) <= budget or len(batch) == 1
    for batch, after in pairwise(spy.batches):
        assert sum(batch) + after[0] > budget  # or one batch would have done


@given(st.lists(st.tuples(st.integers(0, 5), sizes), max_size=4), st.integers(1, 40))
def test_padded_batches_hold_pairs_of_similar_length(lists, budget):
    docs = [n for _, many in lists for n in many]
    ids = iter(range(len(docs)))
    candidates = Candidates.from_lists([[next(ids) for _ in many] for _, many in lists])
    costs = [n + of_query for of_query, many in lists for n in many]
    queries = counted([n for n, _ in lists])

    spy = Counting(padded=True)
    best = Reranker(spy, counted(docs), token_budget=budget).rank_many(queries, candidates)
    assert best.scores.tolist() == [n for _, many in lists for n in sorted(many, reverse=True)]
    batches = [sorted(batch, reverse=True) for batch in spy.batches]
    assert [cost for batch in batches for cost in batch] == sorted(costs, reverse=True)
    for batch in batches:
        assert batch[0] * len(batch) <= budget or len(batch) == 1
    for batch in batches[:-1]:
        assert len(batch) == max(1, budget // max(1, batch[0]))


def test_vectors_cost_one_and_texts_their_bytes():
    sizes = []

    class Vectors(Dot):
        def forward(self, queries, candidates):
            sizes.append(len(candidates.ids))
            return super().forward(queries, candidates)

    class Texts(Scorer):
        reads = "texts"

        def forward(self, queries, candidates):
            sizes.append(len(candidates.ids))
            return torch.zeros(len(candidates.ids))

    ten = Candidates.from_lists([range(10)])
    Reranker(Vectors(), torch.ones(10, DIM), token_budget=4).rank_many(torch.ones(1, DIM), ten)
    assert sizes == [4, 4, 2]
    sizes.clear()
    # a query of 2, texts of 3 tokens
    Reranker(Texts(), ["seven b"] * 10, token_budget=15).rank_many(["four"], ten)
    assert sizes == [3, 3, 3, 1]


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_for_nothing_is_refused(budget):
    with pytest.raises(ValueError, match=f"token_budget is {budget}; expected at least 1"):
        Reranker(Dot(), torch.ones(3, DIM), token_budget=budget)


def test_memory_stays_flat_over_a_thousand_ragged_lists(rng):
    budget, counts = 4096, np.linspace(10, 1000, 1000).astype(int)
    rng.shuffle(counts)
    docs = rng.normal(size=(5000, 64)).astype(np.float32)
    queries = rng.normal(size=(1000, 64)).astype(np.float32)
    lists = [rng.integers(5000, size=n) for n in counts]
    gathered = []

    class Spy:
        def gather(self, ids):
            gathered.append(len(ids))
            return torch.from_numpy(docs[ids.numpy()])

        def lengths(self, ids):
            return torch.ones_like(ids)

    candidates = Candidates(
        torch.from_numpy(np.concatenate(lists)),
        torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
        torch.zeros(int(counts.sum())),
    )
    best = Reranker(Dot(), Spy(), token_budget=budget).rank_many(queries, candidates, 10)
    assert max(gathered) <= budget
    assert sum(gathered) == counts.sum()
    assert best.counts.tolist() == [10] * 1000
    for q in range(0, 1000, 50):
        ids, scores = best[q]
        every = (docs[lists[q]].astype(float) * queries[q]).sum(1)
        np.testing.assert_allclose(scores, np.sort(every)[::-1][:10], rtol=1e-4)
        assert np.isin(ids, lists[q]).all()


# Out of memory

OUT_OF_MEMORY = {
    "torch": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "torch on the CPU": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "Metal": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
    "Python": MemoryError,
}
out_of_memory = pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)


class Small(Scorer):
    """Has memory for `room` pairs."""

    def __init__(self, room, error, padded=False):
        super().__init__()
        self.room, self.error, self.padded = room, error, padded
        self.dropped, self.sizes = [], []

    def forward(self, queries, candidates):
        assert all(docs() is None for docs in self.dropped), "a batch that failed is still there"
        self.sizes.append(len(candidates.ids))
        if len(candidates.ids) > self.room:
            self.dropped.append(weakref.ref(candidates.docs))
            raise self.error()
        return (queries[candidates.query_index] * candidates.docs).sum(1)


@out_of_memory
@pytest.mark.parametrize("room", [1, 2, 5])
@pytest.mark.parametrize("padded", [False, True])
def test_batches_that_do_not_fit_are_halved(error, room, padded):
    one = case("Dot ip")
    lists = Candidates.from_lists([range(7), [], [3, 5], range(DOCS), [9]])
    wanted = Reranker(one.scorer, one.docs).rank_many(one.queries(5), lists)
    small = Small(room, error, padded)
    got = Reranker(small, one.docs).rank_many(one.queries(5), lists)
    assert small.dropped
    assert sum(size for size in small.sizes if size <= room) == 30
    assert got.ids.tolist() == wanted.ids.tolist()
    np.testing.assert_allclose(got.scores, wanted.scores, rtol=1e-4, atol=1e-5)


def test_an_allocation_that_torch_refuses_is_halved():
    """The error as torch itself raises it."""

    class Greedy(Dot):
        def forward(self, queries, candidates):
            if len(candidates.ids) > 1:
                torch.empty(1 << 60, dtype=torch.uint8)
            return super().forward(queries, candidates)

    best = Reranker(Greedy(), torch.eye(4)).rank_many(
        torch.eye(4)[:1], Candidates.from_lists([range(4)])
    )
    assert best.scores.tolist() == [1, 0, 0, 0]


@out_of_memory
def test_a_store_may_run_out_of_memory_too(error):
    class Small:
        def gather(self, ids):
            if len(ids) > 2:
                raise error()
            return torch.ones(len(ids), DIM) * ids[:, None]

        def lengths(self, ids):
            return torch.ones_like(ids)

    best = Reranker(Dot(), Small()).rank_many(torch.ones(1, DIM), Candidates.from_lists([range(9)]))
    assert best.ids.tolist() == [*range(8, -1, -1)]


@out_of_memory
def test_one_pair_that_does_not_fit_is_a_memory_error(error):
    scorer = random_mlp().train()
    scorer.forward = Small(0, error).forward
    with pytest.raises(MemoryError, match="one candidate does not fit in memory") as raised:
        Reranker(scorer, torch.ones(9, DIM)).rank_many(
            torch.ones(1, DIM), Candidates.from_lists([range(9)])
        )
    assert type(raised.value.__cause__) is type(error())
    assert scorer.training


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2"), ValueError("no"), KeyError(3)])
def test_other_errors_pass_through_at_once(error):
    def fail():
        raise error

    small = Small(0, fail)
    with pytest.raises(type(error)) as raised:
        Reranker(small, torch.ones(9, DIM)).rank_many(
            torch.ones(1, DIM), Candidates.from_lists([range(9)])
        )
    assert raised.value is error
    assert small.sizes == [9]
