"""Bodies of the SMPL family (SMPL, SMPL-H, SMPL-X) that move as a motion does.

Loper et al., "SMPL: a skinned multi-person linear model", SIGGRAPH Asia 2015. HumanML3D's 6-D rotations are
not SMPL's: the pose comes from the joints by inverse kinematics on the body's own skeleton. The model files
are licensed to each user by their makers and do not come with this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from syncsde3d.motion.mannequin import Skin
from syncsde3d.motion.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from syncsde3d.motion.skeleton import JOINTS, Pose, frames, inverse_kinematics

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from syncsde3d.motion.types import Motion

_COLOUR = (214, 190, 176)
_LEGS = ((1, 4), (2, 5), (4, 7), (5, 8))  # hip to knee, knee to ankle


@dataclass(frozen=True)
class Body:
    """The arrays of a model file; v vertices, j joints, the first 22 of which are ours.

    template [v, 3], metres, +Y up. shapes: vertex shifts for each beta [v, 3, s]. poses: vertex shifts for
    each entry of the joints' rotations but the root's [v, 3, 9 (j - 1)]. regressor: joints from vertices
    [j, v]. weights [v, j]. faces [f, 3]. parents: -1 for the pelvis.
    """

    template: Float[Tensor, "v 3"]
    shapes: Float[Tensor, "v 3 s"]
    poses: Float[Tensor, "v 3 p"]
    regressor: Float[Tensor, "j v"]
    weights: Float[Tensor, "v j"]
    faces: Int[Tensor, "f 3"]
    parents: tuple[int, ...]
    gender: str = "neutral"

    def shaped(
        self, betas: Float[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "v 3"], Float[Tensor, "j 3"]]:
        """Vertices and joints at rest. betas: the first coefficients of the shape; none: the mean body."""
        vertices = self.template
        if betas is not None:
            if len(betas) > self.shapes.shape[-1]:
                raise ValueError(f"betas: {len(betas)} values, expected at most {self.shapes.shape[-1]}")
            vertices = vertices + self.shapes[..., : len(betas)] @ betas.to(vertices)
        return vertices, self.regressor @ vertices


@dataclass(frozen=True)
class SmplParameters:
    """A motion in the parameters of smplx's models, +Y up, metres, radians.

    global_orient: axis-angle of the pelvis [t, 3]. body_pose: axis-angle of the 21 other joints [t, 63].
    transl: shift of the posed body [t, 3]; the pelvis is at ``pelvis + transl``. betas [b].
    pelvis: where the body has it at rest [3]. gender: the body's.
    """

    global_orient: Float[Tensor, "t 3"]
    body_pose: Float[Tensor, "t 63"]
    transl: Float[Tensor, "t 3"]
    betas: Float[Tensor, " b"]
    pelvis: Float[Tensor, " 3"]
    fps: float
    gender: str = "neutral"


def smpl_parameters(motion: Motion, body: Body, betas: Float[Tensor, " b"] | None = None) -> SmplParameters:
    """The parameters with which ``body`` moves as ``motion``.

    Directions of bones are kept. A body with longer legs than the motion's takes, by the same factor, longer
    steps and higher jumps, so that its feet neither slide nor sink.

    Raises:
        ValueError: more betas than the body has.
    """
    betas = torch.zeros(10) if betas is None else betas.detach()
    _, rest = body.shaped(_used(betas))
    offsets = _offsets(rest[: len(JOINTS)], body.parents)
    joints = motion.joints.detach().cpu()
    pose = inverse_kinematics(joints, offsets)
    legs = [joints[:, b] - joints[:, a] for a, b in _LEGS]
    length = torch.stack([bone.norm(dim=-1).median() for bone in legs]).sum()
    scale = float(sum(offsets[b].norm() for _, b in _LEGS) / length)
    axes = torch.cat([matrix_to_axis_angle(turns) for turns in pose.rotations.split(1000)])
    transl = pose.root.double() * scale - rest[0].double()
    return SmplParameters(axes[:, 0], axes[:, 1:].flatten(1), transl, betas, rest[0], motion.fps, body.gender)


def smpl_pose(parameters: SmplParameters, body: Body) -> Pose:
    """The motion of the body's first 22 joints, on the offsets of all [j, 3]; hands and face rest."""
    _, rest = body.shaped(_used(parameters.betas))
    axes = torch.cat((parameters.global_orient, parameters.body_pose), dim=-1).unflatten(-1, (-1, 3))
    turns = torch.cat([axis_angle_to_matrix(part) for part in axes.split(1000)])
    return Pose(parameters.transl + parameters.pelvis, turns, _offsets(rest, body.parents).to(axes))


