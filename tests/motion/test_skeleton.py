"""Kinematics of the 22 joints, against the development clips and poses worked out by hand."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from syncsde3d.motion import skeleton as s
from syncsde3d.motion.rotations import quaternion_to_matrix, rotation_about

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
