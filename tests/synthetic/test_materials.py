"""Materials: colour words hold, views agree, patterns are coarse, equal seeds paint equal surfaces."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from syncsde3d.synthetic.materials import COLOURS, GRAINS, MATERIALS, base_colour, luminance, paint

PAIRS = [(m, c) for m in MATERIALS for c in COLOURS]


def sphere(count: int = 4000, radius: float = 0.85) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spread points of a sphere (Fibonacci lattice) and their normals."""
    i = np.arange(count) + 0.5
    y, turn = 1 - 2 * i / count, np.pi * (1 + 5**0.5) * i
    n = np.stack((np.sqrt(1 - y * y) * np.cos(turn), y, np.sqrt(1 - y * y) * np.sin(turn)), 1).astype(
        np.float32
    )
    return radius * n, n


@pytest.mark.parametrize(("material", "colour"), PAIRS, ids=lambda x: x.replace(" ", "-"))
def test_colour_word_is_the_nearest_to_most_of_the_surface(material: str, colour: str) -> None:
    """Hue (or brightness for greys) of the commonest coloured part belongs to the word."""
    p, n = sphere()
    rgb = paint(material, colour, p, n, seed=3)
    h, s, v = (np.array(x) for x in zip(*(colorsys.rgb_to_hsv(*c) for c in rgb.tolist()), strict=True))
    if COLOURS[colour][1] < 0.2:
        low, high = {"white": (0.60, 1.0), "gray": (0.18, 0.60), "black": (0.0, 0.32)}[colour]
        assert low <= np.median(luminance(rgb)) <= high
        return
    weight = s * v
    turn = np.sum(weight * np.exp(2j * np.pi * h))
    off = abs((np.degrees(np.angle(turn)) - COLOURS[colour][0] + 180) % 360 - 180)
    assert off < 30
    assert np.mean(s > 0.3) > 0.4


@pytest.mark.parametrize("material", MATERIALS)
def test_equal_seeds_paint_equal_and_subsets_agree(material: str) -> None:
    p, n = sphere()
    whole = paint(material, "green", p, n, seed=5)
    np.testing.assert_array_equal(paint(material, "green", p[100:900], n[100:900], seed=5), whole[100:900])
    assert whole.min() >= 0
    assert whole.max() <= 1


@pytest.mark.parametrize("material", MATERIALS)
def test_regular_patterns_lie_still_and_irregular_ones_have_two_grains(
    material: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over many seeds, all with the central shade, a surface is painted in one way or in two."""
    shade = base_colour("green")
    monkeypatch.setattr("syncsde3d.synthetic.materials.base_colour", lambda *_: shade)
    p, n = sphere()
    ways = {paint(material, "green", p, n, seed).tobytes() for seed in range(12)}
    irregular = {"wooden", "marble", "camouflage", "denim", "rusty", "grassy"}
    assert len(ways) == (GRAINS if material in irregular else 1)


@pytest.mark.parametrize("material", ["striped", "checkered", "polka dot", "leather", "plaid"])
def test_regular_patterns_look_alike_from_the_four_sides(material: str) -> None:
    """Sides a right angle apart carry the same pattern, which is its own mirror image."""
    side = np.linspace(-0.5, 0.5, 64, dtype=np.float32)
    x, y = (a.ravel() for a in np.meshgrid(side, side))
    front = paint(
        material, "blue", np.stack((x, y, np.full_like(x, 0.5)), 1), np.float32([[0, 0, 1]] * 4096), 1
    )
    right = paint(
        material, "blue", np.stack((np.full_like(x, 0.5), y, -x), 1), np.float32([[1, 0, 0]] * 4096), 1
    )
    mirrored = right.reshape(64, 64, 3)[:, ::-1].reshape(-1, 3)
    assert np.abs(front - mirrored).mean() < 0.01
    assert np.abs(front - right).mean() < 0.01


@pytest.mark.parametrize("material", [m for m in MATERIALS if m != "plain"])
def test_patterns_are_coarse(material: str) -> None:
    """Most of the contrast survives a mean over 4 pixels (0.055 units): no pattern finer than that."""
    u, v = np.meshgrid(np.arange(96), np.arange(96))
    p = (
        np.stack(((u - 48) / 73.0, (v - 48) / 73.0, np.full(u.shape, 0.6)), -1)
        .reshape(-1, 3)
        .astype(np.float32)
    )
    n = np.broadcast_to(np.float32([0, 0, 1]), p.shape)
    contrast, kept = 0.0, 0.0
    for seed in range(4):
        y = luminance(paint(material, "blue", p, n, seed)).reshape(96, 96)
        contrast += y.var()
        kept += y.reshape(24, 4, 24, 4).mean((1, 3)).var()
    assert kept > 0.45 * contrast
    assert contrast / 4 > 3e-4


@pytest.mark.parametrize("colour", COLOURS)
def test_second_colours_tell_materials_apart(colour: str) -> None:
    """Brick, wood, knit and grass of one colour differ in what is not that colour, and it in each from it."""
    p, n = sphere()
    base, seconds = base_colour(colour, np.random.default_rng(3)), {}
    for material in ("brick", "wooden", "knitted", "grassy"):
        rgb = paint(material, colour, p, n, seed=3)
        away = np.abs(rgb - base).max(1)
        assert np.quantile(away, 0.97) > 0.29, material
        seconds[material] = rgb[away >= np.quantile(away, 0.97)].mean(0)
    for a in seconds:
        for b in seconds:
            assert a >= b or np.abs(seconds[a] - seconds[b]).max() > 0.1, (a, b)


def test_colours_are_far_apart() -> None:
    shades = {c: [base_colour(c, np.random.default_rng(s)) for s in range(20)] for c in COLOURS}
    for a in COLOURS:
        for b in COLOURS:
            if a < b:
                gap = min(np.linalg.norm(x - y) for x in shades[a] for y in shades[b])
                assert gap > 0.12, (a, b)


def test_unknown_words_are_refused() -> None:
    p, n = sphere(10)
    with pytest.raises(ValueError, match="material: got 'velvet'"):
        paint("velvet", "red", p, n, 0)
    with pytest.raises(ValueError, match="colour: got 'mauve'"):
        paint("plain", "mauve", p, n, 0)
