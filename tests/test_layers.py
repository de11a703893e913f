"""The shape of the source: layers import downward only, files stay small, importing stays light."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CPP = ROOT / "cpp"

# A folder may include its own rank's neighbours never, and lower ranks always.
RANKS = [
    {"base"},
    {"io"},
    {"kernels"},
    {"codec", "cluster"},
    {"flat", "graph", "kv"},
    {"lists"},
    {"ivf", "spann"},
    {"index"},
    {"faiss_format"},
    {"gpu"},
    {"bind"},
]
RANK = {folder: rank for rank, folders in enumerate(RANKS) for folder in folders}
WITHIN_RANK = {
    ("graph", "flat"),  # a graph falls back to exhaustive search
    ("codec", "cluster"),  # product quantisers are trained by k-means
}

SOURCES = sorted(p for p in CPP.rglob("*") if p.suffix in {".h", ".cpp"})
LIMIT = 600


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_includes_point_downward(path):
    own = path.relative_to(CPP).parts[0]
    assert own in RANK, f"cpp/{own}/ has no place in the order of the layers"
    for included in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.M):
        assert (CPP / included).is_file(), f'"{included}": includes are written from cpp/'
        other = included.split("/")[0]
        allowed = own == other or RANK[other] < RANK[own] or (own, other) in WITHIN_RANK
        assert allowed, f"{own}/ may not include {included}: {other}/ is not below it"


@pytest.mark.parametrize(
    "path",
    [*SOURCES, *sorted((ROOT / "python").rglob("*.py"))],
    ids=name,
)
def test_no_file_holds_two_ideas(path):
    lines = path.read_text().count("\n")
    assert lines <= LIMIT, f"{lines} lines; past {LIMIT} a file is two"


def test_importing_pulls_in_numpy_and_nothing_else(python):
    said = python("""
import sys, numpy, logging
before = set(sys.modules)
import shortlist
print(*sorted({m.split(".")[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)))
""")
    assert set(said.split()) <= {"shortlist", "numpy"}
