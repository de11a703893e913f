"""Codes of a binarizer: what the network does, what is exported of it, and what codes say."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from binary_cases import asymmetric, shifted
from hypothesis import given, settings
from hypothesis import strategies as st
from shortlist import NotTrainedError
from shortlist.binary import (
    RecurrentBinarizer,
    decode,
    encode,
    encode_query,
    factors,
    odd_integers,
    read_query,
)
from shortlist.binary.descent import descend, solve
from shortlist.binary.module import straight_through


@pytest.fixture(scope="module")
def data():
    return shifted(dim=12, n=800)


def trained(data, bits, hidden=0, code_dim=None, **options):
    binarizer = RecurrentBinarizer(12, code_dim, bits, hidden)
    binarizer.fit(data.base, queries=data.queries, **{"rounds": 3, "steps": 5, **options})
    return binarizer


def test_the_gradient_of_a_sign_passes_within_one():
    v = torch.tensor([-2.0, -1.0, -0.5, 0.0, 1.0, 1.1], requires_grad=True)
    signs = straight_through(v)
    assert signs.tolist() == [-1, -1, -1, 1, 1, 1]
    (signs * torch.arange(1.0, 7.0)).sum().backward()
    assert v.grad.tolist() == [0, 2, 3, 4, 5, 0]


def test_the_recurrence_is_that_of_the_paper():
    """By hand, with maps of one number: W = R = identity, B_u(b) = b / 2 + 1/8."""
    binarizer = RecurrentBinarizer(1, bits=3)
    for read in (binarizer.W, *binarizer.R):
        read.set_linear(torch.ones(1, 1))
    for back in binarizer.B:
        back.set_linear(torch.full((1, 1), 0.5))
        torch.nn.init.constant_(back.skip.bias, 0.125)
    binarizer.mean.fill_(10)
    for x in (-2.0, -0.6, -0.3, -0.1, 0.0, 0.2, 0.7, 3.0):
        b = 1 if x >= 0 else -1
        for u in range(2):
            b += 0.5 ** (u + 1) * (1 if x - (b / 2 + 0.125) >= 0 else -1)
        assert float(binarizer(torch.tensor([[10 + x]])).detach()) == 4 * b


@pytest.mark.parametrize("hidden", [0, 7])
@pytest.mark.parametrize(("bits", "code_dim"), [(1, 12), (1, 20), (2, 12), (2, 5), (3, 9), (8, 12)])
def test_numpy_computes_the_exported_codes(data, bits, code_dim, hidden):
    """All codes but those that rounding may turn, and those are as good."""
    binarizer = trained(data, bits, hidden, code_dim)
    if hidden:  # the network says something
        assert all(bool(part.network.last.weight.any()) for part in [binarizer.W, *binarizer.R])
    exported = binarizer.export()
    codes, again = binarizer.encode(data.base), encode(exported, data.base)
    assert codes.shape == again.shape == (800, code_dim)
    assert codes.dtype == again.dtype == np.uint8
    assert again.max() < 2**bits
    assert (codes == again).all(1).mean() > 0.97

    def lost(c):
        return ((decode(exported, c) - data.base) ** 2).sum(1)

    np.testing.assert_allclose(lost(codes).mean(), lost(again).mean(), rtol=1e-3)
    start = encode({**exported, "sweeps": np.array(0)}, data.base)
    assert (lost(again) <= lost(start) + 1e-4).all()
    assert lost(again).mean() < lost(start).mean()


@pytest.mark.parametrize("hidden", [0, 5])
def test_what_export_holds(data, hidden):
    exported = trained(data, 3, hidden, 10).export()
    maps = {"W": (10, 12), **{f"R{u}": (10, 12) for u in (0, 1)}, "B0": (12, 10), "B1": (12, 10)}
    shapes = {"bits": (), "sweeps": (), "mean": (12,), "query_mean": (12,), "query": (10, 12)}
    for name, (outputs, inputs) in maps.items():
        shapes |= {f"{name}.skip": (outputs, inputs), f"{name}.bias": (outputs,)}
        if hidden:
            shapes |= {
                f"{name}.hidden": (5, inputs),
                f"{name}.hidden_bias": (5,),
                f"{name}.out": (outputs, 5),
            }
    assert {name: value.shape for name, value in exported.items()} == shapes
    assert all(v.dtype == np.float32 for v in exported.values() if v.ndim)
    assert (int(exported["bits"]), int(exported["sweeps"])) == (3, 8)
    np.testing.assert_allclose(exported["mean"], data.base.mean(0), atol=1e-6)
    np.testing.assert_allclose(exported["query_mean"], data.queries.mean(0), atol=1e-6)


def test_a_state_dict_holds_all(data):
    binarizer = trained(data, 2, 5)
    other = RecurrentBinarizer(12, bits=2, hidden=5)
    other.load_state_dict(binarizer.state_dict())
    np.testing.assert_array_equal(binarizer.encode(data.base), other.encode(data.base))


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 6), st.integers(1, 70))
def test_descent_ends_where_no_single_change_helps(seed, bits, dim, m):
    generator = torch.Generator().manual_seed(seed)
    levels = 2**bits - 1
    f, decoder = torch.randn(9, dim, generator=generator), torch.randn(m, dim, generator=generator)
    codes = 2.0 * torch.randint(0, levels + 1, (9, m), generator=generator) - levels

    def lost(c):
        return (f - c @ decoder).square().sum(1)

    before = lost(codes)
    for _ in range(4):
        codes = descend(f, codes, decoder, levels, 1)
        assert bool((lost(codes) <= before + 1e-3).all())
        before = lost(codes)
    codes = descend(f, codes, decoder, levels, 100)
    assert set(codes.unique().tolist()) <= set(range(-levels, levels + 1, 2))
    for j in range(m):
        for value in range(-levels, levels + 1, 2):
            other = codes.clone()
            other[:, j] = value
            assert bool((lost(other) >= lost(codes) - 1e-3 * (1 + lost(codes))).all())


def test_the_decoder_is_that_of_least_squares(rng):
    codes, f = rng.normal(size=(200, 7)), rng.normal(size=(200, 3))
    expected = np.linalg.lstsq(codes, f, rcond=None)[0]
    found = solve(*(torch.tensor(v) for v in (codes, f)), ridge=0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_scores_come_near_the_exact_ones(data, metric):
    """With 6 bits; under l2 vectors of different lengths are told apart."""
    base = data.base * (1 if metric == "ip" else np.linspace(0.5, 2, len(data.base))[:, None])
    base = base.astype(np.float32)
    binarizer = RecurrentBinarizer(12, bits=6)
    binarizer.fit(base, queries=data.queries, rounds=3)
    exported, codes = binarizer.export(), binarizer.encode(base)
    scale, addend = factors(exported, base, codes, metric)
    dots = read_query(exported, data.asked) @ odd_integers(exported, codes).T
    scores = dots * scale + addend + data.asked @ exported["mean"][:, None]
    exact = data.asked @ base.T - (0 if metric == "ip" else (base**2).sum(1) / 2)
    assert np.abs(scores - exact).std() < 0.02 * exact.std()


def test_the_mean_query_is_scored_exactly(data):
    binarizer = trained(data, 1)
    exported, codes = binarizer.export(), binarizer.encode(data.base)
    _, addend = factors(exported, data.base, codes)
    q = data.queries.mean(0, keepdims=True)
    np.testing.assert_allclose(read_query(exported, q), 0, atol=1e-5)
    np.testing.assert_allclose(addend + q @ exported["mean"], (data.base @ q[0]), atol=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_queries_become_codes(data, bits):
    binarizer = trained(data, 2)
    exported = binarizer.export()
    codes, step = encode_query(exported, data.asked, bits)
    assert codes.dtype == np.uint8
    assert codes.max() < 2**bits
    mapped = read_query(exported, data.asked)
    guess = (2.0 * codes - (2**bits - 1)) * step[:, None]
    lost = ((mapped - guess) ** 2).sum(1) / (mapped**2).sum(1)
    assert lost.max() < {1: 0.7, 2: 0.25, 4: 0.02, 8: 1e-4}[bits]
    if bits == 1:
        np.testing.assert_array_equal(codes, mapped >= 0)
        np.testing.assert_allclose(step, np.abs(mapped).mean(1), rtol=1e-5)


def test_codes_of_many_bits_find_what_floats_find(data):
    binarizer = trained(data, 8)
    assert data.recall(asymmetric(binarizer, data)) > 0.98


@pytest.mark.parametrize("kind", [np.float16, np.float64, "torch", "strided", "list"])
def test_what_encode_takes(data, kind):
    binarizer = trained(data, 1)
    x = data.base[:20].astype(np.float16).astype(np.float32)
    expected = binarizer.encode(x)
    given = {
        "torch": lambda: torch.tensor(x),
        "strided": lambda: np.repeat(x, 2, axis=0)[::2],
        "list": lambda: x.tolist(),
    }.get(kind, lambda: x.astype(kind))()
    np.testing.assert_array_equal(binarizer.encode(given), expected)
    assert binarizer.encode(x[:0]).shape == (0, 12)


def test_encoding_leaves_the_mode_as_it_was(data):
    binarizer = trained(data, 2, hidden=5)
    for mode in (True, False):
        binarizer.train(mode)
        before = binarizer.W.network.norm.running_mean.clone()
        binarizer.encode(data.base)
        assert all(part.training == mode for part in binarizer.modules())
        assert torch.equal(before, binarizer.W.network.norm.running_mean)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dim": 0}, "dim is 0 and code_dim 0"),
        ({"dim": 3, "code_dim": 0}, "dim is 3 and code_dim 0"),
        ({"dim": 3, "bits": 0}, "bits is 0; expected 1 to 8"),
        ({"dim": 3, "bits": 9}, "bits is 9; expected 1 to 8"),
        ({"dim": 3, "hidden": -1}, "hidden is -1"),
    ],
)
def test_sizes_that_are_none_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        RecurrentBinarizer(**options)


def test_what_has_no_code_is_refused(data):
    new = RecurrentBinarizer(12)
    for use in (lambda: new.encode(data.base), new.export):
        with pytest.raises(NotTrainedError, match="is not trained; call fit"):
            use()
    binarizer = trained(data, 1)
    exported = binarizer.export()
    for use in (binarizer.encode, lambda x: encode(exported, x)):
        for shape in ((12,), (3, 11), (2, 3, 12)):
            with pytest.raises(ValueError, match=r"expected \(n, 12\)"):
                use(np.zeros(shape, np.float32))
        for bad in (math.nan, math.inf):
            with pytest.raises(ValueError, match="NaN or infinities"):
                use(np.full((2, 12), bad, np.float32))
    with pytest.raises(TypeError, match="x is <U1; expected floats"):
        binarizer.encode(np.array([["a"] * 12]))
    with pytest.raises(ValueError, match="codes have shape"):
        factors(exported, data.base, binarizer.encode(data.base[:5]))
    with pytest.raises(ValueError, match="metric is 'cosine'"):
        factors(exported, data.base, binarizer.encode(data.base), "cosine")
    with pytest.raises(ValueError, match="bits is 9"):
        encode_query(exported, data.base, 9)
