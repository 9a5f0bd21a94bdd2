"""Stable Diffusion 3 and 3.5 as denoisers of latents: a transformer that predicts a flow (a = 1 - s)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from syncsde3d.core.protocols import Prediction, Step
from syncsde3d.models.autoencoder import LatentImages, check_channels, latent_factor
from syncsde3d.models.pretrained import find_parts, load_parts, to_dtype
from syncsde3d.models.schedulers import trained_prediction
from syncsde3d.models.text import Prompt, check_prompts, mix, texts, tokenize

if TYPE_CHECKING:
    from jaxtyping import Float, Int

STABLE_DIFFUSION_3 = "stabilityai/stable-diffusion-3.5-medium"
#: Tokens that the T5 encoder is given.
T5_TOKENS = 256

_CLIPS = ("text_encoder", "text_encoder_2")


class StableDiffusion3(LatentImages):
    """Stable Diffusion 3; :meth:`condition` makes a denoiser of it.

    Attributes as in :class:`~syncsde3d.models.images.ImageModel`. parts: networks, tokenizers and scheduler
    under the names of the pipeline's folders; without ``text_encoder_3`` (T5) the model reads only what its
    CLIP encoders see.

    Raises:
        ValueError: the scheduler shifts its noise levels by the picture's size (``use_dynamic_shifting``).
    """

    guided = True

    def __init__(
        self,
        parts: Mapping[str, Any],
        max_batch: int | None = None,
        revisions: Mapping[str, str | None] | None = None,
    ) -> None:
        self.transformer, self.vae, self.scheduler = parts["transformer"], parts["vae"], parts["scheduler"]
        self.tokenizers = tuple(parts[f"tokenizer{end}"] for end in ("", "_2"))
        self.text_encoders = tuple(parts[name] for name in _CLIPS)
        self.t5, self.t5_tokenizer = parts.get("text_encoder_3"), parts.get("tokenizer_3")
        if self.scheduler.config.get("use_dynamic_shifting"):
            raise ValueError(
                "model: its scheduler has use_dynamic_shifting, expected a fixed shift: set it to false and "
                "shift to the wanted value in scheduler_config.json"
            )
        self.max_batch = max_batch
        self.revisions: Mapping[str, str | None] = revisions or {}
        self.prediction: Prediction = trained_prediction(self.scheduler)
        self.channels: int = self.transformer.config.in_channels
        check_channels(self.channels, self.vae.config.latent_channels)
        self.size: int = self.transformer.config.sample_size
        self.factor = latent_factor(self.vae)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: torch.device | str = "cpu",
        low_memory: bool = False,
        max_batch: int | None = None,
    ) -> StableDiffusion3:
        """A model from a local folder in diffusers' layout, or a Hub id, with ``@revision`` if wanted.

        low_memory: without T5, which is larger than all the rest and matters for long or written text, and
        one tile of one picture decoded at a time. Raises ValueError as ``LatentDiffusion.from_pretrained``.
        """
        import diffusers
        from transformers import AutoTokenizer, CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel

        precision = to_dtype(dtype)
        kinds: dict[str, Any] = {
            "transformer": diffusers.SD3Transformer2DModel,
            "vae": diffusers.AutoencoderKL,
            **dict.fromkeys(_CLIPS, CLIPTextModelWithProjection),
            **dict.fromkeys(("tokenizer", "tokenizer_2"), CLIPTokenizer),
        }
        t5 = {} if low_memory else {"text_encoder_3": T5EncoderModel, "tokenizer_3": AutoTokenizer}
        needed, family = (*kinds, "scheduler"), "Stable Diffusion 3"
        source = find_parts(model, needed, family, tuple(t5), instead=(STABLE_DIFFUSION_3,))
        if source.has("text_encoder_3"):
            kinds |= t5
        parts = load_parts(source, kinds, precision, device)
        parts["vae"].use_slicing = parts["vae"].use_tiling = low_memory
        return cls(parts, max_batch, {source.name: source.revision})

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.transformer.device

    @torch.no_grad()
    def encode_prompts(
        self, prompts: Sequence[str]
    ) -> tuple[Float[Tensor, "n tokens width"], Float[Tensor, "n pooled"]]:
        """CLIP's hidden states side by side and T5's after them (zeros without T5), and CLIP's pooled text.

        What CLIP cannot read T5 does; only without it, or beyond :data:`T5_TOKENS`, is text cut off, and a
        warning names it.
        """
        states, pooled = [], []
        for tokenizer, encoder in zip(self.tokenizers, self.text_encoders, strict=True):
            length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
            tokens = tokenize(tokenizer, prompts, length, warn=self.t5 is None and not states)
            output = encoder(tokens.input_ids.to(self.device), output_hidden_states=True)
            states.append(output.hidden_states[-2])
            pooled.append(output[0])
        clip = torch.cat(states, -1)
        width = self.transformer.config.joint_attention_dim
        if self.t5 is None:
            long = clip.new_zeros(len(clip), T5_TOKENS, width)
        else:
            long = self.t5(tokenize(self.t5_tokenizer, prompts, T5_TOKENS).input_ids.to(self.device))[0]
        text = torch.cat((pad(clip, (0, width - clip.shape[-1])), long), 1)
        return text, torch.cat(pooled, -1)

    def condition(
        self,
        prompts: Sequence[Prompt],
        negative_prompts: Sequence[str] | None = None,
        guidance_scale: float = 7.0,
    ) -> ConditionedFlow:
        """The denoiser of n patches, each with its prompt (or blend of two) and negative prompt (default "").

        Raises ValueError for lists of different lengths.
        """
        negatives = check_prompts(prompts, negative_prompts)
        rows = [*prompts, *negatives]
        text, pooled = (
            mix(rows, encoded).unflatten(0, (2, -1)) for encoded in self.encode_prompts(texts(rows))
        )
        return ConditionedFlow(self, self.prediction, guidance_scale, text, pooled)


@dataclass(frozen=True)
class ConditionedFlow:
    """A :class:`StableDiffusion3` with n patches' conditions: a :class:`~syncsde3d.core.protocols.Denoiser`.

    text, pooled: embeddings of the prompts and of the negative prompts.
    """

    model: StableDiffusion3
    prediction: Prediction
    guidance_scale: float
    text: Float[Tensor, "2 n tokens width"]
    pooled: Float[Tensor, "2 n width"]

    @torch.no_grad()
    def predict(
        self, y: Float[Tensor, "b c h w"], step: Step, patch: Int[Tensor, " b"], branch: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The transformer's output, in the type of ``y``; see :class:`~syncsde3d.core.protocols.Denoiser`."""
        net = self.model.transformer
        cell, limit = net.config.patch_size, net.config.patch_size * net.config.pos_embed_max_size
        if any(side % cell or side > limit for side in y.shape[-2:]):
            raise ValueError(
                f"latent size: expected multiples of {cell} up to {limit}, got {list(y.shape[-2:])}"
            )
        patch, branch = patch.to(self.text.device), branch.to(self.text.device)
        text, pooled = (v[branch, patch].to(net.dtype) for v in (self.text, self.pooled))
        t = step.t.to(net.device).expand(len(y))
        return net(y.to(net.device, net.dtype), text, pooled, t, return_dict=False)[0].to(y)
