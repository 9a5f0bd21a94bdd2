"""The two loops: what they have to do with each other, with plain diffusers, and with a run cut in two."""

from __future__ import annotations

import copy
import pickle
import weakref
from dataclasses import dataclass

import pytest
import torch
from core.tasks import CASES, Pair, Windows, mixture, unit_noise
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)

from syncsde3d.core import GaussianPath, NoiseSource, Sampler, Sync, Trajectory

SOURCE = NoiseSource(11, "item")
SHAPE = (2, 8)


def setting(name: str, sync: Sync | None = None, steps: int = 7, count: int = 5, reach: int = 1, **more):
    """A sampler, a windows task, a model and noise for one of the schedulers."""
    case = CASES[name]
    sampler = Sampler(case.scheduler, steps, sync or Sync(), case.eta, **more)
    model = mixture(count, SHAPE, case.prediction)
    return sampler, Windows(count, reach=reach), model, unit_noise(count, *SHAPE)


def streamed(sampler, task, model, noise, **more) -> list[Trajectory]:
    return list(sampler.stream(task, model, lambda i: noise[i], SOURCE, **more))


def plain_loop(scheduler, model, noise, **extras):
    """What a diffusers pipeline does for one patch."""
    path, euler = GaussianPath.from_scheduler(scheduler), isinstance(scheduler, EulerDiscreteScheduler)
    y = noise * float(scheduler.init_noise_sigma) if euler else noise
    for index, t in enumerate(scheduler.timesteps):
        inputs = scheduler.scale_model_input(y, t) if euler else y
        output = model.predict(inputs, path.step(index), torch.tensor([0]), torch.tensor([0]))
        y = scheduler.step(output, t, y, **extras).prev_sample.to(y)
    return y


@pytest.mark.parametrize("name", CASES)
def test_one_patch_is_the_plain_diffusers_loop_bit_for_bit(name):
    sampler, task, model, noise = setting(name, count=1)
    ours = sampler.lockstep(task, model, noise, SOURCE)
    case, scheduler = CASES[name], copy.deepcopy(CASES[name].scheduler)
    scheduler.set_timesteps(7)
    extras = {"generator": SOURCE.stepping(0)} if case.random else {}
    extras |= {"eta": case.eta} if case.eta else {}
    assert torch.equal(ours, plain_loop(scheduler, model, noise, **extras))


@pytest.mark.parametrize("name", CASES)
def test_no_strength_is_the_independent_sampler_bit_for_bit(name):
    runs = [
        sampler.lockstep(task, model, noise, SOURCE)
        for sampler, task, model, noise in (
            setting(name, Sync(inv_lambda=0.0)),
            setting(name, Sync("independent")),
            setting(name, Sync(inv_lambda=5.0, ramp=lambda share: 0.0)),
        )
    ]
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2])
    sampler, task, model, noise = setting(name)
    assert not torch.equal(sampler.lockstep(task, model, noise, SOURCE), runs[0])


