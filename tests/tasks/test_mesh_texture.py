"""The texturing task: one patch is the plain pipeline, streaming is lockstep, the backdrop stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionControlNetPipeline
from tiny import tiny_stable_diffusion

from syncsde3d.core import NoiseSource, Sampler, Sync
from syncsde3d.mesh.cameras import orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.view_matrix import ViewMatrix, build_view_matrix
from syncsde3d.models.closed_form import StationaryGaussian, power_law
from syncsde3d.models.latent_diffusion import LatentDiffusion
from syncsde3d.models.schedulers import make_scheduler
from syncsde3d.tasks.mesh_texture import Backdrop, MeshTextureTask

VIEWS = [(0.0, 0.0), (40.0, 0.0), (80.0, 0.0), (20.0, 30.0)]
SIZE = 16


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=3, radius=1.0)
    return Mesh(torch.tensor(ball.vertices, dtype=torch.float32), torch.tensor(ball.faces))


def matrix(mesh: Mesh, count: int = len(VIEWS)) -> ViewMatrix:
    return build_view_matrix(mesh, orbit(VIEWS[:count]), SIZE, get_rasterizer())


def test_one_view_is_the_plain_pipeline(tmp_path: Path, sphere: Mesh):
    folder = tiny_stable_diffusion(tmp_path)
    model = LatentDiffusion.from_pretrained(str(folder))
    depth = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    source = NoiseSource(0, "one")
    noise = source.initial(0, (4, SIZE, SIZE))[None]
    prompt, negative = "a photo of a red boot", "blurry"
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        prompt,
        image=depth,
        negative_prompt=negative,
        latents=noise.clone(),
        num_inference_steps=5,
        guidance_scale=6.0,
        control_guidance_end=0.99,
        output_type="latent",
    ).images
    denoiser = model.condition([prompt], [negative], depth, 6.0)
    found = Sampler(make_scheduler("ddim", model.scheduler), steps=5).lockstep(
        MeshTextureTask(matrix(sphere, 1)), denoiser, noise, source
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def denoiser() -> StationaryGaussian:
    spectrum = power_law(SIZE, SIZE, 2.0, 0.5).expand(2, -1, -1)
    return StationaryGaussian(torch.zeros(len(VIEWS), 2, SIZE, SIZE), spectrum, torch.eye(2))


def test_streaming_the_views_is_lockstep(tmp_path: Path, sphere: Mesh):
    task, source = MeshTextureTask(matrix(sphere)), NoiseSource(1, "x")
    scheduler = make_scheduler(
        "dpm++", LatentDiffusion.from_pretrained(str(tiny_stable_diffusion(tmp_path))).scheduler
    )
    sampler = Sampler(scheduler, steps=6, sync=Sync(inv_lambda=2.0))
    noise = torch.stack([source.initial(i, (2, SIZE, SIZE)) for i in range(len(VIEWS))])
    together = sampler.lockstep(task, denoiser(), noise, source)
    one_by_one = [t.result for t in sampler.stream(task, denoiser(), lambda i: noise[i], source)]
    torch.testing.assert_close(torch.stack(one_by_one), together, atol=1e-5, rtol=1e-5)


def test_the_backdrop_arrives_clean(tmp_path: Path, sphere: Mesh):
    chain = matrix(sphere)
    pictures = torch.stack([torch.full((2, SIZE, SIZE), value) for value in (-5.0, 0.7)])
    clean = pictures[1].expand(len(VIEWS), -1, -1, -1)
    choice = torch.ones(20, len(VIEWS), dtype=torch.long)
    choice[:10] = 0  # another one first: only the last counts
    source = NoiseSource(2, "x")
    noise = source.initial(0, (2, SIZE, SIZE)).expand_as(clean)
    seen: list[torch.Tensor] = []
    backdrop = Backdrop(pictures, choice, noise, ~chain.fragments.mask)
    scheduler = LatentDiffusion.from_pretrained(str(tiny_stable_diffusion(tmp_path))).scheduler
    sampler = Sampler(make_scheduler("ddim", scheduler), steps=20)
    outside = backdrop.mask[:, None].expand_as(clean)
    sampler.lockstep(
        MeshTextureTask(chain, backdrop=backdrop),
        denoiser(),
        noise,
        source,
        on_step=lambda i, n, y: seen.append(y),
    )
    # Before its last step the state is a * clean + s * noise there, with the last timestep's small s.
    gap = (seen[-1] - clean)[outside].abs().mean()
    assert gap < 0.15
    free = sampler.lockstep(MeshTextureTask(chain), denoiser(), noise, source)
    assert (free - clean)[outside].abs().mean() > 2 * gap


def test_an_agreement_that_was_not_given_is_refused(sphere: Mesh):
    with pytest.raises(ValueError, match="mean"):
        MeshTextureTask(matrix(sphere)).agree(torch.zeros(len(VIEWS), 2, SIZE, SIZE), "mean")
