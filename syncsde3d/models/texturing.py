"""Models that can texture: what the texturing run asks of them, and how to get one by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from syncsde3d.core import Denoiser


class TextureModel(Protocol):
    """A pretrained image model that follows a picture of the geometry.

    revisions: every network's hub id or folder, with its revision, for the manifest. guided: whether it has
    an unconditional branch. control: which picture it wants. channels, size: of its latents; ``factor`` image
    pixels make one latent. scheduler: a diffusers scheduler with its noise schedule.
    """

    revisions: Mapping[str, str | None]
    guided: bool
    control: Literal["depth", "normal"]
    channels: int
    size: int
    factor: int
    scheduler: Any

    def condition(
        self,
        prompts: Sequence[str],
        *,
        negative_prompts: Sequence[str],
        control_images: Tensor | None,
        guidance_scale: float,
        control_scale: tuple[float, float],
    ) -> Denoiser:
        """The model with one prompt and one picture per view attached."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] to latents."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents to images in [-1, 1]."""
        ...


def load_texture_model(
    model: str,
    controlnet: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    device: torch.device | str = "cpu",
    max_batch: int | None = None,
    low_memory: bool = False,
) -> TextureModel:
    """The model by name: "embedded", "closed-form", a hub id or a local folder.

    Raises ValueError, in one line, when it is not there or does not fit.
    """
    if model == "closed-form":
        from syncsde3d.models.closed_form_texture import ClosedFormTexture

        return ClosedFormTexture()
    from syncsde3d.models.embedded import EmbeddedDiffusion, embedded_folder
    from syncsde3d.models.latent_diffusion import LatentDiffusion
    from syncsde3d.models.stable_diffusion import DEPTH_CONTROLNET

    embedded = model == "embedded"
    folder = str(embedded_folder("latent")) if embedded else model
    kind = EmbeddedDiffusion if embedded else LatentDiffusion
    loaded = kind.from_pretrained(folder, controlnet, dtype, device, low_memory, low_memory, max_batch)
    if loaded.controlnet is None:
        raise ValueError(
            f"controlnet: '{model}' has none of its own, and texturing needs one for depth; pass a hub id "
            f"or a folder, such as {DEPTH_CONTROLNET} for Stable Diffusion 1.5"
        )
    return loaded
