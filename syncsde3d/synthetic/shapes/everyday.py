"""Vessels and small things of the house: vase, mug, teapot, bottle, bowl, goblet, guitar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
    plate,
    revolve,
    rod,
    torus,
    tube,
    union,
)
from syncsde3d.synthetic.shapes.lathe import vessel
from syncsde3d.synthetic.shapes.solid import Jitter, lathed, solid

if TYPE_CHECKING:
    from jaxtyping import Float


def vase(j: Jitter) -> Float[np.ndarray, "k 2"]:
    """A hollow vase: foot, belly, neck and flared lip."""
    foot, belly, neck, lip = j(0.2, 0.3), j(0.4, 0.6), j(0.13, 0.22), j(0.25, 0.38)
    widest, narrow = j(-0.35, 0.15), j(0.5, 0.68)
    keys = [(-1.0, foot), (-0.95, 0.97 * foot), (widest, belly), (narrow, neck), (0.93, lip), (1.0, 1.06 * lip)]
    return vessel(keys, wall=0.06, floor=0.1, samples=56)


def mug(j: Jitter) -> Field:
    """A mug with its handle towards +X."""
    wide, tall, flare = j(0.5, 0.6), j(0.55, 0.72), j(0.9, 1.1)
    outside = revolve([(-tall, wide), (tall, flare * wide)], 0.05)
    inside = revolve([(0.12 - tall, 0.82 * wide), (tall + 0.3, flare * wide - 0.09)], 0.08)
    reach, h = j(0.36, 0.48), j(0.5, 0.65) * tall
    handle = tube(
        [
            (0.9 * wide, h, 0.0),
            (wide + 0.7 * reach, 0.95 * h, 0.0),
            (wide + reach, 0.1 * h, 0.0),
            (wide + 0.65 * reach, -0.7 * h, 0.0),
            (0.9 * wide, -h, 0.0),
        ],
        j(0.065, 0.085),
        14,
    )
    return cut(blend(0.05, outside, handle), inside, k=0.05)


def teapot(j: Jitter) -> Field:
    """A round teapot: spout to +X, handle to -X, a lid with a knob."""
    wide, tall = j(0.5, 0.58), j(0.4, 0.52)
    body = blend(
        0.04,
        ellipsoid((0.0, -0.1, 0.0), (wide, tall, wide)),
        cylinder((0.0, -0.1 - 0.93 * tall, 0.0), 0.6 * wide, 0.06, 0.03),
    )
    top = tall - 0.1
    lid = blend(
        0.05,
        ellipsoid((0.0, top - 0.06, 0.0), (0.55 * wide, 0.14, 0.55 * wide)),
        torus((0.0, top - 0.09, 0.0), 0.56 * wide, 0.035),
        rod((0.0, top, 0.0), (0.0, top + 0.1, 0.0), 0.05),
        ball((0.0, top + 0.15, 0.0), j(0.075, 0.1)),
    )
    lift = j(0.2, 0.36)
    spout = tube(
        [
            (0.75 * wide, -0.28, 0.0),
            (wide + 0.16, -0.12, 0.0),
            (wide + 0.27, 0.12, 0.0),
            (wide + 0.42, lift, 0.0),
        ],
        [0.17, 0.13, 0.085, 0.075],
        12,
    )
    bore = cone((wide + 0.27, lift - 0.2, 0.0), (wide + 0.5, lift + 0.12, 0.0), 0.03, 0.05)
    h = j(0.2, 0.28)
    handle = tube(
        [
            (-0.8 * wide, h, 0.0),
            (-wide - 0.22, h + 0.06, 0.0),
            (-wide - 0.38, -0.08, 0.0),
            (-wide - 0.2, -0.36, 0.0),
            (-0.8 * wide, -0.36, 0.0),
        ],
        0.06,
        14,
    )
    return union(blend(0.06, cut(spout, bore, k=0.02), handle, body), lid)


def bottle(j: Jitter) -> Float[np.ndarray, "k 2"]:
    """A bottle with shoulders, a long neck and a stopper."""
    wide, neck = j(0.24, 0.36), j(0.09, 0.12)
    shoulder, throat = j(0.0, 0.25), j(0.42, 0.6)
    keys = [(-1.0, 0.94 * wide), (-0.97, wide), (shoulder - 0.25, wide), (shoulder, 0.97 * wide)]
    keys += [(throat, neck), (0.78, neck)]
    from scipy.interpolate import PchipInterpolator

    table = np.asarray(keys)
    y = np.linspace(-1.0, 0.78, 60)
    body = np.stack((PchipInterpolator(table[:, 0], table[:, 1])(y), y), axis=1)
    ring = [(1.45 * neck, 0.79), (1.5 * neck, 0.82), (1.45 * neck, 0.85), (1.0 * neck, 0.86)]
    cork = [(0.95 * neck, 0.96), (0.85 * neck, 1.0), (0.4 * neck, 1.01)]
    return np.concatenate(
        ([(0.0, -1.0), (0.4 * wide, -1.0), (0.8 * wide, -1.0)], body, ring, cork, [(0.0, 1.01)])
    )


def bowl(j: Jitter) -> Float[np.ndarray, "k 2"]:
    """A wide bowl on a foot ring."""
    foot, deep = j(0.3, 0.45), j(0.5, 0.7)
    keys = [(0.0, foot), (0.06, 0.97 * foot), (0.1, foot + 0.1), (0.3 * deep + 0.05, 0.8), (deep, j(0.95, 1.05))]
    return vessel(keys, wall=0.07, floor=0.14, samples=40)


def goblet(j: Jitter) -> Float[np.ndarray, "k 2"]:
    """A stemmed cup."""
    foot, stem, cup, lip = j(0.38, 0.5), j(0.06, 0.09), j(0.4, 0.52), j(0.34, 0.46)
    waist = j(-0.1, 0.2)
    outer = [(foot, -1.0), (foot, -0.96), (0.7 * foot, -0.9), (1.6 * stem, -0.8), (stem, -0.6)]
    outer += [(stem, waist - 0.25), (1.5 * stem, waist - 0.1), (0.7 * cup, waist + 0.08)]
    outer += [(0.98 * cup, waist + 0.32), (cup, waist + 0.5), (lip, 1.0)]
    inner = [(lip - 0.03, 1.015), (lip - 0.06, 1.0), (cup - 0.07, waist + 0.5), (cup - 0.1, waist + 0.32)]
    inner += [(0.6 * cup, waist + 0.14), (0.25 * cup, waist + 0.06)]
    return _subdivide(np.array([(0.0, -1.0), (0.5 * foot, -1.0), *outer, *inner, (0.0, waist + 0.05)]))


def _subdivide(points: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Corner cutting (Chaikin) that keeps both ends."""
    for _ in range(rounds):
        a, b = points[:-1], points[1:]
        middle = np.stack((0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b), axis=1).reshape(-1, 2)
        points = np.concatenate((points[:1], middle[1:-1], points[-1:]))
    return points


