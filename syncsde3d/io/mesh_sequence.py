"""A moving mesh as numbered OBJ files, which every 3-D program imports as a sequence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from syncsde3d.io.atomic import atomic_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float, Int
    from torch import Tensor


def write_mesh_sequence(
    folder: str | os.PathLike[str], frames: Iterable[Float[Tensor, "v 3"]], faces: Int[Tensor, "f 3"]
) -> int:
    """Write ``frame_00000.obj`` and so on, metres, one after the other as they come; returns how many.

    The folder appears whole or not at all, in the place of one that was there.

    Raises:
        OSError: the folder cannot be written.
    """
    triangles = "f %d %d %d\n" * len(faces) % tuple((faces.cpu() + 1).flatten().tolist())
    count = 0
    with atomic_folder(folder) as temporary:
        for vertices in frames:
            points = "v %.6f %.6f %.6f\n" * len(vertices) % tuple(vertices.cpu().flatten().tolist())
            name = temporary / f"frame_{count:05d}.obj"
            name.write_text(f"# syncsde3d\n{points}{triangles}", encoding="ascii", newline="\n")
            count += 1
    return count
