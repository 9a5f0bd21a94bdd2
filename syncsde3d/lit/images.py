"""What the image tasks share: the model, the settings, the sampler, how results are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from syncsde3d.core import Denoiser, NoiseSource, Sampler, Strategy, Sync, Task
from syncsde3d.io.images import to_uint8
from syncsde3d.io.manifest import fingerprint
from syncsde3d.lit.image_items import ImageItem, ImageResult
from syncsde3d.lit.item_module import ItemModule
from syncsde3d.models.images import ImageModel, load_image_model
from syncsde3d.models.schedulers import SchedulerName, make_scheduler
from syncsde3d.models.text import Prompt

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, UInt8


@dataclass(frozen=True)
class ImageSettings:
    """How patches are sampled and tied together.

    steps, scheduler: of the sampler. guidance_scale: classifier-free, 1 turns it off. inv_lambda: strength of
    the coupling, 1/lambda.
    """

    steps: int = 20
    scheduler: SchedulerName = "dpm++"
    guidance_scale: float = 7.5
    inv_lambda: float = 5.0


Preset = Literal["default", "paper", "embedded"]
#: The paper's for pictures with Stable Diffusion.
PAPER = ImageSettings(steps=50, scheduler="ddim")


class ImageModule(ItemModule):
    """A module that makes pictures with a pretrained text-to-image model; see its children.

    Args:
        model: "embedded" (the package's own small model), a hub id, or a local folder in diffusers' layout.
        preset: settings to start from: "default", "paper" or "embedded"; None fits the model.
        strategy: how patches are coupled, see :class:`syncsde3d.core.Sync`.
        steps, scheduler, inv_lambda, guidance_scale: override the preset.
        negative_prompt: what to steer away from.
        dtype: the networks' precision. max_batch: most rows in one network call; None takes all.
        low_memory: decode one picture, and one tile of it, at a time; Stable Diffusion 3 goes without T5.
    """

    #: Settings by preset; None for all others: what fits the model.
    presets: ClassVar[dict[str, ImageSettings]] = {
        "default": ImageSettings(),
        "paper": PAPER,
        "embedded": ImageSettings(guidance_scale=3.0),
    }
    #: What "embedded" means here, as :func:`syncsde3d.models.images.load_image_model` knows it.
    embedded: ClassVar[str] = "embedded"

    def __init__(
        self,
        model: str = "embedded",
        preset: Preset | None = None,
        strategy: Strategy = "syncsde",
        steps: int | None = None,
        scheduler: SchedulerName | None = None,
        inv_lambda: float | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str = "",
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        max_batch: int | None = None,
        low_memory: bool = False,
    ) -> None:
        super().__init__()
        if preset is not None and preset not in self.presets:
            raise ValueError(f"preset: expected one of {', '.join(self.presets)}, got '{preset}'")
        start = self.presets[preset or ("embedded" if model == "embedded" else "default")]
        given = {
            "steps": steps,
            "scheduler": scheduler,
            "inv_lambda": inv_lambda,
            "guidance_scale": guidance_scale,
        }
        self.settings: ImageSettings = replace(start, **{k: v for k, v in given.items() if v is not None})
        if self.settings.steps < 1:
            raise ValueError(f"steps: expected at least 1, got {self.settings.steps}")
        if max_batch is not None and max_batch < 1:
            raise ValueError(f"max_batch: expected at least 1 row, got {max_batch}")
        self.sync = Sync(strategy, self.settings.inv_lambda)
        self.model_name, self.negative_prompt = model, negative_prompt
        self.dtype_name: Literal["float32", "float16", "bfloat16"] = dtype
        self.max_batch, self.low_memory = max_batch, low_memory
        self.model: ImageModel | None = None

    def setup(self, stage: str) -> None:
        if self.model is None:
            name = self.embedded if self.model_name == "embedded" else self.model_name
            self.model = load_image_model(name, self.dtype_name, self.device, self.max_batch, self.low_memory)
            make_scheduler(self.settings.scheduler, self.model.scheduler)

    @property
    def loaded(self) -> ImageModel:
        """The model. Raises ValueError before :meth:`setup`."""
        if self.model is None:
            raise ValueError("model: not loaded; run through a Trainer, or call setup('predict') first")
        return self.model

    def options(self) -> dict[str, Any]:
        """The task's own settings."""
        return {}

    def revisions(self) -> dict[str, str | None]:
        """Every network's id or folder, with its revision."""
        return dict(self.loaded.revisions)

    def describe(self) -> dict[str, Any]:
        """Every setting, and the models with their revisions: with an item, all that a repeat needs."""
        return {
            "model": Path(self.model_name).name,
            **asdict(self.settings),
            "strategy": self.sync.strategy,
            "negative_prompt": self.negative_prompt,
            "dtype": self.dtype_name,
            "low_memory": self.low_memory,
            **self.options(),
            "models": self.revisions(),
        }

    def key(self, item: ImageItem) -> str:
        return fingerprint(type(item).__name__, item, self.describe())

    def result(self, item: ImageItem, key: str | None = None, **parts: Any) -> ImageResult:
        """The item's result with the account of how it was made. key: of the item as it was given."""
        key = self.key(item) if key is None else key
        return ImageResult(item=item, settings=self.describe(), models=self.revisions(), key=key, **parts)

    def sampler(self, model: Any = None) -> Sampler:
        """The sampler of a model; by default of :attr:`loaded`."""
        scheduler = make_scheduler(self.settings.scheduler, (model or self.loaded).scheduler)
        return Sampler(scheduler, self.settings.steps, self.sync, max_batch=self.max_batch)

    def condition(
        self, prompts: Sequence[Prompt], guidance_scale: float | None = None, model: Any = None, **more: Any
    ) -> Denoiser:
        """The model with prompts; guidance_scale: the settings' by default."""
        model = model or self.loaded
        scale = self.settings.guidance_scale if guidance_scale is None else guidance_scale
        negatives = [self.negative_prompt] * len(prompts)
        return model.condition(prompts, negatives, guidance_scale=scale if model.guided else 1.0, **more)

    def lockstep(
        self, item: ImageItem, task: Task, denoiser: Denoiser, noise: Tensor, model: Any = None
    ) -> Tensor:
        """All patches of a task at once [count, c, h, w]."""
        source = NoiseSource(item.seed, item.id)
        with self.progress(item, self.settings.steps) as on_step:
            return self.sampler(model).lockstep(task, denoiser, noise, source, on_step)

    @contextmanager
    def progress(self, item: ImageItem, total: int) -> Iterator[Callable[..., object]]:
        """A bar of ``total`` steps, and what to call after each."""
        with tqdm(total=total, desc=item.id, unit="step", leave=False, disable=self.hides_progress) as bar:
            yield lambda *unused: bar.update()


def check_prompts(**prompts: str) -> None:
    """Raises ValueError, by its name, for a prompt without words."""
    for name, prompt in prompts.items():
        if not prompt.strip():
            raise ValueError(f"{name}: empty, expected words")


def check_pixels(**sizes: int | None) -> None:
    """Raises ValueError, by its name, for a size in pixels that is none."""
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"{name}: expected at least 1 pixel, got {size}")


def patch_noise(source: NoiseSource, count: int, shape: Sequence[int], device: torch.device) -> Tensor:
    """Unit Gaussian noise for every patch [count, ...]; later ones adopt theirs along the chain."""
    return torch.stack([source.initial(i, shape) for i in range(count)]).to(device)


def mask_picture(mask: Float[Tensor, "h w"], factor: int) -> UInt8[np.ndarray, "H W 3"]:
    """A mask of states as a picture that is ``factor`` times as large."""
    large = mask.float().repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    return to_uint8(large.expand(3, -1, -1) * 2 - 1)
