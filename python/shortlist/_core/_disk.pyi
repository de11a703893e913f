"""
How files are read by searches on disk.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing
import shortlist
import shortlist._core
import typing_extensions

class RandomFiles:
    """
    Reads of many places of some files at once.
    """
    def __init__(
        self, paths: collections.abc.Sequence[str], backend: str = "auto", caching: str = "auto"
    ) -> None: ...
    def read(
        self,
        pieces: collections.abc.Sequence[tuple[typing.SupportsIndex, typing.SupportsIndex]],
        file: typing.SupportsIndex = 0,
    ) -> list[bytes]:
        """
        The bytes of a file at each (offset, length).
        """
    @property
    def backend(self) -> str: ...
    @property
    def sizes(self) -> list[int]: ...

class PostingWriter:
    """
    Postings into a file that appears when it is whole.
    """
    def __init__(
        self,
        path: str,
        code_size: typing.SupportsIndex,
        build: typing.SupportsIndex = 0,
        number: typing.SupportsIndex = 0,
    ) -> None: ...
    def add(
        self,
        ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        codes: numpy.typing.ArrayLike,
        split: bool = False,
    ) -> None: ...
    def finish(self) -> None: ...

class PostingFiles:
    """
    Postings of files, read by number.
    """
    def __init__(
        self, paths: collections.abc.Sequence[str], backend: str = "auto", caching: str = "auto"
    ) -> None: ...
    def __len__(self) -> int: ...
    def count(self, posting: typing.SupportsIndex) -> int: ...
    def read(
        self, numbers: collections.abc.Sequence[typing.SupportsIndex]
    ) -> dict[int, tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint8]]]:
        """
        {number: (ids, codes)} of those not empty.
        """
    def verify(self) -> None: ...
    @property
    def backend(self) -> str: ...
    @property
    def build(self) -> int: ...
    @property
    def code_size(self) -> int: ...
    @property
    def entries(self) -> int: ...
    @property
    def splits(self) -> int: ...

class IdFile:
    """
    Which ids there are, and where their vectors.
    """
    def __init__(self, path: str) -> None: ...
    def __len__(self) -> int: ...
    def find(
        self, ids: collections.abc.Sequence[typing.SupportsIndex]
    ) -> numpy.typing.NDArray[numpy.int64]:
        """
        The place of each id, -1 where it is not there.
        """
    def verify(self) -> None: ...
    @property
    def build(self) -> int: ...

class RunFile:
    """
    What a shard sends to postings.
    """
    def __init__(self, path: str) -> None: ...
    def entries(self, bucket: typing.SupportsIndex) -> int: ...
    def verify(self) -> None: ...
    @property
    def buckets(self) -> int: ...
    @property
    def build(self) -> int: ...

class VectorWriter:
    """
    Whole vectors, into a file that appears whole.
    """
    def __init__(
        self,
        path: str,
        row_bytes: typing.SupportsIndex,
        rows: typing.SupportsIndex,
        build: typing.SupportsIndex = 0,
        before: typing.SupportsIndex = 0,
    ) -> None: ...
    def add(self, rows: numpy.typing.ArrayLike) -> None: ...
    def finish(self) -> None: ...

class VectorFiles:
    """
    Whole vectors of files, read by row.
    """
    def __init__(
        self, paths: collections.abc.Sequence[str], backend: str = "auto", caching: str = "auto"
    ) -> None: ...
    def __len__(self) -> int: ...
    def read(
        self, rows: collections.abc.Sequence[typing.SupportsIndex]
    ) -> numpy.typing.NDArray[numpy.uint8]: ...
    def verify(self) -> None: ...
    @property
    def block_bytes(self) -> int: ...
    @property
    def build(self) -> int: ...
    @property
    def row_bytes(self) -> int: ...

class IndexSPANN(shortlist._core.Index):
    """
    Posting lists on disk: a search finds the nearest centroids in memory, reads their postings with one round of requests and compares the vectors in them.

    shortlist.open(folder) makes one from what shortlist.build wrote. Source: SPANN, arXiv 2111.08566.
    """
    def __init__(
        self,
        *,
        centroids: shortlist._core.Index,
        codes: shortlist._core.IndexIVF,
        vectors: shortlist._core.IndexIVF,
        postings: collections.abc.Sequence[str],
        vector_files: collections.abc.Sequence[str],
        parents: collections.abc.Sequence[typing.SupportsIndex],
        ntotal: typing.SupportsIndex,
        next_id: typing.SupportsIndex,
        ids: str,
        radius: float,
        metric: typing.SupportsIndex,
        io_backend: str = "auto",
        caching: str = "auto",
    ) -> None: ...
    def has(self, ids: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.bool]:
        """
        Whether each of ids (n,) is in the index, as booleans (n,); at most one read for each id, none where ids have no gaps.
        """
    def members(self, sel: shortlist._core.IDSelector) -> numpy.typing.NDArray[numpy.int64]:
        """
        The ids that a selector chooses, ascending; the file of ids is read for it.
        """
    def reserve_ids(self, end: typing.SupportsIndex) -> None:
        """
        Lets add issue no id below `end`.
        """
    def verify(self) -> None:
        """
        Reads every byte of the files. Raises CorruptIndexError where one is not as written.
        """
    @property
    def cache_bytes(self) -> int:
        """
        How many bytes of postings that were read lately stay in memory; 0 at first.
        """
    @cache_bytes.setter
    def cache_bytes(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def centroids(self) -> shortlist._core.Index:
        """
        The index of the centroids, one for each posting.
        """
    @property
    def efSearch(self) -> int:
        """
        Candidates kept while centroids are looked for; 0 (default): by nprobe.
        """
    @efSearch.setter
    def efSearch(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def entries(self) -> int:
        """
        Vectors in all postings, a vector counted in each of its own.
        """
    @property
    def epsilon(self) -> float:
        """
        Of these, those are left out whose centroid is more than 1 + epsilon times as far as the nearest one, or as vectors are from theirs in the mean, whichever is more.
        """
    @epsilon.setter
    def epsilon(self, arg1: float) -> None: ...
    @property
    def hidden(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        The ids of the files that count no more, ascending.
        """
    @property
    def io_backend(self) -> str:
        """
        How files are read, such as 'io_uring, direct'.
        """
    @property
    def k_factor(self) -> float:
        """
        Candidates compared again by their whole vectors, for each of the k, and 32 at least; of indexes whose postings hold codes.
        """
    @k_factor.setter
    def k_factor(self, arg1: float) -> None: ...
    @property
    def memory(self) -> int:
        """
        Bytes held: centroids, places of postings, additions, buffers.
        """
    @property
    def next_id(self) -> int:
        """
        What add issues next.
        """
    @property
    def nprobe(self) -> int:
        """
        Postings that are read, at most.
        """
    @nprobe.setter
    def nprobe(self, arg1: typing.SupportsIndex) -> None: ...
    @property
    def pending(self) -> tuple[int, int]:
        """
        How many vectors were added, and how many ids of the files count no more.
        """
    @property
    def postings(self) -> int:
        """
        How many postings there are.
        """
    @property
    def reranks(self) -> bool:
        """
        Whether postings hold codes, and what they find is compared again.
        """
    @property
    def stats(self) -> dict[str, int]:
        """
        Since the index was opened: queries, postings they wanted (probes, probe_bytes), those found in memory (cached) and read (reads, bytes; once for queries that share them), vectors scanned, and compared again.
        """

