"""Index descriptions: "IDMap2,HNSW32,SQ8,Refine(Flat)" to an index, in faiss's words.

A description is `[IDMap|IDMap2,] [transforms,] structure [,codec] [,refinement]`. `parse` turns it
into a small tree of plans; a plan knows how to build itself and how many bytes a vector will take.
A new structure is one branch of `_Parser.structure`, a new codec one entry of `_CODECS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, NoReturn, Protocol

from . import _core
from ._transforms import PreTransform, Transform

__all__ = ["index_binary_factory", "index_factory", "parse"]

_MAX_PARTS = 16
_ITEM_SIZE = {"float32": 4, "float16": 2, "uint8": 1, "int8": 1}


def index_factory(d: int, description: str, metric: int = _core.METRIC_L2) -> Any:
    """Build an empty index from a faiss description: a structure, then a codec, then a refinement.

    d: dimensions of the vectors, at least 1.
    description: for example "Flat", "SQ8", "HNSW32", "HNSW32,SQfp16", "IDMap2,HNSW32,Flat" or
        "HNSW32,SQ8,Refine(Flat)"; beyond faiss "HNSW32,QG", which turns neighbor_blocks on, and
        "SDC2" or "SDC4x512", codes of so many bits and dimensions in an IndexSDC or, as
        "HNSW32,SDC2", in an IndexHNSWSDC. Signs and RaBitQ codes are spelt as in faiss: "LSH",
        "LSH64rt", "RaBitQ", "RaBitQ4", "RaBitQfs4_64". Transforms stand before a structure:
        "PCA64,HNSW32", "PCAR64,SQ8" (R: rotated, W: whitened), "RR64,Flat", "L2norm,Flat",
        "OPQ16,PQ16", "OPQ16_64,PQ16x4fs" (the rotation to 64 dimensions that suits 16 parts);
        beyond faiss "QA,OPQ48,PQ48", for inner products, trained by train(x, queries=...).
    metric: METRIC_L2 (default) or METRIC_INNER_PRODUCT.

    Returns the class that faiss returns for the same string. Raises FactoryError (a ValueError
    and a RuntimeError) for a description it cannot build, TypeError if it is not a string.
    """
    return parse(description).build(d, metric)


def index_binary_factory(d: int, description: str) -> Any:
    """Build an empty binary index from a faiss description.

    d: bits of the vectors, a multiple of 8.
    description: "BFlat" or "BHNSW<M>", with "IDMap," or "IDMap2," before it for ids of your own.

    Returns the class that faiss returns for the same string. Raises FactoryError (a ValueError
    and a RuntimeError) for a description it cannot build, DimensionError for another d.
    """
    parser = _Parser(_checked(description))
    return parser.binary_index(d, parser.split())


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
    item_size: int = 4

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        if self.qtype is None:
            return _core.IndexFlat(d, metric, dtype=dtype)
        return _core.IndexScalarQuantizer(d, self.quantizer_type(), metric)

    def build_graph(self, d: int, M: int, metric: int, dtype: str = "float32") -> Any:
        if self.qtype is None:
            return _core.IndexHNSWFlat(d, M, metric, dtype=dtype)
        return _core.IndexHNSWSQ(d, self.quantizer_type(), M, metric)

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return d * (_ITEM_SIZE[dtype] if self.qtype is None else self.item_size)

    def stores_flat(self) -> bool:
        return self.qtype is None

    def needs_training(self) -> bool:
        return self.qtype == "8bit"  # a range per dimension; the others are fixed

    def quantizer_type(self) -> Any:
        return getattr(_core.ScalarQuantizer, f"QT_{self.qtype}")


@dataclass(frozen=True)
class Pq:
    """Product-quantised codes of M parts."""

    M: int
    nbits: int

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        return _core.IndexPQ(d, self.dividing(d), self.nbits, metric)

    def build_graph(self, d: int, M: int, metric: int, dtype: str = "float32") -> Any:
        return _core.IndexHNSWPQ(d, self.dividing(d), M, self.nbits, metric)

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
    nbits: int = 4

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        return _core.IndexPQFastScan(
            d, Pq(self.M, self.nbits).dividing(d), self.nbits, metric, self.bbs
        )

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        return -(-self.M // 2)

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
    """faiss's RaBitQ codes, all compared."""

    bits: int
    bbs: int | None = None  # vectors in a block of the fast-scan form

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        if self.bbs is None:
            return _core.IndexRaBitQ(d, metric, self.bits)
        return _core.IndexRaBitQFastScan(d, metric, self.bbs, self.bits)

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


