"""Textured meshes as OBJ with a material file and a PNG, in the input's coordinates."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from syncsde3d.io.images import check_image, write_png
from syncsde3d.io.output import writing
from syncsde3d.mesh.normals import corner_normals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Int, UInt8
    from numpy import ndarray

    from syncsde3d.mesh.types import Mesh


def write_obj(path: str | os.PathLike[str], mesh: Mesh, texture: UInt8[ndarray, "h w 3"]) -> Path:
    """Write ``mesh`` with ``texture`` (row 0 at the top, v = 1); the OBJ file's path is returned.

    Objects, groups and material names are the input's. A folder gets ``textured.obj``, ``textured.mtl``
    and ``texture.png``; for ``name.obj`` the other two are ``name.mtl`` and ``name.png`` beside it.

    Raises:
        ValueError: no texture coordinates, or not uint8 [h, w, 3].
        OSError: a file cannot be written.
    """
    check_image(texture, "texture", (3,))
    if mesh.uvs is None or mesh.uv_faces is None:
        raise ValueError(f"mesh '{mesh.name}' has no texture coordinates, expected uvs and uv_faces")
    path = Path(path)
    if path.suffix.lower() == ".obj":
        plain = "_".join(path.stem.split())  # readers split these names at spaces
        material, picture = path.with_name(f"{plain}.mtl"), path.with_name(f"{plain}.png")
    else:
        path, material, picture = path / "textured.obj", path / "textured.mtl", path / "texture.png"
    write_png(picture, texture)
    with writing(material) as temporary:
        names = dict.fromkeys(
            _word(name, mesh.name) for part in mesh.all_parts() for name, _ in part.materials
        )
        surface = f"Kd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd {picture.name}\n"
        temporary.write_text("\n".join(f"newmtl {name}\n{surface}" for name in names), "utf-8")
    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"# syncsde3d\nmtllib {material.name}\n")
        file.writelines(_lines(mesh, mesh.uvs.double().cpu().numpy(), mesh.uv_faces.cpu().numpy()))
    return path


def _lines(mesh: Mesh, uvs: Float[ndarray, "t 2"], uv_faces: Int[ndarray, "f 3"]) -> Iterator[str]:
    vertices, faces = mesh.world_vertices().cpu().numpy(), mesh.faces.cpu().numpy()
    normals, normal_faces = corner_normals(vertices, faces)
    farther = math.log10(max(np.abs(vertices).max() / mesh.scale, 1))
    yield from _rows("v", vertices, min(9 + math.ceil(farther), 17))
    yield from _rows("vt", uvs, 8)
    yield from _rows("vn", normals, 5)
    corners = np.stack([faces, uv_faces, normal_faces], -1) + 1
    current = ("", "")
    for part in mesh.all_parts():
        if part.materials and current[0] != part.name:
            yield f"o {_word(part.name, mesh.name)}\n"
        if part.materials and current[1] != part.geometry:
            yield f"g {_word(part.geometry, 'default')}\n"
        current = (part.name, part.geometry) if part.materials else current
        for name, run in part.materials:
            yield f"usemtl {_word(name, mesh.name)}\n"
            rows = corners[run].reshape(-1, 9).tolist()
            yield from ("f {}/{}/{} {}/{}/{} {}/{}/{}\n".format(*row) for row in rows)


def _rows(keyword: str, values: ndarray, digits: int) -> Iterator[str]:
    form = keyword + f" %.{digits}g" * values.shape[1] + "\n"
    return (form % tuple(row) for row in values.tolist())


def _word(name: str, otherwise: str = "") -> str:
    """A name on one line."""
    return " ".join((name or otherwise).split()) or "material"
