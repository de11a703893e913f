"""QueryAwareTransform: products stay what they are, codes err less, and never silently more."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import shortlist as sl

D = 16
L2, IP = sl.METRIC_L2, sl.METRIC_INNER_PRODUCT


@pytest.fixture(scope="module")
def data():
    """Vectors that vary where queries do not look, and the queries."""
    rng = np.random.default_rng(5)
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0]
    x = (rng.normal(size=(1500, D)) * np.geomspace(3, 0.5, D)) @ turn + 0.3
    q = (rng.normal(size=(600, D)) * np.geomspace(0.1, 2, D)) @ turn + 0.2
    return x.astype(np.float32), q[:400].astype(np.float32), q[400:].astype(np.float32)


def built(data, form, objective=None, **kwargs):
    x, train, _ = data
    index = sl.index_factory(D, form, IP)
    for transform in chain_of(index):
        if isinstance(transform, sl.OPQMatrix):
            transform.niter = 4
    index.train(x, queries=train, objective=objective, **kwargs)
    index.add(x)
    return index


def chain_of(index):
    while not hasattr(index, "chain"):
        index = index.base_index if hasattr(index, "base_index") else index.index
    return [index.chain.at(i) for i in range(len(index.chain))]


def scores(index, q, n):
    """Of all n vectors, in order."""
    D_, I_ = index.search_exact(q, n)
    out = np.empty_like(D_)
    np.put_along_axis(out, I_, D_, 1)
    return out


def near(index, x, q):
    """Recall@10, and the mean squared error of the scores of the 100 nearest."""
    true, told = q @ x.T, scores(index, q, len(x))
    order = np.argsort(-true, 1)
    found = np.argsort(-told, 1)[:, :10]
    hits = [len(set(a) & set(b)) / 10 for a, b in zip(found, order[:, :10], strict=True)]
    error = np.take_along_axis(told - true, order[:, :100], 1)
    return np.mean(hits), (error**2).mean()


@pytest.mark.parametrize("objective", ["recall", "score"])
@pytest.mark.parametrize("rest", ["OPQ4,PQ4x4", "OPQ4,PQ4x4fs", "PQ4x5"])
def test_it_beats_the_codec_alone(data, rest, objective):
    x, _, q = data
    plain = sl.index_factory(D, rest, IP)
    plain.train(x)
    plain.add(x)
    aware = built(data, f"QA,{rest}", objective)
    report = chain_of(aware)[0].report
    (recall, error), (plain_recall, plain_error) = near(aware, x, q), near(plain, x, q)
    if objective == "recall":
        assert recall > plain_recall + 0.05
    else:
        assert error < 0.7 * plain_error
    assert report["objective"] == objective
    assert (report["vectors"], report["queries"], report["held_out"]) == (1500, 320, 80)
    assert report["plain"] == report["candidates"][0]
    assert (report["plain"]["exponent"], report["plain"]["fitted"]) == (0, False)
    assert sorted({c["exponent"] for c in report["candidates"]}) == [0, 0.25, 0.5, 0.75, 1]
    values = [
        c["recall"] if objective == "recall" else -c["score_error"] for c in report["candidates"]
    ]
    assert report["candidates"][int(np.argmax(values))] == report["chosen"]
    np.testing.assert_allclose(report["chosen"]["recall"], recall, atol=0.08)
    np.testing.assert_allclose(report["chosen"]["score_error"], error, rtol=0.4)


def test_products_of_the_two_sides_are_those_of_vectors_and_queries(data):
    x, train, q = data
    index = built(data, "QA,Flat")  # exact already: nothing is better than the codec alone
    transform = chain_of(index)[0]
    assert transform.report["chosen"] == transform.report["plain"]
    np.testing.assert_allclose(transform.A, np.eye(D), atol=1e-5)
    np.testing.assert_allclose(scores(index, q, len(x)), q @ x.T, atol=1e-3)
    aware = chain_of(built(data, "QA,PQ4x4", "score"))[0]
    assert aware.report["chosen"]["exponent"] > 0
    H = train.T @ train
    np.testing.assert_allclose(aware.A @ H, H @ aware.A, rtol=0.2, atol=0.2 * np.abs(H).max())
    np.testing.assert_allclose(aware.reverse_transform(aware.apply(x)), x, atol=1e-3)
    np.testing.assert_allclose(aware.apply(x), x @ aware.A.T, atol=1e-4)
    np.testing.assert_allclose(aware.apply_queries(q), q @ aware.B.T, atol=1e-3)


@pytest.mark.parametrize(
    "rest",
    [
        "SQ8",
        "SDC2",
        "RaBitQ",
        "RaBitQ4",
        "HNSW8",
        "HNSW8,PQ4x4",
        "IVF8,PQ4x4",
        "PCA12,SQ8",
        "L2norm,Flat",
    ],
)
def test_whatever_stands_behind_is_no_worse(data, rest):
    x, _, q = data
    plain = sl.index_factory(D, rest, IP)
    plain.train(x)
    plain.add(x)
    aware = built(data, f"QA,{rest}")
    assert near(aware, x, q)[0] >= near(plain, x, q)[0] - 0.01


def test_searches_of_every_kind(data):
    x, _, q = data
    index = built(data, "QA,OPQ4,PQ4x4")
    every = scores(index, q, len(x))
    D_, I_ = index.search(q, 7)
    np.testing.assert_allclose(D_, np.take_along_axis(every, I_, 1), rtol=1e-5)
    np.testing.assert_allclose(D_, -np.sort(-every, 1)[:, :7], rtol=1e-5)
    lims, D_, I_ = index.range_search(q, 4.0)
    assert lims[-1] == len(I_) == (every > 4).sum()
    row = np.repeat(np.arange(len(q)), np.diff(lims).astype(int))
    np.testing.assert_allclose(D_, every[row, I_], rtol=1e-5)
    odd = sl.IDSelectorBatch(np.arange(1, 1500, 2))
    assert (index.search(q, 9, params=sl.SearchParameters(sel=odd))[1] % 2 == 1).all()
    back = index.reconstruct_n(0, len(x))
    assert ((back - x) ** 2).sum() < 0.8 * ((x - x.mean(0)) ** 2).sum()
    named = sl.index_factory(D, "IDMap2,QA,OPQ4,PQ4x4,RFlat", IP)
    chain_of(named.index)[1].niter = 2
    named.train(x, queries=data[1])
    named.add_with_ids(x, np.arange(1500) * 3)
    named.index.k_factor = 500
    np.testing.assert_array_equal(named.search(q, 3)[1] // 3, np.argsort(-(q @ x.T), 1)[:, :3])


def test_the_same_whatever_the_threads(data, threads):
    made = []
    for n in (1, 3):
        threads(n)
        made.append(chain_of(built(data, "QA,OPQ4,PQ4x4"))[0])
    assert made[0].report == made[1].report
    np.testing.assert_array_equal(made[0].A, made[1].A)
    np.testing.assert_array_equal(made[0].B, made[1].B)


def test_files(data, tmp_path):
    q = data[2]
    index = built(data, "QA,OPQ4,PQ4x4", "score")
    found, transform = index.search(q, 5), chain_of(index)[0]
    index.save(tmp_path / "i")
    for again in (
        sl.open(tmp_path / "i"),
        pickle.loads(pickle.dumps(index)),
        sl.clone_index(index),
    ):
        for a, b in zip(found, again.search(q, 5), strict=True):
            np.testing.assert_array_equal(a, b)
        assert chain_of(again)[0].report == transform.report
    untrained = pickle.loads(pickle.dumps(sl.QueryAwareTransform(3, "score")))
    assert (untrained.objective, untrained.report, untrained.is_trained) == ("score", {}, False)
    with pytest.raises(sl.UnsupportedError, match=r"QueryAwareTransform has no form.*index\.save"):
        sl.write_index(index, str(tmp_path / "f"))
    assert not (tmp_path / "f").exists()


def test_merging_asks_for_the_same_transform(data):
    one = built(data, "QA,OPQ4,PQ4x4")
    other = sl.clone_index(one)
    one.merge_from(other)
    assert (one.ntotal, other.ntotal) == (3000, 0)
    with pytest.raises(sl.ArgumentError, match="differ"):
        one.merge_from(built(data, "QA,OPQ4,PQ4x4", "score"))


def test_few_queries(data):
    x, train, q = data
    index = sl.index_factory(D, "QA,PQ4x4", IP)
    with pytest.raises(sl.ArgumentError, match=r"there are 31 queries.* at least 32"):
        index.train(x, queries=train[:31])
    assert not index.is_trained
    index.train(x, queries=train[:32])
    index.add(x)
    plain = sl.index_factory(D, "PQ4x4", IP)
    plain.train(x)
    plain.add(x)
    assert near(index, x, q)[0] > near(plain, x, q)[0] - 0.02


def test_bad_input_is_explained(data):
    x, train, _ = data
    index = sl.index_factory(D, "QA,PQ4x4", IP)
    with pytest.raises(sl.ArgumentError, match=r"learns from queries.*train\(x, queries=\.\.\.\)"):
        index.train(x)
    with pytest.raises(sl.DimensionError, match="queries have 15"):
        index.train(x, queries=train[:, 1:])
    with pytest.raises(sl.ArgumentError, match="NaN"):
        index.train(x, queries=np.where(np.arange(D) == 3, np.nan, train))
    with pytest.raises(sl.ArgumentError, match="zero"):
        index.train(x, queries=np.zeros((40, D)))
    for objective in ("precision", ""):
        with pytest.raises(sl.ArgumentError, match="'recall' or 'score'"):
            index.train(x, queries=train, objective=objective)
        with pytest.raises(sl.ArgumentError, match="'recall' or 'score'"):
            sl.QueryAwareTransform(D, objective)
    with pytest.raises(sl.ArgumentError, match="without queries"):
        index.train(x, objective="score")
    with pytest.raises(sl.NotTrainedError):
        index.add(x)
    with pytest.raises(sl.UnsupportedError, match=r"not L2 distances.*METRIC_INNER_PRODUCT"):
        sl.index_factory(D, "QA,PQ4x4", L2).train(x, queries=train)
    for form in ("PQ4x4", "PCA4,Flat", "PCA4,QA,Flat"):
        with pytest.raises(sl.UnsupportedError, match="QueryAwareTransform before it"):
            sl.index_factory(D, form, IP).train(x, queries=train)
    index.train(x, queries=train)
    index.add(x)
    with pytest.raises(sl.ArgumentError, match=r"holds 1500 vectors.*reset"):
        index.train(x, queries=train)
    index.reset()
    index.train(x, queries=train)
