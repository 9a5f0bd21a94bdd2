"""A scanline rasterizer in plain torch, for CPU, CUDA and MPS.

Faces are expanded into rows, rows into spans of pixels, in chunks of bounded size; a pixel keeps the nearest
fragment by a scatter maximum over one integer that holds (1 / depth, face). An edge's crossing with a row is
computed from its two end points in one fixed order, hence identically in the two faces that share it, and
spans are half open: neighbouring faces leave no gap and claim no pixel twice. Barycentrics are computed for
the winners only, from the vertices, and so carry gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..types import Fragments
from .screen import NEAR, ScreenRasterizer

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_LOW = (1 << 31) - 1  # the face index is stored as _LOW - index: at equal depth the lowest index wins


class TorchRasterizer(ScreenRasterizer):
    """The default backend; see :class:`syncsde3d.mesh.rasterize.Rasterizer`."""

    def rasterize_screen(
        self, screen: Float[Tensor, "n v 3"], faces: Int[Tensor, "f 3"], size: tuple[int, int]
    ) -> Fragments:
        height, width = size
        shape = (len(screen), height * width)
        corners = faces.t().contiguous()
        face = torch.full(shape, -1, dtype=torch.int64, device=screen.device)
        bary, depth = screen.new_full((*shape, 3), -1.0), screen.new_full(shape, -1.0)
        for view, points in enumerate(screen):
            with torch.no_grad():
                pixel, owner = winners(points, corners, height, width)
                row = torch.div(pixel, width, rounding_mode="floor")
                x, y = ((index.to(points.dtype) + 0.5) for index in (pixel - row * width, row))
            axes = points.t().contiguous().unbind(0)
            chosen = [corner.index_select(0, owner) for corner in corners]
            corner_xyz = [[axis.index_select(0, corner) for axis in axes] for corner in chosen]
            weights, seen_depth = barycentrics(corner_xyz, x, y)
            face[view].index_copy_(0, pixel, owner)
            depth[view].index_copy_(0, pixel, seen_depth)
            for corner, weight in enumerate(weights):
                bary[view, :, corner].index_copy_(0, pixel, weight)
        shape = (len(screen), height, width)
        return Fragments(face.reshape(shape), bary.reshape(*shape, 3), depth.reshape(shape))


def barycentrics(
    corners: Sequence[Sequence[Float[Tensor, "p"]]], x: Float[Tensor, "p"], y: Float[Tensor, "p"]
) -> tuple[tuple[Float[Tensor, "p"], ...], Float[Tensor, "p"]]:
    """Perspective-correct barycentrics, and depth, at pixel (x, y) of faces given as (x, y, depth) corners.

    Differentiable in the corners. Rounding may put a pixel centre outside its face by a hair: weights are
    clamped at 0, and a face of no area gets equal weights.
    """
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = ((cx - x, cy - y, cz) for cx, cy, cz in corners)
    a, b, c = bx * cy - cx * by, cx * ay - ax * cy, ax * by - bx * ay  # twice the opposite sub-areas
    sign = torch.sign(a + b + c).detach()
    a, b, c = (a * sign).clamp(min=0), (b * sign).clamp(min=0), (c * sign).clamp(min=0)
    flat = (a + b + c <= 0).to(a.dtype)
    a, b, c = (a + flat) / az, (b + flat) / bz, (c + flat) / cz
    total = a + b + c
    a, b, c = a / total, b / total, c / total
    return (a, b, c), a * az + b * bz + c * cz


def winners(
    points: Float[Tensor, "v 3"], corners: Int[Tensor, "3 f"], height: int, width: int
) -> tuple[Int[Tensor, "p"], Int[Tensor, "p"]]:
    """The pixels whose centre a face covers, row by row, and the nearest face at each.

    points: (pixel x, pixel y, depth) of each vertex. corners: the faces' corners, one row per corner.
    """
    x, y, z = points.float().t().contiguous().unbind(0)
    chunk = 1 << (17 if points.device.type == "cpu" else 22)  # items at once: the CPU's caches, a GPU's width
    best = Nearest(height * width, points.device)
    face = _candidates(x, y, z, corners, height, width)
    xs, ys, qs = _downwards(*([axis.index_select(0, c[face]) for c in corners] for axis in (x, y, 1 / z)))
    top = _centres(ys[0], height)
    for item, offset in _expand((_centres(ys[2], height) - top).long(), chunk):
        row = top.index_select(0, item) + offset.float()
        rx, ry, rq = ([axis.index_select(0, item) for axis in axes] for axes in (xs, ys, qs))
        kept, column, count, nearness, slope = _spans(rx, ry, rq, row, width)
        start = row.index_select(0, kept).long() * width + column
        owner = face.index_select(0, item.index_select(0, kept))
        for span, step in _expand(count, chunk):
            near = nearness.index_select(0, span) + step.float() * slope.index_select(0, span)
            best.offer(start.index_select(0, span) + step, near, owner.index_select(0, span))
    return best.winners()


def _centres(value: Tensor, limit: int) -> Tensor:
    """The first pixel whose centre is at ``value`` or beyond, within 0..limit (NaN stays NaN)."""
    return (value - 0.5).ceil_().clamp_(0, limit)


def _candidates(x: Tensor, y: Tensor, z: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """Indices of the faces in front of the camera whose box holds a pixel centre."""
    keep = None
    for axis, limit in ((y, height), (x, width)):
        a, b, c = (axis.index_select(0, corner) for corner in corners)
        low, high = torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)
        inside = _centres(high, limit) > _centres(low, limit)
        keep = inside if keep is None else keep & inside
    face = keep.nonzero().squeeze(1)
    front = z > NEAR
    a, b, c = (front.index_select(0, corner.index_select(0, face)) for corner in corners)
    return face[a & b & c]


def _downwards(x: list[Tensor], y: list[Tensor], q: list[Tensor]) -> tuple[list[Tensor], ...]:
    """The corners of each face sorted by y: three exchanges."""
    x, y, q = list(x), list(y), list(q)
    for i, j in ((0, 1), (1, 2), (0, 1)):
        swap = y[j] < y[i]
        for axis in (x, y, q):
            axis[i], axis[j] = torch.where(swap, axis[j], axis[i]), torch.where(swap, axis[i], axis[j])
    return x, y, q


def _spans(x: list[Tensor], y: list[Tensor], q: list[Tensor], row: Tensor, width: int) -> tuple[Tensor, ...]:
    """Where the centre line of each row crosses its face; corners sorted downwards, q = 1 / depth.

    Returns, for the rows that hold a pixel centre, the row's number in the input, the span's first column,
    its length, the nearness q at that column and its change per column.
    """
    centre = row + 0.5
    upper = centre < y[1]  # which edge of the short side the line crosses: 0-1, else 1-2
    from_x, from_y, from_q = (torch.where(upper, axis[0], axis[1]) for axis in (x, y, q))
    to_x, to_y, to_q = (torch.where(upper, axis[1], axis[2]) for axis in (x, y, q))
    long, short = (centre - y[0]) / (y[2] - y[0]), (centre - from_y) / (to_y - from_y)
    long_x, short_x = x[0] + long * (x[2] - x[0]), from_x + short * (to_x - from_x)
    left_x = torch.minimum(long_x, short_x)
    left, right = _centres(left_x, width), _centres(torch.maximum(long_x, short_x), width)
    kept = (right > left).nonzero().squeeze(1)
    long_q, short_q = q[0] + long * (q[2] - q[0]), from_q + short * (to_q - from_q)
    slope = (short_q - long_q) / torch.where(short_x == long_x, 1.0, short_x - long_x)
    nearness = torch.where(long_x <= short_x, long_q, short_q) + (left + 0.5 - left_x) * slope
    spans = (left.long(), (right - left).long(), nearness, slope)
    return kept, *(values.index_select(0, kept) for values in spans)


def _expand(counts: Int[Tensor, "k"], chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Repeat item i ``counts[i]`` times: yields (item, running number within the item), a chunk at a time."""
    ends = counts.cumsum(0)
    remaining = int(ends[-1]) if len(counts) else 0
    first, done = 0, 0
    while remaining:
        last = len(counts)
        if remaining > chunk:
            last = max(first + 1, int(torch.searchsorted(ends, done + chunk, right=True)))
        some, total = counts[first:last], int(ends[last - 1]) - done
        item = torch.repeat_interleave(some, output_size=total)
        start = ends[first:last] - some - done
        yield item + first, torch.arange(total, device=counts.device) - start.index_select(0, item)
        first, done, remaining = last, done + total, remaining - total


