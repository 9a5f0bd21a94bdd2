"""Where items come from: files, folders, patterns, tables; and what a bad table gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncsde3d.lit.datamodules import MeshDataModule, unique_ids
from syncsde3d.lit.items import MeshItem, safe_id


def items(source: object, **kwargs: object) -> list[MeshItem]:
    data = MeshDataModule(str(source), **kwargs)
    data.setup("predict")
    return [item for batch in data.predict_dataloader() for item in batch]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.obj", "a.GLB", "notes.txt"):
        (tmp_path / name).write_text("")
    return tmp_path


def test_a_file_is_one_item_even_when_missing(tmp_path: Path):
    (item,) = items(tmp_path / "boot.glb", prompt="a boot", seed=3)
    assert item == MeshItem(tmp_path / "boot.glb", "a boot", 3, "boot")


def test_a_folder_gives_its_meshes_in_order(folder: Path):
    assert [item.mesh.name for item in items(folder, prompt="x")] == ["a.GLB", "b.obj"]


def test_a_pattern_gives_its_matches(folder: Path):
    assert [item.id for item in items(folder / "*.obj", prompt="x")] == ["b"]


def test_an_empty_folder_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no mesh"):
        items(tmp_path)


def test_csv_and_jsonl_rows_become_the_same_items(tmp_path: Path):
    rows = [
        {"mesh": "a.obj", "prompt": "red", "seed": 5, "id": "first"},
        {"mesh": "sub/b.obj", "prompt": "", "seed": "", "id": ""},
    ]
    lines = ["mesh,prompt,seed,id", *(",".join(str(v) for v in row.values()) for row in rows)]
    (tmp_path / "t.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    (tmp_path / "t.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows))
    expected = [
        MeshItem(tmp_path / "a.obj", "red", 5, "first"),
        MeshItem(tmp_path / "sub/b.obj", "default", 9, "b"),
    ]
    for table in ("t.csv", "t.jsonl"):
        assert items(tmp_path / table, prompt="default", seed=9) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "file,prompt\na.obj,x", r"t.csv:2: unknown column 'file'"),
        ("t.csv", "mesh,seed\na.obj,many", r"t.csv:2: seed 'many' is not a whole number"),
        ("t.csv", "mesh,prompt\na.obj,x,y", r"t.csv:2: more values than columns"),
        ("t.csv", "mesh,prompt\n,x", r"t.csv:2: no 'mesh'"),
        ("t.jsonl", '{"mesh": "a.obj"}\n{"mesh"', r"t.jsonl:2: not JSON"),
        ("t.jsonl", '["a.obj"]', r"t.jsonl:1: expected a JSON object, got list"),
        ("t.jsonl", '{"mesh": "a.obj", "seed": 1.5}', r"t.jsonl:1: seed '1.5' is not a whole number"),
        ("t.jsonl", '{"mesh": "a.obj", "seed": Infinity}', r"t.jsonl:1: seed 'inf' is not a whole number"),
        ("t.csv", "mesh,prompt\na.obj," + "x" * 140_000, r"t.csv:2: not CSV \(field larger"),
    ],
)
def test_a_bad_table_names_file_and_line(tmp_path: Path, name: str, text: str, message: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        items(tmp_path / name)


def test_a_missing_or_binary_table_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="No such file"):
        items(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match=r"binary.csv: not a text file"):
        items(tmp_path / "binary.csv")


def test_text_and_seeds_come_as_they_are_written(tmp_path: Path):
    (tmp_path / "t.csv").write_text('mesh,prompt,seed\na.obj,"walks\nthen jumps",0\n')
    rows = [{"mesh": "a.obj", "prompt": "one\u2028two", "seed": 0}]
    (tmp_path / "t.jsonl").write_text(json.dumps(rows[0], ensure_ascii=False), encoding="utf-8")
    for table, prompt in (("t.csv", "walks\nthen jumps"), ("t.jsonl", "one\u2028two")):
        (item,) = items(tmp_path / table, seed=5)
        assert (item.prompt, item.seed) == (prompt, 0)
    (tmp_path / "t.csv").write_text(f"mesh,seed\na.obj,{2**53 + 1}\n")
    assert items(tmp_path / "t.csv")[0].seed == 2**53 + 1


def test_ids_differ_where_case_does_not_count():
    found = [
        item.id for item in unique_ids([MeshItem(Path("m.obj"), "p", 0, name) for name in ("Boot", "boot")])
    ]
    assert found == ["Boot", "boot-2"]


def test_ids_are_safe_folder_names_and_differ():
    names = ["../../etc/passwd", "a b", "", "a b", "a_b-2", ".."]
    found = [item.id for item in unique_ids([MeshItem(Path("m.obj"), "p", 0, name) for name in names])]
    assert len(set(found)) == len(found)
    assert all(safe_id(name) == name and "/" not in name for name in found)
    assert found[0] == "etc_passwd"
