from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shortlist import datasets
from shortlist.datasets import Dataset, Truth, Vectors, load, read_truth, sample

WRITERS = {
    ".fvecs": (datasets.write_fvecs, "float32"),
    ".ivecs": (datasets.write_ivecs, "int32"),
    ".bvecs": (datasets.write_bvecs, "uint8"),
    ".fbin": (datasets.write_fbin, "float32"),
    ".u8bin": (datasets.write_u8bin, "uint8"),
    ".i8bin": (datasets.write_i8bin, "int8"),
    ".ibin": (datasets.write_ibin, "int32"),
}
READERS = {
    ".fvecs": datasets.read_fvecs,
    ".ivecs": datasets.read_ivecs,
    ".bvecs": datasets.read_bvecs,
    ".fbin": datasets.read_fbin,
    ".u8bin": datasets.read_u8bin,
    ".i8bin": datasets.read_i8bin,
    ".ibin": datasets.read_ibin,
    ".npy": datasets.read_npy,
}
FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def some(n=20, d=6, dtype="float32", seed=0):
    return np.random.default_rng(seed).integers(0, 100, (n, d)).astype(dtype)


@pytest.mark.parametrize("suffix", WRITERS)
@FIXTURE
@given(data=st.data())
def test_what_is_written_is_read(tmp_path, suffix, data):
    write, dtype = WRITERS[suffix]
    x = data.draw(hnp.arrays(dtype, st.tuples(st.integers(1, 30), st.integers(1, 9))))
    path = tmp_path / f"x{suffix}"
    write(path, x)
    for found in (load(path), READERS[suffix](path)):
        assert (found.shape, found.dtype) == (x.shape, np.dtype(dtype))
        np.testing.assert_array_equal(np.asarray(found), x)
        cut = data.draw(st.integers(0, len(x)))
        np.testing.assert_array_equal(found.read(0, cut), x[:cut])
        np.testing.assert_array_equal(np.concatenate(list(found.chunks(4))), x)
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_on_disk_are_those_of_the_formats(tmp_path):
    x = np.array([[1, 2], [3, 4]], np.uint8)
    datasets.write_bvecs(tmp_path / "x.bvecs", x)
    assert (tmp_path / "x.bvecs").read_bytes() == b"\2\0\0\0\1\2" + b"\2\0\0\0\3\4"
    datasets.write_u8bin(tmp_path / "x.u8bin", x)
    assert (tmp_path / "x.u8bin").read_bytes() == b"\2\0\0\0\2\0\0\0\1\2\3\4"
    datasets.write_fvecs(tmp_path / "x.fvecs", x)
    assert (tmp_path / "x.fvecs").read_bytes() == b"".join(
        b"\2\0\0\0" + row.astype("<f4").tobytes() for row in x
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "uint8", "int8", ">f4"])
def test_npy(tmp_path, dtype):
    x = some(dtype=dtype)
    np.save(tmp_path / "x.npy", x)
    found = load(tmp_path / "x.npy")
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found.read(3, 11), x[3:11])
    assert found.read(3, 11).flags.c_contiguous


@pytest.mark.parametrize("suffix", [".npy", ".fvecs", ".u8bin"])
def test_files_are_mapped_not_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, some())
    else:
        WRITERS[suffix][0](path, some(dtype=WRITERS[suffix][1]))
    array = np.asarray(load(path))
    while array.base is not None and not isinstance(array, np.memmap):
        array = array.base
    assert isinstance(array, np.memmap)


@pytest.mark.parametrize("suffix", [*WRITERS, ".npy"])
@pytest.mark.parametrize("change", [-1, -7, 1, 5])
def test_a_file_of_another_size_is_refused(tmp_path, suffix, change):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, some())
        if change > 0:
            pytest.skip("numpy ignores what follows the array")
    else:
        WRITERS[suffix][0](path, some(dtype=WRITERS[suffix][1]))
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + b"\0" * change)
    with pytest.raises(ValueError, match=path.name):
        load(path)


