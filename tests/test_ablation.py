"""bench.ablation: its edits fit the source, and it compares what it says."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shortlist

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.ablation.builds import PatchError, digest, patched, source  # noqa: E402
from bench.ablation.steps import (  # noqa: E402
    BLOCKS,
    COLUMNS,
    LINKS,
    PLAIN,
    STEPS,
    Edit,
    edits_of,
    effective,
)

COMPILED_IN = [name for name, step in STEPS.items() if step.edits]
SWITCHES = ["simd", "batch", "native", "int8", "blocks"]


@pytest.mark.parametrize("step", COMPILED_IN)
def test_edits_of_a_step_fit_the_source(step: str) -> None:
    """A failure here means that the source changed: edit bench/ablation/steps.py to match."""
    files = source()
    assert digest(patched(files, edits_of(BLOCKS - {step}))) != digest(files)


def test_edits_of_all_steps_fit_together_and_those_of_none_change_nothing() -> None:
    files = source()
    plain = patched(files, edits_of(PLAIN))
    touched = {edit.file for step in STEPS.values() for edit in step.edits}
    assert {path for path in files if plain[path] != files[path]} == touched
    assert patched(files, edits_of(BLOCKS)) == files


@pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler")
def test_the_plain_source_compiles(tmp_path: Path) -> None:
    plain = patched(source(), edits_of(PLAIN))
    for path, content in plain.items():
        if path.startswith("cpp"):
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    # walk.h and rows.h are compiled in these.
    sources = {e.file for step in STEPS.values() for e in step.edits if e.file.endswith("cpp")}
    flags = ["-std=c++20", "-fsyntax-only", "-march=native", f"-I{tmp_path / 'cpp'}"]
    for path in sorted(sources | {"cpp/kernels/ip/reference.cpp"}):
        command = ["c++", *flags, str(tmp_path / path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["missing", "twice"])
def test_text_that_is_not_there_exactly_once_is_an_error(text: str) -> None:
    with pytest.raises(PatchError, match=r"a\.cpp has this text [02] times"):
        patched({"a.cpp": b"twice twice"}, [Edit("a.cpp", text, "")])


def test_steps_count_only_where_they_do_something() -> None:
    links_only, blocks_only = {"pool", "together", "links"}, {"fill", "ahead"}
    assert effective(BLOCKS, "float16") == BLOCKS - links_only
    assert effective(LINKS, "float16") == LINKS - blocks_only
    assert effective(LINKS, "uint8") == LINKS - blocks_only - {"int8", "settled"}
    assert "int8" in effective(LINKS - {"native"}, "uint8")
    assert set(COLUMNS["alone"].pairs(STEPS, "uint8")) == set(STEPS)
    assert "blocks" not in COLUMNS["links"].pairs(STEPS, "uint8")
    assert COLUMNS["alone"].pair("settled") == (PLAIN | {"int8", "settled"}, PLAIN | {"int8"})
    assert COLUMNS["blocks"].pair("blocks") == (BLOCKS, LINKS)


def test_switches_of_one_build(tmp_path: Path) -> None:
    """The installed package stands in for the build without edits, the only one they need."""
    extension = importlib.util.find_spec("shortlist._core")
    assert extension is not None
    assert extension.origin is not None
    package = tmp_path / "builds" / digest(source()) / "shortlist"
    shutil.copytree(Path(shortlist.__file__).parent, package)
    shutil.copy(extension.origin, package)

    rng = np.random.default_rng(11)
    x = rng.integers(0, 256, (2100, 32), np.uint8)
    base, queries = x[:2000], x[2000:]
    distances = ((queries[:, None].astype(int) - base[None].astype(int)) ** 2).sum(axis=2)
    np.save(tmp_path / "base.u8.npy", base)
    np.save(tmp_path / "query.u8.npy", queries)
    np.save(tmp_path / "gt.i32.npy", np.argsort(distances)[:, :20].astype(np.int32))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bench.ablation", str(tmp_path), "--out", str(out)]
    command += ["--steps", ",".join(SWITCHES), "--columns", "links,blocks", "--rounds", "2"]
    command += ["--builds", str(tmp_path / "builds"), "--ef", "10,40,160", "--M", "8"]
    command += ["--ef-construction", "40", "--threads-build", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "building" not in done.stderr

    results = json.loads((out / "ablation.json").read_text())
    effects = results["effects"]
    # int8 codes do nothing for bytes, and links cannot do without blocks.
    assert {e["step"] for e in effects if e["column"] == "links"} == {"simd", "batch", "native"}
    assert {e["step"] for e in effects if e["column"] == "blocks"} == {*SWITCHES} - {"int8"}
    names = {name: [c["name"] for c in curves] for name, curves in results["curves"].items()}
    assert names["links"] == ["by links", "by links - simd", "by links - native"]
    assert names["blocks"][-1] == "by blocks - blocks"
    for effect in effects:
        if effect["ratio"] is not None:
            assert 0 < effect["ratio"]["min"] <= effect["ratio"]["median"]
            assert effect["ratio"]["median"] <= effect["ratio"]["max"]
    # One graph, walked by the same distances: other kernels find the same.
    whole, scalar, _ = results["curves"]["links"]
    assert [p["recall"] for p in scalar["points"]] == [p["recall"] for p in whole["points"]]
    assert "SIMD; else scalar kernels" in (out / "ablation.md").read_text()
