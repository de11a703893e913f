from __future__ import annotations

import re

import pytest
import shortlist
from hypothesis import example, given
from hypothesis import strategies as st
from shortlist.factory import index_factory, parse

# description -> classes from the outside in; a pair is (base_index, refine_index).
BUILDS = {
    "Flat": "IndexFlat",
    "SQ8": "IndexScalarQuantizer",
    "SQfp16": "IndexScalarQuantizer",
    "SQ6": "IndexScalarQuantizer",
    "SQ4": "IndexScalarQuantizer",
    "SQbf16": "IndexScalarQuantizer",
    "HNSW8,SQ6": "IndexHNSWSQ",
    "SQ8_direct": "IndexScalarQuantizer",
    "SQ8_direct_signed": "IndexScalarQuantizer",
    "HNSW": "IndexHNSWFlat",
    "HNSW16": "IndexHNSWFlat",
    "HNSW32,Flat": "IndexHNSWFlat",
    "HNSW32_Flat": "IndexHNSWFlat",
    "HNSW32_SQ8": "IndexHNSWSQ",
    "HNSW32,SQ8": "IndexHNSWSQ",
    "HNSW,SQfp16": "IndexHNSWSQ",
    "HNSW8,SQ8_direct": "IndexHNSWSQ",
    "PQ4": "IndexPQ",
    "PQ6x4": "IndexPQ",
    "PQ3x6np": "IndexPQ",
    "PQ6x4fs": "IndexPQFastScan",
    "PQ3x4fs_64": "IndexPQFastScan",
    "IDMap,PQ4x4fs,RFlat": "IndexIDMap(IndexRefineFlat(IndexPQFastScan, IndexFlat))",
    "HNSW16,PQ4": "IndexHNSWPQ",
    "HNSW16_PQ4x4np": "IndexHNSWPQ",
    "PQ4,RFlat": "IndexRefineFlat(IndexPQ, IndexFlat)",
    "SQ8,Refine(PQ6)": "IndexRefine(IndexScalarQuantizer, IndexPQ)",
    "IVF10,Flat": "IndexIVFFlat",
    "IVF10,SQ8": "IndexIVFScalarQuantizer",
    "IVF10,PQ4": "IndexIVFPQ",
    "IVF10,PQ4x4": "IndexIVFPQ",
    "IVF10,PQ6+4": "IndexIVFPQR",
    "IVF10_HNSW8,PQ2+12,RFlat": "IndexRefineFlat(IndexIVFPQR, IndexFlat)",
    "IMI2x3,PQ6+4": "IndexIVFPQR",
    "IMI2x4,SQ8": "IndexIVFScalarQuantizer",
    "IDMap,IMI2x1,Flat": "IndexIDMap(IndexIVFFlat)",
    "IVF10,PQ6x4fs": "IndexIVFPQFastScan",
    "IVF10,PQ6x4fsr_64": "IndexIVFPQFastScan",
    "IVF10,RaBitQ": "IndexIVFRaBitQ",
    "IVF10,RaBitQ4": "IndexIVFRaBitQ",
    "IVF10,RaBitQfs": "IndexIVFRaBitQFastScan",
    "IVF10,RaBitQfs4_64": "IndexIVFRaBitQFastScan",
    "IVF10_HNSW8,RaBitQ8,RFlat": "IndexRefineFlat(IndexIVFRaBitQ, IndexFlat)",
    "IVF2k_HNSW16,SQfp16": "IndexIVFScalarQuantizer",
    "IVF10_HNSW,Flat": "IndexIVFFlat",
    "IDMap,IVF10,Flat": "IndexIDMap(IndexIVFFlat)",
    "IVF10,PQ4x4fs,RFlat": "IndexRefineFlat(IndexIVFPQFastScan, IndexFlat)",
    "IVF10,PQ4,Refine(SQ8)": "IndexRefine(IndexIVFPQ, IndexScalarQuantizer)",
    "LSH": "IndexLSH",
    "LSH5": "IndexLSH",
    "LSHr": "IndexLSH",
    "LSH40r": "IndexLSH",
    "LSHt": "IndexLSH",
    "LSH40rt": "IndexLSH",
    "RaBitQ": "IndexRaBitQ",
    "RaBitQ4": "IndexRaBitQ",
    "RaBitQfs": "IndexRaBitQFastScan",
    "RaBitQfs_64": "IndexRaBitQFastScan",
    "RaBitQfs4": "IndexRaBitQFastScan",
    "RaBitQfs8_96": "IndexRaBitQFastScan",
    "IDMap2,RaBitQ2": "IndexIDMap2(IndexRaBitQ)",
    "RaBitQfs,RFlat": "IndexRefineFlat(IndexRaBitQFastScan, IndexFlat)",
    "LSHr,Refine(SQ8)": "IndexRefine(IndexLSH, IndexScalarQuantizer)",
    "IDMap,Flat": "IndexIDMap(IndexFlat)",
    "Flat,IDMap": "IndexIDMap(IndexFlat)",
    "IDMap2,HNSW32,Flat": "IndexIDMap2(IndexHNSWFlat)",
    "IDMap,Flat,IDMap2": "IndexIDMap2(IndexIDMap(IndexFlat))",
    "SQ8,RFlat": "IndexRefineFlat(IndexScalarQuantizer, IndexFlat)",
    "SQ8,Refine(Flat)": "IndexRefine(IndexScalarQuantizer, IndexFlat)",
    "HNSW32,SQ8,Refine(SQfp16)": "IndexRefine(IndexHNSWSQ, IndexScalarQuantizer)",
    "SQ8,Refine(SQfp16),Refine(Flat)": (
        "IndexRefine(IndexRefine(IndexScalarQuantizer, IndexScalarQuantizer), IndexFlat)"
    ),
    "IDMap,HNSW16,SQ8,RFlat": "IndexIDMap(IndexRefineFlat(IndexHNSWSQ, IndexFlat))",
}

