"""Index descriptions: "IDMap2,HNSW32,SQ8,Refine(Flat)" to an index, in faiss's words.

A description is `[IDMap|IDMap2,] [transforms,] structure [,codec] [,refinement]`. `parse` turns it
into a small tree of plans; a plan knows how to build itself and how many bytes a vector will take.
A new structure is one branch of `_Parser.structure`, a new codec one entry of `_CODECS`; what they
build is in `_plans`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, NoReturn

from . import _core
from ._plans import (
    Codec,
    Hnsw,
    IdMap,
    Ivf,
    Lsh,
    Plan,
    Pq,
    PqFastScan,
    PqRefined,
    RaBitQ,
    Refine,
    Sdc,
)
from ._transforms import PreTransform, Transform

__all__ = ["index_binary_factory", "index_factory", "parse"]

_MAX_PARTS = 16


def index_factory(d: int, description: str, metric: int = _core.METRIC_L2) -> Any:
    """Build an empty index from a faiss description: a structure, then a codec, then a refinement.

    d: dimensions of the vectors, at least 1.
    description: for example "Flat", "SQ8", "HNSW32", "HNSW32,SQfp16", "IDMap2,HNSW32,Flat" or
        "HNSW32,SQ8,Refine(Flat)"; beyond faiss "HNSW32,QG", which turns neighbor_blocks on, and
        "SDC2" or "SDC4x512", codes of so many bits and dimensions in an IndexSDC or, as
        "HNSW32,SDC2", in an IndexHNSWSDC. Lists stand before their codes: "IVF4096,Flat",
        "IVF1024,PQ16", "IVF4096_HNSW32,SQ8", "IVF4096,PQ64x4fs,RFlat", "IVF4096,RaBitQ4",
        "IVF1024,PQ16+16" (codes of what other codes leave), "IMI2x8,PQ16" (the 2^16 lists of an
        inverted multi-index); beyond faiss "IVF4096,SDC1".
        Signs and RaBitQ codes are spelt as in faiss: "LSH",
        "LSH64rt", "RaBitQ", "RaBitQ4", "RaBitQfs4_64". Transforms stand before a structure:
        "PCA64,HNSW32", "PCAR64,SQ8" (R: rotated, W: whitened), "RR64,Flat", "L2norm,Flat",
        "OPQ16,PQ16", "OPQ16_64,PQ16x4fs" (the rotation to 64 dimensions that suits 16 parts),
        "ITQ64,LSH" (what suits signs), "Pad128,PQ16" (zeros behind);
        beyond faiss "QA,OPQ48,PQ48", trained by train(x, queries=...); for METRIC_L2 codes behind
        QA are PQ, and take 4 bytes more. "IVF1024,QA,PQ48" is "QA,IVF1024,PQ48".
    metric: METRIC_L2 (default) or METRIC_INNER_PRODUCT.

    Returns the class that faiss returns for the same string. Raises FactoryError (a ValueError
    and a RuntimeError) for a description it cannot build, TypeError if it is not a string.
    """
    return parse(description).build(d, metric)


def index_binary_factory(d: int, description: str) -> Any:
    """Build an empty binary index from a faiss description.

    d: bits of the vectors, a multiple of 8.
    description: "BFlat", "BHNSW<M>", "BIVF<lists>" or "BIVF<lists>_HNSW<M>", with "IDMap," or
        "IDMap2," before it for ids of your own.

    Returns the class that faiss returns for the same string. Raises FactoryError (a ValueError
    and a RuntimeError) for a description it cannot build, DimensionError for another d.
    """
    parser = _Parser(_checked(description))
    return parser.binary_index(d, parser.split())


_CODECS = {
    "Flat": Codec(),
    "SQ8": Codec("8bit", 1),
    "SQ6": Codec("6bit", 0.75),
    "SQ4": Codec("4bit", 0.5),
    "SQfp16": Codec("fp16", 2),
    "SQbf16": Codec("bf16", 2),
    "SQ8_direct": Codec("8bit_direct", 1),
    "SQ8_direct_signed": Codec("8bit_direct_signed", 1),
}
_KNOWN_FORMS = (
    "Flat, SQ8, SQ6, SQ4, SQfp16, SQbf16, SQ8_direct, SQ8_direct_signed, PQ<M>[x<bits>], "
    "SDC<bits>[x<dimensions>]; "
    "HNSW<M> and HNSW<M>,<any of these>, with ,QG for neighbour blocks unless SDC; "
    "IVF<lists>[_HNSW<M>] or IMI2x<bits>,<any of these, PQ<M>x4fs[r], PQ<M>+<M> or RaBitQ>; "
    "LSH<bits>[r][t], RaBitQ<bits>, RaBitQfs<bits>[_<block>], PQ<M>x4fs[_<block>]; "
    "PCA[W][R]<d>,... or RR[<d>],... or OPQ<M>[_<d>],... or ITQ[<d>],... or Pad<d>,... or "
    "L2norm,... before them, "
    "QA,... before all of those; "
    "IDMap,... or IDMap2,... around them; ...,RFlat or ...,Refine(<codec>) behind them"
)
_KNOWN_BINARY_FORMS = (
    "BFlat, BHNSW<M> and BIVF<lists>[_HNSW<M>]; IDMap,... or IDMap2,... around them"
)

_HNSW = r"HNSW(?P<M>\d*)(_(?P<codec>.*))?"
_SDC = r"SDC(?P<bits>\d*)(x(?P<dims>\d+))?"
_IVF = r"IVF(?P<lists>\d+)(?P<thousands>[kM]?)(_HNSW(?P<graph>\d*))?"
_IMI = r"IMI2x(?P<half_bits>\d+)"
_PQ_FAST = r"PQ(?P<fast_parts>\d+)x4fs(?P<residual>r?)(_(?P<fast_bbs>\d+))?"
_PQ = r"PQ(?P<parts>\d+)(x(?P<part_bits>\d+))?(np)?"
_PQ_REFINED = r"PQ(?P<first>\d+)\+(?P<second>\d+)"
_LSH = r"LSH(?P<nbits>\d*)(?P<r>r?)(?P<t>t?)"
_RABITQ = r"RaBitQ(?P<nb_bits>[1-8]?)"
_RABITQ_FAST = r"RaBitQfs(?P<fast_bits>[1-8]?)(_(?P<bbs>\d+))?"
_BINARY_IVF = r"BIVF(?P<lists>\d+)(_HNSW(?P<graph>\d+))?"
_PCA = r"PCA(?P<w>W?)(?P<r>R?)(?P<d>\d+)"
_RR = r"RR(?P<d>\d*)"
_ITQ = r"ITQ(?P<d>\d*)"
_PAD = r"Pad(?P<d>\d+)"
_OPQ = r"OPQ(?P<opq>\d+)(_(?P<d>\d+))?"
_FORMS = (_HNSW, _IVF, _IMI, _SDC, _PQ, _PQ_FAST, _PQ_REFINED, _LSH, _RABITQ, _RABITQ_FAST)

# What faiss (or a later release of ours) understands and this release cannot build.
_AQ = r"\d+x\d+\w*"
_NOT_YET = re.compile(
    rf"""IVF\d*[kM]?(_NSG\d*|\(.*\))? | Residual\d+(x\d+)?
    | (HR|SH)[\d._]*[gcm]? | MinMax(FP16)?
    | PQ\d+(x\d+)?(np|fsr?)?(_\d+)? | (\d+|2x\d+)\+PQ\d*
    | (RQ|RCQ|LSQ|LSCQ|PRQ|PLSQ){_AQ} | RaBitQ(fs)?9(_\d+)? | SQtqmse\d
    | ZnLattice[\dx_]+ | NSG\d*([,_].*)? | Flat(Dedup|Panorama\d*|L2Panorama\d*)
    | BHash\d+(x\d+)? | SPANN\d*""",
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
        if len(parts) > 2 and parts[1].text == "QA" and parts[0].text.startswith("IVF"):
            # A (x - c) is A x - A c: a linear transform of what lists hold stands before the lists.
            held = 1
            while held < len(parts) - 1 and self.transform(parts[held]):
                held += 1
            return self.index([*parts[1:held], parts[0], *parts[held:]])
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
        for kind, form in (("ITQ", _ITQ), ("Pad", _PAD)):
            if match := re.fullmatch(form, part.text, re.ASCII):
                d_out = match["d"] and self.number(part, match["d"], "dimensions", 1, 1 << 20)
                return Transform(part.text, kind, d_out or None)
        if part.text == "QA":
            return Transform(part.text, "QA", None)
        return Transform(part.text, "L2norm", None) if part.text in ("L2norm", "L2Norm") else None

    def structure(self, parts: list[_Part]) -> Plan:
        if match := re.fullmatch(_HNSW, parts[0].text, re.ASCII):
            plan = self.hnsw(parts[0], match, parts[1:2])
            if len(parts) > 2:
                self.unknown(parts[2])
            return plan
        if match := re.fullmatch(_IVF, parts[0].text, re.ASCII):
            return self.ivf(parts[0], match, parts[1:])
        if match := re.fullmatch(_IMI, parts[0].text, re.ASCII):
            bits = self.number(parts[0], match["half_bits"], "bits", 1, 8)
            return Ivf(1 << 2 * bits, self.listed(parts[0], parts[1:]), half_bits=bits)
        if re.fullmatch(_PQ_REFINED, parts[0].text, re.ASCII):
            self.fail(f"has {_shown(parts[0].text)}, whose codes of what others leave need an IVF")
        plan = self.exhaustive(parts[0])
        if isinstance(plan, PqFastScan) and plan.by_residual:
            self.fail(f"has {_shown(parts[0].text)}, whose residuals need an IVF before it")
        if len(parts) > 1:
            self.unknown(parts[1])
        return plan

    def ivf(self, part: _Part, match: re.Match[str], rest: list[_Part]) -> Plan:
        scale = {"": 1, "k": 1 << 10, "M": 1 << 20}[match["thousands"]]  # as faiss has it
        nlist = scale * self.number(part, match["lists"], "lists", 1, (1 << 26) // scale)
        graph = None
        if match["graph"] is not None:
            graph = self.number(part, match["graph"] or "32", "M", 2, 4096)
        return Ivf(nlist, self.listed(part, rest), graph)

    def listed(
        self, part: _Part, rest: list[_Part]
    ) -> Codec | Pq | PqFastScan | PqRefined | RaBitQ | Sdc:
        """What lists hold."""
        if len(rest) > 1:
            self.unknown(rest[1])
        if not rest:
            what = _shown(part.text)
            self.fail(f"has {what} without the codes its lists hold; for whole vectors add ',Flat'")
        if match := re.fullmatch(_PQ_REFINED, rest[0].text, re.ASCII):
            M, M_refine = (
                self.number(rest[0], match[name], "M", 1, 1 << 20) for name in ("first", "second")
            )
            return PqRefined(M, M_refine)
        return self.scanned(rest[0])

    def fast_scan(self, part: _Part, match: re.Match[str]) -> PqFastScan:
        M = self.number(part, match["fast_parts"], "M", 1, 1 << 20)
        return PqFastScan(M, self.block(part, match["fast_bbs"]), bool(match["residual"]))

    def exhaustive(self, part: _Part) -> Plan:
        if match := re.fullmatch(_LSH, part.text, re.ASCII):
            nbits = match["nbits"] and self.number(part, match["nbits"], "bits", 1, 1 << 20)
            return Lsh(nbits or None, bool(match["r"]), bool(match["t"]))
        return self.scanned(part)

    def scanned(self, part: _Part) -> Codec | Pq | PqFastScan | RaBitQ | Sdc:
        """Codes that are compared one after the other, all or those of lists."""
        if match := re.fullmatch(_RABITQ, part.text, re.ASCII):
            return RaBitQ(int(match["nb_bits"] or 1))
        if match := re.fullmatch(_RABITQ_FAST, part.text, re.ASCII):
            return RaBitQ(int(match["fast_bits"] or 1), self.block(part, match["bbs"]))
        if match := re.fullmatch(_PQ_FAST, part.text, re.ASCII):
            return self.fast_scan(part, match)
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
            return self.binary_graph(d, parts[0], match[1] or "32")
        if len(parts) == 1 and (match := re.fullmatch(_BINARY_IVF, parts[0].text, re.ASCII)):
            nlist = self.number(parts[0], match["lists"], "lists", 1, 1 << 26)
            if match["graph"] is None:
                return _core.IndexBinaryIVF(_core.IndexBinaryFlat(d), d, nlist)
            quantizer = self.binary_graph(d, parts[0], match["graph"])
            return _core.IndexBinaryIVF(quantizer, d, nlist)
        self.fail(f"is of no binary index. Known forms: {_KNOWN_BINARY_FORMS}")

    def binary_graph(self, d: int, part: _Part, digits: str) -> Any:
        return _core.IndexBinaryHNSW(d, self.number(part, digits, "M", 2, 4096))

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
        if re.fullmatch(r"BFlat|BHNSW\d*|BIVF\d+(_HNSW\d+)?", text, re.ASCII):
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
