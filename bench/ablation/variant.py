"""A build of shortlist, with its switches as wanted, as a contender of bench.frontier."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from bench.frontier.contenders import CONTENDERS, Spec
from bench.frontier.contenders.ours import Ours

LIBRARY = "ablation"


@dataclass(frozen=True)
class VariantSpec(Spec):
    name: str
    package: Path  # where its build is
    isa: str | None  # to search with; None: the best there is
    int8: bool
    blocks: bool
    graph: str  # variants with the same one and the same storage search one graph
    threads: int  # to make codes and blocks


class Variant(Ours):
    spec: VariantSpec

    def __init__(self, spec: VariantSpec) -> None:
        os.environ.pop("SHORTLIST_ISA", None)
        # multiprocessing gives a child its parent's path, whatever PYTHONPATH says. The finder
        # comes first because an editable install has one of its own.
        sys.path.insert(0, str(spec.package))
        sys.meta_path.insert(0, PathFinder)
        super().__init__(spec)
        if spec.package not in Path(self.lib.__file__).parents:
            raise ImportError(f"{self.lib.__file__} was imported instead of {spec.package}")

    @classmethod
    def name_of(cls, spec: Spec) -> str:
        assert isinstance(spec, VariantSpec)
        return spec.name

    def load(self, path: Path) -> None:
        self.lib.omp_set_num_threads(self.spec.threads)
        super().load(path)
        self.index.neighbor_blocks = self.spec.blocks
        self.lib.omp_set_num_threads(1)
        if self.spec.isa:  # from here on, as scalar kernels would take minutes to make blocks
            self.lib._core._kernels.set_level(self.spec.isa)

    def _walk_by_int8(self) -> None:
        self.index.int8_traversal = self.spec.int8


CONTENDERS[LIBRARY] = Variant  # here and, as it unpickles a VariantSpec, in a worker's process
