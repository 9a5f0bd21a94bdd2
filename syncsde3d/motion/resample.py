"""Other frame rates, with bones as long as before."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from syncsde3d.motion.rotations import matrix_to_quaternion, quaternion_to_matrix
from syncsde3d.motion.skeleton import Pose, forward_kinematics, inverse_kinematics
from syncsde3d.motion.types import Motion, Segment

if TYPE_CHECKING:
    from jaxtyping import Float


def resample(motion: Motion, fps: float) -> Motion:
    """The motion at ``fps`` frames per second, from the first frame on, not past the last.

    Joint positions become rotations (:func:`inverse_kinematics`), which are interpolated, as is the root:
    bones keep their lengths, which they would not if positions were. Cubic splines, of quaternions too: half
    the error of slerp at 20 fps, and no kinks. Segments' frames are rescaled; features are dropped, as they
    belong to a frame rate.
    """
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps is {fps}, expected > 0")
    if fps == motion.fps:
        return motion
    ratio = fps / motion.fps
    frames = math.floor((len(motion) - 1) * ratio + 1e-6) + 1
    times = (torch.arange(frames, dtype=torch.float64) / ratio).clamp(max=len(motion) - 1)
    pose = inverse_kinematics(motion.joints.double())
    quaternions = _continuous(matrix_to_quaternion(pose.rotations))
    rotations = quaternion_to_matrix(_interpolated(quaternions, times))
    joints = forward_kinematics(Pose(_interpolated(pose.root, times), rotations, pose.offsets))
    segments = tuple(_rescaled(segment, ratio, frames) for segment in motion.segments)
    return replace(motion, joints=joints.to(motion.joints), fps=fps, segments=segments, features=None)


def _continuous(q: Float[Tensor, "t *n 4"]) -> Float[Tensor, "t *n 4"]:
    """The same rotations, each quaternion with the sign that is nearer to the one before."""
    away = (q[1:] * q[:-1]).sum(-1, keepdim=True) < 0
    sign = torch.where(away, -torch.ones_like(q[1:, ..., :1]), 1.0).cumprod(0)
    return torch.cat((q[:1], q[1:] * sign))


def _interpolated(values: Float[Tensor, "t *n"], times: Float[Tensor, " s"]) -> Float[Tensor, "s *n"]:
    if len(values) == 1:
        return values.expand(len(times), *values.shape[1:])
    knots = torch.arange(len(values)).numpy()
    return torch.from_numpy(CubicSpline(knots, values.cpu().numpy())(times.numpy())).to(values)


def _rescaled(segment: Segment, ratio: float, frames: int) -> Segment:
    """Neighbours stay neighbours; every segment keeps at least one frame."""
    start = min(round(segment.start * ratio), frames - 1)
    return replace(segment, start=start, end=max(start + 1, min(round(segment.end * ratio), frames)))
