"""A figure made of capsules, for pictures of a motion: rods that get thinner, each fixed to one joint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from syncsde3d.motion.skeleton import JOINTS, OFFSETS, PARENTS, frames

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from syncsde3d.motion.skeleton import Pose

#: Body parts and their colours (sRGB): left is blue, right is orange.
PARTS: dict[str, tuple[int, int, int]] = {
    "trunk": (226, 223, 216),
    "head": (242, 238, 230),
    "left arm": (46, 134, 222),
    "right arm": (240, 118, 52),
    "left leg": (28, 92, 170),
    "right leg": (200, 78, 26),
}
#: Where the body goes on beyond its last joints: from the joint, in the rest pose, metres.
_TIPS = {
    "head": (0.0, 0.17, 0.0),
    "left_wrist": (0.17, 0.0, 0.0),
    "right_wrist": (-0.17, 0.0, 0.0),
    "left_foot": (0.0, 0.0, 0.07),
    "right_foot": (0.0, 0.0, 0.07),
}
_Point = tuple[str, tuple[float, float, float]]  # a joint, and an offset from it in the rest pose


@dataclass(frozen=True)
class Capsules:
    """n tapered rods with round ends, in the frames of their joints.

    joints: the joint each moves with [n]. starts, ends: from that joint [n, 3], metres. radii: at start
    and end [n, 2], metres. parts: index into :data:`PARTS` [n].
    """

    joints: Int[Tensor, " n"]
    starts: Float[Tensor, "n 3"]
    ends: Float[Tensor, "n 3"]
    radii: Float[Tensor, "n 2"]
    parts: Int[Tensor, " n"]


def body_scale(offsets: Float[Tensor, "22 3"]) -> float:
    """How much longer these legs are than those of :data:`~syncsde3d.motion.skeleton.OFFSETS`."""
    legs = [JOINTS.index(name) for name in ("left_knee", "right_knee", "left_ankle", "right_ankle")]
    return float(offsets[legs].norm(dim=-1).sum() / OFFSETS[legs].norm(dim=-1).sum())


def tips(offsets: Float[Tensor, "22 3"]) -> dict[int, Float[Tensor, " 3"]]:
    """The ends of head, hands and feet, from the joints 15, 20, 21, 10, 11 in the rest pose, metres."""
    scale = body_scale(offsets)
    return {JOINTS.index(name): offsets.new_tensor(tip) * scale for name, tip in _TIPS.items()}


def rest_joints(offsets: Float[Tensor, "j 3"], parents: tuple[int, ...] = PARENTS) -> Float[Tensor, "j 3"]:
    """Joint positions in the rest pose; the first one is at its own offset."""
    joints = [offsets[0]]
    for j in range(1, len(parents)):
        joints.append(joints[parents[j]] + offsets[j])
    return torch.stack(joints)


def capsules(offsets: Float[Tensor, "22 3"]) -> Capsules:
    """The figure of a skeleton; its thickness follows the length of the legs."""
    scale, rest = body_scale(offsets), rest_joints(offsets)

    def place(point: _Point) -> Tensor:
        return rest[JOINTS.index(point[0])] + offsets.new_tensor(point[1]) * scale

    rows = _rods()
    owners = torch.tensor([JOINTS.index(owner) for _, owner, *_ in rows])
    return Capsules(
        owners,
        torch.stack([place(start) for _, _, start, _, _ in rows]) - rest[owners],
        torch.stack([place(end) for _, _, _, end, _ in rows]) - rest[owners],
        offsets.new_tensor([radii for *_, radii in rows]) * scale,
        torch.tensor([list(PARTS).index(part) for part, *_ in rows]),
    )


def posed(figure: Capsules, pose: Pose) -> tuple[Float[Tensor, "*t n 3"], Float[Tensor, "*t n 3"]]:
    """Starts and ends of all capsules in a pose, metres."""
    joints, turned = frames(pose)
    joints, turned = joints[..., figure.joints, :], turned[..., figure.joints, :, :]
    starts, ends = (
        joints + (turned @ at.to(turned)[..., None])[..., 0] for at in (figure.starts, figure.ends)
    )
    return starts, ends


def _rods() -> list[tuple[str, str, _Point, _Point, tuple[float, float]]]:
    """(part, joint it moves with, start, end, radii) of every capsule, for a generic adult."""
    rows: list[tuple[str, str, _Point, _Point, tuple[float, float]]] = [
        ("trunk", "pelvis", ("left_hip", (-0.02, 0.03, 0)), ("right_hip", (0.02, 0.03, 0)), (0.092, 0.092)),
        ("trunk", "pelvis", ("pelvis", (0, 0, 0)), ("spine1", (0, 0, 0)), (0.108, 0.1)),
        ("trunk", "spine1", ("spine1", (0, 0, 0)), ("spine2", (0, 0, 0)), (0.1, 0.107)),
        ("trunk", "spine2", ("spine2", (0, 0, 0)), ("spine3", (0, 0, 0)), (0.107, 0.112)),
        ("trunk", "neck", ("neck", (0, -0.03, 0)), ("head", (0, 0, -0.015)), (0.058, 0.052)),
        ("head", "head", ("head", (0, 0.035, 0.012)), ("head", (0, 0.085, -0.005)), (0.074, 0.092)),
    ]
    for side, x in (("left", 1.0), ("right", -1.0)):
        arm, leg = f"{side} arm", f"{side} leg"
        hip, knee, ankle, foot = (f"{side}_{name}" for name in ("hip", "knee", "ankle", "foot"))
        collar, shoulder, elbow, wrist = (
            f"{side}_{name}" for name in ("collar", "shoulder", "elbow", "wrist")
        )
        at = (0.0, 0.0, 0.0)
        rows += [
            (
                "trunk",
                "spine3",
                ("spine3", (0.035 * x, -0.03, 0)),
                (collar, (0.012 * x, -0.06, 0)),
                (0.092, 0.088),
            ),
            ("trunk", collar, (collar, (0, 0.0, 0)), (shoulder, (-0.03 * x, 0, 0)), (0.07, 0.05)),
            (arm, shoulder, (shoulder, at), (elbow, at), (0.056, 0.043)),
            (arm, elbow, (elbow, at), (wrist, at), (0.043, 0.032)),
            (arm, wrist, (wrist, (0.03 * x, 0, 0)), (wrist, (0.13 * x, -0.005, 0.0)), (0.036, 0.028)),
            (leg, hip, (hip, (0, -0.02, 0)), (knee, at), (0.09, 0.06)),
            (leg, knee, (knee, at), (ankle, at), (0.06, 0.042)),
            (leg, ankle, (ankle, (0, -0.035, -0.03)), (foot, (0, 0.006, 0)), (0.044, 0.042)),
            (leg, foot, (foot, (0, 0.006, 0)), (foot, (0, 0.0, 0.05)), (0.042, 0.034)),
        ]
    return rows
