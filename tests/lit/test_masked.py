"""From prompts and masks to a picture and its files, through ``trainer.predict`` and through the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_stable_diffusion

from syncsde3d import MaskedImage, MaskedItem, Region
from syncsde3d.core import NoiseSource, Sampler
from syncsde3d.io.manifest import read_manifest
from syncsde3d.lit.cli import main
from syncsde3d.tasks.masked_image import MaskedImageTask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """White in the left half, 64 pixels."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:, :32] = 255
    Image.fromarray(pixels).save(tmp_path / "left.png")
    return tmp_path / "left.png"


def module(folder: Path, **options: Any) -> MaskedImage:
    made = MaskedImage(model=str(folder), **{"steps": 3, "guidance_scale": 2.0, **options})
    made.setup("predict")
    return made


def item(*masks: Path, **more: Any) -> MaskedItem:
    prompts = ("a boot", "a chair")
    regions = tuple(Region(p, m) for p, m in zip(prompts, masks, strict=False))
    return MaskedItem(**{"prompt": "a view", "background": "a photo", "regions": regions, "id": "x", **more})


class TestSampling:
    def test_it_is_the_tasks_chain(self, folder: Path, mask: Path):
        made = module(folder)
        result = made.make(item(mask))
        left = torch.zeros(16, 16)
        left[:, :8] = 1
        task, source = MaskedImageTask([left]), NoiseSource(0, "x")
        denoiser = made.loaded.condition(["a photo", "a boot", "a view"], guidance_scale=2.0)
        noise = torch.stack([source.initial(i, (4, 16, 16)) for i in range(3)])
        sampler = Sampler(made.sampler().scheduler, 3, made.sync)
        patches = sampler.lockstep(task, denoiser, noise, source)
        pictures = (made.loaded.decode(patches).clamp(-1, 1) * 127.5 + 127.5).round().byte()
        for name, picture in zip(("background", "region_1", "image"), pictures, strict=True):
            found = torch.from_numpy(result.pictures[name].astype(int)).permute(2, 0, 1)
            assert (found - picture.int()).abs().max() <= 1
        assert result.prompts == ("a photo", "a boot", "a view")

    def test_the_picture_outside_the_mask_is_the_background(self, folder: Path, mask: Path):
        near = module(folder, inv_lambda=1e5, steps=12).make(item(mask)).pictures
        free = module(folder, inv_lambda=0.0, steps=12).make(item(mask)).pictures

        def apart(pictures: Any) -> float:
            outside = (slice(None), slice(20, None))
            image, background = (pictures[k][outside].astype(float) for k in ("image", "background"))
            return float(np.abs(image - background).mean())

        assert apart(near) < 0.5 * apart(free)

    def test_several_regions_and_sizes(self, folder: Path, mask: Path, tmp_path: Path):
        Image.fromarray(255 - np.asarray(Image.open(mask))).save(tmp_path / "right.png")
        made = module(folder, width=48, height=40)
        result = made.make(item(mask, tmp_path / "right.png"))
        assert {p.shape for p in result.pictures.values()} == {(40, 48, 3)}
        assert set(result.pictures) == {
            *("image", "background", "region_1", "region_2", "mask_1", "mask_2"),
        }
        assert result.notes[0] == "mask 'left.png' was resized from 64 x 64 to 48 x 40 pixels"
        assert result.prompts == ("a photo", "a boot", "a chair", "a view")

    def test_a_grey_mask_is_soft(self, folder: Path, tmp_path: Path):
        Image.fromarray(np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))).save(tmp_path / "g.png")
        shown = module(folder).make(item(tmp_path / "g.png")).pictures["mask_1"]
        assert len(np.unique(shown)) > 8
        assert module(folder).make(item(tmp_path / "g.png")).notes == ()


class TestBadInput:
    def test_each_is_named_in_a_line(self, folder: Path, mask: Path, tmp_path: Path):
        made = module(folder)
        for name, grey in (("black", 0), ("white", 255)):
            Image.new("L", (32, 32), grey).save(tmp_path / f"{name}.png")
        (tmp_path / "text.png").write_text("no picture")
        with pytest.raises(ValueError, match=r"black.png' is empty \(all black\)"):
            made.make(item(tmp_path / "black.png"))
        with pytest.raises(ValueError, match="white.png' is all white"):
            made.make(item(tmp_path / "white.png"))
        with pytest.raises(OSError, match="text.png': cannot be read as a picture"):
            made.make(item(tmp_path / "text.png"))
        with pytest.raises(OSError, match="no.png': no such file"):
            made.make(item(tmp_path / "no.png"))
        with pytest.raises(ValueError, match="background: empty"):
            made.make(item(mask, background=" "))
        with pytest.raises(ValueError, match=r"foreground\[0\]: empty"):
            made.make(item(regions=(Region("", mask),)))
        with pytest.raises(ValueError, match="width: expected a multiple of the model's 2 pixels, got 33"):
            module(folder, width=33)


class TestShell:
    def test_it_writes_pictures(self, folder: Path, mask: Path, tmp_path: Path, capsys: Any):
        prompts = ["--background", "a photo", "--foreground", "a boot", "--mask", str(mask)]
        options = ["--model", str(folder), "--steps", "1", "--devices", "1", "--out", str(tmp_path / "out")]
        assert main(["masked", "--prompt", "a view", *prompts, *options]) == 0
        out = tmp_path / "out" / "a_view"
        names = ("image", "background", "region_1", "mask_1", "overview")
        assert {path.name for path in out.iterdir()} == {*(f"{n}.png" for n in names), "manifest.json"}
        manifest = read_manifest(out)
        assert manifest.inputs["mask_1"]["sha256"]
        assert "was resized from 64 x 64 to 32 x 32" in capsys.readouterr().out
        assert main(["masked", "--prompt", "a view", *prompts, *options]) == 0
        assert "already finished" in capsys.readouterr().out

    def test_masks_and_foregrounds_come_in_pairs(self, mask: Path, capsys: Any):
        assert main(["masked", "--prompt", "a view", "--mask", str(mask)]) == 2
        assert "mask: expected one for each --foreground" in capsys.readouterr().err
