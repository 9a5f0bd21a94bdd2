"""Both backends give the same fragments; without PyTorch3D the error says what to do."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
import trimesh
from mesh_shapes import photograph, solid, torus

from syncsde3d.mesh.bake import bake
from syncsde3d.mesh.cameras import orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.visibility import Visibility

INSTALLED = importlib.util.find_spec("pytorch3d") is not None
needs_pytorch3d = pytest.mark.skipif(not INSTALLED, reason="PyTorch3D is not installed")


@pytest.mark.skipif(INSTALLED, reason="PyTorch3D is installed")
def test_without_pytorch3d_the_error_says_how_to_install_it():
    with pytest.raises(ImportError, match="pip install .*pytorch3d"):
        get_rasterizer("pytorch3d")


def close(ours, theirs):
    assert (ours.face != theirs.face).float().mean() <= 1e-4
    assert torch.equal(ours.mask, theirs.mask)
    same = ours.mask & (ours.face == theirs.face)
    torch.testing.assert_close(ours.bary[same], theirs.bary[same], atol=1e-3, rtol=0)
    torch.testing.assert_close(ours.depth[same], theirs.depth[same], atol=1e-4, rtol=0)


@needs_pytorch3d
@pytest.mark.parametrize("size", [(64, 64), (40, 72), (72, 40)])
def test_same_fragments(size):
    mesh = trimesh.creation.torus(0.7, 0.2, major_sections=40, minor_sections=20)
    vertices, faces = torch.tensor(np.array(mesh.vertices)).float(), torch.tensor(np.array(mesh.faces)).long()
    cameras = orbit([(20.0, 10.0), (200.0, -35.0), (90.0, 60.0)])
    ours, theirs = (
        get_rasterizer(name).rasterize(vertices, faces, cameras, size) for name in ("torch", "pytorch3d")
    )
    close(ours, theirs)


@needs_pytorch3d
def test_same_texels():
    generator = torch.Generator().manual_seed(0)
    grid = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij"), -1).reshape(-1, 2)
    uvs = (grid + 0.3 * torch.rand(grid.shape, generator=generator)) / 9
    corner = torch.arange(72)[torch.arange(72) % 9 < 8]
    faces = torch.cat(
        [
            torch.stack((corner, corner + 9, corner + 1), 1),
            torch.stack((corner + 1, corner + 9, corner + 10), 1),
        ]
    )
    close(*(get_rasterizer(name).rasterize_uv(uvs, faces, (48, 80)) for name in ("torch", "pytorch3d")))


@needs_pytorch3d
def test_faces_behind_the_camera_and_empty_meshes():
    vertices = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [0, 1, 0], [0, 0, 3]])
    faces = torch.tensor([[0, 1, 3], [0, 1, 2]])
    camera = orbit([(0.0, 0.0)])
    close(
        *(
            get_rasterizer(name).rasterize(vertices, faces, camera, (16, 16))
            for name in ("torch", "pytorch3d")
        )
    )
    nothing = get_rasterizer("pytorch3d").rasterize(vertices, faces[:1], camera, (16, 16))
    assert not nothing.mask.any()


@needs_pytorch3d
def test_same_texture():
    mesh, cameras = torus(24, 12), orbit([(20.0, 10.0), (200.0, -35.0), (90.0, 60.0)])
    views = photograph(mesh, cameras, 96, solid)
    textures = []
    for name in ("torch", "pytorch3d"):
        rasterizer = get_rasterizer(name)
        visibility = Visibility.of(mesh, cameras, rasterizer, (192, 192))
        textures.append(bake(mesh, cameras, views, rasterizer, 128, visibility=visibility))
    assert torch.equal(textures[0].islands, textures[1].islands)
    assert (textures[0].coverage != textures[1].coverage).float().mean() < 1e-3
    same = textures[0].coverage & textures[1].coverage
    difference = (textures[0].texture - textures[1].texture).abs().amax(0)
    assert (difference[same] > 1e-3).float().mean() < 1e-3
