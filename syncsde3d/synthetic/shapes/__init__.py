"""Thirty-odd classes of procedural objects, each with endless variants.

Every mesh is closed and wound outwards, stands upright along +Y with its front towards +Z, is centred on its
bounding box and reaches the unit sphere.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from syncsde3d.synthetic.shapes import animals, furniture, garden, swimmers, toys, vehicles, vessels, wear
from syncsde3d.synthetic.shapes.solid import Builder, Jitter

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: Class name to the function that builds a variant.
SHAPES: dict[str, Builder] = {
    **wear.SHAPES,
    **vessels.SHAPES,
    **furniture.SHAPES,
    **vehicles.SHAPES,
    **garden.SHAPES,
    **animals.SHAPES,
    **swimmers.SHAPES,
    **toys.SHAPES,
}


def shape(name: str, seed: int = 0) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Vertices [v, 3] float32 and faces [f, 3] int64 of variant ``seed`` of class ``name``.

    Proportions and some details depend on the seed, the same way every time. Raises ValueError for an unknown
    name and ImportError without scikit-image.
    """
    if name not in SHAPES:
        raise ValueError(f"name: expected one of {', '.join(sorted(SHAPES))}; got '{name}'")
    generator = np.random.default_rng([zlib.crc32(name.encode()), seed])
    vertices, faces = SHAPES[name](Jitter(generator))
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices = vertices - 0.5 * (low + high)
    vertices = vertices / np.linalg.norm(vertices, axis=1).max()
    return vertices.astype(np.float32), faces


__all__ = ["SHAPES", "shape"]
