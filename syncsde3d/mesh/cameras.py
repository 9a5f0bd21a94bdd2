"""The view rig, and the conventions of space, stated once.

World: right-handed, +Y up, +Z towards azimuth 0, +X towards azimuth 90. Camera space is OpenGL's: +X
right, +Y up, the camera looks along -Z, and ``depth = -z`` is positive in front of it. Pixels: column x to
the right, row y downwards, the centre of pixel (i, j) at (j + 1/2, i + 1/2). Angles are degrees where a
person gives them (:func:`orbit`) and radians inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

#: (azimuth, elevation) in degrees of the paper's ten texturing views, in the paper's order.
PAPER_VIEWS: tuple[tuple[float, float], ...] = (
    *((float(a), 0.0) for a in range(0, 360, 45)),
    (0.0, 30.0),
    (180.0, 30.0),
)
#: The same ten views, ordered so that chains of references are short: front, back, left, right, the
#: diagonals, then the elevated ones.
TEXTURE_VIEWS: tuple[tuple[float, float], ...] = (
    *((float(a), 0.0) for a in (0, 180, 270, 90, 45, 315, 135, 225)),
    (0.0, 30.0),
    (180.0, 30.0),
)


@dataclass(frozen=True)
class Cameras:
    """``n`` perspective cameras looking at the origin.

    world_to_view: rigid transforms [n, 4, 4] (column vectors: ``x_view = W @ x_world``).
    fov: vertical field of view, radians.
    """

    world_to_view: Float[Tensor, "n 4 4"]
    fov: float = math.radians(60.0)

    def __len__(self) -> int:
        return self.world_to_view.shape[0]

    def __getitem__(self, index: Sequence[int] | slice) -> Cameras:
        return Cameras(self.world_to_view[index], self.fov)

    def to(self, device: torch.device | str) -> Cameras:
        return Cameras(self.world_to_view.to(device), self.fov)

    @property
    def positions(self) -> Float[Tensor, "n 3"]:
        """Camera centres in world space."""
        rotation, translation = self.world_to_view[:, :3, :3], self.world_to_view[:, :3, 3]
        return -(rotation.transpose(1, 2) @ translation.unsqueeze(-1)).squeeze(-1)

    def project(self, points: Float[Tensor, "p 3"], height: int, width: int) -> Float[Tensor, "n p 3"]:
        """World points to (pixel x, pixel y, depth) in each view; depth in world units, > 0 in front."""
        rotation, translation = self.world_to_view[:, :3, :3], self.world_to_view[:, :3, 3]
        view = points.to(rotation.dtype) @ rotation.transpose(1, 2) + translation.unsqueeze(1)
        depth = -view[..., 2]
        focal = 0.5 * height / math.tan(0.5 * self.fov)
        x = 0.5 * width + focal * view[..., 0] / depth
        y = 0.5 * height - focal * view[..., 1] / depth
        return torch.stack((x, y, depth), dim=-1)


def orbit(views: Sequence[tuple[float, float]], distance: float = 2.0, fov: float = 60.0) -> Cameras:
    """Cameras on a sphere around the origin, looking at it, +Y up.

    views: (azimuth, elevation) per camera, degrees; elevation strictly within (-90, 90).
    distance: from the origin, world units. fov: vertical field of view, degrees.
    """
    matrices = []
    for azimuth, elevation in views:
        if not -90.0 < elevation < 90.0:
            raise ValueError(f"views: expected elevations within (-90, 90) degrees, got {elevation}")
        az, el = math.radians(azimuth), math.radians(elevation)
        back = torch.tensor([math.cos(el) * math.sin(az), math.sin(el), math.cos(el) * math.cos(az)])
        right = torch.tensor([math.cos(az), 0.0, -math.sin(az)])
        matrix = torch.eye(4)
        matrix[:3, :3] = torch.stack((right, torch.linalg.cross(back, right), back))
        matrix[2, 3] = -distance
        matrices.append(matrix)
    return Cameras(torch.stack(matrices), math.radians(fov))


def turntable(frames: int, elevation: float = 15.0, distance: float = 2.0, fov: float = 60.0) -> Cameras:
    """``frames`` cameras evenly around the object, starting at azimuth 0."""
    return orbit([(360.0 * i / frames, elevation) for i in range(frames)], distance, fov)
