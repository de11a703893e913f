"""Random histories of an index, compared after each step with a dict of its vectors."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import shortlist
from conftest import Oracle
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

D = 3
BLOCKS = st.lists(st.tuples(*[st.integers(-6, 6)] * D), min_size=1, max_size=25)
PICKS = st.sets(st.integers(0, 200), max_size=30)


def graph(metric: int):
    """Its search is wide enough to be exact at these sizes."""
    index = shortlist.IndexHNSWFlat(D, 8, metric)
    index.hnsw.efSearch = 1000
    return index


def vectors(rows) -> np.ndarray:
    return np.array(rows, np.float32)


class History(RuleBasedStateMachine):
    """Subclasses say how the index is made and what it offers."""

    metric = shortlist.METRIC_L2
    renumbers = False  # Flat: removing moves the rows behind up
    own_ids = False  # add_with_ids
    issues_ids = False  # add

    def make(self):
        raise NotImplementedError

    def __init__(self):
        super().__init__()
        self.index = self.make()
        self.model: dict[int, np.ndarray] = {}
        self.next_id = 0

    @property
    def oracle(self) -> Oracle:
        return Oracle(self.metric)

    def chosen(self, picks) -> list[int]:
        ids = list(self.model)
        return sorted({ids[p % len(ids)] for p in picks}) if ids else []

    # Changes

    @precondition(lambda self: self.issues_ids)
    @rule(rows=BLOCKS)
    def add(self, rows):
        self.index.add(vectors(rows))
        for row in vectors(rows):
            self.model[self.next_id] = row
            self.next_id += 1

    @precondition(lambda self: self.own_ids)
    @rule(rows=BLOCKS, gap=st.integers(0, 5), step=st.integers(1, 3))
    def add_with_ids(self, rows, gap, step):
        ids = self.next_id + gap + step * np.arange(len(rows))
        self.index.add_with_ids(vectors(rows), ids)
        self.model.update(zip(ids.tolist(), vectors(rows), strict=True))
        self.next_id = int(ids[-1]) + 1

    @precondition(lambda self: self.own_ids and self.model)
    @rule(picks=PICKS, row=BLOCKS)
    def give_ids_again(self, picks, row):
        ids = self.chosen(picks)
        self.index.remove_ids(ids)
        rows = vectors(row)[np.arange(len(ids)) % len(row)]
        self.index.add_with_ids(rows, ids)
        self.model.update(zip(ids, rows, strict=True))

    @rule(picks=PICKS, junk=st.lists(st.integers(-3, 10**6), max_size=3), selector=st.booleans())
    def remove(self, picks, junk, selector):
        ids = self.chosen(picks)
        asked = [*ids, *(j for j in junk if j not in self.model)]
        sel = shortlist.IDSelectorBatch(asked) if selector else np.array(asked, np.int64)
        assert self.index.remove_ids(sel) == len(ids)
        for i in ids:
            del self.model[i]
        if self.renumbers:
            self.model = dict(enumerate(self.model.values()))
            self.next_id = len(self.model)

    @precondition(lambda self: hasattr(self.index, "update_vectors"))
    @rule(picks=PICKS, rows=BLOCKS)
    def update(self, picks, rows):
        ids = self.chosen(picks)
        fresh = vectors(rows)[np.arange(len(ids)) % len(rows)]
        self.index.update_vectors(ids, fresh)
        self.model.update(zip(ids, fresh, strict=True))

    @rule()
    def remove_everything(self):
        assert self.index.remove_ids(shortlist.IDSelectorAll()) == len(self.model)
        self.model = {}
        if self.renumbers:
            self.next_id = 0

    @rule()
    def reset(self):
        self.index.reset()
        self.model, self.next_id = {}, 0

    @precondition(lambda self: hasattr(shortlist, "open"))
    @rule()
    def save_and_open(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            self.index.save(path)
            again = shortlist.open(path)
        assert type(again) is type(self.index)
        self.index = again

    # Questions

    def check(self, found, queries, k, allowed):
        """Distances are the true ones; each id is allowed, its own vector's, and given once."""
        distances, labels = found
        names = np.array(allowed, np.int64)
        base = np.array([self.model[i] for i in allowed], np.float32).reshape(-1, D)
        wanted = self.oracle.search(queries, base, k, names)
        np.testing.assert_array_equal(distances, wanted[0])
        if self.renumbers:
            np.testing.assert_array_equal(labels, wanted[1])
        for row, query in zip(labels.tolist(), queries, strict=True):
            real = [i for i in row if i >= 0]
            assert set(real) <= set(allowed)
            assert len(set(real)) == len(real) == min(k, len(allowed))
            own = np.array([self.model[i] for i in real], np.float32).reshape(-1, D)
            np.testing.assert_array_equal(
                self.oracle.distances(query[None], own)[0],
                self.oracle.search(query[None], base, len(real))[0][0],
            )

    @rule(queries=BLOCKS, k=st.integers(1, 40))
    def search(self, queries, k):
        q = vectors(queries)
        self.check(self.index.search(q, k), q, k, list(self.model))
        self.check(self.index.search_exact(q, k), q, k, list(self.model))

    @rule(queries=BLOCKS, k=st.integers(1, 40), picks=PICKS, negate=st.booleans())
    def filtered_search(self, queries, k, picks, negate):
        ids, q = self.chosen(picks), vectors(queries)
        sel = shortlist.IDSelectorBatch(ids)
        if negate:
            sel = shortlist.IDSelectorNot(sel)
            ids = [i for i in self.model if i not in set(ids)]
        params = shortlist.SearchParameters(sel=sel)
        if isinstance(self.wide, shortlist.SearchParametersHNSW):
            params = shortlist.SearchParametersHNSW(sel=sel, efSearch=1000)
        self.check(self.index.search(q, k, params=params), q, k, sorted(ids))

    wide: object = None

    @rule(queries=BLOCKS, radius=st.integers(-40, 120))
    def range_search(self, queries, radius):
        q = vectors(queries)
        lims, distances, labels = self.index.range_search(q, radius)
        ids = list(self.model)
        base = np.array(list(self.model.values()), np.float32).reshape(-1, D)
        every = self.oracle.distances(q, base)
        for i in range(len(q)):
            at = slice(int(lims[i]), int(lims[i + 1]))
            inside = self.oracle.sign * every[i] < self.oracle.sign * radius
            wanted = {ids[j]: every[i, j] for j in np.flatnonzero(inside)}
            assert dict(zip(labels[at].tolist(), distances[at], strict=True)) == wanted

    @precondition(lambda self: self.model)
    @rule(picks=PICKS)
    def reconstruct(self, picks):
        for i in self.chosen(picks):
            np.testing.assert_array_equal(self.index.reconstruct(i), self.model[i])

    @rule(absent=st.integers(-5, 10**4))
    def reconstruct_absent(self, absent):
        if absent not in self.model:
            with pytest.raises(shortlist.IdError):
                self.index.reconstruct(absent)

    @invariant()
    def counts(self):
        assert self.index.ntotal == len(self.model)


