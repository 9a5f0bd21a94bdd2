"""Training of the embedded models: exact parts against closed forms, whole runs on tiny data."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import IFPipeline, StableDiffusionControlNetPipeline
from PIL import Image

from syncsde3d.lit.training import (
    Export,
    JudgeTraining,
    LatentTraining,
    PixelTraining,
    SyntheticDataModule,
    VAETraining,
)
from syncsde3d.lit.training_common import velocity_weight
from syncsde3d.lit.training_judge import QUESTIONS, answers
from syncsde3d.lit.training_latent import cut_out, training_scheduler
from syncsde3d.lit.training_pixel import TOKENS
from syncsde3d.lit.training_vae import fit_output, small_vae, whiten_latents
from syncsde3d.models.judge import Judge
from syncsde3d.synthetic import buffers as view_buffers


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("views")


@pytest.fixture
def data(cache: Path, monkeypatch: pytest.MonkeyPatch) -> SyntheticDataModule:
    """Two objects, four views each."""
    names = ("ball", "cube")
    monkeypatch.setattr(view_buffers, "SHAPES", {name: view_buffers.SHAPES[name] for name in names})
    return SyntheticDataModule(
        str(cache), batch_size=4, variants=1, views=4, validation=4, workers=0, drop=0.1
    )


def fit(module: L.LightningModule, data: SyntheticDataModule, folder: Path, steps: int = 2) -> Path:
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
    return folder / "weights"


def pictures(count: int = 4) -> torch.Tensor:
    """Smooth pictures of all colours and brightnesses [count, 3, 32, 32]."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    return F.interpolate(small, size=32, mode="bicubic").clamp(-1, 1)


def test_captions_name_views_by_chance_where_there_is_one(tmp_path: Path) -> None:
    shown = SyntheticDataModule(
        str(tmp_path), 64, variants=1, views=1, shares=(1.0, 0.0, 0.0), names=("cube",), workers=0
    )
    shown.setup()
    assert len(shown.train) == 1
    subjects = next(iter(shown.train_dataloader()))["subject"]
    assert {s.split("|")[3] for s in subjects} == {"front", "side", "back", "top"}


@torch.no_grad()
def test_untrained_autoencoder_is_a_box_pyramid() -> None:
    torch.manual_seed(0)
    x = pictures(8)
    vae = small_vae((16, 32, 64))
    latents = vae.encode(x).latent_dist.mode()
    assert (latents[:, :3] - F.avg_pool2d(x, 4)).abs().mean() < 0.08
    smooth = F.interpolate(F.avg_pool2d(x, 4), size=32, mode="bilinear")
    before = (vae.decode(latents).sample - smooth).abs().mean()
    assert before < 0.15
    fit_output(vae, [x[:4], x[4:]], per_picture=1024)
    assert torch.equal(vae.encode(x).latent_dist.mode(), latents)
    assert F.mse_loss(vae.decode(latents).sample, x) < 0.8 * F.mse_loss(smooth, x)


