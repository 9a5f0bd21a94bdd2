"""Small shapes with texture coordinates, and a known colour everywhere in space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from syncsde3d.mesh.cameras import Cameras
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.types import Mesh

MAGENTA = (1.0, 0.0, 1.0)


def torus(major: int = 64, minor: int = 32, radius: float = 0.6, tube: float = 0.3) -> Mesh:
    """A closed, outward torus about the y axis; one chart in [0.1, 0.9]^2 with seams along both circles."""
    row, column = torch.meshgrid(torch.arange(major + 1), torch.arange(minor + 1), indexing="ij")
    around, across = row * (2 * math.pi / major), column * (2 * math.pi / minor)
    out = radius + tube * across.cos()
    grid = torch.stack((out * around.sin(), tube * across.sin(), out * around.cos()), -1)
    uvs = 0.1 + 0.8 * torch.stack((row / major, column / minor), -1).reshape(-1, 2)
    corner = torch.arange((major + 1) * (minor + 1)).reshape(major + 1, minor + 1)
    a, b, c, d = (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:])
    uv_faces = torch.cat([torch.stack(f, -1).reshape(-1, 3) for f in ((a, b, c), (a, c, d))])
    vertex = (row % major) * minor + column % minor
    return Mesh(grid[:-1, :-1].reshape(-1, 3), vertex.flatten()[uv_faces], uvs, uv_faces)


def quads(*corners: list[list[float]]) -> Mesh:
    """Separate rectangles, each given by four corners, side by side in texture space with gaps between."""
    vertices = torch.tensor(corners).reshape(-1, 3)
    first = 4 * torch.arange(len(corners)).unsqueeze(1)
    faces = (first.unsqueeze(2) + torch.tensor([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    box = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])
    shift = torch.stack((torch.arange(len(corners)), torch.zeros(len(corners))), 1).unsqueeze(1)
    uvs = ((box + shift) / torch.tensor([len(corners), 1.0])).reshape(-1, 2)
    return Mesh(vertices, faces, uvs, faces)


def solid(points: Tensor, frequency: float = 6.0) -> Tensor:
    """A smooth solid texture: colours [..., 3] in [0.1, 0.9] at points [..., 3]."""
    x, y, z = (frequency * points).unbind(-1)
    waves = torch.stack(((x + 1).sin() * y.cos(), (y + 2 + 0.7 * z).sin(), (z - 0.5 + 0.6 * x).cos()), -1)
    return 0.5 + 0.4 * waves


def photograph(mesh: Mesh, cameras: Cameras, size: int, colour, supersample: int = 1) -> Tensor:
    """Views [n, 3, h, w] of a mesh whose colour at every surface point is known, on magenta."""
    fine = (size * supersample, size * supersample)
    fragments = get_rasterizer().rasterize(mesh.vertices, mesh.faces, cameras, fine)
    pictures = colour(fragments.interpolate(mesh.vertices[mesh.faces])).clone()
    pictures[~fragments.mask] = torch.tensor(MAGENTA)
    return torch.nn.functional.avg_pool2d(pictures.movedim(-1, 1), supersample)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio of values in [0, 1], decibels."""
    return -10 * math.log10((a - b).double().square().mean().clamp(min=1e-20).item())
