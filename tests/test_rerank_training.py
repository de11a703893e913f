"""fit: it teaches, does no harm, and leaves the rest of torch alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from rerank_cases import CharModel, CharTokenizer
from shortlist.rerank import MLP, Candidates, CrossEncoder, Dot, MaxSim, Reranker, Scorer, Tokens
from shortlist.rerank import fit as real_fit
from shortlist.rerank.losses import infonce, ranknet
from shortlist.rerank.metrics import ndcg
from torch import nn

DIM = 6


class Turn(Scorer):
    """Inner product after a learnt linear map, with dropout so that training is random."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(DIM, DIM, bias=False)
        nn.init.eye_(self.map.weight)
        self.dropout = nn.Dropout(0.1)

    def forward(self, queries, candidates):
        turned = self.dropout(self.map(queries))[candidates.query_index]
        return (turned * candidates.docs).sum(1)


@pytest.fixture
def task(rng):
    """Documents answer a query by their inner product with it read backwards."""
    docs = rng.normal(size=(150, DIM)).astype(np.float32)
    queries = rng.normal(size=(80, DIM)).astype(np.float32)
    lists = [rng.choice(150, rng.integers(12, 25), replace=False) for _ in queries]
    best = [
        ids[np.argsort(-(docs[ids] @ query[::-1]))[:3]]
        for ids, query in zip(lists, queries, strict=True)
    ]
    grades = [[3.0, 2.0, 1.0]] * len(queries)
    return queries, Candidates.from_lists(lists), Candidates.from_lists(best, grades), docs


def fit(scorer, task, **options):
    return real_fit(scorer, *task, **{"epochs": 3, "lr": 0.05, **options})


def weights(scorer):
    return {name: value.clone() for name, value in scorer.state_dict().items()}


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def judge(scorer, task):
    queries, candidates, relevant, docs = task
    return ndcg(Reranker(scorer, docs).rank_many(queries, candidates), relevant)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Turn, {"epochs": 15}),
        (Turn, {"epochs": 15, "loss": ranknet}),
        (lambda: MLP(DIM, hidden=64, scale=1.0), {"epochs": 25, "lr": 0.01}),
    ],
    ids=["linear", "ranknet", "MLP"],
)
def test_what_can_be_learnt_is_learnt(task, make, options):
    torch.manual_seed(0)
    scorer = make()
    before = judge(scorer, task)
    history = fit(scorer, task, validation=0.25, **options)
    assert [epoch.epoch for epoch in history] == [*range(options["epochs"] + 1)]
    assert math.isnan(history[0].loss)
    assert history[-1].loss < 0.7 * history[1].loss
    assert max(epoch.ndcg for epoch in history) > history[0].ndcg + 0.2
    assert judge(scorer, task) > before + 0.2


class Watched(Turn):
    """Reads which queries it is asked; the first number of each is its own number."""

    def __init__(self):
        super().__init__()
        self.trained, self.judged = [], []

    def forward(self, queries, candidates):
        (self.trained if self.training else self.judged).extend(queries[:, 0].tolist())
        return super().forward(queries, candidates)


def test_it_trains_on_some_queries_and_is_judged_by_others(task):
    """And leaves out those without an answer among their candidates."""
    queries, candidates, relevant, docs = task
    queries[:, 0] = range(80)
    answered = [q for q in range(80) if q % 4]
    relevant = Candidates.from_lists(
        # an answer that is no candidate, a candidate that is no answer, none
        [relevant[q][0] if q % 4 else [[1000], candidates[q][0][:1], []][q % 3] for q in range(80)],
        [[3, 2, 1] if q % 4 else [[1], [0], []][q % 3] for q in range(80)],
    )
    steps = []

    def loss(scores, labels, offsets):
        steps.append(len(offsets) - 1)
        for part in labels.tensor_split(offsets[1:-1].tolist()):
            assert part.max() > 0
        assert len(scores) == len(labels) == offsets[-1]
        return infonce(scores, labels, offsets)

    scorer = Watched().eval()
    data = (queries, candidates, relevant, docs)
    fit(scorer, data, validation=0.2, batch=20, loss=loss)
    trained, held = set(scorer.trained), set(scorer.judged)
    assert len(held) == 12
    assert trained.isdisjoint(held)
    assert sorted(trained | held) == answered
    assert steps == [20, 20, 8] * 3
    assert sorted(scorer.trained) == sorted([*trained] * 3)
    assert scorer.trained[:48] != scorer.trained[48:96]  # in another order each time
    other = Watched()
    fit(other, data, validation=0.2, seed=1)
    assert set(other.judged) != held


