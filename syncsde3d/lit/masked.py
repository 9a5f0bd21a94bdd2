"""Masked images as a LightningModule: one prompt for the background, one per region, one for the whole."""

from __future__ import annotations

from typing import Any

import torch

from syncsde3d.core import NoiseSource
from syncsde3d.io.images import to_uint8
from syncsde3d.io.read_images import read_mask, resize_mask
from syncsde3d.lit.image_items import ImageResult, MaskedItem
from syncsde3d.lit.images import ImageModule, check_pixels, check_prompts, mask_picture, patch_noise
from syncsde3d.lit.item_module import timed
from syncsde3d.tasks.masked_image import MaskedImageTask


class MaskedImage(ImageModule):
    """Makes pictures with prompts of their own in masked regions, with a text-to-image model.

    Use with ``trainer.predict`` over a :class:`~syncsde3d.PromptDataModule`, writing by an
    :class:`~syncsde3d.ImageWriter`. Nothing is trained. Grey parts of a mask are soft, later regions lie on
    top, and a mask of another size is scaled.

    Args:
        width, height: pixels; None takes what the model was trained on.
        options: of every image task, see :class:`~syncsde3d.lit.images.ImageModule`.

    A bad item (an unreadable or empty mask, an empty prompt) comes back as
    :class:`~syncsde3d.lit.items.Failed` and the run goes on; a model that cannot be loaded ends it with a
    ValueError.
    """

    def __init__(self, width: int | None = None, height: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        check_pixels(width=width, height=height)
        self.width, self.height = width, height

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.size()

    def size(self) -> tuple[int, int]:
        """Height and width in the model's states. Raises ValueError unless pixels make whole ones."""
        model = self.loaded
        for name, pixels in (("height", self.height), ("width", self.width)):
            if pixels is not None and pixels % model.factor:
                raise ValueError(
                    f"{name}: expected a multiple of the model's {model.factor} pixels, got {pixels}"
                )
        height, width = ((p or model.size * model.factor) // model.factor for p in (self.height, self.width))
        return height, width

    def options(self) -> dict[str, Any]:
        height, width = (side * self.loaded.factor for side in self.size())
        return {"height": height, "width": width}

    def make(self, item: MaskedItem) -> ImageResult:
        """One masked image. Raises ValueError or OSError for an item that cannot be done."""
        model, (height, width), seconds = self.loaded, self.size(), {}
        check_prompts(prompt=item.prompt, background=item.background)
        masks, notes = [], []
        for k, region in enumerate(item.regions):
            check_prompts(**{f"foreground[{k}]": region.prompt})
            mask = read_mask(region.mask)
            if mask.shape != (pixels := (height * model.factor, width * model.factor)):
                before, after = (f"{w} x {h}" for h, w in (mask.shape, pixels))
                notes.append(f"mask '{region.mask.name}' was resized from {before} to {after} pixels")
            masks.append(torch.from_numpy(resize_mask(mask, height, width).copy()))
        task = MaskedImageTask(masks)
        prompts = [item.background, *(region.prompt for region in item.regions), item.prompt]
        noise = patch_noise(
            NoiseSource(item.seed, item.id), task.count, (model.channels, height, width), self.device
        )
        with timed(seconds, "sample"):
            patches = self.lockstep(item, task, self.condition(prompts), noise)
        with timed(seconds, "decode"):
            background, *regions, image = to_uint8(model.decode(patches))
            shown = [mask_picture(mask, model.factor) for mask in masks]
        names = [f"region_{k + 1}" for k in range(len(regions))]
        pictures = {"image": image, "background": background, **dict(zip(names, regions, strict=True))}
        pictures |= {f"mask_{k + 1}": mask for k, mask in enumerate(shown)}
        overview = {"background": item.background}
        for k, region in enumerate(item.regions, start=1):
            overview |= {f"mask_{k}": f"mask {k}", f"region_{k}": region.prompt}
        return self.result(
            item,
            pictures=pictures,
            overview=overview | {"image": item.prompt},
            prompts=tuple(prompts),
            notes=tuple(notes),
            inputs={f"mask_{k + 1}": region.mask for k, region in enumerate(item.regions)},
            seconds=seconds,
        )
