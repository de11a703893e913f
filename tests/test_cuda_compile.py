"""What nvcc makes of the kernels: registers, spills and the instructions that matter, as reviewed.

Compiling takes minutes, so it is done where SHORTLIST_CUDA_COMPILE is set, as .ci/run does.
`python tests/test_cuda_compile.py` writes the file that they are compared with; its difference is
for review. Another version of the compiler may choose otherwise, so one version is compared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden/cuda/resources.json"
SOURCES = sorted((ROOT / "cuda/kernels").glob("*.cu"))
ARCHITECTURES = ("sm_80", "sm_90")
COMMAND = ["nvcc", "-std=c++20", "-O3", "--fmad=false", "-Xptxas=-v", f"-I{ROOT / 'cuda'}"]
COMMAND += ["-Xcompiler=-Wall,-Wextra", "-Werror=all-warnings", "--threads=2"]

# Tensor cores, what feeds them, counts of bits, products of four bytes, and loads of 16 bytes.
NOTABLE = re.compile(r"HMMA\.\S+|IMMA\.\S+|LDSM\.\S+|LDGSTS\.\S+|POPC|IDP\.\S+|LDG\.E\.128\S*")
LOCAL = re.compile(r"LDL|STL")


def compiler() -> str | None:
    """nvcc's release, such as "13.0.88"."""
    if not shutil.which("nvcc"):
        return None
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"V([\d.]+)", said)[1]


def disassembler() -> str | None:
    """The folder of cuobjdump and nvdisasm: theirs on the PATH, or that of their wheels."""
    if (found := shutil.which("cuobjdump")) and shutil.which("nvdisasm"):
        return os.path.dirname(found)
    spec = find_spec("nvidia.cu13") if find_spec("nvidia") else None
    for folder in (spec and spec.submodule_search_locations) or ():
        if all((Path(folder) / "bin" / tool).is_file() for tool in ("cuobjdump", "nvdisasm")):
            return str(Path(folder) / "bin")
    return None


def named(source: Path, mangled: str, arch: str) -> str | None:
    """A kernel as the file names it; None for a library's."""
    kernel = re.search(r"\d([a-z_]+_kernel)", mangled)
    if kernel is None:
        return None
    kind = re.search(r"(Kind\d+|BF16|F16|F32)E", mangled)
    return f"{source.stem}: {kernel[1]}{f'<{kind[1]}>' if kind else ''} {arch}"


def compiled(source: Path, to: Path) -> dict[str, dict[str, int]]:
    """Of each kernel and architecture: registers, and bytes of stack and spills."""
    codes = [f"-gencode=arch=compute_{a[3:]},code={a}" for a in ARCHITECTURES]
    said = subprocess.run(
        [*COMMAND, *codes, "-c", str(source), "-o", str(to)], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    out = {}
    pattern = (
        r"entry function '(\w+)' for '(\w+)'\n.*\n\s*(\d+) bytes stack frame, (\d+) bytes spill "
        r"stores, (\d+) bytes spill loads\n.*Used (\d+) registers"
    )
    for mangled, arch, stack, stores, loads, registers in re.findall(pattern, said.stderr):
        if key := named(source, mangled, arch):
            out[key] = {
                "registers": int(registers),
                "stack": int(stack),
                "spills": int(stores) + int(loads),
            }
    return out


def instructions(source: Path, made: Path, tools: str) -> dict[str, list[str]]:
    """Of each kernel and architecture those that matter, and those of local memory."""
    said = subprocess.run(
        ["cuobjdump", "-sass", str(made)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
    ).stdout
    out: dict[str, set[str]] = defaultdict(set)
    arch = key = None
    for line in said.splitlines():
        if found := re.search(r"arch = (sm_\d+)", line):
            arch = found[1]
        elif found := re.search(r"Function : (\w+)", line):
            key = named(source, found[1], str(arch))
            if key:
                out[key] = set()
        elif key and (found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@\S+ )?([A-Z]\S*)", line)):
            name = found[1].rstrip(";")
            if NOTABLE.fullmatch(name) or LOCAL.match(name):
                out[key].add(name)
    return {k: sorted(v) for k, v in out.items()}


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_registers_spills_and_instructions(source, tmp_path):
    if not os.environ.get("SHORTLIST_CUDA_COMPILE"):
        pytest.skip("SHORTLIST_CUDA_COMPILE is not set")
    golden = json.loads(GOLDEN.read_text())
    if (version := compiler()) != golden["nvcc"]:
        pytest.skip(f"nvcc {golden['nvcc']} is compared, {version} is here")
    found = compiled(source, tmp_path / "made.o")
    assert found
    assert all(f["stack"] == f["spills"] == 0 for f in found.values())
    if tools := disassembler():
        for kernel, names in instructions(source, tmp_path / "made.o", tools).items():
            assert not [name for name in names if LOCAL.match(name)], kernel
            found[kernel]["instructions"] = names
    reviewed = {k: v for k, v in golden["kernels"].items() if k.startswith(f"{source.stem}:")}
    if not tools:
        for kernel in reviewed.values():
            del kernel["instructions"]
    assert found == reviewed


def test_what_matters_is_there():
    """Tensor cores where they were meant, each with rows on their way; counts of bits; loads of 16
    bytes in scans."""
    kernels = json.loads(GOLDEN.read_text())["kernels"]

    def every(pattern: str) -> list[list[str]]:
        out = [v["instructions"] for k, v in kernels.items() if re.search(pattern, k)]
        assert out
        return out

    many = r"many: nea(r|rest)_kernel<Kind"
    for kinds, instruction in (
        ("0|5", "HMMA.1688.F32.TF32"),
        ("1|6", "HMMA.16816.F32"),
        ("2|7", "HMMA.16816.F32.BF16"),
        ("3|8", "IMMA.16832.U8.U8"),
        ("4|9", "IMMA.16832.S8.S8"),
        ("10|11", "IMMA.16832.S8.U8"),
    ):
        for names in every(f"{many}({kinds})>"):
            assert instruction in names
            assert any(name.startswith("LDSM.16.M88.4") for name in names)
            assert any(name.startswith("LDGSTS") and ".128" in name for name in names)
    for names in every(r"scan: scan_kernel<Kind(10|11)>"):
        assert "POPC" in names
    for names in every(r"scan: scan_kernel<Kind(3|4|8|9)>"):
        assert any(name.startswith("IDP.4A") for name in names)
    for names in every(r"(scan: scan|lists: scan_lists)_kernel"):
        assert any(name.startswith("LDG.E.128") for name in names)


if __name__ == "__main__":
    version, tools = compiler(), disassembler()
    if version is None or tools is None:
        sys.exit("nvcc, or cuobjdump and nvdisasm, are not there")
    made = Path(sys.argv[1] if len(sys.argv) > 1 else "/tmp/made.o")
    kernels: dict[str, dict[str, object]] = {}
    for path in SOURCES:
        kernels |= compiled(path, made)
        for kernel, names in instructions(path, made, tools).items():
            kernels[kernel]["instructions"] = names
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps({"nvcc": version, "kernels": kernels}, indent=1) + "\n")
