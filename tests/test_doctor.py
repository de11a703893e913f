from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace
from importlib import metadata

import numpy as np
import pytest
import shortlist
from shortlist import _doctor
from shortlist._core import _disk

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path):
    """A report on a machine of files given as path=text; what is not given is not there."""

    def look(files=(), **environment):
        for path, content in dict(files).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content)
        return _doctor._examine(tmp_path, environment)

    return look


# A machine on which there is nothing to improve.
FINE = _doctor.Report(
    shortlist="0",
    python="3",
    numpy="2",
    platform="Linux",
    cpu="a CPU",
    isa="avx512",
    isa_compiled=("reference", "avx2", "avx512"),
    isa_runnable=("reference", "avx2", "avx512"),
    isa_asked=None,
    threads=8,
    cpus=8,
    cgroup_cpus=None,
    omp_num_threads=None,
    memory=16 * GIB,
    cgroup_memory=None,
    huge_pages="madvise",
    files="",
    gpu=None,
    openmp=("libgomp.so.1",),
    packages=(_doctor.Package("torch", "2.0", "rerank", "shortlist.rerank"),),
)


def test_the_facts_are_this_process_own():
    report = shortlist.doctor()
    assert report.shortlist == metadata.version("shortlist")
    assert (report.python, report.numpy) == (platform.python_version(), np.__version__)
    assert report.platform.endswith(os.uname().machine)
    assert report.isa == shortlist.simd_level()
    assert list(report.isa_runnable) == shortlist.simd_levels()
    assert set(report.isa_runnable) <= set(report.isa_compiled)
    assert report.threads == shortlist.omp_get_max_threads()
    assert report.cpus == len(os.sched_getaffinity(0))
    assert 1 <= report.usable_cpus <= report.cpus
    assert 0 < report.memory <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 1.01
    for one in report.packages:
        if one.name not in ("cupy", "faiss"):  # the others' distributions have the module's name
            found = [d.version for d in metadata.distributions(name=one.name)]
            assert one.version == (found[0] if found else None)


def test_affinity_is_what_the_process_has(python):
    said = python("""
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import shortlist
print(shortlist.doctor().cpus)
""")
    assert said == "1\n"


@pytest.mark.parametrize("isa", shortlist.simd_levels())
def test_the_environment_is_what_the_process_was_given(isa):
    code = "import json, shortlist; print(json.dumps(shortlist.doctor().to_dict()))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        env={**os.environ, "SHORTLIST_ISA": isa, "OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert (said["isa"], said["isa_asked"]) == (isa, isa)
    assert (said["threads"], said["omp_num_threads"]) == (3, "3")
    slower = isa != shortlist.simd_levels()[-1]
    assert any(line.startswith(f"SHORTLIST_ISA={isa} keeps") for line in said["advice"]) == slower


def test_nothing_heavy_is_imported(python):
    said = python("""
import sys, shortlist
report = shortlist.doctor()
str(report), report.to_dict()
print(*sorted({m.split(".")[0] for m in sys.modules} & {p.name for p in report.packages}))
""")
    assert said == "\n"


def test_a_report_does_not_change():
    with pytest.raises(FrozenInstanceError):
        FINE.threads = 1


def test_to_dict_survives_json():
    for report in (shortlist.doctor(), FINE, replace(FINE, huge_pages="never", cgroup_cpus=1.5)):
        said = report.to_dict()
        assert json.loads(json.dumps(said, allow_nan=False)) == said
        assert set(said) == {f.name for f in fields(report)} | {"advice", "usable_cpus"}
        assert said["advice"] == list(report.advice)
        assert [p["name"] for p in said["packages"]] == [p.name for p in report.packages]


def test_it_reads_proc_and_sys(machine):
    report = machine(
        {
            "proc/cpuinfo": "processor : 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name : other\n",
            "proc/meminfo": "MemFree: 1 kB\nMemTotal:       2097152 kB\n",
            "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
            "proc/self/maps": "".join(
                f"7f00-7f01 r-xp 00000000 08:01 9 {path}\n"
                for path in ("/a/lib/libgomp-1f.so.1.0.0", "/b c/libomp.so", "/d/libiomp5.so") * 2
            )
            + "7f02-7f03 r-xp 00000000 08:01 9 /usr/lib/libgomputer.so\n7f04-7f05 rw-p 0 0:0 0\n",
        },
        SHORTLIST_ISA="avx9",
        OMP_NUM_THREADS="7",
    )
    assert report.cpu == "Some CPU @ 2 GHz"
    assert report.memory == 2 * GIB
    assert report.huge_pages == "never"
    assert report.openmp == ("libgomp-1f.so.1.0.0", "libiomp5.so", "libomp.so")
    assert (report.isa_asked, report.omp_num_threads) == ("avx9", "7")


