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

from syncsde3d.mesh.formats.source import (
    MeshError,
    Node,
    Source,
    check_face_count,
    polygon_source,
    read_bytes,
    resolve_inside,
)

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float, Int
    from numpy import ndarray

MAX_LIBRARY_BYTES = 2**24


@dataclass
class _Rows:
    """The statements of one keyword: what follows it, and its line number."""

    text: list[str] = field(default_factory=list)
    line: list[int] = field(default_factory=list)

    def add(self, text: str, line: int) -> None:
        self.text.append(text)
        self.line.append(line)


@dataclass
class _Statements:
    """The statements of the text that matter. Flat lists of strings and numbers, for speed."""

    positions: _Rows = field(default_factory=_Rows)
    texture: _Rows = field(default_factory=_Rows)
    faces: _Rows = field(default_factory=_Rows)
    positions_before: list[int] = field(default_factory=list)  # number of positions before each face
    texture_before: list[int] = field(default_factory=list)
    state: list[int] = field(default_factory=list)  # of each face: which of `states`
    states: list[tuple[str, str, str]] = field(default_factory=list)  # object, group, material
    libraries: list[str] = field(default_factory=list)


def read_obj(path: Path) -> Source:
    """Read an OBJ file. Of its material files only the textures' names are looked at, to warn about them."""
    text = _collect(_lines(read_bytes(path)))
    counts = np.fromiter((len(row.split()) for row in text.faces.text), np.int64, len(text.faces.text))
    check_face_count(int(np.maximum(counts - 2, 0).sum()))
    notes = _library_notes(path.parent, text.libraries)
    vertices = _numbers(text.positions, 3, "a vertex needs 3 numbers")
    uvs = _numbers(text.texture, 2, "a texture coordinate needs 2 numbers")
    raw = _corners(text.faces)
    corner_v = np.where(raw[:, 0] > 0, raw[:, 0] - 1, raw[:, 0] + np.repeat(text.positions_before, counts))
    bad = (raw[:, 0] == 0) | (corner_v < 0) | (corner_v >= len(vertices))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        line = text.faces.line[int(np.searchsorted(np.cumsum(counts), first, "right"))]
        raise MeshError(
            f"line {line}: a face refers to vertex {raw[first, 0]}, expected 1 to {len(vertices)}"
            " (or a negative number that counts back)"
        )
    corner_t = np.where(raw[:, 1] > 0, raw[:, 1] - 1, raw[:, 1] + np.repeat(text.texture_before, counts))
    bad = (raw[:, 1] != 0) & ((corner_t < 0) | (corner_t >= len(uvs)))
    if bad.any():
        notes.append(f"ignored {int(bad.sum())} texture indices that name no texture coordinate of the file")
    corner_t[bad | (raw[:, 1] == 0)] = -1
    source = polygon_source(vertices, corner_v, counts, uvs, corner_t)

    source.nodes = [Node(*name) for name in dict.fromkeys(s[:2] for s in text.states)]
    source.materials = list(dict.fromkeys(s[2] for s in text.states))
    names = [(node.name, node.geometry) for node in source.nodes]
    state = np.array(text.state)[source.polygon]
    source.node = np.array([names.index(s[:2]) for s in text.states])[state]
    source.material = np.array([source.materials.index(s[2]) for s in text.states])[state]
    source.notes = notes + source.notes
    return source


def _lines(data: bytes) -> list[str]:
    """Lines with ``\\`` continuations joined; blank lines stand in, so that line numbers stay right."""
    if b"\0" in data:
        raise MeshError("this is no OBJ text (it holds zero bytes)")
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\t", " ")
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
    states: dict[tuple[str, ...], int] = {}
    state = -1
    for number, line in enumerate(lines, 1):
        key, _, rest = line.strip().partition(" ")
        if key == "v":
            text.positions.add(rest, number)
        elif key == "vt":
            text.texture.add(rest if " " in rest.strip() else rest + " 0", number)
        elif key == "f":
            if state < 0:
                state = states.setdefault(tuple(current.values()), len(states))
            text.faces.add(rest, number)
            text.positions_before.append(len(text.positions.text))
            text.texture_before.append(len(text.texture.text))
            text.state.append(state)
        elif key in current:
            current[key], state = rest.strip(), -1
        elif key == "mtllib":
            text.libraries.append(rest.strip())
    text.states = [(name, group, material) for name, group, material in states]
    if not text.positions.text:
        words = any(re.match(r"\s*(#|o|g|f|vt|vn|mtllib|usemtl)(\s|$)", line) for line in lines)
        raise MeshError(f"{'no geometry in' if words else 'this is no'} OBJ text, expected 'v' and 'f' lines")
    if not text.faces.text:
        raise MeshError(f"no faces ({len(text.positions.text)} vertices), expected 'f' lines with 3 corners")
    return text


def _numbers(rows: _Rows, n: int, need: str) -> Float[ndarray, "k n"]:
    """The first ``n`` numbers of every row."""
    try:
        flat = np.fromiter(map(float, chain.from_iterable(row.split()[:n] for row in rows.text)), np.float64)
        if len(flat) == n * len(rows.text):
            return flat.reshape(-1, n)
    except ValueError:
        pass
    for row, line in zip(rows.text, rows.line, strict=True):
        tokens = row.split()[:n]
        if len(tokens) < n or not all(map(_is_number, tokens)):
            raise MeshError(f"line {line}: {need}, came '{row[:60]}'")
    raise AssertionError("numbers that are read one by one but not together")


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _corners(faces: _Rows) -> Int[ndarray, "k 2"]:
    """Vertex and texture index of every corner as written; 0 where there is no texture index."""
    text = " ".join(faces.text).replace("//", "/0/")
    tokens = text.split()
    try:
        if "/" not in text:
            vertices = np.fromiter(map(int, tokens), np.int64, len(tokens))
            return np.stack([vertices, np.zeros_like(vertices)], 1)
        if {token.count("/") for token in tokens} in ({1}, {2}):
            numbers = text.replace("/", " ").split()
            return np.fromiter(map(int, numbers), np.int64, len(numbers)).reshape(len(tokens), -1)[:, :2]
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([_corner(token) for token in tokens], np.int64).reshape(-1, 2)
    except (ValueError, OverflowError):
        rows = zip(faces.text, faces.line, strict=True)
        token, line = next((t, line) for row, line in rows for t in row.split() if not _is_corner(t))
        raise MeshError(
            f"line {line}: face corner '{token[:60]}' is no number, expected v, v/vt, v//vn or v/vt/vn"
        ) from None


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
                    f"ignored {outside} textures of '{name[:80]}' that lead out of the mesh's folder"
                )
    return notes
