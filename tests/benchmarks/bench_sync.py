"""One step's synchronisation of ten views as one sparse product, against baking and rendering each prefix.

python tests/benchmarks/bench_sync.py

Ten views of 96 x 96 latents with 4 channels. The slow twin does what the references mean, with all geometry
looked up beforehand: for each view it bakes the views before it into a 512 x 512 texture and renders that.
Targets on two CPU cores: a product of at most 1 ms, at least 100 times faster than the twin.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mesh_shapes import torus

from syncsde3d.mesh.cameras import TEXTURE_VIEWS, orbit
from syncsde3d.mesh.load import load_mesh
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.uv import ensure_uvs
from syncsde3d.mesh.view_matrix import build_view_matrix
from syncsde3d.mesh.visibility import Visibility, nearest_pixel, project, surface_points

SPOT = Path(__file__).resolve().parents[3] / "shared" / "data" / "meshes" / "spot.obj"
VIEW, TEXTURE = 96, 512


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median wall time in milliseconds after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def main() -> None:
    torch.set_num_threads(2)
    name, mesh = ("spot", ensure_uvs(load_mesh(SPOT))) if SPOT.is_file() else ("torus", torus())
    cameras, rasterizer = orbit(TEXTURE_VIEWS), get_rasterizer()
    visibility = Visibility.of(mesh, cameras, rasterizer)
    matrix = build_view_matrix(mesh, cameras, VIEW, rasterizer, visibility=visibility)
    texels = rasterizer.rasterize_uv(mesh.uvs, mesh.uv_faces, (TEXTURE, TEXTURE))
    points, where = surface_points(mesh, texels), texels.mask.flatten().nonzero().squeeze(1)
    sources = []
    for view in range(len(cameras)):
        cosine = visibility.cosine(points, view)
        at, _ = project(points.position, cameras, view, (VIEW, VIEW))
        pixel, inside = nearest_pixel(at, (VIEW, VIEW))
        seen = ((cosine > 0) & inside).nonzero().squeeze(1)
        sources.append((where[seen], pixel[seen], cosine[seen]))
    fragments = matrix.fragments
    uv = fragments.interpolate(mesh.uvs[mesh.uv_faces])
    column = (uv[..., 0] * TEXTURE).long().clamp(0, TEXTURE - 1)
    row = ((1 - uv[..., 1]) * TEXTURE).long().clamp(0, TEXTURE - 1)
    shown = row * TEXTURE + column

    def bake_and_render(values: Tensor) -> Tensor:
        out = torch.zeros_like(values)
        for view in range(1, len(values)):
            texture = values.new_zeros(values.shape[1], TEXTURE * TEXTURE)
            total = values.new_zeros(TEXTURE * TEXTURE)
            for earlier, (texel, pixel, weight) in enumerate(sources[:view]):
                texture[:, texel] += values[earlier].flatten(1)[:, pixel] * weight
                total[texel] += weight
            texture /= total.clamp(min=1e-8)
            out[view] = texture[:, shown[view]] * fragments.mask[view]
        return out

    values = torch.randn(10, 4, VIEW, VIEW)
    fast, slow = median_ms(lambda: matrix.apply(values), 50), median_ms(lambda: bake_and_render(values), 5)
    print(f"{name}: sparse product {fast:.2f} ms ({len(matrix.columns)} entries, float32)")
    print(f"{name}: bake and render every prefix {slow:.0f} ms, {slow / fast:.0f} times as long")


if __name__ == "__main__":
    main()
