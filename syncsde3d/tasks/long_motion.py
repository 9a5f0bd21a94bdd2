"""Long motion (Eq. 20-22): segments of one motion, each tied to the last frames of the segment before it.

``A_i`` moves the previous segment's overlapping frames to the beginning of segment i; the paper's precision
is 1 on them and 0 elsewhere. Motion features are relative to the root, so that overlapping frames compare as
they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from syncsde3d.core import Agreement, Task

if TYPE_CHECKING:
    from jaxtyping import Float

#: Frames of one segment at 20 per second: what motion models are trained on.
FRAMES_MIN, FRAMES_MAX = 40, 196

#: How a motion passes from one segment to the next: the later segment on top (the paper's), or a cross-fade.
Blend = Literal["later", "linear", "cosine"]

#: How far shared frames trust their reference.
Precision = Literal["graded", "binary"]


class LongMotionTask(Task):
    """Segments as patches [frames, ...], padded at the end to the longest; the segment before as reference.

    lengths: frames of each segment, 40 to 196. overlap: frames that neighbours share, 1 to the shortest
    length - 1. weights: what the "mean" agreement gives to each segment on the shared frames: "flat" the
    same, "linear" a cross-fade (with the strategy ``synctweedies`` the handshake of DoubleTake's first take,
    arXiv:2303.01418). precision: "binary" is the paper's; "graded" falls off linearly over the shared frames:
    a segment then passes from its reference to its own motion without the jump that a network may leave at
    a hard edge.

    Raises ValueError, naming the segment, for lengths or an overlap outside these.
    """

    lookback = 1

    def __init__(
        self,
        lengths: Sequence[int],
        overlap: int = 30,
        weights: Literal["flat", "linear"] = "flat",
        precision: Precision = "binary",
    ) -> None:
        if not lengths:
            raise ValueError("lengths: expected at least one segment, got none")
        for i, length in enumerate(lengths):
            if not FRAMES_MIN <= length <= FRAMES_MAX:
                raise ValueError(
                    f"lengths[{i}]: expected {FRAMES_MIN} to {FRAMES_MAX} frames, got {length} "
                    f"({length / 20:g} s at 20 frames per second)"
                )
        if not 1 <= overlap < min(lengths):
            raise ValueError(
                f"overlap: expected 1 to {min(lengths) - 1} frames, fewer than the shortest segment's "
                f"{min(lengths)}, got {overlap}"
            )
        if precision not in get_args(Precision):
            raise ValueError(
                f"precision: expected one of {', '.join(get_args(Precision))}, got {precision!r}"
            )
        self.lengths, self.overlap, self.weights = tuple(lengths), overlap, weights
        self.profile: Precision = precision
        self.count, self.frames = len(self.lengths), max(self.lengths)

    @property
    def starts(self) -> tuple[int, ...]:
        """The frame of the whole motion at which each segment begins."""
        starts = [0]
        for length in self.lengths[:-1]:
            starts.append(starts[-1] + length - self.overlap)
        return tuple(starts)

    @property
    def total(self) -> int:
        """Frames of the whole motion."""
        return self.starts[-1] + self.lengths[-1]

    def needs(self, i: int) -> tuple[int, ...]:
        return () if i == 0 else (i - 1,)

    def reference(self, i: int, earlier: Mapping[int, Tensor]) -> Tensor:
        before, end = earlier[i - 1], self.lengths[i - 1]
        shared = before[end - self.overlap : end]
        return torch.cat((shared, shared.new_zeros(self.frames - self.overlap, *shared.shape[1:])))

    def precision(self, i: int) -> Tensor:
        m = torch.zeros(self.frames, 1)
        m[: self.overlap, 0] = fade(self.overlap, "linear").flip(0) if self.profile == "graded" else 1.0
        return m

    def agree(self, values: Tensor, how: Agreement) -> tuple[Tensor, Tensor]:
        """ "mean" weighs as :attr:`weights` say; "best" puts the later segment on top."""
        place, weight = self._places(values)
        seen = torch.bincount(place.flatten(), minlength=self.total + 1)
        mask = (seen[place] > 1) & (place < self.total)
        rows = values.new_zeros(self.total + 1, *values.shape[2:])
        if how == "best":
            for i, length in enumerate(self.lengths):
                rows[self.starts[i] : self.starts[i] + length] = values[i, :length]
        else:
            wide = weight.reshape(*weight.shape, *[1] * (values.ndim - 2))
            rows.index_add_(0, place.flatten(), (values * wide).flatten(0, 1))
            mass = weight.new_zeros(self.total + 1).index_add_(0, place.flatten(), weight.flatten())
            rows /= mass.clamp(min=1e-12).reshape(-1, *[1] * (values.ndim - 2))
        return rows[place], mask.reshape(*mask.shape, *[1] * (values.ndim - 2))

    def join(
        self,
        segments: Iterable[Tensor],
        blend: Blend = "later",
        first: int = 0,
        tail: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Pieces of the whole motion, each as soon as no later segment changes it; put together, the motion.

        segments: clean patches [frames, ...] in order, from segment ``first`` on. tail: where ``first`` > 0,
        the last ``overlap`` frames so far.
        """
        if blend not in get_args(Blend):
            raise ValueError(f"blend: expected one of {', '.join(get_args(Blend))}, got {blend!r}")
        for i, segment in enumerate(segments, start=first):
            piece = segment[: self.lengths[i]]
            if tail is not None:
                piece = torch.cat((cross_fade(tail, piece[: self.overlap], blend), piece[self.overlap :]))
            end = len(piece) - (self.overlap if i + 1 < self.count else 0)
            yield piece[:end]
            tail = piece[end:]

    def assemble(self, patches: Tensor, blend: Blend = "later") -> Tensor:
        """The whole motion [total, ...] from all clean patches [count, frames, ...]."""
        return torch.cat(tuple(self.join(patches, blend)))

    def _places(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Where each patch's frames lie in the whole motion, ``total`` for padding, and their weights."""
        frame = torch.arange(self.frames, device=like.device)
        length = torch.tensor(self.lengths, device=like.device)[:, None]
        place = torch.tensor(self.starts, device=like.device)[:, None] + frame
        weight = torch.ones(self.count, self.frames, dtype=like.dtype, device=like.device)
        if self.weights == "linear":
            ramp = fade(self.overlap, "linear").to(like)
            weight[1:, : self.overlap] *= ramp
            for i, end in enumerate(self.lengths[:-1]):
                weight[i, end - self.overlap : end] *= ramp.flip(0)
        inside = frame < length
        return torch.where(inside, place, self.total), weight * inside


def fade(frames: int, blend: Blend) -> Float[Tensor, " frames"]:
    """Weight of the later segment on each shared frame; a fade and its reverse sum to 1."""
    share = torch.arange(1, frames + 1) / (frames + 1)
    if blend == "linear":
        return share
    return (1 - torch.cos(math.pi * share)) / 2 if blend == "cosine" else torch.ones(frames)


def cross_fade(before: Tensor, after: Tensor, blend: Blend) -> Tensor:
    """From ``before`` to ``after``, both [frames, ...]."""
    share = fade(len(before), blend).to(before).reshape(-1, *[1] * (before.ndim - 1))
    return after if blend == "later" else before + share * (after - before)


def split_frames(frames: int, overlap: int, first: bool) -> tuple[int, ...]:
    """Lengths of the fewest, evenly long segments that add ``frames`` frames to a motion.

    Each segment begins ``overlap`` frames before the end of the motion so far, so that it adds its length
    less the overlap; only the ``first`` one of a motion adds all of its own.
    Raises ValueError when that is less than a segment can be, or the overlap leaves nothing to add.
    """
    if not 1 <= overlap < FRAMES_MAX:
        raise ValueError(f"overlap: expected 1 to {FRAMES_MAX - 1} frames, got {overlap}")
    added = frames - overlap if first else frames
    least = max(FRAMES_MIN - overlap, 1)
    if added < least:
        raise ValueError(
            f"seconds: expected at least {(least + overlap * first) / 20:g} s for this segment, "
            f"got {frames / 20:g} s"
        )
    count = -(-added // (FRAMES_MAX - overlap))
    return tuple(overlap + added // count + (i < added % count) for i in range(count))
