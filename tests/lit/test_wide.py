"""From a prompt to a wide image and its files, through ``trainer.predict`` and through the shell."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_stable_diffusion
from torch import Tensor

from syncsde3d import ImageWriter, PromptDataModule, WideImage, WideItem
from syncsde3d.core import NoiseSource
from syncsde3d.io.manifest import read_manifest
from syncsde3d.lit.cli import main
from syncsde3d.lit.images import ImageModule
from syncsde3d.lit.wide_run import TILE, window_prompts
from syncsde3d.models.text import Blend
from syncsde3d.tasks.wide_image import WideImageTask

ITEM = WideItem("a red boot", id="boot")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("models") / "sd")


def module(folder: Path, **options: Any) -> WideImage:
    """A window is 32 pixels, 16 latents."""
    made = WideImage(model=str(folder), **{"steps": 2, "width": 64, "guidance_scale": 2.0, **options})
    made.setup("predict")
    return made


def run(made: ImageModule, out: Path, rows: list[dict[str, Any]], **data: Any) -> ImageWriter:
    writer = ImageWriter(str(out))
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        callbacks=[writer],
        enable_model_summary=False,
    )
    trainer.predict(made, datamodule=PromptDataModule(rows=rows, **data), return_predictions=False)
    return writer


class TestSampling:
    @pytest.mark.parametrize(("width", "height"), [(64, 32), (71, 37), (32, 32)])
    def test_the_picture_has_the_wanted_size(self, folder: Path, width: int, height: int):
        result = module(folder, width=width, height=height, stride=16).make(ITEM)
        assert result.pictures["image"].shape == (height, width, 3)

    def test_one_window_is_the_plain_diffusers_loop(self, folder: Path):
        made = module(folder, width=32, steps=3, scheduler="ddim")
        model: Any = made.model
        scheduler = made.sampler().scheduler
        scheduler.set_timesteps(3)
        task = WideImageTask(16, 16, 16)
        y = task.noise(NoiseSource(0, "boot"), 4)(0)[None]
        text = model.encode_prompts(["a red boot", ""])
        for t in scheduler.timesteps:
            with torch.no_grad():
                yes, no = model.unet(torch.cat((y, y)), t, text).sample.split(1)
            y = scheduler.step(no + 2.0 * (yes - no), t, y).prev_sample
        found = torch.from_numpy(made.make(ITEM).latents)
        torch.testing.assert_close(found, y[0], atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize(
        "options", [{}, {"height": 48}, {"wrap": True}, {"wrap": True, "height": 48}, {"scheduler": "ddim"}]
    )
    def test_a_stream_has_the_latents_of_lockstep(self, folder: Path, options: dict[str, Any]):
        given = {"width": 72, "stride": 12, **options}
        together, streamed = (
            module(folder, **given).make(ITEM),
            module(folder, stream=True, **given).make(ITEM),
        )
        np.testing.assert_allclose(streamed.latents, together.latents, atol=1e-4)
        pictures = [np.array(made.pictures["image"], int) for made in (streamed, together)]
        np.testing.assert_allclose(*pictures, atol=1)  # so small a canvas is decoded in one block
        assert (streamed.trajectory is None) == (together.trajectory is None)
        if together.trajectory is not None:
            assert streamed.trajectory.patch == together.trajectory.patch
            torch.testing.assert_close(
                streamed.trajectory.states, together.trajectory.states, atol=1e-4, rtol=1e-4
            )

    def test_no_coupling_is_the_independent_sampler(self, folder: Path):
        free = module(folder, strategy="independent").make(ITEM).latents
        assert np.array_equal(module(folder, inv_lambda=0.0).make(ITEM).latents, free)
        assert not np.array_equal(module(folder).make(ITEM).latents, free)

    def test_a_panorama_is_decoded_across_its_ends(self, folder: Path):
        """Its pixels, turned round, are those of the turned latents, up to the VAE's view of the whole."""
        made = module(folder, wrap=True)
        result = made.make(ITEM)
        plain = made.loaded.decode(torch.from_numpy(result.latents)[None])[0]
        turned = made.loaded.decode(torch.from_numpy(result.latents).roll(16, -1)[None])[0].roll(-32, -1)
        shown = torch.from_numpy(result.pictures["image"].astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
        edge = (slice(None), slice(None), [0, -1])
        far = (shown - plain)[edge].abs().mean()
        assert (shown - turned)[edge].abs().mean() < 0.6 * far

    def test_memory_does_not_grow_with_the_width(self, folder: Path):
        def at(width: int) -> int:
            made = module(folder, width=width, steps=1, stride=24, stream=True, guidance_scale=1.0)
            held: list[int] = []

            def count(*unused: Any) -> None:
                """What is held when the fourth strip is decoded."""
                held.append(0)
                if len(held) == 4:
                    gc.collect()
                    big = [x for x in gc.get_objects() if type(x) is Tensor and x.ndim >= 3]
                    held[-1] = sum(x.numel() for x in big if not x.requires_grad)

            hook = made.loaded.vae.decoder.register_forward_hook(count)  # pyright: ignore
            made.make(ITEM)
            hook.remove()
            return held[3]

        assert at(480) < 1.1 * at(256)


class TestPrompts:
    def test_they_change_across_the_picture(self):
        task = WideImageTask(16, 112, 16, 16)
        item = WideItem(places=((1.0, "city"), (0.0, "forest"), (0.5, "lake")))
        prompts, rows = window_prompts(item, task)
        shown = [prompts[row] for row in rows]
        assert [p.first if isinstance(p, Blend) else p for p in shown] == [
            *("forest", "forest", "forest"),
            *("lake", "lake", "lake", "lake"),
        ]
        weights = [p.weight for p in shown if isinstance(p, Blend)]
        assert weights == [round(w * 32) / 32 for w in (1 / 7, 3 / 7, 5 / 7, 2 / 7, 4 / 7, 6 / 7)]
        assert shown[3] == "lake"

    def test_a_long_picture_has_few(self):
        prompts, rows = window_prompts(
            WideItem(places=((0.2, "forest"), (0.8, "city"))), WideImageTask(16, 16 * 500, 16, 4)
        )
        assert len(prompts) <= 33
        assert (prompts[rows[0]], prompts[rows[-1]]) == ("forest", "city")

    def test_the_sampler_follows_them(self, folder: Path):
        made = module(folder, width=96, inv_lambda=0.0)
        plain = made.make(ITEM).latents
        mixed = made.make(WideItem(places=((0.2, "a red boot"), (0.9, "a chair")), id="boot")).latents
        np.testing.assert_allclose(mixed[..., :4], plain[..., :4], atol=1e-5)
        assert not np.allclose(mixed[..., -8:], plain[..., -8:], atol=1e-3)


class TestExtending:
    @pytest.mark.parametrize(("width", "stream", "blend"), [(64, False, 4), (64, False, 12), (60, True, 0)])
    def test_it_equals_the_long_run(self, folder: Path, tmp_path: Path, width: int, stream: bool, blend: int):
        options = {"stream": stream, "blend": blend}
        row = {"prompt": "a red boot", "id": "boot"}
        assert not run(module(folder, width=width, **options), tmp_path, [row]).failed
        longer = module(folder, width=96, **options)
        writer = run(longer, tmp_path / "more", [row], extend=str(tmp_path / "boot"))
        assert not writer.failed
        found = np.load(tmp_path / "more" / "boot" / "latents.npy")
        np.testing.assert_allclose(found, longer.make(ITEM).latents, atol=1e-4)
        assert (tmp_path / "more" / "boot" / "trajectory.safetensors").is_file()

    def test_a_folder_that_cannot_go_on_is_named(self, folder: Path, tmp_path: Path):
        assert not run(module(folder), tmp_path, [{"prompt": "a red boot", "id": "boot"}]).failed
        item = WideItem("a red boot", extends=tmp_path / "boot", id="boot")
        with pytest.raises(ValueError, match=r"extend: .*boot' was made with steps 2, got 3"):
            module(folder, steps=3, width=96).make(item)
        with pytest.raises(ValueError, match="width: expected more than the 64 pixels of"):
            module(folder).make(item)
        with pytest.raises(ValueError, match="extend: expected the strategy syncsde or independent"):
            module(folder, strategy="multidiffusion", width=96).make(item)
        with pytest.raises(ValueError, match="extend: expected one row of windows that is no circle"):
            module(folder, wrap=True, width=96).make(item)
        with pytest.raises(ValueError, match="holds no trajectory.safetensors"):
            module(folder, width=96).make(WideItem("a red boot", extends=tmp_path / "nowhere"))


class TestStartingFromAPicture:
    def test_it_stays_and_goes_on(self, folder: Path, tmp_path: Path):
        pixels = np.random.default_rng(0).integers(0, 255, (64, 108, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "given.png")
        item = WideItem("a red boot", start_from=tmp_path / "given.png", id="boot")
        made = module(folder, width=96)
        result = made.make(item)
        image = result.pictures["image"]
        assert image.shape == (32, 96, 3)
        small = np.asarray(Image.fromarray(pixels).resize((54, 32), Image.Resampling.LANCZOS))
        # Windows begin every 8 pixels, so that 48 are kept, the last 8 fading.
        assert np.abs(image[:, :40].astype(int) - small[:, :40]).max() <= 1
        assert image[:, 48:].std() > 0
        assert any("resized from 108 x 64 to 54 x 32" in note for note in result.notes)
        assert any("the last 6 columns" in note for note in result.notes)
        assert result.trajectory is not None

    @pytest.mark.parametrize("width", [20, 200])
    def test_a_picture_of_an_unfit_width_is_refused(self, folder: Path, tmp_path: Path, width: int):
        Image.new("RGB", (width, 32)).save(tmp_path / "given.png")
        item = WideItem("a red boot", start_from=tmp_path / "given.png")
        with pytest.raises(ValueError, match=f"given.png' is {width} pixels wide .*, expected 32 to 63"):
            module(folder).make(item)


class TestFiles:
    def test_a_streamed_picture_leaves_tiles(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        assert TILE == 2048
        monkeypatch.setattr("syncsde3d.lit.wide_run.TILE", 40)
        made = module(folder, width=150, stream=True, steps=1)
        writer = run(made, tmp_path, [{"prompt": "a red boot", "id": "boot"}])
        assert not writer.failed
        out = tmp_path / "boot"
        whole = np.asarray(Image.open(out / "image.png"))
        tiles = [np.asarray(Image.open(path)) for path in sorted((out / "tiles").iterdir())]
        assert [tile.shape[1] for tile in tiles] == [40, 40, 40, 30]
        assert np.array_equal(np.concatenate(tiles, 1), whole)
        assert [path.name for path in tmp_path.iterdir()] == ["boot"]
        assert {r.path for r in read_manifest(out).outputs} >= {"image.png", "tiles/0003.png", "latents.npy"}

    @pytest.mark.parametrize("error", [ValueError, OSError, RuntimeError, KeyboardInterrupt])
    @pytest.mark.parametrize("where", ["lit.wide_run.write_png", "lit.image_writer.np.save"])
    def test_a_streamed_picture_that_dies_leaves_nothing(
        self,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        where: str,
        error: type[BaseException],
    ):
        """While it is made, or while it is written; what a killed run left is gone too."""
        (tmp_path / "boot.unfinished" / "old").mkdir(parents=True)
        held: list[list[Path]] = []

        def fail(*_: Any) -> None:
            held.append([path for path in tmp_path.glob("*.unfinished/*") if path.name == "old"])
            raise error("broken")

        monkeypatch.setattr(f"syncsde3d.{where}", fail)
        made, row = module(folder, width=60, stream=True, steps=1), {"prompt": "a red boot", "id": "boot"}
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            if error in (ValueError, OSError):
                assert "broken" in run(made, tmp_path, [row]).failed["boot"]
            else:  # Lightning exits when it is interrupted
                with pytest.raises((RuntimeError, SystemExit)):
                    run(made, tmp_path, [row])
                said = "interrupted; 0 finished items are kept" in capsys.readouterr().err
                assert said == (error is KeyboardInterrupt)
        finally:
            signal.signal(signal.SIGINT, on_interrupt)
        assert held == [[]]
        assert list(tmp_path.iterdir()) == []

    def test_a_result_is_not_replaced_by_its_own_continuation(self, folder: Path, tmp_path: Path):
        run(module(folder), tmp_path, [{"prompt": "a red boot"}])
        before = (tmp_path / "a_red_boot" / "image.png").read_bytes()
        rows = [{"prompt": "a blue boot"}]
        writer = run(module(folder, width=96), tmp_path, rows, extend=str(tmp_path / "a_red_boot"))
        assert "is what is to be continued" in writer.failed["a_red_boot"]
        assert (tmp_path / "a_red_boot" / "image.png").read_bytes() == before

    def test_a_repeated_run_skips_what_is_done(self, folder: Path, tmp_path: Path):
        row = {"prompt": "a red boot"}
        assert set(run(module(folder), tmp_path, [row]).written) == {"a_red_boot"}
        assert set(run(module(folder), tmp_path, [row]).skipped) == {"a_red_boot"}
        assert set(run(module(folder, stride=16), tmp_path, [row]).written) == {"a_red_boot"}


class TestShell:
    def test_it_writes_a_picture(self, folder: Path, tmp_path: Path):
        size = ["--width", "60", "--stride", "16", "--seed", "3"]
        options = ["--model", str(folder), "--steps", "1", "--devices", "1", "--out", str(tmp_path)]
        prompts = ["--prompt-at", "0", "a red boot", "--prompt-at", "1", "a blue chair"]
        assert main(["wide", *prompts, *size, *options]) == 0
        out = tmp_path / "a_red_boot_to_a_blue_chair"
        assert {path.name for path in out.iterdir()} == {
            *("image.png", "latents.npy", "trajectory.safetensors", "manifest.json"),
        }
        manifest = read_manifest(out)
        assert manifest.seed == 3
        assert manifest.prompt == ("a red boot", "a blue chair")
        assert manifest.settings["stride"] == 16

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--width", "20"], "width: expected at least the window's 32 pixels, got 20"),
            (["--height", "31"], "height: expected at least the window's 32"),
            (["--stride", "32"], "stride: expected less than the window's 32 pixels"),
            (["--stride", "0"], "stride: expected at least 1 pixel, got 0"),
            (["--width", "65", "--wrap"], "width: expected a multiple of the model's 2 pixels, got 65"),
            (["--blend", "-1"], "blend"),
            (["--stream", "--strategy", "synctweedies"], "stream: expected the strategy syncsde"),
            (["--model", "no/such"], "no/such"),
            (["--prompt-at", "x", "a boot"], "prompt_at: expected pairs"),
            (["--extend", "nowhere", "--devices", "0"], "devices"),
        ],
    )
    def test_bad_usage_is_exit_code_2(
        self,
        arguments: list[str],
        message: str,
        folder: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ):
        options = ["--model", str(folder), "--devices", "1", "--out", str(tmp_path / "out")]
        prompt = [] if "--prompt-at" in arguments else ["a boot"]
        assert main(["wide", *prompt, *options, *arguments]) == 2
        err = capsys.readouterr().err
        assert message in err.splitlines()[-1]
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([" "], "prompt: empty, expected words"),
            (["a boot", "--start-from", "no.png"], "'no.png': no such file"),
            (["--prompt-at", "1.5", "a boot"], "prompt_at: expected a share of the width in [0, 1]"),
        ],
    )
    def test_a_failed_item_is_exit_code_1(
        self,
        arguments: list[str],
        message: str,
        folder: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ):
        options = ["--model", str(folder), "--devices", "1", "--out", str(tmp_path)]
        assert main(["wide", *arguments, *options]) == 1
        first, last = capsys.readouterr().err.splitlines()
        assert message in first
        assert last == "syncsde3d: 1 of 1 items failed"
        assert list(tmp_path.iterdir()) == []
