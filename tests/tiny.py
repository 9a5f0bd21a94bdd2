"""Tiny random models of the real classes, saved as the real ones are: stand-ins that behave, not mocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

#: Words that are one token each; any other word falls into letters.
WORDS = ("a", "photo", "of", "red", "blue", "leather", "boot", "chair", "view", "front", "back", "blurry")
#: Stable Diffusion's noise schedule, as its folders give it.
SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def tiny_stable_diffusion(
    folder: str | Path,
    controlnet: bool = True,
    prediction_type: str = "epsilon",
    pooled_text: bool = False,
    seed: int = 0,
) -> Path:
    """A Stable Diffusion of about 2 M random parameters in diffusers' layout; returns its folder.

    Latents [4, 16, 16], images 32 x 32, embeddings [77, 32]. controlnet: with a ControlNet in ``controlnet/``
    that has an effect (a new one's last layers are zero). pooled_text: the U-Net also sees pooled text
    (``addition_embed_type="text"``).
    """
    tokenizer = tiny_tokenizer(Path(folder) / "tokenizer")
    blocks: dict[str, Any] = {"layers_per_block": 1, "block_out_channels": (32, 64), "norm_num_groups": 16}
    down = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "attention_head_dim": 4}
    added = {"addition_embed_type": "text", "addition_embed_type_num_heads": 4} if pooled_text else {}
    net: dict[str, Any] = {**blocks, **down, **added, "cross_attention_dim": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = {
            "unet": UNet2DConditionModel(16, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **net),
            "vae": AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                latent_channels=4,
                **blocks,
            ),
            "text_encoder": CLIPTextModel(_text_config(tokenizer)),
            "tokenizer": tokenizer,
            "scheduler": DDIMScheduler(**SCHEDULE, prediction_type=prediction_type),
            "safety_checker": None,
            "feature_extractor": None,
        }
        if controlnet:
            parts["controlnet"] = ControlNetModel(conditioning_embedding_out_channels=(16, 32), **net)
            for weight in parts["controlnet"].parameters():
                if not weight.any():
                    torch.nn.init.normal_(weight, std=0.2)
    kind = StableDiffusionControlNetPipeline if controlnet else StableDiffusionPipeline
    kind(**parts, requires_safety_checker=False).save_pretrained(folder)
    return Path(folder)


def _text_config(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def tiny_tokenizer(folder: str | Path) -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer with the letters and :data:`WORDS`; its files are left in ``folder``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,-'"
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
    merges = list(dict.fromkeys(merges))
    special = ["<|startoftext|>", "<|endoftext|>"]
    tokens = [*letters, *(f"{x}</w>" for x in letters), *("".join(pair) for pair in merges), *special]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": special[0]}
    settings |= dict.fromkeys(("eos_token", "unk_token", "pad_token"), special[1])
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder)
