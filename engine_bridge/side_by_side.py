"""Alpha for formats without it: colour in the left half of an RGB picture, alpha as grey in the right half.

Colour is kept even where alpha is 0, so that a lossy codec or a filter produces no dark edge at the outline.
"""

from __future__ import annotations

import numpy as np

from .frame import Pixels


def pack(rgba: Pixels, out: Pixels | None = None) -> Pixels:
    """Lay colour and alpha side by side.

    Args:
        rgba: uint8 [H, W, 4], straight alpha.
        out: uint8 [H, 2 W, 3], filled and returned; None allocates one.

    Returns:
        uint8 [H, 2 W, 3], RGB.

    Raises:
        ValueError: a shape or type does not match.
    """
    _check(rgba, "rgba", 4)
    height, width = rgba.shape[:2]
    if out is None:
        out = np.empty((height, 2 * width, 3), np.uint8)
    elif out.shape != (height, 2 * width, 3):
        raise ValueError(f"out is {list(out.shape)}; a picture of {width}x{height} needs {[height, 2 * width, 3]}")
    # Channel by channel: in numpy, three long strided copies are five times as fast as one of triples.
    for channel in range(3):
        out[:, :width, channel] = rgba[..., channel]
        out[:, width:, channel] = rgba[..., 3]
    return out


def unpack(rgb: Pixels, out: Pixels | None = None) -> Pixels:
    """Recombine colour and alpha; after a lossy codec they are only as accurate as the codec left them.

    Args:
        rgb: uint8 [H, 2 W, 3].
        out: uint8 [H, W, 4], filled and returned; None allocates one.

    Returns:
        uint8 [H, W, 4], RGBA, straight alpha.

    Raises:
        ValueError: a shape or type does not match.
    """
    _check(rgb, "rgb", 3)
    height, both = rgb.shape[:2]
    if both % 2:
        raise ValueError(f"a picture {both} pixels wide cannot be cut into two halves")
    width = both // 2
    if out is None:
        out = np.empty((height, width, 4), np.uint8)
    elif out.shape != (height, width, 4):
        raise ValueError(f"out is {list(out.shape)}; two halves of {width}x{height} need {[height, width, 4]}")
    for channel in range(3):
        out[..., channel] = rgb[:, :width, channel]
    # Codecs spend the most bits on brightness, of which green is the largest part.
    out[..., 3] = rgb[:, width:, 1]
    return out


def _check(pixels: Pixels, name: str, channels: int) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != channels:
        raise ValueError(f"{name} is {pixels.dtype} {list(pixels.shape)}; give uint8 [H, W, {channels}]")
