"""Pictures reach the file as they are: read back with Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from syncsde3d.io.images import contact_sheet, to_uint8, write_png


def solid(*colour: int, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


def test_to_uint8_hits_the_ends_and_clips():
    values = torch.tensor([-3.0, -1.0, 0.0, 1.0, 7.0]).reshape(1, 1, 5)
    assert to_uint8(values).ravel().tolist() == [0, 0, 128, 255, 255]


@given(st.integers(0, 255))
def test_to_uint8_inverts_the_usual_reading(level: int):
    image = torch.full((3, 1, 1), level / 255 * 2 - 1, dtype=torch.float32)
    assert to_uint8(image).ravel().tolist() == [level] * 3


def test_to_uint8_moves_channels_last_in_batches():
    image = torch.rand(2, 3, 4, 5) * 2 - 1
    out = to_uint8(image)
    assert out.shape == (2, 4, 5, 3)
    assert out[1, 2, 3, 0] == round((image[1, 0, 2, 3].item() + 1) * 127.5)


@pytest.mark.parametrize(
    "image", [torch.zeros(4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), torch.full((3, 2, 2), torch.nan)]
)
def test_to_uint8_refuses_what_is_no_picture(image: torch.Tensor):
    with pytest.raises(ValueError, match="image: "):
        to_uint8(image)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_png_is_lossless(tmp_path: Path, channels: int, mode: str):
    image = np.random.default_rng(0).integers(0, 256, (7, 11, channels), dtype=np.uint8)
    write_png(tmp_path / "new" / "a.png", image)
    with Image.open(tmp_path / "new" / "a.png") as read:
        assert (read.format, read.mode, read.size) == ("PNG", mode, (11, 7))
        assert np.array_equal(np.asarray(read).reshape(image.shape), image)


def test_png_refuses_floats(tmp_path: Path):
    with pytest.raises(ValueError, match="uint8"):
        write_png(tmp_path / "a.png", np.zeros((3, 3, 3), np.float32))
    assert not list(tmp_path.iterdir())


def test_contact_sheet_places_pictures_in_rows():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    sheet = contact_sheet([solid(*colour) for colour in colours], columns=2, pad=5)
    assert sheet.shape == (2 * 40 + 3 * 5, 2 * 56 + 3 * 5, 3)
    for i, colour in enumerate(colours):
        y, x = 5 + (i // 2) * 45, 5 + (i % 2) * 61
        assert (sheet[y : y + 40, x : x + 56] == colour).all()
    assert (sheet[50:90, 66:] == 255).all()  # the empty place, and the margins
    assert (sheet[:5] == 255).all()


def test_labels_are_written_below_and_stay_below():
    plain = contact_sheet([solid(9, 9, 9)] * 2, columns=2, pad=5)
    sheet = contact_sheet(
        [solid(9, 9, 9)] * 2, columns=2, labels=["a view", "a label far too long for it"], pad=5
    )
    assert (sheet[:45] == plain[:45]).all()
    strip = sheet[45:]
    assert (strip[:, 5:61] < 100).any()
    assert (strip[:, 66:122] < 100).any()
    assert (strip[:, 61:66] == 255).all()
    assert (strip[:, 122:] == 255).all()


@pytest.mark.parametrize(
    ("images", "columns", "labels"),
    [([], 2, None), ([solid(1, 1, 1)], 0, None), ([solid(1, 1, 1)], 1, ["a", "b"]),
     ([solid(1, 1, 1), solid(1, 1, 1, size=(3, 3))], 2, None)],
)  # fmt: skip
def test_contact_sheet_refuses(images: list, columns: int, labels: list | None):
    with pytest.raises(ValueError, match=r"contact_sheet|labels|images"):
        contact_sheet(images, columns, labels)
