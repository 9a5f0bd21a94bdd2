"""Animals of the water: fish, duck, penguin, turtle; each looks to +Z."""

from __future__ import annotations

from itertools import product

import numpy as np

from syncsde3d.synthetic.shapes.curves import cut_corners
from syncsde3d.synthetic.shapes.fields import (
    Array,
    Field,
    ball,
    blend,
    cone,
    ellipsoid,
    mirrored,
    plate,
    torus,
    turned,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def fish(j: Jitter) -> Field:
    """A fish with forked tail, back fin, belly fin and side fins."""
    tall, thick, fork, crest = j(0.3, 0.48), j(0.17, 0.25), j(0.3, 0.48), j(0.16, 0.36)
    body = blend(
        0.1,
        ellipsoid((0.0, 0.0, 0.18), (thick, tall, 0.72)),
        cone((0.0, 0.0, -0.3), (0.0, 0.0, -0.72), 0.14, 0.07),
    )
    spread = [(0.07, -0.6), (fork, -0.98), (1.1 * fork, -1.12), (0.85 * fork, -1.1), (0.0, -0.86)]
    tail = plate(cut_corners([*spread, *((-y, z) for y, z in spread[-2::-1])], 1, True), "x", 0.04, 0.035)
    rise = tall + crest
    back = [(0.6 * tall, 0.55), (0.9 * rise, 0.25), (rise, 0.05), (0.85 * rise, -0.25), (0.4 * tall, -0.35)]
    below = [(-0.7 * tall, 0.15), (-tall - 0.18, -0.15), (-tall - 0.14, -0.25), (-0.4 * tall, -0.3)]
    fins = [plate(cut_corners(outline, 1, True), "x", 0.04, 0.035) for outline in (back, below)]
    sides = mirrored(
        turned(ellipsoid((thick + 0.12, -0.08, 0.2), (0.2, 0.045, 0.13)), "z", -30.0, (thick, -0.08, 0.2))
    )
    eyes = mirrored(ball((0.74 * thick, 0.1, 0.62), 0.07))
    mouth = torus((0.0, -0.04, 0.87), 0.06, 0.04, "z")
    return union(blend(0.05, body, tail, *fins), sides, eyes, blend(0.03, mouth))


def duck(j: Jitter) -> Field:
    """A swimming duck with bill, folded wings and an upturned tail."""
    plump, neck, size = j(0.38, 0.5), j(0.24, 0.5), j(0.22, 0.28)
    body = blend(
        0.15,
        ellipsoid((0.0, -0.3, -0.05), (plump, 0.36, 0.66)),
        cone((0.0, -0.2, -0.5), (0.0, 0.08, -0.88), 0.2, 0.05),
        ellipsoid((0.0, -0.22, 0.3), (0.8 * plump, 0.36, 0.38)),
    )
    y = neck + 0.12
    throat = cone((0.0, -0.1, 0.4), (0.0, y - 0.1, 0.46), 0.2, 0.15)
    head = ellipsoid((0.0, y, 0.5), (0.95 * size, size, 1.05 * size))
    beak = ellipsoid((0.0, y - 0.05, 0.82), (0.14, 0.045, 0.2))
    bill = blend(
        0.04, turned(beak, "x", -6.0, (0.0, y, 0.7)), ellipsoid((0.0, y - 0.02, 0.72), (0.1, 0.08, 0.14))
    )
    wings = mirrored(
        turned(ellipsoid((plump - 0.04, -0.18, -0.2), (0.1, 0.2, 0.42)), "x", -14.0, (0.0, -0.2, 0.0))
    )
    eyes = mirrored(ball((0.8 * size, y + 0.08, 0.6), 0.05))
    return union(blend(0.12, body, throat, head), wings, bill, eyes)


def penguin(j: Jitter) -> Field:
    """A standing penguin with flippers, beak and feet."""
    plump, tall, size, lift = j(0.36, 0.5), j(0.42, 0.6), j(0.25, 0.31), j(10.0, 30.0)
    body = blend(
        0.15,
        ellipsoid((0.0, -0.3, 0.0), (plump, 0.58, 0.9 * plump)),
        ellipsoid((0.0, 0.1, 0.0), (0.78 * plump, 0.48, 0.72 * plump)),
    )
    head = ellipsoid((0.0, tall, 0.04), (size, size, 1.05 * size))
    beak = cone((0.0, tall - 0.02, 0.9 * size), (0.0, tall - 0.07, size + 0.22), 0.09, 0.03)
    shoulder = (0.74 * plump, 0.2, 0.0)
    flipper = ellipsoid((shoulder[0], -0.2, 0.0), (0.065, 0.46, 0.16))
    flippers = mirrored(turned(flipper, "z", lift, shoulder))
    feet = mirrored(ellipsoid((0.5 * plump, -0.88, 0.2), (0.18, 0.07, 0.28)))
    tail = cone((0.0, -0.72, -0.3), (0.0, -0.86, -0.52), 0.14, 0.05)
    eyes = mirrored(ball((0.5 * size, tall + 0.06, 0.04 + 0.86 * size), 0.05))
    return union(blend(0.12, body, head, tail), blend(0.04, flippers), beak, feet, eyes)


def turtle(j: Jitter) -> Field:
    """A tortoise: domed shell with grooved plates, head raised, four stubby legs."""
    wide, long, dome, y = j(0.52, 0.64), j(0.62, 0.74), j(0.4, 0.58), -0.2
    egg = ellipsoid((0.0, y, 0.0), (wide, dome, long))

    def carved(p: Array) -> Array:  # a groove around the top plate, six more running down from it
        around = np.hypot(p[0] / wide, p[2] / long)
        ring = np.abs(around - 0.5)
        ray = np.abs(np.sin(3.0 * np.arctan2(p[0], p[2]))) * around / 3.0
        near = np.where(around > 0.5, np.minimum(ring, ray), ring)
        return egg(p) + 0.045 * np.exp(-((near / 0.05) ** 2))

    belly = ellipsoid((0.0, y, 0.0), (0.92 * wide, 0.2, 0.92 * long))
    rim = ellipsoid((0.0, y, 0.0), (wide + 0.07, 0.075, long + 0.07))
    shell = union(carved, rim)
    legs = [
        cone((0.6 * a * wide, y, 0.62 * b * long), (0.8 * a * wide, y - 0.38, 0.78 * b * long), 0.15, 0.12)
        for a, b in product((-1, 1), repeat=2)
    ]
    up = j(0.05, 0.3)
    neck = cone((0.0, y, 0.8 * long), (0.0, y + up, long + 0.2), 0.13, 0.11)
    head = ellipsoid((0.0, y + up + 0.03, long + 0.26), (0.16, 0.145, 0.2))
    eyes = mirrored(ball((0.12, y + up + 0.08, long + 0.36), 0.04))
    tail = cone((0.0, y - 0.05, -0.9 * long), (0.0, y - 0.12, -long - 0.2), 0.09, 0.03)
    return union(blend(0.06, belly, *legs, blend(0.06, neck, head), tail), shell, eyes)


SHAPES = {
    "fish": solid(fish, 0.025),
    "duck": solid(duck),
    "penguin": solid(penguin, 0.029),
    "turtle": solid(turtle, 0.03),
}
