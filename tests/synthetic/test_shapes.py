"""Procedural shapes: closed, outward, deterministic, varied; and the bundled meshes made from them."""

from __future__ import annotations

import csv
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import trimesh

pytest.importorskip("skimage", reason="scikit-image (the train extra) is not installed")

from syncsde3d.synthetic.shapes import SHAPES, shape  # noqa: E402
from syncsde3d.synthetic.shapes.fields import ball, box, cut, loft, moved, plate, torus, turned  # noqa: E402
from syncsde3d.synthetic.shapes.lathe import lathe  # noqa: E402
from syncsde3d.synthetic.shapes.mesher import polygonize  # noqa: E402

DATA = Path(__file__).parents[2] / "data"
made = lru_cache(maxsize=None)(shape)


def as_trimesh(vertices: np.ndarray, faces: np.ndarray) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, faces, process=False)


@pytest.mark.parametrize("name", SHAPES)
def test_every_class_is_one_closed_outward_surface(name: str) -> None:
    vertices, faces = made(name, 0)
    assert vertices.dtype == np.float32
    assert faces.dtype == np.int64
    assert 2_000 <= len(faces) <= 25_000
    mesh = as_trimesh(vertices, faces)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert mesh.body_count == 1
    assert mesh.area_faces.min() > 0
    assert np.linalg.norm(vertices, axis=1).max() == pytest.approx(1.0, abs=1e-5)
    assert np.allclose(mesh.bounds.sum(axis=0), 0.0, atol=1e-5)


@pytest.mark.parametrize("name", [*SHAPES][::4])
def test_seeds_change_the_proportions(name: str) -> None:
    ratios = [v / np.linalg.norm(v) for v in (np.ptp(made(name, seed)[0], axis=0) for seed in (0, 1))]
    assert np.abs(ratios[0] - ratios[1]).max() > 1e-3


@pytest.mark.parametrize("name", ["handbag", "vase", "cow"])
def test_a_seed_gives_the_same_bytes_again(name: str) -> None:
    again = shape(name, 0)
    assert all(np.array_equal(a, b) for a, b in zip(made(name, 0), again, strict=True))


def test_upright_and_facing_the_front() -> None:
    cow, boot, mug = (made(name, 0)[0] for name in ("cow", "boot", "mug"))
    assert cow[cow[:, 1] > 0.6, 2].min() > 0.3  # horns
    assert boot[boot[:, 2] > 0.5, 1].max() < 0.0  # toe
    assert np.ptp(mug[mug[:, 0] > 0.5, 2]) < 0.4  # handle
    assert np.abs(cow[:, 0].max() + cow[:, 0].min()) < 1e-3


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="name: expected one of .*; got 'cathedral'"):
        shape("cathedral")


def test_turned_shapes_need_no_marching_cubes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    assert len(shape("bottle", 3)[1]) > 0
    with pytest.raises(ImportError, match="train"):
        shape("mug", 3)


@pytest.mark.parametrize(
    ("field", "volume", "euler"),
    [
        (ball((0.1, 0.0, -0.2), 0.8), 4 / 3 * np.pi * 0.8**3, 2),
        (box((0, 0, 0), (0.5, 0.7, 0.3), 0.001), 8 * 0.5 * 0.7 * 0.3, 2),
        (torus((0, 0, 0), 0.7, 0.25, "x"), 2 * np.pi**2 * 0.7 * 0.25**2, 0),
        (loft("z", [(-0.6, 0.5, 0.3, 0.0), (0.6, 0.5, 0.3, 0.4)], 2.0, 0.001), np.pi * 0.5 * 0.3 * 1.2, 2),
        (
            plate([(0, 0), (0.8, 0), (0.8, 0.3), (0.3, 0.3), (0.3, 0.9), (0, 0.9)], "y", 0.4, 0.001),
            0.8 * (0.8 * 0.3 + 0.3 * 0.6),
            2,
        ),
        (turned(box((0.5, 0, 0), (0.5, 0.2, 0.3), 0.001), "z", 30.0), 8 * 0.5 * 0.2 * 0.3, 2),
    ],
)
def test_solids_have_their_volume_and_topology(field, volume: float, euler: int) -> None:
    mesh = as_trimesh(*polygonize(field, 0.03))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(volume, rel=0.02)
    assert mesh.euler_number == euler


def test_turning_is_counter_clockwise_about_the_axis() -> None:
    for axis, expected in (("x", (0, 0, 0.8)), ("y", (0.8, 0, 0)), ("z", (0, 0.8, 0))):
        start = {"x": (0, 0.8, 0), "y": (0, 0, 0.8), "z": (0.8, 0, 0)}[axis]
        vertices, _ = polygonize(turned(ball(start, 0.2), axis, 90.0), 0.05)
        assert np.allclose(vertices.mean(axis=0), expected, atol=0.01)


