"""Four-legged animals; each looks to +Z."""

from __future__ import annotations

from syncsde3d.synthetic.shapes.fields import (
    Field,
    ball,
    blend,
    cone,
    ellipsoid,
    loft,
    mirrored,
    moved,
    tube,
    turned,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def cow(j: Jitter) -> Field:
    """A cow: barrel body, straight back, head with muzzle, ears and horns, udder, tail."""
    long, thick, stand = j(0.48, 0.6), j(0.28, 0.35), j(0.46, 0.6)
    back = 0.12
    keys = [
        (-1.1, 0.45, 0.5, 0.08),
        (-0.95, 0.8, 0.88, 0.04),
        (-0.5, 1.0, 1.08, 0.0),
        (0.0, 1.06, 1.14, -0.03),
    ]
    keys += [(0.5, 0.98, 1.12, -0.02), (0.85, 0.8, 0.95, 0.04), (1.05, 0.5, 0.6, 0.1)]
    sections = [(z * long, a * thick, b * thick, back + y) for z, a, b, y in keys]
    body = loft("z", sections, power=2.3, rounding=0.12)
    foot, fore, hind = back - 0.22 - stand, 0.64 * long, -0.8 * long
    x = 0.6 * thick
    knee = (x, foot + 0.34, hind - 0.05)
    legs = union(
        cone((x, back - 0.1, fore), (x, foot + 0.08, fore), 0.15, 0.07),
        blend(0.08, cone((x, back, hind), knee, 0.2, 0.1), cone(knee, (x, foot + 0.08, hind), 0.095, 0.07)),
    )
    hooves = union(*(cone((x, foot + 0.07, z), (x, foot, z + 0.03), 0.08, 0.095) for z in (fore, hind)))
    y, z = back + j(0.28, 0.48), long + 0.3
    neck = cone((0.0, back + 0.08, 0.6 * long), (0.0, y - 0.06, z - 0.06), 0.27, 0.16)
    head = blend(
        0.1,
        cone((0.0, y, z), (0.0, y - 0.25, z + 0.24), 0.16, 0.1),
        ellipsoid((0.0, y - 0.26, z + 0.26), (0.14, 0.1, 0.11)),
    )
    sharp = j(0.08, 0.26)
    curve = [(0.07, y + 0.11, z - 0.05), (0.21, y + 0.17, z - 0.04), (0.25, y + 0.19 + sharp, z + 0.02)]
    horns = tube(curve, [0.055, 0.048, 0.022], 6)
    ears = turned(ellipsoid((0.27, y + 0.02, z - 0.08), (0.15, 0.07, 0.045)), "z", -15.0, (0.1, y, z))
    eyes = mirrored(ball((0.125, y - 0.03, z + 0.09), 0.045))
    udder = ellipsoid((0.0, back - 1.15 * thick, -0.5 * long), (0.15, 0.13, 0.16))
    rump = -long - 0.08
    tail = tube(
        [(0.0, back + 0.22, rump + 0.1), (0.0, back + 0.14, rump - 0.06), (0.0, back - 0.35, rump - 0.1)],
        [0.05, 0.04, 0.032],
        8,
    )
    tuft = ellipsoid((0.0, back - 0.42, rump - 0.1), (0.06, 0.12, 0.06))
    whole = blend(0.1, body, mirrored(legs), neck, udder)
    top = blend(0.03, mirrored(union(horns, ears)), blend(0.06, whole, head))
    return union(top, mirrored(hooves), blend(0.03, tail, tuft), eyes)


def elephant(j: Jitter) -> Field:
    """An elephant: bulky body on column legs, large ears, tusks and a hanging trunk."""
    long, thick, ear = j(0.44, 0.54), j(0.36, 0.42), j(0.26, 0.36)
    body = blend(
        0.12,
        ellipsoid((0.0, 0.12, -0.12), (thick, 1.05 * thick, 1.25 * long)),
        ellipsoid((0.0, 0.16, 0.15), (0.92 * thick, thick, 0.8 * long)),
    )
    x, fore, hind = 0.58 * thick, 0.56 * long, -0.9 * long
    legs = mirrored(union(*(cone((x, -0.1, z), (x, -0.72, z), 0.17, 0.14) for z in (fore, hind))))
    feet = mirrored(union(*(ellipsoid((x, -0.8, z + 0.02), (0.165, 0.09, 0.18)) for z in (fore, hind))))
    y, z = 0.36, long + 0.22
    head = blend(0.08, ellipsoid((0.0, y, z), (0.25, 0.28, 0.26)), ball((0.0, y + 0.12, z - 0.02), 0.2))
    swing = j(-0.05, 0.3)
    path = [(0.0, y - 0.05, z + 0.16), (0.0, y - 0.3, z + 0.32), (0.0, y - 0.65, z + 0.3)]
    trunk = tube([*path, (0.0, y - 0.86, z + 0.34 + swing)], [0.15, 0.12, 0.085, 0.065], 14)
    tusks = mirrored(
        tube(
            [(0.11, y - 0.14, z + 0.14), (0.15, y - 0.3, z + 0.28), (0.15, y - 0.28, z + 0.46)],
            [0.05, 0.045, 0.025],
            6,
        )
    )
    ears = mirrored(
        turned(
            ellipsoid((0.2 + 0.75 * ear, y - 0.02, z - 0.1), (ear, 1.15 * ear, 0.055)),
            "y",
            28.0,
            (0.2, y, z - 0.1),
        )
    )
    eyes = mirrored(ball((0.19, y + 0.05, z + 0.18), 0.035))
    tail = tube(
        [(0.0, 0.3, -1.25 * long - 0.08), (0.0, 0.1, -1.25 * long - 0.2), (0.0, -0.3, -1.25 * long - 0.17)],
        [0.05, 0.035, 0.045],
        8,
    )
    hide = blend(0.06, blend(0.1, body, legs, head), feet, trunk)
    return moved(union(hide, ears, tusks, tail, eyes), (0.0, 0.0, -0.15))


def cat(j: Jitter) -> Field:
    """A sitting cat with pricked ears and a tail curled to its side."""
    plump, tall, size = j(0.28, 0.4), j(0.05, 0.25), j(0.25, 0.31)
    y, z = tall + 0.38, 0.18
    body = blend(
        0.15,
        ellipsoid((0.0, -0.5, -0.15), (plump, 0.36, 0.42)),
        ellipsoid((0.0, -0.12, 0.02), (0.72 * plump, 0.45, 0.28)),
        cone((0.0, tall - 0.15, 0.08), (0.0, y - 0.1, 0.14), 0.2, 0.16),
    )
    fore = mirrored(cone((0.14, -0.2, 0.2), (0.14, -0.78, 0.28), 0.11, 0.075))
    hind = ellipsoid((0.78 * plump, -0.8, 0.16), (0.1, 0.075, 0.2))
    paws = mirrored(union(ellipsoid((0.14, -0.81, 0.34), (0.085, 0.065, 0.12)), hind))
    thigh = mirrored(ellipsoid((0.72 * plump, -0.58, -0.1), (0.17, 0.25, 0.27)))
    cheeks = mirrored(ellipsoid((0.07, y - 0.08, z + 0.88 * size), (0.085, 0.065, 0.07)))
    skull = ellipsoid((0.0, y, z), (1.12 * size, 0.95 * size, 0.95 * size))
    ears = mirrored(
        cone((0.62 * size, y + 0.6 * size, 0.14), (0.85 * size, y + 1.5 * size, 0.12), 0.12, 0.025)
    )
    nose = ball((0.0, y - 0.03, z + 1.08 * size), 0.04)
    eyes = mirrored(ball((0.42 * size, y + 0.06, z + 0.8 * size), 0.055))
    path = [
        (0.0, -0.72, -0.5),
        (0.25, -0.8, -0.6),
        (0.55, -0.78, -0.3),
        (0.62, -0.78, 0.1),
        (0.5, -0.77, 0.4),
    ]
    tail = tube(path, [0.09, 0.085, 0.08, 0.07, 0.05], 14)
    head = blend(0.04, blend(0.05, skull, cheeks), ears)
    return union(blend(0.06, body, fore, thigh, paws, tail), head, nose, eyes)


def rabbit(j: Jitter) -> Field:
    """A sitting rabbit with long upright ears and a round tail."""
    plump, ear, spread, y = j(0.34, 0.44), j(0.42, 0.72), j(6.0, 20.0), j(0.1, 0.22)
    size = j(0.24, 0.29)
    body = blend(
        0.12,
        ellipsoid((0.0, -0.48, -0.18), (plump, 0.4, 0.46)),
        ellipsoid((0.0, -0.22, 0.12), (0.7 * plump, 0.34, 0.28)),
    )
    snout = ellipsoid((0.0, y - 0.08, 0.46), (0.16, 0.13, 0.16))
    head = blend(0.1, ellipsoid((0.0, y, 0.3), (0.95 * size, size, 1.05 * size)), snout)
    low = y + 0.75 * size
    ears = mirrored(
        turned(
            ellipsoid((0.1, low + 0.5 * ear, 0.22), (0.09, 0.58 * ear, 0.06)), "z", -spread, (0.1, low, 0.0)
        )
    )
    haunch = mirrored(ellipsoid((0.8 * plump, -0.52, -0.2), (0.19, 0.3, 0.32)))
    fore = cone((0.14, -0.35, 0.3), (0.13, -0.8, 0.38), 0.1, 0.08)
    feet = mirrored(union(ellipsoid((0.72 * plump, -0.82, 0.08), (0.12, 0.08, 0.28)), fore))
    tail = ball((0.0, -0.58, -0.68), j(0.14, 0.18))
    nose = ball((0.0, y - 0.04, 0.62), 0.045)
    eyes = mirrored(ball((0.75 * size, y + 0.05, 0.42), 0.055))
    return union(blend(0.06, body, haunch, feet, head), ears, tail, nose, eyes)


SHAPES = {"cow": solid(cow), "elephant": solid(elephant, 0.034), "cat": solid(cat), "rabbit": solid(rabbit)}
