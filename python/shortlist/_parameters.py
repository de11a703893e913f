"""faiss's ParameterSpace: parameters of an index by name, wherever in it they are."""

from __future__ import annotations

import re
from typing import Any

from . import _core
from ._knobs import parts

__all__ = ["ParameterSpace"]

_KINDS = {"nprobe": int, "max_codes": int, "efSearch": int, "efConstruction": int}

_FACTORS = {"k_factor_rf": _core.IndexRefine, "k_factor": _core.IndexIVFPQR}


class ParameterSpace:
    """Sets parameters by name: ParameterSpace().set_index_parameter(index, "nprobe", 8).

    Names: nprobe and max_codes of an IndexIVF; efSearch and efConstruction of an HNSW index or,
    where there is an IndexIVF, of its quantizer; k_factor of an IndexIVFPQR and k_factor_rf of an
    IndexRefine; quantizer_<name> of an IndexIVF's quantizer; verbose of all. They are found behind
    IDMaps, transforms and refinements.
    """

    verbose = 1

    def set_index_parameters(self, index: Any, description: str) -> None:
        """Sets all of "nprobe=8,quantizer_efSearch=64"; commas or spaces stand between them."""
        for part in re.split(r"[ ,]+", description.strip(" ,")):
            if not part:
                continue
            name, equals, value = part.partition("=")
            try:
                number = float(value)
            except ValueError:
                number = None
            if not equals or number is None:
                raise _core.ArgumentError(f"{part!r} of {description!r} is not <name>=<number>")
            self.set_index_parameter(index, name, number)

    def set_index_parameter(self, index: Any, name: str, val: float) -> None:
        """Raises ArgumentError for a name that the index does not have, or a bad value."""
        if name == "verbose":
            for part in parts(index):
                part.verbose = bool(val)
            return
        owner, field = _owner(index, name)
        if owner is None:
            raise _core.ArgumentError(f"there is no parameter {name!r} in {type(index).__name__}")
        kind = _KINDS.get(field, float)
        if kind(val) != val:
            raise _core.ArgumentError(f"{name} = {val}; expected a whole number")
        setattr(owner, field, kind(val))


def _owner(index: Any, name: str) -> tuple[Any, str]:
    """The object whose field it is, and the field."""
    ivf = next((part for part in parts(index) if hasattr(part, "nprobe")), None)
    inner = name.removeprefix("quantizer_")
    if inner != name:
        return (None, inner) if ivf is None else _owner(ivf.quantizer, inner)
    if name in _FACTORS:
        kind = _FACTORS[name]
        return next((part for part in parts(index) if isinstance(part, kind)), None), "k_factor"
    if name in ("efSearch", "efConstruction"):
        looked = index if ivf is None else ivf.quantizer
        return next((part.hnsw for part in parts(looked) if hasattr(part, "hnsw")), None), name
    return (ivf if name in ("nprobe", "max_codes") else None), name
