"""Motions and segments refuse what cannot be."""

from __future__ import annotations

import pytest
import torch

from syncsde3d.motion.types import Motion, Segment


def test_a_motion_knows_its_duration():
    motion = Motion(torch.zeros(50, 22, 3), segments=(Segment("a person walks", 0, 50),))
    assert len(motion) == 50
    assert motion.seconds == pytest.approx(2.5)


@pytest.mark.parametrize("shape", [(0, 22, 3), (5, 24, 3), (22, 3)])
def test_joints_of_another_shape_are_told(shape):
    with pytest.raises(ValueError, match="joints has shape"):
        Motion(torch.zeros(shape))


def test_impossible_times_are_told():
    with pytest.raises(ValueError, match="fps is 0"):
        Motion(torch.zeros(5, 22, 3), fps=0)
    with pytest.raises(ValueError, match=r"segment is \[7, 7\)"):
        Segment("a person walks", 7, 7)
