"""The indexes whose files lie in golden/: `python tests/golden_indexes.py` writes those missing.

A file is made once, by the version its folder names, and is never written again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shortlist
from shortlist.binary import upgrade

FOLDER = Path(__file__).parent / "golden" / "v1"
METADATA = {"made by": "golden_indexes.py"}


def vectors(n: int, d: int = 8) -> np.ndarray:
    """Small whole numbers from a formula, so that no random generator has to stay the same."""
    i, j = np.mgrid[:n, :d]
    return ((i * 37 + j * 101 + i * j * 7) % 61).astype(np.float32)


def _flat() -> shortlist.Index:
    index = shortlist.IndexFlatL2(8, dtype="uint8")
    index.add(vectors(40).astype(np.uint8))
    return index


def _sq() -> shortlist.Index:
    index = shortlist.IndexHNSWSQ(8, shortlist.ScalarQuantizer.QT_8bit, 4)
    index.train(vectors(40))
    index.add(vectors(40))
    return index


def _graph_with_holes() -> shortlist.Index:
    index = shortlist.IndexHNSWFlat(8, 4, shortlist.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 33, 44
    index.add(vectors(60))
    index.remove_ids(np.arange(0, 60, 3))
    index.add_with_ids(vectors(5) + 1, np.arange(1000, 1005))
    index.remove_ids([1, 1003])
    return index


def _nested() -> shortlist.Index:
    index = shortlist.IndexIDMap2(shortlist.IndexRefineFlat(shortlist.IndexHNSWFlat(8, 4)))
    index.index.k_factor = 3
    index.add_with_ids(vectors(40), np.arange(40) * 10)
    return index


def _bits() -> shortlist.IndexBinary:
    index = shortlist.IndexBinaryIDMap2(shortlist.IndexBinaryHNSW(64, 4))
    index.add_with_ids(vectors(40).astype(np.uint8), np.arange(40) * 10)
    index.remove_ids([30, 70])
    return index


def _sdc() -> shortlist.Index:
    index = shortlist.IndexSDC(8, 3)
    index.train(vectors(40))
    index.add(vectors(40))
    index.symmetric = True
    return index


def _trained(index: shortlist.Index) -> shortlist.Index:
    index.train(vectors(40))
    index.add(vectors(40))
    return index


def _sdc_graph() -> shortlist.Index:
    index = shortlist.IndexHNSWSDC(8, 2, 4, shortlist.METRIC_INNER_PRODUCT)
    index.train(vectors(40))
    index.add(vectors(40))
    index.remove_ids([5, 6])
    return index


def _encoder(d: int, m: int) -> dict[str, np.ndarray]:
    """One bit for each of m dimensions, by weights from a formula."""

    def weights(rows: int, columns: int) -> np.ndarray:
        return (vectors(rows, columns) - 30) / 64

    return {
        "bits": np.array(1),
        "sweeps": np.array(1),
        "query": weights(m, d),
        "mean": weights(1, d)[0],
        "query_mean": weights(2, d)[1],
        "W.skip": weights(m + 1, d)[1:],
        "W.bias": weights(1, m)[0],
    }


def _sdc_versions() -> shortlist.Index:
    metric = shortlist.METRIC_INNER_PRODUCT
    old = shortlist.IndexSDC(5, metric=metric, encoder=_encoder(5, 24))
    old.add(vectors(20, 5))
    new = _encoder(8, 16)
    new |= {"old_query": vectors(24, 8) / 64, "old_shift": vectors(1, 24)[0] / 64}
    new["old_gain"] = np.array([1.25, 0.5])
    index = upgrade(old, new)
    index.add(vectors(20))
    return index


def _pre_transform() -> shortlist.Index:
    index = shortlist.IndexPreTransform(shortlist.PCAMatrix(8, 5, -0.5), shortlist.IndexFlatL2(5))
    index.prepend_transform(shortlist.RandomRotationMatrix(8, 8))
    index.prepend_transform(shortlist.CenteringTransform(8))
    index.prepend_transform(shortlist.NormalizationTransform(8))
    return _trained(index)


def _pq() -> shortlist.Index:
    index = shortlist.IndexPQ(8, 4, 4)
    index.train(vectors(40))
    index.add(vectors(40))
    return index


def _pq_fast_scan() -> shortlist.Index:
    return shortlist.IndexPQFastScan(_pq())


def _lists(description: str, metric: int = shortlist.METRIC_L2) -> shortlist.Index:
    index = shortlist.index_factory(8, description, metric)
    index.train(vectors(60))
    index.add_with_ids(vectors(60), np.arange(60) * 3 + 5)
    index.nprobe = 2
    index.remove_ids([8, 11])
    return index


def _refined_lists() -> shortlist.Index:
    index = shortlist.IndexIVFPQR(shortlist.IndexFlatL2(8), 8, 4, 4, 3, 2, 4)
    index.train(vectors(60))
    index.add_with_ids(vectors(60), np.arange(60) * 3 + 5)
    index.nprobe, index.k_factor = 2, 6
    index.remove_ids([8, 11])
    return index


def _twice_listed() -> shortlist.Index:
    index = shortlist.index_factory(8, "IVF4,SQ8", shortlist.METRIC_INNER_PRODUCT)
    index.train(vectors(200))
    index.soar_lambda = 1.5
    index.add(vectors(200))
    return index


def _bit_lists() -> shortlist.IndexBinary:
    index = shortlist.index_binary_factory(64, "BIVF4_HNSW4")
    index.train(vectors(60).astype(np.uint8))
    index.add_with_ids(vectors(60).astype(np.uint8), np.arange(60) * 3 + 5)
    index.nprobe = 2
    index.remove_ids([8, 11])
    return index


def _opq() -> shortlist.Index:
    """Distances do not depend on the rotation, which each ISA may learn otherwise."""
    opq = shortlist.OPQMatrix(8, 2)
    opq.niter, opq.niter_pq, opq.niter_pq_0, opq.max_train_points = 3, 2, 5, 39
    opq.pq = shortlist.ProductQuantizer(8, 2, 3)
    return _trained(shortlist.IndexPreTransform(opq, shortlist.IndexFlatL2(8)))


def _query_aware() -> shortlist.Index:
    index = shortlist.index_factory(8, "QA,Flat", shortlist.METRIC_INNER_PRODUCT)
    index.train(vectors(40), queries=vectors(60), objective="score")
    index.add(vectors(40))
    return index


INDEXES: dict[str, Callable[[], shortlist.Index | shortlist.IndexBinary]] = {
    "flat-uint8": _flat,
    "hnsw-sq8": _sq,
    "hnsw-holes": _graph_with_holes,
    "idmap2-refine-hnsw": _nested,
    "binary-idmap2-hnsw": _bits,
    "sdc3": _sdc,
    "pq4x4": _pq,
    "pq4x4fs": _pq_fast_scan,
    "lsh": lambda: _trained(shortlist.IndexLSH(8, 20, True, True)),
    "rabitq": lambda: _trained(shortlist.IndexRaBitQ(8, shortlist.METRIC_INNER_PRODUCT)),
    "rabitqfs4": lambda: _trained(shortlist.IndexRaBitQFastScan(8, bbs=64, nb_bits=4)),
    "hnsw-sdc2": _sdc_graph,
    "pretransform": _pre_transform,
    "opq": _opq,
    "query-aware": _query_aware,
    "sdc-versions": _sdc_versions,
    "ivf-flat": lambda: _lists("IVF4,Flat"),
    "ivf-hnsw-sq8": lambda: _lists("IVF4_HNSW4,SQ8", shortlist.METRIC_INNER_PRODUCT),
    "ivf-pq4x4": lambda: _lists("IVF4,PQ4x4"),
    "ivf-pq4x4fs": lambda: _lists("IVF4,PQ4x4fsr_64"),
    "ivf-pqr": _refined_lists,
    "imi-pq4x4": lambda: _lists("IMI2x2,PQ4x4"),
    "ivf-sdc3": lambda: _lists("IVF4,SDC3"),
    "ivf-rabitq": lambda: _lists("IVF4,RaBitQ", shortlist.METRIC_INNER_PRODUCT),
    "ivf-rabitqfs4": lambda: _lists("IVF4_HNSW4,RaBitQfs4_64"),
    "ivf-soar": _twice_listed,
    "binary-ivf": _bit_lists,
}

FOLDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "spann-flat": ("SPANN4,Flat", {}),
    "spann-sdc2": ("SPANN4,SDC2", {}),
    "spann-soar": ("SPANN4,Flat", {"assignment": "soar"}),
}


def on_disk(folder: Path, description: str, knobs: dict[str, Any]) -> None:
    """60 vectors in a folder, of which one is removed, one replaced and one added."""
    ids = np.arange(60) + 2**33
    index = shortlist.build(vectors(60), description, out=folder, ids=ids, **knobs)
    index.remove_ids([2**33 + 5])
    index.add_with_ids(vectors(62)[60:], [2**33 + 7, 2**33 + 60])
    (folder / "LOCK").unlink()


if __name__ == "__main__":
    shortlist.omp_set_num_threads(1)
    for name, make in INDEXES.items():
        path = FOLDER / f"{name}.shortlist"
        if not path.exists():
            make().save(path, METADATA)
    for name, (description, knobs) in FOLDERS.items():
        if not (FOLDER / name).exists():
            on_disk(FOLDER / name, description, knobs)
