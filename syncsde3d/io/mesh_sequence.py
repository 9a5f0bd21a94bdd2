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
    triangles = "".join(f"f {a} {b} {c}\n" for a, b, c in (faces.cpu() + 1).tolist())
    count = 0
    with atomic_folder(folder) as temporary:
        for vertices in frames:
            points = "".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices.cpu().tolist())
            name = temporary / f"frame_{count:05d}.obj"
            name.write_text(f"# syncsde3d\n{points}{triangles}", encoding="ascii", newline="\n")
            count += 1
    return count
