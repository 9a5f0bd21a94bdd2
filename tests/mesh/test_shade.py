"""Renderings against other libraries and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from mesh_shapes import MAGENTA, photograph, quads, solid, torus

from syncsde3d.mesh.cameras import orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.shade import (
    corner_normals,
    depth_images,
    normal_images,
    render_textured,
    sample_texture,
)
from syncsde3d.mesh.types import Fragments, Mesh

RASTERIZER = get_rasterizer()
CAMERAS = orbit([(0.0, 0.0), (130.0, 20.0)])


def ball(radius: float = 0.8) -> Mesh:
    shape = trimesh.creation.icosphere(4, radius)
    return Mesh(torch.tensor(np.array(shape.vertices)).float(), torch.tensor(np.array(shape.faces)).long())


def test_sampling_equals_grid_sample_with_the_top_row_at_v_1():
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(3, 5, 7, generator=generator, dtype=torch.float64)
    uvs = torch.rand(200, 2, generator=generator, dtype=torch.float64) * 1.4 - 0.2
    grid = torch.stack((uvs[:, 0] * 2 - 1, 1 - uvs[:, 1] * 2), -1)[None, None]
    expected = torch.nn.functional.grid_sample(
        texture[None], grid, padding_mode="border", align_corners=False
    )
    torch.testing.assert_close(sample_texture(texture, uvs), expected[0, :, 0].T)


def test_a_texture_of_one_texel_is_one_colour():
    uvs = torch.tensor([[0.1, 0.9], [0.5, 0.5]])
    assert torch.equal(sample_texture(torch.full((2, 1, 1), 0.3), uvs), torch.full((2, 2), 0.3))


def test_sampling_is_differentiable_in_texels_and_positions():
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(2, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    uvs = (0.1 + 0.8 * torch.rand(9, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(sample_texture, (texture, uvs))


def test_a_painted_texture_renders_as_the_surface_it_was_painted_from():
    mesh = torus()
    texels = RASTERIZER.rasterize_uv(mesh.uvs, mesh.uv_faces, (256, 256))
    texture = solid(texels.interpolate(mesh.vertices[mesh.faces]))[0].movedim(-1, 0)
    inner = ((mesh.uvs[mesh.uv_faces] - 0.5).abs() < 0.38).all(-1).all(-1)  # away from the chart's border
    rendered = render_textured(mesh, texture, CAMERAS, (96, 96), background=MAGENTA, supersample=1)
    expected = photograph(mesh, CAMERAS, 96, solid)
    fragments = RASTERIZER.rasterize(mesh.vertices, mesh.faces, CAMERAS, (96, 96))
    inside = fragments.mask & inner[fragments.face.clamp(min=0)]
    assert inside.float().mean() > 0.2
    assert (rendered - expected).abs().amax(1)[inside].max() < 2e-3
    assert torch.equal(rendered.movedim(1, -1)[~fragments.mask], expected.movedim(1, -1)[~fragments.mask])


def test_supersampling_averages():
    mesh, texture = torus(), torch.full((3, 8, 8), 0.2)
    fine = render_textured(mesh, texture, CAMERAS, (96, 96), supersample=1)
    coarse = render_textured(mesh, texture, CAMERAS, (48, 48), supersample=2)
    torch.testing.assert_close(coarse, torch.nn.functional.avg_pool2d(fine, 2))
    assert coarse.unique().numel() > 2


def test_the_headlight_dims_with_the_facing_angle():
    camera = orbit([(0.0, 0.0)])
    tilt = math.radians(50)
    c, s = 0.5 * math.cos(tilt), 0.5 * math.sin(tilt)
    plate = quads([[-c, -0.5, s], [c, -0.5, -s], [c, 0.5, -s], [-c, 0.5, s]])
    lit = render_textured(plate, torch.ones(3, 4, 4), camera, (65, 65), supersample=1, headlight=0.6)
    assert abs(lit[0, 0, 32, 32].item() - (0.4 + 0.6 * math.cos(tilt))) < 1e-3


def test_depth_images_stretch_inverse_depth_per_view():
    depth = torch.tensor(
        [[[2.0, 4.0], [3.0, -1.0]], [[5.0, -1.0], [5.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]]
    )
    face = torch.where(depth > 0, 0, -1)
    images = depth_images(Fragments(face, torch.zeros(3, 2, 2, 3), depth))
    expected = torch.tensor([[[1.0, 0.0], [1 / 3, 0.0]], [[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(images, expected.unsqueeze(1).expand(-1, 3, -1, -1))


def test_normal_images_of_a_ball_are_its_directions_in_camera_space():
    mesh = ball()
    fragments = RASTERIZER.rasterize(mesh.vertices, mesh.faces, CAMERAS, (64, 64))
    images = normal_images(mesh, CAMERAS, fragments)
    points = torch.nn.functional.normalize(fragments.interpolate(mesh.vertices[mesh.faces]), dim=-1)
    for view in range(2):
        mask = fragments.mask[view]
        expected = 0.5 + 0.5 * points[view][mask] @ CAMERAS.world_to_view[view, :3, :3].T
        torch.testing.assert_close(images[view].movedim(0, -1)[mask], expected, atol=0.01, rtol=0)
        assert (images[view][:, ~mask] == torch.tensor([[0.5], [0.5], [1.0]])).all()
    right_of_centre, above_centre = images[0, 0, 32, 45], images[0, 1, 20, 32]
    assert right_of_centre > 0.6
    assert above_centre > 0.6


def test_the_back_of_a_sheet_shows_a_normal_that_faces_the_viewer():
    plate = quads([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]])
    rig = orbit([(0.0, 0.0), (180.0, 0.0)])
    fragments = RASTERIZER.rasterize(plate.vertices, plate.faces, rig, (16, 16))
    assert (normal_images(plate, rig, fragments)[:, 2] > 0.99).all()


def test_creases_stay_sharp():
    box = trimesh.creation.box()
    mesh = Mesh(torch.tensor(np.array(box.vertices)).float(), torch.tensor(np.array(box.faces)).long())
    torch.testing.assert_close(corner_normals(mesh), mesh.face_normals().unsqueeze(1).expand(-1, 3, -1))


def test_missing_coordinates_and_wrong_backgrounds_are_named():
    with pytest.raises(ValueError, match="no texture coordinates"):
        render_textured(ball(), torch.ones(3, 4, 4), CAMERAS, (8, 8))
    with pytest.raises(ValueError, match="background"):
        render_textured(torus(8, 4), torch.ones(1, 4, 4), CAMERAS, (8, 8))
