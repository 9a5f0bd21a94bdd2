"""PNG files of any length from arrays that need not fit into memory, row by row.

The format: W3C's PNG specification, third edition; chunks, zlib-compressed rows, filter 1 (the difference to
the pixel on the left).
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from syncsde3d.io.images import check_image
from syncsde3d.io.output import writing

if TYPE_CHECKING:
    from jaxtyping import UInt8


def write_long_png(path: str | os.PathLike[str], image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Save an RGB picture, such as a ``numpy.memmap``, one row in memory at a time."""
    height, width, _ = check_image(image, channels=(3,)).shape
    with writing(path) as temporary, open(temporary, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        packer = zlib.compressobj(6)
        for row in image:
            difference = np.array(row)
            difference[1:] -= row[:-1]
            _data(file, packer.compress(b"\1" + difference.tobytes()))
        _data(file, packer.flush())
        _chunk(file, b"IEND", b"")


def _data(file: BinaryIO, packed: bytes) -> None:
    if packed:
        _chunk(file, b"IDAT", packed)


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
