"""Where two prompts disagree about a picture: a region to edit for models whose attention does not tell.

DiffEdit's rule (Couairon et al. 2022): noise the picture to middling levels and compare what the model
predicts for either prompt. It needs no attention layers, so it also serves models in pixels and small models
whose pooled text decides.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from syncsde3d.core import Denoiser, GaussianPath, NoiseSource
from syncsde3d.models.attention import normalise

if TYPE_CHECKING:
    from jaxtyping import Float

#: The levels compared: steps from 30 to 60 % of the way from noise to picture, where shapes are decided.
_STEPS, _FIRST, _LAST = 10, 3, 6


@torch.no_grad()
def contrast_region(
    denoiser: Denoiser,
    scheduler: Any,
    clean: Float[Tensor, "c h w"],
    source: NoiseSource,
    patches: tuple[int, int] = (0, 1),
    draws: int = 4,
) -> Float[Tensor, "h w"]:
    """How much the prompts of two patches differ about a clean state, in [0, 1]; 0.4 is a fair threshold.

    The norm over channels of the mean difference over all levels and ``draws`` of noise, its largest 2 %
    clipped. scheduler: of the model, copied. source: streams for the noise. Raises ValueError for no draws.
    """
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(_STEPS, device=clean.device)
    path = GaussianPath.from_scheduler(scheduler)
    noise = source.initial("contrast", (_LAST - _FIRST + 1, draws, *clean.shape)).to(clean)
    patch = torch.tensor(patches, device=clean.device)
    total = torch.zeros_like(clean)
    for index in range(_FIRST, _LAST + 1):
        a, s, scale = float(path.a[index]), float(path.s[index]), float(path.scale[index])
        for drawn in noise[index - _FIRST]:
            y = (scale * (a * clean + s * drawn)).expand(2, *clean.shape)
            first, second = denoiser.predict(y, path.step(index), patch, torch.zeros_like(patch))
            total += first - second
    size = total.norm(dim=0)
    return normalise(size.clamp(max=size.float().quantile(0.98)))
