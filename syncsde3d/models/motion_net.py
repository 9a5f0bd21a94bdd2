"""The embedded motion model: MDM, a small text encoder and the statistics of the features in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from syncsde3d.motion.mdm import MDM

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


class MotionNet(ModelMixin, ConfigMixin):
    """Text and a noisy motion to a clean one; motions are normalised with ``mean`` and ``std`` [263].

    Args:
        latent_dim, layers, heads, ff: of the :class:`~syncsde3d.motion.mdm.MDM`.
        text_width, vocab_size, prompt_length: of the CLIP text encoder of one layer. The tokenizer's last two
            tokens start and end a prompt.
        diffusion_steps: of the squared-cosine schedule that it is trained with.
        dropout: in training.
    """

    mean: Tensor
    std: Tensor

    @register_to_config
    def __init__(
        self,
        latent_dim: int = 192,
        layers: int = 6,
        heads: int = 3,
        ff: int = 384,
        text_width: int = 128,
        vocab_size: int = 1000,
        prompt_length: int = 24,
        diffusion_steps: int = 1000,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.mdm = MDM(263, latent_dim, layers, heads, ff, text_width, dropout=dropout)
        self.text_encoder: Any = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=vocab_size,
                hidden_size=text_width,
                intermediate_size=4 * text_width,
                num_hidden_layers=1,
                num_attention_heads=4,
                max_position_embeddings=prompt_length,
                projection_dim=text_width,
                bos_token_id=vocab_size - 2,
                eos_token_id=vocab_size - 1,
                pad_token_id=vocab_size - 1,
            )
        )
        self.register_buffer("mean", torch.zeros(263))
        self.register_buffer("std", torch.ones(263))

    def forward(
        self,
        x: Float[Tensor, "b frames 263"],
        t: Int[Tensor, " b"],
        tokens: Int[Tensor, "b length"],
        dropped: Bool[Tensor, " b"] | None = None,
        padding: Bool[Tensor, "b frames"] | None = None,
    ) -> Float[Tensor, "b frames 263"]:
        """The clean motion. dropped: rows that do without their text. padding: frames that are none."""
        text = self.text_encoder(tokens).text_embeds
        if dropped is not None:
            text = text * ~dropped[:, None]
        return self.mdm(x, t, text, padding)
