"""The sampler against an accurate solution of the coupled differential equation of Eq. 5-7.

With z = x/a and rho = s/a the probability flow is ``dz/d rho = eps(x)``; the conditional score adds
``(1/lambda_t) (z - z_reference) / rho`` to every trajectory but the first. The noise estimate of a scalar
mixture comes from its density's derivative here, not from the package.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from core.tasks import SD, Pair, unit_noise
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from scipy.integrate import solve_ivp
from scipy.interpolate import PchipInterpolator

from syncsde3d.core import NoiseSource, Sampler, Sync, protocols
from syncsde3d.models.closed_form import GaussianMixture

MODES = np.array([[-1.5, 1.5], [-1.0, 1.0]])  # [trajectory, mode], equally likely
VARIANCES = np.array([0.05, 0.2])  # of each trajectory's modes
NOISE = unit_noise(2, 256)  # many independent scalar pairs
STEPS = (10, 20, 30, 50)


def eps_of_density(x, a, s):
    """-s d/dx log p_t(x) for both trajectories [2, n]."""
    total = a**2 * VARIANCES[:, None] + s**2
    away = x[:, :, None] - a * MODES[:, None, :]
    power = -0.5 * away**2 / total[..., None]
    density = np.exp(power - power.max(-1, keepdims=True))
    return s * (density * away).sum(-1) / density.sum(-1) / total


def solve(log_rho, inv_lambda=5.0, t_begin=999.0):
    """States [2, n] at t = 0 of runs from NOISE at ``t_begin``; the ramp is t / t_begin."""

    def rate(t, flat):
        z, rho = flat.reshape(2, -1), np.exp(log_rho(t))
        a = 1 / np.sqrt(1 + rho**2)
        dz = rho * eps_of_density(a * z, a, rho * a)
        dz[1] += inv_lambda * t / t_begin * (z[1] - z[0])
        return (dz * log_rho(t, 1)).ravel()

    z0 = NOISE.numpy() * np.sqrt(1 + np.exp(2 * log_rho(t_begin)))
    out = solve_ivp(rate, (t_begin, 0.0), z0.ravel(), method="DOP853", rtol=1e-8, atol=1e-10)
    assert out.success
    return out.y[:, -1].reshape(2, -1) / np.sqrt(1 + np.exp(2 * log_rho(0.0)))


class Scalars(GaussianMixture):
    """The mixture, every number of a patch a sample of its own."""

    def posterior_mean(self, y, step, patch):
        each = super().posterior_mean(y.reshape(-1, 1), step, patch.repeat_interleave(y.shape[1]))
        return each.reshape(y.shape)


def model(prediction="epsilon"):
    variance = torch.from_numpy(VARIANCES).expand(2, 2)[..., None]
    return Scalars(
        torch.from_numpy(MODES.T.copy())[..., None], variance, torch.tensor([0.5, 0.5]), prediction
    )


def on_grid(kind, log_rho, **settings):
    """A scheduler whose n steps cut [999, 0] evenly, at real timesteps."""

    class Even(kind):
        def set_timesteps(self, n, device=None):
            super().set_timesteps(n, device=device)
            times = np.linspace(999, 0, n + 1)
            self.sigmas, self.timesteps = (
                torch.from_numpy(np.exp(log_rho(times))),
                torch.from_numpy(times[:-1]),
            )

    Even.__name__ = kind.__name__
    return Even(**settings)


def final(scheduler, steps, **sync):
    """Clean states [2, n] of a run from NOISE; Euler's states are z from first to last."""
    sampler = Sampler(scheduler, steps, Sync(share_noise=False, **sync))
    if not isinstance(scheduler, EulerDiscreteScheduler):
        return sampler.lockstep(Pair(), model(), NOISE, NoiseSource(0)).numpy()
    first, last = np.exp(even([999.0, 0.0]))
    z = sampler.lockstep(Pair(), model(), NOISE * (1 + first**-2) ** 0.5, NoiseSource(0)).numpy()
    return z / (1 + last**2) ** 0.5


def rms(values, expected):
    return float(np.sqrt(np.mean((values - expected) ** 2)))


def log_rho_of(scheduler):
    """The scheduler's own noise schedule, smooth between its integer timesteps."""
    alpha = scheduler.alphas_cumprod.double().numpy()
    return PchipInterpolator(np.arange(len(alpha)), 0.5 * np.log((1 - alpha) / alpha))


even = PchipInterpolator([0.0, 999.0], np.log([0.03, 14.0]))  # evenly in log-SNR


@cache
def truth_even():
    return solve(even)


@cache
def truth_cosine():
    return solve(log_rho_of(DDIMScheduler(beta_schedule="squaredcos_cap_v2")))


SIGMA_MIN = {"final_sigmas_type": "sigma_min"}


SECOND = {"dpm++": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}
FIRST = {"ddim": (DPMSolverMultistepScheduler, {"solver_order": 1}), "euler": (EulerDiscreteScheduler, {})}


