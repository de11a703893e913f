"""Builds of changed copies of the source: each is compiled once and kept."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.ablation.steps import Edit

ROOT = Path(__file__).parents[2]
PARTS = ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "cpp", "python")
NEEDS = "pip install scikit-build-core pybind11 cmake ninja"

Files = dict[str, bytes]  # by path


class PatchError(RuntimeError):
    """The text of an edit does not stand exactly once in its file: the source has moved on."""


class BuildError(RuntimeError):
    """The changed source did not become a wheel; the message carries the end of pip's output."""


def source() -> Files:
    """The files a wheel is made of."""
    found = [file for part in PARTS for file in [ROOT / part, *(ROOT / part).rglob("*")]]
    return {
        str(file.relative_to(ROOT)): file.read_bytes()
        for file in sorted(found)
        if file.is_file() and file.suffix not in {".pyc", ".so"}
    }


def patched(files: Files, edits: Iterable[Edit]) -> Files:
    out = dict(files)
    for edit in edits:
        text = out[edit.file].decode()
        if (n := text.count(edit.text)) != 1:
            raise PatchError(f"{edit.file} has this text {n} times, not once:\n{edit.text}")
        out[edit.file] = text.replace(edit.text, edit.instead).encode()
    return out


def digest(files: Files) -> str:
    """Changes with the files, and with the Python they are built for."""
    hashed = hashlib.sha256(sys.implementation.cache_tag.encode())
    for path, content in files.items():
        hashed.update(f"\n{path} {len(content)}\n".encode() + content)
    return hashed.hexdigest()[:16]


class Builds:
    """A folder of builds. They share a source tree and a build tree, in which only what changed
    is compiled."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.folder = folder.resolve()
        self.files = source()
        self._tell = tell

    def package(self, edits: tuple[Edit, ...], name: str) -> Path:
        """The folder from which the build with these edits can be imported."""
        files = patched(self.files, edits)
        target = self.folder / digest(files)
        if not target.exists():
            self._tell(f"building {name}")
            self._build(files, target)
        return target

    def _build(self, files: Files, target: Path) -> None:
        tree, wheels, fresh = (self.folder / name for name in ("source", "wheels", "fresh"))
        _write(files, tree)
        for folder in (wheels, fresh):
            shutil.rmtree(folder, ignore_errors=True)
        setting = f"build-dir={self.folder / 'build'}"
        alone = ("--no-deps", "--no-index")
        _pip("wheel", *alone, "--no-build-isolation", "-C", setting, "-w", wheels, tree)
        _pip("install", *alone, "--target", fresh, *wheels.glob("*.whl"))
        fresh.rename(target)  # last, so that a folder of that name is whole


def _write(files: Files, tree: Path) -> None:
    """Makes `tree` hold these files; those it holds already stay untouched, times included."""
    for old in [path for path in tree.rglob("*") if path.is_file()]:
        if str(old.relative_to(tree)) not in files:
            old.unlink()
    for path, content in files.items():
        file = tree / path
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stdout[-4000:]}\nA build needs: {NEEDS}")
