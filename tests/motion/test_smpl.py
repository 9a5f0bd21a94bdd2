"""SMPL parameters against smplx, the models' own code, on a body of random numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from gltf_tools import GlbReader
from motion_clips import clip, swinging
from smpl_model import model, save_npz, save_pkl

from syncsde3d.io.motion_gltf import write_skinned_glb
from syncsde3d.io.smpl_files import load_body
from syncsde3d.motion.smpl import smpl_parameters, smpl_pose, smpl_skin, smpl_vertices
from syncsde3d.motion.types import Motion


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return load_body(save_npz(tmp_path_factory.mktemp("smpl"), model()))


def theirs_of(path):
    """smplx's model of a file."""
    smplx = pytest.importorskip("smplx", reason="smplx is absent")
    from smplx.vertex_ids import vertex_ids

    return smplx.SMPL(str(path), vertex_ids=dict.fromkeys(vertex_ids["smplh"], 0))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return theirs_of(save_pkl(tmp_path_factory.mktemp("pkl"), model()))


def forward(theirs, parameters):
    """smplx's joints and vertices."""
    hands = torch.zeros(len(parameters.transl), 6)
    with torch.no_grad():
        out = theirs(
            betas=parameters.betas.float()[None].repeat(len(hands), 1),
            global_orient=parameters.global_orient.float(),
            body_pose=torch.cat((parameters.body_pose.float(), hands), dim=-1),
            transl=parameters.transl.float(),
        )
    return out.joints[:, :22], out.vertices


def own_motion(body, betas=None, frames: int = 30) -> Motion:
    """A motion of this very body's skeleton."""
    _, rest = body.shaped(betas)
    offsets = torch.stack([rest[j] - rest[max(p, 0)] for j, p in enumerate(body.parents[:22])])
    return swinging(frames, offsets=offsets)


@pytest.mark.parametrize("betas", [None, torch.tensor([1.5, -1.0, 0.5, 0, 0, 0, 0, 0, 0, 0.7])])
def test_smplx_finds_the_joints(body, theirs, betas):
    motion = own_motion(body, betas)
    joints, _ = forward(theirs, smpl_parameters(motion, body, betas))
    assert (joints - motion.joints).norm(dim=-1).max() < 1e-3


def test_a_recording_on_another_body_keeps_directions_and_feet(body, theirs, shared):
    motion = clip(shared, "cmu_07_01")
    parameters = smpl_parameters(motion, body)
    joints, _ = forward(theirs, parameters)
    for a, b in ((1, 4), (4, 7), (16, 18), (19, 21)):
        ours, true = joints[:, b] - joints[:, a], motion.joints[:, b] - motion.joints[:, a]
        assert torch.cosine_similarity(ours, true, dim=-1).min() > 0.9986  # 3 degrees
    scale = (joints[:, 7] - joints[:, 4]).norm(dim=-1).mean() / 0.4
    assert (joints[:, 0] - motion.joints[:, 0] * scale).norm(dim=-1).max() < 0.03
    assert (joints[:, [10, 11], 1].min() - motion.joints[:, [10, 11], 1].min()).abs() < 0.03


def test_vertices_are_those_of_smplx(body, theirs):
    betas = torch.linspace(-1, 1, 10)
    parameters = smpl_parameters(own_motion(body), body, betas)
    _, expected = forward(theirs, parameters)
    found = torch.cat(list(smpl_vertices(parameters, body, batch=7)))
    assert (found - expected).abs().max() < 2e-5


def test_the_skin_is_that_body(body):
    skin, pose = smpl_skin(body), smpl_pose(smpl_parameters(own_motion(body), body), body)
    assert (skin.weights.sum(-1) - 1).abs().max() < 1e-6
    assert skin.normals.norm(dim=-1).sub(1).abs().max() < 1e-5
    assert len(skin.names) == len(set(skin.names)) == len(pose.offsets) == 24
    assert torch.equal(skin.vertices, body.template)
    assert torch.equal(skin.faces, body.faces)
    assert pose.rotations.shape == (30, 22, 3, 3)


@pytest.mark.parametrize("name", ["recorded", "swinging"])
def test_the_glb_s_animation_is_smplx_s_without_pose_shifts(tmp_path, request, name):
    """Skinned by glTF's formula from the file's bytes, within 1 mm; pose shifts are not in glTF's reach."""
    arrays = model() | {"posedirs": np.zeros((288, 3, 207))}
    body, motion = load_body(save_npz(tmp_path, arrays)), swinging(30)
    if name == "recorded":
        motion = clip(request.getfixturevalue("shared"), "cmu_07_01")
    parameters = smpl_parameters(motion, body)
    write_skinned_glb(tmp_path / "a.glb", smpl_skin(body), smpl_pose(parameters, body), motion.fps)
    _, expected = forward(theirs_of(save_pkl(tmp_path, arrays)), parameters)
    reader = GlbReader(tmp_path / "a.glb")
    for frame in (0, 11, len(motion) - 1):
        found = reader.skinned(np.float32(frame / motion.fps))
        assert np.abs(found - expected[frame].numpy()).max() < 1e-3
    assert (expected[0] - expected[11]).abs().max() > 0.1


def test_more_betas_than_the_body_has_are_refused(body):
    with pytest.raises(ValueError, match="betas: 12 values, expected at most 10"):
        smpl_parameters(own_motion(body), body, torch.ones(12))


def test_faces_point_outwards_in_the_normals(tmp_path):
    arrays = model()
    ball = trimesh.creation.icosphere(2, 0.5)
    arrays["f"] = ball.faces
    arrays["v_template"] = np.pad(ball.vertices, ((0, 288 - len(ball.vertices)), (0, 0)))
    skin = smpl_skin(load_body(save_npz(tmp_path, arrays)))
    outward = (skin.normals * skin.vertices * 2).sum(-1)[: len(ball.vertices)]
    assert outward.min() > 0.99
