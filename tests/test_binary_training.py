"""fit of a binarizer: it beats the untrained one, is the same again, and can be stopped."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from binary_cases import asymmetric, same, shifted, symmetric, weights
from shortlist import CorruptIndexError, DimensionError
from shortlist.binary import RecurrentBinarizer, Step, odd_integers
from shortlist.binary.losses import contrast, distill

SMALL = {"rounds": 3, "steps": 6, "batch": 32}


@pytest.fixture(scope="module")
def data():
    return shifted()


@pytest.fixture(scope="module")
def few():
    return shifted(dim=8, n=300)


def fitted(data, bits=1, hidden=0, **options):
    binarizer = RecurrentBinarizer(data.base.shape[1], bits=bits, hidden=hidden)
    binarizer.fit(data.base, **{"queries": data.queries, **options})
    return binarizer


@pytest.mark.parametrize("bits", [1, 2])
def test_training_finds_more_than_the_untrained_rotation(data, bits):
    untrained = fitted(data, bits, rounds=0, sweeps=0)
    trained = fitted(data, bits)
    assert data.recall(asymmetric(trained, data)) > data.recall(asymmetric(untrained, data)) + 0.02


def test_training_queries_help(data):
    """The same codes; what is stored beside them knows where the queries lie."""
    scores = []
    for queries in (data.queries, None):
        binarizer = fitted(data, queries=queries)
        scores.append(asymmetric(binarizer, data))
    exact = data.asked @ data.base.T

    def spread(found):  # of the error, within a query: what may change its order
        wrong = found - exact
        return float((wrong - wrong.mean(1, keepdims=True)).std())

    assert spread(scores[0]) < 0.95 * spread(scores[1])


def test_networks_reconstruct_what_linear_maps_do_not():
    """A curve in the plane: the code of one side says what a linear map cannot read."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, 2000)
    base = np.stack([t, 3 * t**2, *(0.05 * rng.normal(size=(2, 2000)))], 1).astype(np.float32)
    lost = []
    for hidden in (0, 32):
        torch.manual_seed(0)
        binarizer = RecurrentBinarizer(4, bits=1, hidden=hidden)
        binarizer.fit(base, sweeps=0, steps=200, lr=5e-3)
        guess = odd_integers(binarizer.export(), binarizer.encode(base)) @ binarizer.query.numpy()
        lost.append(float(((base - base.mean(0) - guess) ** 2).mean()))
    assert lost[1] < 0.9 * lost[0]


def test_distillation_brings_cosines_of_codes_nearer_to_exact_scores(data):
    untrained = fitted(data, 2, rounds=0, sweeps=0)
    distilled = fitted(data, 2, objective="distill", steps=300)
    assert data.recall(symmetric(distilled, data)) > data.recall(symmetric(untrained, data)) + 0.01


