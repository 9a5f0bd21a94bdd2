"""Plain solids and a toy: ball, cube, teddy bear."""

from __future__ import annotations

from syncsde3d.synthetic.shapes.fields import Field, ball, blend, box, cone, ellipsoid, mirrored, union
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def sphere(j: Jitter) -> Field:
    """A ball, nearly round."""
    return ellipsoid((0.0, 0.0, 0.0), (1.0, j(0.88, 1.0), 1.0))


def cube(j: Jitter) -> Field:
    """A cube with rounded edges."""
    return box((0.0, 0.0, 0.0), (0.62, j(0.54, 0.7), 0.62), j(0.03, 0.18))


def teddy(j: Jitter) -> Field:
    """A sitting teddy bear with round ears, spread arms and legs."""
    plump, size, ear, y = j(0.34, 0.46), j(0.3, 0.4), j(0.11, 0.17), 0.38
    body = ellipsoid((0.0, -0.35, 0.0), (plump, 0.48, 0.85 * plump))
    head = ellipsoid((0.0, y, 0.05), (1.05 * size, 0.92 * size, 0.9 * size))
    ears = mirrored(ellipsoid((0.82 * size, y + 0.82 * size, 0.02), (ear, ear, 0.6 * ear)))
    muzzle = ellipsoid((0.0, y - 0.09, 0.05 + 0.85 * size), (0.15, 0.12, 0.13))
    nose = ellipsoid((0.0, y - 0.03, 0.17 + 0.85 * size), (0.065, 0.05, 0.05))
    eyes = mirrored(ball((0.42 * size, y + 0.07, 0.05 + 0.76 * size), 0.05))
    hand = -0.2 + j(-0.25, 0.25)
    arms = mirrored(cone((0.8 * plump, -0.08, 0.05), (plump + 0.3, hand, 0.22), 0.14, 0.15))
    legs = mirrored(cone((0.6 * plump, -0.66, 0.15), (0.8 * plump + 0.06, -0.72, 0.58), 0.18, 0.18))
    return union(blend(0.08, body, head, arms, legs), blend(0.03, head, ears), muzzle, nose, eyes)


SHAPES = {"ball": solid(sphere, 0.05), "cube": solid(cube, 0.04), "teddy bear": solid(teddy, 0.031)}
