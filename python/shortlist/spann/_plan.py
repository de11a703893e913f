"""What an index on disk will look like: knobs, and their values from the data and the memory."""

from __future__ import annotations

import hashlib
import json
import math
import operator
import re
import sys
from dataclasses import dataclass, fields, replace
from typing import Any

from .. import _core
from .._plans import Ivf
from ..factory import parse

VERSION = 2
"""Of files and of what a configuration means. No release wrote the first, without a file of ids."""

_DEVICES = ("cpu", "cuda")
_RATIO = 0.03  # postings for each vector
_RAW_BYTES = 200  # vectors of at most so many bytes are kept whole in postings
M, EF_CONSTRUCTION = 16, 100  # of the centroids' graph
_ITEM = {"float32": 4, "float16": 2, "uint8": 1, "int8": 1}
_HEAD = 24  # bytes of an entry of a run besides its code
_ID_BYTES = 14  # of an id and its place in a file
_MEAN_REPLICAS = {False: 5.0, True: 7.0}  # of whole vectors, of codes
_REPLICAS = {"rng": 8, "soar": 2}
_COUNTS = ("postings", "replicas", "limit", "candidates", "train_rows", "shard_rows", "buckets")
_LEAST = dict.fromkeys(_COUNTS, 1) | {"seed": 0}
_MOST = {"replicas": 1024, "buckets": 999}
_GIVEN = ("d", "ntotal", "metric", "dtype", "codec", "device")  # by the vectors, and build's own
_SETTLED = ("postings", "mean_replicas", "candidates", "train_rows")  # not always as they are given
_SOAR_LAMBDA = 1.5


