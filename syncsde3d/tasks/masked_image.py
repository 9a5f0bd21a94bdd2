"""Masked images (Eq. 8-11): a prompt for the background, one for each region, and one for the whole.

Trajectory 1 is the background; those of the regions are tied to it outside their region; the last is the
whole picture, tied everywhere to the one that owns the place: ``X~ = B y^1 + sum_k F_k y^{k+1}``, M = 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from syncsde3d.core import Agreement, Task

if TYPE_CHECKING:
    from jaxtyping import Float


class MaskedImageTask(Task):
    """Patches [c, h, w] of one place: the background, the regions in order, and the whole, the result.

    regions: masks [h, w] in [0, 1] at the patches' resolution, 1 inside; where they overlap the later is on
    top, and what they leave is the background B (with one region F, B = 1 - F and these are Eq. 8-11).

    A soft mask is a soft precision: where B = 0.3, a region's trajectory is pulled to the background's with
    M = 0.3, by ``1 - exp(-0.3 gamma/lambda)`` of the distance in a step, and the whole to their mean by B.
    Trajectories that begin in one noise (``share_noise``) agree where M > 0 at first; begun apart, the mean
    of two of them has less noise than the model expects, so keep the soft rim of a mask a few pixels wide.

    Raises ValueError, naming the region, for a mask of another shape or outside [0, 1].
    """

    def __init__(self, regions: Sequence[Float[Tensor, "h w"]]) -> None:
        if not regions:
            raise ValueError("regions: expected at least one mask, got none")
        for k, mask in enumerate(regions):
            if mask.ndim != 2 or mask.shape != regions[0].shape:
                expected = f"a mask of shape {tuple(regions[0].shape)}" if k else "a mask [h, w]"
                raise ValueError(f"regions[{k}]: expected {expected}, got {tuple(mask.shape)}")
            if not ((mask >= 0) & (mask <= 1)).all():
                raise ValueError(f"regions[{k}]: expected values in [0, 1], got some outside")
        shares, left = [], torch.ones_like(regions[0])
        for mask in reversed(regions):
            shares.append(left * mask)
            left = left * (1 - mask)
        #: What part of each place is background, and each region's, summing to 1 [1 + regions, 1, h, w].
        self.shares = torch.stack([left, *reversed(shares)])[:, None]
        self.count = len(regions) + 2
        self.lookback = self.count - 1

    def needs(self, i: int) -> tuple[int, ...]:
        return tuple(range(i))

    def reference(self, i: int, earlier: Mapping[int, Tensor]) -> Tensor:
        """The mean of earlier trajectories by their shares of each place; 0 where they have none."""
        shares = self.shares[:i].to(earlier[0])
        total = shares.sum(0)
        mixed = sum(shares[j] * earlier[j] for j in range(i))
        return torch.where(total > 0, mixed / total.clamp(min=torch.finfo(total.dtype).tiny), 0)

    def precision(self, i: int) -> Tensor:
        """The places' share that belongs to earlier trajectories; 1 for the whole picture."""
        return self.shares[:i].sum(0).clamp(max=1) if i < self.count - 1 else torch.ones_like(self.shares[0])

    def agree(self, values: Tensor, how: Agreement) -> tuple[Tensor, Tensor]:
        """ "mean": half the whole, half the others by their shares; "best": the largest share's alone."""
        shares = self.shares.to(values)
        if how == "best":
            owner = shares.argmax(0, keepdim=True).expand(1, *values.shape[1:])
            agreed = values[:-1].gather(0, owner)[0]
        else:
            agreed = (values[-1] + (shares * values[:-1]).sum(0)) / 2
        return agreed.expand_as(values), torch.ones((), dtype=torch.bool, device=values.device)

    def assemble(self, patches: Float[Tensor, "n c h w"]) -> Float[Tensor, "c h w"]:
        """The whole picture."""
        return patches[-1]
