"""What the runner asks of a library: build, set ef, search one, search many, save, load."""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class Spec:
    """One line of the comparison: a library, how it stores vectors, and the graph's parameters."""

    library: str  # a key of CONTENDERS
    storage: str  # numpy name of the stored type: "uint8", "float16", "float32"
    d: int
    metric: str  # "l2" or "ip"
    M: int
    ef_construction: int
    k: int


class Contender(ABC):
    """An index of one library. Its module is imported only when one is constructed."""

    module: ClassVar[str]
    title: ClassVar[str]  # as tables and plots name it

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.lib: Any = importlib.import_module(self.module)
        self.index: Any = None

    @classmethod
    def installed(cls) -> bool:
        return importlib.util.find_spec(cls.module.partition(".")[0]) is not None

    @classmethod
    @abstractmethod
    def storages(cls, metric: str) -> tuple[str, ...]:
        """The storage types it supports under `metric`, smallest first."""

    @classmethod
    def name_of(cls, spec: Spec) -> str:
        """What tables call a line of the comparison."""
        return f"{cls.title} {spec.storage}"

    def prepare(self, x: np.ndarray) -> np.ndarray:
        """`x` as a new array in the form build and search take; never timed."""
        return np.array(x, dtype=self.spec.storage, order="C")

    @abstractmethod
    def build(self, base: np.ndarray, threads: int) -> None: ...

    @abstractmethod
    def set_ef(self, ef: int) -> None:
        """Sets how hard the next searches try: efSearch, or what the library has in its place."""

    @abstractmethod
    def search1(self, query: np.ndarray) -> np.ndarray:
        """Ids of the k nearest of one prepared query, of shape (1, d)."""

    @abstractmethod
    def search_batch(self, queries: np.ndarray) -> np.ndarray:
        """Ids of the k nearest of each prepared query, on one thread."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Writes a file at `path`, or a folder where the library's index is several files."""

    @abstractmethod
    def load(self, path: Path) -> None: ...

    def version(self) -> str:
        return str(self.lib.__version__)

    def details(self) -> str:
        """What else tells this build of the library from another, such as its instruction set."""
        return ""
