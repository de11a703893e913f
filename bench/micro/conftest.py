"""Rates beside pytest-benchmark's times."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_lines: list[str] = []


@pytest.fixture
def measure(benchmark, request: pytest.FixtureRequest) -> Callable[..., None]:
    """Times `call`, which handles `units` things of `size` each, and reports the best round:
    nanoseconds per `unit`, and `size` per nanosecond under the name `rate`."""

    def run(call: Callable[[], object], units: int, unit: str, size: int, rate: str) -> None:
        benchmark.pedantic(call, rounds=30, warmup_rounds=3)
        ns = benchmark.stats.stats.min * 1e9 / units
        benchmark.extra_info.update({f"ns/{unit}": ns, rate: size / ns})
        _lines.append(f"{request.node.name:55} {ns:9.2f} ns/{unit} {size / ns:8.1f} {rate}")

    return run


def pytest_terminal_summary(terminalreporter) -> None:
    if _lines:
        terminalreporter.section("best rounds")
        for line in _lines:
            terminalreporter.write_line(line)
