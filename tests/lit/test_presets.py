"""View words and prompts, against the paper's rule written out."""

from __future__ import annotations

from dataclasses import replace

import torch

from syncsde3d.lit.presets import PRESETS, view_prompts
from syncsde3d.lit.texturing import BACKDROPS, backdrop_schedule


def test_prompts_name_the_direction_and_deny_the_front_elsewhere():
    settings = replace(PRESETS["paper"], views=((0.0, 0.0), (90.0, 0.0)))
    prompts, negatives = view_prompts("a boot", settings)
    assert prompts == [
        "Best quality, extremely detailed a boot, front view",
        "Best quality, extremely detailed a boot, side view",
    ]
    assert negatives[0] == settings.negative_prompt
    assert negatives[1] == f"{settings.negative_prompt}, front view"


def test_no_negative_prompt_stays_unconditional():
    assert set(view_prompts("a boot", PRESETS["embedded"])[1]) == {""}


def test_backdrops_are_of_any_colour_then_black_or_white_then_none():
    choice = backdrop_schedule(30, 500, torch.Generator().manual_seed(0))
    assert set(choice[:12].unique().tolist()) == set(range(len(BACKDROPS)))
    assert set(choice[12:24].unique().tolist()) == {0, 1}
    assert set(choice[24:].unique().tolist()) == {-1}
    assert len(set(BACKDROPS)) == len(BACKDROPS) == 26
