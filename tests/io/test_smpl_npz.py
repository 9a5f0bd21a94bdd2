from __future__ import annotations

import numpy as np
import pytest
import torch
from motion_clips import swinging
from scipy.spatial.transform import Rotation
from smpl_model import model, save_npz

from syncsde3d.io.smpl_files import load_body
from syncsde3d.io.smpl_npz import read_motion_npz, write_motion_npz, write_smpl_npz
from syncsde3d.motion.skeleton import JOINTS, PARENTS
from syncsde3d.motion.smpl import smpl_parameters
from syncsde3d.motion.types import Motion


def test_a_motion_comes_back_bit_for_bit(tmp_path):
    motion = swinging(20)
    whole = Motion(motion.joints, 23.976, motion.segments, torch.randn(20, 263))
    write_motion_npz(tmp_path / "a.npz", whole)
    read = read_motion_npz(tmp_path / "a.npz")
    assert torch.equal(read.joints, whole.joints)
    assert read.joints.dtype == whole.joints.dtype
    assert torch.equal(read.features, whole.features)
    assert (read.fps, read.segments) == (whole.fps, whole.segments)


def test_numpy_alone_reads_it(tmp_path):
    write_motion_npz(tmp_path / "a.npz", swinging(20))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["prompts"].tolist() == ["swings", "turns, «slowly»"]
        assert file["starts"].tolist() == [0, 8]
        assert file["ends"].tolist() == [12, 20]
        assert tuple(file["joint_names"]) == JOINTS
        assert "features" not in file.files


def test_no_prompts_come_back_as_none(tmp_path):
    write_motion_npz(tmp_path / "a.npz", Motion(swinging(3).joints))
    assert read_motion_npz(tmp_path / "a.npz").segments == ()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"a\.npz': expected a saved motion"):
        read_motion_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", joints=np.zeros((2, 22, 3)))
    with pytest.raises(ValueError, match=r"b\.npz': expected a saved motion"):
        read_motion_npz(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", prompts=np.array([{}], object))
    with pytest.raises(ValueError, match=r"c\.npz': expected a saved motion"):
        read_motion_npz(tmp_path / "c.npz")
    with pytest.raises(FileNotFoundError):
        read_motion_npz(tmp_path / "d.npz")


def test_an_amass_reader_finds_the_joints_with_z_up(tmp_path):
    """AMASS: rotations about the joints of the body at rest, then the shift; +Z is up."""
    body = load_body(save_npz(tmp_path, model()))
    _, rest = body.shaped()
    offsets = torch.stack([rest[j] - rest[max(p, 0)] for j, p in enumerate(PARENTS)])
    motion = swinging(25, fps=30.0, offsets=offsets)
    write_smpl_npz(tmp_path / "a.npz", smpl_parameters(motion, body))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    assert data["poses"].shape == (25, 156)
    assert data["betas"].shape == (16,)
    assert (str(data["gender"]), float(data["mocap_framerate"])) == ("neutral", 30.0)
    joints, turned = np.zeros((25, 22, 3)), []
    for j in range(22):
        turn = Rotation.from_rotvec(data["poses"][:, 3 * j : 3 * j + 3])
        if j == 0:
            joints[:, 0] = rest[0].numpy() + data["trans"]
        else:
            joints[:, j] = joints[:, PARENTS[j]] + turned[PARENTS[j]].apply(offsets[j].numpy())
            turn = turned[PARENTS[j]] * turn
        turned.append(turn)
    expected = motion.joints.numpy()
    assert np.abs(joints - np.stack([expected[..., 0], -expected[..., 2], expected[..., 1]], -1)).max() < 1e-3
    assert not data["poses"][:, 66:].any()
