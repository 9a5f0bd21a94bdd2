"""The schedule of the strength and the weight of one step."""

from __future__ import annotations

import math

import pytest
import torch
from core.tasks import CASES
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from syncsde3d.core import GaussianPath, Sync, inv_lambda_t, weight

shares = st.floats(0.0, 1.0)
strengths = st.floats(0.0, 1e6)
gammas = st.floats(1e-9, 1e6)


def one(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@given(shares, strengths, gammas)
def test_the_saturating_weight_never_oversteps(m, strength, gamma):
    kappa = gamma * float(weight(one(m), strength, gamma))
    assert 0 <= kappa <= 1
    assert kappa <= gamma * strength * m * (1 + 1e-9) + 1e-300  # nor pulls harder than the paper
    if gamma * strength * m < 30:  # beyond this 1 - exp(-x) is 1 in float64
        assert kappa < 1


@given(shares, st.floats(1e-3, 10), st.floats(1e-9, 1e-5))
def test_small_steps_pull_like_the_paper(m, strength, gamma):
    expected = gamma * strength * m  # kappa -> gamma M / lambda
    assert gamma * float(weight(one(m), strength, gamma)) == pytest.approx(expected, rel=1e-4, abs=1e-300)


@given(shares, strengths, gammas)
def test_the_explicit_weight_is_the_papers(m, strength, gamma):
    assert float(weight(one(m), strength, gamma, saturate=False)) == m * strength


@given(shares, st.floats(0.01, 20), st.floats(1e-4, 100), st.integers(2, 5))
def test_the_saturating_pull_does_not_depend_on_how_a_step_is_cut(m, strength, gamma, cuts):
    """exp(-gamma M/lambda) is what a disagreement decays by: it multiplies over the parts of a step."""
    whole = 1 - gamma * float(weight(one(m), strength, gamma))
    part = 1 - gamma / cuts * float(weight(one(m), strength, gamma / cuts))
    assert whole == pytest.approx(part**cuts, rel=1e-6, abs=1e-12)


def test_graded_precision_stands_inside_the_exponential():
    m = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    expected = [(1 - math.exp(-2.0 * 3.0 * x)) / 2.0 for x in m.tolist()]
    torch.testing.assert_close(weight(m, 3.0, 2.0), torch.tensor(expected, dtype=torch.float64))


def test_an_infinite_gamma_is_an_error():
    with pytest.raises(ValueError, match="gamma: infinite"):
        weight(one(1.0), 5.0, math.inf)


@given(st.floats(0, 100), shares)
def test_ramps(inv_lambda, share):
    t, t_max = share * 981, 981.0
    assert inv_lambda_t(inv_lambda, t, t_max) == pytest.approx(inv_lambda * share)
    assert inv_lambda_t(inv_lambda, t, t_max, "constant") == inv_lambda
    squared = inv_lambda_t(inv_lambda, t, t_max, lambda x: x * x)
    assert squared == pytest.approx(inv_lambda * share**2)


def test_the_linear_ramp_starts_at_its_full_strength_and_ends_at_none():
    assert inv_lambda_t(5.0, 981, 981) == 5.0
    assert inv_lambda_t(5.0, 0, 981) == 0.0
    assert inv_lambda_t(5.0, 0, 0) == 0.0


def test_unknown_ramps_are_refused():
    with pytest.raises(ValueError, match="ramp: .*'cosine'"):
        inv_lambda_t(5.0, 1, 2, "cosine")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("field", "value"),
    [("strategy", "best"), ("inv_lambda", -1.0), ("inv_lambda", math.inf), ("inv_lambda", math.nan)]
    + [("ramp", "cosine"), ("sync_end", 0.0), ("sync_end", 1.1)],
)
def test_sync_names_the_setting_that_is_wrong(field, value):
    with pytest.raises(ValueError, match=f"{field}: expected"):
        Sync(**{field: value})


def path_of(name: str, steps: int) -> GaussianPath:
    CASES[name].scheduler.set_timesteps(steps)
    return GaussianPath.from_scheduler(CASES[name].scheduler)


def test_strength_of_a_run_is_the_papers_ramp():
    path = path_of("ddim", 50)
    assert path.times[0] == 981  # T of 50 steps of Stable Diffusion
    for index in (0, 10, 49):
        assert Sync(inv_lambda=3.0).strength(path, index) == pytest.approx(3.0 * path.times[index] / 981)


def test_patches_run_free_after_sync_end():
    path = path_of("ddim", 50)
    sync = Sync(sync_end=0.8)
    coupled = [t for i, t in enumerate(path.times) if sync.strength(path, i) > 0]
    assert coupled == [t for t in path.times if t > 200]
    assert len(coupled) < 50
    assert Sync(sync_end=0.8).strength(path_of("ddpm", 50), 39) == 0  # t = 200 itself


def test_sync_end_is_a_share_of_the_models_own_schedule():
    scheduler = DDPMScheduler(50, beta_schedule="squaredcos_cap_v2")
    scheduler.set_timesteps(50)
    path, sync = GaussianPath.from_scheduler(scheduler), Sync(sync_end=0.8)
    assert [t for i, t in enumerate(path.times) if sync.strength(path, i) > 0] == list(range(49, 10, -1))


def test_symmetric_strategies_have_no_strength_and_independent_has_none():
    path = path_of("flow", 10)
    assert Sync("synctweedies").strength(path, 5) == 1.0
    assert Sync("synctweedies", sync_end=0.2).strength(path, 9) == 0.0
    assert Sync("independent").strength(path, 0) == 0.0
