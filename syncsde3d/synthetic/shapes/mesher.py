"""From a solid's signed field to a closed triangle mesh.

The field is evaluated on a coarse grid, then on the fine one only where the surface may pass; cavities that
nobody can see are filled; marching cubes makes triangles; Laplacian steps even these out along the surface
and Newton steps put them back onto it; a last Laplacian step softens jagged creases. Marching cubes comes
from scikit-image (the ``train`` extra), imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sparse
from scipy.ndimage import label

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from syncsde3d.synthetic.shapes.fields import Field

#: Half-size of the cube in which solids are looked for.
REACH = 1.35
_BLOCK = 4


def polygonize(
    field: Field, step: float = 0.028, relax: int = 3
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """The zero surface of ``field`` inside [-REACH, REACH]^3: vertices float64, faces int64, outward.

    step: grid spacing; parts thinner than about two steps may break up. relax: evening-out rounds.
    Raises ValueError when the field is nowhere negative or reaches the border of the cube, and ImportError
    without scikit-image.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise ImportError("synthetic shapes need scikit-image: pip install 'syncsde3d[train]'") from error
    values, origin = _sample(field, step)
    if not (values < 0).any():
        raise ValueError("field: has no inside (no grid point is negative)")
    if min(values[[0, -1]].min(), values[:, [0, -1]].min(), values[:, :, [0, -1]].min()) < 0:
        raise ValueError(f"field: the solid reaches beyond the cube of half-size {REACH}")
    # A grid value of exactly zero would put several vertices of marching cubes on one point.
    tiny = np.float32(0.02 * step)
    values = np.where(np.abs(values) < tiny, np.where(values < 0, -tiny, tiny), values)
    regions = np.empty(values.shape, dtype=np.int32)
    label(values > 0, output=regions)
    values[(regions > 0) & (regions != regions[0, 0, 0])] = -tiny
    occupied = np.argwhere(values < 0)
    low, high = occupied.min(axis=0) - 1, occupied.max(axis=0) + 2
    crop = values[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    # The field rises outwards: with "descent" (objects above the background) faces wind outwards.
    points, faces, _, _ = marching_cubes(crop, 0.0, spacing=(step,) * 3, gradient_direction="descent")
    points = points.astype(np.float64) + origin + low * step
    faces = faces.astype(np.int64)
    return _relax(field, points, faces, step, relax), faces


def _sample(field: Field, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Field values on the fine grid [n, n, n] and the grid's first corner; far blocks hold one value each."""
    blocks = int(np.ceil(2.0 * REACH / (step * _BLOCK)))
    origin = np.full(3, -0.5 * step * _BLOCK * blocks) + 0.5 * step
    width = step * _BLOCK
    line = origin[0] + 0.5 * (width - step) + width * np.arange(blocks)
    centers = np.stack(np.meshgrid(line, line, line, indexing="ij")).reshape(3, -1).astype(np.float32)
    coarse = field(centers).astype(np.float32)
    near = np.flatnonzero(np.abs(coarse) < 1.6 * 0.5 * np.sqrt(3.0) * width)
    offset = (np.arange(_BLOCK) - 0.5 * (_BLOCK - 1)) * step
    offsets = (
        np.stack(np.meshgrid(offset, offset, offset, indexing="ij")).reshape(3, 1, -1).astype(np.float32)
    )
    fine = np.repeat(coarse[:, None], _BLOCK**3, axis=1)
    fine[near] = field((centers[:, near, None] + offsets).reshape(3, -1)).reshape(-1, _BLOCK**3)
    grid = fine.reshape((blocks,) * 3 + (_BLOCK,) * 3).transpose(0, 3, 1, 4, 2, 5)
    return np.ascontiguousarray(grid).reshape((blocks * _BLOCK,) * 3), origin


def _relax(field: Field, points: np.ndarray, faces: np.ndarray, step: float, rounds: int) -> np.ndarray:
    """Move vertices half-way to their neighbours' mean and onto the surface, ``rounds`` times."""
    edges = np.concatenate((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]))
    ones = np.ones(len(edges))
    ring = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(len(points),) * 2)
    mean = sparse.diags(1.0 / np.maximum(np.asarray(ring.sum(axis=1)).reshape(-1), 1.0)) @ ring
    for _ in range(rounds):
        points = _project(field, 0.5 * (points + mean @ points), step)
    return 0.5 * (points + mean @ points)


def _project(field: Field, points: np.ndarray, step: float) -> np.ndarray:
    """One Newton step of ``points`` [v, 3] onto the zero surface, at most half a ``step`` long."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], dtype=np.float64)
    size = 0.15 * step
    probes = points[None] + size * corners[:, None]
    values = field(probes.reshape(-1, 3).T.astype(np.float32)).reshape(4, -1).astype(np.float64)
    gradient = np.einsum("cv,ci->vi", values, corners) / (4.0 * size)
    square = np.maximum((gradient**2).sum(axis=1, keepdims=True), 0.05)
    move = -values.mean(axis=0)[:, None] * gradient / square
    length = np.linalg.norm(move, axis=1, keepdims=True)
    return points + move * np.minimum(1.0, 0.5 * step / np.maximum(length, 1e-12))