OURS = {  # beyond faiss
    "HNSW8,QG": "IndexHNSWFlat",
    "SDC": "IndexSDC",
    "SDC4x512": "IndexSDC",
    "HNSW,SDC": "IndexHNSWSDC",
    "HNSW16_SDC1": "IndexHNSWSDC",
    "HNSW16,SDC4x128": "IndexHNSWSDC",
    "HNSW32,SDC2,Refine(Flat)": "IndexRefine(IndexHNSWSDC, IndexFlat)",
}


def classes(index, downcast=lambda index: index):
    index = downcast(index)
    name = type(index).__name__
    if hasattr(index, "base_index"):
        return (
            f"{name}({classes(index.base_index, downcast)}, "
            f"{classes(index.refine_index, downcast)})"
        )
    if hasattr(index, "index"):
        return f"{name}({classes(index.index, downcast)})"
    return name


@pytest.mark.parametrize("description", BUILDS | OURS)
def test_builds_the_class(description):
    l2_only = any(part in description for part in ("LSH", "IMI", "+"))
    metric = shortlist.METRIC_L2 if l2_only else shortlist.METRIC_INNER_PRODUCT
    index = index_factory(12, description, metric)
    assert classes(index) == (BUILDS | OURS)[description]
    assert index.d == 12
    assert index.metric_type == metric
    assert index.ntotal == 0


@pytest.mark.parametrize("description", BUILDS)
def test_faiss_builds_the_same(description):
    faiss = pytest.importorskip("faiss")
    index = faiss.index_factory(12, description)
    assert classes(index, faiss.downcast_index) == BUILDS[description]
    assert index_factory(12, description).is_trained == index.is_trained


