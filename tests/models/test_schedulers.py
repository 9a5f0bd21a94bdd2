"""Schedulers by name: as diffusers makes them of a model's own, and what does not fit is refused."""

from __future__ import annotations

import diffusers
import pytest
import torch

from syncsde3d.models.schedulers import SchedulerName, make_scheduler

LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dpm++", diffusers.DPMSolverMultistepScheduler),
        ("unipc", diffusers.UniPCMultistepScheduler),
        ("euler", diffusers.EulerDiscreteScheduler),
        ("ddim", diffusers.DDIMScheduler),
    ],
)
def test_timesteps_are_those_of_diffusers_own_conversion(name: SchedulerName, kind: type):
    trained = diffusers.PNDMScheduler(**LATENT, skip_prk_steps=True, steps_offset=1)  # Stable Diffusion 1.5's
    made, expected = make_scheduler(name, trained), kind.from_config(trained.config)  # pyright: ignore
    for scheduler in (made, expected):
        scheduler.set_timesteps(20)
    assert torch.equal(made.timesteps, expected.timesteps)


@pytest.mark.parametrize("name", ["ddim", "ddpm", "lcm"])
def test_latents_are_not_clipped(name: SchedulerName):
    assert make_scheduler(name, diffusers.DPMSolverMultistepScheduler(**LATENT)).config.clip_sample is False
    pixels = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=True)
    assert make_scheduler(name, pixels).config.clip_sample is True


def test_euler_is_refused_where_it_cannot_threshold():
    trained = diffusers.DDPMScheduler(thresholding=True)
    with pytest.raises(ValueError, match="scheduler: 'euler' cannot threshold"):
        make_scheduler("euler", trained)
    assert make_scheduler("dpm++", trained).config.thresholding
