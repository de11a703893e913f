from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import shortlist
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shortlist._evaluate import (
    Evaluation,
    Frontier,
    Point,
    ef_search,
    evaluate,
    graph_of,
    recall_at_k,
    sweep,
)
from shortlist._plot import plot
from shortlist.datasets import sample


class Answers:
    """An index that gives what it was told, in faiss's shape."""

    metric_type = 1

    def __init__(self, ids):
        self.ids = np.asarray(ids, np.int64)
        self.calls = []

    def search(self, x, k, params=None):
        self.calls.append((len(x), params))
        return np.zeros((len(x), k), np.float32), np.resize(self.ids, (len(x), k))


def test_recall_by_id():
    assert recall_at_k([[1, 2, 3]], [[3, 2, 1]], 3) == 1
    assert recall_at_k([[1, 2, 9]], [[3, 2, 1]], 3) == pytest.approx(2 / 3)
    assert recall_at_k([[9, 8], [0, 1]], [[1, 2], [0, 1]], 2) == 0.5
    assert recall_at_k([[3, 1, 2]], [[1, 2, 3]], 2) == 0.5  # 2 came third


def test_an_id_counts_once_and_minus_one_never():
    assert recall_at_k([[1, 1, 1]], [[1, 2, 3]], 3) == pytest.approx(1 / 3)
    assert recall_at_k([[-1, -1]], [[1, 2]], 2) == 0
    assert recall_at_k([[1, -1]], [[1, -1]], 2) == 1  # there was one neighbour to find
    assert recall_at_k([[1, 5], [7, 7]], [[1, 2], [-1, -1]], 2) == 0.5
    with pytest.raises(ValueError, match="no neighbour of any query"):
        recall_at_k([[1]], [[-1]], 1)


BASE = np.array([[0.0], [1], [1], [1], [2]])


def test_ties_count_with_base():
    truth, found = [[0, 1]], [[0, 3]]  # 1, 2 and 3 are equally near to 0
    assert recall_at_k(found, truth, 2) == 0.5
    assert recall_at_k(found, truth, 2, base=BASE, queries=[[0.0]]) == 1
    assert recall_at_k([[0, 4]], truth, 2, base=BASE, queries=[[0.0]]) == 0.5
    assert recall_at_k([[3, 3]], truth, 2, base=BASE, queries=[[0.0]]) == 0.5
    assert recall_at_k([[4, 3]], [[4, 1]], 2, base=BASE, queries=[[1.0]], metric=0) == 1
    assert recall_at_k([[0, 3]], [[4, 1]], 2, base=BASE, queries=[[1.0]], metric=0) == 0.5


def test_ties_count_with_distances():
    truth, distances = [[0, 1, 2, 3, 4]], [[0, 1, 1, 1, 4]]
    assert recall_at_k([[0, 3]], truth, 2, distances=distances) == 1
    assert recall_at_k([[0, 4]], truth, 2, distances=distances) == 0.5
    assert recall_at_k([[0, 3]], truth, 2, distances=[[9, 5, 5, 5, 1]], metric=0) == 1
    assert recall_at_k([[0, 4]], truth, 2, distances=[[9, 5, 5, 5, 1]], metric=0) == 0.5


