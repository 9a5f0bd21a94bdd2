"""Procedural landscapes at three times of day, as panoramas of any width."""

from __future__ import annotations

import numpy as np

from syncsde3d.synthetic.patterns import Array

SCENES: tuple[str, ...] = ("mountains", "forest", "sea", "desert", "city", "snow")
TIMES: tuple[str, ...] = ("day", "sunset", "night")

#: Time of day -> sky at the top, sky at the horizon, tint of the land, all RGB.
_SKY: dict[str, tuple[tuple[float, ...], ...]] = {
    "day": ((0.30, 0.56, 0.92), (0.78, 0.90, 0.99), (1.0, 1.0, 1.0)),
    "sunset": ((0.42, 0.20, 0.48), (1.0, 0.55, 0.20), (0.82, 0.52, 0.44)),
    "night": ((0.02, 0.03, 0.10), (0.08, 0.12, 0.27), (0.30, 0.34, 0.52)),
}


def skyline(width: int, rough: float, period: float, rng: np.random.Generator) -> Array:
    """A smooth random height per column [width], about zero mean and unit size; ``period`` in columns."""
    x = np.arange(width)
    out = np.zeros(width)
    for octave in range(5):
        length = period / 2**octave
        wave = sum(
            np.sin(2 * np.pi * x / (length * rng.uniform(0.7, 1.4)) + rng.uniform(0, 6.3)) for _ in range(3)
        )
        out += wave * rough**octave / 1.7
    return out


def panorama(kind: str, time: str, width: int, seed: int | np.random.Generator, height: int = 128) -> Array:
    """A landscape [height, width, 3], RGB in [0, 1].

    kind: one of SCENES. time: one of TIMES. Equal seeds give equal pictures. Raises ValueError otherwise.
    """
    if kind not in SCENES or time not in TIMES:
        raise ValueError(f"kind, time: got {kind!r}, {time!r}, expected one of {SCENES} and one of {TIMES}")
    rng = np.random.default_rng(seed)
    top, low, tint = (np.array(c, np.float32) for c in _SKY[time])
    horizon = height * rng.uniform(0.50, 0.62)
    y = np.arange(height, dtype=np.float32)[:, None, None]
    image = top + (low - top) * np.clip(y / horizon, 0, 1) ** 1.3
    image = np.repeat(image, width, 1)
    _heaven(image, time, horizon, rng)
    _LAND[kind](image, tint, low, horizon, rng)
    return np.clip(image, 0, 1).astype(np.float32)


