"""A motion and the prompts it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

#: Frames per second of HumanML3D, and of every motion unless it says otherwise.
FPS = 20.0


@dataclass(frozen=True)
class Segment:
    """What happens in the frames [start, end) of a motion; neighbouring segments may overlap."""

    prompt: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"segment is [{self.start}, {self.end}), expected 0 <= start < end")


@dataclass(frozen=True)
class Motion:
    """Joint positions over time.

    joints: [t, 22, 3], metres, +Y up, in the order of :data:`syncsde3d.motion.skeleton.JOINTS`.
    fps: frames per second. segments: the prompts, in frames of this motion.
    features: the network's output that the joints were decoded from, if any (see
    :mod:`syncsde3d.motion.features`).
    """

    joints: Float[Tensor, "t 22 3"]
    fps: float = FPS
    segments: tuple[Segment, ...] = ()
    features: Float[Tensor, "t 263"] | None = None

    def __post_init__(self) -> None:
        if self.joints.ndim != 3 or self.joints.shape[1:] != (22, 3) or not len(self.joints):
            raise ValueError(f"joints has shape {list(self.joints.shape)}, expected [t, 22, 3], t >= 1")
        if not self.fps > 0:
            raise ValueError(f"fps is {self.fps}, expected > 0")

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def seconds(self) -> float:
        """Duration: every frame lasts ``1 / fps``."""
        return len(self) / self.fps
