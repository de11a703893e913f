"""The command line: `shortlist build | search | eval | tune | plot | info | verify | doctor |
demo`.

Needs the extra `cli`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 bad data or file, 2 usage, 130 Ctrl-C."""
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        print(
            f"shortlist: the command line needs {' and '.join(missing)}: "
            "pip install 'shortlist[cli]'",
            file=sys.stderr,
        )
        return 1
    from .app import run

    return run(list(sys.argv[1:] if arguments is None else arguments))
