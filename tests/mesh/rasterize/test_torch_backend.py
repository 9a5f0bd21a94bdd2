"""The torch rasterizer against ray casting, closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import Delaunay

from syncsde3d.mesh.cameras import Cameras, orbit
from syncsde3d.mesh.rasterize import Rasterizer, get_rasterizer
from syncsde3d.mesh.rasterize.torch_backend import Nearest

VIEWS = orbit([(20.0, 10.0), (200.0, -35.0)])
SIZE = (36, 52)


def tensors(mesh: trimesh.Trimesh) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(np.array(mesh.vertices)).float(), torch.tensor(np.array(mesh.faces)).long()


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A ring around a ball: occlusion, silhouettes, faces turned either way."""
    ring = trimesh.creation.torus(0.7, 0.15, major_sections=24, minor_sections=10)
    return tensors(trimesh.util.concatenate([ring, trimesh.creation.icosphere(2, 0.4)]))


def cast_rays(vertices, faces, camera: Cameras, size):
    """Nearest hit of the ray through every pixel centre (Moeller-Trumbore, float64): face, bary, depth, edge.

    Independent of the rasterizer: rays are built from the camera's position and axes. ``edge`` marks rays
    that pass so close to a face's edge that rounding decides.
    """
    height, width = size
    rotation = camera.world_to_view[0, :3, :3].double().numpy()
    eye = -rotation.T @ camera.world_to_view[0, :3, 3].double().numpy()
    half = math.tan(camera.fov / 2)
    up, right = np.meshgrid(
        (1 - 2 * (np.arange(height) + 0.5) / height) * half,
        (2 * (np.arange(width) + 0.5) / width - 1) * half * width / height,
        indexing="ij",
    )
    ray = np.stack((right, up, -np.ones_like(up)), -1).reshape(-1, 1, 3) @ rotation
    a, b, c = (vertices.double().numpy()[faces[:, k].numpy()] for k in range(3))
    normal_b, normal_c = np.cross(ray, c - a), np.cross(eye - a, b - a)
    determinant = (normal_b * (b - a)).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = (normal_b * (eye - a)).sum(-1) / determinant
        w = (ray * normal_c).sum(-1) / determinant
        depth = (normal_c * (c - a)).sum(-1) / determinant
    bary = np.stack((1 - v - w, v, w), -1)
    depth = np.where((bary.min(-1) >= 0) & (depth > 0), depth, np.inf)
    edge = (np.abs(bary) < 1e-4).any(-1) & (bary.min(-1) > -1e-4)
    face = depth.argmin(-1)
    rows = np.arange(len(face))
    hit = np.isfinite(depth[rows, face])
    return (
        np.where(hit, face, -1).reshape(size),
        bary[rows, face].reshape(*size, 3),
        depth[rows, face].reshape(size),
        edge.any(-1).reshape(size),
    )


def test_agrees_with_ray_casting():
    vertices, faces = scene()
    fragments = get_rasterizer().rasterize(vertices, faces, VIEWS, SIZE)
    for view in range(len(VIEWS)):
        face, bary, depth, edge = cast_rays(vertices, faces, VIEWS[view : view + 1], SIZE)
        assert edge.mean() < 0.02
        assert (fragments.face[view].numpy() == face)[~edge].all()
        seen = ~edge & (face >= 0)
        assert 0.15 < seen.mean() < 0.6
        np.testing.assert_allclose(fragments.bary[view].numpy()[seen], bary[seen], atol=2e-4)
        np.testing.assert_allclose(fragments.depth[view].numpy()[seen], depth[seen], atol=2e-5)


def test_interpolated_positions_project_back_to_pixel_centres():
    vertices, faces = scene()
    fragments = get_rasterizer().rasterize(vertices, faces, VIEWS, SIZE)
    points = fragments.interpolate(vertices[faces])
    for view in range(len(VIEWS)):
        row, column = fragments.mask[view].nonzero(as_tuple=True)
        screen = VIEWS.project(points[view, row, column], *SIZE)[view]
        expected = torch.stack((column + 0.5, row + 0.5, fragments.depth[view, row, column]), -1)
        torch.testing.assert_close(screen, expected, atol=2e-3, rtol=0)


def test_empty_pixels_are_marked():
    fragments = get_rasterizer().rasterize(*scene(), VIEWS, SIZE)
    empty = ~fragments.mask
    assert empty.any()
    assert (fragments.bary[empty] == -1).all()
    assert (fragments.depth[empty] == -1).all()


@pytest.mark.parametrize("seed", range(3))
def test_shared_edges_leave_no_gap_and_no_double_claim(seed):
    """Triangles of points on and between pixel centres: each pixel belongs to exactly one of them."""
    generator = np.random.default_rng(seed)
    points = generator.integers(0, 33, (30, 2)) / 32  # of a 16 x 16 image: half of them on centres or edges
    points = np.concatenate((points, [[0, 0], [0, 1], [1, 0], [1, 1]]))
    faces = torch.from_numpy(Delaunay(points).simplices).long()
    uvs = torch.from_numpy(points).float()
    claims = sum(get_rasterizer().rasterize_uv(uvs, face[None], (16, 16)).mask.int() for face in faces)
    assert (claims == 1).all()


