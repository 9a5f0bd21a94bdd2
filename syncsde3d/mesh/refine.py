"""Sharpen a baked texture: optimise it through the renderer until its pictures are the views again.

A gather blends and so blurs; here every texel is moved, by gradient descent, to where the rendered views
match the given ones in colour (L1) and in the differences of neighbouring pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .bake import edge_trust
from .cameras import Cameras
from .rasterize import Rasterizer
from .shade import sample_texture
from .types import Mesh

if TYPE_CHECKING:
    from jaxtyping import Float


def refine_texture(
    mesh: Mesh,
    cameras: Cameras,
    images: Float[Tensor, "n c h w"],
    texture: Float[Tensor, "c t t"],
    rasterizer: Rasterizer,
    steps: int = 60,
    learning_rate: float = 0.02,
    gradient_weight: float = 1.0,
    edge_erosion_px: int = 3,
) -> Float[Tensor, "c t t"]:
    """The texture whose renderings are closest to ``images``, started from ``texture``; both in [0, 1].

    steps, learning_rate: of Adam. gradient_weight: of the image differences beside the colours.
    edge_erosion_px: pixels this close to a silhouette count less, as in :func:`~syncsde3d.mesh.bake.bake`.
    """
    if mesh.uvs is None or mesh.uv_faces is None:
        raise ValueError(f"mesh '{mesh.name}': has no texture coordinates; unwrap it first")
    if images.ndim != 4 or len(images) != len(cameras):
        raise ValueError(f"images: expected [{len(cameras)}, c, h, w], one per camera, got {[*images.shape]}")
    size = (images.shape[2], images.shape[3])
    fragments = rasterizer.rasterize(mesh.vertices, mesh.faces, cameras.to(mesh.vertices.device), size)
    trust = edge_trust(fragments, cameras, edge_erosion_px)
    where = fragments.mask
    at = fragments.interpolate(mesh.uvs[mesh.uv_faces])[where]
    with torch.enable_grad():
        texels = texture.detach().clone().requires_grad_(True)
        optimiser = torch.optim.Adam([texels], lr=learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            seen = images.movedim(1, -1).index_put((where,), sample_texture(texels, at)).movedim(-1, 1)
            error = (seen - images) * trust.unsqueeze(1)
            loss = error.abs().mean()
            for axis in (2, 3):
                loss = loss + gradient_weight * error.diff(dim=axis).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return texels.detach().clamp(0, 1)
