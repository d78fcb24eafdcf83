"""A background that reveals any error in alpha, and the expected composite over it."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine_bridge import Pixels

STRIPES: Final = ((230, 40, 60), (20, 20, 25), (250, 250, 240), (30, 120, 220), (255, 200, 0))
STRIPE_PX: Final = 7


def stripes(height: int, width: int) -> Pixels:
    """Upright stripes, uint8 [H, W, 3]."""
    columns = np.array(STRIPES, np.uint8)[np.arange(width) // STRIPE_PX % len(STRIPES)]
    return np.broadcast_to(columns, (height, width, 3))


def over(pixels: Pixels, background: Pixels) -> Pixels:
    """Straight alpha over a background: the blend by the book, in sRGB values as browsers and games do it.

    Args:
        pixels: uint8 [H, W, 4].
        background: uint8 [H, W, 3].

    Returns:
        uint8 [H, W, 3].
    """
    alpha = pixels[..., 3:].astype(np.float64) / 255
    blend: Pixels = np.rint(pixels[..., :3] * alpha + background * (1 - alpha)).astype(np.uint8)
    return blend
