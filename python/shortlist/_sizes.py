"""Sizes in bytes, as people write and read them."""

from __future__ import annotations

import math
import re

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def bytes_of(size: int | str) -> int:
    """2000000, "2MB", "2M" or "1.5 GiB" (all binary) as a number. Raises ValueError."""
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?) ?([kmgt]?)i?b?", size.strip().lower())
    if not match or not float(match[1]):
        raise ValueError(f"{size!r} is not a size; write for example 512M or 1.5G")
    return int(float(match[1]) * _UNITS[match[2]])


def readable(size: float) -> str:
    if size < 1024:
        return f"{size:.0f} bytes"
    power = min(4, int(math.log(size, 1024)))
    return f"{size / 1024**power:,.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"