V1_NONE = "9223372036854771712\n"


@pytest.mark.parametrize(
    ("files", "cpus", "memory"),
    [
        ({}, None, None),
        (
            {"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"},
            None,
            None,
        ),
        ({"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2.5, None),
        ({"sys/fs/cgroup/memory.max": f"{GIB}\n"}, None, GIB),
        # The tightest of a group and those above it.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/memory.max": f"{2 * GIB}\n",
                "sys/fs/cgroup/a/b/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/other/cpu.max": "1000 100000\n",
            },
            0.5,
            GIB,
        ),
        # v1, beside an empty v2.
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/y/z\n1:name=systemd:/\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_period_us": "200000\n",
                "sys/fs/cgroup/cpu,cpuacct/y/z/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/y/z/cpu.cfs_period_us": "200000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_NONE,
                "sys/fs/cgroup/memory/x/memory.limit_in_bytes": f"{3 * GIB}\n",
            },
            1.5,
            3 * GIB,
        ),
        # In a container the path is the host's and the limit is at the top.
        (
            {
                "proc/self/cgroup": "2:memory:/docker/1f\n1:cpu:/docker/1f\n0::/../../1f\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
            },
            1,
            GIB,
        ),
    ],
)
def test_cgroup_limits(machine, files, cpus, memory):
    report = machine(files)
    assert (report.cgroup_cpus, report.cgroup_memory) == (cpus, memory)


NOISE = ["", "\0", "words\n", "0 0\n", "-1 -1", "1" * 5000, "[]:::\n::\n", "0::/\0/a\n", "é\ud800"]


def test_it_never_raises(machine, tmp_path):
    paths = [
        "proc/cpuinfo",
        "proc/meminfo",
        "proc/self/cgroup",
        "proc/self/maps",
        "sys/kernel/mm/transparent_hugepage/enabled",
        "sys/fs/cgroup/cpu.max",
        "sys/fs/cgroup/memory.max",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us",
    ]

    def check(report):
        unknown = (report.cpu, report.cgroup_cpus, report.memory, report.huge_pages)
        assert (*unknown, report.cgroup_memory in (None, 1)) == (None, None, None, None, True)
        assert "unknown" in str(report)
        json.dumps(report.to_dict())

    check(machine())
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    for noise in NOISE:
        for path in paths:
            (tmp_path / path).write_bytes(noise.encode(errors="surrogatepass"))
        check(machine(OMP_NUM_THREADS=noise, SHORTLIST_ISA=noise))
    for path in paths:  # what cannot be read
        (tmp_path / path).unlink()
        (tmp_path / path).mkdir()
    check(machine())


def test_systems_without_affinity(monkeypatch):
    def refused(_):
        raise OSError

    monkeypatch.setattr(os, "sched_getaffinity", refused)
    assert shortlist.doctor().cpus == os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity")
    assert shortlist.doctor().cpus == os.cpu_count()


def test_packages_missing_damaged_and_odd(monkeypatch):
    def hook(name):
        if name == "typer":
            raise RuntimeError("an import hook of somebody else")
        return None if name == "torch" else object()

    def version(name):
        if name == "rich":
            raise KeyError("Version")
        if name == "cupy-cuda12x":
            return "14.1"
        if name in ("matplotlib", "pyarrow"):
            return "1.0"
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_doctor, "find_spec", hook)
    monkeypatch.setattr(_doctor.metadata, "version", version)
    monkeypatch.delitem(sys.modules, "typer", raising=False)
    report = shortlist.doctor()
    found = {one.name: one.version for one in report.packages}
    assert found == {
        "typer": None,
        "rich": "unknown",
        "matplotlib": "1.0",
        "pyarrow": "1.0",
        "h5py": "unknown",
        "torch": None,
        "cupy": "14.1",
        "faiss": "unknown",
    }
    text = str(report)
    assert "torch missing; pip install 'shortlist[rerank]'" in text
    assert "cupy 14.1" in text