@pytest.mark.parametrize(
    ("suffix", "content", "words"),
    [
        (".fvecs", b"", "0 bytes"),
        (".fvecs", b"\xff\xff\xff\xff" + b"\0" * 16, "-1 columns"),
        (".fvecs", b"\0\0\0\0" * 4, "0 columns"),
        (".fvecs", b"\1\0\0\0aaaa\2\0\0\0aaaa", "row 1 is 2 wide; expected 1"),
        (".bvecs", b"\xff\xff\xff\x7f" + b"\0" * 50, "2147483647 columns"),
        (".fbin", b"\0\0\0", "3 bytes; expected a header"),
        (".fbin", b"\0\0\0\0\4\0\0\0", "0 rows"),
        (
            ".fbin",
            b"\xff\xff\xff\xff\x10\0\0\0" + b"\0" * 64,
            "expected 274877906888 for the 4294967295 x 16",
        ),
        (".u8bin", b"\4\0\0\0\0\0\0\0", "0 columns"),
        (".bin", b"\4\0\0\0\2\0\0\0abcdefg", "15 bytes; expected 72"),
        (".npy", b"", "not a readable .npy"),
        (".npy", b"hello, I am a text", "not a readable .npy"),
        (".txt", b"1 2 3", "unknown suffix '.txt'"),
        ("", b"1 2 3", "unknown suffix ''"),
    ],
)
def test_foreign_content_is_named(tmp_path, suffix, content, words):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        load(path)
    assert "file" in str(caught.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(4), "shape \\(4,\\); expected 2 dim"),
        (np.zeros((2, 2, 2)), "expected 2 dim"),
        (np.zeros((3, 2), complex), "complex128; expected one of"),
        (np.array([["a", "b"]]), "expected one of"),
        (np.asfortranarray(np.zeros((3, 2))), "Fortran order"),
        (np.zeros((3, 0), np.float32), "0 columns"),
    ],
)
def test_npy_that_is_no_matrix(tmp_path, array, words):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "x.npy")


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(ValueError, match="not a readable"):
        load(tmp_path / "x.npy")


@pytest.mark.parametrize("suffix", [*WRITERS, ".npy", ".bin", ".parquet", ".hdf5"])
@FIXTURE
@given(
    content=st.one_of(
        st.binary(max_size=80),
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 8), st.binary(max_size=64)).map(
            lambda t: t[0].to_bytes(4, "little") + t[1].to_bytes(4, "little") + t[2]
        ),
        st.binary(max_size=60).map(lambda b: b"\x93NUMPY\1\0" + b),
    )
)
def test_any_bytes_are_vectors_or_a_value_error(tmp_path, suffix, content):
    if suffix in (".parquet", ".hdf5"):
        pytest.importorskip("pyarrow" if suffix == ".parquet" else "h5py")
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    try:
        found = load(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    assert len(found.read(0, len(found))) == len(found)


def test_missing_files(tmp_path):
    for suffix in (*READERS, ".bin", ".parquet", ".hdf5", ".txt"):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / f"none{suffix}")


def test_cropped_files_are_read_when_asked(tmp_path):
    path = tmp_path / "x.fbin"
    x = some(10, 4)
    datasets.write_fbin(path, x)
    path.write_bytes(path.read_bytes()[: 8 + 6 * 16])
    with pytest.raises(ValueError, match="pass cropped=True to read the 6 rows"):
        load(path)
    np.testing.assert_array_equal(np.asarray(load(path, cropped=True)), x[:6])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="expected 168"):
        load(path, cropped=True)


def test_read_outside_the_rows(tmp_path):
    np.save(tmp_path / "x.npy", some(5))
    found = load(tmp_path / "x.npy")
    for start, stop in ((-1, 2), (0, 6), (3, 2)):
        with pytest.raises(IndexError, match="of 5"):
            found.read(start, stop)


