"""Films as other programs see them: imageio's decoder, Pillow, and the MP4's own boxes."""

from __future__ import annotations

import re
import struct
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from syncsde3d.io.video import write_gif, write_video


def moving_bar(count: int, height: int = 64, width: int = 96) -> Iterator[np.ndarray]:
    """A smooth picture with a bar at column 4 i in frame i."""
    y, x = np.mgrid[:height, :width]
    back = np.stack([255 * x / width, 255 * y / height, np.full(x.shape, 90)], -1).astype(np.uint8)
    for i in range(count):
        frame = back.copy()
        frame[:, 4 * i : 4 * i + 8] = (250, 30, 30)
        yield frame


def boxes(data: bytes) -> list[str]:
    """The names of an MP4's top-level boxes, in order (ISO/IEC 14496-12, 4.2)."""
    names, at = [], 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode())
        at += size
    return names


def test_mp4_holds_every_frame_in_order(tmp_path: Path):
    path = tmp_path / "films" / "bar.mp4"
    write_video(path, moving_bar(20), fps=20)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count == 20
    assert seconds == pytest.approx(1.0, abs=0.06)
    read = iio.imread(path, plugin="FFMPEG")
    assert read.shape == (20, 64, 96, 3)
    for got, sent in zip(read, moving_bar(20), strict=True):
        assert np.abs(got.astype(int) - sent).mean() < 3  # colours: the matrix and range are tagged rightly


def test_mp4_plays_in_browsers(tmp_path: Path):
    path = tmp_path / "a.mp4"
    write_video(path, moving_bar(5), fps=10)
    told = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)], capture_output=True, text=True
    ).stderr
    stream = re.search(r"Video: h264.*", told)
    assert stream is not None
    assert "yuv420p" in stream[0]
    assert "bt709" in stream[0]
    names = boxes(path.read_bytes())
    assert names[0] == "ftyp"
    assert names.index("moov") < names.index("mdat")  # the index comes first


def test_odd_sizes_gain_a_row_and_a_column(tmp_path: Path):
    write_video(tmp_path / "a.mp4", moving_bar(3, 33, 47), fps=10)
    read = iio.imread(tmp_path / "a.mp4", plugin="FFMPEG")
    assert read.shape == (3, 34, 48, 3)
    assert np.abs(read[0, :33, :47].astype(int) - next(moving_bar(1, 33, 47))).mean() < 4


def test_frames_are_streamed(tmp_path: Path):
    frame = np.zeros((256, 256, 3), np.uint8)
    tracemalloc.start()
    write_video(tmp_path / "a.mp4", (frame + i for i in range(60)), fps=30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * frame.nbytes
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))[0] == 60


def test_gif_keeps_frames_length_and_colours_and_loops(tmp_path: Path):
    write_gif(tmp_path / "a.gif", moving_bar(12), fps=12)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.info["loop"] == 0
        assert film.n_frames == 12  # pyright: ignore[reportAttributeAccessIssue]
        total = 0
        for i, sent in enumerate(moving_bar(12)):
            film.seek(i)
            total += film.info["duration"]
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - sent).mean() < 6
    assert total == 1000  # 12 frames of 1/12 s, though GIF counts in 1/100 s


@pytest.mark.parametrize("write", [write_video, write_gif])
class TestRefusals:
    def test_no_frames(self, tmp_path: Path, write):
        with pytest.raises(ValueError, match="frames: expected at least one"):
            write(tmp_path / "a.mp4", [], 10)

    def test_frames_of_other_sizes(self, tmp_path: Path, write):
        frames = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 10, 3), np.uint8)]
        with pytest.raises(ValueError, match=r"frames\[1\]"):
            write(tmp_path / "a.mp4", frames, 10)
        assert not list(tmp_path.iterdir())

    def test_floats(self, tmp_path: Path, write):
        with pytest.raises(ValueError, match=r"frames\[0\].*uint8"):
            write(tmp_path / "a.mp4", [np.zeros((8, 8, 3))], 10)

    def test_no_speed(self, tmp_path: Path, write):
        with pytest.raises(ValueError, match="fps"):
            write(tmp_path / "a.mp4", moving_bar(1), 0)

    def test_unwritable(self, tmp_path: Path, write):
        (tmp_path / "file").write_text("x")
        with pytest.raises(OSError, match=r"cannot write '.*a\.mp4'"):
            write(tmp_path / "file" / "a.mp4", moving_bar(2), 10)


def test_a_failing_encoder_says_why_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(OSError, match=r"cannot write '.*a\.nofilm': the encoder failed: ") as caught:
        write_video(tmp_path / "a.nofilm", moving_bar(3), 10)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
