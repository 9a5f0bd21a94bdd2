"""The motion task: streams equal lockstep, joins agree as a recursion says, one segment is the plain loop."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from syncsde3d.core import NoiseSource, Sampler, Strategy, Sync, Trajectory
from syncsde3d.models.closed_form import GaussianMixture
from syncsde3d.models.schedulers import make_scheduler
from syncsde3d.tasks.long_motion import Blend, LongMotionTask, cross_fade, split_frames

COSINE = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False)
LENGTHS, OVERLAP, CHANNELS = (60, 45, 80), 30, 5
SOURCE = NoiseSource(3, "m")


def gaussian(task: LongMotionTask, spread: float = 1.0, variance: float = 0.3) -> GaussianMixture:
    """Frames that differ from segment to segment, known exactly."""
    random = torch.Generator().manual_seed(1)
    mean = spread * torch.randn(1, task.count, task.frames, CHANNELS, generator=random, dtype=torch.float64)
    return GaussianMixture(
        mean, torch.full_like(mean, variance), torch.ones(1, dtype=torch.float64), prediction="sample"
    )


def noise(task: LongMotionTask) -> Tensor:
    return torch.stack([SOURCE.initial(i, (task.frames, CHANNELS), torch.float64) for i in range(task.count)])


def sampler(strategy: Strategy = "syncsde", name: str = "dpm++", steps: int = 8, **sync: float) -> Sampler:
    return Sampler(make_scheduler(name, COSINE), steps, Sync(strategy, **{"inv_lambda": 3.0, **sync}))  # pyright: ignore


def run(task: LongMotionTask, strategy: Strategy = "syncsde", **options: float) -> Tensor:
    return sampler(strategy, **options).lockstep(task, gaussian(task), noise(task), SOURCE)  # pyright: ignore


class TestSampling:
    @pytest.mark.parametrize("name", ["ddim", "dpm++", "ddpm", "unipc"])
    def test_streaming_is_lockstep(self, name: str):
        task = LongMotionTask(LENGTHS, OVERLAP, precision="graded")
        made, start = sampler(name=name), noise(task)
        together = made.lockstep(task, gaussian(task), start, SOURCE)
        streamed = [t.result for t in made.stream(task, gaussian(task), lambda i: start[i], SOURCE)]
        torch.testing.assert_close(torch.stack(streamed), together, atol=1e-10, rtol=1e-10)

    def test_a_chain_goes_on_from_its_last_trajectory(self):
        task = LongMotionTask((60, 45, 80, 50), OVERLAP)
        made, model, start = sampler(), gaussian(task), noise(task)
        whole = list(made.stream(task, model, lambda i: start[i], SOURCE))
        # What is saved knows nothing of later, longer segments: it is padded less.
        cut = Trajectory(1, whole[1].states[:, :45].clone())
        later = list(made.stream(task, model, lambda i: start[i], SOURCE, earlier=[cut], first=2))
        assert [t.patch for t in later] == [2, 3]
        for a, b in zip(later, whole[2:], strict=True):
            torch.testing.assert_close(a.states, b.states, atol=0, rtol=0)

    def test_no_coupling_is_the_independent_sampler(self):
        task = LongMotionTask(LENGTHS, OVERLAP)
        assert torch.equal(run(task, inv_lambda=0.0), run(task, "independent"))
        assert not torch.equal(run(task), run(task, "independent"))

    def test_one_segment_is_the_plain_diffusers_loop(self):
        task = LongMotionTask((50,))
        model = gaussian(task)
        scheduler = make_scheduler("dpm++", COSINE)
        scheduler.set_timesteps(8)
        y = noise(task)
        for t in scheduler.timesteps:
            alpha = COSINE.alphas_cumprod[t].double()
            a, s = alpha.sqrt(), (1 - alpha).sqrt()
            x0 = model.mean[0] + a * 0.3 * (y - a * model.mean[0]) / (a**2 * 0.3 + s**2)
            y = scheduler.step(x0, t, y).prev_sample
        torch.testing.assert_close(run(task), y, atol=1e-6, rtol=1e-6)

    def test_shared_frames_agree_as_the_recursion_says(self):
        """For Gaussian frames the gap y - reference obeys a scalar recursion, here written out for DDIM.

        A DDIM step is affine, y' = c y + d mean; coupling subtracts (1 - exp(-gamma/lambda)) times the gap.
        """
        task = LongMotionTask((50, 50), OVERLAP)
        steps, variance, inv_lambda = 12, 0.3, 4.0
        model = gaussian(task, variance=variance)
        found = sampler(name="ddim", steps=steps, inv_lambda=inv_lambda).lockstep(
            task, model, noise(task), SOURCE
        )
        alphas, stride = COSINE.alphas_cumprod.double().numpy(), 1000 // steps
        times = np.arange(steps)[::-1] * stride
        difference = (model.mean[0, 1, :OVERLAP] - model.mean[0, 0, -OVERLAP:]).numpy()
        gap = np.zeros_like(difference)  # the initial noise is shared
        for t in times:
            following = alphas[t - stride] if t >= stride else 1.0
            a, s, a2, s2 = np.sqrt([alphas[t], 1 - alphas[t], following, 1 - following])
            gain = a * variance / (a**2 * variance + s**2)  # x0 = mean + gain (y - a mean)
            gamma = a2 / a - s2 / s
            pull = 1 - math.exp(-gamma * inv_lambda * t / times[0])
            free = (a2 - s2 * a / s) * (difference + gain * (gap - a * difference)) + s2 / s * gap
            gap = free - pull * gap
        np.testing.assert_allclose((found[1, :OVERLAP] - found[0, -OVERLAP:]).numpy(), gap, atol=1e-5)

    def test_stronger_coupling_closes_the_joins(self):
        task = LongMotionTask(LENGTHS, OVERLAP)

        def gap(strength: float) -> float:
            made = run(task, inv_lambda=strength)
            return float(
                sum(
                    (made[i, end - OVERLAP : end] - made[i + 1, :OVERLAP]).abs().mean()
                    for i, end in enumerate(LENGTHS[:-1])
                )
            )

        assert gap(30.0) < 0.7 * gap(3.0) < 0.7 * 0.7 * gap(0.0)

    @pytest.mark.parametrize(("strategy", "weights"), [("synctweedies", "flat"), ("synctweedies", "linear")])
    def test_symmetric_strategies_meet_on_shared_frames(self, strategy: Strategy, weights: str):
        task = LongMotionTask((60, 70, 80), OVERLAP, weights)  # pyright: ignore[reportArgumentType]
        made = run(task, strategy)
        torch.testing.assert_close(made[0, 30:60], made[1, :30], atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(made[1, 40:70], made[2, :30], atol=1e-6, rtol=1e-6)


def slow_agreement(task: LongMotionTask, values: Tensor, how: str) -> tuple[Tensor, Tensor]:
    """Frame by frame, over every segment that has it."""
    out, mask = values.clone(), torch.zeros(values.shape[:2], dtype=torch.bool)
    for i, length in enumerate(task.lengths):
        for j in range(length):
            frame, seen = task.starts[i] + j, []
            for k, other in enumerate(task.lengths):
                local = frame - task.starts[k]
                if 0 <= local < other:
                    weight = 1.0
                    if task.weights == "linear":
                        if k > 0:
                            weight *= min(1.0, (local + 1) / (task.overlap + 1))
                        if k + 1 < task.count:
                            weight *= min(1.0, (other - local) / (task.overlap + 1))
                    seen.append((weight, values[k, local]))
            mask[i, j] = len(seen) > 1
            if how == "best":
                out[i, j] = seen[-1][1]
            else:
                out[i, j] = sum(w * v for w, v in seen) / sum(w for w, _ in seen)
    return out, mask


def test_graded_precision_falls_to_nothing_and_binary_does_not():
    graded = LongMotionTask((50, 60), 4, precision="graded").precision(1)[:, 0]
    torch.testing.assert_close(graded[:6], torch.tensor([0.8, 0.6, 0.4, 0.2, 0.0, 0.0]))
    binary = LongMotionTask((50, 60), 4).precision(1)[:, 0]
    assert binary[:6].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    assert len(graded) == len(binary) == 60


class TestAgreement:
    @pytest.mark.parametrize("lengths", [(60, 70, 80), (41, 40, 45, 60)])  # in the latter three may meet
    @pytest.mark.parametrize("weights", ["flat", "linear"])
    @pytest.mark.parametrize("how", ["mean", "best"])
    def test_it_is_what_a_loop_over_frames_finds(self, lengths: tuple[int, ...], weights: str, how: str):
        task = LongMotionTask(lengths, 30, weights)  # pyright: ignore[reportArgumentType]
        values = torch.randn(task.count, task.frames, 2, generator=torch.Generator().manual_seed(0)).double()
        found, mask = task.agree(values, how)  # pyright: ignore[reportArgumentType]
        expected, expected_mask = slow_agreement(task, values, how)
        assert torch.equal(mask[..., 0], expected_mask)
        torch.testing.assert_close(torch.where(mask, found, values), torch.where(mask, expected, values))

    def test_the_handshake_is_a_linear_mask(self):
        task = LongMotionTask((50, 50), 10, "linear")
        values = torch.stack((torch.zeros(50, 1), torch.ones(50, 1)))
        agreed, _ = task.agree(values, "mean")
        expected = torch.arange(1, 11)[:, None] / 11
        torch.testing.assert_close(agreed[0, 40:], expected)
        torch.testing.assert_close(agreed[1, :10], expected)


class TestJoining:
    def test_patches_cut_from_one_motion_give_it_back(self):
        task = LongMotionTask(LENGTHS, OVERLAP)
        whole = torch.randn(task.total, 4)
        patches = torch.full((task.count, task.frames, 4), 99.0)
        for i, (start, length) in enumerate(zip(task.starts, LENGTHS, strict=True)):
            patches[i, :length] = whole[start : start + length]
        assert task.total == sum(LENGTHS) - 2 * OVERLAP
        for blend in ("later", "linear", "cosine"):
            torch.testing.assert_close(task.assemble(patches, blend), whole)
        earlier: Mapping[int, Tensor] = {0: patches[0]}
        torch.testing.assert_close(task.reference(1, earlier)[:OVERLAP], patches[1, :OVERLAP])
        assert task.reference(1, earlier)[OVERLAP:].abs().max() == 0
        assert task.precision(1)[:, 0].tolist() == [1.0] * OVERLAP + [0.0] * (task.frames - OVERLAP)

    def test_later_segments_lie_on_top(self):
        task = LongMotionTask((50, 60), 10)
        patches = torch.stack((torch.zeros(60), torch.ones(60)))
        assert task.assemble(patches).tolist() == [0.0] * 40 + [1.0] * 60

    @pytest.mark.parametrize("blend", ["linear", "cosine"])
    def test_cross_fades_are_symmetric_and_monotonic(self, blend: Blend):
        up = cross_fade(torch.zeros(20), torch.ones(20), blend)
        assert (up.diff() > 0).all()
        torch.testing.assert_close(up + up.flip(0), torch.ones(20))

    @pytest.mark.parametrize("blend", ["later", "linear", "cosine"])
    def test_a_motion_is_extended_from_its_tail(self, blend: Blend):
        task = LongMotionTask((50, 60, 70, 45), 30)
        patches = torch.randn(4, 70, 3)
        whole = task.assemble(patches, blend)
        before = LongMotionTask((50, 60), 30).assemble(patches[:2], blend)
        later = torch.cat(tuple(task.join(patches[2:], blend, first=2, tail=before[-30:])))
        torch.testing.assert_close(torch.cat((before[:-30], later)), whole)

    @given(st.integers(10, 3000), st.integers(1, 150), st.booleans())
    def test_split_lengths_add_up(self, frames: int, overlap: int, first: bool):
        if frames < (40 if first else max(40 - overlap, 1)) or (first and frames <= overlap):
            with pytest.raises(ValueError, match="seconds"):
                split_frames(frames, overlap, first)
            return
        lengths = split_frames(frames, overlap, first)
        assert sum(lengths) - overlap * (len(lengths) - first) == frames
        assert all(40 <= length <= 196 for length in lengths)
        assert max(lengths) - min(lengths) <= 1
        assert len(lengths) == 1 or frames > 196 - overlap


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "lengths: expected at least one segment"),
        (((60, 39),), r"lengths\[1\]: expected 40 to 196 frames, got 39"),
        (((197,),), r"lengths\[0\]: expected 40 to 196 frames, got 197"),
        (((60, 45), 45), "overlap: expected 1 to 44 frames"),
        (((60, 45), 0), "overlap: expected 1 to 44 frames"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple, message: str):
    with pytest.raises(ValueError, match=message):
        LongMotionTask(*arguments)


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match="precision: expected one of graded, binary, got 'soft'"):
        LongMotionTask((50,), precision="soft")  # pyright: ignore[reportArgumentType]


def test_an_unknown_blend_is_named():
    task = LongMotionTask((50,))
    with pytest.raises(ValueError, match="blend: expected one of later, linear, cosine"):
        task.assemble(torch.zeros(1, 50, 1), "hard")  # pyright: ignore[reportArgumentType]
