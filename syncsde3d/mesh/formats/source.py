"""What every reader returns, the error that every reader raises, and the only ways to open a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np

from syncsde3d.mesh.formats.polygons import triangulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from numpy import ndarray

MAX_BYTES = 2 * 1024**3
MAX_FACES = 10_000_000


class MeshError(ValueError):
    """A mesh cannot be used. One line: the file, what is wrong, what was expected."""


@dataclass
class Node:
    """A node of the source's scene; see :class:`syncsde3d.mesh.types.Part`."""

    name: str = ""
    geometry: str = ""
    parent: int = -1
    matrix: Float[ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))


@dataclass
class Source:
    """A file's triangles as they are: indices are valid, but coordinates may not be finite.

    vertices: world coordinates [v, 3], float64.
    faces: vertex indices [f, 3].
    uvs: texture coordinates [t, 2], origin bottom-left; may be empty.
    uv_faces: indices into ``uvs`` [f, 3]; -1 where a corner has none.
    node, material: index of each face's node and material name [f].
    polygon: the file's face that each triangle was cut from [f]; empty where the format has triangles only.
    """

    vertices: Float[ndarray, "v 3"]
    faces: Int[ndarray, "f 3"]
    uvs: Float[ndarray, "t 2"]
    uv_faces: Int[ndarray, "f 3"]
    node: Int[ndarray, " f"]
    material: Int[ndarray, " f"]
    nodes: Sequence[Node] = (Node(),)
    materials: Sequence[str] = ("",)
    notes: list[str] = field(default_factory=list)
    polygon: Int[ndarray, " f"] = field(default_factory=lambda: np.empty(0, np.int64))


def polygon_source(
    vertices: Float[ndarray, "v 3"],
    corners: Int[ndarray, " k"],
    counts: Int[ndarray, " p"],
    uvs: Float[ndarray, "t 2"] | None = None,
    corner_uvs: Int[ndarray, " k"] | None = None,
) -> Source:
    """The source of a format without scene and materials.

    ``corners`` and ``corner_uvs`` index ``vertices`` and ``uvs`` for all polygons in a row, and ``counts``
    holds their numbers of corners.

    Raises:
        MeshError: too many faces, or an index that names no vertex.
    """
    uvs = np.empty((0, 2)) if uvs is None else uvs
    corner_uvs = np.full(len(corners), -1) if corner_uvs is None else corner_uvs
    check_face_count(int(np.maximum(counts - 2, 0).sum()))
    check_indices(corners, counts, len(vertices))
    enough = counts >= 3
    kept = np.repeat(enough, counts)
    corners, corner_uvs = corners[kept], corner_uvs[kept]
    triangles, polygon = triangulate(vertices, corners, counts[enough])
    zero = np.zeros(len(triangles), np.int64)
    source = Source(vertices, corners[triangles], uvs, corner_uvs[triangles], zero, zero)
    source.polygon = np.flatnonzero(enough)[polygon]
    if not enough.all():
        source.notes.append(f"ignored {int((~enough).sum())} faces with fewer than 3 corners")
    return source


def read_bytes(path: Path) -> bytes:
    """The file's content, once it is known to be a file of reasonable size."""
    if not path.exists():
        raise MeshError("no such file")
    if not path.is_file():
        raise MeshError("is not a file")
    size = path.stat().st_size
    if size == 0:
        raise MeshError("the file is empty (0 bytes)")
    if size > MAX_BYTES:
        raise MeshError(
            f"the file has {size:,} bytes, at most {MAX_BYTES:,} are read; decimate the mesh first"
        )
    return path.read_bytes()


def check_face_count(count: int) -> None:
    """Refuse absurd sizes before anything is allocated for them."""
    if count > MAX_FACES:
        raise MeshError(f"{count:,} faces, at most {MAX_FACES:,} are read; decimate the mesh first")


def check_indices(corners: Int[ndarray, " k"], counts: Int[ndarray, " p"], vertices: int) -> None:
    """Every corner must name one of the vertices."""
    bad = np.flatnonzero((corners < 0) | (corners >= vertices))
    if len(bad):
        face = int(np.searchsorted(np.cumsum(counts), bad[0], "right"))
        raise MeshError(
            f"face {face} (from 0) refers to vertex {corners[bad[0]]}, expected 0 to {vertices - 1}"
            + (f"; so do {len(bad) - 1} more corners" if len(bad) > 1 else "")
        )


def resolve_inside(folder: Path, reference: str) -> Path | None:
    """The file that ``reference`` names, or None where it leads out of ``folder`` (also through links).

    Absolute paths, drive letters, URLs and ``..`` are refused whatever they would lead to.
    """
    parts = reference.replace("\\", "/").split("/")
    if re.match(r"\w+:", reference) or parts[0] in ("", "~") or ".." in parts or "\0" in reference:
        return None
    root = folder.resolve()
    path = (root / "/".join(parts)).resolve()
    return path if path.is_relative_to(root) else None


def resolve_uri(folder: Path, uri: str) -> Path | None:
    """:func:`resolve_inside` for a glTF URI, whose special characters may be percent-encoded."""
    return resolve_inside(folder, unquote(uri))
