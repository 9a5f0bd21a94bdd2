"""Procedural solid materials times named colours: albedo from object-space position and normal.

Each material keeps its colour word dominant, is coarse (periods of 0.22 to 0.95 units, 13 pixels and more
for a unit sphere seen at 128 pixels; only seams and threads are finer), and is meant to be told from every
other one by a person, by its pattern as by its second colour: sandy mortar, brown grain, orange thread, grass
green. Regular patterns lie on one lattice through the object's centre, the same from every side; irregular
ones come in two grains. A small model learns such a world several times faster than one where every object
has a pattern of its own size and place.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

from syncsde3d.synthetic.patterns import Array, cell_value, cells, frac, project, ridge, step, waves

#: Colour word -> hue (degrees), saturation, value.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0, 0.90, 0.82),
    "orange": (27, 0.92, 0.98),
    "yellow": (53, 0.88, 0.97),
    "green": (122, 0.78, 0.62),
    "cyan": (184, 0.80, 0.86),
    "blue": (222, 0.85, 0.80),
    "purple": (276, 0.72, 0.66),
    "pink": (334, 0.46, 0.98),
    "brown": (22, 0.68, 0.45),
    "white": (40, 0.02, 0.96),
    "gray": (210, 0.03, 0.53),
    "black": (220, 0.10, 0.10),
}
_JITTER = {"white": (20, 0.02, 0.03), "gray": (20, 0.03, 0.06), "black": (20, 0.05, 0.04)}

Painter = Callable[[Array, Array, Array, np.random.Generator], Array]

#: Number of grains that irregular materials come in.
GRAINS = 2


def base_colour(colour: str, rng: np.random.Generator | None = None) -> Array:
    """A shade of a colour word [3], RGB in [0, 1]; the central one without ``rng``."""
    if colour not in COLOURS:
        raise ValueError(f"colour: got {colour!r}, expected one of {', '.join(COLOURS)}")
    h, s, v = COLOURS[colour]
    if rng is not None:
        dh, ds, dv = _JITTER.get(colour, (5, 0.07, 0.06))
        h, s, v = h + rng.uniform(-dh, dh), s + rng.uniform(-ds, ds), v + rng.uniform(-dv, dv)
    rgb = colorsys.hsv_to_rgb((h / 360) % 1, float(np.clip(s, 0, 1)), float(np.clip(v, 0, 1)))
    return np.array(rgb, np.float32)


def luminance(rgb: Array) -> Array:
    """Relative brightness of RGB values [..., 3]."""
    return rgb @ np.array([0.3, 0.59, 0.11], np.float32)


def accent(base: Array) -> Array:
    """The second colour of a pattern [3]: near white, or dark on bright colours; a grey on greys."""
    y = float(luminance(base))
    if base.max() - base.min() < 0.12:
        level = 0.5 if y > 0.75 else 0.16 if y > 0.3 else 0.42
        return np.full(3, level, np.float32)
    return base * 0.32 if y > 0.72 else np.float32(0.12) * base + np.float32(0.84)


def against(base: Array, colour: tuple[float, float, float], otherwise: tuple[float, float, float]) -> Array:
    """A material's own second colour [3], or another where the base is too near to be told from it."""
    own = np.array(colour, np.float32)
    return own if np.abs(own - base).max() > 0.3 else np.array(otherwise, np.float32)


def shift(base: Array, amount: float) -> Array:
    """Darker by ``amount`` in [0, 1], or as much lighter where the colour is already dark."""
    if luminance(base) > 0.22:
        return base * np.float32(1 - amount)
    return base + (np.float32(0.75) - base) * np.float32(0.62 * amount)


def mix(a: Array, b: Array, t: Array) -> Array:
    """Colours [k, 3]: ``a`` where ``t`` [k] is 0, ``b`` where it is 1."""
    return a + (b - a) * t[:, None]


