"""From an index to its factory string, and from that to the bytes of a vector."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NoReturn

from .. import _core
from .._plans import Hnsw, IdMap, Ivf, Plan, PqRefined, Refine
from .._transforms import PreTransform
from ..factory import _CODECS, parse

__all__ = ["get_code_size", "get_hnsw_M", "reverse_index_factory"]


def get_code_size(d: int, indexkey: str) -> int:
    """Bytes of one vector of d dimensions in an index_factory(d, indexkey).

    Codes, those of a refinement, and as in faiss the 2 M links of an HNSW graph's ground level, 4
    bytes each; no ids. Raises FactoryError for a string that index_factory does not take.
    """
    return _code_size(parse(indexkey), d)


def _code_size(plan: Plan, d: int) -> int:
    if isinstance(plan, PreTransform):
        for transform in plan.chain:
            d = transform.d_after(d)
        return _code_size(plan.inner, d)
    if isinstance(plan, Refine):
        return _code_size(plan.base, d) + _code_size(plan.codec, d)
    if isinstance(plan, IdMap):
        return _code_size(plan.inner, d)
    if isinstance(plan, Hnsw):
        return _code_size(plan.codec, d) + 2 * plan.M * 4
    if isinstance(plan, Ivf):
        if isinstance(plan.codec, PqRefined):
            return plan.codec.M + plan.codec.M_refine
        return _code_size(plan.codec, d)
    size: int = plan.build(d, _core.METRIC_L2).sa_code_size()
    return size


def get_hnsw_M(index: Any) -> int:
    """Links per node of an HNSW index."""
    M: int = index.hnsw.nb_neighbors(1)
    return M


@singledispatch
def reverse_index_factory(index: Any) -> str:
    """The description from which index_factory, or index_binary_factory, makes such an index.

    What a description does not say is left out: the metric, parameters of searches and training,
    trained encoders, and vectors. Raises UnsupportedError where no description makes such an index,
    as of one with dtype="uint8".
    """
    _refuse(f"no index description makes {type(index).__name__}")


def _refuse(why: str) -> NoReturn:
    raise _core.UnsupportedError(f"{why}; keep the index itself, by save or write_index")


def _of_float32(index: Any) -> str:
    if index.dtype != "float32":
        _refuse(f"no index description makes vectors of dtype {index.dtype!r}")
    return "Flat"


def _named(sq: Any) -> str:
    for name, codec in _CODECS.items():
        if codec.qtype and codec.quantizer_type() == sq.qtype:
            return name
    _refuse(f"no index description makes quantizer type {sq.qtype}")


def _bits(name: str, bits: int) -> str:
    return name if bits == 1 else f"{name}{bits}"


def _blocks(bbs: int) -> str:
    return "" if bbs == 32 else f"_{bbs}"


def _pq(pq: Any) -> str:
    return f"PQ{pq.M}x{pq.nbits}"


def _sdc(index: Any) -> str:
    if index.code_dim % 64 or index.code_dim < index.d:
        _refuse(f"no index description makes SDC codes of {index.code_dim} dimensions")
    dims = "" if index.code_dim == -(-index.d // 64) * 64 else f"x{index.code_dim}"
    return f"SDC{index.bits}{dims}"


@singledispatch
def _listed(index: Any) -> str:
    """The codes in lists."""
    return reverse_index_factory.dispatch(object)(index)


_of, _in_lists = reverse_index_factory.register, _listed.register


@_of(_core.IndexFlat)
@_in_lists(_core.IndexIVFFlat)
def _flat(index: Any) -> str:
    return _of_float32(index)


@_of(_core.IndexScalarQuantizer)
@_in_lists(_core.IndexIVFScalarQuantizer)
def _scalar(index: Any) -> str:
    return _named(index.sq)


@_of(_core.IndexPQ)
@_in_lists(_core.IndexIVFPQ)
def _product(index: Any) -> str:
    return _pq(index.pq)


@_of(_core.IndexPQFastScan)
def _product_blocks(index: Any) -> str:
    return f"{_pq(index.pq)}fs{_blocks(index.bbs)}"


@_of(_core.IndexLSH)
def _lsh(index: Any) -> str:
    nbits = "" if index.nbits == index.d else index.nbits
    return f"LSH{nbits}{'r' * index.rotate_data}{'t' * index.train_thresholds}"


@_of(_core.IndexSDC)
@_of(_core.IndexSDCRows)
@_in_lists(_core.IndexIVFSDC)
def _odd_integer(index: Any) -> str:
    return _sdc(index)


@_of(_core.IndexRaBitQ)
@_in_lists(_core.IndexIVFRaBitQ)
def _rabitq(index: Any) -> str:
    return _bits("RaBitQ", index.rabitq.nb_bits)


@_of(_core.IndexRaBitQFastScan)
@_in_lists(_core.IndexIVFRaBitQFastScan)
def _rabitq_blocks(index: Any) -> str:
    return _bits("RaBitQfs", index.rabitq.nb_bits) + _blocks(index.bbs)


@_of(_core.IndexHNSW)
def _graph(index: Any) -> str:
    codes = reverse_index_factory(index.storage)
    name = f"HNSW{get_hnsw_M(index)}" + ("" if codes == "Flat" else f",{codes}")
    return f"{name},QG" if index.neighbor_blocks else name


@_of(_core.IndexIVF)
def _lists(index: Any) -> str:
    return f"{_coarse(index)},{_listed(index)}"


def _coarse(index: Any) -> str:
    quantizer = index.quantizer
    if isinstance(quantizer, _core.IndexFlat):
        return f"IVF{index.nlist}"
    if isinstance(quantizer, _core.IndexHNSWFlat):
        return f"IVF{index.nlist}_HNSW{get_hnsw_M(quantizer)}"
    if isinstance(quantizer, _core.MultiIndexQuantizer) and quantizer.pq.M == 2:
        return f"IMI2x{quantizer.pq.nbits}"
    _refuse(f"no index description makes lists that {quantizer!r} finds")


@_in_lists(_core.IndexIVFPQR)
def _listed_refined(index: Any) -> str:
    for pq in (index.pq, index.refine_pq):
        if pq.nbits != 8:
            _refuse(f"no index description makes lists of refined codes of {pq.nbits} bits a part")
    return f"PQ{index.pq.M}+{index.refine_pq.M}"


@_in_lists(_core.IndexIVFPQFastScan)
def _listed_blocks(index: Any) -> str:
    return f"{_pq(index.pq)}fs{'r' * index.by_residual}{_blocks(index.bbs)}"


@_of(_core.IndexRefine)
def _refined(index: Any) -> str:
    codes = reverse_index_factory(index.refine_index)
    return f"{reverse_index_factory(index.base_index)},Refine({codes})"


@_of(_core.IndexRefineFlat)
def _refined_flat(index: Any) -> str:
    _of_float32(index.refine_index)
    return f"{reverse_index_factory(index.base_index)},RFlat"


@_of(_core.IndexIDMap)
def _mapped(index: Any) -> str:
    return f"{type(index).__name__.removeprefix('Index')},{reverse_index_factory(index.index)}"


@_of(_core.IndexPreTransform)
def _behind(index: Any) -> str:
    chain = [_transform(index.chain.at(i)) for i in range(index.chain.size())]
    if not chain:
        _refuse("no index description makes an IndexPreTransform without transforms")
    return ",".join([*chain, reverse_index_factory(index.index)])


@singledispatch
def _transform(transform: Any) -> str:
    """A step before an index."""
    return reverse_index_factory.dispatch(object)(transform)


_step = _transform.register


@_step(_core.PCAMatrix)
def _pca(transform: Any) -> str:
    if transform.eigen_power not in (0, -0.5):
        _refuse(f"no index description makes a PCAMatrix of eigen_power {transform.eigen_power}")
    letters = "W" * (transform.eigen_power != 0) + "R" * transform.random_rotation
    return f"PCA{letters}{transform.d_out}"


@_step(_core.OPQMatrix)
def _opq(transform: Any) -> str:
    return f"OPQ{transform.M}_{transform.d_out}"


@_step(_core.RandomRotationMatrix)
def _rotation(transform: Any) -> str:
    return f"RR{transform.d_out}"


@_step(_core.NormalizationTransform)
def _normalization(transform: Any) -> str:
    return "L2norm"


@_step(_core.ITQTransform)
def _itq(transform: Any) -> str:
    return f"ITQ{transform.d_out}" if transform.do_pca else "ITQ"


@_step(_core.QueryAwareTransform)
def _query_aware(transform: Any) -> str:
    return "QA"


@_step(_core.RemapDimensionsTransform)
def _padding(transform: Any) -> str:
    d = transform.d_in
    kept = [i if i < d else -1 for i in range(transform.d_out)]
    if transform.d_out < d or transform.map.tolist() != kept:
        _refuse("no index description makes a RemapDimensionsTransform other than zeros behind")
    return f"Pad{transform.d_out}"


@_of(_core.IndexBinaryFlat)
def _binary_flat(index: Any) -> str:
    return "BFlat"


@_of(_core.IndexBinaryHNSW)
def _binary_graph(index: Any) -> str:
    return f"BHNSW{get_hnsw_M(index)}"


@_of(_core.IndexBinaryIVF)
def _binary_lists(index: Any) -> str:
    if isinstance(index.quantizer, _core.IndexBinaryFlat):
        return f"BIVF{index.nlist}"
    if isinstance(index.quantizer, _core.IndexBinaryHNSW):
        return f"BIVF{index.nlist}_HNSW{get_hnsw_M(index.quantizer)}"
    _refuse(f"no index description makes lists that {index.quantizer!r} finds")


@_of(_core.IndexBinaryIDMap)
def _binary_mapped(index: Any) -> str:
    name = type(index).__name__.removeprefix("IndexBinary")
    return f"{name},{reverse_index_factory(index.index)}"
