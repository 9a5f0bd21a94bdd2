"""Tables, lists of prompts and rows become items; what is wrong with them is said in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncsde3d import AmbiguousItem, EditItem, MaskedItem, PromptDataModule, Region, WideItem

EXAMPLES = Path(__file__).parents[2] / "data" / "prompts"


def items(**arguments: Any) -> list[Any]:
    data = PromptDataModule(**arguments)
    data.setup("predict")
    return [item for batch in data.predict_dataloader() for item in batch]


class TestTables:
    @pytest.mark.parametrize(
        ("name", "task", "count"),
        [
            ("wide.csv", "wide", 3),
            ("wide_changing.jsonl", "wide", 1),
            ("masked.jsonl", "masked", 2),
            ("ambiguous.jsonl", "ambiguous", 2),
            ("edit.jsonl", "edit", 2),
        ],
    )
    def test_the_examples_are_read_and_their_files_are_there(self, name: str, task: Any, count: int):
        found = items(source=str(EXAMPLES / name), task=task)
        assert len({item.id for item in found}) == count
        for item in found:
            files = [getattr(item, "image", None), *(r.mask for r in getattr(item, "regions", ()))]
            assert all(file.is_file() for file in files if file is not None)

    def test_a_list_of_prompts(self, tmp_path: Path):
        (tmp_path / "p.txt").write_text("a boot\n\n  a chair, blue \na boot\n", encoding="utf-8")
        assert items(source=str(tmp_path / "p.txt"), seed=4) == [
            WideItem("a boot", seed=4, id="a_boot"),
            WideItem("a chair, blue", seed=4, id="a_chair_blue"),
            WideItem("a boot", seed=4, id="a_boot-2"),
        ]
        (tmp_path / "q.txt").write_text("a boot | a chair\n")
        (item,) = items(source=str(tmp_path / "q.txt"), task="ambiguous")
        assert item == AmbiguousItem(("a boot", "a chair"), ("rotate_180",), id="a_boot_or_a_chair")

    def test_columns_of_every_task(self, tmp_path: Path):
        csv = tmp_path / "t.csv"
        csv.write_text("prompt,background,foreground,mask,seed\na,b,f,m.png,7\n")
        assert items(source=str(csv), task="masked") == [
            MaskedItem("a", "b", (Region("f", tmp_path / "m.png"),), 7, "a")
        ]
        csv.write_text("image,from,to,mask,source_prompt\nx.png,cat,dog,,\n")
        assert items(source=str(csv), task="edit") == [
            EditItem(tmp_path / "x.png", source_words="cat", target_words="dog", id="x_to_dog")
        ]
        csv.write_text("prompts,views,id\na|b|c,skew|rotate_90,one\n")
        assert items(source=str(csv), task="ambiguous") == [
            AmbiguousItem(("a", "b", "c"), ("skew", "rotate_90"), id="one")
        ]

    def test_rows_and_an_extension(self):
        assert items(rows=[{"prompt_at": [[0, "a"], ["1", "b"]], "start_from": "p.png"}]) == [
            WideItem(places=((0.0, "a"), (1.0, "b")), start_from=Path("p.png"), id="a_to_b")
        ]
        (item,) = items(rows=[{"prompt": "a"}], extend="renders/wide/beach")
        assert item == WideItem("a", extends=Path("renders/wide/beach"), id="beach")


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "source, rows: expected one of them"),
            ({"source": "a.csv", "task": "tall"}, "task: expected one of wide, masked"),
            ({"source": "no.csv"}, "no.csv: No such file"),
            ({"source": "no.txt"}, "no.txt: No such file"),
            ({"source": "p.png"}, "source: 'p.png' is no table"),
            ({"source": "p.txt", "task": "edit"}, "holds prompts alone"),
            ({"rows": [{"mask": "m.png"}]}, "unknown column 'mask', expected id, prompt"),
            ({"rows": [{"prompt": "a", "seed": "x"}]}, "seed 'x' is not a whole number"),
            ({"rows": [{"prompt_at": [[1]]}]}, "prompt_at: expected pairs of a number and a prompt"),
            ({"rows": [{"prompt": "a", "prompt_at": [[0, "b"]]}]}, "prompt, prompt_at: expected one of them"),
            ({"rows": [{"prompt": "a"}], "task": "masked"}, "regions: expected at least one"),
            ({"rows": [{"regions": ["x"]}], "task": "masked"}, "regions: expected|expected other values"),
            ({"rows": [{"prompts": 3}], "task": "ambiguous"}, "expected other values"),
            ({"rows": [{"to": "dog"}], "task": "edit"}, "image: none, expected a picture file"),
            ({"rows": [{"prompt": "a"}, {"prompt": "b"}], "extend": "x"}, "extend: expected one wide image"),
        ],
    )
    def test_each_is_named(self, arguments: dict[str, Any], message: str):
        with pytest.raises(ValueError, match=message):
            items(**arguments)

    def test_file_and_line_are_named(self, tmp_path: Path):
        (tmp_path / "t.csv").write_text("prompt,colour\na boot,red\n")
        with pytest.raises(ValueError, match=r"t.csv:2: unknown column 'colour'"):
            items(source=str(tmp_path / "t.csv"))
        (tmp_path / "t.txt").write_text("\n")
        with pytest.raises(ValueError, match=r"t.txt' is empty"):
            items(source=str(tmp_path / "t.txt"))
