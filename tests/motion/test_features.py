"""The 263 features agree with motions worked out by hand, with HumanML3D, and lead back to the joints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation
from torch import Tensor

from syncsde3d.motion import features as f
from syncsde3d.motion.rotations import matrix_from_6d, rotation_about
from syncsde3d.motion.skeleton import JOINTS, OFFSETS, Pose, forward_kinematics

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT = 0.94
#: A few clips of different kinds: walking, dancing, jumping, an animation.
CLIPS = ("cmu_07_01", "cmu_05_03", "cmuf_49_08", "cmu_06_02", "m2m_backflip")


def standing(frames: int) -> Tensor:
    """The rest pose, facing +Z, feet near the floor."""
    pose = Pose(
        torch.tensor([0.0, HEIGHT, 0.0]).expand(frames, 3), torch.eye(3).expand(frames, 22, 3, 3), OFFSETS
    )
    return forward_kinematics(pose).double()


def turning(joints: Tensor, degrees: float) -> Tensor:
    """The motion turned by so much about +Y per frame: to the person's left if positive."""
    angle = torch.deg2rad(torch.arange(len(joints)).double() * degrees)
    return (rotation_about("Y", angle)[:, None] @ joints[..., None]).squeeze(-1)


def any_clip(shared: Path) -> Tensor:
    return clip(shared, "cmu_07_01")


def clip(shared: Path, name: str) -> Tensor:
    for path in sorted((shared / "motion").glob("*.npz")):
        with np.load(path) as arrays:
            if f"{name}/joints" in arrays.files:
                return torch.from_numpy(arrays[f"{name}/joints"]).double()
    raise KeyError(name)


def test_standing_still():
    joints = standing(30)
    rows = f.to_features(joints)
    assert rows.shape == (29, f.FEATURES)
    assert rows[:, :3].abs().max() == 0
    torch.testing.assert_close(rows[:, 3], torch.full((29,), HEIGHT).double())
    torch.testing.assert_close(rows[:, f.POSITIONS].reshape(29, 21, 3), joints[:-1, 1:])
    assert rows[:, f.VELOCITIES].abs().max() == 0
    assert (rows[:, f.CONTACTS] == 1).all()


def test_walking_straight_to_the_left_of_the_world():
    """Facing +X and walking so, 5 cm a frame: forward is +z of the body frame; 5 cm is more than standing."""
    joints = (rotation_about("Y", torch.tensor(math.pi / 2).double()) @ standing(30)[..., None]).squeeze(-1)
    joints = joints + torch.arange(30)[:, None, None] * torch.tensor([0.05, 0, 0]).double()
    rows = f.to_features(joints)
    torch.testing.assert_close(rows[:, :3], torch.tensor([0, 0, 0.05]).double().expand(29, 3))
    torch.testing.assert_close(
        rows[:, f.VELOCITIES].reshape(29, 22, 3), torch.tensor([0, 0, 0.05]).double().expand(29, 22, 3)
    )
    torch.testing.assert_close(rows[:, f.POSITIONS].reshape(29, 21, 3), standing(29)[:, 1:])
    assert (rows[:, f.CONTACTS] == 0).all()


def test_turning_on_the_spot():
    """To the left by 3 degrees a frame: minus half of it in channel 0, the rest as if standing.

    Within four deviations of the ends the smoothed heading lags, as HumanML3D's does.
    """
    rows = f.to_features(turning(standing(200), 3.0))[80:-80]
    torch.testing.assert_close(rows[:, 0], torch.full_like(rows[:, 0], -math.radians(1.5)))
    torch.testing.assert_close(rows[:, f.POSITIONS].reshape(-1, 21, 3), standing(len(rows))[:, 1:])
    toe = standing(1)[0, JOINTS.index("left_foot")]
    left, _, forward = rows[0, f.VELOCITIES].reshape(22, 3)[10].tolist()
    step = math.radians(3.0)
    assert left == pytest.approx(toe[2] * math.sin(step) + toe[0] * (math.cos(step) - 1))
    assert forward == pytest.approx(-toe[0] * math.sin(step) + toe[2] * (math.cos(step) - 1))


def test_recovering_sums_with_one_frame_of_delay():
    """Row i moves frame i + 1: a quarter turn to the left in row 0, then a step forward, now along +X."""
    rows = torch.zeros(4, f.FEATURES, dtype=torch.float64)
    rows[:, 3] = 1.0
    rows[0, 0] = -math.pi / 4
    rows[1, 2] = 0.5
    rows[:, f.POSITIONS][:, :3] = torch.tensor([0, 2.0, 1.0])
    joints = f.to_joints(rows)
    root = [[0, 1, 0], [0, 1, 0], [0.5, 1, 0], [0.5, 1, 0]]
    hip = [[0, 2, 1], [1, 2, 0], [1.5, 2, 0], [1.5, 2, 0]]
    torch.testing.assert_close(joints[:, 0], torch.tensor(root).double())
    torch.testing.assert_close(joints[:, 1], torch.tensor(hip).double())


