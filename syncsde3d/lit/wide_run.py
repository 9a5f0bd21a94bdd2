"""A wide image being sampled: windows in lockstep or as a stream, joined, decoded, put down as they come."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from syncsde3d.core import Denoiser, NoiseSource, Trajectory
from syncsde3d.io.images import to_uint8, write_png
from syncsde3d.lit.image_items import WideItem
from syncsde3d.lit.images import ImageModule, check_prompts
from syncsde3d.lit.wide_extend import Earlier
from syncsde3d.models.strips import decode_strips
from syncsde3d.models.text import Blend, Prompt
from syncsde3d.tasks.wide_image import WideImageTask

#: Strategies in which a window depends on earlier ones only, so that a picture can be streamed and extended.
CHAINS = ("syncsde", "independent")
#: Columns (rows, of a grid) of one picture file that a stream leaves while it goes on.
TILE = 2048
#: Latents of a circle that are decoded on either side of it, so that its ends meet.
_ROUND = 8
#: In how many steps one prompt turns into the next.
_BLENDS = 32


@dataclass(frozen=True)
class Canvas:
    """A picture's measures in latents; pixels: the height and width wanted."""

    height: int
    width: int
    window: int
    stride: int
    pixels: tuple[int, int]


def window_prompts(item: WideItem, task: WideImageTask) -> tuple[list[Prompt], list[int]]:
    """The prompts of all windows, each once, and which of them every window has.

    Between two places a window's prompt is a blend by where its centre lies, in 32 steps.
    Raises ValueError for an empty prompt, or a place outside [0, 1].
    """
    if not item.places:
        check_prompts(prompt=item.prompt)
        return [item.prompt], [0] * task.count
    places = sorted(item.places)
    for share, prompt in places:
        if not 0 <= share <= 1:
            raise ValueError(f"prompt_at: expected a share of the width in [0, 1], got {share}")
        check_prompts(prompt_at=prompt)
    assert task.width is not None
    prompts: dict[Prompt, int] = {}
    rows = []
    for i in range(task.count):
        centre = (task.corner(i)[1] + task.window[1] / 2) / task.width % 1
        prompts.setdefault(prompt := _prompt_at(places, centre), len(prompts))
        rows.append(prompts[prompt])
    return list(prompts), rows


def _prompt_at(places: list[tuple[float, str]], share: float) -> Prompt:
    if share <= places[0][0]:
        return places[0][1]
    for (left, first), (right, second) in itertools.pairwise(places):
        if left < share < right:
            weight = round((share - left) / (right - left) * _BLENDS) / _BLENDS
            return Blend(first, second, weight) if 0 < weight < 1 else (first, second)[round(weight)]
    return next(prompt for place, prompt in reversed(places) if place <= share)


