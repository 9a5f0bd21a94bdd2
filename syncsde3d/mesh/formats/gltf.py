"""glTF 2.0 and GLB: the scene's triangles in world coordinates, with the tree of nodes they came from.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html. An own reader, because exports
restore the nodes, and skins, sparse and quantised accessors and texture coordinates without a material
must not be lost. Every offset is checked against its buffer before anything is read.
"""

from __future__ import annotations

import base64
import json
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from syncsde3d.mesh.formats.source import (
    MeshError,
    Node,
    Source,
    check_face_count,
    check_indices,
    read_bytes,
    resolve_uri,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jaxtyping import Float, Int
    from numpy import ndarray

TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MAX_NODES = 100_000
COMPRESSED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")


@dataclass
class _File:
    """The JSON part, the folder for its URIs, and the buffers read so far."""

    tree: dict[str, Any]
    folder: Path
    binary: bytes | None
    buffers: dict[int, bytes] = field(default_factory=dict)

    def item(self, kind: str, index: Any) -> dict[str, Any]:
        """Entry ``index`` of a top-level list."""
        items = self.tree.get(kind, [])
        if not isinstance(index, int) or not 0 <= index < len(items):
            raise MeshError(f"glTF refers to {kind}[{index}], the file has {len(items)}")
        return items[index]

    def buffer(self, index: int) -> bytes:
        """The bytes of a buffer: the GLB's own chunk, a data URI, or a file inside the folder."""
        if index not in self.buffers:
            entry = self.item("buffers", index)
            data = self._load(entry.get("uri"), index)
            if len(data) < entry["byteLength"]:
                need = entry["byteLength"]
                raise MeshError(f"buffer {index} is truncated: it has {len(data)} bytes, expected {need}")
            self.buffers[index] = data
        return self.buffers[index]

    def _load(self, uri: str | None, index: int) -> bytes:
        if uri is None:
            if index or self.binary is None:
                raise MeshError(f"buffer {index} has no data (neither a URI nor a binary chunk)")
            return self.binary
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2])
        path = resolve_uri(self.folder, uri)
        if path is None:
            raise MeshError(f"buffer {index} refers to '{uri[:80]}', which leads out of the mesh's folder")
        try:
            return read_bytes(path)
        except MeshError as error:
            raise MeshError(f"buffer {index} ('{uri[:80]}'): {error}") from None

    def view(self, index: int, offset: int, count: int, width: int, kind: str) -> ndarray:
        """``count`` rows of ``width`` numbers from a buffer view [count, width]."""
        entry = self.item("bufferViews", index)
        data, dtype = self.buffer(entry["buffer"]), np.dtype(kind)
        start, length = entry.get("byteOffset", 0), entry["byteLength"]
        stride = entry.get("byteStride", dtype.itemsize * width)
        need = offset + (count - 1) * stride + dtype.itemsize * width
        if min(start, length, offset, stride - 1) < 0 or need > length or start + length > len(data):
            raise MeshError(
                f"an accessor needs {need} bytes of bufferViews[{index}], which has {length}"
                f" (buffer: {len(data)} bytes)"
            )
        return np.ndarray((count, width), dtype, data, start + offset, (stride, dtype.itemsize))

    def accessor(self, index: Any, width: int) -> ndarray:
        """An accessor's values [count, width]; normalised integers become numbers in [-1, 1]."""
        entry = self.item("accessors", index)
        count, kind = entry["count"], TYPES[entry["componentType"]]
        if WIDTHS[entry["type"]] != width or not isinstance(count, int) or count < 1:
            raise MeshError(
                f"accessors[{index}] holds {count} x {entry['type']}, expected {width} numbers each"
            )
        if "bufferView" in entry:
            values = self.view(entry["bufferView"], entry.get("byteOffset", 0), count, width, kind)
        elif "sparse" in entry:
            check_face_count(count)
            values = np.zeros((count, width), kind)
        else:
            raise MeshError(f"accessors[{index}] has no data, expected an uncompressed mesh")
        if "sparse" in entry:
            sparse = entry["sparse"]
            where, new, size = sparse["indices"], sparse["values"], sparse["count"]
            kind_of_index = TYPES[where["componentType"]]
            rows = self.view(where["bufferView"], where.get("byteOffset", 0), size, 1, kind_of_index)
            if rows.max() >= count:
                raise MeshError(f"accessors[{index}] replaces value {rows.max()}, it has {count}")
            values = values.copy()
            values[rows[:, 0]] = self.view(new["bufferView"], new.get("byteOffset", 0), size, width, kind)
        if entry.get("normalized") and values.dtype.kind in "iu":
            return np.maximum(values / np.float64(np.iinfo(values.dtype).max), -1.0)
        return values


