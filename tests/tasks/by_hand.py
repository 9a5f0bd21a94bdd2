"""Eq. 7 written out in the paper's letters, and a model whose windows are pieces of one known process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from core.tasks import SD
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from syncsde3d.core import NoiseSource, Prediction, Sampler, Step, Sync, from_x0

SOURCE = NoiseSource(3, "picture")
#: Earlier patches to a reference and a precision, for each trajectory but the first.
Rule = Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]]


def ddim() -> Any:
    """The release's setting of DDIM for Stable Diffusion."""
    return DDIMScheduler(**SD, clip_sample=False, set_alpha_to_one=False, steps_offset=1)


def dpm() -> Any:
    """DPM-Solver++ 2M as the package sets it up."""
    return DPMSolverMultistepScheduler(**SD, euler_at_final=True)


def explicit(inv_lambda: float = 5.0, steps: int = 50) -> Sampler:
    """The paper's rule, begun in the noise that is given."""
    return Sampler(ddim(), steps, Sync(inv_lambda=inv_lambda, saturate=False, share_noise=False))


def equation_7(
    model: Any,
    noise: Tensor,
    rules: Sequence[Rule],
    steps: int = 50,
    inv_lambda: float = 5.0,
    given: Tensor | None = None,
) -> Tensor:
    """All clean trajectories [n, ...]; rules: of the second and later ones; given: all states of the first.

    ``y' = sqrt(a'/a) y - sqrt(1-a) g eps - g/lambda_t M (y - X~)``, ``g = sqrt(a'/a) - sqrt((1-a')/(1-a))``.
    """
    alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2, 0).tolist()
    stride = 1000 // steps
    y = list(noise.double())
    for index, t in enumerate(range(stride * (steps - 1) + 1, 0, -stride)):
        alpha, alpha_next = alphas[t], alphas[max(t - stride, 0)]
        if given is not None:
            y[0] = given[index].double()
        gamma = (alpha_next / alpha) ** 0.5 - ((1 - alpha_next) / (1 - alpha)) ** 0.5
        step = Step(index, steps, torch.tensor(t), alpha**0.5, (1 - alpha) ** 0.5, stride * (steps - 1) + 1)
        after = []
        for i, state in enumerate(y):
            eps = model.predict(state[None], step, torch.tensor([i]), torch.tensor([0]))[0]
            moved = (alpha_next / alpha) ** 0.5 * state - (1 - alpha) ** 0.5 * gamma * eps
            if i > 0:
                reference, precision = rules[i - 1](y[:i])
                lambda_t = inv_lambda * t / (stride * (steps - 1) + 1)
                moved = moved - gamma * lambda_t * precision * (state - reference)
            after.append(moved)
        y = after
    return torch.stack(y)


@dataclass(frozen=True)
class Process:
    """Windows [1, h, w] of a stationary Gaussian process along the columns, each row one of its own.

    correlation: between neighbours, so that columns k apart correlate by ``correlation**k``.
    """

    width: int
    correlation: float = 0.9
    deviation: float = 0.5
    prediction: Prediction = "epsilon"
    guidance_scale: float = 1.0

    def predict(self, y: Tensor, step: Step, patch: Tensor, branch: Tensor) -> Tensor:
        k = torch.arange(self.width, dtype=torch.float64)
        covariance = self.deviation**2 * self.correlation ** (k[:, None] - k).abs()
        total = step.a**2 * covariance + step.s**2 * torch.eye(self.width, dtype=torch.float64)
        gain = step.a * torch.linalg.solve(total, covariance)
        return from_x0(y @ gain.to(y), y, step, self.prediction)


def all_noise(noise: Callable[[int], Tensor], count: int) -> Tensor:
    return torch.stack([noise(i) for i in range(count)])
