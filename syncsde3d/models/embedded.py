"""The small models that ship with the package, and their vocabulary."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor
from transformers import CLIPTokenizer, PreTrainedTokenizerBase

from syncsde3d.models.deepfloyd import PixelDiffusion
from syncsde3d.models.latent_diffusion import LatentDiffusion

EmbeddedName = Literal["latent", "pixel", "judge", "motion", "motion-judge"]
#: Tokens per prompt, with the start and end tokens.
PROMPT_LENGTH = 24


def embedded_folder(name: EmbeddedName) -> Path:
    """Folder of an embedded model, as ``from_pretrained`` takes it.

    latent: text and depth to 128 px pictures (a StableDiffusionControlNetPipeline folder). pixel: text to
    64 px pictures. judge: scores pictures against words. motion: text to motion. motion-judge: scores motions
    against words. Raises ValueError for another name and FileNotFoundError when this installation lacks the
    weights.
    """
    if name not in get_args(EmbeddedName):
        raise ValueError(f"name: expected one of {', '.join(get_args(EmbeddedName))}, got {name!r}")
    own = name.replace("-", "_")
    folder = Path(str(files("syncsde3d.models") / "weights" / own))
    if not (folder / ("model_index.json" if name in ("latent", "pixel") else "config.json")).is_file():
        raise FileNotFoundError(
            f"embedded model {name!r}: no weights at {folder}; reinstall the package, train them with "
            f"'syncsde3d fit --config configs/train/{own}.yaml', or pass a model folder or hub id instead"
        )
    return folder


def unknown_words(prompt: str, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Words of a prompt that the tokenizer has no token for and spells out instead."""
    words = re.findall(r"[\w']+", prompt.lower())
    return list(dict.fromkeys(word for word in words if len(tokenizer.tokenize(word)) > 1))


def warn_unknown_words(prompt: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn when a prompt for an embedded model uses words that it was not trained on."""
    if unknown := unknown_words(prompt, tokenizer):
        warnings.warn(
            f"the embedded model does not know {', '.join(unknown)}: it was trained on a small vocabulary "
            "(objects, colours, materials and scenes; see its model card)",
            stacklevel=2,
        )


class EmbeddedDiffusion(LatentDiffusion):
    """The package's own latent model: it also says which words of a prompt it does not know."""

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        for prompt in prompts:
            warn_unknown_words(prompt, self.tokenizer)
        return super().encode_prompts(prompts)


class EmbeddedPixels(PixelDiffusion):
    """The package's own pixel model: it also says which words of a prompt it does not know."""

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        for prompt in prompts:
            warn_unknown_words(prompt, self.text.tokenizer)
        return super().encode_prompts(prompts)


def word_tokenizer(words: Sequence[str], length: int = PROMPT_LENGTH) -> CLIPTokenizer:
    """A CLIP tokenizer in which each of ``words`` is one token; others are spelled in pieces.

    words: lower case, letters and digits. length: tokens per prompt, with the start and end tokens.
    Equal words make equal tokenizers, in any process.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    plain = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    letters = [chr(c) for c in range(33, 127)]
    ends = [f"{c}</w>" for c in letters]  # numbered first: else in the order of a hash, a new one each time
    trainer = trainers.BpeTrainer(
        vocab_size=100_000,
        end_of_word_suffix="</w>",
        show_progress=False,
        initial_alphabet=letters,
        special_tokens=ends,  # pyright: ignore
    )
    plain.train_from_iterator([" ".join([*words, *letters])], trainer)
    spec = json.loads(plain.to_str())["model"]
    vocab = {token: index for index, token in enumerate(spec["vocab"])}
    for token in (*letters, *ends, "<|startoftext|>", "<|endoftext|>"):
        vocab.setdefault(token, len(vocab))
    merges = [tuple(m) for m in spec["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=length)  # pyright: ignore