def _plain(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    return np.broadcast_to(base, p.shape)


def _striped(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    t = p[:, 1] / 0.4
    return mix(base, accent(base), step(ridge(t), 0.62, 0.12))


def _checkered(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    size = 0.57
    a, b = step(ridge(u / size), 0.55, 0.1), step(ridge(v / size), 0.55, 0.1)
    ink = accent(base) if base.max() - base.min() < 0.12 else np.full(3, 0.07, np.float32)
    return mix(base, ink, a + b - 2 * a * b)


def _polka(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    size = 0.42
    row = np.floor(v / size)
    du = frac(u / size + 0.5 * (row % 2)) - 0.5
    return mix(base, accent(base), step(-np.hypot(du, frac(v / size) - 0.5), -0.31, 0.08))


def _brick(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    height = 0.29
    row = np.floor(v / height)
    x = u / (1.8 * height) + 0.5 * (row % 2)
    tone = 0.86 + 0.22 * cell_value(np.floor(x), row)
    edge = np.minimum(ridge(v / height) * 0.5 * height, ridge(x) * 0.9 * height)
    return mix(
        base * tone[:, None], against(base, (0.87, 0.74, 0.47), (0.16, 0.14, 0.12)), step(-edge, -0.04, 0.02)
    )


def _wooden(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    x, z = p[:, 0] - 1.25, p[:, 2] - 1.25  # off the object, so that the grain runs upright
    warp = 0.35 * waves(p * np.array([1, 0.5, 1], np.float32), 0.8, rng)
    t = frac(np.hypot(x, z) / 0.245 + warp)
    return mix(
        base * 1.08, against(base, (0.34, 0.17, 0.06), (0.80, 0.58, 0.34)), np.clip(1.25 * t * t, 0, 1)
    )


def _marble(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    slope = np.array([0.6, 1.0, 0.5], np.float32)
    phase = p @ slope / 0.95 + 0.34 * waves(p, 0.9, rng) + 0.08 * waves(p, 0.4, rng)
    vein = np.clip(1.25 - np.abs(ridge(phase) - 0.5) / 0.16, 0, 1)
    cloud = np.clip(0.2 + 0.2 * waves(p, 0.6, rng, 5), 0, 0.6)
    return mix(mix(base, accent(base), cloud), accent(base), vein)


def _camouflage(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    a, b = waves(p, 0.52, rng), waves(p, 0.52, rng)
    y = luminance(base)
    out = mix(base, shift(base, 0.62 if y > 0.22 else 0.3), step(a, 0.42, 0.12))
    pale = base * 0.8 if y > 0.75 else base + (np.float32(0.8) - base) * (0.38 if y > 0.22 else 0.08)
    return mix(out, pale, step(b, 0.62, 0.12))


def _leather(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    size = 0.48
    a, b = ridge((u + v) / size / 1.4), ridge((u - v) / size / 1.4)
    pillow = np.minimum(a, b)
    button = step(-np.maximum(a, b), -0.2, 0.1)
    out = mix(shift(base, 0.75), base, np.clip(0.15 + 1.9 * pillow, 0, 1))
    out = mix(out, np.float32(0.5) * base + np.float32(0.5), np.clip(2.4 * pillow - 1.55, 0, 0.75))
    return mix(out, np.full(3, 0.06, np.float32), button)


def _denim(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    size = 0.71
    fade = np.clip(0.5 + 0.5 * waves(p, 0.7, rng), 0, 1)
    out = mix(base, np.float32(0.66) * base + np.float32(0.24), 0.75 * fade)
    thread = np.array([0.96, 0.68, 0.18], np.float32)
    for along, across in ((u, v), (v, u)):
        d = np.abs(frac(across / size) - 0.5) * size
        out = mix(out, shift(base, 0.7), step(-d, -0.03, 0.02))
        dash = step(ridge(along / 0.26), 0.4, 0.2)
        out = mix(out, thread, dash * step(-np.abs(d - 0.085), -0.028, 0.02))
    return out


def _knitted(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    size = 0.39
    column = ridge(u / size)
    t = frac(v / (0.72 * size) + 0.75 * column)
    gap = np.maximum(step(-ridge(t), -0.36, 0.2), step(-column, -0.12, 0.12))
    return mix(base * 1.1, against(base, (0.09, 0.10, 0.24), (0.93, 0.87, 0.70)), gap)


def _plaid(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    size = 0.63
    bands = step(ridge(u / size), 0.56, 0.08) + step(ridge(v / size), 0.56, 0.08)
    out = mix(base, shift(base, 0.66), 0.5 * bands)
    line = np.maximum(step(-ridge(u / size), -0.13, 0.07), step(-ridge(v / size), -0.13, 0.07))
    return mix(out, accent(base), line)


def _rusty(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    a = waves(p, 0.55, rng) + 0.45 * waves(p, 0.22, rng)
    rust = np.array([0.62, 0.27, 0.07], np.float32) * (1 + 0.22 * waves(p, 0.25, rng, 5))[:, None]
    out = mix(base, np.array([0.20, 0.09, 0.04], np.float32), step(a, 0.42, 0.12))
    return out + (rust - out) * step(a, 0.70, 0.15)[:, None]


def _stone(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    size = 0.46
    border, value = cells(u / size, v / size, 0)
    grey = np.float32(0.86) * base + np.float32(0.14 * luminance(base))
    out = grey * (0.72 + 0.42 * value)[:, None]
    out = out * (0.8 + 0.35 * np.clip(border * 1.6, 0, 0.7))[:, None]
    gap = np.full(3, 0.08 if luminance(base) > 0.72 else 0.62, np.float32)
    return mix(out, gap, step(-border, -0.16, 0.08))


def _grassy(p: Array, n: Array, base: Array, rng: np.random.Generator) -> Array:
    u, v = project(p, n)
    size = 0.39
    v = v / size + 0.10 * waves(p, 0.5, rng, 5)
    u = u / (0.62 * size) + 0.10 * waves(p, 0.5, rng, 5)
    row, t = np.floor(v), frac(v)
    blade = ridge(u + 0.5 * (row % 2) + 0.3 * cell_value(row, row)) * 1.15
    tip = against(base, (0.36, 0.74, 0.16), (0.80, 0.93, 0.30))
    return mix(base * 0.66, mix(base, tip, np.clip(1.9 * t - 0.3, 0, 1)), step(blade - t, 0.0, 0.2))


#: Material word, as captions use it -> painter(p, n, base, grain) giving RGB [k, 3].
MATERIALS: dict[str, Painter] = {
    "plain": _plain,
    "striped": _striped,
    "checkered": _checkered,
    "polka dot": _polka,
    "brick": _brick,
    "wooden": _wooden,
    "marble": _marble,
    "camouflage": _camouflage,
    "leather": _leather,
    "denim": _denim,
    "knitted": _knitted,
    "plaid": _plaid,
    "rusty": _rusty,
    "stone": _stone,
    "grassy": _grassy,
}


def paint(material: str, colour: str, p: Array, n: Array, seed: int | np.random.Generator) -> Array:
    """Albedo [k, 3] in [0, 1] of a surface.

    p: object-space positions [k, 3] in the unit sphere. n: unit normals [k, 3]. seed: chooses the shade of
    the colour and the grain of irregular materials; equal seeds paint the same on any view.
    Raises ValueError for an unknown material or colour.
    """
    if material not in MATERIALS:
        raise ValueError(f"material: got {material!r}, expected one of {', '.join(MATERIALS)}")
    rng = np.random.default_rng(seed)
    base = base_colour(colour, rng)
    grain = np.random.default_rng([7, int(rng.integers(GRAINS))])
    rgb = MATERIALS[material](p.astype(np.float32), n.astype(np.float32), base, grain)
    return np.clip(rgb, 0, 1).astype(np.float32)


def shade(albedo: Array, n: Array, facing: Array) -> Array:
    """Light from above and a little fall-off towards the silhouette.

    n: unit normals [k, 3]. facing: cosine between normal and view direction [k].
    """
    return albedo * (0.80 + 0.13 * n[:, 1] + 0.12 * np.clip(facing, 0, 1))[:, None]
