"""Words for pictures that come without: BLIP describes them, CLIP tells which of the words is meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import normalize

from syncsde3d.models.pretrained import find_model, load_component, load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

_FILES = ("*.json", "*.txt", "*.safetensors")
#: Words that nothing is a picture of.
_EMPTY = frozenset(
    ("a", "an", "and", "at", "by", "his", "her", "in", "is", "its", "of", "on", "photo", "picture")
    + ("that", "the", "their", "to", "with")
)


@torch.no_grad()
def caption(picture: UInt8[np.ndarray, "h w 3"], model: str, device: torch.device | str = "cpu") -> str:
    """What a BLIP model, a hub id or a folder, says of a picture.

    Raises ValueError, in one line, when the model is not there.
    """
    from transformers import BlipForConditionalGeneration, BlipProcessor

    source = find_model(model, _FILES, "captioner")
    network = load_component(BlipForConditionalGeneration, source, "", torch.float32).to(device)
    processor: Any = load_tokenizer(BlipProcessor, source, "")
    inputs = processor(images=picture, return_tensors="pt").to(device)
    tokens = network.generate(**inputs, max_new_tokens=30)
    return str(processor.decode(tokens[0], skip_special_tokens=True)).strip()


@torch.no_grad()
def closest_word(prompt: str, word: str, model: str, device: torch.device | str = "cpu") -> str:
    """The word of a prompt that means most nearly what another one does, to CLIP's text encoder.

    Raises ValueError, in one line, when the model is not there, or the prompt has no words.
    """
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    words = [w for w in re.findall(r"[\w'-]+", prompt) if w.lower() not in _EMPTY]
    if not words:
        raise ValueError(f"source_prompt: expected words for things, got '{prompt}'")
    source = find_model(model, _FILES, "matcher")
    network = load_component(CLIPTextModelWithProjection, source, "", torch.float32).to(device)
    tokenizer: Any = load_tokenizer(CLIPTokenizer, source, "")
    tokens = tokenizer([*words, word], padding=True, truncation=True, return_tensors="pt").to(device)
    vectors = normalize(network(tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds, dim=-1)
    return words[int((vectors[:-1] @ vectors[-1]).argmax())]
