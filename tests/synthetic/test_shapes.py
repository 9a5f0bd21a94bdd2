"""Procedural shapes: closed, outward, deterministic, varied."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

pytest.importorskip("skimage", reason="scikit-image (the train extra) is not installed")

from syncsde3d.synthetic.shapes import SHAPES, shape  # noqa: E402


@pytest.mark.parametrize("name", SHAPES)
def test_closed_outward_and_in_the_unit_sphere(name: str) -> None:
    vertices, faces = shape(name, 0)
    assert vertices.dtype == np.float32
    assert faces.dtype == np.int64
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert np.linalg.norm(vertices, axis=1).max() == pytest.approx(1.0, abs=1e-5)
