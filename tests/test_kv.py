"""KVRetriever and RoPE, against dense definitions in torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("torch")

import shortlist
import torch
from hypothesis import given
from hypothesis import strategies as st
from shortlist.kv import KVRetriever, TokenLists, apply_rope, undo_rope, windowed_rope_logits
from shortlist.kv.device import DeviceCodes
from torch import Tensor

D, KV, Q = 16, 2, 6
GROUP = Q // KV


def tensors(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def retriever(**settings) -> KVRetriever:
    options = {"codewords": 32, "window": 5, "far_position": 40, "sink": 3, **settings}
    made = KVRetriever(D, KV, Q, **options)
    return made.calibrate(tensors(1, Q, 300, D), tensors(2, KV, 400, D), niter=5)


@pytest.fixture(scope="module")
def calibrated() -> KVRetriever:
    return retriever()


# --- RoPE ------------------------------------------------------------------------------------


def dense_rope(x: Tensor, positions: Tensor, base: float, convention: str) -> Tensor:
    """RoFormer's equation 15, pair by pair."""
    d = x.shape[-1]
    out = x.double().clone()
    for p in range(d // 2):
        i, j = (p, p + d // 2) if convention == "half" else (2 * p, 2 * p + 1)
        angle = positions.double() * base ** (-2 * p / d)
        a, b = x[..., i].double(), x[..., j].double()
        out[..., i] = a * angle.cos() - b * angle.sin()
        out[..., j] = b * angle.cos() + a * angle.sin()
    return out


@pytest.mark.parametrize("convention", ["half", "interleaved"])
@given(d=st.integers(1, 40), n=st.integers(0, 9), base=st.floats(2, 1e6), seed=st.integers(0, 99))
def test_rope_is_the_papers_and_can_be_undone(convention, d, n, base, seed):
    x = tensors(seed, 3, n, 2 * d)
    at = torch.randint(0, 200_000, (n,), generator=torch.Generator().manual_seed(seed))
    turned = apply_rope(x, at, base=base, convention=convention)
    torch.testing.assert_close(
        turned.double(), dense_rope(x, at, base, convention), rtol=0, atol=1e-5
    )
    back = undo_rope(turned, at, base=base, convention=convention)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("convention", ["half", "interleaved"])
def test_products_know_relative_positions_only(convention):
    q, k = tensors(3, 50, D), tensors(4, 50, D)
    options = {"convention": convention, "base": 500.0}
    together = (apply_rope(q, 1000, **options) * apply_rope(k, 931, **options)).sum(1)
    apart = (apply_rope(q, 69, **options) * k).sum(1)
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


def test_rope_takes_positions_and_kinds_as_they_come():
    x = tensors(5, 2, 4, D)
    at = torch.tensor([[0, 1, 2, 3], [7, 8, 9, 10]])
    want = torch.stack([apply_rope(x[i], at[i]) for i in range(2)])
    assert torch.equal(apply_rope(x, at), want)
    of_numpy = apply_rope(x.numpy(), at.numpy())
    assert isinstance(of_numpy, np.ndarray)
    np.testing.assert_array_equal(of_numpy, want.numpy())
    assert apply_rope(x.bfloat16(), at).dtype == torch.bfloat16
    by = 10000.0 ** (-np.arange(0, D, 2) / D)
    assert torch.equal(apply_rope(x, at, inv_freq=by), want)
    assert torch.equal(apply_rope(x[0, 0], 7), apply_rope(x[0, :1], [7])[0])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((torch.zeros(3, 5), 0), shortlist.DimensionError, "d = 5; expected an even d"),
        ((torch.zeros(3, 4), [1, 2]), shortlist.DimensionError, r"\(2,\).*\(3,\)"),
        ((torch.zeros(3, 4, dtype=torch.bool), 0), TypeError, "bool"),
        ((np.array(["a"]), 0), TypeError, "expected floats"),
    ],
)
def test_rope_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        apply_rope(*arguments)


def test_rope_refuses_settings():
    x = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"'gpt'.*'half', 'interleaved'"):
        apply_rope(x, 0, convention="gpt")
    for base in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="base = "):
            apply_rope(x, 0, base=base)
    with pytest.raises(shortlist.DimensionError, match=r"\(3,\); expected \(2,\)"):
        apply_rope(x, 0, inv_freq=[1, 2, 3])
    with pytest.raises(ValueError, match="inv_freq holds NaN"):
        apply_rope(x, 0, inv_freq=[1, np.nan])


