from __future__ import annotations

import logging
import struct
import time

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from mesh_files import Gltf, box, family, obj_text, sphere

from syncsde3d.mesh.formats.gltf import read_gltf
from syncsde3d.mesh.formats.obj import read_obj
from syncsde3d.mesh.formats.off import read_off
from syncsde3d.mesh.formats.ply import read_ply
from syncsde3d.mesh.formats.polygons import triangulate
from syncsde3d.mesh.formats.source import MeshError, resolve_inside, resolve_uri
from syncsde3d.mesh.formats.stl import read_stl

logging.getLogger("trimesh").setLevel(logging.ERROR)


def sorted_triangles(triangles: np.ndarray) -> np.ndarray:
    """Triangles as a set: corners rotated so that the smallest comes first, then sorted."""
    triangles = np.round(triangles, 6) + 0.0
    rank = np.lexsort(triangles.reshape(-1, 3).T[::-1])
    order = np.empty(len(rank), int)
    order[rank] = np.arange(len(rank))
    first = order.reshape(-1, 3).argmin(1)
    turned = np.take_along_axis(triangles, ((first[:, None] + np.arange(3)) % 3)[..., None], 1)
    return turned[np.lexsort(turned.reshape(len(turned), -1).T[::-1])]


def area(points: np.ndarray) -> float:
    """Shoelace formula."""
    x, y = points.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


