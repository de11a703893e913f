"""Files written by earlier versions open, and hold what was put into them."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from golden_indexes import FOLDER, FOLDERS, INDEXES, METADATA, vectors


@pytest.fixture(autouse=True)
def one_thread():
    before = shortlist.omp_get_max_threads()
    shortlist.omp_set_num_threads(1)
    yield
    shortlist.omp_set_num_threads(before)


@pytest.mark.parametrize("name", INDEXES)
def test_a_saved_index_opens_and_answers_as_a_new_one(name):
    path = FOLDER / f"{name}.shortlist"
    saved, made = shortlist.open(path), INDEXES[name]()
    assert shortlist.read_metadata(path) == METADATA
    assert (type(saved), saved.ntotal, saved.metric_type) == (
        type(made),
        made.ntotal,
        made.metric_type,
    )
    queries = vectors(60)
    if isinstance(made, shortlist.IndexBinary):
        queries = queries.astype(np.uint8)
    # Of what went through a transform each ISA rounds otherwise.
    np.testing.assert_allclose(
        saved.search(queries, 7)[0], made.search(queries, 7)[0], rtol=1e-5, atol=1e-6
    )


def test_parameters_are_kept():
    graph = shortlist.open(FOLDER / "hnsw-holes.shortlist").hnsw
    assert (graph.M, graph.efConstruction, graph.efSearch) == (4, 33, 44)
    assert shortlist.open(FOLDER / "idmap2-refine-hnsw.shortlist").index.k_factor == 3


@pytest.mark.parametrize("name", INDEXES)
def test_the_format_has_not_changed(name, tmp_path):
    """A change of bytes needs a new version, and a folder of its own beside this one."""
    path = FOLDER / f"{name}.shortlist"
    shortlist.open(path).save(tmp_path / "again", METADATA)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_opens_and_answers_as_what_is_in_it(name):
    index = shortlist.open(FOLDER / name)
    index.verify()
    assert (index.ntotal, index.next_id) == (60, 2**33 + 61)
    ids = [*np.delete(np.arange(60), [5, 7]), 7, 60]
    x = vectors(62)[[*np.delete(np.arange(60), [5, 7]), 60, 61]]
    flat = shortlist.IndexIDMap(shortlist.IndexFlatL2(x.shape[1]))
    flat.add_with_ids(x, np.array(ids) + 2**33)
    params = shortlist.SearchParametersSPANN(nprobe=100, k_factor=10)
    for told, true in zip(
        index.search(vectors(40), 7, params=params), flat.search(vectors(40), 7), strict=True
    ):
        np.testing.assert_allclose(told, true, rtol=1e-5)
    np.testing.assert_array_equal(index.reconstruct_batch(np.array(ids) + 2**33), x)
