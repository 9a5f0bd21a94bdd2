"""Long canvases: decoded as they grow, and conditioned on few prompts for many windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from syncsde3d.core.protocols import Denoiser, Prediction, Step

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def decode_strips(
    decode: Callable[[Tensor], Tensor],
    pieces: Iterable[Float[Tensor, "c h w"]],
    dim: int = -1,
    block: int = 64,
    overlap: int = 8,
) -> Iterator[Float[Tensor, "3 H W"]]:
    """Pictures of the pieces of one canvas, in memory that does not grow with it.

    The pieces are decoded in blocks of ``block`` latents along ``dim`` (-1: columns, -2: rows), of which each
    shares ``overlap`` with the one before and fades in over it. decode: latents [n, c, h, w] to images.
    Put the strips together along ``dim``. Raises ValueError unless 0 < overlap < block.
    """
    if not 0 < overlap < block:
        raise ValueError(f"overlap: expected 1 to {block - 1} latents, got {overlap}")
    held: Tensor | None = None
    tail: Tensor | None = None
    for piece in pieces:
        held = piece if held is None else torch.cat((held, piece), dim)
        while held.shape[dim] >= block + overlap:
            picture = decode(held.narrow(dim, 0, block)[None])[0]
            scale = picture.shape[dim] // block
            picture = _fade_in(picture, tail, dim)
            done = (block - overlap) * scale
            yield picture.narrow(dim, 0, done)
            tail = picture.narrow(dim, done, overlap * scale).clone()
            held = held.narrow(dim, block - overlap, held.shape[dim] - block + overlap).clone()
    if held is not None:
        yield _fade_in(decode(held[None])[0], tail, dim)


def _fade_in(picture: Tensor, tail: Tensor | None, dim: int) -> Tensor:
    """The picture, its first part fading in over what was there."""
    if tail is None:
        return picture
    length = tail.shape[dim]
    share = (torch.arange(length, device=tail.device) + 0.5).to(tail) / length
    share = share if dim == -1 else share[:, None]
    first = torch.lerp(tail, picture.narrow(dim, 0, length), share)
    return torch.cat((first, picture.narrow(dim, length, picture.shape[dim] - length)), dim)


@dataclass(frozen=True)
class SharedConditions:
    """A denoiser whose patches share the conditions of another one, which has few.

    row: which patch of ``denoiser`` has the condition of a patch.
    """

    denoiser: Denoiser
    row: Callable[[int], int]

    @property
    def prediction(self) -> Prediction:
        return self.denoiser.prediction

    @property
    def guidance_scale(self) -> float:
        return self.denoiser.guidance_scale

    def predict(
        self, y: Float[Tensor, "b c h w"], step: Step, patch: Int[Tensor, " b"], branch: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        rows = torch.tensor([self.row(i) for i in patch.tolist()], device=patch.device)
        return self.denoiser.predict(y, step, rows, branch)
