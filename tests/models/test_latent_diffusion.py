"""Latent diffusion against diffusers' own pipelines, on tiny random models of the real classes."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from tiny import tiny_stable_diffusion

from syncsde3d.core.denoise import denoise
from syncsde3d.core.protocols import Denoiser, Step
from syncsde3d.models.latent_diffusion import ConditionedLatentDiffusion, LatentDiffusion

PROMPTS = ["a photo of a red leather boot, front view", "a blue chair"]
NEGATIVES = ["blurry", "red, front view"]
STEPS, GUIDANCE = 4, 5.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def model(folder: Path) -> LatentDiffusion:
    return LatentDiffusion.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def depth() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """The model's folder, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "model"))


def step_at(index: int, count: int = STEPS, t: int = 500) -> Step:
    return Step(index, count, torch.tensor(t), a=0.5, s=0.8, t_max=999.0)


def sample(denoiser: Denoiser, model: LatentDiffusion, y: torch.Tensor) -> torch.Tensor:
    """The plain DDIM loop around :meth:`predict`."""
    scheduler = DDIMScheduler.from_config(model.scheduler.config)
    scheduler.set_timesteps(STEPS)
    for i, t in enumerate(scheduler.timesteps):
        alpha = float(scheduler.alphas_cumprod[t])
        step = Step(i, STEPS, t, alpha**0.5, (1 - alpha) ** 0.5, float(scheduler.timesteps[0]))
        output = denoise(denoiser, y, step, torch.arange(len(y)))
        y = scheduler.step(output, t, y).prev_sample
    return y


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class TestAgainstDiffusers:
    """The latents after four guided DDIM steps are those of diffusers' pipelines."""

    @pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
    def test_text_to_image(self, tmp_path: Path, noise: torch.Tensor, prediction_type: str):
        folder = tiny_stable_diffusion(tmp_path, controlnet=False, prediction_type=prediction_type)
        pipeline = StableDiffusionPipeline.from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        expected = pipeline(
            PROMPTS, negative_prompt=NEGATIVES, latents=noise, num_inference_steps=STEPS,
            guidance_scale=GUIDANCE, output_type="latent",
        ).images  # fmt: skip
        model = LatentDiffusion.from_pretrained(str(folder))
        denoiser = model.condition(PROMPTS, NEGATIVES, guidance_scale=GUIDANCE)
        assert denoiser.prediction == prediction_type
        # guidance enlarges float32's rounding, which differs between processors
        torch.testing.assert_close(sample(denoiser, model, noise), expected, atol=5e-5, rtol=1e-5)

    @pytest.mark.parametrize("pooled_text", [False, True])
    @pytest.mark.parametrize("end", [1.0, 0.5])
    def test_controlnet(
        self, tmp_path: Path, noise: torch.Tensor, depth: torch.Tensor, pooled_text: bool, end: float
    ):
        folder = tiny_stable_diffusion(tmp_path, pooled_text=pooled_text)
        pipeline = StableDiffusionControlNetPipeline.from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        expected = pipeline(
            PROMPTS, image=depth, negative_prompt=NEGATIVES, latents=noise, num_inference_steps=STEPS,
            guidance_scale=GUIDANCE, controlnet_conditioning_scale=0.8, control_guidance_end=end,
            output_type="latent",
        ).images  # fmt: skip
        model = LatentDiffusion.from_pretrained(str(folder))
        denoiser = model.condition(PROMPTS, NEGATIVES, depth, GUIDANCE, (0.8, 0.8), end)
        torch.testing.assert_close(sample(denoiser, model, noise), expected, atol=5e-5, rtol=1e-5)

    def test_the_vae(self, folder: Path, model: LatentDiffusion, noise: torch.Tensor, depth: torch.Tensor):
        pipeline = StableDiffusionControlNetPipeline.from_pretrained(folder)
        with torch.no_grad():
            decoded = pipeline.vae.decode(noise / 0.18215).sample
            encoded = pipeline.vae.encode(depth * 2 - 1).latent_dist.mean * 0.18215
        torch.testing.assert_close(model.decode(noise), decoded)
        torch.testing.assert_close(model.encode(depth * 2 - 1), encoded)


