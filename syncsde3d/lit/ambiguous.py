"""Ambiguous images as a LightningModule: one picture, another prompt in every view."""

from __future__ import annotations

from typing import Any, ClassVar, cast, get_args

from torch import Tensor

from syncsde3d.core import NoiseSource
from syncsde3d.core.operators import Permutation, ViewName, make_view
from syncsde3d.io.images import to_uint8
from syncsde3d.io.read_images import resize
from syncsde3d.io.view_film import see, view_film
from syncsde3d.lit.image_items import AmbiguousItem, ImageResult
from syncsde3d.lit.images import ImageModule, ImageSettings, check_prompts
from syncsde3d.lit.item_module import timed
from syncsde3d.models.deepfloyd import DEEPFLOYD, PixelDiffusion
from syncsde3d.models.upscaler import UPSCALER, Upscaler
from syncsde3d.tasks.ambiguous_image import AmbiguousImageTask

#: The least pixels along a side of the film.
_FILM = 256


class AmbiguousImage(ImageModule):
    """Makes pictures that show something else when they are turned, mirrored or taken apart.

    Use with ``trainer.predict`` over a :class:`~syncsde3d.PromptDataModule`, writing by an
    :class:`~syncsde3d.ImageWriter`. Nothing is trained. Made for models in pixels: the latents of a turned
    picture are not the turned latents, so that latent models leave traces.

    Args:
        second: hub id or folder of a pixel model that enlarges the pictures of ``model``, synchronised too.
        upscaler: hub id or folder of Stable Diffusion's upscaler, for the finished picture. With the model
            "deepfloyd" all three are those of the hub: 64, 256, 1024 pixels.
        noise_level: to which the second stage sees its small pictures noised.
        degrees: by which "inner_circle" turns, counter-clockwise. pieces: along a side, of "patches" and
            "jigsaw", which are dealt by the item's seed.
        options: of every image task, see :class:`~syncsde3d.lit.images.ImageModule`.

    A bad item (an empty prompt, an unknown view) comes back as :class:`~syncsde3d.lit.items.Failed` and the
    run goes on; a model that cannot be loaded ends it with a ValueError.
    """

    presets: ClassVar[dict[str, ImageSettings]] = {
        "default": ImageSettings(guidance_scale=10.0),
        "paper": ImageSettings(steps=30, scheduler="ddim", guidance_scale=10.0),
        "embedded": ImageSettings(guidance_scale=2.5),
    }
    embedded: ClassVar[str] = "embedded-pixel"

    def __init__(
        self,
        second: str | None = None,
        upscaler: str | None = None,
        noise_level: int = 50,
        degrees: float = 45.0,
        pieces: int = 4,
        **options: Any,
    ) -> None:
        if options.get("model") == "deepfloyd":
            options["model"], second, upscaler = DEEPFLOYD[0], second or DEEPFLOYD[1], upscaler or UPSCALER
        super().__init__(**options)
        if pieces < 2:
            raise ValueError(f"pieces: expected at least 2 along a side, got {pieces}")
        self.second_name, self.upscaler_name, self.noise_level = second, upscaler, noise_level
        self.degrees, self.pieces = degrees, pieces
        self.second: PixelDiffusion | None = None
        self.upscaler: Upscaler | None = None

    def setup(self, stage: str) -> None:
        super().setup(stage)
        first = self.loaded
        if self.second_name is not None and self.second is None:
            if not isinstance(first, PixelDiffusion):
                raise ValueError("second: expected a model in pixels before it, got one in latents")
            self.second = PixelDiffusion.from_pretrained(
                self.second_name, self.dtype_name, self.device, text=first.text
            )
            if not self.second.enlarges:
                raise ValueError(
                    f"second: '{self.second_name}' takes no pictures, expected one such as {DEEPFLOYD[1]}"
                )
        if self.upscaler_name is not None and self.upscaler is None:
            self.upscaler = Upscaler.from_pretrained(
                self.upscaler_name, self.dtype_name, self.device, self.low_memory, self.max_batch
            )

    def options(self) -> dict[str, Any]:
        return {"noise_level": self.noise_level, "degrees": self.degrees, "pieces": self.pieces}

    def revisions(self) -> dict[str, str | None]:
        parts = [part for part in (self.loaded, self.second, self.upscaler) if part is not None]
        return {name: revision for part in parts for name, revision in part.revisions.items()}

    def make(self, item: AmbiguousItem) -> ImageResult:
        """One ambiguous image. Raises ValueError for an item that cannot be done."""
        names, seconds = view_names(item), {}
        for i, prompt in enumerate(item.prompts):
            check_prompts(**{f"prompts[{i}]": prompt})
        model, source = self.loaded, NoiseSource(item.seed, item.id)
        task = self._task(item, names, model.size)
        noise = task.show(source.initial(0, (model.channels, model.size, model.size)).to(self.device))
        with timed(seconds, "sample"):
            patches = self.lockstep(item, task, self.condition(item.prompts), noise)
        if self.second is not None:
            with timed(seconds, "enlarge"):
                task, patches = self._enlarge(item, names, patches, self.second)
        with timed(seconds, "decode"):
            decode = model.decode if self.second is None else self.second.decode
            picture = decode(task.assemble(patches)[None])
            if self.upscaler is not None:
                picture = self._upscale(item, picture, self.upscaler)
            image = to_uint8(picture[0])
        views = self._views(item, names, len(image))
        shown = {f"view_{i}": see(view, image) for i, view in enumerate(views[1:], start=1)}
        large = image if len(image) >= _FILM else resize(image, _FILM, _FILM)
        moves = zip(names[1:], self._views(item, names, len(large))[1:], strict=True)
        labels = [f"{p} ({name.replace('_', ' ')})" for p, name in zip(item.prompts, names, strict=True)]
        return self.result(
            item,
            pictures={"image": image, **shown},
            overview={"image": item.prompts[0], **dict(zip(shown, labels[1:], strict=True))},
            film=tuple(view_film(large, list(moves), degrees=self.degrees)),
            prompts=item.prompts,
            seconds=seconds,
        )

    def _views(self, item: AmbiguousItem, names: list[ViewName], size: int) -> list[Permutation]:
        return [make_view(name, size, self.degrees, self.pieces, item.seed) for name in names]

    def _task(self, item: AmbiguousItem, names: list[ViewName], size: int) -> AmbiguousImageTask:
        return AmbiguousImageTask(self._views(item, names, size))

    def _enlarge(
        self, item: AmbiguousItem, names: list[ViewName], small: Tensor, stage: PixelDiffusion
    ) -> tuple[AmbiguousImageTask, Tensor]:
        """The patches at the second stage's size, synchronised, each made from its own small picture."""
        task, source = self._task(item, names, stage.size), NoiseSource(item.seed, f"{item.id}/second")
        shape = (stage.channels, stage.size, stage.size)
        noise, hiding = (task.show(source.initial(k, shape).to(self.device)) for k in ("begin", "hide"))
        denoiser = self.condition(
            item.prompts, model=stage, pictures=small, noise=hiding, noise_level=self.noise_level
        )
        return task, self.lockstep(item, task, denoiser, noise, stage)

    def _upscale(self, item: AmbiguousItem, picture: Tensor, stage: Upscaler) -> Tensor:
        """The finished picture [1, 3, h, w], enlarged for its first prompt."""
        size, source = picture.shape[-1], NoiseSource(item.seed, f"{item.id}/upscaler")
        alone = AmbiguousImageTask([make_view("identity", size)])
        begin = source.initial("begin", (1, stage.channels, size, size)).to(self.device)
        hide = source.initial("hide", picture.shape).to(self.device)
        denoiser = self.condition(item.prompts[:1], 9.0, stage, pictures=picture.clamp(-1, 1), noise=hide)
        return stage.decode(self.lockstep(item, alone, denoiser, begin, stage))


def view_names(item: AmbiguousItem) -> list[ViewName]:
    """The view of every prompt, the first the identity; "rotate180" and "rotate-90" are understood too.

    Raises ValueError for fewer than two prompts, another number of views, or an unknown one.
    """
    if len(item.prompts) < 2:
        raise ValueError(f"prompts: expected at least two, got {len(item.prompts)}")
    known = {name.replace("_", ""): name for name in get_args(ViewName)}
    known |= {"rotate-90": "rotate_270", "patch": "patches", "flip": "flip_vertical"}
    names = []
    for view in item.views:
        name = known.get(view.lower().replace("_", "").replace(" ", ""))
        if name is None:
            raise ValueError(f"view: expected one of {', '.join(get_args(ViewName))}, got {view!r}")
        names.append(cast(ViewName, name))
    if len(names) == len(item.prompts) - 1:
        names = ["identity", *names]
    if len(names) != len(item.prompts) or names[0] != "identity":
        raise ValueError(
            f"views: expected one for each of the {len(item.prompts) - 1} prompts after the first, got "
            f"{len(item.views)}"
        )
    return names
