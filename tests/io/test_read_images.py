"""Pictures and masks as they come: orientation, transparency, damage, sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from syncsde3d.io.read_images import read_image, read_mask, resize, resize_mask


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


class TestPictures:
    def test_transparent_parts_lie_on_white(self, tmp_path: Path):
        pixels = np.zeros((2, 2, 4))
        pixels[0] = (200, 100, 0, 255)
        found = read_image(save(tmp_path / "a.png", pixels))
        assert found[0].tolist() == [[200, 100, 0]] * 2
        assert found[1].tolist() == [[255, 255, 255]] * 2

    def test_a_photo_is_turned_as_its_camera_says(self, tmp_path: Path):
        pixels = np.zeros((4, 8, 3))
        pixels[:, :4] = 255
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned clockwise
        found = read_image(save(tmp_path / "a.png", pixels, exif=exif))
        assert found.shape == (8, 4, 3)
        assert found[0].min() == 255
        assert found[-1].max() == 0

    def test_grey_and_palette_become_rgb(self, tmp_path: Path):
        grey = save(tmp_path / "g.png", np.full((3, 5), 7))
        assert (read_image(grey) == 7).all()
        Image.open(grey).convert("P").save(tmp_path / "p.gif")
        assert read_image(tmp_path / "p.gif").shape == (3, 5, 3)

    def test_sixteen_bits_are_scaled_not_clipped(self, tmp_path: Path):
        deep = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
        Image.fromarray(deep).save(tmp_path / "d.png")
        assert read_image(tmp_path / "d.png")[..., 0].tolist() == [[0, 100], [200, 255]]
        np.testing.assert_allclose(read_mask(tmp_path / "d.png"), deep / 65535, atol=2e-3)

    def test_floats_are_refused(self, tmp_path: Path):
        Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "f.tif")
        with pytest.raises(OSError, match="it holds floats, expected 8 or 16 bits"):
            read_image(tmp_path / "f.tif")

    def test_what_is_no_picture_is_named(self, tmp_path: Path):
        (tmp_path / "t.png").write_text("text")
        with pytest.raises(OSError, match=r"t.png': cannot be read as a picture \(not a picture\)"):
            read_image(tmp_path / "t.png")
        whole = save(tmp_path / "w.png", np.random.default_rng(0).integers(0, 255, (40, 40, 3)))
        (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:900])
        with pytest.raises(OSError, match=r"cut.png': cannot be read as a picture"):
            read_image(tmp_path / "cut.png")
        with pytest.raises(OSError, match=r"cannot be read as a picture"):
            read_image(tmp_path)

    def test_resizing_keeps_a_plain_colour(self):
        assert (resize(np.full((4, 6, 3), 90, np.uint8), 9, 5) == 90).all()
        assert resize(np.full((4, 6, 3), 90, np.uint8), 9, 5).shape == (9, 5, 3)


class TestMasks:
    def test_brightness_is_the_share(self, tmp_path: Path):
        found = read_mask(save(tmp_path / "m.png", np.array([[0, 51], [204, 255]])))
        np.testing.assert_allclose(found, [[0, 0.2], [0.8, 1]], atol=1e-6)

    def test_transparent_is_outside(self, tmp_path: Path):
        pixels = np.full((2, 2, 4), 255)
        pixels[1, :, 3] = 0
        assert read_mask(save(tmp_path / "m.png", pixels)).tolist() == [[1, 1], [0, 0]]

    def test_a_smaller_mask_is_a_mean(self):
        mask = np.zeros((4, 4), np.float32)
        mask[:, :3] = 1
        np.testing.assert_allclose(resize_mask(mask, 2, 2), [[1, 0.5], [1, 0.5]])

    @pytest.mark.parametrize(("value", "message"), [(0, "is empty"), (255, "is all white")])
    def test_nothing_and_everything_are_refused(self, tmp_path: Path, value: int, message: str):
        with pytest.raises(ValueError, match=message):
            read_mask(save(tmp_path / "m.png", np.full((3, 3), value)))
