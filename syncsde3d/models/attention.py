"""Where a U-Net looks when it reads a word: cross-attention maps, recorded while it samples.

Cross-attention of the chosen tokens is averaged over heads, layers of at most ``limit`` x ``limit`` cells and
all steps, normalised, spread along the last self-attention, normalised again and cut off at a threshold.
Recording changes no output: diffusers' own processors still compute it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from syncsde3d.core.protocols import Denoiser, Prediction, Step

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

#: Height and width of a layer's grid.
Grid = tuple[int, int]


@dataclass
class AttentionRecorder:
    """Collects a U-Net's attention to some tokens of one patch's prompt.

    unet: of Stable Diffusion's kind. tokens: positions in the prompt, see
    :func:`syncsde3d.models.text.word_positions`. patch: whose prompt it is. limit: layers with more than
    ``limit`` squared cells are left out (Stable Diffusion XL has none of fewer than 32 squared).
    """

    unet: Any
    tokens: Sequence[int]
    patch: int = 0
    limit: int = 16
    _cross: dict[Grid, tuple[Tensor, int]] = field(default_factory=dict, init=False, repr=False)
    _own: dict[Grid, Tensor] = field(default_factory=dict, init=False, repr=False)
    _rows: Tensor | None = field(default=None, init=False, repr=False)
    _size: Grid = field(default=(0, 0), init=False, repr=False)

    @contextmanager
    def watching(self, denoiser: Denoiser) -> Iterator[Denoiser]:
        """The same denoiser, recorded while it is in use; the U-Net's processors are put back afterwards."""
        before = dict(self.unet.attn_processors)
        self.unet.set_attn_processor({name: _Watched(kept, self._record) for name, kept in before.items()})
        try:
            yield _Watching(denoiser, self)
        finally:
            self.unet.set_attn_processor(before)

    def attention(self) -> Float[Tensor, "h w"]:
        """Attention to the tokens, averaged over heads, layers and steps, before any normalisation.

        On the finest grid that was recorded. ValueError if nothing was.
        """
        if not self._cross:
            raise ValueError(f"limit: no attention of at most {self.limit} x {self.limit} cells was recorded")
        finest = self._finest()
        maps = [(total.reshape(1, 1, *grid), count) for grid, (total, count) in self._cross.items()]
        large = [interpolate(m, finest, mode="bilinear", align_corners=False) for m, _ in maps]
        return sum(large, torch.zeros(1, 1, *finest))[0, 0] / sum(count for _, count in maps)

    def region(self) -> Float[Tensor, "h w"]:
        """The words' place in [0, 1]: the attention, spread along the last self-attention, normalised."""
        shown = normalise(self.attention())
        own = self._own.get(self._finest())
        return shown if own is None else normalise((own @ shown.flatten()).reshape(shown.shape))

    def mask(self, size: Grid, threshold: float = 0.3) -> Bool[Tensor, "H W"]:
        """True where the words are, on a grid of ``size`` (height, width)."""
        return cut(self.region(), size, threshold)

    def _finest(self) -> Grid:
        return max(self._cross, key=lambda grid: grid[0] * grid[1])

    def _record(self, attn: Any, hidden: Tensor, context: Tensor | None, mask: Tensor | None) -> None:
        """One layer's call: attention [rows, heads, cells, keys] of the watched rows, averaged."""
        grid = self._grid(hidden.shape[1]) if hidden.ndim == 3 else None
        if self._rows is None or grid is None or mask is not None:
            return
        rows = self._rows.to(hidden.device)
        weights = _attention(attn, hidden[rows], None if context is None else context[rows])
        if context is None:
            self._own[grid] = weights.mean(0)
            return
        seen = weights[:, :, list(self.tokens)].mean((0, 2))
        total, count = self._cross.get(grid, (torch.zeros_like(seen), 0))
        self._cross[grid] = (total + seen, count + 1)

    def _grid(self, cells: int) -> Grid | None:
        """The grid of a layer with so many cells: the states', halved as often as it takes."""
        h, w = self._size
        while h * w > cells:
            h, w = -(-h // 2), -(-w // 2)
        return (h, w) if h * w == cells and min(h, w) <= self.limit else None


def cut(region: Float[Tensor, "h w"], size: Grid, threshold: float = 0.3) -> Bool[Tensor, "H W"]:
    """True where a region in [0, 1] is beyond the threshold, on a grid of ``size`` (height, width)."""
    large = interpolate(region[None, None], size, mode="bilinear", align_corners=False)
    return large[0, 0] > threshold


def normalise(values: Tensor) -> Tensor:
    """Values moved and scaled to [0, 1]; all 0 if they are all the same."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def _attention(attn: Any, hidden: Tensor, context: Tensor | None) -> Float[Tensor, "rows cells keys"]:
    """A layer's attention weights, averaged over its heads, in float32 on the CPU."""
    if context is None:
        context = hidden
    elif attn.norm_cross:
        context = attn.norm_encoder_hidden_states(context)
    query, key = (
        project(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2).float()
        for project, x in ((attn.to_q, hidden), (attn.to_k, context))
    )
    weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
    return weights.mean(1).cpu()


@dataclass(frozen=True)
class _Watched:
    """An attention processor that reports what it is given, and does what it did."""

    processor: Any
    report: Callable[[Any, Tensor, Tensor | None, Tensor | None], None]

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        self.report(attn, hidden_states, encoder_hidden_states, attention_mask)
        return self.processor(attn, hidden_states, encoder_hidden_states, attention_mask, temb, **more)


@dataclass(frozen=True)
class _Watching:
    """A denoiser that tells a recorder which of its rows are the watched patch's, with its prompt."""

    denoiser: Denoiser
    recorder: AttentionRecorder

    @property
    def prediction(self) -> Prediction:
        return self.denoiser.prediction

    @property
    def guidance_scale(self) -> float:
        return self.denoiser.guidance_scale

    def predict(
        self, y: Float[Tensor, "b c h w"], step: Step, patch: Int[Tensor, " b"], branch: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        rows = ((patch == self.recorder.patch) & (branch == 0)).nonzero()[:, 0]
        self.recorder._rows = rows if len(rows) else None
        self.recorder._size = (y.shape[-2], y.shape[-1])
        try:
            return self.denoiser.predict(y, step, patch, branch)
        finally:
            self.recorder._rows = None
