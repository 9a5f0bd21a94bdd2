"""One guided call of the network for a set of patches, split to fit memory."""

from __future__ import annotations

import torch
from torch import Tensor

from syncsde3d.core.protocols import Denoiser, Step


def denoise(
    denoiser: Denoiser, y: Tensor, step: Step, patches: Tensor, max_batch: int | None = None
) -> Tensor:
    """The network's output for network inputs ``y`` [k, ...] of the given patches [k].

    With classifier-free guidance both branches of a patch go through in the same batched call:
    ``uncond + g (cond - uncond)``. max_batch: the most rows of a call; None means no limit.
    """
    if max_batch is not None and max_batch < 1:
        raise ValueError(f"max_batch: expected at least 1, got {max_batch}")
    guided = denoiser.guidance_scale != 1.0
    branches = 2 if guided else 1
    rows = y.repeat_interleave(branches, dim=0)
    patch = patches.repeat_interleave(branches)
    branch = torch.arange(branches, device=y.device).repeat(len(y))
    size = max_batch or len(rows)
    out = torch.cat(
        [
            denoiser.predict(rows[i : i + size], step, patch[i : i + size], branch[i : i + size])
            for i in range(0, len(rows), size)
        ]
    ).to(y.dtype)
    if not guided:
        return out
    cond, uncond = out.unflatten(0, (-1, 2)).unbind(1)
    return uncond + denoiser.guidance_scale * (cond - uncond)
