"""bench.frontier on vectors made on the fly: what it writes, and that its recall is right."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
K = 10
EFS = (10, 40)
ROUNDS = 2


@dataclass
class Run:
    base: np.ndarray
    queries: np.ndarray
    metric: str
    data: Path
    out: Path
    results: dict[str, Any]
    report: str

    def distances(self, query: np.ndarray) -> np.ndarray:
        """To every base vector, smaller is nearer; exact, as all values are small integers / 64."""
        x, q = self.base.astype(np.float64), query.astype(np.float64)
        return ((x - q) ** 2).sum(axis=1) if self.metric == "l2" else -(x @ q)


def frontier(data: Path, out: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.frontier", str(data), "--out", str(out), *options]
    command += ["--M", "8", "--ef-construction", "40", "--threads-build", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "results.json").read_text())


@pytest.fixture(scope="module", params=["uint8", "float16"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Results on 2,000 vectors, every fourth of them a copy of another, so that ties abound.

    64 dimensions are the fewest that every library takes.
    """
    rng = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "uint8":
        metric, tag = "l2", "u8"
        x = rng.integers(0, 256, (2050, 64)).astype(np.uint8)
    else:
        # Four of 64 entries are +-1/2: unit length, and every inner product is exact and tied.
        metric, tag = "ip", "f16"
        where = np.argsort(rng.random((2050, 64)), axis=1)[:, :4]
        x = np.zeros((2050, 64), np.float16)
        np.put_along_axis(x, where, rng.choice([-0.5, 0.5], (2050, 4)).astype(np.float16), axis=1)
    base, queries = x[:2000], x[2000:]
    base[::4] = base[1::4]
    data = folder / "tiny"
    data.mkdir()
    result = Run(base, queries, metric, data, folder / "out", {}, "")
    truth = [np.argsort(result.distances(q), kind="stable")[:20] for q in queries]
    np.save(data / f"base.{tag}.npy", base)
    np.save(data / f"query.{tag}.npy", queries)
    np.save(data / "gt.i32.npy", np.array(truth, np.int32))
    efs = ",".join(map(str, EFS))
    result.results = frontier(data, result.out, "--ef", efs, "--rounds", str(ROUNDS), "--keep-ours")
    result.report = (result.out / "results.md").read_text()
    return result


def test_results_hold_every_contender_and_measurement(run: Run) -> None:
    results = run.results
    assert results["data"] == {
        "name": "tiny",
        "rows": 2000,
        "d": run.base.shape[1],
        "dtype": str(run.base.dtype),
        "metric": run.metric,
        "queries": 50,
        "k": K,
    }
    names = [contender["name"] for contender in results["contenders"]]
    own = str(run.base.dtype)
    both = (own, "float32")
    for module, title, storages in [
        ("shortlist", "shortlist", both),
        ("shortlist", "shortlist QG", both),
        ("faiss", "faiss", both),
        ("hnswlib", "hnswlib", ("float32",)),
        ("usearch", "usearch", both),
        ("rabitqlib", "SymphonyQG", ("float32",)),
        ("svs", "SVS", both),
        ("scann", "ScaNN", ("float32",)),
    ]:
        here = [name for name in names if name.rpartition(" ")[0] == title]
        installed = importlib.util.find_spec(module) is not None
        assert here == [f"{title} {storage}" for storage in storages if installed]
    for contender in results["contenders"]:
        built = contender["build"]
        assert built["origin"] == "built"
        assert built["wall_seconds"] > 0
        assert built["cpu_seconds"] > 0
        saved = run.out / "indexes" / built["index_file"]  # a file, or a folder of files
        files = saved.rglob("*.*") if saved.is_dir() else [saved]
        assert sum(file.stat().st_size for file in files) == built["index_bytes"]
        called = [(point["mode"], point["ef"]) for point in contender["points"]]
        assert called[:2] == [("single", EFS[0]), ("batch", EFS[0])]
        assert len(called) in (2, 4)  # a sweep may end where recall is high enough
        for point in contender["points"]:
            assert len(point["qps"]) == len(point["qps_wall"]) == ROUNDS
            assert min(point["qps"]) > 0
    assert all(name in run.report for name in names)


