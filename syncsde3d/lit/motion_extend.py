"""What a result folder keeps so that its motion can go on later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncsde3d.core import Trajectory
from syncsde3d.io.manifest import read_manifest
from syncsde3d.io.smpl_npz import read_motion_npz
from syncsde3d.io.trajectory import load_trajectories
from syncsde3d.lit.item_module import check_same
from syncsde3d.motion.types import Segment

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

#: In a result folder: the last segment's trajectory, and the motion with its features.
TRAJECTORY, MOTION = "trajectory.safetensors", "motion.npz"
#: Settings that must be the same for a chain to go on.
_SAME = ("steps", "scheduler", "overlap", "model")


@dataclass(frozen=True)
class Earlier:
    """A motion to continue. features: [t, 263], the network's; segments: with its prompts."""

    features: Float[Tensor, "t 263"]
    segments: tuple[Segment, ...]
    trajectory: Trajectory

    @property
    def lengths(self) -> list[int]:
        return [segment.end - segment.start for segment in self.segments]


def load_earlier(folder: Path, settings: Mapping[str, Any]) -> Earlier:
    """The result in ``folder``, to be continued with ``settings``.

    Raises ValueError, naming the folder, where it holds no motion that can be continued, or one made with
    other settings.
    """
    path = folder / TRAJECTORY
    if not path.is_file():
        raise ValueError(
            f"extend: '{folder}' holds no {TRAJECTORY}, expected the folder of a motion made with the "
            "strategy syncsde or independent"
        )
    try:
        made = read_manifest(folder).settings
        motion = read_motion_npz(folder / MOTION)
        (trajectory,) = load_trajectories(path)
    except FileNotFoundError as error:
        raise ValueError(f"extend: '{folder}' is not a whole result: {error}") from None
    if motion.features is None:
        raise ValueError(f"extend: '{folder / MOTION}' holds no features")
    check_same(folder, made, settings, _SAME)
    return Earlier(motion.features, motion.segments, trajectory)
