"""Vectors in two lists: which, and that nobody sees them twice."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shortlist

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
D, NLIST = 16, 20


def vectors(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, D)).astype("f4")


def spilled(
    x: np.ndarray, form: str = "Flat", metric: int = L2, soar_lambda: float = 1.5
) -> shortlist.IndexIVF:
    index = shortlist.index_factory(D, f"IVF{NLIST},{form}", metric)
    index.train(x)
    index.soar_lambda = soar_lambda
    index.add(x)
    return index


def lists_of(index: shortlist.IndexIVF) -> list[set[int]]:
    out: dict[int, set[int]] = {}
    for number in range(NLIST):
        for i in index.invlists.get_ids(number).tolist():
            assert number not in out.setdefault(i, set())
            out[i].add(number)
    return [out[i] for i in sorted(out)]


@pytest.mark.parametrize("soar_lambda", [1e-6, 1.0, 3.0])
def test_the_second_list_is_the_one_the_paper_names(soar_lambda):
    x = vectors(800)
    index = spilled(x, soar_lambda=soar_lambda)
    centroids = index.quantizer.reconstruct_n().astype(np.float64)
    away = x[:, None] - centroids
    square = (away**2).sum(2)
    first = square.argmin(1)
    residual = away[np.arange(len(x)), first]
    residual /= np.linalg.norm(residual, axis=1, keepdims=True)
    cost = square + soar_lambda * np.einsum("icd,id->ic", away, residual) ** 2
    cost[np.arange(len(x)), first] = np.inf
    second = cost.argmin(1)
    wanted = [{int(a), int(b)} for a, b in zip(first, second, strict=True)]
    assert np.mean([a == b for a, b in zip(lists_of(index), wanted, strict=True)]) > 0.995


@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("form", ["Flat", "SQ8", "PQ4x4fs", "SDC2", "RaBitQ"])
def test_no_vector_is_found_twice(form, metric):
    x, q = vectors(900), vectors(40, 1)
    index = spilled(x, form, metric)
    index.nprobe = NLIST
    assert index.ntotal == 900
    for rows in (q, q[:1]):
        for k in (1, 10, 900, 1000):
            distances, ids = index.search(rows, k)
            for row, told in zip(ids, distances, strict=True):
                found = row[row >= 0]
                assert len(set(found.tolist())) == len(found)
                assert len(found) >= min(k, 900) * 0.9  # SDC rules some out
                told = told[row >= 0] * (-1 if metric == IP else 1)
                assert (np.diff(told) >= 0).all()
    lims, _, ids = index.range_search(q, float(np.median(distances[distances < 1e30])))
    for begin, end in pairwise(lims):
        assert len(set(ids[begin:end].tolist())) == end - begin


def test_all_lists_give_the_exact_answer_once(oracle, rng):
    x, q = vectors(1200), vectors(30, 1)
    index = spilled(x)
    index.nprobe = NLIST
    plain = shortlist.IndexFlatL2(D)
    plain.add(x)
    np.testing.assert_array_equal(index.search(q, 20)[1], plain.search(q, 20)[1])
    odd = shortlist.SearchParametersIVF(
        sel=shortlist.IDSelectorBatch(np.arange(1, 1200, 2)), nprobe=NLIST
    )
    chosen = plain.search(
        q,
        20,
        params=shortlist.SearchParameters(sel=shortlist.IDSelectorBatch(np.arange(1, 1200, 2))),
    )[1]
    np.testing.assert_array_equal(index.search(q, 20, params=odd)[1], chosen)


def test_fewer_lists_are_needed():
    x, q = vectors(4000), vectors(200, 1)
    truth = shortlist.IndexFlatIP(D)
    truth.add(x)
    wanted = truth.search(q, 10)[1]

    def recall(index):
        index.nprobe = 3
        found = index.search(q, 10)[1]
        return np.mean([np.isin(a, b).mean() for a, b in zip(wanted, found, strict=True)])

    assert recall(spilled(x, metric=IP)) > recall(spilled(x, metric=IP, soar_lambda=0)) + 0.05


def test_a_living_index(tmp_path: Path):
    x = vectors(1000)
    index = spilled(x[:600], "SQ8")
    index.add_with_ids(x[600:800], np.arange(5000, 5200))
    assert index.remove_ids(np.r_[np.arange(100), 5000]) == 101
    assert index.ntotal == 699
    index.nprobe = NLIST
    _, ids = index.search(x[:100], 699)
    assert not np.isin(ids, np.r_[np.arange(100), 5000]).any()
    assert all(len(set(row)) == 699 for row in ids.tolist())
    np.testing.assert_allclose(index.reconstruct(5100), x[700], atol=0.05)
    index.save(tmp_path / "spilled")
    for again in (shortlist.open(tmp_path / "spilled"), shortlist.clone_index(index)):
        assert (again.ntotal, again.soar_lambda) == (699, 1.5)
        again.nprobe = NLIST
        np.testing.assert_array_equal(again.search(x, 9)[1], index.search(x, 9)[1])
    other = shortlist.clone_index(index)
    other.reset()
    other.add(x[800:])
    index.merge_from(other, 9000)
    assert (index.ntotal, other.ntotal) == (899, 0)
    assert "in two lists" in repr(index)
    index.reset()
    assert index.ntotal == 0
    index.soar_lambda = 0
    index.add(x)
    assert index.ntotal == 1000


def test_what_makes_no_sense_is_refused():
    x = vectors(600)
    index = spilled(x)
    for value in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="soar_lambda ="):
            index.soar_lambda = value
    with pytest.raises(ValueError, match="set it before add"):
        index.soar_lambda = 0
    with pytest.raises(ValueError, match="two lists"):
        spilled(x, soar_lambda=0).merge_from(index, 0)
    with pytest.raises(Exception, match="two lists; use save"):
        shortlist.serialize_index(index)
    other = shortlist.clone_index(index)
    other.reset()
    for kind in (2, 3, 4):
        with pytest.raises(RuntimeError, match="two codes"):
            index.copy_subset_to(other, kind, 1, 0)
    index.copy_subset_to(other, 0, 0, 100)
    assert other.ntotal == 100
    one = shortlist.IndexIVFFlat(shortlist.IndexFlatL2(D), D, 1)
    with pytest.raises(ValueError, match="nlist = 1"):
        one.soar_lambda = 1
