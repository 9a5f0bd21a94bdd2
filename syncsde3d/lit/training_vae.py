"""Trains the small autoencoder of the latent model."""

# diffusers' classes give their parts no precise types.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false, reportOperatorIssue=false

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import AutoencoderKL
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor

from syncsde3d.lit.training_common import AveragedTraining, save_grid
from syncsde3d.lit.training_data import to_unit


def small_vae(widths: tuple[int, ...] = (16, 32, 64), size: int = 128) -> AutoencoderKL:
    """An untrained AutoencoderKL: one halving per width but the first, 4 latent channels, no attention."""
    vae = AutoencoderKL(
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
    start_as_pyramid(vae)
    return vae


@torch.no_grad()
def start_as_pyramid(vae: AutoencoderKL, constant: float = 3.0) -> None:
    """Initialise so that the untrained autoencoder already shrinks and enlarges the picture, in place.

    Channels 0, 1 and 4 carry red, green and blue through all shortcuts, averaged over 2 x 2 pixels by each
    halving, interpolated by each doubling; every residual branch starts at zero. Group normalisation would
    forget the overall colour: channels 2, 3, 5 and 6 carry +-``constant``, beside which it is almost linear.
    """
    encoder, decoder = vae.encoder, vae.decoder
    signs = {2: 1.0, 3: -1.0, 5: 1.0, 6: -1.0}
    keep = 7

    def tap(conv: Any, kernel: Tensor, sources: Sequence[int]) -> None:
        """Channel ``i`` of the carried ones becomes ``sources[i]``, filtered by ``kernel``; -1 is nothing."""
        conv.weight[:keep] = 0
        conv.bias[:keep] = 0
        for channel, source in enumerate(sources):
            if source >= 0:
                conv.weight[channel, source] = kernel

    same, first = range(keep), [0, 1, -1, -1, 2, -1, -1]
    centre, box = torch.zeros(3, 3), torch.zeros(3, 3)
    centre[1, 1], box[:2, :2] = 1, 0.25
    smooth = torch.outer(ramp := torch.tensor([0.25, 0.5, 0.25]), ramp)
    for m in vae.modules():
        if isinstance(m, ResnetBlock2D):
            m.conv2.weight.zero_()
            m.conv2.bias.zero_()
            if m.conv_shortcut is not None:
                tap(m.conv_shortcut, torch.ones(1, 1), same)
        elif isinstance(m, Downsample2D):
            tap(m.conv, box, same)
        elif isinstance(m, Upsample2D):
            tap(m.conv, smooth, [0, 1, -1, -1, 4, -1, -1])
            for channel in signs:
                m.conv.weight[channel, channel, 1, 1] = 1
        elif m is vae.quant_conv or m is vae.post_quant_conv:
            m.weight.copy_(torch.eye(len(m.weight))[:, :, None, None])
            m.bias.zero_()
    for half, channels in ((encoder, 3), (decoder, 4)):
        tap(half.conv_in, centre, first)
        for channel, sign in signs.items():
            half.conv_in.bias[channel] = sign * constant
        half.conv_norm_out.bias[:keep] = 3.0  # where SiLU is almost linear
        source = torch.rand(96, channels, 1, 1) * 2 - 1 + torch.randn(96, channels, 16, 16) * 0.2
        features: list[Tensor] = []
        hook = half.conv_out.register_forward_pre_hook(lambda _, x, kept=features: kept.append(x[0]))
        half(source)
        hook.remove()
        size = features[0].shape[-2:]
        target = F.adaptive_avg_pool2d(source, size) if half is encoder else F.interpolate(source, size=size)
        known = features[0][:, :keep, ::4, ::4].transpose(0, 1).flatten(1).T
        known = torch.cat((known, torch.ones(len(known), 1)), 1)
        wanted = target[:, :3, ::4, ::4].transpose(0, 1).flatten(1).T
        fit = torch.linalg.lstsq(known, wanted, driver="gelsd").solution
        half.conv_out.weight[:3] *= 0.1
        half.conv_out.weight[:3, :keep] = 0
        half.conv_out.weight[:3, :keep, 1, 1] = fit[:keep].T
        half.conv_out.bias[:3] = fit[keep]


@torch.no_grad()
def fit_output(vae: AutoencoderKL, pictures: Sequence[Tensor], per_picture: int = 1000) -> None:
    """Solve the decoder's last convolution by least squares for the given pictures, in place.

    pictures: batches [b, 3, h, w] in [-1, 1]. per_picture: pixels used of each. Latents stay as they are.
    """
    conv = vae.decoder.conv_out
    inputs = conv.weight[0].numel()
    normal = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
    moment = torch.zeros(inputs + 1, 3, dtype=torch.float64)
    seen: list[Tensor] = []
    hook = conv.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    for batch in pictures:
        latents = vae.encode(batch).latent_dist.mode()
        spread = latents.std((0, 2, 3), keepdim=True)
        vae.decode(latents + 0.05 * spread * torch.randn_like(latents))
        chosen = torch.randperm(batch.shape[2] * batch.shape[3])[:per_picture]
        rows = (
            F.unfold(seen.pop(), 3, padding=1)[:, :, chosen]
            .transpose(1, 2)
            .reshape(-1, inputs)
            .double()
            .cpu()
        )
        rows = torch.cat((rows, rows.new_ones(len(rows), 1)), 1)
        normal += rows.T @ rows
        moment += rows.T @ batch.flatten(2)[:, :, chosen].transpose(1, 2).reshape(-1, 3).double().cpu()
    hook.remove()
    ridge = 1e-5 * normal.diagonal().mean()  # keeps weights below 3: larger ones fail in half precision
    solution = torch.linalg.solve(normal + ridge * torch.eye(inputs + 1), moment).to(conv.weight)
    conv.weight.copy_(solution[:inputs].T.view_as(conv.weight))
    conv.bias.copy_(solution[inputs])


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
def whiten_latents(vae: AutoencoderKL, latents: Tensor) -> None:
    """Make latents zero-mean, unit-variance and uncorrelated, in place and exactly.

    latents: those of some pictures [n, c, h, w]. Without this, red, green and blue vary together, noise of
    equal size hides colour long before brightness, and samples come out speckled. The change goes into the
    two 1x1 convolutions next to the latents: ``scaling_factor`` stays 1, and decoding an encoded picture
    gives what it gave before. The posterior's variance, which training leaves alone, becomes negligible.
    """
    quant, post = vae.quant_conv, vae.post_quant_conv
    z = latents.transpose(0, 1).flatten(1).double()
    mean, (values, vectors) = z.mean(1), torch.linalg.eigh(torch.cov(z))
    forward = (vectors * values.rsqrt() @ vectors.T).to(quant.weight)
    back = (vectors * values.sqrt() @ vectors.T).to(quant.weight)
    mean, c = mean.to(quant.weight), len(mean)
    quant.weight[:c] = torch.einsum("ij,jkab->ikab", forward, quant.weight[:c])
    quant.bias[:c] = forward @ (quant.bias[:c] - mean)
    quant.weight[c:] = 0
    quant.bias[c:] = -12
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight.copy_((post.weight[:, :, 0, 0] @ back)[:, :, None, None])


class VAETraining(AveragedTraining):
    """Autoencoder training: reconstruction from slightly noisy latents, PSNR logged.

    widths: channels per level. start: folder of weights to continue from (fresh optimizer, warm-up).
    decoder_only: keep the encoder as it is, so that latents stay valid.
    fitted: batches that a new autoencoder's last layer is solved from, by least squares, before training.
    noise: in the latents while training, as a share of their standard deviation.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 32, 64),
        start: str | None = None,
        decoder_only: bool = False,
        fitted: int = 8,
        noise: float = 0.1,
        lr: float = 2e-4,
        warmup: int = 100,
        decay: float = 0.995,
        minutes: float | None = None,
    ) -> None:
        super().__init__(lr, warmup, decay, minutes)
        self.save_hyperparameters()
        self.noise, self.decoder_only = noise, decoder_only
        self.fresh, self.fitted = start is None, fitted
        self.take(AutoencoderKL.from_pretrained(start) if start else small_vae(widths))
        if decoder_only:
            self.net.encoder.requires_grad_(False)
            self.net.quant_conv.requires_grad_(False)

    def configure_model(self) -> None:
        """Solve a new autoencoder's last layer, before a checkpoint is restored or devices get copies."""
        if self.fresh:
            self.fresh = False
            loader = iter(self.trainer.datamodule.train_dataloader())  # pyright: ignore
            pictures = [to_unit(next(loader)["image"]).to(self.device) for _ in range(self.fitted)]
            fit_output(self.net, pictures)
            self.average.load_state_dict(self.net.state_dict())

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
        if batch_idx == 0 and self.global_rank == 0:
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
            whiten_latents(vae, torch.cat(latents))
        vae.half().save_pretrained(folder)
