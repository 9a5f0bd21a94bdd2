"""Image editing: a masked image whose background is the trajectory that leads to a given picture.

y^1 is the source inverted (all its states are known and imposed), y^2 the target prompt tied to it outside
the region, y^3 the whole: Eq. 8-11 as in :mod:`syncsde3d.tasks.masked_image`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from syncsde3d.core import GaussianPath, Trajectory
from syncsde3d.core.inversion import hold
from syncsde3d.tasks.masked_image import MaskedImageTask

if TYPE_CHECKING:
    from jaxtyping import Float


class ImageEditingTask(MaskedImageTask):
    """Patches [c, h, w]: the source, the target, and the edited whole, which is the result.

    states: the source's trajectory, noisiest first, its clean state last [steps + 1, c, h, w], from
    :func:`syncsde3d.core.inversion.invert` with the same sampler. region: what to edit, [h, w] in [0, 1].
    keep_layout: begin the target in the source's noise as well as the whole, which keeps shapes; False leaves
    the target its own noise inside the region (with ``share_noise`` the whole takes it over there).

    Raises ValueError for a region that does not fit the states, and in a run of another number of steps.
    """

    def __init__(
        self, states: Float[Tensor, "n c h w"], region: Float[Tensor, "h w"], keep_layout: bool = True
    ) -> None:
        super().__init__([region])
        if states.shape[-2:] != region.shape:
            raise ValueError(f"region: expected {tuple(states.shape[-2:])}, got {tuple(region.shape)}")
        self.states, self.keep_layout = states, keep_layout

    @property
    def source(self) -> Trajectory:
        """Trajectory 0, finished: ``stream(..., earlier=[task.source], first=1)`` spends no call on it."""
        return Trajectory(0, self.states)

    def impose(self, y: Tensor, patches: Tensor, path: GaussianPath, index: int) -> Tensor:
        if len(path) != len(self.states) - 1:
            raise ValueError(f"states: expected {len(path) + 1}, got {len(self.states)}")
        known = {0: self.states}
        if index == 0:
            known |= {2: self.states} | ({1: self.states} if self.keep_layout else {})
        return hold(y, patches, index, known)
