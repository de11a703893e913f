"""What a description of an index asks for: plans that build themselves and know their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from . import _core

__all__ = [
    "Codec",
    "Hnsw",
    "IdMap",
    "Ivf",
    "Lsh",
    "Plan",
    "Pq",
    "PqFastScan",
    "PqRefined",
    "RaBitQ",
    "Refine",
    "Sdc",
]

_ITEM_SIZE = {"float32": 4, "float16": 2, "uint8": 1, "int8": 1}


class Plan(Protocol):
    """What a description asks for, before an index exists."""

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        """The empty index. `dtype` is how Flat codes are stored."""

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        """Memory a stored vector takes: codes, links and ids."""

    def stores_flat(self) -> bool:
        """Whether `dtype` has a say: the vectors are kept as they are."""

    def needs_training(self) -> bool:
        """Whether the index must see vectors before it can store one."""


@dataclass(frozen=True)
class Codec:
    """How a vector is stored: "Flat", or a scalar quantizer's name without its QT_ prefix."""

    qtype: str | None = None
    item_size: float = 4

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        if self.qtype is None:
            return _core.IndexFlat(d, metric, dtype=dtype)
        return _core.IndexScalarQuantizer(d, self.quantizer_type(), metric)

    def build_graph(self, d: int, M: int, metric: int, dtype: str = "float32") -> Any:
        if self.qtype is None:
            return _core.IndexHNSWFlat(d, M, metric, dtype=dtype)
        return _core.IndexHNSWSQ(d, self.quantizer_type(), M, metric)

    def build_lists(self, quantizer: Any, d: int, nlist: int, metric: int, dtype: str) -> Any:
        if self.qtype is None:
            return _core.IndexIVFFlat(quantizer, d, nlist, metric, dtype=dtype)
        return _core.IndexIVFScalarQuantizer(quantizer, d, nlist, self.quantizer_type(), metric)

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return d * (_ITEM_SIZE[dtype] if self.qtype is None else self.item_size)

    def stores_flat(self) -> bool:
        return self.qtype is None

    def needs_training(self) -> bool:
        return self.qtype in ("8bit", "6bit", "4bit")  # a range per dimension; others are fixed

    def quantizer_type(self) -> Any:
        return getattr(_core.ScalarQuantizer, f"QT_{self.qtype}")


