"""The motion model as a denoiser: tiny random released and embedded models, and the sampler on them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from tiny import tiny_tokenizer
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextModelWithProjection

from syncsde3d.core.protocols import Denoiser, Step
from syncsde3d.models.embedded import embedded_folder, word_tokenizer
from syncsde3d.models.motion_diffusion import MotionDiffusion, motion_scheduler
from syncsde3d.models.motion_judge import MotionJudge
from syncsde3d.models.motion_net import MotionNet
from syncsde3d.models.schedulers import SchedulerName, make_scheduler
from syncsde3d.motion.features import to_features, to_joints
from syncsde3d.motion.mdm import MDM

WORDS = ("a", "person", "walks", "jumps", "forward", "then", "push", "ups")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP of text and pictures, as the Hub has them."""
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = tiny_tokenizer(folder)
    text = {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 16,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {**text, "image_size": 8, "patch_size": 4}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    torch.manual_seed(1)
    network = MDM(latent_dim=32, layers=2, text_dim=16)
    torch.save(network.state_dict(), folder / "model000600000.pt")
    args = {"dataset": "humanml", "layers": 2, "latent_dim": 32, "diffusion_steps": 50}
    (folder / "args.json").write_text(json.dumps(args))
    np.save(folder / "Mean.npy", np.linspace(-1, 1, 263))
    np.save(folder / "Std.npy", np.linspace(0.5, 2, 263))
    return folder


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    tokenizer = word_tokenizer(WORDS)
    torch.manual_seed(2)
    net = MotionNet(32, 2, 4, 64, text_width=16, vocab_size=len(tokenizer), prompt_length=8)
    net.mean.copy_(torch.linspace(-1, 1, 263))
    net.std.copy_(torch.linspace(0.5, 2, 263))
    net.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def model(released: Path, clip: Path) -> MotionDiffusion:
    return MotionDiffusion.from_pretrained(released, text_encoder=str(clip))


def step(t: int = 30) -> Step:
    return Step(0, 1, torch.tensor(t), 0.5, 0.5**0.5, 49.0, 50)


def ask(denoiser: Denoiser, y: Tensor, patch: list[int], branch: list[int] | None = None) -> Tensor:
    branches = torch.tensor(branch or [0] * len(patch))
    return denoiser.predict(y, step(), torch.tensor(patch), branches)


def test_prompt_feature_is_that_of_the_released_code(model: MotionDiffusion, clip: Path) -> None:
    prompt = "a red boot view of a blue chair"
    ids = model.tokenizer(prompt).input_ids
    padded = torch.zeros(1, 77, dtype=torch.long)  # 22 tokens, and zeros up to 77
    padded[0, : len(ids)] = torch.tensor(ids)
    whole = CLIPModel.from_pretrained(clip)
    with torch.no_grad():
        hidden = whole.text_model(padded).last_hidden_state[0, len(ids) - 1]
        expected = whole.text_projection(hidden)
    torch.testing.assert_close(model.encode_prompts([prompt])[0], expected, atol=1e-5, rtol=1e-4)


def test_long_prompt_is_cut_where_the_released_code_cuts_it(model: MotionDiffusion) -> None:
    long = "view " * 40
    with pytest.warns(UserWarning, match="is cut at 22 tokens"):
        cut = model.encode_prompts([long])
    torch.testing.assert_close(cut, model.encode_prompts(["view " * 20]), atol=1e-5, rtol=1e-4)


def test_rows_run_at_their_own_length_whatever_else_is_in_the_batch(model: MotionDiffusion) -> None:
    torch.manual_seed(0)
    prompts, lengths = ["a red boot", "a blue chair", "a photo"], [7, 12, 7]
    denoiser = model.condition(prompts, lengths)
    assert isinstance(denoiser, Denoiser)
    assert (denoiser.prediction, denoiser.guidance_scale) == ("sample", 2.5)
    y = torch.randn(3, 12, 263)
    together = ask(denoiser, y, [0, 1, 2])
    text = model.encode_prompts(prompts)
    for i, n in enumerate(lengths):
        with torch.no_grad():
            alone = model.network(y[i : i + 1, :n], torch.tensor([30]), text[i : i + 1])[0]
        torch.testing.assert_close(together[i, :n], alone, atol=1e-5, rtol=1e-4)
        assert not together[i, n:].any()
    other = y.clone()
    other[0, 7:], other[1] = 9.0, -3.0
    torch.testing.assert_close(ask(denoiser, other, [0, 1, 2])[0], together[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ask(denoiser, y[[2, 1]], [2, 1]), together[[2, 1]], atol=1e-5, rtol=1e-4)


def test_without_its_text_the_bias_stays(model: MotionDiffusion) -> None:
    y = torch.randn(2, 5, 263)
    denoiser = model.condition(["a red boot", "a blue chair"], [5, 5])
    branches = ask(denoiser, y[[0, 0, 0]], [0, 1, 0], [1, 1, 0])
    torch.testing.assert_close(branches[0], branches[1])  # no trace of the prompt
    assert (branches[0] - branches[2]).abs().max() > 1e-3
    with torch.no_grad():
        expected = model.network(y[:1], torch.tensor([30]), torch.zeros(1, 16))[0]
    torch.testing.assert_close(branches[0], expected, atol=1e-5, rtol=1e-4)


def test_encode_and_decode_use_the_statistics(model: MotionDiffusion) -> None:
    features = torch.randn(4, 263, dtype=torch.float64)
    states = model.encode(features)
    expected = (features.numpy() - np.linspace(-1, 1, 263)) / np.linspace(0.5, 2, 263)
    np.testing.assert_allclose(states, expected, atol=1e-6)
    torch.testing.assert_close(model.decode(states), features)


def test_embedded_folder_loads_and_leaves_unknown_words_out(embedded: Path) -> None:
    model = MotionDiffusion.from_pretrained(embedded)
    assert model.scheduler.config["num_train_timesteps"] == 1000
    assert next(model.network.parameters()).dtype == torch.float32
    np.testing.assert_allclose(model.mean, np.linspace(-1, 1, 263), atol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = model.encode_prompts(["a person walks forward", "a person push - ups"])
    with pytest.warns(UserWarning, match="does not know elegantly"):
        torch.testing.assert_close(model.encode_prompts(["A person walks elegantly forward!"])[0], known[0])
    torch.testing.assert_close(model.encode_prompts(["a person push-ups."])[0], known[1])
    assert (known[0] - known[1]).abs().max() > 1e-3
    half = MotionDiffusion.from_pretrained(embedded, dtype="bfloat16")
    y = torch.randn(1, 6, 263)
    out = ask(half.condition(["a person jumps"], [6]), y, [0])
    assert out.dtype == torch.float32
    full = ask(model.condition(["a person jumps"], [6]), y, [0])
    assert (out - full).abs().max() < 0.1 * full.abs().max()


def test_shipped_model_walks_when_told_to() -> None:
    """The package's own weights: one sample of each prompt, 20 steps, told apart by how far it goes."""
    folder = embedded_folder("motion")
    assert all(file.stat().st_size < 15e6 for file in folder.rglob("*"))
    assert "NSF EIA-0196217" in (folder / "README.md").read_text(encoding="utf-8")
    model = MotionDiffusion.from_pretrained(folder)
    prompts = ["a person walks forward", "a person runs forward", "a person sits still"]
    denoiser = model.condition(prompts, [60] * 3)
    scheduler = make_scheduler("dpm++", model.scheduler)
    scheduler.set_timesteps(20)
    y = torch.randn(3, 60, 263, generator=torch.Generator().manual_seed(0))
    patch = torch.arange(3)
    for t in scheduler.timesteps:
        now = Step(0, 1, t, 0.5, 0.5, 999.0)
        told, free = (denoiser.predict(y, now, patch, torch.full((3,), b)) for b in (0, 1))
        y = scheduler.step(free + denoiser.guidance_scale * (told - free), t, y).prev_sample
    joints = to_joints(model.decode(y))
    speed = (joints[:, -1, 0, [0, 2]] - joints[:, 0, 0, [0, 2]]).norm(dim=1) / 59 * 20
    assert 0.4 < speed[0] < 2
    assert speed[1] > speed[0] + 0.5
    assert speed[2] < 0.2
    height = joints[:, :, 15, 1].mean(1)  # of the head
    assert height[0] > 1.3
    assert height[2] < height[0] - 0.2
    judge = MotionJudge.from_pretrained(embedded_folder("motion-judge"), torch_dtype=torch.float32).eval()
    with torch.no_grad():
        opinions = [int(judge(features, prompts).argmax()) for features in to_features(joints)]
    assert opinions == [0, 1, 2]


@pytest.mark.parametrize("steps", [50, 1000])
def test_schedule_is_the_squared_cosine(steps: int) -> None:
    scheduler = motion_scheduler(steps)
    grid = np.arange(steps + 1) / steps
    bar = np.cos((grid + 0.008) / 1.008 * np.pi / 2) ** 2
    expected = np.cumprod(1 - np.minimum(1 - bar[1:] / bar[:-1], 0.999))
    np.testing.assert_allclose(scheduler.alphas_cumprod, expected, rtol=1e-3, atol=1e-7)
    scheduler.set_timesteps(10)
    assert scheduler.timesteps[0] == steps - 1


def test_linear_schedule_is_scaled_to_its_steps() -> None:
    np.testing.assert_allclose(motion_scheduler(1000, "linear").betas[[0, -1]], [1e-4, 0.02], rtol=1e-5)
    np.testing.assert_allclose(motion_scheduler(50, "linear").betas[[0, -1]], [2e-3, 0.4], rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in get_args(SchedulerName) if n != "flow-euler"])
@pytest.mark.parametrize("steps", [50, 1000])
def test_every_scheduler_ends_at_the_only_motion_there_is(name: SchedulerName, steps: int) -> None:
    """A model that always answers the same clean motion must be sampled to exactly that, from any noise."""
    clean = torch.linspace(-2, 2, 263).expand(1, 4, 263)
    scheduler = make_scheduler(name, motion_scheduler(steps))
    scheduler.set_timesteps(20)
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(1, 4, 263, generator=generator) * scheduler.init_noise_sigma
    extra = {"generator": generator} if name in ("ddpm", "lcm") else {}
    for t in scheduler.timesteps:
        scheduler.scale_model_input(y, t)
        y = scheduler.step(clean, t, y, **extra).prev_sample
    assert torch.isfinite(y).all()
    assert (y - clean).abs().max() < 0.08


def test_ddpm_of_the_training_steps_keeps_its_schedule() -> None:
    scheduler = make_scheduler("ddpm", motion_scheduler(50))
    assert isinstance(scheduler, DDPMScheduler)
    torch.testing.assert_close(scheduler.alphas_cumprod, motion_scheduler(50).alphas_cumprod)
    assert (scheduler.config["prediction_type"], scheduler.config["clip_sample"]) == ("sample", False)


@pytest.mark.parametrize(
    ("prompts", "lengths", "message"),
    [
        ([], [], "expected one for each of 0 lengths"),
        (["a boot"], [5, 6], "expected one for each of 2 lengths, got 1"),
        (["a boot"], [197], "expected 1 to 196 frames, got 197"),
        (["a boot"], [0], "expected 1 to 196 frames, got 0"),
    ],
)
def test_conditions_that_cannot_be(
    model: MotionDiffusion, prompts: list[str], lengths: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.condition(prompts, lengths)


def test_states_of_another_shape_are_refused(model: MotionDiffusion) -> None:
    denoiser = model.condition(["a boot"], [5])
    with pytest.raises(ValueError, match=r"at least 5 frames, 263\], got \(1, 4, 263\)"):
        ask(denoiser, torch.zeros(1, 4, 263), [0])


def test_missing_text_encoder_is_named(released: Path) -> None:
    with pytest.raises(ValueError, match="text_encoder: 'nobody/nothing' was not found") as caught:
        MotionDiffusion.from_pretrained(released, text_encoder="nobody/nothing")
    assert "pass the path of a local copy as text_encoder" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_encoder_without_safetensors(released: Path, clip: Path, tmp_path: Path) -> None:
    for file in clip.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(CLIPModel.from_pretrained(clip).state_dict(), tmp_path / "pytorch_model.bin")
    model = MotionDiffusion.from_pretrained(released, text_encoder=str(tmp_path))
    expected = CLIPTextModelWithProjection.from_pretrained(clip).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in model.text_encoder.state_dict().items())


def test_text_encoder_of_another_width(released: Path, embedded: Path, clip: Path) -> None:
    model = MotionDiffusion.from_pretrained(released, text_encoder=str(clip))
    wrong = MDM(latent_dim=32, layers=1, text_dim=24)
    with pytest.raises(ValueError, match="the model expects 24 features, it gives 16"):
        MotionDiffusion(
            wrong, model.mean, model.std, model.text_encoder, model.tokenizer, motion_scheduler(50)
        )
