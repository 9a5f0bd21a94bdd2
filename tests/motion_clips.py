"""Motions for tests: one made of sines, and recorded ones where the development data is there."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from syncsde3d.motion.skeleton import OFFSETS, PARENTS
from syncsde3d.motion.types import Motion, Segment


def forward(rotations: np.ndarray, root: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Joints [t, 22, 3] of local rotations [t, 22, 3, 3], frame by frame."""
    joints = np.zeros((len(root), 22, 3))
    for frame in range(len(root)):
        turned = [rotations[frame, 0]]
        joints[frame, 0] = root[frame]
        for j in range(1, 22):
            joints[frame, j] = joints[frame, PARENTS[j]] + turned[PARENTS[j]] @ offsets[j]
            turned.append(turned[PARENTS[j]] @ rotations[frame, j])
    return joints


def swinging(frames: int = 40, fps: float = 20.0, offsets: torch.Tensor = OFFSETS) -> Motion:
    """A body that swings all its joints while it walks in a circle, turning all the way round."""
    time = np.arange(frames) / fps
    phase = np.arange(22)[:, None] * [1.0, 2.0, 3.0]
    vectors = 0.35 * np.sin(2 * time[:, None, None] + phase)
    vectors[:, 0] *= 0.3
    rotations = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(frames, 22, 3, 3)
    heading = 2 * np.pi * np.arange(frames) / frames
    rotations[:, 0] = Rotation.from_euler("y", heading[:, None]).as_matrix() @ rotations[:, 0]
    root = np.stack([np.sin(heading), 0.95 + 0.05 * np.sin(4 * time), np.cos(heading) - 1], axis=-1)
    joints = forward(rotations, root, offsets.double().numpy())
    half = frames // 2
    segments = (Segment("swings", 0, half + 2), Segment("turns, «slowly»", max(half - 2, 0), frames))
    return Motion(torch.from_numpy(joints), fps, segments)


def clip(shared: Path, name: str) -> Motion:
    """A recording of the development data."""
    folder = shared / "motion"
    with (folder / "clips.csv").open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["clip_id"] == name)
    joints = torch.from_numpy(np.load(folder / row["file"])[f"{name}/joints"])
    return Motion(joints, 20.0, (Segment(row["action"], 0, len(joints)),))
