"""Prompts to embeddings: cut to length with a warning, encoded once each, mixed where a prompt is a blend."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Blend:
    """A prompt between two: ``(1 - weight) * first + weight * second``, as embeddings.

    With weights that grow from window to window a wide image's subject changes across it.
    Raises ValueError for a weight outside [0, 1].
    """

    first: str
    second: str
    weight: float

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight: expected a share in [0, 1], got {self.weight}")


#: What a patch shows.
Prompt = str | Blend


def check_prompts(prompts: Sequence[Prompt], negative_prompts: Sequence[str] | None) -> list[str]:
    """The negative prompt of each patch, "" by default. ValueError for none, or for another number."""
    if isinstance(prompts, str | Blend) or isinstance(negative_prompts, str):
        raise ValueError("prompts: expected a list with one per patch, got a single one")
    if not prompts:
        raise ValueError("prompts: expected at least one, got none")
    negatives = [""] * len(prompts) if negative_prompts is None else list(negative_prompts)
    if len(negatives) != len(prompts):
        raise ValueError(
            f"negative_prompts: expected one per prompt, got {len(negatives)} for {len(prompts)}"
        )
    return negatives


def texts(prompts: Sequence[Prompt]) -> list[str]:
    """Every text that the prompts are made of, once each, in order."""
    parts = [[p] if isinstance(p, str) else [p.first, p.second] for p in prompts]
    return list(dict.fromkeys(text for part in parts for text in part))


def mix(prompts: Sequence[Prompt], encoded: Tensor) -> Tensor:
    """Embeddings of all prompts [n, ...] from those of their :func:`texts` [k, ...]."""
    of = dict(zip(texts(prompts), encoded, strict=True))
    rows = [of[p] if isinstance(p, str) else torch.lerp(of[p.first], of[p.second], p.weight) for p in prompts]
    return torch.stack(rows)


def tokenize(tokenizer: Any, prompts: Sequence[str], length: int, warn: bool = True) -> Any:
    """The prompts as tokens [n, length]; what does not fit is cut off, and a warning names it."""
    for prompt, ids in zip(prompts, tokenizer(list(prompts), verbose=False).input_ids, strict=True):
        if warn and len(ids) > length:
            lost = tokenizer.decode(ids[length - 1 : -1]).strip()
            warnings.warn(
                f"prompt '{prompt[:40]}...' is cut at {length} tokens, lost: '{lost}'", stacklevel=3
            )
    return tokenizer(
        list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )


def word_positions(tokenizer: Any, prompt: str, words: str | Sequence[str]) -> list[int]:
    """Where words stand in the tokens of a prompt for a CLIP text encoder, the start token being 0.

    words: one or several words or phrases; each may be several tokens and occur several times.
    Raises ValueError for a word that the prompt has not, or that was cut off.
    """
    ids = tokenizer(prompt, truncation=True).input_ids
    ends = [str(token).endswith("</w>") for token in tokenizer.convert_ids_to_tokens(ids)]
    found: list[int] = []
    for word in [words] if isinstance(words, str) else words:
        wanted = tokenizer(word, add_special_tokens=False).input_ids
        starts = [
            i
            for i in range(1, len(ids) - len(wanted))
            if wanted and ids[i : i + len(wanted)] == wanted and (i == 1 or ends[i - 1])
        ]
        if not starts:
            raise ValueError(f"words: '{word}' does not occur in the prompt '{prompt}'")
        found += [i + j for i in starts for j in range(len(wanted))]
    return sorted(set(found))
