"""Codes of words in captions: apart from one another, learned from captions alone, told anew."""

from __future__ import annotations

import numpy as np
import torch
from diffusers.models.embeddings import TextTimeEmbedding
from torch import nn

from syncsde3d.lit.training_common import small_text_encoder
from syncsde3d.lit.training_words import CODE_SCALE, drawn_captions, teach_words, word_codes
from syncsde3d.models.embedded import word_tokenizer
from syncsde3d.synthetic.captions import SYNONYMS, vocabulary
from syncsde3d.synthetic.materials import MATERIALS
from syncsde3d.synthetic.scenes import SCENES
from syncsde3d.synthetic.shapes import SHAPES


def test_codes_are_fixed_and_far_apart() -> None:
    codes = word_codes(64)
    assert set(codes) == {*MATERIALS, *SCENES, ""}
    assert not codes[""].any()
    again = word_codes(64)
    assert all(torch.equal(codes[word], again[word]) for word in codes)
    stack = torch.stack(list(codes.values()))
    distance = torch.cdist(stack, stack).fill_diagonal_(torch.inf)
    # two random points of 64 entries lie about sqrt(2 * 64) spreads apart, zeros and one of them sqrt(64)
    assert distance.min() > 0.7 * CODE_SCALE * 64**0.5


def test_captions_name_the_word_whose_code_they_get() -> None:
    captions, words = drawn_captions(400, np.random.default_rng(3))
    for said, word in zip(captions, words, strict=True):
        ways = (word, *SYNONYMS.get(word, ()))
        if word == "plain":  # often left out
            assert not any(other in said for other in MATERIALS if other != "plain")
        elif word:
            assert any(way in said for way in ways), (said, word)
        else:
            assert not any(f" {other} " in said for other in (*MATERIALS, *SCENES))
    assert {"", *MATERIALS, *SCENES} == set(words)


def test_captions_name_the_object_whose_code_they_get() -> None:
    captions, words = drawn_captions(600, np.random.default_rng(4), of="object")
    for said, word in zip(captions, words, strict=True):
        assert not word or any(way in said for way in (word, *SYNONYMS.get(word, ()))), (said, word)
    assert {"", *SHAPES, *SCENES} == set(words) == set(word_codes(8, of="object"))


def test_materials_are_told_apart_in_sentences_not_seen_before() -> None:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(vocabulary())
    encoder, embedding = small_text_encoder(32, len(tokenizer)), TextTimeEmbedding(32, 128, num_heads=4)

    def encode(captions: list[str]) -> torch.Tensor:
        tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(tokens)[0]

    captions, words = drawn_captions(200, np.random.default_rng(5))
    codes = word_codes(64)

    @torch.no_grad()
    def told() -> float:
        distance = torch.cdist(embedding(encode(captions))[:, 64:], torch.stack(list(codes.values())))
        return float(np.mean([list(codes)[i] == w for i, w in zip(distance.argmin(1), words, strict=True)]))

    assert told() < 0.4
    state = torch.get_rng_state()
    teach_words(encode, embedding, nn.ModuleList((encoder, embedding)), steps=150, batch=48)
    assert torch.equal(state, torch.get_rng_state())
    assert told() > 0.95
