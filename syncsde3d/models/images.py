"""Text-to-image models: what the image tasks ask of them, and how to get one by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from syncsde3d.core import Denoiser
from syncsde3d.models.pretrained import Source, find_model
from syncsde3d.models.text import Prompt


class ImageModel(Protocol):
    """A pretrained text-to-image model, in latents or in pixels.

    revisions: every network's hub id or folder, with its revision, for the manifest. guided: whether it has
    an unconditional branch. channels, size: of the states it was trained on (a square; a window); ``factor``
    image pixels make one of theirs (1: it works in pixels). scheduler: a diffusers scheduler with its noise
    schedule.
    """

    revisions: Mapping[str, str | None]
    guided: bool
    channels: int
    size: int
    factor: int
    scheduler: Any

    def condition(
        self,
        prompts: Sequence[Prompt],
        negative_prompts: Sequence[str] | None = None,
        *,
        guidance_scale: float = ...,
    ) -> Denoiser:
        """The model with one prompt per patch attached, and a negative prompt (default "")."""
        ...

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images in [-1, 1] to states, of any size."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """States to images, about [-1, 1], of any size; a wide canvas shows no seams."""
        ...


def load_image_model(
    model: str,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    device: torch.device | str = "cpu",
    max_batch: int | None = None,
    low_memory: bool = False,
) -> ImageModel:
    """The model by name: "embedded", "embedded-pixel", a hub id or a local folder in diffusers' layout.

    Its ``model_index.json`` tells which family it is of: Stable Diffusion 1.x or 2.x (a ControlNet of its own
    is left aside), Stable Diffusion XL or 3, or DeepFloyd IF's first stage. low_memory: decode one picture,
    and one tile of it, at a time; Stable Diffusion 3 goes without T5.

    Raises ValueError, in one line, when it is not there or of another family.
    """
    from syncsde3d.models.embedded import EmbeddedDiffusion, EmbeddedPixels, embedded_folder
    from syncsde3d.models.latent_diffusion import LatentDiffusion

    if model == "embedded":
        folder = str(embedded_folder("latent"))
        return EmbeddedDiffusion.from_pretrained(
            folder, None, dtype, device, low_memory, low_memory, max_batch, text_only=True
        )
    if model == "embedded-pixel":
        return EmbeddedPixels.from_pretrained(str(embedded_folder("pixel")), dtype, device, keep_text=True)
    kind = pipeline_kind(find_model(model, ("model_index.json",)))
    if kind == "StableDiffusionXLPipeline":
        from syncsde3d.models.stable_diffusion_xl import StableDiffusionXL

        return StableDiffusionXL.from_pretrained(model, dtype, device, low_memory, max_batch)
    if kind == "StableDiffusion3Pipeline":
        from syncsde3d.models.stable_diffusion_3 import StableDiffusion3

        return StableDiffusion3.from_pretrained(model, dtype, device, low_memory, max_batch)
    if kind == "IFPipeline":
        from syncsde3d.models.deepfloyd import PixelDiffusion

        return PixelDiffusion.from_pretrained(model, dtype, device)
    if kind in ("", "StableDiffusionPipeline", "StableDiffusionControlNetPipeline"):
        return LatentDiffusion.from_pretrained(
            model, None, dtype, device, low_memory, low_memory, max_batch, text_only=True
        )
    raise ValueError(
        f"model: '{model}' is a {kind}, expected Stable Diffusion 1.x, 2.x, XL or 3, "
        "or DeepFloyd IF's first stage"
    )


def pipeline_kind(source: Source) -> str:
    """The pipeline's class that a model's ``model_index.json`` names; "" without one."""
    path = source.folder / "model_index.json"
    if not path.is_file():
        return ""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["_class_name"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"model '{source.name}': cannot read '{path}'") from error
