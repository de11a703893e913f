"""Codes of several models in one index."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import shortlist
from shortlist.binary import encode, factors, odd_integers, read_query, upgrade
from test_sdc import exported

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
OLD, NEW, M, BITS = 10, 14, 12, 2  # dimensions of both models, and of the old one's codes


class Models:
    """Two encoders, and vectors of both."""

    def __init__(self, rng: np.random.Generator, old_rows: int = 300, new_rows: int = 200) -> None:
        self.old = exported(rng, OLD, M, BITS, 0, 2)
        self.new = self.compatible(rng)
        self.old_x = rng.normal(size=(old_rows, OLD)).astype(np.float32)
        self.new_x = rng.normal(size=(new_rows, NEW)).astype(np.float32)
        self.q = rng.normal(size=(20, NEW)).astype(np.float32)

    def compatible(self, rng: np.random.Generator, m: int = M) -> dict[str, np.ndarray]:
        return exported(rng, NEW, 18, 3, 4, 1) | {
            "old_query": rng.normal(size=(m, NEW)).astype(np.float32) / 4,
            "old_shift": rng.normal(size=m).astype(np.float32) / 4,
            "old_gain": np.array([1.25, 0.5], np.float32),
        }

    def gallery(self) -> shortlist.IndexSDC:
        index = shortlist.IndexSDC(OLD, metric=IP, encoder=self.old)
        index.add(self.old_x)
        return index

    def mixed(self) -> shortlist.IndexSDCVersions:
        index = upgrade(self.gallery(), self.new)
        index.add(self.new_x)
        return index

    def scores(self) -> np.ndarray:
        """By the definition in shortlist.binary.reference, old rows first."""
        parts = []
        for model, x, old in ((self.old, self.old_x, True), (self.new, self.new_x, False)):
            codes = encode(model, x)
            scale, addend = factors(model, x, codes)
            read = read_query(self.new, self.q, old=old)
            scores = (read @ odd_integers(model, codes).T) * scale + addend
            scores += (self.q @ self.new["mean"])[:, None]
            gain, more = self.new["old_gain"] if old else (1, 0)
            parts.append(gain * scores + more)
        return np.hstack(parts)


@pytest.fixture
def models(rng) -> Models:
    return Models(rng)


def test_scores_are_those_of_the_definition(models):
    index, wanted = models.mixed(), models.scores()
    assert type(index) is shortlist.IndexSDCVersions
    assert (index.d, index.ntotal) == (NEW, 500)
    np.testing.assert_array_equal(index.versions(), np.repeat([0, 1], [300, 200]))
    scores, found = index.search_exact(models.q, 500)
    np.testing.assert_allclose(
        scores, np.take_along_axis(wanted, found, 1), rtol=2e-3, atol=2e-3 * abs(wanted).max()
    )
    assert (np.diff(scores, axis=1) <= 0).all()
    near = index.search(models.q, 10)[1]
    assert np.mean([len(set(a) & set(b)) for a, b in zip(near, found[:, :10], strict=True)]) > 9.5
    one = np.vstack([index.search(models.q[i : i + 1], 10)[1] for i in range(20)])
    np.testing.assert_array_equal(one, near)


def test_filters_and_ranges_look_at_every_version(models):
    index = models.mixed()
    scores, found = index.search_exact(models.q, 500)
    chosen = np.r_[250:330, 420:425]
    params = shortlist.SearchParameters(sel=shortlist.IDSelectorBatch(chosen))
    filtered = index.search(models.q, 10, params=params)[1]
    for got, order in zip(filtered, found, strict=True):
        wanted = order[np.isin(order, chosen)][:10]
        assert len(set(got) & set(wanted)) >= 9
    radius = float(np.median(scores))
    limits, _, labels = index.range_search(models.q, radius)
    for i in range(20):
        sure = found[i][scores[i] > radius + 1e-3]
        got = labels[limits[i] : limits[i + 1]]
        assert len(set(sure) - set(got)) <= 0.03 * len(sure)
        assert (np.diff(got) > 0).all()


def test_rows_come_and_go(models, rng):
    index = models.mixed()
    gone = np.r_[0:50, 290:310]
    before = index.reconstruct_n()
    assert index.remove_ids(gone) == 70
    np.testing.assert_array_equal(index.versions(), np.repeat([0, 1], [240, 190]))
    np.testing.assert_array_equal(index.reconstruct_n(), np.delete(before, gone, 0))
    index.add(models.new_x[:7])
    np.testing.assert_array_equal(index.reconstruct_n(430, 7), before[300:307])
    index.reset()
    assert index.ntotal == 0
    assert len(index.versions()) == 0
    assert (index.search(models.q, 3)[1] == -1).all()


def test_old_codes_decode_to_the_new_model(models):
    index = models.mixed()
    codes = encode(models.old, models.old_x[:5])
    scale, _ = factors(models.old, models.old_x[:5], codes)
    wanted = scale[:, None] * odd_integers(models.old, codes) @ models.new["old_query"]
    np.testing.assert_allclose(
        index.reconstruct_n(0, 5), wanted + models.new["mean"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("wrapper", [shortlist.IndexIDMap, shortlist.IndexIDMap2])
def test_ids_are_kept(models, wrapper):
    named = wrapper(shortlist.IndexSDC(OLD, metric=IP, encoder=models.old))
    named.add_with_ids(models.old_x, np.arange(300) * 10)
    index = upgrade(named, models.new)
    assert type(index) is wrapper
    index.add_with_ids(models.new_x, np.arange(200) + 10_000)
    plain = models.mixed()
    ids = np.r_[np.arange(300) * 10, np.arange(200) + 10_000]
    np.testing.assert_array_equal(index.search(models.q, 10)[1], ids[plain.search(models.q, 10)[1]])
    assert index.remove_ids([0, 10_000]) == 2


def test_a_second_upgrade(models, rng):
    index = models.mixed()
    middle, newest = models.compatible(rng, 18), models.compatible(rng)
    older = newest | {name: middle[name] for name in ("mean", "query_mean")}
    older["mean"], older["query_mean"] = middle["mean"], middle["query_mean"]
    third = upgrade(index, middle, [older])
    third.add(models.new_x[:30])
    np.testing.assert_array_equal(third.versions(), np.repeat([0, 1, 2], [300, 200, 30]))
    assert len(third.older) == len(third.readings) == 2
    assert set(third.search(models.q, 530)[1][0]) == set(range(530))
    with pytest.raises(ValueError, match="older has 0 encoders; expected 1"):
        upgrade(models.mixed(), middle)
    with pytest.raises(ValueError, match=r"readings\[0\] has another mean"):
        upgrade(models.mixed(), middle, [newest])


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_file_gives_back_the_same_index(models, tmp_path: Path, symmetric):
    index = models.mixed()
    index.newest.symmetric = symmetric
    index.save(tmp_path / "saved")
    copies = shortlist.open(tmp_path / "saved"), pickle.loads(pickle.dumps(index))
    for again in copies:
        assert type(again) is shortlist.IndexSDCVersions
        np.testing.assert_array_equal(again.versions(), index.versions())
        for a, b in zip(again.search(models.q, 9), index.search(models.q, 9), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(shortlist.UnsupportedError, match="save"):
        shortlist.write_index(index, str(tmp_path / "faiss"))


def test_what_does_not_fit_is_refused(models, rng):
    with pytest.raises(TypeError, match="cannot upgrade a IndexFlat"):
        upgrade(shortlist.IndexFlat(OLD), models.new)
    with pytest.raises(ValueError, match="knows no older one"):
        upgrade(models.gallery(), models.old)
    with pytest.raises(shortlist.ArgumentError, match="codes of 12 dimensions"):
        upgrade(models.gallery(), models.compatible(rng, M + 1))
    far = shortlist.IndexSDC(OLD, metric=L2, encoder=models.old)
    with pytest.raises(shortlist.UnsupportedError, match="METRIC_INNER_PRODUCT"):
        upgrade(far, models.new)
    for bad, message in (
        ({"old_shift": np.full(M, np.nan, np.float32)}, "NaN"),
        ({"old_gain": np.ones(3, np.float32)}, "old_gain has 3 values"),
        ({"old_gain": np.zeros(2, np.float32)}, "old_gain is 0, 0; it should be a number above 0"),
    ):
        with pytest.raises(shortlist.ArgumentError, match=message):
            upgrade(models.gallery(), models.new | bad)
    newest = shortlist.IndexSDC(NEW, metric=IP, encoder=models.new)
    gallery = models.gallery()
    with pytest.raises(shortlist.ArgumentError, match="given twice"):
        shortlist.IndexSDCVersions(newest, [gallery, gallery], [models.new, models.new])
    with pytest.raises(shortlist.ArgumentError, match="1 older indexes and 0 readings"):
        shortlist.IndexSDCVersions(newest, [gallery], [])
    with pytest.raises(shortlist.NotTrainedError):
        shortlist.IndexSDCVersions(shortlist.IndexSDC(NEW, metric=IP), [], [])
    index = models.mixed()
    with pytest.raises(shortlist.DimensionError):
        index.search(models.old_x, 3)
    with pytest.raises(shortlist.IdError):
        index.reconstruct(500)
    with pytest.raises(shortlist.DimensionError, match="id_map"):
        shortlist.IndexIDMap(models.gallery(), id_map=[1, 2])
