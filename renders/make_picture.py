"""The README's picture, from the turntables that ``configs/texture.yaml`` wrote.

python renders/make_picture.py renders/texture renders/readme.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from syncsde3d.io.images import write_png


def main(source: Path, target: Path) -> None:
    """One row per item: four views, a quarter turn apart."""
    rows = []
    for video in sorted(source.glob("*/turntable.mp4")):
        frames = iio.imread(video)
        start = len(frames) // 16
        views = [frames[start + len(frames) * i // 4][::2, ::2] for i in range(4)]
        rows.append(np.concatenate(views, axis=1))
    write_png(target, np.concatenate(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
