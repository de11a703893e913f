"""From steps to variants, their curves, and what each step is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.ablation.builds import Builds, digest
from bench.ablation.steps import COLUMNS, STEPS, Column, edits_of, index_of
from bench.ablation.variant import LIBRARY, VariantSpec
from bench.frontier import runner
from bench.frontier.contenders import Spec
from bench.frontier.dataset import Dataset
from bench.frontier.runner import Curve, Settings
from bench.frontier.summary import TARGETS, AtRecall, Ratio, at_recall, ratio
from bench.frontier.worker import Cache, Worker

Specs = dict[frozenset[str], VariantSpec]  # by index_of
Curves = dict[frozenset[str], Curve]


@dataclass(frozen=True)
class Effect:
    """In a column that adds, QPS with the step over that without it; else the inverse."""

    column: str
    step: str
    target: float
    ratio: Ratio | None  # None: one of the two does not reach the recall


def variants(
    column: Column, steps: Iterable[str], data: Dataset, settings: Settings, builds: Builds
) -> Specs:
    """The indexes to measure, built from source where they have not been before."""
    dtype = str(data.base.dtype)
    pairs = column.pairs(steps, dtype).values()
    specs: Specs = {}
    for chosen in [column.base, *(one for pair in pairs for one in pair)]:
        index = index_of(chosen, dtype)
        if index in specs:
            continue
        name = column.name(chosen)
        graph = [s for s in STEPS if STEPS[s].graph and s in index]
        specs[index] = VariantSpec(
            library=LIBRARY,
            storage=dtype if "native" in index else "float32",
            d=data.base.shape[1],
            metric=data.metric,
            M=settings.M,
            ef_construction=settings.ef_construction,
            k=data.k,
            name=name,
            package=builds.package(edits_of(chosen), name),
            isa=None if "avx512" in index else "avx2" if "simd" in index else "reference",
            int8="int8" in index,
            blocks="blocks" in index,
            graph="-".join([digest(builds.files), *graph]),
            threads=settings.threads_build,
        )
    return specs


def curves(
    specs: Specs, data: Dataset, settings: Settings, folder: Path, tell: Callable[[str], None]
) -> Curves:
    """Measures all variants. Those that search alike-built graphs search one, kept in `folder`."""

    def cache_for(spec: Spec) -> Cache:
        assert isinstance(spec, VariantSpec)
        graph = folder / spec.graph
        graph.mkdir(parents=True, exist_ok=True)
        return Cache(graph, read=True, write=True)

    for spec in {(spec.graph, spec.storage): spec for spec in [*specs.values()][::-1]}.values():
        _make_graph(spec, data, settings, cache_for(spec), tell)
    measured = runner.measure([(s, data) for s in specs.values()], settings, cache_for, tell)
    return dict(zip(specs, measured, strict=True))


def _make_graph(
    spec: VariantSpec,
    data: Dataset,
    settings: Settings,
    cache: Cache,
    tell: Callable[[str], None],
) -> None:
    """Beforehand, so that no variant has just built the graph that others load."""
    worker = Worker(spec)
    try:
        built = worker.prepare(
            data.base_file, len(data.base), data.fingerprint(), settings.threads_build, cache
        )
    finally:
        worker.close()
    if built.origin == "built":
        tell(f"graph of {spec.name}: built in {built.wall_seconds:.1f} s")


def effects(column: str, steps: Iterable[str], dtype: str, curves: Curves) -> list[Effect]:
    def found(chosen: frozenset[str], target: float) -> AtRecall:
        mode = "batch" if "batch" in chosen else "single"
        return at_recall(curves[index_of(chosen, dtype)], mode, target)

    return [
        Effect(column, step, target, _over(*(found(one, target) for one in compared)))
        for step, (has, lacks) in COLUMNS[column].pairs(steps, dtype).items()
        for compared in [(has, lacks) if COLUMNS[column].adds else (lacks, has)]
        for target in TARGETS
    ]


def _over(one: AtRecall, other: AtRecall) -> Ratio | None:
    return ratio(one, other) if one.qps and other.qps else None