@pytest.mark.parametrize(
    ("write", "x", "words"),
    [
        (datasets.write_bvecs, [[256]], "256 do not fit uint8"),
        (datasets.write_i8bin, [[-129, 0]], "-129 to 0 do not fit int8"),
        (datasets.write_ivecs, [[2**31]], "do not fit int32"),
        (datasets.write_u8bin, [[0.5]], "round or scale"),
        (datasets.write_fvecs, [1.0, 2.0], r"shape \(2,\)"),
        (datasets.write_fbin, np.zeros((0, 3)), r"shape \(0, 3\)"),
        (datasets.write_fbin, [["a"]], "cannot write"),
    ],
)
def test_writers_refuse_what_they_would_change(tmp_path, write, x, words):
    with pytest.raises(ValueError, match=words):
        write(tmp_path / "x", x)
    assert list(tmp_path.iterdir()) == []


def test_truth_in_every_form(tmp_path):
    ids, distances = some(4, 3, "int32"), some(4, 3)
    datasets.write_ivecs(tmp_path / "t.ivecs", ids)
    datasets.write_ibin(tmp_path / "t.ibin", ids)
    np.save(tmp_path / "t.npy", ids)
    np.savez(tmp_path / "t.npz", I=ids, D=distances)
    header = np.array(ids.shape, "<u4").tobytes()
    (tmp_path / "t.bin").write_bytes(header + ids.tobytes() + distances.tobytes())
    (tmp_path / "ids.bin").write_bytes(header + ids.tobytes())
    for name in ("t.ivecs", "t.ibin", "t.npy", "t.npz", "t.bin", "ids.bin"):
        found = read_truth(tmp_path / name)
        assert isinstance(found, Truth)
        np.testing.assert_array_equal(found.ids, ids)
        if name in ("t.npz", "t.bin"):
            np.testing.assert_array_equal(found.distances, distances)
        else:
            assert found.distances is None


def test_truth_that_is_none(tmp_path):
    np.save(tmp_path / "t.npy", some())
    with pytest.raises(ValueError, match=r"float32 of shape .* expected integer ids"):
        read_truth(tmp_path / "t.npy")
    np.savez(tmp_path / "t.npz", x=some())
    with pytest.raises(ValueError, match=r"arrays \['x'\]; expected 'I'"):
        read_truth(tmp_path / "t.npz")
    (tmp_path / "u.npz").write_bytes(b"PK\3\4 no zip")
    with pytest.raises(ValueError, match=r"not a readable \.npz"):
        read_truth(tmp_path / "u.npz")
    (tmp_path / "v.npy").write_bytes((tmp_path / "t.npz").read_bytes())
    with pytest.raises(ValueError, match="an archive of arrays"):
        load(tmp_path / "v.npy")


@pytest.fixture
def parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    def write(column, row_group_size=7, **more):
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table({"vector": column, **more}), path, row_group_size=row_group_size)
        return path

    return pa, write


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "uint8", "int8"])
@pytest.mark.parametrize("fixed", [True, False])
def test_parquet_lists(parquet, dtype, fixed):
    pa, write = parquet
    x = some(20, 6, dtype)
    flat = pa.array(x.ravel())
    kind = pa.list_(flat.type, 6) if fixed else pa.large_list(flat.type)
    column = pa.FixedSizeListArray.from_arrays(flat, 6) if fixed else pa.array(list(x), type=kind)
    found = load(write(column.slice(2, 17)))
    assert (found.shape, found.dtype) == ((17, 6), np.dtype(dtype))
    np.testing.assert_array_equal(np.asarray(found), x[2:19])
    np.testing.assert_array_equal(found.read(5, 16), x[7:18])
    np.testing.assert_array_equal(np.concatenate(list(found.chunks(3))), x[2:19])