@given(st.lists(st.floats(0.1, 1.0), min_size=3, max_size=12), st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_star_polygons_are_covered_exactly_once(radii, seed):
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    flat = np.stack([np.cos(angles), np.sin(angles)], 1) * np.array(radii)[:, None]
    flat = np.roll(flat, rng.integers(len(flat)), 0)
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    frame *= np.linalg.det(frame)
    points = np.pad(flat, ((0, 0), (0, 1))) @ frame.T + rng.normal(size=3)
    triangles, polygon = triangulate(points, np.arange(len(flat)), np.array([len(flat)]))
    assert len(triangles) == len(flat) - 2
    assert (polygon == 0).all()
    a, b, c = np.moveaxis(flat[triangles], 1, 0)
    signed = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert signed.min() > -1e-9  # none folded over; then equal areas mean no overlap and no hole
    assert signed.sum() / 2 == pytest.approx(area(flat), rel=1e-9)


def test_polygons_keep_their_order_and_collinear_corners():
    square = np.array(
        [[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [5, 0, 0], [6, 0, 0], [5, 1, 0]], float
    )
    corners, counts = np.array([5, 6, 7, 0, 1, 3, 4, 0, 1, 2, 3, 4]), np.array([3, 4, 5])
    triangles, polygon = triangulate(square, corners, counts)
    assert polygon.tolist() == [0, 1, 1, 2, 2, 2]
    a, b, c = np.moveaxis(square[corners[triangles]], 1, 0)
    size = np.cross(b - a, c - a)[:, 2] / 2
    assert (size > 0).all()
    assert [size[polygon == k].sum() for k in range(3)] == pytest.approx([0.5, 3.0, 4.0])


def test_concave_quads_are_split_along_the_inner_diagonal():
    dart = np.array([[0, 0, 0], [2, 1, 0], [0, 2, 0], [0.5, 1, 0]], float)  # the last corner is reflex
    for shift in range(4):
        corners = np.roll(np.arange(4), shift)
        triangles, _ = triangulate(dart, corners, np.array([4]))
        a, b, c = np.moveaxis(dart[corners[triangles]], 1, 0)
        assert (np.cross(b - a, c - a)[:, 2] > 0).all()


@pytest.mark.parametrize("name", ["spot.obj", "spot_quads.obj", "vase.obj", "teapot.obj", "plane_holes.obj"])
def test_obj_agrees_with_trimesh(shared, name):
    source = read_obj(shared / "meshes" / name)
    other = trimesh.load_mesh(shared / "meshes" / name, process=False)
    assert np.array_equal(sorted_triangles(source.vertices[source.faces]), sorted_triangles(other.triangles))


@pytest.mark.parametrize("name", ["house.glb", "building.glb", "dragon.glb", "mannequin.glb"])
def test_gltf_agrees_with_trimesh(shared, name):
    source = read_gltf(shared / "meshes" / name)
    other = trimesh.load_scene(shared / "meshes" / name, process=False).to_mesh()
    assert np.array_equal(sorted_triangles(source.vertices[source.faces]), sorted_triangles(other.triangles))
    if len(source.uvs):
        ours = source.uvs[source.uv_faces].reshape(-1, 2)
        assert np.allclose(
            np.sort(ours, 0), np.sort(other.visual.uv[other.faces].reshape(-1, 2), 0), atol=1e-6
        )


@pytest.mark.parametrize(("kind", "reader"), [("stl", read_stl), ("stl_ascii", read_stl), ("off", read_off)])
def test_exports_of_trimesh_come_back(tmp_path, kind, reader):
    mesh = trimesh.creation.icosphere(2)
    mesh.export(tmp_path / "a.mesh", file_type=kind)
    source = reader(tmp_path / "a.mesh")
    assert np.allclose(source.vertices[source.faces], mesh.triangles, atol=1e-7)


def test_obj_keeps_objects_groups_materials_and_corner_uvs(tmp_path):
    text = """
o first
usemtl stone
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0 0.5
vt 1 1
vt 0.5
f 1/1 2/2 3/3 4/4
g door
usemtl wood
f 1 2 3
o second
v 0 0 1
f -1//1 -2//1 -3//1
f 5/1/1 4/2/1 3/3/1
"""
    (tmp_path / "a.obj").write_text(text)
    source = read_obj(tmp_path / "a.obj")
    assert [(n.name, n.geometry) for n in source.nodes] == [
        ("first", ""),
        ("first", "door"),
        ("second", "door"),
    ]
    assert source.materials == ["stone", "wood"]
    assert source.node.tolist() == [0, 0, 1, 2, 2]
    assert source.material.tolist() == [0, 0, 1, 1, 1]
    assert source.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2], [4, 3, 2], [4, 3, 2]]
    assert source.uv_faces.tolist() == [[0, 1, 2], [0, 2, 3], [-1] * 3, [-1] * 3, [0, 1, 2]]
    assert source.uvs.tolist() == [[0, 0], [1, 0], [1, 1], [0.5, 0]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("f 1 2 9", r"line 5: a face refers to vertex 9, expected 1 to 3"),
        ("f 1 2 -4", r"line 5: a face refers to vertex -4"),
        ("f 0 1 2", r"line 5: a face refers to vertex 0"),
        ("f 1 two 3", r"line 5: face corner 'two' is no number"),
        ("f 1/x 2/1 3/1", r"line 5: face corner '1/x' is no number"),
        ("f 99999999999999999999 2 3", r"line 5: face corner '9{20}|vertex 9{20}"),
        ("v 1 2\nf 1 2 3", r"line 5: a vertex needs 3 numbers, came '1 2'"),
        ("v 1 2,5 3\nf 1 2 3", r"line 5: a vertex needs 3 numbers, came '1 2,5 3'"),
        ("vt up\nf 1 2 3", r"line 5: a texture coordinate needs 2 numbers"),
    ],
)
def test_obj_errors_name_the_line(tmp_path, line, message):
    (tmp_path / "a.obj").write_text(f"v 0 0 0\nv 1 0 0\nv 0 \\\n1 0\n{line}\n")
    with pytest.raises(MeshError, match=message):
        read_obj(tmp_path / "a.obj")


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_of_every_kind(tmp_path, order):
    """Mixed polygons, per-corner texture coordinates, other elements and properties around them."""
    vertices = [(0, 0, 0), (2, 0, 0), (2, 2, 0), (0, 2, 0), (1, 3, 0)]
    faces = [((0, 1, 2, 3), 7), ((3, 2, 4), 8)]
    head = f"""ply
format {order} 1.0
comment made for a test
element camera 1
property list uchar short zoom
property double far
element vertex 5
property uchar red
property double x
property float y
property float z
element face 2
property int flags
property list uchar uint vertex_indices
property list uchar float texcoord
end_header
"""
    values = [vertices[i][:2] for row, _ in faces for i in row]
    if order == "ascii":
        lines = ["2 5 -6 0.5"] + [f"200 {x} {y} {z}" for x, y, z in vertices]
        for row, flags in faces:
            uv = [str(c / 4) for i in row for c in vertices[i][:2]]
            lines.append(" ".join([str(flags), str(len(row)), *map(str, row), str(len(uv)), *uv]))
        body = "\n".join(lines).encode()
    else:
        e = "<" if "little" in order else ">"
        body = struct.pack(e + "B2hd", 2, 5, -6, 0.5)
        body += b"".join(struct.pack(e + "Bd2f", 200, *v) for v in vertices)
        for row, flags in faces:
            n = len(row)
            uv = [c / 4 for i in row for c in vertices[i][:2]]
            body += struct.pack(f"{e}iB{n}IB{2 * n}f", flags, n, *row, 2 * n, *uv)
    (tmp_path / "a.ply").write_bytes(head.encode() + body)
    source = read_ply(tmp_path / "a.ply")
    assert source.vertices.tolist() == [list(map(float, v)) for v in vertices]
    assert source.faces.tolist() == [[0, 1, 2], [0, 2, 3], [3, 2, 4]]
    assert np.allclose(source.uvs, np.array(values) / 4)
    assert np.allclose(source.uvs[source.uv_faces], source.vertices[source.faces][..., :2] / 4)


