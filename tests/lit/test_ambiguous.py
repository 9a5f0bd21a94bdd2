"""From prompts and views to an ambiguous picture and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import imageio.v3 as iio
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from PIL import Image
from tiny import tiny_stable_diffusion
from tiny_images import tiny_if, tiny_upscaler

from syncsde3d import AmbiguousImage, AmbiguousItem
from syncsde3d.core import NoiseSource, Sampler
from syncsde3d.core.operators import make_view
from syncsde3d.io.manifest import read_manifest
from syncsde3d.lit.ambiguous import view_names
from syncsde3d.lit.cli import main
from syncsde3d.models import embedded
from syncsde3d.models.deepfloyd import DEEPFLOYD
from syncsde3d.models.upscaler import UPSCALER
from syncsde3d.tasks.ambiguous_image import AmbiguousImageTask

ITEM = AmbiguousItem(("a red boot", "a chair"), ("rotate_90",), id="x")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_if(tmp_path_factory.mktemp("models") / "if", clip=True)


def module(folder: Path, **options: Any) -> AmbiguousImage:
    made = AmbiguousImage(model=str(folder), **{"steps": 3, "guidance_scale": 2.0, **options})
    made.setup("predict")
    return made


class TestViews:
    def test_names_are_understood_as_people_write_them(self):
        views = ("rotate180", "rotate-90", "Flip Horizontal", "patch", "jigsaw")
        found = view_names(AmbiguousItem(("a", "b", "c", "d", "e", "f"), views))
        assert found == ["identity", "rotate_180", "rotate_270", "flip_horizontal", "patches", "jigsaw"]
        assert view_names(AmbiguousItem(("a", "b"), ("identity", "skew"))) == ["identity", "skew"]

    @pytest.mark.parametrize(
        ("item", "message"),
        [
            (AmbiguousItem(("a",)), "prompts: expected at least two, got 1"),
            (AmbiguousItem(("a", "b"), ("sideways",)), "view: expected one of identity, .*, got 'sideways'"),
            (AmbiguousItem(("a", "b", "c")), "views: expected one for each of the 2 prompts .*, got 1"),
            (AmbiguousItem(("a", "b"), ("skew", "skew")), "views: expected one for each"),
        ],
    )
    def test_others_are_refused(self, item: AmbiguousItem, message: str):
        with pytest.raises(ValueError, match=message):
            view_names(item)


class TestSampling:
    def test_it_is_the_tasks_chain(self, folder: Path):
        made = module(folder)
        result = made.make(ITEM)
        task = AmbiguousImageTask([make_view("identity", 8), make_view("rotate_90", 8)])
        source = NoiseSource(0, "x")
        noise = task.show(source.initial(0, (3, 8, 8)))
        denoiser = made.loaded.condition(ITEM.prompts, guidance_scale=2.0)
        patches = Sampler(made.sampler().scheduler, 3, made.sync).lockstep(task, denoiser, noise, source)
        picture = (
            (task.assemble(patches).clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(1, 2, 0).numpy()
        )
        assert np.abs(result.pictures["image"].astype(int) - picture).max() <= 1
        assert np.array_equal(result.pictures["view_1"], np.rot90(result.pictures["image"]))

    def test_stages_follow_each_other(self, folder: Path, tmp_path: Path):
        second, upscaler = tiny_if(tmp_path / "second", second=True), tiny_upscaler(tmp_path / "up")
        first = tiny_if(tmp_path / "first")
        made = module(first, second=str(second), upscaler=str(upscaler), low_memory=True)
        assert made.upscaler is not None
        assert made.upscaler.vae.use_tiling
        result = made.make(AmbiguousItem(("a red boot", "a chair", "a view"), ("flip_vertical", "rotate_90")))
        assert result.pictures["image"].shape == (32, 32, 3)  # 8 to 16 to 32
        assert set(result.pictures) == {"image", "view_1", "view_2"}
        assert set(result.models) == {str(first), str(second), str(upscaler)}
        assert set(result.seconds) == {"sample", "enlarge", "decode"}
        assert result.pictures["image"].std() > 5

    def test_a_stage_in_the_wrong_place_is_refused(self, folder: Path, tmp_path: Path):
        second = tiny_if(tmp_path / "second", second=True)
        with pytest.raises(ValueError, match="is a IFSuperResolutionPipeline, expected .*first stage"):
            module(second)
        with pytest.raises(ValueError, match="takes no pictures"):
            module(folder, second=str(folder))
        latent = tiny_stable_diffusion(tmp_path / "sd")
        with pytest.raises(ValueError, match="second: expected a model in pixels"):
            module(latent, second=str(folder))

    def test_a_gated_model_says_what_to_do_in_one_line(self, monkeypatch: pytest.MonkeyPatch):
        def refuse(*_: Any, **__: Any) -> str:
            raise GatedRepoError.__new__(GatedRepoError)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
        made = AmbiguousImage(model="deepfloyd")
        assert (made.second_name, made.upscaler_name) == (DEEPFLOYD[1], UPSCALER)
        with pytest.raises(ValueError, match="'DeepFloyd/IF-I-XL-v1.0' is gated") as caught:
            made.setup("predict")
        said = str(caught.value)
        assert "\n" not in said
        for part in ("accept its terms at https://", "DeepFloyd/IF-I-XL-v1.0", "hf auth login", "local copy"):
            assert part in said

    def test_a_latent_model_works_too(self, tmp_path: Path):
        result = module(tiny_stable_diffusion(tmp_path / "sd")).make(ITEM)
        assert result.pictures["image"].shape == (32, 32, 3)

    def test_it_starts_every_view_in_one_noise(self, folder: Path):
        made = module(folder, inv_lambda=0.0, guidance_scale=1.0)
        seen: list[torch.Tensor] = []
        unet: Any = made.loaded.unet  # pyright: ignore[reportAttributeAccessIssue]
        hook = unet.register_forward_pre_hook(lambda net, args: seen.append(args[0].clone()))
        made.make(ITEM)
        hook.remove()
        first, second = seen[0][:2]
        assert torch.equal(first.rot90(1, (-2, -1)), second)


class TestShell:
    def test_it_writes_a_film(self, folder: Path, tmp_path: Path):
        options = ["--model", str(folder), "--steps", "1", "--devices", "1", "--out", str(tmp_path)]
        views = ["--view", "rotate180", "--view", "patches", "--pieces", "2"]
        assert main(["ambiguous", "a boot", "a chair", "a view", *views, *options]) == 0
        out = tmp_path / "a_boot_or_a_chair_or_a_view"
        names = ("image.png", "view_1.png", "view_2.png", "overview.png", "views.mp4", "views.gif")
        assert {path.name for path in out.iterdir()} == {*names, "manifest.json"}
        frames = iio.imread(out / "views.mp4").astype(int)
        image = np.asarray(Image.open(out / "image.png").resize((256, 256), Image.Resampling.LANCZOS))
        assert np.abs(frames[0] - image).mean() < 12
        assert np.abs(frames[18 + 35 + 9] - image[::-1, ::-1]).mean() < 12
        manifest = read_manifest(out)
        assert manifest.prompt == ("a boot", "a chair", "a view")
        assert manifest.settings["pieces"] == 2

    def test_bad_items_fail_with_a_line(self, folder: Path, tmp_path: Path, capsys: Any):
        options = ["--model", str(folder), "--devices", "1", "--out", str(tmp_path)]
        assert main(["ambiguous", "a boot", "a chair", "--view", "sideways", *options]) == 1
        assert "view: expected one of identity" in capsys.readouterr().err
        assert main(["ambiguous", "a boot", " ", *options]) == 1
        assert "prompts[1]: empty" in capsys.readouterr().err
        assert main(["ambiguous", "a boot", "a chair", "--view", "jigsaw", "--pieces", "3", *options]) == 1
        assert "pieces: expected a divisor of the size 8, got 3" in capsys.readouterr().err
        assert main(["ambiguous", "a boot", "a chair", "--pieces", "1", *options]) == 2

    def test_without_weights_it_says_what_to_do(
        self, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(embedded, "files", lambda package: tmp_path / "nothing")
        options = ["--devices", "1", "--out", str(tmp_path)]
        assert main(["ambiguous", "a boot", "a chair", *options]) == 2
        assert "embedded model 'pixel': no weights at" in capsys.readouterr().err
