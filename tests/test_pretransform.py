"""IndexPreTransform: what the index behind it says of transformed vectors, and faiss beside it."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
import shortlist as sl
from shortlist._knobs import knobs

D = 16
L2, IP = sl.METRIC_L2, sl.METRIC_INNER_PRODUCT


@pytest.fixture
def x(rng):
    return (rng.normal(size=(600, D)) * np.geomspace(5, 0.5, D) + 1).astype(np.float32)


def built(x, description, metric=L2, ids=None):
    index = sl.index_factory(x.shape[1], description, metric)
    index.train(x)
    index.add(x) if ids is None else index.add_with_ids(x, ids)
    return index


def test_searches_are_those_of_the_index_behind(x, oracle):
    index = built(x, "PCA8,L2norm,RR12,Flat", oracle.metric)
    y, q = index.apply_chain(x), index.apply_chain(x[:40] + 0.5)
    assert (index.d, index.index.d, index.ntotal, y.shape) == (D, 12, 600, (600, 12))
    np.testing.assert_allclose((y**2).sum(1), 1, atol=1e-5)
    behind = sl.IndexFlat(12, oracle.metric)
    behind.add(y)
    for ours, theirs in (
        (index.search(x[:40] + 0.5, 7), behind.search(q, 7)),
        (index.search_exact(x[:40] + 0.5, 7), behind.search_exact(q, 7)),
        (index.range_search(x[:40] + 0.5, 0.7), behind.range_search(q, 0.7)),
    ):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        index.search(x[:40] + 0.5, 7)[0], oracle.search(q, y, 7)[0], atol=1e-5
    )
    x[3, 2] = np.nan
    assert (index.search(x[:5], 2)[1][3] == -1).all()


def test_parameters_and_filters_reach_the_index_behind(x):
    index = built(x, "PCA8,HNSW8")
    low, even = sl.IDSelectorRange(0, 300), sl.IDSelectorBatch(np.arange(0, 600, 2))
    wide = sl.SearchParametersHNSW(efSearch=600)
    exact = index.search_exact(x, 3)[0]
    np.testing.assert_allclose(index.search(x, 3, params=wide)[0], exact, rtol=1e-4, atol=1e-4)
    params = sl.SearchParametersPreTransform(index_params=wide)
    np.testing.assert_array_equal(
        index.search(x, 3, params=params)[1], index.search(x, 3, params=wide)[1]
    )
    for params in (
        sl.SearchParameters(sel=low),
        sl.SearchParametersHNSW(sel=low),
        sl.SearchParametersPreTransform(sel=low),
    ):
        assert (index.search(x[:30], 5, params=params)[1] < 300).all()
    wide.sel = even
    params = sl.SearchParametersPreTransform(sel=low, index_params=wide)
    found = index.search(x[:30], 5, params=params)[1]
    assert ((found < 300) & (found % 2 == 0)).all()
    _, _, found = index.range_search(x[:30], 30, params=params)
    assert found.size
    assert ((found < 300) & (found % 2 == 0)).all()
    with pytest.raises(ValueError, match="efSearch"):
        index.search(x[:1], 1, params=sl.SearchParametersHNSW(efSearch=0))
    ids = np.arange(600) * 10
    named = built(x, "IDMap2,PCA8,Flat", ids=ids)
    params = sl.SearchParametersPreTransform(sel=sl.IDSelectorBatch(ids[:9]))
    assert np.isin(named.search(x, 5, params=params)[1], ids[:9]).all()


def test_changes(x):
    index = built(x, "PCA8,Flat")
    y = index.apply_chain(x)
    np.testing.assert_array_equal(index.reconstruct_n(), index.reverse_chain(y))
    np.testing.assert_allclose(index.reconstruct(7), index.reverse_chain(y)[7], atol=1e-6)
    assert index.remove_ids(np.arange(0, 600, 2)) == 300
    np.testing.assert_array_equal(index.index.reconstruct_n(), y[1::2])
    other = copy.deepcopy(index)
    index.merge_from(other)
    assert (index.ntotal, other.ntotal) == (600, 0)
    codes = index.sa_encode(x)
    np.testing.assert_array_equal(codes.view(np.float32), y)
    np.testing.assert_array_equal(index.sa_decode(codes), index.reverse_chain(y))
    assert index.sa_code_size() == 32
    stranger = built(x[:50] * 2, "PCA8,Flat")
    with pytest.raises(sl.ArgumentError, match="transforms of the two indexes differ"):
        index.merge_from(stranger)
    with pytest.raises(sl.ArgumentError, match="cannot merge a IndexFlat"):
        index.merge_from(sl.IndexFlat(D))
    shared = sl.IndexPreTransform(index.chain[0], sl.IndexFlat(8))
    shared.add(x)
    index.merge_from(shared)
    assert (index.ntotal, shared.ntotal) == (1200, 0)
    index.reset()
    assert (index.ntotal, index.is_trained) == (0, True)
    D_, I, R = built(x, "RR,Flat").search_and_reconstruct(x[:4], 1)
    np.testing.assert_array_equal(I[:, 0], np.arange(4))
    np.testing.assert_allclose(R[:, 0], x[:4], atol=1e-4)
    np.testing.assert_allclose(D_, 0, atol=1e-3)


def test_graphs_behind_a_transform_keep_their_ids(x):
    index = built(x, "RR,HNSW8")
    index.remove_ids(np.arange(100))
    index.add_with_ids(x[:50], np.arange(5000, 5050))
    index.add(x[50:60])
    assert index.index.ntotal == index.ntotal == 560
    assert index.search_exact(x[:60], 1)[1][:, 0].tolist() == [*range(5000, 5060)]
    np.testing.assert_allclose(index.reconstruct(5003), x[3], atol=1e-4)
    with pytest.raises(sl.IdError, match="id 3 is not"):
        index.reconstruct(3)


def test_training_goes_down_the_chain(x):
    pca, sq = sl.PCAMatrix(D, 8), sl.IndexScalarQuantizer(8, sl.ScalarQuantizer.QT_8bit)
    index = sl.IndexPreTransform(pca, sq)
    index.prepend_transform(sl.CenteringTransform(D))
    assert not index.is_trained
    with pytest.raises(sl.NotTrainedError, match="IndexPreTransform must be trained"):
        index.add(x)
    with pytest.raises(sl.NotTrainedError):
        index.search(x, 1)
    index.train(x)
    assert index.is_trained
    assert pca.is_trained
    assert sq.is_trained
    np.testing.assert_allclose(pca.mean, 0, atol=1e-5)
    y = index.apply_chain(x)
    np.testing.assert_allclose(sq.sq.trained[:8], y.min(0), atol=1e-3)
    before = pca.A
    index.train(x * 2)  # what is trained stays, as in faiss
    np.testing.assert_array_equal(pca.A, before)
    # A transform that was trained beside it, and one that is trained after.
    alone = sl.PCAMatrix(D, 8)
    alone.train(x)
    assert sl.IndexPreTransform(alone, sl.IndexFlatL2(8)).is_trained
    last = sl.IndexPreTransform(sl.CenteringTransform(8), sl.IndexFlatL2(8))
    last.prepend_transform(alone)
    last.train(x)
    np.testing.assert_allclose(last.chain.at(1).mean, alone.apply(x).mean(0), atol=1e-4)


def test_parts_are_live_and_fit_together(x):
    pca = sl.PCAMatrix(D, 8)
    index = sl.IndexPreTransform(pca, sl.IndexFlatL2(8))
    assert index.chain[0] is pca
    assert index.chain.at(-1) is pca
    assert (index.chain.size(), len(index.chain), list(index.chain)) == (1, 1, [pca])
    with pytest.raises(IndexError, match="transform 1 of a chain of 1"):
        index.chain.at(1)
    pca.train(x)
    index.add(x)
    chain, flat = index.chain, index.index
    del index
    assert (chain[0].d_in, flat.ntotal) == (D, 600)
    for wrong in (
        lambda: sl.IndexPreTransform(pca, sl.IndexFlatL2(9)),
        lambda: sl.IndexPreTransform(pca, flat).prepend_transform(sl.PCAMatrix(20, 8)),
    ):
        with pytest.raises(sl.DimensionError, match="does not fit before an index that takes"):
            wrong()
    empty = sl.IndexPreTransform(sl.IndexFlatL2(D, dtype="uint8"))
    whole = np.floor(abs(x)).astype(np.uint8)
    empty.add(whole)
    np.testing.assert_array_equal(empty.search(whole, 2)[0], empty.index.search(whole, 2)[0])
    np.testing.assert_array_equal(empty.reconstruct_n(), whole)
    np.testing.assert_array_equal(empty.apply_chain(whole), whole)
    assert "PCAMatrix 16 to 8, IndexFlatL2" in repr(sl.IndexPreTransform(pca, flat))


def test_an_index_filled_before_can_be_put_behind(x):
    pca = sl.PCAMatrix(D, 4)
    pca.train(x)
    flat = sl.IndexFlatL2(4)
    flat.add(pca.apply(x))
    index = sl.IndexPreTransform(pca, flat)
    assert (index.search(x, 1)[1][:, 0] == np.arange(600)).all()


def test_a_transform_more_is_noticed_by_what_stands_around(x):
    inner = sl.IndexPreTransform(sl.IndexFlatL2(8))
    named = sl.IndexIDMap2(inner)
    refined = sl.IndexRefineFlat(sl.IndexPreTransform(sl.IndexFlatL2(8)))
    y = x[:, :8].copy()
    named.add_with_ids(y, np.arange(600))
    refined.add(y)
    codes = named.sa_encode(y)
    for index in (inner, refined.base_index):
        pca = sl.PCAMatrix(4096, 8)
        pca.train(np.random.default_rng(0).normal(size=(20, 4096)))
        index.prepend_transform(pca)
    for call in (
        lambda: named.search(y, 1),
        lambda: named.add_with_ids(y, np.arange(600)),
        lambda: named.reconstruct(5),
        lambda: named.search_and_reconstruct(y, 1),
        lambda: named.sa_encode(y),
        lambda: named.sa_decode(codes),
        lambda: named.range_search(y, 1),
        lambda: refined.search(y, 1),
        lambda: refined.add(y),
    ):
        with pytest.raises(sl.DimensionError):
            call()
    assert inner.search(np.zeros((2, 4096)), 1)[1].shape == (2, 1)
    assert inner.reconstruct(5).shape == (4096,)


def test_what_cannot_be_reversed_says_so(x):
    index = built(x, "PCAW8,Flat")
    for call in (lambda: index.reconstruct(3), lambda: index.sa_decode(index.sa_encode(x))):
        with pytest.raises(sl.UnsupportedError, match="cannot be reversed"):
            call()
    with pytest.raises(sl.IdError):
        index.reconstruct(600)


def test_values_that_overflow_on_the_way_are_refused(x):
    index = built(x, "PCA8,Flat")
    huge = np.full((1, D), 3e38, np.float32)
    with pytest.raises(sl.ArgumentError, match="cannot add transformed vectors with NaN or Inf"):
        index.add(huge)
    index.add(huge, allow_nan=True)
    assert index.ntotal == 601


def test_transforms_are_trained_while_others_search(x):
    """A shared matrix is never seen half-written."""
    first, second = sl.PCAMatrix(D, D), sl.CenteringTransform(D)
    index = sl.IndexPreTransform(second, sl.IndexFlatL2(D))
    index.prepend_transform(first)
    index.train(x)
    index.add(x)
    stop, failures = threading.Event(), []

    def use():
        try:
            while not stop.is_set():
                index.search(x[:50], 3)
                index.reconstruct_n(0, 5)
                pickle.dumps(index)
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=use) for _ in range(3)]
    for t in threads:
        t.start()
    for i in range(30):
        first.train(x + i)
        second.train(x)
        index.add(x[:10])
    stop.set()
    for t in threads:
        t.join()
    assert not failures


# --- descriptions and files ---------------------------------------------------------------------

FORMS = [
    "PCA8,Flat",
    "PCAR8,Flat",
    "PCAW8,Flat",
    "PCAWR8,Flat",
    "RR,Flat",
    "RR24,SQfp16",
    "RR8,HNSW8",
    "L2norm,Flat",
    "L2Norm,PCA6,SQ8",
    "PCA8,L2norm,HNSW8,Flat",
    "PCA8,Flat,RFlat",
    "PCA8,SQ8,Refine(SQfp16)",
    "IDMap,PCA8,Flat",
    "PCA8,Flat,IDMap2",
    "IDMap2,PCA8,SQ8,RFlat",
    "PCA8,IDMap2,Flat",
    "PCAR8,LSH",
    "PCA8,PQ4x4",
    "PCA8,PQ4x4fs",
    "IDMap,PCAR8,HNSW8,PQ4x4",
    "RR,RaBitQ",
]


def classes(index, downcast=lambda index: index):
    index = downcast(index)
    inner = [
        classes(getattr(index, name), downcast)
        for name in ("index", "base_index", "refine_index")
        if hasattr(index, name)
    ]
    chain = []
    if hasattr(index, "chain"):
        chain = [index.chain.at(i) for i in range(index.chain.size())]
    name = type(index).__name__.replace("IndexFlatL2", "IndexFlat")  # as faiss's files read
    return [name, index.d, [(t.d_in, t.d_out) for t in chain], inner]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("metric", [L2, IP])
def test_descriptions_build_what_faiss_builds(form, metric, faiss):
    if metric == IP and "LSH" in form:
        return
    ours, theirs = sl.index_factory(D, form, metric), faiss.index_factory(D, form, metric)
    assert classes(ours) == classes(theirs, faiss.downcast_index)
    assert ours.is_trained == theirs.is_trained
    np.testing.assert_array_equal(
        sl.serialize_index(sl.clone_index(ours)), sl.serialize_index(ours)
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [0, 300])
def test_files_of_faiss_both_ways(form, n, faiss, x):
    theirs = faiss.index_factory(D, form)
    theirs.train(x)
    ids = np.arange(n) * 3 + 1
    if n:
        theirs.add_with_ids(x[:n], ids) if "IDMap" in form else theirs.add(x[:n])
    data = faiss.serialize_index(theirs)
    ours = sl.deserialize_index(data)
    assert classes(ours) == classes(theirs, faiss.downcast_index)
    np.testing.assert_array_equal(sl.serialize_index(ours), data)
    assert (ours.ntotal, ours.is_trained) == (n, theirs.is_trained)
    mine = sl.index_factory(D, form)
    mine.train(x)
    if n:
        mine.add_with_ids(x[:n], ids) if "IDMap" in form else mine.add(x[:n])
    again = faiss.deserialize_index(sl.serialize_index(mine))
    np.testing.assert_array_equal(faiss.serialize_index(again), sl.serialize_index(mine))
    if not n:
        return
    for a, b in ((ours, theirs), (mine, again)):
        (D1, I1), (D2, I2) = a.search(x[:50], 5), b.search(x[:50], 5)
        if "HNSW" in form or "RaBitQ" in form or "fs" in form:  # searches of their own
            assert (I1[:, 0] == I2[:, 0]).mean() > 0.7
        elif "LSH" in form:
            assert (D1 == D2).mean() > 0.95
        else:
            np.testing.assert_allclose(D1, D2, rtol=1e-3, atol=2e-3 * abs(D2).max())
        if "W" in form or "LSH" in form or "RaBitQ" in form or form == "PCA8,Flat,IDMap2":
            continue
        if "IDMap," not in form:
            key = 4 if "IDMap2" in form else 1
            np.testing.assert_allclose(
                a.reconstruct(key), faiss.downcast_index(b).reconstruct(key), atol=2e-3
            )


def test_a_graph_that_lost_vectors_is_written_with_its_ids(x, faiss):
    index = built(x, "PCA8,HNSW8")
    index.remove_ids(np.arange(50))
    data = sl.serialize_index(index)
    for again in (sl.deserialize_index(data), faiss.deserialize_index(data)):
        assert type(again).__name__ == "IndexIDMap2"
        assert again.ntotal == 550
        found = again.search(x[100:150], 1)[1][:, 0]
        assert (found == np.arange(100, 150)).mean() > 0.9


@pytest.mark.parametrize("form", ["PCA8,Flat", "PCAWR6,L2norm,RR9,HNSW8", "IDMap2,PCA5,SQ8,RFlat"])
def test_saved_and_copied(form, x, tmp_path):
    index = built(x, form, ids=np.arange(600) * 2 if "IDMap" in form else None)
    index.save(tmp_path / "i")
    copies = [
        sl.open(tmp_path / "i"),
        pickle.loads(pickle.dumps(index)),
        copy.deepcopy(index),
        sl.clone_index(index),
    ]
    for again in copies:
        assert classes(again) == classes(index)
        for a, b in zip(again.search(x[:50], 5), index.search(x[:50], 5), strict=True):
            np.testing.assert_array_equal(a, b)
        again.save(tmp_path / "j")
        assert (tmp_path / "j").read_bytes() == (tmp_path / "i").read_bytes()


def test_knobs_are_found_behind_transforms(x):
    index = built(x, "PCA8,HNSW8,RFlat")
    assert [knob.name for knob in knobs(index)] == ["efSearch", "k_factor"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("PCA17,Flat", ["PCA17", "the vectors there have 16 dimensions", "at most PCA16"]),
        ("PCA8,PCA9,Flat", ["'PCA9'", "have 8 dimensions"]),
        ("PCA0,Flat", ["dimensions = 0"]),
        ("RR2000000,Flat", ["dimensions = 2000000"]),
        ("PCA8", ["position 0", "must stand before an index"]),
        ("Flat,PCA8", ["position 5", "must stand before an index"]),
        ("PCA8,", ["empty part at position 5"]),
        ("HNSW8,PCA8,Flat", ["'PCA8'", "position 6"]),
        ("ITQ17,Flat", ["ITQ17", "the vectors there have 16 dimensions", "at most ITQ16"]),
        ("HR,PCA8,Flat", ["'HR'", "not available yet"]),
        ("L2norms,Flat", ["did you mean 'L2norm'?"]),
    ],
)
def test_wrong_descriptions_are_explained(form, words):
    with pytest.raises(sl.FactoryError) as caught:
        sl.index_factory(D, form)
    assert [w for w in words if w not in str(caught.value)] == []
