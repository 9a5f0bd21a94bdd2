"""Text-to-image models against diffusers' own pipelines, on tiny random models of the real classes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from tiny import tiny_stable_diffusion, tiny_tokenizer
from tiny_images import sample, tiny_if, tiny_sd3, tiny_vae, tiny_xl

from syncsde3d.core import Denoiser
from syncsde3d.models.autoencoder import LatentImages
from syncsde3d.models.deepfloyd import PixelDiffusion
from syncsde3d.models.images import load_image_model
from syncsde3d.models.latent_diffusion import LatentDiffusion
from syncsde3d.models.pretrained import weights_revision
from syncsde3d.models.stable_diffusion_3 import StableDiffusion3
from syncsde3d.models.stable_diffusion_xl import StableDiffusionXL
from syncsde3d.models.text import Blend, word_positions

PROMPTS = ["a photo of a red leather boot", "a blue chair"]
NEGATIVES = ["blurry", "red"]
STEPS, GUIDANCE = 3, 5.0


def plain(
    folder: Path, noise: torch.Tensor, parts: dict[str, None] | None = None, **options: Any
) -> torch.Tensor:
    """What diffusers' pipeline of the folder, without some parts, makes of the noise, as latents."""
    pipeline = DiffusionPipeline.from_pretrained(folder, **(parts or {}))
    pipeline.set_progress_bar_config(disable=True)
    size = {"height": 2 * noise.shape[-2], "width": 2 * noise.shape[-1]}
    options = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, **size, **options}
    return pipeline(PROMPTS, latents=noise.clone(), output_type="latent", **options).images  # type: ignore[operator]


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_xl(tmp_path_factory.mktemp("xl"))


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd3(tmp_path_factory.mktemp("sd3"))


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(2))


class TestStableDiffusionXL:
    def test_it_samples_as_diffusers_does(self, xl: Path, noise: torch.Tensor):
        model = load_image_model(str(xl))
        assert isinstance(model, StableDiffusionXL)
        assert (model.channels, model.size, model.factor, model.guided) == (4, 16, 2, True)
        assert model.revisions == {str(xl): weights_revision(xl)}
        denoiser = model.condition(PROMPTS, NEGATIVES, guidance_scale=GUIDANCE)
        assert isinstance(denoiser, Denoiser)
        expected = plain(xl, noise, negative_prompt=NEGATIVES)
        torch.testing.assert_close(
            sample(denoiser, model.scheduler, noise, STEPS), expected, atol=1e-4, rtol=1e-4
        )

    @pytest.mark.parametrize("zero", [True, False])
    def test_no_negative_prompt_as_the_folder_says(self, tmp_path: Path, noise: torch.Tensor, zero: bool):
        folder = tiny_xl(tmp_path, zero)
        model = StableDiffusionXL.from_pretrained(str(folder))
        result = sample(model.condition(PROMPTS, guidance_scale=GUIDANCE), model.scheduler, noise, STEPS)
        torch.testing.assert_close(result, plain(folder, noise), atol=1e-4, rtol=1e-4)

    def test_wide_windows_and_micro_conditioning(self, xl: Path):
        noise = torch.randn(2, 4, 8, 20, generator=torch.Generator().manual_seed(3))
        model = StableDiffusionXL.from_pretrained(str(xl))
        result = sample(model.condition(PROMPTS, guidance_scale=GUIDANCE), model.scheduler, noise, STEPS)
        torch.testing.assert_close(result, plain(xl, noise), atol=1e-4, rtol=1e-4)
        ids = torch.tensor([[64, 48, 4, 2, 16, 40]] * 2)
        expected = plain(
            xl, noise, original_size=(64, 48), crops_coords_top_left=(4, 2), target_size=(16, 40)
        )
        denoiser = model.condition(PROMPTS, guidance_scale=GUIDANCE, time_ids=ids)
        torch.testing.assert_close(
            sample(denoiser, model.scheduler, noise, STEPS), expected, atol=1e-4, rtol=1e-4
        )
        assert (result - expected).abs().max() > 1e-4
        with pytest.raises(ValueError, match=r"time_ids: expected \[2, 6\], got \[1, 6\]"):
            model.condition(PROMPTS, time_ids=ids[:1])

    def test_the_refiner_is_refused(self, xl: Path):
        model = StableDiffusionXL.from_pretrained(str(xl))
        model.unet.register_to_config(projection_class_embeddings_input_dim=5 * 8 + 10)
        parts = {"tokenizer": None, "tokenizer_2": None, "text_encoder": None, "vae": model.vae}
        parts |= {"unet": model.unet, "text_encoder_2": model.text_encoders[1], "scheduler": model.scheduler}
        with pytest.raises(ValueError, match="does not take sizes and crops"):
            StableDiffusionXL(parts)

    def test_its_autoencoder_stays_exact_beside_half_networks(self, xl: Path, noise: torch.Tensor):
        model = StableDiffusionXL.from_pretrained(str(xl), "float16")
        assert (model.vae.dtype, model.unet.dtype) == (torch.float32, torch.float16)
        expected = StableDiffusionXL.from_pretrained(str(xl)).decode(noise)
        torch.testing.assert_close(model.decode(noise), expected)


