"""Small tasks, models and schedulers that the tests of the core share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from syncsde3d.core import Agreement, Task
from syncsde3d.models.closed_form import GaussianMixture

#: Stable Diffusion's noise schedule.
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@dataclass(frozen=True)
class Case:
    """A scheduler as a test needs it. steps: the scheduler's own response is one step deep if ``single``."""

    scheduler: Any
    eta: float = 0.0
    single: bool = True

    @property
    def prediction(self) -> str:
        return getattr(self.scheduler.config, "prediction_type", "flow_prediction")

    @property
    def random(self) -> bool:
        """Whether steps draw fresh noise."""
        sde = getattr(self.scheduler.config, "algorithm_type", "").startswith("sde")
        return self.eta > 0 or sde or isinstance(self.scheduler, DDPMScheduler | LCMScheduler)


def _flow(kind: type) -> Any:
    return kind(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)


#: One of each supported scheduler, and of each of its kinds of step.
CASES = {
    "ddim": Case(DDIMScheduler(**SD, clip_sample=False, set_alpha_to_one=False, steps_offset=1)),
    "ddim-eta": Case(DDIMScheduler(**SD, clip_sample=False), eta=0.5),
    "ddpm": Case(DDPMScheduler(**SD, clip_sample=False)),
    "lcm": Case(LCMScheduler(**SD)),
    "dpm++": Case(DPMSolverMultistepScheduler(**SD), single=False),
    "dpm++sde": Case(DPMSolverMultistepScheduler(**SD, algorithm_type="sde-dpmsolver++"), single=False),
    "dpm++flow": Case(_flow(DPMSolverMultistepScheduler), single=False),
    "unipc": Case(UniPCMultistepScheduler(**SD), single=False),
    "unipc-flow": Case(_flow(UniPCMultistepScheduler), single=False),
    "euler": Case(EulerDiscreteScheduler(**SD)),
    "flow": Case(FlowMatchEulerDiscreteScheduler(shift=3.0)),
}


class Windows(Task):
    """Windows [..., width] of a wide signal, each tied to the mean of the ``reach`` windows before it."""

    def __init__(self, count: int = 5, width: int = 8, stride: int = 2, reach: int = 1) -> None:
        self.count, self.width, self.stride, self.lookback = count, width, stride, reach

    def needs(self, i: int) -> tuple[int, ...]:
        return tuple(j for j in range(max(0, i - self.lookback), i) if (i - j) * self.stride < self.width)

    def reference(self, i: int, earlier: Mapping[int, Tensor]) -> Tensor:
        total = torch.zeros_like(earlier[self.needs(i)[0]])
        for j in self.needs(i):
            shift = (i - j) * self.stride
            total[..., : self.width - shift] += earlier[j][..., shift:]
        return total / self._seen(i).clamp(min=1)

    def precision(self, i: int) -> Tensor:
        return (self._seen(i) > 0).float()

    def _seen(self, i: int) -> Tensor:
        """How many earlier windows see each place of window i [width]."""
        reach = torch.tensor([self.width - (i - j) * self.stride for j in self.needs(i)])
        return (torch.arange(self.width) < reach[:, None]).sum(0)

    def agree(self, values: Tensor, how: Agreement) -> tuple[Tensor, Tensor]:
        place = torch.arange(self.count)[:, None] * self.stride + torch.arange(self.width)
        wide = int(place.max()) + 1
        seen = torch.zeros(wide, dtype=values.dtype)
        seen.index_add_(0, place.flatten(), torch.ones(place.numel(), dtype=values.dtype))
        rows = values.movedim(0, -2)  # [..., count, width]
        if how == "mean":
            canvas = torch.zeros(*rows.shape[:-2], wide, dtype=values.dtype)
            canvas.index_add_(-1, place.flatten(), rows.flatten(-2))
            canvas /= seen
        else:  # the window whose centre is nearest
            owner = self.owner(torch.arange(wide))
            canvas = rows[..., owner, torch.arange(wide) - owner * self.stride]
        return canvas[..., place].movedim(-2, 0), (seen > 1)[place].reshape(
            self.count, *[1] * (values.ndim - 2), -1
        )

    def owner(self, place: Tensor) -> Tensor:
        """The window whose centre lies nearest to each place of the wide signal."""
        centre = torch.arange(self.count) * self.stride + (self.width - 1) / 2
        return (place[:, None] - centre).abs().argmin(-1)

    def cut(self, wide: Tensor) -> Tensor:
        """The windows [count, ..., width] of a wide signal [..., wide]."""
        return wide.unfold(-1, self.width, self.stride).movedim(-2, 0)[: self.count].clone()


class Pair(Task):
    """Two patches that are meant to be the same; the second is tied to the first with a given precision."""

    count, lookback = 2, 1

    def __init__(self, precision: float | Tensor = 1.0) -> None:
        self.m = torch.as_tensor(precision)

    def needs(self, i: int) -> tuple[int, ...]:
        return () if i == 0 else (0,)

    def reference(self, i: int, earlier: Mapping[int, Tensor]) -> Tensor:
        return earlier[0]

    def precision(self, i: int) -> Tensor:
        return self.m

    def agree(self, values: Tensor, how: Agreement) -> tuple[Tensor, Tensor]:
        agreed = values.mean(0) if how == "mean" else values[1]
        return agreed.expand_as(values), torch.ones((), dtype=torch.bool)


def mixture(count: int, shape: tuple[int, ...], prediction: str = "epsilon", scale: float = 1.0) -> Any:
    """Two modes per patch, different from patch to patch, in float64."""
    generator = torch.Generator().manual_seed(count)
    mean = torch.randn(2, count, *shape, generator=generator, dtype=torch.float64) * scale
    variance = torch.full_like(mean, 0.3) + 0.1 * torch.arange(count).reshape(-1, *[1] * len(shape))
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    return GaussianMixture(mean, variance, weights, prediction=prediction)  # pyright: ignore[reportArgumentType]


def unit_noise(*shape: int, seed: int = 0) -> Tensor:
    """Unit Gaussian float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
