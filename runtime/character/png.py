"""Untrusted PNG pictures: the size is read before decoding."""

from __future__ import annotations

import io
import struct
from typing import Final

import numpy as np
import numpy.typing as npt

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Length and name of the first chunk, then width, height, bits per sample, colour type, compression, filter, interlace:
# https://www.w3.org/TR/png-3/#11IHDR
_HEADER: Final = struct.Struct(">I4sIIBBBBB")
_RGBA: Final = 6


def rgba_png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height; None if it is not a PNG of eight bits RGBA."""
    if not data.startswith(_SIGNATURE) or len(data) < len(_SIGNATURE) + _HEADER.size:
        return None
    length, name, width, height, bits, colour, *_ = _HEADER.unpack_from(data, len(_SIGNATURE))
    return (width, height) if (length, name, bits, colour) == (13, b"IHDR", 8, _RGBA) else None


def read_rgba_png(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a picture whose size has been checked: uint8 [H, W, 4], straight.

    Raises:
        ValueError: it is damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.mode != "RGBA" or getattr(picture, "n_frames", 1) != 1:
                raise ValueError("it is not one still RGBA picture")
            return np.array(picture)
    except (OSError, SyntaxError, struct.error, MemoryError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
