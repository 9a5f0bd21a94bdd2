"""Stable Diffusion 1.x and 2.x, with a depth ControlNet if there is one, as denoisers of latents.

States, latents and images outside are float32; the networks run in their own type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from syncsde3d.core.protocols import Prediction, Step
from syncsde3d.models.autoencoder import LatentImages, latent_factor
from syncsde3d.models.schedulers import trained_prediction
from syncsde3d.models.stable_diffusion import (
    DEPTH_CONTROLNET,
    check_controlnet,
    check_unet,
    load_stable_diffusion,
)
from syncsde3d.models.text import Prompt, check_prompts, mix, texts, tokenize

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class LatentDiffusion(LatentImages):
    """A latent diffusion model; :meth:`condition` makes a denoiser of it.

    guided: it has an unconditional branch. control: the picture its ControlNet wants. channels, size: of its
    latents; ``factor`` image pixels make one latent. scheduler: the folder's own, with the noise schedule
    that the model was trained on. prediction: what the U-Net predicts. revisions: every model's id or folder,
    with its revision.

    Args:
        unet, vae, controlnet: diffusers' UNet2DConditionModel, AutoencoderKL, ControlNetModel.
        text_encoder, tokenizer: transformers' CLIPTextModel and CLIPTokenizer. All networks on one device.
        scheduler: a diffusers scheduler.
        max_batch: most images in one call of the autoencoder; None takes all.

    Raises:
        ValueError: the U-Net is of another family (Stable Diffusion XL, inpainting, ...), or the ControlNet
            was made for another U-Net.
    """

    guided = True
    control: Literal["depth", "normal"] = "depth"

    def __init__(
        self,
        unet: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        controlnet: Any = None,
        max_batch: int | None = None,
        revisions: Mapping[str, str | None] | None = None,
    ) -> None:
        config, vae_config = dict(unet.config), dict(vae.config)
        check_unet(config, vae_config["latent_channels"])
        if controlnet is not None:
            check_controlnet(dict(controlnet.config), config)
        self.unet, self.vae, self.controlnet = unet, vae, controlnet
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.scheduler = scheduler
        self.max_batch = max_batch
        self.revisions: Mapping[str, str | None] = revisions or {}
        self.prediction: Prediction = trained_prediction(scheduler)
        self.channels: int = config["in_channels"]
        self.size: int = config["sample_size"] or 64
        self.factor = latent_factor(self.vae)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        controlnet: str | None = None,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: torch.device | str = "cpu",
        vae_slicing: bool = False,
        vae_tiling: bool = False,
        max_batch: int | None = None,
        text_only: bool = False,
    ) -> LatentDiffusion:
        """A model from disk or from the Hub. Weights are read from safetensors only.

        model: a local folder in diffusers' layout, or a Hub id, with ``@revision`` if wanted.
        controlnet: likewise; None takes the model folder's own ``controlnet/``, if it has one.
        vae_slicing, vae_tiling: decode one image, or one tile, at a time, which saves memory.
        text_only: without any ControlNet, for tasks that have no picture to follow.

        Raises:
            ValueError: not found, gated, damaged, or of another family; one line.
        """
        parts = load_stable_diffusion(model, controlnet, dtype, torch.device(device), text_only)
        parts["vae"].use_slicing, parts["vae"].use_tiling = vae_slicing, vae_tiling
        return cls(**parts, max_batch=max_batch)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.unet.device

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> Float[Tensor, "n tokens width"]:
        """The text encoder's last hidden states. What does not fit is cut off, and a warning names it."""
        length = min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)
        tokens = tokenize(self.tokenizer, prompts, length).to(self.device)
        masked = getattr(self.text_encoder.config, "use_attention_mask", False)
        return self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask if masked else None)[
            0
        ]

    def condition(
        self,
        prompts: Sequence[Prompt],
        negative_prompts: Sequence[str] | None = None,
        control_images: Float[Tensor, "n 3 H W"] | None = None,
        guidance_scale: float = 7.5,
        control_scale: tuple[float, float] = (1.0, 1.0),
        control_end: float = 0.99,
    ) -> ConditionedLatentDiffusion:
        """The denoiser of n patches, each with prompt (or blend), negative prompt (default "") and picture.

        control_images: in [0, 1], ``factor`` times the latents' size. control_scale: the ControlNet's weight
        at the first step and at the end of the run, linear between. control_end: the ControlNet rests in
        steps that end after this share of the run (diffusers' ``control_guidance_end``).

        Raises:
            ValueError: lists of different lengths, no prompts, or pictures without a ControlNet.
        """
        negatives = check_prompts(prompts, negative_prompts)
        control = None
        if control_images is not None:
            control = self._control(control_images, len(prompts))
        rows = [*prompts, *negatives]
        text = mix(rows, self.encode_prompts(texts(rows))).unflatten(0, (2, -1))
        return ConditionedLatentDiffusion(
            self, self.prediction, guidance_scale, text, control, control_scale, control_end
        )

    def _control(self, images: Tensor, count: int) -> Tensor:
        if self.controlnet is None:
            raise ValueError(
                "controlnet: the model has none, so it cannot follow control_images; pass one as controlnet, "
                f"such as '{DEPTH_CONTROLNET}' for Stable Diffusion 1.5, or a local folder"
            )
        if images.ndim != 4 or images.shape[:2] != (count, 3):
            raise ValueError(f"control_images: expected [{count}, 3, H, W], got {tuple(images.shape)}")
        return images.to(self.device, self.controlnet.dtype)


