"""Scripts become items, and lines with seconds become segments that add up."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncsde3d.lit.motion_data import MotionScriptDataModule, read_script
from syncsde3d.lit.motion_items import SECONDS, Line, MotionItem, plan

EXAMPLES = Path(__file__).parents[2] / "data" / "motion_scripts"


def items(**arguments: object) -> list[MotionItem]:
    data = MotionScriptDataModule(**arguments)  # pyright: ignore[reportArgumentType]
    data.setup("predict")
    return [item for batch in data.predict_dataloader() for item in batch]


def total(lengths: list[int], overlap: int) -> int:
    return sum(lengths) - overlap * (len(lengths) - 1)


class TestPlan:
    def test_a_segment_has_its_seconds_and_the_overlap_with_the_one_before(self):
        prompts, lengths = plan([Line("a", 4), Line(" b ", 3), Line("c", 2)], 30)
        assert prompts == ["a", "b", "c"]
        assert lengths == [80, 90, 70]
        assert total(lengths, 30) == 20 * (4 + 3 + 2)

    def test_what_one_segment_cannot_hold_becomes_several(self):
        prompts, lengths = plan([Line("a", 20), Line("b", 9.8), Line("c", 8.3)], 30)
        assert prompts == ["a", "a", "a", "b", "b", "c"]
        assert lengths == [154, 153, 153, 128, 128, 196]
        assert total(lengths, 30) == 20 * 38.1

    def test_rounding_does_not_add_up(self):
        _, lengths = plan([Line("a", 3.33)] * 30, 30)
        assert total(lengths, 30) == round(20 * 3.33 * 30)

    def test_a_duration_repeats_the_script(self):
        prompts, lengths = plan([Line("a", 4), Line("b", 3)], 30, duration=15)
        assert prompts == ["a", "b", "a", "b", "a"]
        assert total(lengths, 30) == 20 * 18

    def test_a_continuation_has_an_overlap_from_the_start(self):
        assert plan([Line("a", 4), Line("b", 3)], 30, begun=True)[1] == [110, 90]

    @pytest.mark.parametrize(
        ("lines", "options", "message"),
        [
            ([], {}, "script: empty"),
            ([Line("a"), Line("  ")], {}, r"prompts\[1\]: empty"),
            ([Line("a"), Line("b", 0)], {}, r"seconds\[1\]: expected a positive number, got 0"),
            ([Line("a", float("inf"))], {}, r"seconds\[0\]: expected a positive number, got inf"),
            ([Line("a", 1.9)], {}, r"'a': seconds: expected at least 2 s for this segment, got 1.9 s"),
            ([Line("a"), Line("b", 0.4)], {}, r"'b': seconds: expected at least 0.5 s .*, got 0.4 s"),
            ([Line("a")], {"duration": -1}, "duration: expected a positive number"),
            ([Line("a")], {"overlap": 196}, "overlap: expected 1 to 195 frames, got 196"),
        ],
    )
    def test_bad_lines_are_named(self, lines: list[Line], options: dict, message: str):
        with pytest.raises(ValueError, match=message):
            plan(lines, **{"overlap": 30, **options})


class TestScripts:
    def test_csv_and_yaml_say_the_same(self, tmp_path: Path):
        (tmp_path / "a.csv").write_text('\ufeffprompt,seconds\na person walks,4\n"runs, then stops",\n')
        (tmp_path / "a.yaml").write_text(
            "- {prompt: a person walks, seconds: 4}\n- prompt: runs, then stops\n"
        )
        expected = (Line("a person walks", 4.0), Line("runs, then stops", SECONDS))
        assert read_script(tmp_path / "a.csv") == read_script(tmp_path / "a.yaml") == expected

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("s.csv", "prompt,seconds\n,4", r"s.csv:2: no 'prompt'"),
            ("s.csv", "prompt,seconds\na,long", r"s.csv:2: seconds 'long' is not a number"),
            ("s.csv", "text,seconds\na,4", r"s.csv:2: expected 'prompt' and 'seconds'"),
            ("s.csv", "prompt,seconds\n", r"s.csv: empty"),
            ("s.yaml", "", r"s.yaml: empty"),
            ("s.yaml", "prompt: a", r"s.yaml: expected a list of lines, got dict"),
            ("s.yaml", "- [", r"s.yaml: not YAML"),
            ("s.yaml", "- walk", r"s.yaml: line 1: expected 'prompt' and 'seconds', got 'walk'"),
            ("s.txt", "a", r"s.txt: expected a script"),
        ],
    )
    def test_a_bad_one_names_file_and_line(self, tmp_path: Path, name: str, text: str, message: str):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message) as error:
            read_script(tmp_path / name)
        assert "\n" not in str(error.value)

    def test_a_missing_or_binary_one_is_named(self, tmp_path: Path):
        for name in ("missing.csv", "missing.yaml"):
            with pytest.raises(ValueError, match=rf"{name}: No such file"):
                read_script(tmp_path / name)
        (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
        with pytest.raises(ValueError, match=r"binary.yaml: not a text file"):
            read_script(tmp_path / "binary.yaml")

    def test_the_examples_can_be_planned(self):
        scripts = items(source=str(EXAMPLES))
        assert [item.id for item in scripts] == ["long_walk", "morning", "training"]
        for item in scripts:
            assert item.script is not None
            prompts, _ = plan(read_script(item.script), 30)
            assert len(prompts) >= 5


class TestItems:
    def test_prompts_are_one_item(self):
        (item,) = items(prompts=["a", "b"], seconds=[4.0], seed=3, duration=60.0)
        assert item == MotionItem((Line("a", 4.0), Line("b", 4.0)), seed=3, duration=60.0)
        assert items(prompts=["a"])[0].lines == (Line("a", SECONDS),)

    def test_a_folder_gives_its_scripts_bad_ones_too(self, tmp_path: Path):
        for name in ("b.yaml", "a.csv", "notes.txt", "a.yml"):
            (tmp_path / name).write_text("")
        assert [item.id for item in items(source=str(tmp_path))] == ["a", "a-2", "b"]
        assert [item.id for item in items(source=str(tmp_path / "*.yaml"))] == ["b"]

    def test_a_continuation_keeps_the_name_of_what_it_continues(self, tmp_path: Path):
        (item,) = items(prompts=["a"], extend=str(tmp_path / "walk"))
        assert (item.id, item.extends) == ("walk", tmp_path / "walk")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "source, prompts: expected one of them"),
            ({"source": "a.csv", "prompts": ["a"]}, "source, prompts: expected one of them"),
            ({"prompts": ["a", "b", "c"], "seconds": [1.0, 2.0]}, "seconds: expected one .* of 3, got 2"),
            ({"source": "nowhere/*.csv"}, "holds no script"),
            ({"source": "missing.csv"}, "missing.csv: No such file"),
            ({"source": str(EXAMPLES), "extend": "x"}, "extend: expected one script"),
        ],
    )
    def test_bad_arguments_are_named(self, arguments: dict, message: str):
        with pytest.raises(ValueError, match=message):
            items(**arguments)
