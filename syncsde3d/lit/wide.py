"""Wide images as a LightningModule: prompts to windows, sampled as one chain, decoded without seams."""

from __future__ import annotations

from typing import Any

from syncsde3d.io.manifest import fingerprint
from syncsde3d.lit.image_items import ImageItem, ImageResult, WideItem
from syncsde3d.lit.images import ImageModule, check_pixels
from syncsde3d.lit.item_module import timed
from syncsde3d.lit.wide_extend import TRAJECTORY, Earlier, begin_from_picture, load_earlier
from syncsde3d.lit.wide_run import CHAINS, Canvas, WideRun, window_prompts
from syncsde3d.models.strips import SharedConditions
from syncsde3d.models.text import Prompt
from syncsde3d.tasks.wide_image import WideImageTask


class WideImage(ImageModule):
    """Makes images of any width and height from prompts, window by window, with a text-to-image model.

    Use with ``trainer.predict`` over a :class:`~syncsde3d.PromptDataModule`, writing by an
    :class:`~syncsde3d.ImageWriter`. Nothing is trained.

    Args:
        width, height: pixels; four windows wide and one high by default. More than a window high makes a
            grid of windows.
        window: pixels along a side of a window; None takes what the model was trained on.
        stride: pixels between windows, in whole latents; a quarter of the window by default.
        wrap: a panorama of 360 degrees: its right border continues at its left.
        blend: latents over which a window fades in over the one before, and over which (up to half a stride)
            its tie to that one loosens where the overlap ends; None: 12, with the paper's preset 0.
        stream: one window after the other in memory that does not grow with the width; same latents.
        options: of every image task, see :class:`~syncsde3d.lit.images.ImageModule`.

    A bad item comes back as :class:`~syncsde3d.lit.items.Failed` and the run goes on; sizes that do not fit
    the model, or a model that cannot be loaded, end it with a ValueError.
    """

    def __init__(
        self,
        width: int | None = None,
        height: int | None = None,
        window: int | None = None,
        stride: int | None = None,
        wrap: bool = False,
        blend: int | None = None,
        stream: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_pixels(width=width, height=height, window=window, stride=stride)
        if blend is None:
            blend = 0 if options.get("preset") == "paper" else 12
        if blend < 0:
            raise ValueError(f"blend: expected at least 0 latents, got {blend}")
        if stream and self.sync.strategy not in CHAINS:
            raise ValueError(
                f"stream: expected the strategy {' or '.join(CHAINS)}, got {self.sync.strategy!r}"
            )
        self.width, self.height, self.window, self.stride = width, height, window, stride
        self.wrap, self.blend, self.stream = wrap, blend, stream

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.canvas()

    def canvas(self) -> Canvas:
        """The picture's measures with the model at hand. Raises ValueError for those that do not fit."""
        model = self.loaded
        factor = model.factor
        window = self.window or model.size * factor
        stride = window // 4 if self.stride is None else self.stride
        size = (self.height or window, self.width or 4 * window)
        for name, length in zip(("height", "width"), size, strict=True):
            if length < window:
                raise ValueError(f"{name}: expected at least the window's {window} pixels, got {length}")
        if stride >= window:
            raise ValueError(
                f"stride: expected less than the window's {window} pixels (the rest overlaps), got {stride}"
            )
        if window % factor or (self.wrap and size[1] % factor):
            name, length = ("window", window) if window % factor else ("width", size[1])
            raise ValueError(f"{name}: expected a multiple of the model's {factor} pixels, got {length}")
        height, width = (-(-length // factor) for length in size)
        return Canvas(height, width, window // factor, max(stride // factor, 1), size)

    def options(self) -> dict[str, Any]:
        canvas, factor = self.canvas(), self.loaded.factor
        return {
            "width": canvas.pixels[1],
            "height": canvas.pixels[0],
            "window": canvas.window * factor,
            "stride": canvas.stride * factor,
            "wrap": self.wrap,
            "blend": self.blend,
            "stream": self.stream,
        }

    def key(self, item: ImageItem) -> str:
        earlier = item.extends / TRAJECTORY if isinstance(item, WideItem) and item.extends else None
        return fingerprint(super().key(item), earlier)

    def make(self, item: WideItem) -> ImageResult:
        """One wide image. Raises ValueError or OSError for an item that cannot be done."""
        canvas, seconds = self.canvas(), {}
        measures = canvas.height, canvas.width, canvas.window, canvas.stride
        task = WideImageTask(*measures, self.wrap, min(self.blend, canvas.stride // 2))
        prompts, rows = window_prompts(item, task)
        denoiser = SharedConditions(self.condition(prompts), rows.__getitem__)
        with timed(seconds, "invert"):
            earlier = self._earlier(item, task, prompts[0])
        run = WideRun(self, self.blend, item, task, canvas, denoiser, earlier)
        with timed(seconds, "sample"):
            latents, picture, tiles = run.streamed() if self.stream else run.whole()
        inputs = {"start_from": item.start_from, "extends": item.extends and item.extends / TRAJECTORY}
        return self.result(
            item,
            pictures={"image": picture},
            prompts=tuple(text for _, text in item.places) or (item.prompt,),
            notes=earlier.notes if earlier else (),
            trajectory=run.last,
            latents=latents,
            tiles=tiles,
            inputs={name: path for name, path in inputs.items() if path},
            seconds=seconds,
        )

    def _earlier(self, item: WideItem, task: WideImageTask, prompt: Prompt) -> Earlier | None:
        if item.extends is None and item.start_from is None:
            return None
        name = "start_from" if item.extends is None else "extend"
        if self.sync.strategy not in CHAINS:
            raise ValueError(f"{name}: expected the strategy {' or '.join(CHAINS)}, got {self.sync.strategy}")
        if task.rows > 1 or self.wrap:
            raise ValueError(f"{name}: expected one row of windows that is no circle")
        if item.extends is not None:
            return load_earlier(item.extends, self.describe(), task)
        assert item.start_from is not None
        denoiser = self.condition([prompt], guidance_scale=1.0)
        return begin_from_picture(item.start_from, task, self.loaded, self.sampler(), denoiser, self.device)