def test_vertices_lie_on_the_surface() -> None:
    vertices, _ = polygonize(ball((0.0, 0.0, 0.0), 0.9), 0.03)
    assert np.abs(np.linalg.norm(vertices, axis=1) - 0.9).max() < 0.002


def test_cavities_nobody_sees_are_filled() -> None:
    mesh = as_trimesh(*polygonize(cut(ball((0, 0, 0), 0.9), ball((0, 0, 0), 0.4)), 0.04))
    assert mesh.body_count == 1
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.02)


def test_impossible_solids_are_refused() -> None:
    with pytest.raises(ValueError, match="no inside"):
        polygonize(lambda p: np.ones(p.shape[1], np.float32))
    with pytest.raises(ValueError, match="reaches beyond"):
        polygonize(moved(ball((0, 0, 0), 0.5), (1.2, 0, 0)))


def test_lathe_volume_and_texture_coordinates() -> None:
    n = 48
    turned_mesh = lathe(np.array([(0, -0.5), (0.6, -0.5), (0.6, 0.0), (0.3, 0.7), (0, 0.7)]), n)
    mesh = as_trimesh(turned_mesh.vertices, turned_mesh.faces)
    assert mesh.is_watertight
    polygon = n * np.sin(2 * np.pi / n) / 2  # area of the unit n-gon instead of pi
    frustum = 0.7 / 3 * (0.6**2 + 0.6 * 0.3 + 0.3**2)
    assert mesh.volume == pytest.approx(polygon * (0.6**2 * 0.5 + frustum), rel=1e-9)
    a, b, c = turned_mesh.uvs[turned_mesh.uv_faces].transpose(1, 0, 2)
    signed = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    assert signed.min() > 0  # nothing mirrored or folded
    assert turned_mesh.uvs.min() >= 0
    assert turned_mesh.uvs.max() <= 1
    corner_vertex = turned_mesh.vertices[turned_mesh.faces.reshape(-1)]
    corner_uv = turned_mesh.uvs[turned_mesh.uv_faces.reshape(-1)]
    around = np.hypot(corner_vertex[:, 0], corner_vertex[:, 2]) > 1e-6
    azimuth = np.arctan2(corner_vertex[around, 0], corner_vertex[around, 2])
    assert np.allclose(np.exp(1j * azimuth), np.exp(2j * np.pi * (corner_uv[around, 0] - 0.5)))


def test_lathe_refuses_a_profile_off_the_axis() -> None:
    with pytest.raises(ValueError, match="profile"):
        lathe(np.array([(0.1, 0.0), (0.5, 0.0), (0.0, 1.0)]))


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("make_meshes", DATA / "make_meshes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("meshes")
    module.write_all(folder)
    return folder


@pytest.mark.parametrize("name", ["handbag.obj", "boot.glb", "vase.obj", "cow.obj"])
def test_bundled_meshes_are_what_the_script_writes(name: str, rewritten: Path) -> None:
    bundled, fresh = (
        trimesh.load(path, force="mesh", process=False) for path in (DATA / "meshes" / name, rewritten / name)
    )
    assert np.array_equal(bundled.faces, fresh.faces)
    assert np.allclose(bundled.vertices, fresh.vertices, atol=1e-5)
    assert (DATA / "meshes" / name).stat().st_size <= 600_000
    closed = trimesh.load(DATA / "meshes" / name, force="mesh")
    closed.merge_vertices(merge_tex=True, merge_norm=True)
    assert closed.is_watertight
    assert closed.volume > 0
    assert closed.bounds[0, 1] == pytest.approx(0.0, abs=1e-6)


def test_the_vase_has_texture_coordinates_and_is_hollow() -> None:
    text = (DATA / "meshes" / "vase.obj").read_text(encoding="utf-8")
    assert "\nvt " in text
    vase = trimesh.load(DATA / "meshes" / "vase.obj", force="mesh", process=False)
    on_axis = np.hypot(vase.vertices[:, 0], vase.vertices[:, 2]) < 1e-6
    assert on_axis.any()
    assert vase.vertices[on_axis, 1].max() < 0.1 * vase.bounds[1, 1]  # the bottom, from below and from inside


def test_the_table_names_the_meshes() -> None:
    with (DATA / "meshes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["mesh", "prompt", "seed", "id"]
    assert {row["mesh"] for row in rows} == {
        f"meshes/{path.name}" for path in (DATA / "meshes").iterdir() if path.suffix in (".obj", ".glb")
    }