def errors_and_order(scheduler, **sync):
    """RMS errors at 60, 120 and 240 steps, and the order at which the last two fall."""
    errors = [rms(final(scheduler, n, **sync), truth_even()) for n in (60, 120, 240)]
    return errors, float(np.log2(errors[1] / errors[2]))


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("name", FIRST)
def test_ddim_and_euler_converge_at_first_order(name, saturate):
    kind, settings = FIRST[name]
    errors, order = errors_and_order(on_grid(kind, even, **settings, **SIGMA_MIN), saturate=saturate)
    assert errors[0] < 0.03
    assert order == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", SECOND)
def test_multistep_schedulers_converge_at_second_order(name):
    """UniPC's corrector adds most of another one."""
    errors, order = errors_and_order(on_grid(SECOND[name], even, **SIGMA_MIN), saturate=False)
    assert errors[0] < 0.005
    assert 1.7 < order < (2.3 if name == "dpm++" else 3.3)


@pytest.mark.parametrize("name", SECOND)
def test_the_saturating_weight_costs_an_order_but_no_accuracy_in_practice(name):
    """It differs from 1/lambda by a share of the step; the error stays far below that of DDIM."""
    errors, order = errors_and_order(on_grid(SECOND[name], even, **SIGMA_MIN))
    ddim, _ = errors_and_order(on_grid(DPMSolverMultistepScheduler, even, solver_order=1, **SIGMA_MIN))
    assert order > 0.9
    assert all(mine < 0.6 * theirs for mine, theirs in zip(errors, ddim, strict=True))


def test_ddim_on_its_own_timesteps_converges_at_first_order():
    scheduler = DDIMScheduler(**SD, clip_sample=False, set_alpha_to_one=False, timestep_spacing="trailing")
    truth = solve(log_rho_of(scheduler))
    errors = [rms(final(scheduler, n), truth) for n in (50, 100, 200)]
    assert errors[-1] < 0.02
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.35)


#: RMS error of the second trajectory: explicit DDIM, saturated DDIM, explicit DPM++ 2M, saturated DPM++ 2M.
TABLE = {
    10: (2.76, 0.125, 19034, 0.056),
    20: (0.133, 0.058, 0.82, 0.017),
    30: (0.029, 0.037, 0.081, 0.009),
    50: (0.016, 0.022, 0.006, 0.004),
}


def cosine_errors(steps):
    """A row of the table as measured now."""
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2")
    row = []
    for order, saturate in ((1, False), (1, True), (2, False), (2, True)):
        settings = {
            "beta_schedule": "squaredcos_cap_v2",
            "solver_order": order,
            "euler_at_final": True,
            **SIGMA_MIN,
        }
        grid = on_grid(DPMSolverMultistepScheduler, log_rho_of(scheduler), **settings)
        row.append(rms(final(grid, steps, saturate=saturate)[1], truth_cosine()[1]))
    return row


def test_the_published_table_on_a_squared_cosine_schedule(monkeypatch):
    """With the shift at every step, even where there is no signal yet."""
    monkeypatch.setattr(protocols, "MIN_SIGNAL", 0.0)
    rows = {steps: cosine_errors(steps) for steps in STEPS}
    for steps, row in rows.items():
        assert all(0.5 < now / then < 2 for now, then in zip(row, TABLE[steps], strict=True)), (steps, row)
        assert np.argsort(row).tolist() == np.argsort(TABLE[steps]).tolist()
    assert rows[20][3] <= rows[50][1]  # saturated DPM++ 2M at 20 steps is as good as saturated DDIM at 50


def test_as_shipped_the_explicit_rule_does_not_blow_up():
    """Substituting the reference while there is no signal removes the first, largest overshoot."""
    rows = {steps: cosine_errors(steps) for steps in STEPS}
    for steps, row in rows.items():
        assert max(row) < 0.2
        assert row[1] < 2 * TABLE[steps][1]
        assert row[3] < 1.5 * TABLE[steps][3]
    assert rows[20][3] <= rows[50][1]


def zero_snr(kind, steps, saturate=True):
    """Final states on a schedule whose first state is noise alone."""
    fixed = {
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "prediction_type": "v_prediction",
    }
    scheduler = kind(**SD, **fixed, **({"clip_sample": False} if kind is DDIMScheduler else {}))
    sampler = Sampler(scheduler, steps, Sync(share_noise=False, saturate=saturate))
    return sampler.lockstep(Pair(), model("v_prediction"), NOISE, NoiseSource(0)).numpy()


@cache
def truth_zero_snr():
    return zero_snr(DDIMScheduler, 500)


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [(DDIMScheduler, 0.045), (DPMSolverMultistepScheduler, 0.035), (UniPCMultistepScheduler, 0.035)],
)
def test_zero_terminal_snr_runs_agree_with_a_finer_one(kind, tolerance, saturate):
    """gamma is infinite at the first step: there the second trajectory takes the first one's noise."""
    assert rms(zero_snr(kind, 50, saturate)[1], truth_zero_snr()[1]) < tolerance
