"""Trains the latent model: UNet and depth ControlNet jointly, on a frozen autoencoder."""

# diffusers' classes give their parts no precise types.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false, reportOperatorIssue=false

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, CLIPTokenizer

from syncsde3d.lit.training_common import (
    FALL,
    AveragedTraining,
    save_grid,
    small_text_encoder,
    velocity_weight,
)
from syncsde3d.lit.training_data import to_unit
from syncsde3d.lit.training_words import teach_words
from syncsde3d.models.embedded import word_tokenizer
from syncsde3d.synthetic.captions import vocabulary


class LatentNet(nn.Module):
    """Three parts as one module: ``unet``, ``controlnet``, ``text_encoder``."""

    def __init__(
        self, unet: UNet2DConditionModel, controlnet: ControlNetModel, text_encoder: CLIPTextModel
    ) -> None:
        super().__init__()
        self.unet, self.controlnet, self.text_encoder = unet, controlnet, text_encoder

    def forward(
        self,
        noisy: Tensor,
        t: Tensor,
        tokens: Tensor,
        depth: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Predicted velocity [b, 4, h, w]; the ControlNet sees only ``rows`` [k], with ``depth``.

        depth: [k, 3, 4h, 4w] in [0, 1]. tokens: [b, PROMPT_LENGTH].
        """
        text = self.text_encoder(tokens)[0]
        if depth is None or rows is None or len(rows) == 0:
            return self.unet(noisy, t, text).sample
        down, mid = self.controlnet(noisy[rows], t[rows], text[rows], depth, return_dict=False)

        def spread(residual: Tensor) -> Tensor:
            full = residual.new_zeros(len(noisy), *residual.shape[1:])
            return full.index_copy(0, rows, residual)

        return self.unet(
            noisy,
            t,
            text,
            down_block_additional_residuals=tuple(map(spread, down)),
            mid_block_additional_residual=spread(mid),
        ).sample


def small_latent_net(
    widths: tuple[int, int, int, int] = (32, 64, 128, 192),
    text_width: int = 128,
    vocab_size: int = 750,
    size: int = 32,
) -> LatentNet:
    """An untrained text-to-latent UNet with a depth ControlNet that starts from the UNet's own encoder.

    Attention at the two coarsest levels only. The UNet also gets pooled text next to the timestep
    (``addition_embed_type="text"``), which stock pipelines feed by themselves; half of that vector is for
    codes of what the caption says (:mod:`syncsde3d.lit.training_words`).
    """
    common = {
        "in_channels": 4,
        "down_block_types": ("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "block_out_channels": widths,
        "layers_per_block": 1,
        "norm_num_groups": 16,
        "cross_attention_dim": text_width,
        "attention_head_dim": (2, 2, 4, 6),
        "resnet_time_scale_shift": "scale_shift",
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 8,
    }
    unet = UNet2DConditionModel(
        sample_size=size,
        out_channels=4,
        time_embedding_dim=8 * widths[0],
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        **common,
    )
    controlnet = ControlNetModel(conditioning_embedding_out_channels=(8, 16, 32), **common)
    own = controlnet.state_dict()
    # the embeddings next to the timestep differ in width
    shared = {k: v for k, v in unet.state_dict().items() if k in own and v.shape == own[k].shape}
    controlnet.load_state_dict(shared, strict=False)
    return LatentNet(unet, controlnet, small_text_encoder(text_width, vocab_size))


def training_scheduler() -> DDIMScheduler:
    """Velocity prediction down to a zero signal-to-noise ratio; sampling starts at the very last timestep."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def drawn_timesteps(count: int, timesteps: int = 1000) -> Tensor:
    """Timesteps [count], stratified, four times as dense at the noisiest as at the cleanest, in random order.

    Near the noise, only prompt and depth tell what to draw, which is what a small model learns last; near the
    picture, little is left to learn.
    """
    drawn = (torch.randperm(count) + torch.rand(count)) / count
    share = ((0.16 + 2.4 * drawn).sqrt() - 0.4) / 1.2  # density 0.4 + 1.2 t
    return (share * timesteps).long().clamp(0, timesteps - 1)


def cut_out(batch: dict, size: int) -> dict:
    """A square of each picture and depth image, round a random point of the object or, without one, anywhere.

    size: its pixels squared; a multiple of 4.
    """
    n, _, h, w = batch["image"].shape
    seen = batch["depth"].flatten(1).float()
    centre = torch.where(seen.any(1, keepdim=True), seen.gt(0).float(), 1.0).multinomial(1).squeeze(1)
    top, left = (
        (middle - size // 2).clamp(0, side - size) // 4 * 4
        for middle, side in ((centre // w, h), (centre % w, w))
    )
    rows = (top[:, None] + torch.arange(size, device=top.device))[:, None, :, None]
    columns = (left[:, None] + torch.arange(size, device=top.device))[:, None, None, :]
    picture = torch.arange(n, device=top.device)[:, None, None, None]

    def cut(images: Tensor) -> Tensor:
        channels = torch.arange(images.shape[1], device=top.device)[None, :, None, None]
        return images[picture, channels, rows, columns]

    return {**batch, "image": cut(batch["image"]), "depth": cut(batch["depth"])}


class LatentTraining(AveragedTraining):
    """Joint training of UNet and ControlNet; the text encoder learns before them, then stays.

    vae: folder of the trained autoencoder. start: pipeline folder to continue from (fresh optimizer and
    warm-up). widths: UNet channels per level. text_width: of the text encoder. depth_share: of the whole
    pictures with a depth image that get to use it. focus: further weight of the object's pixels where depth
    tells which they are, at an equal sum per picture: plain ground takes most of a picture, and what its
    colour is cannot be known at first; what is learned stays the same. words: the text encoder's steps, on
    captions alone, in a run that starts from nothing. crop: pixels squared of the cut-outs round objects
    (:func:`cut_out`) that three of four batches are made of until the learning rate falls, 0 for whole
    pictures only: a third of the time each, most of the object. sampled: pictures in each validation's sample
    grid, 0 for none.
    """

    def __init__(
        self,
        vae: str,
        start: str | None = None,
        widths: tuple[int, int, int, int] = (32, 64, 128, 192),
        text_width: int = 128,
        depth_share: float = 0.88,
        focus: float = 15.0,
        words: int = 300,
        crop: int = 64,
        sampled: int = 16,
        lr: float = 1e-3,
        warmup: int = 200,
        decay: float = 0.998,
        minutes: float | None = None,
    ) -> None:
        super().__init__(lr, warmup, decay, minutes)
        self.save_hyperparameters()
        self.depth_share, self.focus, self.crop, self.sampled = depth_share, focus, crop, sampled
        self.words = 0 if start else words
        if start:
            load = lambda cls, part: cls.from_pretrained(start, subfolder=part).float()  # noqa: E731
            self.tokenizer = CLIPTokenizer.from_pretrained(start, subfolder="tokenizer")
            parts = (
                (UNet2DConditionModel, "unet"),
                (ControlNetModel, "controlnet"),
                (CLIPTextModel, "text_encoder"),
            )
            net = LatentNet(*(load(*part) for part in parts))
        else:
            self.tokenizer = word_tokenizer(vocabulary())
            net = small_latent_net(widths, text_width, len(self.tokenizer))
        net.text_encoder.requires_grad_(False)  # gradients make one word of all objects: depth shows them
        net.unet.add_embedding.requires_grad_(False)
        self.take(net.to(memory_format=torch.channels_last))  # pyright: ignore
        self.vae = AutoencoderKL.from_pretrained(vae).float().requires_grad_(False).eval()
        self.vae.to(memory_format=torch.channels_last)  # pyright: ignore
        self.scheduler = training_scheduler()
        self.register_buffer("weight", velocity_weight(self.scheduler.alphas_cumprod), persistent=False)

    def tokens(self, captions: list[str]) -> Tensor:
        """Token ids [b, PROMPT_LENGTH] on this module's device."""
        out = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
        return out.input_ids.to(self.device)

    def on_train_start(self) -> None:
        if self.words and self.global_step == 0:  # not where a run is taken up again
            text, embedding = self.net.text_encoder, self.net.unet.add_embedding
            parts = nn.ModuleList((text, embedding))
            teach_words(lambda said: text(self.tokens(said))[0], embedding, parts, self.words)
            self.average.load_state_dict(self.net.state_dict())

    def loss(
        self, net: nn.Module, batch: dict, t: Tensor, noise: Tensor, use_depth: Tensor, focus: float = 0.0
    ) -> Tensor:
        """Weighted velocity error per picture [b] at timesteps ``t`` [b]; ``focus`` as in the constructor."""
        image = to_unit(batch["image"]).contiguous(memory_format=torch.channels_last)
        with (
            torch.no_grad(),
            torch.autocast(self.device.type, torch.bfloat16),
        ):  # 3 % off, 3x as fast
            latents = self.vae.encode(image).latent_dist.mode().float()
        noisy = self.scheduler.add_noise(latents, noise, t)  # pyright: ignore
        target = self.scheduler.get_velocity(latents, noise, t)  # pyright: ignore
        rows = use_depth.nonzero().squeeze(1)
        if (
            len(rows) == 0
        ):  # every weight takes part in every step, or several devices would wait for each other
            rows = torch.zeros(1, dtype=torch.long, device=self.device)
        depth = batch["depth"][rows].float().expand(-1, 3, -1, -1) / 255
        # on a CPU the fused attention's backward pass is slower than the plain one for so few tokens
        with sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext():
            output = net(noisy, t, self.tokens(batch["caption"]), depth, rows)
        seen = F.avg_pool2d((batch["depth"] > 0).float(), 4) * use_depth.view(-1, 1, 1, 1)
        share = 1 + focus * seen
        error = share / share.mean((2, 3), keepdim=True) * (output.float() - target).square()
        return self.weight[t] * error.mean((1, 2, 3))  # pyright: ignore

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        cut = self.crop > 0 and self.progress() < FALL and batch_idx % 4 > 0
        if cut:
            batch = cut_out(batch, self.crop)
        b = len(batch["image"])
        t = drawn_timesteps(b).to(self.device)
        noise = torch.randn(b, 4, *(s // 4 for s in batch["image"].shape[2:]), device=self.device)
        chosen = torch.rand(b, device=self.device) < self.depth_share
        use_depth = batch["has_depth"] & (chosen | cut)  # only depth tells where in the object a cut-out is
        loss = self.loss(self.net, batch, t, noise, use_depth, self.focus).mean()
        self.log("loss", loss, prog_bar=True, batch_size=b)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        b = len(batch["image"])
        generator = torch.Generator().manual_seed(batch_idx)
        t = ((torch.arange(b) * 377 + 189) % 1000).to(self.device)
        noise = torch.randn(b, 4, *(s // 4 for s in batch["image"].shape[2:]), generator=generator).to(
            self.device
        )
        loss = self.loss(self.average, batch, t, noise, batch["has_depth"]).mean()
        self.log("val_loss", loss, prog_bar=True, batch_size=b)
        if batch_idx == 0 and self.sampled and self.global_rank == 0 and not self.trainer.sanity_checking:
            images = self.sample(batch, self.sampled)
            pairs = torch.stack((to_unit(batch["image"][: self.sampled]), images), 1).flatten(0, 1)
            save_grid(pairs, Path(self.trainer.default_root_dir) / f"samples_{self.global_step:06d}.png")

    def pipeline(self) -> StableDiffusionControlNetPipeline:
        """The averaged model as a stock pipeline."""
        return StableDiffusionControlNetPipeline(
            vae=self.vae,
            text_encoder=self.average.text_encoder,  # pyright: ignore
            tokenizer=self.tokenizer,
            unet=self.average.unet,  # pyright: ignore
            controlnet=self.average.controlnet,  # pyright: ignore
            scheduler=self.scheduler,
            safety_checker=None,  # pyright: ignore
            feature_extractor=None,  # pyright: ignore
            requires_safety_checker=False,
        )

    def sample(self, batch: dict, count: int, steps: int = 20) -> Tensor:
        """Pictures [count, 3, h, w] in [-1, 1] for the first captions and depth images of a batch."""
        pipeline = self.pipeline()
        pipeline.set_progress_bar_config(disable=True)
        depth = [Image.fromarray(d[0].cpu().numpy()).convert("RGB") for d in batch["depth"][:count]]
        with torch.autocast(self.device.type, enabled=False):
            images = pipeline(
                batch["caption"][:count],
                image=depth,
                num_inference_steps=steps,
                guidance_scale=3.0,
                generator=torch.Generator().manual_seed(0),
                output_type="np",
            ).images  # pyright: ignore
        return torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2) * 2 - 1

    def export(self, folder: Path) -> None:
        """Write the whole pipeline in files of at most 14 MB.

        Weights are float16, but for the small text encoder: transformers loads weights in the type they are
        stored in, diffusers in float32, so a stock pipeline would mix the two.
        """
        pipeline = self.pipeline()
        halves = {
            name: copy.deepcopy(getattr(pipeline, name)).half() for name in ("vae", "unet", "controlnet")
        }
        pipeline.register_modules(**halves)
        pipeline.save_pretrained(folder, max_shard_size="14MB")
