"""What synchronising costs beside the network: 10 views of 96² × 4 latents against Stable Diffusion's UNet.

python tests/benchmarks/bench_core.py [--repeats 3] [--device cpu]

Claim: at most 2 % of a step. The UNet (860 M random weights, about 3.5 GB in float32) sees one view at 64²;
ten views at 96² are counted as 10 x 2.25 of that, without guidance: all of it in the network's favour.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import trimesh
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel

from syncsde3d.core import GaussianPath, couple
from syncsde3d.mesh.cameras import TEXTURE_VIEWS, orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.view_matrix import Compose, build_view_matrix
from syncsde3d.tasks.mesh_texture import MeshTextureTask

VIEWS, SIZE, CHANNELS, UNET_SIZE = 10, 96, 4, 64


def seconds(work: Callable[[], object], repeats: int, device: str) -> float:
    """Median wall time of ``work`` after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def stable_diffusion_unet(device: str) -> UNet2DConditionModel:
    """Version 1.5's architecture, filled with small numbers without running its initialisers."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=UNET_SIZE, cross_attention_dim=768, attention_head_dim=8)
    unet = unet.to_empty(device=device).eval()
    for parameter in unet.parameters():
        parameter.data.uniform_(-0.02, 0.02)
    return unet


def ball() -> Mesh:
    """A sphere of 20,480 faces: every view sees half of it."""
    shape = trimesh.creation.icosphere(subdivisions=5)
    return Mesh(torch.from_numpy(shape.vertices).float(), torch.from_numpy(shape.faces).long())


@torch.no_grad()
def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--device", default="cpu")
    options = arguments.parse_args()
    device, repeats = options.device, options.repeats

    unet = stable_diffusion_unet(device)
    weights = sum(p.numel() for p in unet.parameters())
    latent = torch.randn(1, CHANNELS, UNET_SIZE, UNET_SIZE, device=device)
    prompt, t = torch.randn(1, 77, 768, device=device), torch.tensor(500, device=device)
    one = seconds(lambda: unet(latent, t, prompt), repeats, device)
    network = one * VIEWS * (SIZE / UNET_SIZE) ** 2
    print(f"UNet, {weights / 1e6:.0f} M weights, one view at {UNET_SIZE}²: {one:.3f} s")
    print(f"UNet, {VIEWS} views at {SIZE}² (extrapolated): {network:.2f} s")
    del unet

    scheduler = DPMSolverMultistepScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    scheduler.set_timesteps(20)
    path = GaussianPath.from_scheduler(scheduler)
    y, output = torch.randn(2, VIEWS, CHANNELS, SIZE, SIZE, device=device)
    composed: tuple[Compose, ...] = ("best", "mean")
    for compose in composed:
        matrix = build_view_matrix(ball(), orbit(TEXTURE_VIEWS), SIZE, get_rasterizer(), compose=compose)
        task = MeshTextureTask(matrix.to(device))
        precision = task.precisions(y)

        def synchronise(task: MeshTextureTask = task, precision: torch.Tensor = precision) -> torch.Tensor:
            return couple(output, y, task.references(y), precision, path, 5, 3.0, "epsilon")

        sync = seconds(synchronise, 20 * repeats, device)
        product = seconds(lambda task=task: task.references(y), 20 * repeats, device)
        print(
            f"{compose}: {len(matrix.columns) / 1e3:.0f} k non-zeros, references {product * 1e3:.2f} ms, "
            f"references and coupling {sync * 1e3:.2f} ms, share of a step {sync / (sync + network):.4%}"
        )


if __name__ == "__main__":
    main()
