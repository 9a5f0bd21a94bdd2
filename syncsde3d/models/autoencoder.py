"""Images to latents and back through diffusers' AutoencoderKL, for canvases of any size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

#: The largest canvas decoded in one piece, in pixels: 13 windows of 1024, about 13 GB in float32. Beyond that
#: diffusers decodes overlapping tiles and blends them.
WHOLE_PIXELS = 2**22


def latent_factor(vae: Any) -> int:
    """How many image pixels make one latent, along a side."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


def check_channels(channels: int, latent_channels: int) -> None:
    """Refuse, by ValueError, a network that takes more, or less, than the autoencoder's latents."""
    if channels != latent_channels:
        raise ValueError(
            f"model: its network takes {channels} channels and latents have {latent_channels}: made for "
            "inpainting or another special use, expected a plain text-to-image model"
        )


class LatentImages:
    """The half of a latent model that is its autoencoder.

    vae: diffusers' AutoencoderKL. max_batch: most images in one call of it; None takes all. Latents are
    ``scaling_factor * (z - shift_factor)`` of what it encodes, float32 outside.
    """

    vae: Any
    max_batch: int | None

    @torch.no_grad()
    def encode(
        self, images: Float[Tensor, "n 3 H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n c h w"]:
        """Images in [-1, 1] to latents: the posterior's mean, or a sample of it drawn with ``generator``."""
        from diffusers.utils.torch_utils import randn_tensor

        config = self.vae.config
        posteriors = [self.vae.encode(part).latent_dist for part in self._chunks(images)]
        latents = torch.cat([posterior.mean for posterior in posteriors]).float()
        if generator is not None:
            spread = torch.cat([posterior.std for posterior in posteriors]).float()
            latents = latents + spread * randn_tensor(latents.shape, generator, latents.device)
        return (latents - (config.shift_factor or 0.0)) * config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 3 H W"]:
        """Latents to images, about [-1, 1]; not clipped.

        A canvas wider than the model's own pictures is decoded in one piece, so that no window's border
        shows; in blended tiles if it is larger than :data:`WHOLE_PIXELS`, or if ``vae.use_tiling`` says so.
        """
        config, tiling = self.vae.config, self.vae.use_tiling
        raw = latents / config.scaling_factor + (config.shift_factor or 0.0)
        large = raw[0, 0].numel() * latent_factor(self.vae) ** 2 > WHOLE_PIXELS
        self.vae.use_tiling = tiling or large
        try:
            images = torch.cat([self.vae.decode(part).sample.float() for part in self._chunks(raw)])
        finally:
            self.vae.use_tiling = tiling
        if not images.isfinite().all():
            raise ValueError("model: it gave values that are not finite; try dtype float32 or bfloat16")
        return images

    def _chunks(self, images: Tensor) -> Iterable[Tensor]:
        return images.to(self.vae.device, self.vae.dtype).split(self.max_batch or max(len(images), 1))
