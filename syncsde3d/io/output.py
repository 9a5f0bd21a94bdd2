"""Writing a result: atomic, and a failure says which result could not be written."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from syncsde3d.io.atomic import atomic_path

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """:func:`~syncsde3d.io.atomic.atomic_path`, with failures in one line that names ``path``.

    Raises:
        OSError: of the class that the system raised, "cannot write '<path>': <why>".
    """
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        raise type(error)(f"cannot write '{Path(path)}': {reason}") from error