def test_parameters_reach_the_index():
    assert index_factory(8, "HNSW7").hnsw.nb_neighbors(1) == 7
    assert index_factory(8, "HNSW").hnsw.nb_neighbors(1) == 32
    assert index_factory(8, "Flat").metric_type == shortlist.METRIC_L2
    assert index_factory(8, "SQfp16").sq.qtype == shortlist.ScalarQuantizer.QT_fp16
    assert (
        index_factory(8, "SQ8_direct_signed").sq.qtype
        == shortlist.ScalarQuantizer.QT_8bit_direct_signed
    )


@pytest.mark.parametrize("description", [d for d in BUILDS if re.search("LSH|RaBitQ", d)])
def test_parameters_are_those_of_faiss(description):
    faiss = pytest.importorskip("faiss")
    ours, theirs = index_factory(12, description), faiss.index_factory(12, description)
    for inner in ("index", "base_index"):
        if hasattr(ours, inner):
            ours, theirs = getattr(ours, inner), faiss.downcast_index(getattr(theirs, inner))
    names = ("nbits", "rotate_data", "train_thresholds", "qb", "bbs", "code_size", "centered")
    for name in names:
        got, want = getattr(ours, name, None), getattr(theirs, name, None)
        if name != "nbits" or "LSH" in description:  # of faiss's fast scan it is another number
            assert got == want, name
    if "RaBitQ" in description:
        assert ours.rabitq.nb_bits == theirs.rabitq.nb_bits


def test_dimensions_of_codes():
    assert index_factory(8, "SDC4x512").code_dim == 512
    assert index_factory(8, "HNSW8,SDC4x512").storage.code_dim == 512
    with pytest.raises(shortlist.FactoryError, match="100 dimensions in 'SDC4x100'; it must be a"):
        index_factory(8, "SDC4x100")
    with pytest.raises(shortlist.FactoryError, match="fewer dimensions than the vectors' 100"):
        index_factory(100, "HNSW8,SDC4x64")


def test_needs_training_is_what_the_index_says():
    for description in BUILDS | OURS:
        assert parse(description).needs_training() != index_factory(12, description).is_trained


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("", ["empty", "Known forms"]),
        ("flat", ["'flat'", "position 0", "did you mean 'Flat'?", "Known forms"]),
        ("HNWS48,Flat", ["'HNWS48'", "position 0", "'HNSW48'"]),
        ("hnsw", ["'HNSW'"]),
        ("HNSW32,sq8", ["'sq8'", "position 7", "'SQ8'"]),
        ("HNSW32, Flat", ["' Flat'", "position 7", "'Flat'"]),
        ("SQ8,Refine(Flt)", ["'Flt'", "position 11", "'Flat'"]),
        ("IDmap,Flat", ["'IDmap'", "'IDMap'"]),
        ("HNSW1", ["M = 1", "from 2 to 4096"]),
        ("HNSW" + "9" * 5000, ["from 2 to 4096"]),
        ("HNSW32_SQ8,Flat", ["'Flat'", "position 11", "does not fit"]),
        ("Flat,Flat", ["position 5", "does not fit"]),
        ("SQ8,Refine(HNSW32)", ["'HNSW32'", "position 11"]),
        ("SQ8,Refine(Flat", ["never closed"]),
        ("SQ8)", ["')' at position 3"]),
        ("LSH9", ["9 values", "have 8", "LSH9r"]),
        ("LSH0r", ["bits = 0", "from 1 to 1048576"]),
        ("LSHr,Flat", ["'Flat'", "position 5", "does not fit"]),
        ("RaBitQfs_33", ["blocks of 33", "multiple of 32"]),
        ("RaBitQfs_16", ["vectors in a block = 16", "from 32"]),
        ("RaBitQ4fs", ["did you mean 'RaBitQfs'?"]),
        ("HNSW8,RaBitQ", ["'RaBitQ'", "position 6", "does not fit"]),
        ("IVF8,RaBitQfs_33", ["blocks of 33", "multiple of 32"]),
        ("IVF8,RaBitQ9", ["'RaBitQ9'", "position 5", "not available yet"]),
        ("BIVF8", ["index_binary_factory builds it"]),
        ("BIVF8_HNSW16", ["index_binary_factory builds it"]),
        ("RFlat", ["behind an index"]),
        ("IDMap", ["beside an index"]),
        ("IDMap,", ["empty part at position 6"]),
        ("Flat," * 20 + "Flat", ["21 comma-separated parts"]),
    ],
)
def test_wrong_descriptions_are_explained(description, words):
    with pytest.raises(shortlist.FactoryError) as caught:
        index_factory(8, description)
    assert [w for w in words if w not in str(caught.value)] == []
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize(
    "description",
    [
        "IVF100,RQ4x8",
        "IVF4k_NSG32,PQ16",
        "PQ16x8fs",
        "NSG32,Flat",
        "RQ4x8",
        "LSQ8x4_Nqint8",
        "PRQ2x4x8",
        "RaBitQ9",
        "RaBitQfs9_64",
        "SQtqmse4",
        "MinMax,SQ8",
        "ZnLattice4x10_4",
        "BHash16",
        "IDMap,IVF10_NSG32,Flat",
        "IVF10(HNSW32),Flat",
        "SPANN,SDC2",
    ],
)
def test_known_forms_that_cannot_be_built_say_so(description):
    with pytest.raises(shortlist.FactoryError, match="not available yet"):
        index_factory(64, description)


