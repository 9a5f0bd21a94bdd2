"""Wide images (Eq. 12-15): overlapping windows of one picture, each tied to what the earlier ones show of it.

The reference of a window is the picture painted so far, later windows on top (phi, Eq. 15), cut where the
window lies: in one row that is the window before it, in a grid also the row above. The precision is 1 on the
overlap.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from syncsde3d.core import Agreement, GaussianPath, NoiseSource, Task
from syncsde3d.core.inversion import hold

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


class WideImageTask(Task):
    """Windows [c, window, window] as patches, row by row from the top left.

    height, width: of the picture, in the patches' own pixels (latents); the width None has no end: one row
    that is streamed for as long as one likes. window: their size, or (height, width). stride: how far apart
    they begin, or (down, across); a quarter of the window if None. The last of a row lies flush with the
    border, so extend a finished picture from the window before that.
    wrap: for 360 degrees, one more window in each row that reaches round by a stride; it is tied to both
    ends, to the last one by a stride as well, and so has room between them to lead from one to the other.
    loose: columns (and rows) over which the precision falls from 1 to 0 where the overlap ends; 0 is the
    paper's. A model paints the borders of its windows worse, and a full tie copies them into the next one.
    known: states of some windows, noisiest first [steps (+ 1), c, h, w], such as an inverted picture's that
    is to be extended.

    A streaming run remembers one window, in a grid (or round a circle) one row of them.
    Raises ValueError for a picture smaller than a window, and for strides that leave gaps.
    """

    def __init__(
        self,
        height: int,
        width: int | None,
        window: int | tuple[int, int] = 64,
        stride: int | tuple[int, int] | None = None,
        wrap: bool = False,
        loose: int = 0,
        known: Mapping[int, Tensor] | None = None,
    ) -> None:
        self.window = window if isinstance(window, tuple) else (window, window)
        if stride is None:
            stride = (max(self.window[0] // 4, 1), max(self.window[1] // 4, 1))
        self.stride = stride if isinstance(stride, tuple) else (stride, stride)
        for name, length, size, step in zip(
            ("height", "width"), (height, width), self.window, self.stride, strict=True
        ):
            if length is not None and length < size:
                raise ValueError(f"{name}: expected at least a window's {size}, got {length}")
            if not 1 <= step <= size:
                raise ValueError(f"stride: expected 1 to the window's {size} along the {name}, got {step}")
        if wrap and self.stride[1] == self.window[1]:
            raise ValueError(f"stride: expected less than the window's {self.stride[1]} round a circle")
        if width is None and (wrap or height != self.window[0]):
            raise ValueError("width: expected a number for a grid or a circle, got None (without end)")
        self.height, self.width, self.wrap = height, width, wrap
        self.loose, self.known = loose, dict(known or {})
        self.rows = -(-(height - self.window[0]) // self.stride[0]) + 1
        if width is None:
            self.columns = sys.maxsize
        else:
            self.columns = -(-(width - self.window[1]) // self.stride[1]) + 1 + wrap
        self.count = self.rows * self.columns
        self.lookback = self.columns if self.rows > 1 or wrap else 1
        self._sources = lru_cache(maxsize=256)(self._find_sources)

    def corner(self, i: int) -> tuple[int, int]:
        """Row and column of the picture at which window ``i`` begins."""
        row, column = divmod(i, self.columns)
        top, left = (n * step for n, step in zip((row, column), self.stride, strict=True))
        top = min(top, self.height - self.window[0])
        if self.width is None:
            return top, left
        round_it = self.stride[1] if self._closes(i) else 0
        return top, min(left, self.width - self.window[1]) + round_it

    def needs(self, i: int) -> tuple[int, ...]:
        return tuple(self._sources(i)[0])

    def reference(self, i: int, earlier: Mapping[int, Tensor]) -> Tensor:
        needs, pick = self._sources(i)
        pixels = torch.cat([earlier[j].flatten(-2) for j in needs], -1)
        return torch.where((pick >= 0).to(pixels.device), pixels[..., pick.to(pixels.device)], 0)

    def precision(self, i: int) -> Tensor:
        tied = (self._sources(i)[1] >= 0).float()[None]
        free, share = 1 - tied, 1 / (self.loose + 1)
        for _ in range(self.loose if self.needs(i) else 0):
            free = max_pool2d(free, 3, 1, 1)
            tied = (tied - share * free).clamp(min=0)
        return tied

    def _find_sources(self, i: int) -> tuple[tuple[int, ...], Int[Tensor, "h w"]]:
        """The windows seen in window ``i``, and which of all their pixels each of its own is; -1: none."""
        row, column = divmod(i, self.columns)
        owner, pixel = torch.full(self.window, -1), torch.full(self.window, -1)
        rows, (columns, round_it) = self._rows(i), self._columns(i)
        above = range((row - 1) * self.columns, row * self.columns) if row else ()
        before = (i - column, i - 1) if self._closes(i) else (i - 1,) if column else ()
        free = ~round_it & (torch.arange(self.window[1]) >= self.stride[1]) & self._closes(i)
        # Round the circle, what reaches round lies under what begins there.
        orders = (True, False) if self.wrap else (False,)
        for others, apart, under in [(above, free & False, u) for u in orders] + [(before, free, False)]:
            for j in others:
                its_top, its_left = self.corner(j)
                y, x = rows - its_top, columns - its_left
                x = x if self.width is None else x % self.width
                inside = (x >= 0) & (x < self.window[1]) & ~apart
                inside &= self._columns(j)[1][x.clamp(0, self.window[1] - 1)] == under
                seen = ((y >= 0) & (y < self.window[0]))[:, None] & inside
                owner[seen], pixel[seen] = j, (y[:, None] * self.window[1] + x)[seen]
        needs = owner[owner >= 0].unique()
        size = self.window[0] * self.window[1]
        pick = torch.where(owner >= 0, torch.searchsorted(needs, owner) * size + pixel, -1)
        return tuple(needs.tolist()), pick

    def _closes(self, i: int) -> bool:
        """Whether window ``i`` is the one that reaches round to the first column."""
        return self.wrap and (i + 1) % self.columns == 0

    def _rows(self, i: int) -> Int[Tensor, " h"]:
        return self.corner(i)[0] + torch.arange(self.window[0])

    def _columns(self, i: int, scale: int = 1) -> tuple[Int[Tensor, " w"], Bool[Tensor, " w"]]:
        """The picture's columns in window ``i``, ``scale`` times as many, and which lie round the circle."""
        left, across = (length * scale for length in (self.corner(i)[1], self.window[1]))
        columns = torch.arange(left, left + across)
        if self.width is None:
            return columns, torch.zeros(across, dtype=torch.bool)
        return columns % (self.width * scale), columns >= self.width * scale

    def impose(self, y: Tensor, patches: Tensor, path: GaussianPath, index: int) -> Tensor:
        return hold(y, patches, index, self.known)

    def noise(
        self, source: NoiseSource, channels: int, dtype: torch.dtype = torch.float32
    ) -> Callable[[int], Float[Tensor, "c h w"]]:
        """Window i's cut of one wide noise, which is drawn a few columns at a time and never whole."""
        across = self.window[1]

        def columns(number: int) -> Tensor:
            return source.initial(f"columns/{number}", (channels, self.height, across), dtype)

        def cut(i: int) -> Tensor:
            top, place = self.corner(i)[0], self._columns(i)[0]
            blocks, which = (place // across).unique(return_inverse=True)
            strip = torch.cat([columns(block) for block in blocks.tolist()], -1)
            return strip[:, top : top + self.window[0], which * across + place % across].contiguous()

        return cut

    def agree(self, values: Tensor, how: Agreement) -> tuple[Tensor, Tensor]:
        """ "mean" of all windows that see a place; "best": the one whose centre is nearest."""
        if how == "mean":
            picture = values.new_zeros(*values.shape[1:-2], *self.owners.shape)
            for i, value in enumerate(values):
                picture[(..., *self._place(i))] += value
            picture /= self.seen.to(values)
        else:
            picture = values.new_zeros(*values.shape[1:-2], *self.owners.shape)
            for i, value in enumerate(values):
                own = (self.owners[self._place(i)] == i).to(values.device)
                picture[(..., *self._place(i))] += torch.where(own, value, 0)
        mask = torch.stack([self.seen[self._place(i)] > 1 for i in range(self.count)])[:, None]
        agreed = torch.stack([picture[(..., *self._place(i))] for i in range(self.count)])
        return agreed, mask.to(values.device)

    @cached_property
    def seen(self) -> Tensor:
        """How many windows see each place of the picture [height, width]."""
        seen = torch.zeros(self._size(), dtype=torch.long)
        for i in range(self.count):
            seen[self._place(i)] += 1
        return seen

    @cached_property
    def owners(self) -> Tensor:
        """The window whose centre lies nearest to each place [height, width]; the first of equals."""
        rows, columns = (torch.arange(size) - (size - 1) / 2 for size in self.window)
        distance = rows[:, None] ** 2 + columns**2
        nearest = torch.full(self._size(), torch.inf)
        owners = torch.zeros(self._size(), dtype=torch.long)
        for i in range(self.count):
            place = self._place(i)
            closer = distance < nearest[place]
            owners[place] = torch.where(closer, i, owners[place])
            nearest[place] = torch.where(closer, distance, nearest[place])
        return owners

    def _size(self) -> tuple[int, int]:
        if self.width is None:
            raise ValueError("width: a picture without end has no whole; join its windows as they come")
        return self.height, self.width

    def _place(self, i: int) -> tuple[Int[Tensor, "h 1"], Int[Tensor, " w"]]:
        """Rows and columns of the picture that window ``i`` covers."""
        return self._rows(i)[:, None], self._columns(i)[0]

    def join(
        self, windows: Iterable[Float[Tensor, "c h w"]], blend: int = 0, first: int = 0
    ) -> Iterator[Float[Tensor, "c h w"]]:
        """Pieces of the picture, each as soon as no later window changes it, later windows on top.

        One row comes in columns from left to right, a grid in rows from top to bottom (put the pieces
        together along the last or the second last dimension), a circle of one row as a whole. No more than a
        window, or a row of them, is kept. windows: clean patches in order from window ``first`` on, or
        decoded ones: a whole multiple of the window in size. blend: columns (and rows) over which a window
        fades in over what lies under it.
        """
        if blend < 0:
            raise ValueError(f"blend: expected at least 0, got {blend}")
        one_row = self._is_row
        canvas, start = None, self.corner(first)[1 if one_row else 0]
        for i, window in enumerate(windows, start=first):
            scale = window.shape[-1] // self.window[1]
            if tuple(window.shape[-2:]) != (self.window[0] * scale, self.window[1] * scale) or not scale:
                raise ValueError(f"windows: expected multiples of {self.window}, got {tuple(window.shape)}")
            (top, left), (high, across) = self.corner(i), self.window
            if canvas is None:
                size = (high * scale, (across if one_row or self.width is None else self.width) * scale)
                canvas = window.new_full((*window.shape[:-2], *size), torch.nan)  # not painted yet
            columns = self._columns(i, scale)[0] - (start * scale if one_row else 0)
            painted = canvas[..., columns]
            fading = self._fade(i, blend, scale).to(window)
            canvas[..., columns] = torch.where(painted.isnan(), window, torch.lerp(painted, window, fading))
            done = i + 1 == self.count
            following = (top + high, left + across) if done else self.corner(i + 1)
            step = (following[1] - left if one_row else following[0] - top) * scale
            if step > 0:
                dim = -1 if one_row else -2
                finished, rest = canvas.split((step, canvas.shape[dim] - step), dim)
                yield finished.clone()
                canvas, start = torch.cat((rest, torch.full_like(finished, torch.nan)), dim), following[1]

    def assemble(self, patches: Float[Tensor, "n c h w"], blend: int = 0) -> Float[Tensor, "c height width"]:
        """The whole picture, as :meth:`join` puts it together."""
        self._size()
        return torch.cat(list(self.join(patches, blend)), -1 if self._is_row else -2)

    @property
    def _is_row(self) -> bool:
        return self.rows == 1 and not self.wrap

    def _fade(self, i: int, blend: int, scale: int) -> Float[Tensor, "h w"]:
        """How much of window ``i`` is seen over earlier ones: 1, less within ``blend`` of its first border.

        Round the circle the first windows are the later ones, and the last window shows through their fade.
        """
        row, column = divmod(i, self.columns)
        high, across = (  # within what two windows share, or the fade would end in a jump
            torch.arange(1, size * scale + 1) / (min(blend, (size - step) * scale) + 1)
            for size, step in zip(self.window, self.stride, strict=True)
        )
        down = high.clamp(max=1) if row else torch.ones_like(high)
        right = across.clamp(max=1) if column else torch.ones_like(across)
        reaches_round = self._columns(i, scale)[1]
        shared = int(reaches_round.sum())
        share = torch.arange(1, shared + 1) / (min(blend, shared) + 1)
        right[reaches_round] = 1 - share.clamp(max=1)
        return down[:, None] * right
