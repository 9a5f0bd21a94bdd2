"""The pixel cascade against diffusers' own pipelines, on tiny random models of the real classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from tiny_images import sample, tiny_if, tiny_upscaler

from syncsde3d.core import Denoiser, NoiseSource
from syncsde3d.models.deepfloyd import PixelDiffusion
from syncsde3d.models.schedulers import make_scheduler
from syncsde3d.models.text import Blend
from syncsde3d.models.upscaler import Upscaler

PROMPTS = ["a photo of a red leather boot", "a blue chair"]
NEGATIVES = ["blurry", "red"]
STEPS = 3
OPTIONS: dict[str, Any] = {"num_inference_steps": STEPS, "guidance_scale": 5.0, "negative_prompt": NEGATIVES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    root = tmp_path_factory.mktemp("cascade")
    return tiny_if(root / "first"), tiny_if(root / "second", second=True), tiny_upscaler(root / "upscaler")


@pytest.fixture(scope="module")
def first(folders: tuple[Path, Path, Path]) -> PixelDiffusion:
    return PixelDiffusion.from_pretrained(str(folders[0]))


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(2)]


class Continued(NoiseSource):
    """Streams that go on where a pipeline's stand once its first noise is drawn."""

    def __init__(self, streams: list[torch.Generator]) -> None:
        super().__init__(0)
        object.__setattr__(self, "streams", streams)

    def stepping(self, patch: int) -> torch.Generator:
        return self.streams[patch]  # type: ignore[attr-defined]


def draw(streams: list[torch.Generator], *shape: int) -> torch.Tensor:
    return torch.cat([torch.randn(1, *shape, generator=g) for g in streams])


def plain(folder: Path, **options: Any) -> torch.Tensor:
    """What diffusers' pipeline of the folder makes, in [-1, 1]; its variance fixed, as the core's is."""
    pipeline = DiffusionPipeline.from_pretrained(folder, safety_checker=None, watermarker=None)
    if pipeline.scheduler.config.get("variance_type") == "learned_range":
        config = pipeline.scheduler.config
        pipeline.scheduler = DDPMScheduler.from_config(config, variance_type="fixed_small")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(PROMPTS, generator=generators(), **OPTIONS, **options).images  # type: ignore[operator]


class TestAgainstDiffusers:
    """Ancestral steps, dynamic thresholding, guidance: the pictures are those of diffusers' pipelines."""

    @pytest.mark.parametrize("clip", [False, True])
    def test_first_stage(self, tmp_path: Path, clip: bool):
        folder = tiny_if(tmp_path, clip=clip)
        model = PixelDiffusion.from_pretrained(str(folder))
        denoiser = model.condition(PROMPTS, NEGATIVES, guidance_scale=5.0)
        assert isinstance(denoiser, Denoiser)
        streams = generators()
        noise = draw(streams, 3, 8, 8)
        result = sample(denoiser, model.scheduler, noise, STEPS, Continued(streams))
        expected = plain(folder, output_type="pt", clean_caption=False)
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
        assert expected.abs().max() <= 1.5  # thresholding was at work: the network's own x0 is far larger

    def test_second_stage(self, folders: tuple[Path, Path, Path]):
        model = PixelDiffusion.from_pretrained(str(folders[1]))
        assert (model.enlarges, model.size, model.scheduler.config.variance_type) == (True, 16, "fixed_small")
        pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(7)) * 2 - 1
        streams = generators()
        noise, level_noise = draw(streams, 3, 16, 16), draw(streams, 3, 16, 16)
        denoiser = model.condition(
            PROMPTS, NEGATIVES, 5.0, pictures=pictures, noise=level_noise, noise_level=50
        )
        result = sample(denoiser, model.scheduler, noise, STEPS, Continued(streams))
        options = {"image": pictures, "noise_level": 50, "output_type": "pt", "clean_caption": False}
        expected = plain(folders[1], **options)
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)

    def test_upscaler(self, folders: tuple[Path, Path, Path]):
        model = Upscaler.from_pretrained(str(folders[2]))
        pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(7)) * 2 - 1
        streams = generators()
        level_noise, noise = draw(streams, 3, 16, 16), draw(streams, 4, 16, 16)
        denoiser = model.condition(PROMPTS, NEGATIVES, 5.0, pictures=pictures, noise=level_noise)
        result = model.decode(sample(denoiser, model.scheduler, noise, STEPS)) / 2 + 0.5
        expected = plain(folders[2], image=pictures, noise_level=20, output_type="pt")
        assert result.shape == (2, 3, 32, 32)
        torch.testing.assert_close(result.clamp(0, 1), expected, atol=1e-4, rtol=1e-4)


