"""What judges GLB files: a reader by the specification alone, and node programs where they are installed."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

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
_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class GlbReader:
    """What a GLB holds, decoded by the specification alone."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        length = struct.unpack_from("<I", data, 12)[0]
        self.tree = json.loads(data[20 : 20 + length])
        self.binary = data[28 + length :]

    def values(self, index: int) -> np.ndarray:
        accessor = self.tree["accessors"][index]
        start = self.tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
        width = _WIDTHS[accessor["type"]]
        flat = np.frombuffer(self.binary, _TYPES[accessor["componentType"]], accessor["count"] * width, start)
        return flat.reshape(-1, width) if width > 1 else flat

    def tracks(self) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        """(node, path) -> times, values."""
        animation = self.tree["animations"][0]
        found = {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            name = self.tree["nodes"][channel["target"]["node"]]["name"]
            values = self.values(sampler["input"]), self.values(sampler["output"])
            found[name, channel["target"]["path"]] = values
        return found

    def worlds(self, time: float) -> np.ndarray:
        """World matrices of all nodes at a time, rotations by slerp, translations linear."""
        tracks, nodes = self.tracks(), self.tree["nodes"]
        worlds = np.tile(np.eye(4), (len(nodes), 1, 1))
        parents = {child: i for i, n in enumerate(nodes) for child in n.get("children", [])}
        for i, entry in enumerate(nodes):
            local, name = np.eye(4), entry["name"]
            local[:3, 3] = entry.get("translation", [0, 0, 0])
            if (name, "rotation") in tracks:
                times, quaternions = tracks[name, "rotation"]
                local[:3, :3] = Slerp(times, Rotation.from_quat(quaternions))(time).as_matrix()
            if (name, "translation") in tracks:
                times, places = tracks[name, "translation"]
                local[:3, 3] = [np.interp(time, times, places[:, axis]) for axis in range(3)]
            worlds[i] = worlds[parents[i]] @ local if i in parents else local
        return worlds

    def skinned(self, time: float) -> np.ndarray:
        """The first primitive's vertices in world coordinates, section 3.7.3.3."""
        attributes, skin = self.tree["meshes"][0]["primitives"][0]["attributes"], self.tree["skins"][0]
        rest = self.values(attributes["POSITION"]).astype(float)
        binds = self.values(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        moves = (self.worlds(time)[skin["joints"]] @ binds)[self.values(attributes["JOINTS_0"])]
        matrices = np.einsum("vk,vkij->vij", self.values(attributes["WEIGHTS_0"]), moves)
        return np.einsum("vij,vj->vi", matrices, np.c_[rest, np.ones(len(rest))])[:, :3]


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
