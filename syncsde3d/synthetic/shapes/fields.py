"""Signed fields of solids: negative inside, positive outside, close to the distance near the surface.

A field takes points as [3, p] float32 (rows x, y, z) and returns values [p]. Solids are combined by minimum
and maximum and by their smooth versions, whose width ``k`` is a length. Fields need not be exact distances:
the mesher only trusts their sign, and their size near the surface within a factor of one and a half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import map_coordinates

Array = np.ndarray
Field = Callable[[Array], Array]
Vec = Sequence[float]

_AXES = {"x": 0, "y": 1, "z": 2}


def _column(v: Vec) -> Array:
    return np.asarray(v, dtype=np.float32).reshape(3, 1)


def _norm(q: Array) -> Array:
    return np.sqrt(np.einsum("ip,ip->p", q, q))


def ellipsoid(center: Vec, radii: Vec) -> Field:
    """An ellipsoid with half-axes ``radii``; distance to first order."""
    c, r = _column(center), _column(radii)

    def field(p: Array) -> Array:
        q = (p - c) / r
        length = _norm(q)
        return length * (length - 1.0) / np.maximum(_norm(q / r), 1e-6)

    return field


def ball(center: Vec, radius: float) -> Field:
    """A ball."""
    c = _column(center)
    return lambda p: _norm(p - c) - radius


def cone(a: Vec, b: Vec, ra: float, rb: float) -> Field:
    """A rod with round ends from ``a`` to ``b``, its radius going from ``ra`` to ``rb``."""
    start, axis = _column(a), _column(b) - _column(a)
    squared = float((axis**2).sum())

    def field(p: Array) -> Array:
        q = p - start
        h = np.clip((axis.T @ q)[0] / squared, 0.0, 1.0)
        return _norm(q - axis * h) - (ra + (rb - ra) * h)

    return field


def rod(a: Vec, b: Vec, radius: float) -> Field:
    """A rod of constant radius with round ends."""
    return cone(a, b, radius, radius)


def tube(points: Sequence[Vec], radii: Sequence[float] | float, segments: int = 10) -> Field:
    """A tube along the smooth curve through ``points``; ``radii`` at the points, or one for all."""
    knots = np.asarray(points, dtype=np.float64)
    widths = np.broadcast_to(np.asarray(radii, dtype=np.float64), (len(knots),))
    chord = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))))
    t = np.linspace(0.0, chord[-1], segments + 1)
    curve = CubicSpline(chord, knots)(t)
    radius = PchipInterpolator(chord, widths)(t)
    rods = [cone(curve[i], curve[i + 1], radius[i], radius[i + 1]) for i in range(segments)]
    return union(*rods)


def box(center: Vec, half: Vec, rounding: float = 0.03) -> Field:
    """A box with half-sizes ``half`` whose edges are rounded by ``rounding``."""
    c, h = _column(center), _column(half) - np.float32(rounding)

    def field(p: Array) -> Array:
        q = np.abs(p - c) - h
        return _norm(np.maximum(q, 0.0)) + np.minimum(q.max(axis=0), 0.0) - rounding

    return field


def torus(center: Vec, major: float, minor: float, axis: str = "y") -> Field:
    """A ring around ``axis``: distance ``major`` from the centre to the tube, tube radius ``minor``."""
    c, k = _column(center), _AXES[axis]
    i, j = (n for n in range(3) if n != k)

    def field(p: Array) -> Array:
        q = p - c
        return np.hypot(np.hypot(q[i], q[j]) - major, q[k]) - minor

    return field


def cylinder(center: Vec, radius: float, half: float, rounding: float = 0.02, axis: str = "y") -> Field:
    """A cylinder along ``axis`` with half-length ``half`` and rounded rims."""
    c, k = _column(center), _AXES[axis]
    i, j = (n for n in range(3) if n != k)

    def field(p: Array) -> Array:
        q = p - c
        u = np.hypot(q[i], q[j]) - (radius - rounding)
        v = np.abs(q[k]) - (half - rounding)
        outside = np.hypot(np.maximum(u, 0.0), np.maximum(v, 0.0))
        return outside + np.minimum(np.maximum(u, v), 0.0) - rounding

    return field


def loft(
    axis: str,
    keys: Sequence[tuple[float, float, float, float]],
    power: float = 2.0,
    rounding: float = 0.03,
) -> Field:
    """A solid along ``axis`` with superelliptic cross-sections, cut flat at both ends.

    keys: ``(t, half_1, half_2, shift)`` in rising ``t``: at position ``t`` along the axis the section has
    half-sizes ``half_1`` along the first and ``half_2`` along the second of the remaining axes, in the order
    x, y, z, and its centre is shifted by ``shift`` along the second. Between keys all run smoothly, without
    overshoot. power: 2 for ellipses, larger for boxier sections. rounding: of the rims at both ends.
    """
    table = np.asarray(keys, dtype=np.float64)
    k = _AXES[axis]
    i, j = (n for n in range(3) if n != k)
    low, high = table[0, 0], table[-1, 0]
    t = np.linspace(low, high, 200)
    smooth = PchipInterpolator(table[:, 0], table[:, 1:])
    first, second, shift = (np.ascontiguousarray(row) for row in smooth(t).T)
    slope = np.sqrt(1.0 + np.minimum(np.abs(smooth.derivative()(t)).max(axis=1), 4.0) ** 2)

    def field(p: Array) -> Array:
        s = np.clip(p[k], low, high)
        a, b = np.interp(s, t, first), np.interp(s, t, second)
        u, v = np.abs(p[i]) / a, np.abs(p[j] - np.interp(s, t, shift)) / b
        q = np.maximum((u**power + v**power) ** (1.0 / power), 1e-6)
        gradient = np.hypot((u / q) ** (power - 1.0) / a, (v / q) ** (power - 1.0) / b)
        side = (q - 1.0) / np.maximum(gradient, 1e-6) / np.interp(s, t, slope)
        end = np.maximum(low - p[k], p[k] - high)
        return _smooth_max(side, end, 2.0 * rounding).astype(np.float32)

    return field


def revolve(keys: Sequence[tuple[float, float]], rounding: float = 0.02) -> Field:
    """A solid of revolution about +Y, cut flat at both ends; keys ``(y, radius)`` in rising ``y``."""
    return loft("y", [(y, r, r, 0.0) for y, r in keys], 2.0, rounding)


def plate(
    outline: Sequence[tuple[float, float]] | Array, axis: str, half: float, rounding: float = 0.02
) -> Field:
    """A flat plate with the given closed outline, extruded by ``half`` both ways along ``axis``.

    The outline's coordinates are the remaining axes in the order x, y, z.
    """
    corners = np.asarray(outline, dtype=np.float64)
    k = _AXES[axis]
    i, j = (n for n in range(3) if n != k)
    low, high = corners.min(axis=0) - 0.1, corners.max(axis=0) + 0.1
    cell = float((high - low).max()) / 200.0
    u, v = np.meshgrid(*(np.arange(a, b + cell, cell) for a, b in zip(low, high, strict=True)), indexing="ij")
    table = _polygon_distance(corners, u, v).astype(np.float32)

    def field(p: Array) -> Array:
        # The outline's distance is looked up: for many corners that is far cheaper than computing it.
        q = np.stack((p[i], p[j]))
        inside = np.clip(q, low[:, None], high[:, None])
        flat = map_coordinates(table, (inside - low[:, None]) / cell, order=1, mode="nearest")
        flat += np.hypot(*(q - inside)).astype(np.float32) + rounding
        deep = np.abs(p[k]) - (half - rounding)
        outside = np.hypot(np.maximum(flat, 0.0), np.maximum(deep, 0.0))
        return outside + np.minimum(np.maximum(flat, deep), 0.0) - rounding

    return field


def _polygon_distance(corners: Array, u: Array, v: Array) -> Array:
    """Signed distance of the points (u, v) to a closed polygon [c, 2], negative inside."""
    squared = np.full(u.shape, np.inf)
    inside = np.zeros(u.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        ex, ey, wx, wy = bx - ax, by - ay, u - ax, v - ay
        h = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0.0, 1.0)
        squared = np.minimum(squared, (wx - ex * h) ** 2 + (wy - ey * h) ** 2)
        if ey != 0:
            inside ^= ((v >= ay) != (v >= by)) & (wx < wy * (ex / ey))
    return np.where(inside, -1.0, 1.0) * np.sqrt(squared)


def union(*fields: Field) -> Field:
    """All of the solids together, with sharp creases."""
    return lambda p: reduce(np.minimum, (f(p) for f in fields))


def blend(k: float, *fields: Field) -> Field:
    """All of the solids together, creases filled over a width ``k``."""
    return lambda p: reduce(lambda a, b: _smooth_min(a, b, k), (f(p) for f in fields))


def cut(solid: Field, *tools: Field, k: float = 0.0) -> Field:
    """The solid without the tools; edges rounded over a width ``k``."""
    return lambda p: reduce(lambda a, b: _smooth_max(a, -b, k), (t(p) for t in tools), solid(p))


def common(*fields: Field, k: float = 0.0) -> Field:
    """What the solids share; edges rounded over a width ``k``."""
    return lambda p: reduce(lambda a, b: _smooth_max(a, b, k), (f(p) for f in fields))


def mirrored(field: Field) -> Field:
    """The part of the solid at x > 0, and its mirror image at x < 0."""

    def mirror(p: Array) -> Array:
        return field(np.stack((np.abs(p[0]), p[1], p[2])))

    return mirror


def turned(field: Field, axis: str, degrees: float, about: Vec = (0.0, 0.0, 0.0)) -> Field:
    """The solid turned counter-clockwise about the line along ``axis`` through ``about``."""
    c = _column(about)
    k = _AXES[axis]
    i, j = (k + 1) % 3, (k + 2) % 3
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    back = np.eye(3, dtype=np.float32)
    back[i, i], back[i, j], back[j, i], back[j, j] = cos, sin, -sin, cos
    return lambda p: field(back @ (p - c) + c)


def moved(field: Field, offset: Vec) -> Field:
    """The solid moved by ``offset``."""
    o = _column(offset)
    return lambda p: field(p - o)


def _smooth_min(a: Array, b: Array, k: float) -> Array:
    if k <= 0.0:
        return np.minimum(a, b)
    h = np.maximum(k - np.abs(a - b), 0.0)
    return np.minimum(a, b) - h * h * (0.25 / k)


def _smooth_max(a: Array, b: Array, k: float) -> Array:
    return -_smooth_min(-a, -b, k)
