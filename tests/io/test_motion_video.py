from __future__ import annotations

import itertools
import tracemalloc

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from motion_clips import swinging

from syncsde3d.io.motion_video import motion_frames, write_motion_video
from syncsde3d.motion.types import Motion, Segment

SIZE = (160, 160)


def test_a_film_has_every_frame_at_the_motion_s_rate(tmp_path):
    motion = swinging(24, fps=12.0)
    write_motion_video(tmp_path / "a.mp4", motion, SIZE)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))
    assert count == 24
    assert seconds == pytest.approx(2.0, abs=0.1)


def far_away(motion: Motion) -> Motion:
    return Motion(motion.joints + torch.tensor([25.0, 0, -40]), motion.fps, motion.segments)


def test_the_camera_follows():
    """The floor repeats every metre: the same motion far away gives the same film."""
    motion = swinging(20)
    for near, far in zip(motion_frames(motion, SIZE), motion_frames(far_away(motion), SIZE), strict=True):
        assert np.abs(near.astype(int) - far).mean() < 0.2


def test_left_is_blue_and_right_is_orange():
    frame = next(motion_frames(swinging(2), (320, 320))).astype(int)
    blue = (frame[..., 2] - frame[..., 0] > 70).nonzero()
    orange = (frame[..., 0] - frame[..., 2] > 70).nonzero()
    assert min(len(blue[0]), len(orange[0])) > 200
    assert blue[1].mean() > orange[1].mean() + 5  # facing us, the left side is on our right


def test_the_caption_is_that_of_the_frame():
    motion = swinging(20)
    words = Motion(motion.joints, 20.0, (Segment("one", 0, 10), Segment("another one", 10, 20)))
    plain = Motion(motion.joints, 20.0)
    changed = [
        np.abs(a.astype(int) - b)[100:150].sum((0, 2)).astype(bool)
        for a, b in zip(motion_frames(words, SIZE), motion_frames(plain, SIZE), strict=True)
    ]
    widths = [int(c.sum()) for c in changed]
    assert len(set(widths[:10])) == len(set(widths[10:])) == 1
    assert 10 < widths[0] < widths[10] < 160


def test_a_long_caption_stays_in_the_picture():
    motion = swinging(1)
    long = Motion(motion.joints, 20.0, (Segment("a very long story " * 30 + "x" * 300, 0, 1),))
    frame = next(motion_frames(long, SIZE)).astype(int)
    changed = np.abs(frame - next(motion_frames(Motion(motion.joints), SIZE)))[:150].sum(-1) > 0
    rows, columns = changed.nonzero()
    assert rows.min() > 80
    assert columns.min() > 2
    assert columns.max() < 157


def test_a_long_film_takes_no_more_memory():
    joints = swinging(40).joints.repeat(50, 1, 1)
    frames = motion_frames(Motion(joints), SIZE)
    next(frames)
    tracemalloc.start()
    for _ in itertools.islice(frames, 5):
        pass
    first = tracemalloc.get_traced_memory()[1]
    for _ in itertools.islice(frames, 30):
        pass
    assert tracemalloc.get_traced_memory()[1] < 1.2 * first + 1e5
    tracemalloc.stop()


def test_a_tiny_size_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"size is \(32, 640\), expected"):
        write_motion_video(tmp_path / "a.mp4", swinging(2), (32, 640))
    assert not list(tmp_path.iterdir())
