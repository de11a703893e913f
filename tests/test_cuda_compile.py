"""What nvcc makes of the kernels: registers and spills of each, as reviewed.

`python tests/test_cuda_compile.py` writes the file that they are compared with; its difference is
for review. Another version of the compiler may choose otherwise, so one version is compared.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden/cuda/resources.json"
SOURCES = sorted((ROOT / "cuda/kernels").glob("*.cu"))
ARCHITECTURES = ("sm_80", "sm_90")
COMMAND = ["nvcc", "-std=c++20", "-O3", "--fmad=false", "-Xptxas=-v", f"-I{ROOT / 'cuda'}"]
COMMAND += ["-Xcompiler=-Wall,-Wextra", "-Werror=all-warnings"]


def compiler() -> str | None:
    """nvcc's release, such as "13.0.88"."""
    if not shutil.which("nvcc"):
        return None
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"V([\d.]+)", said)[1]


def resources(source: Path) -> dict[str, dict[str, int]]:
    """Of each kernel and architecture: registers, and bytes of stack and spills."""
    codes = [f"-gencode=arch=compute_{a[3:]},code={a}" for a in ARCHITECTURES]
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run(
            [*COMMAND, *codes, "-c", str(source), "-o", str(Path(folder) / "out.o")],
            capture_output=True,
            text=True,
        )
    assert said.returncode == 0, said.stderr
    out = {}
    pattern = (
        r"entry function '(\w+)' for '(\w+)'\n.*\n\s*(\d+) bytes stack frame, (\d+) bytes spill "
        r"stores, (\d+) bytes spill loads\n.*Used (\d+) registers"
    )
    for name, arch, stack, stores, loads, registers in re.findall(pattern, said.stderr):
        kernel = re.search(r"\d([a-z_]+_kernel)", name)
        if kernel is None:  # of a library
            continue
        kind = re.search(r"(Kind\d+|BF16|F16|F32)E", name)
        key = f"{source.stem}: {kernel[1]}{f'<{kind[1]}>' if kind else ''} {arch}"
        out[key] = {
            "registers": int(registers),
            "stack": int(stack),
            "spills": int(stores) + int(loads),
        }
    return out


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_registers_and_spills(source):
    golden = json.loads(GOLDEN.read_text())
    if (version := compiler()) != golden["nvcc"]:
        pytest.skip(f"nvcc {golden['nvcc']} is compared, {version} is here")
    found = resources(source)
    assert found
    assert all(f["stack"] == f["spills"] == 0 for f in found.values())
    assert found == {k: v for k, v in golden["kernels"].items() if k.startswith(f"{source.stem}:")}


if __name__ == "__main__":
    if (version := compiler()) is None:
        sys.exit("nvcc is not on the PATH")
    kernels: dict[str, dict[str, int]] = {}
    for path in SOURCES:
        kernels |= resources(path)
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps({"nvcc": version, "kernels": kernels}, indent=1) + "\n")
