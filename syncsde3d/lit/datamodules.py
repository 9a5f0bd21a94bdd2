"""Data sets of things to make: meshes with prompts."""

from __future__ import annotations

import csv
import glob
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


def _identity(batch: list[Any]) -> list[Any]:
    return batch


class MeshDataModule(L.LightningDataModule):
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
        self.items: list[MeshItem] = []

    def setup(self, stage: str | None = None) -> None:
        self.items = unique_ids(list(self._read()))

    def predict_dataloader(self) -> DataLoader[MeshItem]:
        return DataLoader(self.items, batch_size=1, collate_fn=_identity)  # pyright: ignore[reportArgumentType]

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
        try:
            seed = int(row.get("seed") or self.seed)
        except (TypeError, ValueError):
            raise ValueError(f"{place}: seed '{row['seed']}' is not a whole number") from None
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
        for row in (reader := csv.DictReader(text.splitlines())):
            if None in row:
                raise ValueError(f"{path}:{reader.line_num}: more values than columns")
            yield f"{path}:{reader.line_num}", row
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error.msg})") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}")
        yield f"{path}:{number}", row


def unique_ids(items: list[Any]) -> list[Any]:
    """The items with ids that are safe folder names and differ: from their own id, or the file's name."""
    taken: set[str] = set()
    named = []
    for item in items:
        wanted = name = safe_id(item.id or item.mesh.stem)
        copy = 1
        while name in taken:
            copy += 1
            name = f"{wanted}-{copy}"
        taken.add(name)
        named.append(replace(item, id=name))
    return named
