"""Sharpening a baked texture: optimised through the renderer until its views match the given ones.

Baking averages resampled pictures and so blurs; this pass undoes that where the views agree. Rendering with
fixed cameras is linear in the texels, so each view is four gathers, set up once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .bake import TRUSTED, edge_trust
from .cameras import Cameras
from .rasterize import Rasterizer
from .shade import bilinear_taps
from .types import Mesh
from .visibility import MIN_COSINE, surface_points

if TYPE_CHECKING:
    from jaxtyping import Float, Int


#: Of colours beside image gradients: views differ in tone, which the bake has blended, more than in detail.
COLOUR_WEIGHT = 0.1


@dataclass(frozen=True)
class _View:
    """The pixels of one view that take part.

    taps, shares: the four texels under each pixel [4, p] and their bilinear weights. target: colours [p, c].
    weight: how much each pixel counts [p]. pairs: numbers of pixels next to each other [2, q].
    """

    taps: Int[Tensor, "4 p"]
    shares: Float[Tensor, "4 p"]
    target: Float[Tensor, "p c"]
    weight: Float[Tensor, "p"]
    pairs: Int[Tensor, "2 q"]

    def loss(self, texels: Float[Tensor, "k c"]) -> Tensor:
        """Weighted L1 of colours and of differences between neighbours."""
        seen = (texels[self.taps] * self.shares.unsqueeze(-1)).sum(0)
        error = seen - self.target
        first, second = self.pairs
        both = self.weight[first] * self.weight[second]
        colour = (error.abs().mean(1) * self.weight).sum() / self.weight.sum()
        edges = ((error[first] - error[second]).abs().mean(1) * both).sum() / both.sum().clamp(min=1e-12)
        return COLOUR_WEIGHT * colour + edges


def refine_texture(
    mesh: Mesh,
    cameras: Cameras,
    images: Float[Tensor, "n c h w"],
    texture: Float[Tensor, "c t t"],
    rasterizer: Rasterizer,
    steps: int = 15,
    rate: float = 0.02,
    cosine_power: float = 4.0,
    edge_erosion_px: int = 3,
) -> Float[Tensor, "c t t"]:
    """The texture, closer to the views: L1 of image gradients and of colours, Adam.

    images: one view per camera, in [0, 1]. texture: a baked texture, the start. rate: Adam's step at first,
    falling to 0 along a cosine. Pixels count by cos^power of the viewing angle, less within
    ``edge_erosion_px`` of a silhouette and not at all on it; texels that no pixel shows stay as they are.
    """
    if images.ndim != 4 or len(images) != len(cameras):
        raise ValueError(f"images: expected [{len(cameras)}, c, h, w], one per camera, got {[*images.shape]}")
    if mesh.uvs is None or mesh.uv_faces is None:
        raise ValueError(f"mesh '{mesh.name}': has no texture coordinates; unwrap it first")
    cameras = cameras.to(mesh.vertices.device)
    views = [
        _view(mesh, cameras, i, images[i], texture, rasterizer, cosine_power, edge_erosion_px)
        for i in range(len(cameras))
    ]
    views = [view for view in views if len(view.weight)]
    if steps < 1 or not views:
        return texture
    with torch.inference_mode(False), torch.enable_grad():  # a trainer predicts in inference mode
        views = [replace(view, **{name: t.clone() for name, t in vars(view).items()}) for view in views]
        texels = texture.detach().clone().reshape(len(texture), -1).T.contiguous().requires_grad_()
        optimizer = torch.optim.Adam([texels], lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            optimizer.zero_grad()
            for view in views:
                view.loss(texels).backward()
            optimizer.step()
            schedule.step()
    return texels.detach().clamp(0, 1).T.reshape(texture.shape)


def _view(
    mesh: Mesh,
    cameras: Cameras,
    view: int,
    image: Float[Tensor, "c h w"],
    texture: Tensor,
    rasterizer: Rasterizer,
    cosine_power: float,
    edge_erosion_px: int,
) -> _View:
    assert mesh.uvs is not None
    assert mesh.uv_faces is not None
    size = (image.shape[1], image.shape[2])
    fragments = rasterizer.rasterize(mesh.vertices, mesh.faces, cameras[view : view + 1], size)
    mask = fragments.mask
    cosine = surface_points(mesh, fragments).cosine(cameras, view)
    weight = torch.where(cosine > MIN_COSINE, cosine**cosine_power, 0.0)
    trust = edge_trust(fragments, cameras, edge_erosion_px)[mask]
    weight = weight * torch.where(trust >= TRUSTED, trust, 0.0)
    uvs = fragments.interpolate(mesh.uvs[mesh.uv_faces])[mask]
    height, width = texture.shape[1:]
    taps, shares = bilinear_taps(uvs[:, 0] * width, (1.0 - uvs[:, 1]) * height, (height, width))
    used = weight > 0
    number = torch.full(size, -1, dtype=torch.int64, device=mask.device)
    number[mask[0]] = torch.where(used, used.cumsum(0) - 1, -1)
    pairs = torch.cat(
        [
            torch.stack((number[:-1].flatten(), number[1:].flatten())),
            torch.stack((number[:, :-1].flatten(), number[:, 1:].flatten())),
        ],
        dim=1,
    )
    return _View(
        torch.stack(taps)[:, used],
        torch.stack(shares)[:, used],
        image[:, mask[0]].T[used],
        weight[used],
        pairs[:, (pairs >= 0).all(0)],
    )
