"""Data sets of pictures to make: rows of a table, one picture each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from syncsde3d.lit.datamodules import ItemDataModule, read_seed, read_table
from syncsde3d.lit.image_items import AmbiguousItem, EditItem, ImageItem, MaskedItem, Region, WideItem
from syncsde3d.lit.items import safe_id

ImageTask = Literal["wide", "masked", "ambiguous", "edit"]
#: Kinds of tables, and of plain lists of prompts.
TABLES = (".csv", ".jsonl", ".txt")

Row = Mapping[str, Any]


class PromptDataModule(ItemDataModule):
    """Pictures to make, one item per row.

    source: a table. ``.csv`` (with a header) and ``.jsonl`` have, beside ``seed`` and ``id``, the columns
        of the task; files are relative to the table:
        wide: ``prompt``, or ``prompt_at`` (pairs of a share of the width and a prompt), ``start_from``.
        masked: ``prompt``, ``background``, ``regions`` (objects with ``prompt`` and ``mask``), or for one
        region ``foreground`` and ``mask``.
        ambiguous: ``prompts`` and ``views``, lists; in a CSV separated by ``|``.
        edit: ``image``, ``source_prompt``, ``target_prompt``, ``from``, ``to``, ``mask``.
        A ``.txt`` holds a prompt per line, for an ambiguous image its prompts separated by ``|``.
    task: what the rows are for. rows: given directly, in place of a source; files relative to where one is.
    seed: of rows that have none. extend: the result folder of a wide image that the (one) row continues.

    Raises ValueError, naming file and line, when the source does not exist, or a row is not one. A bad
    picture or mask is no error here: its item fails when its turn comes and the others go on.
    """

    def __init__(
        self,
        source: str = "",
        task: ImageTask = "wide",
        rows: Sequence[dict[str, Any]] = (),
        seed: int = 0,
        extend: str | None = None,
    ) -> None:
        super().__init__()
        if task not in get_args(ImageTask):
            raise ValueError(f"task: expected one of {', '.join(get_args(ImageTask))}, got {task!r}")
        if bool(source) == bool(rows):
            raise ValueError("source, rows: expected one of them")
        self.source, self.task, self.rows, self.seed, self.extend = source, task, rows, seed, extend

    def read(self) -> list[ImageItem]:
        items = [self._item(*row) for row in self._read()]
        if not items:
            raise ValueError(f"source: '{self.source}' is empty, expected at least one row")
        if self.extend is not None:
            if len(items) > 1 or self.task != "wide":
                raise ValueError(f"extend: expected one wide image to continue, got {len(items)} rows")
            folder = Path(self.extend)
            items = [replace(items[0], extends=folder, id=folder.resolve().name)]
        return items

    def _read(self) -> Iterator[tuple[str, Row, Path]]:
        """Every row with its place, for messages, and the folder of its files."""
        if self.rows:
            yield from (("", row, Path()) for row in self.rows)
            return
        path = Path(self.source)
        if path.suffix.lower() not in TABLES:
            raise ValueError(f"source: '{path}' is no table, expected {', '.join(TABLES)}")
        if path.suffix.lower() == ".txt":
            column = {"wide": "prompt", "ambiguous": "prompts"}.get(self.task)
            if column is None:
                raise ValueError(
                    f"source: '{path}' holds prompts alone, expected .csv or .jsonl for this task"
                )
            yield from ((place, {column: line}, path.parent) for place, line in _lines(path))
            return
        yield from ((place, row, path.parent) for place, row in read_table(path))

    def _item(self, place: str, row: Row, folder: Path) -> ImageItem:
        make, columns = _MAKERS[self.task]
        before = f"{place}: " if place else ""
        known = {*columns, "seed", "id"}
        if unknown := sorted(str(name) for name in set(row) - known):
            raise ValueError(f"{before}unknown column '{unknown[0]}', expected {', '.join(sorted(known))}")
        row = {name: value for name, value in row.items() if value not in (None, "")}
        seed = read_seed(row, self.seed, before)
        try:
            item = make(row, folder)
        except (TypeError, KeyError, AttributeError):
            raise ValueError(f"{before}expected other values, got {dict(row)!r}") from None
        except ValueError as error:
            raise ValueError(f"{before}{error}") from None
        return replace(item, seed=seed, id=safe_id(str(row.get("id", item.id)))[:60])


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file that say something, with their places."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def _text(row: Row, name: str) -> str:
    return str(row.get(name, ""))


def _list(row: Row, name: str) -> tuple[str, ...]:
    """A list, or texts separated by ``|``."""
    value = row.get(name, ())
    return tuple(part.strip() for part in (value.split("|") if isinstance(value, str) else map(str, value)))


def _file(row: Row, name: str, folder: Path) -> Path | None:
    return folder / str(row[name]) if name in row else None


def _wide(row: Row, folder: Path) -> WideItem:
    try:
        places = tuple((float(share), str(prompt)) for share, prompt in row.get("prompt_at", ()))
    except (TypeError, ValueError):
        raise ValueError(
            f"prompt_at: expected pairs of a number and a prompt, got {row['prompt_at']!r}"
        ) from None
    prompt = _text(row, "prompt")
    if prompt and places:
        raise ValueError("prompt, prompt_at: expected one of them")
    name = prompt or " to ".join(text for _, text in sorted(places))
    return WideItem(prompt, places, start_from=_file(row, "start_from", folder), id=name)


def _masked(row: Row, folder: Path) -> MaskedItem:
    given = list(row.get("regions", ()))
    if "foreground" in row or "mask" in row:
        given.insert(0, {"prompt": row.get("foreground", ""), "mask": row.get("mask", "")})
    if not given or any(set(region) != {"prompt", "mask"} or not region["mask"] for region in given):
        raise ValueError("regions: expected at least one with a prompt and a mask")
    regions = tuple(Region(str(region["prompt"]), folder / str(region["mask"])) for region in given)
    prompt = _text(row, "prompt")
    return MaskedItem(prompt, _text(row, "background"), regions, id=prompt)


def _ambiguous(row: Row, folder: Path) -> AmbiguousItem:
    prompts, views = _list(row, "prompts"), _list(row, "views")
    item = AmbiguousItem(prompts, id=" or ".join(prompts))
    return replace(item, views=views) if views else item


def _edit(row: Row, folder: Path) -> EditItem:
    image = _file(row, "image", folder)
    if image is None:
        raise ValueError("image: none, expected a picture file")
    target = _text(row, "target_prompt")
    name = f"{image.stem} to {_text(row, 'to') or target}"
    words = _text(row, "from"), _text(row, "to")
    return EditItem(image, _text(row, "source_prompt"), target, *words, _file(row, "mask", folder), id=name)


#: By task: what makes an item of a row, and the row's columns.
_MAKERS: dict[str, tuple[Callable[[Row, Path], Any], tuple[str, ...]]] = {
    "wide": (_wide, ("prompt", "prompt_at", "start_from")),
    "masked": (_masked, ("prompt", "background", "regions", "foreground", "mask")),
    "ambiguous": (_ambiguous, ("prompts", "views")),
    "edit": (_edit, ("image", "source_prompt", "target_prompt", "from", "to", "mask")),
}