def guitar(j: Jitter) -> Field:
    """An acoustic guitar, standing, its sound hole towards +Z."""
    lower, waist, upper = j(0.4, 0.47), j(0.24, 0.28), j(0.29, 0.34)
    key_y = np.array([-1.0, -0.97, -0.8, -0.62, -0.4, -0.25, -0.08, 0.08, 0.16, 0.18])
    key_x = np.array([0.12, 0.25, 0.9 * lower, lower, 0.8 * lower, waist, 0.95 * upper, 0.85 * upper, 0.4 * upper, 0.1])
    from scipy.interpolate import PchipInterpolator

    y = -1.0 + 1.18 * 0.5 * (1.0 - np.cos(np.linspace(0.0, np.pi, 15)))
    x = PchipInterpolator(key_y, key_x)(y)
    outline = [*zip(x, y, strict=True), *zip(-x[::-1], y[::-1], strict=True)]
    body = plate(outline, "z", j(0.11, 0.15), 0.03)
    hole = cylinder((0.0, -0.18, 0.2), 0.12, 0.16, 0.01, "z")
    rose = torus((0.0, -0.18, 0.14), 0.145, 0.025, "z")
    neck = box((0.0, 0.45, 0.1), (0.065, 0.6, 0.05), 0.03)
    head = box((0.0, 1.1, 0.08), (0.11, 0.15, 0.045), 0.03)
    pegs = [ball((s * 0.13, y, 0.08), 0.042) for s in (-1, 1) for y in (1.02, 1.11, 1.2)]
    bridge = box((0.0, -0.62, 0.15), (0.17, 0.035, 0.05), 0.02)
    return union(cut(body, hole), rose, neck, head, bridge, *pegs)


SHAPES = {
    "vase": lathed(vase),
    "mug": solid(mug),
    "teapot": solid(teapot),
    "bottle": lathed(bottle),
    "bowl": lathed(bowl),
    "goblet": lathed(goblet),
    "guitar": solid(guitar, 0.024),
}
_ = common