class TestStableDiffusion3:
    @pytest.mark.parametrize("t5", [True, False])
    def test_it_samples_as_diffusers_does(self, tmp_path: Path, noise: torch.Tensor, t5: bool):
        folder = tiny_sd3(tmp_path, t5)
        model = load_image_model(str(folder))
        assert isinstance(model, StableDiffusion3)
        assert (model.channels, model.size, model.factor, model.t5 is not None) == (4, 16, 2, t5)
        denoiser = model.condition(PROMPTS, NEGATIVES, guidance_scale=GUIDANCE)
        assert denoiser.prediction == "flow_prediction"
        parts = {} if t5 else {"text_encoder_3": None, "tokenizer_3": None}
        expected = plain(folder, noise, parts, negative_prompt=NEGATIVES)
        torch.testing.assert_close(
            sample(denoiser, model.scheduler, noise, STEPS), expected, atol=1e-4, rtol=1e-4
        )

    def test_t5_is_left_out_to_save_memory(self, sd3: Path, noise: torch.Tensor):
        lean = StableDiffusion3.from_pretrained(str(sd3), low_memory=True)
        assert lean.t5 is None
        expected = plain(sd3, noise, {"text_encoder_3": None, "tokenizer_3": None})
        result = sample(lean.condition(PROMPTS, guidance_scale=GUIDANCE), lean.scheduler, noise, STEPS)
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)

    def test_states_that_do_not_fit_are_refused(self, sd3: Path):
        model = StableDiffusion3.from_pretrained(str(sd3))
        with pytest.raises(ValueError, match=r"expected multiples of 2 up to 64, got \[16, 17\]"):
            sample(model.condition(["a boot"]), model.scheduler, torch.zeros(1, 4, 16, 17), STEPS)

    def test_shifts_by_size_are_refused(self, tmp_path: Path):
        folder = tiny_sd3(tmp_path, t5=False)
        path = folder / "scheduler" / "scheduler_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "use_dynamic_shifting": True}))
        with pytest.raises(ValueError, match="use_dynamic_shifting, expected a fixed shift"):
            StableDiffusion3.from_pretrained(str(folder))


class TestPrompts:
    @pytest.fixture(params=["sd", "xl", "sd3"])
    def model(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        makers = {"sd": lambda f: tiny_stable_diffusion(f, controlnet=False), "xl": tiny_xl, "sd3": tiny_sd3}
        return load_image_model(str(makers[request.param](tmp_path)))

    def test_blends_lie_between_their_prompts(self, model: Any):
        first, second = "a red boot", "a blue chair"
        prompts = [first, Blend(first, second, 0.25), Blend(first, second, 1.0)]
        text = model.condition(prompts).text[0]
        alone = model.condition([first, second]).text[0]
        torch.testing.assert_close(text[0], alone[0])
        torch.testing.assert_close(text[1], 0.75 * alone[0] + 0.25 * alone[1])
        torch.testing.assert_close(text[2], alone[1])

    def test_long_prompts_are_cut_with_a_warning(self, model: Any, noise: torch.Tensor):
        long = " ".join(["a red leather boot,"] * 80) + " front view"
        with pytest.warns(UserWarning, match="is cut at .* tokens, lost: .*front view"):
            denoiser = model.condition([long])
        assert sample(denoiser, model.scheduler, noise[:1], STEPS).isfinite().all()

    def test_lists_of_different_lengths_are_refused(self, model: Any):
        for arguments, message in (
            ((["a", "b"], ["c"]), "negative_prompts: expected one per prompt, got 1 for 2"),
            (([],), "prompts: expected at least one"),
            (("a boot",), "prompts: expected a list"),
        ):
            with pytest.raises(ValueError, match=message):
                model.condition(*arguments)

    def test_weights_outside_the_unit_interval_are_refused(self):
        with pytest.raises(ValueError, match=r"weight: expected a share in \[0, 1\], got 1.5"):
            Blend("a", "b", 1.5)


def test_clip_reads_77_tokens_of_what_t5_reads_whole(sd3: Path):
    """Beyond CLIP's 77 tokens the rest still counts, so nothing is lost and nothing is said."""
    model = StableDiffusion3.from_pretrained(str(sd3))
    long = " ".join(["boot"] * 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (one, other), _ = model.encode_prompts([f"{long} red", f"{long} blue"])
    assert torch.equal(one[:77], other[:77])
    assert not torch.allclose(one[77:], other[77:])


class TestWords:
    @pytest.fixture(scope="class")
    def tokenizer(self, tmp_path_factory: pytest.TempPathFactory) -> Any:
        return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))

    def test_every_token_of_every_occurrence(self, tokenizer: Any):
        prompt = "a red gnu, a red boot"
        pieces = tokenizer.convert_ids_to_tokens(tokenizer(prompt).input_ids)
        assert pieces[1:] == ["a</w>", "red</w>", "g", "n", "u</w>", ",</w>", *pieces[7:]]
        assert word_positions(tokenizer, prompt, "red") == [2, 8]
        assert word_positions(tokenizer, prompt, ["gnu", "Red boot"]) == [3, 4, 5, 8, 9]

    def test_parts_of_words_and_absent_words_are_refused(self, tokenizer: Any):
        for word in ("u", "blue", ""):
            with pytest.raises(ValueError, match=f"words: '{word}' does not occur in the prompt 'a red gnu'"):
                word_positions(tokenizer, "a red gnu", word)


