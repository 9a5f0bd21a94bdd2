"""DDIM inversion: the trajectory that a sampler would have taken to a given clean state.

The probability flow of Eq. 1 run backwards on the sampler's *own* grid, whichever scheduler made it, so that
state ``i`` has exactly the noise level of the state before step ``i``:

    y_t = (a/a') y_t' + (s - a s'/a') eps        (primes: after the sampling step, less noisy)

On DDIM's grid this is what diffusers' ``DDIMInverseScheduler`` computes, which knows no other.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from syncsde3d.core.denoise import denoise
from syncsde3d.core.path import GaussianPath, to_x0
from syncsde3d.core.protocols import Denoiser, Prediction, Step
from syncsde3d.core.sampler import Sampler

if TYPE_CHECKING:
    from jaxtyping import Float


@torch.no_grad()
def invert(
    sampler: Sampler,
    denoiser: Denoiser,
    x0: Float[Tensor, "k ..."],
    patches: Sequence[int] = (0,),
    refine: int = 0,
) -> Float[Tensor, "n k ..."]:
    """States of clean patches before each of the sampler's steps, noisiest first, and last ``x0`` itself.

    x0: patches [k, ...], which the denoiser knows as ``patches`` [k]. refine: further network calls per step,
    each of which brings the step closer to the exact inverse of DDIM's; 0 is the usual inversion, whose
    reconstruction error falls in proportion to the number of steps. Deterministic: ``sampler.eta`` and
    its coupling play no part. Returns [steps + 1, k, ...].
    """
    if len(x0) != len(patches):
        raise ValueError(f"patches: expected {len(x0)}, one for each clean state, got {len(patches)}")
    if refine < 0:
        raise ValueError(f"refine: expected at least 0, got {refine}")
    scheduler = copy.deepcopy(sampler.scheduler)
    scheduler.set_timesteps(sampler.steps, device=x0.device)
    path, rows = GaussianPath.from_scheduler(scheduler), torch.tensor(list(patches), device=x0.device)
    states = [x0]
    for index in reversed(range(len(path))):
        step, y = path.step(index), states[-1]
        a, s = float(path.a[index]), float(path.s[index])
        a_next, s_next = float(path.a_next[index]), float(path.s_next[index])
        scale = float(path.scale[index + 1]) if index + 1 < len(path) else 1.0
        level, guess = replace(step, a=scale * a_next, s=scale * s_next), y  # one step cleaner than ``step``
        for _ in range(1 if step.is_noise else 1 + refine):
            output = denoise(denoiser, scale * guess, step, rows, sampler.max_batch)
            eps = _noise(output, scale * guess, level, step, denoiser.prediction)
            guess = a / a_next * y + (s - a * s_next / a_next) * eps
            scale, level = float(path.scale[index]), step
        states.append(guess)
    return torch.stack(states[::-1])


def _noise(output: Tensor, y: Tensor, level: Step, step: Step, prediction: Prediction) -> Tensor:
    """The noise that an output means for an input ``y`` of the given level, which may be clean."""
    if prediction == "epsilon":
        return output
    if prediction == "v_prediction":
        return level.a * output + level.s * y
    if prediction == "flow_prediction":
        return to_x0(output, y, level, prediction) + output
    return (y - step.a * output) / step.s


def hold(y: Tensor, patches: Tensor, index: int, known: Mapping[int, Tensor]) -> Tensor:
    """States [k, ...] of some patches [k] before step ``index``, those that are known put in.

    known: states [steps + 1, ...] of some patches, such as :func:`invert` gives.
    """
    numbers = patches.tolist()
    if not any(number in known for number in numbers):
        return y
    rows = zip(numbers, y, strict=True)
    return torch.stack([known[n][index].to(y) if n in known else own for n, own in rows])