@given(st.data())
def test_recall_is_what_the_definition_says(data):
    k = data.draw(st.integers(1, 5))
    base = data.draw(
        hnp.arrays(
            "int8", st.tuples(st.integers(k, 20), st.integers(1, 2)), elements=st.integers(-2, 2)
        )
    ).astype(float)
    queries = data.draw(hnp.arrays("int8", (3, base.shape[1]), elements=st.integers(-2, 2)))
    found = data.draw(hnp.arrays("int64", (3, k), elements=st.integers(-1, len(base) - 1)))
    metric = data.draw(st.sampled_from([0, 1]))
    expected = []
    truth = []
    for q, ids in zip(queries, found, strict=True):
        far = ((base - q) ** 2).sum(1) if metric else -base @ q
        order = np.argsort(far, kind="stable")
        truth.append(order[:k])
        expected.append(len({i for i in ids if i >= 0 and far[i] <= far[order[k - 1]]}) / k)
    got = recall_at_k(found, truth, k, base=base, queries=queries, metric=metric)
    assert got == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([[1]], [[1]]), {"k": 0}, "k is 0"),
        (([[1]], [[1]]), {"k": 2}, "truth has 1 columns; expected at least k = 2"),
        (([[1]], [[1, 2]]), {"k": 2}, "ids has 1 columns"),
        (([[1], [2]], [[1]]), {"k": 1}, "2 rows and truth 1"),
        (([1], [[1]]), {"k": 1}, r"ids has shape \(1,\)"),
        (([[1]], [[1.0]]), {"k": 1}, "expected integer ids"),
        (([[1]], [[1]]), {"k": 1, "base": BASE}, "base was given without queries"),
        (([[1]], [[1]]), {"k": 1, "base": BASE, "queries": [[1.0, 2.0]]}, "expected 2 columns"),
        (([[5]], [[1]]), {"k": 1, "base": BASE, "queries": [[1.0]]}, "id 5 is not a row of base"),
        (([[1]], [[1]]), {"k": 1, "distances": [[1.0, 2.0]]}, r"distances have shape \(1, 2\)"),
    ],
)
def test_shapes_that_do_not_fit(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        recall_at_k(*arguments, **options)


def test_evaluate_counts_and_times():
    index = Answers([[0, 1], [9, 8]])
    queries = np.zeros((4, 3), np.float32)
    result = evaluate(index, queries, [[0, 1]] * 4, 2, repeats=2, params="p")
    assert (result.recall, result.n, result.k, result.ties) == (0.5, 4, 2, "ids")
    assert {p for _, p in index.calls} == {"p"}
    assert [n for n, _ in index.calls].count(1) == 4
    assert 0 < result.p50_ms <= result.p99_ms
    assert result.qps > 0
    assert result.qps_single > 0
    assert json.loads(json.dumps(result.to_dict()))["recall"] == 0.5
    assert "recall@2 0.5000 (by id)" in str(result)


def test_evaluate_refuses_what_does_not_fit():
    queries = np.zeros((4, 3), np.float32)
    with pytest.raises(ValueError, match="truth has 3 rows; expected 4"):
        evaluate(Answers([[0]]), queries, [[0]] * 3, 1)
    with pytest.raises(ValueError, match="repeats is 0"):
        evaluate(Answers([[0]]), queries, [[0]] * 4, 1, repeats=0)
    with pytest.raises(ValueError, match=r"queries has shape \(3,\)"):
        evaluate(Answers([[0]]), queries[0], [[0]], 1)


@pytest.fixture(scope="module")
def texts():
    data = sample("texts")
    graph = shortlist.IndexHNSWFlat(data.base.dim, 16, shortlist.METRIC_INNER_PRODUCT)
    graph.add(np.asarray(data.base))
    return data, graph


def test_exact_search_has_full_recall(texts):
    data, _ = texts
    exact = shortlist.IndexFlat(data.base.dim, shortlist.METRIC_INNER_PRODUCT)
    exact.add(np.asarray(data.base))
    result = evaluate(exact, data.queries, data.truth, 10, base=data.base, repeats=1)
    assert result.recall == pytest.approx(1, abs=1e-3)  # float32 sums may swap near neighbours
    assert (result.ties, result.n) == ("distances", 300)
    assert result.threads >= 1


def test_sweep_rises_and_restores(texts):
    data, graph = texts
    graph.hnsw.efSearch = 37
    curve = sweep(graph, data.queries, data.truth, 10, (10, 40, 400), base=data.base, repeats=1)
    recalls = [p.recall for p in curve.points]
    assert [p.ef for p in curve.points] == [10, 40, 400]
    assert recalls == sorted(recalls)
    assert recalls[-1] > 0.995 > recalls[0] > 0.8
    assert curve.label == "IndexHNSWFlat"
    assert graph.hnsw.efSearch == 37


def test_sweep_needs_a_graph_and_values(texts):
    data, graph = texts
    flat = shortlist.IndexFlat(data.base.dim)
    with pytest.raises(ValueError, match="IndexFlat has no graph"):
        sweep(flat, data.queries, data.truth)
    for efs in ((), (0,), (16, -1)):
        with pytest.raises(ValueError, match="efs is"):
            sweep(graph, data.queries, data.truth, efs=efs)


def test_graph_is_found_inside_wrappers():
    inner = shortlist.IndexHNSWFlat(4, 8)
    for outer in (inner, shortlist.IndexIDMap(inner), shortlist.IndexRefineFlat(inner)):
        assert graph_of(outer).efSearch == inner.hnsw.efSearch
        with ef_search(outer, 91):
            assert inner.hnsw.efSearch == 91
        assert inner.hnsw.efSearch != 91
    assert graph_of(shortlist.IndexFlat(4)) is None


def test_ef_is_restored_after_an_error():
    index = shortlist.IndexHNSWFlat(4, 8)
    before = index.hnsw.efSearch
    with pytest.raises(KeyError), ef_search(index, 77):
        raise KeyError
    assert index.hnsw.efSearch == before


CURVE = Frontier(
    (Point(10, 0.8, 1000.0), Point(20, 0.9, 100.0), Point(15, 0.85, 90.0), Point(40, 0.99, 10.0)),
    k=10,
    threads=2,
    label="one",
)


def test_pareto_drops_what_is_beaten():
    assert [p.ef for p in CURVE.pareto()] == [10, 20, 40]
    tied = Frontier((Point(1, 0.9, 5.0), Point(2, 0.9, 7.0), Point(3, 0.8, 7.0)), 10, 1)
    assert [p.ef for p in tied.pareto()] == [2]


def test_interpolation():
    assert CURVE.qps_at(0.5) == 1000
    assert CURVE.qps_at(0.8) == pytest.approx(1000)
    assert CURVE.qps_at(0.85) == pytest.approx(10**2.5)
    assert CURVE.qps_at(0.99) == pytest.approx(10)
    assert CURVE.qps_at(0.995) is None
    assert CURVE.ef_at(0.85) == 15
    assert CURVE.ef_at(0.9) == 20
    assert CURVE.ef_at(1.0) is None
    assert Frontier((), 10, 1).qps_at(0.5) is None
    assert json.loads(json.dumps(CURVE.to_dict()))["points"][0]["ef"] == 10


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_plot_draws_every_frontier(tmp_path, suffix, magic):
    pytest.importorskip("matplotlib")
    alone = Frontier((Point(0, 1.0, 50.0),), 10, 2, "exact")
    path = plot([CURVE, alone], tmp_path / f"x{suffix}", title="a title")
    content = path.read_bytes()
    assert content.startswith(magic)
    if suffix == ".svg":
        text = content.decode()
        for word in ("one", "exact", "a title", "recall@10", "queries per second (2 threads)"):
            assert f"<!-- {word} -->" in text
        for colour in ("#0072b2", "#d55e00"):
            assert colour in text.lower()


def test_plot_refuses(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"cannot draw '.gif'; expected .png"):
        plot(CURVE, tmp_path / "x.gif")
    with pytest.raises(ValueError, match="nothing to draw"):
        plot([Frontier((), 10, 1)], tmp_path / "x.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'shortlist\[plot\]'"):
        plot(CURVE, tmp_path / "x.png")


def test_evaluation_is_a_value():
    result = Evaluation(0.5, 1.0, 1.0, 1.0, 2.0, 4, 10, 1, "distances")
    assert "ties count" in str(result)
    with pytest.raises(AttributeError):
        result.recall = 1
