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
    evaluate,
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
    assert [p.params for p in curve.points] == [{"efSearch": ef} for ef in (10, 40, 400)]
    assert recalls == sorted(recalls)
    assert recalls[-1] > 0.995 > recalls[0] > 0.8
    assert (curve.label, curve.k) == ("IndexHNSWFlat", 10)
    assert curve.threads == shortlist.omp_get_max_threads()
    assert graph.hnsw.efSearch == 37


def test_sweep_has_usual_values_and_takes_arrays(texts):
    data, graph = texts
    queries, truth = np.asarray(data.queries)[:50], data.truth[:50]
    usual = sweep(graph, queries, truth, repeats=1, label="mine")
    values = [p.params["efSearch"] for p in usual.points]
    assert values == sorted(values)
    assert (values[0], values[-1], usual.label) == (10, 256, "mine")
    given = sweep(graph, queries, truth, values=np.array([16, 48]), repeats=1)
    assert json.loads(json.dumps(given.to_dict()))["points"][1]["params"] == {"efSearch": 48}


def test_sweep_reaches_the_graph_inside_wrappers(texts):
    data, _ = texts
    index = shortlist.IndexIDMap2(shortlist.IndexHNSWFlat(data.base.dim, 16, 0))
    index.add_with_ids(np.asarray(data.base), np.arange(len(data.base)))
    before = index.index.hnsw.efSearch
    few, many = sweep(index, data.queries, data.truth, values=(10, 400), repeats=1).points
    assert few.recall < many.recall > 0.99
    assert index.index.hnsw.efSearch == before


def test_sweep_needs_a_knob_and_values(texts):
    data, graph = texts
    before = graph.hnsw.efSearch
    flat = shortlist.IndexFlat(data.base.dim)
    refined = shortlist.IndexRefineFlat(flat)  # its k_factor takes some values only
    for index in (flat, refined):
        with pytest.raises(ValueError, match=f"{type(index).__name__} searches exhaustively"):
            sweep(index, data.queries, data.truth)
    for values in ((), (0,), (16, -1), (16, float("nan"))):
        with pytest.raises(ValueError, match=r"values is \[.*expected efSearch of at least 1"):
            sweep(graph, data.queries, data.truth, values=values)
    with pytest.raises(ValueError, match=r"efSearch is 10\.5; expected a whole number"):
        sweep(graph, data.queries, data.truth, values=(10.5,))
    with pytest.raises(ValueError, match="truth has 3 rows; expected 300"):
        sweep(graph, data.queries, data.truth[:3])
    assert graph.hnsw.efSearch == before


def points(*rows):
    return tuple(Point({"efSearch": ef}, recall, qps) for ef, recall, qps in rows)


CURVE = Frontier(
    points((10, 0.8, 1000.0), (20, 0.9, 100.0), (15, 0.85, 90.0), (40, 0.99, 10.0)),
    k=10,
    threads=2,
    label="one",
)


def test_pareto_drops_what_is_beaten():
    assert [p.params["efSearch"] for p in CURVE.pareto()] == [10, 20, 40]
    tied = Frontier(points((1, 0.9, 5.0), (2, 0.9, 7.0), (3, 0.8, 7.0)), 10, 1)
    assert [p.params["efSearch"] for p in tied.pareto()] == [2]


def test_interpolation():
    assert CURVE.qps_at(0.5) == 1000
    assert CURVE.qps_at(0.8) == pytest.approx(1000)
    assert CURVE.qps_at(0.85) == pytest.approx(10**2.5)
    assert CURVE.qps_at(0.99) == pytest.approx(10)
    assert CURVE.qps_at(0.995) is None
    assert Frontier((), 10, 1).qps_at(0.5) is None


def test_the_fastest_point_that_reached_a_recall():
    assert CURVE.at(0.5).params == {"efSearch": 10}
    assert CURVE.at(0.85).params == {"efSearch": 20}  # 15 reached it too, and is slower
    assert CURVE.at(0.9).params == {"efSearch": 20}
    assert CURVE.at(0.99).params == {"efSearch": 40}
    assert CURVE.at(1.0) is None
    assert Frontier((), 10, 1).at(0.5) is None


def test_a_frontier_comes_back_from_json():
    both = Point({"efSearch": 20, "k_factor": 4}, 1.0, 5.0)
    for curve in (CURVE, Frontier((*CURVE.points, both, Point({}, 0.0, 0.5)), 3, 1)):
        assert Frontier.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve
    assert Frontier.from_dict({"points": [], "k": 1, "threads": 1}) == Frontier((), 1, 1)


def changed(**fields):
    return {**CURVE.to_dict(), **fields}


def one_point(**fields):
    return changed(points=[{"params": {"efSearch": 10}, "recall": 0.9, "qps": 5.0, **fields}])


@pytest.mark.parametrize(
    "values",
    [
        None,
        7,
        "text",
        [],
        {},
        {"points": [], "k": 10},
        changed(points=None),
        changed(points={"a": 1}),
        changed(points=[[1, 2, 3]]),
        changed(points=[{"ef": 10, "recall": 0.9, "qps": 5.0}]),
        changed(k=None),
        changed(threads="many"),
        changed(k=float("inf")),
        one_point(params=[1]),
        one_point(params={"efSearch": "wide"}),
        one_point(recall=None),
        one_point(recall=float("nan")),
        one_point(recall=1.5),
        one_point(recall=-0.1),
        one_point(qps=0),
        one_point(qps=float("inf")),
        one_point(qps=float("nan")),
        one_point(qps=10**400),
    ],
)
def test_what_is_no_frontier_is_refused(values):
    with pytest.raises(ValueError, match="not a frontier"):
        Frontier.from_dict(values)


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_plot_draws_every_frontier(tmp_path, suffix, magic):
    pytest.importorskip("matplotlib")
    alone = Frontier((Point({}, 1.0, 50.0),), 10, 2, "exact")
    path = plot([CURVE, alone], tmp_path / f"x{suffix}", title="a title")
    content = path.read_bytes()
    assert content.startswith(magic)
    if suffix == ".svg":
        text = content.decode()
        for word in ("one", "exact", "a title", "recall@10", "queries per second (2 threads)"):
            assert f"<!-- {word} -->" in text
        for colour in ("#0072b2", "#d55e00"):
            assert colour in text.lower()


def test_a_frontier_draws_itself(tmp_path):
    pytest.importorskip("matplotlib")
    for curve, words in ((CURVE, ["one", "my title"]), (Frontier(CURVE.points, 10, 2), [])):
        path = curve.plot(str(tmp_path / "own.svg"), title="my title")
        assert path == tmp_path / "own.svg"
        for word in words:
            assert f"<!-- {word} -->" in path.read_text()


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