def test_texels_carry_linear_coordinates_with_the_top_row_first():
    uvs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    fragments = get_rasterizer().rasterize_uv(uvs, faces, (4, 8))
    at = fragments.interpolate(uvs[faces])[0]
    torch.testing.assert_close(at[0, 0], torch.tensor([0.5 / 8, 1 - 0.5 / 4]))
    torch.testing.assert_close(at[3, 7], torch.tensor([7.5 / 8, 0.5 / 4]))
    assert fragments.face[0, 3, 7] == 0
    assert fragments.face[0, 0, 0] == 1
    assert (fragments.depth == 1).all()


def test_overlapping_charts_go_to_the_lowest_face():
    uvs = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    faces = torch.tensor([[0, 1, 2], [1, 2, 0], [0, 1, 2]])
    assert (get_rasterizer().rasterize_uv(uvs, faces, (8, 8)).face == 0).all()


def test_faces_reaching_behind_the_camera_are_not_drawn():
    vertices = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [0, 1, 0], [0, 0, 3], [0, 0, 2], [0, 0, torch.nan]])
    faces = torch.tensor([[0, 1, 3], [0, 1, 4], [0, 1, 5], [0, 1, 2], [4, 4, 4], [3, 3, 0]])
    fragments = get_rasterizer().rasterize(vertices, faces, orbit([(0.0, 0.0)]), (16, 16))
    assert set(fragments.face.unique().tolist()) == {-1, 3}
    assert fragments.bary.isfinite().all()
    torch.testing.assert_close(
        fragments.depth[fragments.mask], torch.full_like(fragments.depth, 2.0)[fragments.mask]
    )


def test_long_slivers_across_a_large_image():
    """Screen-sized faces, more pixels than one chunk holds: each covers its analytic area."""
    uvs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.1], [1.0, 0.737], [1.0, 0.74]])
    faces = torch.tensor([[0, 1, 2]])
    whole = get_rasterizer().rasterize_uv(uvs, faces, (1024, 1024))
    assert abs(whole.mask.float().mean() - 0.5) < 1e-3
    sliver = get_rasterizer().rasterize_uv(uvs, torch.tensor([[3, 4, 5]]), (1024, 1024))
    assert abs(sliver.mask.float().mean() - 0.0015) < 5e-5


@pytest.mark.parametrize("quantity", ["bary", "depth"])
def test_gradients_match_finite_differences(quantity):
    vertices, faces = scene()
    vertices = vertices.double()
    cameras = Cameras(VIEWS.world_to_view.double(), VIEWS.fov)
    rasterizer = get_rasterizer()
    reference = rasterizer.rasterize(vertices, faces, cameras, (12, 12))
    inner = reference.mask & (reference.bary.min(-1).values > 0.02)  # a nudge may not change the face
    corners = faces[reference.face[inner]].unique()
    assert inner.sum() > 40

    def seen(moved):
        fragments = rasterizer.rasterize(vertices.index_copy(0, corners, moved), faces, cameras, (12, 12))
        assert torch.equal(fragments.face[inner], reference.face[inner])
        return getattr(fragments, quantity)[inner]

    moving = vertices[corners].clone().requires_grad_()
    assert torch.autograd.gradcheck(seen, (moving,), eps=1e-6, atol=1e-5, fast_mode=True)


def test_two_pass_resolve_equals_the_packed_one():
    generator = torch.Generator().manual_seed(0)
    packed, passes = (Nearest(50, torch.device("cpu"), packed=p) for p in (True, False))
    for _ in range(4):
        pixel = torch.randint(45, (300,), generator=generator)
        nearness = torch.randint(1, 6, (300,), generator=generator) / 8  # many ties
        face = torch.randint(1000, (300,), generator=generator)
        packed.offer(pixel, nearness, face)
        passes.offer(pixel, nearness, face)
    assert all(torch.equal(a, b) for a, b in zip(packed.winners(), passes.winners(), strict=True))


def test_no_faces_no_fragments():
    empty = torch.zeros(0, 3, dtype=torch.long)
    fragments = get_rasterizer().rasterize(torch.zeros(1, 3), empty, VIEWS, (4, 4))
    assert not fragments.mask.any()


def test_backends_fit_the_protocol():
    assert isinstance(get_rasterizer(), Rasterizer)
    with pytest.raises(ValueError, match="name: expected one of torch, pytorch3d, got 'gl'"):
        get_rasterizer("gl")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("vertices", "faces", "size", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(1, 3).long(), (4, 4), "vertices"),
        (torch.zeros(3, 3), torch.zeros(1, 4).long(), (4, 4), "faces"),
        (
            torch.zeros(3, 3),
            torch.tensor([[0, 1, 3]]),
            (4, 4),
            r"faces: expected indices in 0\.\.2, got 0\.\.3",
        ),
        (torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), (0, 4), "size"),
    ],
)
def test_bad_arguments_are_named(vertices, faces, size, message):
    with pytest.raises(ValueError, match=message):
        get_rasterizer().rasterize(vertices, faces, VIEWS, size)
