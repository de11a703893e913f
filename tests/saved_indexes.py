"""Every kind of index that can be saved, small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import shortlist as sl
from golden_indexes import INDEXES as GOLDEN

D = 8
L2, IP = sl.METRIC_L2, sl.METRIC_INNER_PRODUCT
QT_FP16, QT_8BIT, QT_8BIT_UNIFORM, QT_DIRECT, QT_SIGNED = 4, 0, 2, 5, 8


def rows(n: int, seed: int = 0) -> np.ndarray:
    """Integers in float32, so that every dtype stores them exactly."""
    return np.random.default_rng(seed).integers(0, 100, (n, D)).astype(np.float32)


X = rows(60)
Q = rows(5, seed=1)


def filled(index: sl.Index, n: int = 60) -> sl.Index:
    if not index.is_trained:
        index.train(X)
    index.add(X[:n])
    return index


def without(index: sl.Index, *gone: range) -> sl.Index:
    for ids in gone:
        index.remove_ids(np.array(ids))
    return index


def named(index: sl.Index) -> sl.Index:
    if not index.is_trained:
        index.train(X)
    index.add_with_ids(X, np.arange(60) * 7 + 3)
    return index


def moved(index: sl.Index) -> sl.Index:
    """Ids out of slot order: updated vectors get new slots."""
    index.update_vectors(np.array([3, 5]), X[[3, 5]] + 1)
    return index


def with_few_turns(index: sl.Index) -> sl.Index:
    index.chain.at(0).niter = 2
    return index


def aware(index: sl.Index) -> sl.Index:
    index.train(X, queries=rows(50, seed=2))
    return filled(index)


def refined() -> sl.Index:
    return sl.IndexIVFPQR(sl.IndexFlatL2(D), D, 3, 4, 3, 2, 4)


def hnsw(**kwargs: object) -> sl.Index:
    return sl.IndexHNSWFlat(D, 4, **kwargs)


INDEXES: dict[str, Callable[[], sl.Index]] = {
    "Flat": lambda: filled(sl.IndexFlat(D, IP)),
    "FlatL2": lambda: filled(sl.IndexFlatL2(D)),
    "FlatIP": lambda: filled(sl.IndexFlatIP(D)),
    "FlatL2 float16": lambda: filled(sl.IndexFlatL2(D, dtype="float16")),
    "FlatIP uint8": lambda: filled(sl.IndexFlatIP(D, dtype="uint8")),
    "Flat int8": lambda: filled(sl.IndexFlat(D, L2, dtype="int8")),
    "Flat empty": lambda: sl.IndexFlatL2(D),
    "SQ8": lambda: filled(sl.IndexScalarQuantizer(D, QT_8BIT)),
    "SQ8 uniform IP": lambda: filled(sl.IndexScalarQuantizer(D, QT_8BIT_UNIFORM, IP)),
    "SQfp16": lambda: filled(sl.IndexScalarQuantizer(D, QT_FP16)),
    "SQ8_direct": lambda: filled(sl.IndexScalarQuantizer(D, QT_DIRECT)),
    "SQ8_direct_signed": lambda: filled(sl.IndexScalarQuantizer(D, QT_SIGNED)),
    "SQ6": lambda: filled(sl.IndexScalarQuantizer(D, 6)),
    "SQ4 IP": lambda: filled(sl.IndexScalarQuantizer(D, 1, IP)),
    "SQ4 uniform": lambda: filled(sl.IndexScalarQuantizer(D, 3)),
    "SQbf16": lambda: filled(sl.IndexScalarQuantizer(D, 7)),
    "HNSWSQ SQ6": lambda: filled(sl.IndexHNSWSQ(D, 6, 4)),
    "SQ8 untrained": lambda: sl.IndexScalarQuantizer(D, QT_8BIT),
    "PQ": lambda: filled(sl.IndexPQ(D, 4, 3)),
    "PQ IP": lambda: filled(sl.IndexPQ(D, 2, 5, IP)),
    "PQ untrained": lambda: sl.IndexPQ(D, 4, 4),
    "PQFastScan": lambda: filled(sl.IndexPQFastScan(D, 4)),
    "PQFastScan of odd M": lambda: filled(sl.IndexPQFastScan(D, 1, metric=IP, bbs=64)),
    "PQFastScan untrained": lambda: sl.IndexPQFastScan(D, 2),
    "HNSWPQ": lambda: filled(sl.IndexHNSWPQ(D, 4, 4, 4)),
    "HNSWPQ erased": lambda: without(filled(sl.IndexHNSWPQ(D, 4, 4, 4)), range(3, 7)),
    "SDC1": lambda: filled(sl.IndexSDC(D, 1, IP)),
    "SDC4": lambda: filled(sl.IndexSDC(D, 4)),
    "SDC untrained": lambda: sl.IndexSDC(D),
    "LSH": lambda: filled(sl.IndexLSH(D, 20)),
    "LSH plain": lambda: filled(sl.IndexLSH(D, 6, rotate_data=False)),
    "LSH untrained": lambda: sl.IndexLSH(D, 8, train_thresholds=True),
    "RaBitQ": lambda: filled(sl.IndexRaBitQ(D)),
    "RaBitQ4 IP": lambda: filled(sl.IndexRaBitQ(D, IP, 4)),
    "RaBitQ untrained": lambda: sl.IndexRaBitQ(D, nb_bits=2),
    "RaBitQfs": lambda: filled(sl.IndexRaBitQFastScan(D)),
    "RaBitQfs3_64 IP": lambda: filled(sl.IndexRaBitQFastScan(D, IP, 64, 3)),
    "RaBitQfs untrained": lambda: sl.IndexRaBitQFastScan(D),
    "IDMap RaBitQ": lambda: named(sl.IndexIDMap(sl.IndexRaBitQ(D))),
    "RaBitQ4 RefineFlat": lambda: filled(sl.IndexRefineFlat(sl.IndexRaBitQ(D, nb_bits=4))),
    "LSH RefineFlat": lambda: filled(sl.IndexRefineFlat(sl.IndexLSH(D, 16))),
    "PCA Flat": lambda: filled(sl.index_factory(D, "PCA5,Flat")),
    "PCAWR L2norm HNSW": lambda: filled(sl.index_factory(D, "PCAWR5,L2norm,HNSW4")),
    "RR SQ8 IP untrained": lambda: sl.index_factory(D, "RR12,SQ8", IP),
    "OPQ PQ": lambda: filled(with_few_turns(sl.index_factory(D, "OPQ2_4,PQ2x4"))),
    "OPQ untrained": lambda: sl.index_factory(D, "OPQ4,PQ4x2", IP),
    "QA PQ": lambda: aware(sl.index_factory(D, "QA,PQ4x3", IP)),
    "centred": lambda: filled(sl.IndexPreTransform(sl.CenteringTransform(D), sl.IndexFlatIP(D))),
    "no transform": lambda: filled(sl.IndexPreTransform(sl.IndexFlatL2(D))),
    "IDMap2 PCA RefineFlat": lambda: named(sl.index_factory(D, "IDMap2,PCAR5,SQ8,RFlat")),
    "IVFFlat": lambda: filled(sl.index_factory(D, "IVF4,Flat")),
    "IVFFlat IP, gone": lambda: without(filled(sl.index_factory(D, "IVF4,Flat", IP)), range(30)),
    "IVFFlat named": lambda: named(sl.index_factory(D, "IVF3_HNSW4,Flat")),
    "IVFFlat uint8": lambda: filled(sl.IndexIVFFlat(sl.IndexFlatL2(D), D, 4, dtype="uint8")),
    "IVFFlat untrained": lambda: sl.index_factory(D, "IVF4,Flat"),
    "IVFSQ IP": lambda: filled(sl.index_factory(D, "IVF4,SQ8", IP)),
    "IVFPQ": lambda: filled(sl.index_factory(D, "IVF4,PQ4x4")),
    "IVFPQ untrained": lambda: sl.index_factory(D, "IVF4,PQ4x4"),
    "IVFPQR": lambda: filled(refined()),
    "IVFPQR named, gone": lambda: without(named(refined()), range(3, 60, 7), range(300, 340)),
    "IVFPQR untrained": refined,
    "IDMap IVFPQR": lambda: without(named(sl.IndexIDMap(refined())), range(3, 60, 7)),
    "IVFPQR RefineFlat": lambda: filled(sl.IndexRefineFlat(refined())),
    "IMI": lambda: filled(sl.index_factory(D, "IMI2x2,Flat")),
    "IMI untrained": lambda: sl.index_factory(D, "IMI2x2,PQ4x4"),
    "IVFPQFastScan": lambda: filled(sl.index_factory(D, "IVF4,PQ4x4fs_64")),
    "IVFRaBitQ": lambda: filled(sl.index_factory(D, "IVF4,RaBitQ")),
    "IVFRaBitQ4 IP": lambda: filled(sl.index_factory(D, "IVF4,RaBitQ4", IP)),
    "IVFRaBitQ untrained": lambda: sl.index_factory(D, "IVF4,RaBitQ2"),
    "IVFRaBitQfs named": lambda: named(sl.index_factory(D, "IVF3_HNSW4,RaBitQfs")),
    "IVFRaBitQfs3_64 IP": lambda: filled(sl.index_factory(D, "IVF4,RaBitQfs3_64", IP)),
    "IVFSDC RefineFlat": lambda: filled(sl.index_factory(D, "IVF4,SDC2,RFlat")),
    "SDC graph": lambda: without(filled(sl.IndexHNSWSDC(D, 2, 4, IP)), range(3, 7)),
    "SDC versions": GOLDEN["sdc-versions"],
    "SDC graph untrained": lambda: sl.IndexHNSWSDC(D, 2, 4),
    "HNSWFlat": lambda: filled(hnsw()),
    "HNSWFlat IP float16": lambda: filled(hnsw(metric=IP, dtype="float16")),
    "HNSWFlat empty": hnsw,
    "HNSWFlat one": lambda: filled(hnsw(), 1),
    "HNSWFlat erased": lambda: without(filled(hnsw()), range(3, 7)),
    "HNSWFlat freed": lambda: without(filled(hnsw()), range(10, 40)),
    "HNSWFlat freed, erased": lambda: without(filled(hnsw()), range(10, 40), range(50, 52)),
    "HNSWFlat last gone": lambda: without(filled(hnsw()), range(55, 60)),
    "HNSWFlat all gone": lambda: without(filled(hnsw()), range(60)),
    "HNSWFlat named": lambda: named(hnsw()),
    "HNSWFlat moved": lambda: moved(filled(hnsw())),
    "HNSWSQ": lambda: filled(sl.IndexHNSWSQ(D, QT_8BIT, 4)),
    "HNSWSQ untrained": lambda: sl.IndexHNSWSQ(D, QT_8BIT, 4),
    "HNSW": lambda: filled(sl.IndexHNSW(sl.IndexFlatL2(D), 4)),
    "IDMap": lambda: named(sl.IndexIDMap(sl.IndexFlatIP(D))),
    "IDMap2": lambda: named(sl.IndexIDMap2(sl.IndexScalarQuantizer(D, QT_FP16))),
    "IDMap HNSW": lambda: without(named(sl.IndexIDMap(hnsw())), range(3, 40, 7)),
    "IDMap2 HNSW last gone": lambda: without(named(sl.IndexIDMap2(hnsw())), range(402, 418)),
    "RefineFlat": lambda: filled(sl.IndexRefineFlat(sl.IndexScalarQuantizer(D, QT_8BIT))),
    "Refine": lambda: filled(
        sl.IndexRefine(sl.IndexHNSWSQ(D, QT_8BIT, 4), sl.IndexScalarQuantizer(D, QT_FP16))
    ),
    "IDMap2 RefineFlat HNSW": lambda: named(sl.IndexIDMap2(sl.IndexRefineFlat(hnsw()))),
}


# Small enough to damage at every byte.
SMALL = {
    "Flat": lambda: filled(sl.IndexFlatL2(D), 5),
    "SDC2": lambda: filled(sl.IndexSDC(D, 2), 5),
    "LSH": lambda: filled(sl.IndexLSH(D, 9, train_thresholds=True), 5),
    "RaBitQ": lambda: filled(sl.IndexRaBitQ(D), 5),
    "RaBitQ3 IP": lambda: filled(sl.IndexRaBitQ(D, IP, 3), 5),
    "IVFFlat": lambda: filled(sl.index_factory(D, "IVF2,Flat"), 5),
    "IVFSQ": lambda: filled(sl.index_factory(D, "IVF2,SQ4"), 5),
    "IVFPQfs": lambda: filled(sl.index_factory(D, "IVF2,PQ2x4fs"), 5),
    "IVFPQR": lambda: filled(sl.IndexIVFPQR(sl.IndexFlatL2(D), D, 2, 2, 2, 1, 2), 5),
    "IMI": lambda: filled(sl.index_factory(D, "IMI2x1,SQ4"), 5),
    "IVFSDC": lambda: filled(sl.index_factory(D, "IVF2,SDC2"), 5),
    "IVFRaBitQ": lambda: filled(sl.index_factory(D, "IVF2,RaBitQ"), 5),
    "IVFRaBitQfs2": lambda: filled(sl.index_factory(D, "IVF2,RaBitQfs2"), 5),
    "RaBitQfs2": lambda: filled(sl.IndexRaBitQFastScan(D, nb_bits=2), 5),
    "PCA RR centred": lambda: filled(
        sl.IndexPreTransform(sl.CenteringTransform(D), sl.index_factory(D, "PCAW3,RR2,Flat")), 5
    ),
    "L2norm SQ8": lambda: filled(sl.index_factory(D, "L2norm,SQ8"), 5),
    "HNSW": lambda: without(filled(hnsw(), 20), range(5, 7)),
    "IDMap2 RefineFlat SQ8": lambda: named(
        sl.IndexIDMap2(sl.IndexRefineFlat(sl.IndexScalarQuantizer(D, QT_8BIT)))
    ),
}


def known_to_faiss(indexes: dict[str, Callable[[], sl.Index]]) -> dict[str, Callable[[], sl.Index]]:
    own = ("SDC", "IVFSDC", "QA")
    return {name: make for name, make in indexes.items() if not name.startswith(own)}


def to_bytes(index: sl.Index) -> bytes:
    """The native file, as pickling carries it."""
    data: bytes = index.__reduce__()[1][0]
    return data


def classes(index: sl.Index) -> list[str]:
    """Class names, from the outside in."""
    inner = [
        getattr(index, name)
        for name in ("index", "storage", "base_index", "refine_index")
        if hasattr(index, name)
    ]
    return [type(index).__name__, *(name for i in inner for name in classes(i))]


def assert_same_answers(a: sl.Index, b: sl.Index) -> None:
    assert a.ntotal == b.ntotal
    assert a.is_trained == b.is_trained
    if a.is_trained:
        for one, two in zip(a.search(Q, 7), b.search(Q, 7), strict=True):
            np.testing.assert_array_equal(one, two)
