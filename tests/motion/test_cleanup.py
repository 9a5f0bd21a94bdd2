"""Planted feet stand still, nothing is below the floor, bones keep their lengths, clean motion stays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from syncsde3d.motion.cleanup import clean_up, planted
from syncsde3d.motion.features import CONTACTS, FEET, to_features
from syncsde3d.motion.rotations import rotation_about
from syncsde3d.motion.skeleton import JOINTS, OFFSETS, PARENTS, Pose, forward_kinematics

if TYPE_CHECKING:
    from pathlib import Path

#: Walking, on uneven ground too and slowly, a cartwheel, crawling: file and clip.
CLIPS = (
    ("cmu_bvh", "cmu_07_01"),
    ("cmu_bvh", "cmu_03_04"),
    ("cmu_expmap", "cmux_a_walking_23_a"),
    ("cmu_fbx", "cmuf_49_08"),
    ("mesh2motion", "m2m_crawl"),
)


def clip(shared: Path, file: str, name: str) -> Tensor:
    with np.load(shared / "motion" / f"{file}.npz") as arrays:
        return torch.from_numpy(arrays[f"{name}/joints"]).double()


def contacts_of(joints: Tensor) -> Tensor:
    found = to_features(joints)[:, CONTACTS]
    return torch.cat((found, found[-1:]))


def bones(joints: Tensor) -> Tensor:
    return (joints[:, 1:] - joints[:, PARENTS[1:]]).norm(dim=-1)


def squatting(frames: int = 60) -> Tensor:
    """Feet exactly in place, knees bending up to 60 degrees and back; thigh and shin are equally long."""
    bend = torch.deg2rad(30 - 30 * torch.cos(torch.arange(frames, dtype=torch.float64) / 9))
    rotations = torch.eye(3, dtype=torch.float64).repeat(frames, 22, 1, 1)
    for side in ("left", "right"):
        for name, share in (("hip", -1.0), ("knee", 2.0), ("ankle", -1.0)):
            rotations[:, JOINTS.index(f"{side}_{name}")] = rotation_about("X", share * bend / 2)
    root = torch.zeros(frames, 3, dtype=torch.float64)
    root[:, 1] = 0.14 + 0.8 * torch.cos(bend / 2)
    return forward_kinematics(Pose(root, rotations, OFFSETS.double()))


@pytest.mark.parametrize(("file", "name"), CLIPS)
@pytest.mark.parametrize("fault", ["none", "slides", "sinks"])
def test_feet_floor_and_bones_after_clean_up(shared, file, name, fault):
    joints = clip(shared, file, name)[:240]
    contacts = contacts_of(joints)
    if fault == "slides":
        joints = joints + torch.arange(len(joints))[:, None, None] * torch.tensor([0.008, 0, 0.0]).double()
    if fault == "sinks":
        joints = joints - torch.tensor([0, 0.04, 0]).double()
    clean = clean_up(joints, contacts)
    held = planted(joints, contacts)
    moved = clean[:, FEET].diff(dim=0).norm(dim=-1)[held[1:] & held[:-1]]
    assert moved.numel() == 0 or moved.max() < 1e-3
    assert clean[..., 1].min() > -5e-3
    torch.testing.assert_close(bones(clean), bones(joints), atol=1e-6, rtol=0)


def test_a_walk_that_slides_is_held_and_keeps_its_way(shared):
    joints = clip(shared, "cmu_bvh", "cmu_07_01")
    contacts = contacts_of(joints)
    sliding = joints + torch.arange(len(joints))[:, None, None] * torch.tensor([0.008, 0, 0.0]).double()
    held = planted(sliding, contacts)
    assert held.double().mean() > 0.3
    clean = clean_up(sliding, contacts)
    before, after = (x[:, FEET].diff(dim=0).norm(dim=-1)[held[1:] & held[:-1]] for x in (sliding, clean))
    assert before.mean() > 8e-3
    assert after.max() < 1e-3
    assert (clean - sliding).norm(dim=-1).max() < 0.15
    assert (clean[:, 0] - sliding[:, 0]).abs().max() < 0.041
    assert clean.diff(dim=0).norm(dim=-1).max() < sliding.diff(dim=0).norm(dim=-1).max() + 0.03


def test_clean_motion_stays():
    joints = squatting()
    assert joints[:, FEET].diff(dim=0).abs().max() < 1e-8
    assert planted(joints).all()
    torch.testing.assert_close(clean_up(joints), joints, atol=1e-4, rtol=0)


def test_the_squat_is_found_again_under_trembling_feet():
    """Feet that tremble by some millimetres are held; the rest of the body does not notice."""
    joints = squatting()
    trembling = joints.clone()
    for ankle, ball in ((7, 10), (8, 11)):
        shake = 3e-3 * torch.sin(torch.arange(60).double() * 2.1 + ankle)
        trembling[:, (ankle, ball), 0] += shake[:, None]
    clean = clean_up(trembling)
    assert clean[:, FEET].diff(dim=0).norm(dim=-1).max() < 1e-4
    assert (clean - joints).norm(dim=-1).max() < 0.01


def test_hands_below_the_floor_lift_the_body_smoothly():
    joints = squatting()
    joints[20:26, JOINTS.index("left_wrist"), 1] = -0.05
    clean = clean_up(joints, torch.zeros(60, 4))
    assert clean[..., 1].min() > -1e-6
    lift = clean[:, 0, 1] - joints[:, 0, 1]
    assert lift[22] == pytest.approx(0.05, abs=1e-6)
    assert lift[:8].abs().max() < 1e-9
    assert lift.diff().abs().max() < 0.011


def test_a_straight_leg_is_not_broken_backwards():
    """Standing upright, 1 cm too low: knees come forward as the foot points."""
    joints = squatting(1).expand(10, 22, 3) - torch.tensor([0, 0.01, 0]).double()
    clean = clean_up(joints, torch.zeros(10, 4))
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        assert clean[0, ankle, 1] == pytest.approx(0.06, abs=1e-6)
        middle = (clean[0, hip, 2] + clean[0, ankle, 2]) / 2
        assert clean[0, knee, 2] - middle == pytest.approx(math.sqrt(0.4**2 - 0.395**2), abs=1e-3)


def test_wrong_shapes_are_told():
    with pytest.raises(ValueError, match=r"joints has shape \[5, 24, 3\]"):
        clean_up(torch.zeros(5, 24, 3))
    with pytest.raises(ValueError, match=r"contacts has shape \[4, 4\], expected \[5, 4\]"):
        clean_up(torch.zeros(5, 22, 3), torch.zeros(4, 4))
