"""What the class files share: the jitter, and how a solid becomes a mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from syncsde3d.synthetic.shapes.fields import Field
from syncsde3d.synthetic.shapes.lathe import lathe
from syncsde3d.synthetic.shapes.mesher import polygonize

if TYPE_CHECKING:
    from jaxtyping import Float

Solid = tuple[np.ndarray, np.ndarray]


class Jitter:
    """Draws the proportions of one variant; every call advances it."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def __call__(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return float(self._generator.uniform(low, high))

    def maybe(self, chance: float = 0.5) -> bool:
        """True with probability ``chance``."""
        return bool(self._generator.uniform() < chance)


Builder = Callable[[Jitter], Solid]


def solid(make: Callable[[Jitter], Field], step: float = 0.028) -> Builder:
    """A builder that meshes the field made by ``make`` with grid spacing ``step``."""
    return lambda j: polygonize(make(j), step)


def lathed(make: Callable[[Jitter], Float[np.ndarray, "k 2"]], segments: int = 72) -> Builder:
    """A builder that turns the profile made by ``make``."""
    return lambda j: lathe(make(j), segments)[:2]
