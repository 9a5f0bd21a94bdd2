"""What geometry costs and how faithful the final texture is.

python tests/benchmarks/bench_mesh.py [--repeats 5] [--device cpu] [--quick]

Speed: medians after one warm-up, for a knot of 72,000 faces and, where the development data is there, the cow
`spot`. Fidelity: views of a known solid texture, 768 px, baked into 1024 texels and rendered at other views.
Targets on two CPU cores: 0.06 / 0.2 / 0.5 s for ten views at 96 / 512 / 1536 px, 0.1 s for 300 slivers; view
matrix in 0.8 s, one product 1 ms; 45 dB at other views, 30 dB on seams.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mesh_shapes import MAGENTA, photograph, psnr, solid, torus

from syncsde3d.mesh.bake import bake
from syncsde3d.mesh.cameras import TEXTURE_VIEWS, orbit
from syncsde3d.mesh.load import load_mesh
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.refine import refine_texture
from syncsde3d.mesh.shade import render_textured
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.uv import ensure_uvs
from syncsde3d.mesh.view_matrix import build_view_matrix
from syncsde3d.mesh.visibility import Visibility

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "meshes"
RASTERIZER, CAMERAS = get_rasterizer(), orbit(TEXTURE_VIEWS)
HELD_OUT = orbit([(22, 15), (67, -10), (112, 20), (157, 0), (202, 15), (247, -20), (292, 10), (337, 25)])


def knot() -> Mesh:
    """A tube of 72,000 faces along a (2, 3) torus knot: strong self-occlusion."""
    along, around = 1800, 20
    t = torch.arange(along, dtype=torch.float64) * (2 * math.pi / along)
    centre = torch.stack(
        ((2 + (3 * t).cos()) * (2 * t).cos(), (3 * t).sin(), (2 + (3 * t).cos()) * (2 * t).sin()), 1
    )
    ahead = torch.nn.functional.normalize(centre.roll(-1, 0) - centre.roll(1, 0), dim=1)
    side = torch.nn.functional.normalize(
        torch.linalg.cross(ahead, torch.tensor([[0.0, 1.0, 0.0]]).double()), dim=1
    )
    up = torch.linalg.cross(side, ahead)
    a = torch.arange(around, dtype=torch.float64) * (2 * math.pi / around)
    ring = a.cos()[None, :, None] * side[:, None] + a.sin()[None, :, None] * up[:, None]
    vertices = (centre[:, None] + 0.45 * ring).reshape(-1, 3)
    i, j = torch.meshgrid(torch.arange(along), torch.arange(around), indexing="ij")
    at = lambda p, q: (p % along) * around + q % around  # noqa: E731
    corners = (at(i, j), at(i, j + 1), at(i + 1, j + 1)), (at(i, j), at(i + 1, j + 1), at(i + 1, j))
    faces = torch.cat([torch.stack(face, -1).reshape(-1, 3) for face in corners])
    return Mesh((vertices / vertices.norm(dim=1).max()).float(), faces)


def slivers() -> Mesh:
    """300 triangles as long as the screen and a thousandth as wide."""
    generator = torch.Generator().manual_seed(0)
    one, wide, depth = (torch.rand(300, n, generator=generator) for n in (2, 1, 3))
    one = 1.2 * one - 0.6
    ends = [
        torch.cat((xy, 0.5 * depth[:, k : k + 1]), 1) for k, xy in enumerate((one, -one, 0.002 * wide - one))
    ]
    return Mesh(torch.cat(ends), torch.arange(300).unsqueeze(1) + torch.tensor([0, 300, 600]))


def milliseconds(work: Callable[[], object], repeats: int, device: str) -> float:
    """Median wall time after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def fidelity(mesh: Mesh, cameras, held_out, views: int, texels: int) -> tuple[float, float, float]:
    """Decibels at other views: over the object, over its seams, and over the object after refining."""
    pictures, truth = (photograph(mesh, rig, views, solid) for rig in (cameras, held_out))
    baked = bake(mesh, cameras, pictures, RASTERIZER, texels)
    size = (views, views)
    inside = torch.cat(
        [
            RASTERIZER.rasterize(mesh.vertices, mesh.faces, held_out[k : k + 1], size).mask
            for k in range(len(held_out))
        ]
    )
    shown = render_textured(mesh, baked.texture, held_out, size, background=MAGENTA, supersample=1)
    rim = render_textured(
        mesh, (~baked.islands)[None].float(), held_out, size, background=(0.0,), supersample=1
    )
    seam = inside & (rim[:, 0] > 1e-4)
    refined = refine_texture(mesh, cameras, pictures, baked.texture, RASTERIZER)
    again = render_textured(mesh, refined, held_out, size, background=MAGENTA, supersample=1)
    scores = ((shown, inside), (shown, seam), (again, inside))
    a, b, c = (psnr(x.movedim(1, -1)[where], truth.movedim(1, -1)[where]) for x, where in scores)
    return a, b, c


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="small images only")
    arguments = parser.parse_args()
    device, repeats = arguments.device, arguments.repeats
    cameras, held_out = CAMERAS.to(device), HELD_OUT.to(device)

    def report(what: str, work: Callable[[], object]) -> None:
        print(f"{what:<58}{milliseconds(work, repeats, device):10.2f} ms")

    mesh, thin = knot().to(device), slivers().to(device)
    for size in (96,) if arguments.quick else (96, 512, 1536):
        report(
            f"rasterize {len(mesh.faces)} faces, 10 views of {size} px",
            lambda size=size: RASTERIZER.rasterize(mesh.vertices, mesh.faces, cameras, (size, size)),
        )
    report(
        "rasterize 300 screen-long slivers, 1024 px",
        lambda: RASTERIZER.rasterize(thin.vertices, thin.faces, cameras[:1], (1024, 1024)),
    )
    spot = DATA / "spot.obj"
    name, shape = ("spot", ensure_uvs(load_mesh(spot))) if spot.is_file() else ("torus", torus())
    shape = shape.to(device)
    report(
        f"view matrix of {name}, 10 views of 96 px, depth buffers included",
        lambda: build_view_matrix(shape, cameras, 96, RASTERIZER),
    )
    visibility = Visibility.of(shape, cameras, RASTERIZER)
    values = torch.randn(10, 4, 96, 96, device=device)
    for compose, symmetric in (("best", False), ("mean", True)):
        matrix = build_view_matrix(
            shape, cameras, 96, RASTERIZER, compose, symmetric=symmetric, visibility=visibility
        )
        report(f"product, {compose}, {len(matrix.columns)} entries", lambda m=matrix: m.apply(values))
    views, texels = (256, 256) if arguments.quick else (768, 1024)
    pictures = photograph(shape, cameras, views, solid)
    report(
        f"bake {name}, {views} px into {texels} texels",
        lambda: bake(shape, cameras, pictures, RASTERIZER, texels),
    )
    bits = fidelity(shape, cameras, held_out, views, texels)
    print(f"fidelity of {name} at other views: {bits[0]:.1f} dB, seams {bits[1]:.1f}, refined {bits[2]:.1f}")


if __name__ == "__main__":
    main()
