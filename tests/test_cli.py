from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

import shortlist
from cli_cases import error_line
from shortlist import cli
from shortlist.datasets import read_truth, write_fvecs


@pytest.fixture
def vectors(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (600, 16)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "x.npy", x


@pytest.fixture
def index(run, vectors, tmp_path):
    path, x = vectors
    run("build", path, "--index", "HNSW16", "--out", tmp_path / "x.index")
    return tmp_path / "x.index", x


def truth_of(x, queries, k, metric="l2"):
    x, queries = x.astype(float), queries.astype(float)
    far = ((queries[:, None] - x) ** 2).sum(2) if metric == "l2" else -queries @ x.T
    return np.argsort(far, 1, kind="stable")[:, :k].astype(np.int32)


@pytest.mark.parametrize("description", ["Flat", "SQ8", "HNSW8,SQfp16", "IDMap,Flat", "SQ8,RFlat"])
def test_build_keeps_every_row(run, vectors, tmp_path, description):
    path, x = vectors
    out = tmp_path / "i"
    said = json.loads(run("build", path, "--index", description, "--out", out, "--json").out)
    assert (said["ntotal"], said["d"], said["metric"]) == (600, 16, "l2")
    assert said["bytes"] == out.stat().st_size
    _, found = shortlist.open(out).search(x[:50], 1)
    assert (found[:, 0] == np.arange(50)).mean() > 0.95


def test_build_reads_in_pieces(run, tmp_path, monkeypatch):
    from shortlist.cli import build

    x = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    write_fvecs(tmp_path / "x.fvecs", x)
    monkeypatch.setattr(build, "_CHUNK_BYTES", 37 * 32)
    monkeypatch.setattr(build, "_TRAIN_ROWS", 128)
    for description in ("Flat", "SQ8"):
        run("build", tmp_path / "x.fvecs", "--index", description, "--out", tmp_path / "i")
        index = shortlist.open(tmp_path / "i")
        assert index.ntotal == 500
        # A range learnt from too few rows would clip the others.
        assert np.abs(index.reconstruct_n(0, 500) - x).mean() < 0.03
        assert (index.search(x, 1)[1][:, 0] == np.arange(500)).mean() > 0.95


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ([], "uint8"),
        (["--dtype", "float32"], "float32"),
        (["--metric", "cosine"], "float32"),
        (["--metric", "cosine", "--dtype", "float16"], "float16"),
    ],
)
def test_storage_follows_the_input_unless_told(run, vectors, tmp_path, options, stored):
    out = tmp_path / "i"
    said = run("build", vectors[0], "--index", "Flat", "--out", out, "--json", *options)
    assert json.loads(said.out)["dtype"] == stored


def test_cosine_scales_rows_and_queries(run, vectors, tmp_path):
    path, x = vectors
    run("build", path, "--index", "Flat", "--metric", "cosine", "--out", tmp_path / "i")
    run("search", tmp_path / "i", path, "-k", 5, "--out", tmp_path / "r.npz")
    found = read_truth(tmp_path / "r.npz")
    unit = x / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    np.testing.assert_allclose(found.distances[:, 0], 1, atol=1e-5)
    assert (found.ids == truth_of(unit, unit, 5, "ip")).mean() > 0.99


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".ivecs", ".ibin"])
def test_search_writes_ids(run, index, tmp_path, suffix):
    path, x = index
    np.save(tmp_path / "q.npy", x[:40])
    out = tmp_path / f"r{suffix}"
    said = json.loads(
        run("search", path, tmp_path / "q.npy", "-k", 7, "--ef", 200, "--out", out, "--json").out
    )
    assert (said["n"], said["k"], said["missing"]) == (40, 7, 0)
    found = read_truth(out)
    assert found.ids.shape == (40, 7)
    assert (found.ids == truth_of(x, x[:40], 7)).mean() > 0.95
    assert (found.distances is not None) == (suffix == ".npz")


