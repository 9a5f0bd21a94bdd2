"""A body model of random numbers in the layout of SMPL's files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csc_matrix

from syncsde3d.motion.capsules import rest_joints
from syncsde3d.motion.skeleton import OFFSETS, PARENTS

AROUND = 12  # vertices around each joint


def model(joints: int = 24, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a body whose skeleton is much like ours, with hands, but in other proportions."""
    rng = np.random.default_rng(seed)
    offsets = OFFSETS.numpy() * rng.uniform(0.93, 1.05, (22, 1)) + rng.normal(0, 0.004, (22, 3))
    for left, right in ((1, 2), (4, 5), (7, 8)):
        offsets[right] = offsets[left] * [-1, 1, 1]
    offsets[0] = [-0.002, -0.22, 0.03]
    parents = [*PARENTS, *[20 + i % 2 for i in range(joints - 22)]]
    rest = rest_joints(torch.from_numpy(offsets)).numpy()
    rest = np.concatenate([rest, rest[parents[22:]] + rng.normal(0, 0.05, (joints - 22, 3))])
    ring = rng.normal(0, 0.06, (joints, AROUND, 3))
    ring -= ring.mean(1, keepdims=True)
    count = joints * AROUND
    own, regressor = np.repeat(np.arange(joints), AROUND), np.zeros((joints, count))
    regressor[own, np.arange(count)] = 1 / AROUND
    weights = np.zeros((count, joints))
    share = rng.uniform(0.5, 1, count)
    weights[np.arange(count), own] = share
    weights[np.arange(count), np.maximum(np.array(parents), 0)[own]] += 1 - share
    return {
        "v_template": (rest[:, None] + ring).reshape(-1, 3),
        "shapedirs": rng.normal(0, 0.004, (count, 3, 10)),
        "posedirs": rng.normal(0, 0.002, (count, 3, 9 * (joints - 1))),
        "J_regressor": regressor,
        "weights": weights,
        "f": rng.integers(0, count, (2 * count, 3)).astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, *parents[1:]], range(joints)], np.int64),
    }


def save_npz(folder: Path, arrays: dict[str, np.ndarray], name: str = "SMPL_NEUTRAL.npz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / name, **arrays)
    return folder / name


def save_pkl(folder: Path, arrays: dict[str, np.ndarray], name: str = "SMPL_NEUTRAL.pkl") -> Path:
    """As distributed: the regressor sparse."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as file:
        pickle.dump({**arrays, "J_regressor": csc_matrix(arrays["J_regressor"])}, file, protocol=2)
    return folder / name
