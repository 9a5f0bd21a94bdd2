"""Films of a picture that changes into another view of itself: turned, mirrored, skewed, its pieces moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from syncsde3d.core.operators import Permutation, skew_columns, turn_disc

if TYPE_CHECKING:
    from jaxtyping import UInt8

Picture = np.ndarray

_PAPER = (255, 255, 255)


def view_film(
    picture: UInt8[np.ndarray, "n n 3"],
    views: Sequence[tuple[str, Permutation]],
    moving: int = 36,
    still: int = 18,
    degrees: float = 45.0,
) -> Iterator[UInt8[np.ndarray, "n n 3"]]:
    """Frames: the picture, its change into each view and back again.

    views: names of :func:`syncsde3d.core.operators.make_view`, with the view of the picture's own size.
    moving, still: frames of a change, and between changes. degrees: of "inner_circle".
    """
    for name, view in views:
        yield from (picture for _ in range(still))
        between = _between(name, picture, view, degrees)
        # Starts and ends at rest.
        shares = [0.5 - 0.5 * math.cos(math.pi * k / moving) for k in range(1, moving)]
        frames = [between(share) for share in shares]
        shown = np.asarray(see(view, picture))
        yield from (*frames, *(shown for _ in range(still)), *reversed(frames))


def see(view: Permutation, picture: UInt8[np.ndarray, "n n 3"]) -> UInt8[np.ndarray, "n n 3"]:
    """A view of a picture."""
    return view.apply(torch.from_numpy(picture.copy()).movedim(-1, 0)).movedim(0, -1).numpy()


def _between(name: str, picture: Picture, view: Permutation, degrees: float) -> Callable[[float], Picture]:
    """The picture on its way to a view: a function of the share of the way that is done."""
    turns = {"rotate_90": 90.0, "rotate_180": 180.0, "rotate_270": -90.0}
    if name in turns:
        return lambda share: _turned(picture, turns[name] * share)
    if name in ("flip_vertical", "flip_horizontal"):
        return lambda share: _flipped(picture, name == "flip_vertical", share)
    if name == "skew":
        return lambda share: _rearranged(picture, lambda grid: skew_columns(grid, 1.5 * share))
    if name == "inner_circle":
        return lambda share: _rearranged(picture, lambda grid: turn_disc(grid, degrees * share))
    return lambda share: _moved(picture, view, share)


def _turned(picture: Picture, degrees: float) -> Picture:
    turned = Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=_PAPER)
    return np.asarray(turned)


def _flipped(picture: Picture, upright: bool, share: float) -> Picture:
    """Turned about its middle axis in space, seen from far away."""
    size = picture.shape[0]
    side = max(round(size * abs(math.cos(math.pi * share))), 1)
    shown = picture if share < 0.5 else (picture[::-1] if upright else picture[:, ::-1])
    small = Image.fromarray(np.ascontiguousarray(shown)).resize((size, side) if upright else (side, size))
    canvas = Image.new("RGB", (size, size), _PAPER)
    canvas.paste(small, (0, (size - side) // 2) if upright else ((size - side) // 2, 0))
    return np.asarray(canvas)


def _rearranged(picture: Picture, rearrange: Callable[[torch.Tensor], torch.Tensor]) -> Picture:
    return see(Permutation.of(rearrange, *picture.shape[:2]), picture)


def _moved(picture: Picture, view: Permutation, share: float) -> Picture:
    """Every pixel on the straight way to its new place; pieces that the view keeps together stay whole."""
    size = picture.shape[0]
    target = np.indices((size, size)).reshape(2, -1)
    start = np.stack(np.divmod(view.index.numpy().reshape(-1), size))
    row, column = np.rint(start + share * (target - start)).astype(int)
    frame = np.full_like(picture, 255)
    frame[row, column] = picture[start[0], start[1]]
    return frame
