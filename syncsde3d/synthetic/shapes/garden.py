"""Things out of doors: mushroom, pumpkin, snowman, and a guitar."""

from __future__ import annotations

import numpy as np

from syncsde3d.synthetic.shapes.curves import both_sides, through
from syncsde3d.synthetic.shapes.fields import (
    Array,
    Field,
    ball,
    blend,
    box,
    common,
    cone,
    cut,
    cylinder,
    ellipsoid,
    plate,
    revolve,
    rod,
    torus,
    tube,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def mushroom(j: Jitter) -> Field:
    """A toadstool: domed cap with raised spots, a ring and a swelling stem."""
    cap, high, stem, edge = j(0.5, 0.8), j(0.4, 0.65), j(0.17, 0.27), j(0.0, 0.2)
    egg = ellipsoid((0.0, edge, 0.0), (cap, high, cap))
    dome = cut(egg, ellipsoid((0.0, edge - 0.4, 0.0), (1.2 * cap, 0.36, 1.2 * cap)), k=0.15)
    foot = revolve([(-0.95, 0.9 * stem), (-0.8, 1.35 * stem), (-0.3, stem), (edge + 0.2, 0.85 * stem)], 0.06)
    skirt = revolve([(edge - 0.42, 1.6 * stem), (edge - 0.28, 1.05 * stem)], 0.02)
    places = (
        [(0.0, 90.0)] + [(a, 46.0) for a in (20, 95, 170, 240, 310)] + [(a, 14.0) for a in range(5, 365, 60)]
    )
    spots = []
    for azimuth, height in places:
        a, h = np.radians(azimuth), np.radians(height)
        center = (cap * np.cos(h) * np.sin(a), edge + high * np.sin(h), cap * np.cos(h) * np.cos(a))
        spots.append(ball(center, j(0.09, 0.13)))
    raised = common(union(*spots), lambda p: egg(p) - 0.03, k=0.03)
    return blend(0.03, blend(0.06, dome, foot), skirt, raised)


def pumpkin(j: Jitter) -> Field:
    """A ribbed pumpkin with a stem."""
    flat, ribs, depth = j(0.6, 0.9), int(j(8.0, 12.999)), j(0.06, 0.1)
    lean = j(-0.15, 0.15)

    def flesh(p: Array) -> Array:
        around = np.hypot(p[0], p[2])
        rib = 1.0 - depth * (1.0 - np.abs(np.cos(0.5 * ribs * np.arctan2(p[0], p[2]))))
        dimple = 0.3 * np.exp(-((around / 0.25) ** 2)) * np.minimum(np.abs(p[1]), 1.0)
        length = np.sqrt((around / (0.95 * rib)) ** 2 + (p[1] / flat) ** 2) - 1.0 + dimple
        return (0.7 * flat * length).astype(np.float32)

    stem = tube(
        [(0.0, 0.5 * flat, 0.0), (0.0, flat - 0.02, 0.0), (lean, flat + 0.24, 0.05)], [0.12, 0.1, 0.075], 8
    )
    return blend(0.05, flesh, stem)


def snowman(j: Jitter) -> Field:
    """A snowman of three balls with hat, carrot nose, buttons and twig arms; it looks to +Z."""
    low, middle, head = j(0.42, 0.5), j(0.3, 0.36), j(0.21, 0.26)
    y1 = -1.0 + 0.95 * low
    y2 = y1 + 0.72 * (low + middle)
    y3 = y2 + 0.8 * (middle + head)
    body = blend(0.05, ball((0.0, y1, 0.0), low), ball((0.0, y2, 0.0), middle), ball((0.0, y3, 0.0), head))
    ground = box((0.0, -2.0, 0.0), (3.0, 1.0, 3.0), 0.0)
    brim = cylinder((0.0, y3 + 0.75 * head, 0.0), 1.25 * head, 0.035, 0.03)
    crown = cylinder((0.0, y3 + 0.75 * head + 0.15, 0.0), 0.8 * head, j(0.14, 0.22), 0.03)
    nose = cone((0.0, y3, 0.9 * head), (0.0, y3 - 0.02, head + 0.24), 0.06, 0.025)
    lumps = [ball((s * 0.36 * head, y3 + 0.28 * head, 0.88 * head), 0.04) for s in (-1, 1)]
    lumps += [ball((0.0, y2 + t * middle, middle * np.sqrt(1.0 - t * t)), 0.045) for t in (0.45, 0.0, -0.45)]
    raised = j(0.1, 0.35)
    arms = []
    for s in (-1, 1):
        hand = (s * (middle + 0.34), y2 + raised, 0.08)
        arms.append(cone((s * 0.8 * middle, y2 + 0.05, 0.0), hand, 0.045, 0.035))
        arms.append(cone(hand, (hand[0] + s * 0.1, hand[1] + 0.12, 0.1), 0.035, 0.028))
        arms.append(cone(hand, (hand[0] + s * 0.13, hand[1] - 0.02, 0.1), 0.035, 0.028))
    return union(cut(body, ground, k=0.05), brim, crown, nose, *lumps, *arms)


def guitar(j: Jitter) -> Field:
    """An acoustic guitar, upright, its sound hole towards +Z."""
    lower, waist, upper, neck = j(0.4, 0.5), j(0.25, 0.32), j(0.3, 0.38), j(0.6, 0.85)
    keys = [
        (-1.0, 0.12),
        (-0.97, 0.25),
        (-0.8, 0.9 * lower),
        (-0.62, lower),
        (-0.42, 0.8 * lower),
        (-0.25, waist),
    ]
    keys += [(-0.08, 0.95 * upper), (0.06, 0.85 * upper), (0.15, 0.45 * upper), (0.18, 0.0)]
    y = -1.0 + 1.18 * 0.5 * (1.0 - np.cos(np.linspace(0.0, np.pi, 16)))
    x = through(keys, y)
    outline = both_sides([(0.0, -1.0), *zip(x[:-1], y[:-1], strict=True), (0.0, 0.18)])
    thick = j(0.11, 0.16)
    body = plate(outline, "z", thick, 0.03)
    hole = cylinder((0.0, -0.2, thick), 0.12, 0.14, 0.01, "z")
    rose = torus((0.0, -0.2, thick), 0.14, 0.03, "z")
    top = 0.15 + neck
    board = box((0.0, 0.5 * top, thick - 0.01), (0.065, 0.5 * top + 0.04, 0.055), 0.03)
    head = box((0.0, top + 0.12, thick - 0.03), (0.12, 0.16, 0.05), 0.03)
    pegs = [
        rod((-0.16, top + t, thick - 0.03), (0.16, top + t, thick - 0.03), 0.036) for t in (0.03, 0.12, 0.21)
    ]
    bridge = box((0.0, -0.64, thick + 0.01), (0.18, 0.04, 0.05), 0.02)
    return union(cut(body, hole), rose, board, head, bridge, *pegs)


SHAPES = {
    "mushroom": solid(mushroom, 0.034),
    "pumpkin": solid(pumpkin, 0.04),
    "snowman": solid(snowman, 0.026),
    "guitar": solid(guitar, 0.024),
}
