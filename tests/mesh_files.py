"""Small mesh files made on the spot, for the tests of loading and exporting."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import trimesh


def box() -> tuple[np.ndarray, np.ndarray]:
    """Eight vertices and twelve outward triangles of the cube [-1, 1]^3."""
    mesh = trimesh.creation.box((2, 2, 2))
    return np.array(mesh.vertices), np.array(mesh.faces)


def sphere(subdivisions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions)
    return np.array(mesh.vertices), np.array(mesh.faces)


def obj_text(vertices, faces, uvs=None, uv_faces=None, head: str = "") -> str:
    lines = [head] + ["v {:.9g} {:.9g} {:.9g}".format(*v) for v in vertices]
    if uvs is None:
        lines += ["f " + " ".join(str(i + 1) for i in face) for face in faces]
    else:
        lines += ["vt {:.9g} {:.9g}".format(*uv) for uv in uvs]
        pairs = [zip(f, t, strict=True) for f, t in zip(faces, uv_faces, strict=True)]
        lines += ["f " + " ".join(f"{i + 1}/{j + 1}" for i, j in row) for row in pairs]
    return "\n".join(lines) + "\n"


class Gltf:
    """Builds a glTF tree and its buffer; ``save`` writes GLB, or glTF with a .bin file."""

    def __init__(self):
        self.data = b""
        self.tree = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], "meshes": []}
        self.tree |= {"nodes": [], "scene": 0, "scenes": [{"nodes": [0]}]}

    def view(self, content: bytes, **more) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), **more}
        self.tree["bufferViews"].append(entry)
        self.data += content
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, values, kind: int, **more) -> int:
        dtype = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}[kind]
        values = np.asarray(values)
        shape = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[values[0].size]
        view = self.view(np.ascontiguousarray(values, dtype).tobytes())
        entry = {"bufferView": view, "componentType": kind, "count": len(values), "type": shape, **more}
        if shape == "VEC3" and kind == 5126:
            entry |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        self.tree["accessors"].append(entry)
        return len(self.tree["accessors"]) - 1

    def mesh(self, vertices, faces, uvs=None, **primitive) -> int:
        attributes = {"POSITION": self.accessor(np.asarray(vertices, np.float32), 5126)}
        if uvs is not None:
            attributes["TEXCOORD_0"] = self.accessor(uvs, 5126)
        entry = {"attributes": attributes, **primitive}
        if faces is not None:
            entry["indices"] = self.accessor(np.ravel(faces)[:, None], 5125)
        self.tree["meshes"].append({"primitives": [entry]})
        return len(self.tree["meshes"]) - 1

    def bytes(self) -> bytes:
        tree = {**self.tree, "buffers": [{"byteLength": len(self.data)}]}
        text = json.dumps(tree).encode()
        text += b" " * (-len(text) % 4)
        data = self.data + b"\0" * (-len(self.data) % 4)
        body = struct.pack("<2I", len(text), 0x4E4F534A) + text
        body += struct.pack("<2I", len(data), 0x004E4942) + data
        return struct.pack("<4s2I", b"glTF", 2, 12 + len(body)) + body

    def save(self, path: Path) -> Path:
        if path.suffix == ".glb":
            path.write_bytes(self.bytes())
        else:
            path.with_suffix(".bin").write_bytes(self.data)
            buffer = {"byteLength": len(self.data), "uri": path.with_suffix(".bin").name}
            path.write_text(json.dumps({**self.tree, "buffers": [buffer]}))
        return path


def family(path: Path) -> Path:
    """A GLB with a tree of nodes: empty ones, a mirrored and a squeezed mesh, two materials, a name twice."""
    gltf = Gltf()
    vertices, faces = box()
    gltf.tree["materials"] = [{"name": "red"}, {"name": "blue"}]
    gltf.mesh(vertices, faces, material=0)
    gltf.tree["meshes"][0]["name"] = "cube"
    ball = gltf.mesh(*sphere(1), material=1)
    second = gltf.mesh(vertices * 0.2 + 3, faces, material=0)
    gltf.tree["meshes"][ball]["primitives"] += gltf.tree["meshes"].pop(second)["primitives"]
    gltf.tree["meshes"][ball]["name"] = "ball"
    turn = [0.0, 0.0, float(np.sin(0.3)), float(np.cos(0.3))]
    gltf.tree["nodes"] = [
        {"name": "root", "children": [1, 3], "scale": [2.0, 2.0, 2.0]},
        {"name": "arm", "children": [2], "translation": [5.0, 0.0, 0.0], "rotation": turn},
        {"name": "piece", "mesh": 0, "scale": [-1.0, 1.0, 0.5]},
        {"name": "piece", "mesh": 1, "children": [4], "translation": [0.0, 7.0, 0.0]},
        {"name": "socket"},
    ]
    return gltf.save(path)
