"""Predictions to files: one folder per item, whole or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import BasePredictionWriter

from syncsde3d.io.atomic import atomic_folder
from syncsde3d.io.gltf import write_glb
from syncsde3d.io.images import contact_sheet, to_uint8, write_png
from syncsde3d.io.manifest import NAME, Manifest, fingerprint, is_complete, write_manifest
from syncsde3d.io.obj import write_obj
from syncsde3d.io.video import write_gif, write_video
from syncsde3d.lit.items import Failed, Skipped, TexturedMesh, one_line
from syncsde3d.mesh.cameras import turntable
from syncsde3d.mesh.shade import render_textured


class ResultWriter(BasePredictionWriter):
    """Writes each result as soon as it is there and remembers what became of every item.

    output_dir: where the items' folders go; made if missing. overwrite: redo items whose folder already
    holds the result of the same settings. written, skipped, failed: item id to folder or reason. notes: item
    id to what was measured and what the user should know.
    """

    def __init__(self, output_dir: str, overwrite: bool = False) -> None:
        super().__init__(write_interval="batch")
        self.output_dir, self.overwrite = Path(output_dir), overwrite
        self.written: dict[str, Path] = {}
        self.skipped: dict[str, Path] = {}
        self.failed: dict[str, str] = {}
        self.notes: dict[str, list[str]] = {}

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Say what an interrupted run leaves; Lightning then exits."""
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            print(f"syncsde3d: interrupted; {len(self.written)} finished items are kept", file=sys.stderr)  # noqa: T201

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        try:
            self.output_dir.mkdir(parents=True, exist_ok=True)
            probe = self.output_dir / f".writable-{trainer.global_rank}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(f"output_dir: cannot write to '{self.output_dir}': {error.strerror}") from None

    def is_done(self, item: Any, key: str) -> bool:
        """Whether the item's folder holds the complete result of the settings behind ``key``.

        Raises ValueError for a folder that must not be replaced: it holds other things than a result, or the
        result that the item continues.
        """
        folder, extends = self.output_dir / item.id, getattr(item, "extends", None)
        if folder.is_dir() and any(folder.iterdir()) and not (folder / NAME).is_file():
            raise ValueError(
                f"output_dir: '{folder}' holds other files than a result, which would be lost; choose another"
            )
        if extends is not None and folder.resolve() == extends.resolve():
            raise ValueError(f"output_dir: '{folder}' is what is to be continued; choose another")
        return not self.overwrite and is_complete(folder, key)

    def write_on_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        for result in prediction:
            folder = self.output_dir / result.item.id
            if isinstance(result, Failed):
                self.failed[result.item.id] = result.reason
            elif isinstance(result, Skipped):
                self.skipped[result.item.id] = folder
            else:
                try:
                    with atomic_folder(folder) as temporary:
                        self.write(temporary, result)
                except (OSError, ValueError) as error:
                    self.failed[result.item.id] = f"cannot write '{folder}': {one_line(error)}"
                else:
                    self.written[result.item.id] = folder

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.world_size == 1:
            return
        gathered: list[Any] = [None] * trainer.world_size
        mine = (self.written, self.skipped, self.failed, self.notes)
        torch.distributed.all_gather_object(gathered, mine)
        for theirs in gathered:
            for known, more in zip(mine, theirs, strict=True):
                known.update(more)

    def write(self, folder: Path, result: Any) -> None:
        """Write one result into an empty folder, the manifest last."""
        raise NotImplementedError


class TexturedMeshWriter(ResultWriter):
    """Writes ``textured.glb``, ``textured.obj`` (``.mtl``, ``texture.png``), ``turntable.mp4`` and ``.gif``,
    ``views.png`` (the views above what they were conditioned on) and ``manifest.json`` per item.

    output_dir, overwrite: see :class:`ResultWriter`. turntable_frames: of the video, once around, at 24 per
    second. turntable_size: its height and width in pixels.
    """

    def __init__(
        self,
        output_dir: str = "renders/texture",
        overwrite: bool = False,
        turntable_frames: int = 72,
        turntable_size: int = 512,
    ) -> None:
        super().__init__(output_dir, overwrite)
        if turntable_frames < 1 or turntable_size < 16:
            raise ValueError(
                "turntable_frames, turntable_size: expected at least 1 frame of 16 pixels, got "
                f"{turntable_frames} of {turntable_size}"
            )
        self.turntable_frames, self.turntable_size = turntable_frames, turntable_size

    def write(self, folder: Path, result: TexturedMesh) -> None:
        start = time.perf_counter()
        texture = to_uint8(result.texture * 2 - 1)
        write_glb(folder / "textured.glb", result.mesh, texture)
        write_obj(folder, result.mesh, texture)
        cameras = turntable(self.turntable_frames, distance=2.3)
        size = (self.turntable_size, self.turntable_size)
        frames = [
            to_uint8(render_textured(result.mesh, result.texture, cameras[i : i + 1], size)[0] * 2 - 1)
            for i in range(self.turntable_frames)
        ]
        write_video(folder / "turntable.mp4", frames, fps=24)
        write_gif(folder / "turntable.gif", [frame[::2, ::2] for frame in frames[::2]], fps=12)
        pictures = [to_uint8(image * 2 - 1) for image in (*result.views, *result.control)]
        write_png(folder / "views.png", contact_sheet(pictures, columns=len(result.views)))
        manifest = Manifest(
            fingerprint=fingerprint(result.item, result.settings),
            inputs={"mesh": result.item.mesh},
            prompt=result.item.prompt,
            seed=result.item.seed,
            models=result.models,
            settings={**result.settings, "coverage": round(result.coverage, 4)},
            timings={**result.seconds, "write": round(time.perf_counter() - start, 3)},
            notes=result.mesh.notes,
        )
        write_manifest(folder, manifest, sorted(folder.iterdir()))
