"""BVH files as an own reader and bvhio's see them: every joint where it was."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from motion_clips import clip, swinging
from scipy.spatial.transform import Rotation

from syncsde3d.io.bvh import NAMES, write_bvh
from syncsde3d.motion.skeleton import JOINTS
from syncsde3d.motion.types import Motion


def parsed(path: Path) -> tuple[list[dict], np.ndarray, float]:
    """Joints (name, parent, offset, channels) in the order of the file, values [t, channels], frame time."""
    head, body = path.read_text("ascii").split("MOTION")
    joints, open_joints = [], []
    for line in head.splitlines():
        word, *rest = line.split() or [""]
        if word in ("ROOT", "JOINT", "End"):
            parent = open_joints[-1] if open_joints else None
            joints.append({"name": rest[0], "parent": parent, "channels": [], "end": word == "End"})
            open_joints.append(joints[-1])
        elif word == "OFFSET":
            open_joints[-1]["offset"] = np.array(rest, float)
        elif word == "CHANNELS":
            assert int(rest[0]) == len(rest) - 1
            open_joints[-1]["channels"] = rest[1:]
        elif word == "}":
            open_joints.pop()
    assert not open_joints
    lines = body.strip().splitlines()
    values = np.array([line.split() for line in lines[2:]], float)
    assert lines[0] == f"Frames: {len(values)}"
    return joints, values, float(lines[1].removeprefix("Frame Time:"))


def positions(joints: list[dict], values: np.ndarray) -> dict[str, np.ndarray]:
    """World positions [t, 3], as the format's description says: channels applied in their order."""
    column, found = 0, {}
    for joint in joints:
        kinds = joint["channels"]
        mine = values[:, column : column + len(kinds)]
        column += len(kinds)
        moves = [i for i, kind in enumerate(kinds) if kind.endswith("position")]
        shift = mine[:, moves] if moves else 0
        turn = Rotation.identity(len(values))
        for i, kind in enumerate(kinds):
            if kind.endswith("rotation"):
                turn = turn * Rotation.from_euler(kind[0].lower(), mine[:, i : i + 1], degrees=True)
        parent = joint["parent"]
        if parent is None:
            joint["at"], joint["turn"] = joint["offset"] + shift, turn
        else:
            joint["at"] = parent["at"] + parent["turn"].apply(joint["offset"]) + shift
            joint["turn"] = parent["turn"] * turn
        if not joint["end"]:
            found[joint["name"]] = joint["at"]
    assert column == values.shape[1]
    return found


def in_metres(path: Path) -> np.ndarray:
    joints, values, _ = parsed(path)
    found = positions(joints, values)
    return np.stack([found[NAMES[name]] for name in JOINTS], axis=1) / 100


@pytest.mark.parametrize("fps", [20.0, 30.0])
def test_an_independent_reader_finds_every_joint(tmp_path, fps):
    motion = swinging(fps=fps)
    write_bvh(tmp_path / "a.bvh", motion)
    assert np.abs(in_metres(tmp_path / "a.bvh") - motion.joints.numpy()).max() < 1e-4
    joints, values, seconds = parsed(tmp_path / "a.bvh")
    assert len(values) == len(motion)
    assert seconds == pytest.approx(1 / fps, abs=1e-7)
    assert len(set(NAMES.values())) == 22
    assert sum(joint["end"] for joint in joints) == 5
    assert joints[0]["channels"][:3] == ["Xposition", "Yposition", "Zposition"]
    assert all(len(joint["channels"]) == (0 if joint["end"] else 3) for joint in joints[1:])


@pytest.mark.parametrize("name", ["cmu_07_01", "cmu_05_06", "m2m_roll"])
def test_recordings_come_back(tmp_path, shared, name):
    motion = clip(shared, name)
    write_bvh(tmp_path / "a.bvh", motion)
    assert np.abs(in_metres(tmp_path / "a.bvh") - motion.joints.numpy()).max() < 1e-3


def test_bvhio_finds_every_joint(tmp_path):
    bvhio = pytest.importorskip("bvhio", reason="bvhio is absent")
    motion = swinging(12)
    write_bvh(tmp_path / "a.bvh", motion)
    root = bvhio.readAsHierarchy(str(tmp_path / "a.bvh"))
    nodes = {joint.Name: joint for joint, _, _ in root.layout()}
    for frame in range(len(motion)):
        root.loadPose(frame)
        found = np.array([nodes[NAMES[name]].PositionWorld.to_tuple() for name in JOINTS]) / 100
        assert np.abs(found - motion.joints[frame].numpy()).max() < 1e-3


def test_angles_run_on_where_the_body_turns_round(tmp_path):
    motion = swinging(80)  # a full turn: single triples would jump by 360 degrees
    write_bvh(tmp_path / "a.bvh", motion)
    joints, values, _ = parsed(tmp_path / "a.bvh")
    assert np.abs(np.diff(values[:, 3:], axis=0)).max() < 40
    turn = joints[0]["channels"].index("Yrotation")
    assert abs(values[-1, turn] - values[0, turn]) > 330


def test_one_frame_is_a_file_too(tmp_path):
    motion = swinging(12)
    write_bvh(tmp_path / "a.bvh", Motion(motion.joints[:1], 20.0))
    assert np.abs(in_metres(tmp_path / "a.bvh") - motion.joints[:1].numpy()).max() < 1e-4
    assert re.search(r"Frames: 1\n", (tmp_path / "a.bvh").read_text())
