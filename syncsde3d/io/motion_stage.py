"""Pictures of a figure of capsules on a checkered floor: shaded, with its cast shadow and its trail.

Made for films: everything that does not change while the camera only moves sideways is computed once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from numpy import ndarray

_TILE = 0.5  # metres
_TILES = np.array([[232, 235, 240], [205, 211, 220]], np.float32)
_FAR = np.array([240, 243, 247], np.float32)  # the floor far away, and the sky at the horizon
_TOP = np.array([206, 217, 231], np.float32)
_TRAIL = np.array([228, 74, 108], np.float32)
_SUN = np.array([0.35, -1.0, -0.45])  # where light falls to; y = -1
_KEY = np.array([-0.45, 0.7, 0.55], np.float32) / np.float32(0.998)  # towards the light: right, up, viewer
_NEAR = 0.3  # metres in front of the camera


class Stage:
    """A floor seen by a camera that keeps its direction.

    size: width and height, pixels. azimuth, tilt: where the camera stands, from +Z towards +X, and how far
    it looks down, degrees. view: vertical field of view, degrees.
    """

    def __init__(
        self, size: tuple[int, int], azimuth: float = 35.0, tilt: float = 11.0, view: float = 30.0
    ) -> None:
        self.size = width, height = size
        turn, down = math.radians(azimuth), math.radians(tilt)
        self.forward = np.array(
            [-math.sin(turn) * math.cos(down), -math.sin(down), -math.cos(turn) * math.cos(down)]
        )
        right = np.array([math.cos(turn), 0.0, -math.sin(turn)])
        self._axes = np.stack([right, np.cross(right, self.forward), self.forward])
        self._focal = height / 2 / math.tan(math.radians(view) / 2)
        self._x = np.arange(width, dtype=np.float32) + 0.5
        self._y = np.arange(height, dtype=np.float32) + 0.5
        self._prepare_floor()

    def picture(
        self,
        camera: Float[ndarray, " 3"],
        starts: Float[ndarray, "n 3"],
        ends: Float[ndarray, "n 3"],
        radii: Float[ndarray, "n 2"],
        colours: Int[ndarray, "n 3"],
        trail: Float[ndarray, "k 2"],
    ) -> UInt8[ndarray, "h w 3"]:
        """One frame. camera: its position. starts, ends, radii: the capsules. trail: (x, z), oldest first."""
        self._lay_floor(camera)
        self._shade_floor(camera, starts, ends, radii)
        self._draw_trail(camera, trail)
        self._draw_capsules(camera, starts, ends, radii, colours.astype(np.float32))
        width, height = self.size
        picture = np.empty((height, width, 3), np.uint8)
        for channel, plane in enumerate(self._planes):
            np.copyto(picture[..., channel], plane, casting="unsafe")
        return picture

    def _prepare_floor(self) -> None:
        width, height = self.size
        x, y = (self._x - width / 2) / self._focal, (height / 2 - self._y) / self._focal
        right, up, forward = self._axes
        fall = -(forward[1] + y * up[1])  # of the ray through a row, for each metre forwards
        first = self._first = int(np.searchsorted(fall, 1e-3))
        share = np.linspace(0, 1, max(first, 1))[:, None]
        self._planes = np.empty((3, height, width), np.float32)
        self._depths = np.empty((height, width), np.float32)
        self._sky = [(_TOP[c] + share * (_FAR[c] - _TOP[c])).astype(np.float32) for c in range(3)]
        fall, y = fall[first:, None], y[first:, None]
        # A pixel's point on the floor lies this far from the camera's foot for each metre of its height.
        reach = [(forward[i] + y * up[i] + x * right[i]) / fall for i in (0, 2)]
        self._waves = [_Wave(values / (2 * _TILE)) for values in reach]
        near = np.exp(-np.square(np.maximum(1 / fall - 1.5, 0) / 6))
        self._mean = [(_FAR[c] + near * (_TILES[:, c].mean() - _FAR[c])).astype(np.float32) for c in range(3)]
        self._contrast = [(near * (_TILES[0, c] - _TILES[1, c]) / 2).astype(np.float32) for c in range(3)]

    def _lay_floor(self, camera: Float[ndarray, " 3"]) -> None:
        """Sky, and checks averaged over each pixel: the product of two square waves."""
        for plane, sky in zip(self._planes, self._sky, strict=True):
            plane[: self._first] = sky
        across, along = self._waves
        checks = across.at(camera[1], camera[0] / (2 * _TILE))
        checks *= along.at(camera[1], camera[2] / (2 * _TILE))
        for plane, contrast, mean in zip(self._planes, self._contrast, self._mean, strict=True):
            floor = plane[self._first :]
            np.multiply(checks, contrast, out=floor)
            floor += mean

    def _project(
        self, points: Float[ndarray, "n 3"], camera: Float[ndarray, " 3"]
    ) -> tuple[Float[ndarray, "n 2"], Float[ndarray, " n"]]:
        """Pixel coordinates and depths."""
        right, up, depth = ((points - camera) @ self._axes.T).T
        zoom = self._focal / np.maximum(depth, 1e-3)
        width, height = self.size
        return np.stack([width / 2 + right * zoom, height / 2 - up * zoom], -1), depth

    def _shade_floor(self, camera: ndarray, starts: ndarray, ends: ndarray, radii: ndarray) -> None:
        points = np.concatenate([starts, ends])
        onto = points + np.maximum(points[:, 1:2], 0) * _SUN
        onto[:, 1] = 0
        at, depth = self._project(onto, camera)
        if not len(depth) or not (depth > _NEAR).all():
            return
        reach = np.concatenate(radii.T) * self._focal / depth
        window = self._window(at, reach.max() + 12)
        if window is None:
            return
        left, top, right, bottom = window
        mask = Image.new("L", (-(-(right - left) // 2), -(-(bottom - top) // 2)))
        draw = ImageDraw.Draw(mask)
        at, reach = (at - (left, top)) / 2, reach / 2 * 0.8
        for i, j in enumerate(range(len(starts), len(points))):
            draw.line([*at[i], *at[j]], 255, max(round(reach[i] + reach[j]), 1))
            for k in (i, j):
                (x, y), r = at[k], reach[k]
                draw.ellipse([x - r, y - r / 2, x + r, y + r / 2], 255)
        mask = mask.filter(ImageFilter.GaussianBlur(self.size[1] / 210)).resize(
            (right - left, bottom - top), Image.Resampling.BILINEAR
        )
        first = max(self._first - top, 0)
        dark = np.asarray(mask, np.float32)[first:] * np.float32(-0.42 / 255)
        self._planes[:, top + first : bottom, left:right] *= 1 + dark

    def _draw_trail(self, camera: ndarray, trail: Float[ndarray, "k 2"]) -> None:
        if len(trail) < 2:
            return
        at, depth = self._project(np.stack([trail[:, 0], np.zeros(len(trail)), trail[:, 1]], -1), camera)
        window = self._window(at[depth > _NEAR], 4) if (depth > _NEAR).any() else None
        if window is None:
            return
        left, top, right, bottom = window
        fine = 2
        mask = Image.new("L", (fine * (right - left), fine * (bottom - top)))
        draw = ImageDraw.Draw(mask)
        at = ((at - (left, top)) * fine).tolist()
        for i in range(len(at) - 1):
            if min(depth[i], depth[i + 1]) > _NEAR:
                wide = max(round(fine * 0.022 * self._focal / depth[i]), fine)
                draw.line([*at[i], *at[i + 1]], round(215 * (i + 1) / len(at)), wide)
        cover = np.asarray(mask.reduce(fine), np.float32) * np.float32(1 / 255)
        for plane, ink in zip(self._planes[:, top:bottom, left:right], _TRAIL, strict=True):
            plane += cover * (ink - plane)

    def _draw_capsules(
        self,
        camera: ndarray,
        starts: ndarray,
        ends: ndarray,
        radii: ndarray,
        colours: Float[ndarray, "n 3"],
    ) -> None:
        """From far to near, with the depth of every pixel."""
        (a, near), (b, far) = self._project(starts, camera), self._project(ends, camera)
        self._depths.fill(np.inf)
        for i in np.argsort(-(near + far)):
            if min(near[i], far[i]) > _NEAR:
                rod = _Rod(a[i], b[i], float(near[i]), float(far[i]), radii[i], self._focal)
                window = self._window(np.stack([a[i], b[i]]), max(rod.radii) + 1)
                if window is not None:
                    left, top, right, bottom = window
                    planes, depths = (a[..., top:bottom, left:right] for a in (self._planes, self._depths))
                    rod.draw(planes, depths, self._x[left:right], self._y[top:bottom], colours[i])

    def _window(self, points: Float[ndarray, "n 2"], margin: float) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of the pixels around some points; None if all are outside the picture."""
        width, height = self.size
        left, top = np.floor(np.clip(points.min(0) - margin, 0, (width, height))).astype(int)
        right, bottom = np.ceil(np.clip(points.max(0) + margin, 0, (width, height))).astype(int)
        return (left, top, right, bottom) if right > left and bottom > top else None


