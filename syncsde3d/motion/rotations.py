"""Rotations: matrices, quaternions, 6-D vectors, axis-angle vectors, Euler angles; all differentiable.

Matrices [..., 3, 3] act on column vectors; quaternions [..., 4] are (w, x, y, z), as products they act as
their matrices do; angles are radians. Every function takes any leading dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float

#: Below this, a length or a sine counts as zero.
EPS = 1e-8


def quaternion_to_matrix(q: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3 3"]:
    """Rotation matrices of quaternions of any length but 0."""
    w, x, y, z = F.normalize(q, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def matrix_to_quaternion(m: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 4"]:
    """Unit quaternions with w >= 0.

    The entries of ``m`` give all products ``4 q_i q_j``; the row of the largest ``q_i`` is ``q``, scaled.
    """
    xx, yy, zz = m.diagonal(dim1=-2, dim2=-1).unbind(-1)
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    rows = (
        (1 + xx + yy + zz, wx, wy, wz),
        (wx, 1 + xx - yy - zz, xy, xz),
        (wy, xy, 1 - xx + yy - zz, yz),
        (wz, xz, yz, 1 - xx - yy + zz),
    )
    products = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    largest = products.diagonal(dim1=-2, dim2=-1).argmax(-1)
    q = F.normalize(products.take_along_dim(largest[..., None, None], dim=-2).squeeze(-2), dim=-1)
    return torch.where(q[..., :1] < 0, -q, q)


def matrix_to_6d(m: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 6"]:
    """The first two columns, one after the other (Zhou et al., CVPR 2019; HumanML3D's order)."""
    return torch.cat((m[..., 0], m[..., 1]), dim=-1)


def matrix_from_6d(v: Float[Tensor, "*n 6"]) -> Float[Tensor, "*n 3 3"]:
    """The rotation whose first column points along ``v[:3]``, the second towards ``v[3:]`` (Gram-Schmidt)."""
    x = F.normalize(v[..., :3], dim=-1)
    z = F.normalize(torch.linalg.cross(x, v[..., 3:]), dim=-1)
    return torch.stack((x, torch.linalg.cross(z, x), z), dim=-1)


def axis_angle_to_matrix(v: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3 3"]:
    """Rotation about ``v`` by its length."""
    angle = v.square().sum(-1, keepdim=True).clamp(min=EPS**2).sqrt()
    return quaternion_to_matrix(torch.cat((torch.cos(angle / 2), v * torch.sin(angle / 2) / angle), dim=-1))


def matrix_to_axis_angle(m: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3"]:
    """Vectors along the axis, as long as the angle, in [0, pi]."""
    q = matrix_to_quaternion(m)
    sine = q[..., 1:].square().sum(-1, keepdim=True).clamp(min=EPS**2).sqrt()
    return q[..., 1:] * (2 * torch.atan2(sine, q[..., :1]) / sine)


def rotation_about(axis: str, angle: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3 3"]:
    """Rotation about the axis "X", "Y" or "Z"."""
    unit = torch.eye(3, dtype=angle.dtype, device=angle.device)["XYZ".index(axis)]
    half = angle[..., None] / 2
    return quaternion_to_matrix(torch.cat((torch.cos(half), torch.sin(half) * unit), dim=-1))


def euler_to_matrix(angles: Float[Tensor, "*n 3"], order: str = "ZXY") -> Float[Tensor, "*n 3 3"]:
    """``R_order[0](a0) R_order[1](a1) R_order[2](a2)``: BVH's channels in the order they are listed.

    order: three different letters of "XYZ".
    """
    first, second, third = (
        rotation_about(axis, angle) for axis, angle in zip(_order(order), angles.unbind(-1), strict=True)
    )
    return first @ second @ third


def matrix_to_euler(m: Float[Tensor, "*n 3 3"], order: str = "ZXY") -> Float[Tensor, "*n 3"]:
    """The inverse of :func:`euler_to_matrix`; the second angle is in [-pi/2, pi/2].

    At +-pi/2 (gimbal lock) the third angle is 0.
    """
    i, j, k = ("XYZ".index(axis) for axis in _order(order))
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    sine = sign * m[..., i, k]
    cosine = torch.hypot(m[..., i, i], m[..., i, j])
    locked = cosine < 1e-6
    first = torch.atan2(-sign * m[..., j, k], m[..., k, k])
    third = torch.atan2(-sign * m[..., i, j], m[..., i, i])
    alone = torch.atan2(sign * m[..., k, j], m[..., j, j])
    return torch.stack(
        (
            torch.where(locked, alone, first),
            torch.atan2(sine, cosine),
            torch.where(locked, torch.zeros_like(third), third),
        ),
        dim=-1,
    )


def slerp(
    a: Float[Tensor, "*n 4"], b: Float[Tensor, "*n 4"], t: Float[Tensor, "*n"]
) -> Float[Tensor, "*n 4"]:
    """Unit quaternions on the shorter way from ``a`` (t = 0) to ``b`` (t = 1), at constant angular speed."""
    a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    cosine = (a * b).sum(-1, keepdim=True)
    b = torch.where(cosine < 0, -b, b)
    # The angle from chord and sum is exact near 0, where the cosine is flat.
    angle = 2 * torch.atan2((a - b).norm(dim=-1, keepdim=True), (a + b).norm(dim=-1, keepdim=True))
    t = t[..., None]
    near = angle < 1e-4
    sine = torch.where(near, torch.ones_like(angle), torch.sin(angle))
    from_a = torch.where(near, 1 - t, torch.sin((1 - t) * angle) / sine)
    from_b = torch.where(near, t, torch.sin(t * angle) / sine)
    return F.normalize(from_a * a + from_b * b, dim=-1)


def rotation_between(u: Float[Tensor, "*n 3"], v: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3 3"]:
    """The shortest rotation that turns the direction of ``u`` into that of ``v``.

    For opposite directions, half a turn about an axis square to ``u``; for a zero vector, no rotation.
    """
    u, v = F.normalize(u, dim=-1), F.normalize(v, dim=-1)
    u, v = torch.broadcast_tensors(u, v)
    w = 1 + (u * v).sum(-1, keepdim=True)
    least = F.one_hot(u.abs().argmin(-1), 3).to(u)
    half_turn = torch.cat((torch.zeros_like(w), F.normalize(torch.linalg.cross(u, least), dim=-1)), dim=-1)
    q = torch.cat((w, torch.linalg.cross(u, v)), dim=-1)
    return quaternion_to_matrix(torch.where(w < 1e-6, half_turn, q))


def rotation_angle(m: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
    """How far a rotation turns, in [0, pi]."""
    q = matrix_to_quaternion(m)
    return 2 * torch.atan2(q[..., 1:].norm(dim=-1), q[..., 0])


def _order(order: str) -> str:
    if sorted(order) != ["X", "Y", "Z"]:
        raise ValueError(f"order is {order!r}, expected three different letters of 'XYZ'")
    return order