def available_memory() -> int: ...
def closure(
    centroids: shortlist._core.IndexHNSW,
    near: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    distances: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    replicas: typing.SupportsIndex = 8,
    rng_factor: float = 1,
    epsilon: float = 10,
) -> numpy.typing.NDArray[numpy.int64]:
    """
    Of each row the places of the lists it goes to among `near`, -1 behind the last.
    """

def code_size(codes: shortlist._core.IndexIVF) -> int:
    """
    Bytes of a code in a list.
    """

def encode(
    codes: shortlist._core.IndexIVF,
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    centroids: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> numpy.typing.NDArray[numpy.uint8]: ...
def merge(
    path: str,
    runs: collections.abc.Sequence[str],
    bucket: typing.SupportsIndex,
    begin: typing.SupportsIndex,
    end: typing.SupportsIndex,
    limit: typing.SupportsIndex,
    buffer: typing.SupportsIndex,
    codes: shortlist._core.IndexIVF,
    centroids: shortlist._core.Index,
    code_size: typing.SupportsIndex,
    build: typing.SupportsIndex,
    seed: typing.SupportsIndex,
    ids_path: str,
    parents: collections.abc.Sequence[typing.SupportsIndex] = [],
) -> tuple[int, int, numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.uint32]]:
    """
    Writes a bucket's postings, and its ids; (entries, dropped, centroids of splits, their parents).
    """

def merge_ids(
    path: str,
    files: collections.abc.Sequence[str],
    splits: collections.abc.Sequence[typing.SupportsIndex],
    build: typing.SupportsIndex,
    progress: collections.abc.Callable[[int, int], object] | None = None,
) -> int:
    """
    Writes the ids of buckets, whose first splits are these postings (or none: places are rows), to one file; how many there are.
    """

def release_freed() -> None: ...
def rewrite_run(
    path: str,
    bounds: collections.abc.Sequence[typing.SupportsIndex],
    files: PostingFiles,
    begin: typing.SupportsIndex,
    end: typing.SupportsIndex,
    hidden: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    build: typing.SupportsIndex,
) -> None: ...
def spill(
    centroids: shortlist._core.IndexHNSW,
    x: numpy.typing.ArrayLike,
    near: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    replicas: typing.SupportsIndex = 2,
    soar_lambda: float = 1.5,
) -> numpy.typing.NDArray[numpy.int64]:
    """
    As closure, by SOAR's rule: the nearest, and those whose residuals are not along those of the lists before them.
    """

def train_codes(
    codes: shortlist._core.IndexIVF,
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    centroids: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> None: ...
def why_no_io_uring() -> str: ...
def write_file(path: str, parts: collections.abc.Sequence[typing_extensions.Buffer]) -> None: ...
def write_run(
    path: str,
    bounds: collections.abc.Sequence[typing.SupportsIndex],
    heads: numpy.typing.ArrayLike,
    codes: numpy.typing.ArrayLike,
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
    build: typing.SupportsIndex,
) -> None: ...
