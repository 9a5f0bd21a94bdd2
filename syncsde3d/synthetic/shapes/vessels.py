"""Vessels: vase, mug, teapot, bottle, bowl, goblet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from syncsde3d.synthetic.shapes.curves import cut_corners, through
from syncsde3d.synthetic.shapes.fields import (
    Field,
    ball,
    blend,
    cone,
    cut,
    cylinder,
    ellipsoid,
    revolve,
    rod,
    torus,
    tube,
)
from syncsde3d.synthetic.shapes.lathe import vessel
from syncsde3d.synthetic.shapes.solid import Jitter, lathed, solid

if TYPE_CHECKING:
    from jaxtyping import Float


def vase(j: Jitter) -> Float[np.ndarray, "k 2"]:
    """A hollow vase: foot, belly, neck and flared lip."""
    foot, belly, neck, lip = j(0.2, 0.32), j(0.4, 0.62), j(0.13, 0.22), j(0.25, 0.38)
    widest, narrow = j(-0.35, 0.2), j(0.5, 0.68)
    keys = [
        (-1.0, foot),
        (-0.95, 0.97 * foot),
        (widest, belly),
        (narrow, neck),
        (0.93, lip),
        (1.0, 1.06 * lip),
    ]
    return vessel(keys, wall=0.06, floor=0.1, samples=44)


def mug(j: Jitter) -> Field:
    """A mug with its handle towards +X."""
    wide, tall, flare = j(0.45, 0.6), j(0.5, 0.72), j(0.88, 1.14)
    outside = revolve([(-tall, wide), (tall, flare * wide)], 0.05)
    inside = revolve([(0.12 - tall, 0.82 * wide), (tall + 0.3, flare * wide - 0.08)], 0.08)
    reach, h = j(0.36, 0.5), j(0.5, 0.7) * tall
    path = [(0.9 * wide, h), (wide + 0.7 * reach, 0.95 * h), (wide + reach, 0.1 * h)]
    path += [(wide + 0.65 * reach, -0.7 * h), (0.9 * wide, -h)]
    handle = tube([(x, y, 0.0) for x, y in path], j(0.065, 0.09), 14)
    return cut(blend(0.05, outside, handle), inside, k=0.05)


def teapot(j: Jitter) -> Field:
    """A round teapot: spout to +X, handle to -X, a lid with a knob."""
    wide, tall, lift, h = j(0.48, 0.6), j(0.38, 0.54), j(0.15, 0.36), j(0.16, 0.26)
    foot = cylinder((0.0, -0.1 - 0.93 * tall, 0.0), 0.6 * wide, 0.06, 0.03)
    body = blend(0.04, ellipsoid((0.0, -0.1, 0.0), (wide, tall, wide)), foot)
    top = tall - 0.1
    lid = blend(
        0.05,
        ellipsoid((0.0, top - 0.06, 0.0), (0.55 * wide, 0.14, 0.55 * wide)),
        torus((0.0, top - 0.09, 0.0), 0.56 * wide, 0.04),
        rod((0.0, top, 0.0), (0.0, top + 0.1, 0.0), 0.05),
        ball((0.0, top + 0.15, 0.0), j(0.075, 0.1)),
    )
    path = [(0.75 * wide, -0.28), (wide + 0.16, -0.12), (wide + 0.27, 0.5 * lift - 0.03), (wide + 0.42, lift)]
    spout = tube([(x, y, 0.0) for x, y in path], [0.17, 0.13, 0.095, 0.085], 20)
    bore = cone((wide + 0.36, 0.7 * lift, 0.0), (wide + 0.52, lift + 0.14, 0.0), 0.035, 0.055)
    loop = [
        (0.8 * wide, h),
        (wide + 0.22, h + 0.06),
        (wide + 0.38, -0.08),
        (wide + 0.2, -0.36),
        (0.8 * wide, -0.36),
    ]
    handle = tube([(-x, y, 0.0) for x, y in loop], 0.062, 14)
    return blend(0.02, cut(blend(0.06, spout, handle, body), bore, k=0.02), lid)


def bottle(j: Jitter) -> Float[np.ndarray, "k 2"]:
    """A bottle with shoulders, a long neck and a stopper."""
    wide, neck, shoulder, throat = j(0.22, 0.4), j(0.09, 0.12), j(-0.15, 0.25), j(0.42, 0.6)
    keys = [(-1.0, 0.94 * wide), (-0.97, wide), (shoulder - 0.2, wide), (shoulder, 0.96 * wide)]
    y = np.linspace(-1.0, 0.78, 56)
    side = np.stack((through([*keys, (throat, neck), (0.78, neck)], y), y), axis=1)
    ring = [(1.45 * neck, 0.79), (1.5 * neck, 0.82), (1.45 * neck, 0.85), (neck, 0.86)]
    cork = [(0.95 * neck, 0.96), (0.85 * neck, 1.0), (0.4 * neck, 1.01), (0.0, 1.01)]
    return np.concatenate(([(0.0, -1.0), (0.4 * wide, -1.0), (0.8 * wide, -1.0)], side, ring, cork))


def bowl(j: Jitter) -> Float[np.ndarray, "k 2"]:
    """A bowl on a foot ring."""
    foot, deep, belly = j(0.3, 0.45), j(0.55, 0.85), j(0.74, 0.86)
    keys = [(0.0, foot), (0.07, 0.97 * foot), (0.11, foot + 0.1), (0.35 * deep + 0.05, belly), (deep, 1.0)]
    return vessel(keys, wall=0.07, floor=0.14, samples=40)


def goblet(j: Jitter) -> Float[np.ndarray, "k 2"]:
    """A stemmed cup."""
    foot, stem, cup, lip, waist = j(0.34, 0.5), j(0.06, 0.09), j(0.38, 0.54), j(0.3, 0.5), j(-0.15, 0.2)
    outer = [
        (0.0, -1.0),
        (0.5 * foot, -1.0),
        (foot, -1.0),
        (foot, -0.96),
        (0.7 * foot, -0.9),
        (1.6 * stem, -0.8),
    ]
    outer += [(stem, -0.6), (stem, waist - 0.25), (1.5 * stem, waist - 0.1), (0.7 * cup, waist + 0.08)]
    outer += [(0.98 * cup, waist + 0.32), (cup, waist + 0.5), (lip, 1.0)]
    inner = [(lip - 0.03, 1.015), (lip - 0.06, 1.0), (cup - 0.07, waist + 0.5), (cup - 0.1, waist + 0.32)]
    inner += [(0.6 * cup, waist + 0.14), (0.25 * cup, waist + 0.06), (0.0, waist + 0.05)]
    return cut_corners(outer + inner)


SHAPES = {
    "vase": lathed(vase),
    "mug": solid(mug, 0.036),
    "teapot": solid(teapot, 0.026),
    "bottle": lathed(bottle),
    "bowl": lathed(bowl),
    "goblet": lathed(goblet),
}
