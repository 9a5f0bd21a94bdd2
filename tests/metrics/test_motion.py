"""Motion metrics against motions whose figures are known on paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from syncsde3d.metrics.motion import (
    area_under_jerk,
    around,
    foot_skating,
    jerk,
    overlap_gap,
    peak_jerk,
    velocity_change,
)


def still(frames: int = 100) -> torch.Tensor:
    return torch.ones(frames, 22, 3, dtype=torch.float64)


def test_a_cubic_has_constant_jerk():
    t = torch.arange(100, dtype=torch.float64)
    joints = still()
    joints[:, 4] = torch.stack((0.5 * t**3, -(t**3), t**2), -1)  # third derivative (3, -6, 0)
    joints[:, 7, 0] += t**3 / 6  # third derivative 1: less than joint 4's
    torch.testing.assert_close(jerk(joints), torch.full((97,), 9.0, dtype=torch.float64))


def test_area_under_jerk_is_the_distance_from_natural_motion():
    windows = torch.tensor([[0.1, 0.3, 0.2], [0.2, 0.2, 0.2]])
    torch.testing.assert_close(peak_jerk(windows), torch.tensor([0.3, 0.2]))
    torch.testing.assert_close(area_under_jerk(windows, 0.2), torch.tensor([0.2, 0.0]))


def test_a_jump_shows_only_in_windows_around_it():
    joints = still(300)
    joints[150:] += 0.2
    windows = around(jerk(joints), [150, 250])
    assert windows.shape == (2, 60)
    np.testing.assert_allclose(peak_jerk(windows), [3 * 2 * 0.2, 0])  # 1, -2, 1 times the jump in each axis


def test_windows_are_moved_inwards_at_the_ends():
    series = torch.arange(100.0)
    windows = around(series, [5, 50, 98], 20)
    assert windows[:, 0].tolist() == [0.0, 40.0, 80.0]
    with pytest.raises(ValueError, match="at least 20 values"):
        around(series[:10], [3], 20)


def test_a_turn_on_the_spot_of_a_point_changes_its_velocity():
    joints = still(60)
    joints[:, :, 0] = torch.arange(60)[:, None] * 0.1  # 2 m/s along x
    joints[30:, :, 0] = joints[30, :, 0]
    joints[30:, :, 2] = 1 + torch.arange(30)[:, None] * 0.1  # then 2 m/s along z
    change = velocity_change(joints)
    assert change.argmax() == 29
    np.testing.assert_allclose(change[29], 2 * 2**0.5, rtol=1e-5)
    np.testing.assert_allclose(change.sum(), 2 * 2**0.5, rtol=1e-4)


def test_feet_skate_only_while_they_stand():
    joints = still()
    joints[:, 10, 1] = 0.01
    joints[:, 10, 2] = torch.arange(100) * 0.02  # 0.4 m/s on the floor
    joints[:, 11, 2] = torch.arange(100) * 1.0  # in the air, 1 m high
    assert foot_skating(joints) == pytest.approx(0.4)
    assert foot_skating(joints, fps=30.0) == pytest.approx(0.6)
    joints[50:, 11, 1] = 0.0  # and now it skates too, at 20 m/s: 99 + 49 steps stand
    assert foot_skating(joints) == pytest.approx((99 * 0.4 + 49 * 20) / 148)
    lifted = torch.zeros(100, 2, dtype=torch.bool)
    assert foot_skating(joints, lifted) == 0.0


def test_the_overlap_gap_ignores_all_but_shared_frames():
    segments = torch.randn(3, 50, 4)
    segments[1, :10] = segments[0, 30:40]
    segments[2, :10] = segments[1, 40:50] + torch.tensor([3.0, 0.0, 4.0, 0.0])
    torch.testing.assert_close(overlap_gap(segments, (40, 50, 50), 10), torch.tensor([0.0, 5.0]))
    assert overlap_gap(segments[:1], (40,), 10).shape == (0,)


def test_another_shape_is_named():
    with pytest.raises(ValueError, match=r"joints: expected \[t, j, 3\] with t >= 4, got \[3, 22, 3\]"):
        jerk(still(3))
