"""What index descriptions say of transforms: "PCA64," and its like, as plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    from ._plans import Plan

__all__ = ["PreTransform", "Transform"]


@dataclass(frozen=True)
class Transform:
    """One step of the vectors on their way to an index."""

    text: str
    kind: str  # PCA, RR or L2norm
    d_out: int | None  # None: d
    whitened: bool = False
    rotated: bool = False

    def build(self, d: int) -> Any:
        if self.kind == "L2norm":
            return _core.NormalizationTransform(d)
        if self.kind == "RR":
            return _core.RandomRotationMatrix(d, self.d_after(d))
        if self.d_after(d) > d:
            raise _core.FactoryError(
                f"{self.text!r} asks for {self.d_out} principal components, but the vectors "
                f"there have {d} dimensions; ask for at most PCA{d}"
            )
        power = -0.5 if self.whitened else 0.0
        return _core.PCAMatrix(d, self.d_after(d), power, self.rotated)

    def d_after(self, d: int) -> int:
        return d if self.d_out is None else self.d_out


@dataclass(frozen=True)
class PreTransform:
    chain: tuple[Transform, ...]
    inner: Plan

    def build(self, d: int, metric: int, dtype: str = "float32") -> Any:
        transforms = []
        for plan in self.chain:
            transforms.append(plan.build(d))
            d = plan.d_after(d)
        index = _core.IndexPreTransform(self.inner.build(d, metric, dtype))
        for transform in reversed(transforms):
            index.prepend_transform(transform)
        return index

    def bytes_per_vector(self, d: int, dtype: str = "float32") -> float:
        for plan in self.chain:
            d = plan.d_after(d)
        return self.inner.bytes_per_vector(d, dtype)

    def stores_flat(self) -> bool:
        return self.inner.stores_flat()

    def needs_training(self) -> bool:
        return self.inner.needs_training() or any(t.kind != "L2norm" for t in self.chain)
