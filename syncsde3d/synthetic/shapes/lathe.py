"""Closed meshes of revolution with texture coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from syncsde3d.synthetic.shapes.curves import Points2, through

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


def vessel(keys: Points2, wall: float, floor: float, samples: int = 40) -> Float[np.ndarray, "k 2"]:
    """The profile of a hollow vessel from its outer ``(height, radius)`` keys in rising height.

    wall, floor: thicknesses; the rim is half round.
    """
    low, high = keys[0][0], keys[-1][0]
    height = np.linspace(low, high, samples)
    outer = np.stack((through(keys, height), height), axis=1)
    tangent = np.gradient(outer, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    inner = outer + wall * np.stack((-tangent[:, 1], tangent[:, 0]), axis=1)
    inner = inner[(inner[:, 1] > low + floor) & (inner[:, 0] > 0.3 * wall)]
    inner = inner[np.argsort(inner[:, 1])]
    half, middle = 0.5 * (outer[-1] - inner[-1]), 0.5 * (outer[-1] + inner[-1])
    bend = np.linspace(0.0, np.pi, 8)[1:-1, None]
    rim = middle + np.cos(bend) * half + np.sin(bend) * np.array([-half[1], half[0]])
    under = [(outer[0, 0] * f, low) for f in (0.35, 0.7, 0.96)]
    lift = inner[0, 1] - low - floor
    inside = [(inner[0, 0] * f, low + floor + lift * f**3) for f in (0.75, 0.4)]
    return np.concatenate(([(0.0, low)], under, outer[1:], rim, inner[::-1], inside, [(0.0, low + floor)]))


def _quads(rows: int, columns: int, stride: int, wrap: bool) -> Int[np.ndarray, "f 3"]:
    """Two triangles per cell of a grid of ``rows`` rings with ``columns`` cells each, outward."""
    row, column = (a.reshape(-1) for a in np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij"))
    right = (column + 1) % columns if wrap else column + 1
    a, b = row * stride + column, row * stride + right
    c, d = a + stride, b + stride
    return np.concatenate((np.stack((a, b, d), axis=1), np.stack((a, d, c), axis=1)))