@pytest.mark.parametrize(("reach", "share_noise"), [(1, True), (3, False)])
@pytest.mark.parametrize("name", CASES)
def test_lockstep_and_stream_agree(name, reach, share_noise):
    sampler, task, model, noise = setting(name, Sync(share_noise=share_noise, sync_end=0.9), reach=reach)
    together = sampler.lockstep(task, model, noise, SOURCE)
    one_by_one = streamed(sampler, task, model, noise)
    assert [t.patch for t in one_by_one] == list(range(5))
    torch.testing.assert_close(torch.stack([t.result for t in one_by_one]), together, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strategy", ["syncsde", "independent"])
def test_streamed_states_are_those_of_the_lockstep_run(strategy):
    sampler, task, model, noise = setting("dpm++", Sync(strategy))
    seen = []
    sampler.lockstep(task, model, noise, SOURCE, on_step=lambda i, n, y: seen.append((i, n, y)))
    assert [(i, n) for i, n, _ in seen] == [(i, 7) for i in range(1, 8)]
    for t in streamed(sampler, task, model, noise):
        assert t.states.shape == (8, *SHAPE)
        torch.testing.assert_close(
            t.states[1:], torch.stack([y[t.patch] for _, _, y in seen]), rtol=1e-5, atol=1e-5
        )
        assert torch.equal(t.result, t.states[-1])


@pytest.mark.parametrize("max_batch", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["ddpm", "dpm++"])
def test_max_batch_changes_nothing(name, max_batch):
    whole, task, model, noise = setting(name)
    split = setting(name, max_batch=max_batch)[0]
    results = [s.lockstep(task, model, noise, SOURCE) for s in (whole, split)]
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(name):
    sampler, task, model, noise = setting(name)
    saved = []
    whole = sampler.lockstep(
        task, model, noise, SOURCE, on_checkpoint=lambda c: saved.append((c.index, pickle.dumps(c)))
    )
    assert [index for index, _ in saved] == list(range(1, 8))
    for _, checkpoint in saved:
        again = setting(name)[0]
        assert torch.equal(again.lockstep(task, model, noise, SOURCE, resume=pickle.loads(checkpoint)), whole)


def test_a_checkpoint_can_be_resumed_twice():
    sampler, task, model, noise = setting("unipc")
    saved = []
    whole = sampler.lockstep(task, model, noise, SOURCE, on_checkpoint=saved.append)
    for _ in range(2):
        assert torch.equal(sampler.lockstep(task, model, noise, SOURCE, resume=saved[2]), whole)


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("name", ["ddim-eta", "dpm++"])
def test_a_chain_extended_from_saved_trajectories_is_the_unbroken_one(name, reach):
    sampler, task, model, noise = setting(name, reach=reach)
    unbroken = streamed(sampler, task, model, noise)
    saved = pickle.loads(pickle.dumps(unbroken[3 - reach : 3]))
    extended = streamed(sampler, task, model, noise, earlier=saved, first=3)
    assert [t.patch for t in extended] == [3, 4]
    for mine, theirs in zip(extended, unbroken[3:], strict=True):
        assert torch.equal(mine.states, theirs.states)


def test_a_stream_remembers_only_its_lookback():
    sampler, task, model, noise = setting("ddim", count=9, reach=2, steps=3)
    alive, most = [], 0
    for trajectory in sampler.stream(task, model, lambda i: noise[i], SOURCE):
        alive.append(weakref.ref(trajectory.states))
        del trajectory
        most = max(most, sum(ref() is not None for ref in alive))
    assert most == 2


@pytest.mark.parametrize("name", ["ddpm", "dpm++", "euler"])
def test_a_patch_does_not_depend_on_later_ones(name):
    sampler, task, model, noise = setting(name)
    all_five = sampler.lockstep(task, model, noise, SOURCE)
    first_three = sampler.lockstep(Windows(3), model, noise[:3], SOURCE)
    torch.testing.assert_close(first_three, all_five[:3], rtol=1e-6, atol=1e-6)
    changed = noise.clone()
    changed[3:] += 1
    assert torch.equal(sampler.lockstep(task, model, changed, SOURCE)[:3], all_five[:3])


def test_shared_noise_is_one_wide_noise():
    sampler, task, model, noise = setting("ddim", steps=1)
    trajectories = streamed(sampler, task, model, noise)
    starts = torch.stack([t.states[0] for t in trajectories])
    for i in range(1, 5):
        assert torch.equal(starts[i, :, :-2], starts[i - 1, :, 2:])
        assert torch.equal(starts[i, :, -2:], noise[i, :, -2:])
    apart = setting("ddim", Sync(share_noise=False), steps=1)[0]
    assert torch.equal(torch.stack([t.states[0] for t in streamed(apart, task, model, noise)]), noise)


def test_the_scheduler_is_never_changed():
    for name in ("ddpm", "unipc"):
        sampler, task, model, noise = setting(name)
        before = pickle.dumps(vars(sampler.scheduler))
        results = [sampler.lockstep(task, model, noise, SOURCE) for _ in range(2)]
        assert torch.equal(results[0], results[1])
        assert pickle.dumps(vars(sampler.scheduler)) == before


def test_repeated_integer_timesteps_are_steps_of_their_own():
    """A strongly shifted flow begins 999, 999, …; a look-up by value would skip a step."""
    settings = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 40.0}
    for kind in (DPMSolverMultistepScheduler, UniPCMultistepScheduler):
        scheduler, model, noise = (
            kind(**settings),
            mixture(1, SHAPE, "flow_prediction"),
            unit_noise(1, *SHAPE),
        )
        ours = Sampler(scheduler, 30).lockstep(Windows(1), model, noise, SOURCE)
        scheduler.set_timesteps(30)
        assert int(scheduler.timesteps[0]) == int(scheduler.timesteps[1])
        with pytest.raises((IndexError, AssertionError)):
            plain_loop(scheduler, model, noise)
        scheduler.set_timesteps(30)
        scheduler.set_begin_index(0)
        assert torch.equal(ours, plain_loop(scheduler, model, noise))