@dataclass(frozen=True)
class Plan:
    """All that the bytes of an index depend on, besides the vectors."""

    d: int
    ntotal: int
    metric: str
    """"l2", "ip" or "cosine"."""
    dtype: str
    """Of whole vectors in files."""
    codec: str
    """What postings hold: "Flat" for whole vectors, or a factory string's codec."""
    postings: int
    """About how many there are."""
    replicas: int
    """Postings that a vector is in, at most."""
    mean_replicas: float
    """How many that is meant to be in the mean: the RNG rule's factor is chosen for it. Under SOAR
    every vector is in `replicas` postings, and this is the same number."""
    limit: int
    """Vectors of a posting, at most; by default four times as many as there are in the mean."""
    candidates: int
    """Postings that are looked at for each vector."""
    train_rows: int
    shard_rows: int
    buckets: int
    seed: int
    assignment: str = "rng"
    """Which postings but the nearest a vector is in. "rng": near ones that are not behind one
    another, by the rule of the relative neighbourhood graph. "soar": those that a query finds which
    misses the ones before, by the residuals (Sun et al. 2023, SOAR, arXiv 2404.00774; a third and
    later ones by the sum over all before them, which the paper does not have)."""
    soar_lambda: float = 0.0
    """SOAR's: how much a residual along those before weighs; 1.5 if "soar" is chosen."""
    device: str = "cpu"
    """Where it is built: "cuda" trains on a GPU, and finds the postings near vectors there."""

    def __post_init__(self) -> None:
        if self.assignment not in _REPLICAS:
            raise _core.ArgumentError(
                f"assignment = {self.assignment!r}; choose {' or '.join(map(repr, _REPLICAS))}"
            )
        if self.device not in _DEVICES:
            raise _core.ArgumentError(
                f"device = {self.device!r}; choose {' or '.join(map(repr, _DEVICES))}"
            )
        weight = self.soar_lambda
        if not (isinstance(weight, (int, float)) and 0 <= weight < math.inf):
            raise _core.ArgumentError(
                f"soar_lambda = {weight!r}; it must be 0 or more, such as {_SOAR_LAMBDA}"
            )
        if self.soar_lambda and self.assignment != "soar":
            raise _core.ArgumentError(
                f"soar_lambda = {self.soar_lambda} is of assignment='soar'; choose that too"
            )

    def record(self) -> dict[str, Any]:
        """As files and keys have it, without fields that have their default."""
        told = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in told.items() if value != default}

    @property
    def number(self) -> int:
        """METRIC_L2 or METRIC_INNER_PRODUCT."""
        return _core.METRIC_L2 if self.metric == "l2" else _core.METRIC_INNER_PRODUCT

    @property
    def coded(self) -> bool:
        return self.codec != "Flat"

    @property
    def centroid_dtype(self) -> str:
        """Of centroids in memory."""
        return "float16" if self.dtype == "float32" else self.dtype

    @property
    def centroid_bytes(self) -> int:
        """Of a centroid in memory while others are assigned, and its links."""
        return self.d * _ITEM[self.centroid_dtype] + 8 * M + 48

    @property
    def row_bytes(self) -> int:
        return self.d * _ITEM[self.dtype]

    @property
    def shards(self) -> int:
        return -(-self.ntotal // self.shard_rows)

    def key(self, fingerprint: str) -> str:
        """Names the build of these vectors by this plan."""
        told = json.dumps([VERSION, self.record(), fingerprint], sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def code_bytes(self) -> int:
        """About the bytes of an entry of a posting, besides its id."""
        if not self.coded:
            return self.row_bytes
        return 8 + int(lists_of(self.codec).codec.bytes_per_vector(self.d, self.dtype))

    def disk(self) -> int:
        """Bytes that the folder holds at most while this is built."""
        entries = int(self.ntotal * self.mean_replicas * 1.1)
        code = self.code_bytes()
        out = entries * (_HEAD + code) + int(entries * (8 + code) * 1.3) + self.postings * 4096
        out += 3 * _ID_BYTES * self.ntotal
        if self.coded:
            out += int(self.ntotal * self.row_bytes * 1.15)
        return out + self.train_rows * self.row_bytes


def _count(name: str, value: Any) -> int:
    least, most = _LEAST[name], _MOST.get(name, sys.maxsize)
    if not (hasattr(value, "__index__") and least <= operator.index(value) <= most):
        to = f" to {most}" if name in _MOST else ""
        raise _core.ArgumentError(f"{name} = {value!r}; it must be an integer from {least}{to}")
    return operator.index(value)


def lists_of(codec: str) -> Ivf:
    """The plan of lists of such codes. Raises FactoryError."""
    plan = parse(f"IVF1,{codec}")
    if not isinstance(plan, Ivf):
        raise _core.FactoryError(f"'{codec}' is no codec of posting lists; write 'Flat' or 'SDC1'")
    return plan


def planned(
    description: str,
    *,
    d: int,
    ntotal: int,
    metric: str,
    dtype: str,
    memory: int | None,
    device: str = "cpu",
    **knobs: Any,
) -> Plan:
    """The plan of a factory string, "SPANN", "SPANN,SDC1" or "SPANN4096,Flat".

    memory: bytes that the build may take beyond what the interpreter has, or None: as it likes.
    knobs: fields of Plan, in place of what is derived; of rows, postings and candidates at most as
        many as there are.

    Raises FactoryError, ArgumentError, TypeError, MemoryError.
    """
    match = re.fullmatch(r"SPANN(\d*)(?:,(.+))?", description.strip())
    if not match:
        raise _core.FactoryError(
            f"'{description}' is no index on disk; write 'SPANN', 'SPANN,SDC1' or 'SPANN4096,Flat'"
        )
    known = [name for name in Plan.__dataclass_fields__ if name not in _GIVEN]
    if unknown := set(knobs) - set(known):
        raise TypeError(f"unknown knobs {sorted(unknown)}; they are {', '.join(known)}")
    if match[1]:
        knobs["postings"] = int(match[1])
    knobs |= {name: _count(name, knobs[name]) for name in _LEAST if name in knobs}
    row = d * _ITEM[dtype]
    codec = match[2] or ("Flat" if row <= _RAW_BYTES else "SDC1")
    code = int(lists_of(codec).codec.bytes_per_vector(d, dtype)) if codec != "Flat" else 0
    centroid = 4 * d + row + 8 * M + 48  # while building: floats, and a node of the graph
    wanted = min(knobs.get("postings", max(1, round(ntotal * _RATIO))), ntotal)

    soar = knobs.get("assignment") == "soar"
    replicas = knobs.get("replicas", _REPLICAS["soar" if soar else "rng"])
    usual = min(_MEAN_REPLICAS[codec != "Flat"], 0.9 * replicas)
    mean_replicas = replicas if soar else knobs.get("mean_replicas", usual)
    if not (isinstance(mean_replicas, (int, float)) and 0 < mean_replicas <= replicas):
        raise _core.ArgumentError(
            f"mean_replicas = {mean_replicas!r}; it must be above 0 and at most {replicas}, which "
            "replicas is"
        )
    # While a shard is assigned: vectors, postings, heads and, of codes, one for each posting; half
    # of that again where it is sorted.
    train_row = row + 80 + d // 4
    shard_row = int(1.5 * (row + 8 * replicas + mean_replicas * (80 + code + 8 * (code > 0))))
    least_shard = max(1024, ntotal // 400)  # rows; more shards are too many files

    def needed(postings: int) -> int:
        """Bytes of the stages that take most, with as few rows at a time as is sensible."""
        training = postings * 4 * d + min(4 * postings, ntotal) * train_row
        return int(max(training, postings * centroid + least_shard * shard_row) / 0.9)

    train_rows, shard_rows = min(ntotal, 16 * wanted), max(ntotal // 400, 65536)
    if memory is not None:
        if "postings" not in knobs:
            while wanted > 1 and needed(wanted) > memory:
                wanted = int(wanted * 0.9)
        if needed(wanted) > memory:
            raise MemoryError(
                f"{ntotal:,} vectors of {d} dimensions in {wanted:,} postings need "
                f"{needed(wanted):,} bytes to be built; {memory:,} were allowed: allow more, or "
                "make fewer postings"
            )
        train_rows = min(train_rows, (int(0.9 * memory) - wanted * 4 * d) // train_row)
        shard_rows = (int(0.9 * memory) - wanted * centroid) // shard_row
        shard_rows = max(shard_rows, least_shard)
    candidates = min(knobs.get("candidates", 64), wanted)
    train_rows = min(knobs.get("train_rows", train_rows), ntotal)
    if train_rows < wanted and "train_rows" in knobs:
        raise _core.ArgumentError(
            f"train_rows = {train_rows} cannot be cut into {wanted} postings; make fewer postings, "
            "or train with more rows"
        )
    if soar:
        mean_replicas = float(min(replicas, candidates))
        if knobs.get("mean_replicas", mean_replicas) != mean_replicas:
            raise _core.ArgumentError(
                f"mean_replicas = {knobs['mean_replicas']} is of assignment='rng'; by 'soar' every "
                f"vector is in {mean_replicas:g} postings: set replicas"
            )
    plan = Plan(
        d=d,
        ntotal=ntotal,
        metric=metric,
        dtype=dtype,
        codec=codec,
        postings=wanted,
        replicas=replicas,
        mean_replicas=float(mean_replicas),
        limit=max(16, int(4 * mean_replicas * ntotal / wanted)),
        candidates=candidates,
        train_rows=train_rows,
        shard_rows=shard_rows,
        buckets=1,
        seed=1234,
        assignment="soar" if soar else "rng",
        soar_lambda=_SOAR_LAMBDA if soar else 0.0,
        device=device,
    )
    plan = replace(plan, **{k: v for k, v in knobs.items() if k not in _SETTLED})
    size = plan.ntotal * plan.code_bytes() * plan.mean_replicas
    if "buckets" not in knobs:
        plan = replace(plan, buckets=max(1, min(200, plan.postings, round(size / (256 << 20)))))
    return plan
