"""Colour for what no view shows: from the nearest painted points of the surface, and around the islands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree
from torch import Tensor

from .types import Fragments

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray

#: Unpainted points take the mean of this many nearest painted ones, weighted by inverse distance.
NEIGHBOURS = 4
#: A face may be continued up to this many times its size beyond its edges.
STRETCH = 20.0
#: Side of the cells by which large unpainted regions are thinned, world units.
CELL = 0.01


def fill_surface(
    colours: Float[Tensor, "p c"],
    painted: Bool[Tensor, "p"],
    sources: Bool[Tensor, "p"],
    position: Float[Tensor, "p 3"],
) -> Float[Tensor, "p c"]:
    """Colours where unpainted points are given those of the nearest ``sources`` in space.

    painted: points that keep their colour. sources: points that may lend theirs, at least one.
    Large regions are filled on a coarse grid first: far searches are slow, and far colours smooth anyway.
    """
    if bool(painted.all()):
        return colours
    known, unknown = sources.cpu().numpy(), ~painted.cpu().numpy()
    where, values = position.cpu().double().numpy(), colours.cpu().double().numpy()
    cell = _cells(where[unknown])
    coarse = _means(where[unknown], cell)
    lent = _cells(where[known])
    coarse_values = _interpolate(_means(where[known], lent), _means(values[known], lent), coarse)
    points = np.concatenate((where[known], coarse))
    values[unknown] = _interpolate(points, np.concatenate((values[known], coarse_values)), where[unknown])
    return torch.from_numpy(values).to(colours)


def near_a(
    good: Bool[Tensor, "p"], asked: Bool[Tensor, "p"], position: Float[Tensor, "p 3"], reach: float
) -> Bool[Tensor, "p"]:
    """Of the points ``asked``, those with a good one within ``reach`` [p]."""
    where = position.cpu().double().numpy()
    tree = _tree(where[good.cpu().numpy()])
    distance, _ = tree.query(where[asked.cpu().numpy()], distance_upper_bound=reach)
    near = torch.zeros_like(asked)
    near[asked] = torch.from_numpy(np.isfinite(distance)).to(near.device)
    return near


def extend_islands(texels: Fragments, corners: Float[Tensor, "f 3 2"]) -> Fragments:
    """Texels of one texture with a rim of one more texel around each island.

    The rim continues the nearest texel's face beyond its edge, so that bilinear filtering across a seam reads
    the surface on the seam's other side. Where a face is too small for that, the rim is left out.

    corners: texture coordinates of each face's corners, origin bottom-left.
    """
    islands = texels.mask[0]
    distance, nearest = _nearest(islands)
    rim = (distance > 0) & (distance < 1.5)
    row, column = nearest[:, rim]
    face = texels.face[0, row, column]
    size = corners.new_tensor([islands.shape[1], islands.shape[0]])
    centre = (rim.nonzero().flip(1) + 0.5) / size
    a, b, c = corners[face].unbind(1)
    at = torch.stack((centre[:, 0], 1.0 - centre[:, 1]), dim=1) - a
    (ux, uy), (vx, vy), (px, py) = ((edge[:, 0], edge[:, 1]) for edge in (b - a, c - a, at))
    area = ux * vy - uy * vx
    v, w = (px * vy - py * vx) / area, (ux * py - uy * px) / area
    bary = torch.stack((1.0 - v - w, v, w), dim=1)
    fits = bary.isfinite().all(1) & (bary.abs().amax(1) < STRETCH)
    rim[rim.clone()] = fits
    extended = Fragments(texels.face.clone(), texels.bary.clone(), texels.depth.clone())
    extended.face[0, rim], extended.bary[0, rim], extended.depth[0, rim] = face[fits], bary[fits], 1.0
    return extended


def pad_islands(colours: Float[Tensor, "p c"], islands: Bool[Tensor, "t t"]) -> Float[Tensor, "c t t"]:
    """A whole texture: texels outside all islands take the colour of the nearest texel inside one."""
    texel = torch.full(islands.shape, -1, dtype=torch.int64, device=islands.device)
    texel[islands] = torch.arange(len(colours), device=islands.device)
    _, (row, column) = _nearest(islands)
    return colours[texel[row, column]].movedim(-1, 0).contiguous()


def _nearest(islands: Bool[Tensor, "t t"]) -> tuple[Float[Tensor, "t t"], Int[Tensor, "2 t t"]]:
    """Distance of every texel to the nearest one of an island, and that one's row and column."""
    outside = ~islands.cpu().numpy()
    distance, nearest = np.zeros(outside.shape), np.zeros((2, *outside.shape), np.int32)
    distance_transform_edt(outside, return_indices=True, distances=distance, indices=nearest)
    device = islands.device
    return torch.from_numpy(distance).float().to(device), torch.from_numpy(nearest).long().to(device)


def _tree(points: ndarray) -> KDTree:
    """Unbalanced and loose: far queries into a surface are ten times faster than with scipy's defaults."""
    return KDTree(points, balanced_tree=False, compact_nodes=False)


def _interpolate(points: ndarray, values: ndarray, at: ndarray) -> ndarray:
    """Inverse-distance means of the nearest values [p, c] at other places [q, 3]."""
    distance, index = _tree(points).query(at, k=min(NEIGHBOURS, len(points)))
    distance, index = np.reshape(distance, (len(at), -1)), np.reshape(index, (len(at), -1))
    weight = 1.0 / np.maximum(distance, 1e-9)
    weight /= weight.sum(1, keepdims=True)
    return (values[index] * weight[..., None]).sum(1)


def _cells(points: ndarray) -> ndarray:
    """Number of the occupied grid cell that each point lies in [p]."""
    cell = np.floor((points - points.min(0)) / CELL).astype(np.int64)
    span = cell.max(0) + 1
    return np.unique((cell[:, 0] * span[1] + cell[:, 1]) * span[2] + cell[:, 2], return_inverse=True)[1]


def _means(values: ndarray, cell: ndarray) -> ndarray:
    """Mean of the values [p, c] in each cell."""
    sums = [np.bincount(cell, column) for column in values.T]
    return np.stack(sums, axis=1) / np.bincount(cell)[:, None]
