"""A tiny random motion model of the real class, saved as the embedded one is."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny import tiny_tokenizer

from syncsde3d.models.motion_net import MotionNet
from syncsde3d.motion.features import to_features
from syncsde3d.motion.skeleton import OFFSETS, Pose, forward_kinematics


def tiny_motion_model(folder: str | Path, seed: int = 0) -> Path:
    """An MDM with few random weights whose motions stay near a standing person; returns its folder."""
    tokenizer = tiny_tokenizer(Path(folder) / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MotionNet(
            latent_dim=16,
            layers=1,
            heads=2,
            ff=16,
            text_width=32,
            vocab_size=len(tokenizer),
        )
    rest = torch.eye(3).expand(2, 22, 3, 3)
    joints = forward_kinematics(Pose(torch.tensor([[0.0, 0.95, 0.0]] * 2), rest, OFFSETS))
    net.mean.copy_(to_features(joints)[0])
    net.std.fill_(0.01)
    net.save_pretrained(folder)
    return Path(folder)
