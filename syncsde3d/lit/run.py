"""One predict run: the trainer, the summary, the exit code."""

from __future__ import annotations

import sys

import lightning as L
import torch

from syncsde3d.lit.datamodules import ItemDataModule
from syncsde3d.lit.writers import ResultWriter


def predict(
    module: L.LightningModule, data: ItemDataModule, writer: ResultWriter, devices: str | int = "auto"
) -> int:
    """Run a data set through a module and its writer; returns the exit code.

    devices: how many, or "auto" for every accelerator found (one process on a CPU); no more than items.
    """
    data.setup("predict")
    trainer = L.Trainer(
        accelerator="auto",
        devices=_devices(devices, len(data.items)),
        logger=False,
        callbacks=[writer],
        enable_model_summary=False,
    )
    trainer.predict(module, datamodule=data, return_predictions=False)
    return report(writer) if trainer.is_global_zero else 0


def report(writer: ResultWriter) -> int:
    """Say where the results are and what failed; 0 only if nothing did."""
    for item_id, folder in writer.written.items():
        print(f"{item_id}: {folder}")
        for note in writer.notes.get(item_id, ()):
            print(f"  {note}")
    for item_id, folder in writer.skipped.items():
        print(f"{item_id}: {folder} (already finished; --overwrite redoes it)")
    for item_id, reason in writer.failed.items():
        print(f"{item_id}: failed: {reason}", file=sys.stderr)
    if writer.failed:
        total = len(writer.written) + len(writer.skipped) + len(writer.failed)
        print(f"syncsde3d: {len(writer.failed)} of {total} items failed", file=sys.stderr)
    return 1 if writer.failed else 0


def _devices(devices: str | int, items: int) -> str | int:
    if devices == "auto":
        return items if torch.cuda.device_count() > items else "auto"
    if not str(devices).isdigit() or int(devices) < 1:
        raise ValueError(f"devices: expected a number of devices or 'auto', got '{devices}'")
    return min(int(devices), items)
