from __future__ import annotations

import json

import numpy as np
import pytest
from cli_cases import error_line
from shortlist import UnsupportedError, gpu


@pytest.fixture
def path(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (600, 16)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "x.npy"


@pytest.mark.parametrize("description", ["SPANN", "SPANN,SDC2"])
def test_indexes_on_disk(run, path, tmp_path, description):
    folder = tmp_path / "folder"
    arguments = ("build", path, "--index", description, "--out", folder, "--memory", "64M")
    said = json.loads(run(*arguments, "--json").out)
    assert (said["ntotal"], said["d"], said["metric"]) == (600, 16, "l2")
    assert "postings" in run(*arguments).out  # it is there already
    told = run("info", folder).out
    assert "io_backend" in told
    assert "nprobe" in told
    assert "bytes of ids: 20,480" in told
    assert run("verify", folder).out.endswith("sound, 600 vectors\n")
    run("search", folder, path, "--out", tmp_path / "i.npy", "-k", 1, "--recall", 0.9)
    assert (np.load(tmp_path / "i.npy")[:, 0] == np.arange(600)).mean() > 0.9
    for (file,) in (folder.glob("postings-*"), folder.glob("ids-*")):
        whole = file.read_bytes()
        data = bytearray(whole)
        data[5000] ^= 1
        file.write_bytes(data)
        assert "damaged" in error_line(run("verify", folder, code=1))
        file.write_bytes(whole)


def test_building_on_a_gpu(run, path, tmp_path, monkeypatch):
    out, asked = tmp_path / "i", []

    def engine():
        asked.append(True)
        raise UnsupportedError("there is no GPU here")

    monkeypatch.setattr(gpu, "engine", engine)
    done = run("build", path, "--index", "SPANN", "--device", "cuda", "--out", out, code=1)
    assert "there is no GPU here" in error_line(done)
    assert asked
    assert not out.exists()


def test_requests_that_make_no_sense(run, path, tmp_path):
    out = tmp_path / "i"
    error_line(run("build", path, "--index", "SPANN,No", "--out", out, code=1))
    error_line(run("build", path, "--index", "SPANN", "--ef-construction", 9, "--out", out, code=2))
    error_line(run("build", path, "--index", "HNSW16", "--device", "cuda", "--out", out, code=2))
    run("build", path, "--index", "HNSW16", "--out", out)
    error_line(run("search", out, path, "--out", tmp_path / "f.npy", "--recall", 0.9, code=2))
    assert "no index" in error_line(run("info", tmp_path, code=1))
