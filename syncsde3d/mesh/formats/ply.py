"""PLY, ASCII and binary of either byte order, with faces of any number of corners.

An own reader, because counts must be checked against the file's size before anything is allocated, and
binary files that mix triangles with larger polygons are common.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from syncsde3d.mesh.formats.source import MeshError, Source, polygon_source, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Int
    from numpy import ndarray

_KINDS = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_KINDS |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
_KINDS |= {"float": "f4", "double": "f8", "float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_UV_NAMES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))


@dataclass
class _Property:
    name: str
    kind: np.dtype
    length: np.dtype | None = None  # of a list: the type of its length


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property]
    columns: dict[str, ndarray] = field(default_factory=dict)  # values, of a list all values in a row
    lengths: dict[str, Int[ndarray, " k"]] = field(default_factory=dict)  # of lists


def read_ply(path: Path) -> Source:
    """Read positions, faces and texture coordinates (per vertex or per corner)."""
    data = read_bytes(path)
    elements, order, at = _header(data)
    if not order:
        data, at = _as_binary(data[at:]), 0
    for element in elements:
        at = _read_rows(element, data, at)
    found = {element.name: element for element in elements}
    if "vertex" not in found or not {"x", "y", "z"} <= found["vertex"].columns.keys():
        raise MeshError("the PLY has no geometry, expected an element 'vertex' with x, y, z")
    vertex = found["vertex"].columns
    vertices = np.stack([vertex[axis].astype(np.float64) for axis in "xyz"], 1)
    face = found.get("face")
    index = next((n for n in ("vertex_indices", "vertex_index") if face and n in face.lengths), None)
    if face is None or index is None or not face.count:
        raise MeshError(
            f"no faces ({len(vertices)} vertices), expected an element 'face' with vertex_indices"
        )
    corners, counts = face.columns[index].astype(np.int64), face.lengths[index]
    uvs, corner_uvs = np.empty((0, 2)), np.full(len(corners), -1)
    if np.array_equal(face.lengths.get("texcoord", ()), counts * 2):
        uvs, corner_uvs = face.columns["texcoord"].astype(np.float64).reshape(-1, 2), np.arange(len(corners))
    for u, v in _UV_NAMES:
        if not len(uvs) and u in vertex and v in vertex:
            uvs, corner_uvs = np.stack([vertex[u], vertex[v]], 1).astype(np.float64), corners
    return polygon_source(vertices, corners, counts, uvs, corner_uvs)


def _header(data: bytes) -> tuple[list[_Element], str, int]:
    """Elements, byte order ("" for ASCII) and where the body starts."""
    if data[:3] != b"ply":
        raise MeshError("this is no PLY (it does not start with 'ply')")
    end = data.find(b"end_header")
    body = data.find(b"\n", end) + 1
    if end < 0 or not body:
        raise MeshError("the PLY is truncated: no 'end_header' line")
    lines = [line.split() for line in data[:end].decode("latin-1").splitlines()[1:]]
    name = next((line[1] for line in lines if line[:1] == ["format"] and len(line) > 1), "")
    if name not in _ORDERS:
        raise MeshError(f"PLY format '{name[:40]}', expected one of {', '.join(_ORDERS)}")
    order = _ORDERS[name]

    def dtype(kind: str) -> np.dtype:
        return np.dtype(order + _KINDS[kind] if order else "<f8")

    elements: list[_Element] = []
    for line in lines:
        match line:
            case ["element", name, count] if count.isdigit():
                elements.append(_Element(name, int(count), []))
            case ["property", "list", length, kind, name] if elements and {length, kind} <= _KINDS.keys():
                elements[-1].properties.append(_Property(name, dtype(kind), dtype(length)))
            case ["property", kind, name] if elements and kind in _KINDS:
                elements[-1].properties.append(_Property(name, dtype(kind)))
            case ["element" | "property", *_]:
                raise MeshError(f"the PLY header's line '{' '.join(line)[:60]}' is not valid")
    return elements, order, body


def _as_binary(body: bytes) -> bytes:
    """An ASCII body as doubles, so that one way of reading serves both."""
    try:
        return np.array(body.split(), np.float64).astype("<f8").tobytes()
    except ValueError:
        raise MeshError("the ASCII PLY's body holds words, expected numbers only") from None


def _read_rows(element: _Element, data: bytes, at: int) -> int:
    """Fill an element's columns from its rows, which start at ``at``; where the next element starts."""
    least = sum((p.length or p.kind).itemsize for p in element.properties)
    if least * element.count > len(data) - at:
        raise MeshError(
            f"the PLY is truncated: its header promises {element.count:,} of '{element.name[:40]}',"
            f" which need {least * element.count:,} bytes or more; {len(data) - at:,} are left"
        )
    if not element.count or not element.properties:
        return at
    sizes = _first_lengths(element, data, at)
    names = [(f"{i}", p.kind, (n,)) for i, (p, n) in enumerate(zip(element.properties, sizes, strict=True))]
    counts = [(f"n{i}", p.length) for i, p in enumerate(element.properties) if p.length]
    fields = [f for i, f in enumerate(names) for f in (*(c for c in counts if c[0] == f"n{i}"), f)]
    dtype = np.dtype(fields)
    if dtype.itemsize * element.count <= len(data) - at:
        rows = np.frombuffer(data, dtype, element.count, at)
        if all((rows[name] == sizes[int(name[1:])]).all() for name, _ in counts):
            for i, p in enumerate(element.properties):
                element.columns[p.name] = rows[f"{i}"].reshape(-1)
                if p.length:
                    element.lengths[p.name] = np.full(element.count, sizes[i])
            return at + rows.nbytes
    return _walk_rows(element, data, at)


def _first_lengths(element: _Element, data: bytes, at: int) -> list[int]:
    """Number of values of each property in the first row."""
    sizes = []
    for p in element.properties:
        size, at = _length(p, data, at)
        sizes.append(size)
        at += size * p.kind.itemsize
    return sizes


def _length(p: _Property, data: bytes, at: int) -> tuple[int, int]:
    """Number of values of a property in the row at ``at``, and where they start."""
    size, start = 1, at
    if p.length is not None:
        start += p.length.itemsize
        size = int(np.frombuffer(data, p.length, 1, at)[0]) if start <= len(data) else 0
    if size < 0 or start + size * p.kind.itemsize > len(data):
        raise MeshError(f"the PLY is truncated: a property '{p.name[:40]}' leads past its end")
    return size, start


def _walk_rows(element: _Element, data: bytes, at: int) -> int:
    """As :func:`_read_rows` for lists of varying length, row by row; single values are skipped."""
    pieces = {p.name: ([], []) for p in element.properties if p.length}
    for _ in range(element.count):
        for p in element.properties:
            size, at = _length(p, data, at)
            stop = at + size * p.kind.itemsize
            if p.length:
                pieces[p.name][0].append(size)
                pieces[p.name][1].append(data[at:stop])
            at = stop
    for p in element.properties:
        if p.length:
            lengths, chunks = pieces[p.name]
            element.columns[p.name] = np.frombuffer(b"".join(chunks), p.kind)
            element.lengths[p.name] = np.array(lengths)
    return at