_CODECS = {
    "Flat": Codec(),
    "SQ8": Codec("8bit", 1),
    "SQfp16": Codec("fp16", 2),
    "SQ8_direct": Codec("8bit_direct", 1),
    "SQ8_direct_signed": Codec("8bit_direct_signed", 1),
}
_KNOWN_FORMS = (
    "Flat, SQ8, SQfp16, SQ8_direct, SQ8_direct_signed, PQ<M>[x<bits>], SDC<bits>[x<dimensions>]; "
    "HNSW<M> and HNSW<M>,<any of these>, with ,QG for neighbour blocks unless SDC; "
    "LSH<bits>[r][t], RaBitQ<bits>, RaBitQfs<bits>[_<block>], PQ<M>x4fs[_<block>]; "
    "PCA[W][R]<d>,... or RR[<d>],... or OPQ<M>[_<d>],... or L2norm,... before them, "
    "QA,... before all of those; "
    "IDMap,... or IDMap2,... around them; ...,RFlat or ...,Refine(<codec>) behind them"
)
_KNOWN_BINARY_FORMS = "BFlat and BHNSW<M>; IDMap,... or IDMap2,... around them"

_HNSW = r"HNSW(?P<M>\d*)(_(?P<codec>.*))?"
_SDC = r"SDC(?P<bits>\d*)(x(?P<dims>\d+))?"
_PQ_FAST = r"PQ(?P<fast_parts>\d+)x4fs(_(?P<fast_bbs>\d+))?"
_PQ = r"PQ(?P<parts>\d+)(x(?P<part_bits>\d+))?(np)?"
_LSH = r"LSH(?P<nbits>\d*)(?P<r>r?)(?P<t>t?)"
_RABITQ = r"RaBitQ(?P<nb_bits>[1-8]?)"
_RABITQ_FAST = r"RaBitQfs(?P<fast_bits>[1-8]?)(_(?P<bbs>\d+))?"
_PCA = r"PCA(?P<w>W?)(?P<r>R?)(?P<d>\d+)"
_RR = r"RR(?P<d>\d*)"
_OPQ = r"OPQ(?P<opq>\d+)(_(?P<d>\d+))?"
_FORMS = (_HNSW, _SDC, _PQ, _PQ_FAST, _LSH, _RABITQ, _RABITQ_FAST)

