"""Pictures of a mesh: textured renderings, and the depth and normal images that condition a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .cameras import Cameras
from .rasterize import Rasterizer, get_rasterizer
from .types import Fragments, Mesh

if TYPE_CHECKING:
    from jaxtyping import Float

WHITE = (1.0, 1.0, 1.0)
#: A corner whose vertex normal leans further than this from its face lies on a crease and stays sharp.
CREASE = math.radians(30.0)


def render_textured(
    mesh: Mesh,
    texture: Float[Tensor, "c th tw"],
    cameras: Cameras,
    size: tuple[int, int],
    rasterizer: Rasterizer | None = None,
    background: Sequence[float] = WHITE,
    supersample: int = 2,
    headlight: float = 0.0,
) -> Float[Tensor, "n c h w"]:
    """Views of a textured mesh, (height, width) = ``size``; differentiable in the texture.

    background: one value per channel. supersample: samples per pixel along each axis, averaged.
    headlight: share of the light that comes from the camera's direction, in [0, 1]; the rest is ambient.
    """
    if mesh.uvs is None or mesh.uv_faces is None:
        raise ValueError(f"mesh '{mesh.name}': has no texture coordinates; unwrap it first")
    if texture.ndim != 3 or len(background) != len(texture):
        raise ValueError(
            f"texture, background: expected [c, h, w] and c values, got {[*texture.shape]}, {len(background)}"
        )
    rasterizer = rasterizer or get_rasterizer()
    fine = (size[0] * supersample, size[1] * supersample)
    images = []
    for view in range(len(cameras)):
        camera = cameras[view : view + 1]
        fragments = rasterizer.rasterize(mesh.vertices, mesh.faces, camera, fine)
        colour = sample_texture(texture, fragments.interpolate(mesh.uvs[mesh.uv_faces])[fragments.mask])
        if headlight:
            colour = colour * (1 - headlight + headlight * _facing(mesh, fragments, camera)).unsqueeze(1)
        plain = colour.new_tensor(background).expand(*fragments.face.shape, -1)
        image = plain.index_put(fragments.mask.nonzero(as_tuple=True), colour).movedim(-1, 1)
        images.append(torch.nn.functional.avg_pool2d(image, supersample))
    return torch.cat(images)


def sample_texture(texture: Float[Tensor, "c h w"], uvs: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
    """Bilinear look-up, clamped at the border; texel centres at i + 1/2, row 0 at v = 1.

    Gathers, so that it and its gradient in ``texture`` are deterministic and work on every device.
    """
    height, width = texture.shape[1:]
    flat = texture.reshape(len(texture), -1).T
    index, weight = bilinear_taps(uvs[:, 0] * width, (1.0 - uvs[:, 1]) * height, (height, width))
    taps = [flat[tap] * part.unsqueeze(1) for tap, part in zip(index, weight, strict=True)]
    return torch.stack(taps).sum(0)


def bilinear_taps(
    x: Float[Tensor, "p"], y: Float[Tensor, "p"], size: tuple[int, int]
) -> tuple[list[Tensor], list[Tensor]]:
    """The four pixels around each position (x, y), clamped to the image: row-major indices and weights."""
    height, width = size
    x, y = (x - 0.5).clamp(0, width - 1), (y - 0.5).clamp(0, height - 1)
    left, top = (
        x.detach().floor().clamp(max=max(width - 2, 0)),
        y.detach().floor().clamp(max=max(height - 2, 0)),
    )
    fx, fy = x - left, y - top
    corner = top.long() * width + left.long()
    right, below = min(width - 1, 1), min(height - 1, 1) * width
    index = [corner, corner + right, corner + below, corner + below + right]
    return index, [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]


def depth_images(fragments: Fragments) -> Float[Tensor, "n 3 h w"]:
    """Inverse depth stretched per view: nearest 1, farthest and background 0, for depth ControlNets."""
    mask = fragments.mask
    inverse = torch.where(mask, 1.0 / fragments.depth.clamp(min=1e-6), 0.0)
    nearest = inverse.amax((1, 2), keepdim=True)
    farthest = torch.where(mask, inverse, torch.inf).amin((1, 2), keepdim=True)
    drop = (nearest - inverse) / (nearest - farthest).clamp(min=1e-6)
    return torch.where(mask, 1.0 - drop, 0.0).unsqueeze(1).expand(-1, 3, -1, -1)


def normal_images(mesh: Mesh, cameras: Cameras, fragments: Fragments) -> Float[Tensor, "n 3 h w"]:
    """Normals in camera space as (n + 1) / 2: red to the right, green up, blue towards the viewer.

    A face seen from behind shows its back's normal. Background looks at the viewer, (0.5, 0.5, 1).
    """
    cameras = cameras.to(mesh.vertices.device)
    flat = mesh.face_normals().unsqueeze(1).expand(-1, 3, -1)
    attributes = torch.cat((mesh.vertices[mesh.faces], corner_normals(mesh), flat), dim=-1)
    position, smooth, flat = fragments.interpolate(attributes).split(3, dim=-1)
    towards = cameras.positions[:, None, None] - position
    facing = torch.where((towards * flat).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    seen = torch.einsum("nij,nhwj->nhwi", cameras.world_to_view[:, :3, :3], smooth * facing)
    ahead = seen.new_tensor([0.0, 0.0, 1.0])
    seen = torch.where(fragments.mask.unsqueeze(-1), torch.nn.functional.normalize(seen, dim=-1), ahead)
    return (0.5 + 0.5 * seen).movedim(-1, 1)


def corner_normals(mesh: Mesh) -> Float[Tensor, "f 3 3"]:
    """Unit normals per face corner: area-weighted vertex normals, or the face's own across a crease."""
    vertices, faces = mesh.vertices.detach().cpu(), mesh.faces.cpu()
    a, b, c = vertices[faces].unbind(1)
    area = torch.linalg.cross(b - a, c - a)
    smooth = torch.zeros_like(vertices).index_add_(0, faces.flatten(), area.repeat_interleave(3, 0))
    smooth = torch.nn.functional.normalize(smooth, dim=-1, eps=1e-20)[faces]
    flat = torch.nn.functional.normalize(area, dim=-1, eps=1e-20).unsqueeze(1)
    gentle = (smooth * flat).sum(-1, keepdim=True) > math.cos(CREASE)
    return torch.where(gentle, smooth, flat).to(mesh.vertices.device)


def _facing(mesh: Mesh, fragments: Fragments, camera: Cameras) -> Float[Tensor, "p"]:
    """|cosine| between normal and view direction at the covered pixels."""
    attributes = torch.cat((mesh.vertices[mesh.faces], corner_normals(mesh)), dim=-1)
    position, normal = fragments.interpolate(attributes)[fragments.mask].split(3, dim=-1)
    towards = torch.nn.functional.normalize(camera.to(position.device).positions - position, dim=-1)
    return (towards * torch.nn.functional.normalize(normal, dim=-1)).sum(-1).abs()
