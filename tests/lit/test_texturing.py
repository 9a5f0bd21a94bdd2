"""From a mesh file to a texture and its files, through ``trainer.predict`` and through the shell."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as iio
import lightning as L
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from tiny import tiny_stable_diffusion

from syncsde3d import MeshDataModule, MeshItem, MeshTexturing, TexturedMesh, TexturedMeshWriter
from syncsde3d.core import Strategy
from syncsde3d.io.manifest import read_manifest
from syncsde3d.lit.cli import main
from syncsde3d.lit.items import Failed
from syncsde3d.lit.run import _devices
from syncsde3d.mesh.cameras import orbit
from syncsde3d.mesh.rasterize import get_rasterizer
from syncsde3d.mesh.view_matrix import build_view_matrix

FILES = {
    "textured.glb",
    "textured.obj",
    "textured.mtl",
    "texture.png",
    "turntable.mp4",
    "turntable.gif",
    "views.png",
    "manifest.json",
}


@pytest.fixture(scope="module")
def capsule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed mesh far from the origin, in its own units."""
    mesh = trimesh.creation.capsule(height=3.0, radius=2.0, count=[16, 16])
    mesh.apply_translation([10.0, -4.0, 7.0])
    path = tmp_path_factory.mktemp("mesh") / "capsule.obj"
    mesh.export(path)
    return path


def module(strategy: Strategy = "syncsde", **options: object) -> MeshTexturing:
    options = {"model": "closed-form", "steps": 4, "texture_size": 128, **options}
    made = MeshTexturing(strategy=strategy, **options)  # pyright: ignore[reportArgumentType]
    made.setup("predict")
    return made


def writer(folder: Path, **options: object) -> TexturedMeshWriter:
    return TexturedMeshWriter(str(folder), turntable_frames=4, turntable_size=64, **options)  # pyright: ignore[reportArgumentType]


def run(source: Path, folder: Path, **options: object) -> TexturedMeshWriter:
    result = writer(folder)
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        callbacks=[result],
        enable_model_summary=False,
    )
    data = MeshDataModule(str(source), prompt="a green marble capsule")
    trainer.predict(module(**options), datamodule=data, return_predictions=False)
    return result