@dataclass(frozen=True)
class ConditionedLatentDiffusion:
    """A :class:`LatentDiffusion` with n patches' conditions: a :class:`~syncsde3d.core.protocols.Denoiser`.

    text: embeddings [2, n, tokens, width], the prompts' and the negative prompts'. control: pictures
    [n, 3, H, W] or None. The ControlNet works in both branches.
    """

    model: LatentDiffusion
    prediction: Prediction
    guidance_scale: float
    text: Float[Tensor, "2 n tokens width"]
    control: Float[Tensor, "n 3 H W"] | None
    control_scale: tuple[float, float]
    control_end: float

    def weight(self, step: Step) -> float:
        """The ControlNet's weight in a step."""
        if self.control is None or (step.index + 1) / step.count > self.control_end:
            return 0.0
        start, end = self.control_scale
        return start + (end - start) * step.progress

    @torch.no_grad()
    def predict(
        self,
        y: Float[Tensor, "b c h w"],
        step: Step,
        patch: Int[Tensor, " b"],
        branch: Int[Tensor, " b"],
    ) -> Float[Tensor, "b c h w"]:
        """The U-Net's output, in the type of ``y``; see :class:`~syncsde3d.core.protocols.Denoiser`."""
        unet, patch = self.model.unet, patch.to(self.text.device)
        x, t = y.to(unet.device, unet.dtype), step.t.to(unet.device)
        text = self.text[branch.to(self.text.device), patch].to(unet.dtype)
        residuals = self._residuals(x, t, text, patch, self.weight(step))
        return unet(x, t, text, return_dict=False, **residuals)[0].to(y)

    def _residuals(self, x: Tensor, t: Tensor, text: Tensor, patch: Tensor, weight: float) -> dict[str, Any]:
        """What the ControlNet adds to the U-Net's skip connections and middle block."""
        controlnet = self.model.controlnet
        if controlnet is None or self.control is None or weight == 0.0:
            return {}
        size = tuple(side * self.model.factor for side in x.shape[-2:])
        if self.control.shape[-2:] != size:
            raise ValueError(f"control_images: expected {size} pixels, got {tuple(self.control.shape[-2:])}")
        down, middle = controlnet(
            x, t, text, controlnet_cond=self.control[patch], conditioning_scale=weight, return_dict=False
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
