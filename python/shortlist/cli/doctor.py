"""shortlist doctor: what this machine and this build offer."""

from __future__ import annotations

import shortlist

from .console import Json, say_json


def doctor(as_json: Json = False) -> None:
    """Show what this machine and this build offer, and what to change for speed."""
    report = shortlist.doctor()
    if as_json:
        say_json(report.to_dict())
    else:
        print(report)
