"""Data sets of long motions: prompts, script files, folders of scripts."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from syncsde3d.lit.datamodules import ItemDataModule, read_table
from syncsde3d.lit.motion_items import SECONDS, Line, MotionItem

SCRIPTS = (".csv", ".yaml", ".yml")


class MotionScriptDataModule(ItemDataModule):
    """Long motions to make, one item per script.

    source: a script, a folder of scripts, or a glob pattern. A script is a CSV with the columns ``prompt``
        and ``seconds``, or a YAML list of mappings with these keys, one line per thing that happens.
    prompts, seconds: in place of a source, one script given directly; ``seconds`` one for all or one each.
    seed: of the run. duration: repeat each script until its motion is at least this long, seconds.
    extend: the result folder of an earlier motion that the (one) script continues.

    Raises ValueError when ``source`` does not exist or matches nothing. A single bad script is no error
    here: it fails when its turn comes and the others go on.
    """

    def __init__(
        self,
        source: str = "",
        prompts: Sequence[str] = (),
        seconds: Sequence[float] = (),
        seed: int = 0,
        duration: float | None = None,
        extend: str | None = None,
    ) -> None:
        super().__init__()
        if bool(source) == bool(prompts):
            raise ValueError("source, prompts: expected one of them")
        if len(seconds) not in (0, 1, len(prompts)) or (source and seconds):
            raise ValueError(
                f"seconds: expected one for all prompts or one for each of {len(prompts)}, got {len(seconds)}"
            )
        self.source, self.prompts, self.seconds = source, tuple(prompts), tuple(seconds)
        self.seed, self.duration, self.extend = seed, duration, extend

    def read(self) -> list[MotionItem]:
        items = list(self._read())
        if self.extend is not None:
            if len(items) > 1:
                raise ValueError(f"extend: expected one script to continue with, got {len(items)}")
            folder = Path(self.extend)
            items = [replace(items[0], extends=folder, id=folder.resolve().name)]
        return [replace(item, seed=self.seed, duration=self.duration) for item in items]

    def _read(self) -> Iterator[MotionItem]:
        if self.prompts:
            seconds = self.seconds or (SECONDS,)
            if len(seconds) == 1:
                seconds *= len(self.prompts)
            yield MotionItem(tuple(map(Line, self.prompts, seconds)))
            return
        path = Path(self.source)
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in SCRIPTS)
        elif path.exists() or not glob.has_magic(self.source):
            found = [path]
        else:
            found = sorted(Path(p) for p in glob.glob(self.source, recursive=True))
        if not found:
            raise ValueError(f"source: '{self.source}' holds no script, expected {', '.join(SCRIPTS)}")
        if not path.is_dir() and found == [path]:
            read_script(path)  # the only one: say at once what is wrong with it
        for script in found:
            yield MotionItem(script=script, id=script.stem)


def read_script(path: Path) -> tuple[Line, ...]:
    """The lines of a script file. Raises ValueError naming the file and the line."""
    if path.suffix.lower() not in SCRIPTS:
        raise ValueError(f"{path}: expected a script ({', '.join(SCRIPTS)})")
    rows = read_table(path) if path.suffix.lower() == ".csv" else _read_yaml(path)
    lines = tuple(_line(place, row) for place, row in rows)
    if not lines:
        raise ValueError(f"{path}: empty, expected at least one line with a prompt")
    return lines


def _read_yaml(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(rows, list | None):
        raise ValueError(f"{path}: expected a list of lines, got {type(rows).__name__}")
    for number, row in enumerate(rows or (), start=1):
        yield f"{path}: line {number}", row


def _line(place: str, row: Any) -> Line:
    if not isinstance(row, dict) or set(row) - {"prompt", "seconds"}:
        raise ValueError(f"{place}: expected 'prompt' and 'seconds', got {row!r}")
    prompt = str(row.get("prompt") or "").strip()
    if not prompt:
        raise ValueError(f"{place}: no 'prompt'")
    seconds = row.get("seconds")
    try:
        return Line(prompt, SECONDS if seconds in (None, "") else float(seconds))
    except (TypeError, ValueError):
        raise ValueError(f"{place}: seconds '{seconds}' is not a number") from None
