from __future__ import annotations

import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
import trimesh
from gltf_tools import validate
from motion_clips import swinging
from smpl_model import model, save_npz, save_pkl

from syncsde3d.io.mesh_sequence import write_mesh_sequence
from syncsde3d.io.motion_gltf import write_skinned_glb
from syncsde3d.io.smpl_files import load_body
from syncsde3d.motion.smpl import smpl_parameters, smpl_pose, smpl_skin, smpl_vertices


def test_both_formats_in_smplx_s_folders(tmp_path):
    arrays = model()
    save_npz(tmp_path / "a" / "smpl", arrays)
    save_pkl(tmp_path / "b", arrays)
    first, second = load_body(tmp_path / "a"), load_body(tmp_path / "b")
    for one in (first, second):
        assert torch.allclose(one.template, torch.from_numpy(arrays["v_template"]).float())
        assert torch.allclose(one.regressor, torch.from_numpy(arrays["J_regressor"]).float())
        assert one.parents[:4] == (-1, 0, 0, 0)
        assert one.faces.tolist() == arrays["f"].tolist()
    save_npz(tmp_path / "smplx", model(55), "SMPLX_FEMALE.npz")
    assert len(load_body(tmp_path, "female").parents) == 55


def test_what_is_absent_is_said_in_one_line(tmp_path):
    with pytest.raises(
        ValueError, match=r"no body model in '.*': looked there.*SMPL_MALE\.npz.*https"
    ) as info:
        load_body(tmp_path, "male")
    assert "\n" not in str(info.value)
    save_npz(tmp_path / "smplh", model(52), "SMPLH_FEMALE.npz")
    with pytest.raises(
        ValueError, match=r"no male body model in .*; name a file, such as '.*SMPLH_FEMALE.npz'"
    ):
        load_body(tmp_path, "male")


def test_chumpy_is_not_needed(tmp_path, monkeypatch):
    """chumpy pickles an array as an object of its class ``Ch``, the value in ``x``."""
    arrays, fake = model(), types.ModuleType("chumpy.ch")
    fake.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    value = fake.Ch()
    value.x = arrays["shapedirs"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
        patch.setitem(sys.modules, "chumpy.ch", fake)
        path = save_pkl(tmp_path, {**arrays, "shapedirs": value})
    with pytest.raises(ModuleNotFoundError), path.open("rb") as file:
        pickle.load(file)
    assert torch.allclose(load_body(path).shapes, torch.from_numpy(arrays["shapedirs"]).float())


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_nothing_in_a_pickle_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps({"v_template": Harm()}))
    with pytest.raises(ValueError, match=r"cannot be read as a model.*it wants to run \w+\.system"):
        load_body(tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", v_template=np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"lacks shapedirs, posedirs, J_regressor"):
        load_body(tmp_path / "a.npz")
    arrays = model()
    arrays["kintree_table"][0, 5] = 0
    with pytest.raises(ValueError, match="has other joints"):
        load_body(save_npz(tmp_path, arrays))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("weights", np.zeros((288, 23)), r"weights has shape \[288, 23\], expected \[288, 24\]"),
        ("posedirs", np.zeros((288, 3, 9)), r"posedirs has shape \[288, 3, 9\], expected \[288, 3, 207\]"),
        ("J_regressor", np.full((24, 288), np.nan), "J_regressor has shape .*all finite"),
        ("v_template", np.array(["a"]), "could not convert string"),
        ("f", np.full((2, 3), 288), "f names vertices up to 288, there are 288"),
        ("kintree_table", np.array(3), "too many indices|0-dimensional"),
    ],
)
def test_arrays_that_do_not_fit_are_named_in_one_line(tmp_path, key, value, message):
    path = save_npz(tmp_path, model() | {key: value})
    with pytest.raises(ValueError, match=f"SMPL_NEUTRAL.npz' is not a model.*: .*({message})") as info:
        load_body(path)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("name", "gender"),
    [
        ("SMPLX_FEMALE.npz", "female"),
        ("SMPL_MALE.npz", "male"),
        ("basicmodel_m_lbs_10_207_0_v1.1.0.npz", "male"),
        ("mine.npz", "neutral"),
    ],
)
def test_a_file_s_name_tells_the_gender(tmp_path, name, gender):
    assert load_body(save_npz(tmp_path, model(), name)).gender == gender


def test_a_mesh_sequence_has_every_frame(tmp_path):
    body = load_body(save_npz(tmp_path, model()))
    parameters = smpl_parameters(swinging(5), body)
    frames = (vertices for batch in smpl_vertices(parameters, body, 2) for vertices in batch)
    assert write_mesh_sequence(tmp_path / "frames", frames, body.faces) == 5
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"frame_{i:05d}.obj" for i in range(5)]
    read = trimesh.load_mesh(tmp_path / "frames" / names[3], process=False, maintain_order=True)
    expected = torch.cat(list(smpl_vertices(parameters, body)))[3]
    assert np.abs(read.vertices - expected.numpy()).max() < 1e-6
    assert np.array_equal(read.faces, body.faces.numpy())


def test_a_glb_of_the_body_is_valid(tmp_path):
    body = load_body(save_npz(tmp_path, model()))
    parameters = smpl_parameters(swinging(8), body)
    write_skinned_glb(tmp_path / "a.glb", smpl_skin(body), smpl_pose(parameters, body), 20.0)
    assert validate(tmp_path / "a.glb") == [[]]