def test_search_of_more_than_there_is(run, tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    run("build", tmp_path / "x.npy", "--index", "Flat", "--out", tmp_path / "i")
    said = run(
        "search", tmp_path / "i", tmp_path / "x.npy", "-k", 5, "--out", tmp_path / "r.npy", "--json"
    )
    assert json.loads(said.out)["missing"] == 6


def test_eval_with_truth_and_base(run, index, tmp_path):
    path, x = index
    np.save(tmp_path / "q.npy", x[:30])
    np.save(tmp_path / "t.npy", truth_of(x, x[:30], 20))
    arguments = ["eval", path, tmp_path / "q.npy", "--truth", tmp_path / "t.npy", "--ef", 300]
    said = json.loads(run(*arguments, "--json").out)
    assert (said["n"], said["k"], said["ties"]) == (30, 10, "ids")
    assert said["recall"] > 0.95
    with_base = json.loads(run(*arguments, "--base", tmp_path / "x.npy", "--json").out)
    assert with_base["ties"] == "distances"
    assert with_base["recall"] >= said["recall"]
    assert run(*arguments).out.startswith("recall@10 ")


def test_eval_of_a_data_set_folder(run, vectors, tmp_path):
    _, x = vectors
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "base.u8.npy", x)
    np.save(folder / "query.u8.npy", x[::10])
    np.save(folder / "gt.i32.npy", truth_of(x, x[::10], 20))
    run("build", folder, "--index", "HNSW16", "--out", tmp_path / "i")
    said = json.loads(run("eval", tmp_path / "i", folder, "--sweep", "10,100", "--json").out)
    assert [p["params"] for p in said["points"]] == [{"efSearch": 10}, {"efSearch": 100}]
    assert said["points"][1]["recall"] > 0.95


def test_eval_draws(run, index, tmp_path):
    pytest.importorskip("matplotlib")
    path, x = index
    np.save(tmp_path / "t.npy", truth_of(x, x, 10))
    out = tmp_path / "p.png"
    said = run(
        "eval",
        path,
        tmp_path / "x.npy",
        "--truth",
        tmp_path / "t.npy",
        "--plot",
        out,
        "--sweep",
        "10,50",
    )
    assert f"plot: {out}" in said.out
    assert out.read_bytes().startswith(b"\x89PNG")


def test_eval_refuses_a_picture_before_measuring(run, index, tmp_path, monkeypatch):
    from shortlist.cli import evaluate

    monkeypatch.setattr(evaluate, "sweep", lambda *a, **k: pytest.fail("measured first"))
    np.save(tmp_path / "t.npy", truth_of(index[1], index[1], 10))
    arguments = ["eval", index[0], tmp_path / "x.npy", "--truth", tmp_path / "t.npy", "--plot"]
    assert "cannot draw '.gif'" in error_line(run(*arguments, tmp_path / "p.gif", code=1))
    assert "no folder" in error_line(run(*arguments, tmp_path / "no" / "p.png", code=1))


@pytest.fixture
def queries(tmp_path, monkeypatch):
    """400 queries for the index, in a file; each search of tune is timed once."""
    monkeypatch.setattr("shortlist._evaluate._MIN_SECONDS", 0)
    q = np.random.default_rng(1).integers(0, 255, (400, 16)).astype(np.uint8)
    np.save(tmp_path / "q.npy", q)
    return tmp_path / "q.npy", q


def recall_of(found, truth):
    return np.mean([np.isin(a, b).mean() for a, b in zip(found, truth, strict=True)])


def test_tune_saves_the_index_with_what_it_chose(run, index, queries, tmp_path):
    path, x = index
    before, out = path.read_bytes(), tmp_path / "tuned.index"
    said = run("tune", path, queries[0], "--recall", 0.9, "--out", out, "--json")
    assert said.err == ""
    said = json.loads(said.out)
    assert (said["reached"], said["target"], said["k"], said["queries"]) == (True, 0.9, 10, 400)
    assert (said["out"], said["plot"]) == (str(out), None)
    assert said["low"] < said["recall"] < said["high"]
    tuned = shortlist.open(out)
    chosen = tuned.hnsw.efSearch
    assert said["params"] == {"efSearch": chosen}
    assert chosen != shortlist.open(path).hnsw.efSearch
    assert shortlist.read_metadata(out) == {
        "metric": "l2",
        "factory": "HNSW16",
        "source": "x.npy",
        "tuned.efSearch": str(chosen),
        "tuned.recall@10": "0.9",
    }
    assert recall_of(tuned.search(queries[1], 10)[1], truth_of(x, queries[1], 10)) > 0.88
    assert path.read_bytes() == before
    assert said["params"] in [point["params"] for point in said["frontier"]["points"]]
    assert said["frontier"]["label"] == "x.index"


