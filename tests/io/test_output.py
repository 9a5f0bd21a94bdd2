"""A result that cannot be written says so in one line that names it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from syncsde3d.io.output import writing


def test_a_parent_that_is_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    target = tmp_path / "file" / "result.png"
    with pytest.raises(OSError, match="cannot write") as caught, writing(target) as temporary:
        temporary.write_bytes(b"1")
    assert str(target) in str(caught.value)
    assert "\n" not in str(caught.value)


def fill_the_disk(target: Path) -> None:
    with writing(target) as temporary:
        temporary.write_bytes(b"ne")
        raise OSError(errno.ENOSPC, "No space left on device", str(temporary))


def test_a_full_disk_leaves_the_old_file(tmp_path: Path):
    target = tmp_path / "result.bin"
    target.write_bytes(b"old")
    with pytest.raises(OSError, match=r"cannot write '.*result\.bin': No space left"):
        fill_the_disk(target)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.bin"]


def test_the_class_of_the_error_is_kept(tmp_path: Path):
    with pytest.raises(PermissionError, match="cannot write"), writing(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "Permission denied", "x")
