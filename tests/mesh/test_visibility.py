"""Visibility against ray casting, and which faces count as two-sided."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from syncsde3d.mesh.cameras import TEXTURE_VIEWS, orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.visibility import MIN_COSINE, SurfacePoints, Visibility, two_sided_faces

CAMERAS = orbit(TEXTURE_VIEWS)


def as_mesh(source: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(np.array(source.vertices)).float(), torch.tensor(np.array(source.faces)).long())


def sample(mesh: Mesh, count: int) -> tuple[SurfacePoints, torch.Tensor]:
    """Points spread evenly over the surface, and the faces they lie on."""
    generator = torch.Generator().manual_seed(0)
    corners = mesh.vertices[mesh.faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    face = torch.multinomial(area, count, replacement=True, generator=generator)
    bary = -torch.rand(count, 3, generator=generator).log()
    position = (corners[face] * (bary / bary.sum(1, keepdim=True)).unsqueeze(-1)).sum(1)
    return SurfacePoints(position, mesh.face_normals()[face], two_sided_faces(mesh)[face]), face


def unblocked(points: SurfacePoints, own: torch.Tensor, eye: torch.Tensor, mesh: Mesh) -> torch.Tensor:
    """Whether the segment from each point to the eye crosses no other face (Moeller-Trumbore, float64)."""
    a, b, c = mesh.vertices[mesh.faces].double().unbind(1)
    origin = points.position.double().unsqueeze(1)
    ray = eye.double() - origin
    cross = torch.linalg.cross(ray, (c - a).unsqueeze(0))
    determinant = (cross * (b - a)).sum(-1)
    offset = origin - a
    u = (cross * offset).sum(-1) / determinant
    other = torch.linalg.cross(offset, (b - a).unsqueeze(0).expand_as(offset))
    v, t = (ray * other).sum(-1) / determinant, ((c - a) * other).sum(-1) / determinant
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6) & (t < 1)
    hit[torch.arange(len(own)), own] = False
    return ~hit.any(1)


def double_wall() -> trimesh.Trimesh:
    """A plate, 0.01 thin, standing askew."""
    plate = trimesh.creation.box((1.0, 1.0, 0.01)).subdivide_to_size(0.25)
    return plate.apply_transform(trimesh.transformations.rotation_matrix(0.4, [1, 2, 3]))


def ring_and_ball() -> trimesh.Trimesh:
    ring = trimesh.creation.torus(0.7, 0.15, major_sections=32, minor_sections=12)
    return trimesh.util.concatenate([ring, trimesh.creation.icosphere(2, 0.4)])


@pytest.mark.parametrize("build", [double_wall, ring_and_ball])
def test_agrees_with_ray_casting(build):
    mesh = as_mesh(build())
    points, face = sample(mesh, 600)
    visibility = Visibility.of(mesh, CAMERAS, get_rasterizer())
    wrong = seen = 0
    for view in range(len(CAMERAS)):
        eye = CAMERAS.positions[view]
        cosine = points.cosine(CAMERAS, view)
        truth = unblocked(points, face, eye, mesh) & (cosine > MIN_COSINE)
        found = visibility.cosine(points, view)
        wrong += int(((found > 0) != truth).sum())
        seen += int(truth.sum())
        torch.testing.assert_close(found[found > 0], cosine[found > 0])
    assert seen > 600
    assert wrong / (600 * len(CAMERAS)) < 0.005


def test_open_sheets_are_seen_from_both_sides_and_closed_ones_from_outside():
    quad = Mesh(
        torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) / 2,
        torch.tensor([[0, 1, 2], [0, 2, 3]]),
    )
    rig = orbit([(0.0, 0.0), (180.0, 0.0), (90.0, 0.0)])
    points, _ = sample(quad, 50)
    visibility = Visibility.of(quad, rig, get_rasterizer(), (256, 256))
    front, back, side = (visibility.cosine(points, view) for view in range(3))
    torch.testing.assert_close(front, back, atol=0.3, rtol=0)
    assert (front > 0.8).all()
    assert (back > 0.8).all()
    assert (side == 0).all()

    ball = as_mesh(trimesh.creation.icosphere(3, 0.8))
    points, _ = sample(ball, 200)
    visibility = Visibility.of(ball, rig, get_rasterizer(), (256, 256))
    assert ((visibility.cosine(points, 0) > 0) & (visibility.cosine(points, 1) > 0)).sum() == 0


def test_points_outside_the_image_are_not_seen():
    mesh = as_mesh(trimesh.creation.icosphere(2, 0.9))
    away = SurfacePoints(
        torch.tensor([[0.0, 3.0, 0.9], [0.0, 0.0, 3.0]]), torch.tensor([[0.0, 0, 1]] * 2), torch.ones(2) > 0
    )
    visibility = Visibility.of(mesh, CAMERAS[:1], get_rasterizer(), (64, 64))
    assert (visibility.cosine(away, 0) == 0).all()


def test_two_sided_faces():
    ball = trimesh.creation.icosphere(1)
    assert not two_sided_faces(as_mesh(ball)).any()

    split = trimesh.Trimesh(
        ball.triangles.reshape(-1, 3), np.arange(3 * len(ball.faces)).reshape(-1, 3), process=False
    )
    assert not two_sided_faces(as_mesh(split)).any(), "vertices split at seams do not open a surface"

    inverted = ball.copy()
    inverted.invert()
    assert two_sided_faces(as_mesh(inverted)).all()

    flipped = ball.copy()
    flipped.faces = np.concatenate((ball.faces[:1, ::-1], ball.faces[1:]))
    assert two_sided_faces(as_mesh(flipped)).all()

    cut = trimesh.Trimesh(ball.vertices + 5, ball.faces[1:], process=False)
    both = as_mesh(trimesh.util.concatenate([ball, cut]))
    assert two_sided_faces(both).tolist() == [False] * len(ball.faces) + [True] * len(cut.faces)
