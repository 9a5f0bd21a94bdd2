"""Motions as BVH (Biovision hierarchy), which Blender, MotionBuilder, Maya, Unreal and Unity read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from syncsde3d.io.output import writing
from syncsde3d.motion.capsules import tips
from syncsde3d.motion.rotations import matrix_to_euler
from syncsde3d.motion.skeleton import JOINTS, PARENTS, inverse_kinematics

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray

    from syncsde3d.motion.skeleton import Pose
    from syncsde3d.motion.types import Motion

#: The joints' names in the file: those of motion capture libraries, which retargeting tools know.
NAMES: dict[str, str] = {
    "pelvis": "Hips",
    "left_hip": "LeftUpLeg",
    "right_hip": "RightUpLeg",
    "spine1": "Spine",
    "left_knee": "LeftLeg",
    "right_knee": "RightLeg",
    "spine2": "Spine1",
    "left_ankle": "LeftFoot",
    "right_ankle": "RightFoot",
    "spine3": "Spine2",
    "left_foot": "LeftToeBase",
    "right_foot": "RightToeBase",
    "neck": "Neck",
    "left_collar": "LeftShoulder",
    "right_collar": "RightShoulder",
    "head": "Head",
    "left_shoulder": "LeftArm",
    "right_shoulder": "RightArm",
    "left_elbow": "LeftForeArm",
    "right_elbow": "RightForeArm",
    "left_wrist": "LeftHand",
    "right_wrist": "RightHand",
}
_ORDER = "ZXY"  # of X, in the middle, 90 degrees lock the others: only someone who lies down gets there
_CENTIMETRES = 100.0


def write_bvh(path: str | os.PathLike[str], motion: Motion) -> None:
    """Write ``motion`` as BVH: centimetres, +Y up, degrees, rotations in the order Z X Y.

    The rest pose is a T-pose. Rotations come from the joints by inverse kinematics; their angles run on
    without jumps from frame to frame. Joints whose rotation positions do not tell (head, hands, toes) are 0.

    Raises:
        OSError: ``path`` cannot be written.
    """
    pose = inverse_kinematics(motion.joints.detach().cpu())
    order = _depth_first(0)
    with writing(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        file.write("HIERARCHY\n")
        file.writelines(_hierarchy(pose, 0, 0))
        file.write(f"MOTION\nFrames: {len(pose.root)}\nFrame Time: {1 / motion.fps:.8f}\n")
        file.writelines(_rows(pose, order))


def _depth_first(joint: int) -> list[int]:
    """The order of the file's columns."""
    return [joint, *(j for child in _children(joint) for j in _depth_first(child))]


def _children(joint: int) -> list[int]:
    return [j for j, parent in enumerate(PARENTS) if parent == joint]


def _hierarchy(pose: Pose, joint: int, depth: int) -> Iterator[str]:
    """A joint and all below it. The root stands at 0: its position is in the channels."""
    indent, inner = "\t" * depth, "\t" * (depth + 1)
    turns = " ".join(f"{axis}rotation" for axis in _ORDER)
    if joint == 0:
        yield f"ROOT {NAMES[JOINTS[0]]}\n{{\n{inner}OFFSET 0 0 0\n"
        yield f"{inner}CHANNELS 6 Xposition Yposition Zposition {turns}\n"
    else:
        yield f"{indent}JOINT {NAMES[JOINTS[joint]]}\n{indent}{{\n"
        yield f"{inner}OFFSET {_numbers(pose.offsets[joint])}\n"
        yield f"{inner}CHANNELS 3 {turns}\n"
    for child in _children(joint):
        yield from _hierarchy(pose, child, depth + 1)
    if not _children(joint):
        end = tips(pose.offsets)[joint]
        yield f"{inner}End Site\n{inner}{{\n{inner}\tOFFSET {_numbers(end)}\n{inner}}}\n"
    yield f"{indent}}}\n"


def _numbers(point: Float[torch.Tensor, " 3"]) -> str:
    return " ".join(f"{value:.6f}" for value in (point * _CENTIMETRES).tolist())


def _rows(pose: Pose, order: list[int]) -> Iterator[str]:
    """The channels of every frame."""
    form = " ".join(["%.5f"] * (3 + 3 * len(order))) + "\n"
    angles = _unwrapped(matrix_to_euler(pose.rotations.double(), _ORDER).numpy())
    for root, turns in zip(pose.root.double().numpy(), angles, strict=True):
        yield form % (*root * _CENTIMETRES, *np.degrees(turns[order]).ravel())


def _unwrapped(angles: Float[ndarray, "t j 3"]) -> Float[ndarray, "t j 3"]:
    """The same rotations, each angle triple the one nearest to that of the frame before.

    Two triples give each rotation, (a, b, c) and (a + pi, pi - b, c + pi), each up to full turns.
    """
    angles = angles.copy()
    for before, now in zip(angles[:-1], angles[1:], strict=True):
        other = np.stack([now[:, 0] + np.pi, np.pi - now[:, 1], now[:, 2] + np.pi], axis=-1)
        first, second = (x - 2 * np.pi * np.round((x - before) / (2 * np.pi)) for x in (now, other))
        nearer = np.abs(second - before).sum(-1) < np.abs(first - before).sum(-1)
        now[:] = np.where(nearer[:, None], second, first)
    return angles
