"""bench.gpu over the host: that it runs and what it writes, not how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_part_runs(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "bench.gpu", "--host", "--out", str(out)]
    done = subprocess.run(
        [*command, "--peers", "faiss,cupy"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["host"]
    assert found["device"] == "the host"
    assert found["tests"]["outcome"] == "passed", found["tests"]
    assert found["sanitizer"]["outcome"] == "skipped"
    assert found["bandwidth"] > 0
    assert found["failed"] == {}
    kernels = {row["kernel"] for row in found["rows"]}
    assert kernels >= {"scan", "scan_many", "scan_lists", "graph", "assign", "update", "rescore"}
    assert kernels >= {"max_sim", "select"}
    for row in found["rows"]:
        assert row["ms"] > 0
        assert row["roof_ms"] > 0
        assert row["share_of_roof"] == pytest.approx(row["roof_ms"] / row["ms"])
        assert row["bound"] == "DRAM"  # of the host nothing else is known
    same = [row for row in found["rows"] if row["same_as"] == "brute-128"]
    assert [list(row["peers"]) for row in same] == [["faiss"]]
    assert found["peers"]["faiss"]["outcome"] == "ran"
    assert set(found["seconds"]) == {"tests", "sanitizer", "bandwidth", "kernels", "peers"}


def test_what_is_told_of_a_case() -> None:
    from bench.gpu import cases, roofs
    from bench.gpu.__main__ import row_of

    case = cases.Case("scan_many", "of it", lambda i: None, 2e9, 1e12, "bf16")
    peaks = roofs.peaks("NVIDIA H200")
    assert row_of(case, 4.0, 1e12, peaks)["bound"] == "DRAM"
    row = row_of(case, 4.0, 4e12, peaks)
    assert row["bound"] == "bf16"
    assert row["share_of_roof"] == pytest.approx(1000 / 990 / 4)
    other = row_of(case, 4.0, 4e12, roofs.peaks("another"))
    assert (other["bound"], other["without_peak"]) == ("DRAM", True)


def test_parts_that_end_badly_are_told() -> None:
    from bench.gpu.__main__ import ran

    assert ran([sys.executable, "-c", "raise SystemExit(3)"], 20)["outcome"] == "exit status 3"
    late = ran(
        [sys.executable, "-c", "import time; print('so far', flush=True); time.sleep(60)"], 2
    )
    assert late == {"outcome": "timed out", "said": ["so far"]}


def test_without_a_gpu(tmp_path: Path) -> None:
    import shortlist

    if shortlist.get_num_gpus():
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", "bench.gpu", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no CUDA plugin" in done.stderr or "no GPU can be used" in done.stderr
    assert not (tmp_path / "out").exists()
