"""The embedded models' folders and vocabulary."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import IFPipeline, StableDiffusionControlNetPipeline
from PIL import Image
from transformers import CLIPTokenizer

from syncsde3d.models.embedded import embedded_folder, unknown_words, warn_unknown_words, word_tokenizer
from syncsde3d.models.judge import Judge
from syncsde3d.models.texturing import load_texture_model
from syncsde3d.synthetic.captions import vocabulary


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return word_tokenizer(vocabulary())


def test_each_word_is_one_token(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    assert [w for w in vocabulary() if len(tokenizer.tokenize(w)) != 1] == []
    ids = tokenizer("a photo of a green camouflage boot, front view.").input_ids
    assert len(ids) == 12 + 1
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert len(set(ids)) == len(ids) - 1  # "a" twice
    tokenizer.save_pretrained(tmp_path)
    assert (
        CLIPTokenizer.from_pretrained(tmp_path)("A Green boot").input_ids
        == tokenizer("a green boot").input_ids
    )


def test_equal_words_make_equal_tokenizers(tokenizer: CLIPTokenizer) -> None:
    """A run that is resumed makes its tokenizer anew: every token must keep its number."""
    again = word_tokenizer(vocabulary())
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_texturing_says_which_words_mean_nothing_to_the_model() -> None:
    model = load_texture_model("embedded")
    options = {"control_images": None, "guidance_scale": 3.0, "control_scale": (1.0, 1.0)}
    with pytest.warns(UserWarning, match="does not know mauve"):
        model.condition(["a mauve boot"], negative_prompts=[""], **options)


def test_unknown_words_are_named(tokenizer: CLIPTokenizer) -> None:
    assert unknown_words("a mauve boot, Mauve gnome!", tokenizer) == ["mauve", "gnome"]
    with pytest.warns(UserWarning, match="does not know mauve"):
        warn_unknown_words("a mauve boot", tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unknown_words("Best quality, extremely detailed a photo of a red boot, side view.", tokenizer)


def test_missing_or_misnamed_models_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name: expected one of latent, pixel, judge, .*got 'sdxl'"):
        embedded_folder("sdxl")  # pyright: ignore
    monkeypatch.setattr("syncsde3d.models.embedded.files", lambda _: tmp_path)
    with pytest.raises(FileNotFoundError, match="no weights at .*latent; reinstall"):
        embedded_folder("latent")


def test_shipped_files_are_small() -> None:
    for names, most in ((("latent", "pixel", "judge"), 60e6), (("motion", "motion-judge"), 15e6)):
        files = [f for name in names for f in embedded_folder(name).rglob("*") if f.is_file()]
        assert max(f.stat().st_size for f in files) <= 15e6
        assert sum(f.stat().st_size for f in files) <= most


def test_shipped_latent_model_is_a_stock_pipeline() -> None:
    pipe = StableDiffusionControlNetPipeline.from_pretrained(embedded_folder("latent"))
    pipe.set_progress_bar_config(disable=True)
    depth = Image.new("RGB", (128, 128))
    depth.paste((200, 200, 200), (32, 32, 96, 96))
    images = pipe("a photo of a red cube", image=depth, num_inference_steps=2, output_type="np").images  # pyright: ignore
    assert images.shape == (1, 128, 128, 3)
    assert np.isfinite(images).all()
    assert images.std() > 0.01


def test_shipped_pixel_model_is_a_stock_pipeline_and_tells_night_from_day() -> None:
    pipe = IFPipeline.from_pretrained(
        embedded_folder("pixel"), safety_checker=None, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)
    images = pipe(
        ["a photo of the desert", "a photo of the desert at night"],
        num_inference_steps=6,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
        clean_caption=False,
    ).images  # pyright: ignore
    assert np.shape(images) == (2, 64, 64, 3)
    assert np.mean(images[0]) > np.mean(images[1]) + 0.2


def test_shipped_judge_tells_red_from_blue() -> None:
    judge = Judge.from_pretrained(embedded_folder("judge")).float().eval()  # pyright: ignore
    p = torch.linspace(-1, 1, 64)
    disc = ((p[:, None] ** 2 + p**2) < 0.5).float()
    for colour, rgb in (("red", (0.8, 0.1, 0.1)), ("blue", (0.1, 0.2, 0.8))):
        picture = torch.stack([disc * (2 * c - 1) + (1 - disc) * 0.8 for c in rgb])
        with torch.no_grad():
            choice = judge(picture[None], ("red", "blue")).argmax().item()
        assert ("red", "blue")[choice] == colour
