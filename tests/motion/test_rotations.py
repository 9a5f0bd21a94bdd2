"""Conversions agree with SciPy's rotations, and invert each other."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from syncsde3d.motion import rotations as r

ORDERS = ["".join(order) for order in itertools.permutations("XYZ")]


def some(count: int = 200) -> tuple[Rotation, Tensor]:
    """Random rotations, none, and half turns about many axes."""
    axes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [-1, 2, 3], [0, -1, 1]], dtype=float)
    half = Rotation.from_rotvec(math.pi * axes / np.linalg.norm(axes, axis=1, keepdims=True))
    every = Rotation.concatenate([Rotation.random(count, rng=3), Rotation.identity(2), half])
    return every, torch.from_numpy(every.as_matrix())


def test_quaternions():
    rotation, matrix = some()
    q = r.matrix_to_quaternion(matrix)
    w_last = rotation.as_quat(canonical=True)
    sign = np.sign((q.numpy()[:, [1, 2, 3, 0]] * w_last).sum(1, keepdims=True))  # free for half turns
    np.testing.assert_allclose(q.numpy()[:, [1, 2, 3, 0]] * sign, w_last, atol=1e-12)
    assert (q[:, 0] >= 0).all()
    torch.testing.assert_close(r.quaternion_to_matrix(-3 * q), matrix)


def test_6d_is_the_first_two_columns():
    _, matrix = some()
    v = r.matrix_to_6d(matrix)
    torch.testing.assert_close(v[:, :3], matrix[:, :, 0])
    torch.testing.assert_close(v[:, 3:], matrix[:, :, 1])
    stretched = torch.cat((2 * v[:, :3], 0.5 * v[:, 3:] - 4 * v[:, :3]), dim=-1)
    torch.testing.assert_close(r.matrix_from_6d(stretched), matrix)


def test_axis_angle():
    rotation, matrix = some()
    v = r.matrix_to_axis_angle(matrix)
    np.testing.assert_allclose(v.norm(dim=-1).numpy(), rotation.magnitude(), atol=1e-7)
    torch.testing.assert_close(r.axis_angle_to_matrix(v), matrix)
    torch.testing.assert_close(r.rotation_angle(matrix), v.norm(dim=-1), atol=1e-7, rtol=0)


@pytest.mark.parametrize("order", ORDERS)
def test_euler_angles(order):
    rotation, matrix = some()
    angles = r.matrix_to_euler(matrix, order)
    np.testing.assert_allclose(Rotation.from_euler(order, angles.numpy()).as_matrix(), matrix, atol=1e-7)
    torch.testing.assert_close(r.euler_to_matrix(angles, order), matrix, atol=1e-7, rtol=0)
    assert (angles[:, 1].abs() <= math.pi / 2 + 1e-9).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("second", [math.pi / 2, -math.pi / 2, math.pi / 2 - 1e-4])
def test_euler_angles_at_gimbal_lock(order, second):
    for dtype, atol in ((torch.float64, 1e-7), (torch.float32, 3e-3)):
        matrix = r.euler_to_matrix(torch.tensor([0.7, second, -0.4], dtype=dtype), order)
        angles = r.matrix_to_euler(matrix, order)
        torch.testing.assert_close(r.euler_to_matrix(angles, order), matrix, atol=atol, rtol=0)


def test_an_impossible_order_is_told():
    with pytest.raises(ValueError, match="order is 'XYX'"):
        r.matrix_to_euler(torch.eye(3), "XYX")


def test_slerp():
    a, b = Rotation.random(20, rng=1), Rotation.random(20, rng=2)
    t = np.linspace(0, 1, 20)
    expected = [
        Slerp([0, 1], Rotation.concatenate([x, y]))(u).as_matrix() for x, y, u in zip(a, b, t, strict=True)
    ]
    qa, qb = (r.matrix_to_quaternion(torch.from_numpy(x.as_matrix())) for x in (a, b))
    got = r.quaternion_to_matrix(r.slerp(qa, -qb, torch.from_numpy(t)))
    np.testing.assert_allclose(got.numpy(), np.stack(expected), atol=1e-9)
    assert r.slerp(qa, qa, torch.full((20,), 0.3).double()).sub(qa).abs().max() < 1e-12


def test_the_shortest_rotation_between_directions():
    g = torch.manual_seed(5)
    u, v = torch.randn(2, 50, 3, generator=g, dtype=torch.float64).unbind(0)
    v[0], v[1] = -2 * u[0], 3 * u[1]
    m = r.rotation_between(u, v)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close((m @ unit(u, dim=-1)[..., None]).squeeze(-1), unit(v, dim=-1))
    torch.testing.assert_close(m @ m.mT, torch.eye(3).double().expand(50, 3, 3))
    angle = torch.acos((unit(u, dim=-1) * unit(v, dim=-1)).sum(-1).clamp(-1, 1))
    torch.testing.assert_close(r.rotation_angle(m), angle, atol=1e-7, rtol=0)
    torch.testing.assert_close(r.rotation_between(torch.zeros(3), v[2].float()), torch.eye(3))


def test_gradients_are_finite_at_no_rotation():
    eye = torch.eye(3, dtype=torch.float64, requires_grad=True)
    v = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    total = r.matrix_to_axis_angle(eye).sum() + r.axis_angle_to_matrix(v).sum()
    total.backward()
    assert eye.grad is not None
    assert v.grad is not None
    assert eye.grad.isfinite().all()
    assert v.grad.isfinite().all()
