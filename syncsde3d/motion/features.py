"""HumanML3D's 263 features of a frame (Guo et al., CVPR 2022), and the joints they stand for.

All is relative to the *body frame*: above the pelvis' place on the floor, turned about +Y so that +Z is
the way the person faces (:func:`heading`). Row i stands for frame i and its step to frame i + 1, so that t
frames give t - 1 rows:

=========  =====================================================================================
 0         yaw velocity: minus half the change of heading (HumanML3D's root quaternion turns the
           world into the body frame, and the channel is its half angle), radians per frame
 1 - 2     root velocity x, z in the body frame of frame i + 1, metres per frame
 3         root height, metres
 4 - 66    positions of joints 1-21 in the body frame, height above the floor
 67 - 192  6-D rotations of joints 1-21 (:func:`chain_rotations`)
 193 - 258 velocities of all 22 joints in the body frame of frame i, metres per frame
 259 - 262 whether left ankle, left foot, right ankle, right foot stand still (1) or move (0)
=========  =====================================================================================

The scale and the floor are the caller's: HumanML3D first gives everybody the same skeleton and puts the
lowest joint of a clip at y = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from syncsde3d.motion.rotations import matrix_to_6d, rotation_between
from syncsde3d.motion.skeleton import JOINTS, MIRROR, PARENTS

if TYPE_CHECKING:
    from jaxtyping import Float

#: Features per frame.
FEATURES = 263
#: The channels of each group, see the table above.
YAW, VELOCITY, HEIGHT = slice(0, 1), slice(1, 3), slice(3, 4)
POSITIONS, ROTATIONS, VELOCITIES, CONTACTS = slice(4, 67), slice(67, 193), slice(193, 259), slice(259, 263)
#: The joints whose contact with the floor is told.
FEET: tuple[int, ...] = tuple(map(JOINTS.index, ("left_ankle", "left_foot", "right_ankle", "right_foot")))
#: A foot stands still if it moves less than this from one frame to the next, metres squared (at 20 fps).
STILL = 0.002
#: Standard deviation of the Gaussian that smooths the way a person faces, frames (cut off at four of them).
SMOOTHING = 20

_LEFT_RIGHT = tuple((JOINTS.index(f"left_{j}"), JOINTS.index(f"right_{j}")) for j in ("hip", "shoulder"))
#: HumanML3D's bone directions at rest, arms hanging.
_REST = (
    *((0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, -1, 0), (0, 1, 0), (0, -1, 0)),
    *((0, -1, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1)),
    *[(0, -1, 0)] * 6,
)
#: Where HumanML3D's kinematic chains begin: legs, spine, arms, each from the body frame.
_CHAIN_STARTS = tuple(map(JOINTS.index, ("left_hip", "right_hip", "spine1", "left_collar", "right_collar")))


def to_features(joints: Float[Tensor, "*b t 22 3"]) -> Float[Tensor, "*b t-1 263"]:
    """The features of a motion of t >= 2 frames; where it stands and faces at first does not matter."""
    if joints.shape[-2:] != (22, 3) or joints.ndim < 3 or joints.shape[-3] < 2:
        raise ValueError(f"joints has shape {list(joints.shape)}, expected [..., t, 22, 3] with t >= 2")
    yaw = heading(joints)
    turn = yaw.diff(dim=-1)
    step = joints.diff(dim=-3)
    body = _turned(joints - joints[..., :1, :] * joints.new_tensor([1, 0, 1]), -yaw)[..., :-1, :, :]
    root_step = _turned(step[..., :1, :], -yaw[..., 1:])[..., 0, :]
    still = step[..., FEET, :].square().sum(-1) < STILL
    parts = (
        -0.5 * torch.atan2(turn.sin(), turn.cos())[..., None],
        root_step[..., (0, 2)],
        joints[..., :-1, 0, 1:2],
        body[..., 1:, :].flatten(-2),
        matrix_to_6d(chain_rotations(body)).flatten(-2),
        _turned(step, -yaw[..., :-1]).flatten(-2),
        still.to(joints),
    )
    return torch.cat(parts, dim=-1)


def to_joints(features: Float[Tensor, "*b t 263"]) -> Float[Tensor, "*b t 22 3"]:
    """Joint positions of features: the first frame above the origin, facing +Z.

    Read off the root's path and the local positions alone; the other channels are redundant.
    """
    if features.ndim < 2 or features.shape[-1] != FEATURES:
        raise ValueError(f"features has shape {list(features.shape)}, expected [..., t, {FEATURES}]")
    yaw = _summed_before(-2 * features[..., YAW]).squeeze(-1)
    x, z = features[..., VELOCITY].unbind(-1)
    step = torch.stack((x, torch.zeros_like(x), z), dim=-1)
    after = torch.cat((yaw[..., 1:], yaw[..., -1:]), dim=-1)  # a step is told in the frame it leads to
    path = _summed_before(_turned(step[..., None, :], after)[..., 0, :])
    body = F.pad(features[..., POSITIONS].unflatten(-1, (21, 3)), (0, 0, 1, 0))
    joints = _turned(body, yaw) + path[..., None, :]
    height = F.pad(features[..., HEIGHT], (1, 1))[..., None, :]
    return joints + F.pad(height, (0, 0, 0, 21))


def heading(joints: Float[Tensor, "*b t 22 3"]) -> Float[Tensor, "*b t"]:
    """Angle about +Y of the way a person faces, radians: 0 is +Z, pi / 2 is +X (the person's first left).

    Square to the line from right to left, hips and shoulders added, and smoothed over time as HumanML3D
    does (which takes shoulders minus hips: the same for a person who is not twisted).
    """
    sides = [joints[..., left, :] - joints[..., right, :] for left, right in _LEFT_RIGHT]
    across = F.normalize(torch.stack(sides).sum(0), dim=-1)
    forward = _smoothed(torch.stack((-across[..., 2], across[..., 0]), dim=-1))
    return torch.atan2(forward[..., 0], forward[..., 1])


def chain_rotations(body: Float[Tensor, "*b 22 3"]) -> Float[Tensor, "*b 21 3 3"]:
    """HumanML3D's rotations of joints 1-21, from positions in the body frame; made for the features only.

    Each bone, named by the joint at its end, is turned by the shortest rotation from its direction at rest;
    told relative to the bone before it in the chain (legs, spine to head, arms from the collar bone; the
    first of a chain relative to the body frame). Twist is not meant, so these are no SMPL rotations: see
    :func:`syncsde3d.motion.skeleton.inverse_kinematics`. HumanML3D's own agree with these where the
    heading is 0 and change with it otherwise; these do not, so that they can be compared between segments.
    """
    rest = body.new_tensor(_REST)[1:]
    bones = body[..., 1:, :] - body[..., PARENTS[1:], :]
    turned = rotation_between(rest, bones)
    whole = torch.cat((torch.eye(3).to(body).expand_as(turned[..., :1, :, :]), turned), dim=-3)
    before = [0 if j in _CHAIN_STARTS else PARENTS[j] for j in range(1, len(PARENTS))]
    return whole[..., before, :, :].mT @ turned


def canonical(joints: Float[Tensor, "*b t 22 3"]) -> Float[Tensor, "*b t 22 3"]:
    """The motion moved and turned on the floor so that frame 0 is above the origin and faces +Z."""
    start = joints[..., :1, :1, :] * joints.new_tensor([1, 0, 1])
    return _turned(joints - start, -heading(joints)[..., :1])


def mirrored(joints: Float[Tensor, "*b t 22 3"]) -> Float[Tensor, "*b t 22 3"]:
    """The motion as a mirror shows it: x to -x, left and right joints swapped."""
    return joints[..., MIRROR, :] * joints.new_tensor([-1, 1, 1])


def _turned(points: Float[Tensor, "*b t p 3"], angle: Float[Tensor, "*b t"]) -> Float[Tensor, "*b t p 3"]:
    """Points turned about +Y, +Z towards +X."""
    x, y, z = points.unbind(-1)
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    return torch.stack((x * cos + z * sin, y, z * cos - x * sin), dim=-1)


def _summed_before(steps: Float[Tensor, "*b t c"]) -> Float[Tensor, "*b t c"]:
    """For each frame the sum of all steps before it: 0 for the first."""
    return F.pad(steps[..., :-1, :].cumsum(-2), (0, 0, 1, 0))


def _smoothed(values: Float[Tensor, "*b t c"]) -> Float[Tensor, "*b t c"]:
    """Gaussian filter over time; the first and last values are taken to go on."""
    reach = 4 * SMOOTHING
    frames = torch.arange(-reach, reach + 1).to(values)
    kernel = torch.exp(-0.5 * (frames / SMOOTHING) ** 2)
    rows = values.movedim(-2, -1).flatten(0, -2)[:, None] if values.ndim > 2 else values.mT[:, None]
    smooth = F.conv1d(F.pad(rows, (reach, reach), mode="replicate"), (kernel / kernel.sum())[None, None])
    return smooth.reshape(*values.shape[:-2], values.shape[-1], values.shape[-2]).mT
