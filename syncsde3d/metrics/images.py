"""Measures of images: how different two pictures look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


def perceptual_distance(
    first: Sequence[Float[Tensor, "n _ _ _"]],
    second: Sequence[Float[Tensor, "n _ _ _"]],
    where: Bool[Tensor, "n h w"] | None = None,
) -> Float[Tensor, " n"]:
    """LPIPS with equal weights (arXiv:1801.03924): squared distance of a network's unit features.

    first, second: feature maps of the two pictures, a tensor [n, c, h, w] per layer, with positive or
    negative values. where: pixels that count; each layer weighs its places by the share of such pixels under
    them. Returns the mean over layers of the mean over places, 0 for equal pictures, at most 4.
    Raises ValueError for no layers, layers that do not match, and a region without pixels.
    """
    if not first or [x.shape for x in first] != [x.shape for x in second]:
        shapes = [[list(x.shape) for x in maps] for maps in (first, second)]
        raise ValueError(
            f"first, second: expected equal layers, at least one, got {shapes[0]} and {shapes[1]}"
        )
    if where is not None and not where.flatten(1).any(1).all():
        raise ValueError("where: expected at least one pixel in every picture's region, got none")
    distances = []
    for a, b in zip(first, second, strict=True):
        places = (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1)
        weight = torch.ones_like(places)
        if where is not None:
            weight = F.interpolate(where[:, None].to(places), a.shape[-2:], mode="area")[:, 0]
        distances.append((places * weight).sum((1, 2)) / weight.sum((1, 2)))
    return torch.stack(distances).mean(0)
