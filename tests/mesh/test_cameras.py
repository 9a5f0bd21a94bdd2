"""The rig stands where its conventions say."""

from __future__ import annotations

import math

import pytest
import torch

from syncsde3d.mesh.cameras import PAPER_VIEWS, TEXTURE_VIEWS, orbit, turntable


def test_azimuth_0_is_in_front_90_to_the_right_and_elevation_above():
    positions = orbit([(0, 0), (90, 0), (180, 0), (0, 30)], distance=2.0).positions
    expected = [[0, 0, 2], [2, 0, 0], [0, 0, -2], [0, 1, math.sqrt(3)]]
    torch.testing.assert_close(positions, torch.tensor(expected), atol=1e-6, rtol=0)


def test_world_to_view_is_rigid_and_looks_at_the_origin():
    cameras = orbit([(37, 21), (200, -60)], distance=3.0)
    rotation = cameras.world_to_view[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(2, 3, 3), atol=1e-6, rtol=0)
    assert (torch.linalg.det(rotation) > 0).all()
    pixels = cameras.project(torch.zeros(1, 3), 100, 80)
    torch.testing.assert_close(pixels, torch.tensor([40.0, 50.0, 3.0]).expand(2, 1, 3))


def test_projection_is_a_pinhole_camera():
    """At azimuth 0 a point appears right for +X, higher for +Y, by similar triangles."""
    x, y, depth = orbit([(0, 0)], distance=2.0, fov=60.0).project(torch.tensor([[0.3, 0.2, 0.5]]), 64, 64)[
        0, 0
    ]
    focal = 32 / math.tan(math.radians(30))
    assert float(depth) == pytest.approx(1.5)
    assert float(x) == pytest.approx(32 + focal * 0.3 / 1.5, abs=1e-4)
    assert float(y) == pytest.approx(32 - focal * 0.2 / 1.5, abs=1e-4)


def test_the_unit_sphere_just_fits():
    """60 degrees at distance 2: the sphere's silhouette touches the border of the image."""
    angle = torch.linspace(0, 2 * math.pi, 360)
    rim = math.cos(math.radians(30)) * torch.stack((angle.cos(), angle.sin(), angle * 0), 1)
    rim[:, 2] = 0.5  # tangent points of a sphere of radius 1 seen from distance 2
    pixels = orbit([(0, 0)]).project(rim, 100, 100)[0]
    torch.testing.assert_close(pixels[:, :2].amin(0), torch.zeros(2), atol=1e-2, rtol=0)
    torch.testing.assert_close(pixels[:, :2].amax(0), torch.full((2,), 100.0), atol=1e-2, rtol=0)


def test_the_texturing_views_are_the_papers_in_another_order():
    assert sorted(TEXTURE_VIEWS) == sorted(PAPER_VIEWS)
    assert len(PAPER_VIEWS) == 10
    assert TEXTURE_VIEWS[:2] == ((0.0, 0.0), (180.0, 0.0))


def test_a_turntable_goes_round_once():
    positions = turntable(4, elevation=0.0).positions
    expected = torch.tensor([[0, 0, 2], [2, 0, 0], [0, 0, -2], [-2, 0, 0.0]])
    torch.testing.assert_close(positions, expected, atol=1e-6, rtol=0)


def test_a_view_from_a_pole_is_refused():
    with pytest.raises(ValueError, match="90"):
        orbit([(0, 90)])
