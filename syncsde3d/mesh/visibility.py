"""Which views see a surface point, and how well: facing angle and occlusion.

A point is visible when its facing cosine passes :data:`MIN_COSINE` and it lies no deeper than the view's
depth buffer by more than a slope-scaled bias: a depth buffer's error grows with the tangent of the viewing
angle, so a constant bias either rejects grazing surfaces or lets points show through thin walls.

Facing uses the geometric normal. Closed, consistently outward faces are seen from their front only; any other
face (an open sheet, a cut hull, bad winding) is painted from both sides, with |cos|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from .cameras import Cameras
from .rasterize import Rasterizer
from .types import Fragments, Mesh

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

#: Views that see a point at a flatter angle than this (cosine to its normal) do not count.
MIN_COSINE = 0.2
#: The depth test's bias: this many pixel footprints times the tangent of the angle, plus a constant.
BIAS_PIXELS, BIAS_CONSTANT = 1.5, 1e-3


@dataclass(frozen=True)
class SurfacePoints:
    """Points on a mesh.

    position: [p, 3]. normal: unit geometric normals [p, 3]. two_sided: painted from both sides [p].
    """

    position: Float[Tensor, "p 3"]
    normal: Float[Tensor, "p 3"]
    two_sided: Bool[Tensor, "p"]

    def __len__(self) -> int:
        return len(self.position)

    def __getitem__(self, index: Tensor | slice) -> SurfacePoints:
        return SurfacePoints(self.position[index], self.normal[index], self.two_sided[index])

    def cosine(self, cameras: Cameras, view: int) -> Float[Tensor, "p"]:
        """Cosine between the normal and the direction to that camera; 0 for a face seen from behind."""
        towards = torch.nn.functional.normalize(cameras.positions[view] - self.position, dim=1)
        cosine = (towards * self.normal).sum(1)
        return torch.where(self.two_sided, cosine.abs(), cosine.clamp(min=0))


def surface_points(mesh: Mesh, fragments: Fragments) -> SurfacePoints:
    """The points under the covered pixels (or texels) of ``fragments``, in the mask's order."""
    mask = fragments.mask
    face, bary = fragments.face[mask], fragments.bary[mask]
    position = (mesh.vertices[mesh.faces[face]] * bary.unsqueeze(-1)).sum(1)
    return SurfacePoints(position, mesh.face_normals()[face], two_sided_faces(mesh)[face])


def two_sided_faces(mesh: Mesh) -> Bool[Tensor, "f"]:
    """True for faces whose winding does not tell inside from outside.

    That is every face of a connected component that has an open, an overfull or an inconsistently wound edge,
    or whose signed volume is not positive. Vertices at the same position count as one, so that seams of split
    vertices do not open a closed surface.
    """
    vertices, faces = mesh.vertices.detach().cpu().double().numpy(), mesh.faces.cpu().numpy()
    if not len(faces):
        return torch.zeros(0, dtype=torch.bool, device=mesh.faces.device)
    _, weld = np.unique(mesh.vertices.detach().cpu().numpy(), axis=0, return_inverse=True)
    corner = weld.reshape(-1)[faces]
    ends = corner[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    _, part = connected_components(coo_array((np.ones(len(ends), np.int8), ends.T), (len(vertices),) * 2))
    part_of_face = part[corner[:, 0]]

    forward = ends[:, 0] < ends[:, 1]
    key = ends.min(1).astype(np.int64) * len(vertices) + ends.max(1)
    _, edge = np.unique(key, return_inverse=True)
    balance = np.stack((np.bincount(edge, forward), np.bincount(edge, ~forward)))
    bad = (balance != 1).any(0)[edge].reshape(-1, 3).any(1)
    bad |= (corner == np.roll(corner, 1, 1)).any(1)
    volume = np.linalg.det(vertices[faces])
    good_part = (np.bincount(part_of_face, bad, part.max() + 1) == 0) & (
        np.bincount(part_of_face, volume, part.max() + 1) > 0
    )
    return torch.from_numpy(~good_part[part_of_face]).to(mesh.faces.device)


@dataclass(frozen=True)
class Visibility:
    """Depth buffers of a rig's views, against which any surface point can be tested.

    cameras: the rig. depth: distance along the viewing axis [n, h, w], infinite where nothing is seen; the
    finer, the fewer errors (0.1-0.5 % against ray casting at 1024).
    """

    cameras: Cameras
    depth: Float[Tensor, "n h w"]

    @classmethod
    def of(
        cls, mesh: Mesh, cameras: Cameras, rasterizer: Rasterizer, size: tuple[int, int] = (1024, 1024)
    ) -> Visibility:
        """Render the depth buffers, (height, width) = ``size``, of the aspect ratio of the images in use."""
        rigs = [cameras[i : i + 1] for i in range(len(cameras))]  # one at a time: only depths are kept
        depth = torch.cat([rasterizer.rasterize(mesh.vertices, mesh.faces, rig, size).depth for rig in rigs])
        return cls(cameras.to(depth.device), depth.detach().masked_fill(depth <= 0, torch.inf))

    def cosine(self, points: SurfacePoints, view: int) -> Float[Tensor, "p"]:
        """The facing cosine of each point where that view sees it, 0 where it does not."""
        height, width = self.depth.shape[1:]
        cosine = points.cosine(self.cameras, view)
        pixel, depth = project(points.position, self.cameras, view, (height, width))
        index, inside = nearest_pixel(pixel, (height, width))
        nearest = self.depth[view].flatten()[index]
        seen = inside & (depth > 0) & (depth <= nearest + depth_bias(cosine, depth, self.cameras, height))
        return torch.where(seen & (cosine > MIN_COSINE), cosine, 0.0)


def project(
    points: Float[Tensor, "p 3"], cameras: Cameras, view: int, size: tuple[int, int]
) -> tuple[Float[Tensor, "p 2"], Float[Tensor, "p"]]:
    """Pixel coordinates (x, y) and depth of world points in one view of (height, width) = ``size``."""
    screen = cameras[view : view + 1].project(points, *size)[0]
    return screen[:, :2], screen[:, 2]


def nearest_pixel(
    pixel: Float[Tensor, "p 2"], size: tuple[int, int]
) -> tuple[Int[Tensor, "p"], Bool[Tensor, "p"]]:
    """Row-major index of the pixel that holds each position (x, y), and whether it lies in the image."""
    height, width = size
    limit = pixel.new_tensor([width, height])
    inside = ((pixel >= 0) & (pixel < limit)).all(1)
    column, row = torch.where(inside.unsqueeze(1), pixel, 0.0).long().unbind(1)
    return row * width + column, inside


def depth_bias(
    cosine: Float[Tensor, "p"], depth: Float[Tensor, "p"], cameras: Cameras, height: int
) -> Float[Tensor, "p"]:
    """How much a depth buffer of that height may err on a surface seen at that cosine, world units."""
    footprint = depth * (2.0 * np.tan(0.5 * cameras.fov) / height)
    cosine = cosine.clamp(min=MIN_COSINE)
    tangent = (1.0 - cosine.square()).clamp(min=0).sqrt() / cosine
    return BIAS_PIXELS * footprint * tangent + BIAS_CONSTANT
