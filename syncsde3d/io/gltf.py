"""Textured meshes as GLB, in the input's coordinates, with its nodes and material names.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html. An own writer, because the
tree of nodes is to come out as it went in, and equal inputs give equal bytes.
"""

from __future__ import annotations

import io
import json
import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from syncsde3d.io.images import check_image
from syncsde3d.io.output import writing
from syncsde3d.mesh.normals import corner_normals

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from numpy import ndarray

    from syncsde3d.mesh.types import Mesh, Part

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
UNSIGNED_SHORT, UNSIGNED_INT, FLOAT = 5123, 5125, 5126
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071


def write_glb(path: str | os.PathLike[str], mesh: Mesh, texture: UInt8[ndarray, "h w 3"]) -> None:
    """Write ``mesh`` with ``texture`` (row 0 at the top, v = 1) as its base colour.

    Nodes keep names, parents and matrices; materials keep their names and all show the one texture,
    rough, not metallic, on both sides. Far from the origin, where 32-bit coordinates are too coarse, a
    free-standing mesh is moved by its node instead. The same input gives the same bytes.

    Raises:
        ValueError: no texture coordinates, not uint8 [h, w, 3], coordinates beyond 32-bit floats.
        OSError: the file cannot be written.
    """
    data = _glb(mesh, check_image(texture, "texture", (3,)))
    with writing(path) as temporary:
        temporary.write_bytes(data)


@dataclass
class GltfBuffer:
    """The binary chunk under construction, with the views and accessors into it."""

    data: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)

    def view(self, content: bytes, target: int | None = None) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)}
        self.views.append(entry if target is None else {**entry, "target": target})
        self.data += content
        return len(self.views) - 1

    def accessor(
        self, values: ndarray, kind: int, shape: str, target: int | None, bounds: bool = False
    ) -> int:
        entry: dict[str, Any] = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": kind,
            "count": len(values),
            "type": shape,
        }
        if bounds:
            entry |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        self.accessors.append(entry)
        return len(self.accessors) - 1


