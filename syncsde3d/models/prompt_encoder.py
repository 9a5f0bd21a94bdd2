"""Prompts to embeddings by a text encoder that is only in memory while there is something new to encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from syncsde3d.models.pretrained import Source, load_component, load_tokenizer
from syncsde3d.models.text import tokenize

if TYPE_CHECKING:
    from jaxtyping import Float

#: Tokens that DeepFloyd IF was trained with, though T5 would take more.
TOKENS = 77


class PromptEncoder:
    """The text encoder of a model's folder, T5 or CLIP; each text is encoded once and its embedding kept.

    keep: keep the network in memory between calls. masked: tell it where a prompt ends, as IF does and Stable
    Diffusion does not.
    """

    def __init__(
        self,
        source: Source,
        dtype: torch.dtype,
        device: torch.device,
        keep: bool = False,
        masked: bool = True,
    ) -> None:
        from transformers import AutoTokenizer, CLIPTextModel, CLIPTokenizer, T5EncoderModel

        self.source, self.dtype, self.device, self.keep = source, dtype, device, keep
        self.masked = masked
        config = source.config("text_encoder")
        clip = "clip" in str(config.get("model_type"))
        self.kind: Any = CLIPTextModel if clip else T5EncoderModel
        self.tokenizer: Any = load_tokenizer(CLIPTokenizer if clip else AutoTokenizer, source, "tokenizer")
        self.length = min(TOKENS, config.get("max_position_embeddings", TOKENS))
        self._network: Any = None
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> Float[Tensor, "n tokens width"]:
        """Last hidden states, on the encoder's device; prompts in lower case, cut to length with a warning.

        Give all prompts of a run at once beforehand, and the network is read only once.
        """
        wanted = [prompt.lower().strip() for prompt in prompts]
        if new := list(dict.fromkeys(text for text in wanted if text not in self._known)):
            network = self._network or load_component(self.kind, self.source, "text_encoder", self.dtype)
            network = network.to(self.device)
            tokens = tokenize(self.tokenizer, new, self.length).to(self.device)
            mask = tokens.attention_mask if self.masked else None
            states = network(tokens.input_ids, attention_mask=mask)[0]
            self._known |= dict(zip(new, states.cpu(), strict=True))
            self._network = network if self.keep else None
        return torch.stack([self._known[text] for text in wanted]).to(self.device)
