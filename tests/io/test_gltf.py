from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from gltf_tools import validate
from mesh_files import box, family, obj_text, sphere
from PIL import Image

from syncsde3d.io.gltf import write_glb
from syncsde3d.mesh.load import load_mesh
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.uv import ensure_uvs


def picture(size: int = 64) -> np.ndarray:
    """Every texel its own colour: red grows to the right, green downwards."""
    row, column = np.indices((size, size)) * 255 // (size - 1)
    return np.stack([column, row, np.full_like(row, 77)], -1).astype(np.uint8)


def unwrapped(path: Path) -> Mesh:
    return ensure_uvs(load_mesh(path), 256, time_limit=0)


def tree(path: Path) -> dict:
    data = path.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])


def reopened(path: Path) -> list[tuple[str, trimesh.Trimesh]]:
    """Node name and mesh in world coordinates, as trimesh reads them."""
    scene = trimesh.load_scene(path, process=False)
    found = []
    for node in scene.graph.nodes_geometry:
        matrix, geometry = scene.graph[node]
        found.append((node, scene.geometry[geometry].copy().apply_transform(matrix)))
    return found


def colours(mesh: trimesh.Trimesh) -> np.ndarray:
    """The texture's colour at the middle of each face, looked up by trimesh."""
    uv = mesh.visual.uv[mesh.faces].mean(1)
    return trimesh.visual.color.uv_to_color(uv, mesh.visual.material.baseColorTexture)[:, :3]


def expected_colours(mesh: Mesh, texture: np.ndarray) -> np.ndarray:
    """The same by the convention: row 0 is at v = 1."""
    assert mesh.uvs is not None
    uv = mesh.uvs[mesh.uv_faces].mean(1).numpy()
    height, width = texture.shape[:2]
    return texture[
        ((1 - uv[:, 1]) * (height - 1)).round().astype(int), (uv[:, 0] * (width - 1)).round().astype(int)
    ]


def test_the_tree_of_nodes_comes_out_as_it_went_in(tmp_path):
    source = family(tmp_path / "family.glb")
    mesh = unwrapped(source)
    write_glb(tmp_path / "out.glb", mesh, picture())
    assert validate(tmp_path / "out.glb") == [[]]
    before, after = tree(source), tree(tmp_path / "out.glb")
    assert [n.get("name") for n in after["nodes"]] == [n.get("name") for n in before["nodes"]]
    assert [n.get("children") for n in after["nodes"]] == [n.get("children") for n in before["nodes"]]
    assert after["scenes"] == before["scenes"]
    assert [m["name"] for m in after["meshes"]] == ["cube", "ball"]
    assert [m["name"] for m in after["materials"]] == ["red", "blue"]
    assert after["nodes"][0]["matrix"] == np.diag([2.0, 2, 2, 1]).ravel().tolist()
    assert "matrix" not in after["nodes"][4]
    originals, copies = reopened(source), reopened(tmp_path / "out.glb")
    for original, copy in zip(originals, copies, strict=True):
        assert np.allclose(original[1].bounds, copy[1].bounds, rtol=0, atol=1e-6 * np.ptp(original[1].bounds))
        assert copy[1].volume == pytest.approx(original[1].volume, rel=1e-5)  # the same side is outside


def test_names_and_textures_by_another_reader(tmp_path):
    mesh = unwrapped(family(tmp_path / "family.glb"))
    write_glb(tmp_path / "out.glb", mesh, picture())
    parts = reopened(tmp_path / "out.glb")
    world = mesh.world_vertices()[mesh.faces].mean(1).numpy()
    wanted = expected_colours(mesh, picture())
    found = np.concatenate([part.triangles_center for _, part in parts])
    seen = np.concatenate([colours(part) for _, part in parts])
    near = np.linalg.norm(found[:, None] - world[None], axis=-1)
    assert near.min(1).max() < 1e-4
    assert (
        np.abs(seen.astype(int) - wanted[near.argmin(1)].astype(int)).max() <= 5
    )  # nearest texels round apart
    for _, part in parts:
        assert np.array_equal(np.asarray(part.visual.material.baseColorTexture.convert("RGB")), picture())


@pytest.mark.parametrize(
    "name", ["spot.obj", "vase.obj", "building.glb", "dragon.glb", "house.glb", "teapot.obj"]
)
def test_real_meshes_keep_bounds_and_pass_the_validator(shared, tmp_path, name):
    mesh = unwrapped(shared / "meshes" / name)
    write_glb(tmp_path / "out.glb", mesh, picture())
    assert validate(tmp_path / "out.glb") == [[]]
    before = trimesh.load_scene(shared / "meshes" / name, process=False).bounds
    after = trimesh.load_scene(tmp_path / "out.glb", process=False).bounds
    assert np.abs(after - before).max() < 1e-6 * np.ptp(before, axis=0).max()


