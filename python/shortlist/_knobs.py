"""What trades speed for recall in an index, found by looking inside it.

A structure joins `sweep`, `tune` and the command line by an entry in `_KNOBS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Knob", "graph_of", "knobs", "parts", "setting"]


@dataclass(frozen=True)
class Knob:
    """One parameter of a search: more of it is slower and finds more.

    The main knob of a structure takes any whole number from 1; others only their `values`.
    """

    name: str
    owner: Any
    values: tuple[float, ...]
    main: bool

    @property
    def value(self) -> float:
        return float(getattr(self.owner, self.name))

    def set(self, value: float) -> None:
        """Raises ValueError for a fraction where a whole number is wanted."""
        kind = type(getattr(self.owner, self.name))
        if kind(value) != value:
            raise ValueError(f"{self.name} is {value}; expected a whole number")
        setattr(self.owner, self.name, kind(value))


# Name, the attribute through which an index owns it (None: itself), values worth trying, main.
_KNOBS: tuple[tuple[str, str | None, tuple[float, ...], bool], ...] = (
    ("efSearch", "hnsw", (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256), True),
    ("nprobe", None, (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256), True),
    ("k_factor", None, (1, 2, 4, 8), False),
)


def knobs(index: Any) -> list[Knob]:
    """The knobs of an index and of what it wraps, main ones first; none for exhaustive search.

    Of two with one name, as where candidates are ranked again twice, the outer one.
    """
    found: list[Knob] = []
    for part in parts(index):
        for name, through, values, main in _KNOBS:
            owner = part if through is None else getattr(part, through, None)
            if hasattr(owner, name) and not any(knob.name == name for knob in found):
                found.append(Knob(name, owner, values, main))
    return sorted(found, key=lambda knob: not knob.main)


@contextmanager
def setting(index: Any, params: Mapping[str, float]) -> Iterator[None]:
    """Search with these knobs inside the block. Raises ValueError for one it does not have."""
    there = {knob.name: knob for knob in knobs(index)}
    for name in params:
        if name not in there:
            has = f"it has {', '.join(there)}" if there else "it searches exhaustively"
            raise ValueError(f"{type(index).__name__} has no {name} to set; {has}")
    before = {name: there[name].value for name in params}
    try:
        for name, value in params.items():
            there[name].set(value)
        yield
    finally:
        for name, value in before.items():
            there[name].set(value)


def graph_of(index: Any) -> Any | None:
    """The `hnsw` of an index or of what it wraps; None where there is none."""
    return next((part.hnsw for part in parts(index) if hasattr(part, "hnsw")), None)


def parts(index: Any) -> Iterator[Any]:
    """An index and what it wraps, outermost first."""
    while index is not None:
        yield index
        inner = next((name for name in ("index", "base_index") if hasattr(index, name)), None)
        index = None if inner is None else getattr(index, inner)