@dataclass(frozen=True)
class Pq:
    """Product-quantised codes of M parts."""

    M: int
    nbits: int

    @property
    def part_bits(self) -> int:
        return self.nbits

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        return _core.IndexPQ(d, self.dividing(d), self.nbits, metric)

    def build_with_offset(self, d: int) -> Any:
        """Of L2, behind a query-aware transform: 4 bytes a vector more."""
        M = self.dividing(d)
        return _core.IndexPQ(d + 1, M, self.nbits, _core.METRIC_L2, offset=True)

    def build_graph(self, d: int, M: int, metric: int, dtype: str = "float32") -> Any:
        return _core.IndexHNSWPQ(d, self.dividing(d), M, self.nbits, metric)

    def build_lists(self, quantizer: Any, d: int, nlist: int, metric: int, dtype: str) -> Any:
        return _core.IndexIVFPQ(quantizer, d, nlist, self.dividing(d), self.nbits, metric)

    def dividing(self, d: int) -> int:
        if d % self.M:
            raise _core.FactoryError(
                f"'PQ{self.M}' cannot cut vectors of {d} dimensions into {self.M} equal parts; "
                "choose a divisor"
            )
        return self.M

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return -(-self.M * self.nbits // 8)

    def stores_flat(self) -> bool:
        return False

    def needs_training(self) -> bool:
        return True


@dataclass(frozen=True)
class PqFastScan:
    """Product-quantised codes of M parts of 4 bits, in blocks."""

    M: int
    bbs: int
    by_residual: bool = False  # in lists

    @property
    def part_bits(self) -> int:
        return 4

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        M = Pq(self.M, self.part_bits).dividing(d)
        return _core.IndexPQFastScan(d, M, self.part_bits, metric, self.bbs)

    def build_lists(self, quantizer: Any, d: int, nlist: int, metric: int, dtype: str) -> Any:
        M = Pq(self.M, self.part_bits).dividing(d)
        index = _core.IndexIVFPQFastScan(quantizer, d, nlist, M, self.part_bits, metric, self.bbs)
        index.by_residual = self.by_residual
        return index

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return -(-self.M // 2)

    def stores_flat(self) -> bool:
        return False

    def needs_training(self) -> bool:
        return True


@dataclass(frozen=True)
class PqRefined:
    """Product-quantised codes of M parts and, of what they leave, of M_refine: in lists."""

    M: int
    M_refine: int
    nbits: int = 8  # of a part, as faiss has it

    def build_lists(self, quantizer: Any, d: int, nlist: int, metric: int, dtype: str) -> Any:
        if metric != _core.METRIC_L2:
            raise _core.FactoryError(
                f"'PQ{self.M}+{self.M_refine}' compares L2 distances, but the metric is {metric}; "
                "pass METRIC_L2, as faiss asks for"
            )
        first, second = (Pq(M, self.nbits).dividing(d) for M in (self.M, self.M_refine))
        return _core.IndexIVFPQR(quantizer, d, nlist, first, self.nbits, second, self.nbits)

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return self.M + self.M_refine

    def stores_flat(self) -> bool:
        return False

    def needs_training(self) -> bool:
        return True


@dataclass(frozen=True)
class Sdc:
    """Odd-integer codes, all compared or in a graph."""

    bits: int
    code_dim: int | None = None

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        return _core.IndexSDC(d, self.bits, metric, code_dim=self.holding(d))

    def build_graph(self, d: int, M: int, metric: int, dtype: str = "float32") -> Any:
        return _core.IndexHNSWSDC(d, self.bits, M, metric, code_dim=self.holding(d))

    def build_lists(self, quantizer: Any, d: int, nlist: int, metric: int, dtype: str) -> Any:
        code_dim = self.holding(d)
        return _core.IndexIVFSDC(quantizer, d, nlist, self.bits, metric, code_dim=code_dim)

    def holding(self, d: int) -> int | None:
        if self.code_dim and self.code_dim < d:
            raise _core.FactoryError(
                f"'SDC{self.bits}x{self.code_dim}' asks for fewer dimensions than the vectors' "
                f"{d}; leave them out, or train an encoder (shortlist.binary)"
            )
        return self.code_dim

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        dims = self.code_dim or -(-d // 64) * 64
        return self.bits * dims / 8 + (4 if self.bits == 1 else 12)

    def stores_flat(self) -> bool:
        return False

    def needs_training(self) -> bool:
        return True


@dataclass(frozen=True)
class Lsh:
    """Signs of values, or of a rotation's, all compared."""

    nbits: int | None  # None: d
    rotated: bool
    trained: bool

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        if metric != _core.METRIC_L2:
            raise _core.FactoryError(
                f"LSH counts the bits that differ, but the metric is {metric}; "
                "pass METRIC_L2, as faiss asks for"
            )
        nbits = d if self.nbits is None else self.nbits
        if nbits > d and not self.rotated:
            raise _core.FactoryError(
                f"LSH{nbits} takes the signs of {nbits} values, but vectors have {d}; ask for at "
                f"most LSH{d}, or LSH{nbits}r, which rotates them first"
            )
        return _core.IndexLSH(d, nbits, self.rotated, self.trained)

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return -(-(d if self.nbits is None else self.nbits) // 8)

    def stores_flat(self) -> bool:
        return False

    def needs_training(self) -> bool:
        return self.trained


@dataclass(frozen=True)
class RaBitQ:
    """faiss's RaBitQ codes, all compared or in lists."""

    bits: int
    bbs: int | None = None  # vectors in a block of the fast-scan form

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        if self.bbs is None:
            return _core.IndexRaBitQ(d, metric, self.bits)
        return _core.IndexRaBitQFastScan(d, metric, self.bbs, self.bits)

    def build_lists(self, quantizer: Any, d: int, nlist: int, metric: int, dtype: str) -> Any:
        if self.bbs is None:
            return _core.IndexIVFRaBitQ(quantizer, d, nlist, metric, nb_bits=self.bits)
        return _core.IndexIVFRaBitQFastScan(
            quantizer, d, nlist, metric, self.bbs, nb_bits=self.bits
        )

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return self.bits * (-(-d // 16) * 2) + (12 if self.bits == 1 else 24)

    def stores_flat(self) -> bool:
        return False

    def needs_training(self) -> bool:
        return True


@dataclass(frozen=True)
class Hnsw:
    M: int
    codec: Codec | Pq | Sdc
    blocks: bool = False

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        index = self.codec.build_graph(d, self.M, metric, dtype)
        index.neighbor_blocks = self.blocks
        return index

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        # 2M links of 4 bytes on the ground level, M on each higher one (1 / (M - 1) of the
        # vectors reach each), and the level, its place and a state.
        links = 4 * (2 * self.M + self.M / (self.M - 1))
        code = self.codec.bytes_per_vector(d, dtype)
        int8 = d if self.stores_flat() and dtype == "float32" else 0  # see int8_traversal
        # Rows of 32 one-bit codes with 8 bytes for each link.
        padded = -(-d // 64) * 64
        rows = -(-2 * self.M // 32) * 32 * (padded / 8 + 8) if self.blocks else 0
        return code + int8 + links + 6 + rows

    def stores_flat(self) -> bool:
        return self.codec.stores_flat()

    def needs_training(self) -> bool:
        return self.codec.needs_training()


@dataclass(frozen=True)
class Ivf:
    """Lists of codes around a quantizer that finds them."""

    nlist: int
    codec: Codec | Pq | PqFastScan | PqRefined | RaBitQ | Sdc
    graph: int | None = None  # M of a graph over the centroids; None: all are compared
    half_bits: int | None = None  # of an inverted multi-index's two halves

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        quantizer = self.quantizer(d, metric)
        index = self.codec.build_lists(quantizer, d, self.nlist, metric, dtype)
        if self.graph is not None:
            index.quantizer_trains_alone = 2
        return index

    def quantizer(self, d: int, metric: int) -> Any:
        if self.half_bits is not None:
            if metric != _core.METRIC_L2:
                raise _core.FactoryError(
                    f"IMI2x{self.half_bits} finds lists by L2 distances, but the metric is "
                    f"{metric}; pass METRIC_L2, as faiss asks for, or take IVF{self.nlist}"
                )
            if d % 2:
                raise _core.FactoryError(
                    f"'IMI2x{self.half_bits}' cannot cut vectors of {d} dimensions into halves"
                )
            return _core.MultiIndexQuantizer(d, 2, self.half_bits)
        if self.graph is not None:
            return _core.IndexHNSWFlat(d, self.graph, metric)
        return _core.IndexFlat(d, metric)

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        addend = 4 if isinstance(self.codec, RaBitQ) else 0  # of codes relative to a list
        return self.codec.bytes_per_vector(d, dtype) + addend + 8

    def stores_flat(self) -> bool:
        return self.codec.stores_flat()

    def needs_training(self) -> bool:
        return True


@dataclass(frozen=True)
class IdMap:
    inner: Plan
    finds_by_id: bool  # IDMap2: can also look a vector up by its id

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        wrapper = _core.IndexIDMap2 if self.finds_by_id else _core.IndexIDMap
        return wrapper(self.inner.build(d, metric, dtype))

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        # A hash node of an id and a position is about 40 bytes.
        return self.inner.bytes_per_vector(d, dtype) + (48 if self.finds_by_id else 8)

    def stores_flat(self) -> bool:
        return self.inner.stores_flat()

    def needs_training(self) -> bool:
        return self.inner.needs_training()


@dataclass(frozen=True)
class Refine:
    base: Plan
    codec: Codec | Pq
    flat_class: bool  # RFlat gives an IndexRefineFlat, Refine(...) an IndexRefine

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        base = self.base.build(d, metric, dtype)
        if self.flat_class and dtype == "float32":
            return _core.IndexRefineFlat(base)
        return _core.IndexRefine(base, self.codec.build(d, metric, dtype))

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return self.base.bytes_per_vector(d, dtype) + self.codec.bytes_per_vector(d, dtype)

    def stores_flat(self) -> bool:
        return self.base.stores_flat() or self.codec.stores_flat()

    def needs_training(self) -> bool:
        return self.base.needs_training() or self.codec.needs_training()
