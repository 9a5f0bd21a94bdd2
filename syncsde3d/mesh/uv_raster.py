"""Which texels which triangles cover, to judge a layout: overlap, coverage, gaps between islands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from syncsde3d.mesh.adjacency import components

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray


def covered_texels(
    triangles: Float[ndarray, "f 3 2"], size: int
) -> tuple[Int[ndarray, " k"], Int[ndarray, " k"]]:
    """Every (texel, triangle) pair where the texel's centre lies in the triangle.

    A centre on an edge counts for one of the two triangles that share it. Memory is proportional to the
    number of pairs plus the rows that the triangles' edges cross.

    Args:
        triangles: corners in [0, 1].
        size: texels per side.

    Returns:
        texel: ``row * size + column``, row 0 at v = 0.
        face: index of the triangle.
    """
    points = np.asarray(triangles, np.float64) * size
    low, high = points.reshape(-1, 2), points[:, [1, 2, 0]].reshape(-1, 2)
    swap = (low[:, 1] > high[:, 1])[:, None]
    low, high = np.where(swap, high, low), np.where(swap, low, high)
    first = np.ceil(low[:, 1] - 0.5).astype(np.int64)
    edge, step = _expand(np.ceil(high[:, 1] - 0.5).astype(np.int64) - first)
    row = first[edge] + step
    along = (row + 0.5 - low[edge, 1]) / (high[edge, 1] - low[edge, 1])
    x = low[edge, 0] + along * (high[edge, 0] - low[edge, 0])
    face = edge // 3
    order = np.lexsort((x, row, face)).reshape(-1, 2)  # a row enters a triangle once and leaves it once
    span_face, span_row = face[order[:, 0]], row[order[:, 0]]
    start, stop = np.ceil(x[order] - 0.5).astype(np.int64).clip(0, size).T
    span, column = _expand(stop - start)
    return span_row[span] * size + start[span] + column, span_face[span]


def _expand(counts: Int[ndarray, " n"]) -> tuple[Int[ndarray, " k"], Int[ndarray, " k"]]:
    """Each index as often as it counts, and the running number within it."""
    index = np.repeat(np.arange(len(counts)), counts)
    return index, np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)


def islands(uv_faces: Int[ndarray, "f 3"], count: int) -> Int[ndarray, " t"]:
    """Label of each texture coordinate: two that a chain of faces connects have the same."""
    return components(count, np.concatenate([uv_faces[:, :2], uv_faces[:, 1:]]))


def gutter(texel: Int[ndarray, " k"], island: Int[ndarray, " k"], size: int) -> float:
    """Smallest gap between two islands, in texels: how many free ones lie between; inf for one island."""
    owner = np.full(size * size, -1)
    owner[texel] = island
    owner = owner.reshape(size, size)
    distance, (rows, columns) = distance_transform_edt(owner < 0, return_indices=True)  # type: ignore
    nearest = owner[rows, columns]
    gap = np.inf
    for axis in (0, 1):
        near, far = (np.take(nearest, np.arange(size - 1) + k, axis) for k in (0, 1))
        one, other = (np.take(distance, np.arange(size - 1) + k, axis) for k in (0, 1))
        between = (one + other)[near != far]
        gap = min(gap, between.min(initial=np.inf))
    return float(gap)