class Flat(History):
    renumbers = issues_ids = True

    def make(self):
        return shortlist.IndexFlat(D, self.metric)


class FlatIP(Flat):
    metric = shortlist.METRIC_INNER_PRODUCT


class FlatInt8(Flat):
    def make(self):
        return shortlist.IndexFlat(D, self.metric, dtype="int8")


class HNSW(History):
    own_ids = issues_ids = True
    wide = shortlist.SearchParametersHNSW()

    def make(self):
        return graph(self.metric)


class HNSWIP(HNSW):
    metric = shortlist.METRIC_INNER_PRODUCT


class IDMap2Flat(History):
    own_ids = True

    def make(self):
        return shortlist.IndexIDMap2(shortlist.IndexFlat(D, self.metric))


class IDMap2HNSW(IDMap2Flat):
    wide = shortlist.SearchParametersHNSW()

    def make(self):
        return shortlist.IndexIDMap2(graph(self.metric))


class PreTransformFlat(Flat):
    """Behind a matrix that changes the order of the values, so that distances stay exact."""

    def make(self):
        turn = shortlist.LinearTransform(D, D)
        turn.A, turn.is_trained = np.eye(D)[::-1], True
        return shortlist.IndexPreTransform(turn, shortlist.IndexFlat(D, self.metric))


class PreTransformHNSW(HNSW):
    def make(self):
        turn = shortlist.LinearTransform(D, D)
        turn.A, turn.is_trained = np.eye(D)[::-1], True
        return shortlist.IndexPreTransform(turn, graph(self.metric))


def case(machine: type[History]):
    machine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
    return machine.TestCase


TestFlat = case(Flat)
TestFlatIP = case(FlatIP)
TestFlatInt8 = case(FlatInt8)
TestHNSW = case(HNSW)
TestHNSWIP = case(HNSWIP)
TestIDMap2Flat = case(IDMap2Flat)
TestIDMap2HNSW = case(IDMap2HNSW)
TestPreTransformFlat = case(PreTransformFlat)
TestPreTransformHNSW = case(PreTransformHNSW)
