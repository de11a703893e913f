"""What nvcc made of the kernels of the plugin that is installed: registers, local memory and the
instructions that matter, as reviewed.

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
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from shortlist.gpu.plugin import plugin_path

GOLDEN = Path(__file__).parent / "golden/cuda/resources.json"

# Tensor cores, what feeds them, counts of bits, products of four bytes, and loads of 16 bytes.
NOTABLE = re.compile(r"HMMA\.\S+|IMMA\.\S+|LDSM\.\S+|LDGSTS\.\S+|POPC|IDP\.\S+|LDG\.E\.128\S*")
LOCAL = re.compile(r"LDL|STL")


def disassembler() -> str | None:
    """The folder of cuobjdump and nvdisasm: theirs on the PATH, or that of their wheels."""
    if (found := shutil.which("cuobjdump")) and shutil.which("nvdisasm"):
        return os.path.dirname(found)
    spec = find_spec("nvidia.cu13") if find_spec("nvidia") else None
    for folder in (spec and spec.submodule_search_locations) or ():
        if all((Path(folder) / "bin" / tool).is_file() for tool in ("cuobjdump", "nvdisasm")):
            return str(Path(folder) / "bin")
    return None


def named(mangled: str, arch: str) -> str | None:
    """A kernel as the file names it; None for a library's."""
    kernel = re.search(r"\d([a-z_]+_kernel)", mangled)
    if kernel is None:
        return None
    kind = re.search(r"(Kind\d+|BF16|F16|F32)E", mangled)
    return f"{kernel[1]}{f'<{kind[1]}>' if kind else ''} {arch}"


def examined(plugin: Path, tools: str) -> dict[str, Any]:
    """The compiler's release, and of each kernel and architecture its registers, bytes of stack and
    local memory, and the instructions that matter."""

    def told(*arguments: str, cwd: str | None = None) -> str:
        env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        command = ["cuobjdump", *arguments, str(plugin)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, cwd=cwd)
        return done.stdout

    with tempfile.TemporaryDirectory() as folder:
        told("-xelf", "all", cwd=folder)
        versions = {
            found[1].decode()
            for path in Path(folder).iterdir()
            if (found := re.search(rb"Cuda compilation tools[^\0]*, V([\d.]+)", path.read_bytes()))
        }
    assert len(versions) == 1, versions
    kernels: dict[str, dict[str, Any]] = {}
    arch = key = None
    for line in told("-res-usage").splitlines():
        if found := re.search(r"arch = (sm_\d+)", line):
            arch = found[1]
        elif found := re.search(r"Function (\w+):", line):
            key = named(found[1], str(arch))
        elif key and (found := re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", line)):
            assert key not in kernels, f"two kernels are {key}"
            registers, stack, local = map(int, found.groups())
            kernels[key] = {"registers": registers, "stack": stack, "local": local}
    names: set[str] = set()
    for line in told("-sass").splitlines():
        if found := re.search(r"arch = (sm_\d+)", line):
            arch = found[1]
        elif found := re.search(r"Function : (\w+)", line):
            names = set()
            if key := named(found[1], str(arch)):
                kernels[key]["instructions"] = names
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@\S+ )?([A-Z]\S*)", line):
            name = found[1].rstrip(";")
            if NOTABLE.fullmatch(name) or LOCAL.match(name):
                names.add(name)
    for kernel in kernels.values():
        kernel["instructions"] = sorted(kernel["instructions"])
    return {"nvcc": versions.pop(), "kernels": dict(sorted(kernels.items()))}


def test_registers_local_memory_and_instructions():
    plugin, tools = plugin_path(), disassembler()
    if plugin is None or not plugin.is_file() or tools is None:
        pytest.skip("there is no CUDA plugin, or neither cuobjdump nor nvdisasm")
    golden, found = json.loads(GOLDEN.read_text()), examined(plugin, tools)
    if found["nvcc"] != golden["nvcc"]:
        pytest.skip(f"nvcc {golden['nvcc']} is compared, {found['nvcc']} made the plugin")
    for name, kernel in found["kernels"].items():
        assert kernel["stack"] == kernel["local"] == 0, name
        assert not [one for one in kernel["instructions"] if LOCAL.match(one)], name
    assert found == golden


def test_what_matters_is_there():
    """Tensor cores where they were meant, each with rows on their way; counts of bits; loads of 16
    bytes in scans."""
    kernels = json.loads(GOLDEN.read_text())["kernels"]

    def every(pattern: str) -> list[list[str]]:
        out = [v["instructions"] for k, v in kernels.items() if re.search(pattern, k)]
        assert out
        return out

    many = r"nea(r|rest)_kernel<Kind"
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
    for names in every(r"^scan_kernel<Kind(10|11)>"):
        assert "POPC" in names
    for names in every(r"^scan_kernel<Kind(3|4|8|9)>"):
        assert any(name.startswith("IDP.4A") for name in names)
    for names in every(r"^scan(_lists)?_kernel"):
        assert any(name.startswith("LDG.E.128") for name in names)


if __name__ == "__main__":
    plugin, tools = plugin_path(), disassembler()
    if plugin is None or tools is None:
        sys.exit("the CUDA plugin, or cuobjdump and nvdisasm, are not there")
    GOLDEN.write_text(json.dumps(examined(plugin, tools), indent=1) + "\n")
