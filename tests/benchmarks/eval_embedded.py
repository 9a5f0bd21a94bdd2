"""How good the embedded latent and pixel models are, by the judge and by plain statistics.

python tests/benchmarks/eval_embedded.py [--model FOLDER] [--judge FOLDER] [--count 200] [--pixel 200]

Prompts are held-out (colour, material, object) combinations on object variants that training never saw, with
depth; every figure stands beside the judge's figure on the real pictures and on their reconstructions.
"""

from __future__ import annotations

import argparse
import colorsys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import DPMSolverMultistepScheduler, IFPipeline, StableDiffusionControlNetPipeline
from PIL import Image

from syncsde3d.lit.training_common import save_grid
from syncsde3d.lit.training_data import HELD_VARIANTS, held_out_items, to_unit
from syncsde3d.lit.training_judge import QUESTIONS, answers
from syncsde3d.models.embedded import embedded_folder
from syncsde3d.models.judge import Judge
from syncsde3d.synthetic.buffers import Buffers, make_buffers
from syncsde3d.synthetic.materials import base_colour


def silhouette(image: torch.Tensor) -> torch.Tensor:
    """True where a picture [3, h, w] in [-1, 1] differs from its border's median colour."""
    edge = torch.cat((image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]), 1).median(1).values
    return (image - edge[:, None, None]).abs().amax(0) > 0.2


def hue_error(image: torch.Tensor, mask: torch.Tensor, colour: str) -> float | None:
    """Degrees between a colour word and the saturation-weighted mean hue inside ``mask``; None for greys."""
    target = colorsys.rgb_to_hsv(*base_colour(colour).tolist())
    if target[1] < 0.2 or mask.sum() < 20:
        return None
    rgb = ((image[:, mask] + 1) / 2).clamp(0, 1)
    angle = torch.atan2(3**0.5 * (rgb[1] - rgb[2]), 2 * rgb[0] - rgb[1] - rgb[2])
    chroma = rgb.amax(0) - rgb.amin(0)
    mean = torch.atan2((chroma * angle.sin()).sum(), (chroma * angle.cos()).sum())
    return abs((float(torch.rad2deg(mean)) - 360 * target[0] + 180) % 360 - 180)


@torch.no_grad()
def score(judge: Judge, images: torch.Tensor, items: list[dict]) -> dict[str, float]:
    """The judge's accuracy per question, the share of right hues, and the mean silhouette IoU."""
    vectors = judge.encode_images(images)
    result: dict[str, float] = {}
    for key, truth in answers([item["subject"] for item in items]).items():
        known = truth >= 0
        if known.any():
            guess = (vectors @ judge.encode_texts(QUESTIONS[key]).T).argmax(1)
            result[key] = float((guess == truth)[known].float().mean())
    seen = [item["depth"][0] > 0 for item in items]
    masks = [silhouette(image) for image in images]
    overlap = [
        float((m & s).sum() / (m | s).sum().clamp(min=1))
        for m, s, i in zip(masks, seen, items, strict=True)
        if i["has_depth"]
    ]
    hues = [
        hue_error(image, s, i["subject"].split("|")[1])
        for image, s, i in zip(images, seen, items, strict=True)
        if i["has_depth"]
    ]
    known_hues = [h for h in hues if h is not None]
    if overlap:
        result["silhouette IoU"] = float(np.mean(overlap))
    if known_hues:
        result["hue within 25"] = float(np.mean([h < 25 for h in known_hues]))
    return result


@torch.no_grad()
def sample(
    pipe: StableDiffusionControlNetPipeline, items: list[dict], steps: int, guidance: float
) -> torch.Tensor:
    """Pictures [n, 3, h, w] in [-1, 1] for the items' captions; depth is used where an item has it."""
    out = []
    for start in range(0, len(items), 20):
        part = items[start : start + 20]
        depth = [Image.fromarray(i["depth"][0].numpy()).convert("RGB") for i in part]
        made = pipe(
            [i["caption"] for i in part],
            image=depth,
            num_inference_steps=steps,
            guidance_scale=guidance,
            controlnet_conditioning_scale=1.0 if part[0]["has_depth"] else 0.0,
            generator=torch.Generator().manual_seed(start),
            output_type="np",
        ).images  # pyright: ignore
        out.append(torch.from_numpy(np.asarray(made)).permute(0, 3, 1, 2) * 2 - 1)
    return torch.cat(out)