def test_tune_says_it_in_words(run, index, queries, tmp_path):
    pytest.importorskip("matplotlib")
    out, picture = tmp_path / "tuned.index", tmp_path / "p.svg"
    said = run(
        *("tune", index[0], queries[0], "-k", 5, "--recall", 0.9, "--out", out, "--plot", picture)
    )
    assert said.err == ""
    assert "recall@5" in said.out
    assert f"\nefSearch={shortlist.open(out).hnsw.efSearch}: recall@5 0.9" in said.out
    assert f"index: {out}\nplot: {picture}\n" in said.out
    assert "<!-- x.index: 0.9 wanted -->" in picture.read_text()


def test_tune_without_out_only_tells(run, index, queries, tmp_path):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    said = run("tune", *(index[0], queries[0]), "--recall", 0.9)
    assert "index:" not in said.out
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_tune_out_of_reach_says_so_and_exits_0(run, index, queries, tmp_path):
    out = tmp_path / "tuned.index"
    arguments = ["tune", index[0], queries[0], "--recall", 1, "--out", out]
    said = run(*arguments)
    assert said.err == ""  # no Python warning
    assert "(the target 1 was not reached)" in said.out
    said = json.loads(run(*arguments, "--json").out)
    assert not said["reached"]
    # The file claims no more than was found.
    assert shortlist.read_metadata(out)["tuned.recall@10"] == f"{said['recall']:.4f}"


def test_an_earlier_tuning_is_forgotten(run, index, queries, tmp_path):
    first, second = tmp_path / "1.index", tmp_path / "2.index"
    run("tune", index[0], queries[0], "--recall", 0.9, "-k", 10, "--out", first)
    run("tune", first, queries[0], "--recall", 0.97, "-k", 20, "--out", second)
    said = shortlist.read_metadata(second)
    assert "tuned.recall@10" not in said
    assert said["tuned.recall@20"] == "0.97"
    assert said["tuned.efSearch"] == str(shortlist.open(second).hnsw.efSearch)
    assert int(said["tuned.efSearch"]) > int(shortlist.read_metadata(first)["tuned.efSearch"])


def test_tune_under_cosine_scales_queries_and_base(run, queries, tmp_path, monkeypatch):
    tune, lengths = shortlist.Index.tune, []

    def watched(index, queries, *arguments, **options):
        lengths.append(np.linalg.norm(queries, axis=1))
        return tune(index, queries, *arguments, **options)

    monkeypatch.setattr(shortlist.Index, "tune", watched)
    rng = np.random.default_rng(2)
    x, q = (rng.normal(size=(n, 16)) * rng.geometric(0.1, (n, 1)) for n in (600, 400))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    np.save(tmp_path / "q.npy", q.astype(np.float32))
    built, out = tmp_path / "x.index", tmp_path / "tuned.index"
    run("build", tmp_path / "x.npy", "--metric", "cosine", "--index", "HNSW16", "--out", built)
    unit, unit_q = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, q))
    truth = truth_of(unit, unit_q, 10, "ip")
    assert recall_of(truth_of(x, q, 10, "ip"), truth) < 0.8  # lengths would matter
    np.save(tmp_path / "t.npy", truth)
    chosen = []
    for known in ([], ["--base", tmp_path / "x.npy"], ["--truth", tmp_path / "t.npy"]):
        arguments = ["tune", built, tmp_path / "q.npy", "--recall", 0.9, "--out", out, *known]
        chosen.append(json.loads(run(*arguments, "--json").out)["params"])
        metadata = shortlist.read_metadata(out)
        assert (metadata["metric"], metadata["tuned.recall@10"]) == ("cosine", "0.9")
        assert metadata["tuned.efSearch"] == str(chosen[-1]["efSearch"])
        run("search", out, tmp_path / "q.npy", "-k", 10, "--out", tmp_path / "r.npz")
        found = read_truth(tmp_path / "r.npz")
        assert found.distances.max() < 1.0001
        assert recall_of(found.ids, truth) > 0.88
    assert chosen[0] == chosen[1] == chosen[2]
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_tune_of_a_data_set_folder_uses_its_truth(run, vectors, queries, tmp_path):
    _, x = vectors
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "base.u8.npy", x)
    np.save(folder / "query.u8.npy", queries[1])
    arguments = ["tune", tmp_path / "i", folder, "--recall", 0.9, "--json"]
    run("build", folder, "--index", "HNSW16", "--out", tmp_path / "i")
    own = json.loads(run(*arguments).out)
    np.save(folder / "gt.i32.npy", truth_of(x, queries[1], 20))
    given = json.loads(run(*arguments).out)
    assert given["params"] == own["params"]
    np.save(folder / "gt.i32.npy", truth_of(255 - x, queries[1], 20))  # of other vectors
    np.save(folder / "base.u8.npy", 255 - x)
    assert json.loads(run(*arguments).out)["recall"] < 0.5


