"""From a picture and words to an edited picture and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_stable_diffusion
from tiny_images import tiny_if, tiny_xl

from syncsde3d import EditItem, ImageEditing
from syncsde3d.io.manifest import read_manifest
from syncsde3d.lit.cli import main
from syncsde3d.lit.editing import replaced_words, working_size
from syncsde3d.models import captions

SOURCE, TARGET = "a photo of a red boot", "a photo of a blue chair"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    y, x = np.mgrid[:64, :96] / 64
    pixels = np.stack((x, y, np.sin(6 * x) / 2 + 0.5), -1).clip(0, 1) * 255
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "given.png")
    return tmp_path / "given.png"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """White in the left third, of the size at which :func:`picture` is edited."""
    pixels = np.zeros((32, 48), np.uint8)
    pixels[:, :16] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def module(folder: Path, **options: Any) -> ImageEditing:
    made = ImageEditing(model=str(folder), **{"steps": 4, "guidance_scale": 2.0, **options})
    made.setup("predict")
    return made


class TestPlanning:
    def test_the_shorter_side_is_the_models(self):
        assert working_size(64, 96, 16, 2) == (32, 48)
        assert working_size(3000, 2000, 64, 8) == (768, 512)
        assert working_size(100, 1000, 64, 8) == (512, 5120)
        assert working_size(500, 511, 32, 4) == (128, 128)

    def test_replaced_words(self):
        assert replaced_words("a cat on a sofa", "a small dog on a sofa") == "cat"
        assert replaced_words("a polar bear, at night", "a lion, at night") == "polar bear"
        assert replaced_words("a cat", "a cat at night") == ""

    def test_words_make_prompts(self, folder: Path, picture: Path, mask: Path):
        made = module(folder)
        item = EditItem(picture, source_words="boot", target_words="blue chair", mask=mask)
        assert made.make(item).prompts == ("a photo of a boot", "a photo of a blue chair")
        item = EditItem(picture, SOURCE, source_words="red boot", target_words="chair", mask=mask)
        assert made.make(item).prompts == (SOURCE, "a photo of a chair")

    def test_a_picture_without_words_is_described(
        self, folder: Path, picture: Path, mask: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(captions, "caption", lambda *unused: SOURCE)
        monkeypatch.setattr(captions, "closest_word", lambda *unused: "boot")
        result = module(folder).make(EditItem(picture, target_words="chair", mask=mask))
        assert result.prompts == (SOURCE, "a photo of a red chair")
        assert result.notes[-2:] == (f"described as '{SOURCE}'", "'boot' is replaced by 'chair'")


class TestEditing:
    def test_everything_outside_the_mask_follows_the_source(self, folder: Path, picture: Path, mask: Path):
        item = EditItem(picture, SOURCE, TARGET, mask=mask, id="x")
        options: dict[str, Any] = {"steps": 12, "guidance_scale": 1.0}
        near = module(folder, inv_lambda=1e5, **options).make(item)
        free = module(folder, inv_lambda=0.0, **options).make(item)
        assert near.figures["background_change"] < 0.8 * free.figures["background_change"]
        shown = near.pictures["mask"]
        assert (shown[:, :16] == 255).all()
        assert (shown[:, 16:] == 0).all()

    def test_the_inversion_is_refined_when_asked(self, folder: Path, picture: Path, mask: Path):
        item = EditItem(picture, SOURCE, TARGET, mask=mask)
        calls = []
        for refine in (0, 3):
            made = module(folder, refine=refine)
            count = [0]
            unet: Any = made.loaded.unet  # pyright: ignore[reportAttributeAccessIssue]
            unet.register_forward_hook(lambda *unused, count=count: count.__setitem__(0, count[0] + 1))
            made.make(item)
            calls.append(count[0])
        assert calls[1] == calls[0] + 3 * 4  # four steps, three further calls in each

    @pytest.mark.parametrize("find", ["attention", "contrast"])
    def test_the_region_is_found(self, folder: Path, picture: Path, find: Any):
        result = module(folder, find=find).make(EditItem(picture, SOURCE, TARGET, "red boot"))
        assert 0 < result.figures["edited_share"] < 1
        assert set(np.unique(result.pictures["mask"])) == {0, 255}
        assert result.settings["threshold"] == {"attention": 0.3, "contrast": 0.4}[find]

    def test_attention_is_asked_of_models_that_read_words(self, folder: Path, picture: Path, tmp_path: Path):
        assert module(folder).finding == "attention"
        made = module(tiny_xl(tmp_path / "xl"))
        assert made.finding == "attention"
        assert 0 < made.make(EditItem(picture, SOURCE, TARGET)).figures["edited_share"] < 1
        pixels = str(tiny_if(tmp_path / "if", clip=True))
        assert module(Path(pixels)).finding == "contrast"
        with pytest.raises(ValueError, match="find: this model's attention to words is not known"):
            module(Path(pixels), find="attention").make(EditItem(picture, SOURCE, TARGET))

    def test_a_pixel_model_edits_too(self, picture: Path, tmp_path: Path):
        made = module(tiny_if(tmp_path / "if", clip=True))
        result = made.make(EditItem(picture, SOURCE, TARGET))
        assert result.pictures["image"].shape == result.pictures["source"].shape == (8, 16, 3)
        assert result.figures["autoencoder_error"] == pytest.approx(0, abs=1e-6)

    def test_other_strategies_and_a_layout_of_its_own(self, folder: Path, picture: Path, mask: Path):
        item = EditItem(picture, SOURCE, TARGET, mask=mask)
        pictures = [
            module(folder, **options).make(item).pictures["image"]
            for options in ({}, {"strategy": "synctweedies"}, {"keep_layout": False})
        ]
        assert not np.array_equal(pictures[0], pictures[1])
        assert not np.array_equal(pictures[0], pictures[2])

    def test_figures_are_measured_on_the_pictures(self, folder: Path, picture: Path, mask: Path):
        made = module(folder)
        result = made.make(EditItem(picture, SOURCE, TARGET, mask=mask))
        given = torch.from_numpy(result.pictures["source"].copy()).permute(2, 0, 1)[None] / 127.5 - 1
        through = made.loaded.decode(made.loaded.encode(given)).clamp(-1, 1)
        loss = float(((through - given) / 2).square().mean().sqrt())
        assert result.figures["autoencoder_error"] == pytest.approx(loss, rel=1e-3)
        again = torch.from_numpy(result.pictures["reconstruction"].copy()).permute(2, 0, 1) / 127.5 - 1
        error = float(((again - through[0]) / 2).square().mean().sqrt())
        assert result.figures["reconstruction_error"] == pytest.approx(error, abs=2e-3)


class TestBadInput:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ({"source_prompt": SOURCE}, "target_prompt: empty"),
            ({}, "target_prompt: empty, expected words, or --to"),
            ({"target_prompt": TARGET}, "captioner: 'Salesforce/blip-image-captioning-base' was not found"),
            ({"source_prompt": SOURCE, "source_words": "cat", "target_words": "dog"}, "'cat' does not occur"),
            ({"source_prompt": SOURCE, "target_prompt": SOURCE + " at night"}, "from: no word of the source"),
            (
                {"source_prompt": SOURCE, "target_prompt": TARGET, "source_words": "cat"},
                "words: 'cat' does not occur in the prompt",
            ),
        ],
    )
    def test_words(self, folder: Path, picture: Path, words: dict[str, str], message: str):
        with pytest.raises(ValueError, match=message):
            module(folder).make(EditItem(picture, **words))

    def test_options(self, folder: Path):
        with pytest.raises(ValueError, match=r"threshold: expected a share in \(0, 1\), got 1.5"):
            module(folder, threshold=1.5)
        with pytest.raises(ValueError, match="find: expected one of attention, contrast"):
            module(folder, find="magic")


class TestShell:
    def test_it_writes_everything_and_says_how_well_it_inverted(
        self, folder: Path, picture: Path, tmp_path: Path, capsys: Any
    ):
        words = ["--from", "red boot", "--to", "blue chair"]
        options = ["--model", str(folder), "--steps", "2", "--devices", "1", "--out", str(tmp_path / "out")]
        assert main(["edit", str(picture), *words, *options]) == 0
        out = tmp_path / "out" / "given_to_blue_chair"
        names = ("image", "source", "reconstruction", "mask", "overview")
        assert {path.name for path in out.iterdir()} == {*(f"{n}.png" for n in names), "manifest.json"}
        figures = read_manifest(out).settings["figures"]
        said = capsys.readouterr().out
        assert f"reconstruction error: {figures['reconstruction_error']:.4f}" in said
        assert "'given.png' was resized from 96 x 64 to 48 x 32 pixels" in said

    def test_a_repeated_run_skips_what_is_done(
        self, folder: Path, picture: Path, tmp_path: Path, capsys: Any
    ):
        words = ["--source-prompt", SOURCE, "--from", "red boot", "--to", "blue chair", "--find", "contrast"]
        options = ["--model", str(folder), "--steps", "2", "--devices", "1", "--out", str(tmp_path / "out")]
        assert main(["edit", str(picture), *words, *options]) == 0
        assert "already finished" not in capsys.readouterr().out
        assert main(["edit", str(picture), *words, *options]) == 0
        assert "already finished" in capsys.readouterr().out

    def test_an_unreadable_picture_is_exit_code_1(self, folder: Path, tmp_path: Path, capsys: Any):
        options = ["--model", str(folder), "--devices", "1", "--out", str(tmp_path / "out")]
        assert main(["edit", "no.png", "--from", "cat", "--to", "dog", *options]) == 1
        assert "'no.png': no such file" in capsys.readouterr().err