@torch.no_grad()
def evaluate_pixel(folder: str, judge: Judge, views: Buffers, args: argparse.Namespace) -> None:
    """Objects, scenes and objects before scenes by the pixel model, beside real pictures of its size."""
    pipe = IFPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    sets = {"objects": (1.0, 0.0, 0.0), "scenes": (0.0, 1.0, 0.0), "composed": (0.0, 0.0, 1.0)}
    for number, (name, shares) in enumerate(sets.items()):
        drawn = held_out_items(views, args.pixel // 3, shares, args.seed + 8 + number)
        items = [{**i, "has_depth": False} for i in drawn]
        made = torch.cat(
            [
                pipe(
                    [i["caption"] for i in items[start : start + 20]],
                    num_inference_steps=args.steps,
                    guidance_scale=args.guidance,
                    generator=torch.Generator().manual_seed(start),
                    output_type="pt",
                    clean_caption=False,
                ).images  # pyright: ignore
                for start in range(0, len(items), 20)
            ]
        ).float()
        real = F.adaptive_avg_pool2d(torch.stack([to_unit(i["image"]) for i in items]), made.shape[-1])
        report(f"pixel model, {name}: {len(items)} prompts", {"real": real, "samples": made}, items, judge)
        pairs = torch.stack((real[:32], made[:32]), 1).flatten(0, 1)
        save_grid(pairs, Path(args.out) / f"pixel_{name}.png", 16)


def report(title: str, rows: dict[str, torch.Tensor], items: list[dict], judge: Judge) -> None:
    """Print a table of scores, a row per kind of picture."""
    figures = {row: score(judge, images, items) for row, images in rows.items()}
    columns = list(figures["real"])
    print(f"\n{title}\n| pictures | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
    for row, values in figures.items():
        print(f"| {row} | " + " | ".join(f"{values[c]:.3f}" for c in columns) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="pipeline folder; the shipped one if not given")
    parser.add_argument("--judge", help="judge folder; the shipped one if not given")
    parser.add_argument("--cache", default="runs/views", help="folder of rendered views")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--scheduler", choices=("ddim", "dpm"), default="ddim")
    parser.add_argument("--out", default="renders/eval_embedded", help="folder for contact sheets")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pixel", type=int, default=0, help="prompts for the pixel model")
    parser.add_argument("--pixel-model", help="its pipeline folder; the shipped one if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the prompts; another one, other prompts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    judge = Judge.from_pretrained(args.judge or embedded_folder("judge")).float().eval()  # pyright: ignore
    pipe = StableDiffusionControlNetPipeline.from_pretrained(args.model or embedded_folder("latent"))
    pipe.set_progress_bar_config(disable=True)
    if args.scheduler == "dpm":
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    views = make_buffers(Path(args.cache) / "held", [HELD_VARIANTS], 8)
    if args.pixel:
        evaluate_pixel(args.pixel_model or str(embedded_folder("pixel")), judge, views, args)
    sets = {
        "objects with depth": held_out_items(views, args.count, (1.0, 0.0, 0.0), args.seed + 5),
        "objects, no depth": [
            {**i, "has_depth": False}
            for i in held_out_items(views, args.count // 4, (1.0, 0.0, 0.0), args.seed + 6)
        ],
        "scenes": held_out_items(views, args.scenes, (0.0, 1.0, 0.0), args.seed + 7),
    }
    for name, items in sets.items():
        if not items:
            continue
        real = torch.stack([to_unit(i["image"]) for i in items])
        with torch.no_grad():
            rebuilt = torch.cat(
                [pipe.vae.decode(pipe.vae.encode(x).latent_dist.mode()).sample for x in real.split(20)]
            ).clamp(-1, 1)
        psnr = float((-10 * (((rebuilt - real) / 2).square().mean((1, 2, 3))).log10()).mean())
        start = time.perf_counter()
        made = sample(pipe, items, args.steps, args.guidance)
        seconds = time.perf_counter() - start
        title = (
            f"{name}: {len(items)} prompts, {args.steps} steps, guidance {args.guidance}, {seconds:.0f} s, "
            f"autoencoder {psnr:.1f} dB"
        )
        report(title, {"real": real, "reconstructions": rebuilt, "samples": made}, items, judge)
        triples = torch.stack((real[:32], rebuilt[:32], made[:32]), 1).flatten(0, 1)
        save_grid(triples, Path(args.out) / f"{name.replace(', ', ' ').replace(' ', '_')}.png", 12)


if __name__ == "__main__":
    main()