@dataclass
class WideRun:
    """One item being sampled.

    blend: latents over which a window fades in. earlier: what the picture begins with. last: the trajectory
    from which it can be extended, once known.
    """

    module: ImageModule
    blend: int
    item: WideItem
    task: WideImageTask
    canvas: Canvas
    denoiser: Denoiser
    earlier: Earlier | None
    last: Trajectory | None = None

    @property
    def dim(self) -> int:
        """Along which pieces of the picture are put together."""
        return -1 if self.task.rows == 1 and not self.task.wrap else -2

    def whole(self) -> tuple[np.ndarray, np.ndarray, None]:
        """Latents [c, h, w] and picture [H, W, 3], decoded at once (in tiles if it is very large)."""
        if self.earlier is None:
            latents = self.task.assemble(self._lockstep(), self.blend)
        else:
            latents = torch.cat(list(self._pieces()), self.dim)
        strips = self._kept([decode_round(self.module.loaded.decode, latents, self.task.wrap)])
        return latents.float().cpu().numpy(), self._cut(to_uint8(torch.cat(list(strips), -1))), None

    def streamed(self) -> tuple[np.ndarray, np.ndarray, Path | None]:
        """The same in files that go when the result does, and the folder of tiles for the user to look at."""
        factor, canvas = self.module.loaded.factor, self.canvas
        latents = scratch((self.module.loaded.channels, canvas.height, canvas.width), np.float32)
        picture = scratch((canvas.height * factor, canvas.width * factor, 3), np.uint8)
        pieces, decode = _saved(self._pieces(), latents, self.dim), self.module.loaded.decode
        wrap = self.task.wrap
        strips = decode_strips(
            lambda latents: decode_round(decode, latents[0], wrap)[None], pieces, self.dim, 2 * canvas.window
        )
        tiles = Tiles.of(self.module, self.item)
        start, axis = 0, self.dim + 2
        for strip in self._kept(strips):
            ready = to_uint8(strip)
            place = [slice(None)] * 2
            place[axis] = slice(start, start := start + ready.shape[axis])
            picture[tuple(place)] = ready
            tiles.write(self._cut(picture), axis, start, start >= picture.shape[axis])
        return latents, self._cut(picture), tiles.folder

    def _cut(self, picture: np.ndarray) -> np.ndarray:
        height, width = self.canvas.pixels
        return picture[:height, :width]

    def _kept(self, strips: Iterable[Tensor]) -> Iterator[Tensor]:
        """Decoded strips with the picture that was given in its place, fading out at its right end."""
        given = self.earlier.picture if self.earlier else None
        left = 0
        for strip in strips:
            if given is not None and left < given.shape[-1]:
                shown = given[..., left : left + strip.shape[-1]].to(strip)
                columns = torch.arange(left, left + shown.shape[-1], device=strip.device)
                fade = self.canvas.stride * self.module.loaded.factor
                share = ((given.shape[-1] - columns) / fade).clamp(max=1)
                strip = strip.clone()
                strip[..., : shown.shape[-1]].lerp_(shown, share)
            left += strip.shape[-1]
            yield strip

    def _pieces(self) -> Iterator[Tensor]:
        """Latents [c, h, w], final as soon as they come, those of the earlier picture first."""
        first, begun, begun_windows = 0, [], []
        if self.earlier is not None:
            begun = [self.earlier.trajectory]
            first = self.earlier.trajectory.patch + 1
            left, blend = self.task.corner(first - 1)[1], self.blend
            yield self.earlier.latents[..., :left].to(self.module.device)
            window = begun[0].result.clone()
            window[..., :blend] = self.earlier.latents[..., left : left + blend]  # as it faded in then
            begun_windows = [window]
        results = itertools.chain(begun_windows, (t.result for t in self._stream(first, begun)))
        yield from self.task.join((r.to(self.module.device) for r in results), self.blend, max(first - 1, 0))

    def _stream(self, first: int, begun: list[Trajectory]) -> Iterator[Trajectory]:
        source = NoiseSource(self.item.seed, self.item.id)
        noise = self.task.noise(source, self.module.loaded.channels)
        self.last = begun[-1] if begun and begun[-1].patch == self._extendable else None
        with self.module.progress(
            self.item, self.module.settings.steps * (self.task.count - first)
        ) as on_step:
            for trajectory in self.module.sampler().stream(
                self.task,
                self.denoiser,
                lambda i: noise(i).to(self.module.device),
                source,
                on_step,
                begun,
                first,
            ):
                if trajectory.patch == self._extendable:
                    self.last = trajectory
                yield trajectory

    def _lockstep(self) -> Tensor:
        """All windows at once; the trajectory of the last that can be extended is kept as a stream would."""
        source = NoiseSource(self.item.seed, self.item.id)
        cut = self.task.noise(source, self.module.loaded.channels)
        noise = torch.stack([cut(i) for i in range(self.task.count)]).to(self.module.device)
        scheduler = self.module.sampler().scheduler
        scheduler.set_timesteps(self.module.settings.steps)
        states, i = [], self._extendable
        if i is not None:
            states.append(noise[i] * float(getattr(scheduler, "init_noise_sigma", 1.0)))
        with self.module.progress(self.item, self.module.settings.steps) as on_step:

            def keep(done: int, steps: int, y: Tensor) -> None:
                if i is not None:
                    states.append(y[i].clone())
                on_step()

            patches = self.module.sampler().lockstep(self.task, self.denoiser, noise, source, keep)
        self.last = None if i is None else Trajectory(i, torch.stack(states))
        return patches

    @property
    def _extendable(self) -> int | None:
        """The last window that a longer picture has too; None where the chain cannot go on to the right."""
        task = self.task
        if task.rows > 1 or task.wrap or self.module.sync.strategy not in CHAINS or task.width is None:
            return None
        regular = (task.width - task.window[1]) % task.stride[1] == 0
        return task.count - 1 if regular else task.count - 2


def decode_round(decode: Callable[[Tensor], Tensor], latents: Tensor, wrap: bool) -> Tensor:
    """The picture [3, H, W] of latents [c, h, w]; of a circle with what lies beyond its ends in view."""
    if not wrap:
        return decode(latents[None])[0]
    margin = min(_ROUND, latents.shape[-1])
    picture = decode(torch.cat((latents[..., -margin:], latents, latents[..., :margin]), -1)[None])[0]
    factor = picture.shape[-1] // (latents.shape[-1] + 2 * margin)
    return picture[..., margin * factor : -margin * factor]


def scratch(shape: tuple[int, ...], dtype: Any) -> np.memmap:
    """An array in a file that goes when the array does."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _saved(pieces: Iterable[Tensor], array: np.ndarray, dim: int) -> Iterator[Tensor]:
    """The pieces, each put down in the array."""
    start = 0
    for piece in pieces:
        end = start + piece.shape[dim]
        place = (..., slice(start, end)) if dim == -1 else (..., slice(start, end), slice(None))
        array[place] = piece.float().cpu().numpy()
        start = end
        yield piece


@dataclass
class Tiles:
    """Picture files of a growing picture, :data:`TILE` pixels along its growing side; None: no one looks."""

    folder: Path | None
    count: int = 0

    @classmethod
    def of(cls, module: ImageModule, item: WideItem) -> Tiles:
        """In the folder that a writer of the module's trainer has for unfinished results."""
        for callback in getattr(module._trainer, "callbacks", ()):
            if hasattr(callback, "unfinished"):
                return cls(callback.unfinished(item))
        return cls(None)

    def write(self, picture: np.ndarray, axis: int, end: int, last: bool) -> None:
        """Write the tiles that are finished now that the picture is known up to ``end``."""
        end = min(end, picture.shape[axis])
        while self.folder and (left := self.count * TILE) < end and (left + TILE <= end or last):
            piece = picture[left : left + TILE] if axis == 0 else picture[:, left : left + TILE]
            write_png(self.folder / f"{self.count:04d}.png", np.ascontiguousarray(piece))
            self.count += 1
