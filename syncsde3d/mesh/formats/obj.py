"""Wavefront OBJ text: polygons, relative indices, objects, groups and material names.

An own reader, because exports restore objects, groups and material names, errors name the line, and
concave polygons and faces without texture coordinates must survive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from syncsde3d.mesh.formats.polygons import triangulate
from syncsde3d.mesh.formats.source import (
    MeshError,
    Node,
    Source,
    check_face_count,
    read_bytes,
    resolve_inside,
)

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float, Int
    from numpy import ndarray

MAX_LIBRARY_BYTES = 2**24


@dataclass
class _Statements:
    """The statements of the text that matter, each with its line number."""

    positions: list[tuple[int, list[str]]] = field(default_factory=list)
    texture: list[tuple[int, list[str]]] = field(default_factory=list)
    faces: list[tuple[int, list[str]]] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)  # positions, texture before each face
    state: list[int] = field(default_factory=list)  # of each face: which of `states`
    states: dict[tuple[str, str, str], int] = field(default_factory=dict)  # object, group, material
    libraries: list[str] = field(default_factory=list)
    skipped: int = 0


def read_obj(path: Path) -> Source:
    """Read an OBJ file. Of its material files only the textures' names are looked at, to warn about them."""
    text = _collect(_lines(read_bytes(path)))
    counts = np.fromiter((len(tokens) for _, tokens in text.faces), np.int64, len(text.faces))
    check_face_count(int((counts - 2).sum()))
    notes = [f"ignored {text.skipped} faces with fewer than 3 corners"] if text.skipped else []
    notes += _library_notes(path.parent, text.libraries)
    vertices = _numbers(text.positions, 3, "a vertex needs 3 numbers")
    uvs = _numbers(text.texture, 2, "a texture coordinate needs 2 numbers")
    seen = np.repeat(np.array(text.seen), counts, axis=0)
    raw = _corners(text.faces)
    corner_v = np.where(raw[:, 0] > 0, raw[:, 0] - 1, raw[:, 0] + seen[:, 0])
    bad = (raw[:, 0] == 0) | (corner_v < 0) | (corner_v >= len(vertices))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        line = text.faces[int(np.searchsorted(np.cumsum(counts), first, "right"))][0]
        raise MeshError(
            f"line {line}: a face refers to vertex {raw[first, 0]}, expected 1 to {len(vertices)}"
            " (or a negative number that counts back)"
        )
    corner_t = np.where(raw[:, 1] > 0, raw[:, 1] - 1, raw[:, 1] + seen[:, 1])
    bad = (raw[:, 1] != 0) & ((corner_t < 0) | (corner_t >= len(uvs)))
    if bad.any():
        notes.append(f"ignored {int(bad.sum())} texture indices that name no texture coordinate of the file")
    corner_t[bad | (raw[:, 1] == 0)] = -1
    triangles, polygon = triangulate(vertices, corner_v, counts)

    states = list(text.states)
    names, materials = list(dict.fromkeys(s[:2] for s in states)), list(dict.fromkeys(s[2] for s in states))
    state = np.array(text.state)[polygon]
    return Source(
        vertices=vertices,
        faces=corner_v[triangles],
        uvs=uvs,
        uv_faces=corner_t[triangles],
        node=np.array([names.index(s[:2]) for s in states])[state],
        material=np.array([materials.index(s[2]) for s in states])[state],
        nodes=[Node(*name) for name in names],
        materials=materials,
        notes=notes,
    )


def _lines(data: bytes) -> list[str]:
    """Lines with ``\\`` continuations joined; blank lines stand in, so that line numbers stay right."""
    if b"\0" in data:
        raise MeshError("this is no OBJ text (it holds zero bytes)")
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if "\\\n" in text:
        text = re.sub(
            r"(?:[^\n]*\\\n)+[^\n]*",
            lambda found: found.group().replace("\\\n", " ") + "\n" * found.group().count("\\\n"),
            text,
        )
    return text.split("\n")


