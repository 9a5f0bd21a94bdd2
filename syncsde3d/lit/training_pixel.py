"""Trains the pixel model: text to 64 px pictures, in the format of DeepFloyd IF's first stage."""

# diffusers' classes give their parts no precise types.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false, reportOperatorIssue=false

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import BatchEncoding, CLIPTextModel, CLIPTokenizer

from syncsde3d.lit.training_common import (
    AveragedTraining,
    save_grid,
    small_text_encoder,
    velocity_weight,
)
from syncsde3d.lit.training_data import to_unit
from syncsde3d.lit.training_words import teach_words
from syncsde3d.models.embedded import word_tokenizer
from syncsde3d.synthetic.captions import vocabulary

#: Pixels squared, and tokens per prompt (the number that IF's pipeline pads to).
SIZE, TOKENS = 64, 77
#: Further noise on the network's input at training, of the noise's own deviation; the target stays. A sampler
#: feeds the network its own errors, and this is what they look like (input perturbation, Ning et al. 2023).
PERTURBED = 0.1


class PixelNet(nn.Module):
    """``unet`` and ``text_encoder`` as one trained module."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, noisy: Tensor, t: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Predicted velocity [b, 3, 64, 64]; the UNet's further three channels mean nothing and stay 0.

        mask: 1 on the tokens of the prompt, 0 on its padding [b, TOKENS], which IF's pipeline always gives.
        """
        return self.unet(noisy, t, self.text_encoder(tokens, attention_mask=mask)[0]).sample[:, :3]


def small_pixel_net(widths: tuple[int, ...], text_width: int, vocab_size: int) -> PixelNet:
    """An untrained text-to-picture UNet, pooled text beside the timestep; attention on the level before the
    coarsest, where it tells outlines soonest.

    The finest level is narrow, for it has most of the pixels; the embedding that the text joins is not, and
    half of it is for codes of what the caption says (:mod:`syncsde3d.lit.training_words`).

    Six channels come out, as IF's pipeline expects of a model that also predicts its variance.
    """
    levels = len(widths)
    unet = UNet2DConditionModel(
        sample_size=SIZE,
        in_channels=3,
        out_channels=6,
        down_block_types=("DownBlock2D",) * (levels - 2) + ("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D") + ("UpBlock2D",) * (levels - 2),
        mid_block_type="UNetMidBlock2D",
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=8,
        time_embedding_dim=512,
        cross_attention_dim=text_width,
        attention_head_dim=(4,) * levels,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )
    with torch.no_grad():
        unet.conv_out.weight[3:] = 0
        unet.conv_out.bias[3:] = 0
    return PixelNet(unet, small_text_encoder(text_width, vocab_size, TOKENS))


def training_scheduler() -> DDPMScheduler:
    """IF's squared-cosine schedule; velocity prediction down to a zero signal-to-noise ratio."""
    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        variance_type="fixed_small",
        clip_sample=True,
    )


