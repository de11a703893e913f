from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from shortlist.rerank.candidates import Candidates, offsets_of
from shortlist.rerank.losses import (
    infonce,
    lambda_loss,
    listnet,
    margin_mse,
    ranknet,
)
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# The formulas, one list at a time, in plain loops over its items. None: the list says nothing.


def naive_listnet(s, y, target="softmax"):
    if target == "normalised":
        y = [max(v, 0) for v in y]
    if len({*y}) < 2:
        return None
    weights = [math.exp(v) for v in y] if target == "softmax" else y
    total = sum(x.exp() for x in s)
    return sum(-w / sum(weights) * (x.exp() / total).log() for w, x in zip(weights, s, strict=True))


def naive_ranknet(s, y):
    n = range(len(y))
    terms = [(1 + (s[j] - s[i]).exp()).log() for i in n for j in n if y[i] > y[j]]
    return sum(terms) / len(terms) if terms else None


def naive_lambda(s, y, k=None, sigma=1.0):
    """Each weight from its meaning: what nDCG@k becomes when two items swap their ranks."""
    gain = [2 ** max(v, 0) - 1 for v in y]
    n = range(len(y))

    def dcg(order):
        return sum(gain[i] / math.log2(r + 2) for r, i in enumerate(order[:k]))

    order = sorted(n, key=lambda i: -s[i].item())
    best = dcg(sorted(n, key=lambda i: -gain[i]))
    terms = []
    for i in n:
        for j in n:
            if gain[i] > gain[j]:
                swap = {i: j, j: i}
                change = abs(dcg(order) - dcg([swap.get(x, x) for x in order])) / best
                terms.append(change * (1 + (-sigma * (s[i] - s[j])).exp()).log2())
    return sum(terms) if terms else None


def naive_infonce(s, y, temperature=1.0):
    e = [(x / temperature).exp() for x in s]
    others = [x for x, v in zip(e, y, strict=True) if v <= 0]
    terms = [-(x / (x + sum(others))).log() for x, v in zip(e, y, strict=True) if v > 0]
    return sum(terms) / len(terms) if terms and others else None


def naive_margin(s, y, teacher):
    n = range(len(y))
    terms = [
        ((s[i] - s[j]) - (teacher[i] - teacher[j])) ** 2
        for i in n
        for j in n
        if y[i] > 0 and y[j] <= 0
    ]
    return sum(terms) / len(terms) if terms else None