def test_parquet_column_is_chosen(parquet):
    pa, write = parquet
    lists = pa.array(some(20).tolist())
    others = pa.array(some(20, 3).tolist())
    path = write(lists, ids=pa.array(range(20)))
    assert load(path).dim == 6
    path = write(lists, other=others, ids=pa.array(range(20)))
    with pytest.raises(ValueError, match=r"\['vector', 'other'\]; name the one"):
        load(path)
    assert load(path, column="other").dim == 3
    for wrong in ("ids", "none"):
        with pytest.raises(ValueError, match=f"no list column '{wrong}'"):
            load(path, column=wrong)


def test_parquet_rows_that_are_no_vectors(parquet):
    pa, write = parquet
    rows = some(20).tolist()
    for at, row, words in (
        (9, None, "row 9 of 'vector' is null"),
        (11, [1.0], "row 11 .* 1 wide"),
        (3, [None] * 6, "null values inside"),
    ):
        bad = [row if i == at else r for i, r in enumerate(rows)]
        with pytest.raises(ValueError, match=words):
            np.asarray(load(write(pa.array(bad))))
    with pytest.raises(ValueError, match="holds string; expected float"):
        load(write(pa.array([["a"]])))
    with pytest.raises(ValueError, match="list columns none"):
        load(write(pa.array([1, 2])))
    with pytest.raises(ValueError, match="no first row"):
        load(write(pa.array([], pa.list_(pa.float32()))))


def test_ann_benchmarks_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    base, queries = some(30), some(4, seed=1)
    truth = np.argsort(((queries[:, None] - base) ** 2).sum(2), 1)[:, :5].astype("int32")
    path = tmp_path / "small.hdf5"
    with h5py.File(path, "w") as file:
        file["train"], file["test"], file["neighbors"] = base, queries, truth
        file["distances"] = np.zeros((4, 5), "float32")
        file["flat"] = np.zeros(4)
        file.attrs["distance"] = "angular"
    data = load(path)
    assert (data.name, data.metric) == ("small", "cosine")
    np.testing.assert_array_equal(data.base.read(3, 9), base[3:9])
    np.testing.assert_array_equal(np.asarray(data.queries), queries)
    np.testing.assert_array_equal(data.truth, truth)
    assert data.distances.shape == (4, 5)
    assert len(load(path, key="test")) == 4
    assert read_truth(path).ids.shape == (4, 5)
    with pytest.raises(ValueError, match="no data set 'nope'; it has distances, flat"):
        load(path, key="nope")
    with pytest.raises(ValueError, match="'flat' is float64 of shape"):
        load(path, key="flat")
    path = tmp_path / "other.hdf5"
    with h5py.File(path, "w") as file:
        file["train"], file["test"] = base, queries
        file.attrs["distance"] = "jaccard"
    with pytest.raises(ValueError, match="distance 'jaccard'; expected one of euclidean"):
        load(path)
    assert load(path, metric="ip").metric == "ip"
    assert load(path, metric="ip").truth is None


def write_folder(folder, base, queries, truth):
    folder.mkdir(exist_ok=True)
    np.save(folder / "base.f32.npy", base)
    np.save(folder / "query.f32.npy", queries)
    if truth is not None:
        np.save(folder / "gt.i32.npy", truth)


def nearest(base, queries, metric, k=5):
    far = ((queries[:, None] - base) ** 2).sum(2) if metric == "l2" else -queries @ base.T
    return np.argsort(far, 1)[:, :k].astype("int32")


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_folder_is_a_dataset_and_shows_its_metric(tmp_path, metric):
    rng = np.random.default_rng(1)
    base, queries = rng.normal(size=(300, 8)), rng.normal(size=(9, 8))
    write_folder(tmp_path / "data", base, queries, nearest(base, queries, metric))
    data = load(tmp_path / "data")
    assert isinstance(data, Dataset)
    assert (data.name, data.metric, data.truth.shape) == ("data", metric, (9, 5))
    assert load(tmp_path / "data", metric="cosine").metric == "cosine"
    with pytest.raises(ValueError, match="metric 'hamming'; expected"):
        load(tmp_path / "data", metric="hamming")


