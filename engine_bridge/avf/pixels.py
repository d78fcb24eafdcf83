"""Pixel formats of the wire, and conversion to Bunraku's own."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine_bridge.frame import Pixels

BYTES_PER_PIXEL: Final = {"rgba8": 4, "bgra8": 4, "rgb8": 3, "a8": 1}
COLOUR_SPACES: Final = ("srgb", "linear")
ALPHA_MODES: Final = ("straight", "premul", "opaque")
ORIGINS: Final = ("top", "bottom")


def to_rgba_top_straight(rows: Pixels, pixel_format: str, colour_space: str, alpha_mode: str, origin: str) -> Pixels:
    """Convert a picture to RGBA8, row 0 on top, sRGB-encoded, straight alpha.

    A picture already in this format is returned as it is, without a copy; Bunraku's own producers
    send it. Other formats cost one or more passes in numpy.

    Args:
        rows: uint8 [H, W, bytes per pixel], any row stride.
        pixel_format: `rgba8`, `bgra8`, `rgb8` or `a8` (coverage: white where alpha is).
        colour_space: `srgb` or `linear`.
        alpha_mode: `straight`, `premul` or `opaque` (alpha is ignored and becomes 255).
        origin: `top` or `bottom`, where row 0 is.

    Returns:
        uint8 [H, W, 4], C-contiguous.
    """
    if (pixel_format, colour_space, origin) == ("rgba8", "srgb", "top") and alpha_mode == "straight":
        return np.ascontiguousarray(rows)
    if origin == "bottom":
        rows = rows[::-1]
    rgba = np.full((*rows.shape[:2], 4), 255, np.uint8)
    if pixel_format == "a8":
        rgba[..., 3] = rows[..., 0]
    elif pixel_format == "bgra8":
        rgba[:] = rows[..., [2, 1, 0, 3]]
    else:
        rgba[..., : rows.shape[2]] = rows
    if alpha_mode == "opaque":
        rgba[..., 3] = 255
    if alpha_mode == "premul":
        rgba[..., :3] = _unpremultiply(rgba)
    if colour_space == "linear":
        rgba[..., :3] = _SRGB_FROM_LINEAR[rgba[..., :3]]
    return rgba


def _unpremultiply(rgba: Pixels) -> Pixels:
    colour = rgba[..., :3].astype(np.uint32)
    alpha = rgba[..., 3:].astype(np.uint32)
    straight: Pixels = np.minimum((colour * 255 + alpha // 2) // np.maximum(alpha, 1), 255).astype(np.uint8)
    return straight


def _srgb_from_linear() -> Pixels:
    # The transfer function of IEC 61966-2-1, for the 256 values that a byte can hold.
    linear = np.arange(256) / 255.0
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: Pixels = np.round(encoded * 255.0).astype(np.uint8)
    return table


_SRGB_FROM_LINEAR: Final = _srgb_from_linear()
