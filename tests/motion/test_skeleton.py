"""Kinematics of the 22 joints, against the development clips and poses worked out by hand."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from syncsde3d.motion import skeleton as s
from syncsde3d.motion.rotations import quaternion_to_matrix, rotation_about, rotation_angle

if TYPE_CHECKING:
    from pathlib import Path


def clip(shared: Path, file: str, name: str) -> tuple[Tensor, Tensor]:
    """Joints and stored local rotations."""
    with np.load(shared / "motion" / file) as arrays:
        joints, rotations = (torch.from_numpy(arrays[f"{name}/{key}"]) for key in ("joints", "rotations"))
    return joints, quaternion_to_matrix(rotations.float())


def test_the_skeleton_is_that_of_the_clips(shared):
    stored = json.loads((shared / "motion" / "skeleton.json").read_text("utf-8"))
    assert list(s.JOINTS) == stored["joint_names"]
    assert list(s.PARENTS) == stored["parents"]
    torch.testing.assert_close(s.OFFSETS, torch.tensor(stored["rest_offsets"]))


def test_a_mirror_swaps_sides_of_the_rest_pose():
    assert s.JOINTS[s.MIRROR[s.JOINTS.index("left_wrist")]] == "right_wrist"
    assert s.MIRROR[0] == 0
    torch.testing.assert_close(s.OFFSETS[list(s.MIRROR)] * torch.tensor([-1, 1, 1]), s.OFFSETS)


def test_forward_kinematics_of_the_clips(shared):
    joints, rotations = clip(shared, "cmu_bvh.npz", "cmu_07_01")
    found = s.forward_kinematics(s.Pose(joints[:, 0], rotations, s.OFFSETS))
    assert (found - joints).norm(dim=-1).max() < 1.5e-3  # the rotations are stored in half precision


def test_a_bent_elbow_moves_the_wrist_alone():
    rotations = torch.eye(3).repeat(22, 1, 1)
    elbow, wrist = s.JOINTS.index("left_elbow"), s.JOINTS.index("left_wrist")
    rotations[elbow] = rotation_about("Y", torch.tensor(-math.pi / 2))
    rest = s.forward_kinematics(s.Pose(torch.zeros(3), torch.eye(3).expand(22, 3, 3), s.OFFSETS))
    bent = s.forward_kinematics(s.Pose(torch.zeros(3), rotations, s.OFFSETS))
    torch.testing.assert_close(bent[wrist] - bent[elbow], torch.tensor([0, 0, 0.25]), atol=1e-6, rtol=0)
    others = [j for j in range(22) if j != wrist]
    torch.testing.assert_close(bent[others], rest[others])


def posed(turns: dict[str, Tensor], frames: int = 1, offsets: Tensor = s.OFFSETS) -> s.Pose:
    """The rest pose, with the local rotations [frames, 3, 3] of some joints."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(frames, 22, 1, 1)
    for name, turn in turns.items():
        rotations[:, s.JOINTS.index(name)] = turn
    return s.Pose(torch.zeros(frames, 3, dtype=torch.float64), rotations, offsets.double())


def degrees(a: Tensor, b: Tensor) -> Tensor:
    """Angles between rotations."""
    return torch.rad2deg(rotation_angle(a.mT @ b))


def about(axis: str, angle: float | Tensor) -> Tensor:
    return rotation_about(axis, torch.deg2rad(torch.as_tensor(angle, dtype=torch.float64)))


@pytest.mark.parametrize(
    ("file", "name"),
    [("cmu_bvh.npz", "cmu_05_06"), ("cmu_fbx.npz", "cmuf_49_08"), ("mesh2motion.npz", "m2m_backflip")],
)
def test_inverse_kinematics_leads_back_to_the_joints(shared, file, name):
    joints, _ = clip(shared, file, name)
    pose = s.inverse_kinematics(joints)
    assert (s.forward_kinematics(pose) - joints).norm(dim=-1).max() < 1e-4
    torch.testing.assert_close(pose.offsets, s.OFFSETS, atol=1e-5, rtol=0)


def test_another_skeleton_is_found_in_its_motion(shared):
    """Other bone lengths, wider hips, a flatter chest: told by the joints alone."""
    _, rotations = clip(shared, "cmu_bvh.npz", "cmu_07_01")
    offsets = s.OFFSETS * torch.linspace(0.8, 1.3, 22)[:, None] + 0.02 * torch.randn(
        22, 3, generator=torch.manual_seed(1)
    )
    joints = s.forward_kinematics(s.Pose(torch.zeros(len(rotations), 3), rotations, offsets))
    pose = s.inverse_kinematics(joints)
    assert (s.forward_kinematics(pose) - joints).norm(dim=-1).max() < 1e-3
    torch.testing.assert_close(pose.offsets.norm(dim=-1)[1:], offsets.norm(dim=-1)[1:], atol=1e-4, rtol=0)
    given = s.inverse_kinematics(joints, s.OFFSETS)
    torch.testing.assert_close(given.offsets, s.OFFSETS)


