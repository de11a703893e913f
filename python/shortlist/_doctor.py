"""What this machine and this build offer, and what to change to get more of it.

A `Report` holds facts only; its advice is computed from them, so the two cannot disagree. Facts are
read from the extension, /proc, /sys and the metadata of installed packages. None of it is needed to
search, so whatever cannot be read is None, and nothing raises.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import _core, gpu
from ._core import _disk, _kernels

__all__ = ["Package", "Report", "doctor"]

# Module, the distributions it comes in, the extra that adds it, and who cannot do without it.
_OPTIONAL = (
    ("typer", ("typer",), "cli", "the command line"),
    ("rich", ("rich",), "cli", "the command line"),
    ("matplotlib", ("matplotlib",), "plot", "shortlist.plot"),
    ("pyarrow", ("pyarrow",), "data", "reading Parquet"),
    ("h5py", ("h5py",), "data", "reading HDF5"),
    ("torch", ("torch",), "rerank", "shortlist.rerank"),
    ("cupy", ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy"), "gpu", None),
    (
        "faiss",
        ("faiss-cpu", "faiss-gpu-cu12", "faiss-gpu-cu11", "faiss-gpu", "faiss"),
        "bench",
        None,
    ),
)


@dataclass(frozen=True)
class Package:
    """An optional package; version is None where it is missing."""

    name: str
    version: str | None
    extra: str
    needed_by: str | None

    @property
    def pip(self) -> str:
        return f"pip install 'shortlist[{self.extra}]'"


@dataclass(frozen=True)
class Report:
    """What `doctor` found; None is what could not be read, or a limit that is not set.

    isa is the instruction set in use, isa_asked what SHORTLIST_ISA says. cpus are those this
    process may run on; cgroup_cpus and cgroup_memory are the tightest limits above it. openmp lists
    the OpenMP libraries that other packages have loaded into this process.
    """

    shortlist: str
    python: str
    numpy: str
    platform: str
    cpu: str | None
    isa: str
    isa_compiled: tuple[str, ...]
    isa_runnable: tuple[str, ...]
    isa_asked: str | None
    threads: int
    cpus: int
    cgroup_cpus: float | None
    omp_num_threads: str | None
    memory: int | None
    cgroup_memory: int | None
    huge_pages: str | None
    files: str
    gpu: str | None
    openmp: tuple[str, ...]
    packages: tuple[Package, ...]

    @property
    def usable_cpus(self) -> int:
        """CPUs that can be busy at once; a cgroup's fraction is rounded, as the pool does it."""
        if self.cgroup_cpus is None:
            return self.cpus
        return min(self.cpus, max(1, int(self.cgroup_cpus + 0.5)))

    @property
    def advice(self) -> tuple[str, ...]:
        """One sentence for each thing that could be better here, with what to do about it."""
        return (*self._on_isa(), *self._on_threads(), *self._on_memory(), *self._on_packages())

    def _on_isa(self) -> Iterator[str]:
        fastest = self.isa_runnable[-1]
        if self.isa_asked and self.isa_asked != self.isa:
            yield (
                f"SHORTLIST_ISA={self.isa_asked} has no effect, {self.isa} is in use: "
                "it is read when shortlist is imported; set it before"
            )
        elif self.isa_asked and self.isa != fastest:
            yield f"SHORTLIST_ISA={self.isa} keeps {fastest} from being used; unset it for speed"
        elif fastest == "neon" and self.isa != fastest:
            yield (
                "the NEON kernels are not used unless asked for, as no hardware has run them yet; "
                "set SHORTLIST_ISA=neon to try them"
            )
        if fastest == "reference" and len(self.isa_compiled) > 1:
            yield (
                f"this machine runs none of {', '.join(self.isa_compiled[1:])}, so plain loops are "
                "used; move to a CPU, or a CPU model of the virtual machine, with AVX2"
            )
        elif fastest == "reference":
            yield "this build has plain loops only; rebuild with a compiler that knows -mavx2"

    def _on_threads(self) -> Iterator[str]:
        usable, asked = self.usable_cpus, _positive(self.omp_num_threads)
        if self.omp_num_threads and asked is None:
            yield (
                f"OMP_NUM_THREADS={self.omp_num_threads} is not a number of threads and is "
                "ignored; set it to one or unset it"
            )
        if self.threads > usable:
            why = f", by its cgroup's {self.cgroup_cpus:g}" if usable < self.cpus else ""
            yield (
                f"{self.threads} threads share the {usable} CPU(s) this process may use{why}; "
                f"set OMP_NUM_THREADS={usable} or call omp_set_num_threads({usable})"
            )
        elif asked == self.threads < usable:
            yield (
                f"OMP_NUM_THREADS={asked} leaves {usable - asked} of {usable} CPUs idle; "
                f"unset it or call omp_set_num_threads({usable})"
            )
        if len(self.openmp) > 1:
            yield (
                f"{len(self.openmp)} OpenMP libraries are loaded ({', '.join(self.openmp)}), which "
                "may hang each other; none is shortlist's, so do without one of the packages that "
                "bring them, as faiss and torch do"
            )

    def _on_memory(self) -> Iterator[str]:
        if self.huge_pages == "never":
            yield (
                "transparent huge pages are off, which slows searches of large indexes; "
                "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"
            )
        if self.cgroup_memory and (self.memory is None or self.cgroup_memory < self.memory):
            yield (
                f"a build that needs more than the cgroup's {_gib(self.cgroup_memory)} is killed; "
                f"shortlist build --memory {self.cgroup_memory >> 20}M refuses it before it starts"
            )

    def _on_packages(self) -> Iterator[str]:
        missing: dict[tuple[str, str], list[str]] = {}
        for one in self.packages:
            if one.version is None and one.needed_by:
                missing.setdefault((one.needed_by, one.pip), []).append(one.name)
        for (what, pip), names in missing.items():
            yield f"{what} needs {' and '.join(names)}; {pip}"

    def to_dict(self) -> dict[str, Any]:
        """The facts and the advice, ready for JSON."""
        facts = asdict(self, dict_factory=_jsonable)
        return {**facts, "usable_cpus": self.usable_cpus, "advice": list(self.advice)}

    def __str__(self) -> str:
        def limit(value: str | None) -> str:
            return f"cgroup limit {value}" if value else "no cgroup limit"

        cgroup_cpus = f"{self.cgroup_cpus:g}" if self.cgroup_cpus is not None else None
        cgroup_memory = _gib(self.cgroup_memory) if self.cgroup_memory is not None else None
        rows = [
            ("shortlist", f"{self.shortlist}, Python {self.python}, numpy {self.numpy}"),
            ("machine", f"{self.platform}, {self.cpu or 'unknown CPU'}"),
            ("kernels", f"{self.isa} in use; SHORTLIST_ISA {self.isa_asked or 'not set'}"),
            ("", f"runnable here: {', '.join(self.isa_runnable)}"),
            ("", f"in this build: {', '.join(self.isa_compiled)}"),
            ("threads", f"{self.threads}; OMP_NUM_THREADS {self.omp_num_threads or 'not set'}"),
            ("CPUs", f"{self.cpus}; {limit(cgroup_cpus)}"),
            ("memory", f"{_gib(self.memory)}; {limit(cgroup_memory)}"),
            ("huge pages", self.huge_pages or "unknown"),
            ("index files", self.files),
            ("GPU", self.gpu or "unknown"),
            ("OpenMP", f"{', '.join(self.openmp) or 'not loaded'}; shortlist does not use it"),
        ]
        for i, one in enumerate(self.packages):
            state = one.version or f"missing; {one.pip}"
            rows.append(("" if i else "packages", f"{one.name} {state}"))
        for i, sentence in enumerate(self.advice or ("none: nothing to improve",)):
            rows.append(("" if i else "advice", sentence))
        return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _files() -> str:
    """How indexes are read, as a first read shows."""
    backend = _disk.RandomFiles([_core.__file__]).backend.split(",")[0]
    why = _disk.why_no_io_uring()
    return (
        f"read() whole into memory, native ones against their checksums; of folders: {backend}"
        + (f" ({why})" if why else "")
    )


