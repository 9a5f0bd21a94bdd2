"""Teaches a text encoder to tell materials, objects and scenes before it is trained with a denoiser.

A denoiser's gradients separate words by the colours that they stand for; two patterns of like colours stay
nearly one word to it, and patterns are hard to learn by such words; nor does it tell objects apart before it
draws them. So half of what the UNet is told next to the timestep is set apart for a code per material (or
object) and scene, far from one another, that plain regression puts there first.
"""

# diffusers' classes give their parts no precise types.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from syncsde3d.synthetic.captions import Subject, caption, nothing
from syncsde3d.synthetic.materials import COLOURS, MATERIALS
from syncsde3d.synthetic.scenes import SCENES, TIMES
from syncsde3d.synthetic.shapes import SHAPES

#: Spread of a code's entries; what the timestep adds beside it has about half of that.
CODE_SCALE = 1.5


#: Whose words get codes, besides those of scenes.
Coded = Literal["material", "object"]


def word_codes(width: int, of: Coded = "material") -> dict[str, Tensor]:
    """A fixed code [width] per material (or object) and scene; zeros under "", where nothing is said."""
    generator = torch.Generator().manual_seed(0)
    words = (*(MATERIALS if of == "material" else SHAPES), *SCENES)
    codes = {word: CODE_SCALE * torch.randn(width, generator=generator) for word in words}
    return codes | {"": torch.zeros(width)}


def drawn_captions(
    count: int, rng: np.random.Generator, of: Coded = "material"
) -> tuple[list[str], list[str]]:
    """Captions as the pictures have them, without the pictures, and the word whose code each should get."""
    captions, words = [], []
    for _ in range(count):
        what = rng.uniform()
        scene, time = str(rng.choice(SCENES)), str(rng.choice(TIMES))
        name, colour, material = (str(rng.choice(list(of))) for of in (SHAPES, COLOURS, MATERIALS))
        if what < 0.1:
            captions.append(nothing(rng))
            words.append("")
        elif what < 0.25:
            captions.append(caption(Subject(scene=scene, time=time), rng))
            words.append(scene)
        else:
            place = {"scene": scene, "time": time} if what < 0.35 else {}
            view = "" if place else str(rng.choice(("front", "side", "back", "top")))
            subject = Subject(name, colour, material, view, **place)
            captions.append(caption(subject, rng if what < 0.8 else None))
            words.append(material if of == "material" else name)
    return captions, words


def teach_words(
    encode: Callable[[list[str]], Tensor],
    embedding: nn.Module,
    parts: nn.Module,
    steps: int,
    batch: int = 128,
    of: Coded = "material",
) -> None:
    """Train ``parts`` until the second half of a caption's embedding is its word's code.

    encode: captions to the text encoder's output [b, n, c]. embedding: of that, next to the timestep
    [b, width]. parts: what is trained, holding the text encoder and ``embedding``. Repeatable: draws no
    numbers from torch's generator.
    """
    rng = np.random.default_rng(0)
    device = next(parts.parameters()).device
    optimizer = torch.optim.AdamW(parts.parameters(), 2e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(2, steps), pct_start=0.1)
    codes: dict[str, Tensor] = {}
    for _ in range(steps):
        captions, words = drawn_captions(batch, rng, of)
        half = embedding(encode(captions)).float().chunk(2, -1)[1]
        codes = codes or {word: code.to(device) for word, code in word_codes(half.shape[-1], of).items()}
        loss = F.mse_loss(half, torch.stack([codes[word] for word in words]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        schedule.step()