@torch.no_grad()
def test_whitening_changes_latents_exactly_and_pictures_not_at_all() -> None:
    torch.manual_seed(0)
    vae, x = small_vae((8, 16)).double(), pictures(8).double()
    before = vae.encode(x).latent_dist.mode()
    rebuilt = vae.decode(before).sample
    whiten_latents(vae, before)
    after = vae.encode(x).latent_dist.mode()
    flat = after.transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(flat), torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(flat.mean(1), torch.zeros(4, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(vae.decode(after).sample, rebuilt)
    torch.testing.assert_close(vae.encode(x).latent_dist.sample(), after, atol=0.02, rtol=0)


def test_velocity_weight_is_capped_snr() -> None:
    alphas = training_scheduler().alphas_cumprod.double()[:-1]
    snr = alphas / (1 - alphas)
    torch.testing.assert_close(velocity_weight(alphas), (snr + 1).clamp(max=5) / (snr + 1))
    assert velocity_weight(training_scheduler().alphas_cumprod)[-1] == 1
    assert training_scheduler().alphas_cumprod[-1] == 0


def test_answers_are_indices_or_unknown() -> None:
    result = answers(["boot|green|camouflage|side||", "||||sea|night"])
    assert QUESTIONS["colour"][int(result["colour"][0])] == "green"
    assert QUESTIONS["subject"][int(result["subject"][1])] == "sea"
    assert [int(result[k][1]) for k in ("colour", "material")] == [-1, -1]
    assert int(result["time"][0]) == -1


def test_autoencoder_trains_exports_and_goes_on(data: SyntheticDataModule, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = VAETraining(widths=(8, 16), warmup=1)
    first = {k: v.clone() for k, v in module.net.state_dict().items()}
    folder = fit(module, data, tmp_path)
    assert any(not torch.equal(first[k], v) for k, v in module.net.state_dict().items())
    again = VAETraining(start=str(folder), decoder_only=True, warmup=1)
    x = pictures()
    with torch.no_grad():
        latents = again.net.encode(x).latent_dist.mode()
        expected = module.average.decode(module.average.encode(x).latent_dist.mode()).sample
        torch.testing.assert_close(again.net.decode(latents).sample, expected, atol=0.05, rtol=0)
    fit(again, data, tmp_path / "more")
    with torch.no_grad():
        torch.testing.assert_close(again.net.encode(x).latent_dist.mode(), latents)


def test_average_follows_the_weights(data: SyntheticDataModule, tmp_path: Path) -> None:
    module = VAETraining(widths=(8, 16), warmup=1, decay=0.0)
    fit(module, data, tmp_path)
    for mean, value in zip(module.average.parameters(), module.net.parameters(), strict=True):
        torch.testing.assert_close(mean, value)


def test_focus_weighs_the_object_where_depth_tells_it(tmp_path: Path) -> None:
    """A mean in which the object counts 1 + focus; a plain mean where depth is not used."""
    torch.manual_seed(0)
    small_vae((8, 16, 32)).save_pretrained(tmp_path)
    module = LatentTraining(str(tmp_path), widths=(16, 16, 32, 32), text_width=32)
    depth = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    depth[:, :, 8:24, 8:24] = 100  # latents 2 to 5
    batch = {"image": torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8), "depth": depth}
    batch["caption"] = ["a red boot", "a blue hat"]  # pyright: ignore
    t, noise, use = torch.tensor([500, 500]), torch.randn(2, 4, 8, 8), torch.tensor([True, False])

    def net(noisy, *_):
        return torch.ones_like(noisy)

    with torch.no_grad():
        latents = module.vae.encode(batch["image"] / 127.5 - 1).latent_dist.mode()
        error = (1 - module.scheduler.get_velocity(latents, noise, t)).square()  # pyright: ignore
        inside, total = error[0, :, 2:6, 2:6].sum() / 4, error[0].sum() / 4
        expected = torch.stack(((total + 3 * inside) / (64 + 3 * 16), error[1].mean()))
        got = module.loss(net, batch, t, noise, use, focus=3.0)  # pyright: ignore
    torch.testing.assert_close(got, expected * module.weight[500], rtol=0.05, atol=0.01)  # pyright: ignore


def test_cut_outs_show_the_object_and_stay_within_the_picture() -> None:
    """Of pictures whose pixels tell where they are; the object is a single pixel, or there is none."""
    torch.manual_seed(0)
    n, h, w, size = 40, 48, 64, 24
    where = torch.arange(h * w).view(1, 1, h, w).expand(n, 1, h, w)
    depth = torch.zeros(n, 1, h, w, dtype=torch.uint8)
    at = torch.randint(h * w, (n,))
    depth.view(n, -1)[torch.arange(n // 2), at[: n // 2]] = 9
    batch = {"image": where * torch.tensor([1, 2, 3]).view(3, 1, 1), "depth": depth, "caption": "said"}
    cut = cut_out(batch, size)
    assert cut["caption"] == "said"
    assert cut["image"].shape == (n, 3, size, size)
    assert (cut["depth"].flatten(1).sum(1) == torch.tensor([9, 0]).repeat_interleave(n // 2)).all()
    corner = cut["image"][:, 0, 0, 0]
    assert ((corner // w % 4 == 0) & (corner % w % 4 == 0)).all()  # whole latents
    for i in range(n):
        top, left = int(corner[i]) // w, int(corner[i]) % w
        assert torch.equal(cut["image"][i], batch["image"][i, :, top : top + size, left : left + size])
        assert torch.equal(cut["depth"][i], depth[i, :, top : top + size, left : left + size])
    assert len(corner[n // 2 :].unique()) > n // 4


def test_a_run_of_so_many_minutes_ends_and_is_exported(data: SyntheticDataModule, tmp_path: Path) -> None:
    module = VAETraining(widths=(8, 16), warmup=1, minutes=1e-4)
    folder = fit(module, data, tmp_path, steps=50)
    assert module.global_step < 50
    assert (folder / "config.json").is_file()


def test_latent_model_loads_as_a_stock_pipeline(data: SyntheticDataModule, tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = small_vae((8, 16, 32))
    vae.save_pretrained(tmp_path / "vae")
    module = LatentTraining(
        str(tmp_path / "vae"), widths=(16, 16, 32, 32), text_width=32, words=2, sampled=2, warmup=1
    )
    folder = fit(module, data, tmp_path / "run")
    assert list((tmp_path / "run").glob("samples_*.png"))
    pipe = StableDiffusionControlNetPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    out = pipe(
        "a red boot", image=Image.new("RGB", (128, 128)), num_inference_steps=2, output_type="np"
    ).images  # pyright: ignore
    assert out.shape == (1, 128, 128, 3)
    assert np.isfinite(out).all()
    again = LatentTraining(str(folder / "vae"), start=str(folder))
    for name, value in module.average.state_dict().items():
        torch.testing.assert_close(again.net.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert again.tokenizer("a red boot").input_ids == module.tokenizer("a red boot").input_ids
    # from the start on: several devices wait for gradients of all that is trained when a run begins
    kept = [name for name, value in again.net.named_parameters() if not value.requires_grad]
    assert {name.split(".")[1] for name in kept if name.startswith("unet.")} == {"add_embedding"}
    assert {name.split(".")[0] for name in kept} == {"unet", "text_encoder"}


def test_judge_trains_and_loads(data: SyntheticDataModule, tmp_path: Path) -> None:
    module = JudgeTraining(warmup=1)
    folder = fit(module, data, tmp_path)
    judge = Judge.from_pretrained(folder).float().eval()
    x = pictures()
    with torch.no_grad():
        logits = judge(x, ("red", "blue", "a green boot"))
        expected = module.average(x, ("red", "blue", "a green boot"))
    assert logits.shape == (4, 3)
    torch.testing.assert_close(logits, expected, atol=0.2, rtol=0.02)


def test_the_pixel_model_trains_and_loads_as_a_stock_pipeline(tmp_path, data):
    folder = fit(PixelTraining(widths=(16, 32), text_width=32, words=2, sampled=2), data, tmp_path)
    pipeline = IFPipeline.from_pretrained(folder, safety_checker=None, watermarker=None)
    pipeline.set_progress_bar_config(disable=True)
    again = pipeline(
        ["a red ball", "a forest"],
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
        clean_caption=False,
    ).images
    assert again.shape == (2, 3, 64, 64)
    assert again.isfinite().all()
    assert again.std() > 0.01
    noisy, tokens = torch.randn(2, 3, 64, 64), torch.zeros(2, TOKENS, dtype=torch.long)
    extra = pipeline.unet(noisy, 500, pipeline.text_encoder(tokens)[0]).sample[:, 3:]
    assert extra.abs().max() == 0  # the variance channels that IF expects carry nothing


def test_the_pixel_model_sees_more_noise_than_it_must_tell():
    """A net of zeros errs by the velocity, perturbed or not; what reaches it has a tenth more noise."""
    module = PixelTraining(widths=(16, 32), text_width=32)
    batch = {"image": torch.full((4, 3, 64, 64), 255, dtype=torch.uint8), "caption": ["a red ball"] * 4}
    t, seen = torch.tensor([100, 400, 700, 999]), []

    def net(noisy, *_):
        seen.append(noisy)
        return torch.zeros_like(noisy)

    losses = [
        module.loss(net, batch, t, torch.Generator().manual_seed(0), perturbed)  # pyright: ignore
        for perturbed in (0.0, 0.1)
    ]
    assert torch.equal(*losses)
    expected = 0.1 * (1 - module.scheduler.alphas_cumprod[t]).sqrt()
    torch.testing.assert_close((seen[1] - seen[0]).std((1, 2, 3)), expected, rtol=0.03, atol=0)