def test_pip_lines_name_the_extra_that_adds_the_package():
    added = {
        (re.match(r"[\w-]+", line)[0], extra)
        for line in metadata.requires("shortlist")
        for extra in re.findall(r"extra == ['\"](\w+)['\"]", line)
    }
    for _, distributions, extra, _ in _doctor._OPTIONAL:
        assert any((name, extra) in added for name in distributions)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"isa": "avx2", "isa_asked": "avx2"}, "SHORTLIST_ISA=avx2 keeps avx512 from"),
        ({"isa_asked": "avx2"}, "SHORTLIST_ISA=avx2 has no effect, avx512 is in use"),
        ({"isa": "reference", "isa_runnable": ("reference",)}, "none of avx2, avx512"),
        (
            {
                "isa": "reference",
                "isa_runnable": ("reference", "neon"),
                "isa_compiled": ("reference", "neon"),
            },
            "set SHORTLIST_ISA=neon",
        ),
        (
            {
                "isa": "reference",
                "isa_runnable": ("reference",),
                "isa_compiled": ("reference",),
            },
            "this build has plain loops only",
        ),
        ({"threads": 9}, "9 threads share the 8 CPU(s) this process may use; set"),
        (
            {"omp_num_threads": "8", "cgroup_cpus": 2.5},
            "the 3 CPU(s) this process may use, by its cgroup's 2.5; set OMP_NUM_THREADS=3 or",
        ),
        ({"threads": 4, "cpus": 4, "cgroup_cpus": 0.2}, "OMP_NUM_THREADS=1 or"),
        ({"threads": 1, "omp_num_threads": "1"}, "OMP_NUM_THREADS=1 leaves 7 of 8 CPUs idle"),
        ({"omp_num_threads": "many"}, "OMP_NUM_THREADS=many is not a number"),
        ({"omp_num_threads": "0"}, "OMP_NUM_THREADS=0 is not a number"),
        ({"openmp": ("libgomp.so.1", "libomp.so")}, "2 OpenMP libraries are loaded (libgomp.so.1,"),
        ({"huge_pages": "never"}, "echo madvise | sudo tee"),
        (
            {"cgroup_memory": 2 * GIB},
            "the cgroup's 2.0 GiB is killed; shortlist build --memory 2048M",
        ),
        ({"cgroup_memory": GIB, "memory": None}, "--memory 1024M"),
        (
            {"packages": (_doctor.Package("torch", None, "rerank", "shortlist.rerank"),)},
            "shortlist.rerank needs torch; pip install 'shortlist[rerank]'",
        ),
        (
            {"packages": tuple(_doctor.Package(n, None, "cli", "it") for n in ("typer", "rich"))},
            "it needs typer and rich; pip install 'shortlist[cli]'",
        ),
    ],
)
def test_advice_follows_from_one_fact(changes, words):
    (line,) = replace(FINE, **changes).advice
    assert words in line
    assert line in str(replace(FINE, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"isa_asked": "avx512"},
        {"isa": "avx2", "isa_runnable": ("reference", "avx2")},
        {"omp_num_threads": "8"},
        {"omp_num_threads": " 8,1"},
        {"threads": 3},  # omp_set_num_threads, on purpose
        {"threads": 3, "omp_num_threads": "8"},
        {"threads": 3, "cgroup_cpus": 2.5},
        {"cgroup_cpus": 64.0},
        {"huge_pages": "always"},
        {"huge_pages": None},
        {"openmp": ()},
        {"cgroup_memory": 16 * GIB},
        {"memory": None},
        {"packages": (_doctor.Package("cupy", None, "gpu", None),)},
    ],
)
def test_no_advice_without_a_reason(changes):
    report = replace(FINE, **changes)
    assert report.advice == ()
    assert "nothing to improve" in str(report)


def test_the_memory_it_names_is_a_size_the_command_line_takes():
    pytest.importorskip("typer")
    from shortlist.cli.console import size_in_bytes

    (line,) = replace(FINE, cgroup_memory=5 * GIB + 12345).advice
    size = size_in_bytes(re.search(r"--memory (\S+)", line)[1])
    assert 0 <= 5 * GIB + 12345 - size < 1 << 20


def test_what_it_says_of_files_is_what_is_done():
    backend = _disk.RandomFiles([__file__]).backend.split(",")[0]
    said = shortlist.doctor().files
    assert said.endswith(f"of folders: {backend}") or f"of folders: {backend} (" in said
    assert (backend == "io_uring") == (not _disk.why_no_io_uring())


def test_the_command():
    pytest.importorskip("typer")
    pytest.importorskip("rich")
    command = [sys.executable, "-m", "shortlist", "doctor"]
    for option in ([], ["--json"]):
        done = subprocess.run(
            [*command, *option], capture_output=True, text=True, check=True, env=os.environ
        )
        assert done.stderr == ""
        if option:
            assert json.loads(done.stdout)["isa"] == shortlist.simd_level()
        else:
            assert done.stdout.startswith(f"shortlist   {shortlist.__version__}, ")
            assert "\nadvice      " in done.stdout
