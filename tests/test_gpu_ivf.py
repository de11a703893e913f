"""Inverted files on a GPU, against the CPU's with the same centroids and codebooks; on the host's
engine always, on a GPU with -m gpu."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from gpu_cases import Job, host
from shortlist._core import _gpu
from shortlist.gpu.lists import Lists


@pytest.fixture(params=["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def engine(request):
    if request.param == "cuda-host":
        return host(seed=1, lanes=64, chunks=3)
    return _gpu.Engine(request.getfixturevalue("cuda_plugin"), 0)


@pytest.mark.parametrize("width", [3, 16, 40])
def test_lists_grow(engine, width):
    rng = np.random.default_rng(width)
    lists, job = Lists(engine, 7, width), Job(engine)
    rows, labels = np.zeros((0, width), np.uint8), np.zeros(0, int)
    for n in (0, 50, 1, 200, 3, 500):
        more = rng.integers(0, 256, (n, width)).astype(np.uint8)
        where = rng.choice(7, n, p=[0, 0.5, 0.3, 0.1, 0.05, 0.05, 0])
        ids = 3 * np.arange(len(rows), len(rows) + n)
        lists.add(job.put(more).place, width, width, where, ids)
        rows, labels = np.concatenate([rows, more]), np.concatenate([labels, where])
        for number in range(7):
            np.testing.assert_array_equal(lists.codes_of(number), rows[labels == number])
            np.testing.assert_array_equal(
                lists.ids_of(number), 3 * np.flatnonzero(labels == number)
            )
    assert len(lists) == len(rows)
    assert lists.room > len(rows) * 1.2
    lists.reserve(lists.sizes)
    assert lists.room == (-(-np.bincount(labels, minlength=7) // 32) * 32).sum()
    np.testing.assert_array_equal(lists.codes_of(1), rows[labels == 1])
    lists.clear()
    assert len(lists) == lists.room == 0
    assert lists.codes_of(1).shape == (0, width)


def test_lists_are_of_one_numbering(engine):
    with pytest.raises(shortlist.ArgumentError, match="2\\^32"):
        Lists(engine, 2, 16).reserve(np.full(2, 1 << 31))