class PixelTraining(AveragedTraining):
    """Training of the UNet on pictures averaged to 64 px; the text encoder learns before it, then stays.

    start: pipeline folder to continue from (fresh optimizer and warm-up). widths: UNet channels per level.
    text_width: of the text encoder. words: the text encoder's steps, on captions
    alone, in a run that starts from nothing. noisy_from: no timestep below is trained. compiled: compile the
    UNet, which takes minutes and then saves a quarter of the time on a CPU.
    sampled: pictures in each validation's sample grid, 0 for none.
    """

    def __init__(
        self,
        start: str | None = None,
        widths: tuple[int, ...] = (16, 32, 64, 152, 192),
        text_width: int = 128,
        words: int = 300,
        noisy_from: int = 0,
        compiled: bool = False,
        sampled: int = 16,
        lr: float = 1e-3,
        warmup: int = 200,
        decay: float = 0.998,
        minutes: float | None = None,
    ) -> None:
        super().__init__(lr, warmup, decay, minutes)
        self.save_hyperparameters()
        self.sampled, self.words, self.noisy_from = sampled, 0 if start else words, noisy_from
        self.compiled = compiled
        if start:
            self.tokenizer = CLIPTokenizer.from_pretrained(start, subfolder="tokenizer")
            unet = UNet2DConditionModel.from_pretrained(start, subfolder="unet").float()
            net = PixelNet(unet, CLIPTextModel.from_pretrained(start, subfolder="text_encoder").float())
        else:
            self.tokenizer = word_tokenizer(vocabulary(), TOKENS)
            net = small_pixel_net(widths, text_width, len(self.tokenizer))
        net.text_encoder.requires_grad_(False)  # gradients make one word of all objects, shapeless at first
        net.unet.add_embedding.requires_grad_(False)
        self.take(net.to(memory_format=torch.channels_last))  # pyright: ignore
        self.scheduler = training_scheduler()
        self.register_buffer("weight", velocity_weight(self.scheduler.alphas_cumprod), persistent=False)

    def tokens(self, captions: list[str]) -> BatchEncoding:
        """``input_ids`` and ``attention_mask`` [b, TOKENS] on this module's device."""
        return self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").to(
            self.device
        )

    def on_train_start(self) -> None:
        if self.words and self.global_step == 0:  # not where a run is taken up again
            text, embedding = self.net.text_encoder, self.net.unet.add_embedding
            parts = nn.ModuleList((text, embedding))
            encode = lambda said: text(**self.tokens(said))[0]  # noqa: E731
            teach_words(encode, embedding, parts, self.words)
            self.average.load_state_dict(self.net.state_dict())
        if self.compiled:
            self.net.unet.compile()

    def loss(
        self,
        net: nn.Module,
        batch: dict,
        t: Tensor,
        generator: torch.Generator | None = None,
        perturbed: float = 0.0,
    ) -> Tensor:
        """Weighted velocity error per picture [b] at timesteps ``t`` [b].

        perturbed: deviation of further noise on the input, which the target leaves out, in the noise's own.

        No pixel weighs more than another: without depth the model cannot know where objects are, and would
        learn to draw them everywhere.
        """
        x0 = F.adaptive_avg_pool2d(to_unit(batch["image"]), SIZE)
        noise = torch.randn(x0.shape, generator=generator).to(x0)
        met = noise + perturbed * torch.randn_like(noise)
        noisy = self.scheduler.add_noise(x0, met, t).contiguous(memory_format=torch.channels_last)
        target = self.scheduler.get_velocity(x0, noise, t)
        said = self.tokens(batch["caption"])
        output = net(noisy, t, said.input_ids, said.attention_mask)
        return self.weight[t] * (output.float() - target).square().mean((1, 2, 3))

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        b = len(batch["image"])
        # shape is decided in the noisiest third: in a mean over many pixels little noise is left
        cleaner = ((torch.randperm(b) + torch.rand(b)) / b) ** 1.5 * (1 - self.noisy_from / 1000)
        t = (999.99 * (1 - cleaner)).long().to(self.device)
        loss = self.loss(self.net, batch, t, perturbed=PERTURBED).mean()
        self.log("loss", loss, prog_bar=True, batch_size=b)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        b = len(batch["image"])
        t = ((torch.arange(b) * 377 + 189) % 1000).to(self.device)
        loss = self.loss(self.average, batch, t, torch.Generator().manual_seed(batch_idx)).mean()
        self.log("val_loss", loss, prog_bar=True, batch_size=b)
        if batch_idx == 0 and self.sampled and self.global_rank == 0 and not self.trainer.sanity_checking:
            images = self.sample(batch["caption"][: self.sampled])
            real = F.adaptive_avg_pool2d(to_unit(batch["image"][: self.sampled]), SIZE)
            pairs = torch.stack((real.cpu(), images), 1).flatten(0, 1)
            save_grid(pairs, Path(self.trainer.default_root_dir) / f"samples_{self.global_step:06d}.png", 16)

    def pipeline(self) -> IFPipeline:
        """The averaged model as a stock pipeline."""
        return IFPipeline(
            tokenizer=self.tokenizer,
            text_encoder=self.average.text_encoder,
            unet=self.average.unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            watermarker=None,
            requires_safety_checker=False,
        )

    def sample(self, captions: list[str]) -> Tensor:
        """Pictures [n, 3, 64, 64] in [-1, 1] for captions."""
        pipeline = self.pipeline()
        pipeline.set_progress_bar_config(disable=True)
        with torch.autocast(self.device.type, enabled=False):
            images = pipeline(
                captions,
                num_inference_steps=8,
                guidance_scale=1.7,
                generator=torch.Generator().manual_seed(0),
                output_type="pt",
                clean_caption=False,
            ).images
        return images.float().cpu()

    def export(self, folder: Path) -> None:
        """Write the whole pipeline in files of at most 14 MB; the UNet in float16, see LatentTraining."""
        pipeline = self.pipeline()
        pipeline.register_modules(unet=copy.deepcopy(pipeline.unet).half())
        pipeline.save_pretrained(folder, max_shard_size="14MB")
