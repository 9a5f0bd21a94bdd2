"""``syncsde3d predict`` and ``syncsde3d fit``: LightningCLI, configured by YAML."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import lightning as L
from lightning.pytorch.cli import LightningCLI

from syncsde3d.lit.items import ITEM_ERRORS, one_line
from syncsde3d.lit.run import report
from syncsde3d.lit.writers import ResultWriter


class SyncCLI(LightningCLI):
    """LightningCLI with the two subcommands that make sense here."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {
            "predict": {"model", "dataloaders", "datamodule"},
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"},
        }


def run(arguments: Sequence[str]) -> int:
    """One LightningCLI run; returns the exit code."""
    try:
        cli = SyncCLI(
            L.LightningModule,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=False,
            trainer_defaults={"logger": False} if arguments[0] == "predict" else {},
            args=list(arguments),
        )
    except ITEM_ERRORS as error:
        print(f"syncsde3d {arguments[0]}: {one_line(error)}", file=sys.stderr)  # noqa: T201
        return 2
    callbacks = getattr(cli.trainer, "callbacks", [])
    writers = [c for c in callbacks if isinstance(c, ResultWriter) and cli.trainer.is_global_zero]
    return max((report(writer) for writer in writers), default=0)