@pytest.mark.parametrize("given", ["rows", "arrays"])
def test_pairs_teach_what_vectors_do_not_say(given):
    """Queries are their answers with the axes in another order: only the pairs tell."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(400, 12)).astype(np.float32)
    turned = np.concatenate([base[:, 6:], -base[:, :6]], 1) / 2 + base / 2
    rows = rng.permutation(400)
    pairs = np.stack([rows, rows], 1) if given == "rows" else (turned[rows], base[rows])
    places = []
    for steps in (0, 150):
        binarizer = RecurrentBinarizer(12, 24, bits=2, hidden=64)
        history = binarizer.fit(base, pairs, queries=turned, steps=steps, batch=64, lr=1e-2)
        with torch.no_grad():
            q, x = (binarizer.eval()(torch.tensor(v)) for v in (turned, base))
        scores = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(x).T
        places.append(float((scores >= scores.diagonal()[:, None]).sum(1).float().mean()))
    assert [step.stage for step in history] == ["network"] * 150
    assert places[1] < 0.6 * places[0]


def test_the_contrast_is_infonce():
    generator = torch.Generator().manual_seed(0)
    x, y, more = (torch.randn(n, 5, generator=generator).double() for n in (4, 4, 3))
    same_item = torch.zeros(4, 4, dtype=torch.bool)
    same_item[0, 2] = True
    known = torch.zeros(4, 3, dtype=torch.bool)
    known[1, 1] = True
    cosine = torch.nn.functional.cosine_similarity
    for hard in (0, 2):
        total = 0.0
        for i in range(4):
            own = float(cosine(x[i], y[i], dim=0)) / 0.1
            of_x = [cosine(x[i], y[j], dim=0) for j in range(4) if j != i and not same_item[i, j]]
            of_x += [cosine(x[i], more[j], dim=0) for j in range(3) if not known[i, j]]
            of_y = [cosine(x[j], y[i], dim=0) for j in range(4) if j != i and not same_item[j, i]]
            for others in (of_x, of_y):
                values = sorted((float(v) / 0.1 for v in others), reverse=True)[: hard or None]
                total += math.log(sum(math.exp(v - own) for v in [own, *values])) / 8
        found = contrast(x, y, same_item, 0.1, hard, more, known)
        assert float(found) == pytest.approx(total)


def test_the_distillation_is_nothing_where_scores_agree():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 5, generator=generator) for n in (3, 6))
    exact = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T
    assert float(distill(x, y, exact, 0.1)) == pytest.approx(0, abs=1e-6)
    assert float(distill(x, y, exact.flip(1), 0.1)) > 0.1


@pytest.mark.parametrize("objective", ["reconstruction", "infonce", "distill"])
def test_the_same_seed_gives_the_same_weights(few, objective):
    runs = []
    for seed, noise in ((7, 1), (7, 2), (8, 1)):
        torch.manual_seed(noise)
        binarizer = fitted(few, 2, 5, seed=seed, objective=objective, **SMALL)
        runs.append(weights(binarizer))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


class Enough(Exception):
    pass


@pytest.mark.parametrize("objective", ["reconstruction", "infonce", "distill"])
@pytest.mark.parametrize("stop", [1, 3, 5, 60, 100])
def test_going_on_gives_what_no_interruption_gives(few, tmp_path, objective, stop):
    options = {**SMALL, "steps": 110, "objective": objective, "batch": 8, "queue": 64}
    whole = RecurrentBinarizer(8, bits=2, hidden=4)
    history = whole.fit(few.base, queries=few.queries, **options)
    count = 0

    def progress(step):
        nonlocal count
        count += 1
        if count == stop:
            raise Enough

    halves = RecurrentBinarizer(8, bits=2, hidden=4)
    path = tmp_path / "training"
    with pytest.raises(Enough):
        halves.fit(few.base, queries=few.queries, **options, checkpoint=path, progress=progress)
    assert halves.encode(few.base).shape == (300, 8)  # it can be used
    rest = RecurrentBinarizer(8, bits=2, hidden=4)
    again = rest.fit(few.base, queries=few.queries, **options, checkpoint=path)
    assert again == history
    assert same(weights(rest), weights(whole))
    done = rest.fit(few.base, queries=few.queries, **options, checkpoint=path)  # nothing is left
    assert done == history
    assert same(weights(rest), weights(whole))


def test_a_checkpoint_of_another_training_is_refused(few, tmp_path):
    path = tmp_path / "training"
    fitted(few, checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="of a training with another seed; pass the same"):
        fitted(few, checkpoint=path, seed=1, **SMALL)
    with pytest.raises(ValueError, match="with another base"):
        fitted(replace(few, base=few.base[::-1]), checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="with another module"):
        fitted(few, bits=2, checkpoint=path, **SMALL)
    whole = path.read_bytes()
    for damaged in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(CorruptIndexError, match=r"no checkpoint of shortlist\.binary"):
            fitted(few, checkpoint=path, **SMALL)
    with pytest.raises(FileNotFoundError):
        fitted(few, checkpoint=tmp_path / "none" / "training", **SMALL)


@pytest.mark.parametrize("objective", ["reconstruction", "infonce"])
@pytest.mark.parametrize("stop", [2, 5])
def test_ctrl_c_leaves_what_was_learnt(few, objective, stop):
    def progress(step):
        if step.step == stop:
            raise KeyboardInterrupt

    stopped = RecurrentBinarizer(8, bits=1).eval()
    options = {**SMALL, "rounds": 9, "steps": 9, "objective": objective}
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(few.base, queries=few.queries, progress=progress, **options)
    assert not stopped.training
    untrained = fitted(few, **{**options, "rounds": 0, "steps": 0})
    assert not same(weights(stopped), weights(untrained))
    assert few.recall(asymmetric(stopped, few)) > 0.9 * few.recall(asymmetric(untrained, few))


def test_progress_hears_of_each_step(few):
    told = []
    binarizer = RecurrentBinarizer(8, bits=1, hidden=4)
    history = binarizer.fit(few.base, progress=told.append, **SMALL)
    assert told == history
    assert [(s.stage, s.step, s.steps) for s in told] == [
        *(("codes", i, 3) for i in (1, 2, 3)),
        *(("network", i, 6) for i in range(1, 7)),
    ]
    assert told[2].loss < told[0].loss
    assert all(isinstance(step, Step) for step in told)


def test_the_random_numbers_of_others_stay_as_they_were(few):
    binarizer = RecurrentBinarizer(8, hidden=4)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    binarizer.fit(few.base, objective="infonce", **SMALL)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", [np.float16, np.float64, "torch"])
def test_what_fit_takes(few, kind):
    base = few.base.astype(np.float16)
    expected = RecurrentBinarizer(8, bits=1)
    expected.fit(base.astype(np.float32), **SMALL)
    found = RecurrentBinarizer(8, bits=1)
    found.fit(torch.tensor(base) if kind == "torch" else base.astype(kind), **SMALL)
    assert same(weights(found), weights(expected))


def test_dead_and_equal_dimensions_do_no_harm(few):
    base = few.base.copy()
    base[:, 3] = 0.5
    base[:, 5] = base[:, 4]
    for x in (base, np.ones((10, 8), np.float32), base[:2]):
        binarizer = RecurrentBinarizer(8, 12, bits=2)
        binarizer.fit(x, **SMALL)
        assert all(bool(v.isfinite().all()) for v in binarizer.state_dict().values())
        binarizer.encode(x)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "hash"}, "objective is 'hash'; expected 'reconstruction', 'infonce'"),
        ({"metric": "cosine"}, "metric is 'cosine'"),
        ({"rounds": -1}, "rounds is -1; expected at least 0"),
        ({"sweeps": -1}, "sweeps is -1"),
        ({"steps": -1}, "steps is -1"),
        ({"batch": 1}, "batch is 1; expected at least 2"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"rows": 0}, "rows is 0"),
        ({"queue": -1}, "queue is -1"),
        ({"hard_negatives": -1}, "hard_negatives is -1"),
        ({"lr": 0.0}, "lr is 0.0; expected more than 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"queries": np.zeros((0, 8))}, "queries has no rows"),
        ({"pairs": [[0, 1]], "objective": "reconstruction"}, "pairs teach nothing of recon"),
        ({"pairs": [[0, 300]]}, "pairs name row 300 of base; it has 300 rows"),
        ({"pairs": [[-1, 0]]}, "pairs name row -1 of base"),
        ({"pairs": [[0, 1, 2]]}, r"pairs are int64 of shape \(1, 3\); expected \(n, 2\)"),
        ({"pairs": np.zeros((0, 2), int)}, r"shape \(0, 2\)"),
        ({"pairs": (np.ones((3, 8)), np.ones((2, 8)))}, "pairs have 3 and 2 rows"),
        ({"old_base": np.ones((300, 8))}, "pass both compatible_with and old_base"),
    ],
)
def test_options_that_do_not_fit_are_refused(few, options, said):
    binarizer = RecurrentBinarizer(8)
    before = weights(binarizer)
    with pytest.raises(ValueError, match=said):
        binarizer.fit(few.base, **options)
    assert same(weights(binarizer), before)


def test_data_that_do_not_fit_are_refused(few):
    binarizer = RecurrentBinarizer(8)
    for bad in (np.zeros((5, 7)), np.zeros(8), np.zeros((2, 2, 8))):
        with pytest.raises(DimensionError, match=r"base has shape .*; expected \(n, 8\)"):
            binarizer.fit(bad)
    with pytest.raises(DimensionError, match="queries has shape"):
        binarizer.fit(few.base, queries=np.zeros((5, 7)))
    with pytest.raises(ValueError, match="base has 1 rows; expected at least 2"):
        binarizer.fit(few.base[:1])
    wrong = few.base.copy()
    wrong[7, 3] = math.nan
    with pytest.raises(ValueError, match="base holds NaN or infinities"):
        binarizer.fit(wrong)
    with pytest.raises(TypeError, match="base is object; expected floats"):
        binarizer.fit(np.array([[None] * 8] * 3))
