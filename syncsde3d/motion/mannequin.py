"""A skinned mannequin around any skeleton: the smooth union of its capsules, as triangles with weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from syncsde3d.motion.capsules import PARTS, body_scale, capsules, rest_joints
from syncsde3d.motion.skeleton import JOINTS, PARENTS

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from syncsde3d.motion.capsules import Capsules

_CELL = 0.019  # metres between samples of the distance
_BLEND = 0.014  # metres over which body parts, and the capsules of the trunk, flow together
_LIMB_BLEND = 0.005  # metres over which the capsules of a limb do
_BEND = 0.014  # metres over which a vertex shares the motion of two joints


@dataclass(frozen=True)
class Skin:
    """A mesh that joints move.

    names, parents: of its j joints; a parent comes before its children, -1 for the root. rest: their
    positions as modelled [j, 3]. vertices, normals: as modelled [v, 3]. faces [f, 3]. joints, weights: which
    joints move a vertex, and how much [v, 4]; weights sum to 1. materials: name, colour (sRGB) and faces of
    each, a range after the range before.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Float[Tensor, "j 3"]
    vertices: Float[Tensor, "v 3"]
    normals: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    joints: Int[Tensor, "v 4"]
    weights: Float[Tensor, "v 4"]
    materials: tuple[tuple[str, tuple[int, int, int], slice], ...]


def mannequin(offsets: Float[Tensor, "22 3"]) -> Skin:
    """The figure of a skeleton in its rest pose, as one closed surface, feet on the floor."""
    offsets = offsets.detach().double().cpu()
    offsets = torch.cat((torch.zeros_like(offsets[:1]), offsets[1:]))
    rest, figure, scale = rest_joints(offsets), capsules(offsets), body_scale(offsets)
    rods = rest[figure.joints] + figure.starts, rest[figure.joints] + figure.ends

    def parts(points: Float[Tensor, "v 3"]) -> Float[Tensor, "v p"]:
        apart = _distances(points, *rods, figure.radii)
        return torch.stack([_union(apart[:, figure.parts == i], k) for i, k in enumerate(blends)], dim=-1)

    def union(points: Float[Tensor, "v 3"]) -> Float[Tensor, " v"]:
        return _union(parts(points), _BLEND * scale)

    blends = [scale * (_LIMB_BLEND if "arm" in name or "leg" in name else _BLEND) for name in PARTS]
    margin = 3 * _CELL * scale + figure.radii.max()
    low, high = torch.cat(rods).amin(0) - margin, torch.cat(rods).amax(0) + margin
    vertices, faces = surface(union, low, high, _CELL * scale)
    for _ in range(3):
        slope = gradient(union, vertices, 1e-4 * scale)
        vertices = vertices - slope * (union(vertices) / slope.square().sum(-1))[:, None]
    vertices, faces, materials = _cut(vertices, faces, parts(vertices))
    normals = F.normalize(gradient(union, vertices, 1e-3 * scale), dim=-1)
    joints, weights = _weights(_distances(vertices, *rods, figure.radii), figure, _BEND * scale)
    floor = vertices.new_tensor([0, 1, 0]) * vertices[:, 1].min()
    rest, vertices = rest - floor, vertices - floor
    return Skin(JOINTS, PARENTS, rest, vertices, normals, faces, joints, weights, materials)


