"""Vehicles and a building: car, airplane, rocket, house."""

from __future__ import annotations

from syncsde3d.synthetic.shapes.curves import cut_corners
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
    mirrored,
    moved,
    plate,
    revolve,
    torus,
    turned,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def _side(points: list[tuple[float, float]], half: float, rounding: float) -> Field:
    """A solid ``half`` to either side of x = 0 with the given side view (z, y)."""
    return plate([(y, z) for z, y in points], "x", half, rounding)


def car(j: Jitter) -> Field:
    """A saloon car with wheels in arches; it drives towards +Z."""
    wide, hood, roof = j(0.4, 0.48), j(0.0, 0.1), j(0.34, 0.5)
    front, rear, size = j(0.1, 0.32), j(-0.8, -0.4), j(0.2, 0.24)
    axle, floor = -0.26, -0.26
    outline = [(0.98, floor), (1.0, hood - 0.1), (0.92, hood - 0.01), (0.5, hood + 0.05), (-0.9, hood + 0.07)]
    lower = _side([*outline, (-1.0, hood - 0.02), (-0.98, floor)], wide, 0.05)
    glass = [(front + 0.28, hood), (front, roof), (rear + 0.05, roof), (rear - 0.2, hood)]
    tumble = loft("y", [(hood - 0.1, wide, 2.0, 0.0), (roof + 0.1, 0.72 * wide, 2.0, 0.0)], 12.0, 0.02)
    closed = common(_side(glass, 0.9 * wide, 0.05), tumble, k=0.06)

    def outer_skin(p: Array) -> Array:
        return -closed(p) - 0.05

    low, high, middle = hood + 0.12, roof - 0.07, 0.5 * (front + rear)
    pane = [(front + 0.13, low), (front - 0.03, high), (rear + 0.1, high), (rear - 0.05, low)]
    sides = cut(_side(pane, 2.0, 0.02), box((0.0, 0.2, middle), (2.0, 1.0, 0.035), 0.0))
    ends = box((0.0, 0.5 * (low + high), middle), (0.58 * wide, 0.5 * (high - low), 2.0), 0.03)
    cabin = cut(closed, common(union(sides, ends), outer_skin), k=0.02)
    wheels, arches = [], []
    for z in (0.58, -0.58):
        arches.append(cylinder((0.0, axle, z), size + 0.05, 2.0, 0.0, "x"))
        hub = cylinder((wide + 0.07, axle, z), 0.5 * size, 0.06, 0.02, "x")
        wheels.append(cut(cylinder((wide - 0.06, axle, z), size, 0.1, 0.04, "x"), hub))
    core = box((0.0, -0.13, 0.0), (wide - 0.15, 0.16, 0.88), 0.03)
    lights = mirrored(ellipsoid((0.68 * wide, hood - 0.11, 0.98), (0.085, 0.06, 0.05)))
    bumpers = [box((0.0, floor + 0.05, s * 0.97), (wide, 0.05, 0.07), 0.03) for s in (-1, 1)]
    return union(blend(0.03, cut(lower, *arches), cabin), core, mirrored(union(*wheels)), lights, *bumpers)


def airplane(j: Jitter) -> Field:
    """An airliner, nose to +Z, with swept wings, tail and two engines."""
    girth, span, sweep, chord = j(0.14, 0.19), j(0.85, 1.05), j(0.12, 0.45), j(0.22, 0.3)
    keys = [(-1.0, 0.2, 0.1), (-0.7, 0.62, 0.05), (-0.35, 1.0, 0.0), (0.55, 1.0, 0.0), (0.82, 0.74, -0.02)]
    hull = loft("z", [(z, s * girth, s * girth, y) for z, s, y in [*keys, (0.98, 0.25, -0.05)]])
    tip = 0.32 - sweep - chord
    wing = plate([(0.0, 0.34), (span, tip), (span, tip - 0.13), (0.0, 0.24 - 2.0 * chord)], "y", 0.037, 0.03)
    elevator = plate([(0.0, -0.66), (0.42, -0.88), (0.42, -1.0), (0.0, -0.95)], "y", 0.033, 0.025)
    fin = plate([(0.0, -0.58), (0.1, -0.66), (0.52, -0.96), (0.52, -1.1), (0.0, -1.0)], "x", 0.034, 0.025)
    reach, drop = 0.38 * span, -0.4 * girth - 0.1
    z = 0.2 - 0.38 * sweep
    pod = loft("z", [(z - 0.18, 0.05, 0.05, drop), (z, 0.085, 0.085, drop), (z + 0.14, 0.08, 0.08, drop)])
    inlet = cylinder((0.0, drop, z + 0.14), 0.05, 0.05, 0.01, "z")
    engines = mirrored(moved(cut(pod, inlet), (reach, 0.0, 0.0)))
    wings = mirrored(union(moved(wing, (0.0, -0.4 * girth, 0.0)), moved(elevator, (0.0, 0.1, 0.0))))
    return union(blend(0.05, hull, wings, fin), engines)