LOSSES = {
    "listnet": (listnet, naive_listnet),
    "listnet normalised": (
        partial(listnet, target="normalised"),
        partial(naive_listnet, target="normalised"),
    ),
    "ranknet": (ranknet, naive_ranknet),
    "lambda": (lambda_loss, naive_lambda),
    "lambda@2": (partial(lambda_loss, k=2, sigma=1.7), partial(naive_lambda, k=2, sigma=1.7)),
    "infonce": (infonce, naive_infonce),
    "infonce cold": (partial(infonce, temperature=0.4), partial(naive_infonce, temperature=0.4)),
    "margin_mse": (margin_mse, naive_margin),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def extras(name, values):
    """The teacher's scores, for the loss that has a teacher."""
    return (values,) if name == "margin_mse" else ()


def offsets(*counts):
    return offsets_of(torch.tensor(counts, dtype=torch.int64))


def batch(seed=0, counts=(4, 0, 1, 7, 3, 2), dtype=torch.float64, low=-1):
    """Scores that are all different, labels (list 4 has equal ones), offsets, a teacher."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    s = torch.tensor(rng.permutation(n) * 0.3 + rng.uniform(0, 0.1, n) - 0.15 * n, dtype=dtype)
    y = torch.tensor(rng.integers(low, 4, n))
    if counts == (4, 0, 1, 7, 3, 2):
        y[:4], y[12:15], y[15:] = torch.tensor([0, 2, 0, 1]), 2, torch.tensor([0, 3])
    return s, y, offsets(*counts), torch.tensor(rng.normal(size=n), dtype=dtype)


item = st.tuples(
    st.floats(-6, 6, allow_subnormal=False), st.integers(-1, 3), st.floats(-3, 3, width=32)
)
ragged = st.lists(st.lists(item, max_size=6), max_size=5)


@every_loss
@given(lists=ragged)
def test_value_and_gradient_are_those_of_the_formula(name, lists):
    loss, naive = LOSSES[name]
    s, y, t = ([one[part] for many in lists for one in many] for part in range(3))
    scores = torch.tensor(s, dtype=torch.float64, requires_grad=True)
    again = scores.detach().clone().requires_grad_()
    labels, teacher = torch.tensor(y, dtype=torch.int64), torch.tensor(t, dtype=torch.float64)
    got = loss(scores, labels, offsets(*map(len, lists)), *extras(name, teacher))

    terms, start = [], 0
    for many in lists:
        part = slice(start, start + len(many))
        term = naive([*again[part]], y[part], *extras(name, t[part]))
        terms += [] if term is None else [term]
        start += len(many)
    wanted = sum(terms) / len(terms) if terms else 0 * again.sum()

    assert got.shape == ()
    assert got.item() == pytest.approx(wanted.item(), rel=1e-9, abs=1e-9)
    got.backward()
    wanted.backward()
    torch.testing.assert_close(scores.grad, again.grad, rtol=1e-8, atol=1e-9)


def padded(values, bounds, fill):
    counts = bounds.diff()
    wide = values.new_full((len(counts), int(counts.max())), fill)
    for i, (begin, end) in enumerate(pairwise(bounds)):
        wide[i, : end - begin] = values[begin:end]
    return wide


def padded_pairs(s, y, real, cost, wanted):
    """The mean cost of the wanted pairs of each row, over rows that have some."""
    pairs = wanted(y[:, :, None], y[:, None, :]) & real[:, :, None] & real[:, None, :]
    costs = torch.where(pairs, cost(s[:, :, None] - s[:, None, :]), 0)
    counts = pairs.sum((1, 2))
    return (costs.sum((1, 2))[counts > 0] / counts[counts > 0]).mean()


@pytest.mark.parametrize("name", ["listnet", "ranknet", "infonce", "margin_mse"])
@pytest.mark.parametrize("seed", [0, 1])
def test_ragged_is_as_padded(name, seed):
    counts = np.random.default_rng(seed).integers(0, 40, 50)
    scores, labels, bounds, teacher = batch(seed, tuple(map(int, counts)))
    s, y = padded(scores / 50, bounds, 0.0), padded(labels.double(), bounds, 0.0)
    t, real = padded(teacher, bounds, 0.0), padded(torch.ones_like(scores), bounds, 0.0) > 0
    if name == "listnet":
        use = (y.masked_fill(~real, -9).amax(1) > y.masked_fill(~real, 9).amin(1)).nonzero()[:, 0]
        target = y.masked_fill(~real, -torch.inf).softmax(1)
        wanted = F.cross_entropy(s.masked_fill(~real, -1e30)[use], target[use])
    elif name == "ranknet":
        wanted = padded_pairs(s, y, real, lambda x: F.softplus(-x, threshold=100), torch.gt)
    elif name == "margin_mse":
        wanted = padded_pairs(s - t, y, real, torch.square, lambda a, b: (a > 0) & (b <= 0))
    else:
        positive, negative = real & (y > 0), real & (y <= 0)
        use = positive.any(1) & negative.any(1)
        others = s.masked_fill(~negative, -torch.inf).logsumexp(1, keepdim=True)[use]
        terms = torch.logaddexp(s[use], others) - s[use]
        wanted = ((terms * positive[use]).sum(1) / positive[use].sum(1)).mean()
    got = LOSSES[name][0](scores / 50, labels, bounds, *extras(name, teacher))
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)


ONE = torch.tensor([0.3, -1.2, 2.0, 0.9, -0.4], dtype=torch.float64)


def test_on_one_list_torch_says_the_same():
    first, of_one = torch.tensor([0, 0, 0, 1, 0]), offsets(5)
    close = partial(torch.testing.assert_close, rtol=1e-12, atol=0)
    close(
        infonce(ONE, first, of_one, temperature=0.7),
        F.cross_entropy(ONE[None] / 0.7, torch.tensor([3])),
    )
    close(
        listnet(ONE, first, of_one, target="normalised"),
        F.cross_entropy(ONE[None], torch.tensor([3])),
    )
    graded = torch.tensor([0.0, 2.5, 1.0, -3.0, 1.0], dtype=torch.float64)
    close(listnet(ONE, graded, of_one), F.cross_entropy(ONE[None], graded.softmax(0)[None]))
    margins = ONE[3] - ONE[[0, 1, 2, 4]]
    close(ranknet(ONE, first, of_one), F.soft_margin_loss(margins, torch.ones(4)))
    teacher = ONE.flip(0) * 2
    close(
        margin_mse(ONE, first, of_one, teacher),
        F.mse_loss(margins, teacher[3] - teacher[[0, 1, 2, 4]]),
    )


def test_lambda_loss_by_hand():
    # ranks 2, 1, 3: a swap of the first two changes nDCG by 3 (1 - 1/log2(3)) / 3
    s, y = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64), torch.tensor([2, 0, 0])
    second, third = 1 / math.log2(3), 1 / 2
    first_pair = (1 - second) * math.log2(1 + math.exp(1))
    other_pair = (second - third) * math.log2(1 + math.exp(-1))
    assert lambda_loss(s, y, offsets(3)).item() == pytest.approx(first_pair + other_pair)
    assert lambda_loss(s, y, offsets(3), k=1).item() == pytest.approx(math.log2(1 + math.e))
    assert lambda_loss(s, y, offsets(3), k=2).item() == pytest.approx(
        first_pair + second * math.log2(1 + math.exp(-1))
    )


def test_lambda_loss_ranks_equal_scores_in_list_order():
    s = torch.zeros(3, dtype=torch.float64)
    assert lambda_loss(s, torch.tensor([1, 0, 0]), offsets(3), k=1).item() == pytest.approx(2)
    assert lambda_loss(s, torch.tensor([0, 0, 1]), offsets(3), k=1).item() == pytest.approx(1)


def test_linear_gains_are_a_change_of_labels():
    s, y = ONE, torch.tensor([0.0, 3.0, 1.0, 2.0, 0.0], dtype=torch.float64)
    linear = lambda_loss(s, torch.log2(1 + y), offsets(5))
    by_hand, order = 0.0, s.argsort(descending=True).argsort()
    best = sum(g / math.log2(r + 2) for r, g in enumerate([3, 2, 1]))
    for i in range(5):
        for j in range(5):
            if y[i] > y[j]:
                swap = abs(1 / math.log2(order[i] + 2) - 1 / math.log2(order[j] + 2))
                cost = math.log2(1 + math.exp(s[j] - s[i]))
                by_hand += float(y[i] - y[j]) * swap * cost / best
    assert linear.item() == pytest.approx(by_hand)


@every_loss
@given(seed=st.integers(0, 2**20))
def test_order_of_lists_and_items_does_not_matter(name, seed):
    loss = LOSSES[name][0]
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 7, 5)
    s, y, bounds, t = batch(seed, tuple(map(int, counts)))
    starts, lists = bounds[:-1].numpy(), rng.permutation(5)
    order = torch.tensor(
        [starts[i] + j for i in lists for j in rng.permutation(counts[i])], dtype=torch.int64
    )
    s.requires_grad_()
    moved = s.detach()[order].requires_grad_()
    before = loss(s, y, bounds, *extras(name, t))
    after = loss(moved, y[order], offsets(*counts[lists]), *extras(name, t[order]))
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-12)
    before.backward()
    after.backward()
    torch.testing.assert_close(moved.grad, s.grad[order], rtol=1e-9, atol=1e-12)


@every_loss
def test_lists_that_say_nothing_do_not_count(name):
    loss = LOSSES[name][0]
    s, y, bounds, t = batch(counts=(4, 5))
    y = torch.tensor([0, 2, 0, 1, 1, 0, 0, 3, 0])
    alone = loss(s, y, bounds, *extras(name, t))
    same = torch.tensor([1.0, 2.0, 5.0])
    for label in (0, 1, 3):
        more = (
            torch.cat([s[:4], same, s[4:]]),
            torch.cat([y[:4], same.new_full((3,), label), y[4:]]),
        )
        teacher = torch.cat([t[:4], same, t[4:]])
        got = loss(*more, offsets(0, 4, 3, 0, 5, 0), *extras(name, teacher))
        assert got.item() == pytest.approx(alone.item(), rel=1e-14)
    twice = loss(
        torch.cat([s, s]), torch.cat([y, y]), offsets(4, 5, 4, 5), *extras(name, torch.cat([t, t]))
    )
    assert twice.item() == pytest.approx(alone.item(), rel=1e-14)


@every_loss
@pytest.mark.parametrize("counts", [(), (0, 0), (1,), (3, 0, 1)])
def test_without_information_zero_with_a_gradient(name, counts):
    s = torch.linspace(-1, 1, sum(counts), requires_grad=True)
    for label in (-1, 0, 2):
        y = torch.full(s.shape, label)
        loss = LOSSES[name][0](s, y, offsets(*counts), *extras(name, torch.ones(len(s))))
        assert loss.item() == 0
        loss.backward()
        assert s.grad.tolist() == [0] * len(s)


@pytest.mark.parametrize("name", ["infonce", "margin_mse"])
def test_relevant_alone_or_others_alone_say_nothing(name):
    s, y = torch.tensor([3.0, 1.0, 4.0, 1.5], requires_grad=True), torch.tensor([1, 2, 0, -1])
    loss = LOSSES[name][0](s, y, offsets(2, 2), *extras(name, torch.ones(4)))
    assert loss.item() == 0
    loss.backward()
    assert s.grad.tolist() == [0] * 4


def test_labels_below_zero_count_as_zero_where_gains_are_meant():
    s, _, bounds, _ = batch(counts=(5,))
    below, zero = torch.tensor([-2.0, 1, 0, -1, 3]), torch.tensor([0.0, 1, 0, 0, 3])
    for loss in (lambda_loss, partial(listnet, target="normalised"), infonce):
        assert loss(s, below, bounds) == loss(s, zero, bounds)
    assert ranknet(s, below, bounds) != ranknet(s, zero, bounds)
    assert listnet(s, below, bounds) != listnet(s, zero, bounds)


@every_loss
def test_gradcheck(name):
    s, y, bounds, t = batch()
    s.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: LOSSES[name][0](x, y, bounds, *extras(name, t)), (s,))
    assert torch.autograd.gradgradcheck(
        lambda x: LOSSES[name][0](x, y, bounds, *extras(name, t)), (s,)
    )


@every_loss
def test_no_gradient_to_labels_or_teacher(name):
    s, y, bounds, t = batch()
    y, t = y.double().requires_grad_(), t.requires_grad_()
    assert not LOSSES[name][0](s, y, bounds, *extras(name, t)).requires_grad


FAR = torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0])
RIGHT, WRONG = torch.tensor([1, 0, 1, 0, 0]), torch.tensor([0, 1, 0, 1, 1])


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("labels", [RIGHT, WRONG, RIGHT * 3, WRONG * 1000])
def test_far_scores_do_not_overflow(name, dtype, labels):
    s = FAR.to(dtype, copy=True).requires_grad_()
    loss = LOSSES[name][0](s, labels, offsets(5), *extras(name, torch.zeros(5, dtype=dtype)))
    assert loss.dtype == dtype
    assert loss.isfinite()
    assert loss >= 0
    loss.backward()
    assert s.grad.isfinite().all()
    if name not in ("margin_mse", "listnet"):  # these want distances, not only an order
        assert (loss > 1e3) == bool(labels[1] > 0)
        assert (s.grad[labels > 0] <= 0).all()


def test_far_scores_have_the_right_loss():
    s, three = torch.tensor([1e4, -1e4, -1e4]), offsets(3)
    last, first = torch.tensor([0, 0, 1]), torch.tensor([1, 0, 0])
    assert ranknet(s, last, three).item() == pytest.approx((2e4 + math.log(2)) / 2)
    assert infonce(s, last, three).item() == pytest.approx(2e4)
    assert listnet(s, last, three, target="normalised").item() == pytest.approx(2e4)
    assert margin_mse(s, last, three, torch.zeros(3)).item() == pytest.approx(2e8)
    assert lambda_loss(s, last, three, k=1).item() == pytest.approx(2e4 / math.log(2))
    for loss in (ranknet, lambda_loss, infonce, partial(listnet, target="normalised")):
        assert loss(s, first, three).item() == 0


@pytest.mark.parametrize("size", [1e-12, 1e4])
def test_lambda_loss_with_tiny_and_huge_labels(size):
    s = torch.tensor([0.0, 1.0], requires_grad=True)
    loss = lambda_loss(s, torch.tensor([size, 0.0]), offsets(2))
    assert loss.item() == pytest.approx((1 - 1 / math.log2(3)) * math.log2(1 + math.e), rel=1e-5)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    s, y, bounds, t = batch(dtype=dtype)
    s.requires_grad_()
    loss = LOSSES[name][0](s, y, bounds, *extras(name, t))
    wide = LOSSES[name][0](s.detach().float(), y, bounds, *extras(name, t.float()))
    assert loss.dtype == torch.float32
    assert loss == wide
    loss.backward()
    assert s.grad.dtype == dtype


@every_loss
def test_labels_of_any_dtype(name):
    s, _, bounds, t = batch()
    y = torch.arange(len(s)) % 3 == 0
    wanted = LOSSES[name][0](s, y.double(), bounds, *extras(name, t))
    for labels in (y, y.int(), y.half()):
        assert LOSSES[name][0](s, labels, bounds, *extras(name, t)) == wanted


class Largest(TorchFunctionMode):
    """Remembers the largest tensor that any torch call made."""

    numel = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple) else (made,):
            if isinstance(one, torch.Tensor):
                self.numel = max(self.numel, one.numel())
        return made


@every_loss
def test_long_lists_with_few_relevant_are_cheap(name):
    lists, length, relevant = 20, 1000, 3
    s = torch.linspace(-1, 1, lists * length)
    y = (torch.arange(lists * length) % length < relevant).float()
    with Largest() as largest:
        LOSSES[name][0](s, y, offsets(*[length] * lists), *extras(name, s))
    assert lists * length <= largest.numel <= relevant * lists * length


def test_labels_come_from_judgements():
    found = Candidates.from_lists([[7, 3, 9], [1, 2]], [[3.0, 2, 1], [2, 1]])
    relevant = Candidates.from_lists([[9, 4], [1]])
    got = infonce(found.scores, found.labels(relevant), found.offsets)
    one, two = F.cross_entropy(found.scores[:3], torch.tensor(2)), math.log(1 + math.exp(-1))
    assert got.item() == pytest.approx((one.item() + two) / 2)


GOOD = (torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), torch.tensor([0, 2]))


@every_loss
@pytest.mark.parametrize(
    ("at", "bad", "words"),
    [
        (0, torch.tensor([[1.0, 2.0]]), r"scores are \(1, 2\) of torch.float32; expected \(nnz,\)"),
        (0, torch.tensor([1, 2]), r"scores are \(2,\) of torch.int64; expected \(nnz,\) floats"),
        (0, torch.tensor([1.0, -torch.inf]), "scores hold infinities or NaN"),
        (0, torch.tensor([torch.nan, 1.0]), "scores hold infinities or NaN"),
        (1, torch.tensor([1.0, 0.0, 1.0]), r"labels have shape \(3,\); expected \(2,\)"),
        (1, torch.tensor([[1.0, 0.0]]), r"labels have shape \(1, 2\); expected \(2,\)"),
        (1, torch.tensor([1.0, torch.nan]), "labels hold infinities or NaN"),
        (2, torch.tensor([0, 3]), "offsets must rise from 0 to 2"),
        (2, torch.tensor([0, 2, 1, 2]), "offsets must rise from 0 to 2"),
        (2, torch.tensor([0.0, 2.0]), "offsets are .* expected .* of torch.int64"),
    ],
)
def test_what_does_not_fit_is_refused(name, at, bad, words):
    arguments = [*GOOD]
    arguments[at] = bad
    with pytest.raises(ValueError, match=words):
        LOSSES[name][0](*arguments, *extras(name, torch.zeros(2)))


@pytest.mark.parametrize(
    ("loss", "options", "words"),
    [
        (listnet, {"target": "sum"}, "target is 'sum'; expected 'softmax' or 'normalised'"),
        (lambda_loss, {"k": 0}, "k is 0; expected at least 1"),
        (lambda_loss, {"sigma": 0.0}, "sigma is 0.0; expected more than 0"),
        (infonce, {"temperature": -1.0}, "temperature is -1.0; expected more than 0"),
        (infonce, {"temperature": math.nan}, "temperature is nan"),
        (margin_mse, {"teacher": torch.zeros(3)}, r"teacher have shape \(3,\); expected \(2,\)"),
        (margin_mse, {"teacher": torch.tensor([0.0, math.inf])}, "teacher hold infinities"),
    ],
)
def test_options_that_mean_nothing_are_refused(loss, options, words):
    with pytest.raises(ValueError, match=words):
        loss(*GOOD, **options)
