"""Scalar quantisers of few bits: faiss's bytes, what they stand for, and searches."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist

TYPES = [
    "QT_8bit",
    "QT_6bit",
    "QT_4bit",
    "QT_8bit_uniform",
    "QT_4bit_uniform",
    "QT_fp16",
    "QT_bf16",
]


def index_of(module, qtype: str, d: int, metric: int):
    kind = getattr(module.ScalarQuantizer, qtype)
    return module.IndexScalarQuantizer(d, kind, metric)


# Of halves faiss rounds some ties otherwise.
@pytest.mark.parametrize("qtype", [t for t in TYPES if t != "QT_fp16"])
@pytest.mark.parametrize("d", [1, 3, 4, 5, 8, 13, 33])
def test_codes_are_faiss_s(rng, qtype, d):
    faiss = pytest.importorskip("faiss")
    x = rng.normal(size=(200, d)).astype(np.float32)
    far = np.concatenate([x, x * 5])  # outside the range that training saw
    ours, theirs = (index_of(module, qtype, d, 1) for module in (shortlist, faiss))
    ours.train(x)
    theirs.train(x)
    codes = ours.sa_encode(far)
    np.testing.assert_array_equal(codes, theirs.sa_encode(far))
    np.testing.assert_allclose(ours.sa_decode(codes), theirs.sa_decode(codes), rtol=1e-6, atol=1e-6)
    assert ours.code_size == theirs.code_size


@pytest.mark.parametrize("qtype", TYPES)
def test_searches_compare_what_codes_stand_for(rng, oracle, threads, qtype):
    x = rng.normal(size=(700, 21)).astype(np.float32)
    q = rng.normal(size=(30, 21)).astype(np.float32)
    index = index_of(shortlist, qtype, 21, oracle.metric)
    index.train(x)
    index.add(x)
    decoded = index.sa_decode(index.sa_encode(x))
    for some in (q, q[:1]):
        found, ids = index.search(some, 9)
        wanted, _ = oracle.search(some, decoded, 9)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
        told = np.take_along_axis(oracle.distances(some, decoded), ids, 1)
        np.testing.assert_allclose(found, told, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("qtype", ["QT_6bit", "QT_4bit", "QT_bf16"])
def test_graphs_and_lists_of_packed_codes(rng, oracle, qtype):
    x = rng.normal(size=(1500, 16)).astype(np.float32)
    q = rng.normal(size=(40, 16)).astype(np.float32)
    kind = getattr(shortlist.ScalarQuantizer, qtype)
    flat = index_of(shortlist, qtype, 16, oracle.metric)
    graph = shortlist.IndexHNSWSQ(16, kind, 16, oracle.metric)
    graph.hnsw.efSearch = 200
    for index in (flat, graph):
        index.train(x)
        index.add(x)
    found, wanted = graph.search(q, 10)[0], flat.search(q, 10)[0]
    assert np.isclose(found, wanted, rtol=1e-4, atol=1e-4).mean() > 0.97
    lists = shortlist.IndexIVFScalarQuantizer(
        shortlist.IndexFlat(16, oracle.metric), 16, 8, kind, oracle.metric
    )
    lists.train(x)
    lists.add(x)
    lists.nprobe = 8
    found, _ = lists.search(q, 10)
    decoded = np.stack([lists.reconstruct(i) for i in range(len(x))])
    wanted, _ = oracle.search(q, decoded, 10)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_fewer_bits_keep_less(rng):
    x = rng.normal(size=(500, 16)).astype(np.float32)
    error = []
    for qtype in ("QT_8bit", "QT_6bit", "QT_4bit"):
        index = index_of(shortlist, qtype, 16, 1)
        index.train(x)
        error.append(abs(index.sa_decode(index.sa_encode(x)) - x).max())
    assert error[0] * 3 < error[1] < error[2] / 3


def test_bf16_keeps_what_is_no_number():
    index = index_of(shortlist, "QT_bf16", 4, 1)
    x = np.array([[np.nan, np.inf, -np.inf, 3e38]], np.float32)
    index.add(x, allow_nan=True)
    back = index.reconstruct(0)
    assert np.isnan(back[0])
    np.testing.assert_array_equal(back[1:3], x[0, 1:3])


def test_an_unknown_type_is_refused():
    with pytest.raises(RuntimeError, match="is not available; choose QT_8bit"):
        shortlist.IndexScalarQuantizer(8, 26)