def surface(
    distance: Callable[[Tensor], Tensor], low: Float[Tensor, " 3"], high: Float[Tensor, " 3"], cell: float
) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """Triangles around where ``distance`` (of points [v, 3]) is negative, seen from outside anticlockwise.

    Surface nets (Gibson 1998): one vertex in every cell of the grid that the surface passes, at the mean of
    the points where it crosses the cell's edges.
    """
    counts = ((high - low) / cell).ceil().long() + 1
    axes = [low[i] + cell * torch.arange(int(counts[i]), dtype=low.dtype) for i in range(3)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    values = _sampled(distance, points, cell)
    cells = [int(count) - 1 for count in counts]
    total, crossings = torch.zeros(*cells, 3, dtype=low.dtype), torch.zeros(cells, dtype=low.dtype)
    edges = []
    for axis in range(3):
        a, b = values.narrow(axis, 0, cells[axis]), values.narrow(axis, 1, cells[axis])
        crossed = (a < 0) != (b < 0)
        share = torch.where(crossed, a / torch.where(crossed, a - b, 1.0), 0.0)
        where = points.narrow(axis, 0, cells[axis]).clone()
        where[..., axis] += cell * share
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for i in (0, 1):
            for j in (0, 1):  # the four edges of a cell that run along this axis
                mine = crossed.narrow(u, i, cells[u]).narrow(v, j, cells[v])
                total += mine[..., None] * where.narrow(u, i, cells[u]).narrow(v, j, cells[v])
                crossings += mine
        edges.append((crossed, a < 0, axis))
    used = crossings > 0
    number = torch.full(cells, -1).masked_scatter(used, torch.arange(int(used.sum())))
    faces = [_quads(number, *edge) for edge in edges]
    return total[used] / crossings[used][:, None], torch.cat(faces)


def _sampled(
    distance: Callable[[Tensor], Tensor], points: Float[Tensor, "x y z 3"], cell: float, stride: int = 4
) -> Float[Tensor, "x y z"]:
    """The distances of a grid's points: exact near the surface, elsewhere those of every fourth point."""
    coarse = points[::stride, ::stride, ::stride]
    values = distance(coarse.reshape(-1, 3)).view(coarse.shape[:3])
    for axis in range(3):
        nearest = (torch.arange(points.shape[axis]) + stride // 2) // stride
        values = values.index_select(axis, nearest.clamp(max=values.shape[axis] - 1))
    near = values.abs() < 1.75 * stride * cell  # farther than any point is from its sample
    values[near] = distance(points[near])
    return values


def gradient(
    distance: Callable[[Tensor], Tensor], points: Float[Tensor, "v 3"], step: float
) -> Float[Tensor, "v 3"]:
    """Central differences."""
    shifts = step * torch.eye(3, dtype=points.dtype)
    return torch.stack(
        [(distance(points + shift) - distance(points - shift)) / (2 * step) for shift in shifts], dim=-1
    )


def _quads(number: Int[Tensor, "x y z"], crossed: Tensor, inward: Tensor, axis: int) -> Int[Tensor, "f 3"]:
    """The four cells around every edge along ``axis`` that the surface crosses, as two triangles."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    where = crossed.nonzero()
    inside = ((where[:, [u, v]] > 0) & (where[:, [u, v]] < torch.tensor(number.shape)[[u, v]])).all(-1)
    where = where[inside]
    corners = []
    for i, j in ((1, 1), (0, 1), (0, 0), (1, 0)):
        at = where.clone()
        at[:, u] -= i
        at[:, v] -= j
        corners.append(number[at.unbind(-1)])
    quad = torch.stack(corners, dim=-1)
    quad = torch.where(inward[where.unbind(-1)][:, None], quad, quad.flip(-1))
    return torch.cat((quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]))


def _distances(
    points: Float[Tensor, "v 3"], starts: Tensor, ends: Tensor, radii: Float[Tensor, "n 2"]
) -> Float[Tensor, "v n"]:
    """From each point to each capsule, negative inside."""
    along = ends - starts
    square = along.square().sum(-1).clamp(min=1e-12)
    onto = points @ along.T - (starts * along).sum(-1)
    share = (onto / square).clamp(0, 1)
    from_start = points.square().sum(-1, keepdim=True) - 2 * points @ starts.T + starts.square().sum(-1)
    apart = (from_start + share * (share * square - 2 * onto)).clamp(min=0).sqrt()
    return apart - radii[:, 0] - share * (radii[:, 1] - radii[:, 0])


def _weights(
    distances: Float[Tensor, "v n"], figure: Capsules, bend: float
) -> tuple[Int[Tensor, "v 4"], Float[Tensor, "v 4"]]:
    """The four joints whose capsules are nearest, by how near they are."""
    nearness = torch.softmax(-distances / bend, dim=-1)
    share = nearness.new_zeros(len(distances), len(JOINTS)).index_add(1, figure.joints, nearness)
    weights, joints = share.topk(4, dim=-1)
    weights = torch.where(weights < 0.01, 0.0, weights)
    return torch.where(weights > 0, joints, 0), weights / weights.sum(-1, keepdim=True)


def _union(distances: Float[Tensor, "v n"], blend: float) -> Float[Tensor, " v"]:
    """The smallest distance, rounded off where two are equal."""
    return -blend * torch.logsumexp(-distances / blend, dim=-1)


def _cut(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], distances: Float[Tensor, "v p"]
) -> tuple[Float[Tensor, "w 3"], Int[Tensor, "g 3"], tuple[tuple[str, tuple[int, int, int], slice], ...]]:
    """Triangles cut where one body part ends, in the order of the parts, and the range of each part."""
    part = distances.argmin(-1)
    pairs = torch.cat((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]))
    keys = pairs.amin(-1) * len(vertices) + pairs.amax(-1)
    keys = keys[part[pairs[:, 0]] != part[pairs[:, 1]]].unique()
    a, b = keys // len(vertices), keys % len(vertices)
    at_a, at_b = (distances[end, part[b]] - distances[end, part[a]] for end in (a, b))
    share = (at_a / (at_a - at_b)).clamp(0.05, 0.95)[:, None]
    cuts = vertices[a] + share * (vertices[b] - vertices[a])

    def middle(i: Int[Tensor, " k"], j: Int[Tensor, " k"]) -> Int[Tensor, " k"]:
        return len(vertices) + torch.searchsorted(
            keys, torch.minimum(i, j) * len(vertices) + torch.maximum(i, j)
        )

    corners, owners = [], []

    def add(
        i: Int[Tensor, " k"], j: Int[Tensor, " k"], k: Int[Tensor, " k"], owner: Int[Tensor, " k"]
    ) -> None:
        corners.append(torch.stack((i, j, k), dim=-1))
        owners.append(part[owner])

    i, j, k = faces.unbind(-1)
    same, differ = (part[i] == part[j]) & (part[j] == part[k]), _all_differ(part[faces])
    add(i[same], j[same], k[same], i[same])
    for turn in range(3):  # one corner belongs to another part than the other two
        i, j, k = faces[~same & ~differ].roll(-turn, dims=-1).unbind(-1)
        odd = part[j] == part[k]
        i, j, k = i[odd], j[odd], k[odd]
        ij, ki = middle(i, j), middle(k, i)
        add(i, ij, ki, i)
        add(ij, j, k, j)
        add(ij, k, ki, k)
    i, j, k = faces[differ].unbind(-1)
    ij, jk, ki = middle(i, j), middle(j, k), middle(k, i)
    for a, b, c in ((i, ij, ki), (j, jk, ij), (k, ki, jk)):
        add(a, b, c, a)
    add(ij, jk, ki, i)
    order = torch.cat(owners)
    stops = torch.bincount(order, minlength=len(PARTS)).cumsum(0).tolist()
    runs = [slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]
    materials = tuple((name, PARTS[name], run) for name, run in zip(PARTS, runs, strict=True))
    return torch.cat((vertices, cuts)), torch.cat(corners)[order.argsort(stable=True)], materials


def _all_differ(values: Int[Tensor, "f 3"]) -> Bool[Tensor, " f"]:
    a, b, c = values.unbind(-1)
    return (a != b) & (b != c) & (c != a)
