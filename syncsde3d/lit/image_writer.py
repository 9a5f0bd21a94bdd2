"""Pictures to files: one folder per item, whole or not at all."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from PIL import Image, ImageOps

from syncsde3d.io.images import contact_sheet, write_png
from syncsde3d.io.long_png import write_long_png
from syncsde3d.io.manifest import Manifest, write_manifest
from syncsde3d.io.trajectory import save_trajectories
from syncsde3d.io.video import write_gif, write_video
from syncsde3d.lit.image_items import ImageResult
from syncsde3d.lit.wide_extend import LATENTS, TRAJECTORY
from syncsde3d.lit.writers import ResultWriter

#: Frames per second of a film.
FPS = 24


class ImageWriter(ResultWriter):
    """Writes ``image.png`` per item, and what else there is of it: the other pictures as ``<name>.png`` and
    side by side in ``overview.png``; a film of the change between views as ``views.mp4`` and ``views.gif``;
    ``latents.npy`` and ``trajectory.safetensors``, from which a wide image can be extended; the ``tiles`` of
    a streamed one, which appear in ``<id>.unfinished`` while it is made and go with it if it fails; and
    ``manifest.json``.

    output_dir, overwrite: see :class:`~syncsde3d.lit.writers.ResultWriter`.
    """

    def __init__(self, output_dir: str = "renders/images", overwrite: bool = False) -> None:
        super().__init__(output_dir, overwrite)
        self._unfinished: list[Path] = []

    def unfinished(self, item: Any) -> Path:
        """An empty folder for what there is of an item so far; gone when the item is done, or the run is.

        Only a killed process leaves it behind, for the next run to empty.
        """
        folder = self.output_dir / f"{item.id}.unfinished"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._unfinished.append(folder)
        return folder

    def on_predict_batch_end(self, *arguments: Any, **more: Any) -> None:
        super().on_predict_batch_end(*arguments, **more)
        self._clear()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        super().on_exception(trainer, pl_module, exception)
        self._clear()

    def _clear(self) -> None:
        for folder in self._unfinished:
            shutil.rmtree(folder, ignore_errors=True)
        self._unfinished.clear()

    def write(self, folder: Path, result: ImageResult) -> None:
        start = time.perf_counter()
        for name, picture in result.pictures.items():
            save = write_long_png if isinstance(picture, np.memmap) else write_png
            save(folder / f"{name}.png", picture)
        if result.overview:
            write_png(folder / "overview.png", overview(result))
        if result.film:
            write_video(folder / "views.mp4", result.film, FPS)
            write_gif(folder / "views.gif", result.film[::2], FPS / 2)
        if result.trajectory is not None and result.latents is not None:
            save_trajectories(folder / TRAJECTORY, [result.trajectory])
            np.save(folder / LATENTS, result.latents)
        if result.tiles is not None:
            shutil.move(result.tiles, folder / "tiles")
        figures = {name: round(value, 5) for name, value in result.figures.items()}
        said = [f"{name.replace('_', ' ')}: {value:.4f}" for name, value in figures.items()]
        self.notes[result.item.id] = [*said, *result.notes]
        manifest = Manifest(
            fingerprint=result.key,
            inputs=result.inputs,
            prompt=result.prompts,
            seed=result.item.seed,
            models=result.models,
            settings={**result.settings, "figures": figures},
            timings={**result.seconds, "write": round(time.perf_counter() - start, 3)},
            notes=result.notes,
        )
        write_manifest(folder, manifest, sorted(path for path in folder.rglob("*") if path.is_file()))


def overview(result: ImageResult, most: int = 512) -> np.ndarray:
    """The result's pictures side by side, at most ``most`` pixels wide and high each, with their labels."""
    pictures = [result.pictures[name] for name in result.overview]
    size = (min(most, max(p.shape[1] for p in pictures)), min(most, max(p.shape[0] for p in pictures)))
    small = [np.asarray(ImageOps.pad(Image.fromarray(p), size, color=(255, 255, 255))) for p in pictures]
    return contact_sheet(small, len(small), list(result.overview.values()))
