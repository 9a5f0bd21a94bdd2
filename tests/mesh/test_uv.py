from __future__ import annotations

import os
import subprocess
import time

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from mesh_files import sphere

from syncsde3d.mesh import uv, uv_raster
from syncsde3d.mesh.box_charts import box_unwrap
from syncsde3d.mesh.load import load_mesh
from syncsde3d.mesh.types import Mesh
from syncsde3d.mesh.uv import ensure_uvs

SIZE = 256


def grid(cells: int = 8) -> tuple[Mesh, np.ndarray]:
    """A flat square sheet, and a layout that fills 81 % of the texture with one island."""
    line = np.linspace(0, 1, cells + 1)
    flat = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    a = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    faces = np.concatenate(
        [np.stack([a, a + 1, a + cells + 2], 1), np.stack([a, a + cells + 2, a + cells + 1], 1)]
    )
    vertices = torch.tensor(np.pad(flat - 0.5, ((0, 0), (0, 1))), dtype=torch.float32)
    return Mesh(vertices, torch.from_numpy(faces)), flat * 0.9 + 0.05


def with_layout(mesh: Mesh, layout: np.ndarray) -> Mesh:
    return mesh.with_uvs(torch.tensor(layout, dtype=torch.float32), mesh.faces)


def two_sheets() -> tuple[Mesh, np.ndarray]:
    """Two separate sheets side by side, and a layout of two islands that do not touch."""
    sheet, flat = grid()
    count = len(flat)
    vertices = torch.cat([sheet.vertices, sheet.vertices + torch.tensor([0.0, 0.0, 0.7])])
    layout = np.concatenate([flat * [0.45, 1], flat * [0.45, 1] + [0.5, 0]])
    return Mesh(vertices, torch.cat([sheet.faces, sheet.faces + count])), layout


def measure(mesh: Mesh, size: int) -> tuple[float, float, float]:
    """Overlap, coverage and gutter of a mesh's layout."""
    assert mesh.uvs is not None
    assert mesh.uv_faces is not None
    uvs, faces = mesh.uvs.double().numpy(), mesh.uv_faces.numpy()
    texel, face = uv_raster.covered_texels(uvs[faces], size)
    counts = np.bincount(texel, minlength=size**2)
    label = uv_raster.islands(faces, len(uvs))[faces[:, 0]]
    return (
        (counts > 1).sum() / (counts > 0).sum(),
        (counts > 0).mean(),
        uv_raster.gutter(texel, label[face], size),
    )


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_covered_texels_are_those_whose_centre_lies_inside(seed):
    rng = np.random.default_rng(seed)
    triangles = rng.random((6, 3, 2)) if seed % 2 else rng.integers(0, 17, (6, 3, 2)) / 16
    texel, face = uv_raster.covered_texels(triangles, 16)
    centre = (np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1).reshape(-1, 2) + 0.5) / 16
    for k, (a, b, c) in enumerate(triangles):
        cross = [
            (q - p)[0] * (centre - p)[:, 1] - (q - p)[1] * (centre - p)[:, 0]
            for p, q in ((a, b), (b, c), (c, a))
        ]
        inside = np.all(np.array(cross) > 1e-12, 0) | np.all(np.array(cross) < -1e-12, 0)
        outside = np.any(np.array(cross) > 1e-12, 0) & np.any(np.array(cross) < -1e-12, 0)
        found = np.bincount(texel[face == k], minlength=256)
        assert (found[inside] == 1).all()
        assert (found[outside] == 0).all()


def test_triangles_that_share_edges_share_no_texel():
    sheet, flat = grid(16)  # its edges and corners run through texel centres
    for layout in (flat, np.round(flat * 32) / 32 + 1 / 64):
        texel, _ = uv_raster.covered_texels(layout[sheet.faces.numpy()], 32)
        assert np.bincount(texel).max() == 1
        low, high = np.ceil(layout.min() * 32 - 0.5), np.ceil(layout.max() * 32 - 0.5)
        assert len(texel) == (high - low) ** 2


def test_gutter_counts_free_texels():
    owner = np.full((32, 32), -1)
    owner[4:10, 4:10], owner[4:10, 17:20], owner[20:, :] = 0, 1, 2
    texel = np.flatnonzero(owner.ravel() >= 0)
    assert uv_raster.gutter(texel, owner.ravel()[texel], 32) == 7
    owner[owner > 0] = 0
    assert uv_raster.gutter(texel, owner.ravel()[texel], 32) == np.inf


def test_usable_coordinates_are_kept_to_the_bit():
    mesh, layout = grid()
    result = ensure_uvs(with_layout(mesh, layout), SIZE)
    assert torch.equal(result.uvs, torch.tensor(layout, dtype=torch.float32))
    assert result.uv_faces is not None
    assert torch.equal(result.uv_faces, mesh.faces)
    assert result.notes == ("kept the file's texture coordinates: 1 island on 81% of the texture",)


