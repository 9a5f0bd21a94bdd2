"""From prompts to a long motion and its files, through ``trainer.predict`` and through the shell."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import lightning as L
import numpy as np
import pytest
import torch
import trimesh
from gltf_tools import GlbReader, validate
from smpl_model import model, save_npz
from tiny_motion import tiny_motion_model
from torch import Tensor

from syncsde3d import LongMotion, MotionItem, MotionScriptDataModule, MotionWriter
from syncsde3d.core import NoiseSource
from syncsde3d.io.manifest import read_manifest
from syncsde3d.io.smpl_npz import read_motion_npz
from syncsde3d.lit.cli import main
from syncsde3d.lit.motion import MotionStrategy
from syncsde3d.lit.motion_items import Line, MotionResult
from syncsde3d.models.schedulers import make_scheduler
from syncsde3d.motion.features import to_joints
from syncsde3d.motion.types import Segment

FILES = {
    "motion.mp4",
    "motion.bvh",
    "motion.glb",
    "motion.npz",
    "trajectory.safetensors",
    "manifest.json",
}
LINES = (Line("a boot", 3.0), Line("a red chair", 2.0), Line("a photo", 2.5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_motion_model(tmp_path_factory.mktemp("models") / "mdm")


def module(folder: Path, strategy: MotionStrategy = "syncsde", **options: object) -> LongMotion:
    made = LongMotion(str(folder), strategy, **{"steps": 3, **options})  # pyright: ignore[reportArgumentType]
    made.setup("predict")
    return made


def features(made: LongMotion, lines: Sequence[Line] = LINES, **item: object) -> torch.Tensor:
    found = made.make(MotionItem(tuple(lines), **item)).motion.features  # pyright: ignore
    assert found is not None
    return found


def run(made: LongMotion, out: Path, **data: object) -> MotionWriter:
    writer = MotionWriter(str(out), video=False)
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        callbacks=[writer],
        enable_model_summary=False,
    )
    given = MotionScriptDataModule(**data)  # pyright: ignore[reportArgumentType]
    trainer.predict(made, datamodule=given, return_predictions=False)
    return writer


class TestSampling:
    def test_the_motion_is_as_long_as_its_lines(self, folder: Path):
        result = module(folder).make(MotionItem(LINES))
        assert isinstance(result, MotionResult)
        motion = result.motion
        assert motion.joints.shape == (150, 22, 3)
        assert motion.features is not None
        torch.testing.assert_close(motion.joints, to_joints(motion.features))
        assert [(s.prompt, s.start, s.end) for s in motion.segments] == [
            ("a boot", 0, 60),
            ("a red chair", 30, 100),
            ("a photo", 70, 150),
        ]

    @pytest.mark.parametrize("scheduler", ["dpm++", "ddim", "euler"])
    def test_a_stream_is_lockstep_down_to_what_is_saved(self, folder: Path, scheduler: str):
        together = module(folder, scheduler=scheduler).make(MotionItem(LINES))
        streamed = module(folder, scheduler=scheduler, stream=True).make(MotionItem(LINES))
        torch.testing.assert_close(streamed.motion.features, together.motion.features, atol=1e-5, rtol=1e-5)
        assert together.trajectory.patch == streamed.trajectory.patch == 2
        length = 80  # what follows is padding
        torch.testing.assert_close(
            streamed.trajectory.states[:, :length],
            together.trajectory.states[:, :length],
            atol=1e-4,
            rtol=1e-4,
        )

    def test_one_segment_is_the_plain_diffusers_loop(self, folder: Path):
        made = module(folder, guidance_scale=2.5, steps=5)
        model = made.model
        assert model is not None
        scheduler = make_scheduler("dpm++", model.scheduler)
        scheduler.set_timesteps(5)
        y = NoiseSource(0, "motion").initial(0, (60, 263))[None]
        text = model.encode_prompts(["a boot"])
        for t in scheduler.timesteps:
            with torch.no_grad():
                conditional = model.network(y, t[None], text)
                free = model.network(y, t[None], torch.zeros_like(text))
            y = scheduler.step(free + 2.5 * (conditional - free), t, y).prev_sample
        torch.testing.assert_close(
            features(made, LINES[:1]), y[0] * model.std + model.mean, atol=1e-5, rtol=1e-4
        )

    def test_no_coupling_is_the_independent_sampler(self, folder: Path):
        free = features(module(folder, "independent"))
        assert torch.equal(features(module(folder, inv_lambda=0.0)), free)
        assert not torch.equal(features(module(folder, sync_end=1.0)), free)

    def test_strategies_differ_and_a_fade_changes_shared_frames_only(self, folder: Path):
        mean, handshake = (
            features(module(folder, strategy, sync_end=1.0)) for strategy in ("synctweedies", "handshake")
        )
        assert not torch.allclose(mean, handshake)
        hard, soft = features(module(folder, blend="later")), features(module(folder))
        changed = (hard - soft).abs().amax(-1) > 0
        assert changed[30:59].all()
        assert changed[70:99].all()
        assert not changed[:30].any()
        assert not changed[100:].any()

    def test_a_result_depends_on_its_item_alone(self, folder: Path):
        made = module(folder)
        first = features(made, seed=1)
        features(made, seed=2, id="other")
        assert torch.equal(features(made, seed=1), first)
        assert not torch.equal(features(made, seed=2), first)
        assert torch.equal(features(module(folder, max_batch=1), seed=1), first) or torch.allclose(
            features(module(folder, max_batch=1), seed=1), first, atol=1e-5
        )

    def test_memory_does_not_grow_with_the_motion(self, folder: Path):
        made = module(folder, steps=2, stream=True)

        def held(frames: int) -> int:
            """Feature rows in memory when so many frames have come out."""
            pieces, come = made.pieces(MotionItem((Line("a boot", 2.0),), duration=40.0)), 0
            while come < frames:
                come += len(next(pieces))
            gc.collect()
            return sum(x.numel() for x in gc.get_objects() if type(x) is Tensor and x.shape[-1:] == (263,))

        assert held(150) == held(700) > 0


class TestExtending:
    @pytest.mark.parametrize(("stream", "blend"), [(False, "later"), (True, "linear")])
    def test_it_equals_the_long_run(self, folder: Path, tmp_path: Path, stream: bool, blend: str):
        made = module(folder, stream=stream, blend=blend)
        prompts, seconds = [line.prompt for line in LINES], [line.seconds for line in LINES]
        assert not run(made, tmp_path / "a", prompts=prompts[:2], seconds=seconds[:2]).failed
        earlier = tmp_path / "a" / "motion"
        writer = run(made, tmp_path / "b", prompts=prompts[2:], seconds=seconds[2:], extend=str(earlier))
        assert not writer.failed
        found = read_motion_npz(tmp_path / "b" / "motion" / "motion.npz").features
        torch.testing.assert_close(found, features(made), atol=1e-5, rtol=1e-5)
        assert read_manifest(tmp_path / "b" / "motion").prompt == tuple(prompts)

    def test_a_folder_that_cannot_go_on_is_named(self, folder: Path, tmp_path: Path):
        assert not run(module(folder), tmp_path, prompts=["a boot"]).failed
        earlier = tmp_path / "motion"
        item = MotionItem((Line("a photo"),), extends=earlier)
        with pytest.raises(ValueError, match=r"extend: .*motion' was made with steps 3, got 4"):
            module(folder, steps=4).make(item)
        with pytest.raises(ValueError, match="extend: expected the strategy syncsde or independent"):
            module(folder, "synctweedies").make(item)
        (earlier / "manifest.json").unlink()
        with pytest.raises(ValueError, match="is not a whole result"):
            module(folder).make(item)
        with pytest.raises(ValueError, match=r"holds no trajectory.safetensors"):
            module(folder).make(MotionItem((Line("a photo"),), extends=tmp_path / "nowhere"))


class TestFiles:
    @pytest.fixture(scope="class")
    def finished(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The folder of one item, made from the shell, exported at 10 frames per second, with SMPL."""
        body = save_npz(tmp_path_factory.mktemp("smpl"), model())
        out = tmp_path_factory.mktemp("out")
        arguments = [
            "a boot",
            "a red chair",
            "--seconds",
            "2",
            "1.5",
            "--fps",
            "10",
            "--clean-up",
            "--smpl",
            str(body),
        ]
        options = ["--model", str(folder), "--steps", "2", "--devices", "1", "--out", str(out), "--seed", "5"]
        assert main(["motion", *arguments, *options]) == 0
        return out / "motion"

    def test_all_are_there_and_no_others(self, finished: Path):
        assert {path.name for path in finished.iterdir()} == FILES | {"smpl.npz", "smpl.glb", "smpl"}

    def test_the_body_s_meshes_and_its_glb_are_one_motion(self, finished: Path):
        """But for the random model's pose shifts, about a centimetre, which are in the meshes only."""
        files = sorted((finished / "smpl").iterdir())
        assert [path.name for path in files] == [f"frame_{i:05d}.obj" for i in range(35)]
        assert validate(finished / "smpl.glb") == [[]]
        reader = GlbReader(finished / "smpl.glb")
        for frame in (0, 20, 34):
            mesh = trimesh.load_mesh(files[frame], process=False, maintain_order=True)
            apart = np.linalg.norm(mesh.vertices - reader.skinned(np.float32(frame / 10)), axis=1)
            assert 0 < apart.mean() < 0.02

    def test_exports_are_at_the_wanted_rate_the_arrays_at_the_networks(self, finished: Path):
        frames = iio.imread(finished / "motion.mp4")
        assert len(frames) == 35
        assert frames.std(axis=(1, 2, 3)).min() > 5  # nothing is blank
        assert "Frames: 35\nFrame Time: 0.1" in (finished / "motion.bvh").read_text()
        motion = read_motion_npz(finished / "motion.npz")
        assert motion.joints.shape == (70, 22, 3)
        assert motion.features is not None
        assert motion.features.shape == (70, 263)
        assert motion.segments == (Segment("a boot", 0, 40), Segment("a red chair", 10, 70))
        with np.load(finished / "smpl.npz") as arrays:
            assert arrays["poses"].shape == (35, 156)
            assert arrays["mocap_framerate"] == 10

    def test_the_manifest_accounts_for_the_run(self, finished: Path):
        manifest = read_manifest(finished)
        assert {record.path for record in manifest.outputs} >= FILES - {"manifest.json"}
        assert manifest.prompt == ("a boot", "a red chair")
        assert manifest.seed == 5
        assert manifest.settings["clean_up"] is True
        assert set(manifest.timings) == {"sample", "decode", "write"}
        assert {"smpl.glb", "smpl/frame_00034.obj"} <= {record.path for record in manifest.outputs}
        assert manifest.inputs["smpl"]["path"].endswith("SMPL_NEUTRAL.npz")


