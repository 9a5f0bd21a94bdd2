"""Data sets of things to make, and the one of meshes with prompts."""

from __future__ import annotations

import csv
import glob
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from syncsde3d.lit.items import MeshItem, safe_id
from syncsde3d.mesh.load import READERS

_COLUMNS = {"mesh", "prompt", "seed", "id"}


class ItemDataModule(L.LightningDataModule):
    """Items to make, one per batch. items: known after :meth:`setup`, with ids that differ."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Any] = []

    def read(self) -> list[Any]:
        """The items as they are given. Raises ValueError where there are none."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        self.items = unique_ids(self.read())
        if self.trainer is not None and self.trainer.world_size > len(self.items):
            raise ValueError(
                f"devices: expected at most one for each of {len(self.items)} items, got "
                f"{self.trainer.world_size}"
            )

    def predict_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.items, batch_size=1, collate_fn=list)  # pyright: ignore[reportArgumentType]


class MeshDataModule(ItemDataModule):
    """Meshes to texture, one item each.

    source: a mesh file, a folder of meshes, a glob pattern, or a ``.csv`` / ``.jsonl`` table with the columns
        ``mesh`` (required; relative to the table), ``prompt``, ``seed`` and ``id``.
    prompt: for meshes that have none of their own. seed: likewise.

    Raises ValueError, naming file and line, when ``source`` does not exist, matches nothing, or a table is
    not one. A single bad mesh is no error here: it fails when its turn comes and the others go on.
    """

    def __init__(self, source: str, prompt: str = "", seed: int = 0) -> None:
        super().__init__()
        self.source, self.prompt, self.seed = source, prompt, seed

    def read(self) -> list[MeshItem]:
        return list(self._read())

    def _read(self) -> Iterator[MeshItem]:
        path = Path(self.source)
        if path.suffix.lower() in (".csv", ".jsonl"):
            for place, row in read_table(path):
                yield self._from_row(path, place, row)
            return
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in READERS)
            expected = f"a mesh ({', '.join(READERS)})"
        elif path.exists() or not glob.has_magic(self.source):
            found, expected = [path], ""
        else:
            found, expected = sorted(Path(p) for p in glob.glob(self.source, recursive=True)), "a match"
        if not found:
            raise ValueError(f"source: '{self.source}' holds no mesh, expected {expected}")
        for mesh in found:
            yield MeshItem(mesh, self.prompt, self.seed)

    def _from_row(self, table: Path, place: str, row: Mapping[str, Any]) -> MeshItem:
        unknown = set(row) - _COLUMNS
        if unknown or not row.get("mesh"):
            problem = f"unknown column '{sorted(map(str, unknown))[0]}'" if unknown else "no 'mesh'"
            raise ValueError(f"{place}: {problem}, expected the columns mesh, prompt, seed, id")
        seed = read_seed(row, self.seed, f"{place}: ")
        prompt = str(row.get("prompt") or self.prompt)
        return MeshItem(table.parent / str(row["mesh"]), prompt, seed, str(row.get("id") or ""))


def read_table(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a CSV (with a header) or JSONL file, each with its place for error messages."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        try:
            for row in reader:
                if None in row:
                    raise ValueError(f"{path}:{reader.line_num}: more values than columns")
                yield f"{path}:{reader.line_num}", row
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num + 1}: not CSV ({error})") from None
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error.msg})") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}")
        yield f"{path}:{number}", row


def read_seed(row: Mapping[str, Any], otherwise: int, place: str) -> int:
    """A row's seed, or ``otherwise`` where it has none. Raises ValueError for what is no whole number."""
    value = row.get("seed")
    if value is None or value == "":
        return otherwise
    try:
        if not isinstance(value, float) or value.is_integer():
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{place}seed '{value}' is not a whole number")


def unique_ids(items: list[Any]) -> list[Any]:
    """The items with ids that are safe folder names and differ, also where case does not count.

    An id is an item's own, or its file's name.
    """
    taken: set[str] = set()
    named = []
    for item in items:
        wanted = name = safe_id(item.id or item.mesh.stem)
        copy = 1
        while name.casefold() in taken:
            copy += 1
            name = f"{wanted}-{copy}"
        taken.add(name.casefold())
        named.append(replace(item, id=name))
    return named
