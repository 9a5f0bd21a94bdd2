"""STL, binary and ASCII, read by trimesh once the size of a binary file is known to be right."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from trimesh.exchange.stl import load_stl

from syncsde3d.mesh.formats.source import MeshError, Node, Source, check_face_count, read_bytes

if TYPE_CHECKING:
    from pathlib import Path


def read_stl(path: Path) -> Source:
    """Read the triangles; every ASCII solid becomes a node of its name."""
    data = read_bytes(path)
    count = int.from_bytes(data[80:84], "little")
    binary = len(data) == 84 + 50 * count
    if not binary and data.lstrip()[:5].lower() != b"solid":
        raise MeshError(
            f"the STL is truncated or none: {len(data):,} bytes, its header promises {count:,} faces"
        )
    check_face_count(count if binary else len(data) // 100)
    loaded = load_stl(io.BytesIO(data))
    solids = loaded["geometry"] if "geometry" in loaded else {loaded["metadata"].get("name", ""): loaded}
    if not solids:
        raise MeshError("no faces, expected triangles")
    vertices = np.concatenate([solid["vertices"] for solid in solids.values()]).astype(np.float64)
    faces = np.arange(len(vertices)).reshape(-1, 3)
    return Source(
        vertices=vertices,
        faces=faces,
        uvs=np.empty((0, 2)),
        uv_faces=np.full(faces.shape, -1),
        node=np.repeat(np.arange(len(solids)), [len(solid["faces"]) for solid in solids.values()]),
        material=np.zeros(len(faces), np.int64),
        nodes=[Node("" if str(name).startswith("geometry_") else str(name)) for name in solids],  # its filler
    )