class TestRuns:
    def test_bad_scripts_fail_alone(self, folder: Path, tmp_path: Path):
        scripts = tmp_path / "scripts"
        scripts.mkdir()
        (scripts / "good.csv").write_text("prompt,seconds\na boot,2\n")
        (scripts / "short.csv").write_text("prompt,seconds\na boot,1\n")
        (scripts / "empty.yaml").write_text("")
        (scripts / "broken.yaml").write_text("- [")
        writer = run(module(folder), tmp_path / "out", source=str(scripts))
        assert set(writer.written) == {"good"}
        assert set(writer.failed) == {"short", "empty", "broken"}
        assert "at least 2 s" in writer.failed["short"]
        assert "empty.yaml: empty" in writer.failed["empty"]
        assert not any("\n" in reason for reason in writer.failed.values())
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]

    def test_a_repeated_run_skips_what_is_done_and_redoes_what_changed(self, folder: Path, tmp_path: Path):
        script = tmp_path / "s.csv"
        script.write_text("prompt,seconds\na boot,2\n")
        made, again = module(folder), {"source": str(script)}
        assert set(run(made, tmp_path / "out", **again).written) == {"s"}
        assert set(run(made, tmp_path / "out", **again).skipped) == {"s"}
        assert set(run(module(folder, inv_lambda=1.0), tmp_path / "out", **again).written) == {"s"}
        script.write_text("prompt,seconds\na boot,3\n")
        assert set(run(made, tmp_path / "out", **again).written) == {"s"}
        assert len(np.load(tmp_path / "out" / "s" / "motion.npz")["joints"]) == 60

    def test_another_body_or_other_weights_are_another_result(self, tmp_path: Path, capsys: Any):
        own = tiny_motion_model(tmp_path / "own")
        bodies = [save_npz(tmp_path / name, model(seed=seed)) for seed, name in enumerate("ab")]
        options = [
            "--steps",
            "2",
            "--seconds",
            "2",
            "--devices",
            "1",
            "--no-video",
            "--out",
            str(tmp_path / "out"),
        ]

        def finished_already(body: Path | None) -> bool:
            smpl = ["--smpl", str(body)] if body else []
            assert main(["motion", "a boot", "--model", str(own), *smpl, *options]) == 0
            return "already finished" in capsys.readouterr().out

        assert [finished_already(body) for body in (None, *bodies, bodies[1], None)] == [
            *(False, False, False),
            *(True, True),
        ]
        tiny_motion_model(own, seed=1)
        assert not finished_already(bodies[1])


