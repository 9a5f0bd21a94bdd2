"""Teaches a text encoder what captions say before a denoiser is trained to draw by it.

A denoiser's gradients separate words by the colours that they stand for; two patterns of like colours stay
nearly one word to it, and so do all objects before any has a shape. What has one word cannot be learned
apart. So half of what the UNet is told next to the timestep is set apart for codes of facts, far from one
another, that plain regression puts there first.
"""

# diffusers' classes give their parts no precise types.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from syncsde3d.synthetic.captions import VIEWS, Subject, caption, nothing
from syncsde3d.synthetic.materials import COLOURS, MATERIALS
from syncsde3d.synthetic.scenes import SCENES, TIMES
from syncsde3d.synthetic.shapes import SHAPES

#: The words of each fact of a Subject.
WORDS: dict[str, tuple[str, ...]] = {
    "name": tuple(SHAPES),
    "colour": tuple(COLOURS),
    "material": tuple(MATERIALS),
    "view": VIEWS,
    "scene": tuple(SCENES),
    "time": tuple(TIMES),
}
#: Spread of a code's entries; what the timestep adds beside it has about half of that.
CODE_SCALE = 1.5


def word_codes(width: int) -> dict[str, Tensor]:
    """A fixed code [width] for every word of every fact; under "", for what is not said, zeros."""
    generator = torch.Generator().manual_seed(0)
    words = [word for of in WORDS.values() for word in of]
    codes = {word: CODE_SCALE * torch.randn(width, generator=generator) for word in words}
    return codes | {"": torch.zeros(width)}


def drawn_captions(count: int, rng: np.random.Generator) -> tuple[list[str], list[Subject]]:
    """Captions as the pictures have them, without the pictures, and what each says."""
    captions, subjects = [], []
    for _ in range(count):
        what = rng.uniform()
        drawn = {fact: str(rng.choice(of)) for fact, of in WORDS.items()}
        if what < 0.1:
            captions.append(nothing(rng))
            subjects.append(Subject())
            continue
        if what < 0.25:
            subject = Subject(scene=drawn["scene"], time=drawn["time"])
        elif what < 0.35:
            subject = Subject(**{**drawn, "view": ""})
        else:
            subject = Subject(**{**drawn, "scene": "", "time": ""})
        said = caption(subject, rng if what < 0.8 else None)
        captions.append(said)
        seen = f"{subject.view} view" in said  # often left out
        subjects.append(subject if seen else Subject(**{**vars(subject), "view": ""}))
    return captions, subjects


def teach_words(
    encode: Callable[[list[str]], Tensor],
    embedding: nn.Module,
    parts: nn.Module,
    steps: int,
    batch: int = 128,
) -> None:
    """Train ``parts`` until the second half of a caption's embedding is the sum of its words' codes.

    encode: captions to the text encoder's output [b, n, c]. embedding: of that, next to the timestep
    [b, width]. parts: what is trained and then frozen, holding the text encoder and ``embedding``. The sum is
    over the root of the number of WORDS' facts. Repeatable: draws no numbers from torch's generator.
    """
    parts.requires_grad_(True)
    rng = np.random.default_rng(0)
    device = next(parts.parameters()).device
    optimizer = torch.optim.AdamW(parts.parameters(), 2e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(2, steps), pct_start=0.1)
    codes: dict[str, Tensor] = {}
    for _ in range(steps):
        captions, subjects = drawn_captions(batch, rng)
        half = embedding(encode(captions)).float().chunk(2, -1)[1]
        codes = codes or {word: code.to(device) for word, code in word_codes(half.shape[-1]).items()}
        target = torch.stack([sum(codes[getattr(s, fact)] for fact in WORDS) for s in subjects])
        loss = (half - target / len(WORDS) ** 0.5).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    parts.requires_grad_(False)
