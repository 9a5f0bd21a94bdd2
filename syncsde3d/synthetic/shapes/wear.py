"""Things to wear and carry: handbag, boot, shoe, hat."""

from __future__ import annotations

import numpy as np

from syncsde3d.synthetic.shapes.curves import both_sides, cut_corners, through
from syncsde3d.synthetic.shapes.fields import (
    Array,
    Field,
    blend,
    box,
    common,
    cut,
    cylinder,
    ellipsoid,
    loft,
    moved,
    plate,
    rod,
    torus,
    tube,
    turned,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def handbag(j: Jitter) -> Field:
    """A bag with a flap over the front, a clasp, and a high handle; its front faces +Z."""
    wide, tall, deep = j(0.6, 0.8), j(0.4, 0.58), j(0.2, 0.28)
    taper, bow = j(0.75, 0.97), j(1.0, 1.06)

    def hull(grow: float, top: float) -> Field:
        keys = [(-tall, 0.97, 1.0), (-0.75 * tall, bow, 1.04), (0.3 * tall, 0.4 + 0.6 * taper, 0.88)]
        sections = [(y, a * wide + grow, b * deep + grow, 0.0) for y, a, b in [*keys, (top, taper, 0.5)]]
        return loft("y", sections, power=5.0, rounding=0.06)

    drop, edge = j(-0.1, 0.3) * tall, 0.95 * wide
    tip = drop - j(0.1, 0.24)
    corners = [(0.0, tall + 0.2), (wide + 0.2, tall + 0.2), (wide + 0.2, drop + 0.14), (edge, drop + 0.12)]
    outline = cut_corners(both_sides([*corners, (0.55 * edge, tip + 0.02), (0.0, tip)]), 2, closed=True)
    # The flap wraps the top and the front, so its outline reaches from just behind the handle forwards.
    flap = common(hull(0.035, tall + 0.035), moved(plate(outline, "z", 0.6, 0.02), (0.0, 0.0, 0.52)), k=0.03)
    clasp = box((0.0, tip + 0.01, 0.92 * deep + 0.02), (0.08, 0.075, 0.08), 0.03)
    span, rise = j(0.45, 0.72) * taper * wide, j(0.35, 0.62)
    arch = [(span, -0.08), (span, 0.45 * rise), (0.55 * span, 0.9 * rise)]
    path = [(-x, tall + y, 0.0) for x, y in arch] + [(x, tall + y, 0.0) for x, y in arch[::-1]]
    handle = tube(path, j(0.042, 0.055), 18)
    rings = [torus((s * span, tall + 0.07, 0.0), 0.075, 0.034, "z") for s in (-1, 1)]
    return moved(
        union(blend(0.03, hull(0.0, tall), flap, clasp), blend(0.03, handle, *rings)), (0.0, -0.22, 0.0)
    )


def _footprint(wide: float, heel: float, toe: float) -> Array:
    """The outline (x, z) of a sole from ``heel`` to ``toe``, ``wide`` to either side at the ball."""
    length = toe - heel
    keys = [(0.0, 0.0), (0.5, 0.0), (0.8, 0.06), (0.84, 0.2), (0.76, 0.42), (0.92, 0.58), (1.06, 0.72)]
    keys += [(1.0, 0.88), (0.66, 0.99), (0.0, 1.02)]
    return cut_corners(both_sides([(x * wide, heel + t * length) for x, t in keys]), 1, closed=True)


def boot(j: Jitter) -> Field:
    """A laced boot with shaft, cuff, welt, heel and rounded toe; the toe points to +Z."""
    top, calf, ankle = j(0.55, 0.95), j(0.29, 0.37), j(0.25, 0.28)
    toe, wide, heel = j(0.66, 0.84), j(0.27, 0.32), j(0.14, 0.24)
    sole = -0.8 + heel
    shaft = loft(
        "y",
        [
            (sole, 0.8 * wide, 0.3, -0.3),
            (-0.3, ankle, 0.32, -0.29),
            (0.0, ankle, 0.3, -0.32),
            (0.4, 0.5 * (calf + ankle), 0.32, -0.34),
            (top, calf, calf + 0.04, -0.34),
        ],
        power=2.3,
    )
    heights = [
        (-0.66, 0.3),
        (-0.4, 0.5),
        (0.05, 0.5),
        (0.34, 0.36),
        (0.58, 0.29),
        (toe - 0.06, 0.2),
        (toe, 0.08),
    ]
    widths = [
        (-0.66, 0.62),
        (-0.4, 0.8),
        (0.05, 0.84),
        (0.34, 0.98),
        (0.58, 0.92),
        (toe - 0.06, 0.62),
        (toe, 0.4),
    ]
    sections = [(z, w * wide, h, sole) for (z, h), (_, w) in zip(heights, widths, strict=True)]
    above = box((0.0, sole + 1.0, 0.0), (2.0, 1.0, 2.0), 0.0)
    foot = common(loft("z", sections, power=2.2, rounding=0.05), above)
    outline = _footprint(wide, -0.74, toe + 0.06)
    welt = moved(plate(outline, "y", 0.045, 0.03), (0.0, sole, 0.0))
    arch = box((0.0, -0.8, -0.1), (1.0, 0.55 * heel, 0.13), 0.02)
    outsole = cut(moved(plate(0.94 * outline, "y", 0.5 * heel, 0.02), (0.0, sole - 0.5 * heel, 0.0)), arch)
    cuff = loft(
        "y", [(top - 0.15, calf + 0.025, calf + 0.065, -0.34), (top, calf + 0.035, calf + 0.075, -0.34)], 2.3
    )
    hollow = loft(
        "y", [(0.1, calf - 0.12, 0.2, -0.34), (top + 0.1, calf - 0.06, calf - 0.02, -0.34)], 2.3, 0.1
    )
    front = [(-0.3, 0.2), (-0.1, 0.02), (0.2, -0.02), (0.6, 0.0), (1.0, calf - 0.29)]
    rows = np.arange(-0.16, top - 0.25, 0.14)
    laces = [rod((-0.12, y, z), (0.12, y, z), 0.036) for y, z in zip(rows, through(front, rows), strict=True)]
    upper = blend(0.14, shaft, foot)
    return union(cut(blend(0.02, upper, cuff, *laces), hollow, k=0.03), blend(0.02, welt, outsole))


def shoe(j: Jitter) -> Field:
    """A sneaker with a thick sole, an opening, tongue and laces; the toe points to +Z."""
    wide, high, thick = j(0.33, 0.38), j(0.46, 0.58), j(0.08, 0.12)
    floor = -0.3
    widths = [
        (-0.92, 0.6),
        (-0.75, 0.78),
        (-0.2, 0.76),
        (0.3, 0.94),
        (0.65, 0.92),
        (0.85, 0.66),
        (0.93, 0.42),
    ]
    heights = [
        (-0.92, 0.85),
        (-0.75, 1.0),
        (-0.5, 0.9),
        (-0.2, 0.98),
        (0.15, 0.72),
        (0.5, 0.46),
        (0.85, 0.34),
        (0.93, 0.14),
    ]
    at = np.unique([z for z, _ in widths + heights])
    both = zip(at, through(widths, at), through(heights, at), strict=True)
    upper = loft("z", [(z, w * wide, h * high, floor) for z, w, h in both], power=2.3, rounding=0.05)
    upper = common(upper, box((0.0, floor + 1.0, 0.0), (2.0, 1.0, 2.0), 0.0))
    mouth = blend(
        0.1,
        ellipsoid((0.0, floor + 0.95 * high, -0.5), (0.56 * wide, 0.6 * high, 0.3)),
        ellipsoid((0.0, floor + 1.05 * high, -0.5), (0.62 * wide, 0.35 * high, 0.34)),
    )
    outline = _footprint(wide, -1.0, 1.0)
    sole = moved(plate(outline, "y", thick, 0.04), (0.0, floor - 0.6 * thick, 0.0))
    leaf = ellipsoid((0.0, floor + high, -0.15), (0.16, 0.3 * high, 0.045))
    tongue = turned(leaf, "x", -35.0, (0.0, floor + high, -0.15))
    rows = np.array([-0.06, 0.09, 0.24, 0.39])
    levels = floor + high * through(heights, rows)
    laces = [rod((-0.13, y, z), (0.13, y, z), 0.04) for z, y in zip(rows, levels, strict=True)]
    return union(blend(0.02, blend(0.05, cut(upper, mouth, k=0.05), tongue), *laces), sole)


def hat(j: Jitter) -> Field:
    """A brimmed hat with a pinched crown and a band."""
    brim, crown, high, curl = j(0.75, 1.0), j(0.42, 0.52), j(0.45, 0.75), j(0.0, 0.22)
    flat = cylinder((0.0, -0.3, 0.0), brim, 0.045, 0.04)

    def rim(p: Array) -> Array:
        rise = curl * ((p[0] / brim) ** 2 - 0.4 * (p[2] / brim) ** 2)
        return 0.9 * flat(np.stack((p[0], p[1] - rise, p[2])))

    top = high - 0.3
    keys = [(-0.34, crown, 1.12 * crown, 0.0), (0.4 * high - 0.3, 0.95 * crown, 1.06 * crown, 0.0)]
    dome = loft("y", [*keys, (top, 0.76 * crown, 0.9 * crown, 0.0)], rounding=0.09)
    pinch = ellipsoid((0.0, top + 0.1, 0.0), (0.16, 0.22, 0.8 * crown))
    band = loft(
        "y",
        [(-0.32, crown + 0.04, 1.12 * crown + 0.04, 0.0), (-0.12, crown + 0.03, 1.1 * crown + 0.035, 0.0)],
    )
    return blend(0.03, blend(0.05, cut(dome, pinch, k=0.12), rim), band)


SHAPES = {
    "handbag": solid(handbag),
    "boot": solid(boot),
    "shoe": solid(shoe, 0.026),
    "hat": solid(hat, 0.031),
}