@pytest.fixture(scope="module")
def finished(capsule: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished item."""
    out = tmp_path_factory.mktemp("out")
    result = run(capsule, out)
    assert result.failed == {}
    assert set(result.written) == {"capsule"}
    return out / "capsule"


class TestFiles:
    def test_all_are_there_and_no_others(self, finished: Path):
        assert {path.name for path in finished.iterdir()} == FILES
        assert [path.name for path in finished.parent.iterdir()] == ["capsule"]

    @pytest.mark.parametrize("name", ["textured.glb", "textured.obj"])
    def test_models_open_textured_in_the_inputs_coordinates(self, finished: Path, capsule: Path, name: str):
        opened = trimesh.load(finished / name, force="mesh")
        np.testing.assert_allclose(opened.bounds, trimesh.load(capsule).bounds, rtol=1e-5, atol=1e-5)
        material = opened.visual.material
        image = getattr(material, "baseColorTexture", None) or material.image
        assert image.size == (128, 128)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(0)
        assert pixels[1] > 1.3 * max(pixels[0], pixels[2])  # the prompt says green

    def test_the_video_shows_the_object_turning(self, finished: Path):
        frames = iio.imread(finished / "turntable.mp4")
        assert frames.shape == (4, 64, 64, 3)
        middle = frames[:, 28:36, 28:36].mean((1, 2))
        assert (middle[:, 1] > middle[:, 0] + 10).all()
        assert frames[:, :4, :4].min() > 240  # white around it

    def test_the_views_stand_above_their_conditions(self, finished: Path):
        assert np.asarray(Image.open(finished / "views.png")).std() > 20

    def test_the_manifest_accounts_for_the_run(self, finished: Path, capsule: Path):
        manifest = read_manifest(finished)
        assert {record.path for record in manifest.outputs} == FILES - {"manifest.json"}
        assert manifest.prompt == "a green marble capsule"
        assert manifest.settings["steps"] == 4
        assert 0.8 < manifest.settings["coverage"] < 0.95  # no view sees it from below
        assert set(manifest.timings) == {"load", "geometry", "sample", "decode", "bake", "write"}
        assert json.loads((finished / "manifest.json").read_text())["inputs"]["mesh"]["bytes"] == (
            capsule.stat().st_size
        )


class TestRuns:
    def test_a_texture_is_refined_under_a_trainer(self, capsule: Path, tmp_path: Path):
        for name, refine in (("plain", False), ("refined", True)):
            assert run(capsule, tmp_path / name, refine=refine).failed == {}
        plain, refined = (tmp_path / name / "capsule" / "texture.png" for name in ("plain", "refined"))
        assert plain.read_bytes() != refined.read_bytes()

    def test_a_folder_of_other_files_is_left_alone(self, capsule: Path, tmp_path: Path):
        (tmp_path / "capsule").mkdir()
        shutil.copy(capsule, tmp_path / "capsule")
        result = run(tmp_path / "capsule" / capsule.name, tmp_path)
        assert "holds other files than a result" in result.failed["capsule"]
        assert [path.name for path in (tmp_path / "capsule").iterdir()] == [capsule.name]

    def test_two_devices_share_the_items(self, capsule: Path, tmp_path: Path):
        (tmp_path / "t.csv").write_text("mesh,id\n" + "\n".join(f"{capsule},{n}" for n in "abc"))
        options = [
            "--model",
            "closed-form",
            "--steps",
            "2",
            "--texture-size",
            "64",
            "--out",
            str(tmp_path / "out"),
        ]
        command = [sys.executable, "-m", "syncsde3d.lit.cli", "texture", str(tmp_path / "t.csv"), *options]
        command += ["--prompt", "a red thing"]
        done = subprocess.run([*command, "--devices", "2"], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(": " + str(tmp_path / "out")) == 3
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b", "c"}

    @pytest.mark.parametrize(("asked", "expected"), [("auto", "auto"), ("3", 2), (1, 1)])
    def test_no_more_devices_than_items(self, asked: str | int, expected: str | int):
        assert _devices(asked, 2) == expected

    def test_more_devices_than_items_are_refused_at_once(self, capsule: Path):
        data = MeshDataModule(str(capsule))
        data.trainer = SimpleNamespace(world_size=2)  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(ValueError, match="devices: expected at most one for each of 1 items, got 2"):
            data.setup("predict")

    def test_bad_items_fail_alone(self, capsule: Path, tmp_path: Path):
        (tmp_path / "garbage.obj").write_bytes(bytes(range(256)) * 8)
        (tmp_path / "items.csv").write_text(
            "mesh,prompt,id\n"
            "garbage.obj,a red thing,broken\n"
            "missing.obj,a red thing,missing\n"
            f"{capsule},  ,unprompted\n"
            f"{capsule},a red thing,good\n"
        )
        result = writer(tmp_path / "out")
        trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[result])
        trainer.predict(
            module(), datamodule=MeshDataModule(str(tmp_path / "items.csv")), return_predictions=False
        )
        assert set(result.written) == {"good"}
        assert set(result.failed) == {"broken", "missing", "unprompted"}
        assert "garbage.obj" in result.failed["broken"]
        assert "missing.obj" in result.failed["missing"]
        assert "prompt" in result.failed["unprompted"]
        assert not any("\n" in reason for reason in result.failed.values())
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]

    def test_a_repeated_run_skips_what_is_done_and_redoes_what_changed(self, capsule: Path, tmp_path: Path):
        assert set(run(capsule, tmp_path).written) == {"capsule"}
        before = (tmp_path / "capsule" / "textured.glb").read_bytes()
        assert set(run(capsule, tmp_path).skipped) == {"capsule"}
        assert set(run(capsule, tmp_path, steps=3).written) == {"capsule"}
        assert (tmp_path / "capsule" / "textured.glb").read_bytes() != before
        assert set(run(capsule, tmp_path).written) == {"capsule"}
        assert (tmp_path / "capsule" / "textured.glb").read_bytes() == before
        (tmp_path / "capsule" / "texture.png").unlink()
        assert set(run(capsule, tmp_path).written) == {"capsule"}

    def test_a_result_depends_on_its_item_alone(self, capsule: Path):
        made = module()
        item = MeshItem(capsule, "a red capsule", 3, "one")
        first = made.texture(item).texture
        made.texture(MeshItem(capsule, "a blue capsule", 4, "two"))
        assert torch.equal(made.texture(item).texture, first)
        assert not torch.equal(made.texture(MeshItem(capsule, "a red capsule", 4, "one")).texture, first)

    def test_a_writer_that_cannot_write_fails_the_item_only(self, capsule: Path, tmp_path: Path):
        (tmp_path / "capsule").write_text("in the way")
        result = run(capsule, tmp_path)
        assert list(result.failed) == ["capsule"]
        assert (tmp_path / "capsule").read_text() == "in the way"


def gap(capsule: Path, **options: object) -> float:
    """How far views differ, on average, where they see the same surface."""
    made = module(steps=8, scheduler="ddim", **options)  # pyright: ignore[reportArgumentType]
    result = made.texture(MeshItem(capsule, "a rust capsule", 0, "one"))
    assert torch.isfinite(result.texture).all()
    cameras = orbit(made.settings.views)
    chain = build_view_matrix(result.mesh, cameras, result.views.shape[-1], get_rasterizer())
    solid = (chain.precision > 0.5)[:, None].expand_as(result.views)
    return (result.views - chain.apply(result.views))[solid].abs().mean().item()


class TestCoupling:
    @pytest.fixture(scope="class")
    def independent(self, capsule: Path) -> float:
        return gap(capsule, strategy="independent")

    def test_views_agree_the_more_the_stronger_they_are_coupled(self, capsule: Path, independent: float):
        weak, strong = gap(capsule, inv_lambda=2.0), gap(capsule, inv_lambda=20.0)
        assert strong < 0.75 * weak < 0.75 * 0.75 * independent

    @pytest.mark.parametrize("strategy", ["consensus", "synctweedies", "multidiffusion"])
    def test_symmetric_strategies_agree_closely(self, capsule: Path, independent: float, strategy: Strategy):
        assert gap(capsule, strategy=strategy) < 0.2 * independent

    def test_no_coupling_is_the_independent_sampler(self, capsule: Path):
        item = MeshItem(capsule, "a rust capsule", 0, "one")
        free = module(inv_lambda=0.0).texture(item).views
        assert torch.equal(free, module("independent").texture(item).views)


class TestStableDiffusion:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tiny_stable_diffusion(tmp_path_factory.mktemp("sd"))

    def test_a_folder_in_diffusers_layout_textures(self, folder: Path, capsule: Path):
        made = module(model=str(folder), preset="paper", steps=2)
        made.settings = made.settings.__class__(**{**vars(made.settings), "latent_size": 16})
        result = made._attempt(MeshItem(capsule, "a red leather boot", 0, "one"))
        assert isinstance(result, TexturedMesh), result.reason if isinstance(result, Failed) else result
        assert result.views.shape == (10, 3, 32, 32)
        assert (result.control.amax((1, 2, 3)) == 1).all()
        assert str(folder) in str(result.models)

    def test_a_model_without_controlnet_is_refused_at_once(self, tmp_path: Path):
        folder = tiny_stable_diffusion(tmp_path, controlnet=False)
        with pytest.raises(ValueError, match="controlnet"):
            module(model=str(folder))


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"preset": "fast"}, "preset: expected one of default, paper, embedded, got 'fast'"),
            ({"texture_size": 10}, "texture_size"),
            ({"strategy": "average"}, "strategy: expected one of syncsde"),
            ({"inv_lambda": -1.0}, "inv_lambda"),
            ({"scheduler": "heun"}, "scheduler: expected one of ddim"),
            ({"scheduler": "flow-euler"}, "does not fit this model"),
            ({"model": "no/such-folder"}, "no/such-folder"),
        ],
    )
    def test_a_bad_one_is_named(self, options: dict[str, object], message: str):
        with pytest.raises(ValueError, match=message):
            module(**options)  # pyright: ignore[reportArgumentType]


class TestShell:
    OPTIONS = ("--model", "closed-form", "--steps", "2", "--texture-size", "64", "--devices", "1")

    def test_texture_says_where_results_are(
        self,
        capsule: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ):
        small = partial(TexturedMeshWriter, turntable_frames=2, turntable_size=32)
        monkeypatch.setattr("syncsde3d.lit.writers.TexturedMeshWriter", small)
        code = main(
            ["texture", str(capsule), "--prompt", "a red capsule", "--out", str(tmp_path), *self.OPTIONS]
        )
        out = capsys.readouterr().out
        assert code == 0
        assert str(tmp_path / "capsule") in out
        assert (tmp_path / "capsule" / "textured.glb").is_file()

    def test_a_failed_item_is_exit_code_1(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        out = tmp_path / "out"
        code = main(["texture", str(tmp_path / "no.obj"), "--prompt", "x", "--out", str(out), *self.OPTIONS])
        err = capsys.readouterr().err
        assert code == 1
        assert "no.obj" in err
        assert "Traceback" not in err
        assert list(out.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--model", "no/such"], "no/such"),
            (["--steps", "0"], "steps"),
            (["--strategy", "average"], "average"),
            (["--scheduler", "heun"], "heun"),
            (["--devices", "none"], "none"),
            (["--texture-size", "7"], "7"),
        ],
    )
    def test_bad_usage_is_exit_code_2(
        self,
        arguments: list[str],
        message: str,
        capsule: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ):
        code = main(
            ["texture", str(capsule), "--prompt", "x", "--out", str(tmp_path), *self.OPTIONS, *arguments]
        )
        err = capsys.readouterr().err.strip()
        assert code == 2
        assert message in err
        assert len(err.splitlines()) == 1

    def test_an_output_that_cannot_be_written_is_named(
        self, capsule: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        (tmp_path / "file").write_text("")
        out = tmp_path / "file" / "out"
        code = main(["texture", str(capsule), "--prompt", "x", "--out", str(out), *self.OPTIONS])
        assert code == 2
        assert str(out) in capsys.readouterr().err

    def test_info_lists_what_is_here(self, capsys: pytest.CaptureFixture[str]):
        assert main(["info"]) == 0
        out = capsys.readouterr().out
        assert torch.__version__ in out
        assert "closed-form" in out

    def test_predict_runs_a_yaml(self, capsule: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        config = tmp_path / "run.yaml"
        config.write_text(f"""
trainer: {{accelerator: cpu, devices: 1, enable_progress_bar: false, callbacks: [
  {{class_path: syncsde3d.TexturedMeshWriter,
    init_args: {{output_dir: {tmp_path / "out"}, turntable_frames: 2, turntable_size: 32}}}}]}}
model: {{class_path: syncsde3d.MeshTexturing, init_args: {{model: closed-form, steps: 2, texture_size: 64}}}}
data: {{class_path: syncsde3d.MeshDataModule, init_args: {{source: {capsule}, prompt: a blue capsule}}}}
""")
        assert main(["predict", "--config", str(config)]) == 0
        assert (tmp_path / "out" / "capsule" / "manifest.json").is_file()
        assert "capsule" in capsys.readouterr().out
