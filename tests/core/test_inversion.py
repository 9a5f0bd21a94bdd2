"""Inversion against diffusers' own, against the sampler that undoes it, and against the known solution."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from core.tasks import CASES, SD, Windows, mixture, unit_noise
from diffusers import DDIMInverseScheduler, DDIMScheduler

from syncsde3d.core import GaussianPath, NoiseSource, Sampler, Sync
from syncsde3d.core.inversion import hold, invert
from syncsde3d.models.closed_form import GaussianMixture

SOURCE = NoiseSource(0)
SHAPE = (2, 8)
SETTINGS: Any = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
ALONE = Sync("independent", share_noise=False)


def data(count: int = 1) -> torch.Tensor:
    return 0.6 * unit_noise(count, *SHAPE, seed=4)


def reconstruct(sampler, model, states):
    """Free samples of the same scheduler, begun in the inverted noise."""
    scale = float(getattr(sampler.scheduler, "init_noise_sigma", 1.0))
    if hasattr(sampler.scheduler, "sigmas"):
        fresh = copy.deepcopy(sampler.scheduler)
        fresh.set_timesteps(sampler.steps)
        scale = float(getattr(fresh, "init_noise_sigma", 1.0))
    count = states.shape[1]
    return sampler.lockstep(Windows(count, stride=8), model, states[0] / scale, SOURCE)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [7, 50])
def test_on_ddims_grid_it_is_diffusers_inversion(prediction, steps):
    model, x0 = mixture(1, SHAPE, prediction), data()
    sampler = Sampler(DDIMScheduler(**SD, **SETTINGS, prediction_type=prediction), steps)
    inverse = DDIMInverseScheduler(**SD, **SETTINGS, prediction_type=prediction)
    inverse.set_timesteps(steps)
    forward = copy.deepcopy(sampler.scheduler)
    forward.set_timesteps(steps)
    path = GaussianPath.from_scheduler(forward)
    assert inverse.timesteps.flip(0).tolist() == forward.timesteps.tolist()
    expected = [x0]
    for i, t in enumerate(inverse.timesteps):
        output = model.predict(expected[-1], path.step(steps - 1 - i), torch.tensor([0]), torch.tensor([0]))
        expected.append(inverse.step(output, int(t), expected[-1]).prev_sample)
    found = invert(sampler, model, x0)
    assert found.shape == (steps + 1, 1, *SHAPE)
    torch.testing.assert_close(found, torch.stack(expected[::-1]), rtol=1e-4, atol=1e-4)


def gaussian(prediction="epsilon") -> Any:
    """One component: the probability flow keeps every value's rank, so its solution is known."""
    mean, variance = torch.full((1, 1, *SHAPE), 0.3), torch.full((1, 1, *SHAPE), 0.25)
    return GaussianMixture(mean.double(), variance.double(), torch.ones(1), prediction)


@pytest.mark.parametrize("name", ["ddim", "dpm++", "unipc", "euler", "flow", "dpm++flow"])
def test_states_approach_the_probability_flow(name):
    """For N(m, v) the flow is ``x_t = a m + sqrt((a² v + s²) / v) (x_0 - m)``."""
    errors, x0 = [], data()
    case = CASES[name]
    for steps in (25, 50, 100):
        sampler = Sampler(case.scheduler, steps)
        states = invert(sampler, gaussian(case.prediction), x0)
        scheduler = copy.deepcopy(case.scheduler)
        scheduler.set_timesteps(steps)
        path = GaussianPath.from_scheduler(scheduler)
        a, s = (c.reshape(-1, 1, 1, 1) for c in (path.a, path.s))
        a_end, s_end = float(path.a_next[-1]), float(path.s_next[-1])
        spread = (a**2 * 0.25 + s**2).sqrt() / (a_end**2 * 0.25 + s_end**2) ** 0.5
        exact = a * 0.3 + spread * (x0 - a_end * 0.3)
        errors.append(float(((states[:-1] - exact) / (a**2 + s**2).sqrt()).pow(2).mean().sqrt()))
        assert torch.equal(states[-1], x0)
    assert errors[0] < 0.15
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    # log-SNR has no end at the clean one, where schedulers' grids are coarse: not quite 1 yet.
    assert (orders > 0.5).all(), (errors, orders)
    assert (orders < 1.3).all(), (errors, orders)


@pytest.mark.parametrize("name", ["ddim", "dpm++", "euler"])
def test_the_reconstruction_error_falls_with_the_steps(name):
    case, errors = CASES[name], []
    for steps in (20, 40, 80):
        sampler = Sampler(case.scheduler, steps, ALONE)
        states = invert(sampler, gaussian(case.prediction), data())
        errors.append(float((reconstruct(sampler, gaussian(case.prediction), states) - data()).abs().mean()))
    assert errors[0] < 0.1
    order = np.log2(errors[0] / errors[2]) / 2
    assert order == pytest.approx(1.2 if name == "dpm++" else 1, abs=0.15), errors


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_refining_reaches_the_exact_inverse_of_ddim(prediction):
    model, x0 = mixture(2, SHAPE, prediction, scale=0.3), data(2)
    sampler = Sampler(DDIMScheduler(**SD, **SETTINGS, prediction_type=prediction), 30, ALONE)
    gaps = []
    for refine in (0, 1, 12):
        states = invert(sampler, model, x0, patches=(0, 1), refine=refine)
        gaps.append(float((reconstruct(sampler, model, states) - x0).abs().mean()))
    assert gaps[1] < 0.2 * gaps[0]
    assert gaps[2] < 1e-4


def test_every_patch_has_its_own_condition_and_max_batch_changes_nothing():
    model, x0 = mixture(3, SHAPE), data(2)
    whole = invert(Sampler(CASES["ddim"].scheduler, 5), model, x0, patches=(2, 0))
    split = invert(Sampler(CASES["ddim"].scheduler, 5, max_batch=1), model, x0, patches=(2, 0))
    torch.testing.assert_close(whole, split, rtol=1e-9, atol=1e-9)
    alone = invert(Sampler(CASES["ddim"].scheduler, 5), model, x0[1:])
    torch.testing.assert_close(whole[:, 1:], alone, rtol=1e-9, atol=1e-9)
    assert (invert(Sampler(CASES["ddim"].scheduler, 5), model, x0[:1]) - whole[:, :1]).abs().max() > 0.01


def test_the_scheduler_is_not_touched_and_eta_plays_no_part():
    scheduler = DDIMScheduler(**SD, **SETTINGS)
    states = [invert(Sampler(scheduler, 5, eta=eta), mixture(1, SHAPE), data()) for eta in (0.0, 1.0)]
    assert torch.equal(*states)
    assert scheduler.num_inference_steps is None


def test_what_is_known_is_held():
    y, patches = unit_noise(3, *SHAPE), torch.tensor([4, 0, 2])
    known = {0: unit_noise(6, *SHAPE, seed=1).float(), 9: y}
    held = hold(y, patches, 3, known)
    assert torch.equal(held[1], known[0][3].double())
    assert torch.equal(held[[0, 2]], y[[0, 2]])
    assert hold(y, patches[:1], 3, known) is y


def test_errors_name_the_argument():
    sampler = Sampler(CASES["ddim"].scheduler, 5)
    with pytest.raises(ValueError, match="patches: expected 2, one for each clean state, got 1"):
        invert(sampler, mixture(1, SHAPE), data(2))
    with pytest.raises(ValueError, match="refine: expected at least 0, got -1"):
        invert(sampler, mixture(1, SHAPE), data(), refine=-1)