def test_ply_uvs_per_vertex(tmp_path):
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "property float s\nproperty float t\nelement face 1\nproperty list uchar int vertex_index\n"
    head += "end_header\n"
    (tmp_path / "a.ply").write_text(head + "0 0 0 0 0\n1 0 0 1 0\n0 1 0 0 1\n3 0 1 2\n")
    source = read_ply(tmp_path / "a.ply")
    assert source.uvs[source.uv_faces].tolist() == [[[0, 0], [1, 0], [0, 1]]]


def test_gltf_nodes_in_closed_form(tmp_path):
    source = read_gltf(family(tmp_path / "a.glb"))
    assert [n.name for n in source.nodes] == ["root", "arm", "piece", "piece", "socket"]
    assert [n.parent for n in source.nodes] == [-1, 0, 1, 0, 3]
    assert [source.materials[i] for i in source.material[[0, -1]]] == ["red", "red"]
    c, s = np.cos(0.6), np.sin(0.6)
    expected = (box()[0] * [-1, 1, 0.5]) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + [5, 0, 0]
    mine = source.vertices[source.faces[source.node == 2]]
    assert np.allclose(
        np.unique(mine.reshape(-1, 3).round(5), axis=0), np.unique((2 * expected).round(5), axis=0)
    )
    a, b, c = np.moveaxis(mine, 1, 0)
    assert (
        np.einsum("fk,fk->f", np.cross(b - a, c - a), (a + b + c) / 3 - [10, 0, 0]).min() > 0
    )  # still outward


def test_gltf_strips_fans_and_missing_indices(tmp_path):
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 2, 0], [1, 2, 0]], float)
    gltf = Gltf()
    gltf.mesh(points, None, mode=5)
    gltf.mesh(points[[0, 1, 3, 2]] + [5, 0, 0], [0, 1, 2, 3], mode=6)
    gltf.mesh(points[[0, 1, 2, 2, 1, 3]] + [9, 0, 0], None)
    gltf.mesh(points, None, mode=1)
    gltf.tree["nodes"] = [{"mesh": i} for i in range(4)]
    gltf.tree["scenes"] = [{"nodes": [0, 1, 2, 3]}]
    source = read_gltf(gltf.save(tmp_path / "a.gltf"))
    a, b, c = np.moveaxis(source.vertices[source.faces], 1, 0)
    normal = np.cross(b - a, c - a)
    assert np.bincount(source.node).tolist() == [4, 2, 2]
    assert (normal[:, 2] > 0).all()
    assert np.bincount(source.node, normal[:, 2] / 2) == pytest.approx([2.0, 1.0, 1.0])
    assert source.notes == ["ignored points and lines"]


