"""Node programs that judge GLB files, where they are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_VALIDATE = """
const {validateBytes} = require(process.argv[1]);
const fs = require('fs');
(async () => {
  const out = [];
  for (const file of process.argv.slice(2)) {
    const report = await validateBytes(new Uint8Array(fs.readFileSync(file)), {maxIssues: 50});
    out.push(report.issues.messages.filter(m => m.severity < 2).map(m => m.code + ' ' + m.pointer));
  }
  console.log(JSON.stringify(out));
})();
"""


def node_module(name: str) -> Path:
    """Where node finds ``name``: in SYNCSDE3D_GLTF_VALIDATOR, or the global node_modules; else skip."""
    roots = [os.environ.get("SYNCSDE3D_GLTF_VALIDATOR", "")]
    if shutil.which("npm"):
        roots.append(subprocess.run(["npm", "root", "-g"], capture_output=True, text=True).stdout.strip())
    found = next((Path(r, name) for r in roots if r and Path(r, name).is_dir()), None)
    if found is None or not shutil.which("node"):
        pytest.skip(f"node or {name} is absent (SYNCSDE3D_GLTF_VALIDATOR: a node_modules folder with it)")
    return found


def validate(*files: Path) -> list[list[str]]:
    """The errors and warnings of Khronos' validator for each file."""
    return node("-e", _VALIDATE, str(node_module("gltf-validator")), *map(str, files))


def node(*arguments: str) -> list:
    """The JSON that a node program prints."""
    return json.loads(subprocess.run(["node", *arguments], capture_output=True, text=True, check=True).stdout)