def test_windowed_logits_are_exact_near_and_stand_still_far():
    q, k = tensors(6, 2, 30, D), tensors(7, 2, 30, D)
    got = windowed_rope_logits(q, k, window=4, far_position=9)
    for i in range(30):
        for j in range(30):
            at = i - j if i - j < 4 else 9
            want = (apply_rope(q[:, i], at) * k[:, j]).sum(1) if j <= i else -torch.inf
            torch.testing.assert_close(
                got[:, i, j], torch.as_tensor(want).expand(2), rtol=1e-4, atol=1e-4
            )
    every = windowed_rope_logits(q, k, window=31)
    at = torch.arange(30)
    full = apply_rope(q, at) @ apply_rope(k, at).mT
    torch.testing.assert_close(every, full.masked_fill(at[:, None] < at, -torch.inf))


# --- codes and scores ------------------------------------------------------------------------


@pytest.mark.parametrize("convention", ["half", "interleaved"])
def test_scores_are_products_of_turned_queries_and_decoded_keys(convention):
    made = retriever(rope_convention=convention, rope_base=77.0)
    made.append(tensors(8, KV, 90, D))
    q = tensors(9, Q, 4, D)
    turned = apply_rope(q, 40, base=77.0, convention=convention)
    want = turned @ made.decode().repeat_interleave(GROUP, 0).mT
    torch.testing.assert_close(made.scores(q), want)
    torch.testing.assert_close(made.scores(q[:, 2]), want[:, 2])
    np.testing.assert_allclose(made.scores(q.numpy()), want, rtol=1e-4, atol=1e-4)


def test_codes_minimise_the_expected_error_of_scores(calibrated):
    """(k - c) H (k - c)' is least at the code's codeword, H of the calibration's queries."""
    made = calibrated.new_sequence()
    keys = tensors(10, KV, 200, D)
    made.append(keys)
    state = made.state_dict()
    q = apply_rope(tensors(1, Q, 300, D), 40).double().reshape(KV, -1, D)
    h = q.mT @ q
    h = h / q.shape[1]
    h = h / h.square().mean((1, 2), keepdim=True).sqrt() + 1e-6 * torch.eye(D)
    rest = keys.double()[:, :, None] - torch.from_numpy(state["codebook"]).double()[:, None]
    loss = torch.einsum("hncd,hde,hnce->hnc", rest, h, rest)
    codes = torch.from_numpy(state["codes"].astype(np.int64))
    chosen = loss.gather(2, codes[..., None])[..., 0]
    torch.testing.assert_close(chosen, loss.amin(2), rtol=1e-4, atol=1e-4)


def test_query_aware_scores_are_nearer_than_plain_ones():
    mix = torch.diag(torch.logspace(0, -2, D))
    queries, keys = tensors(11, Q, 500, D) @ mix, tensors(12, KV, 600, D)
    errors = []
    for sample in (queries, None):
        made = KVRetriever(D, KV, Q, codewords=32, far_position=0)
        made.calibrate(sample, keys, niter=10)
        made.append(keys)
        exact = queries @ keys.repeat_interleave(GROUP, 0).mT
        errors.append(float((made.scores(queries) - exact).square().mean()))
    aware, plain = errors
    assert aware < 0.5 * plain


def test_as_many_codewords_as_keys_lose_nothing():
    keys = tensors(13, KV, 40, D)
    made = KVRetriever(D, KV, Q, codewords=40).calibrate(tensors(14, Q, 99, D), keys)
    made.append(keys)
    torch.testing.assert_close(made.decode(), keys, rtol=1e-3, atol=1e-3)


# --- topk ------------------------------------------------------------------------------------


def oracle(made: KVRetriever, q: Tensor, k: int, union: bool) -> list[list[int]]:
    """Sinks, window and the k best of the rest by (score, newest), from scores()."""
    scores, n, t = made.scores(q), len(made), q.shape[1]
    codes = made.state_dict()["codes"].repeat(GROUP, 0)
    lists: list[list[int]] = []
    for h in range(Q):
        for at in range(t):
            i = n - t + at
            far = range(made.sink, max(made.sink, i + 1 - made.window))
            best = sorted(far, key=lambda j: (-float(scores[h, at, j]), codes[h, j], -j))[:k]
            kept = {*range(min(made.sink, i + 1)), *range(max(0, i + 1 - made.window), i + 1)}
            lists.append(sorted({*best, *kept}))
    if not union:
        return lists
    return [
        sorted(set().union(*(lists[(h * GROUP + g) * t + at] for g in range(GROUP))))
        for h in range(KV)
        for at in range(t)
    ]


