"""Files in: read, validate, repair, normalise.

OBJ, GLB/glTF, PLY, STL and OFF become one :class:`Mesh` of all their parts, with world transforms
applied. Nothing outside the file's folder is opened. Every failure is a :class:`MeshError` of one line.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from syncsde3d.mesh.formats.gltf import read_gltf
from syncsde3d.mesh.formats.obj import read_obj
from syncsde3d.mesh.formats.off import read_off
from syncsde3d.mesh.formats.ply import read_ply
from syncsde3d.mesh.formats.source import MeshError, Source
from syncsde3d.mesh.formats.stl import read_stl
from syncsde3d.mesh.repair import repair
from syncsde3d.mesh.types import Mesh, Part

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from jaxtyping import Float
    from numpy import ndarray

__all__ = ["READERS", "MeshError", "load_mesh"]

READERS = {
    ".obj": read_obj,
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".ply": read_ply,
    ".stl": read_stl,
    ".off": read_off,
}

log = logging.getLogger(__name__)


def load_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Read a mesh file into sampling space.

    The mesh is centred by its bounding box and scaled so that its farthest vertex lies on the unit sphere;
    unlike the mean of the vertices, the box does not depend on how densely a part is tessellated. What was
    repaired or ignored stands in ``notes`` and is logged once, as one warning. Texture coordinates are the
    file's own, unchecked but finite and complete; otherwise they are dropped.

    Raises:
        MeshError: the file is missing, broken, too large, of an unknown format, or has no sound face.
    """
    path = Path(path)
    try:
        reader = READERS.get(path.suffix.lower())
        if reader is None and path.exists():
            raise MeshError(f"unknown extension '{path.suffix}', expected one of {', '.join(READERS)}")
        mesh = _to_mesh(repair(_read(reader or read_obj, path)), path.stem)
    except MeshError as error:
        raise MeshError(f"mesh '{path.name}': {_one_line(error)}") from error.__cause__
    if mesh.notes:
        log.warning("mesh '%s': %s", path.name, "; ".join(mesh.notes))
    return mesh


def _read(reader: Callable[[Path], Source], path: Path) -> Source:
    """The reader's result without texture coordinates that are of no use; whatever fails is a MeshError."""
    try:
        source = reader(path)
    except MeshError:
        raise
    except Exception as error:
        message = f"it cannot be read ({type(error).__name__}: {_one_line(error)})"
        raise MeshError(f"{message}, expected a sound {path.suffix[1:].upper()} file") from error
    missing = int((source.uv_faces < 0).any(1).sum())
    broken = int((~np.isfinite(source.uvs[np.unique(source.uv_faces)])).any(1).sum()) if not missing else 0
    if not len(source.uvs) or not (missing or broken):
        return source
    why = f"which {missing} of {len(source.faces)} faces lack" if missing else f"{broken} of them not finite"
    notes = [*source.notes, f"ignored the texture coordinates, {why}"]
    return replace(source, uvs=source.uvs[:0], uv_faces=np.full_like(source.uv_faces, -1), notes=notes)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _to_mesh(source: Source, name: str) -> Mesh:
    """Normalise, and turn arrays into the types that the rest of the package speaks."""
    vertices, center, scale = _normalise(source.vertices)
    has_uvs = len(source.uvs) > 0
    return Mesh(
        vertices=torch.from_numpy(vertices.astype(np.float32)),
        faces=torch.from_numpy(source.faces),
        uvs=torch.from_numpy(source.uvs.astype(np.float32)) if has_uvs else None,
        uv_faces=torch.from_numpy(source.uv_faces) if has_uvs else None,
        name=name,
        center=(float(center[0]), float(center[1]), float(center[2])),
        scale=scale,
        parts=_parts(source),
        notes=tuple(source.notes),
    )


def _normalise(vertices: Float[ndarray, "v 3"]) -> tuple[ndarray, ndarray, float]:
    """Vertices in the unit sphere around the centre of their bounding box; that centre; the radius."""
    low, high = vertices.min(0), vertices.max(0)
    center = low + (high - low) / 2
    extent = (high - low).max()
    scale = float(np.linalg.norm((vertices - center) / extent, axis=1).max() * extent)
    return (vertices - center) / scale, center, scale


def _parts(source: Source) -> tuple[Part, ...]:
    """The source's nodes with the slices of the (ordered) faces that are theirs."""
    starts = np.searchsorted(source.node, np.arange(len(source.nodes) + 1))
    parts = []
    for i, node in enumerate(source.nodes):
        start, stop = int(starts[i]), int(starts[i + 1])
        runs = np.flatnonzero(np.diff(source.material[start:stop], prepend=-1)) + start
        ends = [*runs[1:], stop]
        names = [source.materials[int(k)] for k in source.material[runs]]
        materials = tuple((n, slice(int(a), int(b))) for n, a, b in zip(names, runs, ends, strict=False))
        matrix = torch.from_numpy(np.ascontiguousarray(node.matrix))
        parts.append(Part(node.name, node.geometry, slice(start, stop), materials, node.parent, matrix))
    return tuple(parts)
