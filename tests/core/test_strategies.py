"""The six strategies against loops written out by hand, on overlapping windows."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from core.tasks import CASES, SD, Pair, Windows, mixture, unit_noise
from diffusers import DDIMScheduler

from syncsde3d.core import NoiseSource, Sampler, Step, Strategy, Sync
from syncsde3d.core.strategies import agree, couple_outputs, couple_states
from syncsde3d.models.closed_form import StationaryGaussian, power_law

SOURCE = NoiseSource(0)
STEP = Step(3, 10, torch.tensor(500), 0.6, 0.8, 999.0)


def mean_by_hand(values, task):
    """Every place of the wide signal in turn: the mean of all windows that see it."""
    wide: dict[int, list[torch.Tensor]] = {}
    for i in range(task.count):
        for p in range(task.width):
            wide.setdefault(i * task.stride + p, []).append(values[i, ..., p])
    out = values.clone()
    for i in range(task.count):
        for p in range(task.width):
            seen = wide[i * task.stride + p]
            out[i, ..., p] = sum(seen) / len(seen)
    return out


def best_by_hand(values, task):
    """Every place in turn: the value of the window whose centre is nearest."""
    out = values.clone()
    for i in range(task.count):
        for p in range(task.width):
            place = i * task.stride + p
            distance = [abs(place - (j * task.stride + (task.width - 1) / 2)) for j in range(task.count)]
            j = distance.index(min(distance))
            out[i, ..., p] = values[j, ..., place - j * task.stride]
    return out


def by_hand(strategy, task, model, noise, steps):
    """DDIM for every window, made to agree in one place of the loop."""
    alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2, 0).tolist()
    stride, y = 1000 // steps, noise
    for index, t in enumerate(range(1000 - stride, -1, -stride)):
        alpha, alpha_next = alphas[t], alphas[t - stride] if t >= stride else 1.0
        a, s = alpha**0.5, (1 - alpha) ** 0.5
        step = Step(index, steps, torch.tensor(t), a, s, 1000.0 - stride)
        eps = model.predict(y, step, torch.arange(task.count), torch.zeros(task.count))
        if model.prediction == "v_prediction":
            eps = a * eps + s * y
        if strategy == "visual_anagrams":
            eps = mean_by_hand(eps, task)
        x0 = (y - s * eps) / a
        if strategy == "synctweedies":
            x0 = mean_by_hand(x0, task)
        if strategy == "consensus":
            x0 = best_by_hand(x0, task)
        eps = (y - a * x0) / s
        y = alpha_next**0.5 * x0 + (1 - alpha_next) ** 0.5 * eps
        if strategy == "multidiffusion":
            y = mean_by_hand(y, task)
    return y


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("strategy", [s for s in get_args(Strategy) if s != "syncsde"])
def test_a_whole_run_is_the_loop_written_by_hand(strategy, prediction):
    task, model, noise = Windows(4), mixture(4, (2, 8), prediction), unit_noise(4, 2, 8)
    scheduler = DDIMScheduler(**SD, clip_sample=False, prediction_type=prediction)
    ours = Sampler(scheduler, 10, Sync(strategy, share_noise=False)).lockstep(task, model, noise, SOURCE)
    expected = by_hand(strategy, task, model, noise, 10)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    if strategy != "independent":
        assert (ours - by_hand("independent", task, model, noise, 10)).abs().max() > 0.1


@pytest.mark.parametrize("strategy", ["synctweedies", "consensus", "multidiffusion"])
@pytest.mark.parametrize("name", CASES)
def test_windows_that_agree_on_the_last_estimate_agree_in_the_end(name, strategy):
    """Every scheduler ends on its last x0, or on states that were averaged."""
    case, task = CASES[name], Windows(4)
    sampler = Sampler(case.scheduler, 6, Sync(strategy), case.eta)
    y = sampler.lockstep(task, mixture(4, (2, 8), case.prediction), unit_noise(4, 2, 8), SOURCE)
    gap = (y - mean_by_hand(y, task)).abs().max()
    last_is_x0 = name not in ("ddim",)  # set_alpha_to_one=False stops at t = 0 with a little noise left
    assert gap < (1e-4 if last_is_x0 else 0.1)


def test_agreement_leaves_lonely_places_alone():
    class Loud(Windows):
        def agree(self, values, how):
            agreed, mask = super().agree(values, how)
            return torch.where(mask, agreed, torch.nan), mask

    task, values = Loud(3), unit_noise(3, 2, 8)
    for how, by in (("mean", mean_by_hand), ("best", best_by_hand)):
        agreed = agree(task, values, how)
        torch.testing.assert_close(agreed, by(values, task))
        assert torch.equal(agreed[0, :, :2], values[0, :, :2])  # only the first window sees the first places
        assert torch.equal(agreed[2, :, -2:], values[2, :, -2:])


def test_consensus_takes_the_best_and_tweedies_the_mean():
    y, x0 = unit_noise(2, 2, 3)
    best = couple_outputs("consensus", Pair(), x0, y, STEP, "sample")
    mean = couple_outputs("synctweedies", Pair(), x0, y, STEP, "sample")
    assert torch.equal(best, x0[1].expand_as(x0))
    torch.testing.assert_close(mean, x0.mean(0).expand_as(x0))


def test_anagrams_average_the_noise_and_not_the_raw_outputs():
    """Where inputs differ, averaging v would mix in the inputs themselves."""
    y, v = unit_noise(2, 2, 3)
    eps = STEP.a * v + STEP.s * y
    out = couple_outputs("visual_anagrams", Pair(), v, y, STEP, "v_prediction")
    torch.testing.assert_close(STEP.a * out + STEP.s * y, eps.mean(0).expand_as(eps))
    assert (out - v.mean(0)).abs().max() > 0.1


def test_only_multidiffusion_touches_the_states():
    y = unit_noise(2, 3)
    for strategy in get_args(Strategy):
        after = couple_states(strategy, Pair(), y)
        assert (after is y) == (strategy != "multidiffusion")


def test_nothing_is_estimated_from_noise_alone():
    y, output = unit_noise(2, 2, 3)
    noise = Step(0, 10, torch.tensor(999), 1e-5, 1.0, 999.0)
    for strategy in ("consensus", "synctweedies", "visual_anagrams"):
        assert couple_outputs(strategy, Pair(), output, y, noise, "epsilon") is output


def wide_model(count: int, prediction: str = "epsilon") -> StationaryGaussian:
    """Each window of an image of natural-looking statistics."""
    spectrum = power_law(4, 16, slope=2.0, deviation=0.5)[None].double()
    mean, basis = torch.zeros(count, 1, 4, 16, dtype=torch.float64), torch.eye(1, dtype=torch.float64)
    return StationaryGaussian(mean, spectrum, basis, prediction=prediction)  # pyright: ignore[reportArgumentType]


def gap_and_deviation(name: str, sync: Sync, steps: int = 20) -> tuple[float, float]:
    """Mean difference between neighbours where they overlap; deviation of the pixels."""
    case, task = CASES[name], Windows(7, width=16, stride=4)
    sampler, noise = Sampler(case.scheduler, steps, sync, case.eta), unit_noise(7, 1, 4, 16)
    y = sampler.lockstep(task, wide_model(7, case.prediction), noise, SOURCE)
    return float((y[1:, ..., :-4] - y[:-1, ..., 4:]).abs().mean()), float(y.std())


@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpm++", "unipc", "euler", "flow"])
def test_synchronised_windows_join_and_keep_their_contrast(name):
    apart, contrast = gap_and_deviation(name, Sync("independent", share_noise=False))
    shared, _ = gap_and_deviation(name, Sync("independent"))
    joined, kept = gap_and_deviation(name, Sync())
    assert joined < 0.25 * apart
    assert joined < 0.65 * shared  # the coupling does more than the common noise
    assert kept == pytest.approx(contrast, rel=0.3)


@pytest.mark.parametrize("name", ["ddim", "euler", "flow"])
def test_windows_join_better_the_harder_they_are_tied(name):
    ties = [Sync(inv_lambda=0.0), Sync(inv_lambda=1.0), Sync(), Sync(ramp="constant")]
    gaps = [gap_and_deviation(name, sync)[0] for sync in ties]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.35 * gaps[0]


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("name", ["ddim", "euler", "flow"])
def test_no_strength_is_too_strong_for_a_step_that_stands_alone(name, steps):
    for inv_lambda in (5.0, 100.0, 1e6):
        gap, deviation = gap_and_deviation(name, Sync(inv_lambda=inv_lambda, ramp="constant"), steps)
        assert gap < 0.1
        assert 0.2 < deviation < 0.5


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("name", ["dpm++", "dpm++flow", "unipc", "unipc-flow"])
def test_steps_that_extrapolate_are_stable_at_the_papers_strength(name, steps):
    gap, deviation = gap_and_deviation(name, Sync(), steps)
    assert gap < 0.1
    assert 0.3 < deviation < 0.5


@pytest.mark.parametrize("name", ["ddim-eta", "ddpm", "dpm++sde", "lcm"])
def test_steps_with_fresh_noise_are_stable_when_there_are_enough_of_them(name):
    """Fresh noise differs between patches: the pull must be soft compared with it."""
    gap, deviation = gap_and_deviation(name, Sync(), 40)
    assert gap < 0.25
    assert 0.2 < deviation < 0.5
