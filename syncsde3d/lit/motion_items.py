"""Long motions to make, what they turn into, and how prompts with durations become segments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncsde3d.core import Trajectory
from syncsde3d.lit.items import Stays
from syncsde3d.motion.types import FPS, Motion
from syncsde3d.tasks.long_motion import split_frames

#: Seconds of a prompt that has none of its own: with an overlap of 30 frames, segments of 120.
SECONDS = 4.5


@dataclass(frozen=True)
class Line:
    """One line of a script: what happens, and for how long (seconds)."""

    prompt: str
    seconds: float = SECONDS


@dataclass(frozen=True)
class MotionItem(Stays):
    """One long motion to make.

    lines: the script; script: a file with it, read when the item's turn comes, in place of lines.
    duration: repeat the script until the motion is at least this long, seconds. extends: the folder of an
    earlier result that this one continues. seed, id: a name unique in the run; both choose the noise.
    """

    lines: tuple[Line, ...] = ()
    script: Path | None = None
    seed: int = 0
    id: str = "motion"
    duration: float | None = None
    extends: Path | None = None


@dataclass(frozen=True)
class MotionResult(Stays):
    """A finished motion.

    motion: at the network's 20 frames per second, with its features. fps: what to export it at.
    trajectory: the last segment's, from which the motion can be extended; None where the strategy couples
    all segments at once. settings, models, seconds: as for :class:`~syncsde3d.TexturedMesh`.
    key: fingerprint of all that decided the result.
    """

    item: MotionItem
    motion: Motion
    fps: float
    trajectory: Trajectory | None
    settings: dict[str, Any]
    models: dict[str, str | None]
    key: str
    seconds: dict[str, float] = field(default_factory=dict)


def plan(
    lines: Sequence[Line], overlap: int, duration: float | None = None, begun: bool = False
) -> tuple[list[str], list[int]]:
    """Prompt and length in frames of every segment.

    A segment is as long as its line plus the overlap with the one before, so that the motion is as long as
    its lines together; a line that one segment cannot hold becomes several with the same prompt.
    duration: repeat the lines until the motion is at least this many seconds long. begun: the lines continue
    an earlier motion.

    Raises ValueError, naming the line, for an empty script or prompt, or a time too short.
    """
    if not lines:
        raise ValueError("script: empty, expected at least one prompt")
    for i, line in enumerate(lines):
        if not line.prompt.strip():
            raise ValueError(f"prompts[{i}]: empty, expected words")
        if not (line.seconds > 0 and math.isfinite(line.seconds)):
            raise ValueError(f"seconds[{i}]: expected a positive number, got {line.seconds}")
    if duration is not None and not (duration > 0 and math.isfinite(duration)):
        raise ValueError(f"duration: expected a positive number of seconds, got {duration}")
    prompts: list[str] = []
    lengths: list[int] = []
    for prompt, frames in _timed_lines(lines, duration):
        try:
            parts = split_frames(frames, overlap, first=not (prompts or begun))
        except ValueError as error:
            raise ValueError(f"'{prompt}': {error}") from None
        prompts += [prompt.strip()] * len(parts)
        lengths += parts
    return prompts, lengths


def _timed_lines(lines: Sequence[Line], duration: float | None) -> Iterator[tuple[str, int]]:
    """Prompts with frames; rounded so that the sum of the frames is right, not each."""
    end, frames = 0.0, 0
    for line in lines if duration is None else itertools.cycle(lines):
        end += line.seconds
        yield line.prompt, round(end * FPS) - frames
        frames = round(end * FPS)
        if duration is not None and end >= duration - 1e-9:
            return