class TestDenoiser:
    def test_it_satisfies_the_protocol_and_describes_itself(self, model: LatentDiffusion):
        assert isinstance(model.condition(PROMPTS), Denoiser)
        assert (model.channels, model.size, model.factor, model.guided) == (4, 16, 2, True)

    def test_rows_are_independent(self, model: LatentDiffusion, noise: torch.Tensor, depth: torch.Tensor):
        denoiser = model.condition(PROMPTS, NEGATIVES, depth, GUIDANCE)
        patch, branch = torch.tensor([1, 0, 1, 0]), torch.tensor([0, 1, 1, 0])
        y = noise[[0, 1, 1, 0]]
        together = denoiser.predict(y, step_at(1), patch, branch)
        alone = [denoiser.predict(y[[i]], step_at(1), patch[[i]], branch[[i]]) for i in range(4)]
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)

    def test_every_condition_counts(self, model: LatentDiffusion, noise: torch.Tensor, depth: torch.Tensor):
        base = {"prompts": PROMPTS, "negative_prompts": NEGATIVES, "control_images": depth}
        others = [{"prompts": PROMPTS[::-1]}, {"negative_prompts": None}, {"control_images": depth.flip(0)}]
        expected = sample(model.condition(**base), model, noise)
        for other in others:
            assert (sample(model.condition(**{**base, **other}), model, noise) - expected).abs().max() > 1e-4

    def test_the_control_weight_is_a_ramp_with_an_end(self, model: LatentDiffusion, depth: torch.Tensor):
        denoiser = model.condition(PROMPTS, control_images=depth, control_scale=(0.7, 0.9))
        weights = [denoiser.weight(step_at(i, 10)) for i in range(10)]
        assert weights[:9] == pytest.approx([0.7 + 0.02 * i for i in range(9)])
        assert weights[9] == 0  # the last tenth ends after 99 % of the run

    def test_a_ramped_step_is_the_step_at_that_weight(
        self, model: LatentDiffusion, noise: torch.Tensor, depth: torch.Tensor
    ):
        def predict(*scale: float) -> torch.Tensor:
            denoiser = model.condition(PROMPTS, NEGATIVES, depth, control_scale=scale)  # type: ignore[arg-type]
            return denoiser.predict(noise, step_at(2), torch.arange(2), torch.zeros(2, dtype=torch.long))

        torch.testing.assert_close(predict(0.6, 1.0), predict(0.8, 0.8))
        assert (predict(0.6, 1.0) - predict(0.6, 0.6)).abs().max() > 1e-4

    def test_no_pictures_no_controlnet(
        self, model: LatentDiffusion, noise: torch.Tensor, depth: torch.Tensor
    ):
        rows = (noise, step_at(1), torch.arange(2), torch.zeros(2, dtype=torch.long))
        off = model.condition(PROMPTS, control_images=depth, control_scale=(0.0, 0.0))
        assert torch.equal(model.condition(PROMPTS).predict(*rows), off.predict(*rows))

    def test_states_stay_float32_around_a_half_network(
        self, folder: Path, model: LatentDiffusion, noise, depth
    ):
        half = LatentDiffusion.from_pretrained(str(folder), dtype="bfloat16")
        assert half.unet.dtype == torch.bfloat16
        rows = (noise, step_at(1), torch.arange(2), torch.zeros(2, dtype=torch.long))
        got = half.condition(PROMPTS, control_images=depth).predict(*rows)
        assert got.dtype == half.encode(depth).dtype == half.decode(noise).dtype == torch.float32
        expected = model.condition(PROMPTS, control_images=depth).predict(*rows)
        assert (got - expected).norm() / expected.norm() < 0.05

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"prompts": []}, "prompts: expected at least one"),
            ({"negative_prompts": ["a"]}, "negative_prompts: expected one per prompt, got 1 for 2"),
            ({"control_images": torch.zeros(3, 3, 32, 32)}, r"control_images: expected \[2, 3, H, W\]"),
        ],
    )
    def test_conditions_that_do_not_fit_are_refused(self, model: LatentDiffusion, change: dict, words: str):
        with pytest.raises(ValueError, match=words):
            model.condition(**{"prompts": PROMPTS, **change})

    def test_pictures_of_another_size_are_refused(self, model: LatentDiffusion, noise: torch.Tensor):
        denoiser = model.condition(PROMPTS, control_images=torch.zeros(2, 3, 64, 64))
        with pytest.raises(ValueError, match=r"control_images: expected \(32, 32\) pixels, got \(64, 64\)"):
            denoiser.predict(noise, step_at(0), torch.arange(2), torch.zeros(2, dtype=torch.long))