def _glb(mesh: Mesh, texture: UInt8[ndarray, "h w 3"]) -> bytes:
    if mesh.uvs is None or mesh.uv_faces is None:
        raise ValueError(f"mesh '{mesh.name}' has no texture coordinates, expected uvs and uv_faces")
    vertices = mesh.world_vertices().cpu().numpy()
    faces, uv_faces = mesh.faces.cpu().numpy(), mesh.uv_faces.cpu().numpy()
    uvs = mesh.uvs.double().cpu().numpy() * [1, -1] + [0, 1]  # glTF's origin is top-left
    parts = mesh.all_parts()
    materials = list(dict.fromkeys(name for part in parts for name, _ in part.materials))
    buffer, meshes, nodes = GltfBuffer(), [], []
    worlds: list[Float[ndarray, "4 4"]] = []
    children: dict[int, list[int]] = {}
    for i, part in enumerate(parts):
        children.setdefault(part.parent, []).append(i)
    for i, part in enumerate(parts):
        matrix = part.matrix.double().cpu().numpy()
        world = worlds[part.parent] @ matrix if part.parent >= 0 else matrix
        worlds.append(world)
        name = part.name or (mesh.name if len(parts) == 1 else "")
        node: dict[str, Any] = {"name": name} if name else {}
        if part.faces.stop > part.faces.start:
            used, local_faces = np.unique(faces[part.faces], return_inverse=True)
            if i not in children and part.parent < 0 and np.array_equal(matrix, np.eye(4)):
                matrix = world = _near_origin(vertices[used])
            local = (vertices[used] - world[:3, 3]) @ np.linalg.pinv(world[:3, :3]).T
            node["mesh"] = len(meshes)
            mirrored = np.linalg.det(world[:3, :3]) < 0
            corners = local_faces.reshape(-1, 3), uv_faces[part.faces]
            primitives = _primitives(buffer, local, *corners, uvs, part, materials, mirrored)
            meshes.append({"name": part.geometry or part.name or mesh.name, "primitives": primitives})
        if not np.array_equal(matrix, np.eye(4)):
            node["matrix"] = matrix.T.ravel().tolist()
        if i in children:
            node["children"] = children[i]
        nodes.append(node)
    png = io.BytesIO()
    Image.fromarray(texture).save(png, format="PNG")
    image = {"bufferView": buffer.view(png.getvalue()), "mimeType": "image/png", "name": mesh.name}
    surface = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    tree = {
        "asset": {"version": "2.0", "generator": "syncsde3d"},
        "scene": 0,
        "scenes": [{"nodes": children[-1]}],
        "nodes": nodes,
        "meshes": meshes,
        "materials": [
            {"name": name or mesh.name, "pbrMetallicRoughness": surface, "doubleSided": True}
            for name in materials
        ],
        "textures": [{"sampler": 0, "source": 0}],
        "images": [image],
        "samplers": [
            {
                "magFilter": LINEAR,
                "minFilter": LINEAR_MIPMAP_LINEAR,
                "wrapS": CLAMP_TO_EDGE,
                "wrapT": CLAMP_TO_EDGE,
            }
        ],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    return glb_container(tree, bytes(buffer.data))


def _near_origin(vertices: Float[ndarray, "v 3"]) -> Float[ndarray, "4 4"]:
    """The matrix of a node that spares 32-bit coordinates a long way: identity where they are fine enough."""
    matrix = np.eye(4)
    low, high = vertices.min(0), vertices.max(0)
    if np.abs(vertices).max() > 8 * (high - low).max():
        matrix[:3, 3] = low + (high - low) / 2
    return matrix


def _primitives(
    buffer: GltfBuffer,
    vertices: Float[ndarray, "v 3"],
    faces: Int[ndarray, "f 3"],
    uv_faces: Int[ndarray, "f 3"],
    uvs: Float[ndarray, "t 2"],
    part: Part,
    materials: list[str],
    mirrored: bool,
) -> list[dict[str, Any]]:
    """One primitive per material of a part, all over the same vertices."""
    if mirrored:  # a mirroring node turns its triangles over
        faces, uv_faces = faces[:, ::-1], uv_faces[:, ::-1]
    normals, normal_faces = corner_normals(vertices, faces)
    key = normal_faces * len(uvs) + uv_faces  # a normal belongs to one vertex
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    index = index.reshape(-1, 3)
    with np.errstate(over="ignore"):
        positions = vertices[faces.ravel()[first]].astype("<f4")
    if not np.isfinite(positions).all():
        raise ValueError(f"mesh: coordinates up to {np.abs(vertices).max():g}, expected less than 3.4e38")
    attributes = {
        "POSITION": buffer.accessor(positions, FLOAT, "VEC3", ARRAY_BUFFER, bounds=True),
        "NORMAL": buffer.accessor(
            normals[normal_faces.ravel()[first]].astype("<f4"), FLOAT, "VEC3", ARRAY_BUFFER
        ),
        "TEXCOORD_0": buffer.accessor(
            uvs[uv_faces.ravel()[first]].astype("<f4"), FLOAT, "VEC2", ARRAY_BUFFER
        ),
    }
    kind, dtype = (UNSIGNED_SHORT, "<u2") if len(first) < 2**16 else (UNSIGNED_INT, "<u4")
    return [
        {
            "attributes": attributes,
            "indices": buffer.accessor(
                index[run.start - part.faces.start : run.stop - part.faces.start].ravel().astype(dtype),
                kind,
                "SCALAR",
                ELEMENT_ARRAY_BUFFER,
            ),
            "material": materials.index(name),
        }
        for name, run in part.materials
    ]


def glb_container(tree: dict[str, Any], data: bytes) -> bytes:
    """JSON and binary chunk in a GLB."""
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
    chunks = b""
    for kind, content, fill in ((0x4E4F534A, text, b" "), (0x004E4942, data, b"\0")):
        content += fill * (-len(content) % 4)
        chunks += struct.pack("<2I", len(content), kind) + content
    return struct.pack("<4s2I", b"glTF", 2, 12 + len(chunks)) + chunks
