"""Results appear whole or not at all: write beside the target, then rename over it."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary sibling of ``path`` with the same suffix; it replaces ``path`` when the block ends well.

    Missing parent folders are created. If the block raises, the temporary file is removed and whatever
    stood at ``path`` before is untouched. Readers see the old file or the new one, never a part.

    Raises:
        IsADirectoryError: ``path`` is a folder.
        FileNotFoundError: the block ended without writing the file.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path '{path}' is a folder, expected a file name")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path)
    try:
        yield temporary
        if not temporary.is_file():
            raise FileNotFoundError(f"nothing was written for '{path}'")
        _flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary sibling folder that takes the place of ``path``, and all it held, when the block ends well.

    Missing parent folders are created. If the block raises, the temporary folder is removed and ``path`` is
    untouched. A folder cannot be renamed over a filled one, so between two renames ``path`` is absent for
    an instant; if the second one fails, the old folder is put back.

    Raises:
        NotADirectoryError: ``path`` is a file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"path '{path}' is a file, expected a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = _sibling(path), _sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            os.rename(path, old)
        try:
            os.rename(temporary, path)
        except BaseException:
            if old.exists():
                os.rename(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sibling(path: Path) -> Path:
    """A hidden name that no one else uses, in the same folder so that renaming stays on one file system."""
    return path.with_name(f".{uuid.uuid4().hex}{path.suffix}")


def _flush(path: Path) -> None:
    """Wait until the bytes are on disk, so that a power cut cannot leave an empty file by the final name."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