def test_each_step_has_its_own_gradient_and_no_large_one(task):
    """One step an epoch, of a loss whose gradient does not depend on the weights."""
    for factor in (0.01, 1000):
        scorer, steps = Turn(), []
        scorer.dropout.p = 0.0
        fit(
            scorer,
            task,
            batch=80,
            loss=lambda scores, *_, factor=factor: factor * scores.mean(),
            progress=lambda _, scorer=scorer, steps=steps: steps.append(
                scorer.map.weight.grad.clone()
            ),
        )
        for step in steps[1:]:
            torch.testing.assert_close(step, steps[0])
        norm = float(steps[0].norm())
        assert norm == pytest.approx(1, rel=1e-4) if factor == 1000 else 0 < norm < 0.1


def test_the_validation_share_leaves_something_on_both_sides(task):
    queries, candidates, relevant, docs = task
    three = (queries[:3], candidates.select(range(3)), relevant.select(range(3)), docs)
    for share, count in ((0.01, 1), (0.4, 1), (0.99, 2)):
        scorer = Watched()
        fit(scorer, three, validation=share, epochs=1)
        assert (len(set(scorer.judged)), len(set(scorer.trained))) == (count, 3 - count)


def test_training_that_does_harm_is_undone(task):
    scorer = Turn()
    fit(scorer, task, epochs=4)
    before = weights(scorer)
    worse = fit(scorer, task, epochs=4, loss=lambda *parts: -infonce(*parts))
    assert worse[-1].ndcg < worse[0].ndcg == max(epoch.ndcg for epoch in worse)
    assert same(before, weights(scorer))


def test_the_best_epoch_is_what_is_kept(task):
    """Learning that turns to harm: the loss changes its sign after six epochs."""
    kept, calls = {}, 0

    def loss(*parts):
        nonlocal calls
        calls += 1
        return infonce(*parts) * (1 if calls <= 6 else -3)

    scorer = Turn()
    history = fit(
        scorer,
        task,
        epochs=12,
        batch=80,
        loss=loss,
        progress=lambda epoch: kept.update({epoch.epoch: weights(scorer)}),
    )
    quality = [epoch.ndcg for epoch in history]
    best = quality.index(max(quality))
    assert 0 < best < 12
    assert same(kept[best], weights(scorer))
    assert not same(kept[12], weights(scorer))


def test_the_same_seed_gives_the_same_weights(task):
    runs = []
    for seed, noise in ((7, 1), (7, 2), (8, 1)):
        torch.manual_seed(noise)
        scorer = Turn()
        runs.append((fit(scorer, task, seed=seed)[1:], weights(scorer)))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])
    assert not same(runs[0][1], runs[2][1])


def test_the_random_numbers_of_others_stay_as_they_were(task):
    class Noisy(Turn):
        def forward(self, queries, candidates):
            return super().forward(queries, candidates) + torch.rand(1)  # when judged, too

    scorer = Noisy()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    of_torch, of_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(scorer, task)
    assert torch.equal(torch.get_rng_state(), of_torch)
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy)  # noqa: NPY002


@pytest.mark.parametrize("training", [True, False])
def test_modes_are_as_before(task, training):
    scorer = Turn().train(training)
    scorer.dropout.train(not training)
    fit(scorer, task)
    assert [module.training for module in scorer.modules()] == [training, training, not training]


class Enough(Exception):
    pass


def test_an_exception_leaves_the_best_weights_so_far(task):
    kept, told = {}, []

    def stop(epoch):
        told.append(epoch)
        kept[epoch.epoch] = weights(scorer)
        if epoch.epoch == 2:
            raise Enough

    scorer = Turn().eval()
    before = torch.get_rng_state()
    with pytest.raises(Enough):
        fit(scorer, task, progress=stop)
    best = max(told, key=lambda epoch: epoch.ndcg)
    assert same(kept[best.epoch], weights(scorer))
    assert not scorer.training
    assert not scorer.dropout.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_it(task, value):
    calls = 0

    def loss(*parts):
        nonlocal calls
        calls += 1
        return infonce(*parts) * (1 if calls <= 4 else value)

    scorer = Turn()
    with pytest.raises(ValueError, match=rf"the loss became {value} in epoch 2; lower lr"):
        fit(scorer, task, loss=loss, batch=32)  # three steps an epoch
    assert calls == 5
    assert all(value.isfinite().all() for value in weights(scorer).values())
    assert scorer.training


