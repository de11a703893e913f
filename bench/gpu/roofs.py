"""What a GPU can do at most: what it copies is measured, what it computes is by its datasheet."""

from __future__ import annotations

import time
from typing import Any

from shortlist.gpu.resources import Work

# Operations a second, dense; lookups in shared memory where 32 lanes meet at random. By the first
# name that the device's has in it.
PEAKS: dict[str, dict[str, float]] = {
    "H200": {"bf16": 990e12, "tf32": 495e12, "int8": 1979e12, "f32": 67e12, "lookups": 2.4e12},
    "H100": {"bf16": 990e12, "tf32": 495e12, "int8": 1979e12, "f32": 67e12, "lookups": 2.4e12},
    "A100": {"bf16": 312e12, "tf32": 156e12, "int8": 624e12, "f32": 19.5e12},
}


def peaks(device: str) -> dict[str, float]:
    return next((known for name, known in PEAKS.items() if name in device), {})


def bandwidth(engine: Any, bytes: int, seconds: float = 2.0) -> float:
    """Bytes a second that a copy reads and writes, the median of several."""
    rates: list[float] = []
    work = Work.alone(engine)
    a, b = work.memory(bytes), work.memory(bytes)
    end = time.perf_counter() + seconds
    while len(rates) < 3 or (time.perf_counter() < end and len(rates) < 50):
        started = time.perf_counter()
        work.copy(b.place, a.place, bytes)
        work.copy(a.place, b.place, bytes)
        work.synchronize()
        rates.append(4 * bytes / (time.perf_counter() - started))
    return sorted(rates)[len(rates) // 2]
