"""The coupling of one step: the conditional score of Eq. 6 as a shift of the network's output.

    eps_sync = eps + w_t M (y_t - A y^{<i}_t) / s_t

Fed to a DDIM step with ``w_t = 1/lambda_t`` this is Eq. 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from syncsde3d.core.path import GaussianPath, shift_noise
from syncsde3d.core.protocols import Prediction
from syncsde3d.core.strength import Ramp, inv_lambda_t, weight

Strategy = Literal["syncsde", "consensus", "synctweedies", "multidiffusion", "visual_anagrams", "independent"]


@dataclass(frozen=True)
class Sync:
    """How trajectories are tied together.

    strategy: "syncsde" (the chain of Eq. 6), "consensus" (x0 from the patch that sees best),
        "synctweedies" (mean of x0), "multidiffusion" (mean of x_{t-1}), "visual_anagrams" (mean of eps),
        or "independent".
    inv_lambda: 1/lambda >= 0; 5 is the paper's (3 for motion). 0 is the independent sampler, bit for bit.
    ramp: "linear" (the paper's t/T), "constant", or a function of t/T.
    saturate: a pull per step that never overshoots; False is the paper's explicit rule.
    sync_end: share of the training schedule after which patches run free, in (0, 1]; 0.8 couples while
        t > 0.2 T_train.
    share_noise: begin each trajectory with its reference's noise wherever there is one.
    """

    strategy: Strategy = "syncsde"
    inv_lambda: float = 5.0
    ramp: Ramp = "linear"
    saturate: bool = True
    sync_end: float = 1.0
    share_noise: bool = True

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise ValueError(
                f"strategy: expected one of {', '.join(get_args(Strategy))}, got {self.strategy!r}"
            )
        if not (self.inv_lambda >= 0 and self.inv_lambda < float("inf")):
            raise ValueError(f"inv_lambda: expected a number >= 0, got {self.inv_lambda}")
        if not callable(self.ramp) and self.ramp not in ("linear", "constant"):
            raise ValueError(f"ramp: expected 'linear', 'constant' or a function, got {self.ramp!r}")
        if not 0 < self.sync_end <= 1:
            raise ValueError(f"sync_end: expected a share in (0, 1], got {self.sync_end}")

    def strength(self, path: GaussianPath, index: int) -> float:
        """1/lambda_t of step ``index``; 0 once patches run free."""
        t = path.times[index]
        if self.sync_end < 1 and t <= path.train_steps - self.sync_end * path.train_steps:
            return 0.0
        if self.strategy == "syncsde":
            return inv_lambda_t(self.inv_lambda, t, max(path.times), self.ramp)
        return 0.0 if self.strategy == "independent" else 1.0


def couple(
    output: Tensor,
    y: Tensor,
    reference: Tensor,
    precision: Tensor,
    path: GaussianPath,
    index: int,
    strength: float,
    prediction: Prediction,
    saturate: bool = True,
) -> Tensor:
    """The network's output with the score of Eq. 6 added.

    output, y, reference: [k, ...], the states *before* the step and what they should agree with.
    precision: M, broadcastable to them. strength: 1/lambda_t. Where :attr:`Step.is_noise` holds the output
    comes back unchanged (an exact scheduler would ignore the shift).
    """
    step = path.step(index)
    if strength == 0 or step.is_noise:
        return output
    factor = weight(precision, strength, path.gamma(index), saturate)
    delta = factor * (y - reference) / float(path.s[index])
    return shift_noise(output, delta, step, prediction)


def adopt(y: Tensor, reference: Tensor, precision: Tensor) -> Tensor:
    """The state with its reference taken over wherever there is one: noise stays noise."""
    return torch.where(precision > 0, reference, y)
