"""Furniture: chair, table, lamp, sofa."""

from __future__ import annotations

from syncsde3d.synthetic.shapes.fields import Field, blend, box, cone, cut, cylinder, mirrored, revolve, rod, union
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def chair(j: Jitter) -> Field:
    """A chair with four legs and a slatted or solid back; the sitter looks to +Z."""
    wide, deep, seat, back = j(0.4, 0.5), j(0.4, 0.48), j(-0.15, 0.0), j(0.8, 1.0)
    leg = j(0.045, 0.065)
    parts = [box((0.0, seat, 0.0), (wide, 0.06, deep), 0.04)]
    x, z = wide - leg - 0.01, deep - leg - 0.01
    parts += [cone((s * x, seat, z), (s * (x + 0.04), -0.95, z + 0.04), leg, 0.8 * leg) for s in (-1, 1)]
    parts += [cone((s * x, seat, -z), (s * (x + 0.04), -0.95, -z - 0.06), leg, 0.8 * leg) for s in (-1, 1)]
    lean = j(0.06, 0.16)
    parts += [rod((s * x, seat, -z), (s * x, back - 0.06, -z - lean), leg) for s in (-1, 1)]
    if j.maybe():
        parts.append(rod((-x, back - 0.1, -z - lean), (x, back - 0.1, -z - lean), 1.3 * leg))
        parts.append(rod((-x, 0.5 * (seat + back), -z - 0.5 * lean), (x, 0.5 * (seat + back), -z - 0.5 * lean), leg))
    else:
        middle = 0.5 * (back + seat) + 0.14
        parts.append(box((0.0, middle, -z - 0.6 * lean), (x + 0.03, 0.5 * (back - seat) - 0.14, 0.05), 0.04))
    return union(*parts)


def table(j: Jitter) -> Field:
    """A table: a square or round top on four legs."""
    wide, deep, top = j(0.8, 1.0), j(0.55, 0.8), j(0.3, 0.5)
    leg = j(0.06, 0.085)
    if j.maybe(0.35):
        deep = wide
        board = cylinder((0.0, top, 0.0), wide, 0.06, 0.03)
        x = z = 0.58 * wide
    else:
        board = box((0.0, top, 0.0), (wide, 0.06, deep), 0.03)
        x, z = wide - leg - 0.06, deep - leg - 0.06
    legs = [cone((a * x, top, b * z), (a * x, -0.55, b * z), leg, 0.75 * leg) for a in (-1, 1) for b in (-1, 1)]
    apron = cut(
        box((0.0, top - 0.12, 0.0), (x, 0.1, z), 0.01), box((0.0, top - 0.14, 0.0), (x - 0.08, 0.2, z - 0.08), 0.01)
    )
    return union(board, apron, *legs)


def lamp(j: Jitter) -> Field:
    """A table lamp: a turned foot and a conical shade."""
    low, high, tall = j(0.48, 0.62), j(0.22, 0.34), j(0.5, 0.62)
    shade_y = 1.0 - tall
    outside = revolve([(shade_y, low), (1.0, high)], 0.03)
    inside = revolve([(shade_y - 0.2, low - 0.02), (shade_y, low - 0.08), (0.9, high - 0.06)], 0.03)
    belly = j(0.18, 0.28)
    foot = revolve(
        [
            (-1.0, 0.36),
            (-0.93, 0.34),
            (-0.86, 0.12),
            (-0.5, belly),
            (-0.05, 0.08),
            (shade_y + 0.4, 0.06),
        ],
        0.03,
    )
    return union(cut(outside, inside, k=0.02), foot)


def sofa(j: Jitter) -> Field:
    """A two-seat sofa with arms and cushions, facing +Z."""
    wide, deep, high = j(0.85, 1.0), j(0.42, 0.5), j(0.3, 0.45)
    arm = j(0.1, 0.15)
    base = box((0.0, -0.25, 0.0), (wide, 0.13, deep), 0.04)
    back = box((0.0, -0.1 + 0.5 * high, -deep + 0.14), (wide, 0.28 + 0.5 * high, 0.14), 0.1)
    arms = mirrored(box((wide - arm, -0.08, 0.0), (arm, 0.3, deep), 0.09))
    inner = wide - 2.0 * arm
    seats = mirrored(box((0.5 * inner, -0.06, 0.08), (0.5 * inner - 0.012, 0.11, deep - 0.07), 0.06))
    pads = mirrored(box((0.5 * inner, 0.24, -deep + 0.32), (0.5 * inner - 0.02, 0.2, 0.1), 0.08))
    legs = [rod((a * (wide - 0.1), -0.3, b * (deep - 0.1)), (a * (wide - 0.1), -0.48, b * (deep - 0.1)), 0.05)
            for a in (-1, 1) for b in (-1, 1)]
    return union(base, blend(0.03, back, arms), seats, pads, *legs)


SHAPES = {"chair": solid(chair), "table": solid(table), "lamp": solid(lamp), "sofa": solid(sofa)}