class _Rod:
    """A capsule on the screen: straight edges, the normals of a round rod."""

    def __init__(self, a: ndarray, b: ndarray, near: float, far: float, radii: ndarray, focal: float) -> None:
        self.a, self.along = a.astype(np.float32), (b - a).astype(np.float32)
        self.radii = np.array([focal * radii[0] / near, focal * radii[1] / far], np.float32)
        self.depth, self.deeper = np.float32(near), np.float32(far - near)
        self.metre = np.float32((near + far) / 2 / focal)

    def draw(self, planes: ndarray, depths: ndarray, x: ndarray, y: ndarray, colour: ndarray) -> None:
        """Blend into a part of the picture whose pixel centres are ``x``, ``y``."""
        (ax, ay), (ux, uy) = self.a, self.along
        x, y = (x - ax)[None], (y - ay)[:, None]
        square = max(ux * ux + uy * uy, np.float32(1e-6))
        share = np.clip(x * (ux / square) + y * (uy / square), 0, 1)
        radius = self.radii[0] + share * (self.radii[1] - self.radii[0])
        right, down = (x - share * ux) / radius, (y - share * uy) / radius
        far = right * right + down * down
        facing = np.sqrt(np.maximum(1 - far, 0))
        depth = self.depth + share * self.deeper - facing * radius * self.metre
        cover = np.clip((1 - np.sqrt(far)) * radius + np.float32(0.5), 0, 1)
        cover *= depth < depths
        light = _KEY[0] * right - _KEY[1] * down + _KEY[2] * facing
        light = (np.float32(0.74) + np.float32(0.3) * light) * (np.float32(0.78) + np.float32(0.22) * facing)
        for plane, paint in zip(planes, colour, strict=True):
            plane += cover * (light * paint - plane)  # light is at most 1.04
        np.copyto(depths, depth, where=cover > 0.5)


