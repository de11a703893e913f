from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

import shortlist
from shortlist import cli
from shortlist.datasets import read_truth, write_fvecs


@pytest.fixture
def run(capsys):
    def call(*arguments, code=0):
        assert cli.main([str(a) for a in arguments]) == code
        return capsys.readouterr()

    return call


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


def error_line(output):
    """Nothing on stdout, one line on stderr."""
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "Traceback" not in output.err
    return output.err


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
    assert [p["ef"] for p in said["points"]] == [10, 100]
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
        (["build", "x.npy", "--out", "i", "--index", "IVF8,Flat"], "not available yet"),
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
        (["info", "."], "Is a directory"),
        (["info", "cut.index"], "cut.index"),
        (
            ["eval", "ok.index", "x.npy", "--truth", "x.npy"],
            "truth has 16 columns; expected at least",
        ),
        (["eval", "ok.index", "x.npy", "--truth", "short.npy"], "truth has 2 rows; expected 600"),
        (["eval", "flat.index", "x.npy", "--truth", "long.npy", "--ef", "9"], "has no graph"),
    ],
)
def test_bad_data_is_one_line_and_exit_1(run, vectors, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npy").write_bytes(b"words, not vectors")
    np.save("nan.npy", np.full((3, 4), np.nan, np.float32))
    np.save("wide.npy", np.zeros((3, 17), np.float32))
    np.save("short.npy", np.zeros((2, 20), np.int32))
    np.save("long.npy", np.zeros((600, 20), np.int32))
    run("build", "x.npy", "--index", "HNSW8", "--out", "ok.index")
    run("build", "x.npy", "--index", "Flat", "--out", "flat.index")
    (tmp_path / "cut.index").write_bytes((tmp_path / "ok.index").read_bytes()[:-100])
    if arguments[0] == "eval" and "x.npy" in arguments[3:]:
        arguments = [*arguments, "-k", "20"]
    assert words in error_line(run(*arguments, code=1))
    assert not (tmp_path / "i").exists()


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
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run, index, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in error_line(run(*arguments, code=2))


def test_no_command_shows_help_and_exits_2(run):
    output = run(code=2)
    for word in ("build", "search", "eval", "info", "demo", "130"):
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
