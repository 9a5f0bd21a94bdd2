"""Schedulers that clip or threshold x0: the estimate is clipped first, and shifted after."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from core.tasks import SD, Pair, Windows, mixture, unit_noise
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)

from syncsde3d.core import GaussianPath, NoiseSource, Sampler, Sync

COSINE = {"beta_schedule": "squaredcos_cap_v2"}
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
SOURCE, SHAPE, STEPS = NoiseSource(3), (3, 4, 4), 8

KINDS = {
    "ddpm thresholding": DDPMScheduler(**SD, **THRESHOLD, clip_sample=False),
    "ddpm thresholding cosine": DDPMScheduler(**COSINE, **THRESHOLD, timestep_spacing="trailing"),
    "ddpm clip": DDPMScheduler(**SD, clip_sample_range=0.8),
    "ddpm clip x0": DDPMScheduler(**COSINE, clip_sample_range=0.8, prediction_type="sample"),
    "ddpm clip v": DDPMScheduler(**SD, clip_sample_range=0.8, prediction_type="v_prediction"),
    "ddim thresholding": DDIMScheduler(**SD, **THRESHOLD, clip_sample=False),
    "ddim clip": DDIMScheduler(**SD, clip_sample_range=0.8),
    "lcm clip": LCMScheduler(**SD, clip_sample=True, clip_sample_range=0.8),
    "dpm++ thresholding": DPMSolverMultistepScheduler(**SD, **THRESHOLD),
    "dpm++ thresholding cosine": DPMSolverMultistepScheduler(**COSINE, **THRESHOLD),
    "unipc thresholding": UniPCMultistepScheduler(**SD, **THRESHOLD),
}


def loud(count, prediction):
    """A model whose estimates leave [-1, 1] often."""
    return replace(mixture(count, SHAPE, scale=2.0), prediction=prediction)


def diffusers_run(scheduler, model, noise, seen=None):
    """The plain loop; DDIM derives eps from the clipped x0, as DDPM and the solvers do by nature."""
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(STEPS)
    path, y = GaussianPath.from_scheduler(scheduler), noise
    extras = {"use_clipped_model_output": True} if isinstance(scheduler, DDIMScheduler) else {}
    if isinstance(scheduler, DDPMScheduler | LCMScheduler):
        extras["generator"] = SOURCE.stepping(0)
    for index, t in enumerate(scheduler.timesteps):
        output = model.predict(y, path.step(index), torch.tensor([0]), torch.tensor([0]))
        y = scheduler.step(output, t, y, **extras).prev_sample.to(y)
    return y


@pytest.mark.parametrize("name", KINDS)
def test_an_uncoupled_run_is_diffusers_own(name):
    scheduler = KINDS[name]
    model, noise = loud(1, scheduler.config.prediction_type), unit_noise(1, *SHAPE)
    ours = Sampler(scheduler, STEPS).lockstep(Windows(1), model, noise, SOURCE)
    expected = diffusers_run(scheduler, model, noise)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    free = copy.deepcopy(scheduler)
    free.register_to_config(
        thresholding=False, **({"clip_sample": False} if "clip_sample" in free.config else {})
    )
    assert (diffusers_run(free, model, noise) - expected).abs().max() > 0.1  # clipping does something


@pytest.mark.parametrize("name", [n for n in KINDS if "cosine" not in n and "x0" not in n])
def test_the_shift_is_applied_after_the_clip(name):
    """The second state is the clipped step of the uncoupled run, moved by kappa towards the reference."""
    scheduler = KINDS[name]
    model, noise = loud(2, scheduler.config.prediction_type), unit_noise(2, *SHAPE)
    first = {}

    def keep(label):
        return lambda i, n, y: first.setdefault(label, y)

    for sync in (Sync(share_noise=False), Sync(inv_lambda=0.0, share_noise=False)):
        sampler = Sampler(scheduler, STEPS, sync)
        sampler.lockstep(Pair(0.7), model, noise, SOURCE, on_step=keep(sync.inv_lambda))
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(STEPS)
    path = GaussianPath.from_scheduler(scheduler)
    kappa = 1 - torch.exp(torch.tensor(-path.gamma(0) * 5.0 * 0.7, dtype=torch.float64))
    assert torch.equal(first[5.0][0], first[0.0][0])
    expected = first[0.0][1] - kappa * (noise[1] - noise[0])
    torch.testing.assert_close(first[5.0][1], expected, rtol=2e-3, atol=2e-3)


def test_lockstep_and_stream_clip_alike():
    for name in ("ddpm thresholding", "dpm++ thresholding"):
        scheduler = KINDS[name]
        task, noise = Windows(4, width=4, stride=1), unit_noise(4, *SHAPE)
        sampler, model = Sampler(scheduler, STEPS), loud(4, "epsilon")
        together = sampler.lockstep(task, model, noise, SOURCE)
        alone = [t.result for t in sampler.stream(task, model, lambda i, noise=noise: noise[i], SOURCE)]
        torch.testing.assert_close(torch.stack(alone), together, rtol=1e-5, atol=1e-5)
