"""How strongly a trajectory is tied to the earlier ones: ``1/lambda_t`` and the weight of one step.

The paper multiplies the disagreement by ``1/lambda_t`` (explicit); one step then moves the state by
``kappa = gamma_t/lambda_t`` towards its reference, overshoots when kappa > 1 and diverges when kappa > 2.
The saturating weight integrates the same pull exactly over the step, so that kappa < 1 always.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

#: ``1/lambda_t`` as a share of ``1/lambda``: a name, or a function of ``t / T`` in [0, 1].
Ramp = Literal["linear", "constant"] | Callable[[float], float]


def inv_lambda_t(inv_lambda: float, t: float, t_max: float, ramp: Ramp = "linear") -> float:
    """Strength ``1/lambda_t`` at timestep ``t``.

    "linear" is the paper's ``(1/lambda) t/T`` with T the largest timestep of the run.
    """
    share = t / t_max if t_max > 0 else 0.0
    if callable(ramp):
        return inv_lambda * float(ramp(share))
    if ramp == "linear":
        return inv_lambda * share
    if ramp == "constant":
        return inv_lambda
    raise ValueError(f"ramp: expected 'linear', 'constant' or a function, got {ramp!r}")


def weight(precision: Tensor, strength: float, gamma: float, saturate: bool = True) -> Tensor:
    """``w_t M``, the factor of ``(y - reference) / s_t`` in the noise estimate.

    precision: M in [0, 1]. strength: 1/lambda_t >= 0. gamma: of the step, >= 0.
    saturate: ``(1 - exp(-gamma M/lambda_t)) / gamma``; otherwise the paper's ``M/lambda_t``.
    """
    if not saturate or gamma < 1e-8:
        return precision * strength
    if math.isinf(gamma):
        raise ValueError("gamma: infinite at zero signal; substitute the reference instead of shifting")
    return -torch.expm1(-gamma * strength * precision) / gamma
