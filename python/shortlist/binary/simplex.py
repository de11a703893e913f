"""A classifier whose weights never move, so that models trained with it agree on directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SimplexClassifier(nn.Module):
    """Logits against the vertices of a regular simplex, which are fixed before any class is seen.

    Features of two models, or of one model before and after new classes came, are stationary when
    both were trained under the same fixed vertices: class k always points to vertex k. So old
    features stay comparable with new ones. Biondi et al. 2024, "Stationary Representations:
    Optimally Approximating Compatibility and Implications for Improved Model Replacements".

    n_classes: the classes there may ever be; those not yet seen are allocated too, as the paper
    asks. Features then have n_classes - 1 dimensions (`features`). scale: the logits are
    scale * cos(feature, vertex).
    """

    weight: Tensor  # (n_classes, n_classes - 1), unit rows, <w_i, w_j> = -1 / (n_classes - 1)

    def __init__(self, n_classes: int, *, scale: float = 16.0) -> None:
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"n_classes is {n_classes}; expected at least 2")
        if not scale > 0:
            raise ValueError(f"scale is {scale}; expected more than 0")
        self.scale = scale
        self.register_buffer("weight", _simplex(n_classes))

    @property
    def features(self) -> int:
        """The dimension of the features."""
        return self.weight.shape[1]

    def forward(self, features: Tensor) -> Tensor:
        """(n, features) floats to (n, n_classes) logits. Raises ValueError for another shape."""
        if features.ndim != 2 or features.shape[1] != self.features:
            raise ValueError(
                f"features have shape {tuple(features.shape)}; expected (n, {self.features}), one "
                "dimension less than classes: put a linear layer in front"
            )
        unit = nn.functional.normalize(features, dim=1)
        return self.scale * unit @ self.weight.to(unit.dtype).T


def _simplex(n: int) -> Tensor:
    """e_1 .. e_d and one vertex as far from all of them, moved to the centre and made unit."""
    d = n - 1
    vertices = torch.eye(n, d, dtype=torch.float64)
    vertices[d] = (1 - (d + 1) ** 0.5) / d
    vertices -= vertices.mean(0)
    return nn.functional.normalize(vertices, dim=1).float()
