"""The 22 joints: names, parents, rest pose, forward kinematics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

#: The first 22 joints of SMPL, in its order; every parent comes before its children.
JOINTS: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
#: The parent of each joint, -1 for the pelvis.
PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
#: Which joint each joint becomes in a mirror: left and right change places.
MIRROR: tuple[int, ...] = tuple(
    JOINTS.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in JOINTS
)
#: Rest pose [22, 3], metres, from each joint's parent: a T-pose facing +Z, a generic adult of 1.7 m.
OFFSETS: Float[Tensor, "22 3"] = torch.tensor(
    [
        [0.0, 0.0, 0.0],
        [0.09, -0.08, 0.0],
        [-0.09, -0.08, 0.0],
        [0.0, 0.11, 0.0],
        [0.0, -0.4, 0.0],
        [0.0, -0.4, 0.0],
        [0.0, 0.13, 0.0],
        [0.0, -0.4, 0.0],
        [0.0, -0.4, 0.0],
        [0.0, 0.06, 0.0],
        [0.0, -0.06, 0.13],
        [0.0, -0.06, 0.13],
        [0.0, 0.21, -0.03],
        [0.07, 0.12, -0.02],
        [-0.07, 0.12, -0.02],
        [0.0, 0.09, 0.04],
        [0.11, 0.03, -0.01],
        [-0.11, 0.03, -0.01],
        [0.27, 0.0, 0.0],
        [-0.27, 0.0, 0.0],
        [0.25, 0.0, 0.0],
        [-0.25, 0.0, 0.0],
    ]
)


@dataclass(frozen=True)
class Pose:
    """A motion as a root path and local rotations.

    ``global(j) = global(parent) @ rotations[j]``, ``joint(j) = joint(parent) + global(parent) @ offsets[j]``;
    the pelvis is at ``root`` and has the global rotation ``rotations[0]``.
    root: [t, 3], metres. rotations: [t, 22, 3, 3]. offsets: the rest pose [22, 3], metres.
    """

    root: Float[Tensor, "*n 3"]
    rotations: Float[Tensor, "*n 22 3 3"]
    offsets: Float[Tensor, "22 3"]


def forward_kinematics(pose: Pose) -> Float[Tensor, "*n 22 3"]:
    """Joint positions of a pose; any leading dimensions."""
    joints, turned = [pose.root], [pose.rotations[..., 0, :, :]]
    for j in range(1, len(PARENTS)):
        parent = PARENTS[j]
        joints.append(joints[parent] + turned[parent] @ pose.offsets[j])
        turned.append(turned[parent] @ pose.rotations[..., j, :, :])
    return torch.stack(joints, dim=-2)
