"""One guided call of the network: the formula, the number of calls, and how rows are split."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from core.tasks import mixture, unit_noise

from syncsde3d.core import Denoiser, Step, denoise

STEP = Step(0, 10, torch.tensor(500), 0.6, 0.8, 999.0)


@dataclass
class Recorder:
    """Returns a different number per patch and branch, and remembers how it was called."""

    guidance_scale: float = 1.0
    prediction: str = "epsilon"
    calls: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def predict(self, y, step, patch, branch):
        assert step is STEP
        assert len(y) == len(patch) == len(branch)
        self.calls.append((patch.tolist(), branch.tolist()))
        return y * (1.0 + patch - 5 * branch).to(y).reshape(-1, *[1] * (y.ndim - 1))


def test_guidance_is_one_call_with_both_branches_of_each_patch():
    recorder, y = Recorder(guidance_scale=7.5), unit_noise(3, 2, 4)
    out = denoise(recorder, y, STEP, torch.tensor([4, 0, 2]))
    assert recorder.calls == [([4, 4, 0, 0, 2, 2], [0, 1, 0, 1, 0, 1])]
    for row, patch in enumerate((4, 0, 2)):
        cond, uncond = (1 + patch) * y[row], (patch - 4) * y[row]
        torch.testing.assert_close(out[row], uncond + 7.5 * (cond - uncond))


def test_without_guidance_only_the_condition_is_asked_for():
    recorder, y = Recorder(), unit_noise(3, 2)
    out = denoise(recorder, y, STEP, torch.tensor([0, 1, 2]))
    assert recorder.calls == [([0, 1, 2], [0, 0, 0])]
    torch.testing.assert_close(out, y * torch.tensor([[1.0], [2.0], [3.0]]))


def test_guidance_of_zero_is_the_unconditional_branch():
    y = unit_noise(2, 3)
    torch.testing.assert_close(
        denoise(Recorder(0.0), y, STEP, torch.tensor([1, 0])), y * torch.tensor([[-3.0], [-4.0]])
    )


@pytest.mark.parametrize("max_batch", [1, 2, 3, 4, 5, 9, 10, 99])
def test_max_batch_bounds_each_call_and_changes_nothing(max_batch):
    y, patches = unit_noise(5, 2, 3), torch.arange(5)
    whole, split = Recorder(3.0), Recorder(3.0)
    expected = denoise(whole, y, STEP, patches)
    assert torch.equal(denoise(split, y, STEP, patches, max_batch), expected)
    assert max(len(rows) for rows, _ in split.calls) == min(max_batch, 10)
    assert len(split.calls) == -(-10 // max_batch)
    assert [p for rows, _ in split.calls for p in rows] == whole.calls[0][0]


@pytest.mark.parametrize("max_batch", [None, 1, 2, 3])
def test_a_closed_form_model_answers_alike_in_any_order(max_batch):
    model, y = mixture(5, (2, 3)), unit_noise(5, 2, 3)
    expected = denoise(model, y, STEP, torch.arange(5))
    for order in (torch.tensor([4, 2, 0, 1, 3]), torch.tensor([1, 0, 3, 2, 4])):
        torch.testing.assert_close(
            denoise(model, y[order], STEP, order, max_batch), expected[order], rtol=1e-12, atol=1e-12
        )


def test_the_result_has_the_type_of_the_states():
    class Half(Recorder):
        def predict(self, y, step, patch, branch):
            return super().predict(y, step, patch, branch).half()

    assert denoise(Half(), unit_noise(2, 3), STEP, torch.arange(2)).dtype == torch.float64


@pytest.mark.parametrize("max_batch", [0, -1])
def test_an_empty_batch_is_refused(max_batch):
    with pytest.raises(ValueError, match=f"max_batch: .*{max_batch}"):
        denoise(Recorder(), unit_noise(2, 3), STEP, torch.arange(2), max_batch)


def test_closed_form_models_are_denoisers():
    assert isinstance(mixture(2, (3,)), Denoiser)
    assert not isinstance(object(), Denoiser)