class TestCanvas:
    """A wide canvas is decoded as one picture; windows decoded on their own would show their borders."""

    def model(self) -> LatentImages:
        torch.manual_seed(0)
        model = LatentImages()
        model.vae, model.max_batch = tiny_vae().eval(), None
        return model

    def test_in_one_piece(self):
        model, wide = self.model(), torch.randn(1, 4, 16, 64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = model.vae.decode(wide / 0.18215).sample
        torch.testing.assert_close(model.decode(wide), expected)
        windows = torch.cat([model.decode(part) for part in wide.split(16, -1)], -1)
        assert (windows - expected).abs().max() > 1e-3

    def test_beyond_the_limit_in_blended_tiles(self, monkeypatch: pytest.MonkeyPatch):
        model, wide = self.model(), torch.randn(1, 4, 16, 64, generator=torch.Generator().manual_seed(0))
        monkeypatch.setattr("syncsde3d.models.autoencoder.WHOLE_PIXELS", 32 * 128 - 1)
        with torch.no_grad():
            expected = model.vae.tiled_decode(wide / 0.18215).sample
        torch.testing.assert_close(model.decode(wide), expected)
        assert model.vae.use_tiling is False


class TestLoading:
    def test_stable_diffusion_without_its_controlnet(self, tmp_path: Path, noise: torch.Tensor):
        folder = tiny_stable_diffusion(tmp_path, controlnet=True)
        model = load_image_model(str(folder), low_memory=True)
        assert isinstance(model, LatentDiffusion)
        assert (model.controlnet, model.vae.use_tiling) == (None, True)
        assert sample(model.condition(["a boot"]), model.scheduler, noise[:1], STEPS).isfinite().all()

    def test_deepfloyd(self, tmp_path: Path):
        model = load_image_model(str(tiny_if(tmp_path)))
        assert isinstance(model, PixelDiffusion)
        assert (model.channels, model.size, model.factor) == (3, 8, 1)
        picture = torch.rand(1, 3, 8, 8)
        assert torch.equal(model.decode(model.encode(picture)), picture)

    def test_the_embedded_model(self):
        model = load_image_model("embedded")
        assert (model.channels, model.size, model.factor) == (4, 32, 4)
        noise = torch.randn(1, 4, 32, 48, generator=torch.Generator().manual_seed(0))
        with pytest.warns(UserWarning, match="does not know mauve"):
            denoiser = model.condition(["a photo of a mauve boot"], guidance_scale=3.0)
        image = model.decode(sample(denoiser, model.scheduler, noise, STEPS))
        assert image.shape == (1, 3, 128, 192)
        assert image.std() > 0.05

    def test_other_families_are_named(self, tmp_path: Path):
        for kind in ("FluxPipeline", "IFSuperResolutionPipeline"):
            (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
            with pytest.raises(ValueError, match=f"is a {kind}, expected Stable Diffusion 1.x, 2.x, XL or 3"):
                load_image_model(str(tmp_path))
        (tmp_path / "model_index.json").write_text("{")
        with pytest.raises(ValueError, match="cannot read .*model_index.json"):
            load_image_model(str(tmp_path))

    @pytest.mark.parametrize("part", ["text_encoder_2", "transformer"])
    def test_a_missing_part_is_named(self, tmp_path: Path, part: str):
        folder = tiny_sd3(tmp_path, t5=False)
        (folder / part).rename(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=f"has no '{part}' in .*expected .*Stable Diffusion 3"):
            load_image_model(str(folder))