@pytest.mark.parametrize("name", CLIPS)
def test_round_trip(shared, name):
    joints = clip(shared, name).float()
    back = f.to_joints(f.to_features(joints))
    assert (back - f.canonical(joints)[:-1]).norm(dim=-1).max() < 1e-4


def test_place_and_heading_at_the_start_do_not_matter(shared):
    joints = any_clip(shared)
    moved = (rotation_about("Y", torch.tensor(2.3).double()) @ joints[..., None]).squeeze(-1)
    moved = moved + torch.tensor([3.0, 0.0, -7.0]).double()
    torch.testing.assert_close(f.to_features(moved), f.to_features(joints))


def test_heading_is_smoothed_as_scipy_does(shared):
    joints = any_clip(shared).numpy()
    across = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    forward = np.cross(across / np.linalg.norm(across, axis=-1, keepdims=True), [0, 1, 0])
    smooth = gaussian_filter1d(forward, 20, axis=0, mode="nearest")
    expected = np.arctan2(smooth[:, 0], smooth[:, 2])
    np.testing.assert_allclose(f.heading(torch.from_numpy(joints)).numpy(), expected, atol=1e-10)


def test_rotations_lead_along_the_chains_to_the_bones(shared):
    """Slow twin: HumanML3D's forward kinematics along its chains, with its rest directions."""
    chains = (
        (0, 2, 5, 8, 11),
        (0, 1, 4, 7, 10),
        (0, 3, 6, 9, 12, 15),
        (9, 14, 17, 19, 21),
        (9, 13, 16, 18, 20),
    )
    joints = f.canonical(any_clip(shared)[:40])
    rows = f.to_features(joints)
    local = matrix_from_6d(rows[:, f.ROTATIONS].reshape(-1, 21, 6)).numpy()
    body = np.concatenate((np.zeros((39, 1, 3)), rows[:, f.POSITIONS].reshape(-1, 21, 3).numpy()), axis=1)
    body[:, 0, 1] = rows[:, 3]
    for chain in chains:
        whole = np.broadcast_to(np.eye(3), (39, 3, 3))
        for before, j in zip(chain, chain[1:], strict=False):
            if JOINTS[j].endswith(("hip", "collar")):
                direction = np.array([-1.0 if JOINTS[j].startswith("right") else 1.0, 0, 0])
            elif JOINTS[j].endswith(("foot", "head")):
                direction = np.array([0, 0, 1.0])
            else:
                direction = np.array([0, 1.0 if JOINTS[j].startswith(("spine", "neck")) else -1.0, 0])
            whole = whole @ local[:, j - 1]
            bone = body[:, j] - body[:, before]
            expected = bone / np.linalg.norm(bone, axis=-1, keepdims=True)
            np.testing.assert_allclose(whole @ direction, expected, atol=1e-9)
            turn = Rotation.from_matrix(whole).magnitude()
            np.testing.assert_allclose(turn, np.arccos(np.clip(expected @ direction, -1, 1)), atol=1e-6)


def test_a_batch_gives_what_its_motions_give():
    one, two = turning(standing(40), 2.0), turning(standing(40), -5.0)
    rows = f.to_features(torch.stack((one, two)))
    torch.testing.assert_close(rows, torch.stack((f.to_features(one), f.to_features(two))))
    torch.testing.assert_close(f.to_joints(rows)[1], f.to_joints(rows[1]))


def test_gradients_flow_both_ways():
    joints = (
        standing(12) + 0.01 * torch.randn(12, 22, 3, generator=torch.manual_seed(0)).double()
    ).requires_grad_()
    f.to_joints(f.to_features(joints)).square().sum().backward()
    assert joints.grad is not None
    assert joints.grad.isfinite().all()
    assert joints.grad.abs().sum() > 0


def test_a_mirror_swaps_sides_and_turns_the_other_way():
    joints = turning(standing(40), 4.0)
    joints[:, JOINTS.index("left_wrist"), 1] += 0.5
    there = f.mirrored(joints)
    assert (there[:, JOINTS.index("right_wrist"), 1] > there[:, JOINTS.index("left_wrist"), 1] + 0.4).all()
    torch.testing.assert_close(f.mirrored(there), joints)
    torch.testing.assert_close(f.to_features(there)[:, 0], -f.to_features(joints)[:, 0])


def test_wrong_shapes_are_told():
    with pytest.raises(ValueError, match=r"joints has shape \[1, 22, 3\]"):
        f.to_features(torch.zeros(1, 22, 3))
    with pytest.raises(ValueError, match=r"features has shape \[5, 262\]"):
        f.to_joints(torch.zeros(5, 262))
