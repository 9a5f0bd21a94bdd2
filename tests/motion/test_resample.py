"""Resampling keeps time, bones and the frames that both rates share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from syncsde3d.motion.resample import resample
from syncsde3d.motion.rotations import rotation_about
from syncsde3d.motion.skeleton import JOINTS, OFFSETS, PARENTS, Pose, forward_kinematics
from syncsde3d.motion.types import Motion, Segment

if TYPE_CHECKING:
    from pathlib import Path


def walk(shared: Path) -> Tensor:
    with np.load(shared / "motion" / "cmu_bvh.npz") as arrays:
        return torch.from_numpy(arrays["cmu_07_01/joints"])


def bones(joints: Tensor) -> Tensor:
    return (joints[:, 1:] - joints[:, PARENTS[1:]]).norm(dim=-1)


def waving(times: Tensor) -> Tensor:
    """The pelvis moves along a parabola, the left arm swings, the body turns at constant rate."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(times), 22, 1, 1)
    rotations[:, 0] = rotation_about("Y", 1.5 * times)
    rotations[:, JOINTS.index("left_shoulder")] = rotation_about("Z", 0.9 * torch.sin(2.0 * times))
    root = torch.stack((0.8 * times, 1.0 + 0.1 * times, 0.3 * times**2), dim=-1)
    return forward_kinematics(Pose(root, rotations, OFFSETS.double()))


@pytest.mark.parametrize("fps", [60.0, 30.0, 24.0, 12.5])
def test_a_known_motion_is_met_between_its_frames(fps):
    motion = Motion(waving(torch.arange(60, dtype=torch.float64) / 20), fps=20.0)
    found = resample(motion, fps)
    assert found.fps == fps
    assert len(found) == math.floor(59 / 20 * fps + 1e-9) + 1
    truth = waving(torch.arange(len(found), dtype=torch.float64) / fps)
    assert (found.joints - truth).norm(dim=-1).max() < 1e-3


def test_bones_keep_their_lengths_and_shared_frames_their_places(shared):
    joints = walk(shared)
    found = resample(Motion(joints), 60.0)
    assert found.joints.dtype == joints.dtype
    assert (bones(found.joints) - bones(joints)[:1]).abs().max() < 1e-4
    assert (found.joints[::3] - joints).norm(dim=-1).max() < 1e-3


def test_every_second_frame_left_out_is_nearly_found_again(shared):
    joints = walk(shared)[:101]
    found = resample(Motion(joints[::2], fps=10.0), 20.0)
    assert (found.joints - joints).norm(dim=-1).mean() < 5e-3


def test_segments_are_rescaled_and_features_dropped():
    segments = (Segment("a", 0, 40), Segment("b", 40, 59), Segment("c", 59, 60))
    motion = Motion(OFFSETS.expand(60, 22, 3).cumsum(1), segments=segments, features=torch.zeros(60, 263))
    found = resample(motion, 30.0)
    assert [(s.prompt, s.start, s.end) for s in found.segments] == [
        ("a", 0, 60),
        ("b", 60, 88),
        ("c", 88, 89),
    ]
    assert found.features is None
    slow = resample(motion, 2.0)
    assert all(0 <= s.start < s.end <= len(slow) for s in slow.segments)


def test_the_same_rate_changes_nothing_and_one_frame_stays_one():
    motion = Motion(waving(torch.zeros(1, dtype=torch.float64)))
    assert resample(motion, 20.0) is motion
    torch.testing.assert_close(resample(motion, 50.0).joints, motion.joints)


@pytest.mark.parametrize("fps", [0.0, -3.0, math.inf, math.nan])
def test_impossible_rates_are_told(fps):
    with pytest.raises(ValueError, match="fps is"):
        resample(Motion(torch.zeros(3, 22, 3)), fps)
