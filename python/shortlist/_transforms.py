"""What index descriptions say of transforms: "PCA64," and its like, as plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core
from ._plans import Pq

if TYPE_CHECKING:
    from ._plans import Plan

__all__ = ["PreTransform", "Transform"]


@dataclass(frozen=True)
class Transform:
    """One step of the vectors on their way to an index."""

    text: str
    kind: str  # PCA, RR, L2norm, OPQ, QA, ITQ or Pad
    d_out: int | None  # None: d
    whitened: bool = False
    rotated: bool = False
    M: int = 0  # of an OPQ

    def build(self, d: int, nbits: int | None = None) -> Any:
        """The transform; `nbits` are those of the product quantiser right behind it."""
        if self.kind == "L2norm":
            return _core.NormalizationTransform(d)
        if self.kind == "Pad":
            return _core.RemapDimensionsTransform(d, self.d_after(d), False)
        if self.kind == "QA":
            return _core.QueryAwareTransform(d)
        if self.kind == "RR":
            return _core.RandomRotationMatrix(d, self.d_after(d))
        if self.kind == "OPQ":
            if self.d_after(d) % self.M:
                raise _core.FactoryError(
                    f"{self.text!r} cannot cut vectors of {self.d_after(d)} dimensions into "
                    f"{self.M} equal parts; choose a divisor, or OPQ{self.M}_<dimensions>"
                )
            opq = _core.OPQMatrix(d, self.M, self.d_after(d))
            if nbits:
                opq.pq = _core.ProductQuantizer(opq.d_out, self.M, nbits)
            return opq
        if self.kind == "ITQ" and self.d_out is None:
            return _core.ITQTransform(d, d, False)
        if self.d_after(d) > d:
            raise _core.FactoryError(
                f"{self.text!r} asks for {self.d_out} principal components, but the vectors "
                f"there have {d} dimensions; ask for at most {self.kind}{d}"
            )
        if self.kind == "ITQ":
            return _core.ITQTransform(d, self.d_after(d), True)
        power = -0.5 if self.whitened else 0.0
        return _core.PCAMatrix(d, self.d_after(d), power, self.rotated)

    def d_after(self, d: int) -> int:
        if self.kind == "Pad" and self.d_out is not None:
            return max(d, self.d_out)
        return d if self.d_out is None else self.d_out


@dataclass(frozen=True)
class PreTransform:
    chain: tuple[Transform, ...]
    inner: Plan

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        transforms = []
        for plan in self.chain:
            last = plan is self.chain[-1]
            codec = getattr(self.inner, "codec", self.inner)  # a graph's or a list's, or itself
            transforms.append(plan.build(d, getattr(codec, "part_bits", None) if last else None))
            d = plan.d_after(d)
        index = _core.IndexPreTransform(self.behind(d, metric, dtype))
        for transform in reversed(transforms):
            index.prepend_transform(transform)
        return index

    def behind(self, d: int, metric: int, dtype: str) -> Any:
        if self.chain[0].kind != "QA" or metric != _core.METRIC_L2:
            return self.inner.build(d, metric, dtype)
        if not isinstance(self.inner, Pq):
            raise _core.FactoryError(
                "'QA' before other codes than PQ<M>[x<bits>], all compared, needs inner products; "
                "pass METRIC_INNER_PRODUCT, or for L2 'QA,OPQ<M>,PQ<M>'"
            )
        return self.inner.build_with_offset(d)

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        for plan in self.chain:
            d = plan.d_after(d)
        return self.inner.bytes_per_vector(d, dtype)

    def stores_flat(self) -> bool:
        return self.inner.stores_flat()

    def needs_training(self) -> bool:
        return self.inner.needs_training() or any(
            t.kind not in ("L2norm", "Pad") for t in self.chain
        )
