from __future__ import annotations

import torch
from motion_clips import swinging

from syncsde3d.motion.capsules import PARTS, body_scale, capsules, posed, rest_joints, tips
from syncsde3d.motion.skeleton import JOINTS, MIRROR, OFFSETS, frames, inverse_kinematics


def test_rods_end_at_the_joints_whatever_the_pose():
    motion = swinging(10)
    figure = capsules(OFFSETS)
    starts, ends = posed(figure, inverse_kinematics(motion.joints))
    for upper, lower in (("left_hip", "left_knee"), ("right_elbow", "right_wrist")):
        a, b = JOINTS.index(upper), JOINTS.index(lower)
        rod = int((figure.joints == a).nonzero()[0])
        assert (ends[:, rod] - motion.joints[:, b]).norm(dim=-1).max() < 1e-3
        assert (starts[:, rod] - motion.joints[:, a]).norm(dim=-1).max() < 0.03


def test_the_figure_is_the_same_on_both_sides():
    figure, names = capsules(OFFSETS), list(PARTS)
    rest = rest_joints(OFFSETS)
    swap = [names.index(n.replace("left", "?").replace("right", "left").replace("?", "right")) for n in names]
    rods = {
        (int(joint), int(part), *[round(float(x), 5) for x in (*(rest[joint] + a), *(rest[joint] + b), *r)])
        for joint, part, a, b, r in zip(
            figure.joints, figure.parts, figure.starts, figure.ends, figure.radii, strict=True
        )
    }
    mirrored = {
        (MIRROR[joint], swap[part], -x0, y0, z0, -x1, y1, z1, *radii)
        for joint, part, x0, y0, z0, x1, y1, z1, *radii in rods
        if "left" in JOINTS[joint] or "right" in JOINTS[joint]
    }
    assert len(mirrored) == 16
    assert mirrored <= rods


def test_a_taller_skeleton_has_a_thicker_figure():
    small, tall = capsules(OFFSETS), capsules(1.5 * OFFSETS)
    assert body_scale(1.5 * OFFSETS) == 1.5
    assert torch.allclose(tall.radii, 1.5 * small.radii)
    assert torch.allclose(tall.ends, 1.5 * small.ends)
    assert torch.allclose(tips(1.5 * OFFSETS)[15], torch.tensor([0, 0.255, 0]))


def test_frames_are_those_of_forward_kinematics():
    motion = swinging(6)
    joints, turned = frames(inverse_kinematics(motion.joints))
    assert (joints - motion.joints).abs().max() < 1e-6
    assert torch.allclose(turned.mT @ turned, torch.eye(3).to(turned), atol=1e-6)
