"""Recorded attention against diffusers' own attention scores, and what it is good for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from tiny import tiny_stable_diffusion
from tiny_images import sample, tiny_xl
from torch.nn.functional import interpolate

from syncsde3d.models.attention import AttentionRecorder, normalise
from syncsde3d.models.images import load_image_model
from syncsde3d.models.latent_diffusion import LatentDiffusion
from syncsde3d.models.text import word_positions

PROMPTS = ["a blue chair", "a photo of a red boot"]
STEPS = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LatentDiffusion:
    folder = tiny_stable_diffusion(tmp_path_factory.mktemp("sd"), controlnet=False)
    return LatentDiffusion.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch, model: LatentDiffusion) -> Iterator[list[torch.Tensor]]:
    """Attention of diffusers' readable processor, call by call: [rows, heads, cells, keys]."""
    kept: list[torch.Tensor] = []
    score = Attention.get_attention_scores

    def keep(attn: Attention, *arguments: Any) -> torch.Tensor:
        result = score(attn, *arguments)
        kept.append(result.unflatten(0, (-1, attn.heads)))
        return result

    monkeypatch.setattr(Attention, "get_attention_scores", keep)
    before = dict(model.unet.attn_processors)
    model.unet.set_attn_processor(AttnProcessor())
    yield kept
    model.unet.set_attn_processor(before)


def test_it_is_diffusers_attention_averaged(
    model: LatentDiffusion, noise: torch.Tensor, scores: list[torch.Tensor]
):
    """On a guided batch of two patches only the watched one's rows with its prompt count (row 2 of 4)."""
    tokens = word_positions(model.tokenizer, PROMPTS[1], ["red", "boot"])
    recorder = AttentionRecorder(model.unet, tokens, patch=1)
    with recorder.watching(model.condition(PROMPTS, guidance_scale=5.0)) as denoiser:
        sample(denoiser, model.scheduler, noise, STEPS)
    cross = [s[2, :, :, tokens] for s in scores if s.shape[-1] == 77]
    own = [s[2] for s in scores if s.shape[-1] == s.shape[-2]]
    assert len(cross) == len(own) == STEPS * 4
    expected = torch.stack([c.mean((0, 2)) for c in cross]).mean(0).reshape(8, 12)
    torch.testing.assert_close(recorder.attention(), expected, atol=1e-6, rtol=1e-4)
    spread = normalise(own[-1].mean(0) @ normalise(expected).flatten()).reshape(8, 12)
    torch.testing.assert_close(recorder.region(), spread, atol=1e-4, rtol=1e-3)
    large = interpolate(spread[None, None], (16, 24), mode="bilinear")[0, 0]
    assert ((large > 0.3) == recorder.mask((16, 24))).float().mean() > 0.99


def test_recording_changes_nothing_and_is_undone(model: LatentDiffusion, noise: torch.Tensor):
    denoiser = model.condition(PROMPTS, guidance_scale=5.0)
    before, expected = dict(model.unet.attn_processors), sample(denoiser, model.scheduler, noise, STEPS)
    recorder = AttentionRecorder(model.unet, [2])
    with recorder.watching(denoiser) as watched:
        assert torch.equal(sample(watched, model.scheduler, noise, STEPS), expected)
    recorded = recorder.attention()
    assert model.unet.attn_processors == before
    with pytest.raises(KeyError), recorder.watching(denoiser):
        raise KeyError
    assert model.unet.attn_processors == before
    sample(denoiser, model.scheduler, noise, STEPS)
    assert torch.equal(recorder.attention(), recorded)


def test_layers_of_several_sizes_count_alike():
    """Four cells of one layer and one of another: the coarse one is enlarged, then all are averaged."""
    recorder = AttentionRecorder(None, [1])
    fine = torch.tensor([0.0, 2.0, 4.0, 6.0])
    recorder._cross = {(2, 2): (fine, 2), (1, 1): (torch.tensor([6.0]), 1)}
    torch.testing.assert_close(recorder.attention(), (fine + 6).reshape(2, 2) / 3)
    recorder._own = {(2, 2): torch.eye(4).flip(0)}
    torch.testing.assert_close(recorder.region(), torch.tensor([[3.0, 2.0], [1.0, 0.0]]) / 3)
    assert recorder.mask((2, 2), 0.5).tolist() == [[True, True], [False, False]]


def test_layers_beyond_the_limit_are_left_out(tmp_path: Path, noise: torch.Tensor):
    model: Any = load_image_model(str(tiny_xl(tmp_path)))
    for limit in (7, 8):
        recorder = AttentionRecorder(model.unet, [2], limit=limit)
        with recorder.watching(model.condition(PROMPTS, guidance_scale=5.0)) as denoiser:
            sample(denoiser, model.scheduler, noise, 1)
        if limit == 8:  # along the shorter side
            assert recorder.attention().shape == (8, 12)
        else:
            with pytest.raises(ValueError, match="limit: no attention of at most 7 x 7 cells was recorded"):
                recorder.mask((16, 24))
