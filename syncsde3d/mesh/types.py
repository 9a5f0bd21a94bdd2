"""What the mesh floor speaks of: a mesh, where it came from, and what a rasterizer sees.

Shapes: ``v`` vertices, ``f`` triangles, ``t`` texture coordinates, ``n`` views, ``h w`` pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Part:
    """One node of a glTF scene, or one object and group of an OBJ file, kept so that exports restore it.

    name: the node's name, or the OBJ object; "" where the file gives none.
    geometry: the glTF mesh's name, or the OBJ group.
    faces: its slice of :attr:`Mesh.faces`; empty for a node that only holds other nodes.
    materials: runs (name, slice of :attr:`Mesh.faces`) that cover ``faces`` in order.
    parent: index of the parent in :attr:`Mesh.parts`, smaller than the part's own; -1 for a root.
    matrix: the node's 4x4 matrix to its parent's space, float64, for column vectors.
    """

    name: str
    geometry: str
    faces: slice
    materials: tuple[tuple[str, slice], ...] = ()
    parent: int = -1
    matrix: Float[Tensor, "4 4"] = field(default_factory=lambda: torch.eye(4, dtype=torch.float64))


@dataclass(frozen=True)
class Mesh:
    """Triangles in sampling space: centred and scaled into the unit sphere, right-handed, +Y up.

    vertices: positions [v, 3], float32, unit sphere.
    faces: vertex indices [f, 3], int64.
    uvs: texture coordinates [t, 2] in [0, 1], origin bottom-left (OBJ); None until unwrapped.
    uv_faces: indices into ``uvs`` [f, 3]; a face's corners are listed in the order of ``faces``.
    center, scale: the file's world coordinates are ``vertices * scale + center`` (float64).
    parts: the source's nodes, parents first; their face slices follow each other and cover ``faces``.
    notes: what loading repaired, one clause each, for the manifest and the user.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    uvs: Float[Tensor, "t 2"] | None = None
    uv_faces: Int[Tensor, "f 3"] | None = None
    name: str = "mesh"
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def with_uvs(self, uvs: Tensor, uv_faces: Tensor, note: str = "") -> Mesh:
        """The same mesh with other texture coordinates."""
        return replace(self, uvs=uvs, uv_faces=uv_faces, notes=(*self.notes, note) if note else self.notes)

    def to(self, device: torch.device | str) -> Mesh:
        """The same mesh on another device."""
        move = lambda x: None if x is None else x.to(device)  # noqa: E731
        return replace(
            self,
            vertices=self.vertices.to(device),
            faces=self.faces.to(device),
            uvs=move(self.uvs),
            uv_faces=move(self.uv_faces),
        )

    def world_vertices(self) -> Float[Tensor, "v 3"]:
        """Vertices in the file's world coordinates, float64."""
        return self.vertices.double() * self.scale + self.vertices.new_tensor(
            self.center, dtype=torch.float64
        )

    def all_parts(self) -> tuple[Part, ...]:
        """``parts``, or one that holds everything."""
        faces = slice(0, len(self.faces))
        return self.parts or (Part(self.name, "", faces, (("", faces),)),)

    def face_normals(self) -> Float[Tensor, "f 3"]:
        """Unit geometric normals, by the winding (counter-clockwise seen from outside)."""
        a, b, c = self.vertices[self.faces].unbind(1)
        return torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-20)


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees, with PyTorch3D's meaning (one face per pixel).

    face: index of the nearest face [n, h, w], int64; -1 where nothing is seen.
    bary: perspective-correct barycentrics [n, h, w, 3]; -1 where nothing is seen.
    depth: distance along the viewing axis [n, h, w], > 0; -1 where nothing is seen.
    """

    face: Int[Tensor, "n h w"]
    bary: Float[Tensor, "n h w 3"]
    depth: Float[Tensor, "n h w"]

    @property
    def mask(self) -> Tensor:
        """True where a face is seen [n, h, w]."""
        return self.face >= 0

    def interpolate(self, attributes: Float[Tensor, "f 3 c"], empty: float = 0.0) -> Float[Tensor, "n h w c"]:
        """Values given per face corner, interpolated at each pixel; ``empty`` where nothing is seen."""
        mask = self.mask
        out = attributes.new_full((*self.face.shape, attributes.shape[-1]), empty)
        corner = attributes[self.face[mask]]
        out[mask] = (corner * self.bary[mask].to(corner.dtype).unsqueeze(-1)).sum(-2)
        return out
