"""Ambiguous images: one picture that shows something else when seen another way.

Patch i is the picture through view ``f_i``; its reference is the patch before it, seen the same way:
``X~^i = f_i(f_{i-1}^{-1}(y^{i-1}))``, M = 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from syncsde3d.core import Agreement, Task
from syncsde3d.core.operators import Permutation

if TYPE_CHECKING:
    from jaxtyping import Float


class AmbiguousImageTask(Task):
    """Patches [c, h, w], one per view; the picture is what the first view, the identity, shows.

    views: two or more permutations of the pixels (so that noise stays white), the first the identity, such as
    :func:`syncsde3d.core.operators.make_view` makes. Raises ValueError for views that do not fit together.
    """

    lookback = 1

    def __init__(self, views: Sequence[Permutation]) -> None:
        if not views:
            raise ValueError("views: expected at least one, got none")
        shape = views[0].index.shape
        if not torch.equal(views[0].index, torch.arange(shape.numel()).reshape(shape)):
            raise ValueError("views[0]: expected the identity, got another view")
        for i, view in enumerate(views):
            if view.index.shape != shape:
                raise ValueError(f"views[{i}]: expected {tuple(shape)} pixels, got {tuple(view.index.shape)}")
        self.views, self.count = tuple(views), len(views)
        self._back = tuple(view.inverse() for view in views)
        self._from_last = tuple(
            back.then(view) for back, view in zip(self._back[:-1], self.views[1:], strict=True)
        )

    def needs(self, i: int) -> tuple[int, ...]:
        return () if i == 0 else (i - 1,)

    def reference(self, i: int, earlier: Mapping[int, Tensor]) -> Tensor:
        return self._from_last[i - 1].apply(earlier[i - 1])

    def precision(self, i: int) -> Tensor:
        return torch.ones(())

    def agree(self, values: Tensor, how: Agreement) -> tuple[Tensor, Tensor]:
        """ "mean" over all views; "best": all see equally well, so the first."""
        if how == "mean":
            picture = torch.stack([b.apply(v) for b, v in zip(self._back, values, strict=True)]).mean(0)
        else:
            picture = values[0]
        return self.show(picture), torch.ones((), dtype=torch.bool, device=values.device)

    def show(self, picture: Float[Tensor, "c h w"]) -> Float[Tensor, "n c h w"]:
        """The picture through each view."""
        return torch.stack([view.apply(picture) for view in self.views])

    def assemble(self, patches: Float[Tensor, "n c h w"]) -> Float[Tensor, "c h w"]:
        """The picture: what the last trajectory, tied to all others, shows, seen the right way up."""
        return self._back[-1].apply(patches[-1])
