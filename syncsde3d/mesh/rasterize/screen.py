"""What all backends share: checks, and the way from the world and from texture space to pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..cameras import Cameras
from ..types import Fragments

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: Faces with a corner nearer to the camera than this (world units, along the viewing axis) are not drawn.
NEAR = 1e-2


class ScreenRasterizer(ABC):
    """A backend that only has to know about triangles on the screen."""

    def rasterize(
        self,
        vertices: Float[Tensor, "v 3"],
        faces: Int[Tensor, "f 3"],
        cameras: Cameras,
        size: tuple[int, int],
    ) -> Fragments:
        """What each camera sees of the mesh in images of ``size`` = (height, width)."""
        check(vertices, faces, size, dims=3)
        return self.rasterize_screen(world_to_screen(vertices, cameras, size), faces.long(), size)

    def rasterize_uv(
        self, uvs: Float[Tensor, "t 2"], uv_faces: Int[Tensor, "f 3"], size: tuple[int, int]
    ) -> Fragments:
        """Which face owns each texel of a texture of ``size`` = (height, width)."""
        check(uvs, uv_faces, size, dims=2)
        return self.rasterize_screen(uv_to_screen(uvs, size), uv_faces.long(), size)

    @abstractmethod
    def rasterize_screen(
        self, screen: Float[Tensor, "n v 3"], faces: Int[Tensor, "f 3"], size: tuple[int, int]
    ) -> Fragments:
        """The same for vertices given as (pixel x, pixel y, depth) in each view."""


def check(points: Tensor, faces: Tensor, size: tuple[int, int], dims: int) -> None:
    """Raise ``ValueError`` unless the arguments have the shapes that every rasterizer expects."""
    if points.ndim != 2 or points.shape[1] != dims or not points.is_floating_point():
        raise ValueError(f"vertices: expected floats [count, {dims}], got {points.dtype} {[*points.shape]}")
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.is_floating_point():
        raise ValueError(f"faces: expected integers [count, 3], got {faces.dtype} {[*faces.shape]}")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size: expected a positive (height, width), got {size}")
    if len(faces) and (int(faces.min()) < 0 or int(faces.max()) >= len(points)):
        raise ValueError(
            f"faces: expected indices in 0..{len(points) - 1}, got {int(faces.min())}..{int(faces.max())}"
        )


def world_to_screen(
    vertices: Float[Tensor, "v 3"], cameras: Cameras, size: tuple[int, int]
) -> Float[Tensor, "n v 3"]:
    """(pixel x, pixel y, depth) of each vertex in each view, in the vertices' own precision."""
    matrices = cameras.world_to_view.to(vertices.device, vertices.dtype)
    return Cameras(matrices, cameras.fov).project(vertices, *size)


def uv_to_screen(uvs: Float[Tensor, "t 2"], size: tuple[int, int]) -> Float[Tensor, "1 t 3"]:
    """Texture coordinates as pixels of a texture whose row 0 is the top (v = 1), all at depth 1."""
    height, width = size
    x, y = uvs[:, 0] * width, (1.0 - uvs[:, 1]) * height
    return torch.stack((x, y, torch.ones_like(x)), dim=-1).unsqueeze(0)