def test_changing_bone_lengths_do_not_add_up(shared):
    """Joints off by 8 mm (as a network's): the skeleton follows them as closely, out to wrists and toes."""
    joints, _ = clip(shared, "cmu_bvh.npz", "cmu_07_01")
    noise = gaussian_filter1d(np.random.default_rng(0).normal(size=joints.shape), 2, axis=0)
    noisy = joints + torch.from_numpy(0.008 * noise / noise.std()).float()
    off = (s.forward_kinematics(s.inverse_kinematics(noisy)) - noisy).norm(dim=-1).mean(0)
    assert off.mean() < 0.012
    assert off.max() < 0.02


def test_rotations_are_near_those_the_clips_were_made_of(shared):
    joints, stored = clip(shared, "cmu_bvh.npz", "cmu_07_01")
    pose = s.inverse_kinematics(joints)
    apart = degrees(pose.rotations, stored).median(0).values
    for name in ("pelvis", "spine1", "spine2", "spine3", "left_hip", "right_hip", "left_knee", "right_knee"):
        assert apart[s.JOINTS.index(name)] < 8, name


def test_the_rest_pose_has_no_rotations():
    pose = s.inverse_kinematics(s.forward_kinematics(posed({}, frames=3)))
    assert degrees(pose.rotations, torch.eye(3).double()).max() < 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("bend", [45.0, 90.0, 140.0])
def test_a_bent_hinge_tells_the_twist_of_the_limb(side, bend):
    """Thigh turned outwards and lifted, knee bent; upper arm lowered and twisted, elbow bent."""
    sign = 1 if side == "left" else -1
    truth = posed(
        {
            f"{side}_hip": about("X", -50.0) @ about("Y", 35.0 * sign),
            f"{side}_knee": about("X", bend),
            f"{side}_shoulder": about("Z", -60.0 * sign) @ about("X", 40.0),
            f"{side}_elbow": about("Y", -bend * sign),
        },
        frames=5,
    )
    pose = s.inverse_kinematics(s.forward_kinematics(truth))
    for name in ("hip", "knee", "shoulder", "elbow"):
        j = s.JOINTS.index(f"{side}_{name}")
        assert degrees(pose.rotations[:, j], truth.rotations[:, j]).max() < 6, name


def test_nothing_flips_while_a_leg_swings_through_straight():
    """The knee bends and overstretches by 6 degrees, in turn; the leg swings by up to 2 degrees a frame."""
    time = torch.arange(120, dtype=torch.float64)
    swing = 38 * torch.sin(time / 19)
    knee = 10 + 16 * torch.sin(time / 11)
    pose = s.inverse_kinematics(
        s.forward_kinematics(posed({"left_hip": about("X", swing), "left_knee": about("X", knee)}, 120))
    )
    steps = degrees(pose.rotations[1:], pose.rotations[:-1])
    assert knee.min() < -5
    assert steps.max() < 10


def test_nothing_flips_while_a_straight_arm_circles():
    """All the way round in front, past the opposite of its direction at rest: 5 degrees a frame."""
    around = about("Y", -5.0 * torch.arange(144, dtype=torch.float64))
    joints = s.forward_kinematics(posed({"left_shoulder": about("Z", 3.0) @ around}, 144))
    pose = s.inverse_kinematics(joints)
    steps = degrees(pose.rotations[1:], pose.rotations[:-1])
    assert steps.max() < 20
    assert (s.forward_kinematics(pose) - joints).norm(dim=-1).max() < 1e-9


def test_one_frame_and_joints_in_one_place_give_rotations():
    joints = s.forward_kinematics(posed({"left_knee": about("X", 70.0)}))
    pose = s.inverse_kinematics(joints)
    assert (s.forward_kinematics(pose) - joints).norm(dim=-1).max() < 1e-9
    rotations = s.inverse_kinematics(torch.zeros(3, 22, 3)).rotations
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(3, 22, 3, 3))


def test_wrong_shapes_are_told():
    with pytest.raises(ValueError, match=r"joints has shape \[4, 24, 3\]"):
        s.inverse_kinematics(torch.zeros(4, 24, 3))
    with pytest.raises(ValueError, match=r"offsets has shape \[24, 3\]"):
        s.inverse_kinematics(torch.zeros(4, 22, 3), torch.zeros(24, 3))