def test_folder_of_unit_vectors_is_inner_product(tmp_path):
    rng = np.random.default_rng(1)
    base = rng.normal(size=(300, 8))
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    write_folder(tmp_path / "data", base, base[:5], nearest(base, base[:5], "ip"))
    assert load(tmp_path / "data").metric == "ip"


@pytest.mark.parametrize(
    ("base", "queries", "truth", "words"),
    [
        (some(9, 4), some(3, 5), None, "5 columns; expected 4"),
        (some(9, 4), some(3, 4), np.zeros((2, 2), "int32"), "of 2 queries; there are 3"),
        (some(9, 4), some(3, 4), np.full((3, 2), 9, "int32"), "9 to 9; the base has rows 0 to 8"),
        (some(9, 4), some(3, 4), np.zeros((3, 2)), "expected integer ids"),
    ],
)
def test_folder_whose_parts_disagree(tmp_path, base, queries, truth, words):
    write_folder(tmp_path / "data", base, queries, truth)
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "data")


def test_folder_of_shards(tmp_path):
    x = some(20)
    for i, (a, b) in enumerate([(0, 7), (7, 8), (8, 20)]):
        np.save(tmp_path / f"part{i}.npy", x[a:b])
    found = load(tmp_path)
    assert isinstance(found, Vectors)
    assert [len(s) for s in found.shards()] == [7, 1, 12]
    for a, b in ((0, 20), (6, 9), (8, 8), (0, 1), (13, 20)):
        np.testing.assert_array_equal(found.read(a, b), x[a:b])
    np.testing.assert_array_equal(np.asarray(found), x)
    np.save(tmp_path / "part3.npy", some(3, 5))
    with pytest.raises(ValueError, match=r"part3.npy: 5 columns .* expected 6"):
        load(tmp_path)


def test_folder_of_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"no base\.\* and query"):
        load(tmp_path)
    np.save(tmp_path / "base.npy", some())
    with pytest.raises(ValueError, match="no query"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "metric"),
    [("sift", (12000, 128), "uint8", "l2"), ("texts", (2200, 384), "float16", "ip")],
)
def test_samples_and_their_truth(name, shape, dtype, metric):
    data = sample(name)
    assert (data.base.shape, data.base.dtype, data.metric) == (shape, np.dtype(dtype), metric)
    base, queries = (np.asarray(v).astype("float64") for v in (data.base, data.queries))
    assert data.truth.shape == (len(queries), 50)
    far = -queries[:40] @ base.T
    if metric == "l2":
        far = 2 * far + (base**2).sum(1)
    np.testing.assert_array_equal(np.argsort(far, 1, kind="stable")[:, :50], data.truth[:40])


def test_texts_match_their_vectors():
    data = sample("texts")
    assert (len(data.texts), len(data.query_texts)) == (len(data.base), len(data.queries))
    assert all(data.relevant)
    hits = [
        bool(set(r) & set(t))
        for r, t in zip(data.relevant, data.truth[:, :10].tolist(), strict=True)
    ]
    assert np.mean(hits) > 0.9


def test_sample_of_another_name():
    with pytest.raises(ValueError, match="no sample 'glove'; there are 'sift', 'texts'"):
        sample("glove")


def test_samples_stay_small():
    from pathlib import Path

    folder = Path(datasets.__file__).parent / "sample"
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 4_000_000


@pytest.mark.parametrize(("module", "suffix"), [("pyarrow", ".parquet"), ("h5py", ".hdf5")])
def test_missing_extra_names_the_pip_line(monkeypatch, tmp_path, module, suffix):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"x{suffix}").write_bytes(b"x")
    with pytest.raises(ImportError, match=r"pip install 'shortlist\[data\]'"):
        load(tmp_path / f"x{suffix}")


def test_importing_pulls_in_no_extra():
    code = (
        "import sys, shortlist, shortlist.datasets, shortlist.factory, shortlist._evaluate, "
        "shortlist._plot, shortlist.cli\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'typer', 'rich', "
        "'matplotlib', 'h5py', 'pyarrow', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