def read_gltf(path: Path) -> Source:
    """Read a .glb or .gltf file: the default scene, every mesh where its nodes put it."""
    tree, binary = _split(path)
    version = str(tree.get("asset", {}).get("version", ""))
    if not version.startswith("2."):
        raise MeshError(f"glTF version '{version[:20]}', expected 2.0")
    compressed = [name for name in COMPRESSED if name in tree.get("extensionsRequired", [])]
    if compressed:
        raise MeshError(f"the mesh is compressed ({compressed[0]}), expected plain glTF; export it without")
    try:
        return _Scene(_File(tree, path.parent, binary)).read()
    except KeyError as error:
        raise MeshError(f"the glTF lacks a required entry, or holds an unknown one: {error}") from error


def _split(path: Path) -> tuple[dict[str, Any], bytes | None]:
    """The JSON part and the binary chunk."""
    data = read_bytes(path)
    binary = None
    if path.suffix.lower() == ".glb":
        if data[:4] != b"glTF":
            raise MeshError("this is no GLB (it does not start with 'glTF')")
        if len(data) < 20:
            raise MeshError(f"the GLB is truncated: {len(data)} bytes, a header has 20")
        version, length, json_length, json_type = struct.unpack_from("<4I", data, 4)
        if version != 2:
            raise MeshError(f"GLB version {version}, expected 2")
        if length > len(data):
            raise MeshError(f"the GLB is truncated: its header says {length} bytes, the file has {len(data)}")
        end = 20 + json_length
        if end > length or json_type != 0x4E4F534A:
            raise MeshError("the GLB's first chunk is not complete JSON")
        if end + 8 <= length:
            size, kind = struct.unpack_from("<2I", data, end)
            if end + 8 + size > length:
                raise MeshError(f"the GLB is truncated: its binary chunk should have {size} bytes")
            binary = data[end + 8 : end + 8 + size] if kind == 0x004E4942 else None
        data = data[20:end]
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MeshError(f"the glTF's JSON cannot be read ({str(error)[:80]})") from None
    if not isinstance(tree, dict):
        raise MeshError("the glTF's JSON is no object")
    return tree, binary