def as_lists(found: TokenLists) -> list[list[int]]:
    return [found[i].tolist() for i in range(len(found))]


@given(
    n=st.integers(1, 120),
    t=st.integers(1, 4),
    k=st.integers(0, 130),
    union=st.booleans(),
    sink=st.integers(0, 9),
    window=st.integers(1, 20),
    seed=st.integers(0, 10**6),
)
def test_topk_is_that_of_the_scores(calibrated, n, t, k, union, sink, window, seed):
    made = calibrated.new_sequence()
    made.sink, made.window = sink, window
    made.append(tensors(seed, KV, n, D))
    q = tensors(seed + 1, Q, min(t, n), D)
    found = made.topk(q, k=k, group="union" if union else "none")
    assert as_lists(found) == oracle(made, q, k, union)
    assert found.ids.dtype == found.offsets.dtype == torch.int64


def test_other_devices_find_the_same(calibrated):
    """What runs by torch elsewhere, here on the CPU beside the native code."""
    book = [calibrated._book[name] for name in ("roots", "centroids", "codebook")]
    made, other = calibrated.new_sequence(), DeviceCodes(*book)
    for seed, n in enumerate((70, 1, 1, 200)):
        keys = tensors(seed, KV, n, D)
        made.append(keys)
        other.append(keys)
    np.testing.assert_array_equal(other.codes().numpy(), made.state_dict()["codes"])
    for k in (0, 1, 17, 64, 1000):
        for group in ("union", "none"):
            q = tensors(k, Q, 3, D)
            found = made.topk(q, k=k, group=group)
            ids, offsets = other.topk(apply_rope(q, 40), k, 3, 5, group == "union")
            assert torch.equal(ids, found.ids)
            assert torch.equal(offsets, found.offsets)
    made.truncate(50)
    other.truncate(50)
    assert len(other) == len(made) == 50
    with pytest.raises(ValueError, match="queries of 60 tokens, but keys of 50"):
        other.topk(tensors(0, Q, 60, D), 1, 0, 1, True)


def test_topk_goes_by_fraction_too(calibrated):
    made = calibrated.new_sequence()
    made.append(tensors(15, KV, 101, D))
    q = tensors(16, Q, D)
    few, as_many = made.topk(q, fraction=0.03), made.topk(q, k=4)
    assert as_lists(few) == as_lists(as_many)
    assert as_lists(made.topk(q, fraction=1.0)) == [list(range(101))] * KV
    of_numpy = made.topk(q.numpy(), fraction=0.03)
    assert isinstance(of_numpy.ids, np.ndarray)
    np.testing.assert_array_equal(of_numpy.ids, few.ids)
    assert as_lists(made.topk(q.half(), k=4)) != []


def test_topk_does_not_depend_on_threads(calibrated):
    made = calibrated.new_sequence()
    made.append(tensors(17, KV, 3000, D))
    q = tensors(18, Q, 20, D)
    before = shortlist.omp_get_max_threads()
    answers = []
    try:
        for threads in (1, 2, 5):
            shortlist.omp_set_num_threads(threads)
            answers.append(made.topk(q, k=100))
    finally:
        shortlist.omp_set_num_threads(before)
    for other in answers[1:]:
        assert torch.equal(other.ids, answers[0].ids)


# --- sequences -------------------------------------------------------------------------------


@given(parts=st.lists(st.integers(0, 40), max_size=6), seed=st.integers(0, 99))
def test_piece_by_piece_is_as_at_once(calibrated, parts, seed):
    keys = tensors(seed, KV, sum(parts), D)
    once, pieces = calibrated.new_sequence(), calibrated.new_sequence()
    once.append(keys)
    for piece in keys.split(parts, 1):
        pieces.append(piece)
    if sum(parts):
        pieces.truncate(sum(parts) - 1)
        pieces.append(keys[:, -1])
    assert len(once) == len(pieces) == sum(parts)
    np.testing.assert_array_equal(once.state_dict()["codes"], pieces.state_dict()["codes"])
    if sum(parts):
        q = tensors(seed + 1, Q, D)
        assert torch.equal(once.topk(q, k=9).ids, pieces.topk(q, k=9).ids)


def test_sequences_share_codebooks_and_nothing_else(calibrated):
    one, other = calibrated.new_sequence(), calibrated.new_sequence()
    one.append(tensors(19, KV, 7, D))
    assert (len(one), len(other)) == (7, 0)
    assert one._native is other._native
    assert "7 tokens" in repr(one)
    one.truncate(0)
    assert len(one) == 0


