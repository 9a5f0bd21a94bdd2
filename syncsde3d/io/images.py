"""Pictures at the border: uint8 [h, w, c], row 0 at the top; PNG files and labelled contact sheets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from syncsde3d.io.output import writing

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

_INK, _PAPER = (32, 32, 32), (255, 255, 255)


def to_uint8(image: Float[Tensor, "*n c h w"]) -> UInt8[np.ndarray, "*n h w c"]:
    """Model range [-1, 1], channels first, to bytes, channels last; values outside the range are clipped.

    Raises:
        ValueError: fewer than three dimensions, integers, or values that are not finite.
    """
    if image.ndim < 3 or not image.is_floating_point():
        raise ValueError(f"image: expected float [..., c, h, w], got {image.dtype} {tuple(image.shape)}")
    image = image.detach().float().cpu()
    if not image.isfinite().all():
        raise ValueError(f"image: {int((~image.isfinite()).sum())} values are not finite, expected [-1, 1]")
    return (image.clamp(-1, 1) * 127.5 + 127.5).round().byte().movedim(-3, -1).contiguous().numpy()


def check_image(image: np.ndarray, name: str = "image", channels: tuple[int, ...] = (1, 3, 4)) -> np.ndarray:
    """``image`` itself, if it is uint8 [h, w, c] with c among ``channels``; ValueError otherwise."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in channels or 0 in image.shape:
        raise ValueError(
            f"{name}: expected uint8 [h, w, c], c in {channels}, got {image.dtype} {image.shape}"
        )
    return image


def write_png(path: str | os.PathLike[str], image: UInt8[np.ndarray, "h w c"]) -> None:
    """Save grey, RGB or RGBA (c = 1, 3, 4) as PNG. Raises OSError naming ``path`` if it cannot be written."""
    image = check_image(image)
    with writing(path) as temporary:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(temporary, format="PNG")


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    columns: int,
    labels: Sequence[str] | None = None,
    pad: int = 8,
) -> UInt8[np.ndarray, "H W 3"]:
    """Equal pictures on white, ``columns`` to a row, ``pad`` pixels apart, each with its label below.

    A label that is wider than its picture ends in an ellipsis.

    Raises:
        ValueError: no pictures, different sizes, columns < 1, or not one label per picture.
    """
    if not images or columns < 1:
        raise ValueError(f"contact_sheet: expected pictures and columns >= 1, got {len(images)}, {columns}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"labels: expected one for each of {len(images)} pictures, got {len(labels)}")
    height, width, _ = images[0].shape
    for i, image in enumerate(images):
        if check_image(image, f"images[{i}]", (3,)).shape != images[0].shape:
            raise ValueError(
                f"images[{i}]: expected the size of the first, {images[0].shape}, got {image.shape}"
            )
    size = max(10, min(20, width // 14))
    strip = 0 if labels is None else size + size // 2
    rows, columns = -(-len(images) // columns), min(columns, len(images))
    total = (columns * (width + pad) + pad, rows * (height + strip + pad) + pad)
    sheet = Image.new("RGB", total, _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    for i, image in enumerate(images):
        x, y = pad + (i % columns) * (width + pad), pad + (i // columns) * (height + strip + pad)
        sheet.paste(Image.fromarray(image), (x, y))
        if labels is not None:
            text = _fit(labels[i], width, font)
            draw.text((x + width / 2, y + height + strip / 2), text, _INK, font, anchor="mm")
    return np.asarray(sheet)


def _fit(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of ``text``, on one line, as ``width`` pixels hold."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..." if text else ""
