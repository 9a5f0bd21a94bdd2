"""Gaussian paths ``x_t = a_t x_0 + s_t eps``, read off a diffusers scheduler (Eq. 1, 5, 7).

=============  ======================================================================
code           paper
=============  ======================================================================
``a``, ``s``   sqrt(alpha_t), sqrt(1 - alpha_t); alpha_t is the *cumulative* product
``gamma``      gamma_t: how far one step carries a change of the predicted noise
=============  ======================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from syncsde3d.core.protocols import Prediction, Step

#: Schedulers whose steps use ``alphas_cumprod`` at integer timesteps, and those that use ``sigmas``; and
#: the settings under which their step is another one.
_BY_ALPHAS = ("DDIMScheduler", "DDPMScheduler", "LCMScheduler")
_BY_SIGMAS = ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "EulerDiscreteScheduler")
_BY_FLOW = ("FlowMatchEulerDiscreteScheduler",)
_REFUSED = {
    "DDPMScheduler": {"variance_type": ("learned", "learned_range")},  # needs more than a noise estimate
    "DPMSolverMultistepScheduler": {"algorithm_type": ("sde-dpmsolver",)},
    "FlowMatchEulerDiscreteScheduler": {"invert_sigmas": (True,)},
}
SUPPORTED_SCHEDULERS = (*_BY_ALPHAS, *_BY_SIGMAS, *_BY_FLOW)


@dataclass(frozen=True)
class GaussianPath:
    """The ``n`` steps that a scheduler is about to take.

    timesteps: the scheduler's own [n]. a, s: coefficients of the *state* before each step [n], float64.
    a_next, s_next: those that the step aims at [n]; where a scheduler's grid is rounded (DDIM, 30 of 1000
    steps) these differ slightly from the next step's ``a, s``. kept: the part of ``s_next`` that is carried
    over from the predicted noise [n]; the rest is drawn afresh. scale: the network's input is
    ``scale * state`` [n]; 1 but for sigma-scaled states. times: the timesteps as plain numbers.
    """

    timesteps: Tensor
    a: Tensor
    s: Tensor
    a_next: Tensor
    s_next: Tensor
    kept: Tensor
    scale: Tensor
    times: tuple[float, ...]
    train_steps: int = 1000

    def __len__(self) -> int:
        return len(self.timesteps)

    @classmethod
    def from_scheduler(cls, scheduler: Any, eta: float = 0.0) -> GaussianPath:
        """Read the path of a scheduler on which ``set_timesteps`` has been called.

        eta: DDIM's share of fresh noise, 0 (deterministic) to 1 (Eq. 1). Raises ValueError for a scheduler
        whose step is not one of :data:`SUPPORTED_SCHEDULERS`, for a setting of one that has no such path,
        or without timesteps.
        """
        name, config = type(scheduler).__name__, scheduler.config
        if name not in SUPPORTED_SCHEDULERS:
            raise ValueError(f"scheduler: expected one of {', '.join(SUPPORTED_SCHEDULERS)}, got {name}")
        for setting, refused in _REFUSED.get(name, {}).items():
            if (value := getattr(config, setting, None)) in refused:
                raise ValueError(f"scheduler: {name} with {setting}={value!r} is not supported")
        if getattr(scheduler, "num_inference_steps", None) is None:
            raise ValueError(f"scheduler: call set_timesteps on the {name} first")
        if name in _BY_ALPHAS:
            a, s, a_next, s_next = _from_alphas(scheduler, name)
        else:
            sigmas = scheduler.sigmas.cpu().double()
            if name in _BY_FLOW or getattr(config, "use_flow_sigmas", False):
                a, s = 1 - sigmas, sigmas
            elif name == "EulerDiscreteScheduler":
                a, s = torch.ones_like(sigmas), sigmas
            else:
                a = (sigmas**2 + 1).rsqrt()
                s = sigmas * a
            a, s, a_next, s_next = a[:-1], s[:-1], a[1:], s[1:]
        share, scale = 0.0, torch.ones_like(a)
        if name == "EulerDiscreteScheduler":
            scale = (s**2 + 1).rsqrt()
        elif name == "DDIMScheduler":
            share = eta
        elif name == "DDPMScheduler" or getattr(config, "algorithm_type", "").startswith("sde"):
            share = 1.0
        kept = s_next * (1 - share**2 * (1 - (a * s_next / (a_next * s)) ** 2)).clamp(min=0).sqrt()
        if name == "LCMScheduler" or getattr(config, "stochastic_sampling", False):
            kept = torch.zeros_like(kept)
        times = tuple(scheduler.timesteps.tolist())
        return cls(scheduler.timesteps, a, s, a_next, s_next, kept, scale, times, config.num_train_timesteps)

    def step(self, index: int) -> Step:
        """Step ``index`` as the network sees it."""
        scale = float(self.scale[index])
        return Step(
            index=index,
            count=len(self),
            t=self.timesteps[index],
            a=scale * float(self.a[index]),
            s=scale * float(self.s[index]),
            t_max=max(self.times),
            train_steps=self.train_steps,
        )

    def gamma(self, index: int) -> float:
        """gamma_t: step ``index`` moves the next state by ``-gamma_t s_t`` times a shift of the noise.

        ``a'/a - s'/s`` (primes: after the step) when no noise is added; fresh noise takes its share of
        ``s'``, so that ancestral steps get the larger coefficient that belongs to them. Infinite at a = 0.
        """
        a, s = float(self.a[index]), float(self.s[index])
        return float(self.a_next[index]) / a - float(self.kept[index]) / s if a > 0 else float("inf")


def _from_alphas(scheduler: Any, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coefficients of DDIM, DDPM and LCM, each with its own rule for the timestep that comes next."""
    alphas = scheduler.alphas_cumprod.cpu().double()
    times = scheduler.timesteps.cpu()
    if name == "DDIMScheduler":
        following = times - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
        last = scheduler.final_alpha_cumprod.double()
    else:
        following = torch.cat((times[1:], times.new_tensor([-1])))
        last = torch.ones((), dtype=torch.float64)
    alpha, after = alphas[times], torch.where(following >= 0, alphas[following.clamp(min=0)], last)
    return alpha.sqrt(), (1 - alpha).sqrt(), after.sqrt(), (1 - after).clamp(min=0).sqrt()


def to_x0(output: Tensor, y: Tensor, step: Step, prediction: Prediction) -> Tensor:
    """The Tweedie estimate of x_0 from a network's output at input ``y`` (Eq. 3)."""
    if prediction == "epsilon":
        return (y - step.s * output) / step.a
    if prediction == "sample":
        return output
    if prediction == "v_prediction":
        return step.a * y - step.s * output
    return (y - step.s * output) / (step.a + step.s)


def from_x0(x0: Tensor, y: Tensor, step: Step, prediction: Prediction) -> Tensor:
    """The network's output that means ``x0``: the inverse of :func:`to_x0`."""
    if prediction == "epsilon":
        return (y - step.a * x0) / step.s
    if prediction == "sample":
        return x0
    if prediction == "v_prediction":
        return (step.a * y - x0) / step.s
    return (y - (step.a + step.s) * x0) / step.s


def shift_noise(output: Tensor, delta: Tensor, step: Step, prediction: Prediction) -> Tensor:
    """The network's output after its implied noise estimate moved by ``delta``, at the same input."""
    if prediction == "epsilon":
        return output + delta
    if prediction == "sample":
        return output - (step.s / step.a) * delta
    return output + delta / step.a
