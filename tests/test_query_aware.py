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


def built(data, form, objective=None, metric=IP, **kwargs):
    x, train, _ = data
    index = sl.index_factory(D, form, metric)
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
        "PQ4x4fs",
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


@pytest.mark.parametrize("form", ["QA,HNSW16,PQ4x4", "QA,IVF8,PQ4x4", "IVF8,QA,PQ4x4"])
def test_structures_find_what_the_codes_say(data, form):
    q = data[2]
    index = built(data, form, "score")
    assert index.chain.at(0).report["chosen"] != index.chain.at(0).report["plain"]
    expected = index.search_exact(q, 10)
    if "IVF" in form:
        index.index.nprobe = 8
        np.testing.assert_allclose(index.search(q, 10)[0], expected[0], rtol=1e-4, atol=1e-4)
        index.index.nprobe = 4
    else:
        index.index.hnsw.efSearch = 200
    found = index.search(q, 10)[0] >= expected[0][:, -1:] - 1e-4  # codes tie
    assert found.mean() > 0.9


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


def squares(q, x):
    return ((q[:, None].astype(np.float64) - x) ** 2).sum(-1)


@pytest.fixture(scope="module")
def far(data):
    """L2 indexes of both objectives."""
    return {o: built(data, "QA,OPQ4,PQ4x4", o, metric=L2) for o in ("recall", "score")}


@pytest.mark.parametrize(
    ("objective", "rest"), [("recall", "PQ4x4"), ("score", "PQ4x5"), ("score", "OPQ4,PQ4x4")]
)
def test_l2_is_better_than_the_codec_alone(data, objective, rest):
    x, _, q = data
    aware = built(data, f"QA,{rest}", objective, metric=L2)
    plain = sl.index_factory(D, rest, L2)
    if "OPQ" in rest:
        plain.chain.at(0).niter = 4
    plain.train(x)
    plain.add(x)
    true = squares(q, x)
    order = np.argsort(true, 1)

    def figures(index):
        told = scores(index, q, len(x))
        found = np.argsort(told, 1)[:, :10]
        hits = [len(set(a) & set(b)) / 10 for a, b in zip(found, order[:, :10], strict=True)]
        return np.mean(hits), np.take_along_axis((told - true) ** 2, order[:, :100], 1).mean()

    (recall, error), (plain_recall, plain_error) = figures(aware), figures(plain)
    if objective == "recall":
        assert recall > plain_recall + 0.05
    else:
        assert error < 0.85 * plain_error
    report = chain_of(aware)[0].report
    np.testing.assert_allclose(report["chosen"]["recall"], recall, atol=0.08)
    np.testing.assert_allclose(report["chosen"]["score_error"], error, rtol=0.4)
    np.testing.assert_allclose(report["plain"]["score_error"], plain_error, rtol=0.4)
    assert aware.sa_code_size() == plain.sa_code_size() + 4


