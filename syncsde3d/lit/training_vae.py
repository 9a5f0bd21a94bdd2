"""Trains the small autoencoder of the latent model."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import AutoencoderKL
from torch import Tensor

from syncsde3d.lit.training_common import AveragedTraining, save_grid
from syncsde3d.lit.training_data import to_unit


def small_vae(widths: tuple[int, ...] = (16, 32, 64), size: int = 128) -> AutoencoderKL:
    """An untrained AutoencoderKL: one halving per width but the first, 4 latent channels, no attention."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=size,
        scaling_factor=1.0,
        force_upcast=False,
    )


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Absolute, squared and gradient errors, and squared error of means over 8 x 8 pixels (colour)."""
    error = output - target
    down, right = error.diff(dim=-2).abs().mean(), error.diff(dim=-1).abs().mean()
    return (
        0.3 * error.abs().mean()
        + 2 * error.square().mean()
        + 0.2 * (down + right)
        + 3 * F.avg_pool2d(error, 8).square().mean()
    )


@torch.no_grad()
def fold_statistics(vae: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Make latents of the given per-channel statistics [4] zero-mean and unit-variance, in place and exactly.

    The change goes into the two 1x1 convolutions next to the latents, so ``scaling_factor`` stays 1 and
    decoding an encoded image gives what it gave before. The posterior's variance, which training leaves
    alone, becomes negligible.
    """
    quant, post = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    quant.weight[:channels] /= std.view(-1, 1, 1, 1)
    quant.bias[:channels] = (quant.bias[:channels] - mean) / std
    quant.weight[channels:] = 0
    quant.bias[channels:] = -12
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
    post.weight *= std.view(1, -1, 1, 1)


class VAETraining(AveragedTraining):
    """Autoencoder training: reconstruction from slightly noisy latents, PSNR logged.

    widths: channels per level. start: folder of weights to continue from (fresh optimizer, warm-up).
    decoder_only: keep the encoder as it is, so that latents stay valid.
    noise: in the latents while training, as a share of their standard deviation.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 32, 64),
        start: str | None = None,
        decoder_only: bool = False,
        noise: float = 0.05,
        lr: float = 2e-3,
        warmup: int = 100,
        decay: float = 0.995,
        minutes: float | None = None,
    ) -> None:
        super().__init__(lr, warmup, decay, minutes)
        self.save_hyperparameters()
        self.noise, self.decoder_only = noise, decoder_only
        self.take(AutoencoderKL.from_pretrained(start) if start else small_vae(widths))
        if decoder_only:
            self.net.encoder.requires_grad_(False)
            self.net.quant_conv.requires_grad_(False)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        image = to_unit(batch["image"])
        latents = self.net.encode(image).latent_dist.mode()
        spread = latents.detach().float().std((0, 2, 3), keepdim=True)
        output = self.net.decode(latents + self.noise * spread * torch.randn_like(latents)).sample
        loss = reconstruction_loss(output.float(), image)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        image = to_unit(batch["image"])
        output = (
            self.average.decode(self.average.encode(image).latent_dist.mode()).sample.float().clamp(-1, 1)
        )
        mse = ((output - image) / 2).square().mean((1, 2, 3))
        self.log("psnr", (-10 * mse.log10()).mean(), prog_bar=True)
        if batch_idx == 0:
            pairs = torch.stack((image[:16], output[:16]), 1).flatten(0, 1)
            save_grid(pairs, Path(self.trainer.default_root_dir) / "reconstructions.png")

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Write the averaged autoencoder with normalised latents (measured on validation pictures)."""
        vae = copy.deepcopy(self.average)
        if not self.decoder_only:
            device = next(vae.parameters()).device
            latents = [
                vae.encode(to_unit(batch["image"]).to(device)).latent_dist.mode()
                for batch in self.trainer.datamodule.val_dataloader()  # pyright: ignore
            ]
            z = torch.cat(latents).transpose(0, 1).flatten(1)
            fold_statistics(vae, z.mean(1), z.std(1))
        vae.half().save_pretrained(folder)
