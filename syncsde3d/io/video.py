"""Moving pictures from frames: MP4 that browsers play, and looping GIF."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from syncsde3d.io.images import check_image
from syncsde3d.io.output import writing

if TYPE_CHECKING:
    from jaxtyping import UInt8


def write_video(
    path: str | os.PathLike[str], frames: Iterable[UInt8[np.ndarray, "h w 3"]], fps: float, crf: int = 18
) -> None:
    """Save frames as H.264 in MP4: yuv420p, BT.709, index in front, so that players can start at once.

    Frames are passed on as they come, never kept. Odd sizes are made even, as the format demands, by
    repeating the last row or column. crf: x264's quality, 0 (lossless) to 51; 18 looks lossless.

    Raises:
        ValueError: no frames, frames of different sizes, not uint8 [h, w, 3], or fps not positive.
        OSError: ``path`` cannot be written, or the encoder failed.
    """
    if not fps > 0:
        raise ValueError(f"fps: expected a positive number, got {fps}")
    checked = _even(_checked(frames))
    first = next(checked)
    with writing(path) as temporary:
        _encode(temporary, itertools.chain([first], checked), first.shape[:2], fps, crf)


def write_gif(path: str | os.PathLike[str], frames: Iterable[UInt8[np.ndarray, "h w 3"]], fps: float) -> None:
    """Save frames as a GIF that loops for ever, in 256 colours chosen for the whole film, dithered.

    GIF counts in 1/100 s: single delays are rounded so that the film keeps its length. The indexed frames,
    one byte a pixel, are held in memory.

    Raises:
        ValueError: as :func:`write_video`; also fps > 50, which viewers play slowly.
        OSError: ``path`` cannot be written.
    """
    if not 0 < fps <= 50:
        raise ValueError(f"fps: expected 0 < fps <= 50 for a GIF, got {fps}")
    pictures = [Image.fromarray(frame) for frame in _checked(frames)]
    palette = _palette(pictures)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures]
    ends = [round(100 * (i + 1) / fps) for i in range(len(indexed))]
    delays = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
    with writing(path) as temporary:
        indexed[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=delays,
            loop=0,
            disposal=1,
        )


def _checked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, each uint8 [h, w, 3] of the first one's size, at least one."""
    shape = None
    for i, frame in enumerate(frames):
        shape = shape or frame.shape
        if check_image(frame, f"frames[{i}]", (3,)).shape != shape:
            raise ValueError(f"frames[{i}]: expected the size of the first, {shape}, got {frame.shape}")
        yield frame
    if shape is None:
        raise ValueError("frames: expected at least one, got none")


def _even(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    for frame in frames:
        height, width, _ = frame.shape
        yield np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _palette(pictures: list[Image.Image], most: int = 16) -> Image.Image:
    """256 colours that suit all pictures, judged by at most ``most`` of them, evenly chosen."""
    chosen = pictures[:: -(-len(pictures) // most)]
    width, height = chosen[0].size
    strip = Image.new("RGB", (width, height * len(chosen)))
    for i, picture in enumerate(chosen):
        strip.paste(picture, (0, i * height))
    return strip.quantize(256, method=Image.Quantize.MEDIANCUT)


def _encode(path: Path, frames: Iterable[np.ndarray], size: tuple[int, int], fps: float, crf: int) -> None:
    """Stream frames of ``size`` (h, w) through the encoder program; if it fails, OSError says why."""
    height, width = size
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps:.6g} -i -"
    colours = "-vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p -colorspace bt709"
    colours += " -color_primaries bt709 -color_trc bt709 -color_range tv"
    codec = f"-c:v libx264 -crf {crf} -preset medium -movflags +faststart"
    command = [
        _encoder(),
        *f"-y -loglevel error {source} -an {colours} {codec}".split(),
        str(path.absolute()),  # "a:b" alone would be a protocol
    ]
    with tempfile.TemporaryFile() as log:
        encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
        assert encoder.stdin is not None
        try:
            for frame in frames:
                encoder.stdin.write(np.ascontiguousarray(frame).data)
            encoder.stdin.close()
        except BrokenPipeError:
            pass  # the encoder has given up; its log says why
        except BaseException:
            encoder.kill()
            raise
        finally:
            with contextlib.suppress(OSError):
                encoder.stdin.close()
            encoder.wait()
        if encoder.returncode != 0:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            raise OSError(f"the encoder failed: {lines[-1] if lines else f'exit code {encoder.returncode}'}")


def _encoder() -> str:
    """The ffmpeg program that imageio-ffmpeg brings along."""
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise OSError(f"imageio-ffmpeg has no encoder for this machine: {error}") from error
