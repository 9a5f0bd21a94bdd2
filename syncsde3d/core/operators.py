"""Views that rearrange the pixels of a picture: turned, mirrored, sheared, cut in pieces.

All act on the last two dimensions. Every view here is a *permutation* of the pixels: orthogonal, undone
exactly, and white noise stays white noise, which is what a diffusion model expects to see.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

#: Views of a square picture by name; see :func:`make_view`.
ViewName = Literal[
    "identity",
    "rotate_90",
    "rotate_180",
    "rotate_270",
    "flip_vertical",
    "flip_horizontal",
    "skew",
    "inner_circle",
    "patches",
    "jigsaw",
]


@dataclass(frozen=True)
class Permutation:
    """A view in which pixel ``p`` of the result is pixel ``index[p]`` (row-major) of the picture [h, w]."""

    index: Int[Tensor, "h w"]

    @classmethod
    def of(cls, rearrange: Callable[[Tensor], Tensor], height: int, width: int) -> Permutation:
        """What a function does to the pixels of a picture. Raises ValueError unless it permutes them."""
        numbers = torch.arange(height * width)
        index = rearrange(numbers.reshape(height, width))
        if not torch.equal(index.flatten().sort().values, numbers):
            raise ValueError(f"rearrange: expected a permutation of {height} x {width} pixels")
        return cls(index)

    def apply(self, picture: Float[Tensor, "... h w"]) -> Float[Tensor, "... h w"]:
        """The view of a picture."""
        return picture.flatten(-2)[..., self.index.to(picture.device)]

    def inverse(self) -> Permutation:
        """The view that undoes this one; of the picture's shape, which has to be this view's."""
        return Permutation(self.index.flatten().argsort().reshape(self.index.shape))

    def then(self, after: Permutation) -> Permutation:
        """This view first, ``after`` next, as one."""
        return Permutation(after.apply(self.index))


def make_view(
    name: ViewName, size: int, degrees: float = 45.0, pieces: int = 4, seed: int = 0
) -> Permutation:
    """A view of pictures [..., size, size].

    Turns are counter-clockwise. "flip_vertical": upside down. "skew": column j rolled down by
    ``int(1.5 (j - size/2))``. "inner_circle": the disc in the middle turned by ``degrees``.
    "patches": ``pieces``² square pieces dealt anew by ``seed``. "jigsaw": interlocking ones.
    Raises ValueError for an unknown name, and for pieces that do not divide the size.
    """
    makers: dict[str, Callable[[Tensor], Tensor]] = {
        "identity": lambda grid: grid,
        "rotate_90": lambda grid: grid.rot90(1),
        "rotate_180": lambda grid: grid.rot90(2),
        "rotate_270": lambda grid: grid.rot90(3),
        "flip_vertical": lambda grid: grid.flip(0),
        "flip_horizontal": lambda grid: grid.flip(1),
        "skew": skew_columns,
        "inner_circle": lambda grid: turn_disc(grid, degrees),
        "patches": lambda grid: deal_pieces(grid, square_pieces(size, pieces), pieces, seed),
        "jigsaw": lambda grid: deal_pieces(grid, jigsaw_pieces(size, pieces), pieces, seed),
    }
    if name not in makers:
        raise ValueError(f"view: expected one of {', '.join(get_args(ViewName))}, got {name!r}")
    return Permutation.of(makers[name], size, size)


def skew_columns(grid: Int[Tensor, "h w"], slope: float = 1.5) -> Int[Tensor, "h w"]:
    """Column j rolled down by ``int(slope (j - w/2))``."""
    width = grid.shape[1]
    columns = [grid[:, j].roll(int(slope * (j - width / 2))) for j in range(width)]
    return torch.stack(columns, 1)


def turn_disc(grid: Int[Tensor, "n n"], degrees: float) -> Int[Tensor, "n n"]:
    """The largest disc turned counter-clockwise, the corners left alone.

    Quarter turns are exact. The rest is three shears by whole pixels, which no two pixels leave for the same
    place, so that colours move but never mix; the few that leave the disc take the places left at its rim.
    """
    size = grid.shape[0]
    quarters = round(degrees / 90)
    theta = math.radians(degrees - 90 * quarters)
    middle = (size - 1) / 2
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    disc = (rows - middle) ** 2 + (columns - middle) ** 2 <= (size / 2) ** 2
    y, x = rows[disc], columns[disc]
    tangent, sine = math.tan(theta / 2), math.sin(theta)
    for slope, along_x in ((tangent, True), (-sine, False), (tangent, True)):
        moved = (slope * ((y if along_x else x) - middle)).round().long()
        x, y = (x + moved, y) if along_x else (x, y + moved)
    inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    inside &= disc[y.clamp(0, size - 1), x.clamp(0, size - 1)]
    free = disc.clone()
    free[y[inside], x[inside]] = False
    left_y, left_x = free.nonzero(as_tuple=True)
    out = torch.atan2(y[~inside] - middle, x[~inside] - middle).argsort(stable=True)
    rim = torch.atan2(left_y - middle, left_x - middle).argsort(stable=True)
    to = y * size + x
    to[(~inside).nonzero()[:, 0][out]] = (left_y * size + left_x)[rim]
    turned = grid.clone()
    quarter_turned = torch.where(disc, grid.rot90(quarters), grid)
    turned.view(-1)[to] = quarter_turned[disc]
    return turned


def square_pieces(size: int, pieces: int) -> tuple[Int[Tensor, "n n"], Sequence[Sequence[int]]]:
    """The piece (row-major) that each pixel is on, and the pieces of equal shape."""
    if pieces < 1 or size % pieces:
        raise ValueError(f"pieces: expected a divisor of the size {size}, got {pieces}")
    row = torch.arange(size) // (size // pieces)
    return row[:, None] * pieces + row, [range(pieces**2)]


def jigsaw_pieces(size: int, pieces: int) -> tuple[Int[Tensor, "n n"], Sequence[Sequence[int]]]:
    """Pieces with a round tab to the right and below; as in a real puzzle, edges fit only on their edge.

    Returns what :func:`square_pieces` returns: corners fit one place each, the rest their edge or the inside.
    """
    label, _ = square_pieces(size, pieces)
    block = size // pieces
    if block < 4:
        raise ValueError(f"pieces: expected at least 4 pixels to a piece, got {block}")
    middle, reach = (block - 1) / 2, block / 5
    for number in range(pieces**2):
        row, column = divmod(number, pieces)
        for down, right in ((0, 1), (1, 0)):
            if row + down == pieces or column + right == pieces:
                continue
            y = torch.arange(size)[:, None] - row * block - (block - 0.5 + reach / 2 if down else middle)
            x = torch.arange(size) - column * block - (block - 0.5 + reach / 2 if right else middle)
            label[(y**2 + x**2 <= reach**2)] = number
    sides: dict[tuple[int, int], list[int]] = {}
    for number in range(pieces**2):
        row, column = ((n > 0) + (n == pieces - 1) for n in divmod(number, pieces))
        sides.setdefault((row, column), []).append(number)
    return label, list(sides.values())


def deal_pieces(
    grid: Int[Tensor, "n n"],
    cut: tuple[Int[Tensor, "n n"], Sequence[Sequence[int]]],
    pieces: int,
    seed: int,
) -> Int[Tensor, "n n"]:
    """Pieces of equal shape moved to each other's places, at random but never as they were if possible."""
    label, groups = cut
    generator = torch.Generator().manual_seed(seed)
    dealt, source = grid.flatten().clone(), grid.flatten()
    for group in groups:
        order = torch.randperm(len(group), generator=generator).tolist()
        # Each goes to the place of the next in a random round trip.
        for here, there in zip(order, order[1:] + order[:1], strict=True):
            dealt[(label.flatten() == group[here])] = source[(label.flatten() == group[there])]
    return dealt.reshape(grid.shape)