def _heaven(image: Array, time: str, horizon: float, rng: np.random.Generator) -> None:
    """Sun, moon, stars and clouds, painted in place."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if time == "night":
        for _ in range(width * height // 500):
            sx, sy = rng.integers(0, width - 1), rng.integers(0, int(horizon))
            image[sy : sy + 2, sx : sx + 2] = rng.uniform(0.55, 1.0)
    for _ in range(max(1, width // 320)):
        cx = rng.uniform(0, width)
        if time == "sunset":
            cy, radius, colour = horizon - rng.uniform(2, 14), rng.uniform(12, 16), (1.0, 0.92, 0.45)
        else:
            cy, radius = rng.uniform(14, 30), rng.uniform(8, 11)
            colour = (1.0, 0.97, 0.70) if time == "day" else (0.95, 0.95, 0.88)
        disc = np.clip(radius - np.hypot(x - cx, y - cy), 0, 1)[..., None]
        image += (np.array(colour, np.float32) - image) * disc
    if time == "day":
        for _ in range(width // 70):
            cx, cy = rng.uniform(0, width), rng.uniform(10, 0.7 * horizon)
            puff = np.zeros_like(x)
            for _ in range(4):
                px, py = cx + rng.uniform(-16, 16), cy + rng.uniform(-3, 3)
                puff = np.maximum(puff, 1 - np.hypot((x - px) / 14, (y - py) / 6))
            image += (1.0 - image) * np.clip(puff * 3, 0, 0.9)[..., None]


def _fill(image: Array, top: Array, colour: Array, fade: float = 0.15) -> None:
    """Everything below the row ``top`` [width] takes ``colour``, a little darker further down, in place."""
    y = np.arange(image.shape[0], dtype=np.float32)[:, None]
    cover = np.clip(y - top[None], 0, 1)[..., None]
    depth = np.clip((y - top[None]) / 60, 0, 1)[..., None]
    image += (colour * (1 - fade * depth) - image) * cover.astype(np.float32)


def _mountains(image: Array, tint: Array, haze: Array, horizon: float, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    y = np.arange(height, dtype=np.float32)[:, None]
    for layer, lift in enumerate((24, 8, -14)):
        ridge = np.abs(skyline(width, 0.5, 150 - 20 * layer, rng))
        top = horizon - lift + 20 - 26 * ridge.clip(0, 2)
        rock = np.array([0.40, 0.38, 0.42], np.float32) * (1 - 0.18 * layer)
        colour = (rock * tint) * (0.62 + 0.19 * layer) + haze * (0.38 - 0.19 * layer)
        _fill(image, top, colour, 0.35)
        if layer < 2:
            cap = np.clip(y - top[None], 0, 1) * np.clip(
                11 - 7 * layer + 3 * skyline(width, 0.6, 24, rng)[None] - (y - top), 0, 1
            )
            image += (np.array([0.97, 0.97, 1.0], np.float32) * tint - image) * (cap * (top < horizon - 16))[
                ..., None
            ]
    _fill(
        image,
        horizon + 28 + 4 * skyline(width, 0.5, 120, rng),
        np.array([0.30, 0.50, 0.22], np.float32) * tint,
    )


def _forest(image: Array, tint: Array, haze: Array, horizon: float, rng: np.random.Generator) -> None:
    width = image.shape[1]
    x = np.arange(width)
    for layer in range(4):
        base = horizon + 2 + 14 * layer
        top = np.full(width, base + 12.0)
        size = 13 + 7 * layer
        for centre in np.arange(rng.uniform(0, size), width + size, size * 0.75):
            tall = size * rng.uniform(1.5, 2.3)
            tree = base - tall + np.abs(x - centre - rng.uniform(-3, 3)) * tall / (0.55 * size)
            top = np.minimum(top, tree)
        green = np.array([0.16, 0.50 - 0.08 * layer, 0.20 - 0.03 * layer], np.float32)
        _fill(image, top, green * tint * (0.75 + 0.08 * layer) + haze * (0.22 - 0.07 * layer), 0.5)


def _sea(image: Array, tint: Array, haze: Array, horizon: float, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    water = np.array([0.04, 0.36, 0.62], np.float32) * tint
    _fill(image, np.full(width, horizon), 0.75 * water + 0.25 * haze, 0.3)
    d = np.clip(y - horizon, 0, None)
    swell = np.sin(d**0.75 * 1.5 + 0.9 * np.sin(x / rng.uniform(9, 16) + d * 0.09 + rng.uniform(0, 6)))
    crest = np.clip(2.5 * swell - 1.4, 0, 1) * (d > 2) * np.clip(d / 18, 0.25, 0.8)
    image += ((0.45 + 0.55 * haze) - image) * crest[..., None]


def _desert(image: Array, tint: Array, haze: Array, horizon: float, rng: np.random.Generator) -> None:
    width = image.shape[1]
    for layer in range(4):
        top = horizon + 15 * layer - 4 + (5 + 2 * layer) * skyline(width, 0.32, 170, rng)
        sand = np.array([0.93, 0.74, 0.42], np.float32) * (1 - 0.11 * layer)
        _fill(image, top, sand * tint, 0.5)
    y = int(horizon)
    for _ in range(width // 90):
        cx, cy, tall = rng.integers(4, width - 8), y + rng.integers(22, 45), rng.integers(18, 30)
        green = np.array([0.16, 0.42, 0.18], np.float32) * tint
        image[cy - tall : cy, cx : cx + 4] = green
        for side, low in ((-6, rng.integers(5, 9)), (6, rng.integers(7, 12))):
            left = min(cx + 2, cx + 2 + side)
            image[cy - low - 3 : cy - low, max(left, 0) : left + 6] = green
            arm = max(cx + 2 + side, 0)
            image[cy - low - 9 : cy - low, arm : arm + 3] = green


def _city(image: Array, tint: Array, haze: Array, horizon: float, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    night = float(tint.mean()) < 0.5
    for layer in range(2):
        left = -int(rng.integers(0, 12))
        while left < width:
            wide, tall = int(rng.integers(15, 27)), int(rng.integers(26, 70)) - 12 * layer
            top = max(int(horizon) + 22 + 6 * layer - tall, 6)
            tone = rng.uniform(0.38, 0.68) * np.array([1.0, rng.uniform(0.92, 1.0), rng.uniform(0.86, 1.08)])
            a, b = max(left, 0), min(left + wide, width)
            image[top:, a:b] = tone * tint * (0.72 + 0.28 * layer) + haze * (0.22 * (1 - layer))
            for wy in range(top + 4, height - 30, 8):
                for wx in range(left + 3, left + wide - 4, 7):
                    lit = rng.uniform() < (0.7 if night else 0.15)
                    window = (1.0, 0.86, 0.42) if lit else tuple(0.28 * tint + 0.02)
                    image[wy : wy + 4, max(wx, 0) : max(wx + 4, 0)] = window
            left += wide + int(rng.integers(0, 5))
    _fill(image, np.full(width, height - 22.0), np.array([0.34, 0.34, 0.36], np.float32) * tint, 0.2)
    y = height - 11
    for x in range(0, width, 26):
        image[y : y + 3, x : x + 13] = np.array([0.95, 0.93, 0.80]) * np.maximum(tint, 0.4)


def _snow(image: Array, tint: Array, haze: Array, horizon: float, rng: np.random.Generator) -> None:
    width = image.shape[1]
    x = np.arange(width)
    white = np.array([0.96, 0.97, 1.0], np.float32)
    lift = np.maximum(tint, 0.38)  # snow is pale even by night
    for layer in range(3):
        top = horizon + 16 * layer + (4 + 2 * layer) * skyline(width, 0.35, 150, rng)
        _fill(image, top, white * lift * (0.86 + 0.07 * layer), 0.12)
        for centre in np.arange(rng.uniform(0, 50), width, rng.uniform(38, 60)):
            centre += rng.uniform(-12, 12)
            foot = float(top[int(np.clip(centre, 0, width - 1))]) + 6
            size, tall = 8 + 3 * layer, (8 + 3 * layer) * rng.uniform(1.9, 2.4)
            rows = np.arange(image.shape[0], dtype=np.float32)[:, None]
            inside = (np.abs(x[None] - centre) < (rows - foot + tall) * 0.45 * size / tall * 2) & (
                rows < foot
            )
            capped = inside & (np.abs(x[None] - centre) < (rows - foot + tall) * 0.32 * size / tall * 2 - 1)
            image[inside] = np.array([0.10, 0.26, 0.20], np.float32) * lift
            image[capped & (((rows - foot + tall) % 9) < 4.5)] = white * lift


_LAND = {
    "mountains": _mountains,
    "forest": _forest,
    "sea": _sea,
    "desert": _desert,
    "city": _city,
    "snow": _snow,
}
