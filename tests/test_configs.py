"""Every YAML in configs/ says how to run it and builds what it names."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import pytest
import yaml

from syncsde3d.lit.lightning_cli import SyncCLI
from syncsde3d.lit.presets import PRESETS

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_first_line_is_the_command_that_runs_it(path: Path):
    first = path.read_text().splitlines()[0]
    command = "fit" if path.parent.name == "train" else "predict"
    assert first == f"# syncsde3d {command} --config {path.relative_to(ROOT).as_posix()}"


class ParseOnly(SyncCLI):
    """Checks every argument against its type but builds nothing: training modules load files when built."""

    def instantiate_classes(self) -> None:
        pass


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_builds_the_objects_it_names(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["syncsde3d"])
    train = path.parent.name == "train"
    cli = (ParseOnly if train else SyncCLI)(
        L.LightningModule,
        L.LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=None,
        run=False,
        args=["--config", str(path), "--trainer.accelerator=cpu", "--trainer.devices=1"],
    )
    named = yaml.safe_load(path.read_text())["model"]["class_path"]
    if train:
        assert cli.config["model"].class_path == named
    else:
        assert type(cli.model).__name__ == named.rsplit(".", 1)[1]


def test_the_paper_config_takes_the_paper_preset(monkeypatch: pytest.MonkeyPatch):
    settings = yaml.safe_load((ROOT / "configs/texture_paper.yaml").read_text())["model"]["init_args"]
    assert settings["preset"] == "paper"
    paper = PRESETS["paper"]
    assert (paper.steps, paper.inv_lambda, paper.guidance_scale, paper.sync_end) == (30, 5.0, 15.5, 0.8)
