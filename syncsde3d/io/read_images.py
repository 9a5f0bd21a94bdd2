"""Pictures and masks from files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of any format that Pillow reads, the right way up; transparent parts lie on white.

    Raises OSError, naming the file, when it is not there, not a picture or damaged.
    """
    picture = _open(path)
    if picture.has_transparency_data:
        picture = Image.alpha_composite(
            Image.new("RGBA", picture.size, (255, 255, 255, 255)), picture.convert("RGBA")
        )
    return np.asarray(picture.convert("RGB"))


def read_mask(path: str | os.PathLike[str]) -> Float[np.ndarray, "h w"]:
    """A mask in [0, 1]: how bright the picture is, 1 where it is white; transparent parts are 0.

    Raises OSError as :func:`read_image`; ValueError for a mask that is all 0 or all 1.
    """
    picture = _open(path)
    mask = np.asarray(picture.convert("L"), np.float32) / 255
    if picture.has_transparency_data:
        mask = mask * np.asarray(picture.convert("RGBA"), np.float32)[..., 3] / 255
    if mask.max() == 0:
        raise ValueError(
            f"mask: '{os.fspath(path)}' is empty (all black), expected white where the region is"
        )
    if mask.min() == 1:
        raise ValueError(f"mask: '{os.fspath(path)}' is all white, expected black outside the region")
    return mask


def resize(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """The picture at another size."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def resize_mask(mask: Float[np.ndarray, "h w"], height: int, width: int) -> Float[np.ndarray, "H W"]:
    """The mask at another size; smaller ones are means over areas."""
    small = Image.fromarray(mask).resize((width, height), Image.Resampling.BOX)
    return np.clip(np.asarray(small), 0, 1)


def _open(path: str | os.PathLike[str]) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode == "F":
                raise ValueError("it holds floats, expected 8 or 16 bits")
            if picture.mode.startswith("I"):  # Pillow would clip 16 bits to 8
                return Image.fromarray((np.asarray(picture).clip(0, 65535) / 257).round().astype(np.uint8))
            return ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise FileNotFoundError(f"'{os.fspath(path)}': no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "not a picture"
        raise OSError(f"'{os.fspath(path)}': cannot be read as a picture ({reason})") from None
