"""The mathematics can be used alone: importing it costs no framework."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"lightning", "pytorch_lightning", "diffusers", "transformers", "trimesh", "xatlas", "torchmetrics"}


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after ``statement``."""
    report = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    run = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(json.loads(run.stdout))


def test_core_loads_torch_and_no_framework():
    loaded = loaded_by("import syncsde3d.core, syncsde3d.core.protocols")
    assert "torch" in loaded
    assert loaded & HEAVY == set()


def test_the_package_itself_loads_no_framework():
    assert loaded_by("import syncsde3d") & HEAVY == set()


def test_a_loaded_framework_would_be_seen():
    assert "trimesh" in loaded_by("import trimesh")
