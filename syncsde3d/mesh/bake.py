"""Views into one texture: a texel-centred gather, blended by how well each view sees the surface.

Every texel's surface point is projected into every view that sees it and reads four pixels there. A pixel
counts only where its own surface lies at the texel's depth, so neither background nor a nearer part bleeds
in, and less near silhouettes, where pictures are blurred. What no view shows is filled from the nearest
painted points *of the surface* (in 3D), and the islands are padded, so that filtering does not bleed over
their borders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .cameras import Cameras
from .fill import extend_islands, fill_surface, near_a, pad_islands
from .rasterize import Rasterizer
from .shade import bilinear_taps
from .types import Fragments, Mesh
from .visibility import MIN_COSINE, SurfacePoints, Visibility, depth_bias, project, surface_points

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

#: Texels that no view shows with at least this trust are repainted from trusted ones, if any are near.
TRUSTED = 0.5


@dataclass(frozen=True)
class BakedTexture:
    """A texture and where it comes from; row 0 is the top (v = 1).

    texture: colours [c, t, t], everywhere. coverage: texels that took their colour from a view [t, t].
    islands: texels whose centre lies on the surface [t, t]; the others are padding.
    """

    texture: Float[Tensor, "c t t"]
    coverage: Bool[Tensor, "t t"]
    islands: Bool[Tensor, "t t"]

    @property
    def seen(self) -> float:
        """Share of the surface's texels that took their colour from a view."""
        return self.coverage.sum().item() / max(self.islands.sum().item(), 1)


def bake(
    mesh: Mesh,
    cameras: Cameras,
    images: Float[Tensor, "n c h w"],
    rasterizer: Rasterizer,
    texture_size: int = 1024,
    cosine_power: float = 6.0,
    edge_erosion_px: int = 3,
    visibility: Visibility | None = None,
) -> BakedTexture:
    """The texture that the views show.

    images: one view per camera, any range. cosine_power: views are blended by cos^power of the viewing angle.
    edge_erosion_px: pixels this close to a silhouette (in image pixels) count less, those on it least.
    visibility: depth buffers to reuse. Raises ValueError when no view sees any of the mesh.
    """
    if mesh.uvs is None or mesh.uv_faces is None:
        raise ValueError(f"mesh '{mesh.name}': has no texture coordinates; unwrap it first")
    if images.ndim != 4 or len(images) != len(cameras):
        raise ValueError(f"images: expected [{len(cameras)}, c, h, w], one per camera, got {[*images.shape]}")
    cameras, images = cameras.to(mesh.vertices.device), images.to(mesh.vertices)
    size = (images.shape[2], images.shape[3])
    visibility = visibility or Visibility.of(mesh, cameras, rasterizer)
    texels = rasterizer.rasterize_uv(mesh.uvs, mesh.uv_faces, (texture_size, texture_size))
    islands = texels.mask[0]
    if not islands.any():
        raise ValueError(f"texture_size: {texture_size} leaves no texel on the charts of mesh '{mesh.name}'")
    texels = extend_islands(texels, mesh.uvs[mesh.uv_faces])
    points = surface_points(mesh, texels)
    colours, trust = torch.zeros(len(points), images.shape[1]).to(images), torch.zeros(len(points)).to(images)
    exact = torch.float32 if images.device.type == "mps" else torch.float64
    total, weights = colours.to(exact), trust.to(exact)
    for view in range(len(cameras)):
        fragments = rasterizer.rasterize(mesh.vertices, mesh.faces, cameras[view : view + 1], size)
        cosine = visibility.cosine(points, view)
        seen = (cosine > 0).nonzero().squeeze(1)
        clean = edge_trust(fragments, cameras, edge_erosion_px)
        colour, sure = _gather(points[seen], cosine[seen], cameras, view, images[view], fragments, clean)
        weight = (cosine[seen] ** cosine_power * sure).to(exact)
        total[seen] += colour.to(exact) * weight.unsqueeze(1)
        weights[seen] += weight
        trust[seen] = torch.maximum(trust[seen], sure)
    if not weights.any():
        raise ValueError(f"mesh '{mesh.name}': no texel is seen by any of the {len(cameras)} cameras")
    colours = (total / weights.clamp(min=1e-30).unsqueeze(1)).to(images)
    grazing_pixel = 2 * math.tan(cameras.fov / 2) / size[0] / MIN_COSINE  # at depth 1, world units
    painted, sources = _reliable(weights > 0, trust, points.position, edge_erosion_px * grazing_pixel)
    colours = fill_surface(colours, painted, sources, points.position)
    region = texels.mask[0]
    coverage = region.clone()
    coverage[region] = painted
    return BakedTexture(pad_islands(colours, region), coverage & islands, islands)


def _reliable(
    seen: Bool[Tensor, "p"], trust: Float[Tensor, "p"], position: Float[Tensor, "p 3"], reach: float
) -> tuple[Bool[Tensor, "p"], Bool[Tensor, "p"]]:
    """The seen points that keep their colour, and those that may lend it to others.

    A point shown only by pixels on silhouettes is better painted from trusted neighbours within ``reach``; on
    parts too thin to have any, it keeps what it has, but lends it to none.
    """
    good = seen & (trust >= TRUSTED)
    if not good.any():
        return seen, seen
    doubtful = seen & ~good
    return seen & ~near_a(good, doubtful, position, reach), good


def edge_trust(
    fragments: Fragments, cameras: Cameras, reach: int, floor: float = 1e-3
) -> Float[Tensor, "n h w"]:
    """How far each pixel can be trusted to show its own surface only: ``floor`` on silhouettes, 1 inside.

    Silhouettes are pixels beside the background or beside a step in depth; trust grows linearly over
    ``reach`` pixels from there.
    """
    mask, height = fragments.mask, fragments.face.shape[1]
    depth = torch.where(mask, fragments.depth, torch.inf)
    around = lambda values: torch.nn.functional.max_pool2d(values, 3, stride=1, padding=1)  # noqa: E731
    step = torch.maximum(around(depth) - depth, depth + around(-depth))
    steepest = depth_bias(depth.new_zeros(()), depth, cameras, height)
    edge = (~mask | (step > steepest)).float()
    trust = torch.full_like(depth, floor) if reach else torch.ones_like(depth)
    for distance in range(1, reach + 1):
        trust = torch.where(edge > 0, trust, distance / reach)
        edge = around(edge)
    return trust * mask


def _gather(
    points: SurfacePoints,
    cosine: Tensor,
    cameras: Cameras,
    view: int,
    image: Float[Tensor, "c h w"],
    fragments: Fragments,
    trust: Float[Tensor, "1 h w"],
) -> tuple[Float[Tensor, "p c"], Float[Tensor, "p"]]:
    """Colour and trust of points as one view shows them; both 0 where none of the four pixels qualifies."""
    size = (image.shape[1], image.shape[2])
    at, depth = project(points.position, cameras, view, size)
    allowed = depth_bias(cosine, depth, cameras, size[0])
    pixels, seen_depth, trust = image.reshape(len(image), -1).T, fragments.depth.flatten(), trust.flatten()
    colour, total = image.new_zeros(len(points), len(image)), image.new_zeros(len(points))
    for tap, weight in zip(*bilinear_taps(at[:, 0], at[:, 1], size), strict=True):
        weight = weight * trust[tap] * ((seen_depth[tap] - depth).abs() <= allowed)
        colour += pixels[tap] * weight.unsqueeze(1)
        total += weight
    return colour / total.clamp(min=1e-12).unsqueeze(1), total