@dataclass
class Still:
    """A network whose estimate of x0 is always the same, so that states are linear in each other."""

    prediction: str = "sample"
    guidance_scale: float = 1.0

    def predict(self, y, step, patch, branch):
        return torch.ones_like(y)


class Pushed(Windows):
    """Free windows; before the third step something is known of the last one, and put in."""

    def needs(self, i):
        return ()

    def impose(self, y, patches, path, index):
        known = (patches == self.count - 1).to(y).reshape(-1, 1, 1)
        return y + known if index == 2 else y


@pytest.mark.parametrize("kind", [DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_what_is_imposed_on_a_state_stays_in_it(kind):
    """UniPC corrects states by going back to older ones, and would undo it."""
    settings = {"clip_sample": False} if kind is DDIMScheduler else {}
    scheduler = kind(prediction_type="sample", **settings)
    seen = []
    for task in (Windows(3, stride=8), Pushed(3, stride=8)):
        seen.append([])
        run = Sampler(scheduler, 8, Sync("independent"))
        run.lockstep(task, Still(), unit_noise(3, *SHAPE), SOURCE, on_step=lambda i, n, y: seen[-1].append(y))
    scheduler.set_timesteps(8)
    s = GaussianPath.from_scheduler(scheduler).s
    for index in range(8):
        moved = seen[1][index] - seen[0][index]
        assert torch.equal(moved[:2], torch.zeros_like(moved[:2]))
        expected = float(s[index + 1] / s[2]) if 2 <= index < 7 else 0.0
        torch.testing.assert_close(moved[2], torch.full_like(moved[2], expected), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("strategy", ["consensus", "synctweedies", "multidiffusion", "visual_anagrams"])
def test_symmetric_strategies_cannot_stream(strategy):
    sampler, task, model, noise = setting("ddim", Sync(strategy))
    with pytest.raises(ValueError, match=f"strategy: '{strategy}'"):
        next(sampler.stream(task, model, lambda i: noise[i], SOURCE))


def test_errors_name_the_argument():
    sampler, task, model, noise = setting("ddim")
    with pytest.raises(ValueError, match="noise: expected 5 patches, got 4"):
        sampler.lockstep(task, model, noise[:4], SOURCE)
    with pytest.raises(ValueError, match="earlier: trajectory 3 needs the saved trajectory 2"):
        streamed(sampler, task, model, noise, first=3)
    with pytest.raises(ValueError, match="earlier: trajectory 2 has 3 states, expected 8"):
        streamed(sampler, task, model, noise, earlier=[Trajectory(2, noise[:3])], first=3)
    with pytest.raises(ValueError, match="steps: expected at least 1, got 0"):
        Sampler(DDIMScheduler(), 0)
    with pytest.raises(ValueError, match="eta: expected a share in"):
        Sampler(DDIMScheduler(), 5, eta=1.5)


def test_half_precision_stays_half():
    sampler, task, model, noise = setting("dpm++")
    result = sampler.lockstep(task, model, noise.half(), SOURCE)
    assert result.dtype == torch.float16
    torch.testing.assert_close(
        result.double(), sampler.lockstep(task, model, noise, SOURCE), rtol=0.05, atol=0.05
    )


def test_graded_precision_pulls_gradually():
    """The gap left at the end shrinks with the precision and does not jump."""
    gaps = []
    for m in (0.0, 0.1, 0.3, 1.0):
        model, noise = mixture(2, (4,), scale=0.2), unit_noise(2, 4)
        sampler = Sampler(CASES["dpm++"].scheduler, 20, Sync(share_noise=False))
        first, second = sampler.lockstep(Pair(m), model, noise, SOURCE)
        gaps.append(float((first - second).abs().mean()))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[3] < 0.5 * gaps[0]
