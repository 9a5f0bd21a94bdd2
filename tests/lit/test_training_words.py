"""Codes of words in captions: apart from one another, learned from captions alone, told anew."""

from __future__ import annotations

from collections.abc import Callable

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


def words_net(width: int, embedded: int) -> tuple[Callable[[list[str]], torch.Tensor], nn.Module, nn.Module]:
    """Untrained: captions to a text encoder's output, the embedding of that, and both as what is trained."""
    tokenizer = word_tokenizer(vocabulary())
    encoder = small_text_encoder(width, len(tokenizer))
    embedding = TextTimeEmbedding(width, embedded, num_heads=4)

    def encode(captions: list[str]) -> torch.Tensor:
        tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(tokens)[0]

    return encode, embedding, nn.ModuleList((encoder, embedding))


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


def test_materials_are_told_apart_in_sentences_not_seen_before() -> None:
    torch.manual_seed(0)
    encode, embedding, parts = words_net(32, 128)

    captions, subjects = drawn_captions(200, np.random.default_rng(5))
    codes = {word: code for word, code in word_codes(64).items() if word in {*MATERIALS, ""}}

    @torch.no_grad()
    def told() -> float:
        distance = torch.cdist(embedding(encode(captions))[:, 64:], torch.stack(list(codes.values())))
        said = [list(codes)[i] for i in distance.argmin(1)]
        return float(np.mean([a == s.material for a, s in zip(said, subjects, strict=True)]))

    assert told() < 0.4
    state = torch.get_rng_state()
    teach_words(encode, embedding, parts, 150, ("material",), batch=48)
    assert torch.equal(state, torch.get_rng_state())
    assert not any(p.requires_grad for p in parts.parameters())
    assert told() > 0.95


def test_codes_of_several_facts_add_up() -> None:
    """Told by what correlates best among the words of each fact."""
    torch.manual_seed(0)
    encode, embedding, parts = words_net(48, 256)

    facts = ("name", "colour", "scene")
    teach_words(encode, embedding, parts, 300, facts, batch=48)
    captions, subjects = drawn_captions(200, np.random.default_rng(5))
    codes = word_codes(128)
    with torch.no_grad():
        half = embedding(encode(captions))[:, 128:]
    for fact in facts:
        score = half @ torch.stack([codes[word] for word in WORDS[fact]]).T
        right = [
            WORDS[fact][i] == getattr(s, fact)
            for i, s in zip(score.argmax(1), subjects, strict=True)
            if getattr(s, fact)
        ]
        assert np.mean(right) > 0.9, fact