class TestText:
    def test_a_long_prompt_is_cut_and_the_lost_words_are_named(self, model: LatentDiffusion):
        long = "a red boot " * 25 + "a blue chair"  # 75 words fit, then "a blue chair" does not
        with pytest.warns(UserWarning, match="cut at 77 tokens, lost: 'a blue chair'"):
            cut = model.encode_prompts([long])
        assert torch.equal(cut, model.encode_prompts(["a red boot " * 25]))

    def test_a_prompt_that_fits_gives_no_warning(self, model: LatentDiffusion):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert model.encode_prompts(PROMPTS).shape == (2, 77, 32)


class TestVae:
    def test_neither_result_nor_noise_depends_on_the_batch(
        self, folder: Path, model: LatentDiffusion, noise, depth
    ):
        single = LatentDiffusion.from_pretrained(str(folder), max_batch=1)
        torch.testing.assert_close(single.decode(noise), model.decode(noise), atol=1e-5, rtol=1e-5)
        drawn = [m.encode(depth, torch.Generator().manual_seed(5)) for m in (single, model)]
        torch.testing.assert_close(drawn[0], drawn[1], atol=1e-5, rtol=1e-5)

    def test_a_sample_differs_from_the_mean_by_the_posteriors_noise(self, model: LatentDiffusion, depth):
        posterior = model.vae.encode(depth).latent_dist
        drawn = model.encode(depth, torch.Generator().manual_seed(5)) - model.encode(depth)
        eps = torch.randn(drawn.shape, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(drawn, 0.18215 * posterior.std * eps, atol=1e-5, rtol=1e-4)

    def test_shift_is_undone(self, folder: Path, model: LatentDiffusion, depth: torch.Tensor):
        shifted = LatentDiffusion.from_pretrained(str(folder))
        shifted.vae.register_to_config(shift_factor=0.3, scaling_factor=2.0)
        expected = (model.encode(depth) / 0.18215 - 0.3) * 2.0
        torch.testing.assert_close(shifted.encode(depth), expected)
        torch.testing.assert_close(
            shifted.decode(expected), model.decode(model.encode(depth)), atol=1e-5, rtol=1e-4
        )

    def test_slicing_and_tiling_reach_the_vae(self, folder: Path):
        vae = LatentDiffusion.from_pretrained(str(folder), vae_slicing=True, vae_tiling=True).vae
        assert (vae.use_slicing, vae.use_tiling) == (True, True)


class TestLoading:
    def test_the_controlnet_may_lie_elsewhere(
        self, folder: Path, copied: Path, tmp_path: Path, model, noise, depth
    ):
        shutil.move(copied / "controlnet", tmp_path / "control")
        assert LatentDiffusion.from_pretrained(str(copied)).controlnet is None
        joined = LatentDiffusion.from_pretrained(str(copied), str(tmp_path / "control"))
        assert set(joined.revisions) == {str(copied), str(tmp_path / "control")}
        results = [sample(m.condition(PROMPTS, control_images=depth), m, noise) for m in (model, joined)]
        assert torch.equal(*results)

    def test_without_a_controlnet_pictures_are_refused(self, copied: Path, depth: torch.Tensor):
        shutil.rmtree(copied / "controlnet")
        with pytest.raises(ValueError, match="controlnet: the model has none.*control_v11f1p_sd15_depth"):
            LatentDiffusion.from_pretrained(str(copied)).condition(PROMPTS, control_images=depth)

    @pytest.mark.parametrize("name", ["nobody/nothing", "./nowhere", "/no/where/at/all"])
    def test_a_missing_model_is_explained_in_one_line(self, name: str):
        with pytest.raises(ValueError, match="was not found") as caught:
            LatentDiffusion.from_pretrained(name)
        said = str(caught.value)
        assert "\n" not in said
        for part in (f"'{name}'", "no folder '/", "https://", "local copy", "stable-diffusion-v1-5"):
            assert part in said

    def test_a_missing_controlnet_is_named(self, folder: Path):
        with pytest.raises(ValueError, match="controlnet: 'nobody/nothing' was not found"):
            LatentDiffusion.from_pretrained(str(folder), "nobody/nothing")

    def test_a_commit_in_the_cache_is_the_revision(self, copied: Path, tmp_path: Path):
        snapshot = tmp_path / "snapshots" / "0123abc"
        snapshot.parent.mkdir()
        copied.rename(snapshot)
        assert LatentDiffusion.from_pretrained(str(snapshot)).revisions == {str(snapshot): "0123abc"}

    def test_other_weights_are_another_revision(self, copied: Path):
        def revision() -> str | None:
            return LatentDiffusion.from_pretrained(str(copied)).revisions[str(copied)]

        before = revision()
        assert before == revision()
        model = LatentDiffusion.from_pretrained(str(copied))
        torch.nn.init.ones_(model.unet.conv_out.bias)
        model.unet.save_pretrained(copied / "unet")
        assert revision() != before

    @pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
    def test_a_missing_part_is_named(self, copied: Path, part: str):
        shutil.rmtree(copied / part)
        with pytest.raises(ValueError, match=f"has no '{part}' in"):
            LatentDiffusion.from_pretrained(str(copied))

    def test_stable_diffusion_xl_is_refused(self, copied: Path):
        edit(copied / "unet" / "config.json", addition_embed_type="text_time", addition_time_embed_dim=8)
        with pytest.raises(ValueError, match="Stable Diffusion XL"):
            LatentDiffusion.from_pretrained(str(copied))
        (copied / "text_encoder_2").mkdir()
        with pytest.raises(ValueError, match="Stable Diffusion XL"):
            LatentDiffusion.from_pretrained(str(copied))

    def test_inpainting_is_refused(self, copied: Path):
        edit(copied / "unet" / "config.json", in_channels=9)
        with pytest.raises(ValueError, match="takes 9 channels and latents have 4: made for inpainting"):
            LatentDiffusion.from_pretrained(str(copied))

    def test_a_controlnet_for_another_model_is_refused(self, copied: Path):
        edit(copied / "controlnet" / "config.json", cross_attention_dim=1024)
        with pytest.raises(ValueError, match="cross_attention_dim is 1024, the U-Net's is 32"):
            LatentDiffusion.from_pretrained(str(copied))

    def test_incomplete_weights_are_not_made_up(self, copied: Path):
        path = copied / "unet" / "diffusion_pytorch_model.safetensors"
        weights = load_file(path)
        del weights["conv_out.weight"]
        save_file(weights, path, {"format": "pt"})
        with pytest.raises(
            ValueError, match=r"unet in .* lacks 1 of its weights, such as 'conv_out\.weight'"
        ):
            LatentDiffusion.from_pretrained(str(copied))

    def test_damaged_weights_are_named(self, copied: Path):
        path = copied / "vae" / "diffusion_pytorch_model.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(ValueError, match="vae cannot be read from") as caught:
            LatentDiffusion.from_pretrained(str(copied))
        assert "\n" not in str(caught.value)

    def test_pickles_are_never_read(self, copied: Path):
        path = copied / "unet" / "diffusion_pytorch_model.safetensors"
        torch.save(load_file(path), path.with_suffix(".bin"))
        path.unlink()
        with pytest.raises(ValueError, match="unet cannot be read from .* \\(safetensors only\\)"):
            LatentDiffusion.from_pretrained(str(copied))

    def test_half_precision_files_alone_are_enough(self, copied: Path):
        for path in (*copied.glob("unet/*.safetensors"), *copied.glob("text_encoder/*.safetensors")):
            half = {name: weight.half() for name, weight in load_file(path).items()}
            save_file(half, path.with_name(f"{path.stem}.fp16.safetensors"), {"format": "pt"})
            path.unlink()
        model = LatentDiffusion.from_pretrained(str(copied))
        assert model.unet.dtype == model.text_encoder.dtype == torch.float32

    def test_an_unknown_precision_is_refused(self, folder: Path):
        with pytest.raises(ValueError, match="dtype: expected one of float32, float16, bfloat16, got 'int8'"):
            LatentDiffusion.from_pretrained(str(folder), dtype="int8")  # type: ignore[arg-type]


def test_a_denoiser_is_only_its_conditions(model: LatentDiffusion):
    """Conditioning copies no network: many can stand side by side."""
    first, second = model.condition(PROMPTS), model.condition(PROMPTS)
    assert isinstance(first, ConditionedLatentDiffusion)
    assert first.model is second.model is model
