"""Indexes on disk whose postings are chosen by SOAR."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shortlist
from golden_indexes import FOLDER
from shortlist import spann
from shortlist._core import _disk
from spann_cases import D, build, contents, vectors


def postings_of(folder: Path) -> dict[int, list[int]]:
    """Of each id the postings that it is in."""
    manifest = shortlist.open(folder).manifest
    files = _disk.PostingFiles([str(folder / name) for name in manifest["postings"]])
    out: dict[int, list[int]] = {}
    for number, (ids, _) in files.read(list(range(len(files)))).items():
        for i in ids.tolist():
            out.setdefault(i, []).append(number)
    return {i: sorted(numbers) for i, numbers in out.items()}


def expected(x: np.ndarray, centroids: np.ndarray, replicas: int, soar_lambda: float) -> Any:
    """The rule, written plainly; like costs do not come in these vectors."""
    out = []
    for row in x.astype("f8"):
        away = row - centroids.astype("f8")
        cost = (away**2).sum(1)
        chosen = [int(cost.argmin())]
        while len(chosen) < replicas:
            r = away[chosen[-1]]
            cost = cost + soar_lambda * (away @ r) ** 2 / (r @ r)
            cost[chosen] = np.inf
            chosen.append(int(cost.argmin()))
        out.append(sorted(chosen))
    return out


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize(
    ("knobs", "replicas", "soar_lambda"),
    [({}, 2, 1.5), ({"replicas": 4, "soar_lambda": 0.5}, 4, 0.5), ({"replicas": 1}, 1, 1.5)],
)
def test_vectors_are_in_the_postings_of_the_rule(tmp_path, metric, knobs, replicas, soar_lambda):
    x = vectors(1200, seed=3)
    index = build(
        tmp_path, x, "SPANN40,Flat", metric=metric, assignment="soar", candidates=64, **knobs
    )
    if metric == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert (index.manifest["dropped"], index.entries) == (0, 1200 * replicas)
    assert index.postings <= 64  # and none was split: all are candidates
    centroids = index.centroids.reconstruct_n(0, index.postings)
    got, want = postings_of(tmp_path), expected(x, centroids, replicas, soar_lambda)
    assert np.mean([got[i] == want[i] for i in range(1200)]) > 0.995
    plan = index.plan
    assert (plan.assignment, plan.replicas, plan.soar_lambda) == ("soar", replicas, soar_lambda)
    assert plan.mean_replicas == replicas


@pytest.mark.parametrize("dtype", ["f4", "f2", "u1"])
@pytest.mark.parametrize("description", ["SPANN,Flat", "SPANN,SDC2"])
def test_all_postings_give_the_true_neighbours(tmp_path, description, dtype, l2):
    x, q = vectors(1500, dtype=dtype), vectors(30, seed=1, dtype=dtype)
    index = build(tmp_path, x, description, assignment="soar", replicas=3)
    everything = shortlist.SearchParametersSPANN(nprobe=10**6, k_factor=20)
    for opened in (index, shortlist.open(tmp_path)):
        opened.verify()
        _, found = opened.search(q, 10, params=everything)
        assert l2.recall(found, q, x) >= 0.99
        assert all(len(set(row)) == 10 for row in found.tolist())
    _, found = index.search(x, 1, params=shortlist.SearchParametersSPANN(nprobe=4, k_factor=20))
    assert l2.recall(found, x, x) == 1


def test_the_same_bytes_from_any_threads(tmp_path, spann_vectors, threads):
    made = []
    for count in (1, 2):
        threads(count)
        build(tmp_path / str(count), spann_vectors, assignment="soar", buckets=3, shard_rows=700)
        made.append(contents(tmp_path / str(count)))
    assert made[0] == made[1]
    build(tmp_path / "1", spann_vectors, buckets=3, shard_rows=700)  # another rule, another index
    assert shortlist.open(tmp_path / "1").plan.assignment == "rng"


def test_changes_are_folded_in(tmp_path, l2):
    x, more, q = vectors(1000), vectors(500, seed=8), vectors(40, seed=9)
    index = build(tmp_path, x, assignment="soar", replicas=3)
    index.add(more)
    index.remove_ids(np.arange(100))
    before = index.entries
    index = index.compact()
    both = np.concatenate([x, more])[100:]
    assert index.entries == before + 3 * 400
    params = shortlist.SearchParametersSPANN(nprobe=10**6)
    np.testing.assert_array_equal(
        index.search(q, 10, params=params)[1], l2.search(q, both, 10, np.arange(100, 1500))[1]
    )


@pytest.mark.parametrize("n", [1, 2, 3, 17])
def test_fewer_postings_than_replicas(tmp_path, n):
    x = vectors(n)
    index = build(tmp_path, x, assignment="soar", replicas=5)
    assert index.plan.mean_replicas == min(5, index.plan.candidates)
    _, found = index.search(x, 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(n))


@pytest.mark.parametrize("value", [0, 7])
def test_vectors_that_are_all_the_same(tmp_path, value):
    """Residuals are of length 0, and centroids alike; a posting's limit does not lose a vector."""
    index = build(tmp_path, np.full((300, D), value, "u1"), assignment="soar", limit=20)
    everything = shortlist.SearchParametersSPANN(nprobe=10**6)
    _, found = index.search(np.full((1, D), value, "u1"), 300, params=everything)
    assert sorted(found[0].tolist()) == list(range(300))


def test_full_postings_lose_replicas_only(tmp_path):
    x = vectors(2000)
    index = build(tmp_path, x, assignment="soar", replicas=4, limit=40)
    assert index.manifest["dropped"] > 0
    assert sorted(postings_of(tmp_path)) == list(range(2000))


@pytest.mark.parametrize("name", ["spann-flat", "spann-sdc2"])
def test_plans_of_earlier_releases_are_what_they_were(name):
    told = json.loads((FOLDER / name / "MANIFEST").read_bytes()[:-12])["plan"]
    plan = spann.Plan(**told)
    assert (plan.assignment, plan.soar_lambda) == ("rng", 0)
    assert plan.record() == told  # so keys are, too
    assert plan.key("x") == plan.key("x")
    soar = spann.Plan(**told, assignment="soar", soar_lambda=1.5)
    assert spann.Plan(**soar.record()) == soar
    assert soar.key("x") != plan.key("x")


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"assignment": "SOAR"}, "assignment = 'SOAR'; choose 'rng' or 'soar'"),
        ({"assignment": None}, "assignment = None"),
        ({"assignment": "soar", "soar_lambda": -1}, "soar_lambda = -1; it must be 0 or more"),
        ({"assignment": "soar", "soar_lambda": float("nan")}, "soar_lambda = nan"),
        ({"assignment": "soar", "soar_lambda": float("inf")}, "soar_lambda = inf"),
        ({"assignment": "soar", "soar_lambda": "1"}, "soar_lambda = '1'"),
        ({"assignment": "soar", "replicas": 2.5}, "replicas = 2.5"),
        ({"soar_lambda": 1.5}, "choose that too"),
        ({"assignment": "soar", "replicas": 0}, "replicas = 0"),
        ({"replicas": -1}, "replicas = -1"),
        ({"replicas": 2**61}, "to 1024"),
        ({"assignment": "soar", "mean_replicas": 5}, "in 2 postings: set replicas"),
    ],
)
def test_knobs_that_make_no_sense(tmp_path, knobs, told):
    with pytest.raises(shortlist.ArgumentError, match=told):
        build(tmp_path / "i", vectors(50), **knobs)
    assert not list(tmp_path.glob("i/*"))
