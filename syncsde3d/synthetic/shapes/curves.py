"""Smooth outlines and profiles through a few points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator

if TYPE_CHECKING:
    from jaxtyping import Float

Points2 = Sequence[tuple[float, float]]


def through(keys: Points2, at: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Values at ``at`` of the smooth curve through ``keys`` = (position, value), without overshoot."""
    table = np.asarray(keys, dtype=np.float64)
    return PchipInterpolator(table[:, 0], table[:, 1])(at)


def cut_corners(points: Points2, rounds: int = 2, closed: bool = False) -> Float[np.ndarray, "k 2"]:
    """A rounded polyline by Chaikin's corner cutting; an open one keeps its ends."""
    line = np.asarray(points, dtype=np.float64)
    for _ in range(rounds):
        a, b = (line, np.roll(line, -1, axis=0)) if closed else (line[:-1], line[1:])
        quarters = np.stack((0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b), axis=1).reshape(-1, 2)
        line = quarters if closed else np.concatenate((line[:1], quarters[1:-1], line[-1:]))
    return line


def both_sides(half: Points2) -> list[tuple[float, float]]:
    """A closed outline from its right half (first coordinate >= 0), whose ends lie on the axis."""
    return [*half, *((-x, y) for x, y in list(half)[-2:0:-1])]