class Nearest:
    """The nearest fragment offered to each pixel; at equal depth the lowest face index.

    One 64-bit integer per pixel orders fragments by (nearness bits, -face); MPS has no 64-bit scatter maximum
    and takes two 32-bit passes instead (``packed=False``).
    """

    def __init__(self, pixels: int, device: torch.device, packed: bool | None = None) -> None:
        self.packed = device.type != "mps" if packed is None else packed
        self.keys = torch.zeros(pixels if self.packed else 0, dtype=torch.int64, device=device)
        self.nearness = torch.zeros(0 if self.packed else pixels, device=device)
        self.faces = torch.full_like(self.nearness, _LOW, dtype=torch.int32)

    def offer(self, pixel: Int[Tensor, "p"], nearness: Float[Tensor, "p"], face: Int[Tensor, "p"]) -> None:
        """Let fragments compete for their pixels; nearness = 1 / depth > 0, float32."""
        if self.packed:
            key = (nearness.view(torch.int32).long() << 32) | (_LOW - face)
            self.keys.scatter_reduce_(0, pixel, key, "amax")
            return
        nearest = self.nearness.scatter_reduce(0, pixel, nearness, "amax")
        self.faces.masked_fill_(nearest > self.nearness, _LOW)
        first = nearness == nearest.index_select(0, pixel)
        self.faces.scatter_reduce_(0, pixel[first], face[first].int(), "amin")
        self.nearness = nearest

    def winners(self) -> tuple[Int[Tensor, "p"], Int[Tensor, "p"]]:
        """The pixels that were offered a fragment, in order, and the nearest face at each."""
        if self.packed:
            pixel = self.keys.nonzero().squeeze(1)
            return pixel, _LOW - (self.keys.index_select(0, pixel) & _LOW)
        pixel = self.nearness.nonzero().squeeze(1)
        return pixel, self.faces.index_select(0, pixel).long()
