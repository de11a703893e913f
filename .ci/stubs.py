"""Write python/shortlist/_core/*.pyi from the installed extension: python .ci/stubs.py

pybind11-stubgen does the work. What C++ signatures cannot say, and the exceptions that the
extension makes at run time, are put right here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from shortlist import _core

TARGET = Path(__file__).parents[1] / "python/shortlist/_core"
FLOATS = "numpy.typing.NDArray[numpy.float32]"
COUNTS = "numpy.typing.NDArray[numpy.int32]"
BYTES = "numpy.typing.NDArray[numpy.uint8]"
IDS = "numpy.typing.NDArray[numpy.int64]"

# Each must apply, so that none outlives what it was for.
REPLACEMENTS = [
    (r"typing\.SupportsInt \| typing\.SupportsIndex", "typing.SupportsIndex"),
    (r"typing\.SupportsFloat \| typing\.SupportsIndex", "float"),
    (r"typing\.Annotated\[numpy\.typing\.ArrayLike, numpy\.uint8\]", "numpy.typing.ArrayLike"),
    (r": (IDSelector|SearchParameters) = None", r": \1 | None = None"),
    (r"def sel\(self\) -> IDSelector:", "def sel(self) -> IDSelector | None:"),
    (r"def sel\(self, arg1: IDSelector\)", "def sel(self, arg1: IDSelector | None)"),
    (
        r"(def (?:base_)?index_params\(self\)) -> SearchParameters:",
        r"\1 -> SearchParameters | None:",
    ),
    (
        r"(def (?:base_)?index_params\(self, arg1): SearchParameters\)",
        r"\1: SearchParameters | None)",
    ),
    (
        r"progress: typing\.Any = None",
        "progress: collections.abc.Callable[[int, int], object] | None = None",
    ),
    (r"collections\.abc\.Callable\)", "collections.abc.Callable[[int], object])"),
    (rf"\bD: typing\.Any = None(?=.*-> tuple\[{re.escape(COUNTS)})", f"D: {COUNTS} | None = None"),
    (rf"\bx: typing\.Any = None(?=.*-> {re.escape(BYTES)})", f"x: {BYTES} | None = None"),
    (r"\b(D|R|x): typing\.Any = None", rf"\1: {FLOATS} | None = None"),
    (r"\b(I|labels): typing\.Any = None", rf"\1: {IDS} | None = None"),
    (r"dtype: typing\.Any = 'float32'", "dtype: numpy.typing.DTypeLike = 'float32'"),
    (
        r"(def (?:apply\w*|reverse_\w+)\(.*\)) -> typing\.Any:",
        rf"\1 -> {FLOATS}:",
    ),
    (r"(def knn\(.*\)) -> tuple:", rf"\1 -> tuple[{FLOATS}, {IDS}]:"),
    (
        r"(def sdc_queries\(.*\)) -> tuple:",
        rf"\1 -> tuple[{BYTES}, int, {FLOATS}, {IDS}]:",
    ),
    (r"(def read_metadata\(.*\)) -> dict:", r"\1 -> dict[str, str]:"),
    (
        r"metadata: typing\.Any = None",
        "metadata: collections.abc.Mapping[str, str] | None = None",
    ),
    (r"numpy\.ndarray\b", "numpy.typing.NDArray[typing.Any]"),
    (r"(rows_ops|kinds|conversions): tuple =", r"\1: tuple[str, ...] ="),
    (r"\*\*kwargs\)", "**kwargs: typing.Any)"),
    (r"(def describe\(.*\)) -> dict:", r"\1 -> dict[str, typing.Any]:"),
    (r"__all__: list\[str\] = .*\n", ""),
    (r"from shortlist import \w+Error\n", ""),
    (r"\bk: int(?! =)", "k: typing.SupportsIndex"),  # numpy integers too
    # Index.tune is written in Python.
    (r"@staticmethod\n(\s+)def tune\(index: typing.Any, ", r"def tune(self, "),
    (r"typing\.Callable\[\[Point\]", "collections.abc.Callable[[shortlist.Point]"),
    (r"-> Tuning:", "-> shortlist.Tuning:"),
    (r"\nimport typing\n", "\nimport typing\n\nimport shortlist\n"),
]


def exceptions() -> str:
    """Their bases are what callers catch, so they are spelt out; a base comes before its heirs."""
    found = [x for x in vars(_core).values() if isinstance(x, type) and issubclass(x, Exception)]
    found.sort(key=lambda x: (len(x.__mro__), x.__name__))
    return "".join(
        f"class {x.__name__}({', '.join(b.__name__ for b in x.__bases__)}):\n    ...\n"
        for x in found
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "shortlist._core", "-o", folder]
        subprocess.run(command, check=True)
        made = {p.name: p.read_text() for p in Path(folder).glob("shortlist/_core/*.pyi")}
    unused = {pattern for pattern, _ in REPLACEMENTS}
    for name, text in made.items():
        for pattern, replacement in REPLACEMENTS:
            text, times = re.subn(pattern, replacement, text)
            if times:
                unused.discard(pattern)
        made[name] = text
    if unused:
        sys.exit(f"nothing in the stubs matches {sorted(unused)}; drop or mend it in {__file__}")
    head, _, body = made["__init__.pyi"].partition("\nclass ")
    made["__init__.pyi"] = f"{head}\n{exceptions()}class {body}"
    TARGET.mkdir(exist_ok=True)
    for name, text in made.items():
        (TARGET / name).write_text(text)
    for command in (["check", "--fix"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, str(TARGET)], check=True)


if __name__ == "__main__":
    main()