def test_gltf_sparse_quantised_and_strided_accessors(tmp_path):
    gltf = Gltf()
    mesh = gltf.mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [0, 1, 2])
    position = gltf.tree["accessors"][0]
    position["sparse"] = {
        "count": 1,
        "indices": {"bufferView": gltf.view(struct.pack("<H", 2)), "componentType": 5123},
        "values": {"bufferView": gltf.view(struct.pack("<3f", 0, 5, 0))},
    }
    uv = gltf.view(struct.pack("<12H", 0, 0, 9, 9, 65535, 0, 9, 9, 0, 13107, 9, 9), byteStride=8)
    gltf.tree["accessors"].append(
        {"bufferView": uv, "componentType": 5123, "normalized": True, "count": 3, "type": "VEC2"}
    )
    gltf.tree["meshes"][mesh]["primitives"][0]["attributes"]["TEXCOORD_0"] = 2
    gltf.tree["nodes"] = [{"mesh": 0}]
    source = read_gltf(gltf.save(tmp_path / "a.glb"))
    assert source.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 5, 0]]
    assert np.allclose(source.uvs, [[0, 1], [1, 1], [0, 0.8]])  # origin bottom-left


def test_gltf_skin_poses_the_mesh_instead_of_its_node(tmp_path):
    gltf = Gltf()
    mesh = gltf.mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [0, 1, 2])
    attributes = gltf.tree["meshes"][mesh]["primitives"][0]["attributes"]
    attributes["JOINTS_0"] = gltf.accessor([[0, 1, 0, 0]] * 3, 5121)
    attributes["WEIGHTS_0"] = gltf.accessor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.5, 0.5, 0, 0]], 5126)
    shift = np.eye(4)
    shift[:3, 3] = [0, 0, 3]
    inverse = gltf.accessor(np.stack([np.eye(4), shift.T]).reshape(2, 16), 5126)
    gltf.tree["skins"] = [{"joints": [1, 2], "inverseBindMatrices": inverse}]
    gltf.tree["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [100.0, 0.0, 0.0]},
        {"translation": [0.0, 0.0, 1.0]},
        {"translation": [0.0, 10.0, 0.0]},
    ]
    gltf.tree["scenes"] = [{"nodes": [0, 1, 2]}]
    gltf.tree["animations"] = [{"channels": [], "samplers": []}]
    source = read_gltf(gltf.save(tmp_path / "a.glb"))
    assert np.allclose(source.vertices, [[0, 0, 1], [1, 10, 3], [0, 6, 2]])
    assert sorted(note.split(",")[0] for note in source.notes) == [
        "took the rigged mesh in its rest pose",
        "took the scene at rest",
    ]


