"""What tests of indexes on disk share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import shortlist

D = 16


def vectors(n: int, seed: int = 0, d: int = D, dtype: Any = "f4") -> np.ndarray:
    """Clustered, as real ones are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, d)) * 3
    x = centres[rng.integers(0, 40, n)] + rng.normal(size=(n, d))
    return (
        np.clip(x * 8 + 100, 0, 255).astype(dtype)
        if np.dtype(dtype).kind == "u"
        else x.astype(dtype)
    )


def build(out: Path, x: np.ndarray, description: str = "SPANN", **how: Any) -> Any:
    return shortlist.build(x, description, out=out, **how)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "LOCK"}
