"""What messy files need before anything else: faces dropped that mean nothing, the rest wound outwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from syncsde3d.mesh.adjacency import components, shared_edges
from syncsde3d.mesh.formats.source import MeshError, Source

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy import ndarray

MIN_AREA = 1e-10  # of a triangle, after scaling the used vertices to a unit box
CLOSED = 0.25  # a component counts as closed if its area vectors cancel up to this share
MIN_VOLUME = 1e-4  # relative to a sphere of the same area; flatter components are not turned
NESTING_WORK = 2e8  # triangles looked at to find components inside others


def repair(source: Source) -> Source:
    """A sound mesh: finite, no triangle without area, each once, wound consistently and outwards.

    Exactly coincident vertices of one node are merged, unused ones dropped, and the faces of each node and
    material brought together. Edges shared by more than two faces stay. Each repair adds a note.

    Raises:
        MeshError: nothing sound is left.
    """
    notes = list(source.notes)
    total = len(source.faces)
    finite = np.logical_and.reduce(np.isfinite(source.vertices), axis=1)
    source = _select(source, np.logical_and.reduce(finite[source.faces], axis=1))
    if not len(source.faces):
        raise MeshError(f"no face has finite coordinates ({total} faces with NaN or infinity)")
    _note(notes, total - len(source.faces), "dropped", "face", "with NaN or infinite coordinates")

    used = source.vertices[np.unique(source.faces)]
    low, extent = used.min(0), float(np.ptp(used, axis=0).max())
    if not 0 < extent < np.inf:
        raise MeshError(
            f"the mesh has no usable extent ({extent:g}), expected vertices apart from each other"
        )
    triangles = ((source.vertices - low) / extent)[source.faces]
    areas = np.linalg.norm(_area_vectors(triangles), axis=1)
    total = len(source.faces)
    source = _select(source, areas > MIN_AREA)
    if not len(source.faces):
        raise MeshError(f"no face has an area ({total} faces without), expected triangles")
    _note(notes, total - len(source.faces), "dropped", "face", "without area")

    unused = len(source.vertices) - len(np.unique(source.faces))
    source = _weld(source)
    first = _first_of_each(np.sort(source.faces, axis=1))
    _note(notes, len(source.faces) - len(first), "dropped", "repeated face")
    _note(notes, unused, "dropped", "unused point")
    source = _select(source, first)
    first, run = _groups(np.stack([source.node, source.material], 1))
    source = _select(source, np.lexsort((first[run], source.node)))

    scaled = (source.vertices - low) / extent
    turn, one_sided = _inconsistent(source.faces, _area_vectors(scaled[source.faces]))
    _note(notes, int(turn.sum()), "turned", "face", "to wind their component consistently")
    _note(notes, one_sided, "left", "edge", "of a one-sided surface wound inconsistently")
    source = _turn(source, turn)
    inside_out = _inside_out(scaled, source.faces)
    _note(notes, int(inside_out.sum()), "turned", "face", "of inside-out components")
    return replace(_turn(source, inside_out), notes=notes)


def _note(notes: list[str], count: int, verb: str, noun: str, rest: str = "") -> None:
    if count:
        plural = "" if count == 1 else "s"
        notes.append(f"{verb} {count} {noun}{plural} {rest}".rstrip())


def _select(source: Source, which: ndarray) -> Source:
    """The chosen faces, in the chosen order."""
    return replace(
        source,
        faces=source.faces[which],
        uv_faces=source.uv_faces[which],
        node=source.node[which],
        material=source.material[which],
    )


def _turn(source: Source, which: Bool[ndarray, " f"]) -> Source:
    """Reverse the winding of the chosen faces."""
    faces, uv_faces = source.faces.copy(), source.uv_faces.copy()
    faces[which], uv_faces[which] = faces[which, ::-1], uv_faces[which, ::-1]
    return replace(source, faces=faces, uv_faces=uv_faces)


def _area_vectors(triangles: Float[ndarray, "f 3 3"]) -> Float[ndarray, "f 3"]:
    """Normals as long as the triangle's area."""
    a, b, c = triangles.transpose(1, 0, 2)
    return np.cross(b - a, c - a) / 2


def _weld(source: Source) -> Source:
    """One vertex per position and node, one texture coordinate per vertex and value; unused ones go."""
    owner = np.full(len(source.vertices), -1)
    owner[source.faces[::-1]] = source.node[::-1, None]  # the first face's node
    used = np.flatnonzero(owner >= 0)
    vertices, index = _unique_rows(np.column_stack([owner[used], source.vertices[used]]))
    where = np.empty(len(owner), np.int64)
    where[used] = index
    faces = where[source.faces]
    has = source.uv_faces >= 0
    uv_faces = np.full(source.uv_faces.shape, -1)
    keys, uv_faces[has] = _unique_rows(np.column_stack([faces[has], source.uvs[source.uv_faces[has]]]))
    return replace(source, vertices=vertices[:, 1:], faces=faces, uvs=keys[:, 1:], uv_faces=uv_faces)


