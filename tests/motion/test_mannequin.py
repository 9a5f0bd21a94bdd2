from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from syncsde3d.motion.capsules import capsules, rest_joints
from syncsde3d.motion.mannequin import gradient, mannequin, surface
from syncsde3d.motion.skeleton import JOINTS, OFFSETS


def ball(points: torch.Tensor) -> torch.Tensor:
    return (points - torch.tensor([0.1, -0.2, 0.3])).norm(dim=-1) - 0.8


def test_the_surface_of_a_ball_is_a_ball():
    low, high = torch.tensor([-1.0, -1.3, -0.9]).double(), torch.tensor([1.2, 0.9, 1.4]).double()
    vertices, faces = surface(ball, low, high, 0.1)
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    assert mesh.is_watertight
    assert mesh.euler_number == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=0.02)  # positive: outside is outside
    assert ball(vertices).abs().max() < 0.01
    slope = gradient(ball, vertices, 1e-4)
    assert (slope.norm(dim=-1) - 1).abs().max() < 1e-6


@pytest.fixture(scope="module")
def skin():
    return mannequin(OFFSETS)


def test_the_mannequin_is_one_closed_body_that_stands_on_the_floor(skin):
    mesh = trimesh.Trimesh(skin.vertices.numpy(), skin.faces.numpy(), process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 1
    assert mesh.euler_number == 2
    assert 0.05 < mesh.volume < 0.09  # cubic metres: an adult has about 0.07
    assert skin.vertices[:, 1].min() == pytest.approx(0, abs=1e-9)
    assert 1.6 < skin.vertices[:, 1].max() < 1.85
    offset = skin.rest - rest_joints(OFFSETS.double())
    assert (offset - offset[0]).abs().max() < 1e-9
    flat = np.sum(mesh.vertex_normals * skin.normals.numpy(), axis=1)
    assert np.quantile(flat, 0.01) > 0.9


def test_vertices_lie_on_the_capsules(skin):
    """Far from where capsules meet, the surface is exactly a capsule's."""
    figure = capsules(OFFSETS.double())
    wrist = int((figure.joints == JOINTS.index("left_elbow")).nonzero()[0])
    start = skin.rest[figure.joints[wrist]] + figure.starts[wrist]
    along = figure.ends[wrist] - figure.starts[wrist]
    share = (skin.vertices - start) @ along / along.square().sum()
    mine = (share > 0.4) & (share < 0.6) & (skin.joints[:, 0] == JOINTS.index("left_elbow"))
    assert mine.sum() > 20
    radius = torch.linalg.cross(skin.vertices[mine] - start, along.expand(int(mine.sum()), 3)).norm(dim=-1)
    expected = figure.radii[wrist, 0] + share[mine] * (figure.radii[wrist, 1] - figure.radii[wrist, 0])
    assert (radius / along.norm() - expected).abs().max() < 1e-4


def test_weights_sum_to_one_and_change_smoothly_at_a_joint(skin):
    assert (skin.weights.sum(-1) - 1).abs().max() < 1e-9
    assert skin.weights.min() >= 0
    knee, hip = JOINTS.index("left_knee"), JOINTS.index("left_hip")
    share = torch.where(skin.joints == knee, skin.weights, 0).sum(-1)
    thigh = torch.where(skin.joints == hip, skin.weights, 0).sum(-1)
    height = skin.vertices[:, 1] - skin.rest[knee, 1]
    left = skin.vertices[:, 0] > 0.03
    at = left & (height.abs() < 0.01)
    assert (share[at] - 0.5).abs().max() < 0.15
    assert share[left & (height < -0.15) & (height > -0.25)].min() > 0.95
    assert thigh[left & (height > 0.15) & (height < 0.25)].min() > 0.95


def test_every_face_belongs_to_one_part(skin):
    stops = [run.stop for _, _, run in skin.materials]
    assert [run.start for _, _, run in skin.materials] == [0, *stops[:-1]]
    assert stops[-1] == len(skin.faces)
    middle = skin.vertices[skin.faces].mean(1)
    for name, _, run in skin.materials:
        if "left" in name:
            assert middle[run, 0].min() > -0.01
        if "right" in name:
            assert middle[run, 0].max() < 0.01
