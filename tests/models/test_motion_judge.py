"""The motion judge's windows, words and files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from syncsde3d.models.motion_judge import WINDOW, MotionJudge


@pytest.fixture
def judge() -> MotionJudge:
    torch.manual_seed(0)
    judge = MotionJudge(("walk", "jump", "a", "person"), ("walk", "jump"), 16, 24).eval()
    judge.std.fill_(2.0)
    return judge


@torch.no_grad()
def test_a_long_motion_is_the_mean_of_its_windows(judge: MotionJudge) -> None:
    motion = torch.randn(WINDOW + WINDOW // 2, 263)
    windows = judge.encode_windows(torch.stack((motion[:WINDOW], motion[-WINDOW:])))
    vector = judge.encode_motion(motion)
    torch.testing.assert_close(vector, windows.mean(0) / windows.mean(0).norm())
    torch.testing.assert_close(windows.norm(dim=1), torch.ones(2))
    long = torch.randn(5 * WINDOW + 7, 263)
    assert judge.encode_motion(long).isfinite().all()
    short = judge.encode_motion(motion[:20])
    torch.testing.assert_close(short, judge.encode_windows(motion[None, :20])[0])
    with pytest.raises(ValueError, match=r"t >= 8, got \(7, 263\)"):
        judge.encode_motion(motion[:7])


@torch.no_grad()
def test_rotations_and_contacts_are_not_looked_at(judge: MotionJudge) -> None:
    motion = torch.randn(1, WINDOW, 263)
    other = motion.clone()
    other[..., 67:193], other[..., 259:] = 5.0, -5.0
    torch.testing.assert_close(judge.encode_windows(motion), judge.encode_windows(other))
    other[..., 193] += 1
    assert not torch.allclose(judge.encode_windows(motion), judge.encode_windows(other))


@torch.no_grad()
def test_texts_are_bags_of_known_words(judge: MotionJudge) -> None:
    same = judge.encode_texts(["a person walk", "Walk person, a", "a quick person walk", "jump"])
    torch.testing.assert_close(same[0], same[1])
    torch.testing.assert_close(same[0], same[2])
    assert not torch.allclose(same[0], same[3])
    motion = torch.randn(WINDOW, 263)
    expected = judge.log_scale.exp() * (judge.encode_texts(["jump"])[0] @ judge.encode_motion(motion))
    torch.testing.assert_close(judge(motion, ["a", "jump"])[1], expected)


@torch.no_grad()
def test_files_bring_everything_back(judge: MotionJudge, tmp_path: Path) -> None:
    judge.save_pretrained(tmp_path)
    again = MotionJudge.from_pretrained(tmp_path).eval()
    motion = torch.randn(WINDOW, 263)
    torch.testing.assert_close(again(motion, ["a walk"]), judge(motion, ["a walk"]))
    vectors = judge.encode_windows(motion[None])
    assert again.classify(vectors).shape == (1, 2)
    assert again.classes == ("walk", "jump")
