"""OFF text (also COFF, NOFF and the like): the first three numbers of a vertex line are its position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from syncsde3d.mesh.formats.source import MeshError, Source, polygon_source, read_bytes

if TYPE_CHECKING:
    from pathlib import Path


def read_off(path: Path) -> Source:
    """Read positions and faces; colours and normals are passed over."""
    text = read_bytes(path).decode("utf-8", "replace")
    rows = [row for row in (line.split("#", 1)[0].split() for line in text.splitlines()) if row]
    if not rows or not rows[0][0].upper().endswith("OFF") or "BINARY" in map(str.upper, rows[0]):
        raise MeshError("this is no OFF text (it does not start with 'OFF')")
    rows[0] = rows[0][1:]
    rows = rows if rows[0] else rows[1:]
    try:
        vertex_count, face_count = map(int, rows[0][:2])
        vertex_rows = rows[1 : vertex_count + 1]
        face_rows = rows[vertex_count + 1 : vertex_count + face_count + 1]
        if min(vertex_count, face_count) < 0 or len(vertex_rows) + len(face_rows) < vertex_count + face_count:
            raise MeshError(
                f"the OFF is truncated: {vertex_count:,} vertices and {face_count:,} faces promised,"
                f" {len(rows) - 1:,} lines follow"
            )
        if not face_count:
            raise MeshError(f"no faces ({vertex_count} vertices), expected lines with 3 corners or more")
        vertices = np.array([row[:3] for row in vertex_rows], np.float64).reshape(-1, 3)
        faces = [[int(token) for token in row[1 : int(row[0]) + 1]] for row in face_rows]
        if any(len(face) != int(row[0]) for face, row in zip(faces, face_rows, strict=True)):
            raise MeshError("the OFF has a face line with fewer corners than it promises")
    except (ValueError, IndexError) as error:
        if isinstance(error, MeshError):
            raise
        raise MeshError(f"the OFF text cannot be read ({str(error)[:80]})") from None
    counts = np.array([len(face) for face in faces])
    return polygon_source(vertices, np.concatenate(faces).astype(np.int64), counts)
