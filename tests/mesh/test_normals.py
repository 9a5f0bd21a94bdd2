from __future__ import annotations

import numpy as np
import pytest
from mesh_files import box, sphere

from syncsde3d.mesh.normals import corner_normals


def test_a_sphere_is_smooth_and_its_normals_are_radial():
    vertices, faces = sphere(3)
    normals, index = corner_normals(vertices * 1e9 + 5e9, faces)
    assert len(normals) == len(vertices)
    assert (normals[index] * vertices[faces]).sum(-1).min() > 0.9995


def test_a_box_is_sharp():
    vertices, faces = box()
    normals, index = corner_normals(vertices, faces)
    assert len(normals) == 24
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    flat = np.cross(b - a, c - a)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    assert np.allclose(normals[index], flat[:, None])


def test_corners_weigh_by_their_angle():
    """Where a ridge of two faces meets a vertex, cutting one face in two changes nothing."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.3], [0, -1, 0.3], [0.5, 0.5, 0.15]])
    whole, index = corner_normals(vertices, np.array([[0, 1, 2], [0, 3, 1]]))
    cut, cut_index = corner_normals(vertices, np.array([[0, 1, 4], [0, 4, 2], [0, 3, 1]]))
    assert np.allclose(whole[index[0, 0]], cut[cut_index[0, 0]])
    assert whole[index[0, 0]] == pytest.approx([whole[index[0, 0]][0], 0, whole[index[0, 0]][2]], abs=1e-12)


def test_crease_angle():
    vertices = np.array(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -np.cos(1.0), np.sin(1.0)]]
    )  # turns by 57 degrees
    faces = np.array([[0, 1, 2], [0, 3, 1]])
    assert len(corner_normals(vertices, faces, crease=60)[0]) == 4
    assert len(corner_normals(vertices, faces, crease=55)[0]) == 6


def test_thin_faces_have_unit_normals():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1e-14, 0], [0, 0, 0]])
    normals, _ = corner_normals(vertices, np.array([[0, 1, 2], [0, 1, 3]]))
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
