"""Outdoors: car, house, airplane, mushroom."""

from __future__ import annotations

from syncsde3d.synthetic.shapes.fields import (
    Field,
    blend,
    box,
    common,
    cone,
    cut,
    cylinder,
    ellipsoid,
    loft,
    mirrored,
    moved,
    plate,
    revolve,
    rod,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def car(j: Jitter) -> Field:
    """A saloon car with wheels in arches; it drives towards +Z."""
    wide, hood, roof = j(0.4, 0.46), j(0.02, 0.1), j(0.34, 0.44)
    front, rear = j(0.1, 0.3), j(-0.75, -0.45)
    side = [
        (0.98, -0.3), (0.99, hood - 0.12), (0.9, hood - 0.02), (0.5, hood + 0.04),
        (-0.9, hood + 0.06), (-1.0, hood - 0.03), (-1.0, -0.3),
    ]
    lower = plate([(y, z) for z, y in side], "x", wide, 0.05)
    top = [(front + 0.28, hood), (front, roof), (rear + 0.05, roof), (rear - 0.22, hood)]
    cabin = common(
        plate([(y, z) for z, y in top], "x", 0.88 * wide, 0.05),
        loft("y", [(hood - 0.1, wide, 2.0, 0.0), (roof + 0.1, 0.72 * wide, 2.0, 0.0)], 12.0, 0.02),
        k=0.08,
    )
    size, base = j(0.19, 0.22), -0.31
    axles = (0.58, -0.58)
    arches = [cylinder((0.0, base, z), size + 0.05, 2.0, 0.0, "x") for z in axles]
    wheels = mirrored(
        union(*(
            cut(
                cylinder((wide - 0.06, base, z), size, 0.09, 0.04, "x"),
                cylinder((wide + 0.06, base, z), 0.5 * size, 0.06, 0.02, "x"),
            )
            for z in axles
        ))
    )
    core = box((0.0, -0.15, 0.0), (wide - 0.16, 0.18, 0.85), 0.03)
    lights = mirrored(ellipsoid((0.68 * wide, hood - 0.12, 0.98), (0.085, 0.06, 0.05)))
    windows = union(
        moved(plate([(hood + 0.09, front + 0.12), (roof - 0.06, front - 0.06), (roof - 0.06, rear + 0.12),
                     (hood + 0.09, rear - 0.02)], "x", 2.0, 0.01), (0.0, 0.0, 0.0)),
    )
    pane = cut(windows, box((0.0, 0.2, 0.5 * (front + rear)), (2.0, 1.0, 0.03), 0.0))
    sunk = loft("y", [(hood - 0.1, wide - 0.045, 2.0, 0.0), (roof + 0.1, 0.72 * wide - 0.045, 2.0, 0.0)], 12.0, 0.02)
    cabin = cut(cabin, cut(pane, sunk), k=0.01)
    body = blend(0.03, cut(lower, *arches), cabin)
    return union(body, core, wheels, lights)


def house(j: Jitter) -> Field:
    """A small house: gable roof with eaves, door to +Z, windows, chimney."""
    wide, deep, wall, ridge = j(0.55, 0.72), j(0.5, 0.65), j(-0.05, 0.15), j(0.45, 0.65)
    peak = wall + ridge
    body = plate([(-wide, -0.7), (wide, -0.7), (wide, wall), (0.0, peak), (-wide, wall)], "z", deep, 0.01)
    over = 0.14
    slope = ridge / wide
    edge = wall - over * slope
    roof = plate(
        [
            (-wide - over, edge), (-wide - over, edge + 0.14), (0.0, peak + 0.14),
            (wide + over, edge + 0.14), (wide + over, edge), (0.0, peak),
        ],
        "z",
        deep + over,
        0.02,
    )
    x = j(0.3, 0.45) * (1 if j.maybe() else -1)
    chimney = box((x, peak - 0.1, -0.15), (0.09, 0.26, 0.09), 0.015)
    tall = 0.55 * (wall + 0.7)
    door = box((0.0, -0.7 + 0.5 * tall, deep), (0.13, 0.5 * tall, 0.045), 0.01)
    step = box((0.0, -0.67, deep + 0.08), (0.2, 0.03, 0.1), 0.01)
    level = -0.7 + 0.55 * (wall + 0.7)
    panes = []
    for s in (-1, 1):
        panes.append(box((s * 0.6 * wide, level, 0.0), (0.1, 0.11, deep + 0.5), 0.01))
        panes.append(box((0.0, level, s * 0.45 * deep), (wide + 0.5, 0.11, 0.1), 0.01))
    inner = box((0.0, 0.0, 0.0), (wide - 0.05, 2.0, deep - 0.05), 0.0)
    shutters = [cut(pane, inner) for pane in panes]
    sill = union(*(box((s * 0.6 * wide, level - 0.14, deep), (0.14, 0.025, 0.05), 0.01) for s in (-1, 1)))
    return union(cut(body, *shutters), roof, chimney, door, step, sill)


def airplane(j: Jitter) -> Field:
    """An airliner, nose to +Z, with swept wings, tail and two engines."""
    girth, span, sweep = j(0.13, 0.17), j(0.9, 1.05), j(0.2, 0.42)
    hull = loft(
        "z",
        [
            (-1.0, 0.03, 0.03, 0.1), (-0.7, 0.6 * girth, 0.65 * girth, 0.05), (-0.35, girth, girth, 0.0),
            (0.6, girth, girth, 0.0), (0.85, 0.72 * girth, 0.68 * girth, -0.02), (0.98, 0.25 * girth, 0.25 * girth, -0.05),
        ],
        rounding=0.03,
    )
    chord = j(0.24, 0.3)
    wing = plate([(0.0, 0.32), (span, 0.32 - sweep - chord), (span, 0.2 - sweep - chord), (0.0, 0.22 - 2 * chord)],
                 "y", 0.035, 0.03)
    wings = mirrored(moved(wing, (0.0, -0.4 * girth, 0.0)))
    small = plate([(0.0, -0.68), (0.4, -0.9), (0.4, -1.0), (0.0, -0.95)], "y", 0.03, 0.025)
    fin = plate([(0.0, -0.6), (0.1, -0.68), (0.5, -0.98), (0.5, -1.1), (0.0, -1.0)], "x", 0.032, 0.025)
    x, z = 0.38 * span, 0.3 - 0.38 * sweep - 0.1
    pod = loft("z", [(z - 0.18, 0.05, 0.05, -0.4 * girth - 0.1), (z, 0.08, 0.08, -0.4 * girth - 0.1),
                     (z + 0.12, 0.075, 0.075, -0.4 * girth - 0.1)], rounding=0.02)
    engines = mirrored(moved(pod, (0.0, 0.0, 0.0)))
    engine = mirrored(lambda p: pod(_shift(p, x)))
    del engines
    return union(blend(0.05, hull, wings, mirrored(moved(small, (0.0, 0.1, 0.0))), fin), engine)


def _shift(p, x):
    q = p.copy()
    q[0] -= x
    return q


def mushroom(j: Jitter) -> Field:
    """A mushroom with a domed cap, gills side flat, and a swelling stem."""
    cap, high, stem = j(0.7, 0.95), j(0.45, 0.65), j(0.2, 0.3)
    edge = j(0.0, 0.15)
    dome = cut(
        ellipsoid((0.0, edge, 0.0), (cap, high, cap)), ellipsoid((0.0, edge - 0.5, 0.0), (1.1 * cap, 0.48, 1.1 * cap)), k=0.1
    )
    foot = revolve([(-0.9, 0.9 * stem), (-0.75, 1.25 * stem), (-0.3, stem), (edge + 0.2, 0.85 * stem)], 0.06)
    skirt = revolve([(-0.22, 1.5 * stem), (-0.1, 1.05 * stem)], 0.02)
    spots = union(*(ellipsoid((cap * a, edge + high * b, cap * c), (0.12, 0.12, 0.12)) for a, b, c in
                    ((0.0, 0.95, 0.1), (0.55, 0.62, 0.45), (-0.5, 0.72, 0.4), (0.1, 0.5, 0.82), (-0.2, 0.7, -0.6),
                     (0.6, 0.55, -0.5), (-0.8, 0.4, -0.2), (0.85, 0.35, 0.1))))
    raised = common(spots, lambda p: ellipsoid((0.0, edge, 0.0), (cap, high, cap))(p) - 0.035)
    return union(blend(0.06, dome, foot), skirt, raised)


SHAPES = {"car": solid(car), "house": solid(house), "airplane": solid(airplane, 0.024), "mushroom": solid(mushroom, 0.032)}
_ = (cone, rod)
