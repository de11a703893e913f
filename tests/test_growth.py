"""bench.growth on vectors made on the fly: its counts are of the library's own walk."""

from __future__ import annotations

import json
import subprocess
import sys
from math import log
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


# On bytes the counted walk is the library's own, but that ties may fall either way.
@pytest.mark.parametrize(("dtype", "agreement"), [("uint8", 0.995), ("float16", 0.9)])
def test_costs_of_two_sizes_and_the_exponent_between_them(
    tmp_path: Path, dtype: str, agreement: float
) -> None:
    pytest.importorskip("faiss")
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (2100, 12)).astype(dtype)
    base, queries = x[:2000], x[2000:]
    distances = ((queries[:, None].astype(int) - base[None].astype(int)) ** 2).sum(axis=2)
    np.save(tmp_path / "base.x.npy", base)
    np.save(tmp_path / "query.x.npy", queries)
    np.save(tmp_path / "gt.i32.npy", np.argsort(distances)[:, :20].astype(np.int32))
    command = [sys.executable, "-m", "bench.growth", str(tmp_path), "--out", str(tmp_path / "out")]
    command += ["--sizes", "500,2000", "--ef", "10,20,40,80", "--M", "6", "--rounds", "2"]
    command += ["--metric", "l2", "--ef-construction", "40", "--threads-build", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

    results = json.loads((tmp_path / "out" / "growth.json").read_text())
    small, large = results["sizes"]
    for size, rows in ((small, 500), (large, 2000)):
        assert size["rows"] == rows
        assert agreement < size["agreement"] <= 1
        assert 10 < size["ef"] < 80
        assert size["ef"] < size["distances"][0] < rows
        assert len(size["microseconds"]) == 2
    growth = {each["quantity"]: each["exponents"] for each in results["growth"]}
    expected = log(large["distances"][0] / small["distances"][0]) / log(4)
    assert growth["distances"] == [pytest.approx(expected)]
    assert 0 < expected < 1
    assert (tmp_path / "out" / "growth.md").read_text() == done.stdout.removesuffix("\n")
