"""The names that others rely on are there, are documented, and are all."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import syncsde3d

MODULES = {"AmbiguousImage", "ImageEditing", "LongMotion", "MaskedImage", "MeshTexturing", "WideImage"}
DATA = {"MeshDataModule", "MotionScriptDataModule", "PromptDataModule"}
WRITERS = {"ImageWriter", "MotionWriter", "TexturedMeshWriter"}


def test_the_documented_names_are_public():
    assert set(getattr(syncsde3d, "__all__", ())) >= MODULES | DATA | WRITERS


def test_public_names_exist_are_listed_and_documented():
    for name in getattr(syncsde3d, "__all__", ()):
        assert name in dir(syncsde3d)
        thing = getattr(syncsde3d, name)
        assert not callable(thing) or inspect.getdoc(thing), f"{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="MeshTexturin"):
        _ = syncsde3d.MeshTexturin  # pyright: ignore[reportAttributeAccessIssue]


def test_public_classes_are_what_lightning_expects():
    lightning = importlib.import_module("lightning")
    callbacks = importlib.import_module("lightning.pytorch.callbacks")
    for names, base in (
        (MODULES, lightning.LightningModule),
        (DATA, lightning.LightningDataModule),
        (WRITERS, callbacks.BasePredictionWriter),
    ):
        for name in names:
            assert issubclass(getattr(syncsde3d, name), base), name


def test_every_module_can_be_imported_and_says_what_it_is():
    for info in pkgutil.walk_packages(syncsde3d.__path__, "syncsde3d."):
        if info.name.endswith("__main__") or ".app" in info.name:
            continue  # runs when imported; needs the app extra
        module = importlib.import_module(info.name)
        assert module.__doc__ or _is_empty(module), f"{info.name} has no docstring"


def _is_empty(module: ModuleType) -> bool:
    return Path(str(module.__file__)).read_text("utf-8").strip() == ""