def test_a_hair_outside_is_clamped():
    mesh, layout = grid()
    result = ensure_uvs(with_layout(mesh, (layout - 0.05) / 0.9 * (1 + 0.4 / SIZE)), SIZE)
    assert result.uvs is not None
    assert result.uvs.max() == 1
    assert result.notes[0].startswith("kept the file's texture coordinates: ")


def test_islands_are_moved_by_whole_units():
    mesh, layout = two_sheets()
    moved = layout.copy()
    moved[len(layout) // 2 :] += [3, -2]
    result = ensure_uvs(with_layout(mesh, moved), SIZE)
    assert result.uvs is not None
    assert np.allclose(result.uvs.numpy(), layout, atol=1e-6)
    assert "1 islands moved by whole units" in result.notes[0]


@pytest.mark.parametrize("shift", [-3.2, 5.7])
def test_a_layout_across_the_border_is_fitted(shift):
    mesh, layout = grid()
    result = ensure_uvs(with_layout(mesh, layout * 8 + shift), SIZE)
    assert result.uvs is not None
    assert np.allclose(result.uvs.numpy(), (layout - 0.05) / 0.9, atol=1e-5)
    assert "scaled by 0.139 to fit the unit square" in result.notes[0]
    result = ensure_uvs(with_layout(mesh, layout + [0.3, -0.02]), SIZE)
    assert result.uvs is not None
    assert np.allclose(result.uvs.numpy(), layout + [0.05, -0.02], atol=1e-6)  # moved just so far
    assert "scaled by 1.000" in result.notes[0]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t: t * 0 + 0.5, "without extent on 100% of the surface"),
        (lambda t: np.where(np.arange(len(t))[:, None] < len(t) // 2, t, 0.5), "without extent"),
        (lambda t: t * [1, 0.0], "without extent on 100% of the surface"),
        (lambda t: t * 0.2, "on only"),
        (lambda t: np.stack([np.abs(t[:, 0] - 0.27), t[:, 1]], 1), "overlap on"),
        (lambda t: np.concatenate([t[: len(t) // 2] * 2 % 1, t[len(t) // 2 :]]), "overlap"),
        (lambda t: np.where(np.arange(len(t))[:, None] == 3, np.nan, t), "not finite"),
        (lambda t: t * 40, "overlap|on only"),
    ],
)
def test_unusable_coordinates_are_replaced(spoil, reason):
    mesh, layout = two_sheets()
    spoilt = spoil(layout)
    if reason == "overlap|on only":
        spoilt[0] = 90
    result = ensure_uvs(with_layout(mesh, spoilt), SIZE, time_limit=0)
    assert result.notes[-1].startswith("unwrapped along the axes (xatlas was not wanted)")
    assert any(word in result.notes[-1] for word in reason.split("|"))
    overlap, coverage, gutter = measure(result, SIZE)
    assert overlap == 0
    assert coverage > 0.4
    assert gutter >= 8


@pytest.mark.parametrize("time_limit", [0.0, 120.0])
def test_new_layout_is_sound(time_limit):
    """On a bent tube: closed, with overhangs, so that no axis sees it without overlap."""
    knot = trimesh.creation.torus(1.0, 0.35, 24, 12)
    bumps = knot.vertices * (1 + 0.3 * np.sin(7 * knot.vertices[:, :1]))
    mesh = Mesh(torch.tensor(bumps / 2, dtype=torch.float32), torch.tensor(knot.faces))
    result = ensure_uvs(mesh, 512, time_limit)
    assert result.uvs is not None
    assert result.uv_faces is not None
    assert torch.equal(result.vertices, mesh.vertices)
    assert torch.equal(result.faces, mesh.faces)
    assert result.uvs.min() >= 0
    assert result.uvs.max() <= 1
    overlap, coverage, gutter = measure(result, 512)
    assert overlap == 0
    assert coverage > (0.4 if time_limit else 0.25)
    assert gutter >= 8
    corner, position = result.uvs[result.uv_faces], mesh.vertices[mesh.faces]
    flat = torch.linalg.det(torch.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], 1)).abs()
    solid = torch.linalg.cross(position[:, 1] - position[:, 0], position[:, 2] - position[:, 0]).norm(dim=1)
    density = (flat / solid).sqrt()
    assert density.max() / density.min() < 5  # no face is starved of texels
    again = ensure_uvs(mesh, 512, time_limit)
    assert again.uvs is not None
    assert torch.equal(result.uvs, again.uvs)
    assert ("xatlas in" in result.notes[-1]) == (time_limit > 0)


def test_axis_layout_is_packed_tighter_by_xatlas(monkeypatch):
    monkeypatch.setattr(uv, "MAX_XATLAS_FACES", 0)
    tube = trimesh.creation.torus(1.0, 0.2, 32, 16)
    tube.apply_transform(trimesh.transformations.rotation_matrix(0.7, [1, 2, 3]))
    mesh = Mesh(torch.tensor(tube.vertices / 1.2).float(), torch.tensor(tube.faces))
    loose, tight = (ensure_uvs(mesh, 512, limit) for limit in (0, 60))
    assert "xatlas would take too long for 1,024 faces" in tight.notes[-1]
    overlap, coverage, gutter = measure(tight, 512)
    assert overlap == 0
    assert coverage > 1.1 * measure(loose, 512)[1]
    assert gutter >= 8


@pytest.mark.parametrize("most_faces", [0, 400_000])
def test_slivers_do_not_stretch_across_the_texture(monkeypatch, most_faces):
    """Faces that xatlas takes for none must not be left with a corner at the origin."""
    monkeypatch.setattr(uv, "MAX_XATLAS_FACES", most_faces)
    vertices, faces = sphere(4)
    middle = vertices[faces[::7, :2]].mean(1) * (1 - 1e-7)
    slivers = np.stack([faces[::7, 0], faces[::7, 1], len(vertices) + np.arange(len(middle))], 1)
    mesh = Mesh(
        torch.tensor(np.concatenate([vertices, middle])).float(),
        torch.tensor(np.concatenate([faces, slivers])),
    )
    result = ensure_uvs(mesh, 512)
    assert result.uvs is not None
    assert result.uv_faces is not None
    flat, solid = result.uvs[result.uv_faces], mesh.vertices[mesh.faces]
    edges, lengths = ((x - x.roll(1, 1)).norm(dim=-1).amax(1) for x in (flat, solid))
    assert (edges / lengths).max() < 4 * (edges / lengths).median()


def test_folded_sheets_get_charts_of_their_own():
    """A spiral seen along one axis covers itself many times."""
    turn = np.linspace(0, 8 * np.pi, 200)
    line = np.stack([turn * np.cos(turn), turn * np.sin(turn)], 1) / 26
    vertices = np.concatenate([np.insert(line, 2, z, 1) for z in (0.0, 0.3)])
    i = np.arange(199)
    faces = np.concatenate([np.stack([i, i + 1, i + 201], 1), np.stack([i, i + 201, i + 200], 1)])
    uvs, index, _ = box_unwrap(vertices, faces, 512, 8)
    assert np.bincount(uv_raster.covered_texels(uvs[index], 512)[0]).max() == 1


def test_very_many_charts_narrow_the_gutter():
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(3000, 1, 3)) + rng.normal(size=(3000, 3, 3)) * 0.1
    faces = np.arange(9000).reshape(-1, 3)
    uvs, index, gap = box_unwrap(corners.reshape(-1, 3), faces, 256, 8)
    texel, _ = uv_raster.covered_texels(uvs[index], 256)
    assert 0.5 < gap < 1
    assert np.bincount(texel).max() == 1
    assert len(texel) / 256**2 > 0.1


def test_xatlas_is_stopped_in_time_and_another_layout_made():
    vertices, faces = sphere(5)
    rough = vertices * (1 + 0.05 * np.random.default_rng(0).random((len(vertices), 1)))
    mesh = Mesh(torch.tensor(rough / 1.05, dtype=torch.float32), torch.tensor(faces))
    start = time.process_time()
    result = ensure_uvs(mesh, 1024, time_limit=0.5)
    assert time.process_time() - start < 15
    assert "unwrapped along the axes (xatlas was not done after 0.5 s)" in result.notes[-1]
    assert measure(result, 1024)[0] < 1e-4
    children = subprocess.run(
        ["ps", "-o", "args", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    assert "xatlas" not in children.stdout


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "xatlas failed: exit status -11"),
        ("raise RuntimeError('no chart')", "xatlas failed: RuntimeError: no chart"),
        ("pass", "xatlas failed: it left no result"),
    ],
)
def test_a_crash_of_xatlas_is_survived(monkeypatch, tmp_path, worker, message):
    (tmp_path / "xatlas_worker.py").write_text(worker)
    monkeypatch.setattr(uv, "__file__", str(tmp_path / "uv.py"))
    result = ensure_uvs(grid()[0], SIZE)
    assert message in result.notes[-1]
    assert result.uvs is not None


def test_modules_in_the_working_folder_do_not_mislead_the_worker(monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('wrong numpy')")
    monkeypatch.chdir(tmp_path)
    assert "with xatlas" in ensure_uvs(grid()[0], SIZE).notes[-1]


@pytest.mark.parametrize("name", ["spot.obj", "building.glb", "mannequin.glb"])
def test_real_meshes(shared, name):
    result = ensure_uvs(load_mesh(shared / "meshes" / name), 1024)
    kept = name == "spot.obj"
    assert result.notes[-1].startswith("kept" if kept else "unwrapped with xatlas")
    overlap, coverage, gutter = measure(result, 1024)
    assert overlap < 0.001
    assert coverage > 0.4
    assert gutter >= (4 if kept else 8)


def test_arguments_are_checked():
    mesh = Mesh(torch.tensor(sphere(0)[0]).float(), torch.tensor(sphere(0)[1]))
    with pytest.raises(ValueError, match="texture_size: got 8"):
        ensure_uvs(mesh, 8)
    with pytest.raises(ValueError, match="time_limit: got -1"):
        ensure_uvs(mesh, 64, time_limit=-1)
