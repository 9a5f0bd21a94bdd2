"""Animals; each looks to +Z."""

from __future__ import annotations

from syncsde3d.synthetic.shapes.fields import (
    Field,
    ball,
    blend,
    cone,
    ellipsoid,
    mirrored,
    rod,
    tube,
    turned,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def cow(j: Jitter) -> Field:
    """A cow: barrel body on four legs, head with muzzle, ears and horns, udder, tail."""
    long, thick, stand = j(0.5, 0.58), j(0.26, 0.32), j(0.5, 0.62)
    back = 0.12
    body = blend(
        0.12,
        ellipsoid((0.0, back, 0.3 * long), (0.95 * thick, 1.12 * thick, 0.75 * long)),
        ellipsoid((0.0, back, -0.45 * long), (thick, 1.1 * thick, 0.65 * long)),
        ellipsoid((0.0, back - 0.08, -0.05), (1.02 * thick, 1.1 * thick, 0.8 * long)),
    )
    foot = back - 0.15 - stand
    fore, hind = 0.62 * long, -0.78 * long
    leg = mirrored(
        union(
            cone((0.55 * thick, back - 0.1, fore), (0.6 * thick, foot + 0.05, fore), 0.13, 0.065),
            blend(
                0.08,
                cone((0.55 * thick, back, hind), (0.58 * thick, foot + 0.35, hind - 0.05), 0.18, 0.09),
                cone((0.58 * thick, foot + 0.35, hind - 0.05), (0.6 * thick, foot + 0.05, hind), 0.085, 0.065),
            ),
        )
    )
    hooves = mirrored(
        union(*(cone((0.6 * thick, foot + 0.05, z), (0.6 * thick, foot, z + 0.03), 0.075, 0.09) for z in (fore, hind)))
    )
    poll = (0.0, back + j(0.36, 0.5), long + 0.3)
    neck = cone((0.0, back + 0.08, 0.62 * long), (0.0, poll[1] - 0.06, poll[2] - 0.06), 0.25, 0.14)
    nose = (0.0, poll[1] - 0.24, poll[2] + 0.24)
    head = blend(
        0.1,
        cone(poll, nose, 0.145, 0.085),
        ellipsoid((0.0, nose[1] - 0.01, nose[2] + 0.02), (0.115, 0.085, 0.1)),
    )
    sharp = j(0.1, 0.24)
    horns = mirrored(
        tube(
            [
                (0.07, poll[1] + 0.1, poll[2] - 0.05),
                (0.2, poll[1] + 0.16, poll[2] - 0.04),
                (0.24, poll[1] + 0.18 + sharp, poll[2] + 0.02),
            ],
            [0.05, 0.045, 0.02],
            6,
        )
    )
    ears = mirrored(
        turned(
            ellipsoid((0.25, poll[1] + 0.02, poll[2] - 0.08), (0.14, 0.065, 0.04)), "z", -15.0, (0.1, poll[1], poll[2])
        )
    )
    udder = ellipsoid((0.0, back - 1.05 * thick, -0.5 * long), (0.14, 0.12, 0.15))
    rump = -long - 0.08
    tail = tube(
        [(0.0, back + 0.2, rump + 0.08), (0.0, back + 0.12, rump - 0.06), (0.0, back - 0.35, rump - 0.1)],
        [0.045, 0.035, 0.028],
        8,
    )
    tuft = ellipsoid((0.0, back - 0.42, rump - 0.1), (0.055, 0.12, 0.055))
    whole = blend(0.1, body, leg, neck, udder)
    return union(blend(0.06, whole, head), blend(0.03, horns, ears), hooves, tail, tuft)


def cat(j: Jitter) -> Field:
    """A sitting cat with pricked ears and a tail curled to its side."""
    plump, tall = j(0.3, 0.38), j(0.1, 0.25)
    head_y, size = tall + 0.38, j(0.24, 0.29)
    body = blend(
        0.15,
        ellipsoid((0.0, -0.5, -0.15), (plump, 0.36, 0.42)),
        ellipsoid((0.0, -0.12, 0.02), (0.72 * plump, 0.45, 0.28)),
        cone((0.0, tall - 0.15, 0.08), (0.0, head_y - 0.1, 0.14), 0.2, 0.16),
    )
    fore = mirrored(cone((0.14, -0.2, 0.2), (0.14, -0.78, 0.28), 0.11, 0.075))
    paws = mirrored(union(ellipsoid((0.14, -0.81, 0.34), (0.085, 0.065, 0.12)),
                          ellipsoid((0.78 * plump, -0.8, 0.16), (0.1, 0.075, 0.2))))
    thigh = mirrored(ellipsoid((0.72 * plump, -0.58, -0.1), (0.17, 0.25, 0.27)))
    head = blend(
        0.05,
        ellipsoid((0.0, head_y, 0.18), (1.12 * size, 0.95 * size, 0.95 * size)),
        mirrored(ellipsoid((0.07, head_y - 0.08, 0.18 + 0.88 * size), (0.085, 0.065, 0.07))),
    )
    ears = mirrored(cone((0.62 * size, head_y + 0.6 * size, 0.14), (0.85 * size, head_y + 1.5 * size, 0.12), 0.12, 0.025))
    nose = ball((0.0, head_y - 0.03, 0.18 + 1.08 * size), 0.035)
    eyes = mirrored(ball((0.42 * size, head_y + 0.05, 0.18 + 0.82 * size), 0.05))
    tail = tube(
        [(0.0, -0.72, -0.5), (0.25, -0.8, -0.6), (0.55, -0.78, -0.3), (0.62, -0.78, 0.1), (0.5, -0.77, 0.4)],
        [0.09, 0.085, 0.08, 0.07, 0.05],
        14,
    )
    return union(blend(0.06, body, fore, thigh, paws, tail), blend(0.04, head, ears), nose, eyes)


def rabbit(j: Jitter) -> Field:
    """A sitting rabbit with long upright ears and a round tail."""
    plump, ear, spread = j(0.34, 0.42), j(0.5, 0.7), j(0.08, 0.2)
    head_y, size = j(0.12, 0.2), 0.25
    body = blend(
        0.12,
        ellipsoid((0.0, -0.48, -0.18), (plump, 0.4, 0.46)),
        ellipsoid((0.0, -0.22, 0.12), (0.7 * plump, 0.34, 0.28)),
    )
    head = blend(
        0.1,
        ellipsoid((0.0, head_y, 0.3), (0.95 * size, size, 1.05 * size)),
        ellipsoid((0.0, head_y - 0.08, 0.46), (0.16, 0.13, 0.16)),
    )
    low = head_y + 0.75 * size
    ears = mirrored(
        turned(ellipsoid((0.1, low + 0.5 * ear, 0.22), (0.085, 0.55 * ear, 0.06)), "z", -100.0 * spread, (0.1, low, 0.0))
    )
    haunch = mirrored(ellipsoid((0.8 * plump, -0.52, -0.2), (0.19, 0.3, 0.32)))
    feet = mirrored(union(ellipsoid((0.72 * plump, -0.82, 0.08), (0.12, 0.08, 0.28)),
                          cone((0.14, -0.35, 0.3), (0.13, -0.8, 0.38), 0.1, 0.08)))
    tail = ball((0.0, -0.58, -0.68), j(0.14, 0.18))
    nose = ball((0.0, head_y - 0.04, 0.62), 0.04)
    eyes = mirrored(ball((0.75 * size, head_y + 0.05, 0.42), 0.05))
    return union(blend(0.06, body, haunch, feet, head), ears, blend(0.03, tail), nose, eyes)


def fish(j: Jitter) -> Field:
    """A fish swimming towards +Z, with forked tail, back fin and side fins."""
    tall, thick = j(0.32, 0.46), j(0.16, 0.22)
    body = ellipsoid((0.0, 0.0, 0.15), (thick, tall, 0.75))
    peduncle = cone((0.0, 0.0, -0.3), (0.0, 0.0, -0.75), 0.13, 0.07)
    flat = _flat_x
    tail = union(*(flat(cone((0.0, 0.0, -0.7), (0.0, s * 0.4, -1.05), 0.08, 0.16), 0.3) for s in (-1, 1)))
    fin = flat(tube([(0.0, 0.75 * tall, 0.45), (0.0, 1.15 * tall, 0.15), (0.0, 0.85 * tall, -0.35)],
                    [0.06, 0.16, 0.06], 8), 0.3)
    belly = flat(cone((0.0, -0.85 * tall, -0.05), (0.0, -1.25 * tall, -0.3), 0.12, 0.06), 0.35)
    sides = mirrored(turned(ellipsoid((thick + 0.1, -0.08, 0.25), (0.2, 0.04, 0.12)), "z", -25.0, (thick, -0.08, 0.2)))
    eyes = mirrored(ball((0.72 * thick, 0.12, 0.66), 0.075))
    mouth = ellipsoid((0.0, -0.05, 0.9), (0.08, 0.07, 0.06))
    return union(blend(0.08, body, peduncle), blend(0.04, tail, fin, belly), sides, eyes, mouth)


def _flat_x(field: Field, ratio: float) -> Field:
    """The solid pressed flat along x."""

    def pressed(p):
        q = p.copy()
        q[0] /= ratio
        return field(q) * ratio

    return pressed


def duck(j: Jitter) -> Field:
    """A swimming duck with bill, folded wings and an upturned tail."""
    plump, neck = j(0.4, 0.5), j(0.32, 0.48)
    body = blend(
        0.15,
        ellipsoid((0.0, -0.3, -0.05), (plump, 0.36, 0.66)),
        cone((0.0, -0.2, -0.5), (0.0, 0.08, -0.88), 0.2, 0.05),
        ellipsoid((0.0, -0.22, 0.3), (0.8 * plump, 0.36, 0.38)),
    )
    head_y = neck + 0.12
    throat = cone((0.0, -0.1, 0.4), (0.0, head_y - 0.1, 0.46), 0.2, 0.15)
    head = ellipsoid((0.0, head_y, 0.5), (0.23, 0.24, 0.26))
    bill = blend(0.04, ellipsoid((0.0, head_y - 0.07, 0.84), (0.14, 0.04, 0.2)), ellipsoid((0.0, head_y - 0.03, 0.72), (0.1, 0.08, 0.14)))
    wings = mirrored(turned(ellipsoid((plump - 0.04, -0.18, -0.2), (0.1, 0.2, 0.42)), "x", -14.0, (0.0, -0.2, 0.0)))
    eyes = mirrored(ball((0.19, head_y + 0.07, 0.6), 0.05))
    return union(blend(0.12, body, throat, head), wings, bill, eyes)


def penguin(j: Jitter) -> Field:
    """A standing penguin with flippers, beak and feet."""
    plump, tall = j(0.36, 0.46), j(0.5, 0.66)
    body = blend(
        0.15,
        ellipsoid((0.0, -0.3, 0.0), (plump, 0.62, 0.9 * plump)),
        ellipsoid((0.0, 0.1, 0.0), (0.75 * plump, 0.5, 0.7 * plump)),
    )
    head = ellipsoid((0.0, tall, 0.04), (0.26, 0.26, 0.27))
    beak = cone((0.0, tall - 0.02, 0.25), (0.0, tall - 0.06, 0.46), 0.085, 0.025)
    flippers = mirrored(
        turned(ellipsoid((plump + 0.02, -0.18, 0.0), (0.06, 0.42, 0.15)), "z", j(12.0, 35.0), (plump - 0.05, 0.22, 0.0))
    )
    feet = mirrored(ellipsoid((0.5 * plump, -0.88, 0.22), (0.17, 0.06, 0.28)))
    tail = cone((0.0, -0.72, -0.3), (0.0, -0.86, -0.55), 0.14, 0.05)
    eyes = mirrored(ball((0.13, tall + 0.06, 0.25), 0.045))
    return union(blend(0.12, body, head, tail), flippers, beak, feet, eyes)


SHAPES = {
    "cow": solid(cow),
    "cat": solid(cat),
    "rabbit": solid(rabbit),
    "fish": solid(fish),
    "duck": solid(duck),
    "penguin": solid(penguin),
}
_ = rod
