"""Animated GLB files: Khronos' validator, three.js' player, and the specification's formulas on the bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gltf_tools import GlbReader, node, node_module, validate
from motion_clips import clip, swinging

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
    reader = GlbReader(path)
    names = [entry["name"] for entry in reader.tree["nodes"]]
    order = [names.index(name) for name in JOINTS]
    for frame in (0, 7, 23, 39):
        found = reader.worlds(np.float32(frame / motion.fps))[order, :3, 3]
        assert np.abs(found - motion.joints[frame].numpy()).max() < 1e-3


def test_quaternions_are_unit_and_turn_the_short_way(written):
    reader = GlbReader(written[0])
    turns = [values for (_, path), (_, values) in reader.tracks().items() if path == "rotation"]
    assert len(turns) == 22
    for quaternions in turns:
        assert np.abs(np.linalg.norm(quaternions, axis=1) - 1).max() < 1e-6
        assert (quaternions[1:] * quaternions[:-1]).sum(1).min() > 0
    assert min(q[:, 3].min() for q in turns) < 0  # after a full turn, w has gone through 0


def test_the_skin_follows_its_bones(written):
    """Limb vertices keep their distance from their bone's line."""
    reader = GlbReader(written[0])
    attributes, skin = reader.tree["meshes"][0]["primitives"][0]["attributes"], reader.tree["skins"][0]
    rest = reader.values(attributes["POSITION"]).astype(float)
    weights, joints = reader.values(attributes["WEIGHTS_0"]), reader.values(attributes["JOINTS_0"])
    assert np.abs(weights.sum(1) - 1).max() < 1e-5
    moved, worlds = reader.skinned(1.0), reader.worlds(1.0)[skin["joints"]]
    binds = reader.values(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
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
    tree = GlbReader(written[0]).tree
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
    reader = GlbReader(tmp_path / "a.glb")
    assert len(reader.tracks()) == 6
    rest = np.zeros((22, 3))
    for j in range(1, 22):
        rest[j] = rest[PARENTS[j]] + OFFSETS[j].numpy()
    assert np.abs(reader.worlds(0.0)[:22, :3, 3] - rest - [0, 1, 0]).max() < 1e-5
