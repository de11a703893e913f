"""faiss's files, both ways, with and without the real faiss."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import saved_indexes
import shortlist as sl
from saved_indexes import (
    D,
    Q,
    assert_same_answers,
    classes,
    filled,
    hnsw,
    known_to_faiss,
    rows,
    to_bytes,
)

INDEXES, SMALL = known_to_faiss(saved_indexes.INDEXES), known_to_faiss(saved_indexes.SMALL)


AS_FAISS = {
    "Flat": ["IndexFlatIP"],
    "FlatL2 float16": ["IndexScalarQuantizer"],
    "FlatIP uint8": ["IndexScalarQuantizer"],
    "Flat int8": ["IndexScalarQuantizer"],
    "IVFFlat uint8": ["IndexIVFScalarQuantizer"],
    "HNSWFlat IP float16": ["IndexHNSWSQ", "IndexScalarQuantizer"],
    "HNSWFlat erased": ["IndexIDMap2", "IndexHNSWFlat", "IndexFlatL2"],
    "HNSWFlat freed": ["IndexIDMap2", "IndexHNSWFlat", "IndexFlatL2"],
    "HNSWFlat freed, erased": ["IndexIDMap2", "IndexHNSWFlat", "IndexFlatL2"],
    "HNSWFlat named": ["IndexIDMap2", "IndexHNSWFlat", "IndexFlatL2"],
    "HNSWPQ erased": ["IndexIDMap2", "IndexHNSWPQ", "IndexPQ"],
    "IVFPQR named, gone": ["IndexIDMap2", "IndexIVFPQR"],
    "HNSWFlat moved": ["IndexIDMap2", "IndexHNSWFlat", "IndexFlatL2"],
}


def as_in_faiss(name: str, index: sl.Index) -> list[str]:
    default = ["IndexFlatL2" if c == "IndexFlat" else c for c in classes(index)]
    return AS_FAISS.get(name, default)


@pytest.mark.parametrize("name", INDEXES)
def test_faiss_format_round_trip(name: str) -> None:
    index = INDEXES[name]()
    data = sl.serialize_index(index)
    assert data.dtype == np.uint8
    again = sl.deserialize_index(data)
    assert classes(again) == as_in_faiss(name, index)
    np.testing.assert_array_equal(sl.serialize_index(again), data)
    if to_bytes(index).count(b"erased") and index.ntotal < 60:
        assert again.ntotal == index.ntotal  # compaction reroutes links: answers may differ
    else:
        assert_same_answers(index, again)


@pytest.mark.parametrize("name", [n for n in INDEXES if "HNSW" in n])
def test_faiss_format_keeps_ids(name: str) -> None:
    index = INDEXES[name]()
    again = sl.deserialize_index(bytes(sl.serialize_index(index)))
    if not index.ntotal:
        return
    for i in (index, again):
        graph = i
        while not hasattr(graph, "hnsw"):
            graph = graph.index if hasattr(graph, "index") else graph.base_index
        graph.hnsw.efSearch = 200
    (D1, I1), (D2, I2) = index.search(Q, index.ntotal), again.search(Q, index.ntotal)
    assert all(set(a) == set(b) for a, b in zip(I1, I2, strict=True))
    np.testing.assert_allclose(D1, D2, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", INDEXES)
def test_faiss_reads_ours(name: str, faiss: object) -> None:
    index = INDEXES[name]()
    data = sl.serialize_index(index)
    theirs = faiss.deserialize_index(data)
    assert (theirs.ntotal, theirs.d, theirs.is_trained) == (index.ntotal, D, index.is_trained)
    assert type(theirs).__name__ == as_in_faiss(name, index)[0]
    if name != "IVFPQR untrained":  # of which faiss does not read the second quantizer
        np.testing.assert_array_equal(faiss.serialize_index(theirs), data)
    if not index.ntotal:
        return
    ours = sl.deserialize_index(data)
    (D1, I1), (D2, I2) = ours.search(Q, 5), theirs.search(Q, 5)
    if "RaBitQ" in name:  # faiss rounds queries: see test_rabitq.py
        assert np.mean(I1[:, 0] == I2[:, 0]) >= 0.6
    elif "HNSW" in name:  # two searches of the same graph
        assert (
            np.mean([len(set(a) & set(b)) / len(set(a)) for a, b in zip(I1, I2, strict=True)]) > 0.8
        )
        assert set(I2[I2 >= 0].tolist()) <= set(index.search(Q, index.ntotal)[1].ravel().tolist())
    else:  # faiss's fast scan tells distances by rounded tables
        np.testing.assert_allclose(D1, D2, rtol=0.02 if "FastScan" in name else 1e-5, atol=1e-2)


FAISS_BUILDS = {
    "Flat": lambda f: f.IndexFlatL2(D),
    "FlatIP": lambda f: f.IndexFlatIP(D),
    "SQ8": lambda f: f.IndexScalarQuantizer(D, 0),
    "SQ8 uniform": lambda f: f.IndexScalarQuantizer(D, 2, f.METRIC_INNER_PRODUCT),
    "SQfp16": lambda f: f.IndexScalarQuantizer(D, 4),
    "SQ direct": lambda f: f.IndexScalarQuantizer(D, 5),
    "SQ signed": lambda f: f.IndexScalarQuantizer(D, 8),
    "LSH": lambda f: f.IndexLSH(D, 20, True, True),
    "LSH plain": lambda f: f.IndexLSH(D, 5, False),
    "IDMap,LSHr": lambda f: f.index_factory(D, "IDMap,LSHr"),
    "LSHr,RFlat": lambda f: f.index_factory(D, "LSHr,RFlat"),
    "RaBitQ": lambda f: f.IndexRaBitQ(D),
    "RaBitQ3 IP": lambda f: f.IndexRaBitQ(D, f.METRIC_INNER_PRODUCT, 3),
    "RaBitQfs4_64": lambda f: f.index_factory(D, "RaBitQfs4_64"),
    "IDMap2,RaBitQfs": lambda f: f.index_factory(D, "IDMap2,RaBitQfs"),
    "RaBitQ4,RFlat": lambda f: f.index_factory(D, "RaBitQ4,RFlat"),
    "PCA5,L2norm,Flat": lambda f: f.index_factory(D, "PCA5,L2norm,Flat"),
    "centred": lambda f: f.IndexPreTransform(f.CenteringTransform(D), f.IndexFlatL2(D)),
    "PQ": lambda f: f.IndexPQ(D, 4, 4),
    "PQ IP": lambda f: f.IndexPQ(D, 2, 3, f.METRIC_INNER_PRODUCT),
    "PQ8x6,RFlat": lambda f: f.index_factory(D, "PQ8x6,RFlat"),
    "SQ8,Refine(PQ4x8)": lambda f: f.index_factory(D, "SQ8,Refine(PQ4x8)"),
    "PQ4x4fs": lambda f: f.index_factory(D, "PQ4x4fs"),
    "PQ2x4fs_64 IP": lambda f: f.index_factory(D, "PQ2x4fs_64", f.METRIC_INNER_PRODUCT),
    "PQ1x4fs_96": lambda f: f.index_factory(D, "PQ1x4fs_96"),
    "IVFFlat": lambda f: f.index_factory(D, "IVF5,Flat"),
    "IVFFlat sparse": lambda f: f.index_factory(D, "IVF90,Flat"),
    "IVFSQ IP": lambda f: f.index_factory(D, "IVF5,SQ8", f.METRIC_INNER_PRODUCT),
    "IVFSQ signed": lambda f: f.IndexIVFScalarQuantizer(f.IndexFlatL2(D), D, 3, 8),
    "IVFPQ of a graph": lambda f: f.index_factory(D, "IVF5_HNSW4,PQ4x4"),
    "IVFPQ IP": lambda f: f.index_factory(D, "IVF5,PQ4x5", f.METRIC_INNER_PRODUCT),
    "IVFPQR": lambda f: f.IndexIVFPQR(f.IndexFlatL2(D), D, 5, 4, 4, 2, 5),
    "IDMap2,IVFPQR": lambda f: f.IndexIDMap2(f.index_factory(D, "IVF5_HNSW4,PQ4+2")),
    "IVFPQR,RFlat": lambda f: f.index_factory(D, "IVF5,PQ2+2,RFlat"),
    "IMI": lambda f: f.index_factory(D, "IMI2x2,PQ4x4"),
    "IMI sparse": lambda f: f.index_factory(D, "IMI2x4,Flat"),
    "IMI,PQR": lambda f: f.index_factory(D, "IMI2x1,PQ2+4"),
    "IVFPQ4x4fs": lambda f: f.index_factory(D, "IVF5,PQ4x4fs"),
    "IVFPQ2x4fsr_64 IP": lambda f: f.index_factory(D, "IVF5,PQ2x4fsr_64", f.METRIC_INNER_PRODUCT),
    "IVFRaBitQ": lambda f: f.index_factory(D, "IVF5,RaBitQ"),
    "IVFRaBitQ4 IP": lambda f: f.index_factory(D, "IVF5,RaBitQ4", f.METRIC_INNER_PRODUCT),
    "IVFRaBitQfs3_64": lambda f: f.index_factory(D, "IVF5_HNSW4,RaBitQfs3_64"),
    "IDMap,IVFPQ": lambda f: f.index_factory(D, "IDMap,IVF5,PQ4x4"),
    "IVFPQ,RFlat": lambda f: f.index_factory(D, "IVF5,PQ4x4,RFlat"),
    "PCA,IVFSQ": lambda f: f.index_factory(D, "PCAR4,IVF5,SQfp16"),
    "HNSWPQ": lambda f: f.index_factory(D, "HNSW8,PQ4x5"),
    "HNSWFlat": lambda f: f.IndexHNSWFlat(D, 4),
    "HNSWFlat M2": lambda f: f.IndexHNSWFlat(D, 2),
    "HNSWFlat M64 IP": lambda f: f.IndexHNSWFlat(D, 64, f.METRIC_INNER_PRODUCT),
    "HNSWSQ": lambda f: f.IndexHNSWSQ(D, 0, 8),
    "IDMap,SQ8": lambda f: f.index_factory(D, "IDMap,SQ8"),
    "IDMap2,HNSW8": lambda f: f.index_factory(D, "IDMap2,HNSW8"),
    "SQ8,RFlat": lambda f: f.index_factory(D, "SQ8,RFlat"),
    "HNSW8,Refine(SQfp16)": lambda f: f.index_factory(D, "HNSW8,Refine(SQfp16)"),
}


@pytest.mark.parametrize("n", [0, 1, 400])
@pytest.mark.parametrize("name", FAISS_BUILDS)
def test_ours_reads_faiss(name: str, n: int, faiss: object, tmp_path: Path) -> None:
    theirs = FAISS_BUILDS[name](faiss)
    x = rows(400, seed=4)
    theirs.train(x)
    if "IDMap" in name and (n or "fs" not in name):
        theirs.add_with_ids(x[:n], np.arange(n) * 5 + 2)
    elif n:  # faiss aborts where its fast scan is given nothing to add
        theirs.add(x[:n])
    faiss.write_index(theirs, str(tmp_path / "i"))
    ours = sl.read_index(tmp_path / "i")
    assert type(ours).__name__ == type(faiss.downcast_index(theirs)).__name__
    assert (ours.ntotal, ours.is_trained) == (n, theirs.is_trained)
    sl.write_index(ours, str(tmp_path / "j"))
    assert (tmp_path / "i").read_bytes() == (tmp_path / "j").read_bytes()
    if n == 0:
        return
    if "RaBitQ" in name:  # faiss rounds queries: see test_rabitq.py
        return
    # Where nothing is left faiss says other things than elsewhere.
    k = min(5, n) if "LSH" in name or "fs" in name else 5
    (D1, I1), (D2, I2) = ours.search(x[:50], k), theirs.search(x[:50], k)
    if "HNSW" in name:
        sign = 1 if ours.metric_type == sl.METRIC_L2 else -1
        assert np.mean(sign * D1[:, 0] <= sign * D2[:, 0] + 1e-3) > 0.9
        assert np.mean(I1[:, 0] == I2[:, 0]) > 0.9
    else:
        there = I1 >= 0 if "fs" in name else np.full(I1.shape, True)
        np.testing.assert_array_equal(I1 >= 0, I2 >= 0)
        np.testing.assert_allclose(
            D1[there], D2[there], rtol=0.05 if "fs" in name else 1e-4, atol=0.05
        )


def test_faiss_classes_we_lack_are_named(faiss: object) -> None:
    pq = faiss.IndexPQ(D, 4, 9)
    with pytest.raises(NotImplementedError, match="parts of 9 bits"):
        sl.deserialize_index(faiss.serialize_index(pq))
    pq = faiss.IndexPQ(D, 4, 4)
    pq.search_type = faiss.IndexPQ.ST_HE
    with pytest.raises(NotImplementedError, match="search_type = 1"):
        sl.deserialize_index(faiss.serialize_index(pq))
    ivf = faiss.index_factory(D, "IVF2,FlatDedup")
    with pytest.raises(NotImplementedError, match="IndexIVFFlatDedup"):
        sl.deserialize_index(faiss.serialize_index(ivf))
    with pytest.raises(NotImplementedError, match="metric 2"):
        sl.deserialize_index(faiss.serialize_index(faiss.IndexFlat(D, faiss.METRIC_L1)))
    graph = faiss.serialize_index(faiss.IndexHNSWFlat(D, 4), faiss.IO_FLAG_SKIP_STORAGE)
    with pytest.raises(NotImplementedError, match="SKIP_STORAGE"):
        sl.deserialize_index(graph)
    for name in dir(faiss):
        if name.startswith("IO_FLAG_"):
            assert getattr(sl, name) == getattr(faiss, name)


def test_flags() -> None:
    data = sl.serialize_index(filled(sl.IndexFlatL2(D)))
    for flag in (sl.IO_FLAG_MMAP, sl.IO_FLAG_MMAP_IFC, sl.IO_FLAG_READ_ONLY):
        assert sl.deserialize_index(data, flag).ntotal == 60
    with pytest.raises(ValueError, match="unknown bits"):
        sl.deserialize_index(data, 64)
    with pytest.raises(NotImplementedError, match="SKIP_STORAGE"):
        sl.serialize_index(hnsw(), sl.IO_FLAG_SKIP_STORAGE)


@pytest.mark.parametrize("name", SMALL)
def test_faiss_truncation_is_detected(name: str) -> None:
    data = bytes(sl.serialize_index(SMALL[name]()))
    for n in range(len(data)):
        with pytest.raises(sl.CorruptIndexError):
            sl.deserialize_index(data[:n])
        with pytest.raises(sl.CorruptIndexError):
            sl.read_index(sl.PyCallbackIOReader(io.BytesIO(data[:n]).read))


@pytest.mark.parametrize("name", SMALL)
def test_faiss_bit_flips_do_no_harm(name: str) -> None:
    """No checksum there: a flip may pass, but then the index must still be safe to use."""
    data = bytearray(sl.serialize_index(SMALL[name]()))
    refused = 0
    for at in range(len(data)):
        for bit in (at % 8, 7):
            data[at] ^= 1 << bit
            try:
                index = sl.deserialize_index(data)
                index.search(Q, 5)
            except (sl.CorruptIndexError, NotImplementedError, ValueError):
                refused += 1
            data[at] ^= 1 << bit
    assert refused > 50


def test_length_that_lies_costs_no_memory() -> None:
    """A stream's length is unknown, so nothing may be allocated on a header's word."""
    data = bytearray(sl.serialize_index(filled(sl.IndexFlatL2(D))))
    data[8:16] = (2**31).to_bytes(8, "little")  # ntotal: 64 GiB of vectors
    data[37:45] = (2**31 * D).to_bytes(8, "little")
    with pytest.raises(sl.CorruptIndexError, match="too early"):
        sl.read_index(io.BytesIO(data))
    with pytest.raises(sl.CorruptIndexError, match="more than the data has left"):
        sl.deserialize_index(data)
