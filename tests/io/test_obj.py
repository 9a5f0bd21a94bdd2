from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from mesh_files import box, family, obj_text, sphere
from PIL import Image

from syncsde3d.io.obj import write_obj
from syncsde3d.mesh.load import load_mesh
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.uv import ensure_uvs


def picture(size: int = 64) -> np.ndarray:
    row, column = np.indices((size, size)) * 255 // (size - 1)
    return np.stack([column, row, np.full_like(row, 77)], -1).astype(np.uint8)


def test_geometry_and_colours_by_another_reader(tmp_path):
    (tmp_path / "ball.obj").write_text(obj_text(*sphere(2)))
    mesh = ensure_uvs(load_mesh(tmp_path / "ball.obj"), 256, time_limit=0)
    path = write_obj(tmp_path / "out", mesh, picture())
    assert path == tmp_path / "out" / "textured.obj"
    assert sorted(p.name for p in path.parent.iterdir()) == ["texture.png", "textured.mtl", "textured.obj"]
    assert np.array_equal(np.asarray(Image.open(path.parent / "texture.png")), picture())
    found = trimesh.load_mesh(path, process=False)
    assert np.allclose(found.triangles, mesh.world_vertices()[mesh.faces], atol=1e-7)
    assert mesh.uvs is not None
    assert np.allclose(found.visual.uv[found.faces], mesh.uvs[mesh.uv_faces], atol=1e-7)
    assert np.array_equal(np.asarray(found.visual.material.image), picture())
    rows = [line.split() for line in path.read_text().splitlines()]
    points, normals = (np.array([row[1:] for row in rows if row[0] == key], float) for key in ("v", "vn"))
    corners = np.array([corner.split("/") for row in rows if row[0] == "f" for corner in row[1:]], int) - 1
    assert (points[corners[:, 0]] * normals[corners[:, 2]]).sum(1).min() > 0.999  # radial


def test_objects_groups_and_materials_survive(tmp_path):
    vertices, faces = box()
    lines = obj_text(vertices, faces).splitlines()
    for at, line in (
        (20, "usemtl roof tiles"),
        (18, "g lid"),
        (16, "o second"),
        (13, "usemtl wall"),
        (9, "o first"),
    ):
        lines.insert(at, line)
    (tmp_path / "house.obj").write_text("\n".join(lines) + "\n")
    mesh = ensure_uvs(load_mesh(tmp_path / "house.obj"), 256, time_limit=0)
    path = write_obj(tmp_path / "my house.obj", mesh, picture())
    assert path == tmp_path / "my house.obj"
    again = load_mesh(path)
    assert again.notes == ()
    assert [(p.name, p.geometry, p.faces, p.materials) for p in again.parts] == [
        (p.name, p.geometry, p.faces, tuple((name or "house", run) for name, run in p.materials))
        for p in mesh.parts
    ]
    assert [p.name for p in mesh.parts] == ["first", "second", "second"]
    assert torch.equal(again.faces, mesh.faces)
    assert torch.allclose(again.world_vertices(), mesh.world_vertices(), atol=1e-7)
    text = (tmp_path / "my_house.mtl").read_text()
    assert (
        text.count("map_Kd my_house.png") == len({name for p in mesh.parts for name, _ in p.materials}) == 3
    )


def test_nodes_of_a_scene_become_objects(tmp_path):
    mesh = ensure_uvs(load_mesh(family(tmp_path / "family.glb")), 256, time_limit=0)
    again = load_mesh(write_obj(tmp_path / "a.obj", mesh, picture()))
    assert [(p.name, p.geometry) for p in again.parts] == [("piece", "cube"), ("piece", "ball")]
    before, after = (m.world_vertices()[m.faces] for m in (mesh, again))
    assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 1e6), (1e30, 0.0), (1e-12, 0.0), (1e-3, 1.0)])
def test_digits_suffice_far_from_the_origin(tmp_path, scale, offset):
    vertices, faces = sphere(1)
    vertices = (vertices + offset) * scale
    text = "\n".join("v {!r} {!r} {!r}".format(*v) for v in vertices.tolist())
    (tmp_path / "a.obj").write_text(text + obj_text([], faces))
    mesh = ensure_uvs(load_mesh(tmp_path / "a.obj"), 256, time_limit=0)
    found = trimesh.load_mesh(write_obj(tmp_path / "out", mesh, picture()), process=False)
    assert np.abs(found.bounds - [vertices.min(0), vertices.max(0)]).max() < 1e-6 * 2 * scale


def test_equal_input_gives_equal_bytes_and_files_are_replaced(tmp_path):
    mesh = ensure_uvs(load_mesh(family(tmp_path / "family.glb")), 256, time_limit=0)
    contents = []
    for _ in range(2):
        write_obj(tmp_path / "out", mesh, picture())
        contents.append({p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 3


def test_what_cannot_be_written(tmp_path):
    vertices, faces = box()
    mesh = Mesh(torch.tensor(vertices).float(), torch.tensor(faces), name="bare")
    with pytest.raises(ValueError, match="mesh 'bare' has no texture coordinates"):
        write_obj(tmp_path / "out", mesh, picture())
    with pytest.raises(ValueError, match="texture: expected uint8"):
        write_obj(tmp_path / "out", mesh, picture()[..., 0])
    assert list(tmp_path.iterdir()) == []
