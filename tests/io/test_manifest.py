"""Manifests: what they record is true, and resuming trusts nothing that has changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from syncsde3d.io.manifest import Manifest, fingerprint, is_complete, read_manifest, write_manifest


@dataclass(frozen=True)
class Settings:
    mesh: Path
    steps: int = 20
    views: tuple[float, ...] = (0.0, 45.0)


def ramp(t: float) -> float:
    return t


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A folder with a finished result of fingerprint "abc"."""
    (tmp_path / "views").mkdir()
    (tmp_path / "a.bin").write_bytes(b"first")
    (tmp_path / "views" / "b.bin").write_bytes(b"second")
    write_manifest(tmp_path, Manifest("abc"), [tmp_path / "a.bin", "views/b.bin"])
    return tmp_path


def test_a_manifest_reads_back_as_it_was(tmp_path: Path):
    mesh = tmp_path / "mesh.obj"
    mesh.write_bytes(b"v 0 0 0\n")
    (tmp_path / "out.png").write_bytes(b"12345")
    sent = Manifest(
        fingerprint="abc",
        inputs={"mesh": mesh},
        prompt=("a red boot", "ein roter Schuh, größer"),
        seed=7,
        models={"embedded": None, "org/name": "1f2e3d"},
        settings={
            "inv_lambda": 2.0,
            "dtype": torch.float16,
            "ramp": ramp,
            "views": ((0, 0.5),),
            "n": np.int64(3),
        },
        timings={"sample": 1.5},
        notes=("12 faces dropped",),
    )
    written = write_manifest(tmp_path, sent, [tmp_path / "out.png"])
    read = read_manifest(tmp_path)
    assert read.outputs == written.outputs
    assert read.inputs["mesh"]["sha256"] == hashlib.sha256(b"v 0 0 0\n").hexdigest()
    assert read.settings["dtype"] == "torch.float16"
    assert read.settings["ramp"].endswith("test_manifest.ramp")
    assert read.settings["views"] == [[0, 0.5]]
    same = ("fingerprint", "prompt", "seed", "models", "timings", "status", "error", "notes", "versions")
    assert {k: getattr(read, k) for k in same} == {k: getattr(written, k) for k in same}
    assert torch.__version__.startswith(read.versions["torch"])
    record = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["outputs"]
    assert record == [{"path": "out.png", "bytes": 5, "sha256": hashlib.sha256(b"12345").hexdigest()}]


def test_complete_means_these_settings_and_these_bytes(done: Path):
    assert is_complete(done, "abc")
    assert not is_complete(done, "abd")
    assert not is_complete(done / "views", "abc")


@pytest.mark.parametrize("change", [lambda p: p.write_bytes(b"secone"), lambda p: p.unlink()])
def test_a_changed_output_is_not_complete(done: Path, change):
    change(done / "views" / "b.bin")
    assert not is_complete(done, "abc")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', '{"format": 99, "outputs": []}'])
def test_a_damaged_manifest_is_named_and_not_complete(done: Path, text: str):
    (done / "manifest.json").write_text(text)
    assert not is_complete(done, "abc")
    with pytest.raises(ValueError, match=r"manifest\.json' is not a manifest"):
        read_manifest(done)


def test_a_failure_is_recorded_and_not_complete(tmp_path: Path):
    write_manifest(tmp_path, replace(Manifest("abc"), status="failed", error="no faces"))
    assert read_manifest(tmp_path).error == "no faces"
    assert not is_complete(tmp_path, "abc")


def test_outputs_must_lie_in_the_folder(tmp_path: Path):
    (tmp_path / "elsewhere.bin").write_bytes(b"x")
    folder = tmp_path / "item"
    folder.mkdir()
    for path in (tmp_path / "elsewhere.bin", "../elsewhere.bin", "absent.bin"):
        with pytest.raises(ValueError, match="outputs: "):
            write_manifest(folder, Manifest("abc"), [path])
    assert not list(folder.iterdir())


def test_relative_folders_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("item").mkdir()
    Path("item/a.bin").write_bytes(b"x")
    written = write_manifest("item", Manifest("abc"), ["item/a.bin"])
    assert [record.path for record in written.outputs] == ["a.bin"]
    assert is_complete("item", "abc")


def test_fingerprint_is_of_values_not_of_order_or_place(tmp_path: Path):
    for name in ("a.obj", "moved.obj"):
        (tmp_path / name).write_text("v 0 0 0")
    base = fingerprint(Settings(tmp_path / "a.obj"), {"x": 1, "y": 2.5})
    assert fingerprint(Settings(tmp_path / "moved.obj"), {"y": 2.5, "x": 1}) == base
    assert fingerprint(Settings(tmp_path / "a.obj", steps=21), {"x": 1, "y": 2.5}) != base
    assert fingerprint(Settings(tmp_path / "a.obj", views=(0.0, 46.0)), {"x": 1, "y": 2.5}) != base
    (tmp_path / "a.obj").write_text("v 0 0 1")
    assert fingerprint(Settings(tmp_path / "a.obj"), {"x": 1, "y": 2.5}) != base


def test_fingerprint_is_the_same_in_every_process():
    expected = hashlib.sha256(b'[{"a": [1, "x"], "b": "inf"}]').hexdigest()
    assert fingerprint({"b": float("inf"), "a": (1, "x")}) == expected


@pytest.mark.parametrize("value", [lambda t: t, object(), {1, 2}, b"bytes"])
def test_fingerprint_refuses_what_has_no_stable_text(value):
    with pytest.raises(ValueError, match=r"parts\[0\]\['ramp'\]"):
        fingerprint({"ramp": value})
