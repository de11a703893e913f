"""contrib.factory_tools, there and back again, and contrib.datasets beside faiss's."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import shortlist
from shortlist.contrib import datasets
from shortlist.contrib.factory_tools import get_code_size, get_hnsw_M, reverse_index_factory
from test_factory import BUILDS, OURS, classes

L2, IP = shortlist.METRIC_L2, shortlist.METRIC_INNER_PRODUCT
TRANSFORMS = [
    "PCA5,Flat",
    "PCAWR5,L2norm,HNSW8,SQ8",
    "RR12,SQ8",
    "RR16,PQ4x6",
    "OPQ4_8,IVF7,PQ4x8",
    "OPQ3_12,PQ3x4fs",
    "ITQ,LSH",
    "ITQ5,LSH",
    "Pad16,RaBitQ",
    "IDMap2,PCA8,IVF4_HNSW8,SQfp16,RFlat",
]


def metric_for(description: str) -> int:
    return L2 if any(part in description for part in ("LSH", "IMI", "+")) else IP


@pytest.mark.parametrize("description", [*BUILDS, *OURS, *TRANSFORMS, "QA,OPQ4_12,PQ4x8"])
def test_a_description_comes_back(description):
    metric = metric_for(description)
    index = shortlist.index_factory(12, description, metric)
    told = reverse_index_factory(index)
    again = shortlist.index_factory(12, told, metric)
    assert classes(again) == classes(index)
    assert reverse_index_factory(again) == told
    assert get_code_size(12, told) == get_code_size(12, description)
    if description in TRANSFORMS:
        assert told == description
    if index.is_trained and description.count("IDMap") < 2:  # one in another is not added to
        x = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
        for each in (index, again):
            each.add(x) if "IDMap" not in description else each.add_with_ids(x, np.arange(50))
        np.testing.assert_array_equal(index.search(x, 3)[0], again.search(x, 3)[0])


@pytest.mark.parametrize(
    ("description", "wanted"),
    [
        ("HNSW_SQ8", "HNSW32,SQ8"),
        ("HNSW16,Flat", "HNSW16"),
        ("IVF2k,PQ4", "IVF2048,PQ4x8"),
        ("IVF9,PQ2+4", "IVF9,PQ2+4"),
        ("IMI2x3,PQ4x4", "IMI2x3,PQ4x4"),
        ("PQ3x4fs_64", "PQ3x4fs_64"),
        ("IVF9,PQ4x4fsr", "IVF9,PQ4x4fsr"),
        ("Flat,IDMap", "IDMap,Flat"),
        ("SQ8,Refine(Flat)", "SQ8,Refine(Flat)"),
        ("SQ8,RFlat", "SQ8,RFlat"),
        ("LSH40rt", "LSH40rt"),
        ("RaBitQfs4_64", "RaBitQfs4_64"),
        ("SDC", "SDC2"),
        ("SDC3x128", "SDC3x128"),
        ("IVF9,SDC1", "IVF9,SDC1"),
        ("HNSW8,SQ8,QG", "HNSW8,SQ8,QG"),
    ],
)
def test_what_comes_back_is_short(description, wanted):
    index = shortlist.index_factory(12, description, metric_for(description))
    assert reverse_index_factory(index) == wanted


@pytest.mark.parametrize("description", ["BFlat", "BHNSW8", "BIVF9", "BIVF9_HNSW8", "IDMap2,BFlat"])
def test_binary_descriptions_come_back(description):
    index = shortlist.index_binary_factory(64, description)
    assert reverse_index_factory(index) == description
    if "HNSW" in description:
        graph = index if description.startswith("BH") else index.quantizer
        assert get_hnsw_M(graph) == 8


@pytest.mark.parametrize(
    "description",
    [
        *("Flat", "SQ4", "SQ6", "PQ6x4", "PQ5", "IVF9,PQ3x4fs", "IVF9,Flat", "IVF9,PQ6+15"),
        *("IMI2x3,PQ5", "HNSW16", "HNSW64,SQ8", "IVF9_HNSW64,PQ10x8", "PCA10,SQ8", "OPQ5_10,PQ5"),
        *("OPQ5,PQ5", "RR20,SQfp16", "SQ8,RFlat", "IVF9,SQ8,Refine(PQ6)"),
    ],
)
def test_code_sizes_are_faiss_s(faiss, description):
    theirs = importlib.import_module("faiss.contrib.factory_tools")
    assert get_code_size(30, description) == theirs.get_code_size(30, description)


@pytest.mark.parametrize("description", ["SQ6", "RaBitQ4", "IVF9,RaBitQ", "IVF9,PQ6+15", "LSH33r"])
def test_code_sizes_are_those_of_the_index(description):
    index = shortlist.index_factory(30, description)
    assert get_code_size(30, description) == index.code_size


def test_sizes_of_what_is_no_description_are_refused():
    for bad in ("", "PQ7", "Nothing", "IVF9"):
        with pytest.raises(RuntimeError, match=r"index description|PQ7"):
            get_code_size(30, bad)


def test_what_no_description_makes_is_refused():
    quantizer = shortlist.IndexFlatL2(8)
    moved = shortlist.RemapDimensionsTransform(8, 6, True)
    turned = shortlist.PCAMatrix(8, 4, -0.25)
    for index, why in [
        (shortlist.IndexFlatL2(8, dtype="uint8"), "dtype 'uint8'"),
        (shortlist.IndexHNSWFlat(8, 8, dtype="float16"), "dtype 'float16'"),
        (shortlist.IndexIVFFlat(quantizer, 8, 4, dtype="int8"), "dtype 'int8'"),
        (shortlist.IndexScalarQuantizer(8, shortlist.ScalarQuantizer.QT_8bit_uniform), "type 2"),
        (shortlist.IndexIVFPQR(quantizer, 8, 4, 2, 4, 2, 8), "of 4 bits"),
        (shortlist.IndexIVFFlat(shortlist.MultiIndexQuantizer(8, 4, 1), 8, 16), "MultiIndex"),
        (shortlist.IndexIVFFlat(shortlist.IndexPQ(8, 2), 8, 16), "IndexPQ"),
        (shortlist.MultiIndexQuantizer(8, 4, 1), "MultiIndexQuantizer"),
        (shortlist.IndexPreTransform(quantizer), "without transforms"),
        (shortlist.IndexPreTransform(shortlist.CenteringTransform(8), quantizer), "Centering"),
        (shortlist.IndexPreTransform(moved, shortlist.IndexFlatL2(6)), "zeros behind"),
        (shortlist.IndexPreTransform(turned, shortlist.IndexFlatL2(4)), "-0.25"),
        (7, "int"),
    ]:
        with pytest.raises(shortlist.UnsupportedError, match=why):
            reverse_index_factory(index)


@pytest.mark.parametrize("args", [(32, 200, 300, 20), (3, 0, 100, 7, "IP"), (5, 9, 40, 1, "L2", 7)])
def test_synthetic_vectors_are_faiss_s(faiss, args):
    theirs = importlib.import_module("faiss.contrib.datasets").SyntheticDataset(*args)
    ours = datasets.SyntheticDataset(*args)
    for name in ("d", "nt", "nb", "nq", "metric"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("get_queries", "get_train", "get_database"):
        found, wanted = getattr(ours, name)(), getattr(theirs, name)()
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(ours.get_train(4), theirs.get_train(4))
    found, wanted = ours.get_groundtruth(9), theirs.get_groundtruth(9)
    assert (found == wanted).mean() > 0.99
    ours.check_sizes()
    assert str(args[0]) in str(ours)


def test_truth_is_what_exact_search_finds():
    data = datasets.SyntheticDataset(8, 0, 300, 11, "IP")
    index = shortlist.IndexFlatIP(8)
    index.add(data.get_database())
    found = index.search(data.get_queries(), 100)[1]
    np.testing.assert_array_equal(data.get_groundtruth(), found)


@pytest.mark.parametrize("bs", [1, 7, 128, 1000])
@pytest.mark.parametrize("parts", [1, 3, 300])
def test_parts_make_up_the_whole(bs, parts):
    data = datasets.SyntheticDataset(4, 0, 200, 0)
    pieces = [piece for part in range(parts) for piece in data.database_iterator(bs, (parts, part))]
    assert max(len(piece) for piece in pieces) <= bs
    np.testing.assert_array_equal(np.concatenate(pieces), data.get_database())


def test_empty_and_wrong_sizes():
    datasets.SyntheticDataset(4, 0, 0, 0).check_sizes()
    data = datasets.SyntheticDataset(4, 10, 20, 3)
    data.nq = 5
    with pytest.raises(shortlist.DimensionError, match=r"get_queries\(\) has shape \(3, 4\)"):
        data.check_sizes()
    for bad in ((0, 1, 1, 1), (4, -1, 1, 1), (4, 1, 1, -1)):
        with pytest.raises(shortlist.ArgumentError):
            datasets.SyntheticDataset(*bad)
    with pytest.raises(shortlist.ArgumentError, match="'L1'"):
        datasets.SyntheticDataset(4, 1, 1, 1, "L1")
    for bs, split in [(0, (1, 0)), (5, (2, 2)), (5, (0, 0)), (5, (2, -1))]:
        with pytest.raises(shortlist.ArgumentError):
            data.database_iterator(bs, split)
    for name in ("queries", "train", "database", "groundtruth", "groundtruth_range"):
        with pytest.raises(NotImplementedError, match=f"get_{name}"):
            getattr(datasets.Dataset(), f"get_{name}")()
