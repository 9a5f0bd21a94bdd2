"""Symmetric strategies: all patches agree in the canonical object, through x0, eps or the next state.

They share the sampler, the network call and the scheduler's step with ``syncsde`` and differ only here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from syncsde3d.core.coupling import Strategy
from syncsde3d.core.path import from_x0, shift_noise, to_x0
from syncsde3d.core.protocols import Agreement, Prediction, Step, Task


def agree(task: Task, values: Tensor, how: Agreement) -> Tensor:
    """``values`` replaced by the agreed ones wherever the task's patches meet."""
    agreed, mask = task.agree(values, how)
    return torch.where(mask, agreed, values)


def couple_outputs(
    strategy: Strategy, task: Task, output: Tensor, y: Tensor, step: Step, prediction: Prediction
) -> Tensor:
    """Outputs of all patches [n, ...] after agreeing; ``y``: the network's inputs.

    Averaging noise estimates means averaging what each output implies at its own input, then moving each
    output accordingly: for predictions other than epsilon the raw outputs mix in their inputs.
    """
    if strategy in ("consensus", "synctweedies") and not step.is_noise:
        x0 = agree(task, to_x0(output, y, step, prediction), "best" if strategy == "consensus" else "mean")
        return from_x0(x0, y, step, prediction)
    if strategy == "visual_anagrams" and not step.is_noise:
        eps = (y - step.a * to_x0(output, y, step, prediction)) / step.s
        return shift_noise(output, agree(task, eps, "mean") - eps, step, prediction)
    return output


def couple_states(strategy: Strategy, task: Task, y: Tensor) -> Tensor:
    """States of all patches after the scheduler's step."""
    return agree(task, y, "mean") if strategy == "multidiffusion" else y
