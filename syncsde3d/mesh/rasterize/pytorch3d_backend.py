"""The same answers from PyTorch3D's rasterizer, for those who have it installed.

Its normalised device coordinates: +X left, +Y up, +Z away from the camera, the image's shorter side spanning
[-1, 1] (PyTorch3D, "cameras.md"). Vertices are projected here and handed over in those coordinates, so none
of its camera classes takes part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..types import Fragments
from .screen import NEAR, ScreenRasterizer

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class PyTorch3DRasterizer(ScreenRasterizer):
    """PyTorch3D's backend; see :class:`syncsde3d.mesh.rasterize.Rasterizer`. ImportError without it."""

    def __init__(self) -> None:
        try:
            from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
            from pytorch3d.structures import Meshes
        except ImportError as error:
            raise ImportError(
                f"rasterizer 'pytorch3d' needs PyTorch3D ({error}): pip install --no-build-isolation "
                "git+https://github.com/facebookresearch/pytorch3d, or use the default rasterizer 'torch'"
            ) from error
        self._rasterize_meshes, self._meshes = rasterize_meshes, Meshes

    def rasterize_screen(
        self, screen: Float[Tensor, "n v 3"], faces: Int[Tensor, "f 3"], size: tuple[int, int]
    ) -> Fragments:
        views = [self._one(points, faces, size) for points in screen]
        return Fragments(*(torch.cat(parts) for parts in zip(*views, strict=True)))

    def _one(self, points: Tensor, faces: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        height, width = size
        drawn = (points[:, 2].detach() > NEAR)[faces].all(1).nonzero().squeeze(1)
        half = 0.5 * min(size)
        x, y = (0.5 * width - points[:, 0]) / half, (0.5 * height - points[:, 1]) / half
        ndc = torch.stack((x, y, points[:, 2]), dim=-1).float()
        local, depth, bary, _ = self._rasterize_meshes(
            self._meshes(verts=[ndc], faces=[faces[drawn]]),
            image_size=(height, width),
            blur_radius=0.0,
            faces_per_pixel=1,
            perspective_correct=True,
        )
        local, depth, bary = local[..., 0], depth[..., 0].to(points.dtype), bary[..., 0, :].to(points.dtype)
        face = torch.where(local >= 0, drawn[local.clamp(min=0)], local) if len(drawn) else local
        return face, bary, depth