class _Wave:
    """The wave that is 1 in the first half of each period and -1 in the second, averaged over each pixel.

    The average is a difference of the wave's integral, a triangle; in 16-bit integers, which wrap round as
    the wave does, that is an absolute value.
    """

    def __init__(self, reach: Float[ndarray, "h w"]) -> None:
        """reach: periods from the origin, for each metre of the camera's height."""
        slope = np.hypot(*np.gradient(reach)) if min(reach.shape) > 1 else np.ones_like(reach)
        self._reach, self._slope = reach.astype(np.float32), slope.astype(np.float32)
        self._triangles = [np.empty(reach.shape, np.uint16) for _ in range(2)]
        self._wave = np.empty(reach.shape, np.float32)
        self._height = math.nan

    def at(self, height: float, shift: float) -> Float[ndarray, "h w"]:
        """The wave for a camera ``height`` metres up, moved by ``shift`` periods.

        The array is used again by the next call.
        """
        if height != self._height:
            self._rise(height)
        step = np.uint16(shift % 1 * 65536)
        for end, triangle in zip(self._ends, self._triangles, strict=True):
            np.add(end, step, out=triangle)
            np.abs(triangle.view(np.int16), out=triangle.view(np.int16))
        np.subtract(*self._triangles, out=self._wave, dtype=np.float32)
        self._wave *= self._scale
        return self._wave

    def _rise(self, height: float) -> None:
        tall = np.float32(max(height, 0.05))
        half = np.maximum(self._slope * (tall / 2), np.float32(1e-3))
        middle = self._reach * tall
        middle -= np.floor(middle)
        ends = (middle - half, middle + half)
        self._ends = [((end - np.floor(end)) * np.float32(65535)).astype(np.uint16) for end in ends]
        self._scale = np.float32(0.5 / 65536) / half
        self._height = height