def smpl_vertices(
    parameters: SmplParameters, body: Body, batch: int = 32
) -> Iterator[Float[Tensor, "n v 3"]]:
    """The body's vertices in world coordinates, metres, ``batch`` frames at a time.

    Pose-dependent shifts of the shaped template, then linear blend skinning.
    """
    vertices, rest = body.shaped(_used(parameters.betas))
    pose = smpl_pose(parameters, body)
    for i in range(0, len(pose.root), batch):
        turns = torch.eye(3).to(pose.rotations).repeat(len(pose.root[i : i + batch]), len(rest), 1, 1)
        turns[:, : len(JOINTS)] = pose.rotations[i : i + batch]
        at, turn = frames(Pose(pose.root[i : i + batch], turns, pose.offsets), body.parents)
        at, turn = at.to(vertices), turn.to(vertices)
        entries = (turns[:, 1:].to(vertices) - torch.eye(3).to(vertices)).flatten(1)
        corrected = vertices + torch.einsum("vxp,np->nvx", body.poses, entries)
        shift = at - (turn @ rest[..., None])[..., 0]
        blended = torch.einsum("vj,njxy->nvxy", body.weights, turn)
        yield (blended @ corrected[..., None])[..., 0] + body.weights @ shift


def smpl_skin(body: Body, betas: Float[Tensor, " b"] | None = None) -> Skin:
    """The body for :func:`~syncsde3d.io.motion_gltf.write_skinned_glb`, with :func:`smpl_pose`.

    Its pose-dependent shifts, which glTF's skinning cannot express, are left out, and only each vertex's
    four strongest joints count.
    """
    vertices, rest = body.shaped(None if betas is None else _used(betas))
    a, b, c = vertices[body.faces].unbind(1)
    corner = torch.linalg.cross(b - a, c - a)[:, None].expand(-1, 3, -1).reshape(-1, 3)
    normals = torch.zeros_like(vertices).index_add(0, body.faces.flatten(), corner)
    normals = torch.where(normals.norm(dim=-1, keepdim=True) > 0, normals, normals.new_tensor([0, 1, 0]))
    weights, joints = body.weights.topk(4, dim=-1)
    names = [*JOINTS, *(("left_hand", "right_hand") if len(body.parents) == 24 else ())]
    names += [f"joint_{i}" for i in range(len(names), len(body.parents))]
    return Skin(
        tuple(names),
        body.parents,
        rest,
        vertices,
        F.normalize(normals, dim=-1),
        body.faces,
        joints,
        weights / weights.sum(-1, keepdim=True),
        (("body", _COLOUR, slice(0, len(body.faces))),),
    )


def _offsets(rest: Float[Tensor, "j 3"], parents: tuple[int, ...]) -> Float[Tensor, "j 3"]:
    """From each joint's parent; 0 for the pelvis."""
    return torch.stack([rest[j] - rest[max(parents[j], 0)] for j in range(len(rest))])


def _used(betas: Float[Tensor, " b"]) -> Float[Tensor, " b"] | None:
    """None for the mean body, however many zeros stand for it."""
    return betas if betas.any() else None