# What faiss (or a later release of ours) understands and this release cannot build.
_AQ = r"\d+x\d+\w*"
_NOT_YET = re.compile(
    rf"""IVF\d*[kM]?(_HNSW\d*|_NSG\d*|\(.*\))? | IMI2x\d+ | Residual\d+(x\d+)?
    | (ITQ|HR|Pad|SH)[\d._]*[gcm]? | MinMax(FP16)?
    | PQ\d+(x\d+)?(np|fsr?)?(_\d+)?(\+\d+)? | (\d+|2x\d+)\+PQ\d*
    | (RQ|RCQ|LSQ|LSCQ|PRQ|PLSQ){_AQ} | RaBitQ(fs)?9(_\d+)? | SQ(4|6|bf16|tqmse\d)
    | ZnLattice[\dx_]+ | NSG\d*([,_].*)? | Flat(Dedup|Panorama\d*|L2Panorama\d*)
    | B(IVF\d+.*|Hash\d+(x\d+)?) | SPANN\d*""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class _Part:
    text: str
    position: int


class _Parser:
    def __init__(self, description: str) -> None:
        self.description = description

    def parse(self) -> Plan:
        parts = self.split()
        if len(parts) > _MAX_PARTS:
            self.fail(f"has {len(parts)} comma-separated parts; at most {_MAX_PARTS} are allowed")
        return self.index(parts)

    def split(self) -> list[_Part]:
        """The parts between commas that are outside parentheses."""
        parts, depth, start = [], 0, 0
        for i, c in enumerate(self.description + ","):
            depth += (c == "(") - (c == ")")
            if depth < 0:
                self.fail(f"has ')' at position {i} without a '(' before it")
            if c == "," and depth == 0:
                parts.append(_Part(self.description[start:i], start))
                start = i + 1
        if depth:
            self.fail("has a '(' that is never closed")
        return parts

    def index(self, parts: list[_Part]) -> Plan:
        # faiss's order: an IDMap wraps everything else, wherever it stands; then refinements.
        for name in ("IDMap2", "IDMap"):
            if len(parts) > 1 and parts[-1].text == name:
                return IdMap(self.index(parts[:-1]), name == "IDMap2")
            if len(parts) > 1 and parts[0].text == name:
                return IdMap(self.index(parts[1:]), name == "IDMap2")
        last = parts[-1]
        if len(parts) > 1 and last.text == "RFlat":
            return Refine(self.index(parts[:-1]), Codec(), flat_class=True)
        if len(parts) > 1 and last.text.startswith("Refine(") and last.text.endswith(")"):
            inner = _Part(last.text[len("Refine(") : -1], last.position + len("Refine("))
            return Refine(self.index(parts[:-1]), self.rows(inner), flat_class=False)
        first = self.transform(parts[0]) if len(parts) > 1 else None
        if first:
            rest = self.index(parts[1:])
            if isinstance(rest, PreTransform):
                return PreTransform((first, *rest.chain), rest.inner)
            return PreTransform((first,), rest)
        if len(parts) > 1 and last.text == "QG":
            plan = self.structure(parts[:-1])
            if isinstance(plan, Hnsw) and isinstance(plan.codec, Codec):
                return replace(plan, blocks=True)
            self.fail(
                f"has 'QG' at position {last.position}: it must stand behind an HNSW of whole or "
                "scalar-quantised vectors"
            )
        return self.structure(parts)

    def transform(self, part: _Part) -> Transform | None:
        if match := re.fullmatch(_PCA, part.text, re.ASCII):
            d = self.number(part, match["d"], "dimensions", 1, 1 << 20)
            return Transform(part.text, "PCA", d, bool(match["w"]), bool(match["r"]))
        if match := re.fullmatch(_RR, part.text, re.ASCII):
            d_out = match["d"] and self.number(part, match["d"], "dimensions", 1, 1 << 20)
            return Transform(part.text, "RR", d_out or None)
        if match := re.fullmatch(_OPQ, part.text, re.ASCII):
            M = self.number(part, match["opq"], "M", 1, 1 << 20)
            d_out = match["d"] and self.number(part, match["d"], "dimensions", 1, 1 << 20)
            return Transform(part.text, "OPQ", d_out or None, M=M)
        if part.text == "QA":
            return Transform(part.text, "QA", None)
        return Transform(part.text, "L2norm", None) if part.text in ("L2norm", "L2Norm") else None

    def structure(self, parts: list[_Part]) -> Plan:
        if match := re.fullmatch(_HNSW, parts[0].text, re.ASCII):
            plan = self.hnsw(parts[0], match, parts[1:2])
            if len(parts) > 2:
                self.unknown(parts[2])
            return plan
        plan = self.exhaustive(parts[0])
        if len(parts) > 1:
            self.unknown(parts[1])
        return plan

    def exhaustive(self, part: _Part) -> Plan:
        if match := re.fullmatch(_LSH, part.text, re.ASCII):
            nbits = match["nbits"] and self.number(part, match["nbits"], "bits", 1, 1 << 20)
            return Lsh(nbits or None, bool(match["r"]), bool(match["t"]))
        if match := re.fullmatch(_RABITQ, part.text, re.ASCII):
            return RaBitQ(int(match["nb_bits"] or 1))
        if match := re.fullmatch(_RABITQ_FAST, part.text, re.ASCII):
            return RaBitQ(int(match["fast_bits"] or 1), self.block(part, match["bbs"]))
        if match := re.fullmatch(_PQ_FAST, part.text, re.ASCII):
            M = self.number(part, match["fast_parts"], "M", 1, 1 << 20)
            return PqFastScan(M, self.block(part, match["fast_bbs"]))
        return self.stored(part)

    def block(self, part: _Part, digits: str | None) -> int:
        bbs = self.number(part, digits or "32", "vectors in a block", 32, 1 << 20)
        if bbs % 32:
            what = _shown(part.text)
            self.fail(f"asks for blocks of {bbs} in {what}; expected a multiple of 32")
        return bbs

    def hnsw(self, part: _Part, match: re.Match[str], rest: list[_Part]) -> Plan:
        M = self.number(part, match["M"] or "32", "M", 2, 4096)
        if match["codec"] is not None:  # HNSW32_SQ8, faiss's older spelling
            if rest:
                self.unknown(rest[0])
            rest = [_Part(match["codec"], part.position + match.start("codec"))]
        return Hnsw(M, self.stored(rest[0]) if rest else Codec())

    def binary_index(self, d: int, parts: list[_Part]) -> Any:
        for name in ("IDMap2", "IDMap"):
            rest = parts[1:] if parts[0].text == name else parts[:-1]
            if rest and name in (parts[0].text, parts[-1].text):
                wrapper = getattr(_core, f"IndexBinary{name}")
                return wrapper(self.binary_index(d, rest))
        if len(parts) == 1 and parts[0].text == "BFlat":
            return _core.IndexBinaryFlat(d)
        if len(parts) == 1 and (match := re.fullmatch(r"BHNSW(\d*)", parts[0].text, re.ASCII)):
            return _core.IndexBinaryHNSW(d, self.number(parts[0], match[1] or "32", "M", 2, 4096))
        self.fail(f"is of no binary index. Known forms: {_KNOWN_BINARY_FORMS}")

    def stored(self, part: _Part) -> Codec | Pq | Sdc:
        if match := re.fullmatch(_SDC, part.text, re.ASCII):
            bits = self.number(part, match["bits"] or "2", "bits", 1, 8)
            if match["dims"] is None:
                return Sdc(bits)
            dims = self.number(part, match["dims"], "dimensions", 64, 1 << 20)
            if dims % 64:
                what = _shown(part.text)
                self.fail(f"asks for {dims} dimensions in {what}; it must be a multiple of 64")
            return Sdc(bits, dims)
        return self.rows(part)

    def rows(self, part: _Part) -> Codec | Pq:
        """Codes that lie one after the other."""
        if match := re.fullmatch(_PQ, part.text, re.ASCII):
            M = self.number(part, match["parts"], "M", 1, 1 << 20)
            return Pq(M, self.number(part, match["part_bits"] or "8", "bits", 1, 8))
        return self.codec(part)

    def codec(self, part: _Part) -> Codec:
        if part.text not in _CODECS:
            self.unknown(part)
        return _CODECS[part.text]

    def number(self, part: _Part, digits: str, what: str, low: int, high: int) -> int:
        if len(digits) > 9 or not low <= int(digits) <= high:
            self.fail(
                f"asks for {what} = {_shown(digits)[1:-1]} in {_shown(part.text)}; "
                f"it must be from {low} to {high}"
            )
        return int(digits)

    def unknown(self, part: _Part) -> NoReturn:
        text = part.text
        if text in ("", "IDMap", "IDMap2", "RFlat") or re.match(r"Refine\(", text):
            if text:
                reason = {
                    "I": "must stand first or last, beside an index",
                    "R": "must stand behind an index",
                }[text[0]]
                self.fail(f"has {_shown(text)} at position {part.position}: it {reason}")
            self.fail(
                f"has an empty part at position {part.position}"
                if self.description
                else "is empty",
                known=True,
            )
        if re.fullmatch(r"B(Flat|HNSW\d*)", text, re.ASCII):
            self.fail(
                f"has {_shown(text)} at position {part.position}: index_binary_factory builds it"
            )
        if self.transform(part):
            self.fail(
                f"has {_shown(text)} at position {part.position}: a transform must stand before an "
                "index, behind IDMap"
            )
        if _NOT_YET.fullmatch(text):
            self.fail(
                f"has {_shown(text)} at position {part.position}: it is not available yet",
                known=True,
            )
        behind_another = part.position > 0 and (
            text in _CODECS or any(re.fullmatch(form, text, re.ASCII) for form in _FORMS)
        )
        if behind_another:
            self.fail(
                f"has {_shown(text)} at position {part.position}, where it does not fit", known=True
            )
        close = _closest(text)
        self.fail(
            f"has {_shown(text)} at position {part.position}, which is not understood"
            + (f"; did you mean {close!r}?" if close else ""),
            known=True,
        )

    def fail(self, problem: str, known: bool = False) -> NoReturn:
        forms = f" Known forms: {_KNOWN_FORMS}." if known else ""
        stop = "" if problem.endswith("?") else "."
        message = f"index description {_shown(self.description)} {problem}{stop}{forms}"
        raise _core.FactoryError(message)


def parse(description: str) -> Plan:
    """What a description asks for, without building it.

    Raises FactoryError for a description it cannot build, TypeError if it is not a string.
    """
    return _Parser(_checked(description)).parse()


def _checked(description: str) -> str:
    if not isinstance(description, str):
        raise TypeError(
            f"an index description is a string such as 'HNSW32,Flat', "
            f"not {type(description).__name__}"
        )
    return description


def _shown(text: str) -> str:
    shown = ascii(text)  # an escape is up to ten characters long: the limit is on what is shown
    return shown if len(shown) <= 62 else shown[:58] + "..." + shown[-1]


def _closest(text: str) -> str | None:
    """A known part that looks like `text`, with the digits of `text` where they are a number."""
    codes = (*_CODECS, "SDC2", "LSH", "RaBitQ", "RaBitQfs")
    known = (*codes, "QG", "L2norm", "IDMap", "IDMap2", "RFlat", "Refine(Flat)")
    parts = {name.lower(): name for name in known}
    text = text[:60]
    stripped = text.strip()
    letters = re.fullmatch(r"([A-Za-z]{3,6})[ =-]?(\d{0,4})", stripped, re.ASCII)
    if letters and get_close_matches(letters[1].lower(), ["hnsw"], cutoff=0.7):
        return f"HNSW{letters[2]}"
    close = get_close_matches(stripped.lower(), list(parts), n=1, cutoff=0.6)
    return parts[close[0]] if close else None
