"""What a camera sees of an object before it is painted: positions, normals, coverage and the depth image.

Rendered once per object and view, then kept on disk as plain .npy files, so that painting a picture costs two
milliseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from syncsde3d.mesh.cameras import Cameras, orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.synthetic.shapes import SHAPES, shape

if TYPE_CHECKING:
    from jaxtyping import Float

#: Changes with :func:`rig`: views kept on disk from another one are rendered anew.
RIG = 2

_FIELDS = ("position", "normal", "facing", "alpha", "depth")


def depth_image(depth: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Inverse depth, stretched to [0, 1] in each view: nearest 1, farthest and background 0.

    depth: distance along the viewing axis, > 0 where something is seen (as in ``Fragments.depth``).
    """
    seen = depth > 0
    inverse = torch.where(seen, 1 / depth.clamp(min=1e-6), torch.nan)
    low = inverse.nan_to_num(torch.inf).amin((1, 2), keepdim=True)
    high = inverse.nan_to_num(-torch.inf).amax((1, 2), keepdim=True)
    return torch.where(seen, (inverse - low) / (high - low).clamp(min=1e-6), 0.0)


@dataclass(frozen=True)
class Buffers:
    """``n`` views of objects at ``size`` pixels squared, memory-mapped.

    position: object space [n, s, s, 3], float16. normal: unit, times 127 [n, s, s, 3], int8.
    facing: cosine of normal and view direction, times 255 [n, s, s]. alpha: coverage, times 255 [n, s, s].
    depth: the depth image (:func:`depth_image`), times 255 [n, s, s].
    names: the object seen in each view. views: its (azimuth, elevation) in degrees [n, 2].
    """

    position: np.ndarray
    normal: np.ndarray
    facing: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    names: tuple[str, ...]
    views: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


def render_views(
    vertices: np.ndarray, faces: np.ndarray, cameras: Cameras, size: int
) -> dict[str, np.ndarray]:
    """The fields of :class:`Buffers` for one mesh.

    Rasterized at twice the size: coverage is the share of the four samples that see the object, surface
    values come from one of them (never a mean across an inner edge). Depth is rasterized at ``size``, at the
    pixel centres, as it is when texturing.
    """
    rasterizer = get_rasterizer("torch")
    v, f = torch.from_numpy(vertices).float(), torch.from_numpy(faces).long()
    fine = rasterizer.rasterize(v, f, cameras, (2 * size, 2 * size))
    corner = torch.linalg.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
    normals = torch.zeros_like(v).index_add_(0, f.flatten(), corner.repeat_interleave(3, 0))
    attributes = torch.cat((v, torch.nn.functional.normalize(normals, dim=-1, eps=1e-20)), -1)[f]
    surface = fine.interpolate(attributes)
    mask = fine.mask
    n = len(cameras)
    quads = surface.view(n, size, 2, size, 2, 6).permute(0, 1, 3, 2, 4, 5).reshape(n, size, size, 4, 6)
    hits = mask.view(n, size, 2, size, 2).permute(0, 1, 3, 2, 4).reshape(n, size, size, 4)
    first = hits.int().argmax(-1)[..., None, None].expand(*hits.shape[:3], 1, 6)
    position, normal = quads.gather(3, first).squeeze(3).split(3, -1)
    normal = torch.nn.functional.normalize(normal, dim=-1)
    to_eye = torch.nn.functional.normalize(cameras.positions[:, None, None] - position, dim=-1)
    facing = (normal * to_eye).sum(-1).clamp(0, 1)
    depth = depth_image(rasterizer.rasterize(v, f, cameras, (size, size)).depth)
    return {
        "position": position.numpy().astype(np.float16),
        "normal": (normal * 127).round().numpy().astype(np.int8),
        "facing": (facing * 255).round().numpy().astype(np.uint8),
        "alpha": (hits.float().mean(-1) * 255).round().numpy().astype(np.uint8),
        "depth": (depth * 255).round().numpy().astype(np.uint8),
    }


def rig(views: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """(azimuth, elevation) of ``views`` cameras: near those that texture (every 45 degrees at elevation 0,
    some at 30), but for a sixth of them, which look from anywhere between -10 and 40 degrees. A single
    one looks from azimuth 45 and a little above, whence most objects are best told."""
    azimuth = 45.0 * np.arange(views) + rng.uniform(-5, 5, views)
    elevation = np.where(rng.uniform(size=views) < 0.3, 30.0, 0.0) + rng.uniform(-2, 2, views)
    free = rng.uniform(size=views) < 1 / 6
    azimuth = np.where(free, rng.uniform(0, 360, views), azimuth) % 360
    elevation = np.where(free, rng.uniform(-10, 40, views), elevation)
    if views == 1:
        azimuth[0], elevation[0] = 45.0, 10.0
    return [(float(a), float(e)) for a, e in zip(azimuth, elevation, strict=True)]


def make_buffers(
    folder: str | Path, seeds: Sequence[int], views: int = 16, size: int = 128, names: Sequence[str] = ()
) -> Buffers:
    """Views of every procedural object, rendered into ``folder`` unless it already holds them.

    seeds: variants of each object. views: cameras around each. names: all of SHAPES when empty.
    """
    folder = Path(folder)
    wanted = {
        "seeds": list(seeds),
        "views": views,
        "size": size,
        "names": list(names or SHAPES),
        "rig": RIG,
    }
    index = folder / "index.json"
    if not index.is_file() or json.loads(index.read_text())["wanted"] != wanted:
        parts: list[Mapping[str, np.ndarray]] = []
        angles: list[tuple[float, float]] = []
        for name in wanted["names"]:
            for seed in seeds:
                rng = np.random.default_rng([seed, len(angles)])
                at = rig(views, rng)
                parts.append(render_views(*shape(name, seed), orbit(at, rng.uniform(1.95, 2.05)), size))
                angles += at
        labels = [name for name in wanted["names"] for _ in range(views * len(seeds))]
        folder.mkdir(parents=True, exist_ok=True)
        index.unlink(missing_ok=True)
        for key in parts[0]:  # new files: another process may be reading the old ones
            temporary = folder / f".{key}.{os.getpid()}.npy"
            np.save(temporary, np.concatenate([p[key] for p in parts]))
            os.replace(temporary, folder / f"{key}.npy")
        index.write_text(json.dumps({"wanted": wanted, "names": labels, "angles": angles}))
    return load_buffers(folder)


def load_buffers(folder: str | Path) -> Buffers:
    """Buffers that :func:`make_buffers` wrote; FileNotFoundError if there are none."""
    folder = Path(folder)
    index = json.loads((folder / "index.json").read_text())
    fields = {k: np.load(folder / f"{k}.npy", mmap_mode="r") for k in _FIELDS}
    return Buffers(**fields, names=tuple(index["names"]), views=np.array(index["angles"], np.float32))
