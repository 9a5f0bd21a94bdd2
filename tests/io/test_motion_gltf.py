"""Animated GLB files: Khronos' validator, three.js' player, and the specification's formulas on the bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from gltf_tools import node, node_module, validate
from motion_clips import clip, swinging
from scipy.spatial.transform import Rotation, Slerp

from syncsde3d.io.motion_gltf import write_motion_glb, write_skinned_glb
from syncsde3d.motion.mannequin import mannequin
from syncsde3d.motion.skeleton import JOINTS, OFFSETS, PARENTS, Pose

_PLAYER = """
import fs from 'fs';
const [three, file, fps, count] = process.argv.slice(1);
const T = await import(three + '/build/three.module.js');
const {GLTFLoader} = await import(three + '/examples/jsm/loaders/GLTFLoader.js');
const bytes = fs.readFileSync(file);
const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const gltf = await new GLTFLoader().parseAsync(data, '');
const mixer = new T.AnimationMixer(gltf.scene), out = [];
const action = mixer.clipAction(gltf.animations[0]);
action.setLoop(T.LoopOnce); action.clampWhenFinished = true; action.play();
let skin; gltf.scene.traverse(o => { if (o.isSkinnedMesh) skin = o; });
for (let i = 0; i < count; i++) {
  mixer.setTime(i / fps); gltf.scene.updateMatrixWorld(true);
  out.push(skin.skeleton.bones.map(b => b.getWorldPosition(new T.Vector3()).toArray()));
}
console.log(JSON.stringify(out));
"""
_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Reader:
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


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    motion = swinging()
    path = tmp_path_factory.mktemp("glb") / "a.glb"
    write_motion_glb(path, motion)
    return path, motion


def test_the_validator_has_nothing_to_say(written):
    assert validate(written[0]) == [[]]


def test_the_animation_leads_to_the_joints(written):
    path, motion = written
    reader = Reader(path)
    names = [entry["name"] for entry in reader.tree["nodes"]]
    order = [names.index(name) for name in JOINTS]
    for frame in (0, 7, 23, 39):
        found = reader.worlds(np.float32(frame / motion.fps))[order, :3, 3]
        assert np.abs(found - motion.joints[frame].numpy()).max() < 1e-3


def test_quaternions_are_unit_and_turn_the_short_way(written):
    reader = Reader(written[0])
    turns = [values for (_, path), (_, values) in reader.tracks().items() if path == "rotation"]
    assert len(turns) == 22
    for quaternions in turns:
        assert np.abs(np.linalg.norm(quaternions, axis=1) - 1).max() < 1e-6
        assert (quaternions[1:] * quaternions[:-1]).sum(1).min() > 0
    assert min(q[:, 3].min() for q in turns) < 0  # after a full turn, w has gone through 0


def test_the_skin_follows_its_bones(written):
    """Skinned by the specification's formula, limb vertices keep their distance from their bone's line."""
    reader = Reader(written[0])
    attributes = reader.tree["meshes"][0]["primitives"][0]["attributes"]
    rest = reader.values(attributes["POSITION"]).astype(float)
    weights, joints = reader.values(attributes["WEIGHTS_0"]), reader.values(attributes["JOINTS_0"])
    assert np.abs(weights.sum(1) - 1).max() < 1e-5
    skin = reader.tree["skins"][0]
    binds = reader.values(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    worlds = reader.worlds(1.0)[skin["joints"]]
    matrices = np.einsum("vk,vkij->vij", weights, (worlds @ binds)[joints])
    moved = np.einsum("vij,vj->vi", matrices, np.c_[rest, np.ones(len(rest))])[:, :3]
    knee, ankle = JOINTS.index("left_knee"), JOINTS.index("left_ankle")
    mine = (joints[:, 0] == knee) & (weights[:, 0] > 0.99)
    assert mine.sum() > 50
    bones = np.linalg.inv(binds)[:, :3, 3]

    def apart(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        along = (b - a) / np.linalg.norm(b - a)
        return np.linalg.norm(np.cross(points - a, along), axis=1)

    before = apart(rest[mine], bones[knee], bones[ankle])
    after = apart(moved[mine], worlds[knee, :3, 3], worlds[ankle, :3, 3])
    assert np.abs(before - after).max() < 2e-3
    assert 0.03 < before.min() < before.max() < 0.09


def test_prompts_and_colours_are_in_the_file(written):
    tree = Reader(written[0]).tree
    segments = tree["animations"][0]["extras"]["segments"]
    assert segments[0] == {"prompt": "swings", "start": 0.0, "end": pytest.approx(1.1)}
    assert segments[1]["prompt"] == "turns, «slowly»"
    assert [m["name"] for m in tree["materials"]][:3] == ["trunk", "head", "left arm"]
    assert len(tree["meshes"][0]["primitives"]) == 6


def test_a_recording_leads_to_its_joints_in_three_js(shared, tmp_path):
    motion = clip(shared, "m2m_roll")
    write_motion_glb(tmp_path / "a.glb", motion)
    arguments = str(node_module("three")), str(tmp_path / "a.glb"), str(motion.fps), str(len(motion))
    found = np.array(node("--input-type=module", "-e", _PLAYER, *arguments))
    assert np.abs(found - motion.joints.numpy()).max() < 1e-3


@pytest.fixture(scope="module")
def skin():
    return mannequin(OFFSETS)


def test_a_skin_with_too_few_joints_is_refused(tmp_path, skin):
    pose = Pose(torch.zeros(2, 3), torch.eye(3).repeat(2, 23, 1, 1), OFFSETS)
    with pytest.raises(ValueError, match="pose turns 23 joints, the skin has 22"):
        write_skinned_glb(tmp_path / "a.glb", skin, pose, 20.0)
    assert not (tmp_path / "a.glb").exists()


def test_joints_beyond_the_pose_rest(tmp_path, skin):
    pose = Pose(torch.tensor([[0.0, 1, 0]]).repeat(2, 1), torch.eye(3).repeat(2, 5, 1, 1), OFFSETS)
    write_skinned_glb(tmp_path / "a.glb", skin, pose, 20.0)
    reader = Reader(tmp_path / "a.glb")
    assert len(reader.tracks()) == 6
    rest = np.zeros((22, 3))
    for j in range(1, 22):
        rest[j] = rest[PARENTS[j]] + OFFSETS[j].numpy()
    assert np.abs(reader.worlds(0.0)[:22, :3, 3] - rest - [0, 1, 0]).max() < 1e-5
