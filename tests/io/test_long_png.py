"""Long PNG files, read back by Pillow."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from syncsde3d.io.long_png import write_long_png


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 7, 3), (40, 3000, 3)])
def test_every_pixel_comes_back(tmp_path: Path, shape: tuple[int, ...]):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_long_png(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "RGB"
        assert np.array_equal(np.asarray(picture), pixels)


def test_it_needs_the_memory_of_a_row(tmp_path: Path):
    pixels = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=(512, 8192, 3))
    pixels[:, ::3] = 90
    tracemalloc.start()
    write_long_png(tmp_path / "a.png", pixels)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < pixels.nbytes / 20


def test_other_arrays_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="expected uint8"):
        write_long_png(tmp_path / "a.png", np.zeros((4, 4, 4), np.uint8))
    assert list(tmp_path.iterdir()) == []
