"""The perceptual distance, against a slow twin and its closed forms."""

from __future__ import annotations

import pytest
import torch

from syncsde3d.metrics.images import perceptual_distance


def test_slow_twin() -> None:
    torch.manual_seed(0)
    first = [torch.randn(2, 5, 8, 8), torch.randn(2, 7, 4, 4)]
    second = [torch.randn_like(x) for x in first]
    where = torch.rand(2, 16, 16) < 0.5
    found = perceptual_distance(first, second, where)
    for n in range(2):
        layers = []
        for a, b in zip(first, second, strict=True):
            block, total, mass = 16 // a.shape[-1], 0.0, 0.0
            for y in range(a.shape[-2]):
                for x in range(a.shape[-1]):
                    weight = where[n, y * block : (y + 1) * block, x * block : (x + 1) * block].float().mean()
                    u, v = a[n, :, y, x], b[n, :, y, x]
                    total += weight * ((u / u.norm() - v / v.norm()) ** 2).sum()
                    mass += weight
            layers.append(float(total / mass))
        assert float(found[n]) == pytest.approx(sum(layers) / len(layers), rel=1e-5)


def test_equal_opposite_and_local() -> None:
    maps = [torch.randn(1, 3, 4, 4)]
    assert float(perceptual_distance(maps, maps)) == 0
    assert float(perceptual_distance(maps, [-maps[0]])) == pytest.approx(4, rel=1e-5)
    half = maps[0].clone()
    half[..., 2:] *= -1
    left = torch.zeros(1, 8, 8, dtype=torch.bool)
    left[..., :4] = True
    assert float(perceptual_distance(maps, [half], left)) == 0
    assert float(perceptual_distance(maps, [half], ~left)) == pytest.approx(4, rel=1e-5)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="first, second: expected equal layers, at least one"):
        perceptual_distance([], [])
    maps = [torch.randn(1, 3, 4, 4)]
    with pytest.raises(ValueError, match="where: expected at least one pixel"):
        perceptual_distance(maps, maps, torch.zeros(1, 8, 8, dtype=torch.bool))
