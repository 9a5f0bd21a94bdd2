"""Grids of results of every image task, SyncSDE beside the other strategies, with figures.

python tests/benchmarks/grid_images.py [--model embedded] [--tasks wide masked ...] [--count 8] [--out DIR]

The same seeds for every strategy. A sheet per task goes to --out: a row per strategy, a column per result.
Figures, in means over the results:
  wide       seam: gradient across the borders of windows, by that across other columns of latents; 1 is none.
  masked     outside: distance of the picture from the background's trajectory outside the mask.
  ambiguous  right, wrong: the judge's score of the prompt that a view is for, and of the other one.
  edit       reconstruction, background: error of the inversion, and distance outside the region;
             inside, outside: perceptual distance (LPIPS's, by the judge's features) in and outside it.
Distances are root mean squares on the scale [0, 1].
--inv-lambda 0 1 2 ...: rows of syncsde at these strengths instead of the strategies (the paper's Figure 9).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from syncsde3d import (
    AmbiguousImage,
    AmbiguousItem,
    EditItem,
    ImageEditing,
    ImageResult,
    MaskedImage,
    MaskedItem,
    Region,
    WideImage,
    WideItem,
)
from syncsde3d.io.images import contact_sheet
from syncsde3d.metrics.images import perceptual_distance
from syncsde3d.models.embedded import embedded_folder
from syncsde3d.models.judge import Judge

DATA = Path(__file__).resolve().parents[2] / "data" / "prompts"
STRATEGIES = ("syncsde", "independent", "multidiffusion", "synctweedies", "visual_anagrams", "consensus")
SCENES = [
    f"a photo of {s}" for s in ("mountains at sunset", "the sea", "a forest", "a city at night", "a desert")
]
THINGS = ("red leather handbag", "blue vase", "yellow knitted boot", "green marble cow", "yellow vase")
PAIRS = (("a red vase", "a blue cat"), ("a forest", "the sea"), ("a cow", "a boot"), ("a city", "mountains"))
EDITS = (
    *(("blue", "denim"), ("green", "marble"), ("yellow", "knitted"), ("purple", "plaid")),
    *(("orange", "camouflage"), ("white", "leather"), ("cyan", "striped"), ("black", "leather")),
)


def wide(seed: int) -> WideItem:
    return WideItem(SCENES[seed % len(SCENES)], seed=seed, id=f"wide-{seed}")


def masked(seed: int) -> MaskedItem:
    scene, thing = SCENES[seed % len(SCENES)], THINGS[seed % len(THINGS)]
    place = scene.removeprefix("a photo of ")
    region = Region(f"a photo of a {thing}", DATA / "masks/oval.png")
    return MaskedItem(f"a {thing} in front of {place}", scene, (region,), seed, f"masked-{seed}")


def ambiguous(seed: int) -> AmbiguousItem:
    view = ("rotate_180", "rotate_90", "flip_vertical", "inner_circle")[seed // 2 % 4]
    return AmbiguousItem(PAIRS[seed % len(PAIRS)], (view,), seed, f"ambiguous-{seed}")


def edit(seed: int) -> EditItem:
    colour, material = EDITS[seed % len(EDITS)]
    prompts = "a photo of a red leather handbag", f"a photo of a {colour} {material} handbag"
    return EditItem(DATA / "pictures/handbag.png", *prompts, seed=seed, id=f"edit-{seed}")


def seam(result: ImageResult, factor: int) -> float:
    """Gradient across window borders by that across other borders of latents."""
    steps = np.abs(np.diff(result.pictures["image"].astype(float), axis=1)).mean((0, 2))
    columns = np.arange(factor - 1, len(steps), factor)
    stride, last = result.settings["stride"], result.settings["width"] - result.settings["window"]
    borders = ((columns + 1) % stride == 0) & (columns < last)
    return float(steps[columns[borders]].mean() / steps[columns[~borders]].mean())


def outside(result: ImageResult) -> float:
    """Distance of the picture from the background's trajectory where the mask is black."""
    image, background = (result.pictures[name].astype(float) / 255 for name in ("image", "background"))
    places = result.pictures["mask_1"][..., 0] == 0
    return float(np.sqrt(((image - background)[places] ** 2).mean()))


