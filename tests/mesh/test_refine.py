"""Refining gives blurred views' textures some of their sharpness back."""

from __future__ import annotations

import pytest
import torch
import trimesh

from syncsde3d.mesh.bake import bake
from syncsde3d.mesh.cameras import TEXTURE_VIEWS, orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.refine import refine_texture
from syncsde3d.mesh.shade import render_textured
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.uv import ensure_uvs


@pytest.fixture(scope="module")
def ball() -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=3, radius=1.0)
    return ensure_uvs(Mesh(torch.tensor(made.vertices, dtype=torch.float32), torch.tensor(made.faces)), 256)


def truth(mesh: Mesh) -> torch.Tensor:
    """A texture of stripes in space, painted exactly."""
    rasterizer = get_rasterizer()
    texels = rasterizer.rasterize_uv(mesh.uvs, mesh.uv_faces, (256, 256))
    position = texels.interpolate(mesh.vertices[mesh.faces])[0]
    return 0.5 + 0.4 * torch.sin(20 * position.movedim(-1, 0))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


def test_psnr_rises_on_coarse_views(ball: Mesh):
    rasterizer, cameras = get_rasterizer(), orbit(TEXTURE_VIEWS)
    held_out = orbit([(22.0, 10.0), (200.0, -10.0)])
    texture = truth(ball)
    views = render_textured(ball, texture, cameras, (96, 96), supersample=1)
    expected = render_textured(ball, texture, held_out, (96, 96))
    baked = bake(ball, cameras, views, rasterizer, 256).texture
    refined = refine_texture(ball, cameras, views, baked, rasterizer)
    before = psnr(render_textured(ball, baked, held_out, (96, 96)), expected)
    after = psnr(render_textured(ball, refined, held_out, (96, 96)), expected)
    assert after > before + 1.0


def test_views_that_already_match_change_nothing_much(ball: Mesh):
    rasterizer, cameras = get_rasterizer(), orbit(TEXTURE_VIEWS[:2])
    texture = torch.full((3, 256, 256), 0.4)
    views = render_textured(ball, texture, cameras, (64, 64), supersample=1)
    assert torch.allclose(
        refine_texture(ball, cameras, views, texture, rasterizer, steps=5), texture, atol=1e-3
    )


def test_arguments_are_checked(ball: Mesh):
    with pytest.raises(ValueError, match="one per camera"):
        refine_texture(
            ball, orbit(TEXTURE_VIEWS), torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8), get_rasterizer()
        )
