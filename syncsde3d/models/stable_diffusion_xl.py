"""Stable Diffusion XL as a denoiser of latents: two text encoders, pooled text, micro-conditioning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from syncsde3d.core.protocols import Prediction, Step
from syncsde3d.models.autoencoder import LatentImages, check_channels, latent_factor
from syncsde3d.models.pretrained import find_parts, load_parts, to_dtype
from syncsde3d.models.schedulers import trained_prediction
from syncsde3d.models.text import Prompt, check_prompts, mix, texts, tokenize

if TYPE_CHECKING:
    from jaxtyping import Float, Int

STABLE_DIFFUSION_XL = "stabilityai/stable-diffusion-xl-base-1.0"


class StableDiffusionXL(LatentImages):
    """Stable Diffusion XL's base model; :meth:`condition` makes a denoiser of it.

    Attributes as in :class:`~syncsde3d.models.images.ImageModel`. parts: networks, tokenizers and scheduler
    under the names of the pipeline's folders. empty_is_zero: an empty negative prompt is embedded as zeros,
    as the published weights want it (``force_zeros_for_empty_prompt``).

    Raises:
        ValueError: the U-Net has no micro-conditioning of six numbers (such as the refiner's).
    """

    guided = True

    def __init__(
        self,
        parts: Mapping[str, Any],
        max_batch: int | None = None,
        empty_is_zero: bool = True,
        revisions: Mapping[str, str | None] | None = None,
    ) -> None:
        self.unet, self.vae, self.scheduler = parts["unet"], parts["vae"], parts["scheduler"]
        self.tokenizers = (parts["tokenizer"], parts["tokenizer_2"])
        self.text_encoders = (parts["text_encoder"], parts["text_encoder_2"])
        self.max_batch, self.empty_is_zero = max_batch, empty_is_zero
        self.revisions: Mapping[str, str | None] = revisions or {}
        self.prediction: Prediction = trained_prediction(self.scheduler)
        config = self.unet.config
        pooled = self.text_encoders[1].config.projection_dim
        if (
            config.addition_embed_type != "text_time"
            or config.projection_class_embeddings_input_dim != pooled + 6 * config.addition_time_embed_dim
        ):
            raise ValueError("model: its U-Net does not take sizes and crops as Stable Diffusion XL does")
        self.channels: int = config.in_channels
        check_channels(self.channels, self.vae.config.latent_channels)
        self.size: int = config.sample_size or 128
        self.factor = latent_factor(self.vae)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: torch.device | str = "cpu",
        low_memory: bool = False,
        max_batch: int | None = None,
    ) -> StableDiffusionXL:
        """A model from a local folder in diffusers' layout, or a Hub id, with ``@revision`` if wanted.

        low_memory: decode one picture, and one tile of it, at a time. An autoencoder that overflows in
        float16 (``force_upcast``) stays float32. Raises ValueError as ``LatentDiffusion.from_pretrained``.
        """
        import diffusers
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        precision = to_dtype(dtype)
        kinds = {
            "unet": diffusers.UNet2DConditionModel,
            "vae": diffusers.AutoencoderKL,
            "text_encoder": CLIPTextModel,
            "text_encoder_2": CLIPTextModelWithProjection,
            **dict.fromkeys(("tokenizer", "tokenizer_2"), CLIPTokenizer),
        }
        needed, family = (*kinds, "scheduler"), "Stable Diffusion XL's base model"
        source = find_parts(model, needed, family, instead=(STABLE_DIFFUSION_XL,))
        upcast = precision == torch.float16 and source.config("vae").get("force_upcast", True)
        parts = load_parts(source, kinds, precision, device, exact=("vae",) if upcast else ())
        parts["vae"].use_slicing = parts["vae"].use_tiling = low_memory
        index = source.config("", "model_index.json")
        zero = bool(index.get("force_zeros_for_empty_prompt", True))
        return cls(parts, max_batch, zero, {source.name: source.revision})

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.unet.device

    @torch.no_grad()
    def encode_prompts(
        self, prompts: Sequence[str]
    ) -> tuple[Float[Tensor, "n tokens width"], Float[Tensor, "n pooled"]]:
        """The last hidden states but one of both encoders side by side, and the second's pooled text.

        What does not fit is cut off, and a warning names it.
        """
        states, pooled = [], torch.empty(0)
        for tokenizer, encoder in zip(self.tokenizers, self.text_encoders, strict=True):
            length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
            ids = tokenize(tokenizer, prompts, length, warn=not states).input_ids.to(self.device)
            output = encoder(ids, output_hidden_states=True)
            states.append(output.hidden_states[-2])
            pooled = output[0]
        return torch.cat(states, -1), pooled

    def condition(
        self,
        prompts: Sequence[Prompt],
        negative_prompts: Sequence[str] | None = None,
        guidance_scale: float = 5.0,
        time_ids: Float[Tensor, "n 6"] | None = None,
    ) -> ConditionedXL:
        """The denoiser of n patches, each with its prompt (or blend of two) and negative prompt (default "").

        time_ids: each patch's micro-conditioning in pixels: original height and width, top and left of the
        crop, target height and width. None: the patch's own size, uncropped, as good for a window.
        Raises ValueError for lists of different lengths.
        """
        negatives = check_prompts(prompts, negative_prompts)
        if time_ids is not None and time_ids.shape != (len(prompts), 6):
            raise ValueError(f"time_ids: expected [{len(prompts)}, 6], got {list(time_ids.shape)}")
        rows = [*prompts, *negatives]
        text, pooled = (mix(rows, encoded) for encoded in self.encode_prompts(texts(rows)))
        if self.empty_is_zero:
            empty = torch.tensor([False] * len(prompts) + [not text for text in negatives])
            text[empty], pooled[empty] = 0, 0
        text, pooled = text.unflatten(0, (2, -1)), pooled.unflatten(0, (2, -1))
        return ConditionedXL(self, self.prediction, guidance_scale, text, pooled, time_ids)


@dataclass(frozen=True)
class ConditionedXL:
    """A :class:`StableDiffusionXL` with n patches' conditions: a :class:`~syncsde3d.core.protocols.Denoiser`.

    text, pooled: embeddings of the prompts and of the negative prompts. time_ids: see ``condition``.
    """

    model: StableDiffusionXL
    prediction: Prediction
    guidance_scale: float
    text: Float[Tensor, "2 n tokens width"]
    pooled: Float[Tensor, "2 n width"]
    time_ids: Float[Tensor, "n 6"] | None

    @torch.no_grad()
    def predict(
        self, y: Float[Tensor, "b c h w"], step: Step, patch: Int[Tensor, " b"], branch: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The U-Net's output, in the type of ``y``; see :class:`~syncsde3d.core.protocols.Denoiser`."""
        unet = self.model.unet
        patch, branch = patch.to(self.text.device), branch.to(self.text.device)
        if self.time_ids is None:
            size = [side * self.model.factor for side in y.shape[-2:]]
            ids = torch.tensor([[*size, 0, 0, *size]]).expand(len(y), -1)
        else:
            ids = self.time_ids.to(patch.device)[patch]
        added = {
            "text_embeds": self.pooled[branch, patch].to(unet.dtype),
            "time_ids": ids.to(unet.device, unet.dtype),
        }
        text = self.text[branch, patch].to(unet.dtype)
        x, t = y.to(unet.device, unet.dtype), step.t.to(unet.device)
        return unet(x, t, text, added_cond_kwargs=added, return_dict=False)[0].to(y)
