"""The path read off each scheduler, measured on the scheduler's own step."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from core.tasks import CASES, SD, unit_noise
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from hypothesis import given
from hypothesis import strategies as st

from syncsde3d.core import GaussianPath, Step, Sync, from_x0, shift_noise, to_x0

COSINE = {"beta_schedule": "squaredcos_cap_v2"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
FREE = {"clip_sample": False}
Dpm, UniPc, Euler, Flow = (
    DPMSolverMultistepScheduler,
    UniPCMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
PREDICTIONS = ("epsilon", "sample", "v_prediction", "flow_prediction")

#: name -> (scheduler whose every step is a first-order one, steps, eta)
FIRST_ORDER = {
    "ddim leading": (DDIMScheduler(**SD, **FREE, set_alpha_to_one=False, steps_offset=1), 50, 0.0),
    "ddim 30 of 1000": (DDIMScheduler(**SD, **FREE), 30, 0.0),
    "ddim trailing": (DDIMScheduler(**SD, **FREE, timestep_spacing="trailing"), 30, 0.0),
    "ddim x0 cosine": (DDIMScheduler(**COSINE, **FREE, prediction_type="sample"), 20, 0.0),
    "ddim v": (DDIMScheduler(**SD, **FREE, prediction_type="v_prediction"), 20, 0.0),
    "ddim zero snr": (DDIMScheduler(**SD, **FREE, **ZERO_SNR), 20, 0.0),
    "ddim eta 0.5": (DDIMScheduler(**SD, **FREE), 20, 0.5),
    "ddim eta 1": (DDIMScheduler(**SD, **FREE), 20, 1.0),
    "ddpm": (DDPMScheduler(**SD, **FREE), 20, 0.0),
    "ddpm fixed_large": (DDPMScheduler(**SD, **FREE, variance_type="fixed_large"), 20, 0.0),
    "ddpm v trailing": (
        DDPMScheduler(**SD, **FREE, prediction_type="v_prediction", timestep_spacing="trailing"),
        30,
        0.0,
    ),
    "ddpm x0 native": (
        DDPMScheduler(50, beta_schedule="squaredcos_cap_v2", prediction_type="sample", **FREE),
        50,
        0.0,
    ),
    "lcm": (LCMScheduler(**SD), 8, 0.0),
    "lcm v": (LCMScheduler(**SD, prediction_type="v_prediction"), 4, 0.0),
    "dpm++": (Dpm(**SD, solver_order=1), 20, 0.0),
    "dpm++ karras": (Dpm(**SD, solver_order=1, use_karras_sigmas=True), 20, 0.0),
    "dpm++ sigma_min": (Dpm(**SD, solver_order=1, final_sigmas_type="sigma_min"), 20, 0.0),
    "dpm++ zero snr": (Dpm(**SD, **ZERO_SNR, solver_order=1), 20, 0.0),
    "dpm++ flow": (Dpm(**FLOW, solver_order=1, flow_shift=3.0), 20, 0.0),
    "dpm++ sde": (Dpm(**SD, solver_order=1, algorithm_type="sde-dpmsolver++"), 20, 0.0),
    "dpm++ sde flow": (Dpm(**FLOW, solver_order=1, algorithm_type="sde-dpmsolver++"), 20, 0.0),
    "unipc": (UniPc(**SD, solver_order=1, disable_corrector=list(range(20))), 20, 0.0),
    "unipc flow": (UniPc(**FLOW, solver_order=1, disable_corrector=list(range(20))), 20, 0.0),
    "euler": (Euler(**SD), 20, 0.0),
    "euler v": (Euler(**SD, prediction_type="v_prediction", timestep_spacing="trailing"), 20, 0.0),
    "euler x0": (Euler(**SD, prediction_type="sample"), 20, 0.0),
    "flow": (Flow(shift=3.0), 20, 0.0),
    "flow stochastic": (Flow(stochastic_sampling=True), 20, 0.0),
}


def take_step(scheduler, output, path, index, state, eta):
    """The state after one step of a copy of the scheduler, with noise from a fixed seed."""
    again = copy.deepcopy(scheduler)
    extras = {"eta": eta} if eta else {}
    if not isinstance(scheduler, UniPc):
        extras["generator"] = torch.Generator().manual_seed(7)
    if hasattr(again, "is_scale_input_called"):
        again.is_scale_input_called = True
    if hasattr(again, "_step_index"):
        again._step_index = index
    return again.step(output, path.timesteps[index], state, **extras).prev_sample


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_a_shift_of_the_noise_reaches_the_next_state_times_gamma_s(name):
    scheduler, steps, eta = FIRST_ORDER[name]
    scheduler.set_timesteps(steps)
    path = GaussianPath.from_scheduler(scheduler, eta)
    prediction = getattr(scheduler.config, "prediction_type", "flow_prediction")
    x0, eps, delta = unit_noise(3, 1, 2, 5)
    assert len(path) == steps
    for index in range(steps):
        step, a, s = path.step(index), float(path.a[index]), float(path.s[index])
        if step.is_noise:
            assert path.gamma(index) > 20  # no weight could survive that, and the shift means nothing
            continue
        state = a * x0 + s * eps
        inputs = float(path.scale[index]) * state
        output = from_x0(x0, inputs, step, prediction)
        before = take_step(scheduler, output, path, index, state, eta)
        after = take_step(scheduler, shift_noise(output, delta, step, prediction), path, index, state, eta)
        expected = -path.gamma(index) * s * delta
        torch.testing.assert_close(after - before, expected, rtol=2e-4, atol=2e-6 * max(1.0, s))
        assert path.gamma(index) >= 0


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_a_step_with_the_true_estimate_lands_on_the_path(name):
    scheduler, steps, eta = FIRST_ORDER[name]
    scheduler.set_timesteps(steps)
    path = GaussianPath.from_scheduler(scheduler, eta)
    prediction = getattr(scheduler.config, "prediction_type", "flow_prediction")
    x0, eps = unit_noise(2, 1, 2, 5)
    for index in range(steps):
        a, s, step = float(path.a[index]), float(path.s[index]), path.step(index)
        if step.is_noise and prediction == "epsilon":
            continue  # x0 cannot be told from the noise
        state = a * x0 + s * eps
        output = from_x0(x0, float(path.scale[index]) * state, step, prediction)
        after = take_step(scheduler, output, path, index, state, eta)
        mean = float(path.a_next[index]) * x0 + float(path.kept[index]) * eps
        fresh = math.sqrt(max(0.0, float(path.s_next[index]) ** 2 - float(path.kept[index]) ** 2))
        if name == "ddpm fixed_large" and fresh > 0:  # same mean, more noise
            fresh = math.sqrt(1 - (a / float(path.a_next[index])) ** 2)
        if fresh > 1e-4:
            single = isinstance(scheduler, Dpm | Flow)  # these draw in float32
            dtype = torch.float32 if single else torch.float64
            mean += fresh * torch.randn(1, 2, 5, generator=torch.Generator().manual_seed(7), dtype=dtype)
        torch.testing.assert_close(after, mean, rtol=1e-4, atol=1e-4 * max(1.0, s / 10))


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if not case.single])
def test_multistep_schedulers_answer_alike_on_their_first_step(name):
    case = CASES[name]
    case.scheduler.set_timesteps(20)
    path = GaussianPath.from_scheduler(case.scheduler)
    state, output, delta = unit_noise(3, 1, 2, 5)
    step = path.step(0)
    before = take_step(case.scheduler, output, path, 0, state, 0.0)
    shifted = shift_noise(output, delta, step, case.prediction)
    after = take_step(case.scheduler, shifted, path, 0, state, 0.0)
    expected = -path.gamma(0) * float(path.s[0]) * delta
    torch.testing.assert_close(after - before, expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_coefficients_are_those_of_the_schedulers_own_noising(name):
    scheduler, steps, eta = FIRST_ORDER[name]
    scheduler.set_timesteps(steps)
    path = GaussianPath.from_scheduler(scheduler, eta)
    x0, eps = unit_noise(2, 1, 2, 5)
    noising = scheduler.scale_noise if isinstance(scheduler, Flow) else scheduler.add_noise
    for index in range(0, steps, 3):
        time = path.timesteps[index : index + 1]
        noisy = noising(x0, time, eps) if isinstance(scheduler, Flow) else noising(x0, eps, time)
        expected = float(path.a[index]) * x0 + float(path.s[index]) * eps
        torch.testing.assert_close(noisy.double(), expected, rtol=1e-5, atol=1e-5)
        step, inputs = path.step(index), noisy
        if not isinstance(scheduler, Flow):
            inputs = copy.deepcopy(scheduler).scale_model_input(noisy, path.timesteps[index])
        torch.testing.assert_close(inputs.double(), step.a * x0 + step.s * eps, rtol=1e-5, atol=1e-5)
        assert (step.index, step.count, step.t_max) == (index, steps, float(path.timesteps.max()))


def test_integer_grids_of_ddim_aim_where_ddim_aims():
    scheduler = DDIMScheduler(**SD, **FREE, timestep_spacing="trailing")
    scheduler.set_timesteps(30)  # DDIM steps by 1000 // 30 = 33, its timesteps lie 33.3 apart
    path = GaussianPath.from_scheduler(scheduler)
    gap = (path.a_next[:-1] - path.a[1:]).abs()
    assert gap.max() > 1e-4  # so that aiming at the next timestep would be wrong
    assert path.a_next[-1] == 1.0


@pytest.mark.parametrize(("steps", "largest"), [(50, 0.62), (30, 1.01), (20, 1.57), (10, 3.13)])
def test_largest_kappa_of_the_paper_setting(steps, largest):
    scheduler = CASES["ddim"].scheduler
    scheduler.set_timesteps(steps)
    path, sync = GaussianPath.from_scheduler(scheduler), Sync(saturate=False)
    kappa = max(path.gamma(i) * sync.strength(path, i) for i in range(steps))
    assert kappa == pytest.approx(largest, abs=0.006)


@pytest.mark.parametrize(("steps", "first"), [(20, (5.8, 3.0, 2.0)), (50, (5.4, 2.7, 1.8))])
def test_kappa_on_a_zero_terminal_snr_schedule(steps, first):
    scheduler = DDIMScheduler(**SD, **FREE, **ZERO_SNR)
    scheduler.set_timesteps(steps)
    path, sync = GaussianPath.from_scheduler(scheduler), Sync(saturate=False)
    assert path.step(0).a == 0
    assert path.gamma(0) == math.inf
    kappa = [path.gamma(i) * sync.strength(path, i) for i in (1, 2, 3)]
    assert kappa == pytest.approx(first, abs=0.06)


def test_ancestral_steps_have_nearly_twice_the_coefficient_of_ddim():
    ddim = CASES["ddim"].scheduler
    ddpm = DDPMScheduler(**SD, **FREE, timestep_spacing="leading", steps_offset=1)
    ddim.set_timesteps(50)
    ddpm.set_timesteps(50)
    gamma, ancestral = map(GaussianPath.from_scheduler, (ddim, ddpm))
    ratio = [ancestral.gamma(i) / gamma.gamma(i) for i in range(40)]
    assert 1.88 < min(ratio) < max(ratio) < 1.95


@pytest.mark.parametrize("prediction", PREDICTIONS[:3])
@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler, Euler])
def test_x0_is_diffusers_pred_original_sample(kind, prediction):
    scheduler = kind(**SD, prediction_type=prediction, **({} if kind is Euler else FREE))
    scheduler.set_timesteps(10)
    path = GaussianPath.from_scheduler(scheduler)
    state, output = unit_noise(2, 1, 2, 5)
    for index in (0, 4, 9):
        inputs = scheduler.scale_model_input(state, path.timesteps[index])
        if hasattr(scheduler, "_step_index"):
            scheduler._step_index = index
            inputs = scheduler.scale_model_input(state, path.timesteps[index])
        theirs = scheduler.step(output, path.timesteps[index], state).pred_original_sample
        ours = to_x0(output, inputs, path.step(index), prediction)
        torch.testing.assert_close(ours, theirs.double(), rtol=1e-5, atol=1e-4)


def test_x0_of_a_flow_is_diffusers_own():
    scheduler = Dpm(**FLOW, flow_shift=3.0)
    scheduler.set_timesteps(10)
    path = GaussianPath.from_scheduler(scheduler)
    state, output = unit_noise(2, 1, 2, 5)
    for index in (0, 4, 9):
        scheduler._step_index = index
        theirs = scheduler.convert_model_output(output, sample=state)
        ours = to_x0(output, state, path.step(index), "flow_prediction")
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def any_step(phase: float, prediction: str) -> Step:
    """A step with a and s on the circle (VP), or on the line a + s = 1 (flow)."""
    a, s = math.cos(phase), math.sin(phase)
    total = a + s if prediction == "flow_prediction" else 1.0
    return Step(0, 1, torch.tensor(500), a / total, s / total, 999.0)


@given(st.floats(0.01, 1.55), st.sampled_from(PREDICTIONS), st.integers(0, 99))
def test_conversions_invert_and_agree(phase, prediction, seed):
    step = any_step(phase, prediction)
    x0, eps, delta = unit_noise(3, 4, seed=seed)
    y = step.a * x0 + step.s * eps
    output = from_x0(x0, y, step, prediction)
    meaning = {
        "epsilon": eps,
        "sample": x0,
        "v_prediction": step.a * eps - step.s * x0,
        "flow_prediction": eps - x0,
    }
    torch.testing.assert_close(output, meaning[prediction], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(to_x0(output, y, step, prediction), x0, rtol=1e-8, atol=1e-10)
    shifted = to_x0(shift_noise(output, delta, step, prediction), y, step, prediction)
    torch.testing.assert_close((y - step.a * shifted) / step.s, eps + delta, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "scheduler",
    [
        EulerAncestralDiscreteScheduler(),
        DDPMScheduler(variance_type="learned_range"),
        Dpm(algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"),
        Flow(invert_sigmas=True),
    ],
)
def test_other_schedulers_are_refused_by_name(scheduler):
    scheduler.set_timesteps(5)
    with pytest.raises(ValueError, match=f"scheduler: .*{type(scheduler).__name__}"):
        GaussianPath.from_scheduler(scheduler)


@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler, LCMScheduler, Dpm, UniPc, Euler, Flow])
def test_timesteps_must_have_been_set(kind):
    with pytest.raises(ValueError, match="call set_timesteps"):
        GaussianPath.from_scheduler(kind())
