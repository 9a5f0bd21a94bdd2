"""The 22 joints: names, parents, rest pose, forward and inverse kinematics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from scipy.linalg import solveh_banded
from torch import Tensor
from torch.nn import functional as F

from syncsde3d.motion.rotations import (
    axis_angle_to_matrix,
    matrix_to_quaternion,
    quaternion_to_matrix,
    rotation_between,
    slerp,
)

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

#: The joints whose children move as one rigid body with them.
_BODIES: tuple[tuple[int, tuple[int, ...]], ...] = ((0, (1, 2, 3)), (9, (12, 13, 14)))
#: Upper joint, hinge, end and foot of each limb, and the axis about which the hinge bends, in the rest pose.
_LIMBS: tuple[tuple[int, int, int, int | None, tuple[float, float, float]], ...] = (
    (1, 4, 7, 10, (1, 0, 0)),
    (2, 5, 8, 11, (1, 0, 0)),
    (16, 18, 20, None, (0, -1, 0)),
    (17, 19, 21, None, (0, 1, 0)),
)
#: How much a limb's twist listens to its hinge (bent by a right angle), to its foot, to its parent (which
#: would have no twist), and to the frame before (no change); how much its angle is smoothed at the end.
_HINGE, _FOOT, _PARENT, _STEADY, _SMOOTH = 1.0, 0.05, 0.01, 1.0, 0.5


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
    return frames(pose)[0]


def frames(
    pose: Pose, parents: tuple[int, ...] = PARENTS
) -> tuple[Float[Tensor, "*n j 3"], Float[Tensor, "*n j 3 3"]]:
    """Positions and global rotations of a pose's joints; any leading dimensions."""
    joints, turned = [pose.root], [pose.rotations[..., 0, :, :]]
    for j in range(1, len(parents)):
        joints.append(joints[parents[j]] + turned[parents[j]] @ pose.offsets[j])
        turned.append(turned[parents[j]] @ pose.rotations[..., j, :, :])
    return torch.stack(joints, dim=-2), torch.stack(turned, dim=-3)


def inverse_kinematics(joints: Float[Tensor, "t 22 3"], offsets: Float[Tensor, "22 3"] | None = None) -> Pose:
    """Local rotations that put the joints where they are.

    offsets: the rest pose, metres; by default :data:`OFFSETS` with this motion's bone lengths (medians over
    time) and, at pelvis and chest, its angles between the bones. Where bone lengths do not change,
    :func:`forward_kinematics` leads back to the joints; where they do, each bone points at its joint.

    Pelvis and chest turn as their three children do. The spine between shares their twist; neck and collar
    bones turn without twist. Upper arms and thighs twist so that elbow and knee bend about their hinge; where
    these are straight, as the foot points, as the parent does, and as in the frames around (least squares
    over the whole motion, so that nothing flips). Wrists, toes and head keep still: positions do not tell.
    """
    if joints.ndim != 3 or joints.shape[1:] != (22, 3) or not len(joints):
        raise ValueError(f"joints has shape {list(joints.shape)}, expected [t, 22, 3], t >= 1")
    if offsets is not None and offsets.shape != (22, 3):
        raise ValueError(f"offsets has shape {list(offsets.shape)}, expected [22, 3]")
    points = joints.detach().double().cpu()
    bones = points - points[:, [max(parent, 0) for parent in PARENTS]]
    rest = _rest_pose(bones) if offsets is None else offsets.detach().double().cpu()
    turned = torch.eye(3).double().repeat(len(points), 22, 1, 1)
    for joint, children in _BODIES:
        turned[:, joint] = _fitted(rest[list(children)], bones[:, children])
    pelvis, chest = matrix_to_quaternion(turned[:, 0]), matrix_to_quaternion(turned[:, 9])
    placed = points.clone()
    hinges = {limb[0]: limb for limb in _LIMBS}
    for joint in range(1, 22):
        children = [j for j in range(22) if PARENTS[j] == joint]
        before = turned[:, PARENTS[joint]]
        placed[:, joint] = placed[:, PARENTS[joint]] + before @ rest[joint]
        if JOINTS[joint] in ("spine1", "spine2"):
            share = points.new_full((len(points),), 1 / 3 if JOINTS[joint] == "spine1" else 2 / 3)
            before = quaternion_to_matrix(slerp(pelvis, chest, share))
        if len(children) == 0:
            turned[:, joint] = before
        elif len(children) == 1:
            bone, at_rest = points[:, children[0]] - placed[:, joint], rest[children[0]]
            turned[:, joint] = rotation_between(before @ at_rest, bone) @ before
            if joint in hinges:
                turned[:, joint] = _twisted(turned[:, joint], before, at_rest, bone, bones, hinges[joint])
    rotations = torch.empty_like(turned, dtype=joints.dtype)
    rotations[:, 0] = turned[:, 0]
    for joint in range(1, 22):
        rotations[:, joint] = turned[:, PARENTS[joint]].mT @ turned[:, joint]
    return Pose(joints[:, 0], rotations.to(joints), rest.to(joints))


