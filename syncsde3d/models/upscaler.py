"""Stable Diffusion's ×4 upscaler, the last stage of the pixel cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from syncsde3d.core.protocols import Prediction
from syncsde3d.models.autoencoder import LatentImages, latent_factor
from syncsde3d.models.deepfloyd import ConditionedPixels, noised
from syncsde3d.models.pretrained import find_parts, load_parts, load_scheduler, to_dtype
from syncsde3d.models.prompt_encoder import PromptEncoder
from syncsde3d.models.schedulers import trained_prediction
from syncsde3d.models.text import Prompt, check_prompts, mix, texts

if TYPE_CHECKING:
    from jaxtyping import Float

UPSCALER = "stabilityai/stable-diffusion-x4-upscaler"

_NEEDED = ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "low_res_scheduler")


class Upscaler(LatentImages):
    """Enlarges pictures by ``factor``; :meth:`condition` makes a denoiser of latents of the pictures' size.

    channels: of its latents. scheduler, prediction, revisions: see
    :class:`~syncsde3d.models.images.ImageModel`.

    Args:
        unet, vae: diffusers' UNet2DConditionModel, AutoencoderKL. text: makes prompts embeddings.
        scheduler: a diffusers scheduler. noising: one with the noise schedule of the small pictures.
        max_batch: most images in one call of the autoencoder; None takes all.
    """

    guided = True

    def __init__(
        self,
        unet: Any,
        vae: Any,
        text: PromptEncoder,
        scheduler: Any,
        noising: Any,
        max_batch: int | None = None,
        revisions: Mapping[str, str | None] | None = None,
    ) -> None:
        self.unet, self.vae, self.text = unet, vae, text
        self.scheduler, self.noising, self.max_batch = scheduler, noising, max_batch
        self.revisions: Mapping[str, str | None] = revisions or {}
        self.prediction: Prediction = trained_prediction(scheduler)
        self.channels: int = vae.config.latent_channels
        self.factor = latent_factor(vae)
        if unet.config.in_channels != self.channels + 3:
            raise ValueError(
                f"upscaler: its U-Net takes {unet.config.in_channels} channels, expected "
                f"{self.channels + 3} for latents and a picture"
            )

    @classmethod
    def from_pretrained(
        cls,
        model: str = UPSCALER,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: torch.device | str = "cpu",
        low_memory: bool = False,
        max_batch: int | None = None,
    ) -> Upscaler:
        """An upscaler from a local folder in diffusers' layout, or a Hub id, with ``@revision`` if wanted.

        low_memory: decode one picture, and one tile of it, at a time. The autoencoder overflows in float16
        and stays float32 there. Raises ValueError, in one line: not found, damaged, of another family.
        """
        import diffusers

        precision = to_dtype(dtype)
        family = "Stable Diffusion's upscaler"
        source = find_parts(model, _NEEDED, family, option="upscaler", instead=(UPSCALER,))
        kinds = {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL}
        exact = ("vae",) if precision == torch.float16 else ()
        parts = load_parts(source, kinds, precision, device, exact)
        parts["vae"].use_slicing = parts["vae"].use_tiling = low_memory
        text = PromptEncoder(source, precision, torch.device(device), keep=True, masked=False)
        noising = load_scheduler(source, "low_res_scheduler")
        revisions = {source.name: source.revision}
        return cls(**parts, text=text, noising=noising, max_batch=max_batch, revisions=revisions)

    def condition(
        self,
        prompts: Sequence[Prompt],
        negative_prompts: Sequence[str] | None = None,
        guidance_scale: float = 9.0,
        *,
        pictures: Float[torch.Tensor, "n 3 h w"],
        noise: Float[torch.Tensor, "n 3 h w"],
        noise_level: int = 20,
    ) -> ConditionedPixels:
        """The denoiser that enlarges n pictures in [-1, 1], each with its prompt and negative prompt.

        noise: unit Gaussian, added to the pictures up to ``noise_level`` of the noising schedule. The states
        to sample are [n, channels, h, w]; :meth:`decode` makes them images ``factor`` times as large.
        """
        negatives = check_prompts(prompts, negative_prompts)
        low = noised(self.noising, pictures.to(self.unet.device), noise, noise_level)
        rows = [*prompts, *negatives]
        text = mix(rows, self.text(texts(rows))).unflatten(0, (2, -1))
        return ConditionedPixels(self.unet, self.prediction, guidance_scale, text, low, noise_level)
