"""Candidates and Tokens, against lists of Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from rerank_cases import OnlyDLPack
from shortlist.rerank import Candidates, Tokens
from shortlist.rerank.candidates import as_tensor, check_offsets, offsets_of, ragged_rows

FLT_MAX = float(np.finfo(np.float32).max)
KINDS = ["similarity", "distance", "logit", "probability"]
kinds = st.sampled_from(KINDS)
# few values, so that many are equal
pair = st.tuples(st.integers(-(2**62), 2**62), st.integers(-8, 8).map(lambda n: n / 8))
ragged = st.lists(st.lists(pair, max_size=7), max_size=6)


def of_lists(lists, kind="similarity"):
    return Candidates.from_lists(
        [[i for i, _ in one] for one in lists], [[s for _, s in one] for one in lists], kind
    )


def as_lists(candidates):
    """What the candidates say, read through their tensors alone."""
    ids, scores = candidates.ids.tolist(), candidates.scores.tolist()
    parts = [slice(*ends) for ends in pairwise(candidates.offsets.tolist())]
    return [list(zip(ids[part], scores[part], strict=True)) for part in parts]


def best_first(pairs, kind):
    sign = 1 if kind == "distance" else -1
    return sorted(pairs, key=lambda pair: sign * pair[1])  # sorted is stable


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


# from_search


@pytest.mark.parametrize(
    "form",
    {
        "numpy": lambda a: a,
        "tensor": torch.tensor,
        "lists": np.ndarray.tolist,
        "read-only": read_only,
        "reversed": lambda a: a[:, ::-1].copy()[:, ::-1],
        "Fortran": np.asfortranarray,
        "DLPack": OnlyDLPack,
        "float16 and int32": lambda a: a.astype({"f": np.float16, "i": np.int32}[a.dtype.kind]),
        "half tensor": lambda a: torch.tensor(a).half() if a.dtype.kind == "f" else a,
        "float64 and uint64": lambda a: (
            a.astype(np.float64) if a.dtype.kind == "f" else np.abs(a).astype(np.uint64)
        ),
    }.items(),
    ids=lambda item: item[0],
)
def test_from_search_takes_what_indexes_return(form):
    name, make = form
    missing = -1 if "uint" not in name else 3
    D = np.array([[0.5, 1.25, 2.0], [0.0, 0.5, 4.0]], np.float32)
    I = np.array([[4, 0, 9], [7, 8, missing]])
    found = Candidates.from_search(make(D), make(I))
    assert found.ids.dtype == found.offsets.dtype == torch.int64
    assert found.scores.dtype == torch.float32
    assert found.score_kind == "distance"
    last = [] if missing < 0 else [(3, 4.0)]
    assert as_lists(found) == [[(4, 0.5), (0, 1.25), (9, 2.0)], [(7, 0.0), (8, 0.5), *last]]


@given(ragged, st.sampled_from(["distance", "similarity"]), st.integers(0, 3), st.randoms())
def test_from_search_drops_what_is_missing_wherever_it_is(lists, kind, spare, random):
    lists = [best_first([(abs(i), s) for i, s in one], kind) for one in lists]
    k = max(map(len, lists), default=0) + spare
    D = np.full((len(lists), k), FLT_MAX if kind == "distance" else -FLT_MAX, np.float32)
    I = np.full((len(lists), k), -1)
    for row, one in enumerate(lists):
        for column, (i, score) in zip(sorted(random.sample(range(k), len(one))), one, strict=True):
            D[row, column], I[row, column] = score, i
    found = Candidates.from_search(D, I)
    assert as_lists(found) == lists
    ordered = any(a[1] != b[1] for one in lists for a, b in pairwise(one))
    assert found.score_kind == (kind if ordered else "similarity")
    named = Candidates.from_search(D, I, "logit")
    assert named.score_kind == "logit"
    assert as_lists(named) == lists


def test_from_search_refuses_rows_in_no_common_order():
    D, I = [[1.0, 2.0, 0.0], [5.0, 4.0, 0.0]], [[1, 2, -1], [1, 2, -1]]
    with pytest.raises(ValueError, match=r"no common order.*score_kind"):
        Candidates.from_search(D, I)
    kept = Candidates.from_search(D, I, "similarity")
    assert as_lists(kept) == [[(1, 1.0), (2, 2.0)], [(1, 5.0), (2, 4.0)]]


@pytest.mark.parametrize(
    ("D", "I"),
    [
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros((2, 3)), np.zeros((2, 4), int)),
        (np.zeros((2, 3, 1)), np.zeros((2, 3, 1), int)),
        (np.arange(6).reshape(2, 3), np.zeros((2, 3))),  # the other way round
    ],
)
def test_from_search_refuses_other_shapes(D, I):
    with pytest.raises(ValueError, match=r"D is \(.*expected \(queries, k\)"):
        Candidates.from_search(D, I)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0)])
def test_from_search_of_nothing(shape):
    found = Candidates.from_search(np.zeros(shape, np.float32), np.zeros(shape, np.int64))
    assert as_lists(found) == [[]] * shape[0]


# from_lists and the parts


@given(ragged, kinds)
def test_from_lists(lists, kind):
    candidates = of_lists(lists, kind)
    assert as_lists(candidates) == lists
    assert candidates.score_kind == kind
    assert len(candidates) == len(lists)
    assert candidates.counts.tolist() == [len(one) for one in lists]
    assert candidates.query_index.tolist() == [q for q, one in enumerate(lists) for _ in one]
    sign = -1 if kind == "distance" else 1
    assert candidates.goodness.tolist() == [sign * s for one in lists for _, s in one]
    n = sum(map(len, lists))
    said = f"Candidates({len(lists)} queries, {n} candidates, score_kind={kind!r})"
    assert repr(candidates) == said


def test_from_lists_takes_iterators_and_arrays():
    wanted = [[(3, 1.0), (1, 1.0)], [], [(2, 1.0)]]
    assert as_lists(Candidates.from_lists([[3, 1], (), range(2, 3)])) == wanted
    assert (
        as_lists(Candidates.from_lists(iter([np.array([3, 1]), [], torch.tensor([2])]))) == wanted
    )
    scored = Candidates.from_lists(iter([{3: 0, 1: 0}]), iter([np.array([0.5, 2])]))
    assert as_lists(scored) == [[(3, 0.5), (1, 2.0)]]


@pytest.mark.parametrize("scores", [[[1.0]], [[1.0], [2.0, 3.0]], [[1.0, 2.0]], [[]] * 3])
def test_from_lists_wants_a_score_for_each_id(scores):
    with pytest.raises(ValueError, match="a score for each id"):
        Candidates.from_lists([[1, 2], [3]], scores)


@pytest.mark.parametrize("bad", [1.5, "7", None])
def test_from_lists_refuses_ids_that_are_no_integers(bad):
    with pytest.raises(TypeError, match="integer"):
        Candidates.from_lists([[1, bad]])


def whole(*numbers):
    return torch.tensor(numbers, dtype=torch.int64)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"score_kind": "cosine"}, r"score_kind is 'cosine'; expected one of similarity, distance"),
        ({"ids": whole(1, 2, 3).int()}, r"ids are \(3,\) of torch.int32"),
        ({"ids": whole(1, 2, 3)[None]}, r"ids are \(1, 3\)"),
        ({"scores": torch.ones(2)}, r"scores are \(2,\).*shape \(3,\)"),
        ({"scores": whole(1, 2, 3)}, r"scores are \(3,\) of torch.int64; expected floats"),
        ({"offsets": whole()}, r"offsets are \(0,\)"),
        ({"offsets": whole(0, 3).int()}, r"offsets are \(2,\) of torch.int32"),
        ({"offsets": whole(0, 3)[None]}, r"offsets are \(1, 2\)"),
        ({"offsets": whole(1, 3)}, "rise from 0 to 3"),
        ({"offsets": whole(0, 2)}, "rise from 0 to 3"),
        ({"offsets": whole(0, 4)}, "rise from 0 to 3"),
        ({"offsets": whole(0, 2, 1, 3)}, "rise from 0 to 3"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changed, said):
    parts = {"ids": whole(1, 2, 3), "offsets": whole(0, 1, 3), "scores": torch.ones(3)}
    Candidates(**parts)
    with pytest.raises(ValueError, match=said):
        Candidates(**{**parts, **changed})


# Reading and rearranging


@given(ragged)
def test_each_list_by_its_number(lists):
    candidates = of_lists(lists)
    for one, (ids, scores) in zip(lists, candidates, strict=True):
        assert list(zip(ids.tolist(), scores.tolist(), strict=True)) == one
    for q in range(-len(lists), len(lists)):
        ids, scores = candidates[q]
        assert list(zip(ids.tolist(), scores.tolist(), strict=True)) == lists[q]
    for q in (len(lists), -len(lists) - 1):
        with pytest.raises(IndexError, match=f"query {q} of {len(lists)}"):
            candidates[q]


@given(ragged, kinds, st.data())
def test_take(lists, kind, data):
    every = [(q, pair) for q, one in enumerate(lists) for pair in one]
    n = len(every)
    kept = sorted(data.draw(st.sets(st.integers(0, n - 1)))) if n else []
    part, queries = of_lists(lists, kind).take(whole(*kept))
    wanted = {}
    for q, pair in (every[at] for at in kept):
        wanted.setdefault(q, []).append(pair)
    assert queries.tolist() == [*wanted]
    assert as_lists(part) == [*wanted.values()]
    assert part.score_kind == kind


@given(ragged, kinds, st.data())
def test_select(lists, kind, data):
    n = len(lists)
    wanted = data.draw(st.lists(st.integers(-n, n - 1), max_size=9)) if n else []
    candidates = of_lists(lists, kind)
    for form in (list, np.array, lambda qs: whole(*qs).int()):
        part = candidates.select(form(wanted))
        assert as_lists(part) == [lists[q] for q in wanted]
        assert part.score_kind == kind
    mask = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    assert as_lists(candidates.select(np.array(mask, bool))) == [
        one for one, is_wanted in zip(lists, mask, strict=True) if is_wanted
    ]
    with pytest.raises(IndexError):
        candidates.select([n])


@given(ragged, kinds, st.none() | st.integers(1, 8))
def test_sorted(lists, kind, top_k):
    ordered = of_lists(lists, kind).sorted(top_k)
    assert as_lists(ordered) == [best_first(one, kind)[:top_k] for one in lists]
    assert ordered.score_kind == kind


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_sorted_takes_scores_of_any_float_type(dtype):
    candidates = of_lists([[(1, 0.5), (2, 2.0)], [(3, -1.0), (4, 0.25), (5, 0.25)]])
    ordered = candidates.rescored(candidates.scores.to(dtype), "logit").sorted()
    assert ordered.ids.tolist() == [2, 1, 4, 5, 3]
    assert ordered.scores.dtype == dtype


@pytest.mark.parametrize("top_k", [0, -1])
def test_sorted_refuses_to_keep_nothing(top_k):
    with pytest.raises(ValueError, match=f"top_k is {top_k}; expected at least 1"):
        of_lists([[(1, 1.0)]]).sorted(top_k)


@given(ragged, kinds, st.integers(0, 9))
def test_to_search(lists, kind, k):
    D, I = of_lists(lists, kind).to_search(k)
    missing = (-1, FLT_MAX if kind == "distance" else -FLT_MAX)
    assert D.shape == I.shape == (len(lists), k)
    assert D.dtype == torch.float32
    assert I.dtype == torch.int64
    for row, one in enumerate(lists):
        got = list(zip(I[row].tolist(), D[row].tolist(), strict=True))
        assert got == (one + [missing] * k)[:k]


@given(ragged, st.sampled_from(["distance", "similarity"]))
def test_to_search_and_back(lists, kind):
    there = of_lists([[(abs(i), s) for i, s in one] for one in lists], kind).sorted()
    back = Candidates.from_search(*there.to_search(9), kind)
    assert as_lists(back) == as_lists(there)


def test_the_default_dtype_of_torch_changes_nothing():
    """Models are loaded with another one now and then."""
    torch.set_default_dtype(torch.float64)
    try:
        candidates = of_lists([[(1, 0.5)], []])
        D, I = candidates.to_search(2)
        labels = candidates.labels(candidates)
    finally:
        torch.set_default_dtype(torch.float32)
    assert candidates.scores.dtype == D.dtype == labels.dtype == torch.float32
    assert I.tolist() == [[1, -1], [-1, -1]]


def test_docs_stay_with_what_they_describe():
    candidates = Candidates(whole(5, 6), whole(0, 2), torch.ones(2), docs=["five", "six"])
    assert candidates.rescored(torch.zeros(2), "logit").docs == ["five", "six"]
    for other in (candidates.sorted(), candidates.select([0]), candidates.take(whole(1))[0]):
        assert other.docs is None


def test_only_logits_become_probabilities_and_only_once():
    logits = of_lists([[(1, 0.0), (2, 2.0)], [], [(3, -1.0)]], "logit")
    once = logits.probabilities()
    wanted = [1 / (1 + np.exp(-s)) for s in (0.0, 2.0, -1.0)]
    np.testing.assert_allclose(once.scores, wanted, rtol=1e-6)
    assert once.score_kind == "probability"
    assert once.ids.tolist() == [1, 2, 3]
    for other in (once, of_lists([[(1, 0.5)]]), of_lists([[(1, 0.5)]], "distance")):
        with pytest.raises(ValueError, match=f"kind '{other.score_kind}'; only a logit"):
            other.probabilities()


# Judgements

near = st.integers(-2, 2) | st.integers(2**62 - 2, 2**62) | st.just(-(2**63))
judgements = st.dictionaries(near, st.integers(-2, 3), max_size=5)


@given(st.lists(st.tuples(st.lists(near, max_size=6), judgements), max_size=5))
def test_labels(queries):
    candidates = Candidates.from_lists([ids for ids, _ in queries])
    relevant = Candidates.from_lists(
        [[*grades] for _, grades in queries], [[*grades.values()] for _, grades in queries]
    )
    wanted = [grades.get(i, 0) for ids, grades in queries for i in ids]
    assert candidates.labels(relevant).tolist() == wanted


def test_labels_with_an_id_judged_twice_take_the_first_grade():
    ids = np.random.default_rng(0).permutation(np.arange(400) % 40)
    relevant = Candidates.from_lists([ids], [range(400)])
    wanted = [ids.tolist().index(i) for i in range(40)]
    assert Candidates.from_lists([range(40)]).labels(relevant).tolist() == wanted


def test_labels_want_as_many_queries():
    with pytest.raises(ValueError, match="relevant has 2 queries; expected 1"):
        Candidates.from_lists([[1]]).labels(Candidates.from_lists([[1], [1]]))


# Tokens


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_tokens_are_ragged_matrices(rng, dtype):
    texts = [rng.normal(size=(n, 3)).astype(dtype) for n in (2, 0, 4, 1)]
    tokens = Tokens.from_list([torch.tensor(texts[0]), *texts[1:]])
    assert len(tokens) == 4
    assert tokens.lengths.tolist() == [2, 0, 4, 1]
    for i in range(-4, 4):
        np.testing.assert_array_equal(tokens[i], texts[i])
    some = tokens.select(whole(2, 1, 2, 0, -1))
    for got, i in zip(some, [2, 1, 2, 0, 3], strict=True):
        np.testing.assert_array_equal(got, texts[i])
    for i in (4, -5):
        with pytest.raises(IndexError, match=f"text {i} of 4"):
            tokens[i]


def test_tokens_of_no_texts():
    assert len(Tokens.from_list([])) == 0
    assert len(Tokens(torch.zeros(5, 2), whole(0, 5)).select(whole())) == 0


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([np.zeros((2, 3)), np.zeros(3)], r"text 1 is \(3,\)"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], r"text 1 is \(2, 4\).*d = 3"),
        ([np.zeros((2, 3), int)], r"values are \(2, 3\) of torch.int64; expected floats"),
    ],
)
def test_tokens_refuse_other_shapes(texts, said):
    with pytest.raises(ValueError, match=said):
        Tokens.from_list(texts)


def test_tokens_refuse_offsets_that_do_not_fit():
    with pytest.raises(ValueError, match="rise from 0 to 3"):
        Tokens(torch.zeros(3, 2), whole(0, 2))


# The small parts


def test_as_tensor_shares_memory_where_torch_can():
    a = np.zeros((3, 2), np.float32)
    for shared in (as_tensor(a), as_tensor(OnlyDLPack(a)), as_tensor(a[::2])):
        shared += 1
    assert a.tolist() == [[3, 3], [2, 2], [3, 3]]
    locked = read_only(a)
    as_tensor(locked)[0, 0] = -1
    assert locked[0, 0] == 3


@given(st.lists(st.integers(0, 4), max_size=6), st.data())
def test_ragged_rows(counts, data):
    offsets = offsets_of(whole(*counts))
    check_offsets(offsets, sum(counts))
    lists = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=6)) if counts else []
    positions, bounds = ragged_rows(offsets, whole(*lists))
    wanted = [[*range(sum(counts[:i]), sum(counts[: i + 1]))] for i in lists]
    assert positions.tolist() == [at for one in wanted for at in one]
    assert bounds.tolist() == [0, *np.cumsum([counts[i] for i in lists], dtype=int)]