def _rest_pose(bones: Float[Tensor, "t 22 3"]) -> Float[Tensor, "22 3"]:
    """The rest pose with the bone lengths of a motion, and its shape of the rigid parts."""
    rest = F.normalize(OFFSETS.double(), dim=-1) * bones.norm(dim=-1).median(0).values[:, None]
    for _, children in _BODIES:
        part = list(children)
        lengths = rest[part].norm(dim=-1, keepdim=True)
        for _ in range(3):
            back = _fitted(rest[part], bones[:, part]).mT
            rest[part] = (back[:, None] @ bones[:, part, :, None]).squeeze(-1).median(0).values
        rest[part] = F.normalize(rest[part], dim=-1) * lengths
    return rest


def _fitted(rest: Float[Tensor, "n 3"], bones: Float[Tensor, "t n 3"]) -> Float[Tensor, "t 3 3"]:
    """The rotations that best turn ``rest`` into ``bones`` (Kabsch 1976)."""
    u, _, vh = torch.linalg.svd(bones.mT @ rest)
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.linalg.det(u @ vh)
    return (u * sign[:, None]) @ vh


def _twisted(
    swung: Float[Tensor, "t 3 3"],
    before: Float[Tensor, "t 3 3"],
    at_rest: Float[Tensor, " 3"],
    bone: Float[Tensor, "t 3"],
    bones: Float[Tensor, "t 22 3"],
    limb: tuple[int, int, int, int | None, tuple[float, float, float]],
) -> Float[Tensor, "t 3 3"]:
    """Rotations of a limb's upper joint, which turn the rest pose's hinge axis where the hinge's is.

    swung: the rotations without twist against the parent's, ``before``. The twist is solved for as a complex
    number per frame, against frames that are carried along with the bone from one time to the next.
    """
    _, _, end, foot, axis = limb
    bone, lower = F.normalize(bone, dim=-1), F.normalize(bones[:, end], dim=-1)
    along = F.normalize(at_rest, dim=-1)
    square = bone.new_tensor(axis)
    square = F.normalize(square - (square @ along) * along, dim=-1)

    frames = torch.empty_like(swung)
    frames[0] = swung[0]
    for i, step in enumerate(rotation_between(bone[:-1], bone[1:])):
        frames[i + 1] = step @ frames[i]
    real = frames @ square
    imaginary = torch.linalg.cross(bone, real)

    def number(vector: Float[Tensor, "t 3"]) -> Float[Tensor, "t 2"]:
        return torch.stack(((vector * real).sum(-1), (vector * imaginary).sum(-1)), dim=-1)

    def told(vector: Float[Tensor, "t 3"], weight: Float[Tensor, " t"]) -> tuple[Tensor, Tensor]:
        return weight[:, None] * number(F.normalize(vector, dim=-1)), weight

    def cosine(a: Float[Tensor, "t 3"], b: Float[Tensor, "t 3"]) -> Float[Tensor, " t"]:
        return (F.normalize(a, dim=-1) * F.normalize(b, dim=-1)).sum(-1)

    normal = torch.linalg.cross(bone, lower)
    firm = normal.norm(dim=-1).clamp(max=0.1) * 10  # a folded limb tells its plane, a closed one does not
    evidence = [
        told(normal, _HINGE * firm * (1 - cosine(bone, lower)).square()),
        told(swung @ square, _PARENT * ((1 + cosine(before @ at_rest, bone)) / 2).square()),
    ]
    if foot is not None:
        side = torch.linalg.cross(F.normalize(bones[:, foot], dim=-1), lower)
        evidence.append(told(side, _FOOT * side.square().sum(-1).square()))
    right, weight = (torch.stack(parts).sum(0) for parts in zip(*evidence, strict=True))
    twist = _steadied(right, weight, _STEADY)
    sure = twist.square().sum(-1).square() * (1 + weight)
    turn = torch.atan2(twist[:, 1], twist[:, 0])
    turn = turn[:1] + F.pad((turn.diff() + math.pi) % (2 * math.pi) - math.pi, (1, 0)).cumsum(0)
    turn = _steadied((sure * turn)[:, None], sure, _SMOOTH)
    return axis_angle_to_matrix(bone * turn) @ frames


def _steadied(
    right: Float[Tensor, "t n"], weight: Float[Tensor, " t"], steady: float
) -> Float[Tensor, "t n"]:
    """The values x that minimise ``sum weight x^2 - 2 right x + steady (x - x before)^2``."""
    if len(weight) == 1:
        return right / (weight[:, None] + 1e-9)
    neighbours = torch.full_like(weight, 2.0 * steady)
    neighbours[0] -= steady
    neighbours[-1] -= steady
    bands = torch.stack((torch.full_like(weight, -steady), weight + neighbours + 1e-9))
    return torch.from_numpy(solveh_banded(bands.numpy(), right.numpy()))