def _unique_rows(rows: Float[ndarray, "n k"]) -> tuple[Float[ndarray, "m k"], Int[ndarray, " n"]]:
    """Distinct rows in the order of their first appearance, and each row's index among them."""
    first, group = _groups(rows)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rows[np.sort(first)], rank[group]


def _first_of_each(rows: Int[ndarray, "n k"]) -> Int[ndarray, " m"]:
    """Indices of the rows that no earlier row equals."""
    return np.sort(_groups(rows)[0])


def _groups(rows: ndarray) -> tuple[Int[ndarray, " m"], Int[ndarray, " n"]]:
    """First index of each distinct row, and which of these each row equals; faster than ``np.unique``."""
    order = np.lexsort(rows.T[::-1])
    new = np.append(True, (rows[order[1:]] != rows[order[:-1]]).any(axis=1))[: len(rows)]
    group = np.empty(len(rows), np.int64)
    group[order] = np.cumsum(new) - 1
    return order[new], group


def _inconsistent(
    faces: Int[ndarray, "f 3"], areas: Float[ndarray, "f 3"]
) -> tuple[Bool[ndarray, " f"], int]:
    """Faces against the majority (by area) of their component, and the edges that no turning can settle."""
    count = len(faces)
    pairs, same = shared_edges(faces)
    if not same.any():
        return np.zeros(count, bool), 0
    label = components(count, pairs)
    _, roots = np.unique(label, return_index=True)
    links = np.concatenate([pairs, np.stack([np.full(len(roots), count), roots], 1)])  # one tree for all
    _, first = np.unique(np.sort(links, axis=1), axis=0, return_index=True)
    links = links[first]
    odd = np.append(same, np.zeros(len(roots), bool))[first]
    graph = coo_array((1 + odd, (links[:, 0], links[:, 1])), (count + 1, count + 1)).tocsr()
    graph = graph + graph.T
    parent = breadth_first_order(graph, count, directed=False)[1]
    parent[count] = count
    flip = np.zeros(count + 1, bool)
    flip[:count] = np.asarray(graph[np.arange(count), parent[:count]]).ravel() == 2
    while (parent != count).any():  # pointer jumping: flips add up along the way to the root
        flip, parent = flip ^ flip[parent], parent[parent]
    flip = flip[:count]
    size = np.linalg.norm(areas, axis=1)
    balance = np.bincount(label, np.where(flip, size, -size))
    flip ^= (balance > 0)[label]
    unsettled = int((same ^ flip[pairs[:, 0]] ^ flip[pairs[:, 1]]).sum())
    return flip, unsettled


def _inside_out(vertices: Float[ndarray, "v 3"], faces: Int[ndarray, "f 3"]) -> Bool[ndarray, " f"]:
    """Faces of closed components with negative volume, unless they bound a cavity inside another one."""
    label = components(len(faces), shared_edges(faces)[0])
    triangles = vertices[faces]
    vectors = _area_vectors(triangles)
    size = np.linalg.norm(vectors, axis=1)
    area = np.bincount(label, size)
    total = _sums(label, vectors)
    centre = _sums(label, triangles.mean(1) * size[:, None]) / area[:, None]
    volume = np.bincount(label, ((triangles[:, 0] - centre[label]) * vectors).sum(1)) / 3
    closed = np.linalg.norm(total, axis=1) <= CLOSED * area
    turned = closed & (volume < -MIN_VOLUME * area**1.5 / (6 * np.sqrt(np.pi)))
    if not turned.any() or len(area) == 1:
        return turned[label]

    low, high = np.full((len(area), 3), np.inf), np.full((len(area), 3), -np.inf)
    np.minimum.at(low, label, triangles.min(1))
    np.maximum.at(high, label, triangles.max(1))
    work = 0
    for c in np.flatnonzero(turned):
        around = closed & (low < low[c]).all(1) & (high > high[c]).all(1)
        near = around[label]
        work += int(near.sum())
        if near.any() and work < NESTING_WORK:
            point = vertices[faces[np.argmax(label == c), 0]]
            winding = np.bincount(label[near], _solid_angles(triangles[near] - point)) / (4 * np.pi)
            turned[c] = np.rint(np.abs(winding)).sum() % 2 == 0
    return turned[label]


def _sums(label: Int[ndarray, " f"], values: Float[ndarray, "f 3"]) -> Float[ndarray, "c 3"]:
    return np.stack([np.bincount(label, values[:, k]) for k in range(3)], 1)


def _solid_angles(triangles: Float[ndarray, "f 3 3"]) -> Float[ndarray, " f"]:
    """Signed solid angle of each triangle seen from the origin (van Oosterom and Strackee, 1983)."""
    a, b, c = triangles.transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    dots = (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    return 2 * np.arctan2((a * np.cross(b, c)).sum(1), la * lb * lc + dots)
