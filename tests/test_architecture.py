"""Imports run downwards only: the floors of the package, read off every file's imports."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "syncsde3d"
TOP = {"lit", "app", "__init__", "__main__"}  # may import all of ours; of these, lit alone takes lightning
BELOW = {  # what else of ours a folder may import; any other (core, mesh, motion) imports nothing
    "tasks": {"core"},
    "synthetic": {"mesh"},
    "io": {"core", "mesh", "motion"},
    "models": {"core", "motion"},
    "metrics": {"core", "mesh", "motion"},
}


def imports(source: str, folder: list[str]) -> list[list[str]]:
    """Every name that ``source``, a file in ``folder``, imports: ``from a import b`` gives ``[a, b]``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        base = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join(folder[: len(folder) + 1 - node.level] + base.split("."))
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return [[part for part in name.split(".") if part] for name in sorted(found)]


def breaches(source: str, path: Path) -> list[str]:
    """The imports of ``source`` that its place in the package, ``path``, does not allow."""
    floor = path.parts[0].removesuffix(".py")
    allowed = {floor} | BELOW.get(floor, set())
    names = imports(source, ["syncsde3d", *path.parts[:-1]])
    bad = [n for n in names if n[0] == "syncsde3d" and floor not in TOP and not {*n[1:2]} & allowed]
    bad += [n for n in names if "lightning" in n[0] and floor != "lit"]
    return [f"{path} imports {'.'.join(n)}" for n in bad]


def test_every_import_points_downwards():
    files = {path.relative_to(PACKAGE): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert [breach for path, source in files.items() for breach in breaches(source, path)] == []


def test_an_upward_import_is_found():
    bad = "import syncsde3d.lit.cli\nfrom .. import models\nfrom .x import y\nfrom lightning import Trainer"
    assert len(breaches(bad, Path("core/sampler.py"))) == 3