def test_one_thread_appends_while_another_asks(calibrated):
    made = calibrated.new_sequence()
    keys, q = tensors(30, KV, 4000, D), tensors(31, Q, D)
    made.append(keys[:, :1])
    with ThreadPoolExecutor(2) as pool:
        done = pool.submit(lambda: [made.append(keys[:, i]) for i in range(1, 4000)])
        while not done.done():
            found = made.topk(q, k=50)
            assert 0 <= int(found.ids.min()) <= int(found.ids.max()) < 4000
        done.result()
    once = calibrated.new_sequence()
    once.append(keys)
    assert torch.equal(made.topk(q, k=50).ids, once.topk(q, k=50).ids)


def test_state_goes_through_a_file(calibrated, tmp_path):
    made = calibrated.new_sequence()
    made.append(tensors(20, KV, 80, D))
    np.savez(tmp_path / "state.npz", **made.state_dict())
    with np.load(tmp_path / "state.npz") as state:
        again = KVRetriever.from_state_dict(state)
    q = tensors(21, Q, 2, D)
    assert repr(again) == repr(made)
    assert torch.equal(again.topk(q, k=9).ids, made.topk(q, k=9).ids)
    again.append(tensors(22, KV, 1, D))
    fresh = KVRetriever.from_state_dict(KVRetriever(D, KV, Q).state_dict())
    assert not fresh.is_calibrated


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"codes": None}, "lacks.*codes"),
        ({"window": None}, "lacks.*window"),
        ({"codes": np.full((KV, 4), 32, np.uint16)}, "code 32 is not one of 32"),
        ({"codes": np.zeros((KV + 1, 4), np.uint16)}, r"codes has shape \(3, 4\)"),
        ({"codes": np.zeros((KV, 4), np.float32)}, "uint16"),
        ({"roots": np.zeros((KV, D, D + 1))}, "roots has shape"),
        ({"centroids": np.full((KV, 32, D), np.nan)}, "centroids holds NaN"),
        ({"kv_heads": np.asarray(4)}, "multiple of kv_heads = 4"),
        ({"inv_freq": np.zeros(3)}, "inv_freq has shape"),
    ],
)
def test_damaged_states_are_refused(calibrated, change, match):
    state = calibrated.state_dict()
    state.update((name, value) for name, value in change.items() if value is not None)
    for name, value in change.items():
        if value is None:
            del state[name]
    with pytest.raises(ValueError, match=match):
        KVRetriever.from_state_dict(state)


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"head_dim": 0}, "head_dim = 0"),
        ({"head_dim": 15}, "even d"),
        ({"head_dim": 16.0}, "head_dim = 16.0; expected an integer"),
        ({"kv_heads": 4}, "q_heads = 6; expected a multiple of kv_heads = 4"),
        ({"codewords": 0}, "codewords = 0"),
        ({"codewords": 65537}, "at most 65536"),
        ({"window": 0}, "window = 0"),
        ({"sink": -1}, "sink = -1"),
        ({"far_position": True}, "far_position = True"),
        ({"rope_convention": "neox"}, "'neox'"),
    ],
)
def test_settings_are_checked(settings, match):
    numbers = {"head_dim": D, "kv_heads": KV, "q_heads": Q, **settings}
    with pytest.raises(ValueError, match=match):
        KVRetriever(**numbers)


def test_calibration_is_checked():
    made = KVRetriever(D, KV, Q, codewords=8)
    q, k = tensors(23, Q, 20, D), tensors(24, KV, 20, D)
    with pytest.raises(shortlist.NotTrainedError, match="calibrate"):
        made.append(k)
    with pytest.raises(shortlist.NotTrainedError, match="calibrate"):
        made.topk(q, k=1)
    with pytest.raises(ValueError, match="keys has 7 tokens; expected at least codewords = 8"):
        made.calibrate(q, k[:, :7])
    with pytest.raises(shortlist.DimensionError, match=r"\(6, 20, 16\); expected \(2, n, 16\)"):
        made.calibrate(q, q)
    with pytest.raises(shortlist.DimensionError, match=r"\(2, 20, 16\); expected \(6, n, 16\)"):
        made.calibrate(k, k)
    with pytest.raises(ValueError, match="KV head 0 are all 0"):
        made.calibrate(0 * q, k)
    with pytest.raises(ValueError, match="queries has no tokens"):
        made.calibrate(q[:, :0], k)
    for name in ("queries", "keys"):
        bad = {"queries": q.clone(), "keys": k.clone()}
        bad[name][1, 3, 2] = torch.nan
        with pytest.raises(ValueError, match=rf"{name}\[1, 3, 2\] is nan"):
            made.calibrate(**bad)
    assert not made.is_calibrated