@pytest.mark.parametrize("library", ["ours", "faiss", "hnswlib", "usearch", "svs", "scann"])
def test_recall_is_what_the_library_answers(run: Run, library: str) -> None:
    """Recall computed from the saved index, called here by hand, is the one reported."""
    pytest.importorskip("shortlist" if library == "ours" else library)
    contenders = [c for c in run.results["contenders"] if c["library"] == library]
    assert contenders
    for contender in contenders:
        file = str(run.out / "indexes" / contender["build"]["index_file"])
        for point in contender["points"]:
            ids = answers(library, contender["storage"], run, file, point["ef"], point["mode"])
            hits = 0
            for query, row in zip(run.queries, ids, strict=True):
                distance = run.distances(query)
                kth = np.sort(distance)[K - 1]
                hits += sum(distance[i] <= kth for i in set(row.tolist()))
            assert 0.2 < point["recall"] <= 1
            # ScaNN's 4-bit codes tie, and a loaded index may keep another of the tied candidates.
            slack = 0.01 if library == "scann" else 1e-12
            assert point["recall"] == pytest.approx(hits / (K * len(ids)), abs=slack)


def answers(library: str, storage: str, run: Run, file: str, ef: int, mode: str) -> np.ndarray:
    queries = run.queries.astype(np.float32)
    if library in ("ours", "faiss"):
        lib = importlib.import_module("shortlist" if library == "ours" else "faiss")
        index = lib.read_index(file)
        index.hnsw.efSearch = ef
        return index.search(queries, K)[1]
    if library == "hnswlib":
        index = importlib.import_module("hnswlib").Index(run.metric, queries.shape[1])
        index.load_index(file)
        index.set_ef(ef)
        return index.knn_query(queries, K)[0]
    if library == "svs":
        svs = importlib.import_module("svs")
        graph, vectors = svs.GraphLoader(f"{file}/graph"), svs.VectorDataLoader(f"{file}/data")
        metric = svs.DistanceType.L2 if run.metric == "l2" else svs.DistanceType.MIP
        dtype = getattr(svs, storage)
        index = svs.Vamana(f"{file}/config", graph, vectors, metric, dtype)
        index.search_window_size = ef
        return index.search(run.queries.astype(storage), K)[0].astype(np.int64)
    if library == "scann":
        index = importlib.import_module("scann").scann_ops_pybind.load_searcher(file)
        lists, reorder = (ef // 2, ef) if run.metric == "l2" else (ef, max(ef // 2, K))
        if mode == "batch":
            return index.search_batched(queries, K, reorder, lists)[0].astype(np.int64)
        # The two ways of calling break ties differently.
        one_by_one = [index.search(query, K, reorder, lists)[0] for query in queries]
        return np.array(one_by_one, np.int64)
    index = importlib.import_module("usearch.index").Index.restore(file)
    index.expansion_search = ef
    if storage == "uint8":
        queries = (queries - 128).astype(np.int8)
    return index.search(queries.astype(np.int8 if storage == "uint8" else storage), K).keys


def test_peers_come_from_the_cache_and_a_cut_base_has_its_own_truth(run: Run) -> None:
    pytest.importorskip("hnswlib")
    options = ("--libs", "hnswlib", "--rounds", "1")
    again = frontier(run.data, run.out, *options, "--ef", "10")["contenders"][0]
    first = next(c for c in run.results["contenders"] if c["library"] == "hnswlib")
    assert again["build"] == {**first["build"], "origin": "cache"}
    assert again["points"][0]["recall"] == first["points"][0]["recall"]

    cut = frontier(run.data, run.out, *options, "--ef", "500", "--limit", "500")["contenders"][0]
    assert cut["build"]["origin"] == "built"
    assert cut["points"][0]["recall"] > 0.99  # with ef = n, all that the graph connects is found


def test_recall_counts_ties_but_no_id_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    dataset = importlib.import_module("bench.frontier.dataset")
    base = np.array([[0], [1], [1], [2], [9]], np.uint8)
    data = dataset.Dataset("tiny", Path(), base, np.zeros((1, 1), np.uint8), "l2", 2, np.array([1]))
    assert data.recall(np.array([[0, 1]])) == 1
    assert data.recall(np.array([[2, 1]])) == 1  # both as near as the second true neighbour
    assert data.recall(np.array([[1, 1]])) == 0.5
    assert data.recall(np.array([[0, 3]])) == 0.5
    assert data.recall(np.array([[-1, 0]])) == 0.5
    assert data.recall(np.array([[-1, -1]])) == 0


def test_interpolation_is_linear_in_log_qps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    interpolate = importlib.import_module("bench.frontier.summary").interpolate
    recalls, qps = [0.8, 0.9, 0.98], [4000.0, 1000.0, 10.0]
    assert interpolate(recalls, qps, 0.85) == pytest.approx(2000)
    assert interpolate(recalls, qps, 0.9) == pytest.approx(1000)
    assert interpolate(recalls, qps, 0.94) == pytest.approx(100)
    assert interpolate(recalls, qps, 0.7) == 4000
    assert interpolate(recalls, qps, 0.99) is None
