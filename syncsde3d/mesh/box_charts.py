"""A fast layout for any triangles: charts seen along the axes, packed as boxes.

More stretch and more seams than xatlas makes, but seconds for millions of faces, whatever their topology.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from syncsde3d.mesh.adjacency import components, shared_edges
from syncsde3d.mesh.uv_raster import covered_texels

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray

SMOOTHING = 4  # rounds in which faces agree with their neighbours on an axis
MIN_FACING = 0.2  # least cosine between a face and its axis, which bounds the stretch
MAX_OVERLAP = 1e-4  # of the covered texels: charts of tiny faces always share a few
HALVINGS, SPLITS = 5, 12  # rounds of cutting charts that cover themselves: in half, then all


def box_unwrap(
    vertices: Float[ndarray, "v 3"], faces: Int[ndarray, "f 3"], size: int, gutter: float
) -> tuple[Float[ndarray, "t 2"], Int[ndarray, "f 3"], float]:
    """Texture coordinates in [0, 1], their indices, and the gap between charts in texels.

    Connected faces that look along the same axis make a chart; charts that cover themselves are cut
    across that axis, and what still overlaps is cut out. Many charts narrow the gap, as they would leave
    little else.

    Args:
        vertices, faces: triangles with an area.
        size: texels per side.
        gutter: gap wanted between charts, in texels.
    """
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    pairs, _ = shared_edges(faces)
    axis = _axes(normals, pairs)
    flat, depth = _project(vertices[faces].astype(np.float64), axis)
    group = axis
    for split in range(SPLITS + 1):
        chart = components(len(faces), pairs[group[pairs[:, 0]] == group[pairs[:, 1]]])
        placed, gap = _pack(flat, chart, size, gutter)
        texel, face = covered_texels(placed, size)
        shared = (np.bincount(texel, minlength=size * size) > 1)[texel]
        if shared.sum() <= MAX_OVERLAP * len(texel) or split == SPLITS:
            break
        clash = np.unique(face[shared])
        if split >= HALVINGS:  # few faces are left
            group = chart.copy()
            group[clash] = len(faces) + np.arange(len(clash))
        else:
            group = 2 * chart + (depth > _medians(chart[clash], depth[clash], chart.max() + 1)[chart])
    keys = np.stack([np.repeat(chart, 3), faces.ravel()], 1)
    order = np.lexsort(keys.T)
    new = np.append(True, (keys[order[1:]] != keys[order[:-1]]).any(axis=1))
    index = np.empty(len(keys), np.int64)
    index[order] = np.cumsum(new) - 1
    return placed.reshape(-1, 2)[order[new]], index.reshape(-1, 3), gap


def _axes(normals: Float[ndarray, "f 3"], pairs: Int[ndarray, "e 2"]) -> Int[ndarray, " f"]:
    """The axis that each face is seen along, 0 to 5 for +x +y +z -x -y -z."""
    count = len(normals)
    one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
    near = coo_array((np.ones(len(one)), (one, other)), (count, count)).tocsr()
    smooth = normals
    for _ in range(SMOOTHING):
        smooth = normals + near @ smooth
        smooth = smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-12)
    facing = np.concatenate([normals, -normals], 1)
    return np.where(facing >= MIN_FACING, np.concatenate([smooth, -smooth], 1), -np.inf).argmax(1)


def _project(
    corners: Float[ndarray, "f 3 3"], axis: Int[ndarray, " f"]
) -> tuple[Float[ndarray, "f 3 2"], Float[ndarray, " f"]]:
    """Corners seen along each face's axis, counter-clockwise, and the face's place along it."""
    flat, depth = np.empty((len(corners), 3, 2)), np.empty(len(corners))
    for k in range(6):
        here = axis == k
        right, up = [(1, 2), (2, 0), (0, 1)][k % 3]
        flat[here] = corners[here][:, :, [right, up]] * [1 if k < 3 else -1, 1]
        depth[here] = corners[here][:, :, k % 3].mean(1)
    return flat, depth


def _medians(group: Int[ndarray, " n"], values: Float[ndarray, " n"], count: int) -> Float[ndarray, " g"]:
    """Lower median of the values of each group; inf for groups without any."""
    order = np.lexsort((values, group))
    medians = np.full(count, np.inf)
    sizes = np.bincount(group, minlength=count)
    middle = np.cumsum(sizes) - sizes + (sizes - 1) // 2
    medians[sizes > 0] = values[order][middle[sizes > 0]]
    return medians


def _pack(
    flat: Float[ndarray, "f 3 2"], chart: Int[ndarray, " f"], size: int, gutter: float
) -> tuple[Float[ndarray, "f 3 2"], float]:
    """Charts on shelves, highest first, at the largest scale that fits; the corners in [0, 1] and the gap."""
    count = int(chart.max()) + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, chart, flat.min(1))
    np.maximum.at(high, chart, flat.max(1))
    extent = high - low
    upright = extent[:, 1] > extent[:, 0]
    extent[upright] = extent[upright, ::-1]
    order = np.argsort(-extent[:, 1], kind="stable")
    gap = min(gutter, 0.2 * size / np.sqrt(count))
    around = extent.sum() * gap, gap**2 * count - size**2  # the boxes' areas may not exceed the texture's
    most = 2 * -around[1] / (around[0] + np.sqrt(around[0] ** 2 - 4 * extent.prod(1).sum() * around[1]))
    small, large = 0.0, min(most, (size - gap) / extent.max())
    for _ in range(12):
        middle = (small + large) / 2
        if _shelves(extent[order] * middle + gap, size) is None:
            large = middle
        else:
            small = middle
    origin = np.empty((count, 2))
    origin[order] = _shelves(extent[order] * small + gap, size)
    local = flat - low[chart, None]
    turned = upright[chart]
    local[turned] = np.stack(
        [local[turned][..., 1], extent[chart[turned], 1, None] - local[turned][..., 0]], -1
    )
    return ((origin[chart, None] + gap / 2 + local * small) / size).clip(0, 1), gap


def _shelves(boxes: Float[ndarray, "n 2"], size: int) -> Float[ndarray, "n 2"] | None:
    """Lower left corners of boxes put side by side on shelves; None where they do not fit."""
    origins, x, y, shelf = [], 0.0, 0.0, 0.0
    for width, height in boxes.tolist():
        if x + width > size:
            x, y, shelf = 0.0, y + shelf, 0.0
        if y + height > size or width > size:
            return None
        origins.append((x, y))
        x, shelf = x + width, max(shelf, height)
    return np.array(origins)
