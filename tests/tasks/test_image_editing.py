"""Image editing: the source is held exactly, its background is kept, the region becomes the target."""

from __future__ import annotations

import copy

import pytest
import torch
from core.tasks import CASES, mixture, unit_noise
from tasks.by_hand import SOURCE, ddim, dpm, equation_7, explicit

from syncsde3d.core import Sampler, Sync
from syncsde3d.core.inversion import invert
from syncsde3d.models.closed_form import GaussianMixture
from syncsde3d.tasks.image_editing import ImageEditingTask

SIZE = 8
SHAPE = (2, SIZE, SIZE)
REGION = torch.zeros(SIZE, SIZE, dtype=torch.float64)
REGION[2:6, 2:6] = 1
SOFT = REGION.clone()
SOFT[5, 2:6] = 0.5


def prompts() -> GaussianMixture:
    """Source pictures are dark (-0.5), what the target prompt asks for is bright (+0.5)."""
    mean = torch.tensor([-0.5, 0.5, 0.5]).double().reshape(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    return GaussianMixture(mean, torch.full_like(mean, 0.16), torch.ones(1))


PICTURE = -0.5 + 0.4 * unit_noise(*SHAPE, seed=5)


def edit(sampler: Sampler, region=REGION, keep_layout=True, picture=PICTURE, model=None):
    """All three clean patches, and the task."""
    model = model or prompts()
    task = ImageEditingTask(invert(sampler, model, picture[None])[:, 0], region, keep_layout)
    return sampler.lockstep(task, model, unit_noise(3, *SHAPE), SOURCE), task


@pytest.mark.parametrize("name", ["ddim", "dpm++", "unipc", "euler", "flow"])
def test_the_source_takes_its_own_states_at_every_step(name):
    case, seen = CASES[name], []
    sampler = Sampler(case.scheduler, 8)
    model = mixture(3, SHAPE, case.prediction)
    states = invert(sampler, model, PICTURE[None])[:, 0]

    class Watched(ImageEditingTask):
        def impose(self, y, patches, path, index):
            seen.append(super().impose(y, patches, path, index)[0])
            return super().impose(y, patches, path, index)

    sampler.lockstep(Watched(states, REGION), model, unit_noise(3, *SHAPE), SOURCE)
    assert torch.equal(torch.stack(seen), states[:-1])
    assert torch.equal(states[-1], PICTURE)


@pytest.mark.parametrize("region", [REGION, SOFT])
def test_the_explicit_rule_is_equation_7(region):
    """The table: y^1 given, y^2 tied to it by B, y^3 to B y^1 + (1-B) y^2, begun in the source's x_T."""
    model, background = mixture(3, SHAPE), 1 - region
    found, task = edit(explicit(), region, keep_layout=False, model=model)
    noise = unit_noise(3, *SHAPE)
    noise[2] = task.states[0]
    rules = [
        lambda y: (y[0], background),
        lambda y: (background * y[0] + (1 - background) * y[1], torch.ones(())),
    ]
    expected = equation_7(model, noise, rules, given=task.states)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    apart = [lambda y: (y[0], torch.zeros(()))] * 2
    assert (equation_7(model, noise, apart, given=task.states) - found)[1:].abs().max() > 0.1


@pytest.mark.parametrize("keep_layout", [True, False])
def test_streaming_from_the_known_trajectory_is_lockstep(keep_layout):
    sampler, model = Sampler(dpm(), 8), prompts()
    together, task = edit(sampler, SOFT, keep_layout)
    noise = unit_noise(3, *SHAPE)
    earlier = [task.source]
    later = list(sampler.stream(task, model, lambda i: noise[i], SOURCE, earlier=earlier, first=1))
    assert [t.patch for t in later] == [1, 2]
    torch.testing.assert_close(torch.stack([t.result for t in later]), together[1:], rtol=1e-5, atol=1e-5)
    all_of_it = list(sampler.stream(task, model, lambda i: noise[i], SOURCE))
    assert torch.equal(all_of_it[2].states, later[1].states)


def test_no_strength_is_independent():
    runs = [edit(Sampler(dpm(), 8, sync))[0] for sync in (Sync(inv_lambda=0.0), Sync("independent"))]
    assert torch.equal(*runs)
    assert not torch.equal(edit(Sampler(dpm(), 8))[0], runs[0])


@pytest.mark.parametrize("share_noise", [True, False])
def test_what_trajectories_begin_in(share_noise):
    first = []

    def begins(keep_layout):
        sampler = Sampler(ddim(), 4, Sync(share_noise=share_noise))
        task = ImageEditingTask(invert(sampler, prompts(), PICTURE[None])[:, 0], REGION, keep_layout)
        noise = unit_noise(3, *SHAPE)
        stream = sampler.stream(task, prompts(), lambda i: noise[i], SOURCE)
        return task.states[0], torch.stack([t.states[0] for t in stream]), noise

    source, first, _ = begins(keep_layout=True)
    torch.testing.assert_close(first, source.expand_as(first))
    source, first, noise = begins(keep_layout=False)
    inside = REGION.bool().expand(SHAPE)
    assert torch.equal(first[1][inside], noise[1][inside])
    assert torch.equal(first[1][~inside], (source if share_noise else noise[1])[~inside])
    assert torch.equal(first[2][~inside], source[~inside])
    assert torch.equal(first[2][inside], (noise[1] if share_noise else source)[inside])


def test_an_edit_to_nothing_reconstructs_the_better_the_finer_the_steps():
    """The same prompt everywhere: only the inversion's error is left."""
    model, errors = prompts(), []
    same = GaussianMixture(model.mean[:, :1].expand(1, 3, *SHAPE), model.variance, model.weights)
    for steps in (20, 40, 80):
        y, _ = edit(Sampler(ddim(), steps), model=same)
        errors.append(float((y[2] - PICTURE).pow(2).mean().sqrt()))
    assert errors[0] < 0.1
    assert errors[0] > 1.7 * errors[1] > 1.7 * 1.7 * errors[2]


def test_the_background_is_kept_and_the_region_edited():
    outside = (REGION == 0).expand(SHAPE)
    free, _ = edit(Sampler(ddim(), 50, Sync("independent")))
    paper, task = edit(Sampler(ddim(), 50))
    strong, _ = edit(Sampler(ddim(), 50, Sync(inv_lambda=100.0, ramp="constant")))
    kept = [float((y[2] - PICTURE)[outside].pow(2).mean().sqrt()) for y in (free, paper, strong)]
    assert kept[0] > 0.8  # the target's brightness all over
    assert kept[1] < 0.5 * kept[0]
    assert kept[2] < 0.01
    for y in (paper, strong):  # by all of the way from -0.5 to +0.5
        assert float(task.assemble(y)[~outside].mean()) > 0.35


def test_errors_name_the_argument():
    states = unit_noise(6, *SHAPE)
    with pytest.raises(ValueError, match=r"region: expected \(8, 8\), got \(8, 9\)"):
        ImageEditingTask(states, torch.zeros(8, 9))
    with pytest.raises(ValueError, match="states: expected 8, got 6"):
        Sampler(copy.deepcopy(ddim()), 7).lockstep(
            ImageEditingTask(states, REGION), prompts(), unit_noise(3, *SHAPE), SOURCE
        )