@pytest.mark.parametrize(
    ("scale", "offset"), [(1.0, 0.0), (1.0, 1e6), (1e30, 0.0), (1e-12, 0.0), (1e-3, 1.0), (1.0, 3.0)]
)
def test_coordinates_of_any_size_and_place(tmp_path, scale, offset):
    vertices, faces = sphere(2)
    vertices = (vertices + np.array([1, -1, 1]) * offset) * scale
    text = "\n".join("v {!r} {!r} {!r}".format(*v) for v in vertices.tolist())
    (tmp_path / "a.obj").write_text(text + obj_text([], faces))
    write_glb(tmp_path / "a.glb", unwrapped(tmp_path / "a.obj"), picture())
    assert validate(tmp_path / "a.glb") == [[]]
    (name, mesh), *rest = reopened(tmp_path / "a.glb")
    assert (name, rest) == ("a", [])
    assert np.abs(mesh.bounds - [vertices.min(0), vertices.max(0)]).max() < 1e-6 * 2 * scale
    radius = np.linalg.norm(mesh.vertices - np.array([1, -1, 1]) * offset * scale, axis=1)
    assert np.abs(radius / scale - 1).max() < 1e-5 if offset < 1e6 else 1e-3


def test_a_node_that_flattens_its_mesh(tmp_path):
    source = family(tmp_path / "family.glb")
    data = source.read_bytes()
    source.write_bytes(data.replace(b'"scale": [-1.0, 1.0, 0.5]', b'"scale": [-1.0, 1.0, 0.0]'))
    mesh = unwrapped(source)
    write_glb(tmp_path / "out.glb", mesh, picture())
    bounds = trimesh.load_scene(tmp_path / "out.glb", process=False).bounds
    world = mesh.world_vertices().numpy()
    assert np.allclose(bounds, [world.min(0), world.max(0)], atol=1e-5)


def test_equal_input_gives_equal_bytes(tmp_path):
    mesh = unwrapped(family(tmp_path / "family.glb"))
    for name in ("a.glb", "b.glb"):
        write_glb(tmp_path / name, mesh, picture())
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


def test_uvs_of_the_file_survive(tmp_path):
    vertices, faces = box()
    uvs = (np.arange(24).reshape(-1, 1, 1) // 2 % 4 * [0.25, 0] + [0.02, 0.02]).repeat(3, 1)[:12]
    uvs = uvs + np.array([[0, 0], [0.2, 0], [0, 0.2]]) + np.arange(12)[:, None, None] // 4 * [0, 0.3]
    flat = uvs.reshape(-1, 2)
    text = obj_text(vertices, faces, flat, np.arange(36).reshape(-1, 3))
    (tmp_path / "a.obj").write_text(text)
    mesh = load_mesh(tmp_path / "a.obj")
    write_glb(tmp_path / "a.glb", mesh, picture())
    again = load_mesh(tmp_path / "a.glb")
    for one, other in ((mesh, again),):
        corners = [
            torch.cat([m.world_vertices()[m.faces], m.uvs[m.uv_faces]], -1).reshape(-1, 5)
            for m in (one, other)
        ]
        assert torch.allclose(*[c[np.lexsort(c.numpy().round(4).T)] for c in corners], atol=1e-6)


def test_the_format_in_detail(tmp_path):
    vertices, faces = sphere(6)  # more vertices than 16-bit indices can name
    mesh = Mesh(torch.tensor(vertices).float(), torch.tensor(faces), name="ball")
    mesh = ensure_uvs(mesh, 256, time_limit=0)
    write_glb(tmp_path / "ball.glb", mesh, picture(8))
    assert validate(tmp_path / "ball.glb") == [[]]
    out = tree(tmp_path / "ball.glb")
    assert out["asset"] == {"version": "2.0", "generator": "syncsde3d"}
    assert out["nodes"] == [{"name": "ball", "mesh": 0}]
    material = out["materials"][0]
    assert material["name"] == "ball"
    assert material["doubleSided"]
    assert material["pbrMetallicRoughness"] == {
        "baseColorTexture": {"index": 0},
        "metallicFactor": 0.0,
        "roughnessFactor": 1.0,
    }
    view = out["bufferViews"][out["images"][0]["bufferView"]]
    data = (tmp_path / "ball.glb").read_bytes()
    start = 28 + struct.unpack_from("<I", data, 12)[0] + view["byteOffset"]
    image = Image.open(io.BytesIO(data[start : start + view["byteLength"]]))
    assert np.array_equal(np.asarray(image), picture(8))
    (_, ball), *_ = reopened(tmp_path / "ball.glb")
    assert (ball.vertex_normals * ball.vertices).sum(1).min() > 0.999


def test_what_cannot_be_written(tmp_path):
    vertices, faces = box()
    mesh = Mesh(torch.tensor(vertices).float(), torch.tensor(faces), name="bare")
    with pytest.raises(ValueError, match="mesh 'bare' has no texture coordinates"):
        write_glb(tmp_path / "a.glb", mesh, picture())
    with pytest.raises(ValueError, match="texture: expected uint8"):
        write_glb(tmp_path / "a.glb", mesh, picture() / 255.0)
    far = Mesh(mesh.vertices, mesh.faces, torch.rand(8, 2), mesh.faces, scale=1e39)
    with pytest.raises(ValueError, match="expected less than 3.4e38"):
        write_glb(tmp_path / "a.glb", far, picture())
    assert list(tmp_path.iterdir()) == []