def doctor() -> Report:
    """Look at this machine and this build: print it, or ask it for `advice` and `to_dict()`.

    Does not raise and imports no optional package.
    """
    return _examine(Path("/"), os.environ)


def _examine(root: Path, environment: Mapping[str, str]) -> Report:
    """`root` stands where /proc and /sys are, so that tests can lay out a machine of their own."""
    huge = re.search(r"\[(\w+)\]", _read(root / "sys/kernel/mm/transparent_hugepage/enabled"))
    total = re.search(r"^MemTotal:\s*(\d+) kB", _read(root / "proc/meminfo"), re.M)
    model = re.search(r"^model name\s*:\s*(\S.*)", _read(root / "proc/cpuinfo"), re.M)
    maps = _read(root / "proc/self/maps")
    return Report(
        shortlist=_core.__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=model[1].strip() if model else None,
        isa=_core.simd_level(),
        isa_compiled=tuple(_kernels.compiled()),
        isa_runnable=tuple(_core.simd_levels()),
        isa_asked=environment.get("SHORTLIST_ISA") or None,
        threads=_core.omp_get_max_threads(),
        cpus=_cpus(),
        cgroup_cpus=_cgroup_cpus(root),
        omp_num_threads=environment.get("OMP_NUM_THREADS") or None,
        memory=int(total[1]) << 10 if total else None,
        cgroup_memory=_cgroup_memory(root),
        huge_pages=huge[1] if huge else None,
        files=_files(),
        gpu=_gpu(),
        openmp=_openmp(maps),
        packages=tuple(
            Package(module, _version(module, distributions), extra, needed_by)
            for module, distributions, extra, needed_by in _OPTIONAL
        ),
    )


