"""Polygons to triangles, also concave ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray


MAX_CORNERS = 4096  # clipping ears takes quadratic time; larger polygons are taken as fans


def triangulate(
    vertices: Float[ndarray, "v 3"], corners: Int[ndarray, " k"], counts: Int[ndarray, " p"]
) -> tuple[Int[ndarray, "f 3"], Int[ndarray, " f"]]:
    """Split polygons with any number of corners into triangles with the polygon's winding.

    Args:
        vertices: positions.
        corners: vertex indices of all polygons, one polygon after the other.
        counts: number of corners of each polygon, at least 3.

    Returns:
        triangles: positions in ``corners`` [f, 3], ordered by polygon.
        polygon: the polygon that each triangle came from [f].

    A fan from the first corner is kept where it covers the polygon; otherwise the fan of another corner
    (quads) or clipped ears (more corners). So planar simple polygons are covered exactly, concave or not.
    """
    starts = np.cumsum(counts) - counts
    triangles, owners = [], []
    for n in np.unique(counts):
        polygons = np.flatnonzero(counts == n)
        index = starts[polygons, None] + np.arange(n)
        local = _fans(vertices[corners[index]])
        triangles.append(np.take_along_axis(index, local.reshape(len(index), -1), 1).reshape(-1, 3))
        owners.append(np.repeat(polygons, n - 2))
    if not triangles:
        return np.empty((0, 3), np.int64), np.empty(0, np.int64)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(triangles)[order], owner[order]


def _fans(points: Float[ndarray, "p n 3"]) -> Int[ndarray, "p n-2 3"]:
    """Triangles of polygons with the same number of corners, as corner numbers."""
    count, n = points.shape[:2]
    fan = np.stack([np.zeros(n - 2, np.int64), np.arange(1, n - 1), np.arange(2, n)], 1)
    triangles = np.tile(fan, (count, 1, 1))
    if n == 3 or n > MAX_CORNERS:
        return triangles
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(points).max((1, 2), keepdims=True)
        points = points / np.where(size > 0, size, 1)
        normal = _area_vectors(points, fan).sum(1)
        worst = _worst(points, fan, normal)
        bad = worst <= 1e-9 * (normal**2).sum(1)  # folded over, or flat: another split keeps every corner
        if n == 4:
            other = (fan + 1) % n
            triangles[bad & (_worst(points, other, normal) > worst)] = other
        else:
            for i in np.flatnonzero(bad & (normal != 0).any(1)):
                triangles[i] = _clip_ears(_flatten(points[i], normal[i]))
    return triangles


def _area_vectors(points: Float[ndarray, "p n 3"], triangles: Int[ndarray, "t 3"]) -> Float[ndarray, "p t 3"]:
    a, b, c = (points[:, triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _worst(points: ndarray, triangles: ndarray, normal: ndarray) -> Float[ndarray, " p"]:
    """Signed area of the most reversed triangle of each polygon; negative if one folds over."""
    return np.einsum("ptk,pk->pt", _area_vectors(points, triangles), normal).min(1)


def _flatten(points: Float[ndarray, "n 3"], normal: Float[ndarray, " 3"]) -> Float[ndarray, "n 2"]:
    """The polygon seen along its normal, counter-clockwise."""
    x, y = [(1, 2), (2, 0), (0, 1)][int(np.abs(normal).argmax())]
    flat = points[:, [x, y]]
    return flat if normal[np.abs(normal).argmax()] > 0 else flat * [-1, 1]


def _clip_ears(points: Float[ndarray, "n 2"]) -> Int[ndarray, "n-2 3"]:
    """Cut off convex corners that hold no other corner until a triangle is left.

    Where a polygon crosses itself and no such corner exists, the one with the largest turn goes, so that
    the number of triangles is always ``n - 2``.
    """
    left = list(range(len(points)))
    triangles = []
    while len(left) > 3:
        loop = points[left]
        before, after = np.roll(loop, 1, 0), np.roll(loop, -1, 0)
        turn = _cross(loop - before, after - loop)
        order = np.argsort(-turn)
        ears = (k for k in order if turn[k] >= 0 and not _holds_any(before[k], loop[k], after[k], loop))
        k = int(next(ears, order[0]))
        triangles.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    return np.array([*triangles, tuple(left)])


def _holds_any(a: ndarray, b: ndarray, c: ndarray, points: Float[ndarray, "n 2"]) -> bool:
    """Whether a point other than the corners lies in the triangle or on its edges."""
    edges = ((a, b), (b, c), (c, a))
    inside = np.all([_cross(end - start, points - start) >= 0 for start, end in edges], 0)
    corner = (points == a).all(1) | (points == b).all(1) | (points == c).all(1)
    return bool((inside & ~corner).any())


def _cross(a: ndarray, b: ndarray) -> ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