@pytest.mark.parametrize("objective", ["recall", "score"])
def test_l2_distances_are_those_of_codes_and_offsets(data, far, objective):
    x, _, q = data
    index = far[objective]
    aware, opq = chain_of(index)
    stored = index.index.reconstruct_n(0, len(x))
    codes, offsets = stored[:, :D], stored[:, D]
    back = index.reconstruct_n(0, len(x))
    np.testing.assert_allclose(back, aware.reverse_transform(opq.reverse_transform(codes)))
    left = aware.report["chosen"]["residual"] * ((x - back) ** 2).sum(1)
    np.testing.assert_allclose(offsets, (back**2).sum(1) + left, rtol=1e-4)
    asked = opq.apply(aware.apply_queries(q))
    told = (q**2).sum(1)[:, None] + offsets - 2 * asked @ codes.T
    np.testing.assert_allclose(scores(index, q, len(x)), told, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(index.sa_decode(index.sa_encode(x)), back, rtol=1e-5)
    chosen = {chain_of(i)[0].report["chosen"]["residual"] for i in far.values()}
    assert chosen == {False, True}  # so that both are seen here


def test_l2_searches_of_every_kind(data, far, tmp_path):
    x, _, q = data
    index = sl.clone_index(far["recall"])
    every = scores(index, q, len(x))
    D_, I_ = index.search(q, 7)
    np.testing.assert_allclose(D_, np.sort(every, 1)[:, :7], rtol=1e-5)
    radius = float(np.median(every))
    lims, D_, I_ = index.range_search(q, radius)
    row = np.repeat(np.arange(len(q)), np.diff(lims).astype(int))
    assert len(I_) == (every < radius).sum()
    np.testing.assert_allclose(D_, every[row, I_], rtol=1e-5)
    odd = sl.SearchParameters(sel=sl.IDSelectorBatch(np.arange(1, 1500, 2)))
    np.testing.assert_allclose(
        index.search(q, 9, params=odd)[0], np.sort(every[:, 1::2], 1)[:, :9], rtol=1e-5
    )
    index.save(tmp_path / "i")
    for again in (sl.open(tmp_path / "i"), pickle.loads(pickle.dumps(index))):
        again.add(x[:3])
        np.testing.assert_array_equal(again.reconstruct(1500), again.reconstruct(0))
        again.remove_ids(np.arange(1500, 1503))
        for a, b in zip(index.search(q, 5), again.search(q, 5), strict=True):
            np.testing.assert_array_equal(a, b)
        assert chain_of(again)[0].report == chain_of(index)[0].report
    index.merge_from(again)
    assert index.ntotal == 3000
    assert index.search(np.full((1, D), np.nan, np.float32), 3)[1].tolist() == [[-1, -1, -1]]
    index.reset()
    assert index.search(q[:1], 1)[1].tolist() == [[-1]]


def test_offsets_are_kept_where_they_can_be(data, far, tmp_path):
    x, train, _ = data
    for form in ("QA,SQ8", "QA,HNSW8,PQ4x4", "QA,IVF8,PQ4x4", "QA,PQ4x4fs", "QA,RaBitQ", "QA,SDC2"):
        with pytest.raises(sl.FactoryError, match=r"needs inner products.*'QA,OPQ<M>,PQ<M>'"):
            sl.index_factory(D, form, L2)
    codes = far["score"].index
    with pytest.raises(sl.UnsupportedError, match="fast scan keeps no offsets"):
        sl.IndexPQFastScan(codes)
    with pytest.raises(sl.UnsupportedError, match="offset makes L2 distances"):
        sl.IndexPQ(D + 1, 4, 4, IP, offset=True)
    with pytest.raises(sl.ArgumentError, match=r"M = 4 .* d - 1 = 15"):
        sl.IndexPQ(D, 4, 4, L2, offset=True)
    with pytest.raises(sl.UnsupportedError, match="no form"):
        sl.write_index(codes, str(tmp_path / "f"))
    bare = sl.IndexPreTransform(sl.QueryAwareTransform(D), sl.IndexPQ(D, 4, 4, L2))
    with pytest.raises(sl.UnsupportedError, match="with an offset"):
        bare.train(x, queries=train)
    # Without a query-aware transform distances are the codec's own.
    plain, offset = sl.IndexPQ(D, 4, 4), sl.IndexPreTransform(sl.IndexPQ(D + 1, 4, 4, offset=True))
    assert offset.d == D
    for index in (plain, offset):
        index.train(x)
        index.add(x)
    np.testing.assert_allclose(offset.search(x, 5)[0], plain.search(x, 5)[0], rtol=1e-3, atol=1e-3)


def test_a_transform_inside_lists_stands_before_them():
    for form in ("IVF8,QA,PQ4x4", "IVF8_HNSW,QA,OPQ4,PQ4x4", "IVF8,QA,PQ4x4,RFlat"):
        index = sl.index_factory(D, form, IP)
        index = getattr(index, "base_index", index)
        assert isinstance(index.chain.at(0), sl.QueryAwareTransform)
        assert isinstance(index.index, sl.IndexIVFPQ)
        assert len(index.chain) == 1 + ("OPQ" in form)
    with pytest.raises(sl.FactoryError):
        sl.index_factory(D, "IVF8,QA", IP)
    with pytest.raises(sl.FactoryError):
        sl.index_factory(D, "IVF8,OPQ4,PQ4x4", IP)


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
    for form in ("PQ4x4", "PCA4,Flat", "PCA4,QA,Flat"):
        with pytest.raises(sl.UnsupportedError, match="QueryAwareTransform before it"):
            sl.index_factory(D, form, IP).train(x, queries=train)
    index.train(x, queries=train)
    index.add(x)
    with pytest.raises(sl.ArgumentError, match=r"holds 1500 vectors.*reset"):
        index.train(x, queries=train)
    index.reset()
    index.train(x, queries=train)