def test_tokens_are_checked(calibrated):
    made = calibrated.new_sequence()
    keys = tensors(25, KV, 10, D)
    made.append(keys)
    for shape in ((KV + 1, 3, D), (KV, 3, D + 1), (KV,), (1, KV, 3, D)):
        with pytest.raises(shortlist.DimensionError, match=r"expected \(2, n, 16\)"):
            made.append(torch.zeros(*shape))
    keys[0, 4, 0] = torch.inf
    with pytest.raises(ValueError, match=r"keys\[0, 4, 0\] is inf"):
        made.append(keys)
    with pytest.raises(TypeError, match="expected floats"):
        made.append(np.full((KV, 3, D), "a"))
    assert len(made) == 10


def test_queries_are_checked(calibrated):
    made = calibrated.new_sequence()
    made.append(tensors(26, KV, 10, D))
    q = tensors(27, Q, D)
    with pytest.raises(ValueError, match="k = None and fraction = None; expected exactly one"):
        made.topk(q)
    with pytest.raises(ValueError, match=r"k = 3 and fraction = 0.1; expected exactly one"):
        made.topk(q, k=3, fraction=0.1)
    for k in (-1, 1.5, True):
        with pytest.raises(ValueError, match=f"k = {k}"):
            made.topk(q, k=k)
    for fraction in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match="fraction = "):
            made.topk(q, fraction=fraction)
    with pytest.raises(ValueError, match=r"'all'.*'union' or 'none'"):
        made.topk(q, k=3, group="all")
    with pytest.raises(ValueError, match="queries of 11 tokens, but keys of 10"):
        made.topk(tensors(28, Q, 11, D), k=3)
    with pytest.raises(shortlist.DimensionError, match=r"expected \(6, n, 16\)"):
        made.topk(tensors(28, KV, 1, D), k=3)
    q[5, 1] = torch.nan
    with pytest.raises(ValueError, match=r"queries\[5, 0, 1\] is nan"):
        made.topk(q, k=3)
    with pytest.raises(ValueError, match="n = -1"):
        made.truncate(-1)
    with pytest.raises(IndexError, match="list 2 is not there; there are 2"):
        made.topk(tensors(29, Q, D), k=3)[2]


def test_the_core_refuses_what_does_not_fit(calibrated):
    from shortlist._core import _kv

    codes = _kv.Codes(calibrated._native)
    for bad in (np.zeros((KV, 3)), np.zeros((KV + 1, 3, D)), np.zeros((KV, 3, D + 1))):
        with pytest.raises(shortlist.DimensionError, match="keys has shape"):
            codes.append(bad)
    with pytest.raises(ValueError, match="code 32 is not one of 32"):
        codes.append_codes(np.full((KV, 3), 32))
    with pytest.raises(shortlist.DimensionError, match="codes has shape"):
        codes.append_codes(np.zeros((KV + 1, 3)))
    codes.append(np.zeros((KV, 3, D)))
    with pytest.raises(shortlist.DimensionError, match="5 query heads"):
        codes.topk(np.zeros((5, 1, D)), 1, 0, 1, True)
    with pytest.raises(ValueError, match="cannot be negative"):
        codes.topk(np.zeros((Q, 1, D)), -1, 0, 1, True)
    with pytest.raises(ValueError, match="NaN"):
        codes.topk(np.full((Q, 1, D), np.nan), 1, 0, 1, True)
    with pytest.raises(ValueError, match="NaN"):
        codes.append(np.full((KV, 3, D), np.nan))
    assert len(codes) == 3
    square, rows = np.zeros((KV, D, D)), np.zeros((KV, 8, D))
    for arrays in (
        (square, rows, rows[:, :7]),
        (square[:, 1:], rows, rows),
        (square, rows, rows[0]),
    ):
        with pytest.raises(shortlist.DimensionError):
            _kv.Codebook(*arrays)
    with pytest.raises(ValueError, match="codewords = 65537"):
        _kv.Codebook(square, np.zeros((KV, 65537, D)), rows)
    with pytest.raises(ValueError, match="centroids holds NaN"):
        _kv.Codebook(square, rows + np.nan, rows)