def rocket(j: Jitter) -> Field:
    """A toy rocket standing on four fins, with a porthole towards +Z."""
    girth, nose, flare = j(0.24, 0.34), j(0.3, 0.5), j(0.45, 0.6)
    keys = [(-0.75, 0.7), (-0.4, 0.92), (0.0, 1.0), (nose - 0.1, 0.85), (0.8, 0.4), (1.0, 0.1)]
    hull = revolve([(y, s * girth) for y, s in keys], 0.03)
    nozzle = revolve([(-0.9, 0.8 * girth), (-0.72, 0.5 * girth)], 0.03)
    outline = cut_corners(
        [(0.1, -0.15), (0.7 * flare, -0.5), (flare, -0.98), (0.85 * flare, -1.0), (0.1, -0.65)], 1, True
    )
    fin = plate(outline, "z", 0.045, 0.03)
    fins = [turned(fin, "y", 45.0 + 90.0 * quarter) for quarter in range(4)]
    window = 0.3
    porthole = torus((0.0, window - 0.15, 0.97 * girth), 0.11, 0.04, "z")
    band = torus((0.0, nose + 0.02, 0.0), 0.77 * girth, 0.045)
    return blend(0.03, blend(0.05, hull, *fins), nozzle, porthole, band)


def house(j: Jitter) -> Field:
    """A small house: gable roof with eaves, door to +Z, windows, chimney."""
    wide, deep, wall, ridge = j(0.5, 0.72), j(0.45, 0.68), j(-0.1, 0.2), j(0.4, 0.7)
    peak, over = wall + ridge, 0.14
    body = plate([(-wide, -0.7), (wide, -0.7), (wide, wall), (0.0, peak), (-wide, wall)], "z", deep, 0.01)
    edge = wall - over * ridge / wide
    lower, upper = [(-wide - over, edge), (0.0, peak), (wide + over, edge)], 0.14
    slab = [*((x, y + upper) for x, y in lower), *lower[::-1]]
    roof = plate(slab, "z", deep + over, 0.02)
    side = j(0.3, 0.5) * wide * (1.0 if j.maybe() else -1.0)
    chimney = box((side, peak - 0.1, -0.15), (0.1, 0.28, 0.1), 0.015)
    tall, level = 0.58 * (wall + 0.7), -0.7 + 0.58 * (wall + 0.7)
    frame = box((0.0, -0.7 + 0.5 * tall, deep), (0.17, 0.5 * tall + 0.03, 0.05), 0.01)
    recess = box((0.0, -0.72 + 0.5 * tall, deep + 0.05), (0.11, 0.5 * tall - 0.02, 0.06), 0.01)
    step = box((0.0, -0.67, deep + 0.08), (0.22, 0.04, 0.12), 0.01)
    panes, sills = [], []
    for s in (-1, 1):
        panes.append(box((s * 0.62 * wide, level - 0.05, 0.0), (0.1, 0.12, deep + 0.5), 0.01))
        panes.append(box((0.0, level - 0.05, s * 0.45 * deep), (wide + 0.5, 0.12, 0.1), 0.01))
        sills.append(box((s * 0.62 * wide, level - 0.2, deep), (0.15, 0.03, 0.06), 0.01))
    core = box((0.0, 0.0, 0.0), (wide - 0.06, 2.0, deep - 0.06), 0.0)
    return union(
        cut(union(cut(body, *(cut(p, core) for p in panes)), frame), recess), roof, chimney, step, *sills
    )


SHAPES = {
    "car": solid(car, 0.033),
    "airplane": solid(airplane, 0.025),
    "rocket": solid(rocket),
    "house": solid(house, 0.036),
}