def _collect(lines: list[str]) -> _Statements:
    """Sort the lines by keyword."""
    text = _Statements()
    current = {"o": "", "g": "", "usemtl": ""}
    for number, line in enumerate(lines, 1):
        key, *tokens = line.split() or ("#",)
        if key == "v":
            text.positions.append((number, tokens))
        elif key == "vt":
            text.texture.append((number, tokens if len(tokens) > 1 else [*tokens, "0"]))
        elif key == "f":
            if len(tokens) < 3:
                text.skipped += 1
                continue
            text.faces.append((number, tokens))
            text.seen.append((len(text.positions), len(text.texture)))
            text.state.append(text.states.setdefault(tuple(current.values()), len(text.states)))  # type: ignore
        elif key in current:
            current[key] = " ".join(tokens)
        elif key == "mtllib":
            text.libraries.append(" ".join(tokens))
    if not text.positions:
        words = any(re.match(r"\s*(#|o|g|f|vt|vn|mtllib|usemtl)(\s|$)", line) for line in lines)
        raise MeshError(f"{'no geometry in' if words else 'this is no'} OBJ text, expected 'v' and 'f' lines")
    if not text.faces:
        raise MeshError(
            f"no faces ({len(text.positions)} vertices), expected 'f' lines with 3 or more corners"
        )
    return text


def _numbers(rows: list[tuple[int, list[str]]], n: int, need: str) -> Float[ndarray, "k n"]:
    """The first ``n`` numbers of every row."""
    try:
        flat = np.fromiter(map(float, chain.from_iterable(tokens[:n] for _, tokens in rows)), np.float64)
        if min((len(tokens) for _, tokens in rows), default=n) >= n:
            return flat.reshape(-1, n)
    except ValueError:
        pass
    line, tokens = next(row for row in rows if len(row[1]) < n or not all(map(_is_number, row[1][:n])))
    raise MeshError(f"line {line}: {need}, came '{' '.join(tokens)[:60]}'")


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _corners(faces: list[tuple[int, list[str]]]) -> Int[ndarray, "k 2"]:
    """Vertex and texture index of every corner as written; 0 where there is no texture index."""
    tokens = list(chain.from_iterable(tokens for _, tokens in faces))
    shapes = {(token.count("/"), "//" in token) for token in tokens}
    try:
        if len(shapes) == 1 and not any(token.endswith("/") for token in tokens):
            slashes, no_texture = shapes.pop()
            numbers = " ".join(tokens).replace("/", " ").split()
            flat = np.fromiter(map(int, numbers), np.int64, len(numbers)).reshape(len(tokens), -1)
            texture = np.zeros(len(tokens), np.int64) if no_texture or not slashes else flat[:, 1]
            return np.stack([flat[:, 0], texture], 1)
        return np.array([_corner(token) for token in tokens], np.int64)
    except (ValueError, OverflowError):
        line, token = next((line, t) for line, row in faces for t in row if not _is_corner(t))
        message = (
            f"line {line}: face corner '{token[:60]}' is not a number, expected v, v/vt, v//vn or v/vt/vn"
        )
        raise MeshError(message) from None


def _corner(token: str) -> tuple[int, int]:
    vertex, texture, *_ = [*token.split("/"), ""]
    return int(vertex), int(texture or 0)


def _is_corner(token: str) -> bool:
    try:
        return max(map(abs, _corner(token))) < 2**63
    except ValueError:
        return False


def _library_notes(folder: Path, libraries: list[str]) -> list[str]:
    """What to tell about the material files; they and their textures are replaced anyway."""
    notes = []
    for name in dict.fromkeys(libraries):
        path = resolve_inside(folder, name)
        if path is None:
            notes.append(f"ignored the material file '{name[:80]}', which leads out of the mesh's folder")
        elif not path.is_file():
            notes.append(f"the material file '{name[:80]}' is missing")
        elif path.stat().st_size <= MAX_LIBRARY_BYTES:
            lines = path.read_bytes().decode("utf-8", "replace").splitlines()
            maps = [row[1:] for row in map(str.split, lines) if row and row[0].lower().startswith("map_")]
            outside = sum(any(resolve_inside(folder, token) is None for token in row) for row in maps)
            if outside:
                notes.append(
                    f"ignored {outside} textures of '{name[:80]}' that are not inside the mesh's folder"
                )
    return notes
