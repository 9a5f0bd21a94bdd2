"""The coupling against the paper's equations and the released update, written out by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from core.tasks import CASES, SD, Pair, Windows, mixture, unit_noise
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from torch.nn.functional import conv1d

from syncsde3d.core import GaussianPath, NoiseSource, Sampler, Sync, couple, from_x0
from syncsde3d.core.coupling import adopt


def paper_ddim(prediction="epsilon", **settings):
    """The release's setting of DDIM for Stable Diffusion."""
    fixed = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    return DDIMScheduler(**SD, **fixed, prediction_type=prediction, **settings)


@dataclass
class RandomNet:
    """Two random convolutions, told the patch and the timestep."""

    prediction: str
    guidance_scale: float = 1.0

    def __post_init__(self):
        generator = torch.Generator().manual_seed(5)
        self.first = torch.randn(8, 3, 3, generator=generator) / 3
        self.second = torch.randn(3, 8, 3, generator=generator) / 5

    def predict(self, y, step, patch, branch):
        hidden = conv1d(y, self.first, padding=1) + torch.sin(step.t / 100) + patch[:, None, None]
        return conv1d(torch.tanh(hidden), self.second, padding=1) + 0.5 * y


def released_run(net, task, noise, steps, inv_lambda, prediction):
    """Ordinary DDIM steps, each then corrected: y'_i -= gamma_t/lambda_t M (y_i - reference), y before it."""
    alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2, 0).tolist()
    times = [i * (1000 // steps) + 1 for i in range(steps)][::-1]
    y = noise
    for t in times:
        alpha, before = alphas[t], t - 1000 // steps
        alpha_next = alphas[before] if before >= 0 else alphas[0]
        out = net.predict(y, SimpleNamespace(t=torch.tensor(t)), torch.arange(task.count), None)
        if prediction == "v_prediction":
            out = alpha**0.5 * out + (1 - alpha) ** 0.5 * y
        x0 = (y - (1 - alpha) ** 0.5 * out) / alpha**0.5
        after = alpha_next**0.5 * x0 + (1 - alpha_next) ** 0.5 * out
        gamma = (alpha_next / alpha) ** 0.5 - ((1 - alpha_next) / (1 - alpha)) ** 0.5
        for i in range(1, task.count):  # the first trajectory is never corrected
            gap = y[i] - task.reference(i, dict(enumerate(y)))
            after[i] -= gamma * inv_lambda * t / times[0] * task.precision(i) * gap
        y = after
    return y


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("steps", "reach"), [(50, 1), (30, 1), (20, 3)])
def test_the_explicit_rule_is_the_released_update(prediction, steps, reach):
    task, net = Windows(count=5, reach=reach), RandomNet(prediction)
    noise = unit_noise(5, 3, 8).float()
    sampler = Sampler(paper_ddim(prediction), steps, Sync(saturate=False, share_noise=False))
    ours = sampler.lockstep(task, net, noise, NoiseSource(0))
    released = released_run(net, task, noise, steps, 5.0, prediction)
    assert released.abs().max() > 0.5  # the random network leads somewhere
    torch.testing.assert_close(ours, released, rtol=1e-5, atol=1e-5 * float(released.abs().max()))
    alone = Sampler(paper_ddim(prediction), steps, Sync("independent", share_noise=False))
    assert (alone.lockstep(task, net, noise, NoiseSource(0)) - ours).abs().max() > 0.1


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_one_ddim_step_is_equation_7(prediction):
    """y' = sqrt(a'/a) y - sqrt(a') (...) eps - gamma/lambda M (y - reference), in the paper's own letters."""
    scheduler = paper_ddim(prediction)
    scheduler.set_timesteps(50)
    path = GaussianPath.from_scheduler(scheduler)
    y, reference, x0 = unit_noise(3, 2, 4)
    m = torch.rand(2, 4, dtype=torch.float64)
    alphas = scheduler.alphas_cumprod.double().tolist()
    for index in (0, 20, 48):
        t = int(path.timesteps[index])
        alpha, alpha_next = alphas[t], alphas[t - 20]
        step = path.step(index)
        eps = (y - alpha**0.5 * x0) / (1 - alpha) ** 0.5
        output = couple(
            from_x0(x0, y, step, prediction), y, reference, m, path, index, 2.5, prediction, False
        )
        ours = scheduler.step(output, path.timesteps[index], y).prev_sample
        gamma = (alpha_next / alpha) ** 0.5 - ((1 - alpha_next) / (1 - alpha)) ** 0.5
        mean = (alpha_next / alpha) ** 0.5 * y - (1 - alpha) ** 0.5 * gamma * eps
        torch.testing.assert_close(ours, mean - gamma * 2.5 * m * (y - reference), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_first_step_moves_by_kappa_towards_the_reference(name, saturate):
    """Whatever the scheduler and its output type; Euler's state is sigma-scaled, and so is its reference."""
    case = CASES[name]
    scheduler = copy.deepcopy(case.scheduler)
    scheduler.set_timesteps(8 if name == "lcm" else 40)
    path = GaussianPath.from_scheduler(scheduler, case.eta)
    index = 1 if path.step(0).is_noise else 0
    if index:  # single-step schedulers and fresh multistep ones can begin anywhere
        scheduler._step_index = index
    y, reference, output = unit_noise(3, 2, 4) * float(path.s[index])
    m = torch.linspace(0, 1, 4, dtype=torch.float64)
    strength = 1.5
    coupled = couple(output, y, reference, m, path, index, strength, case.prediction, saturate)  # type: ignore

    def after(out):
        again = copy.deepcopy(scheduler)
        extras: dict[str, Any] = {"eta": case.eta} if case.eta else {}
        if case.random:
            extras["generator"] = torch.Generator().manual_seed(3)
        again.is_scale_input_called = True
        return again.step(out, path.timesteps[index], y, **extras).prev_sample

    pull = path.gamma(index) * strength * m
    kappa = 1 - torch.exp(-pull) if saturate else pull
    torch.testing.assert_close(
        after(coupled) - after(output), -kappa * (y - reference), rtol=1e-3, atol=1e-5 * float(path.s[index])
    )


@pytest.mark.parametrize("index", [0, 10])
def test_nothing_is_shifted_without_strength_precision_or_signal(index):
    scheduler = CASES["flow"].scheduler
    scheduler.set_timesteps(20)
    path = GaussianPath.from_scheduler(scheduler)
    y, reference, output = unit_noise(3, 2, 4)
    ones, zeros = torch.ones(()), torch.zeros(())
    assert couple(output, y, reference, ones, path, index, 0.0, "flow_prediction") is output
    assert torch.equal(couple(output, y, reference, zeros, path, index, 5.0, "flow_prediction"), output)
    shifted = couple(output, y, reference, ones, path, index, 5.0, "flow_prediction")
    assert (shifted is output) == (index == 0)  # the first state of a flow is noise alone
    assert math.isinf(path.gamma(0))


def test_adopting_takes_values_over_unmixed():
    y, reference = unit_noise(2, 6)
    m = torch.tensor([0.0, 0.1, 1.0, 0.0, 0.5, 0.0])
    expected = torch.stack([y[0], reference[1], reference[2], y[3], reference[4], y[5]])
    assert torch.equal(adopt(y, reference, m), expected)


KINDS = {
    "ddim": (DDIMScheduler, {"clip_sample": False}, 0.0),
    "ddim-eta": (DDIMScheduler, {"clip_sample": False}, 0.7),
    "ddpm": (DDPMScheduler, {"clip_sample": False}, 0.0),
    "lcm": (LCMScheduler, {}, 0.0),
    "dpm++": (DPMSolverMultistepScheduler, {}, 0.0),
    "dpm++flow": (DPMSolverMultistepScheduler, {"use_flow_sigmas": True}, 0.0),
    "unipc": (UniPCMultistepScheduler, {}, 0.0),
    "unipc-flow": (UniPCMultistepScheduler, {"use_flow_sigmas": True}, 0.0),
    "euler": (EulerDiscreteScheduler, {}, 0.0),
}


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_every_output_type_gives_the_same_trajectory(name, saturate):
    kind, settings, eta = KINDS[name]
    flow = "use_flow_sigmas" in settings
    task, noise = Windows(count=4), unit_noise(4, 2, 8)
    results = []
    for prediction in ("epsilon", "sample", "flow_prediction" if flow else "v_prediction"):
        scheduler = kind(**SD, **settings, prediction_type=prediction)
        sampler = Sampler(scheduler, 12, Sync(saturate=saturate, inv_lambda=1.0), eta=eta)
        model = replace(mixture(4, (2, 8)), prediction=prediction)
        results.append(sampler.lockstep(task, model, noise, NoiseSource(1)))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-3, atol=1e-3)


def test_the_denoiser_must_predict_what_the_scheduler_steps_with():
    sampler = Sampler(paper_ddim("v_prediction"), 5)
    with pytest.raises(ValueError, match="prediction: .*'v_prediction'.*'epsilon'"):
        sampler.lockstep(Pair(), mixture(2, (3,)), unit_noise(2, 3), NoiseSource(0))