class TestShell:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--seconds", "1", "2", "3"], "seconds: expected one for all prompts"),
            (["--model", "no/such"], "no/such"),
            (["--steps", "0"], "steps"),
            (["--strategy", "average"], "strategy: expected one of syncsde"),
            (["--strategy", "handshake", "--stream"], "stream: expected the strategy syncsde"),
            (["--sync-end", "0"], "sync_end: expected a share in (0, 1], got 0"),
            (["--precision", "soft"], "precision: expected one of graded, binary"),
            (["--blend", "hard"], "blend: expected one of later"),
            (["--fps", "0"], "fps"),
            (["--inv-lambda", "-1"], "inv_lambda"),
            (["--overlap", "0"], "overlap: expected 1 to 195 frames"),
            (["--devices", "none"], "none"),
            (["--smpl", "no/such"], "no body model in 'no/such': looked there"),
            (["--smpl", __file__], "cannot be read as a model of the SMPL family"),
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
        code = main(["motion", "a boot", "a chair", *options, *arguments])
        err = capsys.readouterr().err.strip()
        assert code == 2
        assert message in err
        assert len(err.splitlines()) == 1

    def test_a_failed_item_is_exit_code_1(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        options = ["--model", str(folder), "--devices", "1", "--out", str(tmp_path)]
        assert main(["motion", "a boot", " ", *options]) == 1
        assert "prompts[1]: empty" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_script_is_no_prompt(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["motion", str(tmp_path / "walk.csv")]) == 2
        assert "walk.csv: No such file" in capsys.readouterr().err