@pytest.mark.parametrize("description", [None, 3, b"Flat", ["Flat"]])
def test_not_a_string(description):
    with pytest.raises(TypeError, match="a string such as 'HNSW32,Flat'"):
        index_factory(8, description)


@given(st.text(max_size=60))
@example("HNSW\u0663")
@example("\ud800")
@example("Flat\x00")
@example("(" * 60)
@example("00" + "\U00010000" * 58)
def test_any_text_is_a_plan_or_a_factory_error(text):
    try:
        parse(text)
    except shortlist.FactoryError as error:
        assert len(str(error)) < 1000  # noqa: PT017


PIECES = ["", "8", ",", "(", ")", "_", "x", "Flat", "IDMap,"]


@given(st.data())
def test_mutated_descriptions_build_or_are_explained(data):
    text = list(data.draw(st.sampled_from(sorted(BUILDS | OURS))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        replacement = data.draw(st.sampled_from(PIECES))
        text[at : at + data.draw(st.integers(0, 2))] = list(replacement)
    try:
        index = index_factory(12, "".join(text))
    except shortlist.FactoryError:
        return
    assert index.d == 12


def test_bits_that_differ_are_no_inner_product():
    with pytest.raises(shortlist.FactoryError, match="metric is 0; pass METRIC_L2"):
        index_factory(8, "LSHr", shortlist.METRIC_INNER_PRODUCT)


def test_memory_estimate_grows_with_what_is_stored():
    d = 128
    assert parse("Flat").bytes_per_vector(d) == 4 * d
    assert parse("Flat").bytes_per_vector(d, "uint8") == d
    assert parse("SQfp16").bytes_per_vector(d) == 2 * d
    assert parse("SQ8,RFlat").bytes_per_vector(d) == 5 * d
    assert 64 * 4 < parse("HNSW32,SQ8").bytes_per_vector(d) - d < 70 * 4
    assert parse("IDMap,SQ8").bytes_per_vector(d) == d + 8
    assert parse("LSH33").bytes_per_vector(d) == 5
    assert parse("LSHr").bytes_per_vector(d) == d / 8
    assert parse("RaBitQ").bytes_per_vector(d) == d / 8 + 12
    assert parse("RaBitQfs4").bytes_per_vector(d) == d / 2 + 24
    assert parse("IVF9,RaBitQfs4").bytes_per_vector(d) == d / 2 + 24 + 4 + 8
