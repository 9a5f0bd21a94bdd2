"""Images to latents and back through diffusers' AutoencoderKL, for canvases of any size.

Latents are ``scaling_factor * (z - shift_factor)`` of what the autoencoder encodes, float32 outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

#: The largest canvas decoded in one piece, in units of the autoencoder's own picture area. A wide image of
#: 13 windows is 4 of them. Beyond that diffusers decodes overlapping tiles and blends them.
WHOLE_AREAS = 8


def latent_factor(vae: Any) -> int:
    """How many image pixels make one latent, along a side."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


@torch.no_grad()
def encode_images(
    vae: Any,
    images: Float[Tensor, "n 3 H W"],
    max_batch: int | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n c h w"]:
    """Images in [-1, 1] to latents: the posterior's mean, or a sample of it drawn with ``generator``."""
    from diffusers.utils.torch_utils import randn_tensor

    config = vae.config
    posteriors = [vae.encode(part).latent_dist for part in _chunks(vae, images, max_batch)]
    latents = torch.cat([posterior.mean for posterior in posteriors]).float()
    if generator is not None:
        spread = torch.cat([posterior.std for posterior in posteriors]).float()
        latents = latents + spread * randn_tensor(latents.shape, generator, latents.device)
    return (latents - (config.shift_factor or 0.0)) * config.scaling_factor


@torch.no_grad()
def decode_latents(
    vae: Any, latents: Float[Tensor, "n c h w"], max_batch: int | None = None
) -> Float[Tensor, "n 3 H W"]:
    """Latents to images, about [-1, 1]; not clipped.

    A canvas wider than the model's own pictures is decoded in one piece, so that no window's border shows;
    in blended tiles if it is larger than :data:`WHOLE_AREAS`, or if ``vae.use_tiling`` says so.
    """
    config, tiling = vae.config, vae.use_tiling
    raw = latents / config.scaling_factor + (config.shift_factor or 0.0)
    vae.use_tiling = tiling or raw[0, 0].numel() > WHOLE_AREAS * vae.tile_latent_min_size**2
    try:
        return torch.cat([vae.decode(part).sample.float() for part in _chunks(vae, raw, max_batch)])
    finally:
        vae.use_tiling = tiling


def _chunks(vae: Any, images: Tensor, max_batch: int | None) -> Iterable[Tensor]:
    return images.to(vae.device, vae.dtype).split(max_batch or max(len(images), 1))
