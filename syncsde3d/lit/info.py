"""What this installation has: versions, devices, rasterizers, models."""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import syncsde3d

_PACKAGES = ("torch", "lightning", "diffusers", "transformers", "trimesh", "xatlas", "pytorch3d")


def describe() -> dict[str, str]:
    """Name to value, in the order to print."""
    found = {"syncsde3d": syncsde3d.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["devices"] = ", ".join(_devices())
    has_pytorch3d = importlib.util.find_spec("pytorch3d") is not None
    found["rasterizers"] = "torch, pytorch3d" if has_pytorch3d else "torch"
    found["models in the package"] = ", ".join(_models())
    found["models in the hub cache"] = ", ".join(_cached()) or "none"
    return found


def _devices() -> list[str]:
    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    if torch.cuda.is_available():
        devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def _models() -> list[str]:
    from syncsde3d.models.embedded import embedded_folder

    names = ["closed-form"]
    try:
        embedded_folder("latent")
    except (ValueError, OSError):
        return names
    return ["embedded", *names]


def _cached() -> list[str]:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    return sorted(p.name.removeprefix("models--").replace("--", "/") for p in folder.glob("models--*"))
