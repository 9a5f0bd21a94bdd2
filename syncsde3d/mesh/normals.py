"""Vertex normals for export: smooth where the surface is, sharp at creases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from syncsde3d.mesh.adjacency import components, edge_pairs

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray


def corner_normals(
    vertices: Float[ndarray, "v 3"], faces: Int[ndarray, "f 3"], crease: float = 60.0
) -> tuple[Float[ndarray, "n 3"], Int[ndarray, "f 3"]]:
    """Unit normals and each face corner's index among them.

    Corners at one vertex share a normal if a fan of faces joins them whose normals turn by less than
    ``crease`` degrees from one to the next; it is the mean of the faces' normals, weighted by the angle
    that they have at the vertex (Thuermer and Wuethrich, 1998).
    """
    corners = vertices[faces].astype(np.float64)
    size = np.ptp(corners.reshape(-1, 3), axis=0).max() or 1.0
    corners = (corners - corners[0, 0]) / size
    ahead = np.roll(corners, -1, 1) - corners
    normal = _unit(np.cross(ahead[:, 0], -ahead[:, 2]))
    ahead = _unit(ahead)
    angle = np.arccos(np.clip(-(ahead * np.roll(ahead, 1, 1)).sum(-1), -1, 1))

    pairs, same = edge_pairs(faces)
    one, other = pairs[~same].T
    smooth = (normal[one // 3] * normal[other // 3]).sum(1) > math.cos(math.radians(crease))
    one, other = one[smooth], other[smooth]
    after = np.arange(faces.size).reshape(-1, 3)[:, [1, 2, 0]].ravel()  # the corner where each edge ends
    links = np.concatenate([np.stack([one, after[other]], 1), np.stack([after[one], other], 1)])
    fan = components(faces.size, links)
    weighted = (normal[:, None] * angle[..., None]).reshape(-1, 3)
    total = np.stack([np.bincount(fan, weighted[:, k]) for k in range(3)], 1)
    return _unit(total), fan.reshape(-1, 3)


def _unit(vectors: ndarray) -> ndarray:
    """Vectors of length 1; +Y where there is no direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-30, vectors / np.maximum(length, 1e-30), [0.0, 1.0, 0.0])
