"""Training of the motion model and its judge: data against closed forms, whole runs on two small actions."""

from __future__ import annotations

import collections
import json
import math
import random
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor

from syncsde3d.lit.training import Export
from syncsde3d.lit.training_motion import MotionTraining, foot_slip
from syncsde3d.lit.training_motion_data import (
    GROUPS,
    Clip,
    MotionBatches,
    MotionDataModule,
    collate,
    prolonged,
    statistics,
)
from syncsde3d.lit.training_motion_judge import MotionJudgeTraining
from syncsde3d.models.motion_diffusion import MotionDiffusion
from syncsde3d.models.motion_judge import MotionJudge
from syncsde3d.motion.features import CONTACTS, POSITIONS, VELOCITIES, VELOCITY, to_features
from syncsde3d.motion.skeleton import OFFSETS, PARENTS

SMALL: dict[str, Any] = {"latent_dim": 32, "layers": 1, "heads": 2, "text_width": 16, "warmup": 1}


def rest() -> Tensor:
    joints = torch.zeros(22, 3)
    for j in range(1, 22):
        joints[j] = joints[PARENTS[j]] + OFFSETS[j]
    return joints - joints[:, 1].min() * torch.tensor([0.0, 1.0, 0.0])


def clip(action: str, frames: int, phase: float = 0.0) -> Tensor:
    """Somebody wobbly who glides forward ("walk") or bobs up and down ("jump")."""
    t = torch.arange(frames) + phase
    moved = torch.zeros(frames, 1, 3)
    if action == "walk":
        moved[:, 0, 2] = 0.06 * t
    else:
        moved[:, 0, 1] = 0.2 * (1 - torch.cos(2 * math.pi * t / 16))
    swing = 0.03 * torch.sin(t[:, None, None] / 5 + torch.arange(66).view(22, 3))
    return rest() + moved + swing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips of two actions, as the data folder has them."""
    folder = tmp_path_factory.mktemp("motion")
    rows, arrays = ["clip_id,file,action,split"], {}
    for n in range(12):
        action, split = ("walk", "jump")[n % 2], "val" if n >= 8 else "train"
        rows.append(f"c{n},all.npz,{action},{split}")
        arrays[f"c{n}/joints"] = clip(action, 50, phase=1.7 * n).numpy()
    np.savez(folder / "all.npz", **arrays)
    (folder / "clips.csv").write_text("\n".join(rows))
    captions = {"walk": ["a person walks forward"], "jump": ["a person jumps"]}
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


def data(folder: Path, **settings: Any) -> MotionDataModule:
    return MotionDataModule(
        str(folder), **{"batch_size": 1, "frames": (16, 24), "prolong": 64, "validation": 2} | settings
    )


def fit(module: L.LightningModule, data: MotionDataModule, folder: Path, steps: int = 2) -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        limit_train_batches=steps,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        callbacks=[Export()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    return trainer


def test_statistics_share_deviations_within_groups() -> None:
    rows = torch.randn(50, 263) * torch.linspace(0.1, 3, 263) + 2
    mean, std = statistics([rows[:20], rows[20:]])
    np.testing.assert_allclose(mean, rows.numpy().mean(0), rtol=1e-5)
    assert sum(len(range(263)[group]) for group in GROUPS) == 263
    for group in GROUPS:
        expected = rows.numpy()[:, group].std(0, ddof=1).mean()
        np.testing.assert_allclose(std[group], expected, rtol=1e-5)


def test_a_periodic_clip_goes_on_as_it_would_have() -> None:
    """A clip that is a wave of period 15 is prolonged to more of the same wave."""
    t = torch.arange(100.0)[:, None]
    wave = torch.sin(2 * math.pi * (t / 15 + torch.linspace(0, 1, 263)))
    longer, loops = prolonged(wave[:48], 100, torch.ones(263))
    assert loops
    torch.testing.assert_close(longer, wave, atol=1e-4, rtol=0)


def test_a_clip_that_ends_elsewhere_is_held() -> None:
    ramp = torch.linspace(0, 5, 40)[:, None].expand(40, 263)
    longer, loops = prolonged(ramp, 70, torch.ones(263))
    assert not loops
    assert torch.equal(longer[:40], ramp)
    assert (longer[50:, POSITIONS] == 5).all()
    assert not longer[50:, VELOCITIES].any()
    assert (longer[50:, CONTACTS] == 1).all()
    assert longer[:, VELOCITIES].diff(dim=0).abs().max() < 1  # no jump
    whole, _ = prolonged(ramp, 40, torch.ones(263))
    assert whole is ramp


def test_rare_actions_are_seen() -> None:
    """Drawn by the square root of their seconds; crops are pieces of a clip with a caption of its action."""
    clips = [
        Clip(name, torch.arange(n)[:, None].expand(n, 263) + 1000.0 * k, n)
        for k, (name, n) in enumerate([("often", 1600), ("often", 1600), ("rare", 200)])
    ]
    captions = {"often": ("many",), "rare": ("few",)}
    batches = MotionBatches(clips, captions, 1, (20, 60), seed=0, cap=99)
    rng, counts = random.Random(0), collections.Counter()
    for _ in range(2000):
        row = batches.draw(rng, 30)
        counts[row["action"]] += 1
        assert row["caption"] == captions[row["action"]][0]
        assert (row["features"].diff(dim=0) == 1).all()
        assert len(row["features"]) == 30
    assert counts["often"] / counts["rare"] == pytest.approx((3200 / 200) ** 0.5, rel=0.12)
    first, again = (next(iter(batches))["features"] for _ in range(2))
    assert first.shape != again.shape or not torch.equal(first, again)  # a second pass draws others
    sizes = [next(iter(MotionBatches(clips, captions, 6, (20, 60), n)))["features"].shape for n in range(99)]
    assert all(rows == round(600 / frames) for rows, frames, _ in sizes)
    lengths = {frames for _, frames, _ in sizes}
    assert min(lengths) >= 20
    assert max(lengths) <= 60
    assert len(lengths) > 15


def test_a_glide_slips_as_fast_as_it_goes() -> None:
    features = to_features(rest() + torch.arange(12.0)[:, None, None] * torch.tensor([0.0, 0.0, 0.06]))[None]
    assert features[0, :, VELOCITY][:, 1].tolist() == pytest.approx([0.06] * 11, abs=1e-5)
    down, up = torch.ones(1, 11, 4), torch.zeros(1, 11, 4)
    torch.testing.assert_close(foot_slip(features, down), torch.full((1, 10), 0.06**2), atol=1e-5, rtol=0)
    assert not foot_slip(features, up).any()


def test_missing_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data: no '.*clips.csv'"):
        data(tmp_path).setup()
    (tmp_path / "clips.csv").write_text("clip_id,file,action\na,a.npz,walk\n")
    with pytest.raises(ValueError, match=r"clips.csv' has no column 'split'"):
        data(tmp_path).setup()
    (tmp_path / "clips.csv").write_text("clip_id,file,action,split\na,a.npz,walk,val\n")
    with pytest.raises(ValueError, match=r"clips.csv' has no clip of the split 'train'"):
        data(tmp_path).setup()


def test_motion_trains_exports_and_goes_on(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = MotionTraining(**SMALL, lr=3e-3, decay=0.5)
    source = data(folder)
    first = float(fit(module, source, tmp_path, steps=1).callback_metrics["val_state"])
    trainer = fit(module, source, tmp_path, steps=150)
    assert float(trainer.callback_metrics["val_state"]) < first / 2
    model = MotionDiffusion.from_pretrained(tmp_path / "weights")
    torch.testing.assert_close(model.mean, source.mean, atol=1e-3, rtol=1e-3)
    text = model.encode_prompts(["a person jumps", "someone walks forward"])
    x, t = torch.randn(2, 9, 263), torch.tensor([10, 900])
    average = module.average.float().eval()
    tokens = module.tokens(["a person jumps", "someone walks forward"])
    with torch.no_grad():
        expected = average(x, t, tokens)
        torch.testing.assert_close(model.network(x, t, text), expected, atol=0.05, rtol=0.02)
    again = MotionTraining(start=str(tmp_path / "weights"), lr=1e-9, warmup=1)
    fit(again, data(folder), tmp_path / "more")
    with torch.no_grad():
        torch.testing.assert_close(again.average(x, t, tokens), expected, atol=0.05, rtol=0.02)
    assert (tmp_path / "more" / "weights" / "tokenizer").is_dir()


def test_loss_does_not_see_padding(folder: Path) -> None:
    torch.manual_seed(0)
    module, source = MotionTraining(**SMALL), data(folder)
    source.setup()
    module._trainer = type("Trainer", (), {"datamodule": source, "barebones": False})()  # pyright: ignore
    module.configure_model()
    module.net.eval()
    features = source.train[0].features[:20].clone()
    features[:, CONTACTS] = 1
    crop = {"features": features, "caption": "a person walks", "action": "walk"}
    t, dropped = torch.tensor([400]), torch.tensor([False])
    noise = torch.randn(1, 30, 263)
    with torch.no_grad():
        short = module.loss(module.net, collate([crop], 20), t, noise[:, :20], dropped)
        long = module.loss(module.net, collate([crop], 30), t, noise, dropped)
    assert all(value > 0 for value in short.values())
    for name in short:
        torch.testing.assert_close(long[name], short[name], atol=1e-5, rtol=1e-3)


def test_judge_learns_two_actions_and_exports(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = MotionJudgeTraining(width=16, warmup=1, lr=3e-3, decay=0.5)
    trainer = fit(module, data(folder, frames=(32, 32), batch_size=4, validation=8), tmp_path, steps=25)
    assert float(trainer.callback_metrics["val_class"]) == 1
    assert float(trainer.callback_metrics["val_caption"]) == 1
    judge = MotionJudge.from_pretrained(tmp_path / "weights", torch_dtype=torch.float32).eval()
    with torch.no_grad():
        opinions = [
            judge(to_features(clip(a, 70)), ["a person walks forward", "a person jumps"])
            for a in ("walk", "jump")
        ]
    assert [int(opinion.argmax()) for opinion in opinions] == [0, 1]
