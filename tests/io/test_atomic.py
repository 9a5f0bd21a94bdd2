from __future__ import annotations

import os
import stat

import pytest

from syncsde3d.io.atomic import atomic_folder, atomic_path


def test_file_appears_only_at_the_end(tmp_path):
    target = tmp_path / "new" / "deep" / "a.png"
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"x" * 10)
        assert temporary.suffix == ".png"
        assert temporary.parent == target.parent
        assert not target.exists()
    assert target.read_bytes() == b"x" * 10
    assert os.listdir(target.parent) == ["a.png"]


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    target = tmp_path / "a.glb"
    target.write_bytes(b"old")

    def interrupted():
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.glb"]


def test_permissions_follow_the_umask(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with atomic_path(tmp_path / "atomic") as temporary:
        temporary.write_bytes(b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")}
    assert len(modes) == 1


def test_longest_file_name_works(tmp_path):
    target = tmp_path / ("n" * 251 + ".npz")
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"1")
    assert target.read_bytes() == b"1"


def test_file_refuses_folder_and_empty_block(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"), atomic_path(tmp_path):
        pass
    with (
        pytest.raises(FileNotFoundError, match=r"nothing was written for '.*b\.txt'"),
        atomic_path(tmp_path / "b.txt"),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    (target / "stale").write_text("old")
    with atomic_folder(target) as temporary:
        (temporary / "fresh").write_text("new")
        assert os.listdir(target) == ["stale"]
    assert os.listdir(target) == ["fresh"]
    assert os.listdir(tmp_path) == ["run"]


def test_folder_failure_keeps_the_old_one(tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    (target / "stale").write_text("old")

    def failing():
        with atomic_folder(target) as temporary:
            (temporary / "fresh").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert (target / "stale").read_text() == "old"
    assert os.listdir(tmp_path) == ["run"]


def test_folder_put_back_when_the_second_rename_fails(tmp_path, monkeypatch):
    target = tmp_path / "run"
    target.mkdir()
    (target / "stale").write_text("old")
    rename = os.rename
    calls = []

    def failing(source, destination):
        calls.append(source)
        if len(calls) == 2:
            raise PermissionError("disk says no")
        rename(source, destination)

    monkeypatch.setattr("syncsde3d.io.atomic.os.rename", failing)
    with pytest.raises(PermissionError), atomic_folder(target):
        pass
    assert (target / "stale").read_text() == "old"
    assert os.listdir(tmp_path) == ["run"]


def test_folder_refuses_a_file(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"), atomic_folder(tmp_path / "a"):
        pass