@dataclass
class _Scene:
    """Collects the triangles while walking the nodes."""

    file: _File
    nodes: list[Node] = field(default_factory=list)
    world: list[Float[ndarray, "4 4"]] = field(default_factory=list)
    position: dict[int, int] = field(default_factory=dict)  # glTF node index -> index in `nodes`
    vertices: list[ndarray] = field(default_factory=list)
    uvs: list[ndarray] = field(default_factory=list)
    faces: list[tuple[ndarray, ndarray, int, int]] = field(default_factory=list)  # with uv, node, material
    materials: list[str] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    vertex_count: int = 0
    uv_count: int = 0

    def read(self) -> Source:
        if self.file.tree.get("animations"):
            self.notes["took the scene at rest, as exports carry no animation"] = None
        order = list(self._walk())
        uses = Counter(node["mesh"] for node in map(self._node, order) if "mesh" in node)
        check_face_count(sum(self._promised_faces(mesh) * count for mesh, count in uses.items()))
        for index in order:
            node = self._node(index)
            if "mesh" in node:
                self._add_mesh(node, self.position[index])
        if not self.faces:
            raise MeshError("no faces (the scene shows no triangles)")
        sizes = [len(faces) for faces, *_ in self.faces]
        return Source(
            vertices=np.concatenate(self.vertices),
            faces=np.concatenate([faces for faces, *_ in self.faces]),
            uvs=np.concatenate([np.empty((0, 2)), *self.uvs]),
            uv_faces=np.concatenate([uv for _, uv, *_ in self.faces]),
            node=np.repeat([node for *_, node, _ in self.faces], sizes),
            material=np.repeat([material for *_, material in self.faces], sizes),
            nodes=self.nodes,
            materials=self.materials,
            notes=list(self.notes),
        )

    def _node(self, index: int) -> dict[str, Any]:
        return self.file.item("nodes", index)

    def _promised_faces(self, mesh: int) -> int:
        """How many triangles the accessors of a mesh claim to make."""
        total = 0
        for primitive in self.file.item("meshes", mesh)["primitives"]:
            accessor = primitive.get("indices", primitive["attributes"]["POSITION"])
            total += self.file.item("accessors", accessor)["count"] // (
                3 if primitive.get("mode", 4) == 4 else 1
            )
        return total

    def _walk(self) -> Iterator[int]:
        """Index of every node of the scene, parents first; fills ``nodes`` and ``world``."""
        tree = self.file.tree
        if len(tree.get("nodes", [])) > MAX_NODES:
            raise MeshError(f"{len(tree['nodes']):,} nodes, at most {MAX_NODES:,} are read")
        if tree.get("scenes"):
            roots = self.file.item("scenes", tree.get("scene", 0)).get("nodes", [])
        else:
            children = {child for node in tree.get("nodes", []) for child in node.get("children", [])}
            roots = [i for i in range(len(tree.get("nodes", []))) if i not in children]
        stack = [(index, -1) for index in reversed(roots)]
        while stack:
            index, parent = stack.pop()
            entry = self._node(index)
            if index in self.position:
                raise MeshError(f"glTF node {index} has two parents or is its own ancestor, expected a tree")
            self.position[index] = len(self.nodes)
            matrix = _matrix(entry)
            self.nodes.append(Node(str(entry.get("name", "")), "", parent, matrix))
            self.world.append(self.world[parent] @ matrix if parent >= 0 else matrix)
            stack += [(child, self.position[index]) for child in reversed(entry.get("children", []))]
            yield index

    def _add_mesh(self, node: dict[str, Any], at: int) -> None:
        mesh = self.file.item("meshes", node["mesh"])
        self.nodes[at].geometry = str(mesh.get("name", ""))
        for primitive in mesh["primitives"]:
            attributes = primitive["attributes"]
            if primitive.get("mode", 4) not in (4, 5, 6):
                self.notes["ignored points and lines"] = None
                continue
            points = self.file.accessor(attributes["POSITION"], 3).astype(np.float64)
            faces = self._triangles(primitive, len(points))
            check_face_count(self.vertex_count // 4)
            transform = self._skin(node, attributes, at) if "skin" in node else self.world[at][None]
            points = np.einsum("...ij,...j->...i", transform[:, :3, :3], points) + transform[:, :3, 3]
            if np.linalg.det(transform[0, :3, :3]) < 0:
                faces = faces[:, ::-1]  # a mirroring node turns its triangles over
            material, uv_set = self._material(primitive)
            uv_faces = np.full(faces.shape, -1)
            if uv_set in attributes:
                uvs = self.file.accessor(attributes[uv_set], 2).astype(np.float64)
                if len(uvs) == len(points):
                    self.uvs.append(uvs * [1, -1] + [0, 1])  # glTF's origin is top-left
                    uv_faces = faces + self.uv_count
                    self.uv_count += len(uvs)
            self.vertices.append(points)
            self.faces.append((faces + self.vertex_count, uv_faces, at, material))
            self.vertex_count += len(points)

    def _triangles(self, primitive: dict[str, Any], count: int) -> Int[ndarray, "f 3"]:
        """Vertex indices of a primitive's triangles, from a list, a strip or a fan."""
        if "indices" in primitive:
            index = self.file.accessor(primitive["indices"], 1)[:, 0].astype(np.int64)
        else:
            index = np.arange(count)
        mode = primitive.get("mode", 4)
        if mode == 4:
            faces = index[: len(index) // 3 * 3].reshape(-1, 3)
        elif mode == 5:
            faces = np.stack([index[:-2], index[1:-1], index[2:]], 1)
            faces[1::2] = faces[1::2, [1, 0, 2]]
        else:
            faces = np.stack([np.full(len(index[2:]), index[0]), index[1:-1], index[2:]], 1)
        check_indices(faces.ravel(), np.full(len(faces), 3), count)
        return faces

    def _material(self, primitive: dict[str, Any]) -> tuple[int, str]:
        """The material's place in ``materials`` and the attribute that its base colour uses."""
        name, uv_set = "", 0
        if "material" in primitive:
            entry = self.file.item("materials", primitive["material"])
            name = str(entry.get("name", ""))
            uv_set = entry.get("pbrMetallicRoughness", {}).get("baseColorTexture", {}).get("texCoord", 0)
        if name not in self.materials:
            self.materials.append(name)
        return self.materials.index(name), f"TEXCOORD_{uv_set}"

    def _skin(self, node: dict[str, Any], attributes: dict[str, Any], at: int) -> Float[ndarray, "v 4 4"]:
        """Each vertex' matrix in the skeleton's rest pose, which replaces the node's own."""
        self.notes["took the rigged mesh in its rest pose, as exports carry no skeleton"] = None
        skin = self.file.item("skins", node["skin"])
        if any(joint not in self.position for joint in skin["joints"]) or "JOINTS_0" not in attributes:
            return self.world[at][None]
        joints = np.stack([self.world[self.position[joint]] for joint in skin["joints"]])
        if "inverseBindMatrices" in skin:
            inverse = self.file.accessor(skin["inverseBindMatrices"], 16).astype(np.float64)
            joints = joints @ inverse[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        index = self.file.accessor(attributes["JOINTS_0"], 4).astype(np.int64)
        weights = self.file.accessor(attributes["WEIGHTS_0"], 4).astype(np.float64)
        if index.max() >= len(joints):
            raise MeshError(f"a vertex follows joint {index.max()}, the skin has {len(joints)}")
        weights[weights.sum(1) <= 0, 0] = 1.0
        return np.einsum("vk,vkij->vij", weights / weights.sum(1, keepdims=True), joints[index])


def _matrix(node: dict[str, Any]) -> Float[ndarray, "4 4"]:
    """A node's matrix to its parent, from ``matrix`` or translation, rotation and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    if any(node.get("rotation", ())):
        matrix[:3, :3] = Rotation.from_quat(node["rotation"]).as_matrix()
    matrix[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix
