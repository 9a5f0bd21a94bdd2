"""The region in which two prompts differ, where it is known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler

from syncsde3d.core import NoiseSource, Step, from_x0
from syncsde3d.core.protocols import Prediction
from syncsde3d.models.attention import cut
from syncsde3d.models.contrast import contrast_region

BOX = torch.zeros(16, 24, dtype=torch.bool)
BOX[4:9, 10:20] = True
SCHEDULE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@dataclass(frozen=True)
class TwoGaussians:
    """Pictures around 0 for prompt 0, and for prompt 1 the same but around 1 in a box; exact outputs."""

    prediction: Prediction
    guidance_scale: float = 7.5

    def predict(self, y: torch.Tensor, step: Step, patch: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
        assert not branch.any()
        mean = BOX * patch[:, None, None, None].float()
        variance = step.a**2 * 0.25 + step.s**2
        x0 = mean + 0.25 * step.a / variance * (y - step.a * mean)
        return from_x0(x0, y, step, self.prediction)


@pytest.mark.parametrize("kind", [DDIMScheduler, EulerDiscreteScheduler])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_it_is_where_the_prompts_differ(kind: Any, prediction: Prediction):
    scheduler = kind(**SCHEDULE, prediction_type=prediction)
    picture = torch.randn(4, 16, 24, generator=torch.Generator().manual_seed(0))
    denoiser = TwoGaussians(prediction)
    region = contrast_region(denoiser, scheduler, picture, NoiseSource(0))
    torch.testing.assert_close(region, BOX.float(), atol=1e-4, rtol=0)
    assert torch.equal(cut(region, (16, 24), 0.4), BOX)
    assert not contrast_region(denoiser, scheduler, picture, NoiseSource(0), (1, 1)).any()
    assert scheduler.num_inference_steps is None  # its own scheduler was not touched


def test_it_needs_noise():
    with pytest.raises(ValueError, match="draws: expected at least 1, got 0"):
        contrast_region(TwoGaussians("epsilon"), None, torch.zeros(4, 16, 24), NoiseSource(0), draws=0)
