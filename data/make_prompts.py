"""Writes data/prompts/masks/* and data/prompts/pictures/*: run ``python data/make_prompts.py``.

Masks are white inside and black outside, with a soft rim of a few pixels. Pictures are painted as those are
that the embedded models were trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from syncsde3d.mesh.cameras import orbit
from syncsde3d.mesh.load import load_mesh
from syncsde3d.synthetic.buffers import Buffers, render_views
from syncsde3d.synthetic.pictures import object_picture, to_bytes
from syncsde3d.synthetic.scenes import panorama

SIZE = 512
#: Centre, and half of the width and height, as shares of the picture.
OVALS = {
    "oval": (0.5, 0.58, 0.30, 0.30),
    "left": (0.28, 0.58, 0.18, 0.30),
    "right": (0.72, 0.58, 0.18, 0.30),
}


def oval(x: float, y: float, across: float, high: float, size: int = SIZE, rim: float = 0.02) -> np.ndarray:
    """An oval mask [size, size] of bytes, 255 inside; rim: width of the soft edge, a share of the oval's."""
    places = (np.arange(size) + 0.5) / size
    distance = np.hypot((places[None] - x) / across, (places[:, None] - y) / high)
    return np.round(np.clip((1 - distance) / rim + 0.5, 0, 1) * 255).astype(np.uint8)


def handbag(size: int = 256) -> np.ndarray:
    """A red leather handbag before a plain background [size, size, 3]."""
    mesh = load_mesh(Path(__file__).parent / "meshes/handbag.obj")
    angles = [(30.0, 15.0)]
    fields = render_views(mesh.vertices.numpy(), mesh.faces.numpy(), orbit(angles), size)
    buffers = Buffers(**fields, names=("handbag",), views=np.array(angles, np.float32))
    return object_picture(buffers, 0, "leather", "red", np.random.default_rng(5)).image


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the bundled masks and pictures.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "prompts", help="folder")
    folder = parser.parse_args().out
    for name in ("masks", "pictures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, shape in OVALS.items():
        Image.fromarray(oval(*shape)).save(folder / "masks" / f"{name}.png", optimize=True)
    Image.fromarray(handbag()).save(folder / "pictures/handbag.png", optimize=True)
    coast = to_bytes(panorama("sea", "day", 384, seed=2, height=256))
    Image.fromarray(coast).save(folder / "pictures/sea.png", optimize=True)
