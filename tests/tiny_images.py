"""Tiny random text-to-image models of the real classes, beside :mod:`tiny`: SDXL, SD 3, IF, the upscaler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    IFPipeline,
    IFSuperResolutionPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tiny import SCHEDULE, WORDS, tiny_tokenizer
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from syncsde3d.core import Denoiser, NoiseSource, Sampler, Task

BLOCKS: dict[str, Any] = {"layers_per_block": 1, "block_out_channels": (8, 16), "norm_num_groups": 4}
DOWN, UP = ("DownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")
#: DeepFloyd IF's noise schedule and thresholding, as its folders give them.
IF_SCHEDULE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "variance_type": "learned_range",
    "thresholding": True,
    "dynamic_thresholding_ratio": 0.95,
    "sample_max_value": 1.5,
}
#: That of the package's own pixel model.
OWN_SCHEDULE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "variance_type": "fixed_small",
    "clip_sample": True,
}


def tiny_xl(folder: Path, empty_is_zero: bool = True) -> Path:
    """A Stable Diffusion XL in diffusers' layout: latents [4, 16, 16], images 32 x 32. Returns its folder."""
    tokenizers = [tiny_tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            16, down_block_types=DOWN, up_block_types=UP, **BLOCKS, cross_attention_dim=20,
            attention_head_dim=2, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 10,
        )  # fmt: skip
        StableDiffusionXLPipeline(
            unet=unet,
            vae=tiny_vae(),
            text_encoder=CLIPTextModel(_clip(tokenizers[0], 8)),
            text_encoder_2=CLIPTextModelWithProjection(_clip(tokenizers[1], 12, 10)),
            tokenizer=tokenizers[0],
            tokenizer_2=tokenizers[1],
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading"
            ),
            force_zeros_for_empty_prompt=empty_is_zero,
            add_watermarker=False,
        ).save_pretrained(folder)
    return folder


def tiny_sd3(folder: Path, t5: bool = True) -> Path:
    """A Stable Diffusion 3 in diffusers' layout: latents [4, 16, 16], images 32 x 32. Returns its folder."""
    tokenizers = [tiny_tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        third = (T5EncoderModel(_t5(24)), t5_tokenizer()) if t5 else (None, None)
        StableDiffusion3Pipeline(
            transformer=SD3Transformer2DModel(
                sample_size=16, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8,
                num_attention_heads=2, joint_attention_dim=24, caption_projection_dim=16,
                pooled_projection_dim=20, out_channels=4, pos_embed_max_size=32,
            ),
            vae=tiny_vae(shift_factor=0.06, scaling_factor=1.5),
            text_encoder=CLIPTextModelWithProjection(_clip(tokenizers[0], 8, 8)),
            text_encoder_2=CLIPTextModelWithProjection(_clip(tokenizers[1], 12, 12)),
            text_encoder_3=third[0],
            tokenizer=tokenizers[0],
            tokenizer_2=tokenizers[1],
            tokenizer_3=third[1],
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        ).save_pretrained(folder)  # fmt: skip
    return folder


def tiny_if(folder: Path, second: bool = False, clip: bool = False) -> Path:
    """DeepFloyd IF's first stage, 8 px, or its second, 16 px, in diffusers' layout. Returns its folder.

    clip: as the package's own pixel model is: CLIP in the place of T5, velocities, clipped pictures.
    """
    tokenizer = tiny_tokenizer(folder / "tokenizer") if clip else t5_tokenizer()
    extra = {"class_embed_type": "timestep"} if second else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1 if second else 0)
        unet = UNet2DConditionModel(
            16 if second else 8, in_channels=6 if second else 3, out_channels=6,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", **BLOCKS, cross_attention_dim=16,
            encoder_hid_dim=24, encoder_hid_dim_type="text_proj", attention_head_dim=4,
            addition_embed_type="text", addition_embed_type_num_heads=2, act_fn="gelu",
            resnet_time_scale_shift="scale_shift", **extra,
        )  # fmt: skip
        parts: dict[str, Any] = {
            "unet": unet,
            "tokenizer": tokenizer,
            "text_encoder": CLIPTextModel(_clip(tokenizer, 24)) if clip else T5EncoderModel(_t5(24)),
            "scheduler": DDPMScheduler(**(OWN_SCHEDULE if clip else IF_SCHEDULE)),
        }
        if second:
            parts["image_noising_scheduler"] = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
        kind = IFSuperResolutionPipeline if second else IFPipeline
        none = dict.fromkeys(("safety_checker", "feature_extractor", "watermarker"))
        kind(**parts, **none, requires_safety_checker=False).save_pretrained(folder)
    return folder


def tiny_upscaler(folder: Path) -> Path:
    """Stable Diffusion's upscaler in diffusers' layout: pictures 16 x 16 to 32 x 32. Returns its folder."""
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        unet = UNet2DConditionModel(
            16, in_channels=7, out_channels=4, down_block_types=DOWN, up_block_types=UP, **BLOCKS,
            cross_attention_dim=16, attention_head_dim=2, num_class_embeds=1000,
        )  # fmt: skip
        StableDiffusionUpscalePipeline(
            unet=unet,
            vae=tiny_vae(scaling_factor=0.08333),
            text_encoder=CLIPTextModel(_clip(tokenizer, 16)),
            tokenizer=tokenizer,
            low_res_scheduler=DDPMScheduler(beta_schedule="scaled_linear"),
            scheduler=DDIMScheduler(**SCHEDULE, prediction_type="v_prediction"),
        ).save_pretrained(folder)
    return folder


def tiny_vae(**config: Any) -> AutoencoderKL:
    """An autoencoder of factor 2 with four latent channels."""
    down, up = ("DownEncoderBlock2D",) * 2, ("UpDecoderBlock2D",) * 2
    return AutoencoderKL(down_block_types=down, up_block_types=up, latent_channels=4, **BLOCKS, **config)


def t5_tokenizer() -> T5Tokenizer:
    """T5's tokenizer with :data:`tiny.WORDS` and the letters; a prompt ends with ``</s>``."""
    words = [f"▁{word}" for word in WORDS] + ["▁", *"abcdefghijklmnopqrstuvwxyz,."]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return T5Tokenizer(vocab=[*special, *((w, -float(len(w) < 2)) for w in words)], extra_ids=0)


def _clip(tokenizer: Any, width: int, projection: int = 8) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=projection,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _t5(width: int) -> T5Config:
    return T5Config(vocab_size=60, d_model=width, d_kv=4, d_ff=2 * width, num_layers=2, num_heads=2)


class Single(Task):
    """Patches that know nothing of each other."""

    lookback = 1

    def __init__(self, count: int) -> None:
        self.count = count

    def needs(self, i: int) -> tuple[int, ...]:
        return ()

    def reference(self, i: int, earlier: Any) -> torch.Tensor:
        raise AssertionError

    def precision(self, i: int) -> torch.Tensor:
        raise AssertionError

    def agree(self, values: torch.Tensor, how: Any) -> tuple[torch.Tensor, torch.Tensor]:
        raise AssertionError


def sample(
    denoiser: Denoiser, scheduler: Any, noise: torch.Tensor, steps: int, source: NoiseSource | None = None
) -> torch.Tensor:
    """The core's sampler on patches that are not coupled."""
    source = source or NoiseSource(0)
    return Sampler(scheduler, steps).lockstep(Single(len(noise)), denoiser, noise, source)
