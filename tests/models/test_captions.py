"""Tiny BLIP and CLIP text models of the real classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_tokenizer
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
)

from syncsde3d.models.captions import caption, closest_word

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "red", "boot", "photo"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    tokenizer: Any = tiny_tokenizer(folder)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "projection_dim": 8}
    layers: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2}
    ends: dict[str, Any] = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    config = CLIPTextConfig(vocab_size=len(tokenizer), **sizes, **layers, **ends)
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder


def test_a_picture_is_described_as_the_model_does(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizer(str(tmp_path / "vocab.txt"))
    size: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text = {**size, "num_attention_heads": 2, "vocab_size": 10, "encoder_hidden_size": 16}
    text |= {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    vision = {**size, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    torch.manual_seed(1)
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision)).eval()
    model.save_pretrained(tmp_path)
    images = BlipImageProcessor(size={"height": 16, "width": 16})
    processor: Any = BlipProcessor(images, tokenizer)
    processor.save_pretrained(tmp_path)
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    inputs = processor(images=picture, return_tensors="pt")
    expected = processor.decode(model.generate(**inputs, max_new_tokens=30)[0], skip_special_tokens=True)
    assert caption(picture, str(tmp_path)) == expected.strip()


def test_a_word_is_closest_to_itself(clip: Path):
    assert closest_word("a photo of a red boot, front view", "boot", str(clip)) == "boot"
    assert closest_word("a photo of a red boot, front view", "red", str(clip)) == "red"


def test_what_is_not_there_is_named(clip: Path):
    with pytest.raises(ValueError, match="captioner: 'no/such' was not found"):
        caption(np.zeros((8, 8, 3), np.uint8), "no/such")
    with pytest.raises(ValueError, match="matcher: 'no/such' was not found"):
        closest_word("a boot", "chair", "no/such")
    with pytest.raises(ValueError, match="source_prompt: expected words for things"):
        closest_word("a photo of the", "chair", str(clip))
