"""IndexIVFPQR beside numpy and beside faiss: candidates by first codes, ranked by both codes."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass

import numpy as np
import pytest
import shortlist

D, NLIST = 24, 10
L2 = shortlist.METRIC_L2


def clustered(rng: np.random.Generator, n: int) -> np.ndarray:
    centres = np.random.default_rng(3).normal(size=(30, D)) * 2
    return (centres[rng.integers(30, size=n)] + rng.normal(size=(n, D))).astype(np.float32)


def trained(x: np.ndarray, nlist: int = NLIST) -> shortlist.IndexIVFPQR:
    index = shortlist.IndexIVFPQR(shortlist.IndexFlatL2(D), D, nlist, 6, 5, 4, 6)
    index.train(x)
    return index


def filled(x: np.ndarray, ids: np.ndarray | None = None) -> shortlist.IndexIVFPQR:
    index = trained(x)
    index.add_with_ids(x, np.arange(len(x)) if ids is None else ids)
    index.nprobe = NLIST
    return index


@dataclass
class Decoded:
    """What lists hold, list after list: ids, which list, and vectors by one code and by both."""

    ids: np.ndarray
    lists: np.ndarray
    first: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, index: shortlist.IndexIVFPQR) -> Decoded:
        size = index.pq.code_size
        sizes = [index.get_list_size(l) for l in range(index.nlist)]
        ids = np.concatenate([index.invlists.get_ids(l) for l in range(index.nlist)])
        codes = np.concatenate([index.invlists.get_codes(l) for l in range(index.nlist)])
        lists = np.repeat(np.arange(index.nlist), sizes)
        first = index.quantizer.reconstruct_n()[lists] + index.pq.decode(codes[:, :size].copy())
        return cls(ids, lists, first, first + index.refine_pq.decode(codes[:, size:].copy()))

    def search(self, q, k, k_factor, among):
        """Distances and ids of one query, as the class says how."""
        rows = np.flatnonzero(among)
        rough = ((self.first[rows].astype(np.float64) - q) ** 2).sum(1)
        rows = rows[np.argsort(rough, kind="stable")[: int(k * k_factor)]]
        told = ((self.whole[rows].astype(np.float64) - q) ** 2).sum(1)
        order = np.argsort(told, kind="stable")[:k]
        return told[order], self.ids[rows[order]]


def assert_finds(found, wanted):
    for D_, I_, (d, ids) in zip(*found, wanted, strict=True):
        np.testing.assert_allclose(D_, d, rtol=1e-4, atol=1e-3)
        apart = np.flatnonzero(np.diff(d, prepend=-1, append=np.inf) > 1e-3)
        sure = np.intersect1d(apart, apart - 1)
        np.testing.assert_array_equal(I_[sure], ids[sure])


@pytest.mark.parametrize("k_factor", [1, 2.5, 4, 1000])
@pytest.mark.parametrize("nprobe", [3, NLIST])
def test_candidates_by_the_first_codes_are_ranked_by_both(rng, threads, k_factor, nprobe):
    x, q = clustered(rng, 1500), clustered(rng, 40)
    index = filled(x)
    index.k_factor, index.nprobe = k_factor, nprobe
    held = Decoded.of(index)
    _, probed = index.quantizer.search(q, nprobe)
    wanted = [held.search(q[i], 7, k_factor, np.isin(held.lists, probed[i])) for i in range(len(q))]
    assert_finds(index.search(q, 7), wanted)
    assert_finds(index.search_preassigned(q, 7, probed), wanted)
    for i in range(0, 40, 9):
        for alone, together in zip(index.search(q[i : i + 1], 7), index.search(q, 7), strict=True):
            np.testing.assert_array_equal(alone[0], together[i])


def test_filters_choose_before_candidates_are_counted(rng):
    x, q = clustered(rng, 1200), clustered(rng, 20)
    index = filled(x)
    held = Decoded.of(index)
    params = shortlist.SearchParametersIVF(
        sel=shortlist.IDSelectorBatch(np.arange(0, 1200, 7)), nprobe=NLIST
    )
    wanted = [held.search(row, 9, 4, held.ids % 7 == 0) for row in q]
    assert_finds(index.search(q, 9, params=params), wanted)


def test_ranges_and_exact_searches_tell_distances_to_what_is_reconstructed(rng, threads):
    x, q = clustered(rng, 1500), clustered(rng, 30)
    index = filled(x)
    rows = np.stack([index.reconstruct(i) for i in range(len(x))]).astype(np.float64)
    every = ((q[:, None].astype(np.float64) - rows) ** 2).sum(2)
    D_, I_ = index.search_exact(q, 9)
    np.testing.assert_allclose(D_, np.sort(every, 1)[:, :9], rtol=1e-4)
    np.testing.assert_allclose(D_, np.take_along_axis(every, I_, 1), rtol=1e-4)
    radius = float(np.quantile(every, 0.02))
    lims, D_, I_ = index.range_search(q, radius)
    for i, row in enumerate(every):
        found = I_[int(lims[i]) : int(lims[i + 1])]
        assert set(np.flatnonzero(row < radius * 0.9999)) <= set(found)
        np.testing.assert_allclose(D_[int(lims[i]) : int(lims[i + 1])], row[found], rtol=1e-4)
    _, lists = index.quantizer.search(q, NLIST)
    for a, b in zip(index.range_search_preassigned(q, radius, lists), (lims, D_, I_), strict=True):
        np.testing.assert_array_equal(a, b)


def test_second_codes_are_of_what_the_first_leave(rng):
    x, q = clustered(rng, 3000), clustered(rng, 60)
    index = filled(x)
    held = Decoded.of(index)
    truth = x[held.ids]
    left = truth - held.first
    errors = [((truth - told) ** 2).mean() for told in (held.first, held.whole)]
    assert errors[1] < 0.7 * errors[0]
    again = index.refine_pq.compute_codes(left)
    codes = np.concatenate([index.invlists.get_codes(l) for l in range(NLIST)])
    assert (again == codes[:, index.pq.code_size :]).all(1).mean() > 0.999
    every = ((q[:, None] - x) ** 2).sum(2)
    nearest = set(enumerate(every.argmin(1)))
    recall = []
    for k_factor in (1, 8):
        index.k_factor = k_factor
        recall.append(len(nearest & set(enumerate(index.search(q, 1)[1][:, 0]))))
    assert recall[1] > recall[0] + 5


def test_codes_outside_hold_both(rng):
    x = clustered(rng, 800)
    index = filled(x)
    assert index.code_size == index.pq.code_size + index.refine_pq.code_size == 4 + 3
    codes = index.sa_encode(x)
    assert codes.shape == (800, 1 + 7)
    np.testing.assert_array_equal(index.sa_decode(codes), index.reconstruct_n())


def test_ids_are_any_and_vectors_go(rng):
    x, q = clustered(rng, 1000), clustered(rng, 20)
    names = rng.choice(10**12, 1000, replace=False)
    index, plain = filled(x, names), filled(x)
    for (a, b), (c, d) in zip(
        zip(*index.search(q, 9), strict=True), zip(*plain.search(q, 9), strict=True), strict=True
    ):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, names[d])
    assert index.remove_ids(names[::3]) == 334
    held = Decoded.of(index)
    assert set(held.ids) == set(names) - set(names[::3])
    assert_finds(index.search(q, 9), [held.search(row, 9, 4, held.ids >= 0) for row in q])
    row = int(names[1])
    np.testing.assert_array_equal(index.reconstruct(row), plain.reconstruct(1))
    with pytest.raises(shortlist.IdError):
        index.reconstruct(int(names[0]))
    index.reset()
    assert index.ntotal == 0
    index.add(x)
    np.testing.assert_array_equal(index.search(q, 9)[1], plain.search(q, 9)[1])


def test_parts_are_merged_and_copied(rng):
    x, q = clustered(rng, 900), clustered(rng, 20)
    whole = filled(x)
    first, second = trained(x), trained(x)
    first.add(x[:400])
    second.add(x[400:])
    first.merge_from(second, 400)
    part = trained(x)
    whole.copy_subset_to(part, 0, 0, 900)
    again = pickle.loads(pickle.dumps(whole))
    for index in (first, part, again, shortlist.clone_index(whole)):
        assert (type(index), index.ntotal) == (shortlist.IndexIVFPQR, 900)
        index.nprobe = NLIST
        for a, b in zip(index.search(q, 9), whole.search(q, 9), strict=True):
            np.testing.assert_array_equal(a, b)
    assert again.k_factor == 4
    other = shortlist.IndexIVFPQR(whole.quantizer, D, NLIST, 6, 5, 4, 6)
    other.train(x[::-1])
    with pytest.raises(shortlist.ArgumentError, match="mean different things"):
        whole.merge_from(other)
    with pytest.raises(shortlist.ArgumentError, match="class"):
        whole.merge_from(shortlist.IndexIVFPQ(whole.quantizer, D, NLIST, 6, 5))


def test_vectors_in_two_lists_are_found_once(rng):
    x, q = clustered(rng, 1500), clustered(rng, 30)
    index = trained(x)
    index.soar_lambda = 1
    index.add(x)
    index.nprobe, index.k_factor = NLIST, 20
    _, I_ = index.search(q, 15)
    assert all(len(set(row)) == 15 for row in I_)
    assert index.ntotal == 1500


def test_the_same_input_makes_the_same_bytes(rng):
    x = clustered(rng, 1000)
    before = shortlist.omp_get_max_threads()
    made = []
    try:
        for count in (1, 3):
            shortlist.omp_set_num_threads(count)
            made.append(bytes(shortlist.serialize_index(filled(x))))
    finally:
        shortlist.omp_set_num_threads(before)
    assert made[0] == made[1]


def test_what_does_not_fit_is_refused(rng):
    flat = shortlist.IndexFlatL2(D)
    make = shortlist.IndexIVFPQR
    for parts, bits, more, why in [(7, 8, 4, "M = 7"), (6, 8, 5, "M = 5"), (6, 9, 4, "nbits = 9")]:
        with pytest.raises(shortlist.ArgumentError, match=why):
            make(flat, D, NLIST, parts, bits, more, 8)
    with pytest.raises(shortlist.ArgumentError, match="nbits = 0"):
        make(flat, D, NLIST, 6, 8, 4, 0)
    with pytest.raises(shortlist.DimensionError):
        make(shortlist.IndexFlatL2(D + 1), D, NLIST, 6, 8, 4, 8)
    with pytest.raises(TypeError):
        make(None, D, NLIST, 6, 8, 4, 8)
    with pytest.raises(shortlist.UnsupportedError, match="own_invlists"):
        make(flat, D, NLIST, 6, 8, 4, 8, False)
    index = make(flat, D, NLIST, 6, 4, 4, 6)
    for bad in (0, 0.99, 1000.5, np.nan, np.inf, -3):
        with pytest.raises(shortlist.ArgumentError, match="k_factor"):
            index.k_factor = bad
    with pytest.raises(shortlist.ArgumentError, match="have the choice"):
        index.by_residual = False
    with pytest.raises(shortlist.ArgumentError, match="6 bits need at least 64"):
        index.train(clustered(rng, 63))
    assert not index.is_trained
    with pytest.raises(shortlist.NotTrainedError):
        index.search(np.zeros((1, D), np.float32), 1)
    index.refine_pq.anisotropic_threshold = 0.2
    with pytest.raises(shortlist.UnsupportedError, match="anisotropic_threshold"):
        index.train(clustered(rng, 300))
    index.refine_pq.anisotropic_threshold = 0
    index.train(clustered(rng, 300))
    for odd in (np.nan, np.inf):
        d, ids = index.search(np.full((1, D), odd, np.float32), 3)
        assert (ids == -1).all()
        assert (d == np.finfo(np.float32).max).all()


class TestBesideFaiss:
    @pytest.fixture(autouse=True)
    def one_thread(self, faiss):
        """Training is small, and faiss's threads wait for each other where cores are few."""
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        yield
        faiss.omp_set_num_threads(before)

    @pytest.mark.parametrize("k_factor", [1, 2.75, 16])
    def test_both_answer_alike(self, faiss, rng, k_factor):
        x, q = clustered(rng, 2000), clustered(rng, 50)
        theirs = faiss.index_factory(D, "IVF10,PQ6+8")
        theirs.train(x)
        theirs.add(x)
        theirs.nprobe, theirs.k_factor = 4, k_factor
        ours = shortlist.deserialize_index(faiss.serialize_index(theirs))
        assert ours.k_factor == np.float32(k_factor)
        near, lists = theirs.quantizer.search(q, 4)
        for found, wanted in [
            (ours.search(q, 5), theirs.search(q, 5)),
            [index.search_preassigned(q, 5, lists, near) for index in (ours, theirs)],
        ]:
            np.testing.assert_allclose(found[0], wanted[0], rtol=1e-3)
            assert (found[1] == wanted[1]).mean() > 0.99
        for i in (0, 7, 1999):
            np.testing.assert_allclose(ours.reconstruct(i), theirs_row(theirs, i), atol=1e-4)

    def test_training_finds_codes_as_good(self, faiss, rng):
        x = clustered(rng, 4000)
        errors = []
        for module in (faiss, shortlist):
            index = module.index_factory(D, "IVF10,PQ4+6")
            index.train(x)
            index.add(x)
            if module is faiss:
                index.make_direct_map()
            rows = np.stack([index.reconstruct(i) for i in range(0, 4000, 9)])
            errors.append(((rows - x[::9]) ** 2).sum(1).mean())
        assert errors[1] < 1.05 * errors[0]

    def test_ids_of_ones_own_reach_faiss_in_a_map(self, faiss, rng):
        x, q = clustered(rng, 700), clustered(rng, 30)
        names = rng.choice(10**12, 700, replace=False)
        names[5] = names[6]  # twice
        index = filled(x, names)
        index.remove_ids(names[300:])
        theirs = faiss.deserialize_index(shortlist.serialize_index(index))
        assert type(theirs).__name__ == "IndexIDMap2"
        for a, b in zip(index.search(q, 5), theirs.search(q, 5), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4)

    def test_damaged_files_are_refused(self, faiss, rng):
        x = clustered(rng, 100)
        index = shortlist.IndexIVFPQR(shortlist.IndexFlatL2(D), D, 2, 2, 2, 2, 2)
        index.train(x)
        index.add(x)
        data = bytearray(shortlist.serialize_index(index))
        for value in (0.5, np.nan, 2000):
            bad = data.copy()
            bad[-4:] = np.float32(value).tobytes()
            with pytest.raises(shortlist.CorruptIndexError, match="k_factor"):
                shortlist.deserialize_index(bad)
        count = len(data) - 4 - 100 - 8  # of the second codes
        assert int.from_bytes(data[count : count + 8], "little") == 100
        bad = data.copy()
        bad[count : count + 8] = (99).to_bytes(8, "little")
        with pytest.raises(shortlist.CorruptIndexError, match="99 bytes of refining codes"):
            shortlist.deserialize_index(bad)
        bad = data.copy()
        at = bad.index((99).to_bytes(8, "little"))  # an id
        bad[at : at + 8] = (100).to_bytes(8, "little")
        with pytest.raises(shortlist.CorruptIndexError, match="no refining code of id 100"):
            shortlist.deserialize_index(bad)


