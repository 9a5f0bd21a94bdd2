"""Codes of words in captions: apart from one another, learned from captions alone, told anew."""

from __future__ import annotations

import numpy as np
import torch
from diffusers.models.embeddings import TextTimeEmbedding
from torch import nn

from syncsde3d.lit.training_common import small_text_encoder
from syncsde3d.lit.training_words import CODE_SCALE, WORDS, drawn_captions, teach_words, word_codes
from syncsde3d.models.embedded import word_tokenizer
from syncsde3d.synthetic.captions import SYNONYMS, vocabulary
from syncsde3d.synthetic.materials import MATERIALS
from syncsde3d.synthetic.scenes import SCENES
from syncsde3d.synthetic.shapes import SHAPES


def test_codes_are_fixed_and_far_apart() -> None:
    codes = word_codes(64)
    assert {*MATERIALS, *SHAPES, *SCENES, "red", "night", "side", ""} <= set(codes)
    assert not codes[""].any()
    again = word_codes(64)
    assert all(torch.equal(codes[word], again[word]) for word in codes)
    stack = torch.stack(list(codes.values()))
    distance = torch.cdist(stack, stack).fill_diagonal_(torch.inf)
    # two random points of 64 entries lie about sqrt(2 * 64) spreads apart, zeros and one of them sqrt(64)
    assert distance.min() > 0.7 * CODE_SCALE * 64**0.5


def test_captions_say_what_they_are_drawn_for() -> None:
    captions, subjects = drawn_captions(900, np.random.default_rng(3))
    silent = {"plain", "day"}  # often left out
    for said, subject in zip(captions, subjects, strict=True):
        for fact, words in WORDS.items():
            word = getattr(subject, fact)
            if word and word not in silent:
                assert any(way in said for way in (word, *SYNONYMS.get(word, ()))), (said, word)
            elif not word and fact != "view":
                assert not any(f" {other} " in f" {said} " for other in words), (said, fact)
            if fact == "view" and not word and subject.name:
                assert " view" not in said
    for fact, words in WORDS.items():
        assert {*words, ""} == {getattr(subject, fact) for subject in subjects}


def test_every_word_is_told_in_sentences_not_seen_before() -> None:
    """By what correlates best among the words of each fact."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer(vocabulary())
    encoder, embedding = small_text_encoder(128, len(tokenizer)), TextTimeEmbedding(128, 512, num_heads=8)
    parts = nn.ModuleList((encoder, embedding)).requires_grad_(False)

    def encode(captions: list[str]) -> torch.Tensor:
        tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(tokens)[0]

    captions, subjects = drawn_captions(200, np.random.default_rng(5))
    codes = word_codes(256)

    @torch.no_grad()
    def told(fact: str) -> float:
        score = embedding(encode(captions))[:, 256:] @ torch.stack([codes[word] for word in WORDS[fact]]).T
        said = [WORDS[fact][i] for i in score.argmax(1)]
        return float(
            np.mean([a == getattr(s, fact) for a, s in zip(said, subjects, strict=True) if getattr(s, fact)])
        )

    assert all(told(fact) < 0.6 for fact in WORDS)
    state = torch.get_rng_state()
    teach_words(encode, embedding, parts, 250)
    assert torch.equal(state, torch.get_rng_state())
    assert not any(p.requires_grad for p in parts.parameters())
    for fact in WORDS:
        assert told(fact) > 0.9, fact
