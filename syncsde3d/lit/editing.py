"""Image editing as a LightningModule: the picture inverted, the region found and sampled anew."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from syncsde3d.core import Denoiser, NoiseSource, Sampler
from syncsde3d.core.inversion import invert
from syncsde3d.io.images import to_uint8
from syncsde3d.io.read_images import read_image, read_mask, resize, resize_mask
from syncsde3d.lit.image_items import EditItem, ImageResult
from syncsde3d.lit.images import ImageModule, ImageSettings, check_prompts, mask_picture, patch_noise
from syncsde3d.lit.item_module import timed
from syncsde3d.models.attention import AttentionRecorder, cut
from syncsde3d.models.contrast import contrast_region
from syncsde3d.models.text import word_positions
from syncsde3d.tasks.image_editing import ImageEditingTask
from syncsde3d.tasks.wide_image import WideImageTask

#: From how much of the largest attention, or of the largest difference of the prompts, a place is edited.
THRESHOLDS = {"attention": 0.3, "contrast": 0.4}
#: Sides of the worked-on picture are multiples of so many states, as U-Nets halve them.
_MULTIPLE = 8

Found = Literal["attention", "contrast"]


class ImageEditing(ImageModule):
    """Edits pictures: what one prompt says of them is replaced by what another one says.

    Use with ``trainer.predict`` over a :class:`~syncsde3d.PromptDataModule`, writing by an
    :class:`~syncsde3d.ImageWriter`. Nothing is trained. The picture is scaled so that its shorter side has
    what the model was trained on. It is inverted (DDIM), and the error of the reconstruction is measured.

    Args:
        find: how the region is found where no mask is given: "attention" to the source's words, or the
            "contrast" of what the model predicts for either prompt; None fits the model.
        threshold: from how much of the largest value a place belongs to the region; None: 0.3 for attention,
            0.4 for contrast.
        keep_layout: begin the target in the picture's own noise, which keeps shapes.
        refine: further network calls per step that make the inversion more exact; None: 2, with the paper's
            preset 0.
        captioner: hub id or folder of a BLIP model that describes pictures which come without words.
        matcher: hub id or folder of a CLIP model that finds the word to replace in such a description.
        options: of every image task, see :class:`~syncsde3d.lit.images.ImageModule`.

    A bad item (an unreadable picture, a word that the prompt has not) comes back as
    :class:`~syncsde3d.lit.items.Failed` and the run goes on; a model that cannot be loaded ends it with a
    ValueError.
    """

    presets: ClassVar[dict[str, ImageSettings]] = {
        "default": ImageSettings(steps=50, scheduler="ddim", guidance_scale=7.5),
        "paper": ImageSettings(steps=50, scheduler="ddim", guidance_scale=5.0),
        "embedded": ImageSettings(steps=30, scheduler="ddim", guidance_scale=3.0),
    }

    def __init__(
        self,
        find: Found | None = None,
        threshold: float | None = None,
        keep_layout: bool = True,
        refine: int | None = None,
        captioner: str = "Salesforce/blip-image-captioning-base",
        matcher: str = "openai/clip-vit-base-patch32",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if find not in (None, *THRESHOLDS):
            raise ValueError(f"find: expected one of {', '.join(THRESHOLDS)}, got {find!r}")
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f"threshold: expected a share in (0, 1), got {threshold}")
        if refine is None:
            refine = 0 if options.get("preset") == "paper" else 2
        if refine < 0:
            raise ValueError(f"refine: expected at least 0, got {refine}")
        self.find: Found | None = find
        self.keep_layout, self.refine = keep_layout, refine
        self.threshold, self.captioner, self.matcher = threshold, captioner, matcher

    @property
    def finding(self) -> Found:
        """How regions are found with the model at hand."""
        if self.find is not None:
            return self.find
        reads = reader(self.loaded) is not None and self.model_name != "embedded"
        return "attention" if reads else "contrast"

    def options(self) -> dict[str, Any]:
        return {
            "find": self.finding,
            "threshold": self.threshold or THRESHOLDS[self.finding],
            "keep_layout": self.keep_layout,
            "refine": self.refine,
        }

    def make(self, item: EditItem) -> ImageResult:
        """One edited picture. Raises ValueError or OSError for an item that cannot be done."""
        model, seconds, notes, key = self.loaded, {}, [], self.key(item)
        given = read_image(item.image)
        height, width = working_size(given.shape[0], given.shape[1], model.size, model.factor)
        if given.shape[:2] != (height, width):
            size = f"{given.shape[1]} x {given.shape[0]} to {width} x {height} pixels"
            notes.append(f"'{item.image.name}' was resized from {size}")
        picture = resize(given, height, width)
        item, said = self._worded(item, picture)
        notes += said
        x0 = model.encode(_to_model(picture).to(self.device))[0].float()
        sampler, alone = self.sampler(), self.condition([item.source_prompt], guidance_scale=1.0)
        with timed(seconds, "invert"):
            region, watched = self._given_mask(item, x0, notes), None
            if region is None and self.finding == "attention":
                watched = self._recorder(item)
                with watched.watching(alone) as recorded:
                    states = invert(sampler, recorded, x0[None], refine=self.refine)[:, 0]
            else:
                states = invert(sampler, alone, x0[None], refine=self.refine)[:, 0]
        with timed(seconds, "reconstruct"):
            again = self._reconstruct(item, sampler, alone, states)
        with timed(seconds, "region"):
            if region is None:
                region = self._find_region(item, x0, watched)
        with timed(seconds, "sample"):
            edited = self._edit(item, states, region)
        with timed(seconds, "decode"):
            source, reconstruction, image = model.decode(torch.stack((x0, again, edited))).clamp(-1, 1)
        pictures = {"image": to_uint8(image), "source": picture, "reconstruction": to_uint8(reconstruction)}
        outside = (1 - region.to(image)).repeat_interleave(model.factor, 0).repeat_interleave(model.factor, 1)
        return self.result(
            item,
            key=key,
            pictures=pictures | {"mask": mask_picture(region.cpu(), model.factor)},
            overview={
                "source": item.source_prompt,
                "reconstruction": "reconstruction",
                "mask": f"mask: {item.source_words or 'region'}",
                "image": item.target_prompt,
            },
            prompts=(item.source_prompt, item.target_prompt),
            figures={
                "reconstruction_error": _distance(reconstruction, source),
                "autoencoder_error": _distance(source.cpu(), _to_model(picture)[0]),
                "background_change": _distance(image, source, outside),
                "edited_share": float(region.mean()),
            },
            notes=tuple(notes),
            inputs={"image": item.image} | ({"mask": item.mask} if item.mask else {}),
            seconds=seconds,
        )

    def _worded(self, item: EditItem, picture: np.ndarray) -> tuple[EditItem, list[str]]:
        """The item with both prompts, and the words to replace where they can be told."""
        source, target, notes = item.source_prompt, item.target_prompt, []
        if not source and item.source_words:
            source = f"a photo of a {item.source_words}"
        if not source:
            from syncsde3d.models.captions import caption, closest_word

            if not (target or item.target_words):
                raise ValueError("target_prompt: empty, expected words, or --to")
            source = caption(picture, self.captioner, self.device)
            notes.append(f"described as '{source}'")
            if item.target_words:
                word = closest_word(source, item.target_words, self.matcher, self.device)
                item = replace(item, source_words=word)
                notes.append(f"'{word}' is replaced by '{item.target_words}'")
        if not target:
            if not (item.source_words and item.target_words):
                raise ValueError("target_prompt: empty, expected words, or --from and --to")
            target = re.sub(rf"\b{re.escape(item.source_words)}\b", item.target_words, source)
            if target == source:
                raise ValueError(f"from: '{item.source_words}' does not occur in the prompt '{source}'")
        check_prompts(source_prompt=source, target_prompt=target)
        words = item.source_words or replaced_words(source, target)
        return replace(item, source_prompt=source, target_prompt=target, source_words=words), notes

    def _given_mask(self, item: EditItem, x0: Tensor, notes: list[str]) -> Tensor | None:
        if item.mask is None:
            return None
        mask, (height, width) = read_mask(item.mask), x0.shape[-2:]
        pixels = (height * self.loaded.factor, width * self.loaded.factor)
        if mask.shape != pixels:
            before, after = (f"{w} x {h}" for h, w in (mask.shape, pixels))
            notes.append(f"mask '{item.mask.name}' was resized from {before} to {after} pixels")
        return torch.from_numpy(resize_mask(mask, height, width).copy()).to(x0)

    def _recorder(self, item: EditItem) -> AttentionRecorder:
        """Watches where the model reads the words that are replaced."""
        reads = reader(self.loaded)
        if reads is None:
            raise ValueError("find: this model's attention to words is not known, expected 'contrast'")
        if not item.source_words:
            raise ValueError("from: no word of the source prompt is replaced; name one, or give a mask")
        unet, tokenizer, limit = reads
        positions = word_positions(tokenizer, item.source_prompt, item.source_words)
        return AttentionRecorder(unet, positions, limit=limit)

    def _find_region(self, item: EditItem, x0: Tensor, watched: AttentionRecorder | None) -> Tensor:
        threshold, size = self.threshold or THRESHOLDS[self.finding], (x0.shape[-2], x0.shape[-1])
        if watched is not None:
            region = watched.mask(size, threshold)
        else:
            pair = self.condition([item.source_prompt, item.target_prompt], guidance_scale=1.0)
            source = NoiseSource(item.seed, item.id)
            region = cut(contrast_region(pair, self.sampler().scheduler, x0, source), size, threshold)
        if not region.any():
            raise ValueError(f"threshold: nothing is beyond {threshold}; lower it, or give a mask")
        return region.to(x0)

    def _reconstruct(self, item: EditItem, sampler: Sampler, alone: Denoiser, states: Tensor) -> Tensor:
        """The picture sampled again from its noise, uncoupled."""
        scheduler = sampler.scheduler
        scheduler.set_timesteps(sampler.steps)
        noise = states[:1] / float(getattr(scheduler, "init_noise_sigma", 1.0))
        height, width = noise.shape[-2:]
        task = WideImageTask(height, width, (height, width))
        return sampler.lockstep(task, alone, noise, NoiseSource(item.seed, item.id))[0]

    def _edit(self, item: EditItem, states: Tensor, region: Tensor) -> Tensor:
        """The edited picture's state."""
        task = ImageEditingTask(states, region, self.keep_layout)
        source = NoiseSource(item.seed, item.id)
        noise = patch_noise(source, task.count, tuple(states.shape[1:]), self.device)
        denoiser = self.condition([item.source_prompt, item.target_prompt, item.target_prompt])
        if self.sync.strategy not in ("syncsde", "independent"):
            return task.assemble(self.lockstep(item, task, denoiser, noise))
        with self.progress(item, 2 * self.settings.steps) as on_step:
            run = self.sampler().stream(
                task, denoiser, noise.__getitem__, source, on_step, earlier=[task.source], first=1
            )
            return list(run)[-1].result