@torch.no_grad()
def scores(result: ImageResult, judge: Judge) -> tuple[float, float]:
    """The judge's mean score of the prompt of each view, and of the other prompts, in it."""
    views = [result.pictures[name] for name in ("image", *sorted(n for n in result.pictures if n != "image"))]
    pictures = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2) / 127.5 - 1
    found = judge.encode_images(pictures) @ judge.encode_texts(result.prompts).T
    right = found.diagonal().mean()
    return float(right), float((found.sum() - found.diagonal().sum()) / (found.numel() - len(found)))


@torch.no_grad()
def perceived(result: ImageResult, judge: Judge) -> dict[str, float]:
    """Perceptual distance of an edit from its source inside and outside the edited region."""
    before, after = (
        judge.material.maps(torch.from_numpy(result.pictures[name].copy()).permute(2, 0, 1)[None] / 127.5 - 1)
        for name in ("source", "image")
    )
    inside = torch.from_numpy(result.pictures["mask"][..., 0] > 127)[None]
    regions = {"inside": inside, "outside": ~inside}
    return {
        name: float(perceptual_distance(before, after, where)) if where.any() else float("nan")
        for name, where in regions.items()
    }


def measure(task: str, module: Any, result: ImageResult, judge: Judge) -> dict[str, float]:
    if task == "wide":
        return {"seam": seam(result, module.loaded.factor)}
    if task == "masked":
        return {"outside": outside(result)}
    if task == "edit":
        names = {"reconstruction": "reconstruction_error", "background": "background_change"}
        return {short: result.figures[name] for short, name in names.items()} | perceived(result, judge)
    return dict(zip(("right", "wrong"), scores(result, judge), strict=True))


TASKS: dict[str, tuple[type, Callable[[int], Any]]] = {
    "wide": (WideImage, wide),
    "masked": (MaskedImage, masked),
    "ambiguous": (AmbiguousImage, ambiguous),
    "edit": (ImageEditing, edit),
}


def shown(result: ImageResult) -> np.ndarray:
    """What the sheet shows of a result: an ambiguous image in its two views."""
    names = ("image", "view_1") if "view_1" in result.pictures else ("image",)
    return np.concatenate([result.pictures[name] for name in names], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--pixel-model", default="embedded", help="of ambiguous images")
    parser.add_argument("--judge", help="judge folder; the shipped one if not given")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--inv-lambda", nargs="+", type=float, default=())
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--width", type=int, help="of wide images, pixels")
    parser.add_argument("--out", type=Path, default=Path("renders"))
    args = parser.parse_args()
    judge = Judge.from_pretrained(args.judge or embedded_folder("judge")).float().eval()  # pyright: ignore
    ways: dict[str, dict[str, Any]] = {name: {"strategy": name} for name in args.strategies}
    if args.inv_lambda:
        ways = {f"1/lambda {value:g}": {"inv_lambda": value} for value in args.inv_lambda}
    for task in args.tasks:
        kind, make_item = TASKS[task]
        pictures: list[np.ndarray] = []
        labels: list[str] = []
        rows = []
        for label, way in ways.items():
            options = {"width": args.width} if task == "wide" else {}
            if task == "edit":
                options["find"] = "contrast"
            module = kind(
                model=args.pixel_model if task == "ambiguous" else args.model,
                steps=args.steps,
                guidance_scale=args.guidance,
                **options,
                **way,
            )
            module.setup("predict")
            start, measured = time.perf_counter(), []
            for seed in range(args.count):
                result = module.make(make_item(seed))
                measured.append(measure(task, module, result, judge))
                pictures.append(shown(result))
                labels.append(label)
            seconds = (time.perf_counter() - start) / args.count
            means = {name: float(np.mean([m[name] for m in measured])) for name in measured[0]}
            rows.append((label, means, seconds))
        sheet = contact_sheet(pictures, 2 if task == "wide" else args.count, labels)
        args.out.mkdir(parents=True, exist_ok=True)
        name = f"grid_{task}{'_strength' * bool(args.inv_lambda)}.jpg"
        Image.fromarray(sheet).save(args.out / name, quality=88)
        names = list(rows[0][1])
        print(f"\n| {task} | {' | '.join(names)} | seconds each |\n|{'---|' * (len(names) + 2)}")
        for label, means, seconds in rows:
            print(f"| {label} | {' | '.join(f'{means[n]:.3f}' for n in names)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
