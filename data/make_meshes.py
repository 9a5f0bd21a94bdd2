"""Writes data/meshes/*: run ``python data/make_meshes.py`` (needs scikit-image, from the ``train`` extra).

The same machine writes the same bytes every time. Sizes are life-like, in metres, and the objects stand on
y = 0, so that reading and writing them exercises what is done with real files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import trimesh

from syncsde3d.synthetic.shapes import animals, vessels, wear
from syncsde3d.synthetic.shapes.lathe import lathe
from syncsde3d.synthetic.shapes.mesher import polygonize
from syncsde3d.synthetic.shapes.solid import Jitter

#: The variant of each class that is bundled.
HANDBAG, BOOT, VASE, COW = 2, 6, 7, 2


def standing(vertices: np.ndarray, height: float) -> np.ndarray:
    """The vertices [v, 3] scaled to ``height``, centred over the origin, on the floor y = 0."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    foot = np.array([0.5 * (low[0] + high[0]), low[1], 0.5 * (low[2] + high[2])])
    return (vertices - foot) * (height / (high[1] - low[1]))


def jitter(seed: int) -> Jitter:
    """The proportions' source for one file."""
    return Jitter(np.random.default_rng(seed))


def write_obj(
    path: Path,
    vertices: np.ndarray,
    faces: np.ndarray,
    uvs: np.ndarray | None = None,
    uv_faces: np.ndarray | None = None,
) -> None:
    """A Wavefront OBJ file of one smooth object, with texture coordinates where given."""
    lines = ["# made by data/make_meshes.py", f"o {path.stem}"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    if uvs is None or uv_faces is None:
        lines += ["s 1", *(f"f {a} {b} {c}" for a, b, c in faces + 1)]
    else:
        lines += [f"vt {u:.5f} {v:.5f}" for u, v in uvs]
        corners = np.stack((faces, uv_faces), axis=-1).reshape(-1, 6) + 1
        lines += ["s 1", *("f {}/{} {}/{} {}/{}".format(*row) for row in corners)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def write_all(folder: Path) -> None:
    """Write every bundled mesh into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)

    vertices, faces = polygonize(wear.handbag(jitter(HANDBAG)), step=0.031)
    write_obj(folder / "handbag.obj", standing(vertices, 0.30), faces)

    vertices, faces = polygonize(wear.boot(jitter(BOOT)), step=0.036)
    boot = trimesh.Trimesh(standing(vertices, 0.28), faces, process=False)
    scene = trimesh.Scene()
    scene.add_geometry(boot, node_name="boot", geom_name="boot")
    (folder / "boot.glb").write_bytes(scene.export(file_type="glb", include_normals=True))

    turned = lathe(vessels.vase(jitter(VASE)), segments=52)
    write_obj(folder / "vase.obj", standing(turned.vertices, 0.36), turned.faces, turned.uvs, turned.uv_faces)

    vertices, faces = polygonize(animals.cow(jitter(COW)), step=0.036)
    write_obj(folder / "cow.obj", standing(vertices, 1.5), faces)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the bundled meshes.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "meshes", help="folder")
    write_all(parser.parse_args().out)
