"""Measures of motion: smoothness where segments join, and feet that slide.

Joints are [t, j, 3] in metres, +Y up, at ``fps`` frames per second. Jerk is measured as in FlowMDM
(arXiv:2402.15509): per frame cubed, L1 over the axes, the worst joint of each frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

#: SMPL's toe joints, left and right, and the height below which they stand on the floor, metres.
TOES, CONTACT_HEIGHT = (10, 11), 0.05
#: Frames around a join that are looked at: 3 s at 20 per second.
WINDOW = 60


def jerk(joints: Float[Tensor, "t j 3"]) -> Float[Tensor, " t-3"]:
    """Third difference of the positions, L1 over the axes, the largest joint's; metres per frame cubed."""
    _expect(joints, 4)
    return joints.diff(n=3, dim=0).abs().sum(-1).amax(-1)


def velocity_change(joints: Float[Tensor, "t j 3"], fps: float = 20.0) -> Float[Tensor, " t-2"]:
    """Length of the change of velocity from one frame to the next, mean over joints; metres per second."""
    _expect(joints, 3)
    return joints.diff(n=2, dim=0).norm(dim=-1).mean(-1) * fps


def around(series: Float[Tensor, " t"], frames: Sequence[int], width: int = WINDOW) -> Float[Tensor, "n w"]:
    """Windows of a series around some of its frames, moved inwards where they would reach over an end.

    Raises ValueError when the series is shorter than a window.
    """
    if len(series) < width:
        raise ValueError(f"series: expected at least {width} values for one window, got {len(series)}")
    starts = [min(max(frame - width // 2, 0), len(series) - width) for frame in frames]
    return torch.stack([series[start : start + width] for start in starts])


def peak_jerk(windows: Float[Tensor, "... w"]) -> Float[Tensor, "..."]:
    """PJ: the largest jerk of each window."""
    return windows.amax(-1)


def area_under_jerk(windows: Float[Tensor, "... w"], reference: float) -> Float[Tensor, "..."]:
    """AUJ: how far each window's jerk is from ``reference``, the mean jerk of natural motion, summed up."""
    return (windows - reference).abs().sum(-1)


def foot_skating(
    joints: Float[Tensor, "t j 3"], contacts: Bool[Tensor, "t 2"] | None = None, fps: float = 20.0
) -> float:
    """Mean horizontal speed of the toes while they stand on the floor, metres per second; 0 if they never do.

    contacts: whether the left and the right toes stand; None: below 5 cm. A toe stands from one frame to the
    next when it does at both.
    """
    _expect(joints, 2)
    toes = joints[:, TOES]
    standing = toes[..., 1] < CONTACT_HEIGHT if contacts is None else contacts
    standing = standing[1:] & standing[:-1]
    speed = toes[..., [0, 2]].diff(dim=0).norm(dim=-1) * fps
    return float(speed[standing].mean()) if standing.any() else 0.0


def overlap_gap(
    segments: Float[Tensor, "n t c"], lengths: Sequence[int], overlap: int
) -> Float[Tensor, " n-1"]:
    """L2 distance of neighbouring segments on the frames they share, mean over these frames, per join."""
    gaps = [
        (segments[i, end - overlap : end] - segments[i + 1, :overlap]).norm(dim=-1).mean()
        for i, end in enumerate(lengths[:-1])
    ]
    return torch.stack(gaps) if gaps else segments.new_zeros(0)


def _expect(joints: Tensor, frames: int) -> None:
    if joints.ndim != 3 or joints.shape[-1] != 3 or len(joints) < frames:
        raise ValueError(f"joints: expected [t, j, 3] with t >= {frames}, got {list(joints.shape)}")