def theirs_row(index, i):
    index.make_direct_map()
    return index.reconstruct(i)


def test_descriptions():
    index = shortlist.index_factory(D, "IVF16,PQ8+12")
    assert (type(index), index.nlist) == (shortlist.IndexIVFPQR, 16)
    assert [(pq.M, pq.nbits) for pq in (index.pq, index.refine_pq)] == [(8, 8), (12, 8)]
    assert isinstance(index, shortlist.IndexIVFPQ)
    assert "k_factor 4" in repr(index)
    assert shortlist.factory.parse("IVF16,PQ8+12").bytes_per_vector(D) == 8 + 12 + 8
    for metric, text, why in [
        (shortlist.METRIC_INNER_PRODUCT, "IVF16,PQ8+8", "METRIC_L2"),
        (L2, "IVF16,PQ7+8", "'PQ7' cannot cut"),
        (L2, "IVF16,PQ8+7", "'PQ7' cannot cut"),
        (L2, "IVF16,PQ0+8", "M = 0"),
        (L2, "PQ8+8", "need an IVF"),
        (L2, "HNSW16,PQ8+8", "does not fit"),
        (L2, "IVF16,PQ8+8,Flat", "does not fit"),
    ]:
        with pytest.raises(shortlist.FactoryError, match=re.escape(why)):
            shortlist.index_factory(D, text, metric)
