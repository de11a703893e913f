"""What a Reranker can read documents from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip("torch")

import shortlist
import torch
from hypothesis import given
from hypothesis import strategies as st
from rerank_cases import OnlyDLPack
from shortlist.rerank import Candidates, Dot, Reranker, Store, Tokens
from shortlist.rerank.store import as_store, token_counts

IDS = torch.tensor([7, 0, 7, 3])


@pytest.fixture
def rows(rng):
    return rng.normal(size=(9, 4)).astype(np.float32)


def memmap(rows, folder):
    rows.tofile(folder / "rows.f32")
    return np.memmap(folder / "rows.f32", np.float32, "r", shape=rows.shape)


class OnlyArray:
    """As a data frame: numpy can read it, but its own rows are not for indexing."""

    def __init__(self, a):
        self._a = a

    def __array__(self, dtype=None, copy=None):
        return self._a


VECTORS = {
    "numpy": lambda rows, _: rows,
    "memmap": memmap,
    "float16": lambda rows, _: rows.astype(np.float16),
    "float64": lambda rows, _: rows.astype(np.float64),
    "uint8": lambda rows, _: (rows * 40 + 128).astype(np.uint8),
    "Fortran": lambda rows, _: np.asfortranarray(rows),
    "tensor": lambda rows, _: torch.tensor(rows),
    "half tensor": lambda rows, _: torch.tensor(rows).half(),
    "DLPack": lambda rows, _: OnlyDLPack(rows),
    "__array__": lambda rows, _: OnlyArray(rows),
}


@pytest.mark.parametrize("form", VECTORS)
def test_vectors_by_row(form, rows, tmp_path):
    docs = VECTORS[form](rows, tmp_path)
    wanted = docs._a if hasattr(docs, "_a") else np.asarray(docs)
    store = as_store(docs)
    got = store.gather(IDS)
    np.testing.assert_array_equal(got, wanted[IDS.numpy()])
    assert got.numpy().dtype == wanted.dtype
    assert store.lengths(IDS).tolist() == [1, 1, 1, 1]
    got += 1  # the caller's own
    np.testing.assert_array_equal(store.gather(IDS), wanted[IDS.numpy()])
    assert store.gather(IDS[:0]).shape == (0, 4)


@pytest.mark.parametrize("kind", ["HNSW", "IDMap2,HNSW", "IDMap2,Flat"])
def test_vectors_of_an_index_by_its_ids(kind, rows):
    ids = np.arange(9) if kind == "HNSW" else 10**12 - np.arange(9) * 7
    index = shortlist.IndexFlatL2(4) if "Flat" in kind else shortlist.IndexHNSWFlat(4, 8)
    if kind == "HNSW":
        index.add(rows)
    else:
        index = shortlist.IndexIDMap2(index)
        index.add_with_ids(rows, ids)
    store = as_store(index)
    wanted = torch.tensor(ids)[IDS]
    np.testing.assert_array_equal(store.gather(wanted), rows[IDS.numpy()])
    assert store.lengths(wanted).tolist() == [1, 1, 1, 1]
    with pytest.raises(KeyError, match="id 4000000 is not in"):
        store.gather(torch.tensor([int(ids[0]), 4000000]))


def test_vectors_of_a_faiss_index(rows):
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(4))
    index.add_with_ids(rows, np.arange(9) + 10**12)
    np.testing.assert_array_equal(as_store(index).gather(IDS + 10**12), rows[IDS.numpy()])


def test_tokens_by_number(rng):
    texts = [rng.normal(size=(t, 4)).astype(np.float32) for t in (2, 3, 0, 1, 2, 2, 2, 5)]
    store = as_store(Tokens.from_list(texts))
    got = store.gather(IDS)
    for one, i in zip(got, IDS.tolist(), strict=True):
        np.testing.assert_array_equal(one, texts[i])
    assert store.lengths(IDS).tolist() == [5, 2, 5, 1]


TEXTS = ["ash", "birch", "", "cedar", "elm", "fir", "hazel", "larch and oak"]


class Lazy(Mapping):
    """Makes its texts when asked, and says no more than it must."""

    def __getitem__(self, key):
        if key not in {i * 10**15 for i in range(8)}:
            raise KeyError
        return TEXTS[key // 10**15]

    def __iter__(self):
        raise AssertionError("may be endless")

    def __len__(self):
        raise AssertionError("may be endless")


@pytest.mark.parametrize("form", ["list", "tuple", "dict", "lazy"])
def test_texts(form):
    docs = {
        "list": TEXTS,
        "tuple": tuple(TEXTS),
        "dict": {i * 10**15: text for i, text in enumerate(TEXTS)},
        "lazy": Lazy(),
    }[form]
    ids = IDS if form in ("list", "tuple") else IDS * 10**15
    store = as_store(docs)
    assert store.gather(ids) == [TEXTS[i] for i in IDS]
    assert store.lengths(ids).tolist() == [5, 2, 5, 2]
    for read in (store.gather, store.lengths):
        with pytest.raises(KeyError, match="id 4000000 is not in the store"):
            read(torch.tensor([0, 4000000]))


@given(st.lists(st.text(max_size=9) | st.just("\ud800"), max_size=5))
def test_token_counts_grow_with_the_bytes(texts):
    bytes_of = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    assert token_counts(texts).tolist() == [n // 3 + 1 for n in bytes_of]


class Own:
    """A store of one's own, which numbers its documents as it likes."""

    def gather(self, ids):
        return ids[:, None] % 5 * torch.ones(1, 4)

    def lengths(self, ids):
        return torch.ones_like(ids)


def test_a_store_of_ones_own():
    own = Own()
    assert isinstance(own, Store)
    assert as_store(own) is own
    best = Reranker(Dot(), own).rank_many(torch.ones(1, 4), Candidates.from_lists([[-3, 14, 11]]))
    assert best.ids.tolist() == [14, -3, 11]
    assert best.scores.tolist() == [16, 8, 4]


STORES = {
    "vectors": lambda: np.zeros((9, 4), np.float32),
    "tensor": lambda: torch.zeros(9, 4),
    "tokens": lambda: Tokens.from_list([np.zeros((1, 4), np.float32)] * 9),
    "texts": lambda: [""] * 9,
}


@pytest.mark.parametrize("form", STORES)
@pytest.mark.parametrize("wrong", [-1, 9, 2**62, -(2**63)])
def test_an_unknown_id_is_named(form, wrong):
    store = as_store(STORES[form]())
    with pytest.raises(KeyError, match=f"id {wrong} is not in the store, which has 9 rows"):
        store.gather(torch.tensor([8, wrong, 0]))


@pytest.mark.parametrize(
    "docs",
    [None, 7, "one text", b"bytes", {1, 2}, ["a", 1], [[0.0, 1.0]], iter(["a"]), object()],
    ids=lambda docs: type(docs).__name__,
)
def test_what_is_no_store_is_refused(docs):
    with pytest.raises(TypeError, match=f"a store cannot be made of {type(docs).__name__}"):
        as_store(docs)


@pytest.mark.parametrize("shape", [(3,), (3, 4, 2), ()])
def test_vectors_of_other_shapes_are_refused(shape):
    for docs in (np.zeros(shape), torch.zeros(shape)):
        with pytest.raises(ValueError, match=r"the store has shape \(.*expected \(n, d\)"):
            as_store(docs)


def test_a_mapping_to_something_else_is_noticed():
    with pytest.raises(TypeError, match="id 3 is a ndarray in the store; expected a text"):
        as_store({3: np.zeros(4)}).gather(torch.tensor([3]))
