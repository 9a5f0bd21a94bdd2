"""Picture pyramids: a pixel model, the stage that enlarges its pictures, and the ×4 upscaler after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from syncsde3d.models.deepfloyd import DEEPFLOYD, PixelDiffusion
from syncsde3d.models.upscaler import UPSCALER, Upscaler


@dataclass(frozen=True)
class Cascade:
    """Stages in order; the first makes pictures, a second enlarges them, the upscaler enlarges the result.

    The stages share one text encoder, so that each prompt is encoded once for both. Patches of every stage
    are synchronised, stage II's each on its own smaller picture; the upscaler enlarges the finished picture.
    """

    stages: tuple[PixelDiffusion, ...]
    upscaler: Upscaler | None = None

    @property
    def revisions(self) -> dict[str, str | None]:
        """Every network's hub id or folder, with its revision."""
        parts = (*self.stages, *([self.upscaler] if self.upscaler else []))
        return {name: revision for part in parts for name, revision in part.revisions.items()}

    @property
    def size(self) -> int:
        """Pixels along a side of the finished picture."""
        return self.stages[-1].size * (self.upscaler.factor if self.upscaler else 1)


def load_cascade(
    model: str = "embedded",
    second: str | None = None,
    upscaler: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    device: torch.device | str = "cpu",
    max_batch: int | None = None,
    low_memory: bool = False,
) -> Cascade:
    """A cascade by name.

    model: "embedded" (one stage, 64 px), "deepfloyd" (DeepFloyd IF's two stages and Stable Diffusion's
    upscaler from the hub: 64, 256, 1024 px), or a first stage's hub id or folder. second, upscaler: hub ids
    or folders of the others; None leaves them out. low_memory: decode the enlarged picture in tiles.

    Raises ValueError, in one line: not found, gated (then how to accept the licence), of another family.
    """
    if model == "deepfloyd":
        model, second, upscaler = DEEPFLOYD[0], second or DEEPFLOYD[1], upscaler or UPSCALER
    if model == "embedded":
        from syncsde3d.models.embedded import EmbeddedPixels, embedded_folder

        first = EmbeddedPixels.from_pretrained(str(embedded_folder("pixel")), dtype, device, keep_text=True)
    else:
        first = PixelDiffusion.from_pretrained(model, dtype, device)
    if first.enlarges:
        raise ValueError(
            f"model: '{model}' enlarges pictures, expected a first stage, such as {DEEPFLOYD[0]}"
        )
    stages = [first]
    if second is not None:
        stages.append(PixelDiffusion.from_pretrained(second, dtype, device, text=first.text))
        if not stages[1].enlarges:
            raise ValueError(
                f"second: '{second}' takes no pictures, expected a second stage, such as {DEEPFLOYD[1]}"
            )
    last = Upscaler.from_pretrained(upscaler, dtype, device, low_memory, max_batch) if upscaler else None
    return Cascade(tuple(stages), last)
