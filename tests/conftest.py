"""What every test relies on: no network, few threads, and the development data when it is there."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when huggingface_hub is imported
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import pytest
import torch

torch.set_num_threads(1)  # the tensors are small: more threads only wait for each other


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development data beside the checkout; a test that asks for it is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the development data in ../shared/data is absent")
    return folder
