"""Mesh texturing (Eq. 18-19): views of one object, tied where they see the same surface.

``A_i`` renders view i of the texture composed from the views before it. Geometry is fixed while sampling, so
all ``A_i`` together are one sparse product; the task is *given* it and knows nothing of meshes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from syncsde3d.core import Agreement, GaussianPath, Task

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


class ViewOperator(Protocol):
    """A linear map from all views to all views, such as :class:`syncsde3d.mesh.view_matrix.ViewMatrix`."""

    @property
    def precision(self) -> Float[Tensor, "n h w"]:
        """How far each pixel's reference is to be trusted, in [0, 1]."""
        ...

    @property
    def mask(self) -> Bool[Tensor, "n h w"]:
        """Where a pixel has a reference."""
        ...

    def needs(self, view: int) -> tuple[int, ...]:
        """The views that contribute to one view."""
        ...

    def apply(self, values: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """All views at once."""
        ...

    def apply_to_view(self, view: int, values: Mapping[int, Tensor]) -> Float[Tensor, "c h w"]:
        """One view from the views it needs."""
        ...


@dataclass(frozen=True)
class Backdrop:
    """Plain pictures put behind the object while sampling, changed from step to step.

    A model paints the object to suit what stands behind it; a backdrop that keeps changing leaves it
    nothing to suit, so that none of the background bleeds into the views.

    pictures: encoded backdrops [k, c, h, w]. choice: which of them stands behind each view in each step
    [steps, n], -1 for none. noise: unit Gaussian they are noised with [n, c, h, w]. mask: True on
    background [n, h, w].
    """

    pictures: Float[Tensor, "k c h w"]
    choice: Int[Tensor, "steps n"]
    noise: Float[Tensor, "n c h w"]
    mask: Bool[Tensor, "n h w"]


class MeshTextureTask(Task):
    """Views as patches, the earlier views' texture as reference.

    chain: each view from the earlier ones, with its precision. agreement: each view from all of them, for
    the symmetric strategies, by how they are combined. backdrop: what stands behind the object, if anything.
    """

    def __init__(
        self,
        chain: ViewOperator,
        agreement: Mapping[Agreement, ViewOperator] | None = None,
        backdrop: Backdrop | None = None,
    ) -> None:
        self.chain, self.agreement, self.backdrop = chain, dict(agreement or {}), backdrop
        self.count = self.lookback = chain.precision.shape[0]

    def needs(self, i: int) -> tuple[int, ...]:
        return self.chain.needs(i)

    def reference(self, i: int, earlier: Mapping[int, Tensor]) -> Tensor:
        return self.chain.apply_to_view(i, earlier)

    def references(self, y: Tensor) -> Tensor:
        return self.chain.apply(y)

    def precision(self, i: int) -> Tensor:
        return self.chain.precision[i][None]

    def agree(self, values: Tensor, how: Agreement) -> tuple[Tensor, Tensor]:
        if how not in self.agreement:
            raise ValueError(f"how: this task was given no {how!r} agreement")
        operator = self.agreement[how]
        return operator.apply(values), operator.mask[:, None]

    def impose(self, y: Tensor, patches: Tensor, path: GaussianPath, index: int) -> Tensor:
        if self.backdrop is None or (self.backdrop.choice[index] < 0).all():
            return y
        choice = self.backdrop.choice[index, patches]
        clean, noise = self.backdrop.pictures[choice].to(y), self.backdrop.noise[patches].to(y)
        behind = self.backdrop.mask[patches] & (choice >= 0)[:, None, None]
        noised = float(path.a[index]) * clean + float(path.s[index]) * noise
        return torch.where(behind[:, None], noised, y)