def broken(change) -> bytes:
    gltf = Gltf()
    gltf.mesh(*box())
    gltf.tree["nodes"] = [{"mesh": 0}]
    change(gltf.tree)
    return gltf.bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["accessors"][1].update(count=9999), "needs 39996 bytes"),
        (lambda t: t["accessors"][0].update(byteOffset=-4), "an accessor needs"),
        (lambda t: t["bufferViews"][0].update(byteOffset=10**9), "an accessor needs"),
        (lambda t: t["bufferViews"][0].update(buffer=-1), r"buffers\[-1\]"),
        (lambda t: t["nodes"].append({}) or t["nodes"][0].update(mesh=7), r"meshes\[7\], the file has 1"),
        (lambda t: t["nodes"][0].update(children=[0]), "own ancestor"),
        (lambda t: t["accessors"][0].update(type="VEC2"), "expected 3 numbers"),
        (lambda t: t["accessors"][0].pop("bufferView"), "has no data"),
        (lambda t: t["meshes"][0]["primitives"][0]["attributes"].clear(), "lacks a required entry.*POSITION"),
        (lambda t: t["meshes"][0]["primitives"][0].update(mode=0), "no faces"),
        (lambda t: t["scenes"][0].update(nodes=[]), "no faces"),
        (lambda t: t["asset"].update(version="1.0"), "version '1.0', expected 2.0"),
        (lambda t: t.update(extensionsRequired=["KHR_draco_mesh_compression"]), "compressed"),
        (lambda t: t["nodes"][0].update(children=list(range(1, 9))), r"nodes\[1\], the file has 1"),
    ],
)
def test_gltf_errors(tmp_path, change, message):
    (tmp_path / "a.glb").write_bytes(broken(change))
    with pytest.raises(MeshError, match=message):
        read_gltf(tmp_path / "a.glb")


def test_gltf_instances_beyond_any_memory_are_refused_at_once(tmp_path):
    start = time.process_time()
    (tmp_path / "a.glb").write_bytes(broken(lambda t: t.update(nodes=[{"mesh": 0}] * 10**6)))
    with pytest.raises(MeshError, match="1,000,000 nodes, at most 100,000"):
        read_gltf(tmp_path / "a.glb")
    gltf = Gltf()
    gltf.mesh(*sphere(4))
    gltf.tree["nodes"] = [{"mesh": 0}] * 5000
    gltf.tree["scenes"] = [{"nodes": list(range(5000))}]
    with pytest.raises(MeshError, match="25,600,000 faces, at most 10,000,000"):
        read_gltf(gltf.save(tmp_path / "a.glb"))
    assert time.process_time() - start < 15


def test_references_stay_inside_the_folder(tmp_path):
    folder = tmp_path / "meshes"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "sub" / "up").symlink_to(tmp_path)
    outside = ["../secret", "sub/../../secret", "/etc/passwd", "link", "sub/up/secret", "..\\secret", "C:\\x"]
    assert [resolve_inside(folder, name) for name in (*outside, "file:///etc/passwd", "~/x", "a\0b")] == [
        None
    ] * 10
    assert resolve_uri(folder, "%2e%2e/secret") is None
    assert resolve_uri(folder, "a%20b.bin") == (folder / "a b.bin").resolve()
    assert resolve_inside(folder, "sub\\c.png") == (folder / "sub" / "c.png").resolve()


def test_obj_line_endings_tabs_and_continuations(tmp_path):
    text = obj_text(*box()).replace("v ", "v\t").replace("f 1", "f \\\n  1")
    for eol in ("\n", "\r\n", "\r"):
        (tmp_path / "a.obj").write_bytes(b"\xef\xbb\xbf# caf\xe9\n" + text.replace("\n", eol).encode())
        source = read_obj(tmp_path / "a.obj")
        assert np.array_equal(source.vertices[source.faces], box()[0][box()[1]])


def test_off_variants(tmp_path):
    vertices, faces = sphere(0)
    rows = [f"{x} {y} {z} 0.5 0.5 0.5 1" for x, y, z in vertices] + [
        f"3 {a} {b} {c} 255 0 0" for a, b, c in faces
    ]
    (tmp_path / "a.off").write_text("COFF # with colours\n\n12 20 0\n" + "\n".join(rows))
    source = read_off(tmp_path / "a.off")
    assert np.allclose(source.vertices[source.faces], vertices[faces])
    (tmp_path / "b.off").write_text("OFF 12 20 0\n" + "\n".join(rows[:-1]))
    with pytest.raises(MeshError, match="truncated: 12 vertices and 20 faces"):
        read_off(tmp_path / "b.off")
