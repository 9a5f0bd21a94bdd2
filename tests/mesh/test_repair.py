from __future__ import annotations

import numpy as np
import pytest
import trimesh
from mesh_files import box, sphere

from syncsde3d.mesh.formats.source import MeshError, Source
from syncsde3d.mesh.repair import repair


def source(vertices, faces, node=None, material=None) -> Source:
    faces = np.asarray(faces)
    node = np.zeros(len(faces), int) if node is None else np.asarray(node)
    material = np.zeros(len(faces), int) if material is None else np.asarray(material)
    none = np.full(faces.shape, -1)
    return Source(np.asarray(vertices, float), faces, np.empty((0, 2)), none, node, material)


def volume(mesh: Source) -> float:
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return float(np.einsum("fk,fk->", np.cross(a, b), c) / 6)


@pytest.mark.parametrize("turned", [0.0, 0.3, 0.7, 1.0])
def test_any_winding_of_a_closed_mesh_ends_outwards(turned):
    rng = np.random.default_rng(0)
    knot = trimesh.creation.torus(1.0, 0.3)
    faces = np.array(knot.faces)
    flip = rng.random(len(faces)) < turned
    faces[flip] = faces[flip, ::-1]
    result = repair(source(knot.vertices, faces))
    assert volume(result) == pytest.approx(abs(knot.volume))
    assert trimesh.Trimesh(result.vertices, result.faces, process=False).is_winding_consistent
    assert (not result.notes) == (turned == 0)


def test_a_shell_inside_out_within_another_is_a_cavity_and_stays():
    vertices, faces = sphere()
    both = np.concatenate([vertices, vertices * 0.5])
    hollow = np.concatenate([faces, faces[:, ::-1] + len(vertices)])
    result = repair(source(both, hollow))
    assert volume(result) == pytest.approx(volume(source(vertices, faces)) * (1 - 1 / 8))
    assert result.notes == []


def test_a_shell_inside_out_beside_another_is_turned():
    vertices, faces = sphere()
    beside = np.concatenate([vertices, vertices * 0.5 + [3, 0, 0]])
    result = repair(source(beside, np.concatenate([faces, faces[:, ::-1] + len(vertices)])))
    assert volume(result) == pytest.approx(volume(source(vertices, faces)) * (1 + 1 / 8))


def test_open_bowl_keeps_the_side_it_was_given():
    """Half a sphere seen from inside may be meant so; only closed shells have an outside."""
    vertices, faces = sphere(3)
    half = faces[(vertices[faces][:, :, 1] < 1e-6).all(1)][:, ::-1]
    assert volume(repair(source(vertices, half))) < 0


def test_one_sided_surface_is_told_and_survives():
    n, width = 40, 0.3
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    across = np.stack([np.cos(turn / 2) * np.cos(turn), np.sin(turn / 2), np.cos(turn / 2) * np.sin(turn)], 1)
    middle = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1)
    vertices = np.concatenate([middle + width * across, middle - width * across])
    faces = []
    for i in range(n):
        a, b = (i, n + i), ((i + 1) % n, n + (i + 1) % n)
        b = b if i + 1 < n else b[::-1]
        faces += [(a[0], b[0], a[1]), (b[0], b[1], a[1])]
    result = repair(source(vertices, faces))
    assert len(result.faces) == 2 * n
    assert any("one-sided" in note for note in result.notes)


def test_vertices_merge_within_a_node_only():
    vertices, faces = box()
    soup = vertices[faces].reshape(-1, 3)
    twice = np.concatenate([soup, soup])
    index = np.arange(len(twice)).reshape(-1, 3)
    assert len(repair(source(twice[:36], index[:12])).vertices) == 8
    result = repair(source(twice, index, node=[0] * 12 + [1] * 12))
    assert (len(result.vertices), len(result.faces)) == (16, 24)
    assert len(repair(source(twice, index)).faces) == 12  # in one node they are the same faces


def test_faces_of_a_node_and_material_come_together():
    vertices, faces = sphere(1)
    rng = np.random.default_rng(1)
    node, material = rng.integers(0, 3, len(faces)), rng.integers(0, 2, len(faces))
    result = repair(source(vertices, faces, node, material))
    assert (np.diff(result.node) >= 0).all()
    runs = np.flatnonzero(np.diff(result.node * 2 + result.material, prepend=-1))
    assert len(runs) == 6
    for k in range(3):  # in the order of the file
        assert result.material[result.node == k][0] == material[node == k][0]
    for k in range(3):
        before = vertices[faces[node == k]].mean(1)
        after = result.vertices[result.faces[result.node == k]].mean(1)
        assert np.allclose(np.sort(before, 0), np.sort(after, 0))


def test_uvs_follow_their_corners():
    vertices, faces = sphere(1)
    given = source(vertices, faces[:, ::-1])
    given.uvs, given.uv_faces = (
        vertices[faces[:, ::-1]].reshape(-1, 3)[:, :2],
        np.arange(faces.size).reshape(-1, 3),
    )
    result = repair(given)
    assert volume(result) > 0
    assert len(result.uvs) == len(vertices)
    assert np.array_equal(result.uvs[result.uv_faces], result.vertices[result.faces][..., :2])


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e30])
def test_area_is_judged_relative_to_the_size(scale):
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 1e-11, 0], [0.5, 1e-9, 0]]) * scale
    result = repair(source(vertices, [[0, 1, 2], [0, 1, 3], [0, 1, 4]]))
    assert len(result.faces) == 2
    assert "dropped 1 face without area" in result.notes


def test_what_cannot_be_repaired():
    vertices, faces = box()
    with pytest.raises(MeshError, match="finite"):
        repair(source(vertices * np.nan, faces))
    with pytest.raises(MeshError, match="no usable extent"):
        repair(source(vertices * 0, faces))
    with pytest.raises(MeshError, match="no face has an area"):
        repair(source(vertices, faces[:, [0, 0, 1]]))
    with pytest.raises(MeshError, match="no usable extent"), np.errstate(over="ignore"):
        repair(source(vertices * 1.7e308, faces))
