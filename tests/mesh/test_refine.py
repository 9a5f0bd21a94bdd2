"""Refining gives the texture of coarse and of blurred views some sharpness back, measured at other views."""

from __future__ import annotations

import pytest
import torch
from mesh_shapes import photograph, psnr, solid, torus

from syncsde3d.mesh.bake import bake
from syncsde3d.mesh.cameras import TEXTURE_VIEWS, orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.refine import refine_texture
from syncsde3d.mesh.shade import render_textured

RASTERIZER, CAMERAS = get_rasterizer(), orbit(TEXTURE_VIEWS)
HELD_OUT = orbit([(22.0, 10.0), (200.0, -10.0), (110.0, 20.0)])
SIZE = 128


def blur(images: torch.Tensor) -> torch.Tensor:
    """A binomial blur of five pixels, as a decoder's."""
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(row, row).expand(3, 1, 5, 5)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="replicate")
    return torch.nn.functional.conv2d(padded, kernel, groups=3)


@pytest.mark.parametrize("blurred", [False, True])
def test_psnr_at_other_views_rises(blurred):
    mesh, frequency = torus(), 30.0
    views = photograph(mesh, CAMERAS, SIZE, lambda p: solid(p, frequency), supersample=2)
    truth = photograph(mesh, HELD_OUT, SIZE, lambda p: solid(p, frequency), supersample=2)
    views = blur(views) if blurred else views
    baked = bake(mesh, CAMERAS, views, RASTERIZER, 256)
    refined = refine_texture(mesh, CAMERAS, views, baked.texture, RASTERIZER)
    painted = render_textured(mesh, baked.coverage[None].float(), HELD_OUT, (SIZE, SIZE), background=(0.0,))
    compare = (painted > 0.999).expand_as(truth)

    def score(texture):
        return psnr(render_textured(mesh, texture, HELD_OUT, (SIZE, SIZE))[compare], truth[compare])

    assert score(baked.texture) > 20
    assert score(refined) > score(baked.texture) + 1.0


def test_a_texture_that_already_matches_hardly_changes():
    mesh = torus(32, 16)
    texture = torch.full((3, 64, 64), 0.4)
    views = render_textured(mesh, texture, CAMERAS[:2], (64, 64), supersample=1)
    refined = refine_texture(mesh, CAMERAS[:2], views, texture, RASTERIZER)
    assert (refined - texture).abs().max() < 1e-3


def test_texels_no_pixel_shows_stay_and_results_repeat():
    mesh = torus(32, 16)
    start = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    camera = orbit([(0.0, 0.0)])
    views = photograph(mesh, camera, 64, solid)
    first, second = (refine_texture(mesh, camera, views, start, RASTERIZER, steps=3) for _ in range(2))
    assert torch.equal(first, second)
    texels = RASTERIZER.rasterize_uv(mesh.uvs, mesh.uv_faces, (64, 64))
    behind = texels.interpolate(mesh.vertices[mesh.faces])[0, ..., 2] < -0.4
    assert behind.sum() > 200
    assert torch.equal(first[:, behind], start[:, behind])
    assert not torch.equal(first, start)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="one per camera"):
        refine_texture(torus(8, 4), CAMERAS, torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8), RASTERIZER)