def test_progress_hears_of_each_epoch(task):
    told = []
    history = fit(Turn(), task, epochs=4, progress=told.append)
    assert told == history[1:]
    assert [epoch.epoch for epoch in told] == [1, 2, 3, 4]


def test_only_what_asks_for_gradients_is_trained(task):
    scorer = MLP(DIM, hidden=8, scale=1.0)
    scorer.layers.requires_grad_(False)
    before = weights(scorer)
    history = fit(scorer, task, epochs=8)
    assert max(epoch.ndcg for epoch in history[1:]) > history[0].ndcg
    after = weights(scorer)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"log_scale", "head.weight"}


class TokenMap(MaxSim):
    """MaxSim of tokens after a learnt map."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 4, bias=False)

    def forward(self, queries, candidates):
        docs = candidates.docs
        candidates = candidates.rescored(candidates.scores, "similarity")
        object.__setattr__(candidates, "docs", Tokens(self.map(docs.values), docs.offsets))
        return super().forward(Tokens(self.map(queries.values), queries.offsets), candidates)


@pytest.mark.parametrize("reads", ["tokens", "texts"])
def test_scorers_of_tokens_and_of_texts_learn_too(rng, reads):
    torch.manual_seed(0)
    if reads == "texts":
        scorer = CrossEncoder(CharModel(), CharTokenizer())
        docs = [f"{colour} {n}" for n in range(10) for colour in ("red", "blue", "grey")]
        queries = [f"question {n}" for n in range(30)]
    else:
        scorer = TokenMap()
        scale = np.array([1, 3, 3, 3], np.float32)  # the first number is what matters
        texts = [rng.normal(size=(3, 4)).astype(np.float32) * scale for _ in range(30)]
        for text in texts[::3]:
            text[0] += [3, 0, 0, 0]
        docs = Tokens.from_list(texts)
        queries = [np.abs(rng.normal(size=(2, 4)).astype(np.float32)) * scale for _ in range(30)]
    lists = Candidates.from_lists([rng.permutation(30) for _ in range(30)])
    # the same ten answer all queries
    relevant = Candidates.from_lists([range(0, 30, 3)] * 30)
    history = fit(scorer, (queries, lists, relevant, docs), lr=0.02, epochs=6, validation=0.3)
    assert max(epoch.ndcg for epoch in history[1:]) > history[0].ndcg + 0.1


@pytest.mark.parametrize("share", [0, 1, -0.5, 15, math.nan])
def test_a_share_that_is_none_is_refused(task, share):
    with pytest.raises(ValueError, match=f"validation is {share}; expected a share between 0 and"):
        fit(Turn(), task, validation=share)


@pytest.mark.parametrize("options", [{"epochs": 0}, {"batch": 0}, {"batch": -3}])
def test_training_for_no_time_is_refused(task, options):
    with pytest.raises(ValueError, match=r"epochs is \d+ and batch -?\d+; expected at least 1"):
        fit(Turn(), task, **options)


def test_where_nothing_can_be_learnt(task):
    queries, candidates, relevant, docs = task
    none = Candidates.from_lists([[]] * 80)
    one = Candidates.from_lists([relevant[0][0], *[[]] * 79])
    for known, count in ((none, 0), (one, 1)):
        with pytest.raises(ValueError, match=f"{count} queries have a relevant candidate; expecte"):
            fit(Turn(), (queries, candidates, known, docs))
    with pytest.raises(ValueError, match="Dot has no parameters to train"):
        fit(Dot(), task)
    with pytest.raises(ValueError, match="Turn has no parameters to train"):
        fit(Turn().requires_grad_(False), task)


def test_what_does_not_fit_is_refused(task):
    queries, candidates, relevant, docs = task
    for other in (queries[:79], np.concatenate([queries, queries])):
        with pytest.raises(ValueError, match=f"{len(other)} queries and candidates of 80"):
            fit(Turn(), (other, candidates, relevant, docs))
    with pytest.raises(ValueError, match="relevant has 79 queries; expected 80"):
        fit(Turn(), (queries, candidates, relevant.select(range(79)), docs))
    with pytest.raises(KeyError, match="is not in the store"):
        fit(Turn(), (queries, candidates, relevant, docs[:100]))
