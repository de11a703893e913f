"""What tune chooses by: the search for the least setting, and the bounds of a recall."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shortlist import _tune
from shortlist._evaluate import Point
from shortlist._knobs import Knob
from shortlist._tune import _fastest, recall_bounds

K = 10


def number(name, values, *, main):
    return Knob(name, SimpleNamespace(**{name: 1}), values, main)


@given(need=st.integers(1, 60_000), k=st.integers(1, 300), most=st.integers(1, 50_000))
@example(need=40_000, k=10, most=50_000)
@example(need=3000, k=10, most=2000)
@example(need=5, k=10, most=3)
def test_the_least_that_is_enough_is_closed_in_on(need, k, most):
    asked = []

    def measure(params):
        (ef,) = params.values()
        asked.append(ef)
        return Point(params, min(1.0, ef / need), 1 / ef), min(0.9, 0.9 * ef / need)

    first, last = max(k, 8), max(k, 8, min(most, _tune._MOST))
    best, reached = _fastest([number("ef", (), main=True)], k, most, 0.9, measure)
    chosen = best.params["ef"]
    assert reached == (need <= last)
    assert all(first <= ef <= last for ef in asked)
    assert len(set(asked)) == len(asked) <= 24
    if reached:
        assert max(need, first) <= chosen <= max(first, 1.05 * need)
    else:
        assert chosen == last


@given(needs=st.lists(st.integers(1, 3000), min_size=4, max_size=4), slow=st.floats(0.01, 100))
def test_the_fastest_of_the_other_knobs_wins(needs, slow):
    factors = (1, 2, 4, 8)
    need = dict(zip(factors, needs, strict=True))

    def qps(params):
        return 1 / (params["ef"] + slow * params["factor"])

    def measure(params):
        enough = params["ef"] >= need[params["factor"]]
        return Point(params, float(enough), qps(params)), float(enough)

    there = [number("ef", (), main=True), number("factor", factors, main=False)]
    best, reached = _fastest(there, 10, 2000, 0.9, measure)
    reachable = [f for f in factors if need[f] <= 2000]
    assert reached == bool(reachable)
    if reached:
        least = {f: qps({"ef": max(10, need[f]), "factor": f}) for f in reachable}
        assert best.params["ef"] >= need[best.params["factor"]]
        assert best.qps >= max(least.values()) / 1.06


# The bounds


def test_bounds_of_known_samples():
    """0 and 20 of 20 (Newcombe 1998, method 3), and the two roots that define Wilson's interval."""
    for shares, low, high in ((np.zeros(20), 0.0, 0.1611), (np.ones(20), 0.8389, 1.0)):
        assert recall_bounds(shares, 0.95, 1) == pytest.approx((low, high), abs=5e-5)
    z = 2.5758293035489004
    for ones in (1, 7, 90, 99):
        shares = np.r_[np.ones(ones), np.zeros(100 - ones)]
        p, n = ones / 100, 99  # of 0 and 1 alone, the estimated variance is that of n - 1 trials
        roots = np.sort(np.roots([1 + z**2 / n, -2 * p - z**2 / n, p**2]))
        assert recall_bounds(shares, 0.99, 1) == pytest.approx(tuple(roots), abs=1e-9)


def test_bounds_narrow_as_shares_agree():
    widths = []
    for spread in (0.5, 0.2, 0.05, 0.0):
        shares = np.tile([0.5 - spread, 0.5 + spread], 100)
        low, high = recall_bounds(shares, 0.99, 20)
        assert low < 0.5 < high
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[3] == pytest.approx(widths[0] / 20**0.5, rel=0.05)  # twenty times the trials
    low, high = recall_bounds(np.array([0.7]), 0.9, K)
    assert 0 < low < 0.7 < high < 1
    assert recall_bounds(np.full(50, 0.3), 0.0, K) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_bounds_hold_the_mean_whatever_rounding_says(value):
    for n in range(1, 200):
        low, high = recall_bounds(np.full(n, value), 0.99, K)
        assert 0 <= low <= np.full(n, value).mean() <= high <= 1


@pytest.mark.parametrize("k", [1, 2, 10, 100])
def test_each_miss_lowers_the_bounds(k):
    shares = np.ones(50)
    before = recall_bounds(shares, 0.9, k)
    assert before[1] == 1
    for row in range(50):
        shares[row] -= 1 / k
        bounds = recall_bounds(shares, 0.9, k)
        assert bounds[0] < before[0]
        assert bounds[1] <= before[1]
        before = bounds
        if k > 1:
            break  # every query missing one is a sample without variance again


POPULATIONS = {
    "even": lambda rng, n: rng.binomial(K, 0.95, n) / K,
    "nearly all": lambda rng, n: rng.binomial(K, 0.995, n) / K,
    "some are hard": lambda rng, n: rng.binomial(K, rng.beta(4, 0.4, n)) / K,
    "all or nothing": lambda rng, n: (rng.random(n) < 0.97).astype(float),
}


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_bounds_hold_as_often_as_they_say(rng, population, confidence):
    everyone = POPULATIONS[population](rng, 200_000)
    inside = above = 0
    for _ in range(1000):
        shares = everyone[rng.integers(len(everyone), size=400)]
        low, high = recall_bounds(shares, confidence, K)
        inside += low <= everyone.mean() <= high
        above += recall_bounds(shares, 2 * confidence - 1, K)[0] <= everyone.mean()
    # Four standard deviations of such a count.
    slack = 4 * (confidence * (1 - confidence) / 1000) ** 0.5
    assert confidence - slack < inside / 1000 <= 1
    assert confidence - slack < above / 1000 <= 1
    if confidence < 0.95:
        assert inside < 1000  # bounds that always hold say nothing
