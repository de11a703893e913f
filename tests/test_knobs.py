"""The knobs of an index, and settings that hold for a while."""

from __future__ import annotations

import pytest
import shortlist
from shortlist._knobs import graph_of, knobs, setting


class Planned(Exception):
    pass


def test_knobs_are_found_inside_wrappers():
    graph = shortlist.IndexHNSWFlat(4, 8)
    refined = shortlist.IndexRefineFlat(graph)
    for index, names in (
        (graph, ["efSearch"]),
        (shortlist.IndexIDMap(graph), ["efSearch"]),
        (refined, ["efSearch", "k_factor"]),
        (shortlist.IndexIDMap2(refined), ["efSearch", "k_factor"]),
        (shortlist.IndexRefineFlat(shortlist.IndexFlat(4)), ["k_factor"]),
        (shortlist.IndexFlat(4), []),
        (shortlist.IndexIDMap2(shortlist.IndexFlat(4)), []),
        (object(), []),
    ):
        found = knobs(index)
        assert [knob.name for knob in found] == names
        assert [knob.main for knob in found] == [name == "efSearch" for name in names]
        if "efSearch" in names:
            found[0].set(91)
            assert graph.hnsw.efSearch == found[0].value == 91
            graph.hnsw.efSearch = 16


def test_the_outer_of_two_factors_is_a_knob():
    index = shortlist.index_factory(8, "IVF9,PQ2+4")
    assert [knob.name for knob in knobs(index)] == ["nprobe", "k_factor"]
    outer = shortlist.IndexRefineFlat(index)
    with setting(outer, {"k_factor": 7, "nprobe": 3}):
        assert (outer.k_factor, index.k_factor, index.nprobe) == (7, 4, 3)


def test_lists_have_how_many_are_looked_at():
    for description in ("IVF9,Flat", "IVF9,RaBitQ", "IVF9,RaBitQfs4", "IDMap2,IVF9,PQ2x4fs"):
        (knob,) = knobs(shortlist.index_factory(4, description))
        assert (knob.name, knob.main, knob.value) == ("nprobe", True, 1)
    index = shortlist.index_binary_factory(64, "IDMap2,BIVF9")
    with setting(index, {"nprobe": 5}):
        assert index.index.nprobe == 5
    assert index.index.nprobe == 1


def test_graphs_are_found_inside_wrappers():
    inner = shortlist.IndexHNSWFlat(4, 8)
    for outer in (inner, shortlist.IndexIDMap(inner), shortlist.IndexRefineFlat(inner)):
        graph_of(outer).efSearch += 1
        assert graph_of(outer).efSearch == inner.hnsw.efSearch
    assert inner.hnsw.efSearch == shortlist.IndexHNSWFlat(4, 8).hnsw.efSearch + 3
    assert graph_of(shortlist.IndexFlat(4)) is None


def test_faiss_indexes_have_the_same_knobs():
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexHNSWFlat(4, 8)
    assert [knob.name for knob in knobs(index)] == ["efSearch"]
    with setting(index, {"efSearch": 91}):
        assert index.hnsw.efSearch == 91
    assert index.hnsw.efSearch == 16
    refined = faiss.IndexRefineFlat(faiss.IndexFlat(4))
    with setting(refined, {"k_factor": 4}):
        assert refined.k_factor == 4
    assert refined.k_factor == 1


def test_a_setting_holds_inside_its_block():
    index = shortlist.IndexRefineFlat(shortlist.IndexHNSWFlat(4, 8))
    graph = index.base_index.hnsw
    graph.efSearch, index.k_factor = 33, 1.5

    def state():
        return graph.efSearch, index.k_factor

    with setting(index, {"efSearch": 77.0, "k_factor": 4}):
        assert state() == (77, 4)
        with setting(index, {"efSearch": 5}), setting(index, {}):
            assert state() == (5, 4)
        assert state() == (77, 4)
    assert state() == (33, 1.5)
    with pytest.raises(Planned), setting(index, {"efSearch": 77, "k_factor": 4}):
        raise Planned
    assert state() == (33, 1.5)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"efSearch": 9, "k_factor": 0.5}, r"k_factor = 0\.5; it must be between 1 and 1000"),
        ({"k_factor": 3, "efSearch": 9.5}, r"efSearch is 9\.5; expected a whole number"),
        (
            {"efSearch": 9, "nprobe": 4},
            "IndexRefineFlat has no nprobe to set; it has efSearch, k_f",
        ),
    ],
)
def test_what_cannot_be_set_changes_nothing(params, words):
    index = shortlist.IndexRefineFlat(shortlist.IndexHNSWFlat(4, 8))
    with pytest.raises(ValueError, match=words), setting(index, params):
        pytest.fail("the block ran")
    assert (index.base_index.hnsw.efSearch, index.k_factor) == (16, 1)


def test_exhaustive_indexes_have_nothing_to_set():
    flat = shortlist.IndexFlat(4)
    with setting(flat, {}):
        pass
    words = "IndexFlat has no efSearch to set; it searches exhaustively"
    with pytest.raises(ValueError, match=words), setting(flat, {"efSearch": 9}):
        pytest.fail("the block ran")
