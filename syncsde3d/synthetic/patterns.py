"""Scalar fields on a surface, from which materials are painted: waves, projections, cells, periodic shapes.

Positions ``p`` and unit normals ``n`` are [k, 3] float32 in object space (unit sphere, +Y up); every field is
[k] or [k, c]. Nothing depends on the camera, so all views of an object agree.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def waves(p: Array, period: float, rng: np.random.Generator, count: int = 8) -> Array:
    """Smooth random field of unit variance: plane waves of random direction, about ``period`` long."""
    direction = rng.normal(size=(3, count))
    direction /= np.linalg.norm(direction, axis=0)
    wave = direction * (2 * np.pi / (period * rng.uniform(0.75, 1.5, count)))
    phase = rng.uniform(0, 2 * np.pi, count)
    field = np.sin(p @ wave.astype(np.float32) + phase.astype(np.float32))
    return field.sum(1) * np.float32(np.sqrt(2.0 / count))


def project(p: Array, n: Array) -> tuple[Array, Array]:
    """Plane coordinates (u, v) along the normal's largest axis, from the centre; v is the height."""
    a = np.abs(n)
    along_x = (a[:, 0] > a[:, 1]) & (a[:, 0] > a[:, 2])
    along_y = (a[:, 1] >= a[:, 0]) & (a[:, 1] > a[:, 2])
    return np.where(along_x, p[:, 2], p[:, 0]), np.where(along_y, p[:, 2], p[:, 1])


def frac(x: Array) -> Array:
    """Fractional part, in [0, 1)."""
    return x - np.floor(x)


def ridge(x: Array) -> Array:
    """Triangle wave of period 1: 0 at integers, 1 half-way."""
    return 1 - np.abs(2 * frac(x) - 1)


def step(x: Array, edge: float, width: float) -> Array:
    """0 below ``edge``, 1 above, linear over ``width``: an edge a pixel wide instead of an aliased one."""
    return np.clip((x - edge) / width + 0.5, 0, 1)


def cell_bits(i: Array, j: Array, seed: int = 0) -> Array:
    """32 well-mixed bits per integer cell."""
    h = (
        i.astype(np.uint32) * np.uint32(73856093)
        ^ j.astype(np.uint32) * np.uint32(19349663)
        ^ np.uint32(seed)
    )
    h = (h ^ (h >> 15)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return h ^ (h >> 16)


def cell_value(i: Array, j: Array, seed: int = 0) -> Array:
    """A number in [0, 1) per integer cell."""
    return (cell_bits(i, j, seed) & np.uint32(0xFFFF)).astype(np.float32) / 65536


def cells(u: Array, v: Array, seed: int) -> tuple[Array, Array]:
    """Voronoi cells of a jittered unit grid: rough distance to the nearest border, random number per cell."""
    iu, iv = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    fu, fv = (u - iu).astype(np.float32), (v - iv).astype(np.float32)
    first = np.full(u.shape, 9.0, np.float32)
    second, value = first.copy(), np.zeros(u.shape, np.float32)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            bits = cell_bits(iu + di, iv + dj, seed)
            x = (bits & np.uint32(0x3FF)).astype(np.float32) * np.float32(0.7 / 1024) + np.float32(0.15 + di)
            y = (bits >> 10 & np.uint32(0x3FF)).astype(np.float32) * np.float32(0.7 / 1024) + np.float32(
                0.15 + dj
            )
            d = np.hypot(fu - x, fv - y)
            nearer = d < first
            second = np.where(nearer, first, np.minimum(second, d))
            value = np.where(nearer, (bits >> 20).astype(np.float32) / 4096, value)
            first = np.where(nearer, d, first)
    return second - first, value
