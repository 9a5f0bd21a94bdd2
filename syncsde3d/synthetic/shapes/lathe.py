"""Closed meshes of revolution with texture coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Lathed(NamedTuple):
    """A closed surface of revolution about +Y.

    vertices [v, 3] float64; faces [f, 3] int64, outward; uvs [t, 2] in [0, 1], origin bottom-left: u runs
    around (one seam at azimuth 180), v along the profile by arc length; uv_faces [f, 3] int64, corners as in
    ``faces``.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    uvs: Float[np.ndarray, "t 2"]
    uv_faces: Int[np.ndarray, "f 3"]


def lathe(profile: Float[np.ndarray, "k 2"], segments: int = 72) -> Lathed:
    """Turn a profile of ``(radius, height)`` about the axis.

    The profile runs counter-clockwise seen with the radius to the right (bottom centre, out, up, back in) and
    its two ends, and only these, lie on the axis. Raises ValueError otherwise.
    """
    profile = np.asarray(profile, dtype=np.float64)
    radius = profile[:, 0]
    if abs(radius[0]) > 1e-9 or abs(radius[-1]) > 1e-9 or (radius[1:-1] <= 0).any():
        raise ValueError("profile: expected its ends, and only these, to have radius 0")
    rings = len(profile) - 2
    angle = 2.0 * np.pi * np.arange(segments) / segments - np.pi
    ring = np.stack((np.sin(angle), np.zeros_like(angle), np.cos(angle)), axis=1)
    body = radius[1:-1, None, None] * ring + profile[1:-1, 1, None, None] * np.array([0.0, 1.0, 0.0])
    ends = np.array([[0.0, profile[0, 1], 0.0], [0.0, profile[-1, 1], 0.0]])
    vertices = np.concatenate((body.reshape(-1, 3), ends))

    arc = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))))
    arc /= arc[-1]
    u = np.arange(segments + 1) / segments
    grid = np.stack(np.broadcast_arrays(u[None], arc[1:-1, None]), axis=-1).reshape(-1, 2)
    middle = (np.arange(segments) + 0.5) / segments
    poles = [np.stack((middle, np.full(segments, value)), axis=1) for value in (0.0, 1.0)]
    uvs = np.concatenate((grid, *poles))

    faces = _quads(rings, segments, segments, wrap=True)
    uv_faces = _quads(rings, segments, segments + 1, wrap=False)
    here = np.arange(segments)
    there = (here + 1) % segments
    top, first = (rings - 1) * segments, rings * segments
    fan = np.stack((there, here, np.full(segments, first)), axis=1)
    lid = np.stack((top + here, top + there, np.full(segments, first + 1)), axis=1)
    size, last = rings * (segments + 1), (rings - 1) * (segments + 1)
    uv_fan = np.stack((here + 1, here, size + here), axis=1)
    uv_lid = np.stack((last + here, last + here + 1, size + segments + here), axis=1)
    return Lathed(
        vertices, np.concatenate((faces, fan, lid)), uvs, np.concatenate((uv_faces, uv_fan, uv_lid))
    )


def smooth_curve(points: Sequence[tuple[float, float]], samples: int) -> Float[np.ndarray, "k 2"]:
    """``samples`` points evenly along the smooth curve through ``points`` (by chord length)."""
    knots = np.asarray(points, dtype=np.float64)
    chord = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))))
    return CubicSpline(chord, knots)(np.linspace(0.0, chord[-1], samples))


def vessel(
    keys: Sequence[tuple[float, float]], wall: float, floor: float, lip: float = 1.0, samples: int = 40
) -> Float[np.ndarray, "k 2"]:
    """The profile of a hollow vessel from its outer ``(height, radius)`` keys in rising height.

    wall, floor: thicknesses. lip: rounding of the rim as a multiple of half the wall.
    """
    table = np.asarray(keys, dtype=np.float64)
    height = np.linspace(table[0, 0], table[-1, 0], samples)
    outline = PchipInterpolator(table[:, 0], table[:, 1])
    outer = np.stack((outline(height), height), axis=1)
    tangent = np.gradient(outer, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    inner = outer + wall * np.stack((-tangent[:, 1], tangent[:, 0]), axis=1)
    inner = inner[(inner[:, 1] > height[0] + floor) & (inner[:, 0] > 0.3 * wall)]
    inner = inner[np.argsort(inner[:, 1])]
    bend = np.linspace(0.0, np.pi, 8)[1:-1]
    half = 0.5 * (outer[-1] - inner[-1])
    middle = 0.5 * (outer[-1] + inner[-1])
    up = np.array([-half[1], half[0]]) * lip
    rim = middle + np.cos(bend)[:, None] * half + np.sin(bend)[:, None] * up
    base = outer[0, 0]
    foot = [(base * f, height[0]) for f in (0.35, 0.7, 0.96)]
    bottom = inner[0]
    bowl = [(bottom[0] * f, height[0] + floor + (bottom[1] - height[0] - floor) * f**3) for f in (0.75, 0.4)]
    return np.concatenate(
        ([(0.0, height[0])], foot, outer[1:], rim, inner[::-1], bowl, [(0.0, height[0] + floor)])
    )


def _quads(rows: int, columns: int, stride: int, wrap: bool) -> Int[np.ndarray, "f 3"]:
    """Two triangles per cell of a grid of ``rows`` rings with ``columns`` cells each, outward."""
    row, column = (a.reshape(-1) for a in np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij"))
    right = (column + 1) % columns if wrap else column + 1
    a, b = row * stride + column, row * stride + right
    c, d = a + stride, b + stride
    return np.concatenate((np.stack((a, b, d), axis=1), np.stack((a, d, c), axis=1)))