class TestPictures:
    """Each patch of the second stage follows its own picture, whatever else is in the batch."""

    def test_rows_are_independent(self, folders: tuple[Path, Path, Path], first: PixelDiffusion):
        model = PixelDiffusion.from_pretrained(str(folders[1]), text=first.text)
        random = torch.Generator().manual_seed(3)
        pictures, noise = (
            torch.rand(2, 3, 8, 8, generator=random),
            torch.randn(2, 3, 16, 16, generator=random),
        )
        ddim = make_scheduler("ddim", model.scheduler)
        both = model.condition(PROMPTS, pictures=pictures, noise=noise)
        results = sample(both, ddim, noise, STEPS)
        for i in range(2):
            alone = model.condition([PROMPTS[i]], pictures=pictures[[i]], noise=noise[[i]])
            result = sample(alone, ddim, noise[[i]], STEPS)
            torch.testing.assert_close(result, results[[i]], atol=1e-5, rtol=1e-4)
        other = model.condition(PROMPTS, pictures=pictures.flip(0), noise=noise)
        assert (sample(other, ddim, noise, STEPS) - results).abs().max() > 1e-3

    def test_pictures_belong_to_the_second_stage(
        self, folders: tuple[Path, Path, Path], first: PixelDiffusion
    ):
        second = PixelDiffusion.from_pretrained(str(folders[1]), text=first.text)
        pictures, noise = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 16, 16)
        with pytest.raises(ValueError, match="pictures: this stage takes none"):
            first.condition(PROMPTS, pictures=pictures, noise=noise)
        with pytest.raises(ValueError, match="pictures: expected with their noise"):
            second.condition(PROMPTS)
        with pytest.raises(ValueError, match="noise_level: expected 0 to 999, got 1000"):
            second.condition(PROMPTS, pictures=pictures, noise=noise, noise_level=1000)
        with pytest.raises(ValueError, match="noise: expected 2 for as many pictures, got 1"):
            second.condition(PROMPTS, pictures=pictures, noise=noise[:1])


class TestText:
    def test_the_encoder_is_read_once_for_all_stages_and_let_go(
        self, folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
    ):
        from syncsde3d.models import prompt_encoder

        reads: list[str] = []
        load = prompt_encoder.load_component
        monkeypatch.setattr(prompt_encoder, "load_component", lambda *a: reads.append(a[2]) or load(*a))
        first = PixelDiffusion.from_pretrained(str(folders[0]))
        stages = (first, PixelDiffusion.from_pretrained(str(folders[1]), text=first.text))
        known = stages[0].encode_prompts([*PROMPTS, ""])
        assert (reads, stages[0].text._network) == (["text_encoder"], None)
        assert torch.equal(stages[1].encode_prompts(["", PROMPTS[0].upper()]), known[[2, 0]])
        stages[0].condition([Blend(*PROMPTS, 0.5)])
        assert len(reads) == 1
        stages[1].encode_prompts(["another", PROMPTS[0]])
        assert len(reads) == 2

    def test_long_prompts_are_cut_with_a_warning(self, first: PixelDiffusion):
        with pytest.warns(UserWarning, match="is cut at 77 tokens, lost: '.*front view"):
            text = first.condition([" ".join(["red boot"] * 50) + " front view"]).text
        assert text.shape == (2, 1, 77, 24)


class TestLoading:
    def test_a_model_of_another_kind_is_named(self, folders: tuple[Path, Path, Path]):
        with pytest.raises(ValueError, match="expected diffusers' layout of Stable Diffusion's upscaler"):
            Upscaler.from_pretrained(str(folders[1]))
        with pytest.raises(ValueError, match="U-Net takes 7 channels, expected 3, or 6 to enlarge"):
            PixelDiffusion.from_pretrained(str(folders[2]))

    def test_the_schedulers_by_name_fit(self, first: PixelDiffusion):
        noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        for name in ("ddim", "ddpm", "dpm++"):
            scheduler = make_scheduler(name, first.scheduler)
            assert sample(first.condition(PROMPTS), scheduler, noise, STEPS).abs().max() <= 1.6
