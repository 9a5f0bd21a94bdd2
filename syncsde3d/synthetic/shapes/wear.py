"""Things to wear and carry: handbag, boot, shoe, hat."""

from __future__ import annotations

from syncsde3d.synthetic.shapes.fields import (
    Field,
    ball,
    blend,
    box,
    common,
    cone,
    cut,
    cylinder,
    ellipsoid,
    loft,
    moved,
    plate,
    revolve,
    rod,
    torus,
    tube,
    turned,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def handbag(j: Jitter) -> Field:
    """A bag with a flap over the front, a clasp, and a high handle; its front faces +Z."""
    wide, tall, deep = j(0.62, 0.8), j(0.42, 0.56), j(0.2, 0.28)
    taper = j(0.78, 0.95)
    body = loft(
        "y",
        [
            (-tall, 0.97 * wide, deep, 0.0),
            (-0.8 * tall, wide, 1.03 * deep, 0.0),
            (0.3 * tall, (0.4 + 0.6 * taper) * wide, 0.9 * deep, 0.0),
            (tall, taper * wide, 0.55 * deep, 0.0),
        ],
        power=5.0,
        rounding=0.06,
    )
    grown = loft(
        "y",
        [
            (-tall, wide + 0.03, deep + 0.05, 0.0),
            (-0.8 * tall, wide + 0.03, 1.03 * deep + 0.05, 0.0),
            (0.3 * tall, (0.4 + 0.6 * taper) * wide + 0.03, 0.9 * deep + 0.05, 0.0),
            (tall + 0.04, taper * wide + 0.03, 0.55 * deep + 0.05, 0.0),
        ],
        power=5.0,
        rounding=0.06,
    )
    drop = j(0.05, 0.35) * tall
    edge = 0.9 * wide
    flap_outline = [
        (-wide - 0.1, tall + 0.2),
        (-wide - 0.1, drop + 0.16),
        (-edge, drop + 0.1),
        (-0.6 * edge, drop - 0.06),
        (0.0, drop - 0.14),
        (0.6 * edge, drop - 0.06),
        (edge, drop + 0.1),
        (wide + 0.1, drop + 0.16),
        (wide + 0.1, tall + 0.2),
    ]
    front = moved(plate(flap_outline, "z", 0.6, 0.02), (0.0, 0.0, 0.6 - 0.12))
    flap = common(grown, front, k=0.03)
    clasp = box((0.0, drop - 0.12, 0.95 * deep + 0.04), (0.085, 0.075, 0.07), 0.03)
    span, rise, gauge = j(0.5, 0.72) * taper * wide, j(0.4, 0.62), j(0.04, 0.055)
    handle = tube(
        [
            (-span, tall - 0.08, 0.0),
            (-span, tall + 0.45 * rise, 0.0),
            (-0.55 * span, tall + 0.9 * rise, 0.0),
            (0.55 * span, tall + 0.9 * rise, 0.0),
            (span, tall + 0.45 * rise, 0.0),
            (span, tall - 0.08, 0.0),
        ],
        gauge,
        18,
    )
    rings = [torus((s * span, tall + 0.06, 0.0), 0.07, 0.03, "z") for s in (-1, 1)]
    return moved(union(blend(0.02, body, flap), clasp, handle, *rings), (0.0, -0.25, 0.0))


def boot(j: Jitter) -> Field:
    """An ankle-to-calf boot with heel, welt and rounded toe; the toe points to +Z."""
    shaft_top, calf, ankle = j(0.75, 1.0), j(0.3, 0.37), j(0.24, 0.28)
    toe, wide = j(0.72, 0.86), j(0.25, 0.3)
    heel = j(0.14, 0.24)
    sole = -0.8 + heel
    shaft = loft(
        "y",
        [
            (sole, 0.85 * wide, 0.33, -0.3),
            (-0.3, ankle, 0.33, -0.27),
            (-0.05, ankle, 0.3, -0.3),
            (0.4, 0.5 * (calf + ankle), 0.32, -0.32),
            (shaft_top, calf, calf + 0.05, -0.32),
        ],
        power=2.3,
        rounding=0.03,
    )
    foot = loft(
        "z",
        [
            (-0.62, 0.7 * wide, 0.22, sole + 0.2),
            (-0.3, 0.88 * wide, 0.36, sole + 0.3),
            (0.05, 0.92 * wide, 0.29, sole + 0.22),
            (0.38, wide, 0.2, sole + 0.14),
            (0.62, 0.92 * wide, 0.17, sole + 0.12),
            (toe, 0.45 * wide, 0.1, sole + 0.06),
        ],
        power=2.4,
        rounding=0.08,
    )
    outline = [(0.72, -0.6), (0.82, -0.42), (0.72, -0.1), (0.84, 0.15), (1.08, 0.4), (1.0, 0.62)]
    right = [(x * wide, z) for x, z in outline]
    tip = [(0.62 * wide, toe - 0.03), (0.0, toe + 0.05)]
    half = [(0.0, -0.68), (0.4 * wide, -0.67), *right, *tip]
    footprint = half + [(-x, z) for x, z in half[-2:0:-1]]
    welt = moved(plate(footprint, "y", 0.05, 0.03), (0.0, sole - 0.02, 0.0))
    block = loft(
        "y", [(-0.8, 0.74 * wide, 0.2, -0.43), (sole, 0.8 * wide, 0.22, -0.44)], power=3.5, rounding=0.02
    )
    front = moved(plate(footprint, "y", 0.5 * heel, 0.02), (0.0, sole - 0.02, 0.0))
    forefoot = common(front, box((0.0, sole, 0.62), (1.0, 0.4, 0.5), 0.02), k=0.04)
    hollow = loft(
        "y",
        [
            (0.3, 0.5 * (calf + ankle) - 0.07, 0.25, -0.32),
            (shaft_top + 0.1, calf - 0.05, calf, -0.32),
        ],
        power=2.3,
        rounding=0.1,
    )
    upper = blend(0.16, shaft, cut(foot, box((0.0, sole - 0.5, 0.0), (2.0, 0.5, 2.0), 0.0)))
    cuff = cut(
        loft(
            "y",
            [(shaft_top - 0.13, calf + 0.02, calf + 0.07, -0.32), (shaft_top, calf + 0.035, calf + 0.085, -0.32)],
            power=2.3,
            rounding=0.03,
        )
    ) if False else loft(
        "y",
        [(shaft_top - 0.13, calf + 0.02, calf + 0.07, -0.32), (shaft_top, calf + 0.035, calf + 0.085, -0.32)],
        power=2.3,
        rounding=0.03,
    )
    pull = torus((0.0, shaft_top - 0.02, -0.32 - calf - 0.08), 0.07, 0.026, "x")
    return union(cut(union(upper, cuff), hollow, k=0.04), welt, block, forefoot, pull)


def shoe(j: Jitter) -> Field:
    """A low sneaker with a thick sole, an opening and laces; the toe points to +Z."""
    toe, wide, back = j(0.92, 1.05), j(0.32, 0.37), j(0.4, 0.52)
    sole = -0.3
    upper = loft(
        "z",
        [
            (-0.9, 0.66 * wide, 0.5 * back, sole + 0.45 * back),
            (-0.6, 0.85 * wide, 0.62 * back, sole + 0.5 * back),
            (-0.1, 0.84 * wide, 0.6 * back, sole + 0.42 * back),
            (0.3, 0.95 * wide, 0.4 * back, sole + 0.3 * back),
            (0.7, 0.95 * wide, 0.28 * back, sole + 0.18 * back),
            (toe, 0.45 * wide, 0.16 * back, sole + 0.1 * back),
        ],
        power=2.4,
        rounding=0.1,
    )
    half = [(0.0, -0.98), (0.5 * wide, -0.95), (0.82 * wide, -0.75), (0.86 * wide, -0.4)]
    half += [(0.84 * wide, 0.0), (1.02 * wide, 0.4), (0.98 * wide, 0.75), (0.6 * wide, toe + 0.02)]
    half += [(0.0, toe + 0.08)]
    outline = half + [(-x, z) for x, z in half[-2:0:-1]]
    thick = j(0.09, 0.15)
    base = moved(plate(outline, "y", thick, 0.05), (0.0, sole - 0.05, 0.0))
    mouth = ellipsoid((0.0, sole + 1.22 * back, -0.5), (0.66 * wide, 0.62 * back, 0.36))
    collar = turned(torus((0.0, sole + 1.02 * back, -0.48), 0.5 * wide, 0.05), "x", 8.0)
    body = cut(cut(upper, box((0.0, sole - 1.0, 0.0), (2, 1.0, 2), 0.0)), mouth, k=0.06)
    laces = [
        rod((-0.42 * wide, sole + h * back, z), (0.42 * wide, sole + h * back, z), 0.035)
        for z, h in ((-0.02, 1.0), (0.13, 0.87), (0.28, 0.73), (0.42, 0.61))
    ]
    del collar
    return union(body, base, *laces)


def hat(j: Jitter) -> Field:
    """A brimmed hat with a pinched crown and a band."""
    brim, crown, high, curl = j(0.85, 1.0), j(0.42, 0.52), j(0.5, 0.75), j(0.05, 0.2)
    flat = cylinder((0.0, -0.3, 0.0), brim, 0.045, 0.04)

    def rim(p):  # the brim's sides curl up
        q = p.copy()
        q[1] = p[1] - curl * (p[0] / brim) ** 2 + 0.4 * curl * (p[2] / brim) ** 2
        return flat(q) * 0.9

    top = high - 0.3
    dome = loft(
        "y",
        [
            (-0.34, crown, 1.12 * crown, 0.0),
            (0.4 * high - 0.3, 0.95 * crown, 1.06 * crown, 0.0),
            (top, 0.76 * crown, 0.9 * crown, 0.0),
        ],
        rounding=0.09,
    )
    pinch = ellipsoid((0.0, top + 0.1, 0.0), (0.16, 0.22, 0.8 * crown))
    band = loft(
        "y",
        [(-0.3, crown + 0.025, 1.12 * crown + 0.025, 0.0), (-0.13, crown + 0.01, 1.1 * crown + 0.015, 0.0)],
        rounding=0.02,
    )
    return union(blend(0.07, cut(dome, pinch, k=0.12), rim), band)


SHAPES = {
    "handbag": solid(handbag, 0.026),
    "boot": solid(boot),
    "shoe": solid(shoe),
    "hat": solid(hat),
}

_ = (ball, cone, revolve)