def _gpu() -> str:
    """The plugin with its versions, and each GPU; or why none can be used."""
    loaded = ""
    try:
        plugin = gpu.plugin()
        loaded = f"plugin {plugin.path}, ABI {_core._gpu.abi}"
        runtime, driver = (f"{v // 1000}.{v % 1000 // 10}" for v in plugin.versions())
        loaded += f", CUDA {runtime}, driver's CUDA {driver if driver != '0.0' else 'none'}"
        return "; ".join([loaded, *(f"{d.name}, {_gib(d.memory)}" for d in gpu.devices())])
    except (_core.UnsupportedError, RuntimeError) as error:
        return "; ".join(filter(None, (loaded, str(error))))


def _read(path: Path) -> str:
    """Empty where there is nothing to read."""
    try:
        return path.read_text(errors="replace")
    except (OSError, ValueError):  # ValueError: a path that no file can have
        return ""


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """Folders that may limit this process: its groups and those above, in v2 and v1.

    Inside a container /proc/self/cgroup may name a path of the host; what is mounted then is the
    container's own group, at the top.
    """
    top = root / "sys/fs/cgroup"
    mounts = {top: "", top / "unified": "", top / controller: ""}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        if not controllers:
            mounts[top] = mounts[top / "unified"] = path
        elif controller in controllers.split(","):
            mounts[top / controller] = mounts[top / controllers] = path
    for mount, path in mounts.items():
        names = [name for name in path.split("/") if name not in ("", "..")]
        for depth in range(len(names) + 1):
            yield mount.joinpath(*names[:depth])


def _cgroup_cpus(root: Path) -> float | None:
    found = []
    for folder in _cgroups(root, "cpu"):
        old = [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        for text in (_read(folder / "cpu.max"), " ".join(old)):
            if match := re.fullmatch(r"([1-9]\d{0,17})\s+([1-9]\d{0,17})\s*", text):
                found.append(int(match[1]) / int(match[2]))
    return min(found, default=None)


def _cgroup_memory(root: Path) -> int | None:
    found = []
    for folder in _cgroups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            # 19 digits are how v1 writes that there is no limit.
            if re.fullmatch(r"[1-9]\d{0,17}\s*", text := _read(folder / name)):
                found.append(int(text))
    return min(found, default=None)


def _openmp(maps: str) -> tuple[str, ...]:
    return tuple(sorted(set(re.findall(r"/(lib(?:gomp|omp|iomp5)[-.][^/\n]*)$", maps, re.M))))


def _version(module: str, distributions: tuple[str, ...]) -> str | None:
    """From the metadata alone: importing torch to ask would take seconds."""
    try:
        if find_spec(module) is None:
            return None
    except Exception:  # import hooks of others may raise anything; __spec__ may be None
        if module not in sys.modules:
            return None
    for name in distributions:
        try:
            if version := metadata.version(name):
                return version
        except Exception:  # another distribution, or damaged metadata
            continue
    return "unknown"


def _positive(text: str | None) -> int | None:
    """What the thread pool makes of OMP_NUM_THREADS."""
    match = re.match(r"\s*\+?0*([1-9]\d{0,8})", text or "")
    return int(match[1]) if match else None


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:,.1f} GiB"


def _jsonable(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in items}