def test_tune_of_an_exhaustive_index(run, vectors, queries, tmp_path):
    run("build", vectors[0], "--index", "Flat", "--out", tmp_path / "i")
    said = run("tune", tmp_path / "i", queries[0], "--out", tmp_path / "o")
    assert "exhaustive: recall@10 1.0000" in said.out
    assert said.err == ""
    assert shortlist.read_metadata(tmp_path / "o")["tuned.recall@10"] == "0.95"


def test_tune_of_a_faiss_file(run, index, queries, tmp_path):
    theirs = shortlist.IndexIDMap2(shortlist.IndexHNSWFlat(16, 16))
    theirs.add_with_ids(index[1], np.arange(600) + 10**10)
    shortlist.write_index(theirs, str(tmp_path / "f.index"))
    out = tmp_path / "tuned.index"
    run("tune", tmp_path / "f.index", queries[0], "--recall", 0.9, "--out", out)
    chosen = shortlist.open(out).index.hnsw.efSearch
    assert shortlist.read_metadata(out) == {
        "tuned.efSearch": str(chosen),
        "tuned.recall@10": "0.9",
    }


def test_tune_interrupted_leaves_no_file(run, index, queries, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("shortlist._tune.timed_batches", interrupted)
    said = run("tune", index[0], queries[0], "--out", tmp_path / "o", code=130)
    assert (said.out, said.err) == ("", "shortlist: interrupted\n")
    assert not (tmp_path / "o").exists()


def test_plot_of_what_eval_and_tune_printed(run, index, queries, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    path, x = index
    np.save("t.npy", truth_of(x, queries[1], 10))
    swept = run("eval", path, "q.npy", "--truth", "t.npy", "--sweep", "10,50", "--json").out
    tuned = run("tune", path, "q.npy", "--recall", 0.9, "--json").out
    (tmp_path / "a.json").write_text(swept.replace("x.index", "swept one"))
    (tmp_path / "b.json").write_text(tuned.replace("x.index", "tuned one"))
    nameless = {**json.loads(swept), "label": ""}
    (tmp_path / "c.json").write_text(json.dumps(nameless))
    said = run("plot", "a.json", "b.json", "c.json", "--out", "p.svg", "--title", "three")
    assert (said.out, said.err) == ("plot: p.svg\n", "")
    drawn = (tmp_path / "p.svg").read_text()
    for word in ("three", "swept one", "tuned one", "c", "recall@10"):
        assert f"<!-- {word} -->" in drawn
    assert json.loads(run("plot", "a.json", "--json").out) == {"plot": "frontier.png"}
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_plot_without_matplotlib_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    line = error_line(run("plot", tmp_path / "a.json", code=1))
    assert "pip install 'shortlist[plot]'" in line


def test_info_of_our_files_and_of_faiss_files(run, index, tmp_path):
    path, _ = index
    said = json.loads(run("info", path, "--json").out)
    assert (said["index"], said["ntotal"], said["d"]) == ("IndexHNSWFlat", 600, 16)
    assert said["hnsw"]["M"] == 16
    assert said["metadata"] == {"metric": "l2", "factory": "HNSW16", "source": "x.npy"}
    assert "IndexHNSWFlat" in run("info", path).out
    faiss = pytest.importorskip("faiss")
    theirs = faiss.index_factory(16, "IDMap,HNSW16,SQ8", faiss.METRIC_INNER_PRODUCT)
    theirs.train(np.random.default_rng(0).normal(size=(99, 16)).astype(np.float32))
    faiss.write_index(theirs, str(tmp_path / "f.index"))
    said = json.loads(run("info", tmp_path / "f.index", "--json").out)
    assert (said["index"], said["metric"], said["metadata"]) == ("IndexIDMap", "ip", {})
    assert said["inner"]["index"] == "IndexHNSWSQ"


def test_memory_is_checked_before_building(run, vectors, tmp_path):
    path, _ = vectors
    out = tmp_path / "i"
    run("build", path, "--out", out, "--memory", "1G")
    out.unlink()
    line = error_line(run("build", path, "--out", out, "--memory", "10M", code=1))
    assert "600 x 16 needs about" in line
    assert "--memory allows 10.0 MiB" in line
    assert not out.exists()


def test_memory_refusal_names_what_would_fit(run, tmp_path):
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (400_000, 512))
    line = error_line(
        run(
            "build",
            tmp_path / "x.npy",
            "--out",
            tmp_path / "i",
            "--index",
            "Flat",
            "--memory",
            "750M",
            code=1,
        )
    )
    assert "these would fit: HNSW16,SQ8 (" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "x.npy", "--out", "i", "--index", "HNWS32"], "did you mean 'HNSW32'?"),
        (["build", "x.npy", "--out", "i", "--index", "NSG8,Flat"], "not available yet"),
        (["build", "none.npy", "--out", "i"], "none.npy: No such file"),
        (["build", "text.npy", "--out", "i"], "not a readable .npy file"),
        (["build", "nan.npy", "--out", "i"], "NaN"),
        (["build", "x.npy", "--out", "no/such/i"], "no folder"),
        (["build", "x.npy", "--out", "."], "is a folder"),
        (
            ["build", "x.npy", "--out", "i", "--index", "Flat", "--ef-construction", "40"],
            "no graph",
        ),
        (["search", "x.npy", "x.npy", "--out", "r.npy"], "x.npy"),
        (["search", "text.npy", "x.npy", "--out", "r.npy"], "text.npy"),
        (["search", "ok.index", "wide.npy", "--out", "r.npy"], "17"),
        (["info", "none"], "none: No such file"),
        (["info", "."], "holds no index"),
        (["info", "cut.index"], "cut.index"),
        (
            ["eval", "ok.index", "x.npy", "--truth", "x.npy"],
            "truth has 16 columns; expected at least",
        ),
        (["eval", "ok.index", "x.npy", "--truth", "short.npy"], "truth has 2 rows; expected 600"),
        (
            ["eval", "flat.index", "x.npy", "--truth", "long.npy", "--ef", "9"],
            "IndexFlat has no efSearch to set",
        ),
        (
            ["eval", "flat.index", "x.npy", "--truth", "long.npy", "--sweep", "9"],
            "IndexFlat searches exhaustively",
        ),
        (["tune", "none", "x.npy"], "none: No such file"),
        (["tune", "ok.index", "none.npy"], "none.npy: No such file"),
        (["tune", "ok.index", "x.npy", "--recall", "1.5"], "recall is 1.5; expected a share above"),
        (["tune", "ok.index", "x.npy", "--recall", "0"], "recall is 0.0; expected a share above 0"),
        (["tune", "ok.index", "x.npy", "--recall", "nan"], "recall is nan; expected a share above"),
        (["tune", "ok.index", "x.npy", "-k", "601"], "k is 601; expected 1 to 600"),
        (["tune", "ok.index", "few.npy"], "19 queries cannot tell a recall; expected at least 20"),
        (["tune", "ok.index", "wide.npy"], "17 dimensions but this IndexHNSWFlat has d = 16"),
        (["tune", "ok.index", "some.npy"], "row 30 of queries has NaN or Inf"),
        (["tune", "ok.index", "x.npy", "--truth", "short.npy"], "truth has 2 rows; expected 600"),
        (["tune", "ok.index", "x.npy", "--base", "wide.npy"], "17"),
        (["tune", "ok.index", "x.npy", "--out", "no/such/i"], "no folder"),
        (["tune", "ok.index", "x.npy", "--out", "."], "is a folder"),
        (["tune", "ok.index", "x.npy", "--plot", "no/such/p.png"], "no folder"),
        (["tune", "ok.index", "x.npy", "--out", "i", "--plot", "p.gif"], "cannot draw '.gif'"),
        (["plot", "none.json"], "none.json: No such file"),
        (["plot", "text.npy"], "text.npy: not JSON"),
        (["plot", "x.npy"], "x.npy: not JSON"),
        (["plot", "list.json"], "list.json: not a frontier"),
        (["plot", "old.json"], "old.json: not a frontier"),
        (["plot", "endless.json"], "endless.json: not a frontier"),
        (["plot", "empty.json"], "nothing to draw"),
        (["plot", "empty.json", "--out", "p.gif"], "cannot draw '.gif'"),
        (["plot", "empty.json", "--out", "no/such/p.png"], "no folder"),
    ],
)
def test_bad_data_is_one_line_and_exit_1(run, vectors, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npy").write_bytes(b"words, not vectors")
    np.save("nan.npy", np.full((3, 4), np.nan, np.float32))
    np.save("wide.npy", np.zeros((30, 17), np.float32))
    np.save("few.npy", np.zeros((19, 16), np.float32))
    np.save("some.npy", np.where(np.arange(640).reshape(40, 16) == 483, np.nan, 1))
    np.save("short.npy", np.zeros((2, 20), np.int32))
    np.save("long.npy", np.zeros((600, 20), np.int32))
    point = {"ef": 10, "recall": 0.9, "qps": 5.0}
    for name, content in {
        "list": [1],
        "old": {"points": [point], "k": 10, "threads": 1},
        "endless": {"points": [], "k": float("inf"), "threads": 1},
        "empty": {"points": [], "k": 10, "threads": 1},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    run("build", "x.npy", "--index", "HNSW8", "--out", "ok.index")
    run("build", "x.npy", "--index", "Flat", "--out", "flat.index")
    (tmp_path / "cut.index").write_bytes((tmp_path / "ok.index").read_bytes()[:-100])
    if arguments[0] == "eval" and "x.npy" in arguments[3:]:
        arguments = [*arguments, "-k", "20"]
    assert words in error_line(run(*arguments, code=1))
    assert not (tmp_path / "i").exists()
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "No such command 'nope'"),
        (["build"], "INPUT"),
        (["build", "x.npy"], "--out"),
        (["build", "x.npy", "--out", "i", "--metric", "hamming"], "'hamming'"),
        (["build", "x.npy", "--out", "i", "--memory", "lots"], "'lots' is not a size"),
        (["build", "x.npy", "--out", "i", "--dtype", "int8", "--metric", "cosine"], "cannot be"),
        (["search", "i", "x.npy", "--out", "r.txt"], "unknown suffix '.txt'"),
        (["search", "i", "x.npy", "--out", "r.npy", "-k", "0"], "-k"),
        (["eval", "x.index", "x.npy"], "--truth"),
        (["eval", "x.index", "x.npy", "--sweep", "a,b"], "expected numbers"),
        (["tune", "x.index"], "QUERIES"),
        (["tune", "x.index", "x.npy", "--recall", "most"], "--recall"),
        (["tune", "x.index", "x.npy", "-k", "0"], "-k"),
        (["plot"], "FRONTIER"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run, index, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in error_line(run(*arguments, code=2))


def test_no_command_shows_help_and_exits_2(run):
    output = run(code=2)
    for word in ("build", "search", "eval", "tune", "plot", "info", "doctor", "demo", "130"):
        assert word in output.err + output.out
    assert "Exit codes" in run("--help").out


def test_debug_shows_the_traceback(run):
    output = run("--debug", "info", "none", code=1)
    assert "Traceback" in output.err
    assert output.err.endswith("none: No such file or directory\n")


def test_demo_beside_exact_search(run, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "d.png"
    said = json.loads(run("demo", "--out", out, "--json").out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert said["plot"] == str(out)
    exact = [r for r in said["results"] if r["index"] == "exact"]
    graphs = [r for r in said["results"] if r["index"] != "exact"]
    assert [r["data"] for r in exact] == ["sift", "texts"]
    assert all(r["recall"] > 0.999 for r in exact)
    assert {r["data"] for r in graphs} == {"sift", "texts"}
    assert all(r["recall"] >= 0.95 for r in graphs)


def test_demo_without_matplotlib_says_what_to_install(run, tmp_path, monkeypatch):
    from shortlist.cli import demo

    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    said = run("demo", "--out", tmp_path / "d.png").out
    assert "pip install 'shortlist[plot]'" in said
    assert "recall@10" in said
    assert "nearest to" in said
    assert not (tmp_path / "d.png").exists()


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_pip_line_is_printed(run, monkeypatch, missing):
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == missing else True)
    line = error_line(run("info", "x", code=1))
    assert line == f"shortlist: the command line needs {missing}: pip install 'shortlist[cli]'\n"


def test_python_m_shortlist(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "shortlist", "info", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"shortlist: error: {tmp_path / 'none'}: No such file or directory\n"


INTERRUPTED = """
import os, signal, sys, threading
import shortlist.cli.app
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
sys.exit(shortlist.cli.main(sys.argv[1:]))
"""


def test_ctrl_c_exits_130_and_leaves_no_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(200_000, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            INTERRUPTED,
            "build",
            str(tmp_path / "x.npy"),
            "--out",
            str(tmp_path / "i"),
            "--ef-construction",
            "400",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 130
    assert done.stderr == "shortlist: interrupted\n"
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]
