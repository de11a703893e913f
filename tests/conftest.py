"""What the tests share: an exact oracle, thread counts, and Python in a process of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import gpu_cases
import numpy as np
import pytest
import shortlist
import spann_cases
from hypothesis import settings
from shortlist import gpu

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("suite")


@dataclass(frozen=True)
class Oracle:
    """Brute force in float64, in the user's signs: squared L2, or inner product."""

    metric: int

    @property
    def sign(self) -> int:
        return 1 if self.metric == shortlist.METRIC_L2 else -1

    @property
    def missing(self) -> np.float32:
        return np.float32(self.sign * np.finfo(np.float32).max)

    def distances(self, queries: np.ndarray, base: np.ndarray) -> np.ndarray:
        q, x = np.asarray(queries, np.float64), np.asarray(base, np.float64)
        dots = q @ x.T
        if self.metric == shortlist.METRIC_INNER_PRODUCT:
            return dots
        return (q**2).sum(1)[:, None] - 2 * dots + (x**2).sum(1)

    def search(
        self, queries: np.ndarray, base: np.ndarray, k: int, ids: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest, ties by row, padded as search pads."""
        names = np.arange(len(base)) if ids is None else np.asarray(ids)
        every = self.distances(queries, base)
        order = np.argsort(self.sign * every, axis=1, kind="stable")[:, :k]
        D = np.full((len(queries), k), self.missing, np.float32)
        I = np.full((len(queries), k), -1, np.int64)
        D[:, : order.shape[1]] = np.take_along_axis(every, order, 1)
        I[:, : order.shape[1]] = names[order]
        return D, I

    def recall(self, found: np.ndarray, queries: np.ndarray, base: np.ndarray) -> float:
        """Share of the found rows of `base` that are at most as far as the true k-th one."""
        every = self.sign * self.distances(queries, base)
        k = min(found.shape[1], len(base))
        kth = np.partition(every, k - 1, axis=1)[:, k - 1 : k]
        got = np.take_along_axis(every, np.maximum(found, 0), 1)
        near = (got <= kth + 1e-5 * np.abs(kth)) & (found >= 0)
        return float(near[:, :k].mean())


# A suite started in the background ignores SIGINT, and so would the programs it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["L2", "IP"])
def oracle(request: pytest.FixtureRequest) -> Oracle:
    """Runs the test for both metrics."""
    return Oracle({"L2": shortlist.METRIC_L2, "IP": shortlist.METRIC_INNER_PRODUCT}[request.param])


@pytest.fixture
def l2() -> Oracle:
    return Oracle(shortlist.METRIC_L2)


@pytest.fixture(params=shortlist.simd_levels())
def isa(request: pytest.FixtureRequest) -> str:
    """Runs the test for every instruction set of this machine."""
    return request.param


@pytest.fixture(scope="session")
def faiss() -> ModuleType:
    """The peer; the test is skipped without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: ModuleType = pytest.importorskip("faiss")
    return module


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads for one test."""
    before = shortlist.omp_get_max_threads()
    yield shortlist.omp_set_num_threads
    shortlist.omp_set_num_threads(before)


@pytest.fixture(scope="session")
def cuda_plugin() -> Any:
    """The plugin, on a machine with a GPU."""
    try:
        plugin = gpu.plugin()
        plugin.devices()
    except shortlist.UnsupportedError as error:
        pytest.skip(str(error))
    return plugin


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def engine(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """engine(seed, lanes, chunks) makes one; a GPU chooses lanes and chunks itself."""
    if request.param == "cuda-host":
        return gpu_cases.host
    plugin = request.getfixturevalue("cuda_plugin")
    return lambda seed=0, lanes=0, chunks=0: gpu_cases._gpu.Engine(plugin, 0)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The command line in this process: run("info", path, code=0) gives .out and .err."""
    for needed in ("typer", "rich"):
        pytest.importorskip(needed)
    from shortlist import cli

    def call(*arguments: object, code: int = 0) -> Any:
        assert cli.main([str(a) for a in arguments]) == code
        return capsys.readouterr()

    return call


@pytest.fixture
def python() -> Callable[..., str]:
    """Runs code in a fresh interpreter, returns what it printed; a crash or hang fails the test."""

    def run(code: str, *, timeout: float = 120) -> str:
        path = f"import sys; sys.path[:0] = {sys.path!r}\n"
        done = subprocess.run(
            [sys.executable, "-c", path + code], capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def spann_vectors() -> np.ndarray:
    return spann_cases.vectors(3000)


@pytest.fixture(scope="session")
def spann_folder(tmp_path_factory: pytest.TempPathFactory, spann_vectors: np.ndarray) -> Path:
    """An index on disk of those; to be read only."""
    folder = tmp_path_factory.mktemp("index")
    spann_cases.build(folder, spann_vectors)
    return folder


@pytest.fixture
def spann_copy(spann_folder: Path, tmp_path: Path) -> Path:
    """Likewise, to be changed."""
    return Path(shutil.copytree(spann_folder, tmp_path / "copy"))
