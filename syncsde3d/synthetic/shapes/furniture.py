"""Furniture: chair, table, lamp, sofa."""

from __future__ import annotations

from itertools import product

from syncsde3d.synthetic.shapes.fields import (
    Field,
    blend,
    box,
    cone,
    cut,
    cylinder,
    mirrored,
    revolve,
    rod,
    union,
)
from syncsde3d.synthetic.shapes.solid import Jitter, solid


def chair(j: Jitter) -> Field:
    """A chair with four legs and a solid or barred back; the sitter looks to +Z."""
    wide, deep, seat, back = j(0.38, 0.52), j(0.4, 0.5), j(-0.15, 0.0), j(0.7, 1.05)
    leg, lean = j(0.045, 0.065), j(0.06, 0.16)
    x, z = wide - leg - 0.01, deep - leg - 0.01
    legs = [cone((s * x, seat, z), (s * (x + 0.04), -0.95, z + 0.04), leg, 0.8 * leg) for s in (-1, 1)]
    legs += [cone((s * x, seat, -z), (s * (x + 0.04), -0.95, -z - 0.06), leg, 0.8 * leg) for s in (-1, 1)]
    posts = [rod((s * x, seat, -z), (s * x, back - 0.06, -z - lean), leg) for s in (-1, 1)]
    if j.maybe():
        slopes = [(t, seat + t * (back - 0.06 - seat), -z - t * lean) for t in (0.45, 0.7, 0.95)]
        rest = union(*(rod((-x, y, d), (x, y, d), (1.3 if t > 0.9 else 0.9) * leg) for t, y, d in slopes))
    else:
        middle = 0.5 * (back + seat) + 0.14
        rest = box((0.0, middle, -z - 0.6 * lean), (x + 0.03, 0.5 * (back - seat) - 0.14, 0.05), 0.04)
    return union(box((0.0, seat, 0.0), (wide, 0.06, deep), 0.04), rest, *legs, *posts)


def table(j: Jitter) -> Field:
    """A table: a rectangular or round top on four legs."""
    wide, deep, top, leg = j(0.75, 1.0), j(0.5, 0.8), j(0.25, 0.6), j(0.055, 0.085)
    if j.maybe(0.35):
        board = cylinder((0.0, top, 0.0), wide, 0.06, 0.03)
        x = z = 0.58 * wide
    else:
        board = box((0.0, top, 0.0), (wide, 0.06, deep), 0.03)
        x, z = wide - leg - 0.06, deep - leg - 0.06
    corners = [(a * x, b * z) for a, b in product((-1, 1), repeat=2)]
    legs = [cone((a, top, b), (a, -0.55, b), leg, 0.75 * leg) for a, b in corners]
    hollow = box((0.0, top - 0.14, 0.0), (x - 0.08, 0.2, z - 0.08), 0.01)
    return union(board, cut(box((0.0, top - 0.12, 0.0), (x, 0.1, z), 0.01), hollow), *legs)


def lamp(j: Jitter) -> Field:
    """A table lamp: a turned foot and a conical shade, closed on top."""
    low, high, tall, belly = j(0.46, 0.64), j(0.2, 0.36), j(0.45, 0.7), j(0.14, 0.3)
    rim, round_at = 1.0 - tall, j(-0.6, -0.4)
    outside = revolve([(rim, low), (1.0, high)], 0.03)
    inside = revolve([(rim - 0.2, low - 0.02), (rim, low - 0.08), (0.92, high - 0.06)], 0.03)
    keys = [
        (-1.0, 0.36),
        (-0.93, 0.34),
        (-0.86, 0.12),
        (round_at, belly),
        (round_at + 0.42, 0.08),
        (0.96, 0.06),
    ]
    return union(cut(outside, inside, k=0.02), revolve(keys))


def sofa(j: Jitter) -> Field:
    """A two-seat sofa with arms and cushions, facing +Z."""
    wide, deep, high, arm = j(0.75, 1.0), j(0.4, 0.5), j(0.25, 0.5), j(0.1, 0.15)
    base = box((0.0, -0.25, 0.0), (wide, 0.13, deep), 0.04)
    back = box((0.0, -0.1 + 0.5 * high, -deep + 0.14), (wide - 0.02, 0.28 + 0.5 * high, 0.14), 0.1)
    arms = mirrored(box((wide - arm, -0.08, 0.02), (arm, 0.3, deep), 0.09))
    inner = wide - 2.0 * arm
    seats = mirrored(box((0.5 * inner, -0.06, 0.08), (0.5 * inner - 0.012, 0.11, deep - 0.07), 0.06))
    pads = mirrored(box((0.5 * inner, 0.24, -deep + 0.32), (0.5 * inner - 0.02, 0.2, 0.1), 0.08))
    spots = [(a * (wide - 0.1), b * (deep - 0.1)) for a, b in product((-1, 1), repeat=2)]
    legs = [rod((a, -0.3, b), (a, -0.48, b), 0.05) for a, b in spots]
    return union(blend(0.03, base, back, arms), seats, pads, *legs)


SHAPES = {
    "chair": solid(chair),
    "table": solid(table, 0.031),
    "lamp": solid(lamp, 0.029),
    "sofa": solid(sofa, 0.031),
}
