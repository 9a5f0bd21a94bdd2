"""A motion as a film: a figure on a floor, its trail, the prompt of the moment, a bar of the time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter1d

from syncsde3d.io.motion_stage import Stage
from syncsde3d.io.video import write_video
from syncsde3d.motion.capsules import PARTS, capsules, posed
from syncsde3d.motion.skeleton import inverse_kinematics

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from numpy import ndarray

    from syncsde3d.motion.skeleton import Pose
    from syncsde3d.motion.types import Motion, Segment

_DISTANCE, _HEIGHT = 5.5, 0.75  # metres: of the camera from what it looks at, of that above the floor
_REST = 0.92  # the pelvis of a standing person
_TRAIL_SECONDS = 8.0
_INK = (38, 44, 56)


def write_motion_video(
    path: str | os.PathLike[str], motion: Motion, size: tuple[int, int] = (640, 640)
) -> None:
    """Save ``motion`` as H.264 in MP4 at its own rate; no frame is kept in memory.

    size: width and height, pixels. Left limbs are blue, right limbs orange.

    Raises:
        ValueError: a size below 64 pixels.
        OSError: ``path`` cannot be written, or the encoder failed.
    """
    write_video(path, motion_frames(motion, size), motion.fps)


def motion_frames(motion: Motion, size: tuple[int, int] = (640, 640)) -> Iterator[UInt8[ndarray, "h w 3"]]:
    """The frames of :func:`write_motion_video`, one after the other."""
    if min(size) < 64:
        raise ValueError(f"size is {size}, expected (width, height) of at least 64 pixels")
    return _frames(motion, inverse_kinematics(motion.joints.detach().cpu().double()), size)


def _frames(motion: Motion, pose: Pose, size: tuple[int, int]) -> Iterator[UInt8[ndarray, "h w 3"]]:
    figure = capsules(pose.offsets)
    starts, ends = (points.numpy() for points in posed(figure, pose))
    root, radii = pose.root.numpy(), figure.radii.numpy()
    colours = np.array(list(PARTS.values()))[figure.parts.numpy()]
    stage, captions = Stage(size), _Captions(motion, size)
    cameras = _camera_path(root, motion.fps) - stage.forward * _DISTANCE
    memory = round(_TRAIL_SECONDS * motion.fps)
    for i in range(len(root)):
        trail = root[max(i - memory, 0) : i + 1, [0, 2]]
        picture = stage.picture(cameras[i], starts[i], ends[i], radii, colours, trail)
        captions.add(picture, i)
        yield picture


def _camera_path(root: Float[ndarray, "t 3"], fps: float) -> Float[ndarray, "t 3"]:
    """What the camera looks at: the pelvis, smoothed over a second; lifted only for what leaves the floor."""
    aim = root.copy()
    aim[:, 1] = _HEIGHT + np.maximum(root[:, 1] - _REST - 0.25, 0)
    return gaussian_filter1d(aim, 0.6 * fps, axis=0, mode="nearest")


class _Captions:
    """The prompt of each frame on a light plate, and a bar with the time and the segments."""

    def __init__(self, motion: Motion, size: tuple[int, int]) -> None:
        self._size, self._count, self._fps = size, len(motion), motion.fps
        self._segments = motion.segments
        self._unit = max(min(size) / 640, 0.35)
        self._font = ImageFont.load_default(round(21 * self._unit))
        self._small = ImageFont.load_default(round(14 * self._unit))
        self._plates: dict[str, tuple[ndarray, ndarray]] = {}
        shown = [_shown(self._segments, i) for i in range(self._count)]
        self._shown = shown
        self._changes = [i for i in range(1, self._count) if shown[i] != shown[i - 1]]

    def add(self, picture: UInt8[ndarray, "h w 3"], frame: int) -> None:
        width, height = self._size
        unit = self._unit
        segment = self._shown[frame]
        if segment is not None and segment.prompt.strip():
            colour, cover = self._plate(segment.prompt)
            h, w = cover.shape[:2]
            top, left = height - h - round(40 * unit), (width - w) // 2
            part = picture[top : top + h, left : left + w]
            part[:] = (part + cover * (colour - part)).astype(np.uint8)
        margin, y, thick = round(20 * unit), height - round(16 * unit), max(round(4 * unit), 2)
        end = width - margin - round(52 * unit)
        along = [margin + round((end - margin) * i / self._count) for i in (frame + 1, *self._changes)]
        picture[y : y + thick, margin:end] = (188, 195, 205)
        picture[y : y + thick, margin : along[0]] = (84, 96, 116)
        for x in along[1:]:
            picture[y - thick // 2 : y + thick + thick // 2, x : x + max(thick // 2, 1)] = _INK
        self._write_time(picture, f"{frame / self._fps:.1f} s", (end, y + thick // 2))

    def _write_time(self, picture: ndarray, text: str, at: tuple[int, int]) -> None:
        left, y = at
        width, half = self._size[0] - left, round(10 * self._unit)
        part = picture[max(y - half, 0) : y + half, left:]
        plate = Image.fromarray(part)
        draw = ImageDraw.Draw(plate)
        draw.text((width - round(14 * self._unit), part.shape[0] / 2), text, _INK, self._small, anchor="rm")
        part[:] = np.asarray(plate)

    def _plate(self, prompt: str) -> tuple[Float[ndarray, "h w 3"], Float[ndarray, "h w 1"]]:
        """Colour and opacity of a caption."""
        if prompt not in self._plates:
            self._plates = {prompt: self._draw_plate(prompt)}
        return self._plates[prompt]

    def _draw_plate(self, prompt: str) -> tuple[ndarray, ndarray]:
        pad, room = round(12 * self._unit), self._size[0] - round(70 * self._unit)
        lines = _wrapped(prompt, room, self._font)
        step = round(27 * self._unit)
        wide = int(max(self._font.getlength(line) for line in lines)) + 1
        plate = Image.new("RGBA", (wide + 2 * pad, step * len(lines) + pad))
        draw = ImageDraw.Draw(plate)
        corner = (plate.width - 1, plate.height - 1)
        draw.rounded_rectangle((0, 0, *corner), radius=pad, fill=(255, 255, 255, 205))
        for i, line in enumerate(lines):
            at = (plate.width / 2, pad / 2 + step * (i + 0.5))
            draw.text(at, line, (*_INK, 255), self._font, anchor="mm")
        values = np.asarray(plate, np.float32)
        return values[..., :3], values[..., 3:] / 255


def _shown(segments: tuple[Segment, ...], frame: int) -> Segment | None:
    """The segment whose prompt is shown; of two that overlap, the one whose middle is nearer."""
    now = [s for s in segments if s.start <= frame < s.end]
    return min(now, key=lambda s: abs((s.start + s.end - 1) / 2 - frame) / (s.end - s.start), default=None)


def _wrapped(
    text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, most: int = 3
) -> list[str]:
    """``text`` in at most ``most`` lines of at most ``width`` pixels; what is left over becomes dots."""
    lines, words = [""], text.split()
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} ..."]
    return [_cut(line, width, font) for line in lines]


def _cut(line: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    while len(line) > 1 and font.getlength(line) > width:
        line = f"{line.removesuffix('...')[:-1].rstrip()}..." if len(line) > 4 else line[:-1]
    return line
