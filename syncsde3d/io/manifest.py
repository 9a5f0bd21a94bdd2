"""``manifest.json``: what made a folder of results, so that a run can be repeated, checked and resumed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from syncsde3d.io.output import writing

NAME = "manifest.json"
_FORMAT = 1
_PACKAGES = "syncsde3d torch lightning diffusers transformers safetensors numpy scipy trimesh xatlas pillow"


@dataclass(frozen=True)
class FileRecord:
    """A file as it was written. path: relative to the manifest's folder, with forward slashes."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """One item's account.

    fingerprint: :func:`fingerprint` of all that decides the result; resuming compares nothing else.
    inputs: by name; a Path to a file is recorded with its size and hash. prompt: one, or one per segment.
    models: hub id or folder of every network, with its revision (None where there is none).
    settings: every option. timings: seconds by stage. error: the reason where status is "failed".
    notes: what the user should know, such as repairs of the input.
    outputs, versions: filled in by :func:`write_manifest`.
    """

    fingerprint: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | tuple[str, ...] = ""
    seed: int = 0
    models: Mapping[str, str | None] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    status: Literal["complete", "failed"] = "complete"
    error: str = ""
    notes: tuple[str, ...] = ()
    outputs: tuple[FileRecord, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def fingerprint(*parts: Any) -> str:
    """The SHA-256 of everything that decides a result: dataclasses, mappings, sequences and plain values.

    The order of a mapping's keys does not count. Functions count by their name. A Path to a file counts by
    the file's contents: an edited input is another input, a moved one is not.

    Raises:
        ValueError: a part that has no stable text, naming where it is.
    """
    plain = [_plain(part, f"parts[{i}]", lambda path: hash_file(path)[1]) for i, part in enumerate(parts)]
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(
    folder: str | os.PathLike[str], manifest: Manifest, outputs: Iterable[str | os.PathLike[str]] = ()
) -> Manifest:
    """Write ``folder/manifest.json`` last of all, hashing ``outputs``, which must lie in ``folder``.

    Returns the manifest as written, with outputs and versions filled in.

    Raises:
        ValueError: an output outside the folder or missing, or a setting that JSON cannot hold.
        OSError: the manifest cannot be written.
    """
    folder = Path(folder)
    records = tuple(_record(folder, Path(path)) for path in outputs)
    manifest = replace(manifest, outputs=records, versions=versions())
    plain = {f.name: _plain(getattr(manifest, f.name), f.name, _describe) for f in fields(manifest)}
    text = json.dumps({"format": _FORMAT, **plain}, indent=2, ensure_ascii=False, allow_nan=False)
    with writing(folder / NAME) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of ``folder``, as plain values.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: it is damaged, or of another format.
    """
    path = Path(folder) / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != _FORMAT:
            raise ValueError("another format")
        records = tuple(FileRecord(**record) for record in data.pop("outputs"))
        lists: dict[str, Any] = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
        return Manifest(outputs=records, **{**data, **lists})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"'{path}' is not a manifest of format {_FORMAT}: {error}") from error


def is_complete(folder: str | os.PathLike[str], fingerprint: str) -> bool:
    """Whether ``folder`` holds the finished result of ``fingerprint``, every output as it was written."""
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
        intact = all((r.bytes, r.sha256) == hash_file(folder / r.path) for r in manifest.outputs)
    except (OSError, ValueError):
        return False
    return intact and manifest.status == "complete" and manifest.fingerprint == fingerprint


def versions() -> dict[str, str]:
    """Python's and the packages' versions, those that are installed; imports none of them."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES.split():
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hash_file(path: str | os.PathLike[str]) -> tuple[int, str]:
    """A file's size in bytes and its SHA-256, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def _record(folder: Path, path: Path) -> FileRecord:
    path = path if path.is_absolute() or path.is_relative_to(folder) else folder / path
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"outputs: '{path}' is not a file in '{folder}'")
    relative = path.resolve().relative_to(folder.resolve()).as_posix()
    return FileRecord(relative, *hash_file(path))


def _describe(path: Path) -> dict[str, Any]:
    return asdict(FileRecord(path.as_posix(), *hash_file(path)))


def _plain(value: Any, where: str, file: Callable[[Path], Any]) -> Any:
    """``value`` in JSON's types; ``file`` says how a Path to a file is written."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, np.integer | np.bool_):
        return value.item()
    if isinstance(value, Path):
        return file(value) if value.is_file() else value.as_posix()
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), f"{where}.{f.name}", file) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}[{key!r}]", file) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]", file) for i, item in enumerate(value)]
    if callable(value) and "<" not in getattr(value, "__qualname__", "<"):
        return f"{value.__module__}.{value.__qualname__}"
    raise ValueError(f"{where}: a {type(value).__name__} has no stable text, expected plain values")
