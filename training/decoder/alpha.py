"""Alpha that is fully clear outside the figure and fully solid inside it.

A network trained towards 0 outputs 0 plus or minus a little, and that little is a haze over the game behind it. So
the output of a generator's last layer is stretched: up to `CLEAR` it is 0, from `SOLID` on it is 1, and between them it
rises linearly, so that outlines stay smooth. The stretch is linear and is followed by a clamp anyway: an exported graph
has it in its last layer's weights, where it is free.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

CLEAR: Final = 10 / 255
SOLID: Final = 240 / 255
GAIN: Final = 1 / (SOLID - CLEAR)

# Of the side: three pixels at 256 px. This close to an outline, alpha may have any value, and an outline that has
# moved by this share of the picture looks the same at any size.
EDGE_SHARE: Final = 3 / 256
HAZE: Final = (1, 8)  # of 255; invisible on a still, but seen where the game behind it moves
VEIL: Final = (200, 254)
# 0.02 % of the shipped character's pixels are in this range, none of the data's; without the stretch 24 % and 7 %.
MOST_HAZE: Final = 0.002
MOST_VEIL: Final = 0.002


def stretched(straight: Tensor) -> Tensor:
    """Stretch the alpha of straight RGBA, [N, 4, H, W], from a generator's last layer, unclamped."""
    scale = torch.tensor([1, 1, 1, GAIN], device=straight.device).view(4, 1, 1)
    shift = torch.tensor([0, 0, 0, -CLEAR * GAIN], device=straight.device).view(4, 1, 1)
    return straight * scale + shift


class AlphaFigures(msgspec.Struct, frozen=True):
    """Shares of pixels that are neither clear nor solid where they should be.

    Attributes:
        haze_outside: share of the pixels further than `EDGE_SHARE` outside an outline with alpha in `HAZE`.
        veil_inside: share of the pixels further than that inside with alpha in `VEIL`.
    """

    haze_outside: float
    veil_inside: float


def measure(pictures: npt.NDArray[np.uint8]) -> AlphaFigures:
    """Measure pictures by their own outlines, where alpha crosses one half.

    Args:
        pictures: uint8 [N, H, W, 4]. A region without pixels counts as faultless.
    """
    near = band_px(pictures.shape[1])
    window = 2 * near + 1
    hazy = outside = veiled = inside = 0
    for picture in pictures:
        alpha = torch.from_numpy(picture[None, None, ..., 3].astype(np.float32))
        solid = (alpha > 127).float()
        out_there = F.max_pool2d(solid, window, 1, near) == 0
        in_there = F.max_pool2d(1 - solid, window, 1, near) == 0
        outside, inside = outside + int(out_there.sum()), inside + int(in_there.sum())
        hazy += int((out_there & (alpha >= HAZE[0]) & (alpha <= HAZE[1])).sum())
        veiled += int((in_there & (alpha >= VEIL[0]) & (alpha <= VEIL[1])).sum())
    return AlphaFigures(round(hazy / max(outside, 1), 6), round(veiled / max(inside, 1), 6))


def band_px(side_px: int) -> int:
    """Distance from an outline that still belongs to it."""
    return max(3, round(side_px * EDGE_SHARE))


def provenance_note() -> dict[str, int]:
    """Provenance entry of the alpha stretch, in 255ths; a file that has it has the stretch."""
    return {"clear_up_to": round(255 * CLEAR), "solid_from": round(255 * SOLID)}