def reader(model: Any) -> tuple[Any, Any, int] | None:
    """The U-Net that attends to words, the tokenizer that makes them, and the finest grid to look at."""
    unet, tokenizers = getattr(model, "unet", None), getattr(model, "tokenizers", None)
    if unet is not None and tokenizers is not None:
        return unet, tokenizers[0], 32  # Stable Diffusion XL attends on no coarser one
    tokenizer = getattr(model, "tokenizer", None)
    return None if unet is None or tokenizer is None else (unet, tokenizer, 16)


def working_size(height: int, width: int, size: int, factor: int) -> tuple[int, int]:
    """Height and width at which a picture is edited, pixels: the shorter side that of the model."""
    unit = factor * _MULTIPLE
    scale = size * factor / min(height, width)
    rows, columns = (max(round(side * scale / unit), 1) * unit for side in (height, width))
    return rows, columns


def replaced_words(source: str, target: str) -> str:
    """The first words of one prompt that another one replaces by others; "" if it only adds some."""
    before, after = source.split(), target.split()
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for kind, start, end, _, _ in matcher.get_opcodes():
        if kind in ("replace", "delete"):
            return " ".join(before[start:end]).strip(",.")
    return ""


def _to_model(picture: np.ndarray) -> Tensor:
    """Bytes [h, w, 3] to [1, 3, h, w] in [-1, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1


def _distance(a: Tensor, b: Tensor, weight: Tensor | None = None) -> float:
    """Root mean square difference of two pictures [3, h, w] in [-1, 1], on the scale [0, 1]."""
    square = ((a - b) / 2).square().mean(0)
    if weight is None:
        return float(square.mean().sqrt())
    return float(((square * weight).sum() / weight.sum().clamp(min=1e-6)).sqrt())
